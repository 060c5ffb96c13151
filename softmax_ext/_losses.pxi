# Cross-entropy: the call that _loss_call.py makes for all arguments, the fast path for simple ones, and sums over rows.

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.math cimport frexp
from libc.stdint cimport int8_t
from libc.string cimport memcpy, memset

from softmax_ext._csrc cimport (
    SMX_LABEL_LOSS, SMX_LABEL_LOSS_GRAD, SMX_SMOOTH_LOSS, SMX_SMOOTH_LOSS_GRAD, SMX_TARGET_LOSS, SMX_TARGET_LOSS_GRAD,
    fegetenv, fenv_t, fesetenv, smx_all_labels_count, smx_apart, smx_apply_exponents, smx_enter_fpstate,
    smx_mean_of_losses, smx_round_to_float, smx_sum_of_products,
)

cdef extern from "numpy/arrayobject.h":
    object PyArray_Scalar(void *data, cnp.PyArray_Descr *descr, object base)

cdef enum:
    # So many rows need no new array for what each row has.
    FEW_ROWS = 64
    # The most bytes of logits that are copied before the gradient takes their place. The copy is needed again if a row
    # is out of range.
    FEW_BYTES = 256 * 1024


cdef class _OwnFloatState:
    """A context in which the thread has the floating-point state of the kernels (csrc/fpstate.h).

    What NumPy computes in it depends on no rounding mode that the caller has set, and leaves no flag behind. On x86,
    NumPy's casts to float16 raise flags by way of the C library, in the x87 unit, which the kernels never touch; so all
    of the caller's environment is put back.
    """

    cdef fenv_t before
    cdef object errors

    def __enter__(self):
        self.errors = np.errstate(all="ignore")
        self.errors.__enter__()
        fegetenv(&self.before)
        smx_enter_fpstate()
        return self

    def __exit__(self, *error):
        fesetenv(&self.before)
        self.errors.__exit__(*error)


# ---- the fast path --------------------------------------------------------------------------------------------------

cdef inline bint _is_narrower_integer(int type_number):
    """True if every number of the type is an int64."""
    return type_number in (
        cnp.NPY_INT32, cnp.NPY_INT16, cnp.NPY_INT8, cnp.NPY_UINT32, cnp.NPY_UINT16, cnp.NPY_UINT8
    )


cdef inline cnp.ndarray _simple_labels(object labels, cnp.ndarray x, int axis):
    """The labels as contiguous, native numbers of 64 bits, if they are a plain array of one for each row of x along the
    axis; else None."""
    cdef int d
    if not cnp.PyArray_CheckExact(labels):
        return None
    cdef cnp.ndarray array = <cnp.ndarray>labels
    if (
        not cnp.PyArray_IS_C_CONTIGUOUS(array)
        or not cnp.PyArray_ISBEHAVED_RO(array)
        or cnp.PyArray_NDIM(array) != cnp.PyArray_NDIM(x) - 1
    ):
        return None
    for d in range(cnp.PyArray_NDIM(array)):
        if cnp.PyArray_DIM(array, d) != cnp.PyArray_DIM(x, d if d < axis else d + 1):
            return None
    if cnp.PyArray_TYPE(array) == cnp.NPY_INT64:
        return array
    return cnp.PyArray_Cast(array, cnp.NPY_INT64) if _is_narrower_integer(cnp.PyArray_TYPE(array)) else None


cdef inline object _scalar(double value, cnp.ndarray like):
    """The value, rounded to the type of the array, which the kernels read."""
    cdef float narrow
    dtype = _native_dtype(like)
    if _storage_of(like) != SMX_REAL:
        return _cast(np.float64(value), dtype)[()]
    if cnp.PyArray_TYPE(like) == cnp.NPY_DOUBLE:
        return PyArray_Scalar(&value, <cnp.PyArray_Descr *>dtype, None)
    smx_round_to_float(&value, &narrow)
    return PyArray_Scalar(&narrow, <cnp.PyArray_Descr *>dtype, None)


cdef inline double _ordinary_smoothing(object smoothing):
    """The smoothing of labels, a float or an int for which all shares are in the range of float32; -1 if it is none."""
    cdef double number = -1
    if type(smoothing) is float:
        number = smoothing
    elif type(smoothing) is int and smoothing == 0:
        number = 0
    return number if number == 0 or 2.0 ** -20 <= number <= 1 - 2.0 ** -20 else -1


