/* The loops of a reduce that adds up exponentials, for softmax, log_softmax, logsumexp and cross-entropy: first the
   largest elements of each row, then the sum relative to them. */

/* ---- what they share --------------------------------------------------------------------------------------------- */

SMX_INLINE largest read_largest(const real *partial, int width, int row) {
    const largest m = {v_load(partial + partial_at(0, width, row)), v_load(partial + partial_at(1, width, row))};
    return m;
}
SMX_INLINE void store_exp_partial(real *partial, int width, int row, largest m, pair s) {
    v_store(partial + partial_at(0, width, row), m.first);
    v_store(partial + partial_at(1, width, row), m.second);
    v_store(partial + partial_at(2, width, row), s.high);
    v_store(partial + partial_at(3, width, row), s.low);
}

/* The scale of the terms (exp_scale_with), where their sum starts, and the square root of what brings it to the scale of
   `reference_of`. */
typedef struct {
    vec rounder, floor, start, root;
} exp_frame;

SMX_INLINE exp_frame exp_frame_of(largest m, enum sum_of what, const exp_temperature *t) {
    const vec reference = reference_of(m, t);
    vec own = reference, start = v_set1(EXP_SUM_START), root = v_set1(1);
    if (what == OTHERS_KEEPING_ALL) {
        own = exp_reference(m.first, t);
        const vec half = v_mul(v_sub(own, reference), v_set1((real)0.5)), down = power_of_two(v_sub(v_set1(0), half));
        start = v_mul(v_mul(start, down), down);
        root = power_of_two(half);
    }
    const exp_scale scale = exp_scale_of(own, t);
    const exp_frame frame = {scale.rounder, scale.floor, start, root};
    return frame;
}

SMX_INLINE pair exp_sum_settle(pair s, vec root, enum sum_of what) {
    if (what == OTHERS_KEEPING_ALL)
        s = pair_of(v_mul(v_mul(s.high, root), root), v_mul(v_mul(s.low, root), root));
    return s;
}

/* Of an element and its exponential: what is added to the sum. */
SMX_INLINE exp_parts exp_term(vec x, exp_parts e, vec second, enum sum_of what) {
    return what == ALL ? e : exp_up_to(second, x, e);
}

/* Up to four vectors of elements into the partial sum that is theirs; e: their exponentials. */
SMX_INLINE exp_sum exp_step(exp_sum s, const vec *x, int count, exp_scale scale, vec second, enum sum_of what,
                            int is_short_row, exp_parts *e) {
    exp_parts term[IN_STEP];
    exp_scale scales[IN_STEP];
    for (int k = 0; k < count; k++)
        scales[k] = scale;
    exp_parts_in_step(x, count, scales, 1, e);
    for (int k = 0; k < count; k++)
        term[k] = exp_term(x[k], e[k], second, what);
    return exp_sum_add(s, term, count, is_short_row);
}

/* ---- ROWS -------------------------------------------------------------------------------------------------------- */

/* So many vectors of a row, from x on that far apart, into the partial sum that is theirs; left: elements from x to the end
   of the row, enough if whole. */
SMX_INLINE exp_sum exp_row_step(exp_sum s, const real *x, ptrdiff_t apart, ptrdiff_t left, int whole, int count,
                                exp_scale scale, vec second, enum sum_of what, real *keep, ptrdiff_t to_p) {
    vec v[IN_STEP];
    exp_parts e[IN_STEP];
    for (int k = 0; k < count; k++)
        v[k] = whole ? v_load(x + k * apart) : v_load_first(x + k * apart, left - k * apart, MINUS_INFINITY);
    s = exp_step(s, v, count, scale, second, what, 0, e);
    for (int k = 0; keep && k < count; k++) {
        v_store(keep + k * apart, e[k].power);
        v_store(keep + k * apart + to_p, e[k].p);
    }
    return s;
}

/* The sum of a row, still in lanes; keep: NULL, or where the parts of its exponentials go; next: NULL, or what is to be asked
   for; ahead: NULL, or a row of which the largest elements are to be found, still in lanes. */
