/* The type of a kernel: set REAL_BITS to 32 or 64, then include this file. It holds everything that differs between
   float and double, except the instructions. */

#include "../arch.h"
#include "../kernel.h"
#include "coefficients.h"

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#if REAL_BITS == 32

typedef float real;
typedef uint32_t real_bits;
#define SUMS 16            /* partial sums of a long row: the lanes of the widest vector of any level */
#define FRACTION_BITS 23    /* explicit bits of the significand */
#define REAL_EPSILON FLT_EPSILON
#define BIAS 127            /* of the exponent */
#define HEADROOM 67         /* scale of the terms of a sum, as an exponent: see exp.inc.h */
#define HEADROOM_POWER 0x1p67f /* 2^HEADROOM */
#define REACH 158           /* a term this many binades below the maximum is 0: see exp.inc.h */
#define SCALED_HEADROOM 31  /* HEADROOM of exponentials that belong to no row */
#define LARGE 0x1p15f       /* x itself is reduced if |max / T| is at most this: see exp.inc.h */
#define NEGLIGIBLE 0x1.b8p6f /* 110: exp(-110) is below half of the smallest subnormal */
#define LARGEST_GAP 0x1p7f  /* a power of two, at least NEGLIGIBLE */
#define ROUNDER 0x1.8p23f   /* adding it rounds to an integer, ties to even, and leaves it in the low bits */
#define QUIET_NAN 0x7fc00000u
#define REAL_SQRT2 0x1.6a09e6p0f
#define CONSTANT(name) F32_##name

#else

typedef double real;
typedef uint64_t real_bits;
#define SUMS 8
#define FRACTION_BITS 52
#define REAL_EPSILON DBL_EPSILON
#define BIAS 1023
#define HEADROOM 320
#define HEADROOM_POWER 0x1p320
#define REACH 1086
#define SCALED_HEADROOM 63
#define LARGE 0x1p40
#define NEGLIGIBLE 750.0
#define LARGEST_GAP 0x1p10
#define ROUNDER 0x1.8p52
#define QUIET_NAN 0x7ff8000000000000u
#define REAL_SQRT2 0x1.6a09e667f3bcdp0
#define CONSTANT(name) F64_##name

#endif

/* Of doubles, whatever the type; a level without an instruction for it has another, and its bound (fma.inc.h). */
#define DOUBLE_FMA fma
#define FMA_SMALL 0x1p-960

SMX_INLINE real real_from_bits(real_bits bits) {
    real x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

SMX_INLINE real_bits bits_of_real(real x) {
    real_bits bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}
