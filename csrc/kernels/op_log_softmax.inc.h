/* log_softmax: x / T - log sum exp(x / T), and the same with logsumexp beside it. The sum includes exp(initial).

   The claims, with the worst cases that tests/find_worst.py found; tests/test_accuracy.py reads them here. The ULP is
   that of the true value.

   claim: log_softmax float32 <= 1.5 ulp, proven; found 1.08 at hex: 0x1.995dfep-9, 0x1.52566ep-6, 0x1.547172p-5
   claim: log_softmax float32 at any temperature <= 1.5 ulp, proven; found 1.12 at T = 0x1.1d3124c82a6b4p+4, hex:
     -0x1.5c7d78p+11, -0x1.33860cp+10
   claim: log_softmax float64 <= 1.5 ulp, proven; found 1.08 at hex: -0x1.d8d893cbe147p-5, 0x1.e4f42ce51b346p-4,
     -0x1.bdddc4eafcf53p-7, 0x1.cffc0352a0d59p-6, 0x1.2c564e3799aa9p-5, 0x1.01ce0c3cd1009p-5
   claim: log_softmax float64 at any temperature <= 1.5 ulp, proven; found 1.05 at T = 0x1.ac4e6ba6b404dp-8, hex:
     -0x1.162404c8708edp+1, 0x1.3a819ec1f36d7p+1 */

REDUCE(log_softmax, rows) { exp_reduce_rows(tile, partial, SUMS, OTHERS, 0); }
REDUCE(log_softmax, short_rows) { exp_reduce_rows(tile, partial, 1, OTHERS, 0); }
REDUCE(log_softmax, columns) { exp_reduce_long_columns(tile, partial, OTHERS); }
REDUCE(log_softmax, narrow_lines) { exp_reduce_lines(tile, partial, OTHERS); }
REDUCE(log_softmax, short_columns) { exp_reduce_short_columns(tile, partial, OTHERS, 0); }

/* Whether T is 1. In float, 1 / T may round to 1 though T is not 1. */
SMX_INLINE int is_1(const exp_temperature *t) { return t->inverse == 1 && t->inverse_low == 0; }

/* The constants of a row: L = log(1 + z) as a pair, and half of the maximum. Where T is 1, the pair is the maximum + L
   instead, and LOG_NEAR says if the row is near 0. Maxima are those of the elements as they are, before any shift. */
enum { LOG_HIGH, LOG_LOW, LOG_HALF_MAXIMUM, LOG_NEAR = LOG_HALF_MAXIMUM };

/* maximum + L, with a low part that is not negative: if it is, high becomes the number below it. So x - high is no
   larger in size than the result, and the rounding of x - high costs half a unit in the last place of the result at
   most. The parts are added in this order because the first three cancel exactly where L is about a last place of the
   maximum. */
SMX_INLINE pair log_of_sum(vec maximum, pair logarithm) {
    const pair c = two_sum(maximum, logarithm.high);
    const vec step = v_mul(v_abs(c.high), v_set1((real)0.625 * REAL_EPSILON)); /* 5/8 to 5/4 of a last place */
    const vec high = v_sub(c.high, v_select_le(v_set1(0), v_add(c.low, logarithm.low), v_set1(0), step));
    return pair_of(high, v_add(v_add(v_sub(c.high, high), c.low), logarithm.low));
}

/* 1 if the row is near 0: L <= 1, and the maximum is less than 4 L in size; else 0. Only in such rows can x - high be
   rounded where L is known to no more than half a unit of the result (docs/accuracy.md, theorem 2). */
SMX_INLINE vec is_near_0(vec maximum, vec logarithm) {
    const vec bound = v_keep_le(logarithm, v_set1(1), v_mul(logarithm, v_set1(4)));
    return v_select_le(bound, v_abs(maximum), v_set1(0), v_set1(1));
}

/* An initial term that leads takes the place of the maximum. If T is not 1, the pair includes it instead, and half of
   the maximum is 0. */
