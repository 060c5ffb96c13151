# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, freethreading_compatible=True
"""The compiled face: arguments -> a plan (csrc/plan.h) -> one call into C (csrc/driver.c).

A plain array (contiguous, native, of a type that the kernels read, along one axis, with a mask only along the last)
takes the short way through `_plain`, everything else the long one, through `_compute`. No element is looked at here:
that is for the C side.
"""

import operator
import os

from cpython.long cimport PyLong_AsLongAndOverflow
from cpython.pycapsule cimport PyCapsule_New
from libc.stddef cimport ptrdiff_t
from libc.string cimport memset, strcpy
cimport numpy as cnp

import numpy as np

from softmax_ext._buffers import default_buffer_limit
from softmax_ext._threads import default_threads

cnp.import_array()


cdef extern from "build.h":
    const char *SMX_COMPILER
    const char *SMX_OPENMP_RUNTIME

cdef extern from "plan.h":
    enum:
        SMX_MAX_DIMS
        SMX_DONE
        SMX_SOFTMAX
        SMX_LOG_SOFTMAX
        SMX_LOGSUMEXP
        SMX_SOFTMAX_VJP
        SMX_LOG_SOFTMAX_VJP
        SMX_LOG_SOFTMAX_JVP
        SMX_LABEL_LOSS
        SMX_LABEL_LOSS_GRAD
        SMX_SMOOTH_LOSS
        SMX_SMOOTH_LOSS_GRAD
        SMX_TARGET_LOSS
        SMX_TARGET_LOSS_GRAD

    enum smx_op:
        pass

    enum smx_storage:
        SMX_REAL
        SMX_FLOAT16
        SMX_BFLOAT16

    ctypedef struct smx_kernels:
        pass

    ctypedef struct smx_operand:
        char *data
        smx_storage storage
        int swapped
        ptrdiff_t outer[64]
        ptrdiff_t inner[64]

    ctypedef struct smx_mask:
        const char *data
        int outer_dims
        int inner_dims
        ptrdiff_t outer_shape[64]
        ptrdiff_t inner_shape[64]
        ptrdiff_t outer[64]
        ptrdiff_t inner[64]
    ctypedef struct smx_targets:
        double keep
        double spread
        double divisor

    ctypedef struct smx_plan:
        smx_op op
        const smx_kernels *kernels
        int threads
        double temperature
        int outer_dims
        int inner_dims
        ptrdiff_t outer_shape[64]
        ptrdiff_t inner_shape[64]
        smx_operand input "in" [3]
        smx_operand out
        smx_mask mask
        const ptrdiff_t *indptr
        ptrdiff_t segments
        smx_operand row_out
        smx_operand label
        smx_operand factor
        smx_targets targets

    void smx_run_begin(size_t last_cache)
    int smx_run(smx_plan *plan) nogil

cdef extern from "cpu.h":
    ctypedef struct smx_level:
        const char *name
        const smx_kernels *f32
        const smx_kernels *f64
        int has_fma

    const smx_level *smx_levels(int *count)
    size_t smx_last_cache()

cdef extern from "buffers.h":
    enum:
        SMX_BUFFER_LEAST

    void smx_buffers_begin()
    void smx_set_buffer_limit(size_t size)
    size_t smx_get_buffer_limit()
    size_t smx_get_buffers_held()
    void *smx_buffer_take(size_t size) noexcept nogil
    void *smx_buffer_resize(void *buffer, size_t size) noexcept nogil
    void smx_buffer_release(void *buffer) noexcept nogil

cdef extern from "numpy/arrayobject.h":
    ctypedef struct PyDataMemAllocator:
        void *ctx
        void *(*malloc)(void *context, size_t size) noexcept nogil
        void *(*calloc)(void *context, size_t count, size_t size) noexcept nogil
        void *(*realloc)(void *context, void *memory, size_t size) noexcept nogil
        void (*free)(void *context, void *memory, size_t size) noexcept nogil

    ctypedef struct PyDataMem_Handler:
        char name[127]
        unsigned char version
        PyDataMemAllocator allocator

    object PyDataMem_SetHandler(object handler)

cdef extern from "threads.h":
    void smx_threads_begin(int limit)
    void smx_set_threads(int limit)
    int smx_get_threads()
    void smx_keep_threads_awake(int always)
    int smx_openmp_version()


# ---- levels and threads ---------------------------------------------------------------------------------------------

# Set at import (and by the tests, between calls); read by every call.
cdef const smx_level *_level = NULL

# Elements below which letting the GIL go costs more than another thread could gain.
cdef enum:
    WORTH_LETTING_GO = 4096


def _isa_available():
    """The names of the levels that this machine can run, from the plainest to the best."""
    cdef int count
    cdef const smx_level *levels = smx_levels(&count)
    return [levels[i].name.decode() for i in range(count)]


def _set_isa(name):
    """Use the level of that name in later calls; for tests. Returns the name of the one used so far."""
    global _level
    cdef int count
    cdef const smx_level *levels = smx_levels(&count)
    before = _level.name.decode() if _level != NULL else None
    for i in range(count):
        if levels[i].name.decode() == name:
            _level = &levels[i]
            return before
    raise ValueError(f"name: got {name!r}, expected one of {', '.join(_isa_available())}")


def _has_fma():
    """Whether the level in use has an instruction for fused multiply-adds."""
    return bool(_level.has_fma)


def _keep_threads_awake(always):
    """For tests: a call that comes alone uses threads like any other."""
    smx_keep_threads_awake(always)


def _build_info():
    """What `show_config` reports of this module."""
    runtime = SMX_OPENMP_RUNTIME.decode()
    return {
        "isa": _level.name.decode(),
        "isa_available": _isa_available(),
        "compiler": SMX_COMPILER.decode(),
        "openmp": f"{runtime} ({smx_openmp_version()})" if runtime else None,
        "threads": smx_get_threads(),
        "buffer_limit": smx_get_buffer_limit(),
    }


