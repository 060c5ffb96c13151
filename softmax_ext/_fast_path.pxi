# The fast path, for calls whose arrays need no checks beyond a few flags. A simple array is C-contiguous, of a type
# that the kernels read, native, aligned and not empty. Its rows run along one axis, which is the last one if there is a
# mask; or the whole array is one row, without a mask. The functions that ask if a call is of this kind never raise.
# Arrays in any other layout take the path of _strided_path.pxi, every other call the general path.

from cpython.long cimport PyLong_AsLongAndOverflow

from softmax_ext._csrc cimport SMX_BUFFER_LEAST


cdef inline bint _is_simple(object x):
    """True if x is a simple array."""
    cdef int d
    if not cnp.PyArray_CheckExact(x):
        return False
    cdef cnp.ndarray array = <cnp.ndarray>x
    cdef int type_number = cnp.PyArray_TYPE(array)
    for d in range(cnp.PyArray_NDIM(array)):
        if cnp.PyArray_DIM(array, d) == 0:
            return False
    return (
        (type_number == cnp.NPY_FLOAT or type_number == cnp.NPY_DOUBLE or _storage_of(array) > 0)
        and cnp.PyArray_IS_C_CONTIGUOUS(array)
        and cnp.PyArray_ISBEHAVED_RO(array)
        and cnp.PyArray_NDIM(array) > 0
    )


# What _plain_axis returns for axis=None, if x has more axes than one.
cdef enum:
    ALL_AXES = SMX_MAX_DIMS


cdef inline int _plain_axis(object axis, object x):
    """The axis, counted from 0, or ALL_AXES, if x is an array and the axis is None or an int that x has; else -1."""
    cdef int ndim, overflow = 0
    cdef long number
    if (type(axis) is not int and axis is not None) or not cnp.PyArray_CheckExact(x):
        return -1
    ndim = cnp.PyArray_NDIM(<cnp.ndarray>x)
    if axis is None:
        return ALL_AXES if ndim > 1 else ndim - 1
    if axis == -1:  # the default, tested without a call
        return ndim - 1
    number = PyLong_AsLongAndOverflow(axis, &overflow)
    if overflow != 0 or not -ndim <= number < ndim:
        return -1
    return <int>(number if number >= 0 else number + ndim)


cdef inline int _simple_axis(object axis, object x):
    """The same; -1 also if x is not simple."""
    return _plain_axis(axis, x) if _is_simple(x) else -1


cdef inline bint _are_disjoint_or_identical(cnp.ndarray a, cnp.ndarray b):
    """For two contiguous arrays of one size: True if they share no byte, or all of them."""
    cdef ptrdiff_t distance = <char *>cnp.PyArray_DATA(a) - <char *>cnp.PyArray_DATA(b)
    cdef ptrdiff_t size = cnp.PyArray_NBYTES(a)
    return distance == 0 or distance >= size or -distance >= size


cdef inline bint _are_disjoint(cnp.ndarray contiguous, cnp.ndarray other):
    """True if no byte of the first array lies between the first and the last byte of the other."""
    cdef int d
    cdef ptrdiff_t reach
    cdef char *start = <char *>cnp.PyArray_DATA(contiguous)
    cdef char *low = <char *>cnp.PyArray_DATA(other)
    cdef char *high = low + cnp.PyArray_ITEMSIZE(other)
    for d in range(cnp.PyArray_NDIM(other)):
        reach = (cnp.PyArray_DIM(other, d) - 1) * cnp.PyArray_STRIDE(other, d)
        low += reach if reach < 0 else 0
        high += reach if reach > 0 else 0
    return high <= start or start + cnp.PyArray_NBYTES(contiguous) <= low


cdef inline bint _is_simple_out(object out, object x):
    """True if out is None, or a simple array that the result of a simple x can be written straight into."""
    return out is None or (
        _is_simple(out)
        and cnp.PyArray_ISWRITEABLE(<cnp.ndarray>out)
        and cnp.PyArray_TYPE(<cnp.ndarray>out) == cnp.PyArray_TYPE(<cnp.ndarray>x)
        and cnp.PyArray_SAMESHAPE(<cnp.ndarray>out, <cnp.ndarray>x)
        and _are_disjoint_or_identical(<cnp.ndarray>out, <cnp.ndarray>x)
    )


