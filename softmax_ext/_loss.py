"""Cross-entropy: arguments checked and brought into the form that the kernels take, losses of rows reduced to one.

A simple call (labels, and nothing but a reduction and an ignore_index) is one call into the compiled module. For every
other call, what is made here has one number for each row, or one for each class.
"""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple, SupportsIndex, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from softmax_ext import _core
from softmax_ext._typing import Float, Float64Like, Real, Reduction

REDUCTIONS = ("mean", "sum", "none")

# What to do with masked logits, {0}.
_UNMASK = "pass {0}.data, and where=~np.ma.getmaskarray({0})"

# Products of two numbers that are this power of two smaller than any float64 are far from overflow.
SAFE_EXPONENT = 520


@overload
def cross_entropy(
    logits: NDArray[Float],
    labels: ArrayLike,
    axis: SupportsIndex = -1,
    *,
    reduction: Literal["mean", "sum"] = "mean",
    weight: ArrayLike | None = None,
    ignore_index: SupportsIndex | None = None,
    label_smoothing: Real = 0.0,
    where: ArrayLike | None = None,
    temperature: Real = 1.0,
    sample_weight: ArrayLike | None = None,
) -> Float: ...
@overload
def cross_entropy(
    logits: NDArray[Float],
    labels: ArrayLike,
    axis: SupportsIndex = -1,
    *,
    reduction: Literal["none"],
    weight: ArrayLike | None = None,
    ignore_index: SupportsIndex | None = None,
    label_smoothing: Real = 0.0,
    where: ArrayLike | None = None,
    temperature: Real = 1.0,
    sample_weight: ArrayLike | None = None,
) -> NDArray[Float]: ...
@overload
def cross_entropy(
    logits: Float64Like,
    labels: ArrayLike,
    axis: SupportsIndex = -1,
    *,
    reduction: Literal["mean", "sum"] = "mean",
    weight: ArrayLike | None = None,
    ignore_index: SupportsIndex | None = None,
    label_smoothing: Real = 0.0,
    where: ArrayLike | None = None,
    temperature: Real = 1.0,
    sample_weight: ArrayLike | None = None,
) -> np.float64: ...
@overload
def cross_entropy(
    logits: Float64Like,
    labels: ArrayLike,
    axis: SupportsIndex = -1,
    *,
    reduction: Literal["none"],
    weight: ArrayLike | None = None,
    ignore_index: SupportsIndex | None = None,
    label_smoothing: Real = 0.0,
    where: ArrayLike | None = None,
    temperature: Real = 1.0,
    sample_weight: ArrayLike | None = None,
) -> NDArray[np.float64]: ...
@overload
def cross_entropy(
    logits: ArrayLike,
    labels: ArrayLike,
    axis: SupportsIndex = -1,
    *,
    reduction: Reduction = "mean",
    weight: ArrayLike | None = None,
    ignore_index: SupportsIndex | None = None,
    label_smoothing: Real = 0.0,
    where: ArrayLike | None = None,
    temperature: Real = 1.0,
    sample_weight: ArrayLike | None = None,
) -> Any: ...
def cross_entropy(
    logits: ArrayLike,
    labels: ArrayLike,
    axis: SupportsIndex = -1,
    *,
    reduction: Reduction = "mean",
    weight: ArrayLike | None = None,
    ignore_index: SupportsIndex | None = None,
    label_smoothing: Real = 0.0,
    where: ArrayLike | None = None,
    temperature: Real = 1.0,
    sample_weight: ArrayLike | None = None,
) -> Any:
    r"""Cross-entropy between the softmax of logits and class labels or probabilities.

    .. math:: \ell = -\sum_c w_c \left((1 - \varepsilon) q_c + \frac{\varepsilon}{C}\right) \log p_c,
        \quad p = \mathrm{softmax}(x / T)

    of each row x of C visible logits, q being 1 at the row's label and 0 elsewhere, or the row's probabilities; w the
    weights of the classes, :math:`\varepsilon` the label smoothing and T the temperature.

    Parameters
    ----------
    logits : array_like, one dimension or more
        Real numbers. float32 and float64 are computed in their own type, float16 and `ml_dtypes.bfloat16` in float32;
        bool and integers become float64. Any strides, byte order and alignment are read in place.
    labels : array_like
        Integers of any type, of the logits' shape without the class axis: the class of each row, from 0 to C - 1. Or
        floats of the logits' shape: the probability of each class, which are not checked to be such, and are
        converted to the logits' type.
    axis : int, default -1
        The class axis.
    reduction : {"mean", "sum", "none"}, default "mean"
        What to return: the mean of the losses of rows, their sum, or each of them. The mean is the sum divided by the
        sum of the weights of those rows' labels that count, each times the weight of its row; with probabilities, by
        the sum of the weights of rows.
    weight : array_like, shape (C,), optional
        A weight for each class, finite and not negative. Default: 1 each.
    ignore_index : int, optional
        Rows with this label do not count: their loss is 0, whatever their logits hold. It need not be the number of a
        class. Only for integer labels.
    label_smoothing : float, default 0.0
        How much of each row's target, from 0 to 1, is spread evenly over the visible classes.
    where : array_like of bool, optional
        False hides a class of a row; it broadcasts to the logits' shape. Hidden logits and probabilities are not looked
        at. The loss of a row whose label is hidden is inf.
    temperature : float, default 1.0
        T: what the logits are divided by, at no loss of accuracy, from 2**-900 to 2**900.
    sample_weight : array_like, optional
        A weight for each row, finite and not negative, of the logits' shape without the class axis. It multiplies the
        row's loss; rows of weight 0 do not count. Default: 1 each.

    Returns
    -------
    scalar or ndarray
        Of the logits' type; with reduction "none", of the logits' shape without the class axis. Each row's loss is
        within 2 ULP of the true value, close to 0 included; smoothing and weights add a rounding each. No intermediate
        result is out of range, however large or small logits, weights and probabilities are. A row that holds a NaN
        or +inf, or nothing but -inf, has the loss NaN. A target of 0 adds 0 to the loss, also at a logit of -inf; any
        other there makes it inf. Where no row counts, or the weights of those that do are all 0, the mean is 0.

    Raises
    ------
    TypeError
        If `logits` or a weight is no array of real numbers that `softmax` takes; if `labels` holds neither integers nor
        floats, or `where` anything but bool; if `axis` or `ignore_index` is no integer, or `label_smoothing` or
        `temperature` no number.
    ValueError
        If a label is none of a class and not `ignore_index`; if an argument is of another shape than those named, or a
        weight is negative or not finite; if `reduction` is none of those named, or `label_smoothing` or `temperature`
        out of its range; if `ignore_index` is given with probabilities.
    numpy.exceptions.AxisError
        If `logits` lacks the axis.

    See Also
    --------
    cross_entropy_with_grad : The loss and its gradient, in one sweep.
    log_softmax

    Notes
    -----
    As PyTorch defines it (``torch.nn.CrossEntropyLoss``), and without smoothing ONNX (SoftmaxCrossEntropyLoss). There,
    the mean over no row is NaN, and so is a target of 0 times a logarithm of -inf. Losses close to 0 keep their digits,
    as in `log_softmax`. They are added up in float64, in an order that depends on their number alone.

    Examples
    --------
    >>> import numpy as np
    >>> from softmax_ext import cross_entropy
    >>> logits = np.log([[0.5, 0.25, 0.25], [0.125, 0.125, 0.75]])
    >>> cross_entropy(logits, [0, 1], reduction="none") / np.log(2)
    array([1., 3.])
    >>> print(cross_entropy(logits, [0, -100], ignore_index=-100).round(6))
    0.693147
    """
    simple = _core._simple_losses(
        logits, labels, axis, reduction, weight, ignore_index, label_smoothing, where, temperature, sample_weight,
        None, False,
    )  # fmt: skip
    if simple is not None:
        return simple[0]
    options = _Options(reduction, weight, ignore_index, label_smoothing, where, temperature, sample_weight)
    return _evaluate(logits, labels, axis, options, None, False)[0]