def set_num_threads(n):
    """Set the number of threads that later calls may use.

    Small work stays on one thread whatever the number. Without OpenMP, inside another OpenMP region, and in a process
    made by ``fork``, every call runs on one.

    Parameters
    ----------
    n : int
        A positive number. It may exceed the number of CPUs.

    Raises
    ------
    TypeError
        If `n` is not an integer.
    ValueError
        If `n` is less than 1.

    Examples
    --------
    >>> import softmax_ext
    >>> before = softmax_ext.get_num_threads()
    >>> softmax_ext.set_num_threads(1)
    >>> softmax_ext.get_num_threads()
    1
    >>> softmax_ext.set_num_threads(before)
    """
    number = _integer(n, "n")
    if not 1 <= number <= 1 << 16:
        raise ValueError(f"n: got {number}, expected a number of threads from 1 to {1 << 16}")
    smx_set_threads(number)


def get_num_threads():
    """The number of threads that a call made now may use.

    Returns
    -------
    int
        What `set_num_threads` or the start set (``SOFTMAX_EXT_NUM_THREADS``, else ``OMP_NUM_THREADS``, else the CPUs
        that this process may use), or less where the OpenMP runtime has been limited, as by threadpoolctl; 1 where
        every call is serial.

    Examples
    --------
    >>> import softmax_ext
    >>> softmax_ext.get_num_threads() >= 1
    True
    """
    return smx_get_threads()


# ---- memory of results ----------------------------------------------------------------------------------------------

def set_buffer_limit(n):
    """Set how much memory of released results is kept for later ones.

    A fresh large array costs more than the softmax that fills it: the system has to find, clear and map its pages. So
    the memory of a result of 1 MiB or more is not given back to the system at once when the array is released; the next
    result of about that size is put there. What is kept is never more than this limit; arrays in use do not count.

    Parameters
    ----------
    n : int
        Bytes. 0 keeps nothing. What is kept beyond a new limit is given back at once. At the start:
        ``SOFTMAX_EXT_BUFFER_LIMIT``, else 128 MiB.

    Raises
    ------
    TypeError
        If `n` is not an integer.
    ValueError
        If `n` is negative.

    See Also
    --------
    get_buffer_limit

    Examples
    --------
    >>> import softmax_ext
    >>> before = softmax_ext.get_buffer_limit()
    >>> softmax_ext.set_buffer_limit(0)
    >>> softmax_ext.set_buffer_limit(before)
    """
    number = _integer(n, "n")
    if not 0 <= number <= MOST_BYTES:
        raise ValueError(f"n: got {number}, expected a number of bytes from 0 to {MOST_BYTES}")
    smx_set_buffer_limit(number)


def get_buffer_limit():
    """How much memory of released results is kept at most.

    Returns
    -------
    int
        Bytes, as `set_buffer_limit` or the start set it.

    Examples
    --------
    >>> import softmax_ext
    >>> softmax_ext.get_buffer_limit() >= 0
    True
    """
    return smx_get_buffer_limit()


def _buffers_held():
    """Bytes kept now; for tests."""
    return smx_get_buffers_held()


MOST_BYTES = 2 ** 63 - 1

# NumPy asks these for the memory of an array that is made while they are set (NEP 49), and keeps them with it.
cdef void *_malloc(void *context, size_t size) noexcept nogil:
    return smx_buffer_take(size)


cdef void *_calloc(void *context, size_t count, size_t size) noexcept nogil:
    if size > 0 and count > <size_t>-1 // size:
        return NULL
    cdef void *memory = smx_buffer_take(count * size)
    if memory != NULL:
        memset(memory, 0, count * size)
    return memory


cdef void *_realloc(void *context, void *memory, size_t size) noexcept nogil:
    return smx_buffer_resize(memory, size)


cdef void _free(void *context, void *memory, size_t size) noexcept nogil:
    smx_buffer_release(memory)


cdef PyDataMem_Handler _handler
strcpy(_handler.name, "softmax_ext")
_handler.version = 1
_handler.allocator.ctx = NULL
_handler.allocator.malloc = &_malloc
_handler.allocator.calloc = &_calloc
_handler.allocator.realloc = &_realloc
_handler.allocator.free = &_free
cdef object _recycling = PyCapsule_New(&_handler, "mem_handler", NULL)


cdef object _new_like(object x, object dtype):
    """A new array of x's shape and layout; a large one in memory that may have been another's."""
    cdef bint is_large = x.size * (x.itemsize if dtype is None else dtype.itemsize) >= SMX_BUFFER_LEAST
    before = PyDataMem_SetHandler(_recycling) if is_large and smx_get_buffer_limit() > 0 else None
    try:
        return np.empty_like(x, dtype=dtype, subok=False)
    finally:
        if before is not None:
            PyDataMem_SetHandler(before)


def _begin():
    asked = os.environ.get("SOFTMAX_EXT_ISA", "").strip()
    available = _isa_available()
    if asked and asked not in available:
        raise ImportError(f"SOFTMAX_EXT_ISA: this machine has {', '.join(available)}; got {asked!r}")
    _set_isa(asked or available[len(available) - 1])
    smx_run_begin(smx_last_cache())
    smx_threads_begin(default_threads())
    smx_buffers_begin()
    smx_set_buffer_limit(default_buffer_limit())


_begin()


# ---- types and masks, as the kernels read them ----------------------------------------------------------------------

# The type number of ml_dtypes.bfloat16, from the first array of it on: that package need not be there, and is never
# imported.
cdef int _bfloat16_number = -1


cdef bint _is_bfloat16(object dtype):
    global _bfloat16_number
    if dtype.name != "bfloat16" or dtype.itemsize != 2:
        return False
    _bfloat16_number = dtype.num
    return True


cdef inline int _storage(cnp.ndarray array):
    """How the kernels read and write the array; -1 if they do not."""
    cdef int kind = cnp.PyArray_TYPE(array)
    if kind == cnp.NPY_FLOAT or kind == cnp.NPY_DOUBLE:
        return SMX_REAL
    if kind == cnp.NPY_FLOAT16:
        return SMX_FLOAT16
    if kind == _bfloat16_number or (cnp.PyTypeNum_ISUSERDEF(kind) and _is_bfloat16(array.dtype)):
        return SMX_BFLOAT16
    return -1


cdef inline void _open_plan(smx_plan *plan, int op, bint is_double, double temperature):
    """A plan of that operation, as yet without arrays, without a mask and without segments."""
    plan.op = <smx_op>op
    plan.kernels = _level.f64 if is_double else _level.f32
    plan.temperature = temperature
    plan.mask.data = NULL
    plan.indptr = NULL


