# The general path: any arrays, axes, types, masks and overlaps, and rows that are segments.

from softmax_ext._csrc cimport (
    SMX_LOGSUMEXP, SMX_LOG_SOFTMAX, SMX_LOG_SOFTMAX_JVP, SMX_LOG_SOFTMAX_VJP, SMX_REAL, SMX_SOFTMAX, SMX_SOFTMAX_VJP,
    smx_are_segments,
)


cdef bint _overlaps_itself(object out):
    """True if two elements of out may be in the same place. It may also be True for unusual strides without overlap."""
    reach = out.itemsize
    for stride, size in sorted((abs(stride), size) for stride, size in zip(out.strides, out.shape) if size > 1):
        if stride < reach:
            return True
        reach += stride * (size - 1)
    return False


cdef bint _is_same_view(object a, object b):
    """True if two arrays are the same elements, in the same order, of the same memory."""
    return (
        a.shape == b.shape
        and a.strides == b.strides
        and a.dtype == b.dtype
        and cnp.PyArray_DATA(<cnp.ndarray>a) == cnp.PyArray_DATA(<cnp.ndarray>b)
    )


cpdef bint _can_write_into(
    object out, object compute_dtype, list inputs, object where, bint elementwise, object indptr
):
    """True if the kernels may write straight into out: they know its type, and no input is overwritten too early."""
    if not _is_native_to_kernels(out.dtype, compute_dtype, indptr) or _overlaps_itself(out):
        return False
    if where is not None and np.may_share_memory(out, where):
        return False
    for array in inputs:
        if np.may_share_memory(out, array) and not (elementwise and _is_same_view(out, array)):
            return False
    return True


cdef object _run_general(
    int op, list inputs, set row_axes, object where, object out, object compute_dtype, object result_dtype,
    bint keepdims, double temperature=1, cnp.ndarray indptr=None, cnp.ndarray initial=None,
):
    """The operation on arrays of one shape, whose types the kernels of compute_dtype read.

    Rows run along row_axes. With a checked indptr they are the segments that it cuts the first axis into, the one in
    row_axes; an operation that has one number a row then has one for each segment. The result has result_dtype, or is
    rounded to the type of out. An operation that has two results returns a pair.

    initial : one number a row, from _initial_terms, or None.
    """
    cdef smx_plan plan
    cdef int k
    cdef uint64_t bits
    x, row_results = inputs[0], None
    _init_plan(&plan, op, compute_dtype.itemsize == 8, temperature)
    cdef const smx_op_kernels *kernels = &plan.kernels.op[op]
    cdef bint elementwise = kernels.elementwise
    shape = x.shape
    if not elementwise and indptr is not None:
        shape = (len(indptr) - 1, *shape[1:])
    elif not elementwise:
        shape = tuple(1 if d in row_axes else n for d, n in enumerate(shape) if keepdims or d not in row_axes)
    if out is not None:
        _check_out(out, shape, compute_dtype)

    # target: where the kernels write. It is out, or a new array that is cast or copied afterwards.
    target_dtype = result_dtype if out is None else out.dtype
    if not _is_native_to_kernels(target_dtype, compute_dtype, indptr):
        target_dtype = compute_dtype
    if out is not None and _can_write_into(out, compute_dtype, inputs, where, elementwise, indptr):
        target = out
    elif elementwise:
        target = _empty_like(x, target_dtype)
    else:
        target = np.empty(shape, target_dtype)

    reduced = tuple(n for d, n in enumerate(x.shape) if d not in row_axes)
    if kernels.has_row_out:
        row_results = np.empty(reduced, compute_dtype)
    if initial is not None and out is not None and np.may_share_memory(out, initial):
        initial = initial.copy()
    if x.size > 0:
        # The plan wants the row's axes in every operand. Nothing reads their strides where there is one number a row.
        with_row_axes = target
        if not elementwise and not keepdims and indptr is None:
            with_row_axes = np.expand_dims(target, tuple(row_axes))
        if indptr is not None:
            plan.indptr = <const ptrdiff_t *>cnp.PyArray_DATA(indptr)
            plan.segments = cnp.PyArray_DIM(indptr, 0) - 1
        bits = _bits_of(row_axes)
        _set_shape(&plan, x, bits)
        for k, array in enumerate(inputs):
            _set_operand(&plan.input[k], array, bits, True)
        _set_operand(&plan.out, with_row_axes, bits, elementwise or indptr is not None)
        if where is not None:
            _set_mask(&plan.mask, where, x, bits)
        if initial is not None:
            _set_broadcast_row_operand(&plan.initial, initial, x, bits)
        if row_results is not None:
            _set_row_operand(&plan.row_out, row_results)
        _run(&plan, x.size)
    else:  # rows of no element
        of_nothing = kernels.hidden.out if initial is None else initial
        if elementwise and row_results is not None:
            np.expand_dims(row_results, tuple(row_axes))[...] = -np.inf if initial is None else initial
        elif not elementwise:
            (target if keepdims or indptr is not None else np.expand_dims(target, tuple(row_axes)))[...] = of_nothing
            if row_results is not None:
                signs = np.where(np.isnan(of_nothing), of_nothing, np.greater(of_nothing, -np.inf))
                np.expand_dims(row_results, tuple(row_axes))[...] = signs

    if out is not None:
        if target is not out:
            _copy_into(out, target)
        target = out
    else:
        target = _cast(target, result_dtype)
        target = target if target.ndim > 0 else target[()]
    if row_results is None:
        return target
    row_results = _cast(row_results, result_dtype)
    if not elementwise:
        row_results = row_results.reshape(shape)
    return target, row_results if row_results.ndim > 0 else row_results[()]


