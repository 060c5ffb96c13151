/* The largest elements of a row.

   log_softmax needs the sum without the maximum: its result at the maximum is -log(1 + that sum), which is close to 0
   when the other terms are small, and a sum that included the 1 would have lost their digits. So its reduction finds
   the two largest elements (a tie counts as two) and adds up exp(x) for x <= second. That sum is without the maximum if
   the maximum stands alone; else it has all elements that are equal to the maximum, and finish subtracts one of them.
   The terms are scaled by the second largest element, or by the maximum - NEGLIGIBLE if that is more. For softmax,
   "second" is the maximum itself. NaNs are passed over here; they show in the sum.

   Cross-entropy needs that sum, and every exponential for its gradient. Its terms are relative to the maximum, so that
   they can be saved; the sum starts where a sum relative to the second largest element would start, and is brought to
   that scale at the end. All factors are powers of two, so nothing is lost but terms that are negligible beside the
   maximum; see far_rows for the rows in which these count. */

/* What is added up, and what is saved of it; WITH_GAPS: another sum, of the terms times (max - x) / T. */
enum sum_of { ALL, OTHERS, OTHERS_SAVING_ALL, OTHERS_WITH_GAPS };

typedef struct {
    vec first, second;
} largest;

SMX_INLINE largest largest_begin(void) {
    const largest none = {MINUS_INFINITY, MINUS_INFINITY};
    return none;
}

SMX_INLINE largest largest_add(largest m, vec x, enum sum_of what) {
    if (what != ALL)
        m.second = v_max(v_min(x, m.first), m.second);
    m.first = v_max(x, m.first);
    return m;
}

SMX_INLINE largest largest_merge(largest a, largest b) {
    largest m;
    m.second = v_max(v_min(a.first, b.first), v_max(a.second, b.second));
    m.first = v_max(a.first, b.first);
    return m;
}

SMX_INLINE largest largest_end(largest m, enum sum_of what) {
    if (what == ALL)
        m.second = m.first;
    return m;
}

/* The reference of a row's terms; initial: that of its initial term. */
SMX_INLINE vec reference_of(largest m, vec initial, const exp_temperature *t) {
    return v_max(initial, exp_reference(v_max(m.second, v_sub(m.first, v_set1(t->negligible))), t));
}

SMX_INLINE largest largest_of_lanes(largest m, enum sum_of what) {
    for (int half = LANES / 2; half > 0; half /= 2) {
        const largest upper = {v_move_down(m.first, half), v_move_down(m.second, half)};
        m = largest_merge(m, upper);
    }
    return largest_end(m, what);
}

/* The result is in the first lane. */
SMX_INLINE largest largest_of_row(const real *x, ptrdiff_t n, enum sum_of what) {
    enum { CHAINS = 4 }; /* independent maxima, which hide the latency */
    largest m[CHAINS];
    for (int c = 0; c < CHAINS; c++)
        m[c] = largest_begin();
    /* Starts at the first vector that lies within a cache line: a load across two cache lines takes twice as long. */
    ptrdiff_t i = n < 4 * CHAINS * LANES ? 0 : (ptrdiff_t)(-(uintptr_t)x % sizeof(vec) / sizeof(real));
    if (i > 0)
        m[0] = largest_add(m[0], v_load_first(x, i, MINUS_INFINITY), what);
    for (; i + CHAINS * LANES <= n; i += CHAINS * LANES)
        for (int c = 0; c < CHAINS; c++)
            m[c] = largest_add(m[c], v_load(x + i + c * LANES), what);
    /* The compiler knows the number of each chain, so the chains stay in registers. */
    for (int c = 0; c < CHAINS - 1 && i + LANES <= n; c++, i += LANES)
        m[c] = largest_add(m[c], v_load(x + i), what);
    if (i < n)
        m[CHAINS - 1] = largest_add(m[CHAINS - 1], v_load_first(x + i, n - i, MINUS_INFINITY), what);
    return largest_of_lanes(largest_merge(largest_merge(m[0], m[1]), largest_merge(m[2], m[3])), what);
}

/* The largest elements of `strips` strips from `row` on, each lane another row. left: rows of the last strip, LANES or
   more if it is whole. */
SMX_INLINE void largest_of_strips(const smx_tile *tile, int row, int strips, ptrdiff_t left, enum sum_of what,
                                  largest *m) {
    const ptrdiff_t n = tile->n, stride = tile->in[0].element_stride;
    const real *x = row_of(&tile->in[0], row);
    for (int s = 0; s < strips; s++)
        m[s] = largest_begin();
    for (ptrdiff_t j = 0; j < n; j++)
        for (int s = 0; s < strips; s++)
            m[s] = largest_add(m[s], load_left(x + j * stride + s * LANES, left), what);
    for (int s = 0; s < strips; s++) {
        m[s] = largest_end(m[s], what);
        if (!v_all_le(v_abs(m[s].first), HUGEST)) {
            const vec nans = nans_of_columns(x + s * LANES, stride, n, left);
            const vec non_finite = v_select_le(nans, v_set1(0), m[s].first, CANONICAL_NAN);
            m[s].first = v_select_le(v_abs(m[s].first), HUGEST, m[s].first, non_finite);
        }
    }
}