cdef inline double _ordinary_temperature(object temperature):
    """The temperature, a float or an int for which gradients stay in the range of float32; 0 if it is none."""
    cdef double number = 0
    if type(temperature) is float:
        number = temperature
    elif type(temperature) is int and 0 < temperature < 1 << 17:
        number = <double><long>temperature
    return number if 2.0 ** -16 <= number <= 2.0 ** 16 else 0


cdef void _set_logits(smx_plan *plan, cnp.ndarray x, cnp.ndarray gradient, int axis, bint is_simple):
    """The shape of the logits, where they are, and where the gradient goes; gradient may be None.

    Rows of simple arrays are one axis, so that the C side has nothing to merge.
    """
    cdef ptrdiff_t classes = cnp.PyArray_DIM(x, axis), itemsize = cnp.PyArray_ITEMSIZE(x)
    cdef smx_storage storage = <smx_storage>_storage_of(x)
    cdef uint64_t row_axes = (<uint64_t>1) << axis
    if is_simple:
        plan.inner_dims = plan.outer_dims = 1
        plan.inner_shape[0] = classes
        plan.outer_shape[0] = cnp.PyArray_SIZE(x) // classes
        _set_simple_operand(&plan.input[0], x, plan.outer_shape[0], classes, 1, itemsize, storage)
        if gradient is not None:
            _set_simple_operand(&plan.out, gradient, plan.outer_shape[0], classes, 1, itemsize, storage)
        return
    _set_shape(plan, x, row_axes)
    _set_operand(&plan.input[0], x, row_axes, True)
    if gradient is not None:
        _set_operand(&plan.out, gradient, row_axes, True)


cdef void _set_numbers_of_rows(smx_plan *plan, smx_operand *operand, void *numbers, ptrdiff_t size):
    """Numbers of so many bytes, one for each row, contiguous; if size is 0, one for all rows."""
    cdef int d
    operand.data = <char *>numbers
    operand.storage = SMX_REAL
    operand.swapped = 0
    for d in range(plan.outer_dims - 1, -1, -1):
        operand.outer[d] = size
        size *= plan.outer_shape[d]


