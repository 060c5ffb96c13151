/* One level, one type (level.h). Compiled with -DREAL_BITS=32 or 64 and -DVECTORS='"vec_<level>.h"'. */

#include VECTORS

#include "level.h"

#include "exp.inc.h"
#include "sum.inc.h"
#include "log.inc.h"

#define JOIN_(a, b, c) a##b##c
#define JOIN(a, b, c) JOIN_(a, b, c)
#define STRING_(a) #a
#define STRING(a) STRING_(a)

static void exp_of_all(const void *x, const void *maximum, ptrdiff_t count, void *high, void *low, void *reference) {
    for (ptrdiff_t i = 0; i < count; i += LANES) {
        const vec n = exp_reference(v_load((const real *)maximum + i), &no_temperature);
        const pair e = exp_of(v_load((const real *)x + i), exp_scale_of(n, &no_temperature));
        v_store((real *)high + i, e.high);
        v_store((real *)low + i, e.low);
        v_store((real *)reference + i, n);
    }
}

static void exp_alone_all(const void *x, ptrdiff_t count, void *y) {
    for (ptrdiff_t i = 0; i < count; i += LANES) {
        const vec v = v_load((const real *)x + i);
        vec scaled;
        exp_scaled_in_step(&v, 1, v_set1(0), &scaled);
        v_store((real *)y + i, v_mul(scaled, v_set1(1 / (real)((real_bits)1 << SCALED_HEADROOM))));
    }
}

static void log_all(const void *high, const void *low, ptrdiff_t count, void *result, void *result_low) {
    for (ptrdiff_t i = 0; i < count; i += LANES) {
        const pair l = log_of_1_plus(pair_of(v_load((const real *)high + i), v_load((const real *)low + i)));
        v_store((real *)result + i, l.high);
        v_store((real *)result_low + i, l.low);
    }
}

const level JOIN(LEVEL, _f, REAL_BITS) = {
    .name = STRING(LEVEL),
    .type = {.bits = REAL_BITS,
             .headroom = HEADROOM,
             .scaled_headroom = SCALED_HEADROOM,
             .reach = REACH,
             .bias = BIAS,
             .fraction_bits = FRACTION_BITS,
             .large = LARGE,
             .sqrt2 = REAL_SQRT2,
             .centre = CONSTANT(CENTRE),
             .highest = (8 * (BIAS + 1 - SCALED_HEADROOM) - 1) * (CONSTANT(LN2_HIGH) / 8)},
    .exp_of = exp_of_all,
    .exp_alone = exp_alone_all,
    .log_of_1_plus = log_all,
};

END_OF_TARGET
