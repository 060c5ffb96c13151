"""Graphs and arithmetic of softmax_ext.dask: rows that are cut are reduced in one sweep and written in another.

A mask or another operand is brought into the chunks of the array that it broadcasts to. Along an axis of length 1 it
has one chunk, which serves all. `on_blocks` then calls a function on the blocks that belong together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, SupportsIndex, TypeAlias

import dask.array as da
import numpy as np
from dask.array.utils import meta_from_array
from dask.graph_manipulation import bind
from numpy.lib.array_utils import normalize_axis_tuple
from numpy.typing import ArrayLike, NDArray

import softmax_ext
import softmax_ext._core as _core

Axis: TypeAlias = SupportsIndex | tuple[SupportsIndex, ...] | None
Axes: TypeAlias = tuple[int, ...]
Function: TypeAlias = Callable[..., Any]
_Real: TypeAlias = NDArray[np.float64]


# ---- arguments ---------------------------------------------------------------------------------------------------


def check_is_dask(x: Any, name: str) -> None:
    if not isinstance(x, da.Array):
        raise TypeError(
            f"{name}: got {type(x).__name__}, expected a Dask array, such as dask.array.from_array makes"
        )


def axes_of(axis: Axis, x: da.Array) -> Axes:
    """Return an axis that has been checked as numbers in order."""
    if axis is None or x.ndim == 0:
        return tuple(range(x.ndim))
    # Any integer is an axis to it, though its type says int.
    return tuple(sorted(normalize_axis_tuple(axis, x.ndim)))  # type: ignore[arg-type]


def is_cut(x: da.Array, axes: Axes) -> bool:
    """Whether rows along these axes are in several chunks."""
    return any(x.numblocks[d] > 1 for d in axes)


def aligned(
    value: ArrayLike | da.Array,
    chunks: Sequence[tuple[float, ...]],
    name: str,
    wanted: str,
    broadcast: bool = True,
) -> da.Array:
    """Return the value as a Dask array in these chunks, or in one chunk along an axis of length 1 that broadcasts.

    Sizes of chunks that are not known are taken to fit if their number does.
    """
    array = value if isinstance(value, da.Array) else da.asarray(_core._as_array(value, name))
    shape = tuple(sum(sizes) for sizes in chunks)
    missing = len(chunks) - array.ndim
    new: list[tuple[float, ...]] = []
    fits = missing == 0 or (broadcast and missing > 0)
    for n, own, size, sizes in zip(array.shape, array.chunks, shape[missing:], chunks[missing:], strict=fits):
        if n == 1 and broadcast:
            new.append((1,))
        elif math.isnan(n) or math.isnan(size):
            fits = fits and len(own) == len(sizes)
            new.append(own)
        else:
            fits = fits and n == size
            new.append(sizes)
    if not fits:
        raise ValueError(f"{name}: got shape {array.shape}, expected {wanted} {shape}")
    return array if tuple(new) == array.chunks else array.rechunk(tuple(new))


def mask_of(where: ArrayLike | da.Array | None, x: da.Array, name: str) -> da.Array | None:
    """Return a mask that broadcasts to x, the argument of that name, in x's chunks."""
    if where is None:
        return None
    mask = aligned(where, x.chunks, "where", f"one that broadcasts to {name}'s")
    if mask.dtype != np.bool:
        raise TypeError(f"where: got {mask.dtype}, expected bool")
    return mask


# ---- graphs ------------------------------------------------------------------------------------------------------


def on_blocks(
    function: Function,
    arrays: Sequence[da.Array | None],
    dtype: np.dtype[Any],
    axes: Axes | None = None,
    /,
    **options: Any,
) -> da.Array:
    """Return the function of the blocks of arrays that broadcast to the first. With axes, it has length 1 there."""
    x: Any = arrays[0]
    d = tuple(range(x.ndim))
    operands: list[Any] = []
    for array in arrays:
        operands += [None, None] if array is None else [array, d[x.ndim - array.ndim :]]
    return da.blockwise(
        function,
        d,
        *operands,
        adjust_chunks=None if axes is None else dict.fromkeys(axes, 1),
        # Not aligned, since that would need sizes.
        align_arrays=False,
        meta=np.empty((0,) * x.ndim, dtype),
        **options,
    )


