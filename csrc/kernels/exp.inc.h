/* exp(x / T), in the parts that a softmax needs separately. T is the temperature of the softmax, mostly 1.

       exp(x / T) = C 2^k (1 + j / 8) (1 + p),    8 k + j = n = round(8 x / (T ln2)),    p = exp(r) - 1,
       r = x / T - n ln2 / 8 + REST_j,            REST_j = j ln2 / 8 - log((1 + j / 8) C),    C = CENTRE = 31/32

   Here |r| < 0.077, and |p| < 0.08. C is a factor of every exponential, and a softmax divides it away. n and p depend
   on x alone, not on the row of x. A softmax that subtracts the row's maximum from x rounds the difference, and the
   error grows with the difference: up to 64 ULP of the result in float, 512 in double. This code subtracts exponents
   instead, n - 8 N, and that rounds nothing.

   The reduction follows Cody and Waite (1980), with fused steps. The step T ln2 / 8 is a pair, STEP_HIGH + STEP_LOW.
   The first part, r1 = x - n STEP_HIGH, is exact: it is a multiple of the last bit of STEP_HIGH or of x, and it is
   below STEP_HIGH / 2; so it has few enough bits, and a fused multiply-add rounds only once. This holds for |x / T| up
   to LARGE. Beyond LARGE, n would need more bits than there are; but there x - max is exact for every x that is near
   enough to the maximum to matter (Sterbenz, 1974: x >= max / 2), so the runner subtracts the maximum first. A T other
   than 1 costs nothing more, because x / T is never formed.

   The power. Tang (1989) uses a table of the rounded 2^(j / 8), and another of their errors. This code uses 1 + j / 8
   instead, because the bits of n already hold it: a shift that moves n up until k is the exponent makes
   2^k (1 + j / 8), exactly (Schraudolph, 1999, does the same). The factor that is then missing from 2^(n / 8) is up to
   6 %, not half an ULP. Its logarithm, REST_j, is added to r; it comes from a table in a register, and is rounded as
   finely as r is. So the range of r is no wider than with a table of four entries. Without C, REST_j would lie between
   -0.06 and 0, and r mostly to one side of 0, where the roundings of r and p are larger.

   The result has two parts, a M and a M p, where M = 1 + j / 8 and a = 2^(k - N + HEADROOM). The first part is exact.
   The second part is small, so no rounding on the way to it is larger than half an ULP of 0.08. Together they are
   within about u / 4 of exp(x) / C, u being half the distance from 1 to the next number. A single number for exp would
   be off by u and more, and a sum and a quotient of such numbers end up at 3 ULP.

   The scale. N is the even integer nearest to the exponent of the row's maximum. Below the floor, which is REACH binades
   below N, both parts are made exactly 0: that is the result for -inf and for everything that is negligible beside the
   maximum, since 2^-REACH is less than half of the smallest number. HEADROOM keeps all other terms so large that neither
   M nor M p is subnormal, and every factor that is applied later is smaller by as much. So a subnormal number arises
   only when a subnormal result is written, and no sum of exponentials meets one: some processors handle these in
   microcode. M is at least 2^(HEADROOM - REACH). If T is 1, p is 0 or at least 2^-35 in size (2^-64 in double), because r
   is a number near REST_j less another of that size; so M p is normal. With other temperatures, one p in some 10^9 is
   smaller.

   tests/exhaustive runs float over every argument, and double over a dense sample. The errors of the two parts are in u
   of their sum; exp_alone is exp(x) rounded, times C, which is exact. What was found is from the samples of its
   --quick:

   claim: exp float32 <= 0.26 u, proven; found 0.227 at hex: -0x1.d11084p+14
   claim: exp float64 <= 0.26 u, proven; found 0.238 at hex: -0x1.c108c9324de11p+6
   claim: exp_alone float32 <= 0.83 ulp; found 0.752 at hex: -0x1.5dfd3cp+6
   claim: exp_alone float64 <= 0.83 ulp; found 0.764 at hex: -0x1.623964351ba5dp+9 */

/* An unevaluated sum, high + low. */
typedef struct {
    vec high, low;
} pair;

SMX_INLINE pair pair_of(vec high, vec low) {
    const pair p = {high, low};
    return p;
}

/* ---- what the reduction needs to know of a temperature ---------------------------------------------------------- */

typedef struct {
    real steps;               /* 8 / (T ln2) */
    real step_high, step_low; /* T ln2 / 8 */
    real inverse, inverse_low, inverse_lowest;
    real large, negligible; /* LARGE and NEGLIGIBLE in units of x */
    real scale_up, scale_down, scaled_inverse, scaled_inverse_low; /* of derivatives: see scale_up_of */
    double temperature;
} exp_temperature;

static const exp_temperature no_temperature = {
    .steps = 8 * CONSTANT(LOG2E),
    .step_high = CONSTANT(LN2_HIGH) / 8,
    .step_low = CONSTANT(LN2_LOW) / 8,
    .inverse = 1,
    .inverse_low = 0,
    .inverse_lowest = 0,
    .large = LARGE,
    .negligible = NEGLIGIBLE,
    .scale_up = 1,
    .scale_down = 1,
    .scaled_inverse = 1,
    .scaled_inverse_low = 0,
    .temperature = 1,
};

