"""Errors in ULP: a truth of 200 bits or more, and the distance of a computed value from it.

A truth is kept as ``(hi + lo)·2^exponent``, two float64 and an integer per element: 106 bits, of
any size, subnormal results of float64 included. So distances are exact enough (2^-50 ULP) in plain
float64, on every platform.

Two ways lead to a truth:

- `exact`: MPFR with 240 bits, element by element (some 5 µs each);
- `wide`: ``softmax_ext._reference`` in longdouble, vectorised, for rows too long for the first. Of
  its 64 bits it loses one or two, which is 2^-9 ULP of a float64; `test_reference.py` holds it
  against the first. Where longdouble is no wider than float64 it serves float32 only.

One ULP is the spacing of the target format at the *true* value; below the normal range it is the
spacing of the subnormals.
"""

import math

import gmpy2
import numpy as np
import operations
from gmpy2 import mpfr

from softmax_ext import _reference

BITS = 240
WIDE_ENOUGH = {np.float32: True, np.float64: np.finfo(np.longdouble).nmant >= 63}


def call(module, name, *rows, temperature=1.0):
    """Call a result of `operations.RESULTS` of the package or of its reference on 2-D arrays of rows."""
    options = {} if temperature == 1 else {"temperature": temperature}
    return operations.RESULTS[name].call(module, *rows, **options)


class Truth:
    """True values: ``(hi + lo)·2^exponent`` with 1/2 <= abs(hi) <= 1, and 2^-4000 or less as 0."""

    def __init__(self, hi, lo, exponent):
        self.exponent = np.maximum(exponent, ZERO).astype(np.int64)
        self.hi = np.where(self.exponent == ZERO, 0.0, hi)
        self.lo = np.where(self.exponent == ZERO, 0.0, lo)

    @classmethod
    def of_mpfr(cls, rows):
        """Take a list of rows of mpfr numbers."""
        parts = np.array([[_split(t) for t in row] for row in rows], dtype=np.float64)
        return cls(parts[..., 0], parts[..., 1], parts[..., 2])

    @classmethod
    def of_wide(cls, values):
        """Take an array of longdouble."""
        mantissa, exponent = np.frexp(values)
        hi = mantissa.astype(np.float64)
        lo = (mantissa - hi).astype(np.float64)
        return cls(hi, lo, np.where(mantissa == 0, ZERO, exponent))

    def distance(self, got, unit):
        """Return the distance of `got` in units (positive float64), everywhere positive.

        Where the true value rounds to infinity, that infinity has distance 0.
        """
        got = np.asarray(got)
        info = np.finfo(got.dtype)
        # Both numbers are first brought below 1; where they are near each other, got - hi is exact.
        e = np.maximum(self.exponent, np.where(got == 0, ZERO, np.frexp(got)[1]))
        mantissa, unit_exponent = np.frexp(unit)
        with np.errstate(all="ignore"):
            gap = _scale(got, -e) - _scale(self.hi, self.exponent - e)
            gap = np.abs(gap - _scale(self.lo, self.exponent - e))
            units = _scale(gap / mantissa, e - unit_exponent)
        largest = 1 - 2.0 ** -(info.nmant + 2)  # from here on, times 2^maxexp, infinity is nearest
        beyond = np.ldexp(np.abs(self.hi), np.minimum(self.exponent - info.maxexp, 9)) >= largest
        met = np.isinf(got) & beyond & (np.signbit(got) == np.signbit(self.hi))
        return np.where(met, 0.0, np.where(np.isfinite(got), units, np.inf))


ZERO = -4000  # the exponent that stands for zero


def spacing(exponent, dtype):
    """Return the size of one ULP in `dtype`, for values in [2^(exponent-1), 2^exponent)."""
    info = np.finfo(dtype)
    return np.ldexp(1.0, np.maximum(exponent, info.minexp + 1) - 1 - info.nmant)


def _split(t):
    if t == 0:
        return 0.0, 0.0, ZERO
    exponent, mantissa = gmpy2.frexp(t)
    hi = float(mantissa)
    return hi, float(mantissa - hi), max(exponent, ZERO)


