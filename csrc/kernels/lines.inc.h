/* Long COLUMNS that are to_half and lie in memory line after line: taken as they are, by whole vectors.

   A line is one element of every row. SUMS lines, a round, are as many whole vectors as a line has elements, whatever
   their number; strip by strip, a line of ten would leave six of sixteen lanes empty. Element i of a row belongs to
   partial sum i mod SUMS, so lines of one number in all rounds add up to one line of partial sums: each vector of a
   round, and what lies a round, two rounds and so on further, is like a row of its own whose lanes are such sums, of
   several rows. So the order of the sums is that of any layout. Constants are repeated for the lines of a round. */

enum {
    WIDEST_LINE = 2 * SUMS, /* beyond, few lanes of the last strip are empty */
    ROUND = WIDEST_LINE * SUMS + SMX_STEP, /* with room for a vector that begins at its last element */
};

/* A round of equal lines. */
SMX_INLINE void repeat_line(real *round, const real *line, int width) {
    for (int i = 0; i < SUMS; i++)
        for (int row = 0; row < width; row += LANES)
            v_store(round + i * width + row, v_load(line + row));
}

SMX_INLINE void exp_reduce_lines(const smx_tile *tile, real *partial, enum sum_of what) {
    const exp_temperature own = *(const exp_temperature *)tile->temperature, *t = &own;
    const int width = tile->rows;
    const real *x = row_of(&tile->in[0], 0), *next = next_strip(tile, 0, 0);
    const ptrdiff_t n = tile->n, round = width * SUMS, size = n * width;
    real first[ROUND], second[ROUND], rounder[ROUND], floor[ROUND], start[ROUND], high[ROUND], low[ROUND], small[ROUND];
    real line[4][WIDEST_LINE], root[WIDEST_LINE];

    for (ptrdiff_t at = 0; at < round; at += LANES) {
        v_store(first + at, MINUS_INFINITY);
        v_store(second + at, MINUS_INFINITY);
    }
    for (ptrdiff_t i = 0; i < size; i += 4 * round)
        for (ptrdiff_t at = 0; at < round; at += LANES) {
            largest m = {v_load(first + at), v_load(second + at)};
            for (ptrdiff_t k = i + at; k < i + 4 * round && k < size; k += round)
                m = largest_add(m, k + LANES <= size ? v_load(x + k) : v_load_first(x + k, size - k, MINUS_INFINITY),
                                what);
            v_store(first + at, m.first);
            v_store(second + at, m.second);
        }
    for (int row = 0; row < width; row += LANES) {
        const ptrdiff_t left = width - row;
        largest m = largest_begin();
        for (int i = 0; i < SUMS; i++) {
            const largest of_line = {load_left(first + i * width + row, left),
                                     load_left(second + i * width + row, left)};
            m = what == ALL ? largest_add(m, of_line.first, what) : largest_merge(m, of_line);
        }
        m = largest_end(m, what);
        if (!v_all_le(v_abs(m.first), HUGEST)) {
            const vec seen = nans_of_columns(x + row, width, n, left);
            m.first = v_select_le(v_abs(m.first), HUGEST, m.first, v_select_le(seen, v_set1(0), m.first, EVERY_NAN));
        }
        const exp_frame frame = exp_frame_of(m, what, t);
        v_store(partial + partial_at(0, width, row), m.first);
        v_store(partial + partial_at(1, width, row), m.second);
        v_store(line[0] + row, m.second);
        v_store(line[1] + row, frame.rounder);
        v_store(line[2] + row, frame.floor);
        v_store(line[3] + row, frame.start);
        v_store(root + row, frame.root);
    }
    repeat_line(second, line[0], width);
    repeat_line(rounder, line[1], width);
    repeat_line(floor, line[2], width);
    repeat_line(start, line[3], width);

    for (ptrdiff_t at = 0; at < round + LANES; at += LANES) { /* one more is read with the last line */
        v_store(high + at, at < round ? v_load(start + at) : v_set1(0));
        v_store(low + at, v_set1(0));
        v_store(small + at, v_set1(0));
    }
    for (ptrdiff_t i = 0; i < size; i += 4 * round)
        for (ptrdiff_t at = 0; at < round && i + at < size; at += LANES) {
            const exp_scale scale = exp_scale_with(v_load(rounder + at), v_load(floor + at), t);
            const vec threshold = v_load(second + at);
            const ptrdiff_t here = i + at, left = (size - here + round - 1) / round;
            exp_sum s = exp_sum_of(pair_of(v_load(high + at), v_load(low + at)), v_load(small + at));
#define STEP_OF(whole, k) exp_row_step(s, x + here, round, size - here, whole, k, scale, threshold, what, NULL, 0)
            for (int k = 0; next && k < 4; k++)
                SMX_PREFETCH(next + here + k * round + LANES - 1);
            if (here + 3 * round + LANES <= size)
                s = STEP_OF(1, 4);
            else
                s = left == 4 ? STEP_OF(0, 4) : left == 3 ? STEP_OF(0, 3) : left == 2 ? STEP_OF(0, 2) : STEP_OF(0, 1);
#undef STEP_OF
            v_store(high + at, s.high);
            v_store(low + at, s.low);
            v_store(small + at, s.small);
        }
    for (ptrdiff_t at = 0; at < round; at += LANES) {
        const exp_sum s = exp_sum_of(pair_of(v_load(high + at), v_load(low + at)), v_load(small + at));
        const pair sum = exp_sum_end(s, v_load(start + at), 0);
        v_store(high + at, sum.high);
        v_store(low + at, sum.low);
    }
    for (int row = 0; row < width; row += LANES) {
        pair s[SUMS];
        for (int i = 0; i < SUMS; i++)
            s[i] = pair_of(v_load(high + i * width + row), v_load(low + i * width + row));
        ADD_PAIRWISE(sum_add_sum, s, SUMS);
        s[0] = exp_sum_settle(s[0], v_load(root + row), what);
        v_store(partial + partial_at(2, width, row), s[0].high);
        v_store(partial + partial_at(3, width, row), s[0].low);
    }
}

