/* log_softmax: x / T - log sum exp(x / T).

   The claims, with the worst cases that tests/find_worst.py found; tests/test_accuracy.py reads them here. One ULP is
   that of the true value.

   claim: log_softmax float32 <= 2 ulp; found 1.44 at hex: -0x1.b8c932p-4, -0x1.604bdcp+0
   claim: log_softmax float64 <= 2 ulp; found 1.49 at hex: 0x1.2f8821575122dp-3, -0x1.82103662718a4p-1 */

static void log_softmax_reduce(const smx_tile *tile, void *partial) { exp_reduce(tile, partial, OTHERS, 0); }

/* The last one where T is not 1; where it is, the pair includes the maximum. */
enum { LOG_HIGH, LOG_LOW, LOG_MAXIMUM };

static int log_softmax_finish(const smx_tile *tile, ptrdiff_t pieces, const void *partials, const void *shift,
                              void *constants) {
    const int width = tile->width;
    const exp_temperature *t = tile->temperature;
    tile_logarithms of;
    int flags = 0;
    (void)shift;
    log_over_maximum(&of, tile, pieces, partials);
    for (int row = 0; row < width; row += WIDTH) {
        real *constant = (real *)constants + row;
        const exp_total total = of.total[row / WIDTH];
        pair logarithm = of.logarithm[row / WIDTH];
        if (t->inverse == 1)
            logarithm = sum_add_sum(pair_of(total.m.first, v_set1(0)), logarithm);
        v_store(constant + LOG_HIGH * SMX_TILE_ROWS, if_in_range(total, t, logarithm.high, EVERY_NAN));
        v_store(constant + LOG_LOW * SMX_TILE_ROWS, logarithm.low);
        v_store(constant + LOG_MAXIMUM * SMX_TILE_ROWS, total.m.first);
        flags |= exp_flags(total, width - row, t, constant + SMX_SHIFT * SMX_TILE_ROWS);
    }
    return flags;
}

SMX_INLINE void log_softmax_of(const terms *of, int count, const exp_temperature *t, vec *y) {
    (void)t;
    EACH y[k] = v_sub(v_sub(of[k].v[0], of[k].c[LOG_HIGH]), of[k].c[LOG_LOW]);
}
/* (x - maximum) / T as a pair, so that all of its digits are there where it is close to the logarithm. */
SMX_INLINE void log_softmax_tempered_of(const terms *of, int count, const exp_temperature *t, vec *y) {
    EACH {
        const vec *c = of[k].c, gap = v_sub(of[k].v[0], c[LOG_MAXIMUM]);
        const pair quotient = two_product(gap, v_set1(t->inverse));
        const vec low = v_fma(gap, v_set1(t->inverse_low), quotient.low);
        /* of an infinite one, what was lost is NaN */
        const vec finite = v_select_le(v_abs(quotient.high), HUGEST, low, v_set1(0));
        y[k] = v_sub(v_sub(quotient.high, c[LOG_HIGH]), v_sub(c[LOG_LOW], finite));
    }
}

static void log_softmax_write(const smx_tile *tile, const void *constants) {
    const exp_temperature *t = tile->temperature;
    if (t->inverse == 1)
        write_with(tile, 1, constants, 2, 0, log_softmax_of);
    else
        write_with(tile, 1, constants, 3, 0, log_softmax_tempered_of);
}

#define LOG_SOFTMAX_ROW                                                                                                \
    {.inputs = 1,                                                                                                      \
     .elementwise = 1,                                                                                                 \
     .subtracts_max = 1,                                                                                               \
     .looks_ahead = 1,                                                                                                 \
     .has_short_rows = 1,                                                                                              \
     .takes_lines = 1,                                                                                                 \
     .takes_narrow_lines = 1,                                                                                          \
     .reduce = log_softmax_reduce,                                                                                     \
     .finish = log_softmax_finish,                                                                                     \
     .write = log_softmax_write,                                                                                       \
     .hidden = HIDDEN(-INFINITY, 0, -INFINITY, 1),                                                                     \
     .worth_a_thread = WORTH_A_THREAD(16)}