/* With a temperature, the results of derivatives are too large by this power of two until the last step, so that
   nothing on the way is subnormal and loses digits that count. The power is about 2^FRACTION_BITS / T. If T is large,
   the last step makes all losses before it small. */
SMX_INLINE real scale_up_of(real inverse, real inverse_low) {
    const real_bits fraction = ((real_bits)1 << FRACTION_BITS) - 1;
    if ((inverse == 1 && inverse_low == 0) || inverse < (real)0x1p-16)
        return 1;
    return real_from_bits(bits_of_real(inverse) & ~fraction) * (real)((real_bits)1 << FRACTION_BITS);
}

/* T is a double, and its products have twice that precision, for float as well. */
SMX_INLINE void set_temperature(double temperature, void *constants) {
    exp_temperature t;
    const double step = temperature * (F64_LN2_HIGH / 8);
    const double step_low = DOUBLE_FMA(temperature, F64_LN2_HIGH / 8, -step) + temperature * (F64_LN2_LOW / 8);
    const double inverse = 1 / temperature;
    const double inverse_low = -DOUBLE_FMA(inverse, temperature, -1) / temperature;
    t.steps = (real)(8 * F64_LOG2E / temperature);
    t.step_high = (real)step;
    t.step_low = (real)((step - (double)t.step_high) + step_low);
    t.inverse = (real)inverse;
    t.inverse_low = (real)((inverse - (double)t.inverse) + inverse_low);
    t.inverse_lowest = (real)(((inverse - (double)t.inverse) - (double)t.inverse_low) + inverse_low);
    t.large = (real)(LARGE * temperature);
    t.negligible = (real)(NEGLIGIBLE * temperature);
    t.scale_up = scale_up_of(t.inverse, t.inverse_low);
    t.scale_down = 1 / t.scale_up;
    t.scaled_inverse = t.inverse / t.scale_up;
    t.scaled_inverse_low = t.inverse_low / t.scale_up;
    t.temperature = temperature;
    memcpy(constants, &t, sizeof t);
}

/* ---- the exponentials of a row ---------------------------------------------------------------------------------- */

/* The scale of LANES rows: rounder = ROUNDER + 8 (BIAS + HEADROOM - N), floor = T ln2 (N - REACH). */
typedef struct {
    vec rounder, floor, steps, step_high, step_low, inverse;
} exp_scale;

/* The N, an even integer, of rows with maximum m. m may be any number: where |m| > large, the result is useless but
   finite. */
SMX_INLINE vec exp_reference(vec m, const exp_temperature *t) {
    const vec bounded = v_max(v_set1(-t->large), v_min(m, v_set1(t->large)));
    const vec half = v_sub(v_fma(bounded, v_set1(t->steps / 16), v_set1(ROUNDER)), v_set1(ROUNDER));
    return v_add(half, half);
}

SMX_INLINE exp_scale exp_scale_with(vec rounder, vec floor, const exp_temperature *t) {
    const exp_scale scale = {rounder,           floor, v_set1(t->steps), v_set1(t->step_high), v_set1(t->step_low),
                             v_set1(t->inverse)};
    return scale;
}

SMX_INLINE exp_scale exp_scale_of(vec reference, const exp_temperature *t) {
    const vec eight_n = v_mul(v_sub(reference, v_set1(BIAS + HEADROOM)), v_set1(8));
    const vec eight_floor = v_mul(v_sub(reference, v_set1(REACH)), v_set1(8));
    return exp_scale_with(v_sub(v_set1(ROUNDER), eight_n), v_mul(eight_floor, v_set1(t->step_high)), t);
}

static const real exp_rests[8] = {CONSTANT(REST_0), CONSTANT(REST_1), CONSTANT(REST_2), CONSTANT(REST_3),
                                  CONSTANT(REST_4), CONSTANT(REST_5), CONSTANT(REST_6), CONSTANT(REST_7)};

/* The power 2^(k - N + HEADROOM) (1 + j / 8), and p. */
typedef struct {
    vec power, p;
} exp_parts;

enum { IN_STEP = 4 };

/* The exponentials of up to IN_STEP vectors. Each operation is done for all vectors before the next operation: an
   exponential is a chain of ten operations, each of which waits some four cycles for the one before, and a processor
   that looks ahead by a hundred operations would otherwise find too few that are ready. has_temperature: the scale's
   temperature may differ from 1. The result without it is the same; an addition replaces a multiply-add, since the
   units that add have more time to spare. What is below the floor goes through all of it, may become NaN on the way,
   and is 0 at the end; a NaN stays. exponent: NULL, or exponents of powers of two by which the results are multiplied,
   and then `key` is what is compared with the floor: the argument with the exponent's part. */
