"""`initial=`, a term of a row's sum that is no element; and `return_logsumexp=`, the sum itself beside the result."""

import mpmath
import numpy as np
import pytest
from layouts import LAYOUTS

import softmax_ext
from softmax_ext import _core, log_softmax, logsumexp, softmax

TYPES = [np.float32, np.float64]
ELEMENTWISE = [softmax, log_softmax]
FUNCTIONS = [softmax, log_softmax, logsumexp]
LEVELS = softmax_ext.show_config(mode="dicts")["isa_available"]
INF, NAN = np.inf, np.nan

both_types = pytest.mark.parametrize("dtype", TYPES)
elementwise = pytest.mark.parametrize("function", ELEMENTWISE)
every_function = pytest.mark.parametrize("function", FUNCTIONS)


def rows(shape, dtype, scale=3.0, seed=0):
    return (np.random.default_rng([seed, *shape]).normal(size=shape) * scale).astype(dtype)


def truth(x, initial, temperature=1.0, where=None):
    """Return softmax, log_softmax and logsumexp of a row, from 60 digits."""
    with mpmath.workdps(60):
        seen = np.full(len(x), True) if where is None else where
        scaled = [
            mpmath.mpf(float(v)) / mpmath.mpf(temperature) if v > -INF and s else -mpmath.inf
            for v, s in zip(x, seen, strict=True)
        ]
        terms = [*scaled, mpmath.mpf(float(initial))]
        top = max(terms)
        first = terms.index(top)
        others = mpmath.fsum(mpmath.exp(v - top) for i, v in enumerate(terms) if i != first and v > -INF)
        logs = [v - top - mpmath.log1p(others) for v in scaled]
        return [mpmath.exp(v) if v > -INF else mpmath.mpf(0) for v in logs], logs, top + mpmath.log1p(others)


def worst_ulp(found, want, dtype, at_least=0):
    """Return the largest error, in ULP of the larger of the true value and `at_least`."""
    info, worst = np.finfo(dtype), 0
    with mpmath.workdps(60):
        for got, true in zip(np.atleast_1d(found), want, strict=True):
            if true == -mpmath.inf:
                assert got == -INF
                continue
            if abs(true) > mpmath.mpf(float(info.max)):
                assert abs(got) >= info.max
                continue
            size = max(abs(true), at_least)
            ulp = mpmath.mpf(float(info.smallest_subnormal))
            if size > 0:
                ulp = max(ulp, mpmath.ldexp(1, int(mpmath.floor(mpmath.log(size, 2))) - info.nmant))
            worst = max(worst, float(abs(mpmath.mpf(float(got)) - true) / ulp))
    return worst


def assert_within_2_ulp(x, initial, temperature=1.0, where=None):
    dtype, options = x.dtype.type, {"temperature": temperature, "where": where, "initial": initial}
    y, logs, log_sum = truth(x, initial, temperature, where)
    with mpmath.workdps(60):
        sizes = [abs(mpmath.mpf(float(v))) / mpmath.mpf(temperature) for v in x if v > -INF]
        size = max([*sizes, abs(mpmath.mpf(float(initial)))] if initial > -INF else sizes)
    pairs = [f(x, return_logsumexp=True, **options) for f in ELEMENTWISE]
    for found in (softmax(x, **options), pairs[0][0]):
        assert worst_ulp(found, y, dtype) <= 2
    assert worst_ulp(log_softmax(x, **options), logs, dtype) <= 2
    for found in (logsumexp(x, **options), pairs[0][1], pairs[1][1]):
        assert worst_ulp(found, [log_sum], dtype, size) <= 2


@both_types
@pytest.mark.parametrize("temperature", [1.0, 0.7, 1e-3, 1e5])
@pytest.mark.parametrize("length", [1, 2, 17, 90])
def test_within_2_ulp(length, temperature, dtype):
    """The initial term below, near and above the maximum, and rows that are shifted."""
    rng = np.random.default_rng([length, int(temperature * 1000)])
    for scale in (1.0, 1e6):
        x = (rng.normal(size=length) * scale * temperature).astype(dtype)
        top = float(x.max()) / temperature
        for gap in (-INF, -120, -20, 0, 0.5, 88, 140, 720):
            assert_within_2_ulp(x, float(dtype(top + gap)), temperature)
        assert_within_2_ulp(x, 0.0, temperature)
        assert_within_2_ulp(x, 1.0, temperature, where=rng.random(length) < 0.5)


