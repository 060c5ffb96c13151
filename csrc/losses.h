/* What cross-entropy does with one number for each row, before and after the kernels: it checks labels, adds up
   weights, and adds up losses. All of it runs in our own floating-point state (fpstate.h). Sums are made in double, in
   an order that depends on the number of terms alone, and with exponents apart: no partial sum is out of range. */

#ifndef SMX_LOSSES_H
#define SMX_LOSSES_H

#include "kernel.h"

#include <stddef.h>
#include <stdint.h>

/* number 2^exponent */
typedef struct {
    double number;
    int exponent;
} smx_apart;

/* True if all labels are from 0 to classes - 1 and none is `ignored`. */
int smx_all_labels_count(const int64_t *label, ptrdiff_t n, int64_t classes, int64_t ignored);

/* The sum of the numbers a[i] b[i] that are not negative; b may be NULL, which is 1. */
smx_apart smx_sum_of_products(const double *a, const double *b, ptrdiff_t n);

/* The sum of n losses / divisor. Losses are floats or doubles (is_double), each times 2^(SMX_LOSS_UNIT exponent). */
double smx_mean_of_losses(const void *losses, int is_double, const int8_t *exponents, ptrdiff_t n, smx_apart divisor);

/* Multiplies each loss by its power of two. */
void smx_apply_exponents(void *losses, int is_double, const int8_t *exponents, ptrdiff_t n);

void smx_round_to_float(const double *from, float *to);

/* Rounds doubles to bfloat16, once: to nearest, ties to even. NaNs become the one quiet NaN. */
void smx_round_to_bfloat16(const double *from, ptrdiff_t n, uint16_t *to);

#endif
