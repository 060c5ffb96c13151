/* The loops of a derivative's reduce: for each row they find a sum of products, or of gradients. */

/* ---- ROWS ------------------------------------------------------------------------------------------------------- */

/* The sum of a long row of n elements, in lanes: the first result of ADD_PAIRWISE_SUMS. out: where the row's results
   go, if they are to be prefetched. */
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
        s[k] = derivative_sum_add(s[k], y_of, g_of, count, largest, what, 0, storage == SMX_FLOAT16);                  \
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
    const int rows = tile->rows;
    const ptrdiff_t size = size_of(storage);
    const vec largest = largest_of_exp(tile->temperature);
#if REAL_BITS == 32
    vec high = v_set1(0), low = high;
#else
    lanes_of_rows high, low;
#endif
    for (int row = 0; row < rows; row++) {
        const char *y = (const char *)tile->in[0].start + row * tile->in[0].row_stride * size;
        const char *g = (const char *)tile->in[1].start + row * tile->in[1].row_stride * size;
        const real *out = is_plain(storage, masking) ? out_row_to_prefetch(tile, row) : NULL;
        const derivative_sum s = lanes_of_row(y, g, mask_of(tile, row), tile->n, out, tile->next[0].start != NULL,
                                              largest, storage, masking, what);
#if REAL_BITS == 32
        const pair total = derivative_sum_lanes(s);
        put_row(partial, 0, rows, row, &high, total.high);
        put_row(partial, 1, rows, row, &low, total.low);
#else
        v_store(high[row], s.high);
        v_store(low[row], s.low);
#endif
    }
#if REAL_BITS == 64
    put_sums_of_lanes(high, low, rows, NULL, partial, 0);
#endif
}

/* ---- COLUMNS ---------------------------------------------------------------------------------------------------- */

/* Strips and groups of which nothing is missing have loops of their own. log_softmax_jvp does without, as it is for
   double backward alone. */
#define HAS_WHOLE_LOOPS (is_plain(storage, masking) && what != EXP_PRODUCT)

SMX_INLINE void sum_reduce_strip(const smx_tile *tile, real *partial, int row, ptrdiff_t left, int is_short_row,
                                 enum smx_storage storage, enum masking masking, enum summand what) {
    const ptrdiff_t n = tile->n, size = size_of(storage);
    const vec largest = largest_of_exp(tile->temperature);
    const int sum_count = SUM_COUNT(what, is_short_row), is_whole = left >= LANES && is_plain(storage, masking);
    const int at_once = SUM_GROUP(what, is_short_row);
    const ptrdiff_t group = sum_count * at_once;
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
/* Loads `count` elements of partial sum i, the first of which is element `first`. What is not there, is 0. */
#define LOAD_GROUP(count, are_all_there)                                                                               \
    for (int m = 0; m < (count); m++) {                                                                                \
        const ptrdiff_t at = first + m * sum_count;                                                                    \
        y_of[m] = g_of[m] = v_set1(0);                                                                                 \
        if (!(are_all_there) && at >= n)                                                                               \
            continue;                                                                                                  \
        PREFETCH(at);                                                                                                  \
        if (what != GRADIENT)                                                                                          \
            y_of[m] = VISIBLE(y, at);                                                                                  \
        g_of[m] = VISIBLE(g, at);                                                                                      \
    }
#define ADD_GROUP(count, are_all_there)                                                                                \
    {                                                                                                                  \
        LOAD_GROUP(count, are_all_there)                                                                               \
        s[i] = derivative_sum_add(s[i], y_of, g_of, count, largest, what, is_short_row, 0);                            \
    }
    if (HAS_CHAINS(what, is_short_row) && n <= SMX_FEW) {
        vec product[SMX_FEW];
        for (int i = 0; i < SMX_FEW; i++) {
            const ptrdiff_t first = i;
            product[i] = v_set1(0);
            if (i < n) {
                LOAD_GROUP(1, 1)
                product[i] = chain_of_scaled(y_of, g_of, 1);
            }
        }
        ADD_PAIRWISE(v_add, product, SMX_FEW);
        store_pair(partial, 0, tile->rows, row, pair_of(product[0], v_set1(0)));
        return;
    }
    for (ptrdiff_t j = 0; j < n; j += group)
        for (int i = 0; i < sum_count && j + i < n; i++) {
            const ptrdiff_t first = j + i;
            const int is_whole_group = HAS_WHOLE_LOOPS && first + (at_once - 1) * sum_count < n;
            if (at_once == CHAIN && is_whole_group)
                ADD_GROUP(CHAIN, 1)
            else if (at_once == CHAIN)
                ADD_GROUP(CHAIN, 0)
            else if (is_whole_group)
                ADD_GROUP(4, 1)
            else
                ADD_GROUP(4, 0)
        }
#undef ADD_GROUP
#undef LOAD_GROUP
#undef VISIBLE
#undef PREFETCH
    ADD_PAIRWISE_SUMS(s, sum_count);
    store_pair(partial, 0, tile->rows, row, derivative_sum_end(s[0]));
}

