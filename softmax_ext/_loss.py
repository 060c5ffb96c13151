"""Cross-entropy: arguments checked and brought into the form that the kernels take, losses of rows reduced to one.

No element of the logits is looked at here; what is made has one number a row, or one a class.
"""

from __future__ import annotations

import math
from typing import Any, Literal, SupportsIndex, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from softmax_ext import _core
from softmax_ext._typing import Float, Float64Like, Real, Reduction

REDUCTIONS = ("mean", "sum", "none")


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
) -> Any:
    r"""Cross-entropy between the softmax of logits and class labels or probabilities.

    .. math:: \ell = -\sum_c w_c \left((1 - \varepsilon) q_c + \frac{\varepsilon}{C}\right) \log p_c,
        \quad p = \mathrm{softmax}(x)

    of each row x of C logits, q being 1 at the row's label and 0 elsewhere, or the row's probabilities; w the weights
    of the classes and :math:`\varepsilon` the label smoothing.

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
        sum of the weights of those rows' labels that count; with probabilities, by the number of rows.
    weight : array_like, shape (C,), optional
        A weight for each class, finite and not negative. Default: 1 each.
    ignore_index : int, optional
        Rows with this label do not count: their loss is 0, whatever their logits hold. It need not be the number of a
        class. Only for integer labels.
    label_smoothing : float, default 0.0
        How much of each row's target, from 0 to 1, is spread evenly over the classes.

    Returns
    -------
    scalar or ndarray
        Of the logits' type; with reduction "none", of the logits' shape without the class axis. A row that holds a NaN
        or +inf, or nothing but -inf, has the loss NaN. A target of 0 adds 0 to the loss, also at a logit of -inf; any
        other there makes it inf. Where no row counts, or the weights of those that do are all 0, the mean is 0.

    Raises
    ------
    TypeError
        If `logits` or `weight` is no array of real numbers that `softmax` takes; if `labels` holds neither integers nor
        floats; if `axis` or `ignore_index` is no integer, or `label_smoothing` no number.
    ValueError
        If a label is none of a class and not `ignore_index`; if `labels` or `weight` is of another shape than those
        named, or a weight is negative or not finite; if `reduction` is none of those named, or `label_smoothing` is not
        from 0 to 1; if `ignore_index` is given with probabilities.
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
    loss, _ = _evaluate(logits, labels, axis, reduction, weight, ignore_index, label_smoothing, False)
    return loss


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
) -> tuple[Any, NDArray[Any]]:
    r"""Cross-entropy and its gradient at the logits, in one sweep over them.

    .. math:: \frac{\partial \ell}{\partial x_c} = p_c \sum_k t_k - t_c,
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

    Returns
    -------
    loss : scalar or ndarray
        What `cross_entropy` returns.
    gradient : ndarray
        Of the logits' shape and type. Each element is within 4 u of the sum of its two terms in absolute value, u
        being half the machine epsilon. Rows whose loss is NaN are NaN. Where the mean is 0 since no row counts, it is
        0.

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
    loss, gradient = _evaluate(logits, labels, axis, reduction, weight, ignore_index, label_smoothing, True)
    return loss, gradient


def _evaluate(
    logits: ArrayLike,
    labels: ArrayLike,
    axis: SupportsIndex,
    reduction: str,
    weight: ArrayLike | None,
    ignore_index: SupportsIndex | None,
    label_smoothing: Real,
    with_gradient: bool,
) -> tuple[Any, Any]:
    x, number, result = _core._array_and_axis(logits, axis, "logits", "pass {0}.filled(-np.inf)")
    number %= x.ndim
    dtype = x.dtype.newbyteorder("=")
    if not (isinstance(reduction, str) and reduction in REDUCTIONS):
        raise ValueError(f'reduction: got {_core._shown(reduction)}, expected "mean", "sum" or "none"')
    classes = x.shape[number]
    smoothing = _smoothing(label_smoothing)
    weights = None if weight is None else _weights(weight, classes, dtype)
    ignored = None if ignore_index is None else _core._integer(ignore_index, "ignore_index")

    given = _labels(labels, x.shape)
    shape = x.shape[:number] + x.shape[number + 1 :]
    q = label = factor = None
    if given.dtype.kind not in "iu":
        _check_probabilities(given, x.shape, ignored)
        q = _as_type(given, dtype)
        divisor = float(math.prod(shape))
    else:
        label, divisor = _check_labels(given, shape, classes, ignored, weights)
        factor = np.asarray(1 - smoothing, dtype)
        if weights is not None and classes:
            factor = np.asarray(((1 - smoothing) * weights.astype(np.float64)).astype(dtype)[label])
    if reduction != "mean":
        divisor = 1.0

    if x.size == 0 or divisor == 0:
        losses = np.zeros(shape, dtype)
        gradient = np.zeros_like(x, dtype=dtype, subok=False) if with_gradient else None
    else:
        if label is not None and smoothing == 0:
            weights = None  # all in factor
        elif weights is None:
            weights = np.ones(classes, dtype)
        targets = (1 - smoothing, smoothing / classes, divisor)
        losses, gradient = _core._row_losses(x, number, weights, q, label, factor, targets, with_gradient)
    if gradient is not None:
        gradient = _as_type(gradient, result)
    return _reduced(losses, reduction, divisor, result), gradient


def _reduced(losses: NDArray[Any], reduction: str, divisor: float, dtype: np.dtype[Any]) -> Any:
    if reduction == "none":
        return _as_type(losses, dtype)[()]
    with np.errstate(all="ignore"):
        total = np.add.reduce(losses.ravel().astype(np.float64))
        return dtype.type(total / divisor if divisor else 0.0)


# ---- arguments ----------------------------------------------------------------------------------------------------


def _smoothing(label_smoothing: Real) -> float:
    value = _core._real_number(label_smoothing, "label_smoothing", "a number from 0 to 1")
    if not 0 <= value <= 1:
        raise ValueError(
            f"label_smoothing: got {_core._shown(label_smoothing)}, expected a number from 0 to 1"
        )
    return value


def _weights(weight: ArrayLike, classes: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    array = _core._real_array(weight, "weight", "pass {0}.filled(0)")
    if array.shape != (classes,):
        raise ValueError(f"weight: got shape {array.shape}, expected ({classes},), a weight for each class")
    with np.errstate(all="ignore"):
        weights = np.require(array, dtype, ["C", "A"])
    bad = ~((weights >= 0) & (weights < np.inf))
    if bad.any():
        place = int(bad.argmax())
        raise ValueError(f"weight: got {array[place]} at position {place}, expected finite {dtype} >= 0")
    return weights


def _as_type(array: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    if array.dtype.newbyteorder("=") == dtype:
        return array
    with np.errstate(all="ignore"):
        return array.astype(dtype)


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
    weights: NDArray[Any] | None,
) -> tuple[NDArray[Any], float]:
    """Return the labels as int64, -1 where they are ignored, and the sum of the weights of the others."""
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
            place = tuple(int(i) for i in np.unravel_index(int(bad.argmax()), shape))
            where = place[0] if len(place) == 1 else place
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
    if weights is None or not classes:
        return label, float(label.size if skipped is None else label.size - np.count_nonzero(skipped))
    counted = np.where(label < 0, 0, weights.astype(np.float64)[label])
    return label, float(np.add.reduce(counted.ravel()))
