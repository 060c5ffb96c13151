"""Masks (contract 1.2, 1.3): `where=` hides elements, and what it hides can do nothing."""

import re

import numpy as np
import operations
import pytest
from layouts import LAYOUTS
from numpy.testing import assert_array_equal

import softmax_ext
from softmax_ext import (
    _reference,
    log_softmax,
    log_softmax_vjp,
    logsumexp,
    softmax,
    softmax_entropy,
    softmax_vjp,
)

INF, NAN = np.inf, np.nan
TYPES = [np.float32, np.float64]

FUNCTIONS, ELEMENTWISE, OPERATIONS = operations.FUNCTIONS, operations.ELEMENTWISE, operations.OPERATIONS
DISTINCT_DERIVATIVES = [name for name in operations.DISTINCT if OPERATIONS[name].forward]

# Short rows, rows around a register and around a piece, several axes.
SHAPES = [
    (1, 1),
    (9, 3),
    (64, 10),
    (5, 70),
    (20, 81),
    (7, 300),
    (2, 4097),
    (3, 9000),
    (3, 40, 2),
    (40, 3, 7),
    (2, 130, 33),
]

every_function = pytest.mark.parametrize("name", FUNCTIONS)
every_type = pytest.mark.parametrize("dtype", TYPES)


def inputs(name, shape, dtype, seed=0):
    """Return x, or y and a vector, of moderate size."""
    return OPERATIONS[name].inputs(shape, dtype, seed)


def call(name, arrays, axis=-1, **kwargs):
    return np.asarray(getattr(softmax_ext, name)(*arrays, axis, **kwargs))


def replaced(name, arrays, where):
    """Return the inputs with what stands for hidden elements in their place."""
    fill, _ = OPERATIONS[name].hidden
    return [np.where(where, a, a.dtype.type(v)) for a, v in zip(arrays, fill, strict=True)]


def expected(name, arrays, where, axis=-1):
    """Return the result as its definition says: the bits of the row with those elements in place."""
    got, hidden = call(name, replaced(name, arrays, where), axis), OPERATIONS[name].hidden[1]
    seen = where if OPERATIONS[name].elementwise else where.any(axis)
    return np.where(seen, got, got.dtype.type(hidden))


def spoilt(arrays, where, seed=0):
    """Return the inputs with NaN and infinities under the mask."""
    rng = np.random.default_rng(seed)
    return [
        np.where(where, a, rng.choice([NAN, INF, -INF, 1e30], size=a.shape).astype(a.dtype)) for a in arrays
    ]


def assert_same(got, want, what=""):
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    assert np.ascontiguousarray(got).tobytes() == np.ascontiguousarray(want).tobytes(), what


def masks(shape, seed=0):
    """Yield masks that broadcast to the shape: all ways to leave out axes, and of any strides."""
    rng = np.random.default_rng([seed, *shape])
    for kept in np.ndindex(*(2,) * len(shape)):
        yield rng.random([n if k else 1 for n, k in zip(shape, kept, strict=True)]) < 0.7
    for layout in ("Fortran", "transposed", "spread", "reversed"):
        yield LAYOUTS[layout](rng.random(shape) < 0.7)
    yield rng.random(shape[1:]) < 0.7
    yield np.broadcast_to(rng.random(shape[-1:]) < 0.7, shape)
    yield np.array(True)
    yield np.array(False)


# What is hidden, and what comes of it -------------------------------------------------------------


