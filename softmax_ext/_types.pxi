# Types of arrays: those that the kernels read and write, the type of the arithmetic, and what two types promote to.

from libc.stdint cimport uint16_t

from softmax_ext._csrc cimport SMX_BFLOAT16, SMX_FLOAT16, SMX_REAL, smx_round_to_bfloat16

_TYPES = "float16, bfloat16, float32, float64"

# The type number of ml_dtypes.bfloat16, known after the first array of that type. The package ml_dtypes is optional and
# never imported.
cdef int _bfloat16_number = -1


cdef bint _is_bfloat16(object dtype):
    global _bfloat16_number
    if dtype.itemsize != 2 or dtype.name != "bfloat16":
        return False
    _bfloat16_number = dtype.num
    return True


cdef bint _is_half(object dtype):
    """True for the types of 16 bits that the kernels read and write."""
    return dtype.itemsize == 2 and (dtype.kind == "f" or _is_bfloat16(dtype))


cdef inline int _storage_of(cnp.ndarray array):
    """How the kernels read and write the array's numbers, an smx_storage; -1 if they cannot."""
    cdef int type_number = cnp.PyArray_TYPE(array)
    if type_number == cnp.NPY_FLOAT or type_number == cnp.NPY_DOUBLE:
        return SMX_REAL
    if type_number == cnp.NPY_FLOAT16:
        return SMX_FLOAT16
    if type_number == _bfloat16_number or (cnp.PyTypeNum_ISUSERDEF(type_number) and _is_bfloat16(array.dtype)):
        return SMX_BFLOAT16
    return -1


cdef object _compute_dtype(object dtype):
    """The type of the arithmetic on numbers of that type: float32 or float64."""
    return np.dtype(np.float32) if _is_half(dtype) else dtype.newbyteorder("=")


cpdef bint _is_native_to_kernels(object dtype, object compute_dtype, object indptr):
    """True if the kernels of compute_dtype read and write arrays of that type, in any byte order.

    With segments (an indptr that is not None) they read and write compute_dtype alone.
    """
    if indptr is not None:
        return dtype.newbyteorder("=") == compute_dtype
    return _compute_dtype(dtype) == compute_dtype


cpdef object _cast(object array, object dtype):
    """The array as that type, rounded once to nearest.

    NumPy does not warn of overflow, underflow or a signalling NaN, and the caller's floating-point state is kept.
    """
    dtype = np.dtype(dtype)
    if array.dtype == dtype:
        return array
    with _OwnFloatState():
        if array.dtype.kind == "f" and array.dtype.itemsize == 8 and _is_bfloat16(dtype):
            return _bfloat16_of(array, dtype)
        return array.astype(dtype, copy=False)


cdef object _bfloat16_of(object array, object dtype):
    """float64 as bfloat16. The cast of ml_dtypes would round twice, to float32 first."""
    cdef cnp.ndarray wide = np.require(array, np.float64, ["C", "A"]), narrow = np.empty(array.shape, np.uint16)
    smx_round_to_bfloat16(
        <const double *>cnp.PyArray_DATA(wide), cnp.PyArray_SIZE(wide), <uint16_t *>cnp.PyArray_DATA(narrow)
    )
    return narrow.view(dtype.newbyteorder("="))


cpdef object _copy_into(object out, object result):
    """Write a result into out, rounded once to its type."""
    if result.dtype.itemsize == 8 and _is_bfloat16(out.dtype):
        result = _cast(result, out.dtype)
    with _OwnFloatState():
        np.copyto(out, result, casting="same_kind")


cdef object _promoted_dtype(object first, object second):
    """The type that two types promote to under NumPy's rules and those of ml_dtypes.

    float16 and bfloat16 have no rule there. They promote to float32, which holds the numbers of both.
    """
    first, second = first.newbyteorder("="), second.newbyteorder("=")
    if first != second and _is_half(first) and _is_half(second):
        return np.dtype(np.float32)
    return np.result_type(first, second)
