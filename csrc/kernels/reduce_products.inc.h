/* The loops of a derivative's reduce: for each row they find a sum of products, or of gradients. */

SMX_INLINE void store_long_sum(real *partial, int rows, int row, long_sum s) {
    v_store(partial + partial_at(0, rows, row), s.high);
    v_store(partial + partial_at(1, rows, row), s.low);
    v_store(partial + partial_at(2, rows, row), s.lowest);
}
SMX_INLINE long_sum read_long_sum(const real *partial, int rows, int row) {
    return long_sum_of(read_sum(partial, 0, rows, row), v_load(partial + partial_at(2, rows, row)));
}

/* ---- ROWS ------------------------------------------------------------------------------------------------------- */

SMX_INLINE void sum_reduce_rows(const smx_tile *tile, real *partial, enum smx_storage storage, enum masking masking,
                                enum summand what) {
    const int rows = tile->rows, at_once = SUMS_IN_PARTS(what) && ADDS_AT_ONCE(rows);
    const ptrdiff_t n = tile->n, size = size_of(storage);
    lanes_of_rows high_lanes, low_lanes, lowest_lanes;
    vec high = v_set1(0), low = high, lowest = high;
    for (int row = 0; row < rows; row++) {
        const char *y = (const char *)tile->in[0].start + row * tile->in[0].row_stride * size;
        const char *g = (const char *)tile->in[1].start + row * tile->in[1].row_stride * size;
        const unsigned char *mask = mask_of(tile, row);
        const real *out = is_plain(storage, masking) ? out_row_to_prefetch(tile, row) : NULL;
        derivative_sum s[GROUPS];
        for (int k = 0; k < GROUPS; k++)
            s[k] = derivative_sum_begin();
#define VISIBLE(x, at, left) load_visible(x + (at) * size, mask_at(mask, at, masking), left, storage, masking)
        ptrdiff_t i = 0;
        for (; i + SUMS <= n; i += SUMS) {
            if (what == GRADIENT && tile->next[0].start) /* the arguments of the exponentials, which only write reads */
                prefetch(y + i * size, SUMS * size);
            if (out)
                prefetch(out + i, SUMS * size);
            for (int k = 0; k < GROUPS; k++)
                if (is_plain(storage, masking))
                    s[k] = derivative_sum_add_at(s[k], (const real *)y + i + k * LANES, (const real *)g + i + k * LANES,
                                                 what);
                else
                    s[k] = derivative_sum_add(s[k], VISIBLE(y, i + k * LANES, LANES), VISIBLE(g, i + k * LANES, LANES),
                                              what);
        }
        for (int k = 0; k < GROUPS && i < n; i += LANES, k++) /* the bound GROUPS keeps the sums in registers */
            s[k] = derivative_sum_add(s[k], VISIBLE(y, i, n - i), VISIBLE(g, i, n - i), what);
#undef VISIBLE
        ADD_PAIRWISE(ADD_DERIVATIVE_SUMS, s, GROUPS);
        if (at_once) {
            const long_sum lanes = derivative_sum_end(s[0], what);
            v_store(high_lanes[row], lanes.high);
            v_store(low_lanes[row], lanes.low);
            v_store(lowest_lanes[row], lanes.lowest);
            continue;
        }
        const long_sum total = derivative_sum_lanes(s[0], what);
        put_row(partial, 0, rows, row, &high, total.high);
        put_row(partial, 1, rows, row, &low, total.low);
        put_row(partial, 2, rows, row, &lowest, total.lowest);
    }
    for (int row = 0; at_once && row < rows; row += LANES) {
        derivative_sum sum[LANES];
        vec high_lane[LANES], low_lane[LANES], lowest_lane[LANES];
        transpose_lanes(high_lanes, row, rows, high_lane);
        transpose_lanes(low_lanes, row, rows, low_lane);
        transpose_lanes(lowest_lanes, row, rows, lowest_lane);
        for (int i = 0; i < LANES; i++)
            sum[i] = derivative_sum_of_parts(high_lane[i], low_lane[i], lowest_lane[i], what);
        ADD_PAIRWISE(ADD_DERIVATIVE_SUMS, sum, LANES);
        store_long_sum(partial, rows, row, derivative_sum_end(sum[0], what));
    }
}

