"""Softmax over rows of different lengths, which lie one after the other along the first axis.

Here are the functions as users see them, and the checks of `indptr`, which tells where the rows are. The loops are
csrc/ragged.c.
"""

from __future__ import annotations

from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from softmax_ext import _core
from softmax_ext._typing import Float, Float64Like, Out, Real


@overload
def segment_softmax(
    x: NDArray[Float],
    indptr: ArrayLike,
    *,
    out: None = None,
    where: ArrayLike | None = None,
    temperature: Real = 1.0,
) -> NDArray[Float]: ...
@overload
def segment_softmax(
    x: Float64Like,
    indptr: ArrayLike,
    *,
    out: None = None,
    where: ArrayLike | None = None,
    temperature: Real = 1.0,
) -> NDArray[np.float64]: ...
@overload
def segment_softmax(
    x: ArrayLike,
    indptr: ArrayLike,
    *,
    out: None = None,
    where: ArrayLike | None = None,
    temperature: Real = 1.0,
) -> NDArray[Any]: ...
@overload
def segment_softmax(
    x: ArrayLike,
    indptr: ArrayLike,
    *,
    out: Out,
    where: ArrayLike | None = None,
    temperature: Real = 1.0,
) -> Out: ...
def segment_softmax(
    x: ArrayLike,
    indptr: ArrayLike,
    *,
    out: NDArray[Any] | None = None,
    where: ArrayLike | None = None,
    temperature: Real = 1.0,
) -> NDArray[Any]:
    r"""Softmax over each segment of the first axis: exponentials that sum to 1 in every segment.

    .. math:: y_i = \frac{\exp(x_i / T)}{\sum_{j=s_k}^{s_{k+1}-1} \exp(x_j / T)}, \quad s_k \le i < s_{k+1}

    s is `indptr`. Along other axes each index has a softmax of its own.

    Parameters
    ----------
    x : array_like, at least one dimension
        Real numbers, as for `softmax`, segment after segment along the first axis: the stored elements of a matrix
        in CSR form, or the scores of a graph's edges, sorted by target, with attention heads on a second axis.
    indptr : array_like of integers, shape (number of segments + 1,)
        Where each segment begins, and last where the last one ends: segment k is ``x[indptr[k]:indptr[k + 1]]``. From
        0 to ``len(x)``, never decreasing. Segments may be empty. ``[0]`` goes with an `x` of no elements.
    out : ndarray, optional
        Where to put the result, as for `softmax`.
    where : array_like of bool, optional
        Which elements take part, as for `softmax`; broadcasts to `x`'s shape. The results of hidden elements are 0.
    temperature : float, default 1.0
        T, as for `softmax`.

    Returns
    -------
    ndarray
        Of `x`'s shape; `out` if that was given. Each segment is, bit for bit, what `softmax` makes of it alone along
        its first axis, with its part of `where`.

    Raises
    ------
    ValueError
        If `indptr` is anything else, an array of another type included, or `x` has no dimension.
    TypeError, ValueError
        As `softmax` does.

    See Also
    --------
    softmax : Of rows of one length.
    segment_softmax_vjp : Its derivative.

    Notes
    -----
    A segment of any length costs what its elements cost: threads share elements, not segments. `indptr` is SciPy's
    name for it, in its CSR matrices.

    Examples
    --------
    The stored elements of a sparse matrix, row by row; others count as -inf, which is what ``tf.sparse.softmax`` does.

    >>> import numpy as np
    >>> from scipy.sparse import csr_array
    >>> from softmax_ext import segment_softmax
    >>> matrix = csr_array(([0.0, np.log(3), 7.0], [0, 2, 1], [0, 2, 2, 3]), shape=(3, 3))
    >>> matrix.data = segment_softmax(matrix.data, matrix.indptr)
    >>> matrix.toarray()
    array([[0.25, 0.  , 0.75],
           [0.  , 0.  , 0.  ],
           [0.  , 1.  , 0.  ]])

    A graph of which one edge has been dropped:

    >>> segment_softmax(np.zeros(5), [0, 3, 5], where=[True, False, True, True, True])
    array([0.5, 0. , 0.5, 0.5, 0.5])
    """
    array, segments = _split(x, "x", indptr)
    return _core._segment_softmax(array, segments, out, where, temperature)


