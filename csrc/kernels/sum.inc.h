/* Sums that keep what rounding drops, in an order that depends on nothing but the row's length.

   The order of every sum. A row of n elements is cut into pieces of SMX_PIECE. Element i of a piece belongs to
   partial sum i mod L, where L = LANES, the lanes of the widest vector of any level, but for rows of up to SMX_SHORT
   elements: there L = 1, or 4 for products of floats. Each partial sum takes its elements in order (exponentials four
   at a time; where L > 1, their small parts after the powers of the next four), and the partial sums of a piece are
   added pairwise, upper half onto lower half; the pieces then in order. Whether the L sums lie in the lanes of one
   register (ROWS), of several narrower ones, or in L registers each of which holds another row in every lane
   (COLUMNS), each of them sees the same operations on the same numbers. Hence the same bits. Missing elements at the
   end count as 0 (exp: as -inf), and adding 0 changes no bit.

   A sum is a pair, high + low: high is the rounded sum, low the sum of what the roundings lost, which is known exactly
   (Dekker, 1971; Knuth, TAOCP 2, 4.2.2). The pair is as good as about twice the working precision. Only sums of products
   of floats are doubles instead, until they are stored. */

/* s + x for any s and x, and what its rounding lost: Knuth's TwoSum, six operations ... */
SMX_INLINE pair two_sum(vec s, vec x) {
    const vec t = v_add(s, x);
    const vec x_seen = v_sub(t, s);
    const vec s_seen = v_sub(t, x_seen);
    return pair_of(t, v_add(v_sub(s, s_seen), v_sub(x, x_seen)));
}
/* ... and by both kinds of units, for loops that do little else; it takes longer by itself. */
SMX_INLINE pair two_sum_spread(vec s, vec x) {
    const vec t = v_add(s, x);
    const vec x_seen = v_sub_fused(t, s);
    const vec s_seen = v_sub(t, x_seen);
    return pair_of(t, v_add(v_sub_fused(s, s_seen), v_sub_fused(x, x_seen)));
}

SMX_INLINE pair sum_add(pair s, vec x) {
    const pair t = two_sum(s.high, x);
    return pair_of(t.high, v_add(s.low, t.low));
}

/* s + x for |x| <= |s.high|: Dekker's Fast2Sum, three operations. */
SMX_INLINE pair sum_add_smaller(pair s, vec x) {
    const vec t = v_add(s.high, x);
    const vec lost = v_sub(x, v_sub(t, s.high));
    return pair_of(t, v_add(s.low, lost));
}

SMX_INLINE pair sum_add_sum(pair s, pair t) {
    s = sum_add(s, t.high);
    s.low = v_add(s.low, t.low);
    return s;
}

/* x y, and what its rounding lost, found by a fused multiply-add. */
SMX_INLINE pair two_product(vec x, vec y) {
    const vec product = v_mul(x, y);
    return pair_of(product, v_fms(x, y, product));
}

/* s + x y (Ogita, Rump, Oishi 2005, Dot2). What the two roundings lost is added up first: so low waits for one addition a
   term, as high does. */
SMX_INLINE pair sum_add_product(pair s, vec x, vec y) {
    const pair product = two_product(x, y), t = two_sum_spread(s.high, product.high);
    return pair_of(t.high, v_add(s.low, v_add(t.low, product.low)));
}

/* A sum in three parts, for terms that may cancel: what low's own roundings lose goes into lowest. As if in three times
   the working precision. */
typedef struct {
    vec high, low, lowest;
} long_sum;

SMX_INLINE long_sum long_sum_of(pair s, vec lowest) {
    const long_sum l = {s.high, s.low, lowest};
    return l;
}

SMX_INLINE long_sum long_sum_add(long_sum s, vec x) {
    const pair high = two_sum(s.high, x), low = two_sum(s.low, high.low);
    return long_sum_of(pair_of(high.high, low.high), v_add(s.lowest, low.low));
}
SMX_INLINE long_sum long_sum_add_spread(long_sum s, vec x) {
    const pair high = two_sum_spread(s.high, x), low = two_sum_spread(s.low, high.low);
    return long_sum_of(pair_of(high.high, low.high), v_add(s.lowest, low.low));
}

