"""Cross-entropy as it is called.

A simple call (labels, a reduction, an ignore_index, an ordinary temperature) is one call into the compiled module. For
every other call, `_loss_arguments.py` checks the arguments, `_loss_call.py` brings them into the form that the kernels
take, and `_loss_evaluate.py` makes the results.
"""

from __future__ import annotations

from typing import Any, Literal, SupportsIndex, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from softmax_ext import _core
from softmax_ext._loss_call import Options
from softmax_ext._loss_evaluate import evaluate
from softmax_ext._typing import Float, Float64Like, Real, Reduction


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
    options = Options(reduction, weight, ignore_index, label_smoothing, where, temperature, sample_weight)
    return evaluate(logits, labels, axis, options, None, False)[0]


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
    options = Options(reduction, weight, ignore_index, label_smoothing, where, temperature, sample_weight)
    return evaluate(logits, labels, axis, options, out, True)