@overload
def segment_log_softmax(
    x: NDArray[Float],
    indptr: ArrayLike,
    *,
    out: None = None,
    where: ArrayLike | None = None,
    temperature: Real = 1.0,
) -> NDArray[Float]: ...
@overload
def segment_log_softmax(
    x: Float64Like,
    indptr: ArrayLike,
    *,
    out: None = None,
    where: ArrayLike | None = None,
    temperature: Real = 1.0,
) -> NDArray[np.float64]: ...
@overload
def segment_log_softmax(
    x: ArrayLike,
    indptr: ArrayLike,
    *,
    out: None = None,
    where: ArrayLike | None = None,
    temperature: Real = 1.0,
) -> NDArray[Any]: ...
@overload
def segment_log_softmax(
    x: ArrayLike,
    indptr: ArrayLike,
    *,
    out: Out,
    where: ArrayLike | None = None,
    temperature: Real = 1.0,
) -> Out: ...
def segment_log_softmax(
    x: ArrayLike,
    indptr: ArrayLike,
    *,
    out: NDArray[Any] | None = None,
    where: ArrayLike | None = None,
    temperature: Real = 1.0,
) -> NDArray[Any]:
    r"""Logarithm of the softmax over each segment of the first axis, accurate at every element.

    .. math:: y_i = x_i / T - \log \sum_{j=s_k}^{s_{k+1}-1} \exp(x_j / T), \quad s_k \le i < s_{k+1}

    s is `indptr`.

    Parameters
    ----------
    x : array_like, at least one dimension
        Real numbers, segment after segment along the first axis, as for `segment_softmax`.
    indptr : array_like of integers, shape (number of segments + 1,)
        Where the segments begin and end, as for `segment_softmax`.
    out : ndarray, optional
        Where to put the result, as for `softmax`.
    where : array_like of bool, optional
        Which elements take part, as for `segment_softmax`; the results of hidden elements are -inf.
    temperature : float, default 1.0
        T, as for `softmax`.

    Returns
    -------
    ndarray
        Of `x`'s shape; `out` if that was given. Each segment is, bit for bit, what `log_softmax` makes of it alone
        along its first axis.

    Raises
    ------
    TypeError, ValueError
        As `segment_softmax` does.

    See Also
    --------
    segment_softmax, segment_logsumexp, log_softmax
    segment_log_softmax_vjp : Its derivative.

    Examples
    --------
    >>> import numpy as np
    >>> from softmax_ext import segment_log_softmax
    >>> segment_log_softmax(np.array([0.0, -50.0, 3.0]), [0, 2, 3])
    array([-1.92874985e-22, -5.00000000e+01,  0.00000000e+00])
    """
    array, segments = _split(x, "x", indptr)
    return _core._segment_log_softmax(array, segments, out, where, temperature)


@overload
def segment_logsumexp(
    x: NDArray[Float],
    indptr: ArrayLike,
    *,
    out: None = None,
    where: ArrayLike | None = None,
    temperature: Real = 1.0,
) -> NDArray[Float]: ...
@overload
def segment_logsumexp(
    x: Float64Like,
    indptr: ArrayLike,
    *,
    out: None = None,
    where: ArrayLike | None = None,
    temperature: Real = 1.0,
) -> NDArray[np.float64]: ...
@overload
def segment_logsumexp(
    x: ArrayLike,
    indptr: ArrayLike,
    *,
    out: None = None,
    where: ArrayLike | None = None,
    temperature: Real = 1.0,
) -> NDArray[Any]: ...
@overload
def segment_logsumexp(
    x: ArrayLike,
    indptr: ArrayLike,
    *,
    out: Out,
    where: ArrayLike | None = None,
    temperature: Real = 1.0,
) -> Out: ...
def segment_logsumexp(
    x: ArrayLike,
    indptr: ArrayLike,
    *,
    out: NDArray[Any] | None = None,
    where: ArrayLike | None = None,
    temperature: Real = 1.0,
) -> NDArray[Any]:
    r"""Logarithm of the sum of exponentials of each segment of the first axis.

    .. math:: y_k = \log \sum_{j=s_k}^{s_{k+1}-1} \exp(x_j / T)

    s is `indptr`.

    Parameters
    ----------
    x : array_like, at least one dimension
        Real numbers, segment after segment along the first axis, as for `segment_softmax`.
    indptr : array_like of integers, shape (number of segments + 1,)
        Where the segments begin and end, as for `segment_softmax`.
    out : ndarray, optional
        Where to put the result; an array of the result's shape.
    where : array_like of bool, optional
        Which elements take part, as for `segment_softmax`.
    temperature : float, default 1.0
        T, as for `softmax`.

    Returns
    -------
    ndarray
        Of `x`'s shape, but with a number for each segment along the first axis: bit for bit what `logsumexp` makes of
        the segment alone. An empty segment gives -inf. `out` if that was given.

    Raises
    ------
    TypeError, ValueError
        As `segment_softmax` does.

    See Also
    --------
    logsumexp : Of rows of one length.
    segment_softmax : Its derivative.

    Examples
    --------
    >>> import numpy as np
    >>> from softmax_ext import segment_logsumexp
    >>> segment_logsumexp(np.log([1.0, 2.0, 3.0, 4.0]), [0, 2, 2, 4])
    array([1.09861229,       -inf, 1.94591015])
    """
    array, segments = _split(x, "x", indptr)
    return _core._segment_logsumexp(array, segments, out, where, temperature)