@pytest.mark.parametrize(
    ("x", "initial", "temperature"),
    [
        # max / T and the initial term are huge and nearly equal
        (np.float32([974156.3125, 974150, 3]), 974156288.0, 1e-3),
        (np.float64([19772895410433.543, 1.0]), 1.977289541043367e16, 1e-3),
        (np.float64([78747294748880.06, 1.0]), 10787300650441.75, 7.3),
        # nothing beside an initial term that exp's reduction cannot take
        (np.float32([-INF, -INF]), -8e8, 1.0),
        (np.float32([-INF]), 3e38, 0.5),
        (np.float64([-INF, -INF]), -1e300, 3.0),
        # the two ends of the range
        (np.float32([-3e38, 3e38]), -3e38, 1.0),
        (np.float32([-3e38, -3.1e38]), 3e38, 1.0),
        # an initial term that is beyond exp's reduction after the shift, too, and no short number
        (np.float32([1e6, 0.3]), 1.2345679e30, 1.0),
        (np.float64([1e13, 0.3]), 1.23456789e200, 0.7),
    ],
)
def test_far_from_0(x, initial, temperature):
    assert_within_2_ulp(x, initial, temperature)


@both_types
def test_the_sum_of_a_confident_row_keeps_its_digits(dtype):
    for gap in (20, 60, 80):
        assert_within_2_ulp(np.array([0, -gap, -2 * gap], dtype), -gap)
        assert_within_2_ulp(np.array([-gap, -2 * gap], dtype), 0)


@both_types
@every_function
def test_minus_infinity_gives_the_bits_of_a_call_without(function, dtype):
    for shape in [(40, 3), (9, 100), (2, 9000), (3, 4, 5)]:
        for scale in (3, 1e6):
            x = rows(shape, dtype, scale)
            for axis in (0, -1):
                assert function(x, axis, initial=-INF).tobytes() == function(x, axis).tobytes()


@every_function
def test_special_rows(function):
    """Rows without elements, then a NaN or an infinity among the elements, or as the initial term."""
    x = np.array([[-INF, -INF], [-INF, -INF], [1, NAN], [1, INF], [1, 2], [1, 2], [1, INF], [NAN, 1]])
    initial = np.array([5.0, -INF, 0, 0, NAN, INF, INF, INF])[:, None]
    of_nothing = {softmax: 0, log_softmax: -INF, logsumexp: 5}[function]
    sums = [5, -INF, NAN, INF, NAN, INF, INF, NAN]
    found = function(x, initial=initial)
    if function is logsumexp:
        np.testing.assert_array_equal(found, sums)
        return
    assert (found[0] == of_nothing).all()
    assert np.isnan(found[1:]).all()
    pair = function(x, initial=initial, return_logsumexp=True)
    np.testing.assert_array_equal(pair[0], found)
    np.testing.assert_array_equal(pair[1], sums)


@every_function
def test_rows_of_which_the_mask_leaves_nothing(function):
    x = np.array([[1.0, 2], [NAN, 3], [4, 5]])
    where = np.array([[True, True], [False, False], [False, False]])
    initial = np.array([[0.0], [7], [-INF]])
    found = function(x, initial=initial, where=where)
    expected = {softmax: [0, 0], log_softmax: [-INF, -INF], logsumexp: 7}[function]
    np.testing.assert_array_equal(found[1], expected)
    np.testing.assert_array_equal(found[2], function(x, where=where)[2])
    # NaN elsewhere in the tile
    beside = function(np.array([[NAN, 1], [1, 2], [1, 2]]), initial=initial, where=where)
    np.testing.assert_array_equal(beside[1:], found[1:])


@every_function
def test_empty_rows(function):
    found = function(np.empty((2, 0)), initial=np.array([[1.0], [-INF]]))
    if function is logsumexp:
        np.testing.assert_array_equal(found, [1, -INF])
        kept = logsumexp(np.empty((2, 0)), initial=[[1.0], [-INF]], keepdims=True)
        np.testing.assert_array_equal(kept, [[1], [-INF]])
    else:
        assert found.shape == (2, 0)
        _, sums = function(np.empty((2, 0)), initial=[[1.0], [-INF]], return_logsumexp=True)
        np.testing.assert_array_equal(sums, [1, -INF])
    assert logsumexp(np.empty((0, 3)), initial=0).shape == (0,)


@both_types
@elementwise
def test_the_pair_of_log_softmax_has_the_bits_of_both_functions(function, dtype):
    """softmax sums in another order if the sum is returned, too, so only its sum has them."""
    for shape in [(40, 1), (40, 3), (9, 64), (9, 100), (2, 9000), (3, 4, 5)]:
        x = rows(shape, dtype, 5)
        for axis in (0, -1, None):
            y, sums = function(x, axis, return_logsumexp=True)
            assert sums.tobytes() == logsumexp(x, axis).tobytes()
            if function is log_softmax:
                assert y.tobytes() == log_softmax(x, axis).tobytes()
            else:
                np.testing.assert_allclose(y, softmax(x, axis), rtol=2 * np.finfo(dtype).eps)


