"""Softmax and its family for Dask arrays: larger than memory, or than one machine.

Where every row lies in one chunk, each chunk goes through the function of the same name in `softmax_ext`. Where rows
are cut, one sweep over the chunks reduces each row to a pair (Milakov and Gimelshein, 2018), in Dask's own tree
reduction, and one sweep writes the results.

The pair is the row's maximum M, and R, the sum of exp((x - M) / T) over all elements but one maximum, whose term is 1.
That 1 is left out because log(1 + R), which is all that log_softmax has at the maximum, would not see an R below 2^-53
in 1 + R. Pairs are float64 whatever the type of the data, and combine without a subtraction: nothing cancels. Each
chunk's share comes from the compiled kernels, which have no rounding of x - max in it. For derivatives a sum takes the
place of the pair.

Between the sweeps nothing is kept but the pairs: `dask.graph_manipulation.bind` makes the second sweep load or compute
the chunks again. A graph that used the same chunks twice would hold all of them in memory until the last row has its
maximum.

Threads: the kernels' own come on top of those of Dask's threaded scheduler; `softmax_ext.set_num_threads(1)` leaves the
CPUs to Dask. Workers of `distributed` start with ``OMP_NUM_THREADS=1``, which does the same.
"""

from __future__ import annotations

from typing import Literal, SupportsIndex, TypeAlias, overload

from numpy.typing import ArrayLike

import softmax_ext
from softmax_ext._typing import Real, Reduction

try:
    import dask.array as da
except ImportError as error:
    raise ImportError(
        "softmax_ext.dask needs Dask, which the extra [dask] installs: python -m pip install 'softmax_ext[dask]'"
    ) from error

from softmax_ext import _dask_loss, _dask_rows

_Axis: TypeAlias = SupportsIndex | tuple[SupportsIndex, ...] | None
_ArrayLike: TypeAlias = ArrayLike | da.Array

__all__ = [
    "cross_entropy",
    "log_softmax",
    "log_softmax_jvp",
    "log_softmax_vjp",
    "logsumexp",
    "softmax",
    "softmax_jvp",
    "softmax_vjp",
]


