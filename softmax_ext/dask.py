"""Softmax, log-softmax and logsumexp of Dask arrays: larger than memory, or than one machine.

Where every row lies in one chunk, each chunk goes through the function of the same name in `softmax_ext`. Where rows
are cut, one sweep over the chunks reduces each row to a pair (Milakov and Gimelshein, 2018), in Dask's own tree
reduction, and one sweep writes the results.

The pair is the row's maximum M, and R, the sum of exp(x - M) over all elements but one maximum, whose term is 1. That 1
is left out because log(1 + R), which is all that log_softmax has at the maximum, would not see an R below 2^-53 in
1 + R. Pairs are float64 whatever the type of the data, and combine without a subtraction: nothing cancels.
Each chunk's share comes from the compiled kernels, which have no rounding of x - max in it.

Between the sweeps nothing is kept but the pairs: `dask.graph_manipulation.bind` makes the second sweep load or compute
the chunks again. A graph that used the same chunks twice would hold all of them in memory until the last row has its
maximum.

Threads: the kernels' own come on top of those of Dask's threaded scheduler; `softmax_ext.set_num_threads(1)` leaves the
CPUs to Dask. Workers of `distributed` start with ``OMP_NUM_THREADS=1``, which does the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, SupportsIndex, TypeAlias

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple
from numpy.typing import NDArray

import softmax_ext
import softmax_ext._core as _core

try:
    import dask.array as da
    from dask.array.utils import meta_from_array
    from dask.graph_manipulation import bind
except ImportError as error:
    raise ImportError(
        "softmax_ext.dask needs Dask, which the extra [dask] installs: python -m pip install 'softmax_ext[dask]'"
    ) from error

_Axis: TypeAlias = SupportsIndex | tuple[SupportsIndex, ...] | None
_Axes: TypeAlias = tuple[int, ...]

__all__ = ["log_softmax", "logsumexp", "softmax"]


def softmax(x: da.Array, axis: _Axis = -1) -> da.Array:
    r"""Softmax of a Dask array along an axis: exponentials that sum to 1.

    .. math:: y_i = \frac{\exp(x_i)}{\sum_j \exp(x_j)}

    Parameters
    ----------
    x : dask.array.Array, any shape and chunks
        Of the types that `softmax_ext.softmax` takes. Sizes of chunks may be unknown. Where a row is in several chunks,
        `x` is computed twice, and has to be the same both times: ``x.persist()`` it where that is dear or untrue.
    axis : int, tuple of ints or None, default -1
        The axis or axes along which the result sums to 1; None for the whole array.

    Returns
    -------
    dask.array.Array
        Of `x`'s shape and chunks and of the type that `softmax_ext.softmax` gives, not computed yet. Special values are
        treated as there. Elements are within 2 ULP of the true value; those of float64 rows in several chunks within 8.
        How a row is cut may change its last bits.

    Raises
    ------
    TypeError
        If `x` is no Dask array, or not of NumPy arrays of real numbers; if `axis` holds no integer.
    ValueError
        If an axis is repeated.
    numpy.exceptions.AxisError
        If `x` lacks the axis.

    See Also
    --------
    softmax_ext.softmax : The same for NumPy arrays.

    Notes
    -----
    The second sweep takes the softmax of each chunk, and multiplies it by the share that the chunk has in its row.

    Examples
    --------
    >>> import dask.array as da
    >>> import numpy as np
    >>> from softmax_ext.dask import softmax
    >>> y = softmax(da.from_array(np.log([[1.0, 3.0], [4.0, 1.0]]), chunks=1))
    >>> y.chunks
    ((1, 1), (1, 1))
    >>> y.compute()
    array([[0.25, 0.75],
           [0.8 , 0.2 ]])
    """
    return _elementwise(softmax_ext.softmax, _softmax_of_chunk, x, axis)


def log_softmax(x: da.Array, axis: _Axis = -1) -> da.Array:
    r"""Logarithm of the softmax of a Dask array along an axis, accurate at every element.

    .. math:: y_i = x_i - \log \sum_j \exp(x_j)

    Parameters
    ----------
    x : dask.array.Array, any shape and chunks
        As for `softmax`.
    axis : int, tuple of ints or None, default -1
        The axis or axes along which the exponentials of the result sum to 1; None for the whole array.

    Returns
    -------
    dask.array.Array
        As `softmax` does, with the same bounds, also where the result is close to 0.

    Raises
    ------
    TypeError, ValueError, numpy.exceptions.AxisError
        As `softmax` does.

    See Also
    --------
    softmax_ext.log_softmax : The same for NumPy arrays.

    Examples
    --------
    >>> import dask.array as da
    >>> import numpy as np
    >>> from softmax_ext.dask import log_softmax
    >>> log_softmax(da.from_array(np.array([0.0, -50.0]), chunks=1)).compute()
    array([-1.92874985e-22, -5.00000000e+01])
    """
    return _elementwise(softmax_ext.log_softmax, _log_softmax_of_chunk, x, axis)


def logsumexp(x: da.Array, axis: _Axis = -1, keepdims: bool = False) -> da.Array:
    r"""Logarithm of the sum of exponentials of a Dask array along an axis.

    .. math:: \log \sum_j \exp(x_j)

    Parameters
    ----------
    x : dask.array.Array, any shape and chunks
        As for `softmax`; it is computed once.
    axis : int, tuple of ints or None, default -1
        The axis or axes that are summed over; None for the whole array.
    keepdims : bool, default False
        Whether the axes summed over stay, with length 1.

    Returns
    -------
    dask.array.Array
        Of the type that `softmax_ext.logsumexp` gives, with `x`'s chunks along the axes that stay; not computed yet.
        Within 2 ULP of the larger of the result and the largest \|x\|; for float64 rows in several chunks, within 8.

    Raises
    ------
    TypeError, ValueError, numpy.exceptions.AxisError
        As `softmax` does.

    See Also
    --------
    softmax_ext.logsumexp : The same for NumPy arrays.

    Examples
    --------
    >>> import dask.array as da
    >>> import numpy as np
    >>> from softmax_ext.dask import logsumexp
    >>> logsumexp(da.from_array(np.array([[1000.0, 1000.0], [0.0, -np.inf]]), chunks=1)).compute()
    array([1000.69314718,    0.        ])
    """
    x, axes, dtype = _checked(softmax_ext.logsumexp, x, axis)
    keepdims = _core._flag(keepdims, "keepdims")
    cut = _is_cut(x, axes)
    return da.map_blocks(
        partial(_logsumexp_of_pairs, result_type=dtype) if cut else softmax_ext.logsumexp,
        _pairs(x, axes) if cut else x,
        axis=axes,
        keepdims=keepdims,
        chunks=tuple((1,) if d in axes else n for d, n in enumerate(x.chunks) if keepdims or d not in axes),
        drop_axis=() if keepdims else axes,
        meta=np.empty((0,) * (x.ndim if keepdims else x.ndim - len(axes)), dtype),
    )


# Arguments and graphs -----------------------------------------------------------------------------


def _checked(function: Callable[..., Any], x: da.Array, axis: _Axis) -> tuple[da.Array, _Axes, np.dtype[Any]]:
    """Return the array in a floating type, its axes as numbers, and the type of the function's result."""
    if not isinstance(x, da.Array):
        raise TypeError(
            f"x: got {type(x).__name__}, expected a Dask array, such as dask.array.from_array makes"
        )
    # On an array of no elements the function makes all its checks, with its own messages.
    dtype = function(meta_from_array(x), axis).dtype
    axes: Iterable[int] = range(x.ndim)
    if axis is not None and x.ndim > 0:
        # Any integer is an axis to it, though its type says int.
        axes = normalize_axis_tuple(axis, x.ndim)  # type: ignore[arg-type]
    return x.astype(dtype), tuple(sorted(axes)), dtype


