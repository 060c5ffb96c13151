"""Softmax and its relatives in plain NumPy: the readable truth.

Every function of the package once more, written as its formula, computed in `numpy.longdouble` and
rounded once to the type of the result. Slow, and meant to be: the tests and the self-check of
``python -m softmax_ext`` hold the compiled kernels to it.

Three steps are there for accuracy alone:

- the gap ``x - max`` may need more digits than the arithmetic has: `_exp` takes along what the
  subtraction rounded away;
- the logarithm of a row's sum is ``log1p`` of the sum without its largest term, which is exactly 1,
  so that log_softmax keeps its digits where it is close to 0;
- rows are laid out contiguously, because NumPy sums pairwise along contiguous rows only.

Special values need no case of their own in softmax and log_softmax: ``inf - inf`` is NaN, and one
NaN in a row's sum reaches every element of the row.

Elements hidden by ``where`` are replaced before anything is computed: by -inf, or by what adds
nothing to a sum, and their results are what the contract says.

Signatures are those of the public functions, without ``out``. Beyond their contract, longdouble
input gives a longdouble result: the truth before it is rounded.
"""

import itertools

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

__all__ = [
    "cross_entropy",
    "cross_entropy_with_grad",
    "log_softmax",
    "log_softmax_jvp",
    "log_softmax_vjp",
    "logsumexp",
    "segment_log_softmax",
    "segment_log_softmax_jvp",
    "segment_log_softmax_vjp",
    "segment_logsumexp",
    "segment_softmax",
    "segment_softmax_jvp",
    "segment_softmax_vjp",
    "softmax",
    "softmax_entropy",
    "softmax_jacobian",
    "softmax_jvp",
    "softmax_vjp",
]


@np.errstate(all="ignore")
def softmax(x, axis=-1, *, dtype=None, where=None, temperature=1.0, initial=None, return_logsumexp=False):
    """Return exp(x/T) / (exp(initial) + Σ exp(x/T)) along `axis`.

    Parameters
    ----------
    x : array_like
        float16, bfloat16, float32 or float64; bool and integers count as float64.
    axis : int, tuple of ints or None, default -1
        The axes that make up a row; None takes the whole array as one row.
    dtype : dtype, optional
        Type of the result, by default that of `x`.
    where : array_like of bool, optional
        What is not hidden; broadcasts to the shape of `x`.
    temperature : float, default 1.0
        T.
    initial : array_like, optional
        Broadcasts to the shape of `x` with 1 along `axis`; None is -inf, which adds nothing.
    return_logsumexp : bool, default False
        Return a pair, of which the second is `logsumexp`.

    Returns
    -------
    ndarray
        In the shape of `x`. A row that holds NaN or +inf, or only -inf without a finite `initial`, gives NaN
        throughout; hidden elements give 0.

    Examples
    --------
    >>> softmax([0.25, 1.23, -0.8]).round(3)
    array([0.249, 0.664, 0.087])
    """
    x = _array(x)
    result = _result_type(x, dtype)
    rows = _Rows(x.shape, axis)
    terms = _with_initial(rows, rows.split(_seen(x, where, -np.inf)), initial, temperature)
    e = _exp(terms, _max(terms), temperature)
    y = (e / _sum(e))[..., : rows.length]
    y = _round(_seen(rows.join(y), where, 0), result)
    return (y, _round(_log_sum(terms, temperature)[..., 0], result)) if return_logsumexp else y


@np.errstate(all="ignore")
def log_softmax(x, axis=-1, *, dtype=None, where=None, temperature=1.0, initial=None, return_logsumexp=False):
    """Return x/T - log(exp(initial) + Σ exp(x/T)) along `axis`, the logarithm of `softmax`, accurate also near 0.

    Parameters and result are those of `softmax`; -inf stays -inf beside a finite maximum, and is
    what hidden elements give.

    Examples
    --------
    >>> log_softmax([0.0, -40.0])
    array([-4.24835426e-18, -4.00000000e+01])
    """
    x = _array(x)
    result = _result_type(x, dtype)
    rows = _Rows(x.shape, axis)
    terms = _with_initial(rows, rows.split(_seen(x, where, -np.inf)), initial, temperature)
    gap = (terms - _max(terms)) / np.longdouble(temperature)
    y = (gap - np.log1p(_others(terms, temperature)))[..., : rows.length]
    y = _round(_seen(rows.join(y), where, -np.inf), result)
    return (y, _round(_log_sum(terms, temperature)[..., 0], result)) if return_logsumexp else y


