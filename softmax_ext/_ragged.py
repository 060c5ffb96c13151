"""Softmax over rows of different lengths, which lie one after the other along the first axis.

Here are the functions as users see them, and the checks of `indptr`, which tells where the rows are. The loops are
csrc/ragged.c.
"""

from __future__ import annotations

from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from softmax_ext import _core
from softmax_ext._typing import Float, Float64Like, Out


@overload
def segment_softmax(x: NDArray[Float], indptr: ArrayLike, *, out: None = None) -> NDArray[Float]: ...
@overload
def segment_softmax(x: Float64Like, indptr: ArrayLike, *, out: None = None) -> NDArray[np.float64]: ...
@overload
def segment_softmax(x: ArrayLike, indptr: ArrayLike, *, out: None = None) -> NDArray[Any]: ...
@overload
def segment_softmax(x: ArrayLike, indptr: ArrayLike, *, out: Out) -> Out: ...
def segment_softmax(x: ArrayLike, indptr: ArrayLike, *, out: NDArray[Any] | None = None) -> NDArray[Any]:
    r"""Softmax over each segment of the first axis: exponentials that sum to 1 in every segment.

    .. math:: y_i = \frac{\exp(x_i)}{\sum_{j=s_k}^{s_{k+1}-1} \exp(x_j)}, \quad s_k \le i < s_{k+1}

    s being `indptr`. Along other axes each index has a softmax of its own.

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

    Returns
    -------
    ndarray
        Of `x`'s shape; `out` if that was given. Each segment is, bit for bit, what `softmax` makes of it alone along
        its first axis.

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
    """
    array = _core._segmented_array(x, "x", "pass {0}.filled(-np.inf)")
    return _core._segment_softmax(array, _checked(indptr, "x", len(array)), out)


@overload
def segment_log_softmax(x: NDArray[Float], indptr: ArrayLike, *, out: None = None) -> NDArray[Float]: ...
@overload
def segment_log_softmax(x: Float64Like, indptr: ArrayLike, *, out: None = None) -> NDArray[np.float64]: ...
@overload
def segment_log_softmax(x: ArrayLike, indptr: ArrayLike, *, out: None = None) -> NDArray[Any]: ...
@overload
def segment_log_softmax(x: ArrayLike, indptr: ArrayLike, *, out: Out) -> Out: ...
def segment_log_softmax(x: ArrayLike, indptr: ArrayLike, *, out: NDArray[Any] | None = None) -> NDArray[Any]:
    r"""Logarithm of the softmax over each segment of the first axis, accurate at every element.

    .. math:: y_i = x_i - \log \sum_{j=s_k}^{s_{k+1}-1} \exp(x_j), \quad s_k \le i < s_{k+1}

    s being `indptr`.

    Parameters
    ----------
    x : array_like, at least one dimension
        Real numbers, segment after segment along the first axis, as for `segment_softmax`.
    indptr : array_like of integers, shape (number of segments + 1,)
        Where the segments begin and end, as for `segment_softmax`.
    out : ndarray, optional
        Where to put the result, as for `softmax`.

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
    segment_softmax, log_softmax
    segment_log_softmax_vjp : Its derivative.

    Examples
    --------
    >>> import numpy as np
    >>> from softmax_ext import segment_log_softmax
    >>> segment_log_softmax(np.array([0.0, -50.0, 3.0]), [0, 2, 3])
    array([-1.92874985e-22, -5.00000000e+01,  0.00000000e+00])
    """
    array = _core._segmented_array(x, "x", "pass {0}.filled(-np.inf)")
    return _core._segment_log_softmax(array, _checked(indptr, "x", len(array)), out)