def _simple_losses(
    x, labels, axis, reduction, weight, ignore_index, label_smoothing, where, temperature, sample_weight, out,
    bint with_gradient
):
    """The loss and the gradient (or None) of readable logits; None if another argument, or a label, is not simple."""
    cdef smx_plan plan
    cdef ptrdiff_t rows, classes, ignored = -1
    cdef int overflow = 0, number = _plain_axis(axis, x)
    cdef bint is_double, is_simple, each = False, is_mean = False
    cdef double divided_by = _ordinary_temperature(temperature), smoothing = _ordinary_smoothing(label_smoothing)
    cdef bytes logits = None
    cdef int8_t few_exponents[FEW_ROWS]
    cdef double few_losses[FEW_ROWS]
    cdef int8_t *exponents = few_exponents
    cdef void *losses = few_losses
    cdef cnp.npy_intp count
    if weight is not None or where is not None or sample_weight is not None:
        return None
    if smoothing < 0 or divided_by == 0:
        return None
    if number < 0 or axis is None or not _is_readable(x):
        return None
    given = labels
    labels = _simple_labels(given, <cnp.ndarray>x, number)
    if labels is None:
        return None
    if type(reduction) is not str:
        return None
    if reduction == "mean":
        is_mean = True
    elif reduction == "none":
        each = True
    elif reduction != "sum":
        return None
    if ignore_index is not None:
        if type(ignore_index) is not int:
            return None
        ignored = PyLong_AsLongAndOverflow(ignore_index, &overflow)
        if overflow != 0:
            return None
    classes = cnp.PyArray_DIM(<cnp.ndarray>x, number)
    rows = cnp.PyArray_SIZE(<cnp.ndarray>labels)
    if not smx_all_labels_count(<const int64_t *>cnp.PyArray_DATA(<cnp.ndarray>labels), rows, classes, ignored):
        return None
    is_simple = number == cnp.PyArray_NDIM(<cnp.ndarray>x) - 1 and _is_simple(x)
    if out is not None and not (
        (_is_simple_out(out, x) if is_simple else _is_apart(out, x))
        and _are_disjoint(<cnp.ndarray>out, <cnp.ndarray>given)
    ):
        return None
    if out is not None and cnp.PyArray_DATA(<cnp.ndarray>out) == cnp.PyArray_DATA(<cnp.ndarray>x):
        if cnp.PyArray_NBYTES(<cnp.ndarray>x) > FEW_BYTES:
            return None
        logits = PyBytes_FromStringAndSize(
            <char *>cnp.PyArray_DATA(<cnp.ndarray>x), cnp.PyArray_NBYTES(<cnp.ndarray>x)
        )

    is_double = cnp.PyArray_TYPE(<cnp.ndarray>x) == cnp.NPY_DOUBLE
    cdef ptrdiff_t size = 8 if is_double else 4
    cdef double keep_double = 1 - smoothing
    cdef float keep_float = <float>keep_double
    cdef int op = SMX_LABEL_LOSS_GRAD if with_gradient else SMX_LABEL_LOSS
    if smoothing > 0:
        op = SMX_SMOOTH_LOSS_GRAD if with_gradient else SMX_SMOOTH_LOSS
    _init_plan(&plan, op, is_double, divided_by)
    plan.targets.keep, plan.targets.spread, plan.targets.exponent = keep_double, smoothing / classes, 0
    plan.targets.divisor = (rows if is_mean else 1) * frexp(divided_by, &plan.targets.divisor_exponent)
    _set_no_scales(&plan)
    result = held = None
    if each or rows > FEW_ROWS:
        result = cnp.PyArray_EMPTY(
            cnp.PyArray_NDIM(<cnp.ndarray>labels), cnp.PyArray_DIMS(<cnp.ndarray>labels),
            cnp.NPY_DOUBLE if is_double else cnp.NPY_FLOAT, 0
        )
        losses = cnp.PyArray_DATA(<cnp.ndarray>result)
    if rows > FEW_ROWS:
        count = rows
        held = cnp.PyArray_ZEROS(1, &count, cnp.NPY_INT8, 0)
        exponents = <int8_t *>cnp.PyArray_DATA(<cnp.ndarray>held)
    else:
        memset(exponents, 0, rows)
    if with_gradient and out is None:
        out = _empty_like(x, _native_dtype(x))
    _set_logits(&plan, x, out, number, is_simple)
    _set_numbers_of_rows(&plan, &plan.label, cnp.PyArray_DATA(<cnp.ndarray>labels), 8)
    _set_numbers_of_rows(&plan, &plan.factor, <void *>&keep_double if is_double else <void *>&keep_float, 0)
    if smoothing > 0:
        weights = np.ones(classes, np.float64 if is_double else np.float32)
        _set_class_operand(&plan.input[1], weights)
    _set_numbers_of_rows(&plan, &plan.row_out if with_gradient else &plan.out, losses, size)
    _set_numbers_of_rows(&plan, &plan.exponent, exponents, 1)
    _run(&plan, rows * classes)

    # The loss may be infinite only because a step on the way was: the general path looks into that.
    cdef smx_apart divisor
    divisor.number = rows if is_mean else 1
    divisor.exponent = 0
    cdef double total = smx_mean_of_losses(losses, is_double, exponents, rows, divisor)
    if total > 1.7976931348623157e308:
        if logits is not None:
            memcpy(cnp.PyArray_DATA(<cnp.ndarray>x), PyBytes_AS_STRING(logits), len(logits))
        return None
    if each:
        smx_apply_exponents(losses, is_double, exponents, rows)
        result = _cast(result, _native_dtype(x))
        return result if cnp.PyArray_NDIM(<cnp.ndarray>result) > 0 else result[()], out
    return _scalar(total, <cnp.ndarray>x), out


# ---- the general path -----------------------------------------------------------------------------------------------

cdef void _set_targets(smx_plan *plan, tuple targets):
    plan.targets.keep, plan.targets.spread, plan.targets.divisor = targets[0], targets[1], targets[2]
    plan.targets.exponent, plan.targets.divisor_exponent = targets[3], targets[4]
    _set_no_scales(plan)


cdef inline void _set_no_scales(smx_plan *plan) noexcept nogil:
    plan.scale.data = plan.spread.data = NULL
    memset(plan.scale.outer, 0, sizeof(plan.scale.outer))
    memset(plan.spread.outer, 0, sizeof(plan.spread.outer))


