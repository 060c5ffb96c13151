/* logsumexp: log sum exp(x / T), where the sum includes exp(initial). Its reduce is that of log_softmax; finish leaves
   the results, and there is no write.

   The claims, with the worst cases that tests/find_worst.py found; tests/test_accuracy.py reads them here. The ULP is
   that of the larger of the true value and the maximum over T.

   claim: logsumexp float32 <= 1.8 ulp, proven; found 0.89 at hex: -0x1.ffb202p-5, -0x1.2e5416p+1, -0x1.750a6p+2,
     -0x1.38b3ecp+2, -0x1.f5c1c2p+1
   claim: logsumexp float32 at any temperature <= 2 ulp, proven; found 0.95 at T = 0x1.c5d02a5d888a6p+7, hex:
     -0x1.c5800ap+4, -0x1.455d6p+8, -0x1.f3f0b2p+9
   claim: logsumexp float64 <= 1.8 ulp, proven; found 0.93 at hex: -0x1.ffeb79bf8f51ep-5, -0x1.5d5b0e33eb449p+1,
     -0x1.644a28b8aa02p+2, -0x1.70fb9e16c741ep+1
   claim: logsumexp float64 at any temperature <= 2 ulp, proven; found 0.95 at T = 0x1.ef0ac570e8675p+10, hex:
     -0x1.eef6f8d667d7ap+6, -0x1.316530fdd4065p+12, -0x1.91c9105e3132fp+12, -0x1.993bcd0077522p+13 */

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
     .has_long_finish = 1,                                                                                             \
     .takes_initial = 1,                                                                                               \
     .may_shift = 1,                                                                                                   \
     .looks_ahead = 1,                                                                                                 \
     .reduce = LOG_SOFTMAX_REDUCE,                                                                                     \
     .finish = logsumexp_finish,                                                                                       \
     .hidden = HIDDEN(-INFINITY, 0, -INFINITY, 1),                                                                     \
     .min_elements_per_thread = MIN_ELEMENTS_PER_THREAD(20)}
