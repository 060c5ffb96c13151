/* Ragged rows: see ragged.c. */

#ifndef SMX_RAGGED_H
#define SMX_RAGGED_H

#include "plan.h"

/* True if so many segments are what plan.h wants of an axis of that length. */
int smx_are_segments(const ptrdiff_t *indptr, ptrdiff_t segments, ptrdiff_t length);

/* smx_run for a plan with an indptr. */
int smx_run_ragged(smx_plan *plan);

#endif
