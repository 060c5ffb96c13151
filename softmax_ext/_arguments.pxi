# Checks of arguments. Each returns the argument in the form that the rest of the module works with, or raises an error
# that names the argument, what it was and what was expected.

import operator

cpdef str _shown(object value):
    """The value as a message shows it: its repr, cut where it is long, or its type where it has no repr."""
    try:
        text = repr(value)
    except Exception:  # an int of more digits than Python prints, or a repr that fails
        return f"a value of type {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:77]}..."


cpdef object _integer(object value, str name):
    """The value as an int."""
    # Python takes True for an index, but nobody means it as a number.
    if isinstance(value, (bool, np.bool)):
        raise TypeError(f"{name}: got {value!r}, expected an integer")
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name}: got {type(value).__name__}, expected an integer") from None


cpdef double _real_number(object value, str name, str expected) except? -1:
    """The value as a double: a real number of any type, or a 0-d array of one. expected says what the caller wants."""
    kind = type(value)
    # float() also parses text and bytes, but no type of theirs has one of these methods.
    is_number = hasattr(kind, "__float__") or hasattr(kind, "__index__")
    if isinstance(value, (bool, np.bool)) or _is_dask(value):
        is_number = False
    elif isinstance(value, (np.generic, np.ndarray)):
        # "V" with a type number of its own is a type of ml_dtypes. An array of 1 element is no scalar.
        is_number = value.ndim == 0 and not isinstance(value, np.ma.MaskedArray) and (
            value.dtype.kind in "iuf" or cnp.PyTypeNum_ISUSERDEF(value.dtype.num)
        )
    if not is_number:
        shown = _shown(value) if isinstance(value, (bool, np.bool, str, bytes)) else kind.__name__
        raise TypeError(f"{name}: got {shown}, expected {expected}")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{name}: got {kind.__name__} beyond float64, expected {expected}") from None
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{name}: got {kind.__name__}, expected {expected}: {error}") from None


cpdef object _real_array(object value, str name, str unmask=_USE_WHERE):
    """The value as an array of a type that the kernels read, in either byte order; no copy if it is one already."""
    array = _as_array(value, name, unmask)
    if _storage_of(array) >= 0:
        return array
    if array.dtype.kind in "biu":
        return _cast(array, np.float64)
    raise TypeError(
        f"{name}: got {_described(value, array)}, expected {_TYPES}, bool or integers{_sparse_advice(value, name)}"
    )


def _segmented_array(value, name):
    """The array that a segment function is called with; it needs a first axis."""
    array = _real_array(value, name)
    if array.ndim == 0:
        raise ValueError(f"{name}: got a 0-d array, expected at least one dimension")
    return array


def _array_and_axis(value, axis, name, unmask):
    """The array, which kernels can read, the axis, and the type of the arithmetic; for functions of one axis."""
    array = _real_array(value, name, unmask)
    number = _integer(axis, "axis")
    if not -array.ndim <= number < array.ndim:
        raise np.exceptions.AxisError(number, array.ndim, "axis")
    return array, number, _compute_dtype(array.dtype)


cdef object _real_dtype(object value, str name):
    """The value as the dtype of a result."""
    try:
        dtype = np.dtype(value).newbyteorder("=")
    except Exception as error:  # of many types: those of NumPy's parser, of a property `dtype` ...
        raise TypeError(f"{name}: got {_shown(value)}, expected one of {_TYPES}") from error
    if dtype.names is None and (dtype.num in (cnp.NPY_FLOAT, cnp.NPY_DOUBLE) or _is_half(dtype)):
        return dtype
    raise TypeError(f"{name}: got {dtype}, expected one of {_TYPES}")


cpdef bint _flag(object value, str name) except? -1:
    """The value as True or False; numbers as NumPy's own keepdims takes them."""
    if value is True or value is False:
        return value is True
    if isinstance(value, (bool, np.bool)):
        return bool(value)
    try:
        return operator.index(value) != 0
    except TypeError:
        raise TypeError(f"{name}: got {type(value).__name__}, expected True or False") from None


