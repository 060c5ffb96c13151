/* logsumexp with weights: log |sum b exp(x / T)|, where the sum includes exp(initial); and the same with the sign of
   the sum beside it. Without the sign, a negative sum gives NaN.

   Of the leading term b exp(x / T), with b = f 2^e, the results are the sign and the logarithm of w in

       sum = exp(x / T) 2^e w,    w = f + (sum of the others) / (exp(x / T) 2^e)

   so that the logarithm of the sum is x / T + e ln2 + log |w|, added up as pairs. If the weight is 1, that is the
   formula of logsumexp. If several terms share the largest key, then that key takes the place of the leader's x, with
   e = 0 and f = 0, and all of them are among the others. An initial term that is larger than the leader takes its
   place.

   The claims, with the worst cases that tests/find_worst.py found; tests/test_accuracy.py reads them here. The elements
   come first, then the weights. The unit is an ULP times (the sum of the terms' sizes) / (the size of the sum). The ULP
   is that of the largest of these: the result; |x / T| and |log |b|| of terms that are at least half as large as the
   largest one; and the share of all terms but the largest in the sum of the sizes.

   claim: signed_logsumexp float32 <= 2 ulp; found 0.73 at hex: 0x1.4a8d3p-3, 0x1.da8da2p-4, 0x1.4084fep-1,
     0x1.9b4a58p-1
   claim: signed_logsumexp float64 <= 2 ulp; found 0.82 at hex: 0x1.83b657170a238p-9, -0x1.9da59073fa921p-3,
     -0x1.30efb55bf507bp-3, -0x1.381a6d6253821p+0 */

typedef struct {
    largest m; /* of the keys */
    vec reference; /* the sum is relative to 2^(reference - HEADROOM) */
    pair s; /* without the leader and the initial term */
    leader lead;
    vec infinite; /* the sum of the infinite terms, the initial one among them */
} weighted_total;

/* f exp(x / T) 2^e relative to 2^(reference - HEADROOM), and the same without f. */
SMX_INLINE exp_parts weighted_parts(vec x, vec exponent, vec reference, const exp_temperature *t) {
    const exp_scale scale = exp_scale_of(reference, t);
    const vec key = v_fma(exponent, key_unit(t), x);
    exp_parts e;
    exp_parts_with(&x, &key, &exponent, 1, &scale, 1, &e);
    return e;
}
SMX_INLINE pair weighted_term(leader lead, vec reference, const exp_temperature *t) {
    const exp_parts e = weighted_parts(lead.x, v_exponent(lead.b), reference, t);
    pair term = two_product(e.power, v_fraction(lead.b));
    term.low = v_fma(term.high, e.p, term.low);
    return term;
}

SMX_INLINE weighted_total weighted_combine(const smx_tile *tile, ptrdiff_t pieces, const real *partials,
                                           const real *shift, int row) {
    const exp_temperature *t = tile->temperature;
    const int rows = tile->rows;
    const ptrdiff_t size = partial_at(SMX_PARTIALS, rows, 0);
    const vec zero = v_set1(0), one = v_set1(1);
    weighted_total total = {largest_begin(), zero, pair_of(zero, zero), no_leader(), zero};
    for (ptrdiff_t i = 0; i < pieces; i++)
        total.m = largest_merge(total.m, read_largest(partials + i * size, rows, row));
    const initial_term initial = initial_beside(tile, row, shift, total.m.first, t);
    total.reference = reference_of(total.m, initial.reference, t);
    for (ptrdiff_t i = 0; i < pieces; i++) {
        const real *partial = partials + i * size;
        const largest m = read_largest(partial, rows, row);
        const pair s = read_sum(partial, PARTIAL_TERMS, rows, row);
        const pair found = read_sum(partial, PARTIAL_LEADER, rows, row);
        const leader lead = {found.high, found.low};
        const vec scale = power_of_two(v_sub(reference_of(m, initial.reference, t), total.reference));
        total.s = sum_add_sum(total.s, pair_of(v_mul(s.high, scale), v_mul(s.low, scale)));
        /* The piece left out its leader. Unless that is the row's leader as well, it belongs to the sum. */
        const vec alone = v_select_le(m.first, m.second, zero, one);
        const vec counts = v_keep_le(m.first, total.m.second, alone);
        if (pieces > 1) {
            const leader bounded = {v_select_le(m.first, total.m.second, lead.x, MINUS_INFINITY), lead.b};
            const pair term = weighted_term(bounded, total.reference, t);
            total.s = sum_add(total.s, v_mul(term.high, counts));
            total.s.low = v_fma(term.low, counts, total.s.low);
        }
        total.s = sum_renormalize(total.s);
        total.lead.x = v_select_le(m.first, total.m.second, total.lead.x, lead.x);
        total.lead.b = v_select_le(m.first, total.m.second, total.lead.b, lead.b);
        total.infinite = v_add(total.infinite, v_load(partial + partial_at(PARTIAL_INFINITE, rows, row)));
    }
    if (tile->initial)
        total.infinite = v_add(total.infinite, v_select_le(initial.value, HUGEST, zero, initial.value));
    return total;
}