cdef cnp.ndarray _initial_terms(object initial, object x, set row_axes, object compute_dtype):
    """initial as an array of compute_dtype that broadcasts to one number a row of x; None stays None."""
    cdef int d, missing_dims
    if initial is None:
        return None
    array = _real_array(initial, "initial", "pass {0}.filled(-np.inf)")
    missing_dims = x.ndim - array.ndim
    if missing_dims < 0 or any(
        n != 1 and (d + missing_dims in row_axes or n != x.shape[d + missing_dims]) for d, n in enumerate(array.shape)
    ):
        wanted = tuple(1 if d in row_axes else n for d, n in enumerate(x.shape))
        raise ValueError(
            f"initial: got shape {array.shape}, expected one that broadcasts to {wanted}, x's with 1 along the axis"
        )
    array = _cast(array, compute_dtype)
    return array if array.flags.aligned else array.copy()


cdef object _run_map(
    int op, object x, object axis, object where, object out, object dtype, bint keepdims, double temperature=1,
    object indptr=None, object initial=None,
):
    """softmax, log_softmax, logsumexp and softmax_entropy: one input, and a dtype for the result or None."""
    cdef int number = _plain_axis(axis, x)
    if (
        dtype is None
        and indptr is None
        and initial is None
        and number >= 0
        and _is_readable_map(op, x, where, out, temperature)
    ):
        return _run_strided(op, x, None, where, out, number, temperature, keepdims)
    array = _real_array(x, "x")
    x_dtype = array.dtype.newbyteorder("=")
    result_dtype = x_dtype if dtype is None else _real_dtype(dtype, "dtype")
    row_axes = _row_axes(axis, array.ndim)
    where = _bool_mask(where, array, "x")
    compute_dtype = max(_compute_dtype(x_dtype), _compute_dtype(result_dtype), key=lambda dtype: dtype.itemsize)
    if not _temperature_is_normal(temperature, compute_dtype.itemsize == 8):
        compute_dtype = np.dtype(np.float64)
    if not _is_native_to_kernels(x_dtype, compute_dtype, indptr):
        array = _cast(array, compute_dtype)
    return _run_general(
        op, [array], row_axes, where, out, compute_dtype, result_dtype, keepdims, temperature, indptr,
        _initial_terms(initial, array, row_axes, compute_dtype),
    )


cdef object _weight_dtype(object x_dtype, object b_dtype):
    """The type of a result of elements and weights of these types: what NumPy promotes them to, floating."""
    if b_dtype.kind not in "biu":
        return _promoted_dtype(x_dtype, b_dtype)
    with_integers = np.result_type(np.float16 if _is_half(x_dtype) else x_dtype, b_dtype)
    return x_dtype if with_integers == np.float16 else with_integers


cdef object _run_weighted(
    int op, object x, object b, object axis, object where, object out, object dtype, bint keepdims,
    double temperature, object initial,
):
    """logsumexp with weights, which are 1 if b is None."""
    array = _real_array(x, "x")
    x_dtype = array.dtype.newbyteorder("=")
    if b is None or type(b) is float or type(b) is int:  # like every number of Python, it has no type of its own
        weights = np.array(1.0 if b is None else _real_number(b, "b", "a real number"))
    else:
        unmask = "pass {0}.filled(0)"
        x_dtype = _weight_dtype(x_dtype, _as_array(b, "b", unmask).dtype.newbyteorder("="))
        weights = _real_array(b, "b", unmask)
    try:
        shape = np.broadcast_shapes(array.shape, weights.shape)
    except ValueError:
        raise ValueError(
            f"b: got shape {weights.shape}, expected one that broadcasts with x's {array.shape}"
        ) from None
    result_dtype = x_dtype if dtype is None else _real_dtype(dtype, "dtype")
    row_axes = _row_axes(axis, len(shape))
    compute_dtype = max(_compute_dtype(x_dtype), _compute_dtype(result_dtype), key=lambda dtype: dtype.itemsize)
    if not _temperature_is_normal(temperature, compute_dtype.itemsize == 8):
        compute_dtype = np.dtype(np.float64)
    inputs = [
        np.broadcast_to(
            given if _is_native_to_kernels(given.dtype, compute_dtype, None) else _cast(given, compute_dtype), shape
        )
        for given in (array, weights)
    ]
    where = _bool_mask(where, inputs[0], "x")
    return _run_general(
        op, inputs, row_axes, where, out, compute_dtype, result_dtype, keepdims, temperature, None,
        _initial_terms(initial, inputs[0], row_axes, compute_dtype),
    )


