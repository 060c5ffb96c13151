/* The entry of the C side. It asks how many threads the call may use, and tells ragged rows from rows of one length. */

#include "ragged.h"
#include "threads.h"

/* The number of threads that the plan is worth; sets `elements` if it may be more than one. */
static int threads_for(const smx_plan *plan, ptrdiff_t *elements) {
    if (plan->threads == 1) /* small calls count their nanoseconds */
        return 1;
    *elements = 1;
    for (int d = 0; d < plan->inner_dims; d++)
        *elements *= plan->inner_shape[d];
    for (int d = 0; d < plan->outer_dims; d++)
        *elements *= plan->outer_shape[d];
    return smx_threads_for(plan, *elements);
}

int smx_run(smx_plan *plan) {
    ptrdiff_t elements = 0;
    const int threads = threads_for(plan, &elements);
    smx_call call;
    if (threads > 1) {
        plan->threads = smx_call_enter(&call, threads, elements / plan->kernels->op[plan->op].min_elements_per_thread);
        plan->call = &call;
    }
    const int status = plan->indptr ? smx_run_ragged(plan) : smx_run_rows(plan);
    if (threads > 1)
        smx_call_leave(&call);
    return status;
}