cpdef bint _temperature_is_normal(double temperature, bint is_double):
    """True if the constants of exp's reduction by this temperature are normal numbers of the type."""
    if is_double:
        return 2.0 ** -900 <= temperature <= 2.0 ** 900
    return 2.0 ** -90 <= temperature <= 2.0 ** 100


cpdef double _temperature(object value) except? -1:
    """The value as a temperature that the kernels of double can use."""
    cdef double number
    if type(value) is float:
        number = value
    else:
        number = _real_number(value, "temperature", "a positive finite number, from 2**-900 to 2**900")
    if not _temperature_is_normal(number, True):
        raise ValueError(
            f"temperature: got {_shown(value)}, expected a positive finite number, from 2**-900 to 2**900"
        )
    return number


cdef object _row_axes(object axis, int ndim):
    """The axes that a row runs along, as a set of numbers from 0 to ndim - 1."""
    if axis is None:
        return set(range(ndim))
    # A 0-d array counts as one row of one element, so it takes the axes of a 1-d array.
    cdef int dims = ndim if ndim > 0 else 1
    axes = axis if isinstance(axis, tuple) else (axis,)
    found = set()
    for item in axes:
        if isinstance(axis, tuple):
            number = _integer(item, "axis")
        else:
            try:
                number = _integer(item, "axis")
            except TypeError:
                raise TypeError(
                    f"axis: got {type(item).__name__}, expected an integer, a tuple of integers or None"
                ) from None
        if not -dims <= number < dims:
            raise np.exceptions.AxisError(number, ndim, "axis")
        number %= dims
        if number in found:
            raise ValueError(f"axis: got {axis!r}, expected each axis once, of {ndim} dimensions")
        found.add(number)
    return found if ndim > 0 else set()


cdef inline bint _broadcasts(cnp.ndarray array, cnp.ndarray to):
    """True if the array broadcasts to the shape of the other."""
    cdef int d, missing_dims = cnp.PyArray_NDIM(to) - cnp.PyArray_NDIM(array)
    if missing_dims < 0:
        return False
    for d in range(cnp.PyArray_NDIM(array)):
        if cnp.PyArray_DIM(array, d) != 1 and cnp.PyArray_DIM(array, d) != cnp.PyArray_DIM(to, d + missing_dims):
            return False
    return True


cpdef object _bool_mask(object where, object x, str name):
    """where as an array of bool that broadcasts to x, the argument of that name; None stays None."""
    if where is None:
        return None
    mask = _as_array(where, "where", "pass where={0}.filled(False)", np.bool)
    if mask.dtype != np.bool:
        raise TypeError(f"where: got {_described(where, mask)}, expected bool")
    if not _broadcasts(mask, x):
        raise ValueError(f"where: got shape {mask.shape}, expected one that broadcasts to {name}'s {x.shape}")
    return mask


cpdef object _check_out(object out, object shape, object compute_dtype):
    """Refuse an out that a result of that shape, computed in that type, cannot be written to."""
    if isinstance(out, np.ma.MaskedArray):
        raise TypeError(f"out: got {type(out).__name__}, expected an array without a mask: pass out.data")
    if not isinstance(out, np.ndarray):
        # A tensor on the CPU and NumPy's view of it share their memory.
        has_view = hasattr(type(out), "__array__") and not isinstance(out, np.generic)
        view = ", such as np.asarray(out)" if has_view else ""
        raise TypeError(f"out: got {type(out).__name__}, expected a NumPy array to write to{view}")
    if out.shape != shape:
        raise ValueError(f"out: got shape {out.shape}, expected {shape}")
    if not out.flags.writeable:
        raise ValueError("out: got a read-only array, expected a writeable one")
    # To NumPy, text and objects are of the same kind as any number.
    is_number = out.dtype.kind in "fc" or cnp.PyTypeNum_ISUSERDEF(out.dtype.num)
    if not is_number or not np.can_cast(compute_dtype, out.dtype, "same_kind"):
        raise TypeError(
            f"out: got {out.dtype}, expected a type that {compute_dtype} can be cast to under 'same_kind'"
        )