def reduce_rows(partials: da.Array, combine: Function, axes: Axes) -> da.Array:
    """Return one number, or record, for each row, by Dask's tree reduction of those of its chunks."""
    if not is_cut(partials, axes):
        return partials
    meta = np.empty((0,) * partials.ndim, partials.dtype)
    return da.reduction(partials, _same, combine, axes, keepdims=True, dtype=partials.dtype, meta=meta)


def without_axes(x: da.Array, axes: Axes) -> da.Array:
    """Return the array without axes along which its length is 1."""
    if not axes:
        return x
    return da.map_blocks(
        np.squeeze,
        x,
        axis=axes,
        chunks=tuple(sizes for d, sizes in enumerate(x.chunks) if d not in axes),
        drop_axis=axes,
        meta=np.empty((0,) * (x.ndim - len(axes)), x.dtype),
    )


def _again(arrays: Sequence[da.Array | None], after: da.Array) -> Sequence[da.Array | None]:
    """Return the arrays, loaded or computed anew once `after` is known."""
    # The seed is for names of chunks that depend on nothing but these: Dask shares what several results have in common.
    result: Sequence[da.Array | None] = bind(tuple(arrays), after, seed=after.name)
    return result


def _same(x: NDArray[Any], axis: Axes, keepdims: bool) -> NDArray[Any]:
    return x


# ---- softmax, log_softmax, logsumexp -----------------------------------------------------------------------------


def elementwise(
    function: Function,
    of_chunk: Function,
    x: da.Array,
    axis: Axis,
    where: Any,
    temperature: Any,
    initial: Any,
    return_logsumexp: Any,
) -> Any:
    """Return the function of x; where rows are cut, by `of_chunk` of each chunk and its rows' pairs."""
    return_logsumexp = _core._flag(return_logsumexp, "return_logsumexp")
    x, axes, dtype = _checked(function, x, axis, temperature)
    mask = mask_of(where, x, "x")
    first = _initial_of(initial, x, axes, dtype)
    if not is_cut(x, axes):
        options = {"axis": axes, "temperature": temperature}
        y = on_blocks(_function_of_chunk, [x, mask, first], dtype, function=function, **options)
        return (y, logsumexp(x, axis, False, where, temperature, initial)) if return_logsumexp else y
    pairs = _pairs(x, mask, first, axes, temperature)
    x, mask = _again([x, mask], pairs)
    y = on_blocks(of_chunk, [x, mask, pairs], dtype, axis=axes, temperature=float(temperature))
    return (y, without_axes(_log_of_pairs(pairs, dtype, temperature), axes)) if return_logsumexp else y


def logsumexp(x: da.Array, axis: Axis, keepdims: Any, where: Any, temperature: Any, initial: Any) -> da.Array:
    x, axes, dtype = _checked(softmax_ext.logsumexp, x, axis, temperature)
    keepdims = _core._flag(keepdims, "keepdims")
    mask = mask_of(where, x, "x")
    first = _initial_of(initial, x, axes, dtype)
    if is_cut(x, axes):
        result = _log_of_pairs(_pairs(x, mask, first, axes, temperature), dtype, temperature)
    else:
        options = {"axis": axes, "keepdims": True, "temperature": temperature}
        result = on_blocks(
            _function_of_chunk, [x, mask, first], dtype, axes, function=softmax_ext.logsumexp, **options
        )
    return result if keepdims else without_axes(result, axes)


def _checked(
    function: Function, x: da.Array, axis: Axis, temperature: Any
) -> tuple[da.Array, Axes, np.dtype[Any]]:
    """Return the array in a floating type, its axes as numbers, and the type of the function's result."""
    check_is_dask(x, "x")
    # On an array of no elements the function makes all its checks, with its own messages.
    dtype = function(meta_from_array(x), axis, temperature=temperature).dtype
    return x.astype(dtype), axes_of(axis, x), dtype


def _initial_of(initial: Any, x: da.Array, axes: Axes, dtype: np.dtype[Any]) -> da.Array | None:
    """Return one initial term for each row, in the chunks of the rows and in the type of the arithmetic."""
    if initial is None:
        return None
    chunks = tuple((1,) if d in axes else sizes for d, sizes in enumerate(x.chunks))
    first = aligned(initial, chunks, "initial", "one that broadcasts to")
    _core._real_array(meta_from_array(first), "initial")
    return first.astype(np.float64 if dtype == np.float64 else np.float32)


