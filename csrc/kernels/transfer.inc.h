/* Copies between an array and a block: lines to columns and back, columns to rows, numbers of 16 bits, masks. */

/* ---- lines to columns, and back ---------------------------------------------------------------------------------- */

/* Each line asks for one so far ahead that memory brings it meanwhile; beyond the last, for what lies beside the first. */
SMX_INLINE void load_lines(const char *lines, ptrdiff_t line, int width, ptrdiff_t n, real *block, ptrdiff_t element,
                           enum smx_storage storage, int beyond_cache) {
    enum { ON_THEIR_WAY = 16 * 1024 }; /* bytes */
    const ptrdiff_t size = size_of(storage), enough = ON_THEIR_WAY / (width * size), by = enough < n ? enough : n;
    for (ptrdiff_t j = 0; j < n; j++) {
        const char *from = lines + j * line * size;
        const char *ahead = from + (j + by < n ? by * line : (by - n) * line + width) * size;
        const ptrdiff_t before = (ptrdiff_t)((uintptr_t)ahead % SMX_CACHE_LINE); /* in the same line of the cache */
        if (beyond_cache)
            ask_for(ahead - before, before + width * size);
        for (int row = 0; row < width; row += LANES)
            v_store(block + j * element + row, load_stored(from + row * size, width - row, storage));
    }
}
/* The block need not be padded. Reals: by whole vectors, into what the next line is to be written over. */
SMX_INLINE void store_lines(const real *block, ptrdiff_t element, char *lines, ptrdiff_t line, int width, ptrdiff_t n,
                            enum smx_storage storage) {
    const ptrdiff_t size = size_of(storage);
    for (ptrdiff_t j = 0; j < n; j++)
        for (int row = 0; row < width; row += LANES) {
            const ptrdiff_t left = storage == SMX_REAL ? LANES : width - row;
            store_stored(lines + (j * line + row) * size, left, load_left(block + j * element + row, left), storage);
        }
}

static void lines_to_columns(enum smx_storage storage, const void *lines, ptrdiff_t line, int width, ptrdiff_t n,
                             void *block, ptrdiff_t element, int beyond_cache) {
    if (storage == SMX_REAL)
        load_lines(lines, line, width, n, block, element, SMX_REAL, beyond_cache);
#if REAL_BITS == 32
    else if (storage == SMX_FLOAT16)
        load_lines(lines, line, width, n, block, element, SMX_FLOAT16, beyond_cache);
    else
        load_lines(lines, line, width, n, block, element, SMX_BFLOAT16, beyond_cache);
#endif
}
static void columns_to_lines(enum smx_storage storage, const void *block, ptrdiff_t element, void *lines,
                             ptrdiff_t line, int width, ptrdiff_t n) {
    if (storage == SMX_REAL)
        store_lines(block, element, lines, line, width, n, SMX_REAL);
#if REAL_BITS == 32
    else if (storage == SMX_FLOAT16)
        store_lines(block, element, lines, line, width, n, SMX_FLOAT16);
    else
        store_lines(block, element, lines, line, width, n, SMX_BFLOAT16);
#endif
}

/* ---- columns to rows --------------------------------------------------------------------------------------------- */

SMX_INLINE void itself(const terms *of, int count, const exp_temperature *t, vec *y) {
    (void)t;
    EACH y[k] = of[k].v[0];
}
static void columns_to_rows(const void *block, ptrdiff_t element, void *rows, ptrdiff_t row, int width, ptrdiff_t n,
                            int beyond_cache) {
    const smx_view columns = {(void *)block, 1, element}, to = {rows, row, 1};
    const smx_view *const from[1] = {&columns};
    apply_into_rows(&to, from, 1, width, n, beyond_cache, NULL, 0, &no_temperature, itself);
}

/* ---- numbers of 16 bits ------------------------------------------------------------------------------------------ */

#if REAL_BITS == 32

SMX_INLINE void widen_from(enum smx_storage storage, const char *from, ptrdiff_t n, real *to) {
    ptrdiff_t i = 0;
    for (; i + LANES <= n; i += LANES)
        v_store(to + i, load_stored(from + 2 * i, LANES, storage));
    if (i < n)
        v_store_first(to + i, n - i, load_stored(from + 2 * i, n - i, storage));
}
SMX_INLINE void narrow_to(enum smx_storage storage, const real *from, ptrdiff_t n, char *to) {
    ptrdiff_t i = 0;
    for (; i + LANES <= n; i += LANES)
        store_stored(to + 2 * i, LANES, v_load(from + i), storage);
    if (i < n)
        store_stored(to + 2 * i, n - i, v_load_first(from + i, n - i, v_set1(0)), storage);
}

static void from_half(enum smx_storage storage, const void *from, ptrdiff_t n, void *to) {
    if (storage == SMX_FLOAT16)
        widen_from(SMX_FLOAT16, from, n, to);
    else
        widen_from(SMX_BFLOAT16, from, n, to);
}

static void to_half(enum smx_storage storage, const void *from, ptrdiff_t n, void *to) {
    if (storage == SMX_FLOAT16)
        narrow_to(SMX_FLOAT16, from, n, to);
    else
        narrow_to(SMX_BFLOAT16, from, n, to);
}

#endif

/* ---- masks ----------------------------------------------------------------------------------------------------------

   Hidden elements are replaced on their way into a block, and in the results. What is hidden is never computed with,
   only moved: a NaN there does no harm. */

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

static void apply_mask(const smx_view *from, const smx_view *mask, int width, ptrdiff_t n, double value,
                       const smx_view *to) {
    const vec fill = v_set1((real)value);
    const int by_rows = from->element_stride == 1 && to->element_stride == 1 &&
                        (mask->element_stride == 0 || mask->element_stride == 1);
    const int by_columns =
        from->row_stride == 1 && to->row_stride == 1 && (mask->row_stride == 0 || mask->row_stride == 1);
    const real *x = from->start;
    const unsigned char *seen = mask->start;
    real *y = to->start;
    if (!by_rows && !by_columns) {
        for (ptrdiff_t j = 0; j < n; j++)
            for (ptrdiff_t r = 0; r < width; r++)
                y[r * to->row_stride + j * to->element_stride] =
                    seen[r * mask->row_stride + j * mask->element_stride]
                        ? x[r * from->row_stride + j * from->element_stride]
                        : (real)value;
        return;
    }
    ptrdiff_t runs = by_rows ? width : n, run = by_rows ? n : width;
    const ptrdiff_t x_step = by_rows ? from->row_stride : from->element_stride,
                    y_step = by_rows ? to->row_stride : to->element_stride;
    const ptrdiff_t step = by_rows ? mask->row_stride : mask->element_stride,
                    byte = by_rows ? mask->element_stride : mask->row_stride;
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