/* The largest key, in size, for which elements that count are in the range of exp's reduction: these differ from it by
   the exponents of weights. */
SMX_INLINE vec largest_key(const exp_temperature *t) { return v_set1(t->large * (real)0.5); }

/* The results of LANES rows that are in range: the logarithm, and w, whose sign is that of the sum. */
SMX_INLINE vec weighted_logarithm(const weighted_total *total, initial_term initial, const real *shift, int row,
                                  int has_initial, const exp_temperature *t, vec *sum) {
    const vec zero = v_set1(0), one = v_set1(1), inverse = v_set1(t->inverse);
    /* the leader, or the key of several */
    const largest m = total->m;
    vec x = v_select_le(m.first, m.second, m.first, total->lead.x);
    vec exponent = v_select_le(m.first, m.second, zero, v_exponent(total->lead.b));
    vec fraction = v_select_le(m.first, m.second, zero, v_fraction(total->lead.b));
    const vec reference = exp_reference(m.first, t);
    pair leading = exp_pair(weighted_parts(x, exponent, reference, t)), others = total->s;
    vec scale = v_sub(total->reference, reference);

    const pair unshifted = sum_add(pair_of(shift ? v_load(shift + row) : zero, zero), x);
    pair top = two_product(unshifted.high, inverse);
    top.low = v_fma(unshifted.low, inverse, v_fma(unshifted.high, v_set1(t->inverse_low), top.low));

    if (has_initial) {
        const vec ahead = v_fnma(m.first, inverse, initial.exponent.high);
        const pair term = initial_exponential(initial, total->reference),
                   behind = weighted_term(total->lead, total->reference, t);
        const vec alone = v_select_le(m.first, m.second, zero, one);
        const pair with_initial = sum_renormalize(sum_add_sum(others, term));
        const pair with_leader =
            sum_renormalize(sum_add_sum(others, pair_of(v_mul(behind.high, alone), v_mul(behind.low, alone))));
        const pair of_initial = sum_renormalize(term);
#define IF_AHEAD(yes, no) v_select_le(ahead, zero, no, yes)
        others = pair_of(IF_AHEAD(with_leader.high, with_initial.high), IF_AHEAD(with_leader.low, with_initial.low));
        leading = pair_of(IF_AHEAD(of_initial.high, leading.high), IF_AHEAD(of_initial.low, leading.low));
        top = pair_of(IF_AHEAD(initial.value, top.high), IF_AHEAD(zero, top.low));
        fraction = IF_AHEAD(one, fraction);
        exponent = IF_AHEAD(zero, exponent);
        scale = IF_AHEAD(zero, scale);
#undef IF_AHEAD
    }

    const pair z = pair_scaled(quotient(others, leading), scale);
    const pair w = sum_renormalize(sum_add(z, fraction));
    *sum = w.high;
    const vec negative = v_select_le(zero, w.high, one, v_set1(-1));
    const pair logarithm = log_of(pair_of(v_mul(w.high, negative), v_mul(w.low, negative)), zero);

    pair of_exponent = two_product(exponent, v_set1(CONSTANT(LN2_HIGH)));
    of_exponent.low = v_fma(exponent, v_set1(CONSTANT(LN2_LOW)), of_exponent.low);
    const pair result = sum_add_sum(sum_add_sum(top, of_exponent), logarithm);
    /* what was lost in an infinite sum is NaN: v_min makes a number of it */
    const vec value = v_add(result.high, v_min(result.low, HUGEST));
    return v_select_le(v_abs(w.high), zero, MINUS_INFINITY, value);
}