@np.errstate(all="ignore")
def logsumexp(
    x, axis=-1, *, keepdims=False, dtype=None, where=None, b=None, return_sign=False, initial=None,
    temperature=1.0,
):  # fmt: skip
    """Return log(exp(initial) + Σ b·exp(x/T)) along `axis`.

    Parameters
    ----------
    x, axis, dtype, where, initial, temperature
        As in `softmax`.
    keepdims : bool, default False
        Keep each axis of a row, with length 1.
    b : array_like, optional
        Weights; `b` and `x` broadcast with each other. None is 1.
    return_sign : bool, default False
        Return a pair: the logarithm of the sum's size, and its sign.

    Returns
    -------
    ndarray or scalar
        One value per row: +inf where the row holds +inf (and no NaN), -inf where it holds only
        -inf or nothing at all, or nothing that is seen. With weights, NaN where the sum is negative, unless its
        sign is returned, or where infinite terms cancel; -inf where the sum is 0.

    Examples
    --------
    >>> logsumexp([1000.0, 1000.0]).round(3)
    np.float64(1000.693)
    >>> logsumexp([1000.0, 999.0], b=[1.0, -1.0]).round(3)
    np.float64(999.541)
    """
    if b is not None or return_sign:
        total, sign, rows, result = _weighted_log_sum(x, axis, dtype, where, b, initial, temperature)
        total = total if return_sign else np.where(sign < 0, np.nan, total)
        total, sign = (
            _round(rows.join(t, reduced=True) if keepdims else t[..., 0], result) for t in (total, sign)
        )
        return (total, sign) if return_sign else total
    x = _array(x)
    result = _result_type(x, dtype)
    rows = _Rows(x.shape, axis)
    terms = _with_initial(rows, rows.split(_seen(x, where, -np.inf)), initial, temperature)
    total = _log_sum(terms, temperature)
    return _round(rows.join(total, reduced=True) if keepdims else total[..., 0], result)


@np.errstate(all="ignore")
def softmax_entropy(x, axis=-1, *, keepdims=False, dtype=None, where=None, temperature=1.0):
    """Return -Σ p log p along `axis`, where p is `softmax`, as a sum of terms that are not negative.

    Parameters
    ----------
    x, axis, dtype, where, temperature
        As in `softmax`.
    keepdims : bool, default False
        Keep each axis of a row, with length 1.

    Returns
    -------
    ndarray or scalar
        One value per row: NaN where the row holds NaN or +inf, or only -inf; 0 where nothing is
        there, or nothing that is seen.

    Examples
    --------
    >>> softmax_entropy([0.0, 0.0]).round(3)
    np.float64(0.693)
    """
    x = _array(x)
    result = _result_type(x, dtype)
    rows = _Rows(x.shape, axis)
    seen = rows.split(_seen(np.ones(x.shape), where, 0)).any(axis=-1, keepdims=True)
    x = rows.split(_seen(x, where, -np.inf))
    top = _max(x)
    e = _exp(x, top, temperature)
    gap = np.where(e == 0, 0, (top - x) / np.longdouble(temperature))
    entropy = np.log1p(_others(x, temperature)) + _sum(e * gap) / _sum(e)
    entropy = np.where(seen, entropy, 0)
    return _round(rows.join(entropy, reduced=True) if keepdims else entropy[..., 0], result)


