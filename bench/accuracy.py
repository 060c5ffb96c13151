"""How far results are from the truth: the largest errors of each peer, all on the same rows.

The truth is computed with mpmath to 40 digits, from the very inputs that the peers get. Errors of
softmax and log_softmax are in units in the last place (ULP) of the true value, subnormal ones
included. Where terms cancel, no arithmetic does well by that measure; so logsumexp is held to the
ULP of the larger of result and maximum, and a gradient to half of the machine epsilon times the
element's natural scale, the size of the terms that it is the difference of.
"""

from dataclasses import dataclass

import mpmath
import numpy as np

from bench import plain

OPERATIONS = ("softmax", "log_softmax", "logsumexp", "softmax_vjp", "log_softmax_vjp")
UNITS = {op: "u of scale" if op.endswith("_vjp") else "ULP" for op in OPERATIONS}

# Rows of logits N(offset, range²): (range, offset).
RANGES = [(0.1, 0), (0.3, 0), (1, 0), (3, 0), (10, 0), (30, 0), (100, 0), (300, 0), (3, 1000)]
# How many rows of which length for each range.
ROWS = {10: 100, 1000: 8}

# Bits of the significand, and exponent of the smallest number.
FORMATS = {"float32": (24, -149), "float64": (53, -1074)}


@dataclass
class Truth:
    """True values as (high + low) · 2^exponent, and what a unit of error is.

    With 2^exponent the ULP, high + low is a number of moderate size even where the value itself is
    subnormal, and has twice the bits that a result has.
    """

    high: np.ndarray
    low: np.ndarray
    exponent: np.ndarray
    units: np.ndarray  # in one unit of error, as multiples of 2^exponent

    def errors(self, result):
        """Errors of a result, in units; infinite where it is not finite.

        Parameters
        ----------
        result : ndarray
            In the type that the truth was made for.

        Returns
        -------
        ndarray of float64
        """
        with np.errstate(all="ignore"):
            scaled = np.ldexp(result.astype(np.float64), -self.exponent)
            errors = np.abs(scaled - self.high - self.low) / self.units
        return np.where(np.isfinite(result), errors, np.inf)


def rows(dtype, length):
    """Make the rows: for each of `RANGES` as many as `ROWS` says.

    Parameters
    ----------
    dtype : str
    length : int

    Returns
    -------
    ndarray
    """
    rng = np.random.default_rng(length)
    blocks = [rng.normal(offset, scale, (ROWS[length], length)) for scale, offset in RANGES]
    return np.concatenate(blocks).astype(dtype)


def inputs(op, x):
    """Make an operation's arrays out of logits.

    Parameters
    ----------
    op : str
        A name of `OPERATIONS`.
    x : ndarray

    Returns
    -------
    dict of str to ndarray
    """
    if not op.endswith("_vjp"):
        return {"x": x}
    y = getattr(plain, op.removesuffix("_vjp"))(x.astype(np.float64))
    g = np.random.default_rng(1).standard_normal(x.shape)
    return {"y": y.astype(x.dtype), "g": g.astype(x.dtype)}


def truths(dtype, length):
    """Compute all operations on `rows`.

    Parameters
    ----------
    dtype : str
    length : int

    Yields
    ------
    op : str
    arrays : dict of str to ndarray
        What the peers get.
    truth : Truth
    """
    x = rows(dtype, length)
    with mpmath.workdps(40):
        forward = zip(*(_forward(row) for row in _exact(x)), strict=True)
        for op, values in zip(OPERATIONS[:3], forward, strict=True):
            sizes = values
            if op == "logsumexp":
                tops = (max(row) for row in _exact(x))
                sizes = [[max(abs(top), abs(v[0]))] for top, v in zip(tops, values, strict=True)]
            yield op, {"x": x}, _encode(values, sizes, None, dtype)
        for op in OPERATIONS[3:]:
            arrays = inputs(op, x)
            gradient = {"softmax_vjp": _softmax_vjp, "log_softmax_vjp": _log_softmax_vjp}[op]
            pairs = [gradient(y, g) for y, g in zip(*map(_exact, arrays.values()), strict=True)]
            values, scales = zip(*pairs, strict=True)
            yield op, arrays, _encode(values, values, scales, dtype)


def worst(result, truth):
    """Find the largest error in each of `RANGES`.

    Parameters
    ----------
    result : ndarray
    truth : Truth

    Returns
    -------
    list of dict
        With ``scale`` and ``offset`` of the logits, and ``error``.
    """
    parts = np.split(truth.errors(result.reshape(truth.high.shape)), len(RANGES))
    return [
        {"scale": scale, "offset": offset, "error": float(part.max())}
        for (scale, offset), part in zip(RANGES, parts, strict=True)
    ]


def _exact(array):
    return [[mpmath.mpf(value) for value in row] for row in array.tolist()]


def _forward(row):
    """softmax, log_softmax and [logsumexp] of a row."""
    top = max(row)
    rest = list(row)
    rest.remove(top)
    # Without the maximum's own 1, so that a logarithm near zero keeps all its digits.
    total = mpmath.fsum(mpmath.exp(x - top) for x in rest)
    log_total = mpmath.log1p(total)
    p = [mpmath.exp(x - top) / (1 + total) for x in row]
    return p, [(x - top) - log_total for x in row], [top + log_total]


def _softmax_vjp(y, g):
    products = [a * b for a, b in zip(y, g, strict=True)]
    total, size = mpmath.fsum(products), mpmath.fsum(products, absolute=True)
    values = [a * (b - total) for a, b in zip(y, g, strict=True)]
    return values, [a * (abs(b) + size) for a, b in zip(y, g, strict=True)]


def _log_softmax_vjp(y, g):
    total = mpmath.fsum(g)
    p = [mpmath.exp(a) for a in y]
    values = [b - a * total for a, b in zip(p, g, strict=True)]
    return values, [abs(b) + a * abs(total) for a, b in zip(p, g, strict=True)]


def _encode(values, sizes, scales, dtype):
    """Split true values for `Truth`; `sizes` are the values whose ULP counts."""
    bits, least = FORMATS[dtype]
    shape = (len(values), len(values[0]))
    exponent = np.empty(shape, int)
    high, low, units = np.empty(shape), np.empty(shape), np.ones(shape)
    for i in range(shape[0]):
        for j in range(shape[1]):
            power = max(mpmath.frexp(sizes[i][j])[1] - bits, least)
            scaled = mpmath.ldexp(values[i][j], -power)
            exponent[i, j] = power
            high[i, j] = float(scaled)
            low[i, j] = float(scaled - high[i, j])
            if scales is not None:
                unit = mpmath.ldexp(scales[i][j], -bits - power)
                # No result is finer than the smallest number.
                units[i, j] = max(float(unit), 2.0 ** (least - power))
    return Truth(high, low, exponent, units)