SMX_INLINE void sum_reduce_columns(const smx_tile *tile, real *partial, int is_short_row, enum smx_storage storage,
                                   enum masking masking, enum summand what) {
    int row = 0;
    for (; HAS_WHOLE_LOOPS && row + LANES <= tile->rows; row += LANES)
        sum_reduce_strip(tile, partial, row, LANES, is_short_row, storage, masking, what);
    for (; row < tile->rows; row += LANES)
        sum_reduce_strip(tile, partial, row, tile->rows - row, is_short_row, storage, masking, what);
}

/* ---- short rows that follow one another ------------------------------------------------------------------------- */

/* The sums of gradients of LANES packed rows, transposed in registers. */
SMX_INLINE derivative_sum gradients_of_strip(const real *g, ptrdiff_t n) {
    derivative_sum s = derivative_sum_begin();
    vec column[4];
#define ADD_COLUMNS(from, count) derivative_sum_add(s, NULL, column + (from), count, v_set1(0), GRADIENT, 1, 0)
    if (n == 1) {
        column[0] = v_load(g);
        return ADD_COLUMNS(0, 1);
    }
    if (n == 2) {
        v_load_pairs(g, column);
        return ADD_COLUMNS(0, 2);
    }
    if (n == 3) {
        v_load_triples(g, column);
        return ADD_COLUMNS(0, 3);
    }
    const real *at[LANES];
    ptrdiff_t j = 0;
    for (; j + 4 <= n; j += 4) {
        find_rows(g, n, j, at);
        v_load_columns(at, 0, column);
        s = ADD_COLUMNS(0, 4);
    }
    if (j == n)
        return s;
    /* The last four columns, of which the first have been added. */
    find_rows(g, n, n - 4, at);
    v_load_columns(at, 0, column);
    return n - j == 1 ? ADD_COLUMNS(3, 1) : n - j == 2 ? ADD_COLUMNS(2, 2) : ADD_COLUMNS(1, 3);
#undef ADD_COLUMNS
}

/* The sums of gradients of LANES packed rows, of which `left` are there. */
SMX_INLINE pair sums_of_gradients(const real *g, ptrdiff_t n, int left) {
    if (left >= LANES)
        return derivative_sum_end(gradients_of_strip(g, n));
    const int rows = left < LANES ? left : LANES;
    real block[SMX_SHORT * LANES];
    vec g_of[IN_STEP];
    derivative_sum s = derivative_sum_begin();
    rows_to_columns(g, n, rows, n, block, LANES, 0);
    for (ptrdiff_t j = 0; j < n; j += 4) {
        for (int m = 0; m < 4; m++)
            g_of[m] = j + m < n ? v_load(block + (j + m) * LANES) : v_set1(0);
        s = derivative_sum_add(s, NULL, g_of, 4, v_set1(0), GRADIENT, 1, 0);
    }
    return derivative_sum_end(s);
}

/* The fours of LANES rows, transposed: sum[i] becomes partial sum i of each row. */
typedef real fours_of_rows[LANES][4];
SMX_INLINE void columns_of_fours(fours_of_rows fours, vec *sum) {
    const real *at[LANES];
    for (int k = 0; k < LANES; k++)
        at[k] = fours[k];
    v_load_columns(at, 0, sum);
}

/* The sums of products of LANES packed rows; where fewer rows are left, the last row is taken again and again. A row
   has `groups` chains of 4 CHAIN elements, then one of so many whole fours and 1 to 4 elements more. Short rows have
   loops of their own, in which the compiler knows these numbers. */
