"""float16 and bfloat16 (contract 1.2): read as they are, computed in float32, rounded once."""

import numpy as np
import operations
import pytest
from layouts import LAYOUTS
from numpy.testing import assert_array_equal

import softmax_ext
from softmax_ext import (
    _core,
    _reference,
    log_softmax,
    log_softmax_jvp,
    logsumexp,
    softmax,
    softmax_jacobian,
    softmax_vjp,
)

F16 = np.dtype(np.float16)
try:
    import ml_dtypes

    BF16 = np.dtype(ml_dtypes.bfloat16)
    HALVES = [F16, BF16]
except ImportError:  # an optional package
    HALVES = [F16]

MAPS, DERIVATIVES, FUNCTIONS = operations.MAPS, operations.DERIVATIVES, operations.FUNCTIONS
OPERATIONS = operations.OPERATIONS
SHAPES = [(1, 1), (9, 3), (64, 10), (5, 70), (20, 81), (7, 300), (2, 4097), (3, 9000), (3, 40, 2), (40, 3, 7)]

every_function = pytest.mark.parametrize("name", FUNCTIONS)
every_half = pytest.mark.parametrize("half", HALVES, ids=str)
needs_bfloat16 = pytest.mark.skipif(len(HALVES) == 1, reason="ml_dtypes is not installed")


def from_bits(bits, half):
    return np.asarray(bits, np.uint16).view(half)


def every_number(half):
    return from_bits(np.arange(1 << 16), half)


def cast(x, dtype):
    """NumPy's (and ml_dtypes') own conversion, which rounds to nearest, ties to even."""
    with np.errstate(all="ignore"):
        return np.asarray(x).astype(dtype)


def inputs(name, shape, half, seed=0):
    """Return x, or y and a vector."""
    return OPERATIONS[name].inputs(shape, half, seed)


def call(name, arrays, axis=-1, **kwargs):
    return np.asarray(getattr(softmax_ext, name)(*arrays, axis, **kwargs))


def singles(arrays):
    return [cast(a, np.float32) for a in arrays]


def assert_same(got, want, what=""):
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    if np.ascontiguousarray(got).tobytes() != np.ascontiguousarray(want).tobytes():
        differ = np.atleast_1d(np.asarray(got).view(f"u{got.itemsize}") != want.view(f"u{got.itemsize}"))
        pytest.fail(
            f"{np.count_nonzero(differ)} of {got.size} elements differ, at {np.argwhere(differ)[:3]} {what}"
        )


# Computed in float32, rounded once ----------------------------------------------------------------