@overload
def cross_entropy_with_grad(
    logits: NDArray[Float],
    labels: ArrayLike,
    axis: SupportsIndex = -1,
    *,
    reduction: Literal["mean", "sum"] = "mean",
    weight: ArrayLike | None = None,
    ignore_index: SupportsIndex | None = None,
    label_smoothing: Real = 0.0,
    where: ArrayLike | None = None,
    temperature: Real = 1.0,
    sample_weight: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
) -> tuple[Float, NDArray[Float]]: ...
@overload
def cross_entropy_with_grad(
    logits: NDArray[Float],
    labels: ArrayLike,
    axis: SupportsIndex = -1,
    *,
    reduction: Literal["none"],
    weight: ArrayLike | None = None,
    ignore_index: SupportsIndex | None = None,
    label_smoothing: Real = 0.0,
    where: ArrayLike | None = None,
    temperature: Real = 1.0,
    sample_weight: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
) -> tuple[NDArray[Float], NDArray[Float]]: ...
@overload
def cross_entropy_with_grad(
    logits: Float64Like,
    labels: ArrayLike,
    axis: SupportsIndex = -1,
    *,
    reduction: Literal["mean", "sum"] = "mean",
    weight: ArrayLike | None = None,
    ignore_index: SupportsIndex | None = None,
    label_smoothing: Real = 0.0,
    where: ArrayLike | None = None,
    temperature: Real = 1.0,
    sample_weight: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
) -> tuple[np.float64, NDArray[np.float64]]: ...
@overload
def cross_entropy_with_grad(
    logits: Float64Like,
    labels: ArrayLike,
    axis: SupportsIndex = -1,
    *,
    reduction: Literal["none"],
    weight: ArrayLike | None = None,
    ignore_index: SupportsIndex | None = None,
    label_smoothing: Real = 0.0,
    where: ArrayLike | None = None,
    temperature: Real = 1.0,
    sample_weight: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...
@overload
def cross_entropy_with_grad(
    logits: ArrayLike,
    labels: ArrayLike,
    axis: SupportsIndex = -1,
    *,
    reduction: Reduction = "mean",
    weight: ArrayLike | None = None,
    ignore_index: SupportsIndex | None = None,
    label_smoothing: Real = 0.0,
    where: ArrayLike | None = None,
    temperature: Real = 1.0,
    sample_weight: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
) -> tuple[Any, NDArray[Any]]: ...
def cross_entropy_with_grad(
    logits: ArrayLike,
    labels: ArrayLike,
    axis: SupportsIndex = -1,
    *,
    reduction: Reduction = "mean",
    weight: ArrayLike | None = None,
    ignore_index: SupportsIndex | None = None,
    label_smoothing: Real = 0.0,
    where: ArrayLike | None = None,
    temperature: Real = 1.0,
    sample_weight: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
) -> tuple[Any, NDArray[Any]]:
    r"""Cross-entropy and its gradient at the logits, in one sweep over them.

    .. math:: \frac{\partial \ell}{\partial x_c} = \frac{1}{T} \left(p_c \sum_k t_k - t_c\right),
        \quad t_c = w_c \left((1 - \varepsilon) q_c + \frac{\varepsilon}{C}\right)

    for the sum of the losses; for their mean, divided by what the mean is. The symbols are those of `cross_entropy`.

    Parameters
    ----------
    logits : array_like, one dimension or more
        As for `cross_entropy`.
    labels : array_like
        Class labels or probabilities, as for `cross_entropy`.
    axis : int, default -1
        The class axis.
    reduction : {"mean", "sum", "none"}, default "mean"
        As for `cross_entropy`. With "none" the gradient is that of the sum: each row has the gradient of its own loss.
    weight : array_like, shape (C,), optional
        A weight for each class, as for `cross_entropy`.
    ignore_index : int, optional
        A label of rows that do not count; their gradient is 0, whatever their logits hold.
    label_smoothing : float, default 0.0
        As for `cross_entropy`.
    where : array_like of bool, optional
        As for `cross_entropy`. The gradient of a hidden logit is 0.
    temperature : float, default 1.0
        T, as for `cross_entropy`. The gradient is that at the logits, not at x / T.
    sample_weight : array_like, optional
        As for `cross_entropy`.
    out : ndarray, optional
        An array of the logits' shape that the gradient is written to. It may be the logits, or overlap any argument.

    Returns
    -------
    loss : scalar or ndarray
        What `cross_entropy` returns.
    gradient : ndarray
        Of the logits' shape and type, or `out`. Each element is within 4 u of the sum of its two terms in absolute
        value, u being half the machine epsilon; smoothing and weights add a rounding each. Rows whose loss is NaN are
        NaN. Where the mean is 0 since no row counts, it is 0.

    Raises
    ------
    TypeError, ValueError, numpy.exceptions.AxisError
        As `cross_entropy` does.

    See Also
    --------
    cross_entropy : The loss alone.
    log_softmax_vjp : The derivative of log_softmax for any gradient at its output.

    Notes
    -----
    As PyTorch's ``cross_entropy`` and its backward pass give it; see the notes of `cross_entropy`.

    Examples
    --------
    >>> import numpy as np
    >>> from softmax_ext import cross_entropy_with_grad
    >>> loss, gradient = cross_entropy_with_grad(np.log([[0.5, 0.25, 0.25], [0.125, 0.125, 0.75]]), [0, 1])
    >>> print(loss.round(6))
    1.386294
    >>> gradient.round(6)
    array([[-0.25  ,  0.125 ,  0.125 ],
           [ 0.0625, -0.4375,  0.375 ]])
    """
    simple = _core._simple_losses(
        logits, labels, axis, reduction, weight, ignore_index, label_smoothing, where, temperature, sample_weight,
        out, True,
    )  # fmt: skip
    if simple is not None:
        return simple
    options = _Options(reduction, weight, ignore_index, label_smoothing, where, temperature, sample_weight)
    return _evaluate(logits, labels, axis, options, out, True)


class _Options(NamedTuple):
    """The keywords of a call, as they were given."""

    reduction: Any
    weight: Any
    ignore_index: Any
    label_smoothing: Any
    where: Any
    temperature: Any
    sample_weight: Any


class _Call(NamedTuple):
    """A call in the form that the kernels take; csrc/kernel.h says what the numbers mean.

    Arrays of one number for each row have the shape of x without the axis, all others as said there.
    """

    x: NDArray[Any]
    axis: int
    weight: NDArray[Any] | None  # None: the targets are those of labels alone
    q: NDArray[Any] | None
    label: NDArray[Any] | None
    factor: NDArray[Any] | None
    scale: NDArray[Any] | None
    spread: NDArray[Any] | None
    where: NDArray[Any] | None
    keep: float
    even_spread: float
    exponent: int
    divisor: tuple[float, int]
    temperature: float

    def run(self, gradient: NDArray[Any] | None) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return losses and their exponents, and fill in the gradient."""
        fraction, exponent = math.frexp(self.temperature)
        divisor = (self.divisor[0] * fraction, self.divisor[1] + exponent)
        targets = (self.keep, self.even_spread, divisor[0], self.exponent, divisor[1])
        return _core._row_losses(
            self.x, self.axis, self.weight, self.q, self.label, self.factor, self.scale, self.spread, self.where,
            targets, self.temperature, gradient,
        )  # fmt: skip


def _evaluate(
    logits: ArrayLike,
    labels: ArrayLike,
    axis: SupportsIndex,
    options: _Options,
    out: Any,
    with_gradient: bool,
) -> tuple[Any, Any]:
    with _core._OwnFloatState():
        return _evaluate_exactly(logits, labels, axis, options, out, with_gradient)


def _evaluate_exactly(
    logits: ArrayLike,
    labels: ArrayLike,
    axis: SupportsIndex,
    options: _Options,
    out: Any,
    with_gradient: bool,
) -> tuple[Any, Any]:
    x, number, result = _core._array_and_axis(logits, axis, "logits", _UNMASK)
    number %= x.ndim
    reduction = options.reduction
    if not (isinstance(reduction, str) and reduction in REDUCTIONS):
        raise ValueError(f'reduction: got {_core._shown(reduction)}, expected "mean", "sum" or "none"')
    if out is not None:
        _core._check_out(out, x.shape, x.dtype.newbyteorder("="))
    call, dead = _call_of(x, number, labels, options)
    shape = x.shape[:number] + x.shape[number + 1 :]
    dtype = call.x.dtype.newbyteorder("=")
    gradient = None
    if x.size == 0 or call.divisor[0] == 0:
        losses, exponents = np.zeros(shape, dtype), np.zeros(shape, np.int8)
        if with_gradient:
            gradient = np.zeros_like(x, dtype=dtype, subok=False)
    else:
        if with_gradient:
            gradient = out if _is_written_directly(out, call) else _core._empty_like(call.x, dtype)
        losses, exponents = call.run(gradient)
        losses, exponents = _repeat_infinite(call, losses, exponents, gradient)
    if dead is not None:
        losses = np.where(dead, losses.dtype.type(np.inf), losses)
    if gradient is not None and out is not None:
        if gradient is not out:
            _core._copy_into(out, gradient)
        gradient = out
    elif gradient is not None:
        gradient = _core._cast(gradient, result)
    if reduction == "none":
        losses = np.ascontiguousarray(losses).reshape(shape)  # 0-d arrays got a dimension
        _core._apply_exponents(losses, exponents)
        return _core._cast(losses, result)[()], gradient
    divisor = call.divisor if reduction == "mean" else (1.0, 0)
    total = 0.0
    if divisor[0] != 0:
        total = _core._mean_of_losses(np.ascontiguousarray(losses), exponents, *divisor)
    return _core._cast(np.asarray(total), result)[()], gradient


def _call_of(
    x: NDArray[Any], axis: int, labels: ArrayLike, options: _Options
) -> tuple[_Call, NDArray[Any] | None]:
    """Return the call, and the rows whose label is hidden together with every other class, or None."""
    dtype = x.dtype.newbyteorder("=")
    classes = x.shape[axis]
    shape = x.shape[:axis] + x.shape[axis + 1 :]
    smoothing = _smoothing(options.label_smoothing)
    temperature = _core._temperature(options.temperature)
    weight = None if options.weight is None else _weights(options.weight, (classes,), dtype, "weight")
    ignored = None if options.ignore_index is None else _core._integer(options.ignore_index, "ignore_index")
    where = _core._bool_mask(options.where, x, "logits")
    given = _labels(labels, x.shape)
    is_label = given.dtype.kind in "iu"
    label = None
    if is_label:
        label = _check_labels(given, shape, classes, ignored)
    else:
        _check_probabilities(given, x.shape, ignored)
    samples = None
    if options.sample_weight is not None:
        samples = _weights(options.sample_weight, shape, dtype, "sample_weight")
        if label is not None:
            label = np.where(samples == 0, -1, label)

    divisor = (1.0, 0)
    if options.reduction == "mean":
        divisor = _sum_of_weights(label, weight, samples, shape)
    keep = 1 - smoothing
    even_spread = smoothing / classes if classes else 0.0
    simple = is_label and smoothing == 0  # all in the factors of the labels
    kernel_weight = weight if weight is not None or simple else np.ones(classes, dtype)
    if dtype.itemsize == 4 and (
        not _core._temperature_is_normal(temperature, False)
        or (not simple and not _is_moderate(weight, keep, even_spread))
    ):
        dtype = np.dtype(np.float64)
        x = _core._cast(x, dtype)
    exponent = 0
    if kernel_weight is not None:
        kernel_weight, exponent = _scaled_weights(_core._cast(kernel_weight, dtype), simple)

    spread = dead = None
    lost: Any = False
    if where is not None:
        visible = _visible(where, x.shape, axis)
        lost = visible == 0
        if smoothing and visible.min(initial=classes) < classes:
            spread = np.asarray(smoothing / np.maximum(visible, 1), dtype)
    factor = None
    if label is not None:
        of_labels = np.asarray(keep, dtype) if kernel_weight is None else (keep * kernel_weight)
        one_for_all = kernel_weight is None or not classes
        factor = np.broadcast_to(of_labels, shape) if one_for_all else np.asarray(of_labels[label])
        if where is not None and np.any(lost):
            dead = lost & (label >= 0) & (factor > 0)
            label = np.where(lost, -1, label)
    scale = None if samples is None else samples.astype(dtype)
    if label is None and (samples is not None or (where is not None and np.any(lost))):
        scale = np.where(lost, dtype.type(-1), np.ones(shape, dtype) if scale is None else scale)
        scale[scale == 0] = -1
    call = _Call(
        x, axis, None if simple else kernel_weight, None if is_label else _core._cast(given, dtype), label, factor,
        scale, spread, where, keep, even_spread, exponent, divisor, temperature,
    )  # fmt: skip
    return call, dead


def _is_moderate(weight: NDArray[Any] | None, keep: float, spread: float) -> bool:
    """Return True if products of these numbers are well within the range of float32."""
    least, largest = 1.0, 1.0
    if weight is not None:
        some = weight[weight > 0]
        least, largest = float(some.min(initial=1)), float(some.max(initial=1))
    shares = [share for share in (keep, spread) if share]
    return largest <= 2.0**40 and least * min(shares, default=1.0) >= 2.0**-60


def _scaled_weights(weight: NDArray[Any], are_alone: bool) -> tuple[NDArray[Any], int]:
    """Return weights and the exponent of the power of two by which they were made smaller, as far as it is needed.

    The weights of labels alone stay as they are: the kernels take their exponents apart.
    """
    if are_alone or weight.dtype.itemsize == 4:
        return weight, 0
    largest = float(weight.max(initial=0))
    if largest == 0 or 2.0**-300 <= largest <= 2.0**300:
        return weight, 0
    exponent = math.frexp(largest)[1]
    return np.ldexp(weight, -exponent), exponent


def _sum_of_weights(
    label: NDArray[Any] | None,
    weight: NDArray[Any] | None,
    samples: NDArray[Any] | None,
    shape: tuple[int, ...],
) -> tuple[float, int]:
    """Return what the mean is divided by, a number and the exponent of a power of two."""
    if samples is None and (weight is None or label is None):
        return float(math.prod(shape) if label is None else np.count_nonzero(label >= 0)), 0
    of_classes = np.ones(shape)
    if label is not None:
        of_classes = np.where(
            label < 0, -1.0, 1.0 if weight is None or not weight.size else weight.astype(float)[label]
        )
    return _core._sum_of_weights(
        np.ascontiguousarray(of_classes), None if samples is None else np.ascontiguousarray(samples, float)
    )


def _visible(where: NDArray[Any], shape: tuple[int, ...], axis: int) -> NDArray[Any]:
    """Return the number of visible classes of each row."""
    where = where.reshape((1,) * (len(shape) - where.ndim) + where.shape)
    count = np.count_nonzero(where, axis=axis)
    if where.shape[axis] == 1:
        count = count * shape[axis]
    return np.broadcast_to(count, shape[:axis] + shape[axis + 1 :])


# ---- results that are written in place, and rows that are computed again --------------------------------------------


def _is_written_directly(out: Any, call: _Call) -> bool:
    """Return True if the kernels may write the gradient into out, and nothing that is in its place is needed again."""
    if out is None:
        return False
    dtype = call.x.dtype.newbyteorder("=")
    elements = [call.x] if call.q is None else [call.x, call.q]
    rows = [a for a in (call.weight, call.label, call.factor, call.scale, call.spread) if a is not None]
    if not _core._can_write_into(out, dtype, elements, call.where, True, True):
        return False
    if any(np.may_share_memory(out, a) for a in rows):
        return False
    limit = 2.0**30 if dtype.itemsize == 4 else 2.0**400
    # A row whose loss is infinite is computed again, but not if all numbers are so small that it is in truth.
    return all(
        not np.may_share_memory(out, a) or max(float(np.max(b)), -float(np.min(b))) < limit
        for a in elements
        for b in elements
    )


def _repeat_infinite(
    call: _Call, losses: NDArray[Any], exponents: NDArray[Any], gradient: NDArray[Any] | None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Compute rows with an infinite loss once more, in a range in which no step on the way is infinite.

    float32 is computed in float64. In float64, logits and temperature get the same factor, and so do probabilities.
    """
    if math.isfinite(_core._mean_of_losses(losses, exponents, 1.0, 0)):
        return losses, exponents
    at = np.asarray(losses == np.inf)
    is_double = call.x.dtype.itemsize == 8
    if not at.any() or (is_double and call.temperature < 2.0**-380):
        return losses, exponents
    exponent = SAFE_EXPONENT if is_double else 0

    def some(rows: NDArray[Any] | None, dtype: Any = np.float64) -> Any:
        return None if rows is None else np.ascontiguousarray(rows[at], dtype)

    def some_rows(array: NDArray[Any] | None) -> Any:
        if array is None:
            return None
        return np.ldexp(some(np.moveaxis(array, call.axis, -1)), -exponent)

    mask = call.where
    if mask is not None:
        mask = np.moveaxis(np.broadcast_to(mask, call.x.shape), call.axis, -1)[at]
    of_targets = exponent if call.q is not None else 0
    spread = some(call.spread)
    again = _Call(
        some_rows(call.x), 1, None if call.weight is None else call.weight.astype(np.float64), some_rows(call.q),
        some(call.label, np.int64), some(call.factor), some(call.scale),
        None if spread is None else np.ldexp(spread, -of_targets), mask, call.keep,
        math.ldexp(call.even_spread, -of_targets), call.exponent + of_targets, call.divisor,
        math.ldexp(call.temperature, -exponent),
    )  # fmt: skip
    if is_double:  # the gradient is divided by the temperature that was given
        again = again._replace(divisor=(call.divisor[0], call.divisor[1] + exponent))
    rows_gradient = None if gradient is None else np.empty_like(again.x)
    rows_losses, rows_exponents = again.run(rows_gradient)
    losses = losses.astype(np.float64)
    losses[at], exponents[at] = rows_losses, rows_exponents
    if gradient is not None:
        before = np.moveaxis(gradient, call.axis, -1)[at]
        is_right = np.isfinite(before).all(axis=-1, keepdims=True)  # only the loss was out of range
        np.moveaxis(gradient, call.axis, -1)[at] = np.where(is_right, before, rows_gradient)
    return losses, exponents


# ---- arguments ----------------------------------------------------------------------------------------------------


def _smoothing(label_smoothing: Real) -> float:
    value = _core._real_number(label_smoothing, "label_smoothing", "a number from 0 to 1")
    if not 0 <= value <= 1:
        raise ValueError(
            f"label_smoothing: got {_core._shown(label_smoothing)}, expected a number from 0 to 1"
        )
    return value


def _weights(weight: ArrayLike, shape: tuple[int, ...], dtype: np.dtype[Any], name: str) -> NDArray[Any]:
    array = _core._real_array(weight, name, "pass {0}.filled(0)")
    if array.shape != shape:
        what = "a weight for each class" if name == "weight" else "a weight for each row"
        raise ValueError(f"{name}: got shape {array.shape}, expected {shape}, {what}")
    weights = np.require(_core._cast(array, dtype), dtype, ["C", "A"])
    bad = ~((weights >= 0) & (weights < np.inf))
    if bad.any():
        place, where = _first_place(bad)
        raise ValueError(f"{name}: got {array[place]} at position {where}, expected finite {dtype} >= 0")
    return weights


def _first_place(found: NDArray[Any]) -> tuple[Any, Any]:
    """Return the first place, as an index and as a message shows it."""
    place = tuple(int(i) for i in np.unravel_index(int(found.argmax()), found.shape))
    return place, place[0] if len(place) == 1 else place


def _labels(labels: ArrayLike, shape: tuple[int, ...]) -> NDArray[Any]:
    array = _core._as_array(labels, "labels", "pass {0}.filled(-1), and ignore_index=-1")
    if array.size == 0 and array.shape != shape and isinstance(labels, (list, tuple)):
        return np.empty(array.shape, np.intp)  # an empty list holds no floats
    if array.dtype.kind in "iu":
        return array
    if array.dtype.kind == "f" or array.dtype.name == "bfloat16":
        return _core._real_array(array, "labels")
    raise TypeError(
        f"labels: got {_core._described(labels, array)}, expected integers (class labels) or floats (probabilities)"
    )


def _check_probabilities(labels: NDArray[Any], shape: tuple[int, ...], ignored: int | None) -> None:
    if labels.shape != shape:
        raise ValueError(
            f"labels: got {labels.dtype} of shape {labels.shape}, expected probabilities of the logits' shape "
            f"{shape} (or integers, which are class labels)"
        )
    if ignored is not None:
        raise ValueError(
            f"ignore_index: got {_core._shown(ignored)} with probabilities as labels, expected None"
        )


def _check_labels(
    labels: NDArray[Any],
    shape: tuple[int, ...],
    classes: int,
    ignored: int | None,
) -> NDArray[Any]:
    """Return the labels as int64, -1 where they are ignored."""
    if labels.shape != shape:
        raise ValueError(
            f"labels: got {labels.dtype} of shape {labels.shape}, expected {shape}, a class label for each row (or "
            "floats of the logits' shape, which are probabilities)"
        )
    skipped = None
    if labels.size and not (
        np.minimum.reduce(labels, None) >= 0 and np.maximum.reduce(labels, None) < classes
    ):
        skipped = np.zeros(shape, bool) if ignored is None else np.equal(labels, ignored)
        bad = ~skipped & ((labels < 0) | (labels >= classes))
        if bad.any():
            place, where = _first_place(bad)
            valid = f"a class from 0 to {classes - 1}" if classes else "none, since there are no classes"
            other = "" if ignored is None else f" or {_core._shown(ignored)}, the ignore_index"
            raise ValueError(f"labels: got {labels[place]} at position {where}, expected {valid}{other}")
    elif ignored is not None and 0 <= ignored < classes:
        skipped = np.equal(labels, ignored)
    label = labels.astype(np.int64, copy=skipped is not None)
    if not label.flags.aligned:
        label = label.copy()
    if skipped is not None:
        label[skipped] = -1
    return label
