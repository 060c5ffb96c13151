/* The loops of a reduce that adds up exponentials, for softmax, log_softmax, logsumexp, softmax_entropy and
   cross-entropy: they find the largest elements of each row, then the sum relative to them. For softmax_entropy they
   also add up each term times its gap, (max - x) / T. */

/* The reduces of OTHERS, which op_log_softmax.inc.h defines. OTHERS_SAVING_ALL calls them for rows that are far
   (exp_terms.inc.h). */
static smx_reduce log_softmax_reduce_rows, log_softmax_reduce_short_rows, log_softmax_reduce_columns,
    log_softmax_reduce_short_columns;

/* ---- ROWS ------------------------------------------------------------------------------------------------------- */

/* Adds `count` vectors of a row to their partial sums s. The vectors are `step` elements apart, from x on. left:
   elements from x to the end of the row; if is_whole, there are enough for all vectors. */
SMX_INLINE running_sums exp_row_step(running_sums s, const real *x, ptrdiff_t step, ptrdiff_t left, int is_whole,
                                     int count, const term_rule *rule, saved_parts saved) {
    vec v[IN_STEP];
    exp_parts e[IN_STEP];
    for (int k = 0; k < count; k++) {
        v[k] = is_whole ? v_load(x + k * step) : v_load_first(x + k * step, left - k * step, MINUS_INFINITY);
        KEEP_IN_REGISTER(v[k]);
    }
    s = exp_step(s, v, count, rule, 0, e);
    for (int k = 0; saved.power && k < count; k++)
        save_parts(saved, k * step, e[k]);
    return s;
}

/* The sums of a row, still in lanes. next: NULL, or a row to prefetch. lookahead: NULL, or a row whose largest elements
   are found meanwhile and left in lookahead_max, still in lanes. */
SMX_INLINE row_sums exp_long_row(const real *x, ptrdiff_t n, const term_rule *rule, saved_parts saved, const real *next,
                                 const real *lookahead, largest *lookahead_max) {
    running_sums s[GROUPS];
    row_sums partial[GROUPS];
    largest m = largest_begin();
    for (int g = 0; g < GROUPS; g++)
        s[g] = running_sums_begin(rule);
#define STEP_OF(whole, k) exp_row_step(s[g], x + at, SUMS, n - at, whole, k, rule, saved_at(saved, at))
    ptrdiff_t i = 0;
    for (; i + STEP <= n; i += STEP) {
        if (next)
            prefetch(next + i, STEP * sizeof(real));
        for (int k = 0; lookahead && k < STEP; k += LANES)
            m = largest_add(m, v_load(lookahead + i + k), rule->what);
        for (int g = 0; g < GROUPS; g++) {
            const ptrdiff_t at = i + g * LANES;
            s[g] = STEP_OF(1, 4);
        }
        if (settles_after(i + STEP))
            for (int g = 0; g < GROUPS; g++)
                s[g] = running_sums_settle(s[g], rule);
    }
    for (int g = 0; g < GROUPS && i + g * LANES < n; g++) {
        const ptrdiff_t at = i + g * LANES, left = (n - at + SUMS - 1) / SUMS;
        s[g] = left == 4 ? STEP_OF(0, 4) : left == 3 ? STEP_OF(0, 3) : left == 2 ? STEP_OF(0, 2) : STEP_OF(0, 1);
    }
#undef STEP_OF
    for (; lookahead && i < n; i += LANES)
        m = largest_add(m, v_load_first(lookahead + i, n - i, MINUS_INFINITY), rule->what);
    *lookahead_max = m;
    for (int g = 0; g < GROUPS; g++)
        partial[g] = running_sums_end(s[g], rule, 0);
    ADD_PAIRWISE(row_sums_add, partial, GROUPS);
    return partial[0];
}

/* The sum of a row with one partial sum, in every lane. Exponentials are computed by the vector, but added up one after
   the other. Gaps are not added up here: softmax_entropy does without this walk. */
