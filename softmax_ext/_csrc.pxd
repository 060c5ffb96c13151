# The parts of csrc/ that the module uses. Cython reads the real types and sizes from the headers; only the fields that
# are used are listed here.

from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int8_t, int64_t, uint16_t


cdef extern from "build.h":
    const char *SMX_COMPILER
    const char *SMX_OPENMP_RUNTIME

cdef extern from "kernel.h":
    enum:
        SMX_SOFTMAX
        SMX_LOG_SOFTMAX
        SMX_LOGSUMEXP
        SMX_WEIGHTED_LOGSUMEXP
        SMX_SIGNED_LOGSUMEXP
        SMX_SOFTMAX_LOGSUMEXP
        SMX_LOG_SOFTMAX_LOGSUMEXP
        SMX_SOFTMAX_ENTROPY
        SMX_SOFTMAX_VJP
        SMX_LOG_SOFTMAX_VJP
        SMX_LOG_SOFTMAX_JVP
        SMX_LABEL_LOSS
        SMX_LABEL_LOSS_GRAD
        SMX_SMOOTH_LOSS
        SMX_SMOOTH_LOSS_GRAD
        SMX_TARGET_LOSS
        SMX_TARGET_LOSS_GRAD
        SMX_OP_COUNT

    enum smx_op:
        pass

    enum smx_storage:
        SMX_REAL
        SMX_FLOAT16
        SMX_BFLOAT16

    ctypedef struct smx_targets:
        double keep
        double spread
        double divisor
        int exponent
        int divisor_exponent

    ctypedef struct smx_hidden:
        double out

    ctypedef struct smx_op_kernels:
        const char *name
        bint elementwise
        bint has_row_out
        smx_hidden hidden

    ctypedef struct smx_kernels:
        smx_op_kernels op[SMX_OP_COUNT]

cdef extern from "plan.h":
    enum:
        SMX_MAX_DIMS
        SMX_DONE
        SMX_EXPLANATION

    ctypedef struct smx_operand:
        char *data
        smx_storage storage
        int swapped
        ptrdiff_t outer[SMX_MAX_DIMS]
        ptrdiff_t inner[SMX_MAX_DIMS]

    ctypedef struct smx_mask:
        const char *data
        int outer_dims
        int inner_dims
        ptrdiff_t outer_shape[SMX_MAX_DIMS]
        ptrdiff_t inner_shape[SMX_MAX_DIMS]
        ptrdiff_t outer[SMX_MAX_DIMS]
        ptrdiff_t inner[SMX_MAX_DIMS]

    ctypedef struct smx_plan:
        smx_op op
        const smx_kernels *kernels
        int threads
        double temperature
        int outer_dims
        int inner_dims
        ptrdiff_t outer_shape[SMX_MAX_DIMS]
        ptrdiff_t inner_shape[SMX_MAX_DIMS]
        smx_operand input "in" [3]
        smx_operand out
        smx_mask mask
        const ptrdiff_t *indptr
        ptrdiff_t segments
        smx_operand row_out
        smx_operand label
        smx_operand factor
        smx_operand initial
        smx_operand exponent
        smx_operand scale
        smx_operand spread
        smx_targets targets
        char *explanation

    void smx_run_begin(size_t last_cache)
    int smx_run(smx_plan *plan) nogil
    const char *smx_route_name(int number)
    const char *smx_option_name(int number)
    void smx_turn_route(int number, int off)
    void smx_turn_option(int number, int off)

cdef extern from "ragged.h":
    bint smx_are_segments(const ptrdiff_t *indptr, ptrdiff_t segments, ptrdiff_t length)

cdef extern from "scratch.h":
    void smx_scratch_begin()

cdef extern from "fpstate.h":
    ctypedef struct smx_fpstate:
        pass

    smx_fpstate smx_enter_fpstate()

cdef extern from "<fenv.h>":
    ctypedef struct fenv_t:
        pass

    int fegetenv(fenv_t *before)
    int fesetenv(const fenv_t *before)

cdef extern from "losses.h":
    ctypedef struct smx_apart:
        double number
        int exponent

    bint smx_all_labels_count(const int64_t *label, ptrdiff_t n, int64_t classes, int64_t ignored) nogil
    smx_apart smx_sum_of_products(const double *a, const double *b, ptrdiff_t n) nogil
    double smx_mean_of_losses(
        const void *losses, bint is_double, const int8_t *exponents, ptrdiff_t n, smx_apart divisor
    ) nogil
    void smx_apply_exponents(void *losses, bint is_double, const int8_t *exponents, ptrdiff_t n) nogil
    void smx_round_to_float(const double *number, float *to) nogil
    void smx_round_to_bfloat16(const double *array, ptrdiff_t n, uint16_t *to) nogil

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

cdef extern from "threads.h":
    void smx_threads_begin(int limit)
    void smx_set_threads(int limit)
    int smx_get_threads()
    void smx_always_use_threads(int always)
    void smx_ask_runtime(int *processors, int *threads)
    void smx_count_calls(int64_t *together, int64_t *alone)
    int smx_openmp_version()

cdef extern from "policy.h":
    enum smx_policy_state:
        SMX_SETTLED

    ctypedef struct smx_policy:
        smx_policy_state state
        int width
        int64_t rest

    ctypedef struct smx_measurement:
        int64_t now
        int64_t took
        int64_t serial
        int64_t expected
        int width
        int is_crowded

    void smx_policy_begin(smx_policy *policy, int64_t now)
    int smx_policy_is_worth_a_team(int64_t spent, int64_t expected)
    int smx_policy_width(smx_policy *policy, int64_t now, int limit)
    void smx_policy_learn(smx_policy *policy, const smx_measurement *call)