cdef inline bint _broadcasts(cnp.ndarray where, cnp.ndarray x):
    cdef int d, missing = cnp.PyArray_NDIM(x) - cnp.PyArray_NDIM(where)
    if missing < 0:
        return False
    for d in range(cnp.PyArray_NDIM(where)):
        if cnp.PyArray_DIM(where, d) != 1 and cnp.PyArray_DIM(where, d) != cnp.PyArray_DIM(x, d + missing):
            return False
    return True


cdef void _fill_mask(smx_mask *mask, cnp.ndarray where, cnp.ndarray x, object inner):
    """where, broadcast to x without a copy; rows run along the inner axes, None for the last."""
    cdef int d, ndim = cnp.PyArray_NDIM(x), missing = ndim - cnp.PyArray_NDIM(where)
    cdef ptrdiff_t stride
    mask.data = <char *>cnp.PyArray_DATA(where)
    mask.outer_dims = mask.inner_dims = 0
    for d in range(ndim):
        stride = 0
        if d >= missing and cnp.PyArray_DIM(where, d - missing) > 1:
            stride = cnp.PyArray_STRIDE(where, d - missing)
        if d == ndim - 1 if inner is None else d in inner:
            mask.inner_shape[mask.inner_dims] = cnp.PyArray_DIM(x, d)
            mask.inner[mask.inner_dims] = stride
            mask.inner_dims += 1
        else:
            mask.outer_shape[mask.outer_dims] = cnp.PyArray_DIM(x, d)
            mask.outer[mask.outer_dims] = stride
            mask.outer_dims += 1


# ---- the short way --------------------------------------------------------------------------------------------------

cdef int _run(smx_plan *plan, ptrdiff_t elements) except -1:
    cdef int status
    if elements < WORTH_LETTING_GO:
        plan.threads = 1
        status = smx_run(plan)
    else:
        plan.threads = smx_get_threads()
        with nogil:
            status = smx_run(plan)
    if status != SMX_DONE:
        raise MemoryError("softmax_ext: no memory for the working blocks")
    return 0


cdef inline bint _is_plain(object x):
    """Whether x is an array that the kernels take as it is, its rows along any one axis."""
    if not cnp.PyArray_CheckExact(x):
        return False
    cdef cnp.ndarray array = <cnp.ndarray>x
    cdef int kind = cnp.PyArray_TYPE(array)
    return (
        (kind == cnp.NPY_FLOAT or kind == cnp.NPY_DOUBLE or _storage(array) > 0)
        and cnp.PyArray_IS_C_CONTIGUOUS(array)
        and cnp.PyArray_ISBEHAVED_RO(array)
        and cnp.PyArray_NDIM(array) > 0
        and cnp.PyArray_SIZE(array) > 0
    )


cdef inline bint _are_apart_or_same(cnp.ndarray a, cnp.ndarray b):
    """Of contiguous arrays of one size: whether they share no byte, or every one."""
    cdef ptrdiff_t distance = <char *>cnp.PyArray_DATA(a) - <char *>cnp.PyArray_DATA(b)
    cdef ptrdiff_t size = cnp.PyArray_NBYTES(a)
    return distance == 0 or distance >= size or -distance >= size


cdef inline bint _takes_plain(object out, object x):
    """Whether out is None, or an array that results on a plain x can be written straight into."""
    return out is None or (
        _is_plain(out)
        and cnp.PyArray_ISWRITEABLE(<cnp.ndarray>out)
        and cnp.PyArray_TYPE(<cnp.ndarray>out) == cnp.PyArray_TYPE(<cnp.ndarray>x)
        and cnp.PyArray_SAMESHAPE(<cnp.ndarray>out, <cnp.ndarray>x)
        and _are_apart_or_same(<cnp.ndarray>out, <cnp.ndarray>x)
    )


cdef inline bint _are_apart(cnp.ndarray contiguous, cnp.ndarray other):
    """Whether no byte of one lies between the first and the last of the other."""
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


cdef inline bint _masks_plain(object where, object x, object out, int axis):
    """Whether where is None, or a mask of the last axis' rows that can be read as it is while out is written."""
    return where is None or (
        axis == cnp.PyArray_NDIM(<cnp.ndarray>x) - 1
        and cnp.PyArray_CheckExact(where)
        and cnp.PyArray_TYPE(<cnp.ndarray>where) == cnp.NPY_BOOL
        and _broadcasts(<cnp.ndarray>where, <cnp.ndarray>x)
        and (out is None or _are_apart(<cnp.ndarray>out, <cnp.ndarray>where))
    )


cdef inline int _plain_axis(object axis, object x):
    """The axis of a plain x, counted from 0; -1 if one of them is to be looked at more closely."""
    cdef int ndim, overflow = 0
    cdef long number
    if type(axis) is not int or not _is_plain(x):
        return -1
    ndim = cnp.PyArray_NDIM(<cnp.ndarray>x)
    if axis == -1:  # the default, without a call
        return ndim - 1
    number = PyLong_AsLongAndOverflow(axis, &overflow)
    if overflow != 0 or not -ndim <= number < ndim:
        return -1
    return <int>(number if number >= 0 else number + ndim)


cdef inline void _plain_operand(
    smx_operand *operand, cnp.ndarray array, ptrdiff_t rows, ptrdiff_t n, ptrdiff_t beside, ptrdiff_t size,
    smx_storage storage
):
    operand.data = <char *>cnp.PyArray_DATA(array)
    operand.storage = storage
    operand.swapped = 0
    operand.outer[0] = n * beside * size if rows > 1 else size
    operand.outer[1] = size
    operand.inner[0] = beside * size