@overload
def segment_softmax_vjp(
    y: NDArray[np.float64],
    g: ArrayLike,
    indptr: ArrayLike,
    *,
    out: None = None,
    where: ArrayLike | None = None,
    temperature: Real = 1.0,
) -> NDArray[np.float64]: ...
@overload
def segment_softmax_vjp(
    y: NDArray[Any] | Float64Like,
    g: NDArray[np.float64],
    indptr: ArrayLike,
    *,
    out: None = None,
    where: ArrayLike | None = None,
    temperature: Real = 1.0,
) -> NDArray[np.float64]: ...
@overload
def segment_softmax_vjp(
    y: NDArray[Float],
    g: NDArray[Float],
    indptr: ArrayLike,
    *,
    out: None = None,
    where: ArrayLike | None = None,
    temperature: Real = 1.0,
) -> NDArray[Float]: ...
@overload
def segment_softmax_vjp(
    y: Float64Like,
    g: ArrayLike,
    indptr: ArrayLike,
    *,
    out: None = None,
    where: ArrayLike | None = None,
    temperature: Real = 1.0,
) -> NDArray[np.float64]: ...
@overload
def segment_softmax_vjp(
    y: ArrayLike,
    g: ArrayLike,
    indptr: ArrayLike,
    *,
    out: None = None,
    where: ArrayLike | None = None,
    temperature: Real = 1.0,
) -> NDArray[Any]: ...
@overload
def segment_softmax_vjp(
    y: ArrayLike,
    g: ArrayLike,
    indptr: ArrayLike,
    *,
    out: Out,
    where: ArrayLike | None = None,
    temperature: Real = 1.0,
) -> Out: ...
def segment_softmax_vjp(
    y: ArrayLike,
    g: ArrayLike,
    indptr: ArrayLike,
    *,
    out: NDArray[Any] | None = None,
    where: ArrayLike | None = None,
    temperature: Real = 1.0,
) -> NDArray[Any]:
    r"""Vector-Jacobian product of `segment_softmax`: the gradient at its input, from that at its output.

    .. math:: \frac{y_i}{T} \left(g_i - \sum_{j=s_k}^{s_{k+1}-1} y_j g_j\right), \quad s_k \le i < s_{k+1}

    s is `indptr`.

    Parameters
    ----------
    y : array_like, at least one dimension
        What `segment_softmax` returned, with the same temperature.
    g : array_like
        The gradient at `y`; broadcasts to its shape.
    indptr : array_like of integers, shape (number of segments + 1,)
        Where the segments begin and end, as for `segment_softmax`.
    out : ndarray, optional
        Where to put the result, of `y`'s shape. It may be `y` or `g` itself, or overlap them.
    where : array_like of bool, optional
        Which elements take part, as for `segment_softmax`; broadcasts to `y`'s shape. The result is 0 at hidden
        elements, whatever `y` and `g` hold there.
    temperature : float, default 1.0
        T: what the input of the forward function was divided by, as for `softmax_vjp`.

    Returns
    -------
    ndarray
        Of `y`'s shape and of the type that the two promote to; `out` if that was given. Each segment is, bit for bit,
        what `softmax_vjp` makes of it alone along its first axis.

    Raises
    ------
    TypeError, ValueError
        As `segment_softmax` does; ValueError also if `g` does not broadcast to `y`.

    Examples
    --------
    >>> import numpy as np
    >>> from softmax_ext import segment_softmax_vjp
    >>> segment_softmax_vjp(np.array([0.25, 0.75, 1.0]), np.array([1.0, 0.0, 5.0]), [0, 2, 3])
    array([ 0.1875, -0.1875,  0.    ])
    """
    array, segments = _split(y, "y", indptr)
    return _core._segment_softmax_vjp(array, g, segments, out, where, temperature)


