/* softmax: exp(x / T) / sum exp(x / T).

   The claims, with the worst cases that tests/find_worst.py found; tests/test_accuracy.py reads them here. One ULP is
   that of the true value.

   claim: softmax float32 <= 2 ulp; found 1.13 at hex: -0x1.9679d8p+6, -0x1.ebedfp-2, -0x1.f502ep-2, 0x1.86ca9p-5,
     0x1.2bc6c2p-2, 0x1.0a41b8p-4, -0x1.8891eep-5, 0x1.410728p+6, -0x1.0a4102p+5, 0x1.5d8e22p+6, 0x1.07ea7p+6,
     0x1.a6c934p-3
   claim: softmax float64 <= 2 ulp; found 1.11 at hex: 0x1.7375c7cc1c6bep+7, 0x1.4438a1ea48459p+8,
     -0x1.9c33bdff8b8b5p+7, -0x1.be4b9818e8556p+5, 0x1.0db1d860cd61dp+7, 0x1.33cc57d250ebbp+7, 0x1.bd4f1bc1617abp+8,
     0x1.d20c66dbd9a29p+5, -0x1.0771bcf35459cp+8, -0x1.7173f4adb1f32p+8, -0x1.d396bd726aaf7p+8, -0x1.3e428775eeaf8p+3 */

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

static int softmax_finish(const smx_tile *tile, ptrdiff_t pieces, const void *partials, const void *shift,
                          void *constants) {
    const int width = tile->rows;
    const exp_temperature *t = tile->temperature;
    int flags = 0;
    (void)shift;
    for (int row = 0; row < width; row += LANES) {
        real *constant = (real *)constants + row;
        const exp_total total = exp_combine(partials, pieces, width, row, t);
        const exp_scale scale = exp_scale_of(total.reference, t);
        /* 1 / sum = inverse (1 + rest): one Newton step on the quotient, rounded to fewer bits */
        const vec inverse = exp_factor(v_div(v_set1(1), total.s.high));
        const vec rest = v_fnma(inverse, total.s.low, v_fnma(inverse, total.s.high, v_set1(1)));
        v_store(constant + SOFTMAX_SCALE * SMX_TILE_ROWS, if_in_range(total, t, inverse, EVERY_NAN));
        v_store(constant + SOFTMAX_REST * SMX_TILE_ROWS, rest);
        v_store(constant + SOFTMAX_FACTOR * SMX_TILE_ROWS, v_add(v_set1(1), rest));
        v_store(constant + SOFTMAX_ROUNDER * SMX_TILE_ROWS, scale.rounder);
        v_store(constant + SOFTMAX_FLOOR * SMX_TILE_ROWS, scale.floor);
        flags |= exp_flags(total, width - row, t, constant + SMX_SHIFT * SMX_TILE_ROWS);
    }
    return flags;
}

/* exp(x) / sum - less, the inverse of the sum being scale (1 + rest): scale M (1 + p) (1 + rest), of which scale M is exact,
   and all that is added to it is small. Where the result is subnormal, that product may be as well: it costs half a unit in
   the last place there, and nothing elsewhere. */
SMX_INLINE vec softmax_less(vec power, vec p, const vec *c, vec less) {
    const vec scaled = v_mul(c[SOFTMAX_SCALE], power);
    return v_fma(scaled, v_fma(p, c[SOFTMAX_FACTOR], c[SOFTMAX_REST]), v_sub(scaled, less));
}
SMX_INLINE void softmax_of_parts(const terms *of, int count, const exp_temperature *t, vec *y) {
    (void)t;
    EACH y[k] = softmax_less(of[k].v[0], of[k].v[1], of[k].c, v_set1(0));
}