def _function_of_chunk(
    x: NDArray[Any],
    mask: NDArray[Any] | None,
    initial: NDArray[Any] | None,
    function: Function,
    **options: Any,
) -> Any:
    return function(x, where=mask, initial=initial, **options)


# The first sweep makes a pair for each row, from chunks and then from pairs: M and R. No elements, or -inf alone, make
# (-inf, 0), which adds nothing to others; NaN or +inf make that, and NaN. An initial term that is larger than all
# elements takes the place of the maximum. M is then T initial, in the units of x, and the low part of M is what the
# rounding loses.
_PAIR = np.dtype([("max", np.float64), ("others", np.float64), ("low", np.float64)])


def _pairs(
    x: da.Array, mask: da.Array | None, initial: da.Array | None, axes: Axes, temperature: Any
) -> da.Array:
    """Return the pair of each row, of length 1 along the axes."""
    temperature = float(temperature)
    of_chunks = on_blocks(_pair_of_chunk, [x, mask], _PAIR, axes, axis=axes, temperature=temperature)
    pairs = reduce_rows(of_chunks, partial(_combine, temperature=temperature), axes)
    if initial is None:
        return pairs
    return on_blocks(_with_initial, [pairs, initial], _PAIR, temperature=temperature)


@np.errstate(all="ignore")
def _pair_of_chunk(
    x: NDArray[Any], mask: NDArray[Any] | None, axis: Axes, temperature: float
) -> NDArray[Any]:
    """Return the pairs of a chunk's rows, which have length 1 along the axes."""
    options: dict[str, Any] = {"where": mask, "temperature": temperature, "dtype": np.float64}
    total = 1 / _max(softmax_ext.softmax(x, axis, **options), axis)
    top = _max(x, axis, mask)
    others = total - 1
    confident = total < 2  # where the difference would cancel
    if confident.any():
        log_total = -_max(softmax_ext.log_softmax(x, axis, **options), axis)
        others = np.where(confident, np.expm1(log_total), others)
    return _as_pairs(top, np.where(top == -np.inf, 0, others))


@np.errstate(all="ignore")
def _combine(pairs: NDArray[Any], axis: Axes, temperature: float, keepdims: bool = True) -> NDArray[Any]:
    """Return one pair for all along the axes."""
    top = _max(pairs["max"], axis)
    ties = pairs["max"] == top  # also where both are -inf
    scaled = _rescale(1 + pairs["others"], pairs["max"], top, temperature)
    others = np.where(ties, pairs["others"], scaled)
    # Of the maxima one is left out; the others count 1 each.
    return _as_pairs(top, others.sum(axis=axis, keepdims=True) + (ties.sum(axis=axis, keepdims=True) - 1))


@np.errstate(all="ignore")
def _with_initial(pairs: NDArray[Any], initial: NDArray[Any], temperature: float) -> NDArray[Any]:
    """Return the pairs with the initial terms of their rows."""
    top, others = pairs["max"], pairs["others"]
    term, low = np.broadcast_arrays(*_exact_product(initial.astype(np.float64), temperature))
    low = np.where(np.isfinite(low), low, 0)
    by_low = low / temperature
    behind = _rescale(np.ones_like(top), term, top, temperature) * (1 + by_low)
    ahead = _rescale(1 + others, top, term, temperature) * (1 - by_low)
    leads = ~(term <= top)
    result = _as_pairs(
        np.where(leads, term, top), np.where(leads, ahead, others + np.where(term == -np.inf, 0, behind))
    )
    result["others"][np.broadcast_to(term == np.inf, top.shape)] = np.nan
    result["low"] = np.where(leads, low, 0)
    # A row that is NaN stays NaN.
    return np.where(np.isnan(top), pairs, result)


def _log_of_pairs(pairs: da.Array, dtype: np.dtype[Any], temperature: Any) -> da.Array:
    return on_blocks(_logsumexp_of_pairs, [pairs], dtype, result_type=dtype, temperature=float(temperature))


# The second sweep makes results from the pairs.


