/* Sums of products, for the derivatives and for cross-entropy. sum.inc.h describes the order of the terms. */

/* s + x y (Ogita, Rump, Oishi 2005, Dot2). The losses of the two roundings are added to each other first, so that low
   waits for one addition a term, as high does. */
SMX_INLINE pair sum_add_product(pair s, vec x, vec y) {
    const pair product = two_product(x, y), t = two_sum_spread(s.high, product.high);
    return pair_of(t.high, v_add(s.low, v_add(t.low, product.low)));
}

/* What a derivative adds up: y g, exp(y) g, or g. */
enum summand { PRODUCT, EXP_PRODUCT, GRADIENT };

/* A derivative's sum. The claims are relative to the sum of the absolute terms, so up to three roundings of the type
   itself are allowed a term (docs/accuracy.md, theorem 6): a few terms are added plainly, and their sum goes into a
   double (float) or a pair (double). */
#if REAL_BITS == 32
typedef wide derivative_sum;
#else
typedef pair derivative_sum;
#endif

/* Products of short rows have four partial sums, and are added by chains of three: a row fills fours. In rows of up to
   SMX_FEW elements that is one product each, and the partial sums are added plainly, too. */
#define HAS_CHAINS(what, is_short) ((is_short) && (what) == PRODUCT)
#define CHAIN 3
#define SUM_GROUP(what, is_short) (HAS_CHAINS(what, is_short) ? CHAIN : 4) /* terms that are added at once */
#define SUM_COUNT(what, is_short) (!(is_short) ? SUMS : HAS_CHAINS(what, 1) ? 4 : 1) /* partial sums of a row */

/* Sums of products are this factor too large, so that plain products keep their digits where y or exp(y) is small or
   subnormal. Large numbers make them infinite, which finish notices: products beyond 2^72 or 2^832, for exp(y) g beyond
   2^40 or 2^486. */
#define SUM_EXPONENT(what)                                                                                             \
    ((what) == GRADIENT ? 0 : (what) == PRODUCT ? (REAL_BITS == 32 ? 55 : 191) : (REAL_BITS == 32 ? 87 : 537))
#define SUM_SCALE(what)                                                                                                \
    ((real)((what) == GRADIENT  ? 1                                                                                    \
            : (what) == PRODUCT ? (REAL_BITS == 32 ? 0x1p55 : 0x1p191)                                                 \
                                : (REAL_BITS == 32 ? 0x1p87 : 0x1p537)))
#define EXP_SUM_REFERENCE (REAL_BITS == 32 ? -56 : -474)

/* exp(y) times its scale becomes 0 below 2^-213 or 2^-1559, so g has to be small enough for that to be right, too, also
   after a division by T, and for 2^31 such terms: together they are at most half of the smallest subnormal number. */
#define LARGEST_OF_EXP ((real)(REAL_BITS == 32 ? 0x1p32 : 0x1p450))
SMX_INLINE vec largest_of_exp(const exp_temperature *t) {
    return v_set1(t->inverse > 1 ? LARGEST_OF_EXP / t->inverse : LARGEST_OF_EXP);
}

#if REAL_BITS == 32
SMX_INLINE derivative_sum derivative_sum_begin(void) { return v_wide_zero(); }
SMX_INLINE derivative_sum derivative_sum_add_plain(derivative_sum s, vec x) { return v_wide_add(s, v_wide_of(x)); }
SMX_INLINE derivative_sum derivative_sum_add_sum(derivative_sum s, derivative_sum t) { return v_wide_add(s, t); }

/* The end of a sum: derivative_sum_end leaves a sum in every lane, derivative_sum_lanes one sum of all lanes. */
SMX_INLINE pair derivative_sum_end(derivative_sum s) {
    const vec high = v_wide_round(s);
    return pair_of(high, v_wide_round(v_wide_sub(s, high)));
}
SMX_INLINE pair derivative_sum_lanes(derivative_sum s) {
    const double total = v_wide_sum(s);
    const real high = (real)total;
    return pair_of(v_set1(high), v_set1((real)(total - (double)high)));
}
#else
SMX_INLINE derivative_sum derivative_sum_begin(void) { return pair_of(v_set1(0), v_set1(0)); }
SMX_INLINE derivative_sum derivative_sum_add_plain(derivative_sum s, vec x) {
    const pair t = two_sum_spread(s.high, x);
    return pair_of(t.high, v_add(s.low, t.low));
}
SMX_INLINE derivative_sum derivative_sum_add_sum(derivative_sum s, derivative_sum t) { return sum_add_sum(s, t); }
SMX_INLINE pair derivative_sum_end(derivative_sum s) { return s; }
SMX_INLINE pair derivative_sum_lanes(derivative_sum s) { return sum_lanes(s); }
#endif

