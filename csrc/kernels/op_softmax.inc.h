/* softmax: exp(x / T) / sum exp(x / T), and the same with logsumexp beside it. The sum includes exp(initial).

   The claims, with the worst cases that tests/find_worst.py found; tests/test_accuracy.py reads them here. The ULP is
   that of the true value.

   claim: softmax float32 <= 1.5 ulp, proven; found 1.10 at hex: -0x1.2ba018p+6, -0x1.4b72bep+5, -0x1.90cfd8p+5,
     0x1.970cbp+3, -0x1.83ea02p+3, -0x1.9b0dbap+6
   claim: softmax float32 at any temperature <= 1.5 ulp, proven; found 1.11 at T = 0x1.b20ed8faa476dp-1, hex:
     -0x1.039b92p+3, -0x1.915aa2p+4, -0x1.49423ap+6
   claim: softmax float64 <= 1.5 ulp, proven; found 1.04 at hex: -0x1.0c769a288d72cp+8, -0x1.8416b4794eb9p+9,
     -0x1.19be609cb2b9cp+9, 0x1.566cb41d924d4p+7
   claim: softmax float64 at any temperature <= 1.5 ulp, proven; found 1.04 at T = 0x1.16708b8b9ddcfp-5, hex:
     0x1.a93ce6d93e62p+4, 0x1.3f6c13d5d300dp+1 */

REDUCE(softmax, rows) {
    if (tile->saved[0].start)
        exp_reduce_rows(tile, partial, SUMS, ALL, 1);
    else
        exp_reduce_rows(tile, partial, SUMS, ALL, 0);
}
REDUCE(softmax, short_rows) { exp_reduce_rows(tile, partial, 1, ALL, 1); }
REDUCE(softmax, columns) { exp_reduce_long_columns(tile, partial, ALL); }
REDUCE(softmax, narrow_lines) { exp_reduce_lines(tile, partial, ALL); }
REDUCE(softmax, short_columns) { exp_reduce_short_columns(tile, partial, ALL, 1); }

enum { SOFTMAX_SCALE, SOFTMAX_REST, SOFTMAX_FACTOR, SOFTMAX_ROUNDER, SOFTMAX_FLOOR, SOFTMAX_CONSTANTS };

/* 1 + 24 u: more than exp_factor and the quotient may take off. */
#define SLIGHTLY_ABOVE_1 (1 + 12 * REAL_EPSILON)

/* s: the sum of all terms, relative to the reference. */
SMX_INLINE void softmax_put_constants(real *constant, exp_total total, pair s, vec reference,
                                      const exp_temperature *t) {
    const exp_scale scale = exp_scale_of(reference, t);
    /* 1 / sum = inverse (1 + rest): one Newton step improves the quotient, which is rounded to fewer bits. It is made a
       little too large first, so that rest is negative: below 1, 1 + rest is rounded half as coarsely. */
    const vec inverse = exp_factor(v_mul(v_div(v_set1(1), s.high), v_set1(SLIGHTLY_ABOVE_1)));
    const vec rest = v_fnma(inverse, s.low, v_fnma(inverse, s.high, v_set1(1)));
    v_store(constant + SOFTMAX_SCALE * SMX_TILE_ROWS, if_in_range(total, t, inverse, CANONICAL_NAN));
    v_store(constant + SOFTMAX_REST * SMX_TILE_ROWS, rest);
    v_store(constant + SOFTMAX_FACTOR * SMX_TILE_ROWS, v_add(v_set1(1), rest));
    v_store(constant + SOFTMAX_ROUNDER * SMX_TILE_ROWS, scale.rounder);
    v_store(constant + SOFTMAX_FLOOR * SMX_TILE_ROWS, scale.floor);
}

static int softmax_finish(const smx_tile *tile, ptrdiff_t pieces, const void *partials, const void *shift,
                          void *constants) {
    const int rows = tile->rows;
    const exp_temperature *t = tile->temperature;
    int flags = 0;
    for (int row = 0; row < rows; row += LANES) {
        real *constant = (real *)constants + row;
        const exp_total total = exp_combine(tile, pieces, partials, shift, row);
        const initial_term initial = initial_beside(tile, row, shift, total.m.first, t);
        const pair s = tile->initial ? sum_add_initial(total.s, initial, total.reference) : total.s;
        softmax_put_constants(constant, total, s, total.reference, t);
        flags |= exp_flags(total, rows - row, t, constant + SMX_SHIFT * SMX_TILE_ROWS);
    }
    return flags;
}

