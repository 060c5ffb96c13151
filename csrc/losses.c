/* Labels, weights and losses of rows: see losses.h.

   What rounds is in functions that are not inlined: a compiler might move arithmetic to where the floating-point state
   is still the caller's. */

#include "losses.h"
#include "fpstate.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Products whose exponents are beyond this in size might leave the range. So if the largest factor's exponent is beyond
   half of it, all factors are divided by that power of two, which the sum then counts as its exponent. */
enum { FAR_EXPONENT = 900 };

/* The sign bit of `any` is set by a label below 0 or beyond the last class, and by one that is equal to `ignored`. This
   form is vectorized, unlike comparisons of 64 bits. */
int smx_all_labels_count(const int64_t *label, ptrdiff_t n, int64_t classes, int64_t ignored) {
    const uint64_t last = (uint64_t)classes - 1;
    uint64_t any = 0;
    for (ptrdiff_t i = 0; i < n; i++)
        any |= (uint64_t)label[i] | (last - (uint64_t)label[i]);
    for (ptrdiff_t i = 0; (uint64_t)ignored <= last && i < n; i++) {
        const uint64_t difference = (uint64_t)label[i] ^ (uint64_t)ignored;
        any |= (difference - 1) & ~difference;
    }
    return any >> 63 == 0;
}

/* ---- sums ------------------------------------------------------------------------------------------------------- */

/* A sum that grows: blocks are added up plainly, by lanes; the sums of blocks are added with what their roundings lose
   (Neumaier, 1974). */
enum { BLOCK = 512, LANES = 8 };

typedef struct {
    double sum, lost;
} long_sum;

static double sum_of_block(const double *term, ptrdiff_t n) {
    double lane[LANES] = {0};
    for (ptrdiff_t i = 0; i + LANES <= n; i += LANES)
        for (int k = 0; k < LANES; k++)
            lane[k] += term[i + k];
    for (ptrdiff_t i = n - n % LANES; i < n; i++)
        lane[i % LANES] += term[i];
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int k = 0; k < half; k++)
            lane[k] += lane[k + half];
    return lane[0];
}

static void add(long_sum *s, double x) {
    const double sum = s->sum + x;
    s->lost += fabs(s->sum) >= fabs(x) ? (s->sum - sum) + x : (x - sum) + s->sum;
    s->sum = sum;
}

/* If the sum is infinite or NaN, what it lost says nothing. */
static double total_of(long_sum s) { return isfinite(s.sum) ? s.sum + s.lost : s.sum; }

/* The exponent of the largest number, 0 if there is none but 0. Infinities and NaNs are passed over. */
static int largest_exponent(const double *a, ptrdiff_t n) {
    double largest = 0;
    int exponent = 0;
    for (ptrdiff_t i = 0; i < n; i++)
        largest = fabs(a[i]) > largest && fabs(a[i]) <= DBL_MAX ? fabs(a[i]) : largest;
    frexp(largest, &exponent);
    return exponent;
}

SMX_APART smx_apart sum_of_products(const double *a, const double *b, ptrdiff_t n) {
    const int far = FAR_EXPONENT / 2, of_a = largest_exponent(a, n), of_b = b ? largest_exponent(b, n) : 0;
    const int a_down = of_a > far || of_a < -far ? of_a : 0, b_down = of_b > far || of_b < -far ? of_b : 0;
    long_sum s = {0, 0};
    double term[BLOCK];
    for (ptrdiff_t i = 0, count; i < n; i += count) {
        count = n - i < BLOCK ? n - i : BLOCK;
        for (ptrdiff_t k = 0; k < count; k++) {
            const double x = a_down ? ldexp(a[i + k], -a_down) : a[i + k], y = !b       ? 1
                                                                               : b_down ? ldexp(b[i + k], -b_down)
                                                                                        : b[i + k];
            term[k] = x >= 0 && y >= 0 ? x * y : 0;
        }
        add(&s, sum_of_block(term, count));
    }
    const smx_apart total = {total_of(s), a_down + b_down};
    return total;
}

smx_apart smx_sum_of_products(const double *a, const double *b, ptrdiff_t n) {
    const smx_fpstate before = smx_enter_fpstate();
    const smx_apart total = sum_of_products(a, b, n);
    smx_leave_fpstate(before);
    return total;
}

/* ---- losses ----------------------------------------------------------------------------------------------------- */

static int has_exponents(const int8_t *exponents, ptrdiff_t n) {
    int8_t any = 0;
    for (ptrdiff_t i = 0; i < n; i++)
        any |= exponents[i];
    return any != 0;
}