SMX_INLINE vec sign_of(vec a) {
    const vec zero = v_set1(0), below = v_select_le(zero, a, zero, v_set1(-1));
    return v_select_le(a, zero, below, v_select_le(zero, a, v_set1(1), CANONICAL_NAN));
}

static int weighted_finish(const smx_tile *tile, ptrdiff_t pieces, const real *partials, const real *shift,
                           real *constants, int is_signed) {
    const int rows = tile->rows;
    const exp_temperature *t = tile->temperature;
    const vec zero = v_set1(0), limit = largest_key(t);
    int flags = 0;
    for (int row = 0; row < rows; row += LANES) {
        const weighted_total total = weighted_combine(tile, pieces, partials, shift, row);
        const initial_term initial = initial_beside(tile, row, shift, total.m.first, t);
        vec sum;
        const vec value = weighted_logarithm(&total, initial, shift, row, tile->initial != NULL, t, &sum);

        /* Infinite terms decide, or else the largest key. An initial term makes a row of -inf finite. */
        const vec of_nothing = v_select_le(initial.value, MINUS_INFINITY, MINUS_INFINITY, zero);
        const vec of_key = v_select_le(total.m.first, MINUS_INFINITY, of_nothing, total.m.first);
        const vec decides = v_select_le(v_abs(total.infinite), zero, of_key, total.infinite), size = v_abs(decides);
        const vec infinite = v_select_le(v_abs(total.infinite), zero, MINUS_INFINITY, v_abs(total.infinite));
        const vec sign = sign_of(v_select_le(size, limit, sum, total.infinite));
        vec result = v_select_le(size, limit, value, infinite);
        if (!is_signed)
            result = v_select_le(zero, sign, result, CANONICAL_NAN);
        v_store(constants + row, canonical_nan(result));
        v_store(constants + SMX_TILE_ROWS + row, sign);

        real *of_shift = constants + SMX_SHIFT * SMX_TILE_ROWS + row;
        v_store(of_shift, v_keep_le(size, HUGEST, v_select_le(size, limit, zero, decides)));
        if (v_all_le(size, limit))
            continue;
        flags |= SMX_NOT_FINITE;
        for (int k = 0; k < LANES && row + k < rows; k++)
            if (of_shift[k] != 0)
                flags |= SMX_TOO_LARGE;
    }
    return flags;
}
static int weighted_logsumexp_finish(const smx_tile *tile, ptrdiff_t pieces, const void *partials, const void *shift,
                                     void *constants) {
    return weighted_finish(tile, pieces, partials, shift, constants, 0);
}
static int signed_logsumexp_finish(const smx_tile *tile, ptrdiff_t pieces, const void *partials, const void *shift,
                                   void *constants) {
    return weighted_finish(tile, pieces, partials, shift, constants, 1);
}

static void weighted_reduce_long_columns(const smx_tile *tile, void *partial) {
    weighted_reduce_columns(tile, partial, SUMS);
}
static void weighted_reduce_short_columns(const smx_tile *tile, void *partial) {
    weighted_reduce_columns(tile, partial, 1);
}

#define WEIGHTED_ROW                                                                                                   \
    .inputs = 2, .takes_initial = 1, .may_shift = 1, .has_long_finish = 1,                                             \
    .reduce = {[SMX_WALK_ROWS] = weighted_reduce_rows,                                                                 \
               [SMX_WALK_COLUMNS] = weighted_reduce_long_columns,                                                      \
               [SMX_WALK_SHORT_COLUMNS] = weighted_reduce_short_columns},                                              \
    .hidden = HIDDEN(-INFINITY, 0, -INFINITY, 1), .min_elements_per_thread = MIN_ELEMENTS_PER_THREAD(12)
#define WEIGHTED_LOGSUMEXP_ROW {.name = "weighted_logsumexp", .finish = weighted_logsumexp_finish, WEIGHTED_ROW}
#define SIGNED_LOGSUMEXP_ROW                                                                                           \
    {.name = "signed_logsumexp", .has_row_out = 1, .finish = signed_logsumexp_finish, WEIGHTED_ROW}