SMX_INLINE row_sums exp_short_row(const real *x, ptrdiff_t n, const term_rule *rule, saved_parts saved) {
    real power[SMX_SHORT + SMX_STEP], p[SMX_SHORT + SMX_STEP];
    for (ptrdiff_t i = 0; i < n || i % 4 != 0; i += LANES) {
        const vec v = v_load_first(x + i, n - i, MINUS_INFINITY);
        const exp_parts e = exp_parts_of(v, rule->scale);
        v_store(power + i, exp_term(v, e, rule->second, rule->what).power);
        v_store(p + i, e.p);
        if (saved.power)
            save_parts(saved, i, e);
    }
    exp_sum s = exp_sum_begin(rule->start);
    for (ptrdiff_t i = 0; i < n; i += 4) {
        exp_parts term[4];
        for (int k = 0; k < 4; k++) {
            term[k].power = v_set1(power[i + k]);
            term[k].p = v_set1(p[i + k]);
        }
        s = exp_sum_add(s, term, 4, 1);
    }
    const vec zero = v_set1(0);
    const row_sums sums = {exp_sum_end(s, rule->start, 1), pair_of(zero, zero)};
    return sums;
}

/* The largest elements of a few rows, and the scales that follow from them. */
typedef struct {
    real first[SMX_ROWS_AT_ONCE], second[SMX_ROWS_AT_ONCE], rounder[SMX_ROWS_AT_ONCE], floor[SMX_ROWS_AT_ONCE],
        start[SMX_ROWS_AT_ONCE], root[SMX_ROWS_AT_ONCE];
} frames_of_rows;
_Static_assert(sizeof(frames_of_rows) <= SMX_LOOKAHEAD * sizeof(double),
               "the maxima of a lookahead have room for them");

/* put_largest stores the largest elements of one row after the other; put_frames then computes the scales of all
   rows. */
SMX_INLINE void put_largest(frames_of_rows *frames, int row, largest *all, const real *x, ptrdiff_t n, largest m) {
    if (isinf(v_first(m.first)) && !v_all_le(nans_of_row(x, n), v_set1(0)))
        m.first = v_set1((real)NAN);
    put_number(frames->first, row, &all->first, m.first);
    put_number(frames->second, row, &all->second, m.second);
}
SMX_INLINE void put_frames(frames_of_rows *frames, const smx_tile *tile, enum sum_of what, const exp_temperature *t) {
    for (int row = 0; row < tile->rows; row += LANES) {
        const largest m = {v_load(frames->first + row), v_load(frames->second + row)};
        const exp_frame frame = exp_frame_of(m, initial_of(tile, row, tile->again, t).reference, what, t);
        v_store(frames->rounder + row, frame.rounder);
        v_store(frames->floor + row, frame.floor);
        v_store(frames->start + row, frame.start);
        v_store(frames->root + row, frame.root);
    }
}

/* Row by row; vectors run along the row. The largest elements may be known from the reduce before, whose exponentials
   leave loads to spare. Otherwise the maxima of all rows are found before the sums: the end of a search is a chain of
   dependent operations, and the search in the next row hides its latency. */
