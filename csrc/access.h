/* What access.c offers to route.c. Together they choose the way of a call. */

#ifndef SMX_ACCESS_H
#define SMX_ACCESS_H

#include "facts.h"

/* Sets in_place, masks_in_kernel, output and streams of a job that has been cut. */
void smx_choose_places(smx_job *job, const smx_facts *facts, enum smx_walk walk);

/* Sets write, load and store, next_is_known and row_results_adjacent, once it is known if the job is compact. */
void smx_choose_functions(smx_job *job, const smx_facts *facts, enum smx_walk walk);

#endif