@both_types
@every_function
def test_same_bits_on_any_level_layout_and_number_of_threads(function, dtype, threads):
    options = [{}] if function is logsumexp else [{}, {"return_logsumexp": True}]
    for shape, scale in [((67, 9), 3), ((20, 300), 1e6), ((2, 9000), 40)]:
        x = rows(shape, dtype, scale)
        initial = rows((shape[0], 1), dtype, scale, seed=1)
        for more in options:

            def call(x, axis=-1, initial=initial, more=more):
                found = function(x, axis, initial=initial, temperature=0.37, **more)
                return [np.ascontiguousarray(f).tobytes() for f in (found if more else [found])]

            expected = call(x)
            for level in LEVELS:
                before = _core._set_isa(level)
                try:
                    assert call(x) == expected
                    for layout in LAYOUTS.values():
                        assert call(layout(x), initial=layout(initial)) == expected
                finally:
                    _core._set_isa(before)
    x = rows((1, 130_000), dtype, 3)
    expected = [f.tobytes() for f in np.atleast_1d(function(x, initial=1.5))]
    for n in (1, 2, 5):
        threads(n)
        assert [f.tobytes() for f in np.atleast_1d(function(x, initial=1.5))] == expected


@every_function
def test_axes_and_broadcasting(function):
    x = rows((3, 4, 5), np.float64)
    heads = np.array([0.5, -1, 2, 0])[:, None]
    found = function(x, initial=heads)
    for head in range(4):
        np.testing.assert_array_equal(found[:, head], function(x[:, head], initial=heads[head, 0]))
    columns = np.linspace(-1, 1, 5)
    over_two = function(x, (0, 1), initial=columns)
    np.testing.assert_array_equal(
        over_two, function(x.reshape(12, 5), 0, initial=columns).reshape(over_two.shape)
    )
    assert np.shape(function(np.float64(3), initial=1)) == ()


@elementwise
def test_shapes_and_types_of_the_pair(function):
    for dtype in (np.float16, np.float32, np.float64):
        y, sums = function(np.zeros((2, 3, 4), dtype), (0, 2), return_logsumexp=True)
        assert (y.shape, sums.shape, y.dtype, sums.dtype) == ((2, 3, 4), (3,), dtype, dtype)
    y, sums = function(np.zeros((2, 3), np.float32), dtype=np.float64, return_logsumexp=True)
    assert y.dtype == sums.dtype == np.float64
    y, total = function(np.zeros(4), return_logsumexp=True)
    assert isinstance(total, np.float64)
    assert total == np.log(4)
    out = np.empty(4)
    pair = function(np.zeros(4), out=out, return_logsumexp=True)
    assert pair[0] is out


@every_function
def test_out_may_overlap_the_initial_terms(function):
    memory = np.linspace(-1, 1, 12)
    initial, out = memory[:3, None], memory.reshape(3, 4)
    x = rows((3, 4), np.float64)
    out = out if function is not logsumexp else memory[1:4]
    expected = function(x, initial=initial.copy())
    assert function(x, initial=initial, out=out) is out
    np.testing.assert_array_equal(out, expected)


@every_function
def test_refused(function):
    x, out = np.zeros((2, 3)), np.full((2, 3) if function is not logsumexp else 2, 7.0)
    for initial, error, text in [
        (np.zeros(2), ValueError, r"initial: got shape \(2,\), expected one that broadcasts to \(2, 1\)"),
        (np.zeros((1, 3)), ValueError, "initial: got shape"),
        ("1", TypeError, "initial: got"),
        (1j, TypeError, "initial: got complex"),
        (np.ma.array([0.0], mask=[True]), TypeError, "initial: got MaskedArray"),
    ]:
        with pytest.raises(error, match=text):
            function(x, initial=initial, out=out)
        assert (out == 7).all()
    if function is not logsumexp:
        with pytest.raises(TypeError, match="return_logsumexp: got str, expected True or False"):
            function(x, return_logsumexp="yes")


def test_softmax_off_by_one():
    """A row may attend to nothing: with a 0 among the logits that belongs to no element (Miller, 2023)."""
    x = rows((5, 7), np.float64)
    expected = np.exp(x) / (1 + np.exp(x).sum(axis=-1, keepdims=True))
    np.testing.assert_allclose(softmax(x, initial=0), expected, rtol=1e-14)
    with_zero = softmax(np.concatenate([x, np.zeros((5, 1))], axis=1))
    np.testing.assert_allclose(softmax(x, initial=0), with_zero[:, :-1], rtol=1e-15)


def test_chunks_of_a_row_merge():
    x = rows((4, 100), np.float64)
    total = logsumexp(x[:, 40:], initial=logsumexp(x[:, :40], keepdims=True))
    np.testing.assert_allclose(total, logsumexp(x), rtol=1e-15)


@every_function
@both_types
@pytest.mark.parametrize(
    "number",
    [0, -3, 2**53, 2**62, np.float16(0.5), np.float32(0.1), np.float64(0.1), np.int8(-3), np.array(0.1)],
)
def test_number_of_any_type_is_the_array_of_it(function, dtype, number):
    x = rows((3, 5), dtype)
    expected = function(x, initial=np.full((3, 1), float(number)))
    assert function(x, initial=number).tobytes() == expected.tobytes()