@every_type
@every_function
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_hidden_elements_are_as_if_they_held_what_adds_nothing(name, shape, dtype, isa):
    """Byte for byte, with NaN and infinities under the mask, over any axes."""
    arrays = inputs(name, shape, dtype)
    for axis in (-1, 0, None, len(shape) // 2, (0, len(shape) - 1)):
        for where in masks(shape):
            full = np.broadcast_to(where, shape)
            got = call(name, spoilt(arrays, full), axis, where=where)
            assert_same(got, expected(name, arrays, full, axis), f"axis {axis}, mask {where.shape}")


@every_type
@every_function
def test_layouts_of_array_mask_and_out(name, dtype, isa):
    for shape in [(9, 10), (20, 33), (3, 130), (33, 5)]:
        arrays = inputs(name, shape, dtype)
        where = np.random.default_rng(1).random(shape) < 0.6
        for axis in (-1, 0):
            want = expected(name, arrays, where, axis)
            for layout in LAYOUTS.values():
                strange = [layout(a) for a in spoilt(arrays, where)]
                masked = layout(where)
                assert_same(call(name, strange, axis, where=where), want)
                assert_same(call(name, strange, axis, where=masked), want)
                assert_same(call(name, spoilt(arrays, where), axis, where=masked), want)
                out = layout(np.full_like(want, 7))
                call(name, strange, axis, where=masked, out=out)
                assert_same(out.astype(dtype), want)


@pytest.mark.parametrize("name", ELEMENTWISE)
@pytest.mark.parametrize("shape", [(9, 10), (3, 130), (2, 5000)], ids=str)
def test_out_of_16_bits(name, shape, isa):
    """Arrays of float32, a result rounded once more: the masked one of float32, rounded."""
    arrays = inputs(name, shape, np.float32)
    where = np.random.default_rng(2).random(shape) < 0.6
    with np.errstate(over="ignore"):
        want = expected(name, arrays, where).astype(np.float16)
    for layout in LAYOUTS.values():
        out = layout(np.full(shape, 7, np.float16))
        call(name, spoilt(arrays, where), where=where, out=out)
        assert_same(out.astype(np.float16), want)


@every_type
def test_nothing_left(dtype, isa):
    for n in (1, 2, 3, 10, 70, 200, 5000):
        x = np.full((3, n), NAN, dtype)
        x[1] = 0
        where = np.array([[False], [True], [False]])
        for axis, a, seen in ((-1, x, where), (0, x.T.copy(), where.T)):
            pick = (slice(None), [0, 2]) if axis == 0 else [0, 2]
            assert_same(softmax(a, axis, where=seen)[pick], np.zeros_like(a[pick]))
            assert_same(log_softmax(a, axis, where=seen)[pick], np.full_like(a[pick], -INF))
            assert_same(logsumexp(a, axis, where=seen)[[0, 2]], np.full(2, -INF, dtype))
            assert_same(softmax_entropy(a, axis, where=seen)[[0, 2]], np.zeros(2, dtype))
            for name in DISTINCT_DERIVATIVES:
                assert_same(call(name, (a, a), axis, where=seen)[pick], np.zeros_like(a[pick]), name)
            assert np.isfinite(softmax(a, axis, where=seen)).all()


@every_type
def test_a_row_that_is_minus_infinity_is_not_a_row_of_nothing(dtype, isa):
    for n in (2, 10, 70, 200, 5000):
        x = np.full((2, n), -INF, dtype)
        where = np.ones((2, n), bool)
        where[:, 0] = False
        where[1] = False
        assert_array_equal(softmax(x, where=where), [[0] + [NAN] * (n - 1), [0] * n])
        assert_array_equal(log_softmax(x, where=where), [[-INF] + [NAN] * (n - 1), [-INF] * n])
        assert_array_equal(logsumexp(x, where=where), [-INF, -INF])
        for axis, a, seen in ((-1, x, where), (0, x.T.copy(), where.T), (0, x.T.copy(), where.T.copy())):
            assert_array_equal(softmax_entropy(a, axis, where=seen), [NAN, 0])


@every_type
@pytest.mark.parametrize("special", [NAN, INF])
def test_visible_special_values_leave_hidden_results_alone(special, dtype, isa):
    for n in (3, 10, 70, 200, 5000):
        x = np.zeros((2, n), dtype)
        x[0, 1] = special
        where = np.ones(n, bool)
        where[[0, n - 1]] = False
        for name, row in (("softmax", 0), ("log_softmax", -INF)):
            for axis, a, seen in ((-1, x, where), (0, x.T.copy(), where[:, None])):
                got = call(name, (a,), axis, where=seen)
                got = got if axis else got.T
                assert_array_equal(got[:, ~where], row)
                assert np.isnan(got[0, where]).all()
                assert not np.isnan(got[1]).any()
        assert_array_equal(logsumexp(x, where=where)[0], special)
        assert_array_equal(np.isnan(softmax_entropy(x, where=where)), [True, False])
        y = np.full_like(x, 1 / n)
        for name in DISTINCT_DERIVATIVES:
            got = call(name, (y if OPERATIONS[name].forward == "softmax" else np.log(y), x), where=where)
            assert_same(got[:, ~where], np.zeros((2, 2), dtype), name)
            assert not np.isnan(got[1]).any()
            if np.isnan(special):
                assert np.isnan(got[0, where]).all()


@every_type
def test_gradients_at_hidden_elements_are_zero_however_large_the_others(dtype, isa):
    """Their sum may be the largest number, or beyond it, and of either sign."""
    top = np.finfo(dtype).max
    where = np.array([True, False, True])
    for g in (
        [top, 5, 0],
        [-top, 5, 0],
        [top, 5, top],
        [-top, 5, -top],
        [top / 2, 5, 0],
        [INF, 5, 0],
        [-INF, 5, 1],
    ):
        for name, y in (
            ("softmax_vjp", [1, 0.5, 1]),
            ("log_softmax_vjp", [0, 0, 0]),
            ("log_softmax_jvp", [0, 0, 0]),
        ):
            for n in (1, 40):
                arrays = [np.tile(np.array(a, dtype), n) for a in (y, g)]
                got = call(name, arrays, where=np.tile(where, n))
                assert_same(got[1::3], np.zeros(n, dtype), (name, g))


def test_masked_rows_of_many_kinds_at_once(isa):
    """Rows too large for the reduction, rows of nothing and of NaN beside plain ones."""
    rng = np.random.default_rng(0)
    for n in (5, 40, 200):
        x = rng.normal(size=(60, n)) * np.where(np.arange(60) % 3 == 0, 1e15, 1)[:, None]
        where = rng.random((60, n)) < 0.5
        where[::7] = False
        x[::11, 0] = NAN
        for name in operations.MAPS:
            assert_same(call(name, (x,), where=where), expected(name, (x,), where))


@every_function
@pytest.mark.parametrize("shape", [(1, 400_003), (3, 100_001), (2000, 101), (100_003, 3), (40, 5000)])
def test_any_number_of_threads(name, shape, threads):
    arrays = inputs(name, shape, np.float32)
    for where in (np.random.default_rng(0).random(shape) < 0.7, np.arange(shape[1]) % 3 > 0):
        threads(1)
        want = call(name, arrays, where=where)
        for count in (2, 3):
            threads(count)
            assert_same(call(name, spoilt(arrays, where), where=where), want, f"{count} threads")


@every_type
@every_function
def test_the_same_bits_from_every_level(name, dtype):
    levels = softmax_ext.show_config(mode="dicts")["isa_available"]
    former = softmax_ext._core._set_isa(levels[0])
    try:
        for n in (1, 2, 3, 7, 10, 31, 64, 65, 100, 257, 4097):
            arrays = inputs(name, (37, n), dtype)
            where = np.random.default_rng(n).random((37, n)) < 0.6
            softmax_ext._core._set_isa(levels[0])
            want = [call(name, arrays, axis, where=where) for axis in (-1, 0)]
            for level in levels[1:]:
                softmax_ext._core._set_isa(level)
                for axis in (-1, 0):
                    assert_same(call(name, arrays, axis, where=where), want[axis + 1], f"{level}, length {n}")
    finally:
        softmax_ext._core._set_isa(former)


def test_true_mask_changes_no_bit():
    x = np.random.default_rng(0).normal(size=(30, 70))
    for name in FUNCTIONS:
        arrays = inputs(name, x.shape, np.float64)
        for where in (True, np.True_, [[True]], np.ones(70, bool), np.ones(x.shape, bool)):
            assert_same(call(name, arrays, where=where), call(name, arrays))


def test_any_byte_but_zero_is_true():
    """NumPy takes a byte of 2, in an array of bool that was made by a view, for True."""
    x = np.random.default_rng(0).normal(size=(5, 40))
    where = np.random.default_rng(1).random(x.shape) < 0.5
    strange = (where * np.arange(1, 201, dtype=np.uint8).reshape(x.shape)).view(bool)
    assert_same(softmax(x, where=strange), softmax(x, where=where))


def test_0d_and_empty():
    assert softmax(NAN, where=False) == 0
    assert log_softmax(NAN, where=False) == -INF
    assert logsumexp(NAN, where=False) == -INF
    assert softmax(3.0, where=True) == 1
    assert logsumexp([], where=np.empty(0, bool)) == -INF
    assert softmax(np.empty((0, 3)), where=np.empty((0, 3), bool)).shape == (0, 3)
    assert_array_equal(logsumexp(np.empty((2, 0)), where=np.empty((1, 0), bool)), [-INF, -INF])
    assert_array_equal(logsumexp([[1, 2], [3, 4]], where=[[True], [False]], keepdims=True).shape, (2, 1))


def test_integers_and_dtype():
    x = np.array([[1, 2, 3], [4, 5, 6]])
    where = np.array([True, True, False])
    assert_same(softmax(x, where=where), softmax(x.astype(float), where=where))
    assert_same(softmax(x, where=where, dtype=np.float32), softmax(x, where=where).astype(np.float32))


# Memory -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ELEMENTWISE)
@pytest.mark.parametrize("axis", [-1, 0])
def test_in_place(name, axis):
    for shape in [(9, 10), (33, 70), (5, 300), (2, 9000)]:
        arrays = inputs(name, shape, np.float64)
        where = np.random.default_rng(0).random(shape) < 0.7
        want = call(name, arrays, axis, where=where)
        for victim in range(len(arrays)):
            copies = [a.copy() for a in arrays]
            assert call(name, copies, axis, where=where, out=copies[victim]) is copies[victim]
            assert_same(copies[victim], want)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("axis", [-1, 0])
def test_mask_in_the_memory_of_out(name, axis):
    """The result is as if it did not lie there: also with a mask that is broadcast, or reversed."""
    for shape in [(9, 10), (33, 70), (5, 300)]:
        arrays = inputs(name, shape, np.float64)
        size = arrays[0].size
        rng = np.random.default_rng(0)
        for start in (0, 3, 7 * size):
            for pick in (lambda m: m, lambda m: m[::-1], lambda m: m[:1], lambda m: m[:, :1]):
                out = np.zeros_like(call(name, arrays, axis))
                if out.size < size and start > 3:
                    continue
                bytes_ = np.concatenate([out.ravel(), np.zeros(size)]).view(bool)
                where = pick(bytes_[start : start + size].reshape(shape))
                where[...] = rng.random(where.shape) < 0.6
                target = bytes_.view(float)[: out.size].reshape(out.shape)
                assert np.may_share_memory(target, where)
                want = call(name, arrays, axis, where=where.copy())
                call(name, arrays, axis, where=where, out=target)
                assert_same(target, want)


def test_arguments_are_not_changed():
    x = np.random.default_rng(0).normal(size=(20, 30))
    where = x > 0
    for a in (kept := [x.copy(), where.copy()]):
        a.flags.writeable = False
    for name in FUNCTIONS:
        call(name, kept[:1] * len(OPERATIONS[name].arguments), where=kept[1])
    assert_array_equal(kept[0], x)
    assert_array_equal(kept[1], where)


def test_broadcast_masks_are_not_expanded():
    """A mask of one row serves 10⁵ rows: in bytes, no more memory is asked for than the result's."""
    import tracemalloc

    x = np.zeros((100_000, 20), np.float32)
    softmax(x, where=np.ones(20, bool))
    tracemalloc.start()
    try:
        got = softmax(x, where=np.arange(20) < 10)
        wide = softmax(x, 0, where=np.arange(20) < 10)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < got.nbytes + wide.nbytes + 100_000


# Refusals -----------------------------------------------------------------------------------------


@every_function
@pytest.mark.parametrize("where", [1, 1.0, [1, 0], np.ones((2, 2), np.uint8), "yes", [None], np.float64(1)])
def test_a_mask_that_is_not_bool(name, where):
    arrays = inputs(name, (2, 2), np.float64)
    with pytest.raises(TypeError, match=r"^where: .*expected bool"):
        call(name, arrays, where=where)


@every_function
@pytest.mark.parametrize("shape", [(3,), (2, 2), (5, 2, 3), (2, 3, 1), (3, 2), (0, 3)])
def test_a_mask_of_another_shape(name, shape):
    arrays = inputs(name, (2, 3), np.float64)
    if shape == (3,):
        arrays = [a[:, :2].copy() for a in arrays]
    first = "x" if len(arrays) == 1 else "y"
    wanted = re.escape(
        f"where: got shape {shape}, expected one that broadcasts to {first}'s {arrays[0].shape}"
    )
    for out in ({}, {"out": np.full(call(name, arrays).shape, 7.0)}):
        with pytest.raises(ValueError, match=wanted):
            call(name, arrays, where=np.ones(shape, bool), **out)
        for array in out.values():
            assert (array == 7).all()


def test_a_ragged_mask():
    with pytest.raises(ValueError, match=r"^where: "):
        softmax(np.zeros((2, 2)), where=[[True], [True, False]])


def test_a_masked_mask():
    with pytest.raises(TypeError, match=r"^where: got MaskedArray"):
        softmax([1.0, 2.0], where=np.ma.array([True, False], mask=[True, False]))


def test_what_the_refusal_of_a_masked_array_says_works():
    x = np.ma.array([[1.0, NAN, 3.0], [1.0, 2.0, 3.0]], mask=[[0, 1, 0], [1, 1, 1]])
    with pytest.raises(TypeError, match=re.escape("pass x.data, and where=~np.ma.getmaskarray(x)")):
        softmax(x)
    got = softmax(x.data, where=~np.ma.getmaskarray(x))
    assert_same(got, np.array([softmax([1.0, -INF, 3.0]), [0, 0, 0]]))


# Against the reference ----------------------------------------------------------------------------


@every_type
@every_function
def test_reference(name, dtype):
    eps = np.finfo(dtype).eps
    for shape in [(9, 10), (5, 130)]:
        arrays = inputs(name, shape, dtype)
        for where in masks(shape):
            full = np.broadcast_to(where, shape)
            got = call(name, spoilt(arrays, full), where=where)
            want = getattr(_reference, name)(*spoilt(arrays, full), where=where)
            # Within 2 ULP, and 4 u of sums of some units.
            np.testing.assert_allclose(got, want, rtol=4 * eps, atol=32 * eps)


@every_type
def test_accuracy_over_visible_elements(dtype):
    """The bound of 2 ULP, as without a mask: against the row of the visible elements alone."""
    rng = np.random.default_rng(3)
    for n in (5, 30, 100, 1000):
        x = (10 * rng.normal(size=n)).astype(dtype)
        where = rng.random(n) < 0.5
        where[0] = True
        for function in (softmax, log_softmax):
            truth = getattr(_reference, function.__name__)(x[where].astype(np.longdouble))
            got = function(np.where(where, x, NAN), where=where)[where]
            assert (np.abs(got - truth) <= 2 * np.spacing(np.abs(truth).astype(dtype))).all()


def test_attention_scores_under_a_causal_mask():
    scores = np.random.default_rng(0).normal(size=(2, 3, 7, 7))
    causal = np.tri(7, dtype=bool)
    y = softmax(scores, where=causal)
    want = softmax(np.where(causal, scores, -INF))
    assert_same(y, want)
    gradient = softmax_vjp(y, scores, where=causal)
    assert_array_equal(gradient[..., ~causal], 0)
    assert_same(
        log_softmax_vjp(log_softmax(scores, where=causal), scores, where=causal)[..., 0, 0], np.zeros((2, 3))
    )
