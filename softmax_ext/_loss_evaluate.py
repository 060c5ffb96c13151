"""Cross-entropy, evaluated: the losses of rows are reduced, the gradient is stored, rows out of range are repeated."""

from __future__ import annotations

import math
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from softmax_ext import _core
from softmax_ext._loss_arguments import check_reduction
from softmax_ext._loss_call import Call, Options, call_of

# What to do with masked logits, {0}.
_UNMASK = "pass {0}.data, and where=~np.ma.getmaskarray({0})"

# Two float64 that have been divided by 2 to this power have a product that is far from overflow.
SAFE_EXPONENT = 520

# SMX_OUT_OF_REACH of csrc/kernel.h, and the least exponent of targets at which the kernels may say so.
OUT_OF_REACH, LEAST_OUT_OF_REACH = 127, 20


def evaluate(
    logits: ArrayLike,
    labels: ArrayLike,
    axis: SupportsIndex,
    options: Options,
    out: Any,
    with_gradient: bool,
) -> tuple[Any, Any]:
    """Return the loss and the gradient, or None in its place."""
    with _core._OwnFloatState():
        return _evaluate_in_own_state(logits, labels, axis, options, out, with_gradient)


def _evaluate_in_own_state(
    logits: ArrayLike,
    labels: ArrayLike,
    axis: SupportsIndex,
    options: Options,
    out: Any,
    with_gradient: bool,
) -> tuple[Any, Any]:
    x, number, compute_dtype = _core._array_and_axis(logits, axis, "logits", _UNMASK)
    result = x.dtype.newbyteorder("=")
    number %= x.ndim
    reduction = options.reduction
    check_reduction(reduction)
    if out is not None:
        _core._check_out(out, x.shape, compute_dtype)
    call, dead = call_of(x, number, compute_dtype, labels, options)
    shape = x.shape[:number] + x.shape[number + 1 :]
    gradient = None
    if x.size == 0 or call.divisor[0] == 0:
        losses, exponents = np.zeros(shape, call.dtype), np.zeros(shape, np.int8)
        if with_gradient:
            gradient = np.zeros_like(x, dtype=call.dtype, subok=False)
    else:
        if with_gradient:
            is_rounded_by_kernels = out is None and _core._is_native_to_kernels(result, call.dtype, None)
            new_dtype = result if is_rounded_by_kernels else call.dtype
            gradient = out if _is_written_directly(out, call) else _core._empty_like(call.x, new_dtype)
        losses, exponents = call.run(gradient)
        losses, exponents = _repeat_out_of_range(call, losses, exponents, gradient)
    if dead is not None:
        losses = np.where(dead, losses.dtype.type(np.inf), losses)
    if gradient is not None and out is not None:
        if gradient is not out:
            _core._copy_into(out, gradient)
        gradient = out
    elif gradient is not None:
        gradient = _core._cast(gradient, result)
    return _core._cast(_reduced(losses, exponents, reduction, shape, call.divisor), result)[()], gradient


def _reduced(
    losses: NDArray[Any],
    exponents: NDArray[Any],
    reduction: str,
    shape: tuple[int, ...],
    divisor: tuple[float, int],
) -> NDArray[Any]:
    losses = np.ascontiguousarray(losses)  # gives 0-d arrays a dimension
    if reduction == "none":
        losses = losses.reshape(shape)
        _core._apply_exponents(losses, exponents)
        return losses
    divisor = divisor if reduction == "mean" else (1.0, 0)
    return np.asarray(_core._mean_of_losses(losses, exponents, *divisor) if divisor[0] != 0 else 0.0)


# ---- results that are written in place, and rows that are computed again --------------------------------------------


def _is_written_directly(out: Any, call: Call) -> bool:
    """Return True if the kernels may write the gradient into out, and nothing that is in its place is needed again."""
    if out is None:
        return False
    elements = [call.x] if call.q is None else [call.x, call.q]
    rows = [a for a in (call.weight, call.label, call.factor, call.scale, call.spread) if a is not None]
    if not _core._can_write_into(out, call.dtype, elements, call.where, True, None):
        return False
    if any(np.may_share_memory(out, a) for a in rows):
        return False
    if not any(np.may_share_memory(out, a) for a in elements):
        return True
    # A row that is out of range is computed again, but there is none if all numbers are small.
    limit = 2.0**30 if call.dtype.itemsize == 4 else 2.0**400
    return all(_largest(a) < limit for a in elements) and (
        call.dtype.itemsize == 8 or _exponent_of_targets(call) < LEAST_OUT_OF_REACH
    )


def _largest(array: NDArray[Any]) -> float:
    return max(float(np.max(array)), -float(np.min(array)))


def _exponent_of_targets(call: Call) -> float:
    """Return an exponent that neither a row's targets nor what they are multiplied by exceed, over the divisor."""
    targets = call.factor if call.q is None else call.q
    sizes = [1.0 if a is None else max(1.0, _largest(a)) for a in (call.weight, targets)]
    sizes += [call.x.shape[call.axis], 1.0 if call.scale is None else _largest(call.scale)]
    divisor = math.log2(call.divisor[0]) + call.divisor[1] + math.log2(call.temperature)
    return sum(math.log2(max(size, 2.0**-200)) for size in sizes) + call.exponent - divisor


def _repeat_out_of_range(
    call: Call, losses: NDArray[Any], exponents: NDArray[Any], gradient: NDArray[Any] | None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Compute rows that have an infinite loss or a gradient out of reach once more, in a range that suits every step.

    float32 is computed in float64. In float64, logits and temperature get the same factor, and so do probabilities.
    """
    out_of_reach = np.asarray(exponents == OUT_OF_REACH)
    if not out_of_reach.any() and math.isfinite(_core._mean_of_losses(losses, exponents, 1.0, 0)):
        return losses, exponents
    at = out_of_reach | np.asarray(losses == np.inf)
    is_double = call.dtype.itemsize == 8
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
    again = Call(
        some_rows(call.x), np.dtype(np.float64), 1,
        None if call.weight is None else call.weight.astype(np.float64), some_rows(call.q),
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
    if gradient is not None and rows_gradient is not None:
        before = np.moveaxis(gradient, call.axis, -1)[at]
        rows_gradient = _core._cast(rows_gradient, gradient.dtype)
        # An infinity in both may be the rounding to 16 bits.
        in_range = np.isfinite(before) | (before == rows_gradient)
        only_loss = in_range.all(axis=-1, keepdims=True) & ~out_of_reach[at][..., None]
        np.moveaxis(gradient, call.axis, -1)[at] = np.where(only_loss, before, rows_gradient)
    return losses, exponents
