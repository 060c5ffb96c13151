"""Temperature: softmax and log_softmax of x / T, accurate as with the exact quotient, the same bits everywhere."""

import mpmath
import numpy as np
import operations
import pytest
from hypothesis import given
from hypothesis import strategies as st

import softmax_ext
from softmax_ext import _core, _reference, log_softmax, softmax

TYPES = [np.float32, np.float64]
TEMPERED = [
    operations.OPERATIONS[name]
    for name in operations.MAPS
    if operations.OPERATIONS[name].takes("temperature")
]
FUNCTIONS = [o.function for o in TEMPERED if o.elementwise]
ALL = [o.function for o in TEMPERED]
LEVELS = softmax_ext.show_config(mode="dicts")["isa_available"]
TEMPERATURES = [0.01, 0.1, 1 / 3, 0.7, 0.999, 1.1, 2.0, 3.0, 10.0, 1000.0, 1.0 + 2.0**-52]


def rows(shape, dtype, scale=3.0, seed=0):
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(dtype)


def ulps(name, x, y, temperature):
    """The errors of y in units in the last place of the true value, from 60 digits."""
    with mpmath.workdps(60):
        t = mpmath.mpf(temperature)
        q = [mpmath.mpf(float(v)) / t for v in x]
        top = max(q)
        first = q.index(top)
        others = mpmath.fsum(mpmath.exp(v - top) for i, v in enumerate(q) if i != first)
        if name == "softmax":
            truth = [mpmath.exp(v - top) / (1 + others) for v in q]
        elif name == "softmax_entropy":
            mean = mpmath.fsum(mpmath.exp(v - top) * (top - v) for v in q) / (1 + others)
            truth, y = [mpmath.log1p(others) + mean], [y]
        else:
            truth = [(v - top) - mpmath.log1p(others) for v in q]
        least = mpmath.mpf(float(np.finfo(x.dtype).smallest_subnormal))
        bits = np.finfo(x.dtype).nmant
        errors = []
        for value, found in zip(truth, y, strict=True):
            exponent = mpmath.floor(mpmath.log(abs(value), 2)) if value else 0
            unit = max(mpmath.mpf(2) ** (exponent - bits), least)
            errors.append(float(abs(value - mpmath.mpf(float(found))) / unit))
        return errors


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_within_2_ulp_of_the_exact_quotient(function, temperature, dtype):
    for seed, scale in enumerate([0.1, 3, 30, 1000]):
        for length in (2, 3, 10, 90):
            x = rows(length, dtype, scale, seed)
            worst = max(ulps(function.__name__, x, function(x, temperature=temperature), temperature))
            assert worst <= 2, (scale, length)


H = float.fromhex


@pytest.mark.parametrize(
    ("row", "temperature"),
    [
        (np.float32([H("-0x1.d00036p+10"), H("-0x1.ffa6cap+11")]), H("0x1.2d93ee3b6de6ep+10")),
        (np.float64([H("-0x1.bb6b37ac9a291p+22"), H("-0x1.1bdb5cd7e0790p+24")]), H("0x1.5a011dd973ddap+18")),
        (
            np.float32([H("0x1.b65b2ep+2"), H("0x1.7cd63cp+8"), H("-0x1.8cf172p+6")]),
            H("0x1.162261dcfd25cp+6"),
        ),
        (np.float32([0, -1.5, 2.25]), 1 + 2.0**-25),  # not 1, though its inverse is in float32
    ],
)
def test_log_softmax_rounds_once(row, temperature):
    """Neither x - max nor the difference of the quotient and the logarithm is rounded before the result is."""
    assert max(ulps("log_softmax", row, log_softmax(row, temperature=temperature), temperature)) <= 1