@every_half
@every_function
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_result_is_that_of_float32_rounded(name, shape, half, isa):
    arrays = inputs(name, shape, half)
    for axis in (-1, 0, None, len(shape) // 2, (0, len(shape) - 1)):
        want = cast(call(name, singles(arrays), axis), half)
        assert_same(call(name, arrays, axis), want, f"axis {axis}")


@every_half
@every_function
def test_layouts(name, half, isa):
    for shape in [(9, 10), (20, 33), (3, 130), (33, 5), (2, 4100)]:
        arrays = inputs(name, shape, half)
        for axis in (-1, 0, None):
            want = cast(call(name, singles(arrays), axis), half)
            for how, layout in LAYOUTS.items():
                strange = [layout(a) for a in arrays]
                assert_same(call(name, strange, axis), want, how)
                assert_same(call(name, [*strange[:1], *arrays[1:]], axis), want, how)
                if want.ndim:
                    out = layout(np.zeros_like(want))
                    assert call(name, arrays, axis, out=out) is out
                    assert_same(np.array(out, half), want, how)


@every_half
@every_function
def test_masks(name, half, isa):
    for shape in [(9, 10), (20, 33), (3, 130), (2, 4100)]:
        arrays = inputs(name, shape, half)
        rng = np.random.default_rng(0)
        for where in (rng.random(shape) < 0.6, rng.random(shape[1]) < 0.6, rng.random((shape[0], 1)) < 0.6):
            full = np.broadcast_to(where, shape)
            spoilt = [np.where(full, a, half.type(np.nan)).astype(half) for a in arrays]
            for axis in (-1, 0):
                want = cast(call(name, singles(spoilt), axis, where=where), half)
                assert_same(call(name, spoilt, axis, where=where), want)
                for layout in LAYOUTS.values():
                    assert_same(call(name, [layout(a) for a in spoilt], axis, where=where), want)


@every_half
def test_every_number_is_read_right(half, isa):
    """NaN, infinities and subnormal numbers among them; logsumexp of one number is that number."""
    x = every_number(half)
    got = logsumexp(x[:, None], dtype=np.float32)
    assert_array_equal(got, cast(x, np.float32))
    # Also through long rows, and rows side by side: where y is -inf, a product with the Jacobian is the vector.
    single = cast(x, np.float32)
    v = x[np.isfinite(single)]
    for shape, order in (((2, -1), "C"), ((-1, 2), "F"), ((-1, 7), "C")):
        rows = v[: v.size // 14 * 14].reshape(shape, order=order)
        got = log_softmax_jvp(np.full(rows.shape, -np.inf, np.float32), rows)
        assert_array_equal(got, cast(rows, np.float32))


@every_half
def test_every_number_is_written_right(half, isa):
    """Those of 16 bits, those halfway between two, and those a bit to the side; beyond the range, infinity."""
    bits = cast(every_number(half), np.float32)
    bits = bits[np.isfinite(bits)].view(np.uint32)
    some = np.concatenate(
        [bits + np.uint32(d) for d in (0, 0x0FFF, 0x1000, 0x1001, 0x7FFF, 0x8000, 0x8001, 1)]
    )
    tiny = np.arange(0, 1 << 24, 4093, dtype=np.uint32)  # what float32 has below both types' numbers
    x = np.concatenate([some, tiny, tiny | np.uint32(1 << 31)]).view(np.float32)
    x = np.concatenate(
        [x[np.isfinite(x)], np.float32([65519.996, 65520, -65520, 3.4e38, np.inf, -np.inf, np.nan])]
    )
    want = cast(x, half)
    out = np.empty(x.shape, half)
    assert logsumexp(x[:, None], out=out) is out
    assert_array_equal(np.isnan(out), np.isnan(want))
    number = ~np.isnan(want) & (x != 0)  # log of exp(-0) is +0
    assert_array_equal(out.view(np.uint16)[number], want.view(np.uint16)[number])
    # Long rows, and rows side by side: where y is -inf, a product with the Jacobian is the vector.
    for shape, order in (((2, -1), "C"), ((-1, 2), "F"), ((-1, 7), "C")):
        v = x[np.isfinite(x)]
        v = v[: v.size // 14 * 14].reshape(shape, order=order)
        out = np.empty(v.shape, half, order=order)
        log_softmax_jvp(np.full_like(v, -np.inf), v, out=out)
        assert_array_equal(out.view(np.uint16)[v != 0], cast(v, half).view(np.uint16)[v != 0])


@every_half
def test_accuracy(half, isa):
    """Within half a unit of the true value, and what two units of float32 add to that."""
    digits, smallest = (11, 2.0**-24) if half == F16 else (8, 2.0**-133)
    rng = np.random.default_rng(0)
    for n in (3, 10, 100, 5000):
        x = cast(rng.normal(size=(5, n)) * np.array([0.1, 1, 5, 10, 20])[:, None], half)
        for name in MAPS:
            truth = getattr(_reference, name)(cast(x, np.longdouble))
            unit = np.maximum(np.ldexp(1.0, np.frexp(truth)[1] - digits), smallest)
            scale = np.maximum(
                np.abs(truth), np.abs(x).astype(float).max() if OPERATIONS[name].measure == "row" else 0
            )
            bound = 0.5 * unit + 2 * np.spacing(scale.astype(np.float32))
            assert (np.abs(call(name, [x]).astype(np.longdouble) - truth) <= bound).all(), (name, n)


@every_half
@every_function
def test_reference(name, half):
    arrays = inputs(name, (9, 30), half)
    where = np.random.default_rng(0).random((9, 30)) < 0.7
    eps = float(np.finfo(half).eps if half == F16 else ml_dtypes.finfo(half).eps)
    for kwargs in ({}, {"where": where}):
        got, want = call(name, arrays, **kwargs), getattr(_reference, name)(*arrays, **kwargs)
        assert got.dtype == want.dtype == half
        # Both round the same value, but for some units of float32: they are the same or neighbours.
        np.testing.assert_allclose(got.astype(float), want.astype(float), rtol=eps, atol=1e-6)


# Values -------------------------------------------------------------------------------------------


@every_half
def test_70_000_zeros(half):
    """A sum in float16 would be infinite beyond 65504, one in bfloat16 end at 256."""
    x = np.zeros(70_000, half)
    got = log_softmax(x)
    assert got.dtype == half
    assert_array_equal(got, cast(np.full(70_000, -np.log(70_000)), half))
    assert round(float(log_softmax(x, dtype=np.float32)[0]), 2) == -11.16
    assert logsumexp(x) == cast(np.log(70_000), half)


@every_half
def test_special_values(half, isa):
    rows = [[np.nan, 1, 2], [1, np.inf, 2], [-np.inf] * 3, [0, -np.inf, 0], [1, 1, 1]]
    for n in (1, 30, 500):
        x = cast(np.tile(rows, (1, n)), half)
        for name in MAPS:
            for axis, array in ((-1, x), (0, x.T.copy())):
                got = call(name, [array], axis).astype(np.float32)
                assert_array_equal(
                    got, cast(call(name, [singles([array])[0]], axis), half).astype(np.float32)
                )
        assert np.isnan(softmax(x)[:3].astype(float)).all()
        assert_array_equal(logsumexp(x)[:3].astype(float), [np.nan, np.inf, -np.inf])
        assert_array_equal(softmax(x)[3, 1::3].astype(float), 0)


def test_one_nan_from_all_levels():
    levels = softmax_ext.show_config(mode="dicts")["isa_available"]
    former = softmax_ext._core._set_isa(levels[0])
    try:
        for half, quiet in zip(HALVES, (0x7E00, 0x7FC0), strict=False):
            numbers = every_number(half)
            nans = numbers[np.isnan(numbers.astype(np.float32))]
            for level in levels:
                softmax_ext._core._set_isa(level)
                for x in (nans[:, None], nans[None, :]):
                    for name in FUNCTIONS:
                        got = call(name, [x] * len(OPERATIONS[name].arguments))
                        assert (got.view(np.uint16) == quiet).all(), (level, name)
    finally:
        softmax_ext._core._set_isa(former)


@every_half
@every_function
def test_the_same_bits_from_every_level(name, half):
    levels = softmax_ext.show_config(mode="dicts")["isa_available"]
    former = softmax_ext._core._set_isa(levels[0])
    try:
        for n in (1, 2, 3, 7, 10, 31, 64, 65, 100, 257, 4097):
            arrays = inputs(name, (37, n), half)
            softmax_ext._core._set_isa(levels[0])
            want = [call(name, arrays, axis) for axis in (-1, 0)]
            for level in levels[1:]:
                softmax_ext._core._set_isa(level)
                for axis in (-1, 0):
                    assert_same(call(name, arrays, axis), want[axis + 1], f"{level}, length {n}")
    finally:
        softmax_ext._core._set_isa(former)


@every_half
@pytest.mark.parametrize("name", ["softmax_vjp", "log_softmax_vjp"])
def test_rows_that_need_care_are_the_same_alone(name, half, isa):
    y, g = (np.array(array) for array in inputs(name, (37, 300), half))
    largest = np.array(3e38 if half != F16 else 6e4).astype(half)
    g[3, 5], g[7, 1], y[6, 2], g[9], y[12] = np.inf, np.nan, np.nan, largest, 0
    alone = [call(name, (y[row], g[row])) for row in range(37)]
    assert_same(call(name, (y, g)), np.stack(alone))


@every_half
def test_any_number_of_threads(half, threads):
    for shape in [(1, 400_003), (2000, 101), (100_003, 3), (40, 5000)]:
        for name in ("softmax", "logsumexp", "log_softmax_vjp"):
            arrays = inputs(name, shape, half)
            threads(1)
            want = call(name, arrays)
            for count in (2, 3):
                threads(count)
                assert_same(call(name, arrays), want, f"{count} threads")


@every_half
def test_no_warning(half, isa):
    x = every_number(half)
    with np.errstate(all="raise"):
        for array in (x, x.reshape(256, 256), x[:, None]):
            for name in FUNCTIONS:
                call(name, [array] * len(OPERATIONS[name].arguments))
        softmax(x, dtype=np.float64)
        softmax(x.astype(float), dtype=half) if half == F16 else None
        softmax_jacobian(x[:5])


# Types --------------------------------------------------------------------------------------------


@every_half
@pytest.mark.parametrize("name", MAPS)
def test_dtype_and_out(name, half):
    x = inputs(name, (7, 30), half)[0]
    single = call(name, singles([x]))
    assert_same(call(name, [x], dtype=np.float32), single)
    assert_same(call(name, [x], dtype=half), cast(single, half))
    assert_same(call(name, [x], dtype=np.float64), call(name, [cast(x, np.float64)]))
    assert_same(call(name, singles([x]), dtype=half), cast(single, half))
    assert_same(call(name, [cast(x, np.float64)], dtype=half), cast(call(name, [cast(x, np.float64)]), half))
    # What was computed in float32 is rounded to the type of out, once.
    for dtype in (*HALVES, np.dtype(np.float32), np.dtype(np.float64)):
        for array in (x, singles([x])[0]):
            out = np.zeros(single.shape, dtype)
            assert call(name, [array], out=out) is out
            assert_same(out, cast(single, dtype))


@every_half
@pytest.mark.parametrize("name", operations.ELEMENTWISE)
def test_in_place_and_overlapping(name, half, isa):
    for shape in [(9, 10), (33, 70), (5, 300), (2, 9000)]:
        arrays = inputs(name, shape, half)
        for axis in (-1, 0):
            want = call(name, arrays, axis)
            size = want.size
            for victim in range(len(arrays)):
                for shift in (0, 1, shape[1], -1):
                    buffer = np.zeros(size + 2 * shape[1], half)
                    buffer[shape[1] : shape[1] + size] = arrays[victim].ravel()
                    mixed = list(arrays)
                    mixed[victim] = buffer[shape[1] : shape[1] + size].reshape(shape)
                    out = buffer[shape[1] + shift : shape[1] + shift + size].reshape(shape)
                    call(name, mixed, axis, out=out)
                    assert_same(out, want, f"{shape}, axis {axis}, {shift}")


@pytest.mark.parametrize("name", DERIVATIVES)
def test_products_promote_as_numpy_does(name):
    def result(y, g):
        return call(name, [np.array([0, 1, 0]).astype(y), np.array([1, 0, 1]).astype(g)]).dtype

    for half in HALVES:
        assert result(half, half) == half
        for other in (np.float32, np.float64):
            assert result(half, other) == other
            assert result(other, half) == other
        for other in (np.int8, np.bool):  # which are float64 before anything else
            assert result(half, other) == np.float64
    assert result(F16.newbyteorder(), F16) == F16
    if len(HALVES) == 2:
        assert result(F16, BF16) == np.float32
        assert result(BF16, F16) == np.float32


@pytest.mark.parametrize("name", DERIVATIVES)
def test_two_types_in_one_call(name, isa):
    """Each is read as it is: the bits are those of both as float32."""
    for shape in [(9, 10), (3, 200)]:
        for axis in (-1, 0):
            for first in (*HALVES, np.dtype(np.float32)):
                for second in (*HALVES, np.dtype(np.float32), F16.newbyteorder()):
                    arrays = [
                        cast(a, t) for a, t in zip(inputs(name, shape, F16), (first, second), strict=True)
                    ]
                    got, want = call(name, arrays, axis), call(name, singles(arrays), axis)
                    assert_same(got, cast(want, got.dtype), (first, second))


@every_half
def test_scalars_and_empty_arrays(half):
    for name in MAPS:
        got = getattr(softmax_ext, name)(half.type(3))
        assert got.dtype == half
        assert np.shape(got) == ()
    assert logsumexp(np.empty(0, half)) == -np.inf
    assert logsumexp(np.empty((0, 3), half)).dtype == half
    assert softmax(np.empty((0, 3), half)).dtype == half
    assert softmax_vjp(np.empty((3, 0), half), np.empty((3, 0), half)).shape == (3, 0)


@every_half
def test_jacobian(half):
    y = cast([[0.2, 0.3, 0.5], [0.999, 0.0005, 0.0005]], half)
    want = cast(softmax_jacobian(cast(y, np.float32)), half)
    assert_same(softmax_jacobian(y), want)


@every_half
def test_jacobian_of_the_reference(half):
    y = cast([0.2, 0.3, 0.5], half)
    assert _reference.softmax_jacobian(y).dtype == half


def test_other_types_of_16_and_8_bits_are_refused():
    for array in (np.zeros(3, "V2"), np.zeros(3, [("a", "f2")])):
        with pytest.raises(TypeError, match=r"^x: .*float16, bfloat16"):
            softmax(array)


@needs_bfloat16
def test_other_types_of_ml_dtypes_are_refused():
    for name in ("float8_e4m3fn", "float8_e5m2", "int4"):
        with pytest.raises(TypeError, match=rf"^x: got {name}, expected float16, bfloat16"):
            softmax(np.zeros(3, getattr(ml_dtypes, name)))
        with pytest.raises(TypeError, match=r"^dtype: "):
            softmax(np.zeros(3), dtype=getattr(ml_dtypes, name))


def test_ml_dtypes_is_not_imported(python):
    code = "import sys, numpy, softmax_ext; softmax_ext.softmax(numpy.zeros(3, 'f2'))"
    assert python("-c", f"{code}; print('ml_dtypes' in sys.modules)").strip() == "False"


@needs_bfloat16
def test_jacobian_with_a_temperature_becomes_bfloat16_in_one_rounding():
    """The quotient lies just above the middle of two bfloat16, by less than float32 can tell."""
    y = np.array([0.5, 0.5], ml_dtypes.bfloat16)
    got = softmax_jacobian(y, temperature=1 / (1 + 2**-8 + 2**-40))
    assert_array_equal(got.astype(float), 0.25 * (1 + 2**-7) * np.array([[1, -1], [-1, 1]]))


def test_float64_becomes_bfloat16_in_one_rounding():
    """Numbers just beside the middle of two bfloat16, by less than float32 can tell."""
    ml_dtypes = pytest.importorskip("ml_dtypes")
    middle = np.array([1 + 2.0**-8, 1 + 3 * 2.0**-8, 2.0**-133 * 1.5, (1 - 2.0**-9) * 2.0**128])
    for beside, expected in (
        (middle * (1 + 2.0**-40), [1 + 2.0**-7, 1 + 2.0**-6, 2.0**-132, np.inf]),
        (middle * (1 - 2.0**-40), [1, 1 + 2.0**-7, 2.0**-133, 3.3895313892515355e38]),
        (middle, [1, 1 + 2.0**-6, 2.0**-132, np.inf]),
    ):
        assert_array_equal(_core._cast(beside, ml_dtypes.bfloat16).astype(float), expected)
        assert_array_equal(_core._cast(-beside, ml_dtypes.bfloat16).astype(float), np.negative(expected))
        out = np.empty(4, ml_dtypes.bfloat16)
        _core._copy_into(out, beside)
        assert_array_equal(out.astype(float), expected)
    special = _core._cast(np.array([np.nan, np.inf, -np.inf, -0.0, 1e-320]), ml_dtypes.bfloat16)
    assert_array_equal(special.astype(float), [np.nan, np.inf, -np.inf, -0.0, 0.0])
    # The same of results: by dtype=, by out=, and of segments.
    x = np.random.default_rng(0).normal(size=(50, 1000))
    for function in (softmax_ext.softmax, softmax_ext.log_softmax):
        want = _core._cast(function(x), ml_dtypes.bfloat16)
        assert_array_equal(function(x, dtype=ml_dtypes.bfloat16), want)
        assert_array_equal(function(x, out=np.empty_like(x, ml_dtypes.bfloat16)), want)


@every_half
@pytest.mark.parametrize("shape", [(1, 1), (9, 3), (130, 3), (64, 10), (20, 81), (3, 9000)], ids=str)
@pytest.mark.parametrize("kind", ["labels", "probabilities", "smoothed"])
def test_losses_are_those_of_float32_rounded_once(half, shape, kind):
    rng = np.random.default_rng(3)
    x, q = (3 * rng.normal(size=shape)).astype(half), rng.uniform(size=shape)
    q = (q / q.sum(axis=1, keepdims=True)).astype(half)
    labels = q if kind == "probabilities" else rng.integers(shape[1], size=shape[0])
    keywords = {"label_smoothing": 0.25, "weight": rng.uniform(size=shape[1])} if kind == "smoothed" else {}
    wide = labels.astype(np.float32) if kind == "probabilities" else labels
    want, gradient = softmax_ext.cross_entropy_with_grad(x.astype(np.float32), wide, **keywords)
    for axis, layout in ((-1, np.ascontiguousarray), (0, lambda a: np.ascontiguousarray(a.T))):
        given = layout(labels) if kind == "probabilities" else labels
        out = layout(x).copy()
        for got, to in (
            (softmax_ext.cross_entropy_with_grad(layout(x), given, axis, **keywords), None),
            (softmax_ext.cross_entropy_with_grad(out, given, axis, out=out, **keywords), out),
        ):
            assert to is None or got[1] is to
            assert got[0].dtype == got[1].dtype == half
            assert_array_equal(got[0], want.astype(half))
            assert_array_equal(np.moveaxis(got[1], axis, -1), gradient.astype(half))


def test_a_gradient_that_only_float16_makes_infinite_is_float32s_rounded():
    """The row of an infinite loss is computed again in float64 where float32's gradient is out of range, not else."""
    rng = np.random.default_rng(80)
    x, labels = (5 * rng.normal(size=(8, 257))).astype(np.float16), rng.integers(0, 257, 8)
    keywords = {
        "where": rng.random(x.shape) < 0.8,
        "label_smoothing": 0.1,
        "temperature": 0.5,
        "reduction": "sum",
    }
    keywords["sample_weight"] = 1e6 * rng.random(8)
    got = softmax_ext.cross_entropy_with_grad(x, labels, **keywords)[1]
    want = softmax_ext.cross_entropy_with_grad(x.astype(np.float32), labels, **keywords)[1]
    assert np.isinf(got).any()
    with np.errstate(over="ignore"):
        assert_array_equal(got, want.astype(np.float16))