/* exp(x) / sum - subtrahend. The inverse of the sum is scale (1 + rest), so the quotient is scale M (1 + p) (1 + rest):
   scale M is exact, and everything that is added to it is small. Where the result is subnormal, scale M may be
   subnormal as well; this costs half a unit in the last place there, and nothing elsewhere. */
SMX_INLINE vec softmax_minus(vec power, vec p, const vec *c, vec subtrahend) {
    const vec scaled = v_mul(c[SOFTMAX_SCALE], power);
    return v_fma(scaled, v_fma(p, c[SOFTMAX_FACTOR], c[SOFTMAX_REST]), v_sub(scaled, subtrahend));
}

/* Results near the smallest normal number, where many processors take a hundred cycles and more for a multiplication
   that makes a subnormal one. Here no number is subnormal before the result is. Everything is NEAR_LIFT times larger, and a
   base is added whose last bit is worth what the last bit of a lifted subnormal number is: so the two roundings of
   softmax_minus happen as they would there. The sum's bits less those of the base, as integers, are the result. */
#define NEAR_LIFT ((real)(REAL_BITS == 32 ? 0x1p64 : 0x1p256))
#define LIFTED_MIN ((real)((REAL_BITS == 32 ? FLT_MIN : DBL_MIN) * (double)NEAR_LIFT))
/* The base depends on the lifted scale M, because 1 + p is between 0.92 and 1.08, and the sum has to lie between
   LIFTED_MIN and twice as much: up to NEAR_0 it is LIFTED_MIN; up to NEAR_MIN, half of that; beyond, results are normal
   and need none. */
#define NEAR_0 (LIFTED_MIN * (real)0.55)
#define NEAR_MIN (LIFTED_MIN * (real)1.2)

/* NaN stays. */
SMX_INLINE vec softmax_near_min(vec power, vec p, const vec *c) {
    const vec lifted = v_mul(v_mul(c[SOFTMAX_SCALE], v_set1(NEAR_LIFT)), power), half = v_set1(LIFTED_MIN / 2);
    const vec least = v_set1(LIFTED_MIN), near_0 = v_set1(NEAR_0), near_min = v_set1(NEAR_MIN);
    const vec base = v_keep_le(lifted, near_min, v_select_le(lifted, near_0, least, half)), sum = v_add(lifted, base);
    const vec result = v_fma(v_sub(sum, base), v_fma(p, c[SOFTMAX_FACTOR], c[SOFTMAX_REST]), sum);
    /* Half the base is half the significand of the base away from it. */
    const vec bits_of_base = v_select_le(lifted, near_0, least, v_set1(LIFTED_MIN * (real)0.75));
    return v_select_le(lifted, near_min, v_minus_bits(result, bits_of_base), v_mul(result, v_set1(1 / NEAR_LIFT)));
}

/* The smallest power of each row whose results are normal: the row's constants do not change from element to element, so
   this division is done once. Some factors of the gradients of cross-entropy are too large to be lifted, or negative. */
SMX_INLINE void softmax_in_step(const vec *power, const vec *p, const terms *term, int count, vec *y) {
    const vec zero = v_set1(0), near_min = v_set1(NEAR_MIN / NEAR_LIFT);
    vec least = v_div(near_min, term[0].c[SOFTMAX_SCALE]), lowest = power[0], low = zero, high = zero;
    for (int k = 1; k < count; k++) {
        least = v_max(v_div(near_min, term[k].c[SOFTMAX_SCALE]), least);
        lowest = v_min(power[k], lowest);
    }
    if (v_all_le(least, lowest)) {
        EACH y[k] = softmax_minus(power[k], p[k], term[k].c, zero);
        return;
    }
    EACH low = v_min(term[k].c[SOFTMAX_SCALE], low);
    EACH high = v_max(term[k].c[SOFTMAX_SCALE], high);
    if (v_all_le(zero, low) && v_all_le(high, v_set1(1 / NEAR_LIFT)))
        EACH y[k] = softmax_near_min(power[k], p[k], term[k].c);
    else
        EACH y[k] = softmax_minus(power[k], p[k], term[k].c, zero);
}
SMX_INLINE void softmax_of_parts(const terms *term, int count, const exp_temperature *t, vec *y) {
    vec power[IN_STEP], p[IN_STEP];
    (void)t;
    EACH power[k] = term[k].v[0];
    EACH p[k] = term[k].v[1];
    softmax_in_step(power, p, term, count, y);
}