SMX_INLINE void exp_parts_with(const vec *x, const vec *key, const vec *exponent, int count, const exp_scale *scale,
                               int has_temperature, exp_parts *e) {
    const table rests = v_table(exp_rests);
    mask counts[IN_STEP];
    vec shifted[IN_STEP], n[IN_STEP], r[IN_STEP], q[IN_STEP];
#define EACH for (int k = 0; k < count; k++)
    EACH counts[k] = v_not_below(key[k], scale[k].floor);
    EACH shifted[k] = v_fma(x[k], scale[k].steps, scale[k].rounder);
    EACH n[k] = v_sub(shifted[k], scale[k].rounder);
    EACH r[k] = v_fnma(n[k], scale[k].step_high, x[k]);
    EACH r[k] = v_fnma(n[k], scale[k].step_low, r[k]);
    EACH r[k] = has_temperature ? v_fma(r[k], scale[k].inverse, v_look_up(rests, shifted[k]))
                                : v_add(r[k], v_look_up(rests, shifted[k]));
    /* q in r^2 q(r) = exp(r) - 1 - r */
#define STEP_DOWN(power) EACH q[k] = v_fma(q[k], r[k], v_set1(CONSTANT(EXP_##power)))
#if REAL_BITS == 32
    EACH q[k] = v_set1(CONSTANT(EXP_4));
#else
    EACH q[k] = v_set1(CONSTANT(EXP_8));
    STEP_DOWN(7);
    STEP_DOWN(6);
    STEP_DOWN(5);
    STEP_DOWN(4);
#endif
    STEP_DOWN(3);
    STEP_DOWN(2);
#undef STEP_DOWN
    EACH e[k].p = v_keep_fma(counts[k], v_mul(r[k], r[k]), q[k], r[k]);
    if (exponent)
        EACH shifted[k] = v_fma(exponent[k], v_set1(8), shifted[k]);
    EACH e[k].power = v_eighths(counts[k], shifted[k]);
#undef EACH
}
SMX_INLINE void exp_parts_in_step(const vec *x, int count, const exp_scale *scale, int has_temperature, exp_parts *e) {
    exp_parts_with(x, x, NULL, count, scale, has_temperature, e);
}
SMX_INLINE exp_parts exp_parts_of(vec x, exp_scale scale) {
    exp_parts e;
    exp_parts_in_step(&x, 1, &scale, 1, &e);
    return e;
}

/* Both parts of the exponential, times 2^(HEADROOM - N). If x is NaN, the second part is NaN. */
SMX_INLINE pair exp_of(vec x, exp_scale scale) {
    const exp_parts e = exp_parts_of(x, scale);
    return pair_of(e.power, v_mul(e.power, e.p));
}

/* Rounds a factor of such a power to four bits less, so that the product is exact (Veltkamp, 1968; Dekker, 1971). */
SMX_INLINE vec exp_factor(vec a) {
    const vec more = v_mul(a, v_set1(17));
    return v_sub(more, v_sub(more, a));
}

/* e, but with a power of 0 where x > bound. If x is NaN, p is NaN, too. */
SMX_INLINE exp_parts exp_up_to(vec bound, vec x, exp_parts e) {
    e.power = v_keep_le(x, bound, e.power);
    return e;
}

/* exp(x) 2^(SCALED_HEADROOM - N), rounded, for an x that belongs to no row, such as a log-probability. N is the
   reference, an integer of each lane; the scale keeps the digits of an exp(x) that is subnormal. Beyond its range the
   result is 0 or inf: the floor is where the exponent field is 0. */
#define SCALED_REFERENCE (REAL_BITS == 32 ? -24 : -128)
SMX_INLINE void exp_scaled_in_step(const vec *x, int count, vec reference, vec *y) {
    /* the largest n for which the power is finite, in units of x */
    const vec highest = v_mul(v_fma(reference, v_set1(8), v_set1(8 * (BIAS + 1 - SCALED_HEADROOM) - 1)),
                              v_set1(CONSTANT(LN2_HIGH) / 8));
    const vec eight_n = v_mul(v_sub(reference, v_set1(BIAS + SCALED_HEADROOM)), v_set1(8));
    const exp_scale same = exp_scale_with(v_sub(v_set1(ROUNDER), eight_n),
                                          v_mul(eight_n, v_set1(no_temperature.step_high)), &no_temperature);
    vec clamped[IN_STEP];
    exp_scale scale[IN_STEP];
    exp_parts parts[IN_STEP];
    SMX_ASSUME(count > 0);
    for (int k = 0; k < count; k++) {
        clamped[k] = v_min(highest, x[k]);
        scale[k] = same;
    }
    exp_parts_in_step(clamped, count, scale, 0, parts);
    for (int k = 0; k < count; k++) {
        const vec power = v_mul(parts[k].power, v_set1(CONSTANT(CENTRE)));
        const vec e = v_fma(power, parts[k].p, power);
        y[k] = v_select_le(highest, x[k], v_set1((real)INFINITY), e);
    }
}

/* 2^k for an integer k <= BIAS; 0 where it would be subnormal. */
SMX_INLINE vec power_of_two(vec k) {
    return v_low_bits_to_exponent(v_add(v_max(k, v_set1(-BIAS)), v_set1(ROUNDER + BIAS)));
}