cdef object _plain(
    int op, cnp.ndarray x, cnp.ndarray g, cnp.ndarray where, cnp.ndarray out, int axis, double temperature=1
):
    """The operation on contiguous arrays; g is the second input or None. logsumexp's result lacks the axis."""
    cdef smx_plan plan
    cdef int d, ndim = cnp.PyArray_NDIM(x), kind = cnp.PyArray_TYPE(x)
    cdef cnp.npy_intp shape[SMX_MAX_DIMS]
    cdef ptrdiff_t elements = cnp.PyArray_SIZE(x), n = cnp.PyArray_DIM(x, axis), rows = elements // n, beside = 1
    cdef ptrdiff_t size = cnp.PyArray_ITEMSIZE(x)
    cdef smx_storage storage = <smx_storage>_storage(x)
    cdef bint elementwise = op != SMX_LOGSUMEXP
    for d in range(axis + 1, ndim):
        beside *= cnp.PyArray_DIM(x, d)
    if out is None and not elementwise:
        for d in range(ndim - 1):
            shape[d] = cnp.PyArray_DIM(x, d if d < axis else d + 1)
        out = cnp.PyArray_EMPTY(ndim - 1, shape, kind, 0)
    elif out is None and elements * size >= SMX_BUFFER_LEAST:
        out = _new_like(x, None)
    elif out is None:
        out = cnp.PyArray_EMPTY(ndim, cnp.PyArray_DIMS(x), kind, 0)
    _open_plan(&plan, op, kind == cnp.NPY_DOUBLE, temperature)
    plan.inner_dims = 1
    plan.inner_shape[0] = n
    plan.outer_dims = 1
    plan.outer_shape[0] = rows
    if beside > 1:
        plan.outer_dims = 2
        plan.outer_shape[0] = rows // beside
        plan.outer_shape[1] = beside
    _plain_operand(&plan.input[0], x, rows, n, beside, size, storage)
    if g is not None:
        _plain_operand(&plan.input[1], g, rows, n, beside, size, storage)
    _plain_operand(&plan.out, out, rows, n if elementwise else 1, beside, size, storage)
    if where is not None:
        _fill_mask(&plan.mask, where, x, None)
    _run(&plan, elements)
    return out


# ---- the general way: arguments, each with an error that names it ---------------------------------------------------

cpdef object _integer(object value, str name):
    # True is an index to Python, but no one means it as a number.
    if isinstance(value, (bool, np.bool)):
        raise TypeError(f"{name}: got {value!r}, expected an integer")
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name}: got {type(value).__name__}, expected an integer") from None


_TYPES = "float16, bfloat16, float32, float64"