SMX_INLINE pair exp_long_row(vec start, const real *x, ptrdiff_t n, exp_scale scale, vec second, enum sum_of what,
                             real *keep, ptrdiff_t to_p, const real *next, const real *ahead, largest *found) {
    exp_sum s[GROUPS];
    pair partial[GROUPS];
    largest m = largest_begin();
    for (int g = 0; g < GROUPS; g++)
        s[g] = exp_sum_begin(start);
#define STEP_OF(whole, k) exp_row_step(s[g], x + at, SUMS, n - at, whole, k, scale, second, what, to, to_p)
    ptrdiff_t i = 0;
    for (; i + STEP <= n; i += STEP) {
        if (next)
            ask_for(next + i, STEP * sizeof(real));
        for (int k = 0; ahead && k < STEP; k += LANES)
            m = largest_add(m, v_load(ahead + i + k), what);
        for (int g = 0; g < GROUPS; g++) {
            const ptrdiff_t at = i + g * LANES;
            real *to = keep ? keep + at : NULL;
            s[g] = STEP_OF(1, 4);
        }
    }
    for (int g = 0; g < GROUPS && i + g * LANES < n; g++) {
        const ptrdiff_t at = i + g * LANES, left = (n - at + SUMS - 1) / SUMS;
        real *to = keep ? keep + at : NULL;
        s[g] = left == 4 ? STEP_OF(0, 4) : left == 3 ? STEP_OF(0, 3) : left == 2 ? STEP_OF(0, 2) : STEP_OF(0, 1);
    }
#undef STEP_OF
    for (; ahead && i < n; i += LANES)
        m = largest_add(m, v_load_first(ahead + i, n - i, MINUS_INFINITY), what);
    *found = m;
    for (int g = 0; g < GROUPS; g++)
        partial[g] = exp_sum_end(s[g], start, 0);
    ADD_PAIRWISE(sum_add_sum, partial, GROUPS);
    return partial[0];
}

/* The sum of a row with one partial sum, in every lane: exponentials by the vector, but added up one after the other. */
SMX_INLINE pair exp_short_row(vec start, const real *x, ptrdiff_t n, exp_scale scale, vec second, enum sum_of what,
                              real *keep, ptrdiff_t to_p) {
    real power[SMX_SHORT + SMX_STEP], p[SMX_SHORT + SMX_STEP];
    for (ptrdiff_t i = 0; i < n || i % 4 != 0; i += LANES) {
        const vec v = v_load_first(x + i, n - i, MINUS_INFINITY);
        const exp_parts e = exp_parts_of(v, scale);
        v_store(power + i, exp_term(v, e, second, what).power);
        v_store(p + i, e.p);
        if (keep) {
            v_store(keep + i, e.power);
            v_store(keep + i + to_p, e.p);
        }
    }
    exp_sum s = exp_sum_begin(start);
    for (ptrdiff_t i = 0; i < n; i += 4) {
        exp_parts term[4];
        for (int k = 0; k < 4; k++) {
            term[k].power = v_set1(power[i + k]);
            term[k].p = v_set1(p[i + k]);
        }
        s = exp_sum_add(s, term, 4, 1);
    }
    return exp_sum_end(s, start, 1);
}

/* What the exponentials of rows are relative to. */
typedef struct {
    real first[SMX_ROWS_AT_ONCE], second[SMX_ROWS_AT_ONCE], rounder[SMX_ROWS_AT_ONCE], floor[SMX_ROWS_AT_ONCE],
        start[SMX_ROWS_AT_ONCE], root[SMX_ROWS_AT_ONCE];
} frames_of_rows;
_Static_assert(sizeof(frames_of_rows) <= SMX_LOOKAHEAD * sizeof(double), "found has room for them");

/* Of one row after the other. */
SMX_INLINE void put_largest(frames_of_rows *of, int row, largest *all, const real *x, ptrdiff_t n, largest m) {
    if (isinf(v_first(m.first)) && !v_all_le(nans_of_row(x, n), v_set1(0)))
        m.first = v_set1((real)NAN);
    put_number(of->first, row, &all->first, m.first);
    put_number(of->second, row, &all->second, m.second);
}
SMX_INLINE void put_frames(frames_of_rows *of, int width, enum sum_of what, const exp_temperature *t) {
    for (int row = 0; row < width; row += LANES) {
        const largest m = {v_load(of->first + row), v_load(of->second + row)};
        const exp_frame frame = exp_frame_of(m, what, t);
        v_store(of->rounder + row, frame.rounder);
        v_store(of->floor + row, frame.floor);
        v_store(of->start + row, frame.start);
        v_store(of->root + row, frame.root);
    }
}

/* Row by row, vectors running along the row. What the rows are relative to has been found by the reduce before, whose
   exponentials leave loads to spare; else the maxima of all rows come first: the end of one row's search, a chain of
   dependent operations, then hides behind the next row. */
