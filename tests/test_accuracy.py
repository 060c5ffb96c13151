"""Accuracy (contract 1.4): every element within the bound that the sources claim.

Errors are measured in ULP against a truth of many more digits (`ulp.py`), over families of rows
(`families.py`). The claims stand in the C sources, beside the algorithms (`claims.py`); where the
sources are not at hand, the contract's own bounds hold.

The levels give the same bits (`test_same_bits.py`), so the families run at one level only.
"""

import zlib

import claims
import families
import numpy as np
import operations
import pytest
import ulp

import softmax_ext
from softmax_ext import _reference

CLAIMS = claims.read()
BOUNDS = claims.CONTRACT | {(c.function, c.dtype): c.bound for c in CLAIMS if c.temperature == 1}
TYPES = [np.float32, np.float64]
EXACT_SIZE = 3_000  # elements: above it the truth comes from longdouble

needs_sources = pytest.mark.skipif(not CLAIMS, reason="the C sources are not at hand")


def bound(function, dtype):
    return BOUNDS.get((function, dtype), BOUNDS[function])


def call(function, *rows):
    return ulp.call(softmax_ext, function, *rows)


def worst(function, *rows):
    """Return the largest error of the function over the rows."""
    dtype = rows[0].dtype.type
    if dtype is np.float64 and rows[0].size <= EXACT_SIZE:
        truth = ulp.exact(function, *rows)
    elif ulp.WIDE_ENOUGH[dtype]:
        truth = ulp.wide(function, *rows)
    else:
        return 0.0  # longdouble is float64 here; the smaller arrays of each family are measured
    return ulp.errors(function, call(function, *rows), truth, *rows).max()


def assert_within(function, dtype, inputs):
    limit = bound(function, dtype)
    for rows in inputs:
        error = worst(function, *rows)
        assert error <= limit, f"{error:.3f} > {limit} on rows of shape {rows[0].shape}"


def generator(*names):
    return np.random.default_rng(zlib.crc32(" ".join(map(str, names)).encode()))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("family", families.ROWS)
@pytest.mark.parametrize("function", operations.OF_ONE)
def test_maps(function, family, dtype):
    inputs = families.ROWS[family](generator(family, dtype), dtype)
    assert_within(function, dtype, [(x,) for x in inputs])


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("vector", families.VECTORS)
@pytest.mark.parametrize("function", operations.OF_TWO)
def test_products(function, vector, dtype):
    rng = generator(vector, dtype)
    forward, has_signs = operations.RESULTS[function].forward, operations.RESULTS[function].has_signs
    inputs = []
    for family in (
        "ties",
        "dominant",
        "gaps",
        "constant",
        "subnormal_results",
        "every_length",
        "long_rows",
        "zero_among_tiny_terms",
    ):
        for x in families.ROWS[family](rng, dtype):
            if x.shape[1] <= 100_000:
                y = getattr(_reference, forward or "softmax")(x)
                g = families.VECTORS[vector](rng, y).astype(dtype)
                inputs.append((y, g) if forward else (x, g if has_signs else np.abs(g)))
    assert_within(function, dtype, inputs)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("function", operations.MAPS)
def test_ten_million_elements(function, dtype):
    rng = generator("ten million", dtype)
    assert_within(
        function, dtype, [(rng.normal(size=(1, 10**7)).astype(dtype),), (np.full((1, 10**7), 0.1, dtype),)]
    )


