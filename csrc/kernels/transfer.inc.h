/* Copies between an array and a block: reals of any stride and byte order; lines to columns and back, columns to rows;
   numbers of 16 bits; masks. */

/* ---- reals of any stride and byte order ------------------------------------------------------------------------- */

SMX_INLINE vec in_native_order(vec a, int swapped) { return swapped ? v_swap_bytes(a) : a; }

/* The first `count` lanes in reverse; the low bits of the index are the numbers of lanes. */
SMX_INLINE vec reversed(vec a, ptrdiff_t count) {
    return v_permute(a, v_sub(v_set1((real)ROUNDER + (real)(count - 1)), v_load(lane_numbers)));
}

/* One vector of elements that are two or three reals apart: the loads also read what lies between them. Backwards, the
   vector ends at its first element, and the loads begin before its last one. */
SMX_INLINE vec seconds_from(const real *p, int backwards) {
    vec column[2];
    v_load_pairs(backwards ? p - (2 * LANES - 1) : p, column);
    return backwards ? reversed(column[1], LANES) : column[0];
}
SMX_INLINE vec thirds_from(const real *p, int backwards) {
    vec column[3];
    v_load_triples(backwards ? p - (3 * LANES - 1) : p, column);
    return backwards ? reversed(column[2], LANES) : column[0];
}

/* Contiguous reals, upwards or downwards in memory; the last vector of them only if they are aligned. */
SMX_INLINE ptrdiff_t gather_contiguous(const char *from, ptrdiff_t n, int is_aligned, int backwards, int swapped,
                                       real *to) {
    const ptrdiff_t size = sizeof(real);
    ptrdiff_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        const vec a = v_load_bytes(backwards ? from - (i + LANES - 1) * size : from + i * size);
        v_store(to + i, in_native_order(backwards ? reversed(a, LANES) : a, swapped));
    }
    if (i < n && is_aligned) {
        const vec a =
            v_load_first((const real *)(backwards ? from - (n - 1) * size : from + i * size), n - i, v_set1(0));
        v_store_first(to + i, n - i, in_native_order(backwards ? reversed(a, n - i) : a, swapped));
        i = n;
    }
    return i;
}

/* So many contiguous reals are worth a call of memcpy. */
enum { MANY_REALS = 64 };

SMX_INLINE ptrdiff_t gather_of(const char *from, ptrdiff_t step, ptrdiff_t n, int is_aligned, int swapped, real *to) {
    const ptrdiff_t size = sizeof(real), reals = step < 0 ? -step : step;
    const int backwards = step < 0;
    ptrdiff_t i = 0;
    if (step == size && !swapped && (n >= MANY_REALS || !is_aligned)) {
        memcpy(to, from, (size_t)(n * size));
        i = n;
    } else if (step == size)
        i = gather_contiguous(from, n, is_aligned, 0, swapped, to);
    else if (step == -size)
        i = gather_contiguous(from, n, is_aligned, 1, swapped, to);
    /* What is read beyond the elements of a vector lies before the next element, so there has to be one. */
    else if (reals == 2 * size && is_aligned)
        for (; i + LANES < n; i += LANES)
            v_store(to + i, in_native_order(seconds_from((const real *)(from + i * step), backwards), swapped));
    else if (reals == 3 * size && is_aligned)
        for (; i + LANES < n; i += LANES)
            v_store(to + i, in_native_order(thirds_from((const real *)(from + i * step), backwards), swapped));
    return i;
}

SMX_INLINE ptrdiff_t gather_rows(const char *from, ptrdiff_t from_row, ptrdiff_t step, ptrdiff_t rows, ptrdiff_t n,
                                 int swapped, char *to, ptrdiff_t to_row) {
    const uintptr_t misaligned = (uintptr_t)from | (uintptr_t)to | (uintptr_t)from_row | (uintptr_t)to_row;
    const int is_aligned = misaligned % sizeof(real) == 0;
    ptrdiff_t done = 0;
    for (ptrdiff_t row = 0; row < rows; row++)
        done = gather_of(from + row * from_row, step, n, is_aligned, swapped, (real *)(to + row * to_row));
    return done;
}
static ptrdiff_t gather(const void *from, ptrdiff_t from_row, ptrdiff_t step, ptrdiff_t rows, ptrdiff_t n, int swapped,
                        void *to, ptrdiff_t to_row) {
    return swapped ? gather_rows(from, from_row, step, rows, n, 1, to, to_row)
                   : gather_rows(from, from_row, step, rows, n, 0, to, to_row);
}

