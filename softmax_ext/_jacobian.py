"""The Jacobian of softmax, written out: for looking at, and for small problems."""

from __future__ import annotations

import math
from typing import Any, SupportsIndex, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from softmax_ext import _core
from softmax_ext._typing import Float, Float64Like, Real

MAX_DIMS = 64  # NumPy's


@overload
def softmax_jacobian(
    y: NDArray[Float], axis: SupportsIndex = -1, *, temperature: Real = 1.0
) -> NDArray[Float]: ...
@overload
def softmax_jacobian(
    y: Float64Like, axis: SupportsIndex = -1, *, temperature: Real = 1.0
) -> NDArray[np.float64]: ...
@overload
def softmax_jacobian(y: ArrayLike, axis: SupportsIndex = -1, *, temperature: Real = 1.0) -> NDArray[Any]: ...
def softmax_jacobian(y: ArrayLike, axis: SupportsIndex = -1, *, temperature: Real = 1.0) -> NDArray[Any]:
    r"""Jacobian of softmax, from its output.

    .. math:: J = \frac{\mathrm{diag}(y) - y y^T}{T}, \quad J_{ij} = \partial y_i / \partial x_j

    Products with it need no matrix: see `softmax_vjp`.

    Parameters
    ----------
    y : array_like, one dimension or more
        What `softmax` returned, with the same temperature.
    axis : int, default -1
        The axis that softmax was taken along.
    temperature : float, default 1.0
        T: what the input of softmax was divided by. From 2**-900 to 2**900, as for `softmax`.

    Returns
    -------
    ndarray
        One matrix for each row, in the two last axes: of `y`'s shape without the axis, and (n, n) for its length n.

    Raises
    ------
    TypeError
        If `y` is no array of real numbers that `softmax` takes, or `axis` is no integer.
    ValueError
        If `y` has 64 dimensions, since the result has one more, and NumPy's arrays have 64 at most.
    numpy.exceptions.AxisError
        If `y` lacks the axis.

    Examples
    --------
    >>> import numpy as np
    >>> from softmax_ext import softmax_jacobian
    >>> softmax_jacobian(np.array([0.25, 0.75]))
    array([[ 0.1875, -0.1875],
           [-0.1875,  0.1875]])
    """
    array, number, compute_dtype = _core._array_and_axis(y, axis, "y", "pass {0}.filled(0)")
    dtype = array.dtype.newbyteorder("=")
    divisor = _core._temperature(temperature)
    if array.ndim == MAX_DIMS:
        raise ValueError(
            f"y: got {array.ndim} dimensions, expected at most {array.ndim - 1}: the result has one more"
        )
    rows = np.moveaxis(_core._cast(array, compute_dtype), number, -1)
    # A power of two near 1 / T is multiplied first, so that no product is subnormal unless the result is.
    scale = 1.0
    if divisor != 1:
        rows = _core._cast(rows, np.float64)
        scale = math.ldexp(1, max(0, 1 - math.frexp(divisor)[1]))
    with _core._OwnFloatState():
        jacobian: NDArray[Any] = (rows * scale)[..., :, None] * -rows[..., None, :]
        diagonal = np.einsum("...ii->...i", jacobian)
        diagonal[...] = (rows * scale) * (1 - rows)
        if divisor != 1:
            jacobian /= divisor * scale
    return _core._cast(jacobian, dtype)
