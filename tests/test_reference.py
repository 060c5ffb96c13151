"""The reference itself, against mpmath and MPFR: what everything else is compared with."""

import doctest

import families
import find_worst
import mpmath
import numpy as np
import operations
import pytest
import ulp

import softmax_ext
from softmax_ext import _reference

ROWS = [
    [0.25, 1.23, -0.8],
    [1000.0, 2000.0, 3000.0],
    [0.0, -745.0, -1.0],
    [0.1, 700.0, -3.5, 699.25],  # gaps that even longdouble has to round
    [1e5, 1e5, -1e5],
    [-5e-324, 5e-324],
    [7.0],
    [-1.25] * 9,
]
# Where longdouble is wider than float64, its errors vanish beside the one rounding of the result.
ROUNDINGS = 0.501 if ulp.WIDE_ENOUGH[np.float64] else 4


@pytest.fixture(autouse=True)
def digits():
    """So many that log_softmax near e^-745 keeps 30 of them without log1p."""
    with mpmath.workdps(400):
        yield


def exact(values):
    return [mpmath.mpf(float(v)) for v in np.ravel(values)]


def assert_close(got, want, scale=None):
    eps, half_subnormal = mpmath.mpf(2) ** -52, mpmath.mpf(2) ** -1075
    for a, b, s in zip(exact(got), want, scale or want, strict=True):
        assert abs(a - b) <= ROUNDINGS * eps * abs(s) + half_subnormal


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_maps(row):
    x = exact(row)
    e = [mpmath.exp(v) for v in x]
    total = mpmath.fsum(e)
    assert_close(_reference.softmax(row), [v / total for v in e])
    assert_close(_reference.log_softmax(row), [v - mpmath.log(total) for v in x])
    assert_close(_reference.logsumexp(row), [mpmath.log(total)])


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_products_with_the_jacobian(row):
    n = len(row)
    g = np.arange(1.0, n + 1) ** 2 - 3.3
    vector = mpmath.matrix(exact(g))

    def check(function, y, jacobian):
        product = jacobian * vector
        size = jacobian.apply(abs) * vector.apply(abs)  # of the terms, before they cancel
        assert_close(function(y, g), list(product), list(size))

    y = _reference.softmax(row)
    p = mpmath.matrix(exact(y))
    jacobian = mpmath.diag(list(p)) - p * p.T
    check(_reference.softmax_vjp, y, jacobian.T)
    check(_reference.softmax_jvp, y, jacobian)
    assert_close(_reference.softmax_jacobian(y), list(jacobian))

    y = _reference.log_softmax(row)
    p = mpmath.matrix(exact(y)).apply(mpmath.exp)
    jacobian = mpmath.eye(n) - mpmath.ones(n, 1) * p.T
    check(_reference.log_softmax_vjp, y, jacobian.T)
    check(_reference.log_softmax_jvp, y, jacobian)


@pytest.mark.skipif(not ulp.WIDE_ENOUGH[np.float64], reason="longdouble is no wider than float64")
@pytest.mark.parametrize("function", operations.MAPS)
def test_longdouble_is_truth_enough(function):
    """`ulp.wide` stands in for `ulp.exact` on long rows: they agree to 1/100 ULP of float64."""
    rng = np.random.default_rng(5)
    for name in ("scales", "offsets", "dominant", "gaps", "confident", "huge", "subnormal_results"):
        for x in families.ROWS[name](rng, np.float64):
            x = x[:: len(x) // 10 + 1]
            got = ulp.call(_reference, function, x)
            by_exact, by_wide = (
                ulp.errors(function, got, truth(function, x), x) for truth in (ulp.exact, ulp.wide)
            )
            assert np.abs(by_exact - by_wide).max() < 0.01, name


@pytest.mark.skipif(not ulp.WIDE_ENOUGH[np.float64], reason="longdouble is no wider than float64")
@pytest.mark.parametrize("function", [name for name in operations.RESULTS if name != "signed_logsumexp"])
def test_both_truths_know_the_temperature(function, monkeypatch):
    """So do errors: they are small, and the same by both."""
    rng, temperature = np.random.default_rng(6), 9.75
    genes = rng.normal(size=(2, 20, 5)) * 3 * temperature
    temperatures = {"temperature": temperature}
    if function not in operations.MAPS:
        monkeypatch.setitem(operations.RESULTS, function, operations.tempered(function, temperature))
        temperatures = {}
    rows = find_worst.rows_of(function, genes)
    got = ulp.call(softmax_ext, function, *rows, **temperatures)
    by_exact, by_wide = (
        ulp.errors(function, got, truth(function, *rows, **temperatures), *rows, **temperatures)
        for truth in (ulp.exact, ulp.wide)
    )
    assert by_exact.max() < 6
    assert np.abs(by_exact - by_wide).max() < 0.01


def test_longdouble_in_longdouble_out():
    x = np.array([0.25, 1.23, -0.8], np.longdouble)
    assert _reference.softmax(x).dtype == np.longdouble
    assert abs(_reference.softmax(x).sum() - 1) < 4 * np.finfo(np.longdouble).eps


def test_examples():
    assert doctest.testmod(_reference).failed == 0
