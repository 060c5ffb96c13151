# The functions for Cython, Numba and C, which capi.pxd declares and capi.py describes. `api` puts a pointer to each of
# them into the module's __pyx_capi__, and capi.py hands that on. They run a plan of one thread and touch no Python
# object, so that they need no GIL.


cdef int _run_contiguous_rows(
    int op, bint is_double, const void *first, const void *second, void *out, Py_ssize_t rows, Py_ssize_t n,
) noexcept nogil:
    """The operation on rows of n numbers that follow one another in each array; 0, or -1 if there is no memory."""
    cdef smx_plan plan
    cdef Py_ssize_t itemsize = 8 if is_double else 4
    cdef Py_ssize_t i
    cdef double of_nothing
    _init_plan(&plan, op, is_double, 1)
    cdef const smx_op_kernels *kernels = &plan.kernels.op[op]
    if rows <= 0 or n <= 0:
        # Rows without elements have no result for each element, but still one for each row.
        of_nothing = kernels.hidden.out
        for i in range(0 if kernels.elementwise else rows):
            if is_double:
                (<double *>out)[i] = of_nothing
            else:
                (<float *>out)[i] = <float>of_nothing
        return 0
    plan.threads = 1
    plan.outer_dims = plan.inner_dims = 1
    plan.outer_shape[0] = rows
    plan.inner_shape[0] = n
    _set_contiguous_operand(&plan.input[0], <void *>first, n, itemsize)
    _set_contiguous_operand(&plan.input[1], <void *>second, n, itemsize)
    _set_contiguous_operand(&plan.out, out, n if kernels.elementwise else 1, itemsize)
    return 0 if smx_run(&plan) == SMX_DONE else -1


cdef inline void _set_contiguous_operand(
    smx_operand *operand, void *data, Py_ssize_t row_length, Py_ssize_t itemsize,
) noexcept nogil:
    operand.data = <char *>data
    operand.storage = SMX_REAL
    operand.swapped = 0
    operand.outer[0] = row_length * itemsize
    operand.inner[0] = itemsize


cdef api int softmax_f32(const float *x, float *out, Py_ssize_t rows, Py_ssize_t n) noexcept nogil:
    return _run_contiguous_rows(SMX_SOFTMAX, False, x, NULL, out, rows, n)


cdef api int softmax_f64(const double *x, double *out, Py_ssize_t rows, Py_ssize_t n) noexcept nogil:
    return _run_contiguous_rows(SMX_SOFTMAX, True, x, NULL, out, rows, n)


cdef api int log_softmax_f32(const float *x, float *out, Py_ssize_t rows, Py_ssize_t n) noexcept nogil:
    return _run_contiguous_rows(SMX_LOG_SOFTMAX, False, x, NULL, out, rows, n)


cdef api int log_softmax_f64(const double *x, double *out, Py_ssize_t rows, Py_ssize_t n) noexcept nogil:
    return _run_contiguous_rows(SMX_LOG_SOFTMAX, True, x, NULL, out, rows, n)


cdef api int logsumexp_f32(const float *x, float *out, Py_ssize_t rows, Py_ssize_t n) noexcept nogil:
    return _run_contiguous_rows(SMX_LOGSUMEXP, False, x, NULL, out, rows, n)


cdef api int logsumexp_f64(const double *x, double *out, Py_ssize_t rows, Py_ssize_t n) noexcept nogil:
    return _run_contiguous_rows(SMX_LOGSUMEXP, True, x, NULL, out, rows, n)


cdef api int softmax_vjp_f32(
    const float *y, const float *g, float *out, Py_ssize_t rows, Py_ssize_t n
) noexcept nogil:
    return _run_contiguous_rows(SMX_SOFTMAX_VJP, False, y, g, out, rows, n)


cdef api int softmax_vjp_f64(
    const double *y, const double *g, double *out, Py_ssize_t rows, Py_ssize_t n
) noexcept nogil:
    return _run_contiguous_rows(SMX_SOFTMAX_VJP, True, y, g, out, rows, n)


cdef api int log_softmax_vjp_f32(
    const float *y, const float *g, float *out, Py_ssize_t rows, Py_ssize_t n
) noexcept nogil:
    return _run_contiguous_rows(SMX_LOG_SOFTMAX_VJP, False, y, g, out, rows, n)


cdef api int log_softmax_vjp_f64(
    const double *y, const double *g, double *out, Py_ssize_t rows, Py_ssize_t n
) noexcept nogil:
    return _run_contiguous_rows(SMX_LOG_SOFTMAX_VJP, True, y, g, out, rows, n)