@np.errstate(all="ignore")
def softmax_vjp(y, g, axis=-1, *, where=None, temperature=1.0):
    """Return y·(g - Σ y·g)/T along `axis`: `g` times the Jacobian of softmax.

    Parameters
    ----------
    y : array_like
        What `softmax` returned, with the same temperature.
    g : array_like
        Gradient of a scalar with respect to `y`; broadcasts to the shape of `y`.
    axis : int, tuple of ints or None, default -1
        As in `softmax`.
    where : array_like of bool, optional
        As in `softmax`.
    temperature : float, default 1.0
        T, as in `softmax`.

    Returns
    -------
    ndarray
        Gradient with respect to softmax's input, in the shape of `y`; 0 at hidden elements.

    Examples
    --------
    >>> softmax_vjp([0.5, 0.25, 0.25], [1.0, 0.0, 0.0])
    array([ 0.25 , -0.125, -0.125])
    """
    divisor = np.longdouble(temperature)
    return _with_vector(lambda y, g: y * (g - _sum(y * g)) / divisor, y, g, axis, where, 0)


@np.errstate(all="ignore")
def log_softmax_vjp(y, g, axis=-1, *, where=None, temperature=1.0):
    """Return (g - exp(y)·Σ g)/T along `axis`: `g` times the Jacobian of log_softmax.

    Parameters and result are those of `softmax_vjp`; `y` is what `log_softmax` returned.

    Examples
    --------
    >>> log_softmax_vjp(np.log([0.5, 0.25, 0.25]), [1.0, 0.0, 0.0])
    array([ 0.5 , -0.25, -0.25])
    """
    divisor = np.longdouble(temperature)
    return _with_vector(lambda y, g: (g - np.exp(y) * _sum(g)) / divisor, y, g, axis, where, -np.inf)


def softmax_jvp(y, v, axis=-1, *, where=None, temperature=1.0):
    """Return the Jacobian of softmax times `v`; it is symmetric, so this is `softmax_vjp`."""
    return softmax_vjp(y, v, axis, where=where, temperature=temperature)


@np.errstate(all="ignore")
def log_softmax_jvp(y, v, axis=-1, *, where=None, temperature=1.0):
    """Return (v - Σ exp(y)·v)/T along `axis`: the Jacobian of log_softmax times `v`.

    Parameters and result are those of `log_softmax_vjp`.

    Examples
    --------
    >>> log_softmax_jvp(np.log([0.5, 0.25, 0.25]), [1.0, 0.0, 0.0])
    array([ 0.5, -0.5, -0.5])
    """
    divisor = np.longdouble(temperature)
    return _with_vector(lambda y, v: (v - _sum(np.exp(y) * v)) / divisor, y, v, axis, where, -np.inf)


def cross_entropy(
    logits, labels, axis=-1, *, reduction="mean", weight=None, ignore_index=None, label_smoothing=0.0,
    where=None, temperature=1.0, sample_weight=None,
):  # fmt: skip
    """Return the cross-entropy, -Σ t·log_softmax(logits) of each row, or their sum or mean.

    Parameters
    ----------
    logits : array_like
        As in `softmax`.
    labels : array_like
        Integers in the shape of `logits` without the axis, or floats in its shape: q, which is 1 at the label.
    axis : int, default -1
        The axis of a row, of length C.
    reduction : {"mean", "sum", "none"}, default "mean"
        The mean divides by Σ weight of the labels that count, or by the number of rows of probabilities.
    weight : array_like of shape (C,), optional
        Of the classes.
    ignore_index : int, optional
        A label of rows that do not count.
    label_smoothing : float, default 0.0
        s in the targets t = weight·((1 - s)·q + s/C), C being the number of visible classes.
    where : array_like of bool, optional
        The visible classes; broadcasts to the shape of `logits`. The probabilities of others count as 0.
    temperature : float, default 1.0
        What the logits are divided by.
    sample_weight : array_like, optional
        What each row's targets are multiplied by; 0 is as ignored. The mean divides by it, too.

    Returns
    -------
    scalar or ndarray
        0 where nothing counts; inf where the label is hidden.

    Examples
    --------
    >>> cross_entropy([[0.0, 0.0], [7.0, 7.0]], [0, 1]).round(6)
    np.float64(0.693147)
    """
    return _losses(
        logits,
        labels,
        axis,
        reduction,
        weight,
        ignore_index,
        label_smoothing,
        where,
        temperature,
        sample_weight,
    )[0]


