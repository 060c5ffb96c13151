/* Which level of kernels to use, and what memory is beyond the cache: decided once, at import. */

#ifndef SMX_CPU_H
#define SMX_CPU_H

#include "kernels.h"

typedef struct {
    const char *name;
    const smx_kernels *f32, *f64;
    int has_fma; /* an instruction for fused multiply-adds */
} smx_level;

/* The levels that this machine can run, from the plainest to the best; *count of them. */
const smx_level *smx_levels(int *count);

/* Bytes of the largest cache that the processor tells of; 0 if it tells of none. */
size_t smx_last_cache(void);

#endif