@np.errstate(all="ignore")
def softmax_of_chunk(
    x: NDArray[Any], mask: NDArray[Any] | None, pairs: NDArray[Any], axis: Axes, temperature: float
) -> NDArray[Any]:
    y: NDArray[Any] = softmax_ext.softmax(x, axis, where=mask, temperature=temperature, dtype=np.float64)
    top = _max(x, axis, mask)
    # -inf alone is NaN by itself, but 0 beside what other chunks hold.
    nothing = top == -np.inf
    np.copyto(y, 0, where=nothing)
    largest = np.where(nothing, 1, _max(y, axis))
    # y / largest is exp((x - top) / T).
    y *= _rescale(1 / (largest * (1 + pairs["others"])), top, pairs["max"], temperature)
    y *= 1 - pairs["low"] / temperature
    return _core._cast(_hidden_as(0, mask, y), x.dtype)


@np.errstate(all="ignore")
def log_softmax_of_chunk(
    x: NDArray[Any], mask: NDArray[Any] | None, pairs: NDArray[Any], axis: Axes, temperature: float
) -> NDArray[Any]:
    # Two differences, and both are 0 or below: nothing cancels. The first may be beyond the range if T brings it back.
    half = 0.5 if temperature > 1 else 1.0
    y = x.astype(np.float64)
    if half != 1:
        y *= half
    y -= half * pairs["max"]
    y /= half * temperature
    y -= np.log1p(pairs["others"]) + pairs["low"] / temperature
    return _core._cast(_hidden_as(-np.inf, mask, y), x.dtype)


@np.errstate(all="ignore")
def _logsumexp_of_pairs(pairs: NDArray[Any], result_type: np.dtype[Any], temperature: float) -> NDArray[Any]:
    top = pairs["max"] / temperature
    log = np.log1p(pairs["others"]) + pairs["low"] / temperature
    return _core._cast(np.where(np.isfinite(pairs["max"]), top + log, top), result_type)


# ---- logsumexp with weights --------------------------------------------------------------------------------------

# The logarithm of a sum's size, and its sign. The sums of a row's chunks are terms of the row's sum.
_SIGNED = np.dtype([("log", np.float64), ("sign", np.float64)])


def weighted_logsumexp(
    x: da.Array,
    axis: Axis,
    keepdims: Any,
    where: Any,
    temperature: Any,
    initial: Any,
    b: Any,
    return_sign: Any,
) -> Any:
    """Return logsumexp with weights, and the sign of the sum if that is wanted."""
    check_is_dask(x, "x")
    keepdims, return_sign = _core._flag(keepdims, "keepdims"), _core._flag(return_sign, "return_sign")
    weights: Any = 1.0 if b is None else b
    if not isinstance(weights, (da.Array, float, int)):
        weights = da.asarray(_core._as_array(weights, "b", "pass {0}.filled(0)"))
    is_array = isinstance(weights, da.Array)
    if is_array and weights.shape != x.shape:
        try:
            x = da.broadcast_to(x, np.broadcast_shapes(x.shape, weights.shape))
        except ValueError:
            raise ValueError(
                f"b: got shape {weights.shape}, expected one that broadcasts with x's {x.shape}"
            ) from None
    metas = [meta_from_array(a) if isinstance(a, da.Array) else a for a in (x, weights)]
    dtype = softmax_ext.logsumexp(metas[0], axis, temperature=temperature, b=metas[1]).dtype
    axes = axes_of(axis, x)
    if is_array:
        weights = aligned(weights, x.chunks, "b", "one that broadcasts with x's").astype(dtype)
    else:
        weights = da.full((1,) * x.ndim, float(weights), dtype)
    x = x.astype(dtype)
    mask, first = mask_of(where, x, "x"), _initial_of(initial, x, axes, dtype)
    options = {"axis": axes, "temperature": float(temperature)}
    if is_cut(x, axes):
        parts = on_blocks(_signed_of_chunk, [x, weights, mask, None], _SIGNED, axes, wide=True, **options)
        parts = reduce_rows(parts, _combine_signed, axes)
        if first is not None:
            parts = on_blocks(_signed_with_initial, [parts, first], _SIGNED)
    else:
        parts = on_blocks(_signed_of_chunk, [x, weights, mask, first], _SIGNED, axes, wide=False, **options)
    log = on_blocks(_log_of_signed, [parts], dtype, result_type=dtype, has_sign=return_sign)
    sign = on_blocks(_sign_of_signed, [parts], dtype, result_type=dtype)
    if not keepdims:
        log, sign = without_axes(log, axes), without_axes(sign, axes)
    return (log, sign) if return_sign else log