SMX_INLINE void log_softmax_put_constants(real *constant, exp_total total, initial_term initial, pair logarithm,
                                          const real *shift, int row, const smx_tile *tile) {
    const exp_temperature *t = tile->temperature;
    const vec zero = v_set1(0);
    /* exact: a row that is shifted has a maximum of 0 */
    vec maximum = v_add(total.m.first, shift ? v_load(shift + row) : zero);
    if (tile->initial && is_1(t)) {
        maximum = if_initial_leads(total, initial, t, initial.value, maximum);
    } else if (tile->initial) {
        pair both = sum_add_sum(pair_of(initial.value, zero), logarithm);
        both.low = v_min(both.low, HUGEST); /* what was lost in an infinite sum is NaN */
        logarithm = pair_if_initial_leads(total, initial, t, both, logarithm);
        maximum = if_initial_leads(total, initial, t, zero, maximum);
    }
    vec third = v_mul(maximum, v_set1((real)0.5));
    if (is_1(t)) {
        third = is_near_0(maximum, logarithm.high);
        logarithm = log_of_sum(maximum, logarithm);
    }
    v_store(constant + LOG_HIGH * SMX_TILE_ROWS, if_in_range(total, t, logarithm.high, CANONICAL_NAN));
    v_store(constant + LOG_LOW * SMX_TILE_ROWS, logarithm.low);
    v_store(constant + LOG_HALF_MAXIMUM * SMX_TILE_ROWS, third);
}

static int log_softmax_finish(const smx_tile *tile, ptrdiff_t pieces, const void *partials, const void *shift,
                              void *constants) {
    const int rows = tile->rows;
    const exp_temperature *t = tile->temperature;
    tile_logarithms logs;
    int flags = 0;
    log_over_maximum(&logs, tile, pieces, partials, shift);
    for (int row = 0; row < rows; row += LANES) {
        real *constant = (real *)constants + row;
        const exp_total total = logs.total[row / LANES];
        const initial_term initial = initial_beside(tile, row, shift, total.m.first, t);
        log_softmax_put_constants(constant, total, initial, logs.logarithm[row / LANES], shift, row, tile);
        flags |= exp_flags(total, rows - row, t, constant + SMX_SHIFT * SMX_TILE_ROWS);
    }
    return flags;
}

/* a + b, which is not positive, and what its rounding lost. The lesser of the two is the larger in size, so three
   operations do (Dekker's Fast2Sum). */
SMX_INLINE pair sum_below_0(vec a, vec b) {
    const vec lesser = v_min(a, b), greater = v_max(a, b), sum = v_add(a, b);
    return pair_of(sum, v_sub(greater, v_sub(sum, lesser)));
}

/* x - (maximum + L), where T is 1: of a tile without rows near 0, and of any tile. Both have the same results for other
   rows. If x - high is infinite, the part that its rounding lost is NaN: v_max makes a number of it. */
SMX_INLINE void log_softmax_of(const terms *term, int count, const exp_temperature *t, vec *y) {
    (void)t;
    EACH y[k] = v_sub(v_sub(term[k].v[0], term[k].c[LOG_HIGH]), term[k].c[LOG_LOW]);
}
SMX_INLINE void log_softmax_near_of(const terms *term, int count, const exp_temperature *t, vec *y) {
    (void)t;
    EACH {
        const vec *c = term[k].c;
        const pair gap = sum_below_0(term[k].v[0], v_sub(v_set1(-(real)0), c[LOG_HIGH])); /* -0 keeps the sign of 0 */
        y[k] = v_sub(gap.high, v_max(v_fnma(gap.low, c[LOG_NEAR], c[LOG_LOW]), v_sub(v_set1(0), HUGEST)));
    }
}

/* (x - maximum) / T - log(1 + z). Every step is a pair, so that the only large rounding is that of the result. Half of
   x - maximum is in range wherever both are. */
