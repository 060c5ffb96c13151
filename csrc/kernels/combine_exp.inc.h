/* Combines the partials of a row's pieces into the maximum of the row, the sum of its exponentials, and the logarithm
   of that sum. Each finish makes the constants of the row from these. */

typedef struct {
    largest m;
    vec reference; /* the sum is relative to 2^(reference - HEADROOM) */
    pair s;        /* without the initial term */
    vec decides; /* that results are finite if it is in range, and how to shift the row if not */
} exp_total;

/* The maximum decides. NaN and +inf as the initial term do so, too, and a finite initial term gives finite results to a
   row of which all elements are -inf. A NaN among the elements shows in the sum, or as an infinite maximum that became
   NaN. */
SMX_INLINE vec decisive(vec maximum, vec initial, vec sum) {
    const vec infinity = v_set1((real)INFINITY);
    const vec of_none = v_select_le(initial, MINUS_INFINITY, initial, v_set1(0));
    const vec of_elements = v_select_le(maximum, MINUS_INFINITY, of_none, maximum);
    const vec of_infinite = v_select_le(maximum, infinity, initial, maximum);
    const vec not_finite = v_select_le(maximum, HUGEST, v_select_le(sum, infinity, initial, sum), of_infinite);
    return v_select_le(initial, HUGEST, of_elements, not_finite);
}

SMX_INLINE exp_total exp_combine(const smx_tile *tile, ptrdiff_t pieces, const real *partials, const real *shift,
                                 int row) {
    const exp_temperature *t = tile->temperature;
    const int rows = tile->rows;
    const ptrdiff_t size = partial_at(SMX_PARTIALS, rows, 0);
    exp_total total;
    total.m = read_largest(partials, rows, row);
    for (ptrdiff_t i = 1; i < pieces; i++) {
        const largest m = read_largest(partials + i * size, rows, row);
        /* reduce passes over a NaN in x, but a NaN among the maxima has to stay */
        const vec so_far = total.m.first;
        total.m = largest_merge(m, total.m);
        total.m.first = v_select_le(m.first, m.first, v_select_le(so_far, so_far, total.m.first, so_far), m.first);
    }
    const initial_term initial = initial_beside(tile, row, shift, total.m.first, t);
    total.reference = reference_of(total.m, initial.reference, t);
    total.s = pair_of(v_set1(0), v_set1(0));
    if (pieces == 1)
        total.s = sum_renormalize(read_sum(partials, PARTIAL_TERMS, rows, row));
    sum_of_pieces sum = sum_of_pieces_begin();
    for (ptrdiff_t i = 0; pieces > 1 && i < pieces; i++) {
        const largest m = read_largest(partials + i * size, rows, row);
        const pair s = read_sum(partials + i * size, PARTIAL_TERMS, rows, row);
        const vec scale = power_of_two(v_sub(reference_of(m, initial.reference, t), total.reference));
        sum.few = sum_add_sum(sum.few, pair_of(v_mul(s.high, scale), v_mul(s.low, scale)));
        /* The piece left out its maximum if that stood alone. Unless it is the row's maximum as well, it belongs to the
           sum. */
        const pair e = exp_of(v_min(m.first, total.m.second), exp_scale_of(total.reference, t));
        const vec alone = v_select_le(m.first, m.second, v_set1(0), v_set1(1));
        const vec counts = v_keep_le(m.first, total.m.second, alone);
        sum.few = sum_add(sum.few, v_mul(e.high, counts));
        sum.few.low = v_fma(e.low, counts, sum.few.low);
        sum = sum_of_pieces_next(sum, i, pieces);
        total.s = sum.total;
    }
    total.decides = tile->initial ? decisive(total.m.first, initial.value, total.s.high) : total.m.first;
    return total;
}

/* Returns the flags of LANES rows, and sets shift to what has to be subtracted from the rows whose maximum is too
   large. */
SMX_INLINE int exp_flags(exp_total total, int left, const exp_temperature *t, real *shift) {
    const vec size = v_abs(total.decides);
    v_store(shift, v_keep_le(size, HUGEST, v_select_le(size, v_set1(t->large), v_set1(0), total.decides)));
    if (v_all_le(size, v_set1(t->large)) && v_all_le(total.s.high, HUGEST))
        return 0;
    int flags = SMX_NOT_FINITE;
    for (int k = 0; k < LANES && k < left; k++)
        if (shift[k] != 0)
            flags |= SMX_TOO_LARGE;
    return flags;
}

/* A row has a finite result here only if |max| <= large. NaN fails that test, too. */
SMX_INLINE vec if_in_range(exp_total total, const exp_temperature *t, vec yes, vec no) {
    return v_select_le(v_abs(total.decides), v_set1(t->large), yes, no);
}

/* a / b, where b is renormalized: one Newton step improves the rounded quotient. */
SMX_INLINE pair quotient(pair a, pair b) {
    pair q;
    q.high = v_div(a.high, b.high);
    q.low = v_fnma(q.high, b.low, v_add(v_fnma(q.high, b.high, a.high), a.low));
    q.low = v_div(q.low, b.high);
    return q;
}

/* s 2^exponent, which must be even: references are. It is applied in two equal steps, of which only the second can meet
   a subnormal number. */
SMX_INLINE pair pair_scaled(pair s, vec exponent) {
    const vec root = power_of_two(v_mul(exponent, v_set1((real)0.5)));
    return pair_of(v_mul(v_mul(s.high, root), root), v_mul(v_mul(s.low, root), root));
}