cdef inline bint _is_simple_mask(object where, object x, object out, int axis):
    """True if where is None, or a mask of rows along the last axis that can be read in place while out is written."""
    return where is None or (
        axis == cnp.PyArray_NDIM(<cnp.ndarray>x) - 1
        and cnp.PyArray_CheckExact(where)
        and cnp.PyArray_TYPE(<cnp.ndarray>where) == cnp.NPY_BOOL
        and _broadcasts(<cnp.ndarray>where, <cnp.ndarray>x)
        and (out is None or _are_disjoint(<cnp.ndarray>out, <cnp.ndarray>where))
    )


cdef inline bint _is_simple_map(object x, int axis, object where, object out, object dtype, double temperature):
    """True if a softmax with these arguments can take the fast path; axis comes from _simple_axis, for x."""
    return (
        dtype is None
        and axis >= 0
        and _is_simple_out(out, x)
        and _is_simple_mask(where, x, out, axis)
        and _temperature_is_normal(temperature, cnp.PyArray_TYPE(<cnp.ndarray>x) == cnp.NPY_DOUBLE)
    )


cdef inline int _reduced_shape(cnp.ndarray x, int axis, bint keepdims, cnp.npy_intp *shape) noexcept:
    """The shape of a result of one number a row, and how many dimensions it has."""
    cdef int d, ndim = 0
    for d in range(cnp.PyArray_NDIM(x)):
        if axis == ALL_AXES or d == axis:
            if not keepdims:
                continue
            shape[ndim] = 1
        else:
            shape[ndim] = cnp.PyArray_DIM(x, d)
        ndim += 1
    return ndim


cdef inline bint _is_simple_reduced_out(object out, cnp.ndarray x, int axis, bint keepdims, object where):
    """True if out is None, or an array that the result of one number a row can be written straight into."""
    cdef int d, ndim
    cdef cnp.npy_intp shape[SMX_MAX_DIMS]
    if out is None:
        return True
    if not (
        cnp.PyArray_CheckExact(out)
        and cnp.PyArray_TYPE(<cnp.ndarray>out) == cnp.PyArray_TYPE(x)
        and cnp.PyArray_IS_C_CONTIGUOUS(<cnp.ndarray>out)
        and cnp.PyArray_ISBEHAVED(<cnp.ndarray>out)
    ):
        return False
    ndim = _reduced_shape(x, axis, keepdims, shape)
    if cnp.PyArray_NDIM(<cnp.ndarray>out) != ndim:
        return False
    for d in range(ndim):
        if cnp.PyArray_DIM(<cnp.ndarray>out, d) != shape[d]:
            return False
    return _are_disjoint(<cnp.ndarray>out, x) and (where is None or _are_disjoint(<cnp.ndarray>out, where))


cdef tuple _float_scalars = (np.float16, np.float32, np.float64)


cdef inline object _simple_number(object number):
    """A number of Python or NumPy as a float, if float64 has it; anything else as it is."""
    if number is None or type(number) is float or cnp.PyArray_CheckExact(number):
        return number
    if type(number) is int:
        return float(number) if -(1 << 53) <= number <= 1 << 53 else number
    return float(number) if type(number) in _float_scalars else number