@overload
def softmax(
    x: da.Array,
    axis: _Axis = -1,
    *,
    where: _ArrayLike | None = None,
    temperature: Real = 1.0,
    initial: _ArrayLike | None = None,
    return_logsumexp: Literal[False] = False,
) -> da.Array: ...
@overload
def softmax(
    x: da.Array,
    axis: _Axis = -1,
    *,
    where: _ArrayLike | None = None,
    temperature: Real = 1.0,
    initial: _ArrayLike | None = None,
    return_logsumexp: Literal[True],
) -> tuple[da.Array, da.Array]: ...
def softmax(
    x: da.Array,
    axis: _Axis = -1,
    *,
    where: _ArrayLike | None = None,
    temperature: Real = 1.0,
    initial: _ArrayLike | None = None,
    return_logsumexp: bool = False,
) -> da.Array | tuple[da.Array, da.Array]:
    r"""Softmax of a Dask array along an axis: exponentials that sum to 1.

    .. math:: y_i = \frac{\exp(x_i / T)}{\exp(i) + \sum_j \exp(x_j / T)}

    i, `initial`, is -inf unless it is given.

    Parameters
    ----------
    x : dask.array.Array, any shape and chunks
        Of the types that `softmax_ext.softmax` takes. Sizes of chunks may be unknown. Where a row is in several chunks,
        `x` is computed twice, and has to be the same both times: ``x.persist()`` it where that is dear or untrue.
    axis : int, tuple of ints or None, default -1
        The axis or axes along which the result sums to 1; None for the whole array.
    where : array_like or dask.array.Array of bool, optional
        Which elements take part, as for `softmax_ext.softmax`; broadcasts to `x`'s shape. A Dask array may have any
        chunks.
    temperature : float, default 1.0
        T, as for `softmax_ext.softmax`.
    initial : array_like or dask.array.Array, optional
        The exponent i, as for `softmax_ext.softmax`: it broadcasts to `x`'s shape with length 1 along the axis. A Dask
        array may have any chunks.
    return_logsumexp : bool, default False
        If True, return the logarithm of each row's sum as well.

    Returns
    -------
    dask.array.Array
        Of `x`'s shape and chunks and of the type that `softmax_ext.softmax` gives, not computed yet. Special values are
        treated as there. Elements are within 1.5 ULP of the true value; those of float64 rows in several chunks within
        8. How a row is cut may change its last bits.
    logsumexp : dask.array.Array
        What `logsumexp` returns for these arguments. Only with `return_logsumexp`.

    Raises
    ------
    TypeError
        If `x` is no Dask array, or not of NumPy arrays of real numbers; if `axis` holds no integer; if `where` is not
        of type bool; if `temperature` is no number.
    ValueError
        If an axis is repeated, `where` or `initial` does not broadcast, or `temperature` is not a positive finite
        number.
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
    result: da.Array | tuple[da.Array, da.Array] = _dask_rows.elementwise(
        softmax_ext.softmax,
        _dask_rows.softmax_of_chunk,
        x,
        axis,
        where,
        temperature,
        initial,
        return_logsumexp,
    )
    return result


@overload
def log_softmax(
    x: da.Array,
    axis: _Axis = -1,
    *,
    where: _ArrayLike | None = None,
    temperature: Real = 1.0,
    initial: _ArrayLike | None = None,
    return_logsumexp: Literal[False] = False,
) -> da.Array: ...
@overload
def log_softmax(
    x: da.Array,
    axis: _Axis = -1,
    *,
    where: _ArrayLike | None = None,
    temperature: Real = 1.0,
    initial: _ArrayLike | None = None,
    return_logsumexp: Literal[True],
) -> tuple[da.Array, da.Array]: ...
def log_softmax(
    x: da.Array,
    axis: _Axis = -1,
    *,
    where: _ArrayLike | None = None,
    temperature: Real = 1.0,
    initial: _ArrayLike | None = None,
    return_logsumexp: bool = False,
) -> da.Array | tuple[da.Array, da.Array]:
    r"""Logarithm of the softmax of a Dask array along an axis, accurate at every element.

    .. math:: y_i = x_i / T - \log \left(\exp(i) + \sum_j \exp(x_j / T)\right)

    i, `initial`, is -inf unless it is given.

    Parameters
    ----------
    x : dask.array.Array, any shape and chunks
        As for `softmax`.
    axis : int, tuple of ints or None, default -1
        The axis or axes along which the exponentials of the result sum to 1; None for the whole array.
    where : array_like or dask.array.Array of bool, optional
        As for `softmax`; the results of hidden elements are -inf.
    temperature : float, default 1.0
        T, as for `softmax`.
    initial : array_like or dask.array.Array, optional
        The exponent i, as for `softmax`.
    return_logsumexp : bool, default False
        As for `softmax`.

    Returns
    -------
    dask.array.Array
        As `softmax` does, with the same bounds, also where the result is close to 0.
    logsumexp : dask.array.Array
        As for `softmax`. Only with `return_logsumexp`.

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
    result: da.Array | tuple[da.Array, da.Array] = _dask_rows.elementwise(
        softmax_ext.log_softmax,
        _dask_rows.log_softmax_of_chunk,
        x,
        axis,
        where,
        temperature,
        initial,
        return_logsumexp,
    )
    return result