@overload
def segment_log_softmax_vjp(
    y: NDArray[np.float64],
    g: ArrayLike,
    indptr: ArrayLike,
    *,
    out: None = None,
    where: ArrayLike | None = None,
    temperature: Real = 1.0,
) -> NDArray[np.float64]: ...
@overload
def segment_log_softmax_vjp(
    y: NDArray[Any] | Float64Like,
    g: NDArray[np.float64],
    indptr: ArrayLike,
    *,
    out: None = None,
    where: ArrayLike | None = None,
    temperature: Real = 1.0,
) -> NDArray[np.float64]: ...
@overload
def segment_log_softmax_vjp(
    y: NDArray[Float],
    g: NDArray[Float],
    indptr: ArrayLike,
    *,
    out: None = None,
    where: ArrayLike | None = None,
    temperature: Real = 1.0,
) -> NDArray[Float]: ...
@overload
def segment_log_softmax_vjp(
    y: Float64Like,
    g: ArrayLike,
    indptr: ArrayLike,
    *,
    out: None = None,
    where: ArrayLike | None = None,
    temperature: Real = 1.0,
) -> NDArray[np.float64]: ...
@overload
def segment_log_softmax_vjp(
    y: ArrayLike,
    g: ArrayLike,
    indptr: ArrayLike,
    *,
    out: None = None,
    where: ArrayLike | None = None,
    temperature: Real = 1.0,
) -> NDArray[Any]: ...
@overload
def segment_log_softmax_vjp(
    y: ArrayLike,
    g: ArrayLike,
    indptr: ArrayLike,
    *,
    out: Out,
    where: ArrayLike | None = None,
    temperature: Real = 1.0,
) -> Out: ...
def segment_log_softmax_vjp(
    y: ArrayLike,
    g: ArrayLike,
    indptr: ArrayLike,
    *,
    out: NDArray[Any] | None = None,
    where: ArrayLike | None = None,
    temperature: Real = 1.0,
) -> NDArray[Any]:
    r"""Vector-Jacobian product of `segment_log_softmax`: the gradient at its input, from that at its output.

    .. math:: \frac{1}{T} \left(g_i - \exp(y_i) \sum_{j=s_k}^{s_{k+1}-1} g_j\right), \quad s_k \le i < s_{k+1}

    s is `indptr`.

    Parameters
    ----------
    y : array_like, at least one dimension
        What `segment_log_softmax` returned, with the same temperature.
    g : array_like
        The gradient at `y`; broadcasts to its shape.
    indptr : array_like of integers, shape (number of segments + 1,)
        Where the segments begin and end, as for `segment_softmax`.
    out : ndarray, optional
        Where to put the result, of `y`'s shape. It may be `y` or `g` itself, or overlap them.
    where : array_like of bool, optional
        Which elements take part, as for `segment_softmax`; broadcasts to `y`'s shape. The result is 0 at hidden
        elements, whatever `y` and `g` hold there.
    temperature : float, default 1.0
        T: what the input of the forward function was divided by, as for `log_softmax_vjp`.

    Returns
    -------
    ndarray
        Of `y`'s shape and of the type that the two promote to; `out` if that was given. Each segment is, bit for bit,
        what `log_softmax_vjp` makes of it alone along its first axis.

    Raises
    ------
    TypeError, ValueError
        As `segment_softmax` does; ValueError also if `g` does not broadcast to `y`.

    Examples
    --------
    >>> import numpy as np
    >>> from softmax_ext import segment_log_softmax_vjp
    >>> segment_log_softmax_vjp(np.log([0.25, 0.75, 1.0]), np.array([1.0, 0.0, 5.0]), [0, 2, 3])
    array([ 0.75, -0.75,  0.  ])
    """
    array, segments = _split(y, "y", indptr)
    return _core._segment_log_softmax_vjp(array, g, segments, out, where, temperature)


