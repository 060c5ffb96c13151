/* The loops of a derivative's reduce: for each row they find a sum of products, or of gradients. */

/* ---- ROWS ------------------------------------------------------------------------------------------------------- */

/* The sum of a long row of n elements, in lanes: the first result of ADD_PAIRWISE_SUMS. out: where the row's results go,
   if they are to be prefetched. */
SMX_INLINE derivative_sum lanes_of_row(const char *y, const char *g, const unsigned char *mask, ptrdiff_t n,
                                       const real *out, int beyond_cache, vec largest, enum smx_storage storage,
                                       enum masking masking, enum summand what) {
    const ptrdiff_t size = size_of(storage);
    derivative_sum s[GROUPS];
    vec y_of[IN_STEP], g_of[IN_STEP];
    for (int k = 0; k < GROUPS; k++)
        s[k] = derivative_sum_begin();
    ptrdiff_t i = 0;
/* Adds `count` times SUMS elements; `left` elements exist. */
#define VISIBLE(x, at, left)                                                                                           \
    ((left) > 0 ? load_visible(x + (at) * size, mask_at(mask, at, masking), left, storage, masking) : v_set1(0))
#define ADD_GROUPS(count, left)                                                                                        \
    for (int k = 0; k < GROUPS; k++) {                                                                                 \
        for (int m = 0; m < (count); m++) {                                                                            \
            const ptrdiff_t at = m * SUMS + k * LANES, here = m < (count) - 1 ? LANES : (left) - at;                   \
            y_of[m] = what == GRADIENT ? v_set1(0) : VISIBLE(y, i + at, here);                                         \
            g_of[m] = VISIBLE(g, i + at, here);                                                                        \
        }                                                                                                              \
        s[k] = derivative_sum_add(s[k], y_of, g_of, count, largest, what);                                             \
    }
    for (; i + 4 * SUMS <= n; i += 4 * SUMS) {
        if (what == GRADIENT && beyond_cache) /* the arguments of the exponentials, which only write reads */
            prefetch(y + i * size, 4 * SUMS * size);
        if (out)
            prefetch(out + i, 4 * SUMS * (ptrdiff_t)sizeof(real));
        ADD_GROUPS(4, 4 * SUMS)
    }
    const ptrdiff_t left = n - i;
    if (left > 3 * SUMS)
        ADD_GROUPS(4, left)
    else if (left > 2 * SUMS)
        ADD_GROUPS(3, left)
    else if (left > SUMS)
        ADD_GROUPS(2, left)
    else if (left > 0)
        ADD_GROUPS(1, left)
#undef ADD_GROUPS
#undef VISIBLE
    ADD_PAIRWISE_SUMS(s, GROUPS);
    return s[0];
}

/* Long rows. */
SMX_INLINE void sum_reduce_rows(const smx_tile *tile, real *partial, enum smx_storage storage, enum masking masking,
                                enum summand what) {
    const int rows = tile->rows, at_once = REAL_BITS == 64 && ADDS_AT_ONCE(rows);
    const ptrdiff_t size = size_of(storage);
    const vec largest = largest_of_exp(tile->temperature);
    lanes_of_rows high_lanes, low_lanes;
    vec high = v_set1(0), low = high;
    for (int row = 0; row < rows; row++) {
        const char *y = (const char *)tile->in[0].start + row * tile->in[0].row_stride * size;
        const char *g = (const char *)tile->in[1].start + row * tile->in[1].row_stride * size;
        const real *out = is_plain(storage, masking) ? out_row_to_prefetch(tile, row) : NULL;
        const derivative_sum s = lanes_of_row(y, g, mask_of(tile, row), tile->n, out, tile->next[0].start != NULL,
                                              largest, storage, masking, what);
#if REAL_BITS == 64
        if (at_once) {
            v_store(high_lanes[row], s.high);
            v_store(low_lanes[row], s.low);
            continue;
        }
#endif
        const pair total = derivative_sum_lanes(s);
        put_row(partial, 0, rows, row, &high, total.high);
        put_row(partial, 1, rows, row, &low, total.low);
    }
#if REAL_BITS == 64
    for (int row = 0; at_once && row < rows; row += LANES) {
        derivative_sum sum[LANES];
        vec high_lane[LANES], low_lane[LANES];
        transpose_lanes(high_lanes, row, rows, high_lane);
        transpose_lanes(low_lanes, row, rows, low_lane);
        for (int i = 0; i < LANES; i++)
            sum[i] = pair_of(high_lane[i], low_lane[i]);
        ADD_PAIRWISE_SUMS(sum, LANES);
        store_pair(partial, 0, rows, row, derivative_sum_end(sum[0]));
    }
#else
    (void)at_once;
    (void)high_lanes;
    (void)low_lanes;
#endif
}