/* A round of partial sums. Of a derivative's, one kind is in use. */
typedef struct {
    real high[ROUND], low[ROUND], lowest[ROUND];
} long_sums;

SMX_INLINE long_sum long_sum_at(const long_sums *sums, ptrdiff_t at) {
    return long_sum_of(pair_of(v_load(sums->high + at), v_load(sums->low + at)), v_load(sums->lowest + at));
}
SMX_INLINE void put_long_sum(long_sums *sums, ptrdiff_t at, long_sum s) {
    v_store(sums->high + at, s.high);
    v_store(sums->low + at, s.low);
    v_store(sums->lowest + at, s.lowest);
}

#if REAL_BITS == 32
typedef struct {
    double wide[ROUND];
} product_sums;

SMX_INLINE product_sum product_sum_at(const product_sums *sums, ptrdiff_t at) { return v_wide_load(sums->wide + at); }
SMX_INLINE void put_product_sum(product_sums *sums, ptrdiff_t at, product_sum s) { v_wide_store(sums->wide + at, s); }
#else
typedef struct {
    real high[ROUND], low[ROUND];
} product_sums;

SMX_INLINE product_sum product_sum_at(const product_sums *sums, ptrdiff_t at) {
    return pair_of(v_load(sums->high + at), v_load(sums->low + at));
}
SMX_INLINE void put_product_sum(product_sums *sums, ptrdiff_t at, product_sum s) {
    v_store(sums->high + at, s.high);
    v_store(sums->low + at, s.low);
}
#endif

typedef struct {
    product_sums products;
    long_sums gradients;
} derivative_sums;

SMX_INLINE derivative_sum derivative_sum_at(const derivative_sums *sums, ptrdiff_t at, enum summand what) {
    derivative_sum s = derivative_sum_begin();
    if (what == GRADIENT)
        s.gradients = long_sum_at(&sums->gradients, at);
    else
        s.products = product_sum_at(&sums->products, at);
    return s;
}
SMX_INLINE void put_derivative_sum(derivative_sums *sums, ptrdiff_t at, derivative_sum s, enum summand what) {
    if (what == GRADIENT)
        put_long_sum(&sums->gradients, at, s.gradients);
    else
        put_product_sum(&sums->products, at, s.products);
}

