/* The exponential and the logarithm of one level for one type, over arrays: the functions of csrc/kernels/exp.inc.h and
   log.inc.h with nothing around them. Filled in by level.c, found by levels.c. */

#ifndef EXHAUSTIVE_LEVEL_H
#define EXHAUSTIVE_LEVEL_H

#include <stddef.h>

/* The constants of csrc/kernels/real.h, which has those of one type at a time. */
typedef struct {
    int bits, headroom, scaled_headroom, reach, bias, fraction_bits;
    double large, sqrt2, centre;
    double highest; /* exp_alone is infinite from here on */
} constants;

/* Arrays of float or double; count is a multiple of 16. */
typedef struct {
    const char *name;
    constants type;
    /* Each element is in a row of its own, which has that maximum: its two parts, and the N of its row. */
    void (*exp_of)(const void *x, const void *maximum, ptrdiff_t count, void *high, void *low, void *reference);
    void (*exp_alone)(const void *x, ptrdiff_t count, void *y);
    void (*log_of_1_plus)(const void *high, const void *low, ptrdiff_t count, void *result, void *result_low);
} level;

/* The levels that this machine can run, from the plainest to the best, for a type of so many bits; *count of them. The
   first call has to come from one thread. */
const level *const *levels_here(int bits, int *count);

/* The constants of the type of so many bits. */
constants constants_of(int bits);

#endif