SMX_INLINE long_sum long_sum_add_sum(long_sum s, long_sum t) {
    /* Of an infinite one, what was lost is NaN: it must not make one of the sum. (inf - inf <= 0 is false.) */
    const vec low = v_keep_le(v_sub(t.high, t.high), v_set1(0), t.low);
    s = long_sum_add(long_sum_add(s, t.high), low);
    s.lowest = v_add(s.lowest, t.lowest);
    return s;
}

/* high + low, high being that sum rounded. */
SMX_INLINE pair sum_settle(pair s) {
    const vec high = v_add(s.high, s.low);
    return pair_of(high, v_sub(s.low, v_sub(high, s.high)));
}

/* A sum of exponentials, each of two parts, M and M p. It starts at a number that no term exceeds (EXP_SUM_START, times the
   power of two of the largest term), so that the cheaper Fast2Sum is exact for every term however the terms are ordered;
   exp_sum_end takes the start off again, exactly. Of the small parts M p, four are added plainly first, by fused steps:
   that loses at most 0.41 u of the four terms' sum (docs/accuracy.md, lemma 3): as much where the first term dominates and
   the others are just below its product's last place, 0.17 u where all are alike. It takes so long that they are added only
   after the next four M, which would have to wait otherwise. */
#define EXP_SUM_START (4 * (real)((real_bits)1 << HEADROOM))

typedef struct {
    vec high, low, small;
} exp_sum;

SMX_INLINE exp_sum exp_sum_of(pair s, vec small) {
    const exp_sum sum = {s.high, s.low, small};
    return sum;
}

SMX_INLINE exp_sum exp_sum_begin(vec start) { return exp_sum_of(pair_of(start, v_set1(0)), v_set1(0)); }

/* Up to four terms; fewer give the bits that four with 0 for the missing ones would. is_short: of a row with one partial sum,
   which soon ends; its small parts are not put off. */
SMX_INLINE exp_sum exp_sum_add(exp_sum sum, const exp_parts *e, int count, int is_short) {
    pair s = pair_of(sum.high, sum.low);
    for (int k = 0; k < count; k++) {
        const vec t = v_add(s.high, e[k].power);
        const vec overshoot = v_sub(v_sub(t, s.high), e[k].power); /* what was lost, negated */
        s = pair_of(t, v_sub(s.low, overshoot));
    }
    vec small = v_mul(e[0].power, e[0].p);
    for (int k = 1; k < count; k++)
        small = v_fma(e[k].power, e[k].p, small);
    return is_short ? exp_sum_of(sum_add_smaller(s, small), sum.small)
                    : exp_sum_of(sum_add_smaller(s, sum.small), small);
}

SMX_INLINE pair exp_sum_end(exp_sum sum, vec start, int is_short) {
    pair s = pair_of(sum.high, sum.low);
    if (!is_short)
        s = sum_add_smaller(s, sum.small);
    return pair_of(v_sub(s.high, start), s.low);
}

/* The partial sums of a piece, pairwise: s[0] = the sum of count vectors, a partial sum each ... */
#define ADD_PAIRWISE(add, s, count)                                                                                    \
    for (int half_ = (count) / 2; half_ > 0; half_ /= 2)                                                               \
        for (int i_ = 0; i_ < half_; i_++)                                                                             \
    (s)[i_] = add((s)[i_], (s)[i_ + half_])

/* ... or a lane for each; the first lane of the result counts. */
SMX_INLINE pair sum_lanes(pair s) {
    for (int half = WIDTH / 2; half > 0; half /= 2)
        s = sum_add_sum(s, pair_of(v_move_down(s.high, half), v_move_down(s.low, half)));
    return s;
}
SMX_INLINE long_sum long_sum_lanes(long_sum s) {
    for (int half = WIDTH / 2; half > 0; half /= 2) {
        const pair upper = pair_of(v_move_down(s.high, half), v_move_down(s.low, half));
        s = long_sum_add_sum(s, long_sum_of(upper, v_move_down(s.lowest, half)));
    }
    return s;
}