cpdef object _real_array(object value, str name):
    """The value as an array of a type that the kernels read, in either byte order; not copied if it is one."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(
            f"{name}: got {type(value).__name__}, expected an array without a mask: pass {name}.data, "
            f"and where=~np.ma.getmaskarray({name})"
        )
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name}: expected an array or sequences of one shape: {error}") from None
    if _storage(array) >= 0:
        return array
    if array.dtype.kind in "biu":
        return _cast(array, np.float64)
    raise TypeError(f"{name}: got {array.dtype}, expected {_TYPES}, bool or integers")


cdef double _temperature(object value) except? -1:
    cdef double number
    if type(value) is float:
        number = value
    else:
        if isinstance(value, (bool, np.bool, str, bytes)):
            raise TypeError(f"temperature: got {value!r}, expected a number")
        try:
            number = float(value)
        except TypeError:
            raise TypeError(f"temperature: got {type(value).__name__}, expected a number") from None
    if not _reduces(number, True):
        raise ValueError(f"temperature: got {value!r}, expected a positive finite number, from 2**-900 to 2**900")
    return number


cdef inline bint _reduces(double temperature, bint is_double):
    """Whether the constants of the reduction by this temperature are normal numbers of the type."""
    if is_double:
        return 2.0 ** -900 <= temperature <= 2.0 ** 900
    return 2.0 ** -90 <= temperature <= 2.0 ** 100


cdef object _cast(object array, object dtype):
    """The array as that type, without a word from NumPy on overflow, underflow or a signalling NaN."""
    with np.errstate(all="ignore"):
        return array.astype(dtype, copy=False)


cdef object _real_dtype(object value, str name):
    try:
        dtype = np.dtype(value)
    except TypeError as error:
        raise TypeError(f"{name}: got {value!r}, expected one of {_TYPES}") from error
    dtype = dtype.newbyteorder("=")
    if dtype in (np.float32, np.float64) or _is_half(dtype):
        return dtype
    raise TypeError(f"{name}: got {dtype}, expected one of {_TYPES}")


cdef bint _is_half(object dtype):
    return dtype.itemsize == 2 and (dtype.kind == "f" or _is_bfloat16(dtype))


cdef object _working(object dtype):
    """The type that numbers of that type are computed in."""
    return np.dtype(np.float32) if _is_half(dtype) else dtype.newbyteorder("=")


cdef bint _is_stored(object dtype, object working):
    """Whether kernels of the working type read and write that type."""
    return _working(dtype) == working


cdef bint _is_taken(object dtype, object working, object indptr):
    """The same; segments are taken in the working type alone."""
    return _is_stored(dtype, working) if indptr is None else dtype.newbyteorder("=") == working


cdef object _mask(object where, object x, str name):
    """where as an array of bool that broadcasts to the array of that name; None stays."""
    if where is None:
        return None
    if isinstance(where, np.ma.MaskedArray):
        raise TypeError(f"where: got {type(where).__name__}, expected an array without a mask")
    try:
        mask = np.asarray(where)
    except ValueError as error:
        raise ValueError(f"where: expected an array or sequences of one shape: {error}") from None
    if mask.dtype != np.bool:
        raise TypeError(f"where: got {mask.dtype}, expected bool")
    if not _broadcasts(mask, x):
        raise ValueError(f"where: got shape {mask.shape}, expected one that broadcasts to {name}'s {x.shape}")
    return mask


cdef object _axes(object axis, int ndim):
    """The axes that a row runs along, as a set of numbers from 0 to ndim - 1."""
    if axis is None:
        return set(range(ndim))
    # A number counts as an array of one element, as far as rows go.
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


cdef object _check_out(object out, object shape, object dtype):
    if not isinstance(out, np.ndarray) or isinstance(out, np.ma.MaskedArray):
        raise TypeError(f"out: got {type(out).__name__}, expected an array without a mask")
    if out.shape != shape:
        raise ValueError(f"out: got shape {out.shape}, expected {shape}")
    if not out.flags.writeable:
        raise ValueError("out: got a read-only array, expected a writeable one")
    if not np.can_cast(dtype, out.dtype, "same_kind"):
        raise TypeError(f"out: got {out.dtype}, expected a type that {dtype} can be cast to under 'same_kind'")


cdef bint _overlaps_itself(object out):
    """Whether two elements of out may be in the same place. May say so of a strange array where they are not."""
    reach = out.itemsize
    for stride, size in sorted((abs(stride), size) for stride, size in zip(out.strides, out.shape) if size > 1):
        if stride < reach:
            return True
        reach += stride * (size - 1)
    return False


cdef bint _is_same(object a, object b):
    return (
        a.shape == b.shape
        and a.strides == b.strides
        and a.dtype == b.dtype
        and cnp.PyArray_DATA(<cnp.ndarray>a) == cnp.PyArray_DATA(<cnp.ndarray>b)
    )


cdef bint _fits(object out, object working, list inputs, object where, bint elementwise, object indptr):
    """Whether the kernels may write straight into out."""
    if not _is_taken(out.dtype, working, indptr) or _overlaps_itself(out):
        return False
    if where is not None and np.may_share_memory(out, where):
        return False
    for array in inputs:
        if np.may_share_memory(out, array) and not (elementwise and _is_same(out, array)):
            return False
    return True


cdef void _fill_operand(smx_operand *operand, cnp.ndarray array, object inner, bint has_inner):
    cdef int d, outer_dims = 0, inner_dims = 0
    operand.data = <char *>cnp.PyArray_DATA(array)
    operand.storage = <smx_storage>_storage(array)
    operand.swapped = not cnp.PyArray_ISNOTSWAPPED(array)
    for d in range(cnp.PyArray_NDIM(array)):
        if d in inner:
            if has_inner:
                operand.inner[inner_dims] = cnp.PyArray_STRIDE(array, d)
                inner_dims += 1
        else:
            operand.outer[outer_dims] = cnp.PyArray_STRIDE(array, d)
            outer_dims += 1


cdef object _compute(
    int op, list inputs, set inner, object where, object out, object working, object result_dtype, bint keepdims,
    double temperature=1, cnp.ndarray indptr=None,
):
    """The operation on arrays of one shape; rows run along the inner axes, or are the segments of the one inner axis
    that a checked indptr tells.

    working is the type of the arithmetic, in which the inputs can be read, result_dtype that of the result, unless
    there is an out, to which it is rounded.
    """
    cdef smx_plan plan
    x = inputs[0]
    cdef bint elementwise = op != SMX_LOGSUMEXP
    cdef int d, k
    shape = x.shape
    if not elementwise:
        shape = tuple(1 if d in inner else n for d, n in enumerate(shape) if keepdims or d not in inner)
    if out is not None:
        _check_out(out, shape, working)

    stored = result_dtype if out is None else out.dtype
    if not _is_taken(stored, working, indptr):
        stored = working
    if out is not None and _fits(out, working, inputs, where, elementwise, indptr):
        target = out
    elif elementwise:
        target = _new_like(x, stored)
    else:
        target = np.empty(shape, stored)

    if x.size > 0:
        # For the plan an output of one number a row has the inner axes of the input, with strides that nobody reads.
        spread = target
        if not elementwise and not keepdims:
            spread = np.expand_dims(target, tuple(inner))
        _open_plan(&plan, op, working.itemsize == 8, temperature)
        if indptr is not None:
            plan.indptr = <const ptrdiff_t *>cnp.PyArray_DATA(indptr)
            plan.segments = cnp.PyArray_DIM(indptr, 0) - 1
        plan.outer_dims = plan.inner_dims = 0
        for d in range(x.ndim):
            if d in inner:
                plan.inner_shape[plan.inner_dims] = x.shape[d]
                plan.inner_dims += 1
            else:
                plan.outer_shape[plan.outer_dims] = x.shape[d]
                plan.outer_dims += 1
        for k, array in enumerate(inputs):
            _fill_operand(&plan.input[k], array, inner, True)
        _fill_operand(&plan.out, spread, inner, elementwise)
        if where is not None:
            _fill_mask(&plan.mask, where, x, inner)
        _run(&plan, x.size)
    elif not elementwise:
        target[...] = -np.inf

    if out is not None:
        if target is not out:
            with np.errstate(all="ignore"):
                np.copyto(out, target, casting="same_kind")
        return out
    if target.dtype != result_dtype:
        target = _cast(target, result_dtype)
    return target if target.ndim > 0 else target[()]


cdef object _of_logits(
    int op, object x, object axis, object where, object out, object dtype, bint keepdims, double temperature=1,
    object indptr=None,
):
    """softmax, log_softmax and logsumexp: one input, and a type for the result."""
    array = _real_array(x, "x")
    own = array.dtype.newbyteorder("=")
    if dtype is None:
        result_dtype = own
    else:
        result_dtype = _real_dtype(dtype, "dtype")
    inner = _axes(axis, array.ndim)
    where = _mask(where, array, "x")
    working = max(_working(own), _working(result_dtype), key=lambda dtype: dtype.itemsize)
    if not _reduces(temperature, working.itemsize == 8):
        working = np.dtype(np.float64)
    if not _is_taken(own, working, indptr):
        array = _cast(array, working)
    return _compute(op, [array], inner, where, out, working, result_dtype, keepdims, temperature, indptr)


cdef object _promoted(object first, object second):
    """The type that two promote to, as NumPy and ml_dtypes say; float32 for the two of 16 bits, of which they don't."""
    first, second = first.newbyteorder("="), second.newbyteorder("=")
    if first != second and _is_half(first) and _is_half(second):
        return np.dtype(np.float32)
    return np.result_type(first, second)


cdef object _of_gradients(
    int op, object y, object g, str name, object axis, object where, object out, object indptr=None
):
    """The derivatives: two inputs, the second (of that name) broadcast to the first."""
    first, second = _real_array(y, "y"), _real_array(g, name)
    dtype = _promoted(first.dtype, second.dtype)
    working = _working(dtype)
    where = _mask(where, first, "y")
    inner = _axes(axis, first.ndim)
    if second.shape != first.shape:
        try:
            second = np.broadcast_to(second, first.shape)
        except ValueError:
            raise ValueError(
                f"{name}: got shape {second.shape}, expected one that broadcasts to y's {first.shape}"
            ) from None
    inputs = [
        array if _is_taken(array.dtype, working, indptr) else _cast(array, working) for array in (first, second)
    ]
    return _compute(op, inputs, inner, where, out, working, dtype, False, 1, indptr)


cdef inline bint _takes_plain_pair(object y, object g, int axis, object where, object out):
    """Whether a derivative of these arguments may take the short way; axis: as _plain_axis has it, of y."""
    return (
        axis >= 0
        and _is_plain(g)
        and cnp.PyArray_TYPE(<cnp.ndarray>y) == cnp.PyArray_TYPE(<cnp.ndarray>g)
        and cnp.PyArray_SAMESHAPE(<cnp.ndarray>y, <cnp.ndarray>g)
        and _takes_plain(out, y)
        and _takes_plain(out, g)
        and _masks_plain(where, y, out, axis)
    )