/* ---- COLUMNS ---------------------------------------------------------------------------------------------------- */

SMX_INLINE void sum_reduce_strip(const smx_tile *tile, real *partial, int row, ptrdiff_t left, int is_short_row,
                                 enum smx_storage storage, enum masking masking, enum summand what) {
    const ptrdiff_t n = tile->n, size = size_of(storage);
    const vec largest = largest_of_exp(tile->temperature);
    const int sum_count = SUM_COUNT(what, is_short_row), is_whole = left >= LANES && is_plain(storage, masking);
    const ptrdiff_t group = sum_count * SUM_GROUP(what, is_short_row);
    const ptrdiff_t y_stride = tile->in[0].element_stride * size, g_stride = tile->in[1].element_stride * size;
    const char *y = (const char *)tile->in[0].start + row * size, *g = (const char *)tile->in[1].start + row * size;
    const real *y_next = next_strip(tile, 0, row), *g_next = next_strip(tile, 1, row);
    const real *out = out_strip_to_prefetch(tile, row);
    const unsigned char *mask = mask_of(tile, row);
    derivative_sum s[SUMS];
    vec y_of[IN_STEP], g_of[IN_STEP];
    for (int i = 0; i < sum_count; i++)
        s[i] = derivative_sum_begin();
#define PREFETCH(j)                                                                                                    \
    if (y_next)                                                                                                        \
        SMX_PREFETCH(y_next + (j) * tile->next[0].element_stride + LANES - 1);                                         \
    if (g_next)                                                                                                        \
        SMX_PREFETCH(g_next + (j) * tile->next[1].element_stride + LANES - 1);                                         \
    if (out)                                                                                                           \
    SMX_PREFETCH(out + (j) * tile->out.element_stride + LANES - 1)
#define VISIBLE(x, j)                                                                                                  \
    (is_whole ? v_load((const real *)(x + (j) * x##_stride))                                                           \
              : load_visible(x + (j) * x##_stride, mask_at(mask, (j) * tile->mask.element_stride, masking), left,      \
                             storage, masking))
/* Adds `count` elements of partial sum i, the first of which is element `first`. */
#define ADD_GROUP(count)                                                                                               \
    {                                                                                                                  \
        for (int m = 0; m < (count); m++) {                                                                            \
            const ptrdiff_t at = first + m * sum_count;                                                                \
            PREFETCH(at);                                                                                              \
            y_of[m] = what == GRADIENT ? v_set1(0) : VISIBLE(y, at);                                                   \
            g_of[m] = VISIBLE(g, at);                                                                                  \
        }                                                                                                              \
        s[i] = derivative_sum_add(s[i], y_of, g_of, count, largest, what);                                             \
    }
    for (ptrdiff_t j = 0; j < n; j += group)
        for (int i = 0; i < sum_count && j + i < n; i++) {
            const ptrdiff_t first = j + i;
#if REAL_BITS == 32
            if (ADDS_ONE_BY_ONE(what, is_short_row)) {
                PREFETCH(first);
                if (is_whole)
                    s[i] = derivative_sum_add_exact_at(s[i], (const real *)(y + first * y_stride),
                                                       (const real *)(g + first * g_stride), largest, what);
                else
                    s[i] = derivative_sum_add_exact(s[i], VISIBLE(y, first), VISIBLE(g, first), largest, what);
                continue;
            }
#endif
            if (first + 3 * sum_count < n)
                ADD_GROUP(4)
            else if (first + 2 * sum_count < n)
                ADD_GROUP(3)
            else if (first + sum_count < n)
                ADD_GROUP(2)
            else
                ADD_GROUP(1)
        }
#undef ADD_GROUP
#undef VISIBLE
#undef PREFETCH
    ADD_PAIRWISE_SUMS(s, sum_count);
    if (ADDS_ONE_BY_ONE(what, is_short_row))
        s[0] = exact_sum_end(s[0], what);
    store_pair(partial, 0, tile->rows, row, derivative_sum_end(s[0]));
}

SMX_INLINE void sum_reduce_columns(const smx_tile *tile, real *partial, int is_short_row, enum smx_storage storage,
                                   enum masking masking, enum summand what) {
    int row = 0;
    for (; is_plain(storage, masking) && row + LANES <= tile->rows; row += LANES)
        sum_reduce_strip(tile, partial, row, LANES, is_short_row, storage, masking, what);
    for (; row < tile->rows; row += LANES)
        sum_reduce_strip(tile, partial, row, tile->rows - row, is_short_row, storage, masking, what);
}

/* ---- short rows that follow one another ------------------------------------------------------------------------- */

/* The sums of LANES packed rows of n > 1 elements, transposed in registers; not of exponentials. */
SMX_INLINE derivative_sum sum_of_strip(const real *y, const real *g, ptrdiff_t n, enum summand what) {
    derivative_sum s = derivative_sum_begin();
    vec y_column[4], g_column[4];
    if (n == 2) {
        v_load_pairs(y, y_column);
        v_load_pairs(g, g_column);
        return derivative_sum_add(s, y_column, g_column, 2, v_set1(0), what);
    }
    if (n == 3) {
        v_load_triples(y, y_column);
        v_load_triples(g, g_column);
        return derivative_sum_add(s, y_column, g_column, 3, v_set1(0), what);
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
        s = derivative_sum_add(s, y_column, g_column, 4, v_set1(0), what);
    }
    if (j == n)
        return s;
    /* The last four columns, of which the first have been added. */
    LOAD_COLUMNS(n - 4);
#undef LOAD_COLUMNS
    if (n - j == 1)
        return derivative_sum_add(s, y_column + 3, g_column + 3, 1, v_set1(0), what);
    if (n - j == 2)
        return derivative_sum_add(s, y_column + 2, g_column + 2, 2, v_set1(0), what);
    return derivative_sum_add(s, y_column + 1, g_column + 1, 3, v_set1(0), what);
}

#if REAL_BITS == 32
/* The sums of LANES packed rows of n elements. A register holds the partial sums of one row; where fewer rows are left,
   the last row is taken again and again. A row is a number of quads, and one to four elements more; the compiler knows
   the number of quads of the shortest rows. */
SMX_INLINE derivative_sum derivative_sum_of_rows_with(const real *x, const real *y, ptrdiff_t n, int left,
                                                      ptrdiff_t quads) {
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
SMX_INLINE derivative_sum derivative_sum_of_rows(const real *x, const real *y, ptrdiff_t n, int left) {
    switch ((n - 1) / 4) {
    case 0:
        return derivative_sum_of_rows_with(x, y, n, left, 0);
    case 1:
        return derivative_sum_of_rows_with(x, y, n, left, 1);
    case 2:
        return derivative_sum_of_rows_with(x, y, n, left, 2);
    case 3:
        return derivative_sum_of_rows_with(x, y, n, left, 3);
    default:
        return derivative_sum_of_rows_with(x, y, n, left, (n - 1) / 4);
    }
}
#endif

/* The sums of LANES packed rows of up to SMX_SHORT elements, of which `left` are there. */
SMX_INLINE derivative_sum sum_of_packed(const real *y, const real *g, ptrdiff_t n, int left, enum summand what) {
#if REAL_BITS == 32
    if (what == PRODUCT)
        return exact_sum_end(derivative_sum_of_rows(y, g, n, left), what);
#endif
    if (left >= LANES && n > 1)
        return sum_of_strip(y, g, n, what);
    const int rows = left < LANES ? left : LANES;
    real y_block[SMX_SHORT * LANES], g_block[SMX_SHORT * LANES];
    vec y_of[IN_STEP], g_of[IN_STEP];
    derivative_sum s = derivative_sum_begin();
    if (what != GRADIENT)
        rows_to_columns(y, n, rows, n, y_block, LANES, 0);
    rows_to_columns(g, n, rows, n, g_block, LANES, 0);
    for (ptrdiff_t j = 0; j < n; j += 4) {
        for (int m = 0; m < 4; m++) {
            g_of[m] = j + m < n ? v_load(g_block + (j + m) * LANES) : v_set1(0);
            y_of[m] = what == GRADIENT || j + m >= n ? v_set1(0) : v_load(y_block + (j + m) * LANES);
        }
        s = derivative_sum_add(s, y_of, g_of, 4, v_set1(0), what);
    }
    return s;
}
SMX_INLINE void prefetch_next_packed(const smx_tile *tile, int row) {
    for (int k = 0; k < 2; k++)
        if (tile->next[k].start)
            prefetch(next_row(tile, k, row), LANES * tile->n * (ptrdiff_t)sizeof(real));
}

SMX_INLINE void sum_reduce_packed(const smx_tile *tile, real *partial, enum summand what) {
    for (int row = 0; row < tile->rows; row += LANES) {
        const real *y = row_of(&tile->in[0], row), *g = row_of(&tile->in[1], row);
        prefetch_next_packed(tile, row);
        const derivative_sum s = sum_of_packed(y, g, tile->n, tile->rows - row, what);
        store_pair(partial, 0, tile->rows, row, derivative_sum_end(s));
    }
}