@overload
def segment_softmax_vjp(
    y: NDArray[np.float64], g: ArrayLike, indptr: ArrayLike, *, out: None = None
) -> NDArray[np.float64]: ...
@overload
def segment_softmax_vjp(
    y: NDArray[Any] | Float64Like, g: NDArray[np.float64], indptr: ArrayLike, *, out: None = None
) -> NDArray[np.float64]: ...
@overload
def segment_softmax_vjp(
    y: NDArray[Float], g: NDArray[Float], indptr: ArrayLike, *, out: None = None
) -> NDArray[Float]: ...
@overload
def segment_softmax_vjp(
    y: Float64Like, g: ArrayLike, indptr: ArrayLike, *, out: None = None
) -> NDArray[np.float64]: ...
@overload
def segment_softmax_vjp(
    y: ArrayLike, g: ArrayLike, indptr: ArrayLike, *, out: None = None
) -> NDArray[Any]: ...
@overload
def segment_softmax_vjp(y: ArrayLike, g: ArrayLike, indptr: ArrayLike, *, out: Out) -> Out: ...
def segment_softmax_vjp(
    y: ArrayLike, g: ArrayLike, indptr: ArrayLike, *, out: NDArray[Any] | None = None
) -> NDArray[Any]:
    r"""Vector-Jacobian product of `segment_softmax`: the gradient at its input, from that at its output.

    .. math:: y_i \left(g_i - \sum_{j=s_k}^{s_{k+1}-1} y_j g_j\right), \quad s_k \le i < s_{k+1}

    s being `indptr`.

    Parameters
    ----------
    y : array_like, at least one dimension
        What `segment_softmax` returned.
    g : array_like
        The gradient at `y`; broadcasts to its shape.
    indptr : array_like of integers, shape (number of segments + 1,)
        Where the segments begin and end, as for `segment_softmax`.
    out : ndarray, optional
        Where to put the result, of `y`'s shape. It may be `y` or `g` itself, or overlap them.

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
    array = _core._segmented_array(y, "y", "pass {0}.filled(0)")
    return _core._segment_softmax_vjp(array, g, _checked(indptr, "y", len(array)), out)


@overload
def segment_log_softmax_vjp(
    y: NDArray[np.float64], g: ArrayLike, indptr: ArrayLike, *, out: None = None
) -> NDArray[np.float64]: ...
@overload
def segment_log_softmax_vjp(
    y: NDArray[Any] | Float64Like, g: NDArray[np.float64], indptr: ArrayLike, *, out: None = None
) -> NDArray[np.float64]: ...
@overload
def segment_log_softmax_vjp(
    y: NDArray[Float], g: NDArray[Float], indptr: ArrayLike, *, out: None = None
) -> NDArray[Float]: ...
@overload
def segment_log_softmax_vjp(
    y: Float64Like, g: ArrayLike, indptr: ArrayLike, *, out: None = None
) -> NDArray[np.float64]: ...
@overload
def segment_log_softmax_vjp(
    y: ArrayLike, g: ArrayLike, indptr: ArrayLike, *, out: None = None
) -> NDArray[Any]: ...
@overload
def segment_log_softmax_vjp(y: ArrayLike, g: ArrayLike, indptr: ArrayLike, *, out: Out) -> Out: ...
def segment_log_softmax_vjp(
    y: ArrayLike, g: ArrayLike, indptr: ArrayLike, *, out: NDArray[Any] | None = None
) -> NDArray[Any]:
    r"""Vector-Jacobian product of `segment_log_softmax`: the gradient at its input, from that at its output.

    .. math:: g_i - \exp(y_i) \sum_{j=s_k}^{s_{k+1}-1} g_j, \quad s_k \le i < s_{k+1}

    s being `indptr`.

    Parameters
    ----------
    y : array_like, at least one dimension
        What `segment_log_softmax` returned.
    g : array_like
        The gradient at `y`; broadcasts to its shape.
    indptr : array_like of integers, shape (number of segments + 1,)
        Where the segments begin and end, as for `segment_softmax`.
    out : ndarray, optional
        Where to put the result, of `y`'s shape. It may be `y` or `g` itself, or overlap them.

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
    array = _core._segmented_array(y, "y", "pass {0}.filled(-np.inf)")
    return _core._segment_log_softmax_vjp(array, g, _checked(indptr, "y", len(array)), out)


def _checked(indptr: ArrayLike, name: str, length: int) -> NDArray[np.intp]:
    """Return `indptr` as the C side reads it, or refuse it; `name` is the array that it cuts up, of that length."""
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
