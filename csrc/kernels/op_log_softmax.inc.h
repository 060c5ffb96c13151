/* log_softmax: x / T - log sum exp(x / T), and the same with logsumexp beside it. The sum includes exp(initial).

   The claims, with the worst cases that tests/find_worst.py found; tests/test_accuracy.py reads them here. The ULP is
   that of the true value.

   claim: log_softmax float32 <= 2 ulp; found 1.79 at hex: -0x1.2a7308p+0, -0x1.f2328ap+3, -0x1.fad5b8p+3,
     -0x1.e8bc0cp+3, 0x1.90faaep-4
   claim: log_softmax float64 <= 2 ulp; found 1.49 at hex: 0x1.2f8821575122dp-3, -0x1.82103662718a4p-1 */

REDUCE(log_softmax, rows) { exp_reduce_rows(tile, partial, SUMS, OTHERS, 0); }
REDUCE(log_softmax, short_rows) { exp_reduce_rows(tile, partial, 1, OTHERS, 0); }
REDUCE(log_softmax, columns) { exp_reduce_long_columns(tile, partial, OTHERS); }
REDUCE(log_softmax, narrow_lines) { exp_reduce_lines(tile, partial, OTHERS); }
REDUCE(log_softmax, short_columns) { exp_reduce_short_columns(tile, partial, OTHERS, 0); }

/* Whether T is 1. In float, 1 / T may round to 1 though T is not 1. */
SMX_INLINE int is_1(const exp_temperature *t) { return t->inverse == 1 && t->inverse_low == 0; }

/* LOG_MAXIMUM is read only where T is not 1; where T is 1, the pair includes the maximum. Where the initial term leads,
   the pair includes that, and LOG_MAXIMUM is 0. */
enum { LOG_HIGH, LOG_LOW, LOG_MAXIMUM };

SMX_INLINE void log_softmax_put_constants(real *constant, exp_total total, initial_term initial, pair logarithm,
                                          const smx_tile *tile) {
    const exp_temperature *t = tile->temperature;
    const vec zero = v_set1(0);
    pair leader = pair_of(is_1(t) ? total.m.first : zero, zero);
    vec maximum = total.m.first;
    if (tile->initial) {
        leader = pair_if_initial_leads(total, initial, t, initial.exponent, leader);
        maximum = if_initial_leads(total, initial, t, zero, maximum);
    }
    if (is_1(t) || tile->initial)
        logarithm = sum_add_sum(leader, logarithm);
    if (tile->initial) /* what was lost in an infinite sum is NaN, and v_min makes a number of it */
        logarithm.low = v_min(logarithm.low, HUGEST);
    v_store(constant + LOG_HIGH * SMX_TILE_ROWS, if_in_range(total, t, logarithm.high, CANONICAL_NAN));
    v_store(constant + LOG_LOW * SMX_TILE_ROWS, logarithm.low);
    v_store(constant + LOG_MAXIMUM * SMX_TILE_ROWS, maximum);
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
        log_softmax_put_constants(constant, total, initial, logs.logarithm[row / LANES], tile);
        flags |= exp_flags(total, rows - row, t, constant + SMX_SHIFT * SMX_TILE_ROWS);
    }
    return flags;
}

SMX_INLINE void log_softmax_of(const terms *term, int count, const exp_temperature *t, vec *y) {
    (void)t;
    EACH y[k] = v_sub(v_sub(term[k].v[0], term[k].c[LOG_HIGH]), term[k].c[LOG_LOW]);
}
/* a + b, which is not positive, and what its rounding lost. The lesser of the two is the larger in size, so three
   operations do (Dekker's Fast2Sum). */
SMX_INLINE pair sum_below_0(vec a, vec b) {
    const vec lesser = v_min(a, b), greater = v_max(a, b), sum = v_add(lesser, greater);
    return pair_of(sum, v_sub(greater, v_sub(sum, lesser)));
}
/* (x - maximum) / T - log(1 + z). Every step is a pair, so that the only large rounding is that of the result. */
SMX_INLINE void log_softmax_tempered_of(const terms *term, int count, const exp_temperature *t, vec *y) {
    const vec zero = v_set1(0), inverse = v_set1(t->inverse), inverse_low = v_set1(t->inverse_low);
    EACH {
        const vec *c = term[k].c;
        const pair gap = sum_below_0(term[k].v[0], v_sub(zero, c[LOG_MAXIMUM]));
        const pair quotient = two_product(gap.high, inverse);
        const vec low = v_fma(gap.low, inverse, v_fma(gap.high, inverse_low, v_sub(quotient.low, c[LOG_LOW])));
        const pair sum = sum_below_0(quotient.high, v_sub(zero, c[LOG_HIGH]));
        /* if the sum is infinite, the part that its rounding lost is NaN: v_min makes a number of it */
        y[k] = v_add(sum.high, v_min(v_add(sum.low, low), HUGEST));
    }
}