SMX_INLINE void exp_reduce_rows(const smx_tile *tile, real *partial, int count, enum sum_of what, int keep) {
    const exp_temperature own = *(const exp_temperature *)tile->temperature, *t = &own;
    const int width = tile->rows;
    const ptrdiff_t n = tile->n, to_p = keep ? row_of(&tile->saved[1], 0) - row_of(&tile->saved[0], 0) : 0;
    const int at_once = count > 1 && ADDS_AT_ONCE(width);
    const vec none = v_set1(0);
    frames_of_rows here, *const frames = tile->lookahead.maxima ? tile->lookahead.maxima : &here;
    largest all = {none, none};
    vec high = none, low = none;
    if (!tile->lookahead.maxima || !tile->lookahead.valid) {
        for (int row = 0; row < width; row++) {
            const real *x = row_of(&tile->in[0], row);
            put_largest(frames, row, &all, x, n, largest_of_row(x, n, what));
        }
        put_frames(frames, width, what, t);
    }
    for (int row = 0; row < width; row += LANES) {
        v_store(partial + partial_at(0, width, row), v_load(frames->first + row));
        v_store(partial + partial_at(1, width, row), v_load(frames->second + row));
    }

    lanes_of_rows high_lanes, low_lanes;
    for (int row = 0; row < width; row++) {
        const real *x = row_of(&tile->in[0], row);
        const exp_scale scale = exp_scale_with(v_set1(frames->rounder[row]), v_set1(frames->floor[row]), t);
        const vec threshold = v_set1(partial[partial_at(1, width, row)]), from = v_set1(frames->start[row]);
        const real *ahead =
            tile->lookahead.maxima && row < tile->lookahead.rows ? row_of(&tile->lookahead.view, row) : NULL;
        real *kept = keep ? row_of(&tile->saved[0], row) : NULL;
        largest found;
        const pair sum = count == 1 ? exp_short_row(from, x, n, scale, threshold, what, kept, to_p)
                                    : exp_long_row(from, x, n, scale, threshold, what, kept, to_p,
                                                   next_row(tile, 0, row), ahead, &found);
        if (count > 1 && ahead)
            put_largest(frames, row, &all, ahead, n, largest_of_lanes(found, what));
        v_store(high_lanes[row], sum.high);
        v_store(low_lanes[row], sum.low);
    }
    for (int row = 0; !at_once && row < width; row++) {
        const pair lanes = pair_of(v_load(high_lanes[row]), v_load(low_lanes[row]));
        const pair total = exp_sum_settle(count > 1 ? sum_lanes(lanes) : lanes, v_set1(frames->root[row]), what);
        put_row(partial, 2, width, row, &high, total.high);
        put_row(partial, 3, width, row, &low, total.low);
    }
    for (int row = 0; at_once && row < width; row += LANES) {
        pair sum[LANES];
        vec high_lane[LANES], low_lane[LANES];
        transpose_lanes(high_lanes, row, width, high_lane);
        transpose_lanes(low_lanes, row, width, low_lane);
        for (int i = 0; i < LANES; i++)
            sum[i] = pair_of(high_lane[i], low_lane[i]);
        ADD_PAIRWISE(sum_add_sum, sum, LANES);
        const pair total = exp_sum_settle(sum[0], v_load(frames->root + row), what);
        v_store(partial + partial_at(2, width, row), total.high);
        v_store(partial + partial_at(3, width, row), total.low);
    }
    if (count > 1 && tile->lookahead.maxima)
        put_frames(frames, tile->lookahead.rows, what, t);
}

/* ---- COLUMNS ----------------------------------------------------------------------------------------------------- */

/* LANES columns: where their elements are; those of the next tile and those of results, to be asked for, or NULL; and where
   what is kept goes, or NULL. */
typedef struct {
    const real *x, *next, *out;
    real *kept;
    ptrdiff_t pitch, next_pitch, out_pitch, kept_pitch, to_p;
} strip;

SMX_INLINE strip first_strip(const smx_tile *tile, int keep) {
    strip at = {.x = row_of(&tile->in[0], 0),
                .next = next_strip(tile, 0, 0),
                .out = awaited_strip(tile, 0),
                .pitch = tile->in[0].element_stride,
                .next_pitch = tile->next[0].element_stride,
                .out_pitch = tile->out.element_stride};
    if (keep) {
        at.kept = row_of(&tile->saved[0], 0);
        at.kept_pitch = tile->saved[0].element_stride;
        at.to_p = row_of(&tile->saved[1], 0) - at.kept;
    }
    return at;
}
SMX_INLINE strip next_of_strip(strip at) {
    at.x += LANES;
    at.next = at.next ? at.next + LANES : NULL;
    at.out = at.out ? at.out + LANES : NULL;
    at.kept = at.kept ? at.kept + LANES : NULL;
    return at;
}