/* ---- lines to columns, and back --------------------------------------------------------------------------------- */

/* Each line prefetches one that is so far ahead that it arrives in time; at the end of the array, it prefetches the
   lines beside the first ones, where the next tile begins. */
SMX_INLINE void load_lines(const char *lines, ptrdiff_t line_stride, int rows, ptrdiff_t n, real *block,
                           ptrdiff_t element_stride, enum smx_storage storage, int beyond_cache) {
    enum { IN_FLIGHT = 16 * 1024 }; /* bytes */
    const ptrdiff_t size = size_of(storage), enough = IN_FLIGHT / (rows * size), by = enough < n ? enough : n;
    for (ptrdiff_t j = 0; j < n; j++) {
        const char *from = lines + j * line_stride * size;
        const char *next = from + (j + by < n ? by * line_stride : (by - n) * line_stride + rows) * size;
        const ptrdiff_t before = (ptrdiff_t)((uintptr_t)next % SMX_CACHE_LINE); /* of the same cache line */
        if (beyond_cache)
            prefetch(next - before, before + rows * size);
        for (int row = 0; row < rows; row += LANES)
            v_store(block + j * element_stride + row, load_stored(from + row * size, rows - row, storage));
    }
}
/* The block need not be padded. Reals are stored by whole vectors; the next line overwrites what goes beyond the end of
   a line. */
SMX_INLINE void store_lines(const real *block, ptrdiff_t element_stride, char *lines, ptrdiff_t line_stride, int rows,
                            ptrdiff_t n, enum smx_storage storage) {
    const ptrdiff_t size = size_of(storage);
    for (ptrdiff_t j = 0; j < n; j++)
        for (int row = 0; row < rows; row += LANES) {
            const ptrdiff_t left = storage == SMX_REAL ? LANES : rows - row;
            store_stored(lines + (j * line_stride + row) * size, left,
                         load_left(block + j * element_stride + row, left), storage);
        }
}

static void lines_to_columns(enum smx_storage storage, const void *lines, ptrdiff_t line_stride, int rows, ptrdiff_t n,
                             void *block, ptrdiff_t element_stride, int beyond_cache) {
    if (storage == SMX_REAL)
        load_lines(lines, line_stride, rows, n, block, element_stride, SMX_REAL, beyond_cache);
#if REAL_BITS == 32
    else if (storage == SMX_FLOAT16)
        load_lines(lines, line_stride, rows, n, block, element_stride, SMX_FLOAT16, beyond_cache);
    else
        load_lines(lines, line_stride, rows, n, block, element_stride, SMX_BFLOAT16, beyond_cache);
#endif
}
static void columns_to_lines(enum smx_storage storage, const void *block, ptrdiff_t element_stride, void *lines,
                             ptrdiff_t line_stride, int rows, ptrdiff_t n) {
    if (storage == SMX_REAL)
        store_lines(block, element_stride, lines, line_stride, rows, n, SMX_REAL);
#if REAL_BITS == 32
    else if (storage == SMX_FLOAT16)
        store_lines(block, element_stride, lines, line_stride, rows, n, SMX_FLOAT16);
    else
        store_lines(block, element_stride, lines, line_stride, rows, n, SMX_BFLOAT16);
#endif
}

/* ---- columns to rows -------------------------------------------------------------------------------------------- */

SMX_INLINE void itself(const terms *term, int count, const exp_temperature *t, vec *y) {
    (void)t;
    EACH y[k] = term[k].v[0];
}
static void columns_to_rows(const void *block, ptrdiff_t element_stride, void *rows, ptrdiff_t row_stride, int count,
                            ptrdiff_t n, int beyond_cache) {
    const smx_view columns = {(void *)block, 1, element_stride}, to = {rows, row_stride, 1};
    const write_spec spec = {&to, {&columns}, 1, 0, 0, itself};
    apply_into_rows(&spec, count, n, beyond_cache, NULL, &no_temperature);
}

/* ---- numbers of 16 bits ----------------------------------------------------------------------------------------- */

#if REAL_BITS == 32

SMX_INLINE void from_half_stored(enum smx_storage storage, const char *from, ptrdiff_t n, real *to) {
    ptrdiff_t i = 0;
    for (; i + LANES <= n; i += LANES)
        v_store(to + i, load_stored(from + 2 * i, LANES, storage));
    if (i < n)
        v_store_first(to + i, n - i, load_stored(from + 2 * i, n - i, storage));
}
SMX_INLINE void to_half_stored(enum smx_storage storage, const real *from, ptrdiff_t n, char *to) {
    ptrdiff_t i = 0;
    for (; i + LANES <= n; i += LANES)
        store_stored(to + 2 * i, LANES, v_load(from + i), storage);
    if (i < n)
        store_stored(to + 2 * i, n - i, v_load_first(from + i, n - i, v_set1(0)), storage);
}

