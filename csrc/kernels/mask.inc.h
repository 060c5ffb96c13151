/* Masks: hidden elements replaced on their way into a block, and in the results.

   What is hidden is never computed with, only moved: a NaN there does no harm. */

/* A run of elements that follow one another, and so do their bytes of the mask; those of its last few are in rest. */
SMX_INLINE void hide_run(const real *from, const unsigned char *mask, const unsigned char *rest, ptrdiff_t n, vec fill,
                         real *to) {
    ptrdiff_t i = 0;
    for (; i + WIDTH <= n; i += WIDTH)
        v_store(to + i, v_select_bytes(mask + i, v_load(from + i), fill));
    if (i < n)
        v_store_first(to + i, n - i, v_select_bytes(rest, v_load_first(from + i, n - i, fill), fill));
}

/* A run that shares one byte of the mask. */
SMX_INLINE void hide_all(const real *from, unsigned char mask, ptrdiff_t n, vec fill, real *to) {
    if (mask && from == to)
        return;
    ptrdiff_t i = 0;
    for (; i + WIDTH <= n; i += WIDTH)
        v_store(to + i, mask ? v_load(from + i) : fill);
    if (i < n)
        v_store_first(to + i, n - i, mask ? v_load_first(from + i, n - i, fill) : fill);
}

static void hide(const smx_view *from, const smx_view *mask, int width, ptrdiff_t n, double value, const smx_view *to) {
    const vec fill = v_set1((real)value);
    const int by_rows = from->element == 1 && to->element == 1 && (mask->element == 0 || mask->element == 1);
    const int by_columns = from->row == 1 && to->row == 1 && (mask->row == 0 || mask->row == 1);
    const real *x = from->start;
    const unsigned char *seen = mask->start;
    real *y = to->start;
    if (!by_rows && !by_columns) {
        for (ptrdiff_t j = 0; j < n; j++)
            for (ptrdiff_t r = 0; r < width; r++)
                y[r * to->row + j * to->element] = seen[r * mask->row + j * mask->element]
                                                       ? x[r * from->row + j * from->element]
                                                       : (real)value;
        return;
    }
    ptrdiff_t runs = by_rows ? width : n, run = by_rows ? n : width;
    const ptrdiff_t x_step = by_rows ? from->row : from->element, y_step = by_rows ? to->row : to->element;
    const ptrdiff_t step = by_rows ? mask->row : mask->element, byte = by_rows ? mask->element : mask->row;
    if (byte == 1 && x_step == run && y_step == run && step == run) { /* one run, without remainders in between */
        run *= runs;
        runs = 1;
    }
    unsigned char rest[WIDTH] = {0};
    const ptrdiff_t whole = run / WIDTH * WIDTH;
    for (ptrdiff_t i = 0; i < runs; i++, x += x_step, y += y_step, seen += step)
        if (byte == 1) {
            for (ptrdiff_t k = whole; k < run && (i == 0 || step != 0); k++)
                rest[k - whole] = seen[k];
            hide_run(x, seen, rest, run, fill, y);
        } else {
            hide_all(x, *seen, run, fill, y);
        }
}