@overload
def logsumexp(
    x: da.Array,
    axis: _Axis = -1,
    keepdims: bool = False,
    *,
    where: _ArrayLike | None = None,
    b: _ArrayLike | None = None,
    return_sign: Literal[False] = False,
    initial: _ArrayLike | None = None,
    temperature: Real = 1.0,
) -> da.Array: ...
@overload
def logsumexp(
    x: da.Array,
    axis: _Axis = -1,
    keepdims: bool = False,
    *,
    where: _ArrayLike | None = None,
    b: _ArrayLike | None = None,
    return_sign: Literal[True],
    initial: _ArrayLike | None = None,
    temperature: Real = 1.0,
) -> tuple[da.Array, da.Array]: ...
def logsumexp(
    x: da.Array,
    axis: _Axis = -1,
    keepdims: bool = False,
    *,
    where: _ArrayLike | None = None,
    b: _ArrayLike | None = None,
    return_sign: bool = False,
    initial: _ArrayLike | None = None,
    temperature: Real = 1.0,
) -> da.Array | tuple[da.Array, da.Array]:
    r"""Logarithm of the sum of exponentials of a Dask array along an axis.

    .. math:: \log \left(\exp(i) + \sum_j b_j \exp(x_j / T)\right)

    i, `initial`, is -inf unless it is given, and each weight :math:`b_j` is 1.

    Parameters
    ----------
    x : dask.array.Array, any shape and chunks
        As for `softmax`; it is computed once.
    axis : int, tuple of ints or None, default -1
        The axis or axes that are summed over; None for the whole array.
    keepdims : bool, default False
        Whether the axes summed over stay, with length 1.
    where : array_like or dask.array.Array of bool, optional
        As for `softmax`.
    b : array_like or dask.array.Array, optional
        Weights of the terms, as for `softmax_ext.logsumexp`; `x` and `b` broadcast with each other. A Dask array may
        have any chunks.
    return_sign : bool, default False
        If True, return a pair: the logarithm of the sum's size, and the sum's sign.
    initial : array_like or dask.array.Array, optional
        The exponent i, as for `softmax`.
    temperature : float, default 1.0
        T, as for `softmax`.

    Returns
    -------
    dask.array.Array
        Of the type that `softmax_ext.logsumexp` gives, with `x`'s chunks along the axes that stay; not computed yet.
        Within 2 ULP of the larger of the result and the largest \|x\| / T; for float64 rows in several chunks, within
        8. With weights, the unit is that of `softmax_ext.logsumexp`. Where rows are cut, the units of the sums of their
        chunks count as well.
    sign : dask.array.Array
        As `softmax_ext.logsumexp` returns it. Only with `return_sign`.

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
    if b is not None or return_sign is not False:
        result: da.Array | tuple[da.Array, da.Array] = _dask_rows.weighted_logsumexp(
            x, axis, keepdims, where, temperature, initial, b, return_sign
        )
        return result
    return _dask_rows.logsumexp(x, axis, keepdims, where, temperature, initial)


def softmax_vjp(
    y: da.Array,
    g: _ArrayLike,
    axis: _Axis = -1,
    *,
    where: _ArrayLike | None = None,
    temperature: Real = 1.0,
) -> da.Array:
    r"""Vector-Jacobian product of the softmax of Dask arrays: the gradient at its input.

    .. math:: y_i \left(g_i - \sum_j y_j g_j\right) / T

    Parameters
    ----------
    y : dask.array.Array, any shape and chunks
        What `softmax` returned. Where rows are cut, it and `g` are computed twice, as `softmax` says of its input.
    g : array_like or dask.array.Array
        The gradient at `y`; broadcasts to its shape. A Dask array may have any chunks.
    axis : int, tuple of ints or None, default -1
        The axis or axes that were taken along.
    where : array_like or dask.array.Array of bool, optional
        Which elements take part, as for `softmax`; broadcasts to `y`'s shape. The result is 0 at hidden elements.
    temperature : float, default 1.0
        T, as for `softmax`.

    Returns
    -------
    dask.array.Array
        Of `y`'s shape and chunks and of the type that the two promote to, not computed yet. Where rows are cut, sums
        are NumPy's of float64, and float32 results are rounded from it once.

    Raises
    ------
    TypeError, ValueError, numpy.exceptions.AxisError
        As `softmax` does; ValueError also if `g` does not broadcast to `y`.

    See Also
    --------
    softmax_ext.softmax_vjp : The same for NumPy arrays.

    Examples
    --------
    >>> import dask.array as da
    >>> import numpy as np
    >>> from softmax_ext.dask import softmax_vjp
    >>> softmax_vjp(da.from_array(np.array([0.25, 0.75]), chunks=1), np.array([1.0, 0.0])).compute()
    array([ 0.1875, -0.1875])
    """
    return _dask_rows.derivative(
        softmax_ext.softmax_vjp,
        _dask_rows.product,
        _dask_rows.softmax_vjp_of_chunk,
        y,
        ("g", g),
        axis,
        where,
        temperature,
    )


def log_softmax_vjp(
    y: da.Array,
    g: _ArrayLike,
    axis: _Axis = -1,
    *,
    where: _ArrayLike | None = None,
    temperature: Real = 1.0,
) -> da.Array:
    r"""Vector-Jacobian product of the log-softmax of Dask arrays: the gradient at its input.

    .. math:: \left(g_i - \exp(y_i) \sum_j g_j\right) / T

    Parameters
    ----------
    y : dask.array.Array, any shape and chunks
        What `log_softmax` returned, as for `softmax_vjp`.
    g : array_like or dask.array.Array
        The gradient at `y`, as for `softmax_vjp`.
    axis : int, tuple of ints or None, default -1
        The axis or axes that were taken along.
    where : array_like or dask.array.Array of bool, optional
        Which elements take part, as for `softmax`; broadcasts to `y`'s shape. The result is 0 at hidden elements.
    temperature : float, default 1.0
        T, as for `softmax`.

    Returns
    -------
    dask.array.Array
        As `softmax_vjp` does.

    Raises
    ------
    TypeError, ValueError, numpy.exceptions.AxisError
        As `softmax` does; ValueError also if `g` does not broadcast to `y`.

    See Also
    --------
    softmax_ext.log_softmax_vjp : The same for NumPy arrays.

    Examples
    --------
    >>> import dask.array as da
    >>> import numpy as np
    >>> from softmax_ext.dask import log_softmax_vjp
    >>> log_softmax_vjp(da.from_array(np.log([0.25, 0.75]), chunks=1), np.array([1.0, 0.0])).compute()
    array([ 0.75, -0.75])
    """
    return _dask_rows.derivative(
        softmax_ext.log_softmax_vjp,
        _dask_rows.vector_alone,
        _dask_rows.log_softmax_vjp_of_chunk,
        y,
        ("g", g),
        axis,
        where,
        temperature,
    )


def softmax_jvp(
    y: da.Array,
    v: _ArrayLike,
    axis: _Axis = -1,
    *,
    where: _ArrayLike | None = None,
    temperature: Real = 1.0,
) -> da.Array:
    r"""Jacobian-vector product of the softmax of Dask arrays: `softmax_vjp` under its other name.

    .. math:: y_i \left(v_i - \sum_j y_j v_j\right) / T

    Parameters
    ----------
    y : dask.array.Array, any shape and chunks
        What `softmax` returned, as for `softmax_vjp`.
    v : array_like or dask.array.Array
        The direction in which the input changes; broadcasts to `y`'s shape.
    axis : int, tuple of ints or None, default -1
        The axis or axes that were taken along.
    where : array_like or dask.array.Array of bool, optional
        Which elements take part, as for `softmax`; broadcasts to `y`'s shape. The result is 0 at hidden elements.
    temperature : float, default 1.0
        T, as for `softmax`.

    Returns
    -------
    dask.array.Array
        As `softmax_vjp` does.

    Raises
    ------
    TypeError, ValueError, numpy.exceptions.AxisError
        As `softmax` does; ValueError also if `v` does not broadcast to `y`.

    See Also
    --------
    softmax_ext.softmax_jvp : The same for NumPy arrays.

    Examples
    --------
    >>> import dask.array as da
    >>> import numpy as np
    >>> from softmax_ext.dask import softmax_jvp
    >>> softmax_jvp(da.from_array(np.array([0.25, 0.75]), chunks=1), np.array([1.0, 0.0])).compute()
    array([ 0.1875, -0.1875])
    """
    return _dask_rows.derivative(
        softmax_ext.softmax_jvp,
        _dask_rows.product,
        _dask_rows.softmax_vjp_of_chunk,
        y,
        ("v", v),
        axis,
        where,
        temperature,
    )


def log_softmax_jvp(
    y: da.Array,
    v: _ArrayLike,
    axis: _Axis = -1,
    *,
    where: _ArrayLike | None = None,
    temperature: Real = 1.0,
) -> da.Array:
    r"""Jacobian-vector product of the log-softmax of Dask arrays.

    .. math:: \left(v_i - \sum_j \exp(y_j) v_j\right) / T

    Parameters
    ----------
    y : dask.array.Array, any shape and chunks
        What `log_softmax` returned, as for `softmax_vjp`.
    v : array_like or dask.array.Array
        The direction in which the input changes; broadcasts to `y`'s shape.
    axis : int, tuple of ints or None, default -1
        The axis or axes that were taken along.
    where : array_like or dask.array.Array of bool, optional
        Which elements take part, as for `softmax`; broadcasts to `y`'s shape. The result is 0 at hidden elements.
    temperature : float, default 1.0
        T, as for `softmax`.

    Returns
    -------
    dask.array.Array
        As `softmax_vjp` does.

    Raises
    ------
    TypeError, ValueError, numpy.exceptions.AxisError
        As `softmax` does; ValueError also if `v` does not broadcast to `y`.

    See Also
    --------
    softmax_ext.log_softmax_jvp : The same for NumPy arrays.

    Examples
    --------
    >>> import dask.array as da
    >>> import numpy as np
    >>> from softmax_ext.dask import log_softmax_jvp
    >>> log_softmax_jvp(da.from_array(np.log([0.25, 0.75]), chunks=1), np.array([1.0, 0.0])).compute()
    array([ 0.75, -0.25])
    """
    return _dask_rows.derivative(
        softmax_ext.log_softmax_jvp,
        _dask_rows.product_with_exp,
        _dask_rows.log_softmax_jvp_of_chunk,
        y,
        ("v", v),
        axis,
        where,
        temperature,
    )


def cross_entropy(
    logits: da.Array,
    labels: _ArrayLike,
    axis: SupportsIndex = -1,
    *,
    reduction: Reduction = "mean",
    weight: ArrayLike | None = None,
    ignore_index: SupportsIndex | None = None,
    label_smoothing: Real = 0.0,
    where: _ArrayLike | None = None,
    temperature: Real = 1.0,
    sample_weight: _ArrayLike | None = None,
) -> da.Array:
    r"""Cross-entropy between the softmax of logits in a Dask array and class labels or probabilities.

    .. math:: \ell = -\sum_c w_c \left((1 - \varepsilon) q_c + \frac{\varepsilon}{C}\right) \log p_c,
        \quad p = \mathrm{softmax}(x / T)

    of each row x of C logits, with the symbols of `softmax_ext.cross_entropy`.

    Parameters
    ----------
    logits : dask.array.Array, any shape and chunks
        Of the types that `softmax_ext.softmax` takes. Where classes are in several chunks, it is computed twice, as
        `softmax` says.
    labels : array_like or dask.array.Array
        Integers, of the logits' shape without the class axis: the class of each row. Or floats of the logits' shape:
        the probability of each class. A Dask array may have any chunks.
    axis : int, default -1
        The class axis.
    reduction : {"mean", "sum", "none"}, default "mean"
        What to return, as for `softmax_ext.cross_entropy`.
    weight : array_like, shape (C,), optional
        A weight for each class, finite and not negative. Default: 1 each.
    ignore_index : int, optional
        Rows with this label do not count.
    label_smoothing : float, default 0.0
        How much of each row's target, from 0 to 1, is spread evenly over the classes, or over those that `where` shows.
    where : array_like or dask.array.Array of bool, optional
        Which classes take part, as for `softmax`; broadcasts to the logits' shape. A row whose label is hidden has the
        loss inf.
    temperature : float, default 1.0
        T, as for `softmax`.
    sample_weight : array_like or dask.array.Array, optional
        A weight for each row, finite and not negative, of the logits' shape without the class axis. A row of weight 0
        does not count.

    Returns
    -------
    dask.array.Array
        Of the type that `softmax_ext.cross_entropy` gives, not computed yet: without dimensions, or with reduction
        "none" of the logits' shape without the class axis. Losses are added up in float64.

    Raises
    ------
    TypeError, ValueError, numpy.exceptions.AxisError
        As `softmax_ext.cross_entropy` does, but labels and sample weights are looked at when the loss is computed.
        ValueError also if classes are in several chunks whose sizes are not known.

    See Also
    --------
    softmax_ext.cross_entropy : The same for NumPy arrays.

    Notes
    -----
    Where classes are cut, the loss is made from `log_softmax`, whose memory is that of a few chunks.

    Examples
    --------
    >>> import dask.array as da
    >>> import numpy as np
    >>> from softmax_ext.dask import cross_entropy
    >>> logits = da.from_array(np.log([[0.5, 0.25, 0.25], [0.125, 0.125, 0.75]]), chunks=(1, 2))
    >>> cross_entropy(logits, [0, 1], reduction="none").compute() / np.log(2)
    array([1., 3.])
    """
    options = {"weight": weight, "ignore_index": ignore_index, "label_smoothing": label_smoothing}
    return _dask_loss.cross_entropy(
        logits, labels, axis, reduction, options, where, temperature, sample_weight
    )