/* The exponentials of the first input, by the rounders and floors of its rows. */
SMX_INLINE void exp_of_terms(const terms *term, int count, const exp_temperature *t, exp_parts *e) {
    vec x[IN_STEP];
    exp_scale scale[IN_STEP];
    EACH x[k] = term[k].v[0];
    EACH scale[k] = exp_scale_with(term[k].c[SOFTMAX_ROUNDER], term[k].c[SOFTMAX_FLOOR], t);
    exp_parts_in_step(x, count, scale, 1, e);
}
SMX_INLINE void softmax_of(const terms *term, int count, const exp_temperature *t, vec *y) {
    exp_parts e[IN_STEP];
    vec power[IN_STEP], p[IN_STEP];
    exp_of_terms(term, count, t, e);
    EACH power[k] = e[k].power;
    EACH p[k] = e[k].p;
    softmax_in_step(power, p, term, count, y);
}

/* softmax is written from what reduce has saved, or from the elements once more. */
SMX_INLINE write_spec softmax_from_saved(const smx_tile *tile) {
    const write_spec spec = {&tile->out,      {&tile->saved[0], &tile->saved[1]}, 2, SOFTMAX_FACTOR + 1, 0,
                             softmax_of_parts};
    return spec;
}
SMX_INLINE write_spec softmax_from_elements(const smx_tile *tile) {
    const write_spec spec = {&tile->out, {&tile->in[0]}, 1, SOFTMAX_CONSTANTS, 0, softmax_of};
    return spec;
}

WRITE(softmax, rows) {
    const write_spec saved = softmax_from_saved(tile), elements = softmax_from_elements(tile);
    if (tile->saved[0].start)
        write_walk(tile, SMX_WALK_ROWS, &saved, constants);
    else
        write_walk(tile, SMX_WALK_ROWS, &elements, constants);
}
WRITE(softmax, columns) {
    const write_spec spec = softmax_from_elements(tile);
    write_walk(tile, SMX_WALK_COLUMNS, &spec, constants);
}
WRITE(softmax, narrow_lines) {
    const write_spec spec = softmax_from_elements(tile);
    write_lines(tile, &spec, constants);
}
WRITE(softmax, short_columns) {
    const write_spec spec = softmax_from_saved(tile);
    write_walk(tile, SMX_WALK_COLUMNS, &spec, constants);
}
WRITE(softmax, transposed) {
    const write_spec spec = softmax_from_saved(tile);
    write_transposed(tile, &spec, constants);
}

/* ---- with logsumexp --------------------------------------------------------------------------------------------- */

/* logsumexp needs the sum without the maximum, so reduce is that of cross-entropy of labels, too. */
REDUCE(softmax_logsumexp, rows) {
    exp_reduce_rows(tile, partial, SUMS, OTHERS_SAVING_ALL, tile->saved[0].start != NULL);
}
REDUCE(softmax_logsumexp, short_rows) { exp_reduce_rows(tile, partial, 1, OTHERS_SAVING_ALL, 1); }
REDUCE(softmax_logsumexp, columns) { exp_reduce_long_columns(tile, partial, OTHERS_SAVING_ALL); }
REDUCE(softmax_logsumexp, short_columns) {
    exp_reduce_short_columns(tile, partial, OTHERS_SAVING_ALL, tile->saved[0].start != NULL);
}

/* Constant 0 is logsumexp, and those of softmax follow. */
static int softmax_logsumexp_finish(const smx_tile *tile, ptrdiff_t pieces, const void *partials, const void *shift,
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
        const vec reference = v_max(initial.reference, exp_reference(total.m.first, t));
        pair s = sum_with_maximum(total, reference, t);
        if (tile->initial)
            s = sum_add_initial(s, initial, reference);
        v_store(constant, logsumexp_of(total, initial, logs.logarithm[row / LANES], shift, row, t));
        softmax_put_constants(constant + SMX_TILE_ROWS, total, s, reference, t);
        flags |= exp_flags(total, rows - row, t, constant + SMX_SHIFT * SMX_TILE_ROWS);
    }
    return flags;
}