def cross_entropy_with_grad(
    logits, labels, axis=-1, *, reduction="mean", weight=None, ignore_index=None, label_smoothing=0.0,
    where=None, temperature=1.0, sample_weight=None,
):  # fmt: skip
    """Return `cross_entropy` and its gradient (with "none" that of the sum): p·Σ t - t, p the softmax.

    Parameters are those of `cross_entropy`.

    Examples
    --------
    >>> cross_entropy_with_grad([[0.0, 0.0]], [0])[1]
    array([[-0.5,  0.5]])
    """
    return _losses(
        logits,
        labels,
        axis,
        reduction,
        weight,
        ignore_index,
        label_smoothing,
        where,
        temperature,
        sample_weight,
    )


@np.errstate(all="ignore")
def _losses(
    logits, labels, axis, reduction, weight, ignore_index, label_smoothing, where, temperature, sample_weight
):
    x = _array(logits, "logits")
    result = x.dtype.newbyteorder("=")
    rows = _Rows(x.shape, axis)
    classes = x.shape[axis]
    w = np.ones(classes) if weight is None else np.asarray(weight, result)
    seen = rows.split(np.broadcast_to(True if where is None else where, x.shape))  # 1 or 0
    visible = _sum(seen)
    samples = np.ones(rows.others) if sample_weight is None else np.asarray(sample_weight, result)
    x, w, samples = (
        rows.split(_seen(x, where, -np.inf)),
        w.astype(np.longdouble),
        samples.astype(np.longdouble),
    )
    labels = np.asarray(labels)
    counts = samples > 0
    if labels.dtype.kind == "f":
        q = np.where(seen, rows.split(labels.astype(result)), 0)
        divisor = np.where(counts, samples, 0).sum()
    else:
        counts = counts if ignore_index is None else counts & (labels != ignore_index)
        q = np.equal(labels[..., None], np.arange(classes)).astype(np.longdouble)
        divisor = np.where(counts, (q * w).sum(axis=-1) * samples, 0).sum()
    smoothing = np.longdouble(label_smoothing)
    t = w * ((1 - smoothing) * q + np.where(seen, smoothing / np.maximum(visible, 1), 0))
    log_p = (x - _max(x)) / np.longdouble(temperature) - np.log1p(_others(x, temperature))
    log_p = np.where(visible == 0, -np.inf, log_p)  # nothing is visible
    terms = np.where((t == 0) & np.isneginf(log_p), 0, t * log_p)
    loss = np.where(counts, -_sum(terms)[..., 0] * samples, 0)
    gradient = (_sum(t) * np.exp(log_p) - t) * samples[..., None] / np.longdouble(temperature)
    gradient = np.where(counts[..., None] & (seen > 0), gradient, 0)
    if reduction == "mean":
        gradient = gradient / divisor if divisor else np.zeros_like(gradient)
        loss = np.asarray(loss.sum() / divisor if divisor else np.longdouble(0))
    elif reduction == "sum":
        loss = np.asarray(loss.sum())
    return loss.astype(result)[()], rows.join(gradient).astype(result)


@np.errstate(all="ignore")
def softmax_jacobian(y, axis=-1, *, temperature=1.0):
    """Return (diag(y) - y yᵀ)/T for each row along `axis`.

    Parameters
    ----------
    y : array_like
        What `softmax` returned, with the same temperature.
    axis : int, default -1
        The axis of a row, of length n.
    temperature : float, default 1.0
        T, as in `softmax`.

    Returns
    -------
    ndarray
        In the shape of `y` without that axis, followed by (n, n).

    Examples
    --------
    >>> softmax_jacobian([0.5, 0.5])
    array([[ 0.25, -0.25],
           [-0.25,  0.25]])
    """
    y = _array(y, "y")
    result = y.dtype.newbyteorder("=")
    y = _Rows(y.shape, axis).split(y)
    # y_i (δ_ij - y_j): 1 - y_i is exact where y_i is near 1, which y_i - y_i² is not.
    jacobian = y[..., :, None] * (np.eye(y.shape[-1]) - y[..., None, :])
    return _round(jacobian / np.longdouble(temperature), result)