/* ---- COLUMNS ---------------------------------------------------------------------------------------------------- */

SMX_INLINE void sum_reduce_strip(const smx_tile *tile, real *partial, int row, ptrdiff_t left, int sum_count,
                                 enum smx_storage storage, enum masking masking, enum summand what) {
    const ptrdiff_t n = tile->n, size = size_of(storage);
    const ptrdiff_t y_stride = tile->in[0].element_stride * size, g_stride = tile->in[1].element_stride * size;
    const char *y = (const char *)tile->in[0].start + row * size, *g = (const char *)tile->in[1].start + row * size;
    const real *y_next = next_strip(tile, 0, row), *g_next = next_strip(tile, 1, row);
    const real *out = out_strip_to_prefetch(tile, row);
    const unsigned char *mask = mask_of(tile, row);
    derivative_sum s[SUMS];
    for (int i = 0; i < sum_count; i++)
        s[i] = derivative_sum_begin();
    for (ptrdiff_t j = 0; j < n; j += sum_count)
        for (int i = 0; i < sum_count && j + i < n; i++) {
            const char *y_at = y + (j + i) * y_stride, *g_at = g + (j + i) * g_stride;
            const unsigned char *mask_bytes = mask_at(mask, (j + i) * tile->mask.element_stride, masking);
            if (y_next)
                SMX_PREFETCH(y_next + (j + i) * tile->next[0].element_stride + LANES - 1);
            if (g_next)
                SMX_PREFETCH(g_next + (j + i) * tile->next[1].element_stride + LANES - 1);
            if (out)
                SMX_PREFETCH(out + (j + i) * tile->out.element_stride + LANES - 1);
            if (left >= LANES && is_plain(storage, masking))
                s[i] = derivative_sum_add_at(s[i], (const real *)y_at, (const real *)g_at, what);
            else
                s[i] = derivative_sum_add(s[i], load_visible(y_at, mask_bytes, left, storage, masking),
                                          load_visible(g_at, mask_bytes, left, storage, masking), what);
        }
    ADD_PAIRWISE(ADD_DERIVATIVE_SUMS, s, sum_count);
    store_long_sum(partial, tile->rows, row, derivative_sum_end(s[0], what));
}

SMX_INLINE void sum_reduce_columns(const smx_tile *tile, real *partial, int sum_count, enum smx_storage storage,
                                   enum masking masking, enum summand what) {
    int row = 0;
    for (; is_plain(storage, masking) && row + LANES <= tile->rows; row += LANES)
        sum_reduce_strip(tile, partial, row, LANES, sum_count, storage, masking, what);
    for (; row < tile->rows; row += LANES)
        sum_reduce_strip(tile, partial, row, tile->rows - row, sum_count, storage, masking, what);
}

/* ---- short rows that follow one another ------------------------------------------------------------------------- */

/* Adds columns first to last. The compiler knows their numbers, so they stay in registers. */
SMX_INLINE derivative_sum sum_add_columns(derivative_sum s, const vec *y, const vec *g, int first, int last,
                                          enum summand what) {
    for (int k = first; k <= last; k++)
        s = derivative_sum_add(s, what == GRADIENT ? g[k] : y[k], g[k], what);
    return s;
}

