/* The entry of the C side: how many threads a call may use, and whether its rows are ragged. */

#include "ragged.h"
#include "threads.h"

enum {
    /* Shares for a thread that a call must have to wake threads that sleep: it takes them some 60 us to come, and what they
       would do then pays from 200 us on. */
    WORTH_WAKING = 32
};

int smx_run(smx_plan *plan) {
    ptrdiff_t elements = 1;
    for (int d = 0; d < plan->inner_dims; d++)
        elements *= plan->inner_shape[d];
    for (int d = 0; d < plan->outer_dims; d++)
        elements *= plan->outer_shape[d];
    const int may_share = smx_threads_for(plan, elements) > 1;
    if (may_share && !smx_are_threads_awake() &&
        elements < WORTH_WAKING * plan->kernels->op[plan->op].min_elements_per_thread)
        plan->threads = 1;
    const int status = plan->indptr ? smx_run_ragged(plan) : smx_run_rows(plan);
    if (may_share)
        smx_threads_rest();
    return status;
}