@pytest.mark.parametrize("dtype", TYPES)
def test_log_softmax_of_any_temperature(dtype):
    """What a search has found is 1.07 ULP; the rounding of x - max alone made 1.9 of such rows."""
    rng = np.random.default_rng(5)
    for _ in range(200):
        temperature = 2.0 ** rng.uniform(-3, 12)
        scale = temperature * 10 ** rng.uniform(-2, 1)
        x = (rng.normal(size=4) * scale + rng.normal() * temperature).astype(dtype)
        assert max(ulps("log_softmax", x, log_softmax(x, temperature=temperature), temperature)) <= 1.2


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_confident_row_keeps_its_digits(function, dtype):
    for gap in (5, 20, 60):
        x = np.array([0, -gap, -2 * gap], dtype)
        assert max(ulps(function.__name__, x, function(x, temperature=0.7), 0.7)) <= 2


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_entropy_within_its_bound_of_the_exact_quotient(temperature, dtype):
    """4 u of the result are 4 ULP just below a power of two, and 2 ULP just above one."""
    entropy = softmax_ext.softmax_entropy
    rows_of_a_kind = [
        rows(n, dtype, scale, seed) for seed, scale in enumerate([0.1, 3, 30]) for n in (2, 3, 90)
    ]
    confident = [np.array([0, -gap, -2 * gap], dtype) * dtype(temperature) for gap in (5, 20, 60)]
    far = [np.array([1e6, 1e6 - 1, 999_990], dtype), np.array([3e20, 3e20, 1], dtype)]
    long = [rows(9000, dtype, 3)]
    u = float(np.finfo(dtype).eps) / 2
    for x in rows_of_a_kind + confident + far + long:
        found = entropy(x, temperature=temperature)
        with mpmath.workdps(60):
            ulp = max(np.spacing(found), np.finfo(dtype).smallest_subnormal)
            (error,) = ulps("softmax_entropy", x, found, temperature)
            assert error * float(ulp) <= 4.01 * u * float(found) + 1.25 * float(
                np.finfo(dtype).smallest_subnormal
            )


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("exponent", [-40, -3, -1, 1, 5, 40])
def test_a_power_of_two_gives_the_bits_of_the_scaled_input(exponent, dtype):
    for shape in [(40, 2), (40, 3), (20, 17), (7, 100), (3, 1000), (2, 9000)]:
        x = rows(shape, dtype, 30, seed=shape[1]) * dtype(2.0**exponent)
        scaled = x * dtype(2.0**-exponent)
        for function in (softmax, softmax_ext.softmax_entropy):
            assert function(x, temperature=2.0**exponent).tobytes() == function(scaled).tobytes()


@pytest.mark.parametrize("dtype", [*TYPES, np.float16])
@pytest.mark.parametrize("function", ALL)
def test_1_is_the_default(function, dtype):
    x = rows((5, 300), dtype)
    for one in (1, 1.0, np.float32(1), np.int64(1), np.array(1.0)):
        assert function(x, temperature=one).tobytes() == function(x).tobytes()


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("function", ALL)
def test_same_bits_on_any_level_layout_and_number_of_threads(function, dtype, threads):
    x = rows((67, 2000), dtype, 40)
    short = x[:, :9].copy()
    expected, expected_short = function(x, temperature=0.37), function(short, temperature=0.37)
    expected_long = function(x.reshape(1, -1), temperature=0.37)
    for level in LEVELS:
        before = _core._set_isa(level)
        try:
            assert function(x, temperature=0.37).tobytes() == expected.tobytes()
            assert function(x.T, 0, temperature=0.37).T.tobytes() == expected.tobytes()
            assert function(np.asfortranarray(x), temperature=0.37).tobytes() == expected.tobytes()
            assert function(short, temperature=0.37).tobytes() == expected_short.tobytes()
            assert function(short.T.copy(), 0, temperature=0.37).T.tobytes() == expected_short.tobytes()
        finally:
            _core._set_isa(before)
    for n in (1, 2, 5):
        threads(n)
        assert function(x, temperature=0.37).tobytes() == expected.tobytes()
        assert function(x.reshape(1, -1), temperature=0.37).tobytes() == expected_long.tobytes()


@pytest.mark.parametrize("function", ALL)
@given(data=st.data(), temperature=st.floats(1e-3, 1e3))
def test_as_the_reference(function, data, temperature):
    dtype = data.draw(st.sampled_from(TYPES))
    shape = data.draw(st.lists(st.integers(1, 12), min_size=1, max_size=3))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    x = rows(shape, dtype, data.draw(st.sampled_from([0.1, 10, 1e4])), data.draw(st.integers(0, 99)))
    where = np.random.default_rng(1).random(shape) < 0.8 if data.draw(st.booleans()) else None
    expected = getattr(_reference, function.__name__)(x, axis, where=where, temperature=temperature)
    found = function(x, axis, where=where, temperature=temperature)
    # 2 ULP, and 1 of the reference: its quotient is rounded once, to 64 bits
    tiny = np.finfo(dtype).smallest_subnormal
    np.testing.assert_allclose(found, expected, rtol=3 * np.finfo(dtype).eps, atol=3 * tiny)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("temperature", [2.0**-900, 1e-200, 1e-38, 1e-29, 1e31, 1e38, 1e200, 2.0**900])
def test_extremes(temperature, dtype):
    x = np.array([[1, 2, 3], [5, 5, 4], [-np.inf, 0, 0], [1e30, -1e30, 1e30], [0, 1e-30, 1e-30]], dtype)
    for function in ALL:
        expected = getattr(_reference, function.__name__)(x, temperature=temperature)
        with np.errstate(all="raise"):
            found = function(x, temperature=temperature)
        assert found.dtype == dtype
        np.testing.assert_allclose(found, expected, rtol=2e-6 if dtype is np.float32 else 1e-14)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("count", [1, 20, 2100])  # of each number: rows of every way through the kernels
