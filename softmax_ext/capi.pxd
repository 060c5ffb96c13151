# softmax and its family for Cython, without the GIL: `from softmax_ext.capi cimport softmax_f64`. capi.py describes the
# functions.

cdef int softmax_f32(const float *x, float *out, Py_ssize_t rows, Py_ssize_t n) noexcept nogil
cdef int softmax_f64(const double *x, double *out, Py_ssize_t rows, Py_ssize_t n) noexcept nogil
cdef int log_softmax_f32(const float *x, float *out, Py_ssize_t rows, Py_ssize_t n) noexcept nogil
cdef int log_softmax_f64(const double *x, double *out, Py_ssize_t rows, Py_ssize_t n) noexcept nogil
cdef int logsumexp_f32(const float *x, float *out, Py_ssize_t rows, Py_ssize_t n) noexcept nogil
cdef int logsumexp_f64(const double *x, double *out, Py_ssize_t rows, Py_ssize_t n) noexcept nogil
cdef int softmax_vjp_f32(const float *y, const float *g, float *out, Py_ssize_t rows, Py_ssize_t n) noexcept nogil
cdef int softmax_vjp_f64(const double *y, const double *g, double *out, Py_ssize_t rows, Py_ssize_t n) noexcept nogil
cdef int log_softmax_vjp_f32(const float *y, const float *g, float *out, Py_ssize_t rows, Py_ssize_t n) noexcept nogil
cdef int log_softmax_vjp_f64(
    const double *y, const double *g, double *out, Py_ssize_t rows, Py_ssize_t n
) noexcept nogil