cdef inline bint _is_simple_initial(object initial, cnp.ndarray x, int axis, object out):
    """True if initial is None, a float, or an array of one number for each row of x, in the order of the rows."""
    cdef int d
    if initial is None or type(initial) is float:
        return True
    if not (
        cnp.PyArray_CheckExact(initial)
        and cnp.PyArray_TYPE(<cnp.ndarray>initial) == cnp.PyArray_TYPE(x)
        and _storage_of(x) == SMX_REAL
        and cnp.PyArray_IS_C_CONTIGUOUS(<cnp.ndarray>initial)
        and cnp.PyArray_ISBEHAVED_RO(<cnp.ndarray>initial)
        and cnp.PyArray_NDIM(<cnp.ndarray>initial) == cnp.PyArray_NDIM(x)
    ):
        return False
    for d in range(cnp.PyArray_NDIM(x)):
        if cnp.PyArray_DIM(<cnp.ndarray>initial, d) != (
            1 if d == axis or axis == ALL_AXES else cnp.PyArray_DIM(x, d)
        ):
            return False
    return out is None or _are_disjoint(<cnp.ndarray>out, <cnp.ndarray>initial)


cdef inline bint _is_simple_with_sums(int op, object initial, cnp.ndarray x, int axis, object out):
    """The same for softmax and log_softmax. If sums are returned, x must not be of 16 bits, because they are reals."""
    return _is_simple_initial(initial, x, axis, out) and (
        op == SMX_SOFTMAX or op == SMX_LOG_SOFTMAX or _storage_of(x) == SMX_REAL
    )


cdef inline bint _is_simple_reduction(
    object x, int axis, object keepdims, object where, object out, object dtype, double temperature
):
    """The same for a result of one number a row."""
    return (
        (keepdims is False or keepdims is True)
        and _is_simple_map(x, axis, where, None, dtype, temperature)
        and _is_simple_reduced_out(out, x, axis, keepdims is True, where)
    )


cdef inline bint _are_simple_weights(int op, object b, object x, object out):
    """True if a reduction that can take the fast path can do so with the weights b, which must be an array like x.

    If signs are returned, x must not have 16 bits, because signs are reals.
    """
    return (
        _is_simple(b)
        and cnp.PyArray_TYPE(<cnp.ndarray>x) == cnp.PyArray_TYPE(<cnp.ndarray>b)
        and cnp.PyArray_SAMESHAPE(<cnp.ndarray>x, <cnp.ndarray>b)
        and (op == SMX_WEIGHTED_LOGSUMEXP or _storage_of(x) == SMX_REAL)
        and (out is None or _are_disjoint(<cnp.ndarray>out, <cnp.ndarray>b))
    )


cdef inline bint _is_simple_derivative(object y, object g, int axis, object where, object out, double temperature):
    """True if a derivative with these arguments can take the fast path; axis comes from _simple_axis, for y."""
    return (
        axis >= 0
        and _is_simple(g)
        and cnp.PyArray_TYPE(<cnp.ndarray>y) == cnp.PyArray_TYPE(<cnp.ndarray>g)
        and cnp.PyArray_SAMESHAPE(<cnp.ndarray>y, <cnp.ndarray>g)
        and _is_simple_out(out, y)
        and _is_simple_out(out, g)
        and _is_simple_mask(where, y, out, axis)
        and _temperature_is_normal(temperature, cnp.PyArray_TYPE(<cnp.ndarray>y) == cnp.NPY_DOUBLE)
    )


cdef inline void _set_simple_operand(
    smx_operand *operand, cnp.ndarray array, ptrdiff_t rows, ptrdiff_t row_length, ptrdiff_t inner_count,
    ptrdiff_t itemsize, smx_storage storage
) noexcept:
    operand.data = <char *>cnp.PyArray_DATA(array)
    operand.storage = storage
    operand.swapped = 0
    operand.outer[0] = row_length * inner_count * itemsize if rows > 1 else itemsize
    operand.outer[1] = itemsize
    operand.inner[0] = inner_count * itemsize