def _row_axis(y, axis, name="y"):
    """Of `softmax_jacobian` and the losses: the array to be computed with, the one axis, the type of the result."""
    array = _real_array(y, name)
    number = _integer(axis, "axis")
    if not -array.ndim <= number < array.ndim:
        raise np.exceptions.AxisError(number, array.ndim, "axis")
    own = array.dtype.newbyteorder("=")
    working = _working(own)
    return array if own == working else _cast(array, working), number, own


def _segmented_axis(value, name):
    """The array of the segment functions, which has a first axis."""
    array = _real_array(value, name)
    if array.ndim == 0:
        raise ValueError(f"{name}: got a 0-d array, expected at least one dimension")
    return array


# Of the segment functions, whose indptr has been checked: see _ragged.py.

def _segment_softmax(x, indptr, out):
    return _of_logits(SMX_SOFTMAX, x, 0, None, out, None, False, 1, indptr)


def _segment_log_softmax(x, indptr, out):
    return _of_logits(SMX_LOG_SOFTMAX, x, 0, None, out, None, False, 1, indptr)


def _segment_softmax_vjp(y, g, indptr, out):
    return _of_gradients(SMX_SOFTMAX_VJP, y, g, "g", 0, None, out, indptr)


def _segment_log_softmax_vjp(y, g, indptr, out):
    return _of_gradients(SMX_LOG_SOFTMAX_VJP, y, g, "g", 0, None, out, indptr)


cdef void _fill_rows(smx_operand *operand, cnp.ndarray array):
    """An operand of one number a row; of an array of no dimension, each row has that number."""
    cdef int d, dims = cnp.PyArray_NDIM(array)
    operand.data = <char *>cnp.PyArray_DATA(array)
    operand.storage = SMX_REAL
    operand.swapped = 0
    for d in range(SMX_MAX_DIMS):
        operand.outer[d] = cnp.PyArray_STRIDE(array, d) if d < dims else 0


def _row_losses(x, int axis, weight, q, label, factor, targets, bint with_gradient):
    """Cross-entropy of each row along the axis, and its gradient or None: for `_loss.py`, which checks.

    weight (of the classes; contiguous, of x's type) and q (of x's shape and type but for its byte order), or label
    (int64) and factor (of x's type), may be None. label has x's shape without the axis, as the losses have; so has
    factor, or no dimension. targets are the three numbers of csrc/kernels.h. x is not empty.
    """
    cdef smx_plan plan
    cdef int d, op
    cdef cnp.ndarray losses
    dtype = x.dtype.newbyteorder("=")
    losses = np.empty(x.shape[:axis] + x.shape[axis + 1:], dtype)
    gradient = _new_like(x, dtype) if with_gradient else None
    if label is None:
        op = SMX_TARGET_LOSS_GRAD if with_gradient else SMX_TARGET_LOSS
    elif weight is None:
        op = SMX_LABEL_LOSS_GRAD if with_gradient else SMX_LABEL_LOSS
    else:
        op = SMX_SMOOTH_LOSS_GRAD if with_gradient else SMX_SMOOTH_LOSS
    _open_plan(&plan, op, dtype.itemsize == 8, 1)
    plan.targets.keep, plan.targets.spread, plan.targets.divisor = targets
    plan.inner_dims = 1
    plan.inner_shape[0] = x.shape[axis]
    plan.outer_dims = x.ndim - 1
    for d in range(plan.outer_dims):
        plan.outer_shape[d] = x.shape[d if d < axis else d + 1]
    inner = {axis}
    _fill_operand(&plan.input[0], x, inner, True)
    if weight is not None:
        plan.input[1].data = <char *>cnp.PyArray_DATA(<cnp.ndarray>weight)
        plan.input[1].storage = SMX_REAL
        plan.input[1].swapped = 0
        plan.input[1].inner[0] = dtype.itemsize
        for d in range(plan.outer_dims):
            plan.input[1].outer[d] = 0
    if q is not None:
        _fill_operand(&plan.input[2], q, inner, True)
    if label is not None:
        _fill_rows(&plan.label, label)
        _fill_rows(&plan.factor, factor)
    if with_gradient:
        _fill_operand(&plan.out, gradient, inner, True)
        _fill_rows(&plan.row_out, losses)
    else:
        _fill_rows(&plan.out, losses)
    _run(&plan, x.size)
    return losses, gradient


# ---- the functions --------------------------------------------------------------------------------------------------

