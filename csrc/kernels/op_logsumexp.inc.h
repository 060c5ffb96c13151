/* logsumexp: log sum exp(x / T), where the sum includes exp(initial). Its reduce is that of log_softmax; finish leaves the
   results, and there is no write.

   The claims, with the worst cases that tests/find_worst.py found; tests/test_accuracy.py reads them here. The ULP is
   that of the larger of the true value and the maximum.

   claim: logsumexp float32 <= 2 ulp; found 0.73 at hex: -0x1.2753a6p+0, -0x1.75296cp-1, -0x1.e35b1ap-2
   claim: logsumexp float64 <= 2 ulp; found 0.75 at hex: -0x1.8c93eef5ea002p-3, -0x1.59b041564dca7p+0,
     -0x1.f4e01f91d050dp+0 */

static int logsumexp_finish(const smx_tile *tile, ptrdiff_t pieces, const void *partials, const void *shift,
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
        flags |= exp_flags(total, rows - row, t, constant + SMX_SHIFT * SMX_TILE_ROWS);
    }
    return flags;
}

#define LOGSUMEXP_ROW                                                                                                  \
    {.name = "logsumexp",                                                                                              \
     .inputs = 1,                                                                                                      \
     .may_shift = 1,                                                                                                   \
     .looks_ahead = 1,                                                                                                 \
     .reduce = LOG_SOFTMAX_REDUCE,                                                                                     \
     .finish = logsumexp_finish,                                                                                       \
     .hidden = HIDDEN(-INFINITY, 0, -INFINITY, 1),                                                                     \
     .min_elements_per_thread = MIN_ELEMENTS_PER_THREAD(20)}