cdef object _run_fast(
    int op, cnp.ndarray x, cnp.ndarray g, cnp.ndarray where, cnp.ndarray out, int axis, double temperature,
    bint keepdims, object initial, cnp.ndarray indptr
):
    """The operation on simple arrays; g is the second input or None. keepdims is about results of one number a row.

    An operation that has two results returns a pair. With a checked indptr the rows are the segments that it cuts the
    first axis into.

    inner_count rows lie side by side: it is the product of the lengths of the axes behind the row's.
    """
    cdef smx_plan plan
    cdef int d, ndim = cnp.PyArray_NDIM(x), type_number = cnp.PyArray_TYPE(x)
    cdef cnp.npy_intp shape[SMX_MAX_DIMS]
    cdef bint is_new = out is None
    cdef double initial_double
    cdef float initial_float
    cdef cnp.ndarray row_results = None
    cdef ptrdiff_t row_length = cnp.PyArray_SIZE(x) if axis == ALL_AXES else cnp.PyArray_DIM(x, axis)
    cdef ptrdiff_t outer_count = 1, inner_count = 1, rows, elements
    cdef ptrdiff_t itemsize = cnp.PyArray_ITEMSIZE(x)
    cdef smx_storage storage = <smx_storage>_storage_of(x)
    _init_plan(&plan, op, type_number == cnp.NPY_DOUBLE, temperature)
    cdef bint elementwise = plan.kernels.op[op].elementwise
    if axis != ALL_AXES:
        for d in range(axis):
            outer_count *= cnp.PyArray_DIM(x, d)
        for d in range(axis + 1, ndim):
            inner_count *= cnp.PyArray_DIM(x, d)
    rows = outer_count * inner_count
    elements = rows * row_length
    if out is None and not elementwise and indptr is not None:
        shape[0] = cnp.PyArray_DIM(indptr, 0) - 1
        for d in range(1, ndim):
            shape[d] = cnp.PyArray_DIM(x, d)
        out = cnp.PyArray_SimpleNew(ndim, shape, type_number)
    elif out is None and not elementwise:
        out = cnp.PyArray_SimpleNew(_reduced_shape(x, axis, keepdims, shape), shape, type_number)
    elif out is None and elements * itemsize >= SMX_BUFFER_LEAST:
        out = _empty_like(x, None)
    elif out is None:
        out = cnp.PyArray_SimpleNew(ndim, cnp.PyArray_DIMS(x), type_number)
    plan.inner_dims = 1
    plan.inner_shape[0] = row_length
    plan.outer_dims = 1
    plan.outer_shape[0] = rows
    if inner_count > 1:
        plan.outer_dims = 2
        plan.outer_shape[0] = outer_count
        plan.outer_shape[1] = inner_count
    _set_simple_operand(&plan.input[0], x, rows, row_length, inner_count, itemsize, storage)
    if g is not None:
        _set_simple_operand(&plan.input[1], g, rows, row_length, inner_count, itemsize, storage)
    _set_simple_operand(&plan.out, out, rows, row_length if elementwise else 1, inner_count, itemsize, storage)
    if where is not None:
        _set_mask(&plan.mask, where, x, (<uint64_t>1) << (ndim - 1))
    if indptr is not None:
        plan.indptr = <const ptrdiff_t *>cnp.PyArray_DATA(indptr)
        plan.segments = cnp.PyArray_DIM(indptr, 0) - 1
    if type(initial) is float:
        initial_double = initial
        initial_float = <float>initial_double
        plan.initial.data = <char *>&initial_double if type_number == cnp.NPY_DOUBLE else <char *>&initial_float
        plan.initial.storage = SMX_REAL
        plan.initial.swapped = 0
        plan.initial.outer[0] = plan.initial.outer[1] = 0
    elif initial is not None:
        _set_simple_operand(&plan.initial, initial, rows, 1, inner_count, itemsize, SMX_REAL)
    if plan.kernels.op[op].has_row_out:
        row_results = cnp.PyArray_SimpleNew(_reduced_shape(x, axis, keepdims, shape), shape, type_number)
        _set_simple_operand(&plan.row_out, row_results, rows, 1, inner_count, itemsize, SMX_REAL)
    _run(&plan, elements)
    result = out
    if is_new and cnp.PyArray_NDIM(out) == 0:
        result = cnp.PyArray_ToScalar(cnp.PyArray_DATA(out), out)
    if row_results is not None:
        return result, row_results if cnp.PyArray_NDIM(row_results) > 0 else row_results[()]
    return result
