/* Masks: hidden elements replaced on their way into a block, and in the results.

   What is hidden is never computed with, only moved: a NaN there does no harm. */

/* A vector whose lanes share one byte of the mask: without branches, as guesses at it would often be wrong. */
SMX_INLINE vec seen_or(unsigned char mask, vec a, vec fill) {
    static const real hidden_or_seen[2] = {-1, 1};
    return v_select_le(v_set1(0), v_set1(hidden_or_seen[mask != 0]), a, fill);
}

/* A run of elements that follow one another, and so do their bytes of the mask. */
SMX_INLINE void hide_run(const real *from, const unsigned char *mask, ptrdiff_t n, vec fill, real *to) {
    ptrdiff_t i = 0;
    for (; i + LANES <= n; i += LANES)
        v_store(to + i, v_select_bytes(mask + i, LANES, v_load(from + i), fill));
    if (i < n)
        v_store_first(to + i, n - i, v_select_bytes(mask + i, n - i, v_load_first(from + i, n - i, fill), fill));
}

/* A run that shares one byte of the mask. */
SMX_INLINE void hide_all(const real *from, unsigned char mask, ptrdiff_t n, vec fill, real *to) {
    if (mask && from == to && n > 4 * LANES)
        return;
    ptrdiff_t i = 0;
    for (; i + LANES <= n; i += LANES)
        v_store(to + i, seen_or(mask, v_load(from + i), fill));
    if (i < n)
        v_store_first(to + i, n - i, seen_or(mask, v_load_first(from + i, n - i, fill), fill));
}

static void apply_mask(const smx_view *from, const smx_view *mask, int width, ptrdiff_t n, double value, const smx_view *to) {
    const vec fill = v_set1((real)value);
    const int by_rows = from->element_stride == 1 && to->element_stride == 1 && (mask->element_stride == 0 || mask->element_stride == 1);
    const int by_columns = from->row_stride == 1 && to->row_stride == 1 && (mask->row_stride == 0 || mask->row_stride == 1);
    const real *x = from->start;
    const unsigned char *seen = mask->start;
    real *y = to->start;
    if (!by_rows && !by_columns) {
        for (ptrdiff_t j = 0; j < n; j++)
            for (ptrdiff_t r = 0; r < width; r++)
                y[r * to->row_stride + j * to->element_stride] =
                    seen[r * mask->row_stride + j * mask->element_stride] ? x[r * from->row_stride + j * from->element_stride] : (real)value;
        return;
    }
    ptrdiff_t runs = by_rows ? width : n, run = by_rows ? n : width;
    const ptrdiff_t x_step = by_rows ? from->row_stride : from->element_stride, y_step = by_rows ? to->row_stride : to->element_stride;
    const ptrdiff_t step = by_rows ? mask->row_stride : mask->element_stride, byte = by_rows ? mask->element_stride : mask->row_stride;
    if (byte == 1 && x_step == run && y_step == run && step == run) { /* one run, without remainders in between */
        run *= runs;
        runs = 1;
    }
    for (ptrdiff_t i = 0; byte == 1 && i < runs; i++)
        hide_run(x + i * x_step, seen + i * step, run, fill, y + i * y_step);
    /* The same loop, apart from the next one that it may have no loop within. */
    for (ptrdiff_t i = 0; byte == 0 && run < LANES && i < runs; i++)
        hide_all(x + i * x_step, seen[i * step], run, fill, y + i * y_step);
    for (ptrdiff_t i = 0; byte == 0 && run >= LANES && i < runs; i++)
        hide_all(x + i * x_step, seen[i * step], run, fill, y + i * y_step);
}
