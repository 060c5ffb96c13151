"""Ragged rows: every segment is, byte for byte, what the plain function makes of it alone.

Whatever its length and its neighbours', on any trailing axes, in any layout, type and number of threads.
"""

import itertools

import hypothesis.extra.numpy as hnp
import numpy as np
import operations
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from layouts import LAYOUTS
from numpy.testing import assert_allclose, assert_array_equal

import softmax_ext
from softmax_ext import _reference, segment_log_softmax, segment_softmax, segment_softmax_vjp

TYPES = [np.float32, np.float64]
MAPS, DERIVATIVES, OPERATIONS = operations.SEGMENT_MAPS, operations.SEGMENT_DERIVATIVES, operations.OPERATIONS
SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, 1e30, -1e30, 700.0, 3e7]

every_function = pytest.mark.parametrize("name", MAPS + DERIVATIVES)
every_type = pytest.mark.parametrize("dtype", TYPES)
every_level = pytest.mark.usefixtures("isa")


def pointers(lengths):
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def arguments(name, shape, dtype, seed=0, special=0.01):
    """Return x, or y and g: numbers of all sizes, row by row, with special ones here and there."""
    rng = np.random.default_rng([seed, *shape])
    x = rng.normal(size=shape) * rng.choice([1, 1, 30, 1e-3, 1e7], size=shape)
    x = np.where(rng.random(shape) < special, rng.choice(SPECIAL, size=shape), x).astype(dtype)
    if name in MAPS:
        return (x,)
    with np.errstate(all="ignore"):
        y = np.exp(-np.abs(x)) if OPERATIONS[name].forward == "softmax" else -np.abs(x)
    return y, rng.normal(size=shape).astype(dtype)


def call(name, arrays, indptr, **kwargs):
    return getattr(softmax_ext, f"segment_{name}")(*arrays, indptr, **kwargs)


def one_by_one(name, arrays, indptr, where=None, **kwargs):
    """Return what the segments give alone."""
    where = None if where is None else np.broadcast_to(where, arrays[0].shape)
    results = [
        getattr(softmax_ext, name)(
            *(np.ascontiguousarray(a[start:end]) for a in arrays),
            0,
            where=None if where is None else np.ascontiguousarray(where[start:end]),
            **kwargs,
        )
        for start, end in itertools.pairwise(indptr)
    ]
    results = results if OPERATIONS[name].elementwise else [np.asarray(r)[None] for r in results]
    return np.concatenate([np.empty((0, *arrays[0].shape[1:]), arrays[0].dtype), *results])


