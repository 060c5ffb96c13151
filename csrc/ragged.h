/* Ragged rows: see ragged.c. */

#ifndef SMX_RAGGED_H
#define SMX_RAGGED_H

#include "plan.h"

/* smx_run for a plan with an indptr. */
int smx_run_ragged(smx_plan *plan);

#endif