SMX_INLINE void log_softmax_tempered_of(const terms *term, int count, const exp_temperature *t, vec *y) {
    const vec zero = v_set1(0), half = v_set1((real)0.5), inverse = v_set1(2 * t->inverse),
              inverse_low = v_set1(2 * t->inverse_low);
    EACH {
        const vec *c = term[k].c;
        const pair gap = sum_below_0(v_mul(term[k].v[0], half), v_sub(zero, c[LOG_HALF_MAXIMUM]));
        const pair quotient = two_product(gap.high, inverse);
        const vec low = v_fma(gap.low, inverse, v_fma(gap.high, inverse_low, v_sub(quotient.low, c[LOG_LOW])));
        const pair sum = sum_below_0(quotient.high, v_sub(zero, c[LOG_HIGH]));
        /* if the sum is infinite, the part that its rounding lost is NaN: v_min makes a number of it */
        y[k] = v_add(sum.high, v_min(v_add(sum.low, low), HUGEST));
    }
}

static int has_rows_near_0(const smx_tile *tile, const void *constants) {
    const real *near = (const real *)constants + LOG_NEAR * SMX_TILE_ROWS;
    const int rows = tile->rows;
    vec any = v_set1(0);
    for (int row = 0; row < rows; row += LANES)
        any = v_max(any, v_load_first(near + row, rows - row, v_set1(0)));
    return !v_all_le(any, v_set1(0));
}

SMX_INLINE void log_softmax_write(const smx_tile *tile, enum smx_walk walk, const void *constants) {
#define WRITE_BY(f, constant_count)                                                                                    \
    do {                                                                                                               \
        const write_spec spec = {&tile->out, {&tile->in[0]}, 1, constant_count, 0, f};                                 \
        if (walk == SMX_WALK_NARROW_LINES)                                                                             \
            write_lines(tile, &spec, constants);                                                                       \
        else                                                                                                           \
            write_walk(tile, walk, &spec, constants);                                                                  \
    } while (0)
    if (!is_1(tile->temperature))
        WRITE_BY(log_softmax_tempered_of, LOG_HALF_MAXIMUM + 1);
    else if (has_rows_near_0(tile, constants))
        WRITE_BY(log_softmax_near_of, LOG_NEAR + 1);
    else
        WRITE_BY(log_softmax_of, LOG_LOW + 1);
#undef WRITE_BY
}
WRITE(log_softmax, rows) { log_softmax_write(tile, SMX_WALK_ROWS, constants); }
WRITE(log_softmax, packed) { log_softmax_write(tile, SMX_WALK_PACKED, constants); }
WRITE(log_softmax, columns) { log_softmax_write(tile, SMX_WALK_COLUMNS, constants); }
WRITE(log_softmax, narrow_lines) { log_softmax_write(tile, SMX_WALK_NARROW_LINES, constants); }

/* logsumexp reduces as log_softmax does. */
#define LOG_SOFTMAX_REDUCE                                                                                             \
    {[SMX_WALK_ROWS] = log_softmax_reduce_rows,                                                                        \
     [SMX_WALK_SHORT_ROWS] = log_softmax_reduce_short_rows,                                                            \
     [SMX_WALK_COLUMNS] = log_softmax_reduce_columns,                                                                  \
     [SMX_WALK_NARROW_LINES] = log_softmax_reduce_narrow_lines,                                                        \
     [SMX_WALK_SHORT_COLUMNS] = log_softmax_reduce_short_columns}

/* Constant 0 is logsumexp, and those of log_softmax follow. */
static int log_softmax_logsumexp_finish(const smx_tile *tile, ptrdiff_t pieces, const void *partials, const void *shift,
                                        void *constants) {
    const int rows = tile->rows;
    const exp_temperature *t = tile->temperature;
    tile_logarithms logs;
    int flags = 0;
    log_over_maximum(&logs, tile, pieces, partials, shift);
    for (int row = 0; row < rows; row += LANES) {
        real *constant = (real *)constants + row;
        const exp_total total = logs.total[row / LANES];
        const initial_term initial = initial_beside(tile, row, shift, total.m.first, t);
        v_store(constant, logsumexp_of(total, initial, logs.logarithm[row / LANES], shift, row, t));
        log_softmax_put_constants(constant + SMX_TILE_ROWS, total, initial, logs.logarithm[row / LANES], shift, row,
                                  tile);
        flags |= exp_flags(total, rows - row, t, constant + SMX_SHIFT * SMX_TILE_ROWS);
    }
    return flags;
}

