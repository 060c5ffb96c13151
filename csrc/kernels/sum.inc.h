/* Sums that keep what rounding drops, in an order that depends on nothing but the row's length.

   The order of every sum. A row of n elements is cut into pieces of SMX_PIECE. Element i of a piece belongs to partial
   sum i mod L, where L = 1 for rows of up to SMX_SHORT elements, else LANES, the lanes of the widest vector of any
   level. Each partial sum takes its elements in order (four at a time where they are exponentials), and the partial
   sums of a piece are added pairwise, upper half onto lower half; the pieces then in order. Whether the L sums lie in
   the lanes of one register (ROWS), of several narrower ones, or in L registers each of which holds another row in every
   lane (COLUMNS), each of them sees the same operations on the same numbers. Hence the same bits. Missing elements at
   the end count as 0 (exp: as -inf), and adding 0 changes no bit.

   A sum is a pair, high + low: high is the rounded sum, low the sum of what the roundings lost, which is known exactly
   (Dekker, 1971; Knuth, TAOCP 2, 4.2.2). The pair is as good as about twice the working precision. */

typedef struct {
    vec high, low;
} sum;

SMX_INLINE sum sum_of(vec high, vec low) {
    const sum s = {high, low};
    return s;
}

/* s + x for any x: Knuth's TwoSum, six operations. */
SMX_INLINE sum sum_add(sum s, vec x) {
    const vec t = v_add(s.high, x);
    const vec x_seen = v_sub(t, s.high);
    const vec s_seen = v_sub(t, x_seen);
    const vec lost = v_add(v_sub(s.high, s_seen), v_sub(x, x_seen));
    return sum_of(t, v_add(s.low, lost));
}

/* s + x for |x| <= |s.high|: Dekker's Fast2Sum, three operations. */
SMX_INLINE sum sum_add_smaller(sum s, vec x) {
    const vec t = v_add(s.high, x);
    const vec lost = v_sub(x, v_sub(t, s.high));
    return sum_of(t, v_add(s.low, lost));
}

SMX_INLINE sum sum_add_sum(sum s, sum t) {
    s = sum_add(s, t.high);
    s.low = v_add(s.low, t.low);
    return s;
}

/* s + x y; the product's own rounding error is found by a fused multiply-add (Ogita, Rump, Oishi 2005, Dot2). */
SMX_INLINE sum sum_add_product(sum s, vec x, vec y) {
    const vec product = v_mul(x, y);
    s.low = v_add(s.low, v_fma(x, y, v_sub(v_set1(0), product)));
    return sum_add(s, product);
}

/* A sum in three parts, for terms that may cancel: what low's own roundings lose goes into lowest. As if in three times
   the working precision. */
typedef struct {
    sum s;
    vec lowest;
} long_sum;

SMX_INLINE long_sum long_sum_of(vec high, vec low, vec lowest) {
    const long_sum s = {sum_of(high, low), lowest};
    return s;
}

SMX_INLINE long_sum long_sum_add(long_sum s, vec x) {
    const sum high = sum_add(sum_of(s.s.high, v_set1(0)), x); /* its low part is what was lost, exactly */
    const sum low = sum_add(sum_of(s.s.low, s.lowest), high.low);
    return long_sum_of(high.high, low.high, low.low);
}

SMX_INLINE long_sum long_sum_add_sum(long_sum s, long_sum t) {
    s = long_sum_add(long_sum_add(s, t.s.high), t.s.low);
    s.lowest = v_add(s.lowest, t.lowest);
    return s;
}

/* high + low, high being that sum rounded. */
SMX_INLINE sum sum_settle(sum s) {
    const vec high = v_add(s.high, s.low);
    return sum_of(high, v_sub(s.low, v_sub(high, s.high)));
}

/* A sum of exponentials a (m + t). It starts at EXP_SUM_START, which no term exceeds, so that the cheaper Fast2Sum is
   exact for every term however the terms are ordered; exp_sum_end takes the start off again, exactly. a is a power of
   two, so the products a m and a t are exact, and a fused multiply-add adds a m as Fast2Sum needs it. Of the small a t,
   four are added plainly first: that loses less than u/10 of the four terms' sum. */
#define EXP_SUM_START (4 * (real)((real_bits)1 << HEADROOM))

SMX_INLINE sum exp_sum_begin(void) { return sum_of(v_set1(EXP_SUM_START), v_set1(0)); }

/* Up to four terms; fewer give the bits that four with a = 0 for the missing ones would. */
SMX_INLINE sum exp_sum_add(sum s, const exp_parts *e, int count) {
    for (int k = 0; k < count; k++) {
        const vec t = v_fma(e[k].m, e[k].a, s.high);
        const vec overshoot = v_fnma(e[k].m, e[k].a, v_sub(t, s.high)); /* what was lost, negated */
        s = sum_of(t, v_sub(s.low, overshoot));
    }
    vec small = v_mul(e[0].t, e[0].a);
    if (count > 1)
        small = v_fma(e[1].t, e[1].a, small);
    if (count > 2) {
        const vec third = v_mul(e[2].t, e[2].a);
        small = v_add(small, count > 3 ? v_fma(e[3].t, e[3].a, third) : third);
    }
    return sum_add_smaller(s, small);
}

SMX_INLINE sum exp_sum_end(sum s) { return sum_of(v_sub(s.high, v_set1(EXP_SUM_START)), s.low); }

/* The partial sums of a piece, pairwise. count is 1 or LANES. */
SMX_INLINE long_sum long_sum_lanes(long_sum *lane, int count) {
    for (int half = count / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            lane[i] = long_sum_add_sum(lane[i], lane[i + half]);
    return lane[0];
}
SMX_INLINE sum sum_lanes(sum *lane, int count) {
    for (int half = count / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            lane[i] = sum_add_sum(lane[i], lane[i + half]);
    return lane[0];
}