SMX_INLINE pair sums_of_products_with(const real *y, const real *g, ptrdiff_t n, int left, int is_few, ptrdiff_t groups,
                                      ptrdiff_t fours) {
    const ptrdiff_t last = n - 4 * CHAIN * groups - 4 * fours;
    fours_of_rows high, low;
    vec chain[4];
#if REAL_BITS == 32
    quad s[LANES];
#endif
    for (int k = 0; k < LANES; k++) {
        quad sum;
        if (groups > 0) {
            sum = v_quad_of(chain_of_fours(y, g, CHAIN - 1, 4));
            for (ptrdiff_t i = 1; i < groups; i++)
                sum = v_quad_add(sum, chain_of_fours(y + 4 * CHAIN * i, g + 4 * CHAIN * i, CHAIN - 1, 4));
        }
        const four rest = chain_of_fours(y + 4 * CHAIN * groups, g + 4 * CHAIN * groups, fours, last);
        if (groups > 0)
            sum = v_quad_add(sum, rest);
        else
            sum = v_quad_of(rest);
        if (is_few)
            v_four_store(high[k], rest);
#if REAL_BITS == 32
        s[k] = sum;
#else
        else {
            v_four_store(high[k], sum.high);
            if (groups > 0)
                v_four_store(low[k], sum.low);
        }
#endif
        const ptrdiff_t step = k + 1 < left ? n : 0;
        y += step;
        g += step;
    }
    if (is_few) {
        columns_of_fours(high, chain);
        ADD_PAIRWISE(v_add, chain, 4);
        return pair_of(chain[0], v_set1(0));
    }
#if REAL_BITS == 32
    (void)low;
    return derivative_sum_end(v_wide_of_quads(s));
#else
    vec chain_low[4] = {v_set1(0), v_set1(0), v_set1(0), v_set1(0)};
    pair total[4];
    columns_of_fours(high, chain);
    if (groups > 0)
        columns_of_fours(low, chain_low);
    for (int k = 0; k < 4; k++)
        total[k] = pair_of(chain[k], chain_low[k]);
    ADD_PAIRWISE(sum_add_sum, total, 4);
    return total[0];
#endif
}
/* The same for rows of one to three elements: LANES of them fill as many vectors, and their products are separated. */
SMX_INLINE pair products_of_vectors(const real *y, const real *g, int n) {
    real product[3 * LANES];
    vec column[3];
    for (int i = 0; i < n; i++) {
        const vec y_of = v_load(y + i * LANES), g_of = v_load(g + i * LANES);
        column[i] = chain_of_scaled(&y_of, &g_of, 1);
        v_store(product + i * LANES, column[i]);
    }
    if (n == 2)
        v_load_pairs(product, column);
    else if (n == 3)
        v_load_triples(product, column);
    const vec zero = v_set1(0), even = v_add(column[0], n == 3 ? column[2] : zero);
    return pair_of(v_add(even, v_add(n > 1 ? column[1] : zero, zero)), zero);
}

SMX_INLINE pair sums_of_products(const real *y, const real *g, ptrdiff_t n, int left) {
    if (n <= 3 && left >= LANES)
        return n == 1   ? products_of_vectors(y, g, 1)
               : n == 2 ? products_of_vectors(y, g, 2)
                        : products_of_vectors(y, g, 3);
    if (n <= SMX_FEW)
        return sums_of_products_with(y, g, n, left, 1, 0, 0);
    if (n <= 8)
        return sums_of_products_with(y, g, n, left, 0, 0, 1);
    if (n <= 4 * CHAIN)
        return sums_of_products_with(y, g, n, left, 0, 0, 2);
    const ptrdiff_t groups = (n - 1) / (4 * CHAIN), fours = (n - 1) / 4 % CHAIN;
    switch (fours) {
    case 0:
        return sums_of_products_with(y, g, n, left, 0, groups, 0);
    case 1:
        return sums_of_products_with(y, g, n, left, 0, groups, 1);
    default:
        return sums_of_products_with(y, g, n, left, 0, groups, 2);
    }
}

/* The sums of LANES packed rows of up to SMX_SHORT elements, of which `left` are there. */
SMX_INLINE pair sums_of_packed(const real *y, const real *g, ptrdiff_t n, int left, enum summand what) {
    return what == PRODUCT ? sums_of_products(y, g, n, left) : sums_of_gradients(g, n, left);
}
SMX_INLINE void sum_reduce_packed(const smx_tile *tile, real *partial, enum summand what) {
    for (int row = 0; row < tile->rows; row += LANES) {
        const real *y = row_of(&tile->in[0], row), *g = row_of(&tile->in[1], row);
        for (int k = 0; k < 2; k++)
            if (tile->next[k].start)
                prefetch(next_row(tile, k, row), LANES * tile->n * (ptrdiff_t)sizeof(real));
        store_pair(partial, 0, tile->rows, row, sums_of_packed(y, g, tile->n, tile->rows - row, what));
    }
}
