/* Sums of products, for the derivatives and for cross-entropy. sum.inc.h describes the order of the terms. */

/* s + x y (Ogita, Rump, Oishi 2005, Dot2). The losses of the two roundings are added to each other first, so that low
   waits for one addition a term, as high does. */
SMX_INLINE pair sum_add_product(pair s, vec x, vec y) {
    const pair product = two_product(x, y), t = two_sum_spread(s.high, product.high);
    return pair_of(t.high, v_add(s.low, v_add(t.low, product.low)));
}

/* A sum of products. A short row has SHORT_PRODUCT_SUMS partial sums. Products of floats are exact in double, and their
   sum is exact but for one rounding a term, far below the precision of a float; a sum of doubles costs half of what a
   pair of floats does. Doubles have no such wider type. */
#if REAL_BITS == 32
#define SHORT_PRODUCT_SUMS 4
typedef wide product_sum;

SMX_INLINE product_sum product_sum_begin(void) { return v_wide_zero(); }
SMX_INLINE product_sum product_sum_add(product_sum s, vec x, vec y) { return v_wide_add_product(s, x, y); }
SMX_INLINE product_sum product_sum_add_at(product_sum s, const real *x, const real *y) {
    return v_wide_add_product_at(s, x, y);
}
SMX_INLINE product_sum product_sum_add_sum(product_sum s, product_sum t) { return v_wide_add(s, t); }

/* The end of a sum: product_sum_end leaves a sum in every lane, product_sum_lanes one sum of all lanes. */
SMX_INLINE long_sum product_sum_end(product_sum s) {
    const vec high = v_wide_round(s);
    return long_sum_of(pair_of(high, v_wide_round(v_wide_sub(s, high))), v_set1(0));
}
SMX_INLINE long_sum product_sum_lanes(product_sum s) {
    const double total = v_wide_sum(s);
    const real high = (real)total;
    return long_sum_of(pair_of(v_set1(high), v_set1((real)(total - high))), v_set1(0));
}
#else
#define SHORT_PRODUCT_SUMS 1
typedef pair product_sum;

SMX_INLINE product_sum product_sum_begin(void) { return pair_of(v_set1(0), v_set1(0)); }
SMX_INLINE product_sum product_sum_add(product_sum s, vec x, vec y) { return sum_add_product(s, x, y); }
SMX_INLINE product_sum product_sum_add_at(product_sum s, const real *x, const real *y) {
    return product_sum_add(s, v_load(x), v_load(y));
}
SMX_INLINE product_sum product_sum_add_sum(product_sum s, product_sum t) { return sum_add_sum(s, t); }

SMX_INLINE long_sum product_sum_end(product_sum s) { return long_sum_of(s, v_set1(0)); }
SMX_INLINE long_sum product_sum_lanes(product_sum s) { return product_sum_end(sum_lanes(s)); }
#endif

/* What a derivative adds up: y g, exp(y) g, or g. The claim for a sum of products is relative to sum y |g|, so twice
   the working precision is enough. The claim for sum g is relative to |sum g| itself, and its terms may cancel, so this
   sum has three parts. */
enum summand { PRODUCT, EXP_PRODUCT, GRADIENT };

/* One member is in use. */
typedef struct {
    product_sum products;
    long_sum gradients;
} derivative_sum;

SMX_INLINE derivative_sum derivative_sum_begin(void) {
    const vec zero = v_set1(0);
    const derivative_sum s = {product_sum_begin(), long_sum_of(pair_of(zero, zero), zero)};
    return s;
}

/* SUMS_IN_PARTS: true if the lanes of a sum are reals; the lanes of a sum of products of floats are doubles. The
   function makes such a sum from its parts; a sum of products has no third part. */
#define SUMS_IN_PARTS(what) (REAL_BITS == 64 || (what) == GRADIENT)
SMX_INLINE derivative_sum derivative_sum_of_parts(vec high, vec low, vec lowest, enum summand what) {
    derivative_sum s = derivative_sum_begin();
    if (what == GRADIENT)
        s.gradients = long_sum_of(pair_of(high, low), lowest);
#if REAL_BITS == 64
    else
        s.products = pair_of(high, low);
#endif
    return s;
}

/* Adding zeros leaves the sum as it is. */
SMX_INLINE derivative_sum derivative_sum_add(derivative_sum s, vec y, vec g, enum summand what) {
    if (what == GRADIENT)
        s.gradients = long_sum_add_spread(s.gradients, g);
    else
        s.products = product_sum_add(s.products, what == EXP_PRODUCT ? exp_alone(y) : y, g);
    return s;
}

/* The same for vectors that are in memory. */
SMX_INLINE derivative_sum derivative_sum_add_at(derivative_sum s, const real *y, const real *g, enum summand what) {
    if (what != PRODUCT)
        return derivative_sum_add(s, v_load(y), v_load(g), what);
    s.products = product_sum_add_at(s.products, y, g);
    return s;
}

SMX_INLINE derivative_sum derivative_sum_add_sum(derivative_sum s, derivative_sum t, enum summand what) {
    if (what == GRADIENT)
        s.gradients = long_sum_add_sum(s.gradients, t.gradients);
    else
        s.products = product_sum_add_sum(s.products, t.products);
    return s;
}

#define ADD_DERIVATIVE_SUMS(s, t) derivative_sum_add_sum(s, t, what)

/* The end of a sum: derivative_sum_end leaves a sum in every lane, derivative_sum_lanes one sum of all lanes. */
SMX_INLINE long_sum derivative_sum_end(derivative_sum s, enum summand what) {
    return what == GRADIENT ? s.gradients : product_sum_end(s.products);
}
SMX_INLINE long_sum derivative_sum_lanes(derivative_sum s, enum summand what) {
    return what == GRADIENT ? long_sum_lanes(s.gradients) : product_sum_lanes(s.products);
}

/* The number of partial sums of a short row. */
#define SHORT_SUMS(what) ((what) == GRADIENT ? 1 : SHORT_PRODUCT_SUMS)