cdef object _run_derivative(
    int op, object y, object g, str g_name, object axis, object where, object out, double temperature=1,
    object indptr=None,
):
    """The derivatives: two inputs. g, the argument of that name, is broadcast to y."""
    cdef int number = _plain_axis(axis, y)
    if indptr is None and number >= 0 and _is_readable_derivative(op, y, g, where, out, temperature):
        return _run_strided(op, y, g, where, out, number, temperature, False)
    first, second = _real_array(y, "y"), _real_array(g, g_name)
    result_dtype = _promoted_dtype(first.dtype, second.dtype)
    compute_dtype = _compute_dtype(result_dtype)
    if not _temperature_is_normal(temperature, compute_dtype.itemsize == 8):
        compute_dtype = np.dtype(np.float64)
    where = _bool_mask(where, first, "y")
    row_axes = _row_axes(axis, first.ndim)
    if second.shape != first.shape:
        try:
            second = np.broadcast_to(second, first.shape)
        except ValueError:
            raise ValueError(
                f"{g_name}: got shape {second.shape}, expected one that broadcasts to y's {first.shape}"
            ) from None
    inputs = [
        array if _is_native_to_kernels(array.dtype, compute_dtype, indptr) else _cast(array, compute_dtype)
        for array in (first, second)
    ]
    return _run_general(op, inputs, row_axes, where, out, compute_dtype, result_dtype, False, temperature, indptr)


# The segment functions, for _ragged.py, which has checked the indptr.

def _simple_indptr(indptr, ptrdiff_t length):
    """A copy of an array of 32 or 64 bits as the C side reads it, if it cuts up an axis of that length; else None."""
    cdef cnp.ndarray copy
    if not cnp.PyArray_CheckExact(indptr) or cnp.PyArray_NDIM(indptr) != 1 or cnp.PyArray_SIZE(indptr) == 0:
        return None
    if cnp.PyArray_TYPE(indptr) != cnp.NPY_INTP and cnp.PyArray_TYPE(indptr) != cnp.NPY_INT32:
        return None
    # A copy, which nobody changes between the check and the end of the call.
    copy = cnp.PyArray_Cast(indptr, cnp.NPY_INTP)
    if smx_are_segments(
        <const ptrdiff_t *>cnp.PyArray_DATA(copy), cnp.PyArray_DIM(copy, 0) - 1, length
    ):
        return copy
    return None


cdef object _run_segment_map(int op, object x, object indptr, object out, object where, object temperature):
    cdef double divisor = _temperature(temperature)
    cdef int axis = _simple_axis(0, x)
    cdef bint fits_out = out is None or op != SMX_LOGSUMEXP
    if fits_out and _is_simple_map(x, axis, where, out, None, divisor) and _storage_of(x) == SMX_REAL:
        return _run_fast(op, x, None, where, out, 0, divisor, False, None, indptr)
    return _run_map(op, x, 0, where, out, None, False, divisor, indptr)


cdef object _run_segment_derivative(
    int op, object y, object g, str g_name, object indptr, object out, object where, object temperature
):
    cdef double divisor = _temperature(temperature)
    cdef int axis = _simple_axis(0, y)
    if _is_simple_derivative(y, g, axis, where, out, divisor) and _storage_of(y) == SMX_REAL:
        return _run_fast(op, y, g, where, out, 0, divisor, False, None, indptr)
    return _run_derivative(op, y, g, g_name, 0, where, out, divisor, indptr)


def _segment_softmax(x, indptr, out, where, temperature):
    return _run_segment_map(SMX_SOFTMAX, x, indptr, out, where, temperature)


def _segment_log_softmax(x, indptr, out, where, temperature):
    return _run_segment_map(SMX_LOG_SOFTMAX, x, indptr, out, where, temperature)


def _segment_logsumexp(x, indptr, out, where, temperature):
    return _run_segment_map(SMX_LOGSUMEXP, x, indptr, out, where, temperature)


def _segment_softmax_vjp(y, g, indptr, out, where, temperature):
    return _run_segment_derivative(SMX_SOFTMAX_VJP, y, g, "g", indptr, out, where, temperature)


def _segment_log_softmax_vjp(y, g, indptr, out, where, temperature):
    return _run_segment_derivative(SMX_LOG_SOFTMAX_VJP, y, g, "g", indptr, out, where, temperature)


def _segment_softmax_jvp(y, v, indptr, out, where, temperature):
    return _run_segment_derivative(SMX_SOFTMAX_VJP, y, v, "v", indptr, out, where, temperature)


def _segment_log_softmax_jvp(y, v, indptr, out, where, temperature):
    return _run_segment_derivative(SMX_LOG_SOFTMAX_JVP, y, v, "v", indptr, out, where, temperature)
