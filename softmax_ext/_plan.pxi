# From arrays to an smx_plan (csrc/plan.h), the description of a call that the C side runs. Nothing here looks at an
# element. Functions named _set_... fill in the part of a plan that they are named after. Bit d of their row_axes is set
# if rows run along axis d.

from libc.stddef cimport ptrdiff_t
from libc.stdint cimport uint64_t

from softmax_ext._csrc cimport (
    SMX_DONE, SMX_MAX_DIMS, SMX_REAL, smx_get_threads, smx_kernels, smx_mask, smx_op, smx_op_kernels, smx_operand,
    smx_plan, smx_run, smx_storage,
)

# With fewer elements, releasing the GIL costs more than another Python thread could gain.
cdef enum:
    MIN_ELEMENTS_TO_RELEASE_GIL = 4096


cdef inline const smx_kernels *_kernels_of(bint is_double) noexcept nogil:
    """The kernels of float or double at the level in use."""
    return _level.f64 if is_double else _level.f32


cdef inline void _init_plan(smx_plan *plan, int op, bint is_double, double temperature) noexcept nogil:
    """A plan of that operation, as yet without arrays, without a mask and without segments."""
    plan.op = <smx_op>op
    plan.kernels = _kernels_of(is_double)
    plan.temperature = temperature
    plan.mask.data = NULL
    plan.indptr = NULL
    plan.initial.data = NULL
    plan.explanation = _explanation


cdef uint64_t _bits_of(set row_axes):
    """The axes of a set, as bits."""
    cdef uint64_t bits = 0
    for d in row_axes:
        bits |= (<uint64_t>1) << <int>d
    return bits


cdef inline bint _has_axis(uint64_t row_axes, int d) noexcept nogil:
    return row_axes >> d & 1


cdef void _set_shape(smx_plan *plan, cnp.ndarray x, uint64_t row_axes):
    """The shape of x, split in two: the inner axes, which rows run along, and the outer ones."""
    cdef int d
    plan.outer_dims = plan.inner_dims = 0
    for d in range(cnp.PyArray_NDIM(x)):
        if _has_axis(row_axes, d):
            plan.inner_shape[plan.inner_dims] = cnp.PyArray_DIM(x, d)
            plan.inner_dims += 1
        else:
            plan.outer_shape[plan.outer_dims] = cnp.PyArray_DIM(x, d)
            plan.outer_dims += 1


cdef void _set_operand(smx_operand *operand, cnp.ndarray array, uint64_t row_axes, bint has_elements):
    """An array of the call. If has_elements is False, it has one number a row and its inner strides are not used."""
    cdef int d, outer_dims = 0, inner_dims = 0
    operand.data = <char *>cnp.PyArray_DATA(array)
    operand.storage = <smx_storage>_storage_of(array)
    operand.swapped = not cnp.PyArray_ISNOTSWAPPED(array)
    for d in range(cnp.PyArray_NDIM(array)):
        if _has_axis(row_axes, d):
            if has_elements:
                operand.inner[inner_dims] = cnp.PyArray_STRIDE(array, d)
                inner_dims += 1
        else:
            operand.outer[outer_dims] = cnp.PyArray_STRIDE(array, d)
            outer_dims += 1


cdef void _set_row_operand(smx_operand *operand, cnp.ndarray array):
    """An array of one number a row, which lacks the row's axis. A 0-d array has one number for all rows."""
    cdef int d, ndim = cnp.PyArray_NDIM(array)
    operand.data = <char *>cnp.PyArray_DATA(array)
    operand.storage = SMX_REAL
    operand.swapped = 0
    for d in range(SMX_MAX_DIMS):
        operand.outer[d] = cnp.PyArray_STRIDE(array, d) if d < ndim else 0


cdef void _set_broadcast_row_operand(smx_operand *operand, cnp.ndarray array, cnp.ndarray x, uint64_t row_axes):
    """An array that broadcasts to x's shape with length 1 along the rows' axes."""
    cdef int d, outer_dims = 0, missing_dims = cnp.PyArray_NDIM(x) - cnp.PyArray_NDIM(array)
    operand.data = <char *>cnp.PyArray_DATA(array)
    operand.storage = SMX_REAL
    operand.swapped = 0
    for d in range(cnp.PyArray_NDIM(x)):
        if _has_axis(row_axes, d):
            continue
        operand.outer[outer_dims] = 0
        if d >= missing_dims and cnp.PyArray_DIM(array, d - missing_dims) > 1:
            operand.outer[outer_dims] = cnp.PyArray_STRIDE(array, d - missing_dims)
        outer_dims += 1


cdef void _set_class_operand(smx_operand *operand, cnp.ndarray array):
    """A contiguous array of one number for each element of a row, the same for all rows."""
    cdef int d
    operand.data = <char *>cnp.PyArray_DATA(array)
    operand.storage = SMX_REAL
    operand.swapped = 0
    operand.inner[0] = cnp.PyArray_ITEMSIZE(array)
    for d in range(SMX_MAX_DIMS):
        operand.outer[d] = 0


cdef void _set_mask(smx_mask *mask, cnp.ndarray where, cnp.ndarray x, uint64_t row_axes):
    """where, broadcast to x without a copy."""
    cdef int d, ndim = cnp.PyArray_NDIM(x), missing_dims = ndim - cnp.PyArray_NDIM(where)
    cdef ptrdiff_t stride
    mask.data = <char *>cnp.PyArray_DATA(where)
    mask.outer_dims = mask.inner_dims = 0
    for d in range(ndim):
        stride = 0
        if d >= missing_dims and cnp.PyArray_DIM(where, d - missing_dims) > 1:
            stride = cnp.PyArray_STRIDE(where, d - missing_dims)
        if _has_axis(row_axes, d):
            mask.inner_shape[mask.inner_dims] = cnp.PyArray_DIM(x, d)
            mask.inner[mask.inner_dims] = stride
            mask.inner_dims += 1
        else:
            mask.outer_shape[mask.outer_dims] = cnp.PyArray_DIM(x, d)
            mask.outer[mask.outer_dims] = stride
            mask.outer_dims += 1


cdef int _run(smx_plan *plan, ptrdiff_t elements) except -1:
    """Run the plan of a call on so many elements."""
    cdef int status
    if elements < MIN_ELEMENTS_TO_RELEASE_GIL:
        plan.threads = 1
        status = smx_run(plan)
    else:
        plan.threads = smx_get_threads()
        with nogil:
            status = smx_run(plan)
    if status != SMX_DONE:
        raise MemoryError("softmax_ext: no memory for the working blocks")
    return 0