def _is_cut(x: da.Array, axes: _Axes) -> bool:
    """Whether rows along these axes are in several chunks."""
    return any(x.numblocks[d] > 1 for d in axes)


def _elementwise(
    function: Callable[..., Any], of_chunk: Callable[..., Any], x: da.Array, axis: _Axis
) -> da.Array:
    """Return the function of x; where rows are cut, by `of_chunk` of each chunk and its rows' pairs."""
    x, axes, dtype = _checked(function, x, axis)
    meta = np.empty((0,) * x.ndim, dtype)
    if not _is_cut(x, axes):
        return da.map_blocks(function, x, axis=axes, meta=meta)
    pairs = _pairs(x, axes)
    d = tuple(range(x.ndim))
    # The seed is for names of chunks that depend on nothing but x: Dask shares what several results have in common.
    again = bind(x, pairs, seed=pairs.name)
    # Not aligned, since that would need sizes: the pairs have x's chunks, or one that serves all of a row's.
    return da.blockwise(of_chunk, d, again, d, pairs, d, axis=axes, align_arrays=False, meta=meta)


def _pairs(x: da.Array, axes: _Axes) -> da.Array:
    """Return the pair of each row, of length 1 along the axes."""
    meta = np.empty((0,) * x.ndim, _PAIR)
    return da.reduction(x, _pair_of_chunk, _combine, axes, keepdims=True, dtype=_PAIR, meta=meta)


