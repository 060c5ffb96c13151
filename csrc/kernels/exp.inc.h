/* exp(x / T), T being the softmax's temperature (mostly 1), in the parts that a softmax wants apart:

       exp(x / T) = 2^(n / 4) (1 + p),    n = round(4 x / (T ln2)),    p = exp(r) - 1,  r = x / T - n ln2 / 4

   |r| < 0.087, |p| < 0.091. n and p depend on x alone, not on its row. A softmax that subtracts the row's maximum from
   x rounds the difference, and that error grows with the difference: up to 64 ULP of the result in float, 512 in double.
   Subtracting exponents, n - 4 N, rounds nothing.

   The reduction (Cody and Waite, 1980, with fused steps). A step T ln2 / 4 is a pair, STEP_HIGH + STEP_LOW. The first
   part, r1 = x - n STEP_HIGH, is exact: it is a multiple of the last bit of STEP_HIGH or of x and below STEP_HIGH / 2,
   so it has few enough bits, and a fused multiply-add rounds only once. That holds for |x / T| up to LARGE; beyond, n
   would run out of bits, but there x - max is exact for every x near enough to the maximum to matter (Sterbenz, 1974:
   x >= max / 2), so the driver subtracts first. Nothing here costs more for a T that is not 1: x / T is never formed.

   A table in a register (Tang, 1989), of the four 2^(j / 4), j = n modulo 4. More entries would shorten the polynomial
   no further in float, and there is an instruction that looks up four at every level. A power is a pair as well:
   POWER_j is rounded, and POWER_j exp(REST_j) is 2^(j / 4). REST_j, below u, is added to r where r is small.

   Two parts, a M and a M p, M being POWER_j and a = 2^(n div 4 - N + HEADROOM). The first is exact. The second is small,
   so no rounding on its way is larger than half an ULP of 0.091: the two are within about u / 3 of exp(x), u being half
   the distance from 1 to the next number. As a single number exp would be off by u and more; a sum and a quotient of such
   numbers end up at 3 ULP.

   The scale. N is the even integer nearest to the exponent of the row's maximum. HEADROOM leaves a normal number where 2^(n / 4
   - N) would be subnormal, and whatever is multiplied by it is made smaller by as much: so a subnormal result comes about
   when it is written, and the loops before it hardly meet a subnormal number (which some processors handle in
   microcode). x is held above the value at which the exponent field and j are 0: both parts are then 0, exactly, and
   that is what -inf and all that is negligible beside the maximum come to.

   tests/exhaustive runs float over every argument, double over a dense sample. Error of the two parts, in u of them;
   exp_alone is exp(x) rounded:

   claim: exp float32 <= 0.33 u; found 0.324 at hex: 0x1.6fb2eap+4
   claim: exp float64 <= 0.31 u; found 0.294 at hex: -0x1.0ba03199a7b86p+4
   claim: exp_alone float32 <= 0.83 ulp; found 0.809 at hex: -0x1.5dc23ep+6
   claim: exp_alone float64 <= 0.83 ulp; found 0.787 at hex: -0x1.625189e519b26p+9 */

/* An unevaluated sum high + low. */
typedef struct {
    vec high, low;
} pair;

SMX_INLINE pair pair_of(vec high, vec low) {
    const pair p = {high, low};
    return p;
}

/* ---- what the reduction needs to know of a temperature ---------------------------------------------------------- */

typedef struct {
    real steps;               /* 4 / (T ln2) */
    real step_high, step_low; /* T ln2 / 4 */
    real inverse, inverse_low;
    real large, negligible; /* LARGE and NEGLIGIBLE in units of x */
} exp_temperature;

static const exp_temperature no_temperature = {
    .steps = 4 * CONSTANT(LOG2E),
    .step_high = CONSTANT(LN2_HIGH) / 4,
    .step_low = CONSTANT(LN2_LOW) / 4,
    .inverse = 1,
    .inverse_low = 0,
    .large = LARGE,
    .negligible = NEGLIGIBLE,
};

/* T as a double, and products with it in twice that precision, for float as well. */
SMX_INLINE void set_temperature(double temperature, void *constants) {
    exp_temperature t;
    const double step = temperature * (F64_LN2_HIGH / 4);
    const double step_low = fma(temperature, F64_LN2_HIGH / 4, -step) + temperature * (F64_LN2_LOW / 4);
    const double inverse = 1 / temperature;
    const double inverse_low = -fma(inverse, temperature, -1) / temperature;
    t.steps = (real)(4 * F64_LOG2E / temperature);
    t.step_high = (real)step;
    t.step_low = (real)((step - (double)t.step_high) + step_low);
    t.inverse = (real)inverse;
    t.inverse_low = (real)((inverse - (double)t.inverse) + inverse_low);
    t.large = (real)(LARGE * temperature);
    t.negligible = (real)(NEGLIGIBLE * temperature);
    memcpy(constants, &t, sizeof t);
}

/* ---- the exponentials of a row ---------------------------------------------------------------------------------- */

