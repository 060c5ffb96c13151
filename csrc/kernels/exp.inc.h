/* exp(x), in the parts that a softmax wants apart:

       exp(x) = 2^n (m + t),    n = round(x / ln2),    r = x - n ln2 in [-ln2/2, ln2/2]

   m is 1 + r rounded, t what is missing: |t| < 0.073. n, m and t depend on x alone, not on its row. A softmax that
   subtracts the row's maximum from x rounds the difference, and that error grows with the difference: up to 64 ULP of
   the result in float, 512 in double. Subtracting exponents, n - N, rounds nothing.

   The reduction (Cody and Waite, 1980, with fused steps). ln2 = LN2_HIGH + LN2_LOW, each of full precision. The first
   step, r1 = x - n LN2_HIGH, is exact: it is a multiple of the last bit of LN2_HIGH or of x and below 1/2, so it has
   few enough bits, and a fused multiply-add rounds only once. That holds for |x| up to LARGE; beyond, n would run out of
   bits, but there x - max is exact for every x near enough to the maximum to matter (Sterbenz, 1974: x >= max / 2), so
   the driver subtracts first.

   Two parts instead of one. 1 + r1 = m + (r1 - (m - 1)), exactly (Dekker's Fast2Sum); the second step of the reduction,
   - n LN2_LOW, and the polynomial r^2 q(r), q minimax (coefficients.py), join the small part:

       t = (r1 - (m - 1)) - n LN2_LOW + r^2 q(r)

   So no rounding is larger than half an ULP of 0.07: m + t is within about u/3 of exp(r), where u is half the distance
   from 1 to the next number. A single number 1 + p, p = r + r^2 q(r), would be off by u/2 from the roundings of r and p
   in the lower half of its range, and by another u if it is rounded itself; a sum and a quotient of such numbers end up
   at 3 ULP.

   The scale. 2^n is never built on its own. The terms of a sum, and the results, are multiples of

       a = 2^(n - N + HEADROOM)

   with N the even integer nearest to the exponent of the row's maximum. N is even, as are the other parts of the number
   that is added to round x / ln2, so that a tie is rounded to the same n whatever the row. HEADROOM leaves a normal
   number where 2^(n - N) would be subnormal, and whatever is multiplied by a is made smaller by as much: so a
   subnormal result is rounded once, when it is written, and no loop meets a subnormal number (which some processors
   handle in microcode). x is held above the value at which the exponent field of a is 0: then a = +0, exactly, and
   that is what -inf and all that is negligible beside the maximum come to.

   tests/exhaustive runs float over every argument, double over a dense sample. Error of m + t, in u of it;
   exp_alone is exp(x) rounded:

   claim: exp float32 <= 0.30 u; found 0.295 at hex: 0x1.4e43dp+2
   claim: exp float64 <= 0.33 u; found 0.309 at hex: 0x1.f1927591c93d2p+24
   claim: exp_alone float32 <= 0.80 ulp; found 0.793 at hex: -0x1.5e9c94p+6
   claim: exp_alone float64 <= 0.80 ulp; found 0.768 at hex: -0x1.623d21210c18fp+9 */

typedef struct {
    vec m, t, a;
} exp_parts;

/* What exp needs to know of a row: rounder = ROUNDER + (BIAS + HEADROOM - N), floor = ln2 (N - BIAS - HEADROOM). */
typedef struct {
    vec rounder, floor;
} exp_scale;

/* The N of rows with maximum m; their scale. m may be anything: where |m| > LARGE the result is of no use, but finite. */
SMX_INLINE vec exp_reference(vec m) {
    const vec bounded = v_max(v_set1(-LARGE), v_min(m, v_set1(LARGE)));
    const vec half = v_fma(bounded, v_set1(CONSTANT(LOG2E) / 2), v_set1(ROUNDER));
    const vec rounded = v_sub(half, v_set1(ROUNDER));
    return v_add(rounded, rounded);
}

SMX_INLINE exp_scale exp_scale_of(vec reference) {
    exp_scale scale;
    scale.rounder = v_sub(v_set1(ROUNDER + BIAS + HEADROOM), reference);
    scale.floor = v_mul(v_sub(reference, v_set1(BIAS + HEADROOM)), v_set1(CONSTANT(LN2_HIGH)));
    return scale;
}

/* q in r^2 q(r) = exp(r) - 1 - r */
SMX_INLINE vec exp_polynomial(vec r) {
#define STEP_DOWN(power) q = v_fma(q, r, v_set1(CONSTANT(EXP_##power)))
#if REAL_BITS == 32
    vec q = v_set1(CONSTANT(EXP_6));
#else
    vec q = v_set1(CONSTANT(EXP_11));
    STEP_DOWN(10);
    STEP_DOWN(9);
    STEP_DOWN(8);
    STEP_DOWN(7);
    STEP_DOWN(6);
#endif
    STEP_DOWN(5);
    STEP_DOWN(4);
    STEP_DOWN(3);
    STEP_DOWN(2);
#undef STEP_DOWN
    return q;
}

SMX_INLINE exp_parts exp_of(vec x, exp_scale scale) {
    exp_parts e;
    x = v_max(scale.floor, x); /* a NaN in x stays */
    const vec shifted = v_fma(x, v_set1(CONSTANT(LOG2E)), scale.rounder);
    const vec n = v_sub(shifted, scale.rounder);
    const vec r1 = v_fnma(n, v_set1(CONSTANT(LN2_HIGH)), x);
    const vec r = v_fnma(n, v_set1(CONSTANT(LN2_LOW)), r1);
    e.m = v_add(v_set1(1), r1);
    const vec rest = v_fnma(n, v_set1(CONSTANT(LN2_LOW)), v_sub(r1, v_sub(e.m, v_set1(1))));
    e.t = v_fma(v_mul(r, r), exp_polynomial(r), rest);
    e.a = v_low_bits_to_exponent(shifted);
    return e;
}

/* exp(x) for x of no row, such as a log-probability, rounded. Beyond the range of a, 0 or inf. */
SMX_INLINE vec exp_alone(vec x) {
    const vec highest = v_set1((BIAS + 1 - HEADROOM) * CONSTANT(LN2_HIGH));
    const exp_parts e = exp_of(v_min(highest, x), exp_scale_of(v_set1(0)));
    return v_mul(v_mul(v_add(e.m, e.t), e.a), v_set1(1 / (real)((real_bits)1 << HEADROOM)));
}

/* 2^k for an integer k <= BIAS; 0 where it would be subnormal. */
SMX_INLINE vec power_of_two(vec k) {
    return v_low_bits_to_exponent(v_add(v_max(k, v_set1(-BIAS)), v_set1(ROUNDER + BIAS)));
}
