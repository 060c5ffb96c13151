/* Long COLUMNS with few rows whose lines follow one another in memory. They are read as they lie, by whole vectors.

   A line is one element of every row. A cycle is SUMS lines: it has SUMS times as many elements as a line has, so it is
   a number of whole vectors, however short the line. Strip by strip, a line of ten would leave six of sixteen lanes
   empty. Element i of a row belongs to partial sum i mod SUMS. So the lines that have the same number in all cycles add
   up to one line of partial sums, and a vector at a place of the cycle, with the vectors one cycle, two cycles and so
   on further, is treated like a row of its own whose lanes are partial sums of several rows. This keeps the order of
   the sums that every layout has. Constants are repeated for each line of a cycle. */

enum {
    WIDEST_LINE = 2 * SUMS, /* in wider lines, few lanes of the last strip are empty */
    CYCLE = WIDEST_LINE * SUMS + SMX_STEP, /* with room for a vector that begins at the last element */
};

/* Fills a cycle with equal lines. */
SMX_INLINE void repeat_line(real *cycle, const real *line, int rows) {
    for (int i = 0; i < SUMS; i++)
        for (int row = 0; row < rows; row += LANES)
            v_store(cycle + i * rows + row, v_load(line + row));
}

/* The largest elements of the lines that have the same number in all cycles. */
SMX_INLINE void largest_of_lines(const real *x, ptrdiff_t size, ptrdiff_t cycle, enum sum_of what, real *first,
                                 real *second) {
    for (ptrdiff_t at = 0; at < cycle; at += LANES) {
        v_store(first + at, MINUS_INFINITY);
        v_store(second + at, MINUS_INFINITY);
    }
    for (ptrdiff_t i = 0; i < size; i += 4 * cycle)
        for (ptrdiff_t at = 0; at < cycle; at += LANES) {
            largest m = {v_load(first + at), v_load(second + at)};
            for (ptrdiff_t k = i + at; k < i + 4 * cycle && k < size; k += cycle)
                m = largest_add(m, k + LANES <= size ? v_load(x + k) : v_load_first(x + k, size - k, MINUS_INFINITY),
                                what);
            v_store(first + at, m.first);
            v_store(second + at, m.second);
        }
}