@overload
def segment_softmax_jvp(
    y: NDArray[np.float64],
    v: ArrayLike,
    indptr: ArrayLike,
    *,
    out: None = None,
    where: ArrayLike | None = None,
    temperature: Real = 1.0,
) -> NDArray[np.float64]: ...
@overload
def segment_softmax_jvp(
    y: NDArray[Any] | Float64Like,
    v: NDArray[np.float64],
    indptr: ArrayLike,
    *,
    out: None = None,
    where: ArrayLike | None = None,
    temperature: Real = 1.0,
) -> NDArray[np.float64]: ...
@overload
def segment_softmax_jvp(
    y: NDArray[Float],
    v: NDArray[Float],
    indptr: ArrayLike,
    *,
    out: None = None,
    where: ArrayLike | None = None,
    temperature: Real = 1.0,
) -> NDArray[Float]: ...
@overload
def segment_softmax_jvp(
    y: Float64Like,
    v: ArrayLike,
    indptr: ArrayLike,
    *,
    out: None = None,
    where: ArrayLike | None = None,
    temperature: Real = 1.0,
) -> NDArray[np.float64]: ...
@overload
def segment_softmax_jvp(
    y: ArrayLike,
    v: ArrayLike,
    indptr: ArrayLike,
    *,
    out: None = None,
    where: ArrayLike | None = None,
    temperature: Real = 1.0,
) -> NDArray[Any]: ...
@overload
def segment_softmax_jvp(
    y: ArrayLike,
    v: ArrayLike,
    indptr: ArrayLike,
    *,
    out: Out,
    where: ArrayLike | None = None,
    temperature: Real = 1.0,
) -> Out: ...
def segment_softmax_jvp(
    y: ArrayLike,
    v: ArrayLike,
    indptr: ArrayLike,
    *,
    out: NDArray[Any] | None = None,
    where: ArrayLike | None = None,
    temperature: Real = 1.0,
) -> NDArray[Any]:
    r"""Jacobian-vector product of `segment_softmax`: the change of its output for a change v of its input.

    .. math:: \frac{y_i}{T} \left(v_i - \sum_{j=s_k}^{s_{k+1}-1} y_j v_j\right), \quad s_k \le i < s_{k+1}

    s is `indptr`. The Jacobian is symmetric, so `segment_softmax_vjp` returns the same.

    Parameters
    ----------
    y : array_like, at least one dimension
        What `segment_softmax` returned, with the same temperature.
    v : array_like
        The direction in which the input changes; broadcasts to `y`'s shape.
    indptr : array_like of integers, shape (number of segments + 1,)
        Where the segments begin and end, as for `segment_softmax`.
    out : ndarray, optional
        Where to put the result, of `y`'s shape. It may be `y` or `v` itself, or overlap them.
    where : array_like of bool, optional
        Which elements take part, as for `segment_softmax`; broadcasts to `y`'s shape. The result is 0 at hidden
        elements, whatever `y` and `v` hold there.
    temperature : float, default 1.0
        T: what the input of the forward function was divided by, as for `softmax_jvp`.

    Returns
    -------
    ndarray
        Of `y`'s shape and of the type that the two promote to; `out` if that was given. Each segment is, bit for bit,
        what `softmax_jvp` makes of it alone along its first axis.

    Raises
    ------
    TypeError, ValueError
        As `segment_softmax` does; ValueError also if `v` does not broadcast to `y`.

    Examples
    --------
    >>> import numpy as np
    >>> from softmax_ext import segment_softmax_jvp
    >>> segment_softmax_jvp(np.array([0.25, 0.75, 1.0]), np.array([1.0, 0.0, 5.0]), [0, 2, 3])
    array([ 0.1875, -0.1875,  0.    ])
    """
    array, segments = _split(y, "y", indptr)
    return _core._segment_softmax_jvp(array, v, segments, out, where, temperature)


