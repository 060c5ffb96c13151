"""A call of cross-entropy in the form that the kernels take: one number for each row, or one for each class."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from softmax_ext import _core
from softmax_ext._loss_arguments import (
    check_labels,
    check_probabilities,
    labels_of,
    smoothing_of,
    weights_of,
)


class Options(NamedTuple):
    """The keywords of a call, as they were given."""

    reduction: Any
    weight: Any
    ignore_index: Any
    label_smoothing: Any
    where: Any
    temperature: Any
    sample_weight: Any


class Call(NamedTuple):
    """A call in the form that the kernels take; csrc/kernel.h says what the numbers mean.

    An array of one number for each row has the shape of x without the axis; kernel.h gives the shapes of all others.
    """

    x: NDArray[Any]
    dtype: np.dtype[Any]  # of the arithmetic; x and q may have 16 bits if it is float32
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
            self.x, self.dtype, self.axis, self.weight, self.q, self.label, self.factor, self.scale, self.spread,
            self.where, targets, self.temperature, gradient,
        )  # fmt: skip


def call_of(
    x: NDArray[Any], axis: int, dtype: np.dtype[Any], labels: ArrayLike, options: Options
) -> tuple[Call, NDArray[Any] | None]:
    """Return the call, and the rows whose label is hidden together with every other class, or None.

    dtype is that of the arithmetic; the call may need a wider one.
    """
    classes = x.shape[axis]
    shape = x.shape[:axis] + x.shape[axis + 1 :]
    smoothing = smoothing_of(options.label_smoothing)
    temperature = _core._temperature(options.temperature)
    weight = None if options.weight is None else weights_of(options.weight, (classes,), dtype, "weight")
    ignored = None if options.ignore_index is None else _core._integer(options.ignore_index, "ignore_index")
    where = _core._bool_mask(options.where, x, "logits")
    given = labels_of(labels, x.shape)
    is_label = given.dtype.kind in "iu"
    label = None
    if is_label:
        label = check_labels(given, shape, classes, ignored)
    else:
        check_probabilities(given, x.shape, ignored)
    samples = None
    if options.sample_weight is not None:
        samples = weights_of(options.sample_weight, shape, dtype, "sample_weight")
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
    q = None
    if not is_label:
        q = given if _core._is_native_to_kernels(given.dtype, dtype, None) else _core._cast(given, dtype)
    call = Call(
        x, dtype, axis, None if simple else kernel_weight, q, label, factor, scale, spread, where, keep, even_spread,
        exponent, divisor, temperature,
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
    # As large as it may be: the smaller the largest weight becomes, the more of the others become 0.
    exponent = math.frexp(largest)[1] - (300 if largest > 1 else 0)
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