def _row_losses(
    x, dtype, int axis, weight, q, label, factor, scale, spread, where, targets, double temperature, gradient
):
    """Return the cross-entropy of each row along the axis, as numbers and exponents, and fill in the gradient.

    This is for _loss_call.py, whose arguments have been checked.

    x : not empty, of a type that the kernels of dtype read, in any byte order.
    dtype : float32 or float64, the type of the arithmetic, of the losses, and of all numbers whose type is not named.
    weight : of each class, contiguous, or None.
    q : probabilities, of x's shape and a type that the kernels read, in any byte order, or None.
    label, factor : label is an int64 for each row, with x's shape without the axis, and factor its target, of label's
        shape. Both are None if q is given.
    scale, spread : of the rows' shape, or None (csrc/kernel.h).
    where : a mask that broadcasts to x, or None.
    targets : the numbers of smx_targets in csrc/kernel.h.
    gradient : an array of x's shape and of a type that the kernels write, which overlaps no other, except that it may
        be x; or None.
    """
    cdef smx_plan plan
    cdef int op
    cdef cnp.ndarray losses, exponents
    shape = x.shape[:axis] + x.shape[axis + 1:]
    losses, exponents = np.empty(shape, dtype), np.zeros(shape, np.int8)
    if label is None:
        op = SMX_TARGET_LOSS if gradient is None else SMX_TARGET_LOSS_GRAD
    elif weight is None:
        op = SMX_LABEL_LOSS if gradient is None else SMX_LABEL_LOSS_GRAD
    else:
        op = SMX_SMOOTH_LOSS if gradient is None else SMX_SMOOTH_LOSS_GRAD
    _init_plan(&plan, op, dtype.itemsize == 8, temperature)
    _set_targets(&plan, targets)
    cdef uint64_t row_axes = (<uint64_t>1) << axis
    _set_shape(&plan, x, row_axes)
    _set_operand(&plan.input[0], x, row_axes, True)
    if weight is not None:
        _set_class_operand(&plan.input[1], weight)
    if q is not None:
        _set_operand(&plan.input[2], q, row_axes, True)
    if label is not None:
        _set_row_operand(&plan.label, label)
        _set_row_operand(&plan.factor, factor)
    if scale is not None:
        _set_row_operand(&plan.scale, scale)
    if spread is not None:
        _set_row_operand(&plan.spread, spread)
    if where is not None:
        _set_mask(&plan.mask, where, x, row_axes)
    _set_row_operand(&plan.exponent, exponents)
    if gradient is None:
        _set_row_operand(&plan.out, losses)
    else:
        _set_operand(&plan.out, gradient, row_axes, True)
        _set_row_operand(&plan.row_out, losses)
    _run(&plan, x.size)
    return losses, exponents


def _sum_of_weights(cnp.ndarray a, cnp.ndarray b=None):
    """The sum of the products of float64, contiguous, that are not negative: a number and its exponent."""
    cdef const double *factors = NULL
    if b is not None:
        factors = <const double *>cnp.PyArray_DATA(b)
    cdef smx_apart total = smx_sum_of_products(
        <const double *>cnp.PyArray_DATA(a), factors, cnp.PyArray_SIZE(a)
    )
    return total.number, total.exponent


def _mean_of_losses(cnp.ndarray losses, cnp.ndarray exponents, double divisor, int divisor_exponent):
    """The sum of the losses over the divisor, in float64."""
    cdef smx_apart by
    by.number, by.exponent = divisor, divisor_exponent
    return smx_mean_of_losses(
        cnp.PyArray_DATA(losses), cnp.PyArray_TYPE(losses) == cnp.NPY_DOUBLE,
        <const int8_t *>cnp.PyArray_DATA(exponents), cnp.PyArray_SIZE(losses), by
    )


def _apply_exponents(cnp.ndarray losses, cnp.ndarray exponents):
    """Multiply each loss by its power of two, in place."""
    smx_apply_exponents(
        cnp.PyArray_DATA(losses), cnp.PyArray_TYPE(losses) == cnp.NPY_DOUBLE,
        <const int8_t *>cnp.PyArray_DATA(exponents), cnp.PyArray_SIZE(losses)
    )