def _scale(x, exponent):
    """Return x·2^exponent in float64, in steps, since 2^exponent may be out of range."""
    x, exponent = np.asarray(x, np.float64), np.clip(exponent, -6000, 6000)
    while np.any(exponent):
        step = np.clip(exponent, -1000, 1000)
        x, exponent = np.ldexp(x, step), exponent - step
    return x


# Errors -------------------------------------------------------------------------------------------


def errors(name, got, truth, *rows, temperature=1.0):
    """Return the error of each element in the unit of its measure, which `operations.py` explains.

    Each product of a row may be subnormal and lose half of the subnormals' spacing, whatever u is: a quarter of
    that for each element of the row is added to the natural scale, so that a bound of 4 u leaves room for one such
    loss an element. Derivatives keep their products out of that range. For them the spacing itself is added, so that
    the rounding of a subnormal result counts as 1 u; `test_derivatives.py` looks closer.
    """
    dtype, result = got.dtype, operations.RESULTS[name]
    if result.measure == "result":
        return truth.distance(got, spacing(truth.exponent, dtype))
    if result.measure == "row":
        (x,) = rows
        top = np.frexp(x.max(axis=-1, keepdims=True).astype(np.float64) / temperature)[1]
        return truth.distance(got, spacing(np.maximum(truth.exponent, top), dtype))
    if result.measure == "weighted":
        return _weighted_errors(got, truth, *rows)
    info = np.finfo(dtype)
    first, *others = (a.astype(np.float64) for a in rows)
    scale = result.scale(first / temperature, *others, total=_row_sums)
    losses = 1 if result.measure == "products" else 1 + got.shape[-1] / 4
    two_u = float(info.eps) * scale + losses * float(info.smallest_subnormal)
    return 2 * truth.distance(got, two_u)


def _weighted_errors(got, truth, x, b):
    """Return the errors of logarithms of weighted sums; 0 of a sum that is 0, whose condition is infinite."""
    with np.errstate(all="ignore"):
        x, b = (a.astype(np.longdouble) for a in (x, b))
        x = np.where(b == 0, -np.inf, x)
        logs = np.where(x == -np.inf, -np.inf, x + np.log(np.abs(b)))
        lead = logs.argmax(axis=-1)[..., None]
        x_lead, b_lead = (np.take_along_axis(a, lead, axis=-1) for a in (x, b))
        terms = np.where(logs == -np.inf, 0, b / b_lead * np.exp(x - x_lead))
        sizes = np.abs(terms).sum(axis=-1, keepdims=True)
        condition = sizes / np.abs(terms.sum(axis=-1, keepdims=True))
        # where longdouble is float64, terms beyond half of the largest one may seem less
        counts = np.abs(terms) >= 0.499
        digits = np.where(counts, np.maximum(np.abs(x), np.abs(np.log(np.abs(b)))), 0).max(
            axis=-1, keepdims=True
        )
        top = np.frexp(np.maximum(digits, 1 - 1 / sizes).astype(np.float64))[1]
        error = truth.distance(got, spacing(np.maximum(truth.exponent, top), got.dtype))
        return np.where(condition < 1e15, error / condition, 0).astype(np.float64)


def _row_sums(a):
    """Return the sum of each row, rounded once: it may cancel."""
    return np.array([[math.fsum(row)] for row in a])


# The truth ----------------------------------------------------------------------------------------


def exact(function, *rows, temperature=1.0):
    """Return the truth for 2-D arrays of rows (x; or y and g), from MPFR; of x / temperature."""
    with gmpy2.context(gmpy2.get_context(), precision=BITS):
        formula = _EXACT[function]
        by, divisor = [mpfr(temperature)] * len(rows), mpfr(operations.RESULTS[function].temperature)
        if function in operations.LOSSES:  # the temperature is that of the logits, and of their gradient
            by[0], divisor = divisor, divisor if function.endswith("grad") else mpfr(1)
        lists = [
            [[mpfr(float(v)) / t for v in row] for row in array] for array, t in zip(rows, by, strict=True)
        ]
        return Truth.of_mpfr([[v / divisor for v in formula(*row)] for row in zip(*lists, strict=True)])