static void from_half(enum smx_storage storage, const void *from, ptrdiff_t n, void *to) {
    if (storage == SMX_FLOAT16)
        from_half_stored(SMX_FLOAT16, from, n, to);
    else
        from_half_stored(SMX_BFLOAT16, from, n, to);
}

static void to_half(enum smx_storage storage, const void *from, ptrdiff_t n, void *to) {
    if (storage == SMX_FLOAT16)
        to_half_stored(SMX_FLOAT16, from, n, to);
    else
        to_half_stored(SMX_BFLOAT16, from, n, to);
}

#endif

/* ---- masks ----------------------------------------------------------------------------------------------------------

   Hidden elements are replaced on their way into a block, and in the results. A hidden element is moved but never
   computed with, so a NaN there does no harm. */

/* Contiguous elements whose mask bytes are contiguous, too. */
SMX_INLINE void apply_mask_bytes(const real *from, const unsigned char *mask, ptrdiff_t n, vec fill, real *to) {
    ptrdiff_t i = 0;
    for (; i + LANES <= n; i += LANES)
        v_store(to + i, v_select_bytes(mask + i, LANES, v_load(from + i), fill));
    if (i < n)
        v_store_first(to + i, n - i, v_select_bytes(mask + i, n - i, v_load_first(from + i, n - i, fill), fill));
}

/* Contiguous elements that share one byte of the mask. */
SMX_INLINE void apply_mask_byte(const real *from, unsigned char mask, ptrdiff_t n, vec fill, real *to) {
    if (mask && from == to && n > 4 * LANES)
        return;
    ptrdiff_t i = 0;
    for (; i + LANES <= n; i += LANES)
        v_store(to + i, visible_or(mask, v_load(from + i), fill));
    if (i < n)
        v_store_first(to + i, n - i, visible_or(mask, v_load_first(from + i, n - i, fill), fill));
}

static void apply_mask(const smx_view *from, const smx_view *mask, int rows, ptrdiff_t n, double value,
                       const smx_view *to) {
    const vec fill = v_set1((real)value);
    const int by_rows = from->element_stride == 1 && to->element_stride == 1 &&
                        (mask->element_stride == 0 || mask->element_stride == 1);
    const int by_columns =
        from->row_stride == 1 && to->row_stride == 1 && (mask->row_stride == 0 || mask->row_stride == 1);
    const real *x = from->start;
    const unsigned char *bytes = mask->start;
    real *y = to->start;
    if (!by_rows && !by_columns) {
        for (ptrdiff_t j = 0; j < n; j++)
            for (ptrdiff_t row = 0; row < rows; row++)
                y[row * to->row_stride + j * to->element_stride] =
                    bytes[row * mask->row_stride + j * mask->element_stride]
                        ? x[row * from->row_stride + j * from->element_stride]
                        : (real)value;
        return;
    }
    ptrdiff_t chunks = by_rows ? rows : n, chunk = by_rows ? n : rows;
    const ptrdiff_t from_step = by_rows ? from->row_stride : from->element_stride,
                    to_step = by_rows ? to->row_stride : to->element_stride;
    const ptrdiff_t mask_step = by_rows ? mask->row_stride : mask->element_stride,
                    byte_step = by_rows ? mask->element_stride : mask->row_stride;
    if (byte_step == 1 && from_step == chunk && to_step == chunk && mask_step == chunk) { /* no remainders in between */
        chunk *= chunks;
        chunks = 1;
    }
    for (ptrdiff_t i = 0; byte_step == 1 && i < chunks; i++)
        apply_mask_bytes(x + i * from_step, bytes + i * mask_step, chunk, fill, y + i * to_step);
    /* Two loops with the same body: the compiler drops the inner loop from the one for short chunks. */
    for (ptrdiff_t i = 0; byte_step == 0 && chunk < LANES && i < chunks; i++)
        apply_mask_byte(x + i * from_step, bytes[i * mask_step], chunk, fill, y + i * to_step);
    for (ptrdiff_t i = 0; byte_step == 0 && chunk >= LANES && i < chunks; i++)
        apply_mask_byte(x + i * from_step, bytes[i * mask_step], chunk, fill, y + i * to_step);
}