/* Of WIDTH rows. rounder = ROUNDER + 4 (BIAS + HEADROOM - N), floor = T ln2 (N - BIAS - HEADROOM). */
typedef struct {
    vec rounder, floor, steps, step_high, step_low, inverse;
} exp_scale;

/* The N of rows with maximum m, an even one. m may be anything: where |m| > large the result is of no use, but finite. */
SMX_INLINE vec exp_reference(vec m, const exp_temperature *t) {
    const vec bounded = v_max(v_set1(-t->large), v_min(m, v_set1(t->large)));
    const vec half = v_sub(v_fma(bounded, v_set1(t->steps / 8), v_set1(ROUNDER)), v_set1(ROUNDER));
    return v_add(half, half);
}

SMX_INLINE exp_scale exp_scale_with(vec rounder, vec floor, const exp_temperature *t) {
    const exp_scale scale = {rounder,           floor, v_set1(t->steps), v_set1(t->step_high), v_set1(t->step_low),
                             v_set1(t->inverse)};
    return scale;
}

SMX_INLINE exp_scale exp_scale_of(vec reference, const exp_temperature *t) {
    const vec four_n = v_mul(v_sub(reference, v_set1(BIAS + HEADROOM)), v_set1(4));
    return exp_scale_with(v_sub(v_set1(ROUNDER), four_n), v_mul(four_n, v_set1(t->step_high)), t);
}

/* q in r^2 q(r) = exp(r) - 1 - r */
SMX_INLINE vec exp_polynomial(vec r) {
#define STEP_DOWN(power) q = v_fma(q, r, v_set1(CONSTANT(EXP_##power)))
#if REAL_BITS == 32
    vec q = v_set1(CONSTANT(EXP_4));
#else
    vec q = v_set1(CONSTANT(EXP_8));
    STEP_DOWN(7);
    STEP_DOWN(6);
    STEP_DOWN(5);
    STEP_DOWN(4);
#endif
    STEP_DOWN(3);
    STEP_DOWN(2);
#undef STEP_DOWN
    return q;
}

/* The bits of 2^(j / 4) less those of 1 and less j where the shifted n puts it: added to that n, they are the power. */
#define POWER(j)                                                                                                       \
    real_from_bits(bits_of_real(CONSTANT(POWER_##j)) - bits_of_real(1) - ((real_bits)(j) << (FRACTION_BITS - 2)))

/* The power 2^(n / 4 - N + HEADROOM), and p. */
typedef struct {
    vec power, p;
} exp_parts;

/* has_temperature: whether the scale's may be other than 1; units that add have more time than those that multiply. */
SMX_INLINE exp_parts exp_parts_with(vec x, exp_scale scale, int has_temperature) {
    const table powers = v_table(POWER(0), POWER(1), POWER(2), POWER(3));
    const table rests = v_table(0, CONSTANT(REST_1), CONSTANT(REST_2), CONSTANT(REST_3));
    const vec held = v_max(scale.floor, x); /* a NaN in x stays */
    const vec shifted = v_fma(held, scale.steps, scale.rounder);
    const vec n = v_sub(shifted, scale.rounder);
    const vec r1 = v_fnma(n, scale.step_high, held);
    const vec r2 = v_fnma(n, scale.step_low, r1);
    const vec rest = v_look_up(rests, shifted), r = has_temperature ? v_fma(r2, scale.inverse, rest) : v_add(r2, rest);
    const exp_parts e = {v_add_quarters(v_look_up(powers, shifted), shifted), v_fma(v_mul(r, r), exp_polynomial(r), r)};
    return e;
}
SMX_INLINE exp_parts exp_parts_of(vec x, exp_scale scale) { return exp_parts_with(x, scale, 1); }

/* Both parts of the exponential, times 2^(HEADROOM - N). Of a NaN, the second is NaN. */
SMX_INLINE pair exp_pair(exp_parts e) { return pair_of(e.power, v_mul(e.power, e.p)); }
SMX_INLINE pair exp_of(vec x, exp_scale scale) { return exp_pair(exp_parts_of(x, scale)); }

/* 0 where x > bound; a NaN stays. */
SMX_INLINE exp_parts exp_up_to(vec bound, vec x, exp_parts e) {
    e.power = v_keep_le(x, bound, e.power);
    return e;
}

/* exp(x) for x of no row, such as a log-probability, rounded. Beyond the range of the scale, 0 or inf. */
SMX_INLINE vec exp_alone(vec x) {
    const vec highest = v_set1((4 * (BIAS + 1 - HEADROOM) - 1) * (CONSTANT(LN2_HIGH) / 4));
    const pair e = exp_pair(exp_parts_with(v_min(highest, x), exp_scale_of(v_set1(0), &no_temperature), 0));
    const vec y = v_mul(v_add(e.high, e.low), v_set1(1 / (real)((real_bits)1 << HEADROOM)));
    return v_select_le(highest, x, v_set1((real)INFINITY), y);
}

/* 2^k for an integer k <= BIAS; 0 where it would be subnormal. */
SMX_INLINE vec power_of_two(vec k) {
    return v_low_bits_to_exponent(v_add(v_max(k, v_set1(-BIAS)), v_set1(ROUNDER + BIAS)));
}