def segment_softmax(x, indptr, *, where=None, temperature=1.0):
    """Return `softmax` of each segment ``x[indptr[k]:indptr[k + 1]]``, along the first axis.

    Parameters
    ----------
    x : array_like
        As in `softmax`, of at least one dimension.
    indptr : array_like of integers
        From 0 to ``len(x)``, never decreasing.
    where, temperature
        As in `softmax`.

    Returns
    -------
    ndarray
        In the shape of `x`.

    Examples
    --------
    >>> segment_softmax([0.0, 0.0, 5.0], [0, 2, 2, 3])
    array([0.5, 0.5, 1. ])
    """
    return np.concatenate(_by_segment(softmax, indptr, [_array(x)], where, temperature))


def segment_log_softmax(x, indptr, *, where=None, temperature=1.0):
    """Return `log_softmax` of each segment, as `segment_softmax` does."""
    return np.concatenate(_by_segment(log_softmax, indptr, [_array(x)], where, temperature))


def segment_logsumexp(x, indptr, *, where=None, temperature=1.0):
    """Return `logsumexp` of each segment: an array with as many rows as there are segments.

    Examples
    --------
    >>> segment_logsumexp([0.0, 5.0], [0, 0, 1, 2])
    array([-inf,   0.,   5.])
    """
    # The first result is that of no elements, for its type.
    results = _by_segment(logsumexp, indptr, [_array(x)], where, temperature)
    return np.array(results)[1:]


def segment_softmax_vjp(y, g, indptr, *, where=None, temperature=1.0):
    """Return `softmax_vjp` of each segment of `y` and of `g`, broadcast to it."""
    return np.concatenate(_by_segment(softmax_vjp, indptr, _pair(y, g), where, temperature))


def segment_log_softmax_vjp(y, g, indptr, *, where=None, temperature=1.0):
    """Return `log_softmax_vjp` of each segment of `y` and of `g`, broadcast to it."""
    return np.concatenate(_by_segment(log_softmax_vjp, indptr, _pair(y, g), where, temperature))


def segment_softmax_jvp(y, v, indptr, *, where=None, temperature=1.0):
    """Return `softmax_jvp` of each segment of `y` and of `v`, broadcast to it."""
    return segment_softmax_vjp(y, v, indptr, where=where, temperature=temperature)


def segment_log_softmax_jvp(y, v, indptr, *, where=None, temperature=1.0):
    """Return `log_softmax_jvp` of each segment of `y` and of `v`, broadcast to it."""
    return np.concatenate(_by_segment(log_softmax_jvp, indptr, _pair(y, v), where, temperature))


def _pair(y, g):
    y, g = _array(y, "y"), _array(g, "g")
    return [y, np.broadcast_to(g, y.shape)]


def _by_segment(function, indptr, arrays, where, temperature):
    """Return a list: the results of a segment of no elements, which comes first, and of all segments."""
    where = np.broadcast_to(True if where is None else where, arrays[0].shape)
    return [
        function(*(a[start:end] for a in arrays), axis=0, where=where[start:end], temperature=temperature)
        for start, end in [(0, 0), *itertools.pairwise(indptr)]
    ]


# The arithmetic, on rows: longdouble arrays whose last axis is the row ----------------------------


def _max(x):
    return x.max(axis=-1, keepdims=True, initial=-np.inf)


def _sum(x):
    """Sum rows pairwise; what the additions round away is summed apart and added at the end."""
    if x.shape[-1] == 0:
        return np.zeros((*x.shape[:-1], 1), x.dtype)
    lost = 0
    while x.shape[-1] > 1:
        half = x.shape[-1] // 2
        pairs, lost_here = _two_sum(x[..., :half], x[..., half : 2 * half])
        lost = lost + lost_here.sum(axis=-1, keepdims=True)
        x = np.concatenate([pairs, x[..., 2 * half :]], axis=-1)
    return x + lost


def _two_sum(a, b):
    """Return a + b, and what its rounding lost: 0 where the sum is not finite (Knuth)."""
    total = a + b
    b_there = total - a
    lost = (a - (total - b_there)) + (b - b_there)
    return total, np.where(np.isfinite(lost), lost, 0)


