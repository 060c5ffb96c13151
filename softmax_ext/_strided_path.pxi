# A short path for arrays of any strides, byte order and alignment: the kernels read them as they are, so nothing is
# converted. Rows run along one axis, or along all. Calls that want more than a mask, a simple out and a temperature
# take the general path. The functions that ask if a call is of this kind never raise.


cdef inline bint _is_readable(object x):
    """True if x is an array, not empty, of a type that the kernels read."""
    return (
        cnp.PyArray_CheckExact(x)
        and _storage_of(<cnp.ndarray>x) >= 0
        and cnp.PyArray_NDIM(<cnp.ndarray>x) > 0
        and cnp.PyArray_SIZE(<cnp.ndarray>x) > 0
    )


cdef inline bint _is_apart(object out, object array):
    """True if out is None, or a simple array of the other's shape and type, which shares no byte with it."""
    return out is None or (
        _is_simple(out)
        and cnp.PyArray_ISWRITEABLE(<cnp.ndarray>out)
        and cnp.PyArray_TYPE(<cnp.ndarray>out) == cnp.PyArray_TYPE(<cnp.ndarray>array)
        and cnp.PyArray_SAMESHAPE(<cnp.ndarray>out, <cnp.ndarray>array)
        and _are_disjoint(<cnp.ndarray>out, <cnp.ndarray>array)
    )


cdef inline bint _is_mask_apart(object where, object x, object out):
    """True if where is None, or a mask that can be read in place while out is written."""
    return where is None or (
        cnp.PyArray_CheckExact(where)
        and cnp.PyArray_TYPE(<cnp.ndarray>where) == cnp.NPY_BOOL
        and _broadcasts(<cnp.ndarray>where, <cnp.ndarray>x)
        and (out is None or _are_disjoint(<cnp.ndarray>out, <cnp.ndarray>where))
    )


cdef inline bint _is_readable_map(int op, object x, object where, object out, double temperature):
    """True if an operation on x can take this path."""
    cdef bint is_double
    if not _is_readable(x):
        return False
    is_double = cnp.PyArray_TYPE(<cnp.ndarray>x) == cnp.NPY_DOUBLE
    cdef const smx_op_kernels *kernels = &_kernels_of(is_double).op[op]
    return (
        not kernels.has_row_out
        and (out is None or kernels.elementwise)
        and _is_apart(out, x)
        and _is_mask_apart(where, x, out)
        and _temperature_is_normal(temperature, is_double)
    )


cdef inline bint _is_readable_derivative(int op, object y, object g, object where, object out, double temperature):
    """The same for a derivative."""
    return (
        _is_readable(g)
        and _is_readable_map(op, y, where, out, temperature)
        and cnp.PyArray_TYPE(<cnp.ndarray>y) == cnp.PyArray_TYPE(<cnp.ndarray>g)
        and cnp.PyArray_SAMESHAPE(<cnp.ndarray>y, <cnp.ndarray>g)
        and _is_apart(out, g)
    )


cdef inline object _native_dtype(cnp.ndarray x):
    """The array's type in the byte order of this machine."""
    return cnp.PyArray_DescrFromType(cnp.PyArray_TYPE(x))


cdef object _run_strided(
    int op, cnp.ndarray x, cnp.ndarray g, cnp.ndarray where, cnp.ndarray out, int axis, double temperature,
    bint keepdims
):
    """The operation on readable arrays; g is the second input or None. keepdims is about one number a row."""
    cdef smx_plan plan
    cdef cnp.npy_intp shape[SMX_MAX_DIMS]
    cdef int type_number = cnp.PyArray_TYPE(x)
    cdef uint64_t row_axes = ~(<uint64_t>0) if axis == ALL_AXES else (<uint64_t>1) << axis
    cdef bint is_new = out is None
    _init_plan(&plan, op, type_number == cnp.NPY_DOUBLE, temperature)
    cdef bint elementwise = plan.kernels.op[op].elementwise
    if is_new and elementwise:
        out = _empty_like(x, _native_dtype(x))
    elif is_new:
        out = cnp.PyArray_EMPTY(_reduced_shape(x, axis, keepdims, shape), shape, type_number, 0)
    _set_shape(&plan, x, row_axes)
    _set_operand(&plan.input[0], x, row_axes, True)
    if g is not None:
        _set_operand(&plan.input[1], g, row_axes, True)
    if elementwise or keepdims:
        _set_operand(&plan.out, out, row_axes, elementwise)
    else:
        _set_row_operand(&plan.out, out)
        plan.out.storage = <smx_storage>_storage_of(out)
    if where is not None:
        _set_mask(&plan.mask, where, x, row_axes)
    _run(&plan, cnp.PyArray_SIZE(x))
    return cnp.PyArray_ToScalar(cnp.PyArray_DATA(out), out) if cnp.PyArray_NDIM(out) == 0 else out
