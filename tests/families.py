"""Families of rows on which softmax goes wrong when it goes wrong: inputs of the accuracy tests.

`ROWS` makes inputs of functions of x, `VECTORS` the vector that a VJP takes beside its `y`. Each family
is a function of a random generator and a type that returns a list of 2-D arrays, one row of input per row.
"""

import numpy as np

ROWS = {}
VECTORS = {}
LN2 = float(np.log(2))


def family(function):
    ROWS[function.__name__] = function
    return function


def vector(function):
    VECTORS[function.__name__] = function
    return function


def limits(dtype):
    """Return log10 of the largest number, and the gap from which exp is 0 even as a subnormal."""
    return {np.float32: (38, 104), np.float64: (308, 746)}[dtype]


@family
def scales(rng, dtype):
    """Normal rows from the smallest scale to the largest."""
    top = limits(dtype)[0]
    powers = [-top, -top // 2, -10, -3, -1, -0.5, 0, 0.5, 1, 1.5, 2, 3, 4, 7, top // 2, top - 1]
    return [(rng.normal(size=(30, 33)) * 10.0**p).astype(dtype) for p in powers]


@family
def offsets(rng, dtype):
    """Normal rows far from zero, where x - max is exact but x itself is coarse."""
    offsets = [5.5, 88, 700, 1e3, 12345.678, 1e5, 1e7, 2.0**24, 1e9, 1e15, 2.0**52]
    return [
        (rng.normal(size=(10, 33)) * scale + sign * offset).astype(dtype)
        for offset in offsets
        for scale in (1, 10)
        for sign in (1, -1)
    ]


@family
def ties(rng, dtype):
    """Several maxima in a row."""
    return [np.round(rng.normal(size=(60, 20)) * s).astype(dtype) / 4 for s in (1, 2, 5, 50)]


@family
def ramps(rng, dtype):
    """Rising and falling evenly."""
    steps = np.concatenate([2.0 ** np.arange(-12, 6), rng.uniform(0, 20, 20)])
    rows = (steps[:, None] * np.arange(60)).astype(dtype)
    return [rows, rows[:, ::-1].copy(), -rows]


@family
def dominant(rng, dtype):
    """One element above all others by up to the whole range of exp."""
    gaps = rng.uniform(1, limits(dtype)[1], size=(200, 1))
    rows = rng.normal(size=(200, 40))
    rows[np.arange(200), rng.integers(40, size=200)] += gaps[:, 0]
    return [rows.astype(dtype), (rows + rng.uniform(-50, 50, size=(200, 1))).astype(dtype)]


@family
def gaps(rng, dtype):
    """Two elements, every gap from 1 to where exp ends; also where their difference rounds."""
    gap = np.concatenate([np.arange(1.0, 747), rng.uniform(0, limits(dtype)[1], 400)])[:, None]
    base = rng.uniform(-2, 2, size=gap.shape)
    return [
        np.hstack(r).astype(dtype)
        for r in [(0 * gap, -gap), (gap, 0 * gap), (base + gap, base), (-gap / 2, gap / 2)]
    ]


@family
def confident(rng, dtype):
    """log_softmax of the maximum so near 0 that it is the others' sum alone, down to 1e-300."""
    gap = rng.uniform(10, limits(dtype)[1], size=(300, 1))
    rows = np.hstack([np.zeros((300, 1)), -gap - rng.exponential(2, size=(300, 7))])
    return [rows.astype(dtype), (rows + 100).astype(dtype)]


@family
def constant(rng, dtype):
    """All elements equal."""
    return [
        np.full((1, n), value, dtype)
        for n in (1, 2, 3, 7, 10, 64, 1000)
        for value in (0, 0.1, -3.7, 1e6, -1e30, 1e-30)
    ]


@family
def two_valued(rng, dtype):
    """A large count of one value beside a few of another: errors of the terms add up."""
    rows = []
    for gap in (0.1, 0.7, 1, 5, 10, 17, 30, 80):
        gap = gap * rng.uniform(0.9, 1.1)
        rows.append(np.where(rng.random((6, 300)) < 0.02, 0.0, -gap).astype(dtype))
    return rows


@family
def subnormal_inputs(rng, dtype):
    """Inputs below the normal range, whose exp is 1."""
    tiny = float(np.finfo(dtype).smallest_subnormal)
    return [
        rng.integers(-200, 200, size=(20, 17)).astype(dtype) * dtype(tiny),
        rng.integers(-(2**22), 2**22, size=(20, 17)).astype(dtype) * dtype(tiny),
    ]


@family
def subnormal_results(rng, dtype):
    """Elements so far below the maximum that their softmax is subnormal, or just not."""
    end = limits(dtype)[1]
    rows = -rng.uniform(end - (end // 12), end, size=(120, 12))
    rows[:, 0] = 0
    return [rows.astype(dtype), (rows + rng.uniform(0, 9, size=(120, 1))).astype(dtype)]


@family
def reduction_borders(rng, dtype):
    """Halves of ln 2 and their neighbours, where x's reduction changes its integer part."""
    end = limits(dtype)[1] / LN2
    k = np.concatenate([np.arange(0, end), -np.arange(0, end, 7)])
    x = ((k + 0.5) * LN2).astype(dtype)
    rows = []
    for neighbour in (np.nextafter(x, dtype(-np.inf)), x, np.nextafter(x, dtype(np.inf))):
        rows += [
            np.stack([neighbour, np.zeros_like(x)], axis=1),
            np.stack([neighbour, x + x, dtype(0.3) * x], axis=1),
        ]
    return rows


@family
def huge(rng, dtype):
    """Up to the largest number: differences overflow, results do not all."""
    top = float(np.finfo(dtype).max)
    pairs = [(top, top), (top, -top), (-top, -top), (top, 0), (0, -top), (top, top / 2)]
    return [np.array(pairs, dtype), (rng.uniform(-1, 1, size=(40, 9)) * top).astype(dtype)]


@family
def near_zero_logsumexp(rng, dtype):
    """Rows whose maximum and logarithm of the sum nearly cancel."""
    rows = []
    for n in (2, 3, 10, 100):
        x = np.full((20, n), -np.log(n)).astype(dtype)
        steps = rng.integers(-4, 5, size=x.shape)
        rows.append((x + steps * np.spacing(np.abs(x))).astype(dtype))
    return rows


@family
def every_length(rng, dtype):
    """Each length from 1 to 200."""
    return [
        (rng.normal(size=(3, n)) * 10.0 ** rng.uniform(-2, 2, size=(3, 1))).astype(dtype)
        for n in range(1, 201)
    ]


@family
def many_pairs(rng, dtype):
    """Very many rows of two and three elements, of all moderate scales."""
    return [
        (rng.normal(size=(60_000, n)) * 10.0 ** rng.uniform(-3, 2.3, size=(60_000, 1))).astype(dtype)
        for n in (2, 3)
    ]


@family
def long_rows(rng, dtype):
    """Up to a million elements."""
    return [
        (rng.normal(size=(1, n)) * scale).astype(dtype)
        for n in (1_000, 4_097, 10_000, 100_000, 1_000_000)
        for scale in (0.01, 1, 10)
    ]


@family
def zero_among_tiny_terms(rng, dtype):
    """One zero, and 100,000 equal terms, each of which rounds away beside it."""
    rows = []
    for gap in (8, 11.3, 17, 20, 36, 40, 80):
        row = np.full((1, 100_000), -gap, dtype)
        for place in (0, 50_001):
            row[:, place] = 0
            rows.append(row.copy())
            row[:, place] = -gap
    return rows


# Vectors that a VJP takes beside its `y` ----------------------------------------------------------


@vector
def normal(rng, y):
    return rng.normal(size=y.shape)


@vector
def mixed_scales(rng, y):
    return rng.normal(size=y.shape) * 10.0 ** rng.uniform(-6, 6, size=y.shape)


@vector
def one_hot(rng, y):
    g = np.zeros(y.shape)
    g[np.arange(len(y)), rng.integers(y.shape[1], size=len(y))] = -1.7
    return g


@vector
def constant_vector(rng, y):
    """Σ y·g is g itself: all of softmax's VJP cancels."""
    return np.ones(y.shape) * rng.uniform(1, 2, size=(len(y), 1))


@vector
def cancelling(rng, y):
    """Σ g is smaller than its terms by six orders, yet is all there is at the largest y: g = 0."""
    g = rng.normal(size=y.shape)
    pairs = (y.shape[1] - 1) // 2
    g[:, 1 + pairs : 1 + 2 * pairs] = -g[:, 1 : 1 + pairs]
    g[:, 1:2] += 1e-6
    g[:, 0] = 0
    g[:, 1 + 2 * pairs :] = 0
    cancelling = np.empty_like(g)
    np.put_along_axis(cancelling, np.argsort(-y, axis=1), g, axis=1)
    return cancelling