def mask(shape, seed=0):
    """Return a mask that hides much of some segments, little of others, and some stretches altogether."""
    rng = np.random.default_rng([7, seed])
    share = np.repeat(rng.choice([0, 0.1, 0.9, 1, 1], size=shape[0] // 40 + 1), 40)[: shape[0]]
    return rng.random(shape) < share.reshape(-1, *[1] * (len(shape) - 1))


def assert_same(got, want, what=""):
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    if got.tobytes() != np.ascontiguousarray(want).tobytes():
        bits = f"u{got.itemsize}"
        where = np.argwhere(np.ascontiguousarray(got).view(bits) != np.ascontiguousarray(want).view(bits))
        pytest.fail(f"{len(where)} of {got.size} elements differ, first at {tuple(where[0])} {what}")


LENGTHS = {
    "none": [],
    "all empty": [0] * 5,
    "one": [1],
    "equal": [5] * 700,
    "equal, with empty ones": [5, 0, 0, 5, 5] * 60,
    "every short length": [*range(1, 100), *range(100, 0, -1)],
    "around the border": [79, 80, 81] * 20,
    "single elements": [1] * 600,
    "a longer one among many": [1] * 100 + [80] + [1] * 300 + [3, 64],
    "of all sizes": [3, 4096, 0, 17, 4097, 1, 8193, 2, 0, 0, 300, 16, 12_289],
    "long ones between equal ones": [5, 90] * 300,
    "long ones between short ones": [3, 300, 40, 7, 0, 81] * 60,
    "of mixed lengths": [*np.random.default_rng(2).integers(0, 21, 700), 90, *range(17), 80, 81, *range(12)],
    "of geometric lengths": [*np.random.default_rng(3).geometric(1 / 8, 600), 0, 0, 1],
    "growing windows": [n for n in range(1, 20) for _ in range(3 * n)],
}


@every_level
@every_type
@every_function
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=list(LENGTHS))
def test_segments_are_what_they_are_alone(name, dtype, lengths):
    indptr = pointers(lengths)
    for tail in [(), (1,), (3,), (8,), (2, 5)]:
        arrays = arguments(name, (indptr[-1], *tail), dtype)
        assert_same(call(name, arrays, indptr), one_by_one(name, arrays, indptr), f"tail {tail}")


OPTIONS = {
    "mask": lambda shape: {"where": mask(shape)},
    "mask of elements": lambda shape: {"where": mask(shape[:1]).reshape(-1, *[1] * (len(shape) - 1))},
    "mask of columns": lambda shape: {"where": np.arange(shape[-1]) % 3 > 0 if len(shape) > 1 else np.False_},
    "everything hidden": lambda shape: {"where": np.zeros(shape, bool)},
    "nothing hidden": lambda shape: {"where": True},
    "cold": lambda shape: {"temperature": 0.37},
    "hot": lambda shape: {"temperature": 1e5},
    "mask and temperature": lambda shape: {"where": mask(shape, 1), "temperature": 3.0},
}
every_option = pytest.mark.parametrize("option", OPTIONS.values(), ids=list(OPTIONS))


@every_level
@every_type
@every_function
@pytest.mark.parametrize("option", ["mask", "cold", "mask and temperature"])
def test_masks_and_temperatures(name, dtype, option):
    """Lengths from 0 to 200, in order and mixed, and long ones of one piece and of several."""
    rng = np.random.default_rng(3)
    lengths = [*range(201), *rng.integers(0, 100, 50), 5000, 3, *rng.integers(0, 9, 50)]
    indptr = pointers(lengths)
    for tail in [(), (3,)]:
        arrays = arguments(name, (indptr[-1], *tail), dtype, special=0.002)
        kwargs = OPTIONS[option](arrays[0].shape)
        assert_same(
            call(name, arrays, indptr, **kwargs), one_by_one(name, arrays, indptr, **kwargs), f"tail {tail}"
        )


@every_option
@every_function
@pytest.mark.parametrize("beside", [17, 256, 300])
def test_masks_of_many_rows_in_a_segment(name, option, beside):
    indptr = pointers([3, 0, 1, 40, 80, 81, 2, 2, 5, 1])
    arrays = arguments(name, (indptr[-1], beside), np.float32)
    kwargs = option(arrays[0].shape)
    assert_same(call(name, arrays, indptr, **kwargs), one_by_one(name, arrays, indptr, **kwargs))


@every_type
@every_function
def test_what_is_hidden_does_no_harm(name, dtype):
    indptr = pointers([*range(1, 100), *range(100, 1, -1), 5000])
    arrays = arguments(name, (indptr[-1], 2), dtype, special=0)
    where = mask(arrays[0].shape)
    want = call(name, arrays, indptr, where=where)
    for value in (np.nan, np.inf, -np.inf, 3e38):
        spoilt = [np.where(where, a, dtype(value)) for a in arrays]
        assert_same(call(name, spoilt, indptr, where=where), want)


@every_option
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@every_function
def test_half_types(name, dtype, option):
    dtype = np.dtype(getattr(pytest.importorskip("ml_dtypes"), dtype) if dtype == "bfloat16" else dtype)
    indptr = pointers([*range(1, 120), 7, 0, 3, 5000, *range(30)])
    for tail in [(), (4,)]:
        arrays = arguments(name, (indptr[-1], *tail), np.float32, special=0.002)
        with np.errstate(all="ignore"):
            arrays = [a.astype(dtype) for a in arrays]
        kwargs = option(arrays[0].shape)
        assert_same(call(name, arrays, indptr, **kwargs), one_by_one(name, arrays, indptr, **kwargs))


@every_function
def test_masks_in_every_layout(name):
    indptr = pointers([4, 4, 0, 1, 9, 80, 100, 4, 3000])
    for tail in [(), (4,), (2, 3)]:
        arrays = arguments(name, (indptr[-1], *tail), np.float64)
        where = mask(arrays[0].shape)
        want = one_by_one(name, arrays, indptr, where=where)
        strange = where.T.copy().T, where[::-1].copy()[::-1], np.repeat(where, 2, axis=-1)[..., ::2]
        for other in strange:
            assert_same(call(name, arrays, indptr, where=other), want)
        turned = [np.asfortranarray(a) for a in arrays]
        assert_same(np.ascontiguousarray(call(name, turned, indptr, where=where)), want)


@every_function
def test_out_may_be_the_mask(name):
    """Not the same array, as its type is another; but the same memory."""
    indptr = pointers([5] * 30 + [100, 7])
    arrays = arguments(name, (indptr[-1],), np.float64)
    where = mask(arrays[0].shape)
    want = one_by_one(name, arrays, indptr, where=where)
    memory = np.zeros(len(where))
    shared = memory.view(bool)[: len(where)]
    shared[:] = where
    out = memory[: len(want)]
    call(name, arrays, indptr, where=shared, out=out)
    assert_same(out, want)


def test_second_name():
    indptr = pointers([3, 0, 90, 5])
    y, v = arguments("softmax_vjp", (98, 2), np.float32)
    want = softmax_ext.segment_softmax_vjp(y, v, indptr, where=v > -1, temperature=0.7)
    assert_same(softmax_ext.segment_softmax_jvp(y, v, indptr, where=v > -1, temperature=0.7), want)
    with pytest.raises(ValueError, match=r"^v: "):
        softmax_ext.segment_softmax_jvp(y, v[:3], indptr)


@every_type
def test_logsumexp_of_empty_segments(dtype):
    for indptr in ([0, 0, 2, 2, 2, 3, 3], [0, 0], [0]):
        x = np.arange(indptr[-1]).astype(dtype)
        got = softmax_ext.segment_logsumexp(x, indptr)
        assert_same(got, one_by_one("logsumexp", [x], indptr))
        assert (got[np.diff(indptr) == 0] == -np.inf).all()
        out = np.full((len(indptr) - 1, 2), 7.0)
        softmax_ext.segment_logsumexp(np.stack([x, x], 1), indptr, out=out)
        assert_array_equal(out, np.stack([got, got], 1))
    assert softmax_ext.segment_logsumexp(np.empty((3, 0)), [0, 1, 3]).shape == (2, 0)


def test_logsumexp_into_its_input():
    x = arguments("logsumexp", (500,), np.float64)[0]
    indptr = pointers([2] * 245 + [10])
    want = one_by_one("logsumexp", [x], indptr)
    for start in (0, 1, 100):
        memory = x.copy()
        out = memory[start : start + len(want)]
        softmax_ext.segment_logsumexp(memory, indptr, out=out)
        assert_same(out, want)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_double_backward(temperature):
    """segment_softmax_vjp is bilinear in g and quadratic in y; its derivative along v goes by way of the JVP."""
    indptr = pointers([3, 5, 1, 90, 4])
    rng = np.random.default_rng(0)
    x, v, g = rng.normal(size=(3, indptr[-1]))
    kwargs = {"temperature": temperature}

    def gradient(x):
        return softmax_ext.segment_softmax_vjp(segment_softmax(x, indptr, **kwargs), g, indptr, **kwargs)

    y = segment_softmax(x, indptr, **kwargs)
    dy = softmax_ext.segment_softmax_jvp(y, v, indptr, **kwargs)
    sums = np.repeat(np.add.reduceat(y * g, indptr[:-1]), np.diff(indptr))
    sums_of_dy = np.repeat(np.add.reduceat(dy * g, indptr[:-1]), np.diff(indptr))
    got = (dy * (g - sums) - y * sums_of_dy) / temperature
    h = 1e-6
    want = (gradient(x + h * v) - gradient(x - h * v)) / (2 * h)
    assert_allclose(got, want, atol=1e-9)


@every_type
@every_function
@pytest.mark.parametrize("beside", [15, 16, 17, 100, 128, 129, 255, 256, 257, 600])
def test_many_rows_in_a_segment(name, dtype, beside):
    """Up to 256 of them share a window, more do not."""
    indptr = pointers([3, 0, 1, 40, 80, 81, 2, 2, 5])
    arrays = arguments(name, (indptr[-1], beside), dtype)
    assert_same(call(name, arrays, indptr), one_by_one(name, arrays, indptr))


@every_level
@every_type
@every_function
@pytest.mark.parametrize("special", SPECIAL, ids=str)
def test_special_values_stay_in_their_segment(name, dtype, special):
    """Each has a segment of its own kind beside ordinary ones, of other lengths, in one window or strip."""
    lengths = [n for n in (1, 2, 3, 4, 5, 7, 8, 9, 30) for _ in range(9)]
    indptr = pointers(lengths + list(np.random.default_rng(2).permutation(lengths)))
    arrays = arguments(name, (indptr[-1],), dtype, special=0)
    rng = np.random.default_rng(1)
    for start, end in itertools.islice(itertools.pairwise(indptr), 0, None, 3):
        for a in arrays:
            with np.errstate(over="ignore"):
                a[rng.integers(start, end)] = special
    for start, end in itertools.islice(itertools.pairwise(indptr), 1, None, 6):
        arrays[0][start:end] = -np.inf
    assert_same(call(name, arrays, indptr), one_by_one(name, arrays, indptr))


@every_type
@every_function
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout(name, dtype, layout):
    for tail in [(), (4,), (2, 3)]:
        indptr = pointers([4, 4, 0, 1, 9, 80, 100, 4, 3000])
        arrays = arguments(name, (indptr[-1], *tail), dtype)
        strange = [LAYOUTS[layout](a) for a in arrays]
        want = one_by_one(name, arrays, indptr)
        got = call(name, strange, indptr)
        assert got.dtype.isnative
        assert_same(np.ascontiguousarray(got), want)
        assert_same(np.ascontiguousarray(call(name, [*strange[:1], *arrays[1:]], indptr)), want)
        out = LAYOUTS[layout](np.zeros_like(want))
        assert call(name, arrays, indptr, out=out) is out
        assert_same(np.ascontiguousarray(out.astype(dtype)), want)


@every_function
@pytest.mark.parametrize("shift", [0, 1, 5, -1, -5])
def test_out_may_overlap_an_input(name, shift):
    indptr = pointers([5] * 300 + [0, 100, 7, 3, 12, 5000] + [5] * 50)
    arrays = arguments(name, (indptr[-1],), np.float64)
    want = one_by_one(name, arrays, indptr)
    size = len(arrays[0])
    for victim in range(len(arrays)):
        buffer = np.zeros(size + 10)
        mixed = list(arrays)
        mixed[victim] = buffer[5 : 5 + size]
        mixed[victim][:] = arrays[victim]
        out = buffer[5 + shift : 5 + shift + len(want)]
        call(name, mixed, indptr, out=out)
        assert_same(out, want)


RAGGED = {
    "one giant among many small ones": [5] * 20_000 + [400_001] + [0, 7, 2] * 10_000,
    "few giants": [150_000, 0, 100_001, 90_000, 3],
    "giants alone": [300_000],
    "of moderate length": [3000] * 70,
    "many small ones": [*range(12)] * 6000,
    "empty ones by the hundred thousand": [0] * 300_000 + [5] * 20_000 + [0] * 100_000 + [70_000],
}


def test_a_short_segment_for_all_threads_is_done_once(threads):
    """It fits into a window, but has so many columns that all threads do it. In place, a second time would be seen."""
    threads(2)
    x, indptr = np.random.default_rng(0).normal(size=(92, 256)), [0, 80, 85, 92]
    want = segment_softmax(x, indptr)
    assert segment_softmax(x, indptr, out=x) is x
    assert_same(x, want)


@every_type
@every_function
@pytest.mark.parametrize("lengths", RAGGED.values(), ids=list(RAGGED))
def test_any_number_of_threads(name, dtype, lengths, threads):
    indptr = pointers(lengths)
    arrays = arguments(name, (indptr[-1],), dtype, special=1e-5)
    threads(1)
    want = call(name, arrays, indptr)
    for k, (start, end) in enumerate(itertools.pairwise(indptr)):  # long ones, and a few of the others
        if end - start > 1000 or (end > start and start % 997 == 0):
            here = slice(start, end) if OPERATIONS[name].elementwise else slice(k, k + 1)
            assert_same(want[here], one_by_one(name, [a[start:end] for a in arrays], [0, end - start]))
    for count in (2, 3, 5):
        threads(count)
        assert_same(call(name, arrays, indptr), want, f"{count} threads")


@every_function
@pytest.mark.parametrize("options", [{}, {"where": True, "temperature": 2.0}], ids=["plain", "masked"])
def test_threads_and_trailing_axes(name, options, threads):
    indptr = pointers([5] * 3000 + [40_000] + [90, 3, 0, 200] * 50)
    arrays = arguments(name, (indptr[-1], 8), np.float32)
    if options:
        options = options | {"where": mask(arrays[0].shape)}
    threads(1)
    want = call(name, arrays, indptr, **options)
    assert_same(want, one_by_one(name, arrays, indptr, **options))
    for count in (2, 4):
        threads(count)
        assert_same(call(name, arrays, indptr, **options), want, f"{count} threads")
        turned = [np.asfortranarray(a) for a in arrays]
        got = np.ascontiguousarray(call(name, turned, indptr, **options))
        assert_same(got, want, f"{count} threads, Fortran")


# Against the reference, on whatever hypothesis comes up with ---------------------------------------

# Compiling nothing and waiting for nothing, examples still take long on a busy machine: no deadline.
several = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
types = st.sampled_from(["f4", "f8", ">f4", ">f8", "i1", "u2", "i8", "?"])


@st.composite
def problems(draw):
    """Return the lengths of segments, and an array of as many elements, with trailing axes and strides."""
    few = st.lists(st.integers(0, 12) | st.integers(60, 130), max_size=30)
    many = st.builds(lambda n, k: [n] * k, st.integers(0, 9), st.integers(0, 300))
    lengths = draw(few | many | st.builds(lambda a, b, c: a + b + c, few, many, few))
    tail = draw(hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    dtype = np.dtype(draw(types))
    x = rng.normal(size=(sum(lengths), *tail)) * draw(st.sampled_from([0, 1e-3, 1, 30, 100]))
    x = x.astype(dtype)
    layout = draw(st.sampled_from(list(LAYOUTS.values())))
    index = draw(st.sampled_from(["i1", "u1", "i2", ">i4", "i4", "u4", "i8", ">u8", "u8"]))
    indptr = pointers(lengths)
    indptr = indptr.astype(index if indptr[-1] <= np.iinfo(index).max else "i8")
    return (layout(x) if x.size else x), (indptr if draw(st.booleans()) else indptr.tolist())


def assert_close(got, want):
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    # 2 ULP, or 4 u of terms of a few units; accuracy itself is the subject of test_accuracy.py.
    eps = np.finfo(want.dtype).eps
    assert_allclose(got, want, rtol=4 * eps, atol=300 * eps)


@st.composite
def options_of(draw, shape):
    """Return some of the keywords: a mask that broadcasts to the shape, and a temperature."""
    options = {}
    if draw(st.booleans()):
        part = draw(
            st.sampled_from([shape, shape[1:], (1,) * len(shape), (shape[0], *[1] * (len(shape) - 1)), ()])
        )
        rng = np.random.default_rng(draw(st.integers(0, 99)))
        where = rng.random(part) < draw(st.sampled_from([0.1, 0.5, 0.95]))
        options["where"] = np.asfortranarray(where) if draw(st.booleans()) else where
    if draw(st.booleans()):
        options["temperature"] = draw(st.sampled_from([0.25, 0.9, 1.0, 2.0, 1e3]))
    return options


@several
@given(problems(), st.sampled_from(MAPS), st.data())
def test_maps_as_the_reference(problem, name, data):
    x, indptr = problem
    kept = x.tobytes()
    options = data.draw(options_of(x.shape))
    got = call(name, (x,), indptr, **options)
    assert_close(got, getattr(_reference, f"segment_{name}")(x, indptr, **options))
    assert x.tobytes() == kept
    own = x if x.dtype.kind == "f" else x.astype(float)
    assert_same(np.ascontiguousarray(got), one_by_one(name, [own.astype(got.dtype)], indptr, **options))


@several
@given(problems(), st.sampled_from(DERIVATIVES), st.sampled_from(["f4", "f8", "i2"]), st.data())
def test_products_as_the_reference(problem, name, g_type, data):
    x, indptr = problem
    y = getattr(_reference, f"segment_{OPERATIONS[name].forward}")(x, indptr)
    part = data.draw(st.sampled_from([x.shape, x.shape[1:], (1,) * x.ndim, ()]))
    g = (np.random.default_rng(0).normal(size=part) * 3).astype(g_type)
    options = data.draw(options_of(x.shape))
    got = call(name, (y, g), indptr, **options)
    assert_close(got, getattr(_reference, f"segment_{name}")(y, g, indptr, **options))
    full = [np.ascontiguousarray(np.broadcast_to(a, y.shape), got.dtype) for a in (y, g)]
    assert_same(np.ascontiguousarray(got), one_by_one(name, full, indptr, **options))


def test_rows_of_a_sparse_matrix():
    sparse = pytest.importorskip("scipy.sparse")
    matrix = sparse.random_array((200, 60), density=0.1, format="csr", rng=np.random.default_rng(0))
    dense = np.where(matrix.toarray() != 0, matrix.toarray(), -np.inf)
    got = sparse.csr_array((segment_softmax(matrix.data, matrix.indptr), matrix.indices, matrix.indptr))
    filled = np.diff(matrix.indptr) > 0
    assert_allclose(got.toarray()[filled], softmax_ext.softmax(dense[filled]), rtol=1e-15)
    assert (got.toarray()[~filled] == 0).all()


# Refused ------------------------------------------------------------------------------------------

BAD = {
    "no integers": [0.0, 2.0, 6.0],
    "bool": np.array([False, True]),
    "object": np.array([0, 6], object),
    "strings": ["0", "6"],
    "complex": np.array([0, 6], complex),
    "None": None,
    "ragged itself": [[0], [1, 6]],
    "masked": np.ma.array([0, 2, 6], mask=[0, 1, 0]),
    "empty": np.array([], int),
    "a number": 6,
    "two dimensions": [[0, 6]],
    "not from 0": [1, 6],
    "from below 0": [-1, 6],
    "not to the end": [0, 2, 5],
    "beyond the end": [0, 7],
    "only a start": [0],
    "falling": [0, 4, 3, 6],
    "beyond, and back": [0, 100, 6],
    "below, and back": [0, -5, 6],
    "huge, and back": np.array([0, 2**64 - 1, 6], np.uint64),
}


@every_function
@pytest.mark.parametrize("indptr", BAD.values(), ids=list(BAD))
def test_bad_indptr_is_refused_before_anything_is_written(name, indptr):
    arrays = arguments(name, (6,), np.float64)
    out = np.full(6, 7.0)
    with pytest.raises(ValueError, match="indptr") as caught:
        call(name, arrays, indptr, out=out)
    assert "expected" in str(caught.value)
    assert (out == 7).all()


@pytest.mark.parametrize(
    ("indptr", "parts"),
    [
        ([0.0, 6.0], ["float64", "integers"]),
        ([[0, 6]], [(1, 2), "one dimension"]),
        ([2, 6], ["got 2", "position 0", "from 0"]),
        ([0, 5], ["got 5", "end", "length 6"]),
        ([0, 4, 3, 6], ["got 4, then 3", "position 2", "never decrease"]),
        (np.array([0, 2**64 - 1, 6], np.uint64), [2**64 - 1, "then 6", "position 2"]),
    ],
)
def test_message_says_what_came_and_what_was_wanted(indptr, parts):
    with pytest.raises(ValueError, match=r"^indptr: ") as caught:
        segment_softmax(np.zeros(6), indptr)
    for part in map(str, parts):
        assert part in str(caught.value)
    with pytest.raises(ValueError, match="y's length 6"):
        segment_softmax_vjp(np.zeros(6), np.zeros(6), [0, 7])


@every_function
def test_other_bad_arguments_are_refused(name):
    indptr = [0, 2, 6]

    def run(x, **kwargs):
        return call(name, (x,) if name in MAPS else (x, np.float64(1)), indptr, **kwargs)

    first = f"^{OPERATIONS[name].arguments[0]}: "
    with pytest.raises(ValueError, match=first + "got a 0-d array"):
        run(1.0)
    for x in (np.zeros(6, complex), np.zeros(6, np.longdouble), np.ma.zeros(6), ["a"] * 6):
        if getattr(x, "dtype", None) != np.float64 or isinstance(x, np.ma.MaskedArray):
            with pytest.raises(TypeError, match=first):
                run(x)
    with pytest.raises(ValueError, match=r"^out: got shape \(5,\)"):
        run(np.zeros(6), out=np.zeros(5))
    with pytest.raises(TypeError, match=r"^out: "):
        run(np.zeros(6), out=np.zeros(6 if OPERATIONS[name].elementwise else 2, int))
    with pytest.raises(ValueError, match=r"^where: got shape \(5,\)"):
        run(np.zeros(6), where=np.ones(5, bool))
    with pytest.raises(TypeError, match=r"^where: "):
        run(np.zeros(6), where=np.ones(6))
    with pytest.raises(ValueError, match=r"^temperature: "):
        run(np.zeros(6), temperature=0.0)
    with pytest.raises(TypeError, match=r"^temperature: "):
        run(np.zeros(6), temperature="1")
    if name in DERIVATIVES:
        second = OPERATIONS[name].arguments[1]
        with pytest.raises(ValueError, match=f"^{second}: "):
            call(name, (np.zeros(6), np.zeros(5)), indptr)


def test_no_elements():
    for indptr in ([0], [0, 0, 0], np.zeros(4, np.uint8)):
        for shape in ((0,), (0, 3)):
            got = segment_softmax(np.empty(shape, np.float32), indptr)
            assert got.shape == shape
            assert got.dtype == np.float32
    assert segment_log_softmax(np.empty((6, 0)), [0, 2, 6]).shape == (6, 0)


def test_lists_and_any_strides_of_indptr():
    want = segment_softmax(np.arange(6.0), [0, 2, 3, 6])
    assert_array_equal(segment_softmax(range(6), (0, 2, 3, 6)), want)
    indptr = np.array([0, 9, 2, 9, 3, 9, 6])
    assert_array_equal(segment_softmax(np.arange(6.0), indptr[::2]), want)
    assert_array_equal(segment_softmax(np.arange(6.0), np.array([6, 3, 2, 0], ">i2")[::-1]), want)