SMX_INLINE void exp_reduce_rows(const smx_tile *tile, real *partial, int sum_count, enum sum_of what, int saves) {
    const exp_temperature copy = *(const exp_temperature *)tile->temperature, *t = &copy;
    const int rows = tile->rows;
    const ptrdiff_t n = tile->n, p_offset = saves ? row_of(&tile->saved[1], 0) - row_of(&tile->saved[0], 0) : 0;
    const int kinds = what == OTHERS_WITH_GAPS ? 2 : 1;
    const vec none = v_set1(0);
    frames_of_rows here, *const frames = tile->lookahead.maxima ? tile->lookahead.maxima : &here;
    largest all = {none, none};
    if (!tile->lookahead.maxima || !tile->lookahead.valid) {
        for (int row = 0; row < rows; row++) {
            const real *x = row_of(&tile->in[0], row);
            put_largest(frames, row, &all, x, n, largest_of_row(x, n, what));
        }
    }
    put_frames(frames, tile, what, t);
    for (int row = 0; row < rows; row += LANES) {
        v_store(partial + partial_at(0, rows, row), v_load(frames->first + row));
        v_store(partial + partial_at(1, rows, row), v_load(frames->second + row));
    }
    far_rows far;
    far.any = 0;
    for (int row = 0; what == OTHERS_SAVING_ALL && row < rows; row += LANES)
        far.any |= any_far(read_largest(partial, rows, row), t);
    if (far.any) { /* first, because the exponentials may be saved where the elements are */
        smx_tile others = *tile;
        others.lookahead.maxima = NULL; /* those of this tile have been found */
        if (sum_count == 1)
            log_softmax_reduce_short_rows(&others, partial);
        else
            log_softmax_reduce_rows(&others, partial);
        far_rows_keep(&far, rows, partial);
    }

    lanes_of_rows high_lanes[2], low_lanes[2];
    for (int row = 0; row < rows; row++) {
        const real *x = row_of(&tile->in[0], row);
        const largest m = {v_set1(partial[partial_at(0, rows, row)]), v_set1(partial[partial_at(1, rows, row)])};
        const term_rule rule = term_rule_of(m, v_set1(frames->rounder[row]), v_set1(frames->floor[row]),
                                            v_set1(frames->start[row]), what, t);
        const real *lookahead =
            tile->lookahead.maxima && row < tile->lookahead.rows ? row_of(&tile->lookahead.view, row) : NULL;
        const saved_parts saved = {saves ? row_of(&tile->saved[0], row) : NULL, p_offset};
        largest lookahead_max;
        const row_sums sums = sum_count == 1
                                  ? exp_short_row(x, n, &rule, saved)
                                  : exp_long_row(x, n, &rule, saved, next_row(tile, 0, row), lookahead, &lookahead_max);
        if (sum_count > 1 && lookahead)
            put_largest(frames, row, &all, lookahead, n, largest_of_lanes(lookahead_max, what));
        v_store(high_lanes[0][row], sums.terms.high);
        v_store(low_lanes[0][row], sums.terms.low);
        if (kinds > 1) {
            v_store(high_lanes[1][row], sums.gaps.high);
            v_store(low_lanes[1][row], sums.gaps.low);
        }
    }
    if (sum_count > 1) {
        put_sums_of_lanes(high_lanes[0], low_lanes[0], rows, frames->root, partial, PARTIAL_TERMS);
        if (kinds > 1)
            put_sums_of_lanes(high_lanes[1], low_lanes[1], rows, NULL, partial, PARTIAL_GAPS);
    } else {
        vec high = none, low = none;
        for (int row = 0; row < rows; row++) {
            const pair sum = pair_of(v_load(high_lanes[0][row]), v_load(low_lanes[0][row])),
                       total = pair_times_square(sum, v_set1(what == OTHERS_SAVING_ALL ? frames->root[row] : 1));
            put_row(partial, PARTIAL_TERMS, rows, row, &high, total.high);
            put_row(partial, PARTIAL_TERMS + 1, rows, row, &low, total.low);
        }
    }
    if (far.any)
        far_rows_choose(&far, 1, rows, partial, t);
}

/* ---- COLUMNS ---------------------------------------------------------------------------------------------------- */

/* LANES columns, with their element strides: the elements; those of the next tile and the results, which are
   prefetched, or NULL; and where the parts of the exponentials are saved. */
typedef struct {
    const real *x, *next, *out;
    saved_parts saved;
    ptrdiff_t x_stride, next_stride, out_stride, saved_stride;
} strip;

SMX_INLINE strip first_strip(const smx_tile *tile, int saves) {
    strip at = {.x = row_of(&tile->in[0], 0),
                .next = next_strip(tile, 0, 0),
                .out = out_strip_to_prefetch(tile, 0),
                .x_stride = tile->in[0].element_stride,
                .next_stride = tile->next[0].element_stride,
                .out_stride = tile->out.element_stride};
    if (saves) {
        at.saved.power = row_of(&tile->saved[0], 0);
        at.saved_stride = tile->saved[0].element_stride;
        at.saved.p_offset = row_of(&tile->saved[1], 0) - at.saved.power;
    }
    return at;
}
SMX_INLINE strip next_of_strip(strip at) {
    at.x += LANES;
    at.next = at.next ? at.next + LANES : NULL;
    at.out = at.out ? at.out + LANES : NULL;
    at.saved = saved_at(at.saved, LANES);
    return at;
}

/* Adds `count` elements of each row, from element j on and `step` apart, to their partial sum s. left: rows of the
   strip, LANES or more if it is whole. */
SMX_INLINE running_sums exp_column_step(running_sums s, const strip *at, ptrdiff_t j, ptrdiff_t step, int count,
                                        ptrdiff_t left, const term_rule *rule) {
    vec v[IN_STEP];
    exp_parts e[IN_STEP];
    for (int k = 0; k < count; k++)
        v[k] = load_left(at->x + (j + k * step) * at->x_stride, left);
    s = exp_step(s, v, count, rule, step == 1, e);
    for (int k = 0; at->saved.power && k < count; k++)
        save_parts(at->saved, (j + k * step) * at->saved_stride, e[k]);
    return s;
}