#define LOG_SOFTMAX_LOGSUMEXP_WRITE(walk)                                                                              \
    WRITE(log_softmax_logsumexp, walk) { log_softmax_write_##walk(tile, (const real *)constants + SMX_TILE_ROWS); }
LOG_SOFTMAX_LOGSUMEXP_WRITE(rows)
LOG_SOFTMAX_LOGSUMEXP_WRITE(packed)
LOG_SOFTMAX_LOGSUMEXP_WRITE(columns)
LOG_SOFTMAX_LOGSUMEXP_WRITE(narrow_lines)

#define LOG_SOFTMAX_LOGSUMEXP_ROW                                                                                      \
    {.name = "log_softmax_logsumexp",                                                                                  \
     .inputs = 1,                                                                                                      \
     .has_long_finish = 1,                                                                                             \
     .elementwise = 1,                                                                                                 \
     .has_row_out = 1,                                                                                                 \
     .takes_initial = 1,                                                                                               \
     .may_shift = 1,                                                                                                   \
     .writes_unshifted = 1,                                                                                            \
     .looks_ahead = 1,                                                                                                 \
     .reduce = LOG_SOFTMAX_REDUCE,                                                                                     \
     .finish = log_softmax_logsumexp_finish,                                                                           \
     .write = {[SMX_WALK_ROWS] = log_softmax_logsumexp_write_rows,                                                     \
               [SMX_WALK_SHORT_ROWS] = log_softmax_logsumexp_write_rows,                                               \
               [SMX_WALK_PACKED] = log_softmax_logsumexp_write_packed,                                                 \
               [SMX_WALK_COLUMNS] = log_softmax_logsumexp_write_columns,                                               \
               [SMX_WALK_NARROW_LINES] = log_softmax_logsumexp_write_narrow_lines,                                     \
               [SMX_WALK_SHORT_COLUMNS] = log_softmax_logsumexp_write_columns},                                        \
     .hidden = HIDDEN(-INFINITY, 0, -INFINITY, 1),                                                                     \
     .min_elements_per_thread = MIN_ELEMENTS_PER_THREAD(16)}

#define LOG_SOFTMAX_ROW                                                                                                \
    {.name = "log_softmax",                                                                                            \
     .inputs = 1,                                                                                                      \
     .has_long_finish = 1,                                                                                             \
     .elementwise = 1,                                                                                                 \
     .takes_initial = 1,                                                                                               \
     .may_shift = 1,                                                                                                   \
     .writes_unshifted = 1,                                                                                            \
     .looks_ahead = 1,                                                                                                 \
     .reduce = LOG_SOFTMAX_REDUCE,                                                                                     \
     .finish = log_softmax_finish,                                                                                     \
     .write = {[SMX_WALK_ROWS] = log_softmax_write_rows,                                                               \
               [SMX_WALK_SHORT_ROWS] = log_softmax_write_rows,                                                         \
               [SMX_WALK_PACKED] = log_softmax_write_packed,                                                           \
               [SMX_WALK_COLUMNS] = log_softmax_write_columns,                                                         \
               [SMX_WALK_NARROW_LINES] = log_softmax_write_narrow_lines,                                               \
               [SMX_WALK_SHORT_COLUMNS] = log_softmax_write_columns},                                                  \
     .hidden = HIDDEN(-INFINITY, 0, -INFINITY, 1),                                                                     \
     .min_elements_per_thread = MIN_ELEMENTS_PER_THREAD(16)}
