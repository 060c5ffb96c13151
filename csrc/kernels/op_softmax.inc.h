/* softmax: exp(x / T) / sum exp(x / T).

   The claims, with the worst cases that tests/find_worst.py found; tests/test_accuracy.py reads them here. One ULP is
   that of the true value.

   claim: softmax float32 <= 2 ulp; found 1.13 at hex: -0x1.9679d8p+6, -0x1.ebedfp-2, -0x1.f502ep-2, 0x1.86ca9p-5,
     0x1.2bc6c2p-2, 0x1.0a41b8p-4, -0x1.8891eep-5, 0x1.410728p+6, -0x1.0a4102p+5, 0x1.5d8e22p+6, 0x1.07ea7p+6,
     0x1.a6c934p-3
   claim: softmax float64 <= 2 ulp; found 1.11 at hex: 0x1.7375c7cc1c6bep+7, 0x1.4438a1ea48459p+8,
     -0x1.9c33bdff8b8b5p+7, -0x1.be4b9818e8556p+5, 0x1.0db1d860cd61dp+7, 0x1.33cc57d250ebbp+7, 0x1.bd4f1bc1617abp+8,
     0x1.d20c66dbd9a29p+5, -0x1.0771bcf35459cp+8, -0x1.7173f4adb1f32p+8, -0x1.d396bd726aaf7p+8, -0x1.3e428775eeaf8p+3 */

static void softmax_reduce(const smx_tile *tile, void *partial) {
    if (tile->kept[0].start)
        exp_reduce(tile, partial, ALL, 1);
    else
        exp_reduce(tile, partial, ALL, 0);
}

enum { SOFTMAX_SCALE, SOFTMAX_REST, SOFTMAX_FACTOR, SOFTMAX_ROUNDER, SOFTMAX_FLOOR, SOFTMAX_CONSTANTS };

static int softmax_finish(const smx_tile *tile, ptrdiff_t pieces, const void *partials, const void *shift,
                          void *constants) {
    const int width = tile->width;
    const exp_temperature *t = tile->temperature;
    int flags = 0;
    (void)shift;
    for (int row = 0; row < width; row += WIDTH) {
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

static void softmax_write(const smx_tile *tile, const void *constants) {
    const smx_view *const kept[2] = {&tile->kept[0], &tile->kept[1]};
    if (tile->kept[0].start && tile->layout == SMX_COLUMNS && tile->out.row != 1)
        apply_into_rows(&tile->out, kept, 2, tile->width, tile->n, tile->next[0].start != NULL, constants,
                        SOFTMAX_FACTOR + 1, tile->temperature, softmax_of_parts);
    else if (tile->kept[0].start)
        write_from(tile, kept, 2, constants, SOFTMAX_FACTOR + 1, 0, softmax_of_parts);
    else
        write_with(tile, 1, constants, SOFTMAX_CONSTANTS, 0, softmax_of);
}

#define SOFTMAX_ROW                                                                                                    \
    {.inputs = 1,                                                                                                      \
     .elementwise = 1,                                                                                                 \
     .uses_keep = 1,                                                                                                   \
     .subtracts_max = 1,                                                                                               \
     .looks_ahead = 1,                                                                                                 \
     .has_short_rows = 1,                                                                                              \
     .takes_lines = 1,                                                                                                 \
     .takes_narrow_lines = 1,                                                                                          \
     .writes_rows = 1,                                                                                                 \
     .reduce = softmax_reduce,                                                                                         \
     .finish = softmax_finish,                                                                                         \
     .write = softmax_write,                                                                                           \
     .hidden = HIDDEN(-INFINITY, 0, 0, 1),                                                                             \
     .worth_a_thread = WORTH_A_THREAD(16)}