SMX_INLINE void sum_reduce_lines(const smx_tile *tile, real *partial, enum summand what) {
    const int width = tile->rows;
    const real *y = row_of(&tile->in[0], 0), *g = row_of(&tile->in[1], 0);
    const real *y_next = next_strip(tile, 0, 0), *g_next = next_strip(tile, 1, 0);
    const ptrdiff_t round = width * SUMS, size = tile->n * width;
    derivative_sums sums;
    for (ptrdiff_t at = 0; at < round + LANES; at += LANES) /* one more is read with the last line */
        put_derivative_sum(&sums, at, derivative_sum_begin(), what);
    for (ptrdiff_t i = 0; i < size; i += 4 * round)
        for (ptrdiff_t at = 0; at < round && i + at < size; at += LANES) {
            derivative_sum s = derivative_sum_at(&sums, at, what);
            for (ptrdiff_t k = i + at; k < i + 4 * round && k < size; k += round) {
                if (y_next)
                    SMX_PREFETCH(y_next + k + LANES - 1);
                if (g_next)
                    SMX_PREFETCH(g_next + k + LANES - 1);
                if (k + LANES <= size)
                    s = derivative_sum_add_at(s, y + k, g + k, what);
                else
                    s = derivative_sum_add(s, load_left(y + k, size - k), load_left(g + k, size - k), what);
            }
            put_derivative_sum(&sums, at, s, what);
        }
    for (int row = 0; row < width; row += LANES) {
        derivative_sum s[SUMS];
        for (int i = 0; i < SUMS; i++)
            s[i] = derivative_sum_at(&sums, i * width + row, what);
        ADD_PAIRWISE(ADD_DERIVATIVE_SUMS, s, SUMS);
        store_long_sum(partial, width, row, derivative_sum_end(s[0], what));
    }
}

/* Of so many vectors from place here on, of which left elements are there, by the constants from place at in a round on. */
SMX_INLINE void apply_in_step(const smx_view *to, const smx_view *const *from, int inputs, ptrdiff_t here, int count,
                              ptrdiff_t left, real of_round[][ROUND], ptrdiff_t at, int constant_count,
                              const exp_temperature *t, formula f) {
    terms of[IN_STEP];
    vec y[IN_STEP];
    EACH {
        for (int i = 0; i < constant_count; i++)
            of[k].c[i] = v_load(of_round[i] + at + k * LANES);
        for (int i = 0; i < inputs; i++)
            of[k].v[i] = load_left(row_of(from[i], 0) + here + k * LANES, left);
    }
    f(of, count, t, y);
    EACH {
        if (left >= LANES)
            v_store(row_of(to, 0) + here + k * LANES, y[k]);
        else
            v_store_first(row_of(to, 0) + here + k * LANES, left, y[k]);
    }
}

/* As apply_to_columns does. */
SMX_INLINE void apply_to_lines(const smx_tile *tile, const smx_view *to, const smx_view *const *from, int inputs,
                               const void *constants, int constant_count, formula f) {
    const exp_temperature own = *(const exp_temperature *)tile->temperature, *t = &own;
    const int width = tile->rows;
    const ptrdiff_t round = width * SUMS, size = tile->n * width;
    real of_round[SMX_CONSTANTS][ROUND];
    for (int k = 0; k < constant_count; k++)
        repeat_line(of_round[k], (const real *)constants + k * SMX_TILE_ROWS, width);
    for (ptrdiff_t i = 0; i < size; i += round) {
        const ptrdiff_t end = size - i < round ? size - i : round;
        ptrdiff_t at = 0;
        for (; at + IN_STEP * LANES <= end; at += IN_STEP * LANES)
            apply_in_step(to, from, inputs, i + at, IN_STEP, LANES, of_round, at, constant_count, t, f);
        for (; at < end; at += LANES)
            apply_in_step(to, from, inputs, i + at, 1, end - at, of_round, at, constant_count, t, f);
    }
}
