/* Ragged rows: see segments.c. */

#ifndef SMX_SEGMENTS_H
#define SMX_SEGMENTS_H

#include "plan.h"

/* smx_run, of a plan that has an indptr. */
int smx_run_segments(smx_plan *plan);

#endif