/* So many elements from number j on, step apart, into the partial sum that is theirs; left: lanes of each. */
SMX_INLINE exp_sum exp_column_step(exp_sum s, strip at, ptrdiff_t j, ptrdiff_t step, int count, ptrdiff_t left,
                                   exp_scale scale, vec second, enum sum_of what) {
    vec v[IN_STEP];
    exp_parts e[IN_STEP];
    for (int k = 0; k < count; k++)
        v[k] = load_left(at.x + (j + k * step) * at.pitch, left);
    s = exp_step(s, v, count, scale, second, what, step == 1, e);
    for (int k = 0; at.kept && k < count; k++) {
        real *kept = at.kept + (j + k * step) * at.kept_pitch;
        v_store(kept, e[k].power);
        v_store(kept + at.to_p, e[k].p);
    }
    return s;
}

SMX_INLINE pair exp_sum_of_strip(strip at, ptrdiff_t n, ptrdiff_t left, int count, enum sum_of what, vec second,
                                 exp_frame frame, const exp_temperature *t) {
    const exp_scale scale = exp_scale_with(frame.rounder, frame.floor, t);
    const vec start = what == OTHERS_KEEPING_ALL ? frame.start : v_set1(EXP_SUM_START);
    exp_sum s[SUMS];
    pair partials[SUMS];
    for (int i = 0; i < count; i++)
        s[i] = exp_sum_begin(start);
#define STEP_OF(k)                                                                                                     \
    (at.next = ask_for_lines(at.next, at.next_pitch, k), at.out = ask_for_lines(at.out, at.out_pitch, k),              \
     exp_column_step(s[i], at, j + i, count, k, left, scale, second, what))
    ptrdiff_t j = 0;
    for (; j + 4 * count <= n; j += 4 * count)
        for (int i = 0; i < count; i++)
            s[i] = STEP_OF(4);
    for (int i = 0; i < count && j + i < n; i++) {
        const ptrdiff_t more = (n - j - i + count - 1) / count;
        s[i] = more == 4 ? STEP_OF(4) : more == 3 ? STEP_OF(3) : more == 2 ? STEP_OF(2) : STEP_OF(1);
    }
#undef STEP_OF
    for (int i = 0; i < count; i++)
        partials[i] = exp_sum_end(s[i], start, count == 1);
    ADD_PAIRWISE(sum_add_sum, partials, count);
    return exp_sum_settle(partials[0], frame.root, what);
}

/* A strip of long rows fills the first-level cache by itself: so each is done with before the next. */
SMX_INLINE void exp_reduce_long_columns(const smx_tile *tile, real *partial, enum sum_of what) {
    const exp_temperature own = *(const exp_temperature *)tile->temperature, *t = &own;
    const int width = tile->rows;
    const ptrdiff_t n = tile->n;
    strip at = first_strip(tile, 0);
    for (int row = 0; row < width; row += LANES, at = next_of_strip(at)) {
        largest m;
        largest_of_strips(tile, row, 1, width - row, what, &m);
        const pair sum = exp_sum_of_strip(at, n, width - row, SUMS, what, m.second, exp_frame_of(m, what, t), t);
        store_exp_partial(partial, width, row, m, sum);
    }
}

/* Of short rows, maxima and scales of all strips come before the sums: each is a chain of dependent operations. */
SMX_INLINE void exp_reduce_short_columns(const smx_tile *tile, real *partial, enum sum_of what, int keep) {
    const exp_temperature own = *(const exp_temperature *)tile->temperature, *t = &own;
    const int width = tile->rows;
    const ptrdiff_t n = tile->n;
    largest m[SMX_TILE_ROWS / LANES];
    exp_frame frame[SMX_TILE_ROWS / LANES];
    int first = 0;
    for (; first + STRIPS * LANES <= width; first += STRIPS * LANES)
        largest_of_strips(tile, first, STRIPS, LANES, what, m + first / LANES);
    for (; first < width; first += LANES)
        largest_of_strips(tile, first, 1, width - first, what, m + first / LANES);
    for (int k = 0; k * LANES < width; k++)
        frame[k] = exp_frame_of(m[k], what, t);
    strip at = first_strip(tile, keep);
    for (int k = 0; k * LANES < width; k++, at = next_of_strip(at)) {
        const pair sum = exp_sum_of_strip(at, n, width - k * LANES, 1, what, m[k].second, frame[k], t);
        store_exp_partial(partial, width, k * LANES, m[k], sum);
    }
}
