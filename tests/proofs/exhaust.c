/* float's exponential over every argument that the reduction takes: the largest of each quantity of exponential.py's cells,
   measured on the compiled code of csrc/kernels/exp.inc.h (one lane; all levels have the same bits). Arguments below 2^-26
   in size have p = x. The reference is double: a reduction in two parts and expm1, good to 2^-50. */

#define REAL_BITS 32
#include "vec_scalar.h"

#include "exp.inc.h"

#include <stdio.h>

static double ufp(double x) {
    int e;
    return x == 0 ? 0 : (frexp(x, &e), ldexp(1, e - 1));
}

static double largest(double a, double b) { return b > a ? b : a; } /* a NaN of the argument shows as a failure below */

int main(void) {
    const double in_u = 0x1p24, rest = 45.001 * 0x1p-24, ln2 = 0x1.62e42fefa39efp-1;
    const double ln2_top = 0x1.62e42fep-1, ln2_low = (ln2 - 0x1.62e42fep-1) + 0x1.abc9e3b39803fp-56;
    const uint32_t first = bits_of_real(0x1p-26f), last = bits_of_real(LARGE + 96);
    const double log_of_centre = log1p(F32_CENTRE - 1.0); /* -1 / 32, nearly */
    double error = 0, numerator = 0, two_parts = 0, four = 0, share = 0;
    int bad = 0;
#pragma omp parallel for reduction(max : error, numerator, two_parts, four, share) reduction(|| : bad) schedule(static)
    for (int64_t i = first; i <= (int64_t)last; i++)
        for (int sign = 0; sign < 2; sign++) {
            const float x = sign ? -real_from_bits((uint32_t)i) : real_from_bits((uint32_t)i);
            if (x >
                LARGE) /* maxima are up to LARGE; elements may be further below -LARGE, where the power shrinks to 0 */
                continue;
            const vec reference = exp_reference(x, &no_temperature);
            const exp_parts e = exp_parts_of(x, exp_scale_of(reference, &no_temperature));
            const uint32_t bits = bits_of_real(e.power);
            const int k = (int)(bits >> FRACTION_BITS) - BIAS - HEADROOM + (int)reference;
            const int j = (int)(bits >> (FRACTION_BITS - 3) & 7);
            static const double logs[8] = {0,
                                           0x1.e27076e2af2e6p-4,
                                           0x1.c8ff7c79a9a22p-3,
                                           0x1.4618bc21c5ec2p-2,
                                           0x1.9f323ecbf984cp-2,
                                           0x1.f128f5faf06edp-2,
                                           0x1.1e85f5e7040d0p-1,
                                           0x1.41d8fe84672aep-1};
            const double r = ((double)x - k * ln2_top) - (k * ln2_low + logs[j] + log_of_centre), truth = expm1(r),
                         all = 1 + truth;
            const double p = e.p, m = 1 + j / 8.0, off = fabs(p - truth) / all * in_u, size = fabs(p);
            const double product = ufp(m * size) / (m * all);
            bad = bad || !(off < 1) || bits << 12;
            error = largest(error, off);
            numerator = largest(numerator, off + (ufp(size + rest * (1 + size)) + size / 2) / all);
            two_parts = largest(two_parts, off + product);
            four = largest(four, off + 4 * product);
            share = largest(share, size / all);
        }
    printf("%.9f %.9f %.9f %.9f %.9f %d\n", error, numerator, two_parts, four, share, bad);
    return bad;
}