def wide(function, *rows, temperature=1.0):
    """Return the truth for 2-D arrays of rows (x; or y and g), from longdouble; of x / temperature."""
    rows = (a.astype(np.longdouble) for a in rows)
    values = call(_reference, function, *rows, temperature=temperature)
    if operations.RESULTS[function].measure == "weighted":
        values = np.where(values == -np.inf, 0, values)  # of a sum that is 0, which is not measured
    return Truth.of_wide(values)


def _softmax(x):
    top = max(x)
    e = [gmpy2.exp(v - top) for v in x]
    total = gmpy2.fsum(e)
    return [v / total for v in e]


def _log_of_sum(x):
    """Return the maximum, and log Σ exp(x - max), from the sum without the maximum's own term."""
    top = x.index(max(x))
    others = [gmpy2.exp(v - x[top]) for i, v in enumerate(x) if i != top]
    return x[top], gmpy2.log1p(gmpy2.fsum(others))


def _log_softmax(x):
    top, log = _log_of_sum(x)
    return [(v - top) - log for v in x]


def _logsumexp(x):
    top, log = _log_of_sum(x)
    return [top + log]


def _signed_logsumexp(x, b):
    terms = [(v, w) for v, w in zip(x, b, strict=True) if w and v > -math.inf]
    if not terms:
        return [mpfr(0)]  # which is not measured
    top = max(range(len(terms)), key=lambda i: terms[i][0] + gmpy2.log(abs(terms[i][1])))
    x_top, b_top = terms.pop(top)
    others = gmpy2.fsum([w * gmpy2.exp(v - x_top) for v, w in terms]) / b_top
    if others == -1:
        return [mpfr(0)]
    log = gmpy2.log1p(others) if others > -1 else gmpy2.log(-1 - others)
    return [x_top + gmpy2.log(abs(b_top)) + log]


def _softmax_entropy(x):
    top, log = _log_of_sum(x)
    e = [gmpy2.exp(v - top) for v in x]
    return [log + gmpy2.fsum([a * (top - v) for a, v in zip(e, x, strict=True)]) / gmpy2.fsum(e)]


def _softmax_vjp(y, g):
    dot = gmpy2.fsum([a * b for a, b in zip(y, g, strict=True)])
    return [a * (b - dot) for a, b in zip(y, g, strict=True)]


def _log_softmax_vjp(y, g):
    total = gmpy2.fsum(g)
    return [b - gmpy2.exp(a) * total for a, b in zip(y, g, strict=True)]


def _log_softmax_jvp(y, v):
    dot = gmpy2.fsum([gmpy2.exp(a) * b for a, b in zip(y, v, strict=True)])
    return [b - dot for b in v]


def _target_loss(x, q):
    return [-gmpy2.fsum([b * a for a, b in zip(_log_softmax(x), q, strict=True) if b])]


def _target_loss_grad(x, q):
    total = gmpy2.fsum(q)
    return [a * total - b for a, b in zip(_softmax(x), q, strict=True)]


def _label_loss(x):
    return [-_log_softmax(x)[0]]


def _label_loss_grad(x):
    return _target_loss_grad(x, [mpfr(1), *[mpfr(0)] * (len(x) - 1)])


_EXACT = {
    "label_loss": _label_loss,
    "label_loss_grad": _label_loss_grad,
    "target_loss": _target_loss,
    "target_loss_grad": _target_loss_grad,
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "logsumexp": _logsumexp,
    "signed_logsumexp": _signed_logsumexp,
    "softmax_entropy": _softmax_entropy,
    "softmax_vjp": _softmax_vjp,
    "log_softmax_vjp": _log_softmax_vjp,
    "log_softmax_jvp": _log_softmax_jvp,
}