SMX_INLINE void exp_reduce_lines(const smx_tile *tile, real *partial, enum sum_of what) {
    const exp_temperature copy = *(const exp_temperature *)tile->temperature, *t = &copy;
    const int rows = tile->rows;
    const real *x = row_of(&tile->in[0], 0), *next = next_strip(tile, 0, 0);
    const ptrdiff_t n = tile->n, cycle = rows * SUMS, size = n * rows;
    real first[CYCLE], second[CYCLE], rounder[CYCLE], floor[CYCLE], start[CYCLE], high[CYCLE], low[CYCLE], small[CYCLE];
    real line[4][WIDEST_LINE], root[WIDEST_LINE];

    largest_of_lines(x, size, cycle, what, first, second);
    for (int row = 0; row < rows; row += LANES) {
        const ptrdiff_t left = rows - row;
        largest m = largest_begin();
        for (int i = 0; i < SUMS; i++) {
            const largest of_line = {load_left(first + i * rows + row, left), load_left(second + i * rows + row, left)};
            m = what == ALL ? largest_add(m, of_line.first, what) : largest_merge(m, of_line);
        }
        m = largest_end(m, what);
        if (!v_all_le(v_abs(m.first), HUGEST)) {
            const vec nans = nans_of_columns(x + row, rows, n, left);
            m.first =
                v_select_le(v_abs(m.first), HUGEST, m.first, v_select_le(nans, v_set1(0), m.first, CANONICAL_NAN));
        }
        const exp_frame frame = exp_frame_of(m, initial_of(tile, row, tile->again, t).reference, what, t);
        v_store(partial + partial_at(0, rows, row), m.first);
        v_store(partial + partial_at(1, rows, row), m.second);
        v_store(line[0] + row, m.second);
        v_store(line[1] + row, frame.rounder);
        v_store(line[2] + row, frame.floor);
        v_store(line[3] + row, frame.start);
        v_store(root + row, frame.root);
    }
    repeat_line(second, line[0], rows);
    repeat_line(rounder, line[1], rows);
    repeat_line(floor, line[2], rows);
    repeat_line(start, line[3], rows);

    for (ptrdiff_t at = 0; at < cycle + LANES; at += LANES) { /* one vector more, because the last line is read by whole
                                                                 vectors */
        v_store(high + at, at < cycle ? v_load(start + at) : v_set1(0));
        v_store(low + at, v_set1(0));
        v_store(small + at, v_set1(0));
    }
    for (ptrdiff_t i = 0, done = STEP; i < size; i += 4 * cycle, done += STEP) {
        for (ptrdiff_t at = 0; at < cycle && i + at < size; at += LANES) {
            const largest m = {v_load(first + at), v_load(second + at)};
            const term_rule rule =
                term_rule_of(m, v_load(rounder + at), v_load(floor + at), v_load(start + at), what, t);
            const saved_parts nowhere = {NULL, 0};
            const ptrdiff_t here = i + at, left = (size - here + cycle - 1) / cycle;
            running_sums s = running_sums_begin(&rule);
            s.terms = exp_sum_of(pair_of(v_load(high + at), v_load(low + at)), v_load(small + at));
#define STEP_OF(whole, k) exp_row_step(s, x + here, cycle, size - here, whole, k, &rule, nowhere)
            for (int k = 0; next && k < 4; k++)
                SMX_PREFETCH(next + here + k * cycle + LANES - 1);
            if (here + 3 * cycle + LANES <= size)
                s = STEP_OF(1, 4);
            else
                s = left == 4 ? STEP_OF(0, 4) : left == 3 ? STEP_OF(0, 3) : left == 2 ? STEP_OF(0, 2) : STEP_OF(0, 1);
#undef STEP_OF
            v_store(high + at, s.terms.high);
            v_store(low + at, s.terms.low);
            v_store(small + at, s.terms.small);
        }
        for (ptrdiff_t at = 0; done <= n && settles_after(done) && at < cycle; at += LANES) {
            const pair s = sum_renormalize(pair_of(v_load(high + at), v_load(low + at)));
            v_store(high + at, s.high);
            v_store(low + at, s.low);
        }
    }
    for (ptrdiff_t at = 0; at < cycle; at += LANES) {
        const exp_sum s = exp_sum_of(pair_of(v_load(high + at), v_load(low + at)), v_load(small + at));
        const pair sum = exp_sum_end(s, v_load(start + at), 0);
        v_store(high + at, sum.high);
        v_store(low + at, sum.low);
    }
    for (int row = 0; row < rows; row += LANES) {
        pair s[SUMS];
        for (int i = 0; i < SUMS; i++)
            s[i] = pair_of(v_load(high + i * rows + row), v_load(low + i * rows + row));
        ADD_PAIRWISE(sum_add_sum, s, SUMS);
        s[0] = pair_times_square(s[0], v_load(root + row));
        v_store(partial + partial_at(2, rows, row), s[0].high);
        v_store(partial + partial_at(3, rows, row), s[0].low);
    }
}

/* A cycle of partial sums of a derivative. */
typedef struct {
#if REAL_BITS == 32
    double wide[CYCLE];
#else
    real high[CYCLE], low[CYCLE];
#endif
} derivative_sums;

SMX_INLINE derivative_sum derivative_sum_at(const derivative_sums *sums, ptrdiff_t at) {
#if REAL_BITS == 32
    return v_wide_load(sums->wide + at);
#else
    return pair_of(v_load(sums->high + at), v_load(sums->low + at));
#endif
}
SMX_INLINE void put_derivative_sum(derivative_sums *sums, ptrdiff_t at, derivative_sum s) {
#if REAL_BITS == 32
    v_wide_store(sums->wide + at, s);
#else
    v_store(sums->high + at, s.high);
    v_store(sums->low + at, s.low);
#endif
}