SMX_INLINE row_sums exp_sums_of_strip(strip at, ptrdiff_t n, ptrdiff_t left, int sum_count, enum sum_of what, largest m,
                                      exp_frame frame, const exp_temperature *t) {
    const vec start = what == OTHERS_SAVING_ALL ? frame.start : v_set1(EXP_SUM_START);
    const term_rule rule = term_rule_of(m, frame.rounder, frame.floor, start, what, t);
    running_sums s[SUMS];
    row_sums partials[SUMS];
    for (int i = 0; i < sum_count; i++)
        s[i] = running_sums_begin(&rule);
#define STEP_OF(k)                                                                                                     \
    (at.next = prefetch_lines(at.next, at.next_stride, k), at.out = prefetch_lines(at.out, at.out_stride, k),          \
     exp_column_step(s[i], &at, j + i, sum_count, k, left, &rule))
    ptrdiff_t j = 0;
    for (; j + 4 * sum_count <= n; j += 4 * sum_count) {
        for (int i = 0; i < sum_count; i++)
            s[i] = STEP_OF(4);
        if (sum_count > 1 && settles_after(j + 4 * sum_count))
            for (int i = 0; i < sum_count; i++)
                s[i] = running_sums_settle(s[i], &rule);
    }
    for (int i = 0; i < sum_count && j + i < n; i++) {
        const ptrdiff_t more = (n - j - i + sum_count - 1) / sum_count;
        s[i] = more == 4 ? STEP_OF(4) : more == 3 ? STEP_OF(3) : more == 2 ? STEP_OF(2) : STEP_OF(1);
    }
#undef STEP_OF
    for (int i = 0; i < sum_count; i++)
        partials[i] = running_sums_end(s[i], &rule, sum_count == 1);
    ADD_PAIRWISE(row_sums_add, partials, sum_count);
    partials[0].terms = pair_times_square(partials[0].terms, frame.root);
    return partials[0];
}

/* A strip of long rows fills the first-level cache, so each strip is finished before the next begins. */
SMX_INLINE void exp_reduce_long_columns(const smx_tile *tile, real *partial, enum sum_of what) {
    const exp_temperature copy = *(const exp_temperature *)tile->temperature, *t = &copy;
    const int rows = tile->rows;
    const ptrdiff_t n = tile->n;
    strip at = first_strip(tile, 0);
    far_rows far;
    far.any = 0;
    for (int row = 0; row < rows; row += LANES, at = next_of_strip(at)) {
        largest m;
        largest_of_strips(tile, row, 1, rows - row, what, &m);
        far.any |= what == OTHERS_SAVING_ALL && any_far(m, t);
        const row_sums sums =
            exp_sums_of_strip(at, n, rows - row, SUMS, what, m,
                              exp_frame_of(m, initial_of(tile, row, tile->again, t).reference, what, t), t);
        store_exp_partial(partial, rows, row, m, sums, what);
    }
    if (far.any) {
        far_rows_keep(&far, rows, partial);
        log_softmax_reduce_columns(tile, partial);
        far_rows_choose(&far, 0, rows, partial, t);
    }
}

/* The maxima and scales of all strips of short rows come before the sums, because each is a chain of dependent
   operations. */
SMX_INLINE void exp_reduce_short_columns(const smx_tile *tile, real *partial, enum sum_of what, int saves) {
    const exp_temperature copy = *(const exp_temperature *)tile->temperature, *t = &copy;
    const int rows = tile->rows;
    const ptrdiff_t n = tile->n;
    largest m[SMX_TILE_ROWS / LANES];
    exp_frame frame[SMX_TILE_ROWS / LANES];
    int first = 0;
    for (; first + STRIPS * LANES <= rows; first += STRIPS * LANES)
        largest_of_strips(tile, first, STRIPS, LANES, what, m + first / LANES);
    for (; first < rows; first += LANES)
        largest_of_strips(tile, first, 1, rows - first, what, m + first / LANES);
    far_rows far;
    far.any = 0;
    for (int k = 0; k * LANES < rows; k++) {
        frame[k] = exp_frame_of(m[k], initial_of(tile, k * LANES, tile->again, t).reference, what, t);
        far.any |= what == OTHERS_SAVING_ALL && any_far(m[k], t);
    }
    if (far.any) {
        log_softmax_reduce_short_columns(tile, partial);
        far_rows_keep(&far, rows, partial);
    }
    strip at = first_strip(tile, saves);
    for (int k = 0; k * LANES < rows; k++, at = next_of_strip(at)) {
        const row_sums sums = exp_sums_of_strip(at, n, rows - k * LANES, 1, what, m[k], frame[k], t);
        store_exp_partial(partial, rows, k * LANES, m[k], sums, what);
    }
    if (far.any)
        far_rows_choose(&far, 1, rows, partial, t);
}