/* z = sum of the other exponentials / exp(maximum / T) */
SMX_INLINE pair others_over_maximum(exp_total total, const exp_temperature *t) {
    const vec max_reference = exp_reference(total.m.first, t);
    const pair divisor = exp_divisor(total.m.first, exp_scale_of(max_reference, t));
    const pair z = pair_scaled(quotient(total.s, divisor), v_sub(total.reference, max_reference));
    /* Where the maximum is tied, z counts it at least twice. */
    const vec tied = v_select_le(total.m.first, total.m.second, v_set1(-1), v_set1(0));
    return sum_renormalize(sum_add_smaller(z, tied));
}

/* The sum of all elements' exponentials relative to 2^(max_reference - HEADROOM). max_reference is the reference of the
   maximum, or a larger one. */
SMX_INLINE pair sum_with_maximum(exp_total total, vec max_reference, const exp_temperature *t) {
    const pair e = exp_of(total.m.first, exp_scale_of(max_reference, t));
    const vec alone = v_select_le(total.m.first, total.m.second, v_set1(0), v_set1(1));
    pair s = pair_scaled(total.s, v_sub(total.reference, max_reference));
    s = sum_add(s, v_mul(e.high, alone));
    s.low = v_fma(e.low, alone, s.low);
    return sum_renormalize(s);
}

/* s and the exponential of the initial term, both relative to 2^(reference - HEADROOM). */
SMX_INLINE pair sum_add_initial(pair s, initial_term initial, vec reference) {
    return sum_renormalize(sum_add_sum(s, initial_exponential(initial, reference)));
}

/* Picks `yes` in rows whose initial term is larger than exp(maximum / T), else `no`. */
SMX_INLINE vec if_initial_leads(exp_total total, initial_term initial, const exp_temperature *t, vec yes, vec no) {
    const vec ahead = v_fnma(total.m.first, v_set1(t->inverse), initial.exponent.high);
    return v_select_le(ahead, v_set1(0), no, yes);
}
SMX_INLINE pair pair_if_initial_leads(exp_total total, initial_term initial, const exp_temperature *t, pair yes,
                                      pair no) {
    return pair_of(if_initial_leads(total, initial, t, yes.high, no.high),
                   if_initial_leads(total, initial, t, yes.low, no.low));
}

/* z with an initial term: the sum of all terms but the largest, relative to that. */
SMX_INLINE pair others_over_largest(exp_total total, initial_term initial, const exp_temperature *t) {
    const pair leader = initial_exponential(initial, total.reference);
    const pair all_elements = sum_with_maximum(total, total.reference, t);
    const pair behind_initial = quotient(all_elements, leader);
    total.s = sum_add_initial(total.s, initial, total.reference);
    return pair_if_initial_leads(total, initial, t, behind_initial, others_over_maximum(total, t));
}

/* log(1 + z) of a tile's rows, LANES rows at a time: the logarithm of the sum relative to its largest term. Each step
   is done for all rows before the next step, because a step is a long chain of dependent operations, and the chains of
   several rows overlap if they follow one another closely. */
typedef struct {
    exp_total total[SMX_TILE_ROWS / LANES];
    pair logarithm[SMX_TILE_ROWS / LANES];
} tile_logarithms;

SMX_APART void log_over_maximum(tile_logarithms *logs, const smx_tile *tile, ptrdiff_t pieces, const void *partials,
                                const void *shift) {
    const int rows = tile->rows;
    const exp_temperature *t = tile->temperature;
    for (int row = 0; row < rows; row += LANES) {
        const exp_total total = exp_combine(tile, pieces, partials, shift, row);
        logs->total[row / LANES] = total;
        logs->logarithm[row / LANES] =
            tile->initial ? others_over_largest(total, initial_beside(tile, row, shift, total.m.first, t), t)
                          : others_over_maximum(total, t);
    }
    for (int row = 0; row < rows; row += LANES)
        logs->logarithm[row / LANES] = log_of_1_plus(logs->logarithm[row / LANES]);
}

/* high + low, rounded. What is up to three quarters of a last place above a power of two is rounded to the power. Below
   a power of two, numbers are half as far apart. A true value may be just below the power, and high + low above the
   power by more than that half. Rounded as usual, the result would be beyond the power, more than two ULP of the true
   value away (docs/accuracy.md, lemma 9). */
SMX_INLINE vec rounded_at_powers(pair v) {
    const vec value = v_add(v.high, v.low), less = v_add(v.high, v_fnma(v.high, v_set1(REAL_EPSILON / 4), v.low));
    return v_select_le(v_significand(less), v_set1(1), less, value);
}

/* log sum exp(x / T), from the logarithm of the sum relative to the row's largest term. shift: NULL, or what was
   subtracted from the rows. The maximum is divided by T as a pair. If the quotient is infinite, the part that its
   rounding lost is NaN, and v_min makes a number of it. Powers of two need care only where the two parts of the sum
   cancel and the result is still the larger of it and the maximum. */
SMX_INLINE vec logsumexp_of(exp_total total, initial_term initial, pair logarithm, const real *shift, int row,
                            const exp_temperature *t) {
    const vec zero = v_set1(0), inverse = v_set1(t->inverse);
    const pair maximum = sum_add(pair_of(shift ? v_load(shift + row) : zero, zero), total.m.first);
    pair leader = two_product(maximum.high, inverse);
    leader.low = v_fma(maximum.low, inverse, v_fma(maximum.high, v_set1(t->inverse_low), leader.low));
    leader = pair_if_initial_leads(total, initial, t, pair_of(initial.value, zero), leader);
    pair sum = sum_add_sum(leader, logarithm);
    sum.low = v_min(sum.low, HUGEST);
    const vec value = v_add(sum.high, sum.low), at_powers = rounded_at_powers(sum);
    const vec finite = v_select_le(v_abs(leader.high), at_powers, at_powers, value);
    return canonical_nan(if_in_range(total, t, finite, total.decides));
}