def _as_signed(pair: tuple[Any, Any]) -> NDArray[Any]:
    result = np.empty(np.shape(pair[0]), _SIGNED)
    result["log"], result["sign"] = pair
    return result


def _signed_of_chunk(
    x: NDArray[Any],
    b: NDArray[Any],
    mask: NDArray[Any] | None,
    initial: NDArray[Any] | None,
    wide: bool,
    **options: Any,
) -> NDArray[Any]:
    """Return the sums of a chunk's rows, which have length 1 along the axes; wide: not yet rounded to x's type."""
    if wide:
        options["dtype"] = np.float64
    options |= {"keepdims": True, "where": mask, "initial": initial}
    return _as_signed(softmax_ext.logsumexp(x, b=b, return_sign=True, **options))


def _combine_signed(parts: NDArray[Any], axis: Axes, keepdims: bool = True) -> NDArray[Any]:
    options: dict[str, Any] = {"keepdims": True, "return_sign": True}
    return _as_signed(softmax_ext.logsumexp(parts["log"], axis, b=parts["sign"], **options))


def _signed_with_initial(parts: NDArray[Any], initial: NDArray[Any]) -> NDArray[Any]:
    terms = np.stack([parts["log"], np.broadcast_to(initial.astype(np.float64), parts.shape)])
    weights = np.stack([parts["sign"], np.ones(parts.shape)])
    return _as_signed(softmax_ext.logsumexp(terms, 0, b=weights, return_sign=True))


def _log_of_signed(parts: NDArray[Any], result_type: np.dtype[Any], has_sign: bool) -> NDArray[Any]:
    log = parts["log"] if has_sign else np.where(parts["sign"] < 0, np.nan, parts["log"])
    return _core._cast(log, result_type)


def _sign_of_signed(parts: NDArray[Any], result_type: np.dtype[Any]) -> NDArray[Any]:
    return parts["sign"].astype(result_type)


# ---- derivatives -------------------------------------------------------------------------------------------------


def derivative(
    function: Function,
    term: Function,
    of_chunk: Function,
    y: da.Array,
    vector: tuple[str, Any],
    axis: Axis,
    where: Any,
    temperature: Any,
) -> da.Array:
    """Return the function of y and a vector; where rows are cut, by `of_chunk` of each chunk and the sums of its rows.

    A sum is that of `term`, a function of the elements of both.
    """
    check_is_dask(y, "y")
    name, value = vector
    v = aligned(value, y.chunks, name, "one that broadcasts to y's")
    dtype = function(meta_from_array(y), meta_from_array(v), axis, temperature=temperature).dtype
    axes = axes_of(axis, y)
    mask = mask_of(where, y, "y")
    if not is_cut(y, axes):
        options = {"axis": axes, "temperature": temperature}
        return on_blocks(_derivative_of_chunk, [y, v, mask], dtype, function=function, **options)
    sums = on_blocks(_sum_of_chunk, [y, v, mask], np.dtype(np.float64), axes, term=term, axis=axes)
    sums = reduce_rows(sums, np.sum, axes)
    y, v, mask = _again([y, v, mask], sums)
    return on_blocks(
        _derivative_from_sums,
        [y, v, mask, sums],
        dtype,
        of_chunk=of_chunk,
        temperature=float(temperature),
        result_type=dtype,
    )


def product(y: _Real, v: _Real) -> _Real:
    return y * v


def vector_alone(y: _Real, v: _Real) -> _Real:
    return v


def product_with_exp(y: _Real, v: _Real) -> _Real:
    return _times_exp(v, y)


def softmax_vjp_of_chunk(y: _Real, v: _Real, total: _Real) -> _Real:
    return y * (v - total)


def log_softmax_vjp_of_chunk(y: _Real, v: _Real, total: _Real) -> _Real:
    return v - _times_exp(total, y)


def log_softmax_jvp_of_chunk(y: _Real, v: _Real, total: _Real) -> _Real:
    return v - total


