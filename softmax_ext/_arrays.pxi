# How an argument becomes an array. NumPy converts nearly anything; what would lose something on the way without a word
# (a mask, or Dask's laziness), and what is no array of numbers, is refused by the name of its type.

import sys
from collections.abc import Sequence

from cpython.buffer cimport PyObject_CheckBuffer

# What to do with a masked array, {0}, in functions that have a `where`.
_USE_WHERE = "pass {0}.data, and where=~np.ma.getmaskarray({0})"


cdef bint _is_dask(object value):
    """True for a Dask collection, and for what wraps one, such as xarray's arrays. Dask is not imported for it."""
    return getattr(type(value), "__dask_graph__", None) is not None and value.__dask_graph__() is not None


cdef object _find_fragile(object value, int depth):
    """A masked or Dask array in the value or in nested sequences, which NumPy would convert silently; or None."""
    if type(value) is float or type(value) is int or cnp.PyArray_CheckExact(value):
        return None
    if isinstance(value, np.ma.MaskedArray) or _is_dask(value):
        return value
    if isinstance(value, (np.ndarray, np.generic, str, range)) or PyObject_CheckBuffer(value):
        return None
    if isinstance(value, Sequence):
        if depth < 64:  # NumPy's limit, which also ends a list that holds itself
            for item in value:
                found = _find_fragile(item, depth + 1)
                if found is not None:
                    return found
        return None
    if depth > 0 and hasattr(type(value), "__array__") and isinstance(np.asanyarray(value), np.ma.MaskedArray):
        return value
    return None


cdef object _refuse_fragile(object value, object found, str name, str unmask):
    """Raise the error for what _find_fragile found in the argument of that name."""
    what = type(found).__name__
    if found is not value:
        what = f"{type(value).__name__} that holds {what}"
    if _is_dask(found):
        raise TypeError(
            f"{name}: got {what}, a Dask array, expected a NumPy array: softmax_ext.dask has functions of Dask arrays; "
            "else call .compute() first"
        )
    if found is value:
        raise TypeError(f"{name}: got {what}, expected an array without a mask: {unmask.format(name)}")
    raise TypeError(
        f"{name}: got {what}, expected arrays without a mask: with m = np.ma.array({name}), {unmask.format('m')}"
    )


cpdef object _as_array(object value, str name, str unmask=_USE_WHERE, object empty=None):
    """The value as an array of any type; no copy if it is one already.

    unmask : says what to do with a masked array, {0}.
    empty : the type that an empty list is taken for, if it is not float64.
    """
    if cnp.PyArray_CheckExact(value):
        return value
    found = _find_fragile(value, 0)
    if found is not None:
        _refuse_fragile(value, found, name, unmask)
    try:
        array = np.asanyarray(value)
    except ValueError as error:
        raise ValueError(f"{name}: expected an array or sequences of one shape: {error}") from None
    except (TypeError, RuntimeError) as error:  # arrays on another device, for one
        raise TypeError(f"{name}: got {type(value).__name__}, expected an array: {error}") from error
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError(
            f"{name}: got {type(value).__name__}, which becomes a masked array, expected one without a mask: "
            f"with m = np.asanyarray({name}), {unmask.format('m')}"
        )
    if empty is not None and array.size == 0 and isinstance(value, Sequence):
        return np.empty(array.shape, empty)
    return np.asarray(array)


cdef str _item_name(object item):
    # NumPy makes objects of such integers.
    return "int beyond 64 bits" if type(item) is int else type(item).__name__


cpdef str _described(object value, object array):
    """What an argument was that became this array of a type that is not wanted."""
    if isinstance(value, (np.ndarray, np.generic)) or (array.ndim > 0 and array.dtype != object):
        return str(array.dtype)
    if array.ndim == 0:
        return _item_name(value) if array.dtype == object else type(value).__name__
    wrong = [item for item in array.flat if not isinstance(item, (bool, int, float, np.number, np.bool))]
    wrong.extend(array.flat)
    return f"{type(value).__name__} that holds {_item_name(wrong[0])}" if wrong else str(array.dtype)


cdef object _sparse_advice(object value, str name):
    """What to do with a sparse array of SciPy; empty for anything else."""
    scipy_sparse = sys.modules.get("scipy.sparse")
    if scipy_sparse is None or not scipy_sparse.issparse(value):
        return ""
    return (
        f": a sparse array has its stored elements in {name}.data, and segment_softmax({name}.data, {name}.indptr) "
        "takes "
        "the rows of one in CSR form"
    )
