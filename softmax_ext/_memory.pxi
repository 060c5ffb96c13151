# Memory of results. A large new array gets the memory of a large released one, which csrc/buffers.c keeps: NumPy asks
# the functions below for the memory of each array that is made while they are set (NEP 49), and gives it back to them.

from cpython.pycapsule cimport PyCapsule_New
from cpython.ref cimport Py_INCREF
from libc.string cimport memset, strcpy

from softmax_ext._csrc cimport (
    SMX_BUFFER_LEAST, smx_buffer_release, smx_buffer_resize, smx_buffer_take, smx_get_buffer_limit,
    smx_get_buffers_held,
)

# The largest argument of set_buffer_limit.
MAX_BUFFER_LIMIT = 2 ** 63 - 1


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
    object PyArray_NewLikeArray(cnp.ndarray like, cnp.NPY_ORDER order, cnp.PyArray_Descr *dtype, int subok)


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
cdef object _reusing_handler = PyCapsule_New(&_handler, "mem_handler", NULL)


cpdef object _empty_like(cnp.ndarray x, object dtype):
    """A new array of x's shape and layout, not filled; a large one may get the memory of a released array.

    dtype None is x's own type.
    """
    cdef int d
    cdef bint has_repeats = False
    if dtype is None:
        dtype = x.dtype
    cdef bint is_large = cnp.PyArray_SIZE(x) * dtype.itemsize >= SMX_BUFFER_LEAST
    before = PyDataMem_SetHandler(_reusing_handler) if is_large and smx_get_buffer_limit() > 0 else None
    try:
        for d in range(cnp.PyArray_NDIM(x)):
            has_repeats |= cnp.PyArray_STRIDE(x, d) == 0
        # NumPy would make the repeated axes of a broadcast view the innermost ones.
        if has_repeats:
            return np.empty((<object>x).shape, dtype)
        Py_INCREF(dtype)  # the function below takes a reference
        return PyArray_NewLikeArray(x, cnp.NPY_KEEPORDER, <cnp.PyArray_Descr *>dtype, 0)
    finally:
        if before is not None:
            PyDataMem_SetHandler(before)


def _buffers_held():
    """The number of bytes kept now; for tests."""
    return smx_get_buffers_held()