@pytest.mark.parametrize("dtype", TYPES)
def test_log_softmax_keeps_its_digits_near_zero(dtype):
    """At the maximum of a confident row it is -Σ of the other terms, however small."""
    gap = np.arange(20.0, 700 if dtype is np.float64 else 87)
    got = softmax_ext.log_softmax(np.stack([0 * gap, -gap], axis=1).astype(dtype))[:, 0]
    # Two roundings, of exp and of the result.
    np.testing.assert_allclose(got, -np.log1p(np.exp(-gap)), rtol=2 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", TYPES)
def test_softmax_entropy_keeps_its_digits_near_zero(dtype):
    """Of a confident row it is z (1 + gap), however small: z is the other element's exponential."""
    gap = np.arange(40.0, 700 if dtype is np.float64 else 87).astype(np.longdouble)
    got = softmax_ext.softmax_entropy(np.stack([0 * gap, -gap], axis=1).astype(dtype))
    eps = np.finfo(dtype).eps
    # The formula leaves out terms of z, which is less than eps / 100; longdouble may be float64.
    want = np.exp(-gap) * (1 + gap)
    np.testing.assert_allclose(got, want, rtol=2.1 * eps)


# The claims ---------------------------------------------------------------------------------------


@needs_sources
def test_every_function_and_type_has_a_claim_within_the_contract():
    claimed = {(c.function, c.dtype, c.temperature == 1): c.bound for c in CLAIMS}
    assert set(claimed) >= {(f, t, True) for f in claims.CONTRACT if "jvp" not in f for t in TYPES}
    assert set(claimed) >= {(f, t, False) for f in ("softmax", "log_softmax", "logsumexp") for t in TYPES}
    for (function, dtype, _), limit in claimed.items():
        assert limit <= claims.CONTRACT[function], (function, dtype)


@needs_sources
@pytest.mark.parametrize("claim", CLAIMS, ids=lambda c: c.name)
def test_worst_case_found_is_what_the_source_says(claim, isa):
    truth = ulp.exact(claim.function, *claim.rows, temperature=claim.temperature)
    got = ulp.call(softmax_ext, claim.function, *claim.rows, temperature=claim.temperature)
    error = ulp.errors(claim.function, got, truth, *claim.rows, temperature=claim.temperature).max()
    # The source gives two decimals; a twentieth leaves room for a hand that rounded.
    assert error == pytest.approx(claim.found, abs=0.05)
    assert claim.found <= claim.bound


@pytest.mark.parametrize(
    ("temperature", "line"),
    [
        (1.0, "claim: softmax float32 <= 2 ulp; found 1.52 at hex: 0x1.8p+1, -0x1p-3, 0x0p+0"),
        (
            2.5,
            "claim: softmax float32 at any temperature <= 2 ulp; found 1.52 at T = 0x1.4p+1, hex: 0x1.8p+1, "
            "-0x1p-3, 0x0p+0",
        ),
    ],
)
def test_claims_are_read_as_they_are_written(temperature, line):
    row = np.float32([[3, -0.125, 0]])
    claim = claims.Claim("softmax", np.float32, 2, 1.52, (row,), temperature=temperature)
    assert str(claim) == line
    (match,) = claims._CLAIM.finditer(f" * {line.replace('-0x1', chr(10) + ' *   -0x1')}\n */")
    assert str(claims._parse(*match.groups())) == line


# The measure itself -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", TYPES)
def test_an_error_of_three_ulp_is_seen(dtype):
    x = generator("seen", dtype).normal(size=(20, 10)).astype(dtype) * 30
    truth = ulp.exact("softmax", x)
    got = _reference.softmax(x)
    off = got + 3 * np.spacing(got)
    assert ulp.errors("softmax", got, truth, x).max() <= 0.501  # rounded once
    errors = ulp.errors("softmax", off.astype(dtype), truth, x)
    # np.spacing is that of the computed value: at a power of two it may be half the true one's.
    assert errors.min() > 1.4
    assert np.median(errors) == pytest.approx(3, abs=0.5)


def test_measure_at_the_ends_of_the_range():
    tiny, top = 5e-324, np.finfo(np.float64).max
    true = [ulp.mpfr(tiny) * 1.25, ulp.mpfr(top) * 2, ulp.mpfr(0), ulp.mpfr(1), ulp.mpfr(2) ** -9000]
    truth = ulp.Truth.of_mpfr([true])
    spacing = ulp.spacing(truth.exponent, np.float64)
    assert spacing[0, [0, 2, 3, 4]].tolist() == [tiny, tiny, 2.0**-52, tiny]
    right = truth.distance(np.array([[tiny, np.inf, 0.0, 1.0, 0.0]]), spacing)
    assert right.tolist() == [[0.25, 0, 0, 0, 0]]
    wrong = truth.distance(np.array([[0.0, top, tiny, np.inf, -tiny]]), spacing)
    assert wrong[0, [0, 2, 3, 4]].tolist() == [1.25, 1, np.inf, 1]
    assert wrong[0, 1] > 1e15
    assert truth.distance(np.full((1, 5), np.nan), spacing).min() == np.inf