def _with_initial(rows, x, initial, temperature):
    """Return the rows with one element more, T times their initial term."""
    if initial is None:
        return x
    shape = [1 if d in rows.axes else n for d, n in enumerate(rows.shape)]
    term = np.broadcast_to(np.asarray(initial, np.longdouble), shape).reshape(*rows.others, 1)
    return np.concatenate([x, term * np.longdouble(temperature)], axis=-1)


def _log_sum(x, temperature):
    """Return log Σ exp(x/T), and the row's axis with length 1."""
    top = _max(x)
    total = top / np.longdouble(temperature) + np.log1p(_others(x, temperature))
    return np.where(np.isfinite(top), total, top)


def _weighted_log_sum(x, axis, dtype, where, b, initial, temperature):
    """Return log |Σ b exp(x/T)| and the sum's sign, with the rows and the type of the result."""
    x = _array(x)
    result = x.dtype.newbyteorder("=")
    if b is None or type(b) in (int, float):
        b = np.array(1.0 if b is None else b, np.longdouble)
    else:
        b_dtype = np.asarray(b).dtype.newbyteorder("=")
        b = _array(b, "b")
        result = _promoted(result, b_dtype)
    result = result if dtype is None else _result_type(x, dtype)
    x, b = np.broadcast_arrays(x, b)
    rows = _Rows(x.shape, axis)
    x, b = rows.split(_seen(x, where, -np.inf)), rows.split(_seen(b, where, 0))
    x = np.where(b == 0, -np.inf, x)
    if initial is not None:
        x, b = (
            _with_initial(rows, x, initial, temperature),
            np.concatenate([b, np.ones_like(b[..., :1])], axis=-1),
        )
        if not rows.length:
            b = np.ones_like(x)
    t = np.longdouble(temperature)
    size = np.where(x == -np.inf, -np.inf, x / t + np.log(np.abs(b)))
    lead = size.argmax(axis=-1)[..., None] if size.shape[-1] else np.zeros((*size.shape[:-1], 1), int)
    if not size.shape[-1]:
        x, b, size = (
            np.full((*a.shape[:-1], 1), v, np.longdouble) for a, v in ((x, -np.inf), (b, 0), (size, 0))
        )
    top, weight = (np.take_along_axis(a, lead, axis=-1) for a in (x, b))
    terms = b / np.abs(weight) * _exp(x, top, temperature)
    np.put_along_axis(terms, lead, 0, axis=-1)
    ratio = _sum(np.where(x == -np.inf, 0, terms)) / np.sign(weight)
    total = (
        np.where(ratio < -1, np.log(np.abs(1 + ratio)), np.log1p(ratio)) + np.log(np.abs(weight)) + top / t
    )
    sign = np.sign(1 + ratio) * np.sign(weight)
    # infinite terms decide, and a row of nothing is 0
    plain = _sum_of_infinite(x, b)
    total = np.where(plain == 0, np.where(np.isfinite(top), total, -np.inf), np.abs(plain))
    sign = np.where(plain == 0, np.where(np.isfinite(top), sign, 0), np.sign(plain))
    return total, sign, rows, result


def _sum_of_infinite(x, b):
    """Return the sum of the terms that are infinite or NaN; 0 if there are none."""
    term = np.where(b == 0, 0, b * np.where(x == np.inf, np.inf, np.where(x == -np.inf, 0, 1)))
    term = np.where(np.isnan(x) & (b != 0), np.nan, term)
    return np.where(np.isfinite(term), 0, term).sum(axis=-1, keepdims=True)


def _promoted(x_dtype, b_dtype):
    """Return the type that NumPy promotes the two to, a floating one."""
    if b_dtype.kind in "biu":
        half = x_dtype.itemsize == 2
        promoted = np.result_type(np.float16 if half else x_dtype, b_dtype)
        return x_dtype if promoted == np.float16 else promoted
    if x_dtype.itemsize == b_dtype.itemsize == 2 and x_dtype != b_dtype:
        return np.dtype(np.float32)
    return np.result_type(x_dtype, b_dtype)


