/* Sums that keep what rounding drops, in an order that depends on nothing but the row's length.

   The order of every sum. A row of n elements is cut into pieces of SMX_PIECE. Element i of a piece belongs to partial
   sum i mod L. L is SUMS, the lanes of the widest vector of any level; but rows of up to SMX_SHORT elements have L = 1,
   or 4 for Σ y g. Each partial sum takes its elements in order (exponentials four at a time; where L > 1, their small
   parts after the powers of the next four, and the sums are settled after every EXP_SETTLE elements of the piece;
   products.inc.h says how many products are added at once). The partial sums of a piece are added pairwise, upper half
   onto lower half; then the pieces are added in order. The L sums may lie in the lanes of one register (ROWS), of
   several narrower registers, or in L registers each of which holds another row in every lane (COLUMNS): each sum sees
   the same operations on the same numbers. Hence the same bits. Missing elements at the end count as 0 (in a sum of
   exponentials as -inf), and adding 0 changes no bit.

   A sum is a pair, high + low: high is the rounded sum, and low is the sum of what the roundings lost, which is known
   exactly (Dekker, 1971; Knuth, TAOCP 2, 4.2.2). A pair is about as good as twice the working precision. Only sums of
   products of floats are doubles instead, until they are stored. */

/* s + x for any s and x, and what its rounding lost: Knuth's TwoSum, in six operations. */
SMX_INLINE pair two_sum(vec s, vec x) {
    const vec t = v_add(s, x);
    const vec x_seen = v_sub(t, s);
    const vec s_seen = v_sub(t, x_seen);
    return pair_of(t, v_add(v_sub(s, s_seen), v_sub(x, x_seen)));
}
/* The same by the units that add and by those that multiply, for loops that do little else. A single such sum takes
   longer. */
SMX_INLINE pair two_sum_spread(vec s, vec x) {
    const vec t = v_add(s, x);
    const vec x_seen = v_sub_fused(t, s);
    const vec s_seen = v_sub(t, x_seen);
    return pair_of(t, v_add(v_sub_fused(s, s_seen), v_sub_fused(x, x_seen)));
}

/* x y, and what its rounding lost, which a fused multiply-add finds. */
SMX_INLINE pair two_product(vec x, vec y) {
    const vec product = v_mul(x, y);
    return pair_of(product, v_fms(x, y, product));
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

/* The same sum, renormalized: high becomes the rounded sum high + low. */
SMX_INLINE pair sum_renormalize(pair s) {
    const vec high = v_add(s.high, s.low);
    return pair_of(high, v_sub(s.low, v_sub(high, s.high)));
}

/* The same, unless high is infinite: then low may be NaN, and high stays. */
SMX_INLINE pair sum_renormalize_finite(pair s) {
    const pair sum = sum_renormalize(s);
    return pair_of(v_select_le(sum.high, sum.high, sum.high, s.high), sum.low);
}

/* The sum of a row's pieces. Each addition is followed by sum_of_pieces_next, which renormalizes: otherwise, after many
   thousand pieces, low would be so large that it is rounded as coarsely as high is. Pieces are added up by
   PIECES_AT_ONCE, and then these sums: so what the additions lose grows with this number and with that of these sums,
   not with the number of pieces. */
enum { PIECES_AT_ONCE = 512 };

typedef struct {
    pair total, few;
} sum_of_pieces;

SMX_INLINE sum_of_pieces sum_of_pieces_begin(void) {
    const pair zero = pair_of(v_set1(0), v_set1(0));
    const sum_of_pieces none = {zero, zero};
    return none;
}
/* After piece i of so many has been added to s.few. */
SMX_INLINE sum_of_pieces sum_of_pieces_next(sum_of_pieces s, ptrdiff_t i, ptrdiff_t pieces) {
    s.few = sum_renormalize_finite(s.few);
    if ((i + 1) % PIECES_AT_ONCE == 0 || i + 1 == pieces) {
        s.total = sum_renormalize_finite(sum_add_sum(s.total, s.few));
        s.few = pair_of(v_set1(0), v_set1(0));
    }
    return s;
}

/* A sum of exponentials, each of two parts, M and M p. It starts at a power of two, and no term has a larger exponent
   (EXP_SUM_START, times the power of two of the largest term), so that the cheaper Fast2Sum is exact for every term, in
   any order of the terms; exp_sum_end subtracts the start again, exactly. The small parts M p are first added plainly
   by fours, in fused steps: that loses at most 0.26 u of the sum of the four terms (docs/accuracy.md, lemma 3). These
   steps take so long that their result is added only after the next four M, which would otherwise have to wait. */
#define EXP_SUM_START (2 * HEADROOM_POWER)

typedef struct {
    vec high, low, small;
} exp_sum;

SMX_INLINE exp_sum exp_sum_of(pair s, vec small) {
    const exp_sum sum = {s.high, s.low, small};
    return sum;
}

SMX_INLINE exp_sum exp_sum_begin(vec start) { return exp_sum_of(pair_of(start, v_set1(0)), v_set1(0)); }

/* Adds up to four terms. Fewer terms give the same bits as four of which the missing ones are 0. is_short: the row has
   one partial sum and ends soon, so its small parts are added at once. */
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

/* The same sum, high rounded anew, after every EXP_SETTLE elements of a piece. Without this, low grows with the number
   of terms, and with it what its own roundings lose: in float that would be 0.15 u of the sum of a piece. */
enum { EXP_SETTLE = 512 };

SMX_INLINE exp_sum exp_sum_settle(exp_sum sum) {
    return exp_sum_of(sum_renormalize(pair_of(sum.high, sum.low)), sum.small);
}

SMX_INLINE pair exp_sum_end(exp_sum sum, vec start, int is_short) {
    pair s = pair_of(sum.high, sum.low);
    if (!is_short)
        s = sum_add_smaller(s, sum.small);
    return pair_of(v_sub(s.high, start), s.low);
}

/* The two parts of an exponential as one renormalized pair; their product is not rounded, as it is in exp_of. */
SMX_INLINE pair exp_pair(exp_parts e) {
    const pair product = two_product(e.power, e.p);
    pair sum = sum_renormalize(pair_of(e.power, product.high));
    sum.low = v_add(sum.low, product.low);
    return sum;
}

/* exp(x / T) as a number to divide by. */
SMX_INLINE pair exp_divisor(vec x, exp_scale scale) { return exp_pair(exp_parts_of(x, scale)); }

/* The partial sums of a piece, pairwise, where s is `count` vectors that hold a partial sum each: s[0] becomes the
   sum. */
#define ADD_PAIRWISE(add, s, count)                                                                                    \
    for (int half_ = (count) / 2; half_ > 0; half_ /= 2)                                                               \
        for (int i_ = 0; i_ < half_; i_++)                                                                             \
    (s)[i_] = add((s)[i_], (s)[i_ + half_])

/* The same where each lane holds a partial sum. The first lane of the result counts. */
SMX_INLINE pair sum_lanes(pair s) {
    for (int half = LANES / 2; half > 0; half /= 2)
        s = sum_add_sum(s, pair_of(v_move_down(s.high, half), v_move_down(s.low, half)));
    return s;
}

/* s root^2, for a square that may be out of range where the product is not. */
SMX_INLINE pair pair_times_square(pair s, vec root) {
    return pair_of(v_mul(v_mul(s.high, root), root), v_mul(v_mul(s.low, root), root));
}