@overload
def segment_log_softmax_jvp(
    y: NDArray[np.float64],
    v: ArrayLike,
    indptr: ArrayLike,
    *,
    out: None = None,
    where: ArrayLike | None = None,
    temperature: Real = 1.0,
) -> NDArray[np.float64]: ...
@overload
def segment_log_softmax_jvp(
    y: NDArray[Any] | Float64Like,
    v: NDArray[np.float64],
    indptr: ArrayLike,
    *,
    out: None = None,
    where: ArrayLike | None = None,
    temperature: Real = 1.0,
) -> NDArray[np.float64]: ...
@overload
def segment_log_softmax_jvp(
    y: NDArray[Float],
    v: NDArray[Float],
    indptr: ArrayLike,
    *,
    out: None = None,
    where: ArrayLike | None = None,
    temperature: Real = 1.0,
) -> NDArray[Float]: ...
@overload
def segment_log_softmax_jvp(
    y: Float64Like,
    v: ArrayLike,
    indptr: ArrayLike,
    *,
    out: None = None,
    where: ArrayLike | None = None,
    temperature: Real = 1.0,
) -> NDArray[np.float64]: ...
@overload
def segment_log_softmax_jvp(
    y: ArrayLike,
    v: ArrayLike,
    indptr: ArrayLike,
    *,
    out: None = None,
    where: ArrayLike | None = None,
    temperature: Real = 1.0,
) -> NDArray[Any]: ...
@overload
def segment_log_softmax_jvp(
    y: ArrayLike,
    v: ArrayLike,
    indptr: ArrayLike,
    *,
    out: Out,
    where: ArrayLike | None = None,
    temperature: Real = 1.0,
) -> Out: ...
def segment_log_softmax_jvp(
    y: ArrayLike,
    v: ArrayLike,
    indptr: ArrayLike,
    *,
    out: NDArray[Any] | None = None,
    where: ArrayLike | None = None,
    temperature: Real = 1.0,
) -> NDArray[Any]:
    r"""Jacobian-vector product of `segment_log_softmax`: the change of its output for a change v of its input.

    .. math:: \frac{1}{T} \left(v_i - \sum_{j=s_k}^{s_{k+1}-1} \exp(y_j) v_j\right), \quad s_k \le i < s_{k+1}

    s is `indptr`.

    Parameters
    ----------
    y : array_like, at least one dimension
        What `segment_log_softmax` returned, with the same temperature.
    v : array_like
        The direction in which the input changes; broadcasts to `y`'s shape.
    indptr : array_like of integers, shape (number of segments + 1,)
        Where the segments begin and end, as for `segment_softmax`.
    out : ndarray, optional
        Where to put the result, of `y`'s shape. It may be `y` or `v` itself, or overlap them.
    where : array_like of bool, optional
        Which elements take part, as for `segment_softmax`; broadcasts to `y`'s shape. The result is 0 at hidden
        elements, whatever `y` and `v` hold there.
    temperature : float, default 1.0
        T: what the input of the forward function was divided by, as for `log_softmax_jvp`.

    Returns
    -------
    ndarray
        Of `y`'s shape and of the type that the two promote to; `out` if that was given. Each segment is, bit for bit,
        what `log_softmax_jvp` makes of it alone along its first axis.

    Raises
    ------
    TypeError, ValueError
        As `segment_softmax` does; ValueError also if `v` does not broadcast to `y`.

    Examples
    --------
    >>> import numpy as np
    >>> from softmax_ext import segment_log_softmax_jvp
    >>> segment_log_softmax_jvp(np.log([0.25, 0.75, 1.0]), np.array([1.0, 0.0, 5.0]), [0, 2, 3])
    array([ 0.75, -0.25,  0.  ])
    """
    array, segments = _split(y, "y", indptr)
    return _core._segment_log_softmax_jvp(array, v, segments, out, where, temperature)


def _split(value: ArrayLike, name: str, indptr: ArrayLike) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Return the array of that name, and `indptr` as the C side reads it."""
    array = _core._segmented_array(value, name)
    return array, _checked(indptr, name, len(array))


def _checked(indptr: ArrayLike, name: str, length: int) -> NDArray[np.intp]:
    """Return `indptr` as the C side reads it, or refuse it; `name` is the array that it cuts up, of that length."""
    simple: NDArray[np.intp] | None = _core._simple_indptr(indptr, length)
    if simple is not None:
        return simple
    expected = f"expected integers from 0 to {name}'s length {length} that never decrease"
    try:
        given = _core._as_array(indptr, "indptr", "pass {0}.compressed()", np.intp)
    except TypeError as error:
        raise ValueError(str(error)) from None
    except ValueError as error:
        raise ValueError(f"indptr: {expected}: {error.__cause__ or error.__context__ or error}") from None
    # A copy, which nobody changes between the check and the end of the call.
    array = np.array(given, order="C")
    if array.dtype.kind not in "iu":
        raise ValueError(f"indptr: got {_core._described(indptr, array)}, {expected}")
    if array.ndim != 1 or array.size == 0:
        raise ValueError(
            f"indptr: got shape {array.shape}, {expected}, in one dimension, at least one of them"
        )
    if array[0] != 0:
        raise ValueError(f"indptr: got {array[0]} at position 0, {expected}")
    if array[-1] != length:
        raise ValueError(f"indptr: got {array[-1]} at its end, {expected}")
    falls = array[1:] < array[:-1]
    if falls.any():
        k = int(falls.argmax())
        raise ValueError(f"indptr: got {array[k]}, then {array[k + 1]} at position {k + 1}, {expected}")
    # Between 0 and the length, every element is a number of this type.
    return array.astype(np.intp, copy=False)