def _exp(x, top, temperature=1.0):
    """Return exp((x - top) / T)."""
    gap, lost = _two_sum(x, -top)
    return np.exp(gap / np.longdouble(temperature)) * (1 + lost / np.longdouble(temperature))


def _others(x, temperature=1.0):
    """Return Σ exp((x - max) / T) over all elements but one maximum (whose term is 1)."""
    e = _exp(x, _max(x), temperature)
    ties = x - _max(x) == 0  # False at infinities: their NaN stays in the sum
    return _sum(np.where(ties, 0, e)) + (ties.sum(axis=-1, keepdims=True) - 1)


def _with_vector(formula, y, g, axis, where, hidden):
    """Apply a formula of `y` and of `g`, broadcast to it, row by row; `hidden` y and a g of 0 add nothing."""
    y, g = _array(y, "y"), _array(g, "g")
    types = y.dtype.newbyteorder("="), g.dtype.newbyteorder("=")
    result = _promoted(*types)
    rows = _Rows(y.shape, axis)
    y, g = _seen(y, where, hidden), _seen(np.broadcast_to(g, y.shape), where, 0)
    product = rows.join(formula(rows.split(y), rows.split(g)))
    return _round(_seen(product, where, 0), result)


def _seen(x, where, hidden):
    """Return `x` in longdouble, with that number for the elements that `where` hides."""
    seen = np.broadcast_to(True if where is None else where, x.shape)
    return np.where(seen, x.astype(np.longdouble), np.longdouble(hidden))


def _round(x, dtype):
    """Return `x` rounded to that type, once: to one of 16 bits NumPy would come by way of float64."""
    if dtype.itemsize == 2:
        digits, smallest = (11, -24) if dtype.kind == "f" else (8, -133)  # of bfloat16
        step = np.maximum(np.frexp(x)[1] - digits, smallest)
        x = np.ldexp(np.rint(np.ldexp(x, -step)), step).astype(np.float64)
    return np.asarray(x).astype(dtype)[()]


# Arguments ----------------------------------------------------------------------------------------


class _Rows:
    """The axes of an array, divided into those that make up a row and the others."""

    def __init__(self, shape, axis):
        self.shape = shape
        full = shape or (1,)  # 0-d input is one row of one element
        self.axes = normalize_axis_tuple(range(len(full)) if axis is None else axis, len(full))
        if not shape:
            self.axes = (0,)
        self.lengths = tuple(full[i] for i in self.axes)
        self.length = np.prod(self.lengths, dtype=int)
        self.others = tuple(n for i, n in enumerate(full) if i not in self.axes)

    def split(self, x):
        """Return `x` in longdouble, its rows along one last axis."""
        x = np.moveaxis(np.atleast_1d(x), self.axes, range(-len(self.axes), 0))
        return x.reshape(*self.others, self.length).astype(np.longdouble)

    def join(self, rows, reduced=False):
        """Undo `split`; a `reduced` row, of one element, has length 1 along each of its axes."""
        lengths = (1,) * len(self.axes) if reduced else self.lengths
        x = rows.reshape(*self.others, *lengths)
        x = np.moveaxis(x, range(-len(self.axes), 0), self.axes)
        return x if self.shape else x[0]


def _array(x, name="x"):
    """Return `x` as an array of a floating type in which the contract computes, or refuse it."""
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array; its mask would be lost")
    x = np.asarray(x)
    if x.dtype.kind in "biu":
        return x.astype(np.float64)
    if not _is_taken(x.dtype):
        raise TypeError(f"{name} has type {x.dtype}; expected {_NAMES}, bool or integers")
    return x


def _result_type(x, dtype):
    """Return the type named by `dtype`, by default that of `x`."""
    dtype = (x.dtype if dtype is None else np.dtype(dtype)).newbyteorder("=")
    if not _is_taken(dtype):
        raise TypeError(f"dtype is {dtype}; expected {_NAMES}")
    return dtype


def _is_taken(dtype):
    return dtype.kind == "f" or dtype.name == "bfloat16"


_NAMES = "float16, bfloat16, float32, float64"