/* exp(y), scaled; infinite where g is larger than `largest`. */
SMX_INLINE void exp_factors(const vec *y, const vec *g, int count, vec largest, vec *factor) {
    vec e[IN_STEP];
    exp_scaled_in_step(y, count, v_set1(EXP_SUM_REFERENCE), e);
    for (int k = 0; k < count; k++)
        factor[k] = v_select_le(v_max(g[k], v_sub(v_set1(0), g[k])), largest, e[k], v_set1((real)INFINITY));
}

/* The products of up to CHAIN elements, one added to the other. */
SMX_INLINE vec chain_of_products(const vec *factor, const vec *g, int count) {
    vec chain = v_mul(factor[0], g[0]);
    for (int k = 1; k < count; k++)
        chain = v_fma(factor[k], g[k], chain);
    return chain;
}
/* Four products or fewer, as two chains. */
SMX_INLINE vec sum_of_chains(const vec *factor, const vec *g, int count) {
    const vec first = chain_of_products(factor, g, count < 2 ? count : 2);
    return count > 2 ? v_add(first, chain_of_products(factor + 2, g + 2, count - 2)) : first;
}
SMX_INLINE void scale_factors(const vec *y, int count, vec *factor) {
    for (int k = 0; k < count; k++)
        factor[k] = v_mul(y[k], v_set1(SUM_SCALE(PRODUCT)));
}
SMX_INLINE vec chain_of_scaled(const vec *y, const vec *g, int count) {
    vec factor[IN_STEP];
    scale_factors(y, count, factor);
    return chain_of_products(factor, g, count);
}

/* Adds a group of up to SUM_GROUP terms; `largest` is that of exp_factors. Fewer terms give the same bits as all, of
   which the missing ones are 0. Products of float16 numbers are normal floats even unscaled, so their sum is scaled
   instead, which gives the same bits. */
SMX_INLINE derivative_sum derivative_sum_add(derivative_sum s, const vec *y, const vec *g, int count, vec largest,
                                             enum summand what, int is_short, int is_float16) {
    vec factor[IN_STEP];
    if (what == GRADIENT) {
        vec sum = count > 1 ? v_add(g[0], g[1]) : g[0];
        if (count > 2)
            sum = v_add(sum, count > 3 ? v_add(g[2], g[3]) : g[2]);
        return derivative_sum_add_plain(s, sum);
    }
    if (HAS_CHAINS(what, is_short))
        return derivative_sum_add_plain(s, chain_of_scaled(y, g, count));
    if (what == EXP_PRODUCT) {
        exp_factors(y, g, count, largest, factor);
        s = derivative_sum_add_plain(s, chain_of_products(factor, g, count < 2 ? count : 2));
        /* The exponential's own rounding leaves no room for that of adding the chains. */
        return count > 2 ? derivative_sum_add_plain(s, chain_of_products(factor + 2, g + 2, count - 2)) : s;
    }
    if (is_float16)
        return derivative_sum_add_plain(s, v_mul(sum_of_chains(y, g, count), v_set1(SUM_SCALE(PRODUCT))));
    scale_factors(y, count, factor);
    return derivative_sum_add_plain(s, sum_of_chains(factor, g, count));
}

/* ---- a short row in fours --------------------------------------------------------------------------------------- */

/* A chain of products of up to 4 CHAIN elements: so many whole fours, then 1 to 4 elements. */
SMX_INLINE four chain_of_fours(const real *y, const real *g, ptrdiff_t fours, ptrdiff_t last) {
    const four scale = v_four_set1(SUM_SCALE(PRODUCT));
    const four y_last = v_four_mul(v_four_load_first(y + 4 * fours, last), scale);
    const four g_last = v_four_load_first(g + 4 * fours, last);
    if (fours == 0)
        return v_four_mul(y_last, g_last);
    four chain = v_four_mul(v_four_mul(v_four_load(y), scale), v_four_load(g));
    for (ptrdiff_t i = 1; i < fours; i++)
        chain = v_four_fma(v_four_mul(v_four_load(y + 4 * i), scale), v_four_load(g + 4 * i), chain);
    return v_four_fma(y_last, g_last, chain);
}

#if REAL_BITS == 64
/* A quad of doubles: a pair of fours. */
typedef struct {
    four high, low;
} quad;

SMX_INLINE quad v_quad_of(four a) {
    const quad s = {a, v_four_set1(0)};
    return s;
}
SMX_INLINE quad v_quad_add(quad s, four x) { /* TwoSum */
    const four t = v_four_add(s.high, x), x_seen = v_four_sub(t, s.high), s_seen = v_four_sub(t, x_seen);
    const four lost = v_four_add(v_four_sub(s.high, s_seen), v_four_sub(x, x_seen));
    const quad sum = {t, v_four_add(s.low, lost)};
    return sum;
}
#endif

#define ADD_PAIRWISE_SUMS(s, count) ADD_PAIRWISE(derivative_sum_add_sum, s, count)
