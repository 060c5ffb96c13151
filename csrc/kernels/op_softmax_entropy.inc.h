/* softmax_entropy: -sum p log p for p = softmax(x / T), in one sweep.

   With z, the sum of the other exponentials relative to that of the maximum, and the gaps (max - x) / T,

       -sum p log p = log(1 + z) + (sum of the others' exponentials times gaps) / (1 + z)

   No term is negative, so nothing cancels, and the entropy of a confident row, close to 0, keeps its digits: it is
   about z (1 + gap). A gap and its product with an exponential are rounded once each; the sums and the quotient are
   pairs.

   The claims, with the worst cases that tests/find_worst.py found; tests/test_accuracy.py reads them here. u is half
   the machine epsilon times the result.

   claim: softmax_entropy float32 <= 4 u, proven; found 2.86 at hex: 0x1.d2d49cp+4, -0x1.1d2b5cp+7, 0x1.79747ep+6,
     -0x1.04f43ap+7
   claim: softmax_entropy float64 <= 4 u, proven; found 2.82 at hex: -0x1.1958f179a741p+5, -0x1.70bf368caa0f9p+4,
     0x1.badd17b85cc1cp+3 */

REDUCE(softmax_entropy, rows) { exp_reduce_rows(tile, partial, SUMS, OTHERS_WITH_GAPS, 0); }
REDUCE(softmax_entropy, columns) { exp_reduce_long_columns(tile, partial, OTHERS_WITH_GAPS); }
REDUCE(softmax_entropy, short_columns) { exp_reduce_short_columns(tile, partial, OTHERS_WITH_GAPS, 0); }

/* The sum of terms times gaps, on the scale of the total and in the unit of gaps. In a piece, gaps are relative to the
   maximum of the piece. */
SMX_INLINE pair gaps_combine(const real *partials, ptrdiff_t pieces, int rows, int row, exp_total total,
                             const exp_temperature *t) {
    if (pieces == 1)
        return read_sum(partials, PARTIAL_GAPS, rows, row);
    const exp_scale scale = exp_scale_of(total.reference, t);
    const vec unit = gap_unit(t), zero = v_set1(0), maximum = v_mul(v_max(scale.floor, total.m.first), unit);
    sum_of_pieces sum = sum_of_pieces_begin();
    for (ptrdiff_t i = 0; i < pieces; i++) {
        const real *partial = partials + i * partial_at(SMX_PARTIALS, rows, 0);
        const largest m = read_largest(partial, rows, row);
        const vec down = power_of_two(v_sub(reference_of(m, no_initial_reference(), t), total.reference));
        const pair terms = read_sum(partial, PARTIAL_TERMS, rows, row),
                   gaps = read_sum(partial, PARTIAL_GAPS, rows, row);
        const vec gap = v_fnma(v_max(scale.floor, m.first), unit, maximum);
        sum.few = sum_add_sum(sum.few, pair_of(v_mul(gaps.high, down), v_mul(gaps.low, down)));
        sum.few = sum_add_product(sum.few, v_mul(terms.high, down), gap);
        sum.few.low = v_fma(v_mul(terms.low, down), gap, sum.few.low);
        /* The maximum of the piece is not among its terms if it stood alone. (The row's maximum has no gap.) */
        const pair e = exp_of(v_min(m.first, total.m.second), scale);
        const vec alone = v_select_le(m.first, m.second, zero, v_select_le(m.first, total.m.second, gap, zero));
        sum.few = sum_add_product(sum.few, e.high, alone);
        sum.few.low = v_fma(e.low, alone, sum.few.low);
        sum = sum_of_pieces_next(sum, i, pieces);
    }
    return sum.total;
}

static int softmax_entropy_finish(const smx_tile *tile, ptrdiff_t pieces, const void *partials, const void *shift,
                                  void *constants) {
    const int rows = tile->rows;
    const exp_temperature *t = tile->temperature;
    /* 1 / (T unit), as a pair */
    const vec unit = gap_unit(t), inverse = v_div(v_set1(t->inverse), unit),
              inverse_low = v_div(v_set1(t->inverse_low), unit);
    tile_logarithms logs;
    int flags = 0;
    log_over_maximum(&logs, tile, pieces, partials, shift);
    for (int row = 0; row < rows; row += LANES) {
        real *constant = (real *)constants + row;
        const exp_total total = logs.total[row / LANES];
        const vec max_reference = exp_reference(total.m.first, t);
        const pair sum = sum_with_maximum(total, max_reference, t),
                   gap = quotient(gaps_combine(partials, pieces, rows, row, total, t), sum);
        pair mean = two_product(gap.high, inverse);
        mean.low = v_fma(gap.high, inverse_low, v_fma(gap.low, inverse, mean.low));
        mean = pair_scaled(mean, v_sub(total.reference, max_reference));
        const pair entropy = sum_add_sum(logs.logarithm[row / LANES], mean);
        const vec value = if_in_range(total, t, v_add(entropy.high, entropy.low), CANONICAL_NAN);
        v_store(constant, canonical_nan(value));
        flags |= exp_flags(total, rows - row, t, constant + SMX_SHIFT * SMX_TILE_ROWS);
    }
    return flags;
}

#define SOFTMAX_ENTROPY_ROW                                                                                            \
    {.name = "softmax_entropy",                                                                                        \
     .inputs = 1,                                                                                                      \
     .may_shift = 1,                                                                                                   \
     .looks_ahead = 1,                                                                                                 \
     .reduce = {[SMX_WALK_ROWS] = softmax_entropy_reduce_rows,                                                         \
                [SMX_WALK_COLUMNS] = softmax_entropy_reduce_columns,                                                   \
                [SMX_WALK_SHORT_COLUMNS] = softmax_entropy_reduce_short_columns},                                      \
     .finish = softmax_entropy_finish,                                                                                 \
     .hidden = HIDDEN(-INFINITY, 0, 0, 0),                                                                             \
     .min_elements_per_thread = MIN_ELEMENTS_PER_THREAD(14)}