# The first sweep: a pair for each row, from chunks and then from pairs ----------------------------

# M and R. No elements, or -inf alone: (-inf, 0), which adds nothing to others. With NaN or +inf: that, and NaN.
_PAIR = np.dtype([("max", np.float64), ("others", np.float64)])


@np.errstate(all="ignore")
def _pair_of_chunk(x: NDArray[Any], axis: _Axes, keepdims: bool = True) -> NDArray[Any]:
    """Return the pairs of a chunk's rows, which have length 1 along the axes."""
    total = 1 / _max(softmax_ext.softmax(x, axis, dtype=np.float64), axis)
    top = _max(x, axis)
    others = total - 1
    confident = total < 2  # where the difference would cancel
    if confident.any():
        log_total = -_max(softmax_ext.log_softmax(x, axis, dtype=np.float64), axis)
        others = np.where(confident, np.expm1(log_total), others)
    return _as_pairs(top, np.where(top == -np.inf, 0, others))


@np.errstate(all="ignore")
def _combine(pairs: NDArray[Any], axis: _Axes, keepdims: bool = True) -> NDArray[Any]:
    """Return one pair for all along the axes."""
    top = _max(pairs["max"], axis)
    ties = pairs["max"] == top  # also where both are -inf
    others = np.where(ties, pairs["others"], _rescale(1 + pairs["others"], pairs["max"], top))
    # Of the maxima one is left out; the others count 1 each.
    return _as_pairs(top, others.sum(axis=axis, keepdims=True) + (ties.sum(axis=axis, keepdims=True) - 1))


# The second sweep: results from the pairs ---------------------------------------------------------


@np.errstate(all="ignore")
def _softmax_of_chunk(x: NDArray[Any], pairs: NDArray[Any], axis: _Axes) -> NDArray[Any]:
    y: NDArray[Any] = softmax_ext.softmax(x, axis, dtype=np.float64)
    top = _max(x, axis)
    # -inf alone is NaN by itself, but 0 beside what other chunks hold.
    nothing = top == -np.inf
    np.copyto(y, 0, where=nothing)
    largest = np.where(nothing, 1, _max(y, axis))
    # y / largest is exp(x - top).
    y *= _rescale(1 / (largest * (1 + pairs["others"])), top, pairs["max"])
    return y.astype(x.dtype, copy=False)


@np.errstate(all="ignore")
def _log_softmax_of_chunk(x: NDArray[Any], pairs: NDArray[Any], axis: _Axes) -> NDArray[Any]:
    # Two differences, and both are 0 or below: nothing cancels.
    y: NDArray[Any] = x - pairs["max"]
    y -= np.log1p(pairs["others"])
    return y.astype(x.dtype, copy=False)


@np.errstate(all="ignore")
def _logsumexp_of_pairs(
    pairs: NDArray[Any], axis: _Axes, keepdims: bool, result_type: np.dtype[Any]
) -> NDArray[Any]:
    top = pairs["max"]
    result = np.where(np.isfinite(top), top + np.log1p(pairs["others"]), top).astype(result_type)
    return result if keepdims else result.squeeze(axis)


# Arithmetic ---------------------------------------------------------------------------------------


def _max(x: NDArray[Any], axis: _Axes) -> NDArray[np.float64]:
    """Return the maxima along the axes, which stay with length 1; -inf of nothing."""
    return np.asarray(x.max(axis=axis, keepdims=True, initial=-np.inf), np.float64)


def _as_pairs(top: NDArray[Any], others: NDArray[Any]) -> NDArray[Any]:
    pairs = np.empty(top.shape, _PAIR)
    pairs["max"], pairs["others"] = top, others
    return pairs


def _rescale(value: NDArray[Any], top: NDArray[Any], reference: NDArray[Any]) -> NDArray[Any]:
    """Return value * exp(top - reference), to a few roundings whatever the two are."""
    gap = top - reference
    # What the difference lost, exactly (Knuth's TwoSum); as an exponent of 700 it would be an error of 2^9 roundings.
    back = gap - top
    lost = (top - (gap - back)) - (reference + back)
    value = value + value * np.where(np.isfinite(lost), lost, 0)
    # Far below in two steps, so that what is subnormal, and has few digits, is the result at most.
    rest = np.where(gap < -600, -300, 0)
    result: NDArray[Any] = np.exp(gap - rest) * value * np.exp(rest)
    return result