static double loss_at(const void *losses, int is_double, ptrdiff_t i) {
    return is_double ? ((const double *)losses)[i] : (double)((const float *)losses)[i];
}

/* The largest exponent of a loss, if some are out of range without their own or the sum might be; else 0. */
static int common_exponent(const void *losses, int is_double, const int8_t *exponents, ptrdiff_t n) {
    int largest = 0, is_far = has_exponents(exponents, n), any = 0;
    for (ptrdiff_t i = 0; is_double && i < n; i++)
        is_far |= fabs(((const double *)losses)[i]) > 0x1p900;
    for (ptrdiff_t i = 0; is_far && i < n; i++) {
        const double x = loss_at(losses, is_double, i);
        int exponent;
        if (x == 0 || !isfinite(x))
            continue;
        frexp(x, &exponent);
        exponent += SMX_LOSS_UNIT * exponents[i];
        largest = !any || exponent > largest ? exponent : largest;
        any = 1;
    }
    return largest;
}

SMX_APART double mean_of_losses(const void *losses, int is_double, const int8_t *exponents, ptrdiff_t n,
                                smx_apart divisor) {
    const int down = common_exponent(losses, is_double, exponents, n);
    long_sum s = {0, 0};
    double term[BLOCK];
    for (ptrdiff_t i = 0, count; i < n; i += count) {
        count = n - i < BLOCK ? n - i : BLOCK;
        for (ptrdiff_t k = 0; is_double && k < count; k++)
            term[k] = ((const double *)losses)[i + k];
        for (ptrdiff_t k = 0; !is_double && k < count; k++)
            term[k] = ((const float *)losses)[i + k];
        for (ptrdiff_t k = 0; (down || has_exponents(exponents + i, count)) && k < count; k++)
            term[k] = ldexp(term[k], SMX_LOSS_UNIT * exponents[i + k] - down);
        add(&s, sum_of_block(term, count));
    }
    int of_divisor;
    const double fraction = frexp(divisor.number, &of_divisor);
    return ldexp(total_of(s) / fraction, down - of_divisor - divisor.exponent);
}

double smx_mean_of_losses(const void *losses, int is_double, const int8_t *exponents, ptrdiff_t n, smx_apart divisor) {
    const smx_fpstate before = smx_enter_fpstate();
    const double mean = mean_of_losses(losses, is_double, exponents, n, divisor);
    smx_leave_fpstate(before);
    return mean;
}

SMX_APART void apply_exponents(void *losses, int is_double, const int8_t *exponents, ptrdiff_t n) {
    for (ptrdiff_t i = 0; i < n; i++) {
        if (exponents[i] == 0)
            continue;
        if (is_double)
            ((double *)losses)[i] = ldexp(((double *)losses)[i], SMX_LOSS_UNIT * exponents[i]);
        else
            ((float *)losses)[i] = (float)ldexp(((float *)losses)[i], SMX_LOSS_UNIT * exponents[i]);
    }
}

void smx_apply_exponents(void *losses, int is_double, const int8_t *exponents, ptrdiff_t n) {
    const smx_fpstate before = smx_enter_fpstate();
    apply_exponents(losses, is_double, exponents, n);
    smx_leave_fpstate(before);
}

/* ---- rounding ---------------------------------------------------------------------------------------------------- */

/* A float that is rounded to odd (towards 0, and its last bit set if that was not exact) has so many bits more than a
   bfloat16 that rounding it again gives what rounding once would have given (Boldo and Melquiond, 2008). */
static uint16_t round_to_bfloat16(double x) {
    const float nearest = (float)x;
    uint32_t bits;
    memcpy(&bits, &nearest, sizeof bits);
    if (x != x)
        return 0x7fc0;
    if ((double)nearest != x) {
        bits -= fabs((double)nearest) > fabs(x);
        bits |= 1;
    }
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

SMX_APART void round_to_float(const double *from, float *to) { *to = (float)*from; }

void smx_round_to_float(const double *from, float *to) {
    const smx_fpstate before = smx_enter_fpstate();
    round_to_float(from, to);
    smx_leave_fpstate(before);
}

SMX_APART void round_all(const double *from, ptrdiff_t n, uint16_t *to) {
    for (ptrdiff_t i = 0; i < n; i++)
        to[i] = round_to_bfloat16(from[i]);
}

void smx_round_to_bfloat16(const double *from, ptrdiff_t n, uint16_t *to) {
    const smx_fpstate before = smx_enter_fpstate();
    round_all(from, n, to);
    smx_leave_fpstate(before);
}