/* A sum of products; of a short row, in so many partial sums. Products of floats are exact in double, and so is their sum
   but for one rounding a term, far below what a float can tell: the sum of doubles costs half of what a pair of floats
   does. Doubles have no such wider type. */
#if REAL_BITS == 32
#define SHORT_PRODUCT_SUMS 4
typedef wide product_sum;

SMX_INLINE product_sum product_sum_begin(void) { return v_wide_zero(); }
SMX_INLINE product_sum product_sum_add(product_sum s, vec x, vec y) { return v_wide_add_product(s, x, y); }
SMX_INLINE product_sum product_sum_add_at(product_sum s, const real *x, const real *y) {
    return v_wide_add_product_at(s, x, y);
}
SMX_INLINE product_sum product_sum_add_sum(product_sum s, product_sum t) { return v_wide_add(s, t); }

/* The sums of WIDTH short rows of n elements that follow one another: a row's partial sums in a register, the last row
   again and again where fewer are left. A row is so many quads, and one to four elements more; of the shortest rows the
   compiler knows how many. */
SMX_INLINE product_sum product_sum_of_rows_with(const real *x, const real *y, ptrdiff_t n, int left, ptrdiff_t quads) {
    quad s[WIDTH];
    for (int k = 0; k < WIDTH; k++) {
        quad sum = v_quad_zero();
        for (ptrdiff_t i = 0; i < quads; i++)
            sum = v_quad_add_product(sum, x + 4 * i, y + 4 * i);
        s[k] = v_quad_add_product_first(sum, x + 4 * quads, y + 4 * quads, n - 4 * quads);
        const ptrdiff_t step = k + 1 < left ? n : 0;
        x += step;
        y += step;
    }
    return v_wide_of_quads(s);
}
SMX_INLINE product_sum product_sum_of_rows(const real *x, const real *y, ptrdiff_t n, int left) {
    switch ((n - 1) / 4) {
    case 0:
        return product_sum_of_rows_with(x, y, n, left, 0);
    case 1:
        return product_sum_of_rows_with(x, y, n, left, 1);
    case 2:
        return product_sum_of_rows_with(x, y, n, left, 2);
    case 3:
        return product_sum_of_rows_with(x, y, n, left, 3);
    default:
        return product_sum_of_rows_with(x, y, n, left, (n - 1) / 4);
    }
}

/* In every lane its sum; and of all lanes one sum. */
SMX_INLINE long_sum product_sum_end(product_sum s) {
    const vec high = v_narrow(s);
    return long_sum_of(pair_of(high, v_narrow(v_wide_sub(s, high))), v_set1(0));
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

/* Of sum y g, an element is as sensitive to sum y |g|, so twice the precision does; of sum g only to the sum itself. */
enum summand { PRODUCT, EXP_PRODUCT, GRADIENT };

/* One of them is in use. */
typedef struct {
    product_sum products;
    long_sum gradients;
} derivative_sum;

SMX_INLINE derivative_sum derivative_sum_begin(void) {
    const vec zero = v_set1(0);
    const derivative_sum s = {product_sum_begin(), long_sum_of(pair_of(zero, zero), zero)};
    return s;
}

/* Whether its lanes are reals (of products of floats they are doubles); and one made of such, where a sum of products has
   no third part. */
#define LANES_IN_PARTS(what) (REAL_BITS == 64 || (what) == GRADIENT)
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

/* Zeros leave it as it is. */
SMX_INLINE derivative_sum derivative_sum_add(derivative_sum s, vec y, vec g, enum summand what) {
    if (what == GRADIENT)
        s.gradients = long_sum_add_spread(s.gradients, g);
    else
        s.products = product_sum_add(s.products, what == EXP_PRODUCT ? exp_alone(y) : y, g);
    return s;
}

/* The same of vectors that are in memory. */
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

/* In every lane its sum; and of all lanes one sum. */
SMX_INLINE long_sum derivative_sum_end(derivative_sum s, enum summand what) {
    return what == GRADIENT ? s.gradients : product_sum_end(s.products);
}
SMX_INLINE long_sum derivative_sum_lanes(derivative_sum s, enum summand what) {
    return what == GRADIENT ? long_sum_lanes(s.gradients) : product_sum_lanes(s.products);
}