def test_differences_beyond_the_range_whose_quotient_is_within(dtype, count):
    """x - max is infinite, (x - max) / T is not: of every member of the family, with masks and initial terms."""
    info = np.finfo(dtype)
    top, t, half = info.max, 8.0, float(info.max) / 8
    close = {"rtol": 4 * info.eps, "atol": 0}
    x = np.repeat(np.array([top, -top], dtype), count)
    log_count = np.log(count)  # beside the logits: lost to rounding, but for softmax
    is_top = x > 0
    log_p = np.where(is_top, -log_count, -2 * half)
    for rows, axis in ((np.stack([x] * 3), -1), (np.stack([x] * 3, axis=1), 0)):
        shape = [1, -1] if axis == -1 else [-1, 1]
        want, p = log_p.reshape(shape), (is_top / count).reshape(shape)
        np.testing.assert_allclose(log_softmax(rows, axis, temperature=t), want + 0 * rows, **close)
        np.testing.assert_allclose(softmax(rows, axis, temperature=t), p + 0 * rows, **close)
        np.testing.assert_allclose(softmax_ext.logsumexp(rows, axis, temperature=t), [half] * 3, **close)
        entropy = softmax_ext.softmax_entropy(rows, axis, temperature=t)
        np.testing.assert_allclose(entropy, [log_count] * 3, **close)
        for function in (softmax, log_softmax):
            _, total = function(rows, axis, temperature=t, return_logsumexp=True)
            np.testing.assert_allclose(total.ravel(), [half] * 3, **close)
        # Cross-entropy: of labels, of probabilities, smoothed.
        labels = np.full(3, 2 * count - 1)
        targets = np.zeros_like(rows)
        targets[(slice(None), -1) if axis == -1 else (-1, slice(None))] = 1
        gradient = (p - targets) / t
        for given_labels in (labels, targets):
            loss, found = softmax_ext.cross_entropy_with_grad(
                rows, given_labels, axis, reduction="none", temperature=t
            )
            np.testing.assert_allclose(loss, [2 * half] * 3, **close)
            np.testing.assert_allclose(found, gradient, rtol=0, atol=2 * info.eps / t)
            smooth = softmax_ext.cross_entropy(
                rows, given_labels, axis, reduction="none", temperature=t, label_smoothing=0.5
            )
            np.testing.assert_allclose(smooth, [1.5 * half] * 3, **close)
        # Hidden elements, and an initial term that is the largest.
        seen = ~np.isnan(np.where(is_top & (np.arange(len(x)) > 0), np.nan, x)).reshape(shape)
        holes = np.where(seen, rows, dtype(np.nan))
        found = log_softmax(holes, axis, temperature=t, where=seen)
        np.testing.assert_allclose(
            found, np.where(seen, np.where(p > 0, 0, -2 * half), -np.inf) + 0 * rows, **close
        )
        found = log_softmax(rows, axis, temperature=t, initial=dtype(3 * half))
        np.testing.assert_allclose(found, np.where(p > 0, -2 * half, -4 * half) + 0 * rows, **close)


@pytest.mark.parametrize("dtype", TYPES)
def test_rows_beyond_the_reduction(dtype):
    """|max / T| so large that x - max is taken first."""
    x = np.array([[1e6, 1e6 - 1, 999_990], [-1e9, -1e9, -2e9], [3e20, 3e20, 1]], dtype)
    for temperature in (0.5, 3.0):
        for function in FUNCTIONS:
            for row in x:
                found = function(row, temperature=temperature)
                finite = np.isfinite(found) & (found != 0)
                errors = np.array(ulps(function.__name__, row, np.where(finite, found, 0), temperature))
                assert (errors[finite] <= 2).all()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_values_of_special_rows(function):
    nan, inf = np.nan, np.inf
    x = np.array([[1, nan, 2], [1, inf, 2], [-inf, -inf, -inf], [-inf, 0, 1]])
    expected = function(x)
    found = function(x, temperature=2.5)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    assert found[3, 0] == expected[3, 0]


@pytest.mark.parametrize("value", [0, -1.0, np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-300, 1e300])
@pytest.mark.parametrize("function", ALL)
def test_refused_values(function, value):
    out = np.full(3, 7.0)
    with pytest.raises(ValueError, match=r"temperature: got .* expected a positive finite number"):
        function(np.zeros(3), out=out, temperature=value)
    assert (out == 7).all()


@pytest.mark.parametrize("value", ["1", None, True, [1.0, 2.0], 1j])
@pytest.mark.parametrize("function", ALL)
def test_refused_types(function, value):
    with pytest.raises(TypeError, match="temperature: got"):
        function(np.zeros(3), temperature=value)
