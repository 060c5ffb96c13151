/* log(1 + z) for z >= 0. z and the result are pairs, high + low.

   1 + z = 2^k (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)], and with s = f / (2 + f), after fdlibm (Sun Microsystems,
   1993),

       log(1 + f) = 2 artanh(s) = f - f^2/2 + s (f^2/2 + R(s^2)),    R minimax (coefficients.py)

   f is found without loss: the 1 cancels exactly, so a small z keeps all its bits, and this makes log_softmax accurate
   where it is close to 0. The result is k ln2 (its leading bits, exact), plus f, less f^2/2 (a pair, too), plus a rest
   that is small beside these; they are added last, without loss but for the rest, and kept as a pair.

   tests/exhaustive runs float over every argument, and double over a dense sample. The error of the pair is in u of the
   result; in log_of_1_plus_pair, z has a low part:

   claim: log_of_1_plus float32 <= 0.29 u, proven; found 0.189 at hex: 0x1.97ff28p-2
   claim: log_of_1_plus float64 <= 0.30 u, proven; found 0.202 at hex: 0x1.a788f1a228a2dp-2
   claim: log_of_1_plus_pair float32 <= 0.34 u, proven; found 0.216 at hex: 0x1.a1509cp-2, 0x1.b6cf6ap-28
   claim: log_of_1_plus_pair float64 <= 0.35 u, proven; found 0.245 at hex: 0x1.92176fd315bccp-2, -0x1.6be746cefa5ap-59 */

/* log(w + more), where w is renormalized and more is small beside it. */
SMX_INLINE pair log_of(pair w, vec more) {
    const vec one = v_set1(1);
    vec k = v_sub(v_exponent_field(w.high), v_set1(BIAS));
    vec m = v_significand(w.high);
    const vec above = v_select_le(m, v_set1(REAL_SQRT2), v_set1(0), one);
    k = v_add(k, above);
    m = v_fnma(v_mul(m, v_set1((real)0.5)), above, m);

    /* f = (m - 1) + w.low + more, again as a pair */
    const vec scale = power_of_two(v_sub(v_set1(0), k));
    pair f = sum_renormalize(pair_of(v_sub(m, one), v_mul(w.low, scale)));
    f.low = v_fma(more, scale, f.low);

    const vec s = v_div(f.high, v_add(v_set1(2), f.high));
    const vec s2 = v_mul(s, s);
#define STEP_DOWN(power) l = v_fma(l, s2, v_set1(CONSTANT(LOG_##power)))
#if REAL_BITS == 32
    vec l = v_set1(CONSTANT(LOG_4));
#else
    vec l = v_set1(CONSTANT(LOG_7));
    STEP_DOWN(6);
    STEP_DOWN(5);
    STEP_DOWN(4);
#endif
    STEP_DOWN(3);
    STEP_DOWN(2);
    STEP_DOWN(1);
#undef STEP_DOWN
    const pair half_square = two_product(v_mul(f.high, v_set1((real)0.5)), f.high);
    vec rest = v_fms(s, v_fma(s2, l, half_square.high), half_square.low);
    rest = v_add(rest, v_div(f.low, m)); /* log'(1 + f) = 1 / (1 + f) */
    rest = v_fma(k, v_set1(CONSTANT(LN2_REST)), rest);

    /* k ln2 is 0 or larger than f, and f is larger than f^2/2 */
    pair result = sum_add_smaller(pair_of(v_mul(k, v_set1(CONSTANT(LN2_TOP))), v_set1(0)), f.high);
    result = sum_add_smaller(result, v_sub(v_set1(0), half_square.high));
    result.low = v_add(result.low, rest);
    return sum_renormalize(result);
}
SMX_INLINE pair log_of_1_plus(pair z) { return log_of(two_sum(v_set1(1), z.high), z.low); }
