"""Special values (contract 1.3): NaN, infinities, empty rows; no warning, no floating-point trace."""

import ctypes
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import softmax_ext
from softmax_ext import (
    log_softmax,
    log_softmax_jvp,
    log_softmax_vjp,
    logsumexp,
    softmax,
    softmax_entropy,
    softmax_vjp,
)

pytestmark = pytest.mark.usefixtures("isa")
INF, NAN = np.inf, np.nan
TYPES = [np.float32, np.float64]

# Row, softmax, log_softmax, logsumexp. A single value stands for all elements.
TABLE = {
    "nan": ([1, NAN, 2], NAN, NAN, NAN),
    "nan and inf": ([NAN, INF, 2], NAN, NAN, NAN),
    "inf and nan": ([INF, NAN, 2], NAN, NAN, NAN),
    "nan and -inf": ([NAN, -INF, -INF], NAN, NAN, NAN),
    "inf": ([1, INF, 2], NAN, NAN, INF),
    "two infs": ([INF, INF], NAN, NAN, INF),
    "inf and -inf": ([-INF, INF], NAN, NAN, INF),
    "all -inf": ([-INF, -INF, -INF], NAN, NAN, -INF),
    "one -inf": ([-INF], NAN, NAN, -INF),
    "one inf": ([INF], NAN, NAN, INF),
    "one nan": ([NAN], NAN, NAN, NAN),
    "some -inf": ([3, -INF, 3, -INF], [0.5, 0, 0.5, 0], None, None),
    "one finite": ([-INF, 7, -INF], [0, 1, 0], [-INF, 0, -INF], 7),
}


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("case", TABLE)
def test_table(case, dtype):
    row, y, log_y, total = TABLE[case]
    x = np.array(row, dtype)
    assert_array_equal(softmax(x), np.full(x.shape, y, dtype) if np.isscalar(y) else y)
    if log_y is not None:
        assert_array_equal(log_softmax(x), np.broadcast_to(np.array(log_y, dtype), x.shape))
        assert_array_equal(logsumexp(x), total)
        entropy = np.nan if np.isnan(y).all() else 0
        assert_array_equal(softmax_entropy(x), entropy)


@pytest.mark.parametrize("dtype", TYPES)
def test_minus_infinities_are_as_if_absent(dtype):
    """Adding zeros to a sum changes no bit where it changes no grouping: here all is exact."""
    x = np.array([1, 1, 1, 1], dtype)
    wide = np.full(11, -INF, dtype)
    wide[[0, 3, 7, 10]] = x
    assert_array_equal(softmax(wide)[[0, 3, 7, 10]], softmax(x))
    assert_array_equal(log_softmax(wide)[[0, 3, 7, 10]], log_softmax(x))
    assert logsumexp(wide) == logsumexp(x)
    assert softmax_entropy(wide) == softmax_entropy(x)


