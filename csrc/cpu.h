/* The levels of kernels that this machine can run, and the size of its largest cache. Both are found at import. */

#ifndef SMX_CPU_H
#define SMX_CPU_H

#include "kernel.h"

typedef struct {
    const char *name;
    const smx_kernels *f32, *f64;
} smx_level;

/* The levels that this machine can run, from the plainest to the best. *count becomes their number. */
const smx_level *smx_levels(int *count);

/* Bytes of the largest cache that the processor reports; 0 if it reports none. */
size_t smx_last_cache(void);

#endif