SMX_INLINE void log_softmax_write(const smx_tile *tile, enum smx_walk walk, const void *constants) {
    const exp_temperature *t = tile->temperature;
    const write_spec plain = {&tile->out, {&tile->in[0]}, 1, LOG_LOW + 1, 0, log_softmax_of};
    const write_spec tempered = {&tile->out, {&tile->in[0]}, 1, LOG_MAXIMUM + 1, 0, log_softmax_tempered_of};
    const write_spec *spec = is_1(t) ? &plain : &tempered;
    if (walk == SMX_WALK_NARROW_LINES && spec == &plain)
        write_lines(tile, &plain, constants);
    else if (walk == SMX_WALK_NARROW_LINES)
        write_lines(tile, &tempered, constants);
    else if (spec == &plain)
        write_walk(tile, walk, &plain, constants);
    else
        write_walk(tile, walk, &tempered, constants);
}
WRITE(log_softmax, rows) { log_softmax_write(tile, SMX_WALK_ROWS, constants); }
WRITE(log_softmax, short_rows) { log_softmax_write(tile, SMX_WALK_SHORT_ROWS, constants); }
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
        log_softmax_put_constants(constant + SMX_TILE_ROWS, total, initial, logs.logarithm[row / LANES], tile);
        flags |= exp_flags(total, rows - row, t, constant + SMX_SHIFT * SMX_TILE_ROWS);
    }
    return flags;
}

#define LOG_SOFTMAX_LOGSUMEXP_WRITE(walk)                                                                              \
    WRITE(log_softmax_logsumexp, walk) { log_softmax_write_##walk(tile, (const real *)constants + SMX_TILE_ROWS); }
LOG_SOFTMAX_LOGSUMEXP_WRITE(rows)
LOG_SOFTMAX_LOGSUMEXP_WRITE(short_rows)
LOG_SOFTMAX_LOGSUMEXP_WRITE(packed)
LOG_SOFTMAX_LOGSUMEXP_WRITE(columns)
LOG_SOFTMAX_LOGSUMEXP_WRITE(narrow_lines)

#define LOG_SOFTMAX_LOGSUMEXP_ROW                                                                                      \
    {.name = "log_softmax_logsumexp",                                                                                  \
     .inputs = 1,                                                                                                      \
     .elementwise = 1,                                                                                                 \
     .has_row_out = 1,                                                                                                 \
     .may_shift = 1,                                                                                                   \
     .looks_ahead = 1,                                                                                                 \
     .reduce = LOG_SOFTMAX_REDUCE,                                                                                     \
     .finish = log_softmax_logsumexp_finish,                                                                           \
     .write = {[SMX_WALK_ROWS] = log_softmax_logsumexp_write_rows,                                                     \
               [SMX_WALK_SHORT_ROWS] = log_softmax_logsumexp_write_short_rows,                                         \
               [SMX_WALK_PACKED] = log_softmax_logsumexp_write_packed,                                                 \
               [SMX_WALK_COLUMNS] = log_softmax_logsumexp_write_columns,                                               \
               [SMX_WALK_NARROW_LINES] = log_softmax_logsumexp_write_narrow_lines,                                     \
               [SMX_WALK_SHORT_COLUMNS] = log_softmax_logsumexp_write_columns},                                        \
     .hidden = HIDDEN(-INFINITY, 0, -INFINITY, 1),                                                                     \
     .min_elements_per_thread = MIN_ELEMENTS_PER_THREAD(16)}

#define LOG_SOFTMAX_ROW                                                                                                \
    {.name = "log_softmax",                                                                                            \
     .inputs = 1,                                                                                                      \
     .elementwise = 1,                                                                                                 \
     .may_shift = 1,                                                                                                   \
     .looks_ahead = 1,                                                                                                 \
     .reduce = LOG_SOFTMAX_REDUCE,                                                                                     \
     .finish = log_softmax_finish,                                                                                     \
     .write = {[SMX_WALK_ROWS] = log_softmax_write_rows,                                                               \
               [SMX_WALK_SHORT_ROWS] = log_softmax_write_short_rows,                                                   \
               [SMX_WALK_PACKED] = log_softmax_write_packed,                                                           \
               [SMX_WALK_COLUMNS] = log_softmax_write_columns,                                                         \
               [SMX_WALK_NARROW_LINES] = log_softmax_write_narrow_lines,                                               \
               [SMX_WALK_SHORT_COLUMNS] = log_softmax_write_columns},                                                  \
     .hidden = HIDDEN(-INFINITY, 0, -INFINITY, 1),                                                                     \
     .min_elements_per_thread = MIN_ELEMENTS_PER_THREAD(16)}