@pytest.mark.parametrize("special", [NAN, INF])
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("length", [1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65, 129, 1000, 9000])
def test_one_special_value_anywhere_spoils_its_row_and_no_other(length, dtype, special):
    places = sorted({0, 1, length // 2, length - 2, length - 1} & set(range(length)))
    x = np.zeros((2 * len(places) + 1, length), dtype)
    for i, place in enumerate(places):
        x[2 * i + 1, place] = special
    for axis, array in ((1, x), (0, x.T.copy())):
        y, log_y = softmax(array, axis), log_softmax(array, axis)
        total = logsumexp(array, axis)
        entropy = softmax_entropy(array, axis)
        assert np.isnan(entropy[1::2]).all()
        assert_array_equal(entropy[::2], entropy[0])
        assert not np.isnan(entropy[0])
        if axis == 0:
            y, log_y = y.T, log_y.T
        assert np.isnan(y[1::2]).all()
        assert np.isnan(log_y[1::2]).all()
        assert_array_equal(total[1::2], special)
        assert_array_equal(y[::2], np.broadcast_to(y[0], y[::2].shape))
        assert not np.isnan(y[::2]).any()
        assert not np.isnan(log_y[::2]).any()


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("length", [1, 5, 17, 100, 5000])
def test_all_minus_infinity_rows_of_any_length(length, dtype):
    x = np.full((3, length), -INF, dtype)
    x[1] = 0
    assert_array_equal(logsumexp(x)[[0, 2]], -INF)
    assert_array_equal(np.isnan(softmax_entropy(x)), [True, False, True])
    assert np.isnan(softmax(x)[[0, 2]]).all()
    assert np.isnan(log_softmax(x)[[0, 2]]).all()
    assert np.isfinite(log_softmax(x)[1]).all()


def test_minus_infinity_in_a_log_softmax_has_probability_zero():
    y = log_softmax([0.0, -INF, 0.0])
    # exp(log ½) is off by some roundings.
    assert_allclose(log_softmax_vjp(y, [1.0, 5.0, 2.0]), [1 - 4, 5, 2 - 4], rtol=1e-15)
    assert_allclose(log_softmax_jvp(y, [1.0, 5.0, 3.0]), [1 - 2, 5 - 2, 3 - 2], rtol=1e-15)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("length", [3, 40, 100, 5000])
@pytest.mark.parametrize("rows", [1, 20])
def test_an_infinite_gradient_makes_the_others_minus_infinity(rows, length, dtype):
    for place in (0, length // 2, length - 1):
        g = np.ones((rows, length), dtype)
        g[:, place] = INF
        y = np.full_like(g, 1 / length)
        want = np.full_like(g, -INF)
        want[:, place] = NAN  # inf - inf
        for function, first in ((softmax_vjp, y), (log_softmax_vjp, np.log(y)), (log_softmax_jvp, np.log(y))):
            assert_array_equal(function(first, g), want, f"{function.__name__}, at {place}")
            across = function(first.T, g.T, axis=0)
            assert_array_equal(across.T, want, f"{function.__name__}, at {place}, axis 0")


@pytest.mark.parametrize("length", [2, 40, 100, 5000])
@pytest.mark.parametrize("dtype", TYPES)
def test_a_difference_that_overflows_does_not_decide(length, dtype):
    """y (g - d) is 0 where y is 0, also if g - d is too large for a number."""
    info = np.finfo(dtype)
    y, g = np.zeros((2, length), dtype)
    y[-1], g[0] = 1, info.max
    seen = set()
    for exponent in range(info.maxexp - info.nmant - 5, info.maxexp):
        g[-1] = -(dtype(2.0) ** exponent)
        gradient = softmax_vjp(y, g)
        with np.errstate(over="ignore"):
            overflows = np.isinf(g[0] - g[-1])
        assert_array_equal(gradient, 0)
        seen.add(bool(overflows))
    assert seen == {False, True}


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("length", [3, 40, 5000])
def test_nan_in_a_gradient_reaches_its_row(length, dtype):
    y = np.full((3, length), 1 / length, dtype)
    g = np.ones((3, length), dtype)
    g[1, length // 2] = NAN
    for got in (softmax_vjp(y, g), log_softmax_vjp(np.log(y), g)):
        assert np.isnan(got[1]).all()
        assert np.isfinite(got[[0, 2]]).all()


@pytest.mark.parametrize("dtype", TYPES)
def test_signs_of_zero_and_one_element(dtype):
    x = np.array([[-0.0], [0.0], [1e30], [-1e30]], dtype)
    assert_array_equal(softmax(x), np.ones((4, 1)))
    assert_array_equal(log_softmax(x), np.zeros((4, 1)))
    assert_array_equal(logsumexp(x), x[:, 0])
    assert_array_equal(softmax([-0.0, 0.0]), [0.5, 0.5])


def test_subnormal_results_are_kept():
    for dtype, gap in ((np.float32, 102), (np.float64, 743)):  # e^-gap is some 4 spacings
        tiny = np.finfo(dtype).tiny
        assert 0 < softmax(np.array([0, -gap], dtype))[1] < tiny
        assert -tiny < log_softmax(np.array([0, -gap], dtype))[0] < 0
        y = np.array([1, tiny / 8], dtype)
        assert 0 < softmax_vjp(y, np.array([0, 1], dtype))[1] < tiny


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("n", [2, 3, 10, 100, 1000])
def test_results_around_the_smallest_normal_number(n, axis):
    """Subnormal results are made in another way than normal ones: the two have to meet."""
    rng = np.random.default_rng(n)
    x = -rng.uniform(85, 106, (200, n)).astype(np.float32)  # e^-87.3 is the smallest normal number
    x[:, 0] = 0
    y = softmax(x.T if axis == 0 else x, axis)
    exact = np.exp(x.astype(float))
    exact /= exact.sum(axis=1, keepdims=True)
    ulp = np.spacing(np.maximum(exact, np.finfo(np.float32).tiny).astype(np.float32)).astype(float)
    tiny = np.finfo(np.float32).tiny
    assert (y == 0).any()
    assert ((y > 0) & (y < tiny)).any()
    assert ((y > tiny) & (y < 2 * tiny)).any()
    assert (np.abs((y.T if axis == 0 else y) - exact) <= 1.5 * ulp).all()


@pytest.mark.parametrize("dtype", TYPES)
def test_largest_numbers(dtype):
    top = np.finfo(dtype).max
    x = np.array([top, -top, top], dtype)
    assert_array_equal(softmax(x), [0.5, 0, 0.5])
    assert_array_equal(log_softmax(x)[1], -INF)  # -2·top is beyond the range
    assert logsumexp(x) == top


# Floating-point environment -----------------------------------------------------------------------

# Of any platform: on x86 inexact is 0x20, on Arm 0x10; what a platform lacks is not looked at.
ALL_FLAGS = 0x3F

HARD_ROWS = [
    [NAN, 1, 2, INF, -INF],
    [INF, 1, -INF, 0, 0],
    [-INF] * 5,
    [1e308, -1e308, 1e308, 5e-324, 0],
    [0, -745, -800, -708.5, 1e-310],
    [1e38, -1e38, 1e-40, 88, -104],
]


def call_everything(x):
    for axis in (-1, 0):
        y, log_y = softmax(x, axis), log_softmax(x, axis)
        logsumexp(x, axis)
        for g in (x, y):
            softmax_vjp(y, g, axis)
            log_softmax_vjp(log_y, g, axis)
            log_softmax_jvp(log_y, g, axis)
    softmax_ext.softmax_jacobian(y)


def hard(dtype, repeat=1):
    with np.errstate(all="ignore"):
        return np.tile(np.array(HARD_ROWS).astype(dtype), (repeat, 1))


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("dtype", TYPES)
def test_no_warning_whatever_errstate_says(dtype, count, threads):
    threads(count)
    with np.errstate(all="raise"), warnings.catch_warnings():
        warnings.simplefilter("error")
        call_everything(hard(dtype))
        call_everything(hard(dtype, repeat=5000))  # enough for threads


def test_no_warning_from_a_change_of_type():
    x = np.array([[0, -90, -100, -746], [1, 2, 3, -INF]])
    y, log_y = softmax(x), log_softmax(x)
    out = np.empty(x.shape, np.float32)
    huge = np.full(x.shape, 1e300)
    signalling = np.array([0x7F800001], np.uint32).view(np.float32)
    with np.errstate(all="raise"), warnings.catch_warnings():
        warnings.simplefilter("error")
        for function in (softmax, log_softmax, logsumexp):
            function(x, dtype=np.float32)
            function(huge, dtype=np.float32)
            function(huge * [1, 0, 0, -1], dtype=np.float32)
            function(signalling, dtype=np.float64)
        softmax(x, out=out)
        log_softmax(huge * [1, 0, 0, -1], out=out)
        softmax_vjp(y, x, out=out)
        log_softmax_vjp(log_y, np.array([[1e300, 0, 0, 0]]), out=out)
        softmax_vjp(y, signalling)


@pytest.fixture
def fenv():
    """Give C's floating-point environment: its functions, with no flag up."""
    try:
        libm = ctypes.CDLL(None)
        libm.fetestexcept, libm.feclearexcept, libm.fegetround, libm.feraiseexcept  # noqa: B018
    except (OSError, TypeError, AttributeError):
        pytest.skip("no fenv functions in the C library")
    libm.feclearexcept(ALL_FLAGS)
    yield libm
    libm.feclearexcept(ALL_FLAGS)


@pytest.mark.parametrize("count", [1, 2])
def test_flags_are_left_as_they_were(fenv, count, threads):
    threads(count)
    x = hard(np.float64, repeat=2000)
    y, out = softmax(x), np.empty_like(x)
    before = []
    after = []
    for flags in (0, ALL_FLAGS):
        fenv.feclearexcept(ALL_FLAGS)
        if flags:
            fenv.feraiseexcept(flags)
        before.append(fenv.fetestexcept(ALL_FLAGS))
        softmax(x, out=out)
        log_softmax(x, out=out)
        softmax_vjp(y, x, out=out)
        after.append(fenv.fetestexcept(ALL_FLAGS))
    assert before == after
    assert before[0] == 0
    assert before[1] != 0


def test_rounding_mode_and_subnormals_are_left_as_they_were(fenv):
    mode = fenv.fegetround()
    call_everything(hard(np.float32, repeat=1000))
    assert fenv.fegetround() == mode
    assert np.float64(5e-324) * 1 == 5e-324  # neither flushed nor read as zero
    assert np.float64(2.3e-308) / 4 > 0