def _derivative_of_chunk(
    y: NDArray[Any], v: NDArray[Any], mask: NDArray[Any] | None, function: Function, **options: Any
) -> Any:
    return function(y, v, where=mask, **options)


@np.errstate(all="ignore")
def _sum_of_chunk(
    y: NDArray[Any], v: NDArray[Any], mask: NDArray[Any] | None, term: Function, axis: Axes
) -> NDArray[Any]:
    """Return the sums of a chunk's rows, which have length 1 along the axes."""
    terms = np.broadcast_to(term(y.astype(np.float64, copy=False), v.astype(np.float64, copy=False)), y.shape)
    if mask is not None:
        terms = np.where(mask, terms, 0)
    # NumPy adds up in pairs along the last axis alone.
    rows = np.moveaxis(terms, axis, range(-len(axis), 0))
    outer = rows.shape[: y.ndim - len(axis)]
    lengths = rows.shape[y.ndim - len(axis) :]
    total = np.ascontiguousarray(rows).reshape(*outer, math.prod(lengths)).sum(axis=-1)
    return np.expand_dims(total, axis)


@np.errstate(all="ignore")
def _derivative_from_sums(
    y: NDArray[Any],
    v: NDArray[Any],
    mask: NDArray[Any] | None,
    total: NDArray[Any],
    of_chunk: Function,
    temperature: float,
    result_type: np.dtype[Any],
) -> NDArray[Any]:
    result = of_chunk(y.astype(np.float64, copy=False), v.astype(np.float64, copy=False), total)
    if temperature != 1:
        result = result / temperature
    result = np.broadcast_to(result, y.shape)
    return _core._cast(_hidden_as(0, mask, result), result_type)


# ---- arithmetic --------------------------------------------------------------------------------------------------


def _max(x: NDArray[Any], axis: Axes, mask: NDArray[Any] | None = None) -> NDArray[np.float64]:
    """Return the maxima along the axes, which stay with length 1; -inf of nothing."""
    visible = True if mask is None else mask
    return np.asarray(x.max(axis=axis, keepdims=True, initial=-np.inf, where=visible), np.float64)


def _hidden_as(value: float, mask: NDArray[Any] | None, y: NDArray[Any]) -> NDArray[Any]:
    return y if mask is None else np.where(mask, y, value)


def _as_pairs(top: NDArray[Any], others: NDArray[Any]) -> NDArray[Any]:
    pairs = np.empty(top.shape, _PAIR)
    pairs["max"], pairs["others"], pairs["low"] = top, others, 0
    return pairs


def _rescale(
    value: NDArray[Any], top: NDArray[Any], reference: NDArray[Any], temperature: float
) -> NDArray[Any]:
    """Return value * exp((top - reference) / temperature), to a few roundings whatever the three are."""
    gap = top - reference
    # What the difference lost, exactly (Knuth's TwoSum); as an exponent of 700 it would be an error of 2^9 roundings.
    back = gap - top
    lost = (top - (gap - back)) - (reference + back)
    exponent = gap
    if temperature != 1:
        # Likewise what the division loses.
        exponent = np.maximum(gap / temperature, -1e4)
        high, low = _exact_product(exponent, temperature)
        lost = ((gap - high) - low + lost) / temperature
    value = value + value * np.where(np.isfinite(lost) & (np.abs(lost) < 1), lost, 0)
    return _times_exp(value, exponent)


def _exact_product(a: NDArray[Any], b: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return a * b as a rounded number and what it lacks (Dekker's product)."""
    product = a * b
    a_high, a_low = _halves(a)
    b_high, b_low = _halves(np.asarray(b))
    return product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low


def _halves(x: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return two numbers of 26 bits whose sum is x (Veltkamp)."""
    scaled = 134217729.0 * x
    high = scaled - (scaled - x)
    return high, x - high


def _times_exp(value: NDArray[Any], exponent: NDArray[Any]) -> _Real:
    """Return value * exp(exponent), for exponents that are not positive."""
    # Far below 0 in two steps, so that what is subnormal, and has few digits, is the result at most.
    rest = np.where(exponent < -600, -300, 0)
    result: _Real = np.exp(exponent - rest) * value * np.exp(rest)
    return result