SMX_INLINE void sum_reduce_lines(const smx_tile *tile, real *partial, enum summand what) {
    const int rows = tile->rows;
    const real *y = row_of(&tile->in[0], 0), *g = row_of(&tile->in[1], 0);
    const real *y_next = next_strip(tile, 0, 0), *g_next = next_strip(tile, 1, 0);
    const ptrdiff_t cycle = rows * SUMS, size = tile->n * rows;
    const vec largest = largest_of_exp(tile->temperature);
    derivative_sums sums;
    for (ptrdiff_t at = 0; at < cycle + LANES; at += LANES) /* one vector more, because the last line is read by whole
                                                               vectors */
        put_derivative_sum(&sums, at, derivative_sum_begin());
    for (ptrdiff_t i = 0; i < size; i += 4 * cycle)
        for (ptrdiff_t at = 0; at < cycle && i + at < size; at += LANES) {
            const ptrdiff_t here = i + at;
            vec y_of[IN_STEP], g_of[IN_STEP];
            derivative_sum s = derivative_sum_at(&sums, at);
            for (int m = 0; m < 4; m++) {
                if (y_next)
                    SMX_PREFETCH(y_next + here + m * cycle + LANES - 1);
                if (g_next)
                    SMX_PREFETCH(g_next + here + m * cycle + LANES - 1);
            }
            if (here + 3 * cycle + LANES <= size) {
                for (int m = 0; m < 4; m++) {
                    y_of[m] = v_load(y + here + m * cycle);
                    g_of[m] = v_load(g + here + m * cycle);
                }
            } else {
                for (int m = 0; m < 4; m++) {
                    const ptrdiff_t left = size - (here + m * cycle);
                    y_of[m] = left > 0 ? load_left(y + here + m * cycle, left) : v_set1(0);
                    g_of[m] = left > 0 ? load_left(g + here + m * cycle, left) : v_set1(0);
                }
            }
            put_derivative_sum(&sums, at, derivative_sum_add(s, y_of, g_of, 4, largest, what, 0, 0));
        }
    for (int row = 0; row < rows; row += LANES) {
        derivative_sum s[SUMS];
        for (int i = 0; i < SUMS; i++)
            s[i] = derivative_sum_at(&sums, i * rows + row);
        ADD_PAIRWISE_SUMS(s, SUMS);
        store_pair(partial, 0, rows, row, derivative_sum_end(s[0]));
    }
}

/* Writes `count` vectors at place `here` of the array, of which `left` elements exist, with the constants at place `at`
   of the cycle. */
SMX_INLINE void apply_in_step(const write_spec *spec, ptrdiff_t here, int count, ptrdiff_t left,
                              real constants_of_cycle[][CYCLE], ptrdiff_t at, const exp_temperature *t) {
    terms term[IN_STEP];
    vec y[IN_STEP];
    SMX_ASSUME(count > 0 && spec->inputs > 0);
    EACH {
        for (int i = 0; i < spec->constant_count; i++)
            term[k].c[i] = v_load(constants_of_cycle[i] + at + k * LANES);
        for (int i = 0; i < spec->inputs; i++)
            term[k].v[i] = load_left(row_of(spec->from[i], 0) + here + k * LANES, left);
    }
    spec->f(term, count, t, y);
    EACH {
        if (left >= LANES)
            v_store(row_of(spec->to, 0) + here + k * LANES, y[k]);
        else
            v_store_first(row_of(spec->to, 0) + here + k * LANES, left, y[k]);
    }
}

/* Applies spec to a tile, as apply_to_columns does, a cycle of lines at a time. */
SMX_INLINE void apply_to_lines(const smx_tile *tile, const write_spec *spec, const void *constants) {
    const exp_temperature copy = *(const exp_temperature *)tile->temperature, *t = &copy;
    const int rows = tile->rows;
    const ptrdiff_t cycle = rows * SUMS, size = tile->n * rows;
    real constants_of_cycle[SMX_CONSTANTS][CYCLE];
    for (int k = 0; k < spec->constant_count; k++)
        repeat_line(constants_of_cycle[k], (const real *)constants + k * SMX_TILE_ROWS, rows);
    for (ptrdiff_t i = 0; i < size; i += cycle) {
        const ptrdiff_t end = size - i < cycle ? size - i : cycle;
        ptrdiff_t at = 0;
        for (; at + IN_STEP * LANES <= end; at += IN_STEP * LANES)
            apply_in_step(spec, i + at, IN_STEP, LANES, constants_of_cycle, at, t);
        for (; at < end; at += LANES)
            apply_in_step(spec, i + at, 1, end - at, constants_of_cycle, at, t);
    }
}