/* The sums of LANES packed rows of n > 1 elements, transposed in registers. */
SMX_INLINE derivative_sum sum_of_strip(const real *y, const real *g, ptrdiff_t n, enum summand what) {
    derivative_sum s = derivative_sum_begin();
    vec y_column[4], g_column[4];
    if (n == 2) {
        v_load_pairs(y, y_column);
        v_load_pairs(g, g_column);
        return sum_add_columns(s, y_column, g_column, 0, 1, what);
    }
    if (n == 3) {
        v_load_triples(y, y_column);
        v_load_triples(g, g_column);
        return sum_add_columns(s, y_column, g_column, 0, 2, what);
    }
#define LOAD_COLUMNS(j)                                                                                                \
    find_rows(y, n, j, y_row);                                                                                         \
    find_rows(g, n, j, g_row);                                                                                         \
    v_load_columns(y_row, 0, y_column);                                                                                \
    v_load_columns(g_row, 0, g_column)
    const real *y_row[LANES], *g_row[LANES];
    ptrdiff_t j = 0;
    for (; j + 4 <= n; j += 4) {
        LOAD_COLUMNS(j);
        s = sum_add_columns(s, y_column, g_column, 0, 3, what);
    }
    if (j == n)
        return s;
    LOAD_COLUMNS(n - 4);
#undef LOAD_COLUMNS
    if (n - j == 1)
        return sum_add_columns(s, y_column, g_column, 3, 3, what);
    if (n - j == 2)
        return sum_add_columns(s, y_column, g_column, 2, 3, what);
    return sum_add_columns(s, y_column, g_column, 1, 3, what);
}

#if REAL_BITS == 32
/* The sums of LANES packed rows of n elements. A register holds the partial sums of one row; where fewer rows are left,
   the last row is taken again and again. A row is a number of quads, and one to four elements more; the compiler knows
   the number of quads of the shortest rows. */
SMX_INLINE product_sum product_sum_of_rows_with(const real *x, const real *y, ptrdiff_t n, int left, ptrdiff_t quads) {
    quad s[LANES];
    for (int k = 0; k < LANES; k++) {
        quad sum = v_quad_zero();
        for (ptrdiff_t i = 0; i < quads; i++)
            sum = v_quad_add_product(sum, x + 4 * i, y + 4 * i);
        s[k] = v_quad_add_product_first(sum, x + 4 * quads, y + 4 * quads, n - 4 * quads);
        const ptrdiff_t step = k + 1 < left ? n : 0;
        x += step;
        y += step;
    }
    return v_wide_of_quads(s);
}
SMX_INLINE product_sum product_sum_of_rows(const real *x, const real *y, ptrdiff_t n, int left) {
    switch ((n - 1) / 4) {
    case 0:
        return product_sum_of_rows_with(x, y, n, left, 0);
    case 1:
        return product_sum_of_rows_with(x, y, n, left, 1);
    case 2:
        return product_sum_of_rows_with(x, y, n, left, 2);
    case 3:
        return product_sum_of_rows_with(x, y, n, left, 3);
    default:
        return product_sum_of_rows_with(x, y, n, left, (n - 1) / 4);
    }
}
#endif

/* Packed rows of up to SMX_SHORT elements. */
SMX_INLINE void sum_reduce_packed(const smx_tile *tile, real *partial, enum summand what) {
    const ptrdiff_t n = tile->n;
    for (int row = 0; row < tile->rows; row += LANES) {
        const real *y = row_of(&tile->in[0], row), *g = row_of(&tile->in[1], row);
        const int left = tile->rows - row;
        derivative_sum s = derivative_sum_begin();
        for (int k = 0; k < 2; k++)
            if (tile->next[k].start)
                prefetch(next_row(tile, k, row), LANES * n * (ptrdiff_t)sizeof(real));
#if REAL_BITS == 32
        if (what == PRODUCT)
            s.products = product_sum_of_rows(y, g, n, left);
        else
#endif
            if (left >= LANES && n > 1)
            s = sum_of_strip(y, g, n, what);
        else {
            const int rows = left < LANES ? left : LANES;
            real y_block[SMX_SHORT * LANES], g_block[SMX_SHORT * LANES];
            if (what != GRADIENT)
                rows_to_columns(y, n, rows, n, y_block, LANES, 0);
            rows_to_columns(g, n, rows, n, g_block, LANES, 0);
            for (ptrdiff_t j = 0; j < n; j++)
                s = derivative_sum_add_at(s, (what == GRADIENT ? g_block : y_block) + j * LANES, g_block + j * LANES,
                                          what);
        }
        store_long_sum(partial, tile->rows, row, derivative_sum_end(s, what));
    }
}