#define SOFTMAX_LOGSUMEXP_WRITE(walk)                                                                                  \
    WRITE(softmax_logsumexp, walk) { softmax_write_##walk(tile, (const real *)constants + SMX_TILE_ROWS); }
SOFTMAX_LOGSUMEXP_WRITE(rows)
SOFTMAX_LOGSUMEXP_WRITE(columns)
SOFTMAX_LOGSUMEXP_WRITE(short_columns)
SOFTMAX_LOGSUMEXP_WRITE(transposed)

#define SOFTMAX_LOGSUMEXP_ROW                                                                                          \
    {.name = "softmax_logsumexp",                                                                                      \
     .inputs = 1,                                                                                                      \
     .has_long_finish = 1,                                                                                             \
     .elementwise = 1,                                                                                                 \
     .has_row_out = 1,                                                                                                 \
     .saves = 1,                                                                                                       \
     .takes_initial = 1,                                                                                               \
     .may_shift = 1,                                                                                                   \
     .looks_ahead = 1,                                                                                                 \
     .reduce = {[SMX_WALK_ROWS] = softmax_logsumexp_reduce_rows,                                                       \
                [SMX_WALK_SHORT_ROWS] = softmax_logsumexp_reduce_short_rows,                                           \
                [SMX_WALK_COLUMNS] = softmax_logsumexp_reduce_columns,                                                 \
                [SMX_WALK_SHORT_COLUMNS] = softmax_logsumexp_reduce_short_columns},                                    \
     .finish = softmax_logsumexp_finish,                                                                               \
     .write = {[SMX_WALK_ROWS] = softmax_logsumexp_write_rows,                                                         \
               [SMX_WALK_SHORT_ROWS] = softmax_logsumexp_write_rows,                                                   \
               [SMX_WALK_COLUMNS] = softmax_logsumexp_write_columns,                                                   \
               [SMX_WALK_SHORT_COLUMNS] = softmax_logsumexp_write_short_columns,                                       \
               [SMX_WALK_TRANSPOSED] = softmax_logsumexp_write_transposed},                                            \
     .hidden = HIDDEN(-INFINITY, 0, 0, 1),                                                                             \
     .min_elements_per_thread = MIN_ELEMENTS_PER_THREAD(16)}

#define SOFTMAX_ROW                                                                                                    \
    {.name = "softmax",                                                                                                \
     .inputs = 1,                                                                                                      \
     .elementwise = 1,                                                                                                 \
     .saves = 1,                                                                                                       \
     .takes_initial = 1,                                                                                               \
     .may_shift = 1,                                                                                                   \
     .looks_ahead = 1,                                                                                                 \
     .reduce = {[SMX_WALK_ROWS] = softmax_reduce_rows,                                                                 \
                [SMX_WALK_SHORT_ROWS] = softmax_reduce_short_rows,                                                     \
                [SMX_WALK_COLUMNS] = softmax_reduce_columns,                                                           \
                [SMX_WALK_NARROW_LINES] = softmax_reduce_narrow_lines,                                                 \
                [SMX_WALK_SHORT_COLUMNS] = softmax_reduce_short_columns},                                              \
     .finish = softmax_finish,                                                                                         \
     .write = {[SMX_WALK_ROWS] = softmax_write_rows,                                                                   \
               [SMX_WALK_SHORT_ROWS] = softmax_write_rows,                                                             \
               [SMX_WALK_COLUMNS] = softmax_write_columns,                                                             \
               [SMX_WALK_NARROW_LINES] = softmax_write_narrow_lines,                                                   \
               [SMX_WALK_SHORT_COLUMNS] = softmax_write_short_columns,                                                 \
               [SMX_WALK_TRANSPOSED] = softmax_write_transposed},                                                      \
     .hidden = HIDDEN(-INFINITY, 0, 0, 1),                                                                             \
     .min_elements_per_thread = MIN_ELEMENTS_PER_THREAD(16)}