/* The exponentials of the first inputs, by the rounders and floors of their rows. */
SMX_INLINE void exp_of_terms(const terms *of, int count, const exp_temperature *t, exp_parts *e) {
    vec x[IN_STEP];
    exp_scale scale[IN_STEP];
    EACH x[k] = of[k].v[0];
    EACH scale[k] = exp_scale_with(of[k].c[SOFTMAX_ROUNDER], of[k].c[SOFTMAX_FLOOR], t);
    exp_parts_in_step(x, count, scale, 1, e);
}
SMX_INLINE void softmax_of(const terms *of, int count, const exp_temperature *t, vec *y) {
    exp_parts e[IN_STEP];
    exp_of_terms(of, count, t, e);
    EACH y[k] = softmax_less(e[k].power, e[k].p, of[k].c, v_set1(0));
}

/* From what reduce has saved, and from the elements once more. */
SMX_INLINE write_of softmax_from_saved(const smx_tile *tile) {
    const write_of of = {{&tile->saved[0], &tile->saved[1]}, 2, SOFTMAX_FACTOR + 1, 0, softmax_of_parts};
    return of;
}
SMX_INLINE write_of softmax_from_elements(const smx_tile *tile) {
    const write_of of = {{&tile->in[0]}, 1, SOFTMAX_CONSTANTS, 0, softmax_of};
    return of;
}

WRITE(softmax, rows) {
    const write_of saved = softmax_from_saved(tile), elements = softmax_from_elements(tile);
    if (tile->saved[0].start)
        write_walk(tile, SMX_WALK_ROWS, &saved, constants);
    else
        write_walk(tile, SMX_WALK_ROWS, &elements, constants);
}
WRITE(softmax, short_rows) {
    const write_of of = softmax_from_saved(tile);
    write_walk(tile, SMX_WALK_SHORT_ROWS, &of, constants);
}
WRITE(softmax, columns) {
    const write_of of = softmax_from_elements(tile);
    write_walk(tile, SMX_WALK_COLUMNS, &of, constants);
}
WRITE(softmax, narrow_lines) {
    const write_of of = softmax_from_elements(tile);
    write_lines(tile, &of, constants);
}
WRITE(softmax, short_columns) {
    const write_of of = softmax_from_saved(tile);
    write_walk(tile, SMX_WALK_COLUMNS, &of, constants);
}
WRITE(softmax, transposed) {
    const write_of of = softmax_from_saved(tile);
    write_transposed(tile, &of, constants);
}

#define SOFTMAX_ROW                                                                                                    \
    {.name = "softmax",                                                                                                \
     .inputs = 1,                                                                                                      \
     .elementwise = 1,                                                                                                 \
     .saves = 1,                                                                                                       \
     .may_shift = 1,                                                                                                   \
     .looks_ahead = 1,                                                                                                 \
     .reduce = {[SMX_WALK_ROWS] = softmax_reduce_rows,                                                                 \
                [SMX_WALK_SHORT_ROWS] = softmax_reduce_short_rows,                                                     \
                [SMX_WALK_COLUMNS] = softmax_reduce_columns,                                                           \
                [SMX_WALK_NARROW_LINES] = softmax_reduce_narrow_lines,                                                 \
                [SMX_WALK_SHORT_COLUMNS] = softmax_reduce_short_columns},                                              \
     .finish = softmax_finish,                                                                                         \
     .write = {[SMX_WALK_ROWS] = softmax_write_rows,                                                                   \
               [SMX_WALK_SHORT_ROWS] = softmax_write_short_rows,                                                       \
               [SMX_WALK_COLUMNS] = softmax_write_columns,                                                             \
               [SMX_WALK_NARROW_LINES] = softmax_write_narrow_lines,                                                   \
               [SMX_WALK_SHORT_COLUMNS] = softmax_write_short_columns,                                                 \
               [SMX_WALK_TRANSPOSED] = softmax_write_transposed},                                                      \
     .hidden = HIDDEN(-INFINITY, 0, 0, 1),                                                                             \
     .min_elements_per_thread = MIN_ELEMENTS_PER_THREAD(16)}