def softmax(x, axis=-1, *, out=None, dtype=None, where=None, temperature=1.0):
    r"""Softmax along an axis: exponentials that sum to 1.

    .. math:: y_i = \frac{\exp(x_i / T)}{\sum_j \exp(x_j / T)}

    Parameters
    ----------
    x : array_like, any shape
        Real numbers, such as logits. float32 and float64 are computed in their own type; float16 and
        `ml_dtypes.bfloat16` in float32, and the result is rounded to them once; bool and integers become float64. Any
        strides, byte order and alignment are read in place. A masked array is refused: pass its data and its mask, as
        `where`.
    axis : int, tuple of ints or None, default -1
        The axis or axes along which the result sums to 1; None for the whole array.
    out : ndarray, optional
        Where to put the result, of `x`'s shape. It may be `x` itself, or overlap it. The result is cast to its type
        under the rule "same_kind".
    dtype : dtype, optional
        Type of the result, float16, bfloat16, float32 or float64; the arithmetic is done in float64 if this or `x` is
        of that type, else in float32. Default: `x`'s own type, float64 for bool and integers.
    where : array_like of bool, optional
        Which elements take part; broadcasts to `x`'s shape, without being copied. Hidden elements are never looked at,
        be they NaN, and their results are 0: all results of a row in which nothing is left. The visible elements have
        the bits that they would have if the hidden ones were -inf.
    temperature : float, default 1.0
        T: what `x` is divided by; the quotient is never rounded, so that the result is as accurate as without. Below 1
        it sharpens the distribution, above 1 it flattens it. From 2**-900 to 2**900; at extremes (below 2**-90 or above
        2**100) the arithmetic is done in float64.

    Returns
    -------
    ndarray
        Of `x`'s shape, each element within 2 ULP of the true value (of float16 and bfloat16, that value rounded); `out`
        if that was given. A row that holds a NaN or +inf, or nothing but -inf, is all NaN; -inf beside finite numbers
        gives 0. No warning is raised.

    Raises
    ------
    TypeError
        If `x` is complex, of extended precision, or no array of real numbers; if `dtype` is another type than those
        named; if `out` is no array, or of a type that the result can't be cast to; if `axis` holds no integer; if
        `where` is not of type bool; if `temperature` is no number.
    ValueError
        If `out` is read-only or of the wrong shape, an axis is repeated, `where` does not broadcast to `x`, or
        `temperature` is not a positive finite number.
    numpy.exceptions.AxisError
        If `x` lacks the axis.

    See Also
    --------
    log_softmax : Its logarithm, without the loss of a separate log.
    softmax_vjp : Its derivative.

    Notes
    -----
    Gibbs' distribution (1902); the name and its use in neural networks are Bridle's (1990). The same row gives the same
    bits in any array, layout, number of threads and on any machine with a fused multiply-add.

    Examples
    --------
    >>> import numpy as np
    >>> from softmax_ext import softmax
    >>> softmax(np.array([[0.0, np.log(3.0)], [1000.0, 1000.0]]))
    array([[0.25, 0.75],
           [0.5 , 0.5 ]])
    >>> softmax([[0.0, np.nan], [5.0, 5.0]], where=[[True, False], [True, True]])
    array([[1. , 0. ],
           [0.5, 0.5]])
    """
    cdef double divisor = _temperature(temperature)
    cdef int along = _plain_axis(axis, x)
    if (
        dtype is None
        and along >= 0
        and _takes_plain(out, x)
        and _masks_plain(where, x, out, along)
        and _reduces(divisor, cnp.PyArray_TYPE(<cnp.ndarray>x) == cnp.NPY_DOUBLE)
    ):
        return _plain(SMX_SOFTMAX, x, None, where, out, along, divisor)
    return _of_logits(SMX_SOFTMAX, x, axis, where, out, dtype, False, divisor)


def log_softmax(x, axis=-1, *, out=None, dtype=None, where=None, temperature=1.0):
    r"""Logarithm of the softmax along an axis, accurate at every element.

    .. math:: y_i = x_i / T - \log \sum_j \exp(x_j / T)

    Parameters
    ----------
    x : array_like, any shape
        Real numbers, as for `softmax`.
    axis : int, tuple of ints or None, default -1
        The axis or axes along which the exponentials of the result sum to 1; None for the whole array.
    out : ndarray, optional
        Where to put the result, as for `softmax`.
    dtype : dtype, optional
        Type of the result, as for `softmax`.
    where : array_like of bool, optional
        Which elements take part, as for `softmax`; the results of hidden elements are -inf.
    temperature : float, default 1.0
        T, as for `softmax`.

    Returns
    -------
    ndarray
        Of `x`'s shape, each element within 2 ULP of the true value, also where it is close to 0; `out` if that was
        given. A row that holds a NaN or +inf, or nothing but -inf, is all NaN; -inf beside finite numbers gives -inf.

    Raises
    ------
    TypeError, ValueError, numpy.exceptions.AxisError
        As `softmax` does.

    See Also
    --------
    softmax, logsumexp
    log_softmax_vjp : Its derivative.

    Notes
    -----
    At the maximum the result is -log1p(the sum of the others, relative to it), which is how it is computed: a sum that
    held the maximum's 1 would have lost the others.

    Examples
    --------
    >>> import numpy as np
    >>> from softmax_ext import log_softmax
    >>> log_softmax(np.array([0.0, -50.0]))
    array([-1.92874985e-22, -5.00000000e+01])
    """
    cdef double divisor = _temperature(temperature)
    cdef int along = _plain_axis(axis, x)
    if (
        dtype is None
        and along >= 0
        and _takes_plain(out, x)
        and _masks_plain(where, x, out, along)
        and _reduces(divisor, cnp.PyArray_TYPE(<cnp.ndarray>x) == cnp.NPY_DOUBLE)
    ):
        return _plain(SMX_LOG_SOFTMAX, x, None, where, out, along, divisor)
    return _of_logits(SMX_LOG_SOFTMAX, x, axis, where, out, dtype, False, divisor)


def logsumexp(x, axis=-1, *, keepdims=False, out=None, dtype=None, where=None):
    r"""Logarithm of the sum of exponentials along an axis.

    .. math:: \log \sum_j \exp(x_j)

    Parameters
    ----------
    x : array_like, any shape
        Real numbers, as for `softmax`.
    axis : int, tuple of ints or None, default -1
        The axis or axes that are summed over; None for the whole array.
    keepdims : bool, default False
        Whether the axes summed over stay, with length 1.
    out : ndarray, optional
        Where to put the result, of its shape.
    dtype : dtype, optional
        Type of the result, as for `softmax`.
    where : array_like of bool, optional
        Which elements take part, as for `softmax`.

    Returns
    -------
    ndarray or scalar
        Within 2 ULP of the larger of the result and the largest |x|; `out` if that was given. NaN if there is a NaN,
        else +inf if there is +inf, and -inf if nothing is there, or left by `where`, or nothing but -inf.

    Raises
    ------
    TypeError, ValueError, numpy.exceptions.AxisError
        As `softmax` does.

    Examples
    --------
    >>> import numpy as np
    >>> from softmax_ext import logsumexp
    >>> logsumexp(np.array([[1000.0, 1000.0], [0.0, -np.inf]]))
    array([1000.69314718,    0.        ])
    """
    cdef int along = _plain_axis(axis, x)
    if (
        not keepdims
        and out is None
        and dtype is None
        and along >= 0
        and x.ndim > 1
        and _masks_plain(where, x, None, along)
    ):
        return _plain(SMX_LOGSUMEXP, x, None, where, None, along)
    return _of_logits(SMX_LOGSUMEXP, x, axis, where, out, dtype, bool(keepdims))


def softmax_vjp(y, g, axis=-1, *, out=None, where=None):
    r"""Vector-Jacobian product of softmax: the gradient at its input, from that at its output.

    .. math:: \left(g^T J\right)_i = y_i \left(g_i - \sum_j y_j g_j\right), \quad J = \mathrm{diag}(y) - y y^T

    Parameters
    ----------
    y : array_like, any shape
        What `softmax` returned.
    g : array_like
        The gradient at `y`; broadcasts to its shape.
    axis : int, tuple of ints or None, default -1
        The axis that softmax was taken along.
    out : ndarray, optional
        Where to put the result, of `y`'s shape. It may be `y` or `g` itself, or overlap them.
    where : array_like of bool, optional
        Which elements take part, as for `softmax`; broadcasts to `y`'s shape. The gradient at hidden elements is 0,
        whatever `y` and `g` hold there.

    Returns
    -------
    ndarray
        Of `y`'s shape and of the type that the two promote to; `out` if that was given. Each element is within 4 u of
        y (\|g\| + sum of y \|g\|), u being half the machine epsilon.

    Raises
    ------
    TypeError, ValueError, numpy.exceptions.AxisError
        As `softmax` does; ValueError also if `g` or `where` does not broadcast to `y`.

    Notes
    -----
    The Jacobian is symmetric, so this is the Jacobian-vector product as well.

    Examples
    --------
    >>> import numpy as np
    >>> from softmax_ext import softmax_vjp
    >>> softmax_vjp(np.array([0.25, 0.75]), np.array([1.0, 0.0]))
    array([ 0.1875, -0.1875])
    """
    cdef int along = _plain_axis(axis, y)
    if _takes_plain_pair(y, g, along, where, out):
        return _plain(SMX_SOFTMAX_VJP, y, g, where, out, along)
    return _of_gradients(SMX_SOFTMAX_VJP, y, g, "g", axis, where, out)


def log_softmax_vjp(y, g, axis=-1, *, out=None, where=None):
    r"""Vector-Jacobian product of log-softmax: the gradient at its input, from that at its output.

    .. math:: g_i - \exp(y_i) \sum_j g_j

    Parameters
    ----------
    y : array_like, any shape
        What `log_softmax` returned.
    g : array_like
        The gradient at `y`; broadcasts to its shape.
    axis : int, tuple of ints or None, default -1
        The axis that log-softmax was taken along.
    out : ndarray, optional
        Where to put the result, of `y`'s shape. It may be `y` or `g` itself, or overlap them.
    where : array_like of bool, optional
        Which elements take part, as for `log_softmax`; broadcasts to `y`'s shape. The gradient at hidden elements is 0,
        whatever `y` and `g` hold there.

    Returns
    -------
    ndarray
        Of `y`'s shape and of the type that the two promote to; `out` if that was given. Each element is within 4 u of
        \|g\| + p \|sum of g\|, p = exp(y) and u being half the machine epsilon.

    Raises
    ------
    TypeError, ValueError, numpy.exceptions.AxisError
        As `softmax` does; ValueError also if `g` or `where` does not broadcast to `y`.

    Examples
    --------
    >>> import numpy as np
    >>> from softmax_ext import log_softmax_vjp
    >>> log_softmax_vjp(np.log([0.25, 0.75]), np.array([1.0, 0.0]))
    array([ 0.75, -0.75])
    """
    cdef int along = _plain_axis(axis, y)
    if _takes_plain_pair(y, g, along, where, out):
        return _plain(SMX_LOG_SOFTMAX_VJP, y, g, where, out, along)
    return _of_gradients(SMX_LOG_SOFTMAX_VJP, y, g, "g", axis, where, out)


def softmax_jvp(y, v, axis=-1, *, out=None, where=None):
    r"""Jacobian-vector product of softmax: the change of its output for a change v of its input.

    .. math:: \left(J v\right)_i = y_i \left(v_i - \sum_j y_j v_j\right)

    The Jacobian is symmetric, so this is `softmax_vjp` under its other name.

    Parameters
    ----------
    y : array_like, any shape
        What `softmax` returned.
    v : array_like
        The direction in which the input changes; broadcasts to `y`'s shape.
    axis : int, tuple of ints or None, default -1
        The axis that softmax was taken along.
    out : ndarray, optional
        Where to put the result, as for `softmax_vjp`.
    where : array_like of bool, optional
        Which elements take part, as for `softmax_vjp`.

    Returns
    -------
    ndarray
        As `softmax_vjp` does.

    Raises
    ------
    TypeError, ValueError, numpy.exceptions.AxisError
        As `softmax_vjp` does.

    Examples
    --------
    >>> import numpy as np
    >>> from softmax_ext import softmax_jvp
    >>> softmax_jvp(np.array([0.25, 0.75]), np.array([1.0, 0.0]))
    array([ 0.1875, -0.1875])
    """
    cdef int along = _plain_axis(axis, y)
    if _takes_plain_pair(y, v, along, where, out):
        return _plain(SMX_SOFTMAX_VJP, y, v, where, out, along)
    return _of_gradients(SMX_SOFTMAX_VJP, y, v, "v", axis, where, out)


def log_softmax_jvp(y, v, axis=-1, *, out=None, where=None):
    r"""Jacobian-vector product of log-softmax: the change of its output for a change v of its input.

    .. math:: v_i - \sum_j \exp(y_j) v_j

    Parameters
    ----------
    y : array_like, any shape
        What `log_softmax` returned.
    v : array_like
        The direction in which the input changes; broadcasts to `y`'s shape.
    axis : int, tuple of ints or None, default -1
        The axis that log-softmax was taken along.
    out : ndarray, optional
        Where to put the result, of `y`'s shape. It may be `y` or `v` itself, or overlap them.
    where : array_like of bool, optional
        Which elements take part, as for `log_softmax`; broadcasts to `y`'s shape. The result is 0 at hidden elements,
        whatever `y` and `v` hold there.

    Returns
    -------
    ndarray
        Of `y`'s shape and of the type that the two promote to; `out` if that was given.

    Raises
    ------
    TypeError, ValueError, numpy.exceptions.AxisError
        As `softmax` does; ValueError also if `v` or `where` does not broadcast to `y`.

    Examples
    --------
    >>> import numpy as np
    >>> from softmax_ext import log_softmax_jvp
    >>> log_softmax_jvp(np.log([0.25, 0.75]), np.array([1.0, 0.0]))
    array([ 0.75, -0.25])
    """
    cdef int along = _plain_axis(axis, y)
    if _takes_plain_pair(y, v, along, where, out):
        return _plain(SMX_LOG_SOFTMAX_JVP, y, v, where, out, along)
    return _of_gradients(SMX_LOG_SOFTMAX_JVP, y, v, "v", axis, where, out)
