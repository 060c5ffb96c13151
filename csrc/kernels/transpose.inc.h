/* Transposition in registers: rows into columns, and the lanes of the sums of several rows. */

/* Sets `at` to element j of LANES rows. The addresses are found by fours, so that they fit into registers. */
SMX_INLINE void find_rows(const real *rows, ptrdiff_t row_stride, ptrdiff_t j, const real **at) {
    for (int four = 0; four < LANES; four += 4) {
        const real *first = rows + four * row_stride + j;
        for (int k = 0; k < 4 && four + k < LANES; k++)
            at[four + k] = first + k * row_stride;
    }
}

/* Transposes a strip of rows of four elements or more. If the strip is not whole, `left` rows are left, and the last of
   them is taken again and again. */
SMX_INLINE void strip_to_columns(const real *rows, ptrdiff_t row_stride, int left, int is_whole, ptrdiff_t n,
                                 real *block, ptrdiff_t element_stride) {
    const real *at[LANES];
    if (!is_whole) {
        find_rows(rows, row_stride, 0, at);
        for (int k = left; k < LANES; k++)
            at[k] = at[k - 1];
    }
    /* The last four elements may include some that have been moved before: moving them again avoids a remainder. */
    for (ptrdiff_t j = 0; j < n; j += 4) {
        const ptrdiff_t here = j + 4 <= n ? j : n - 4;
        vec column[4];
        if (is_whole)
            find_rows(rows, row_stride, here, at);
        v_load_columns(at, is_whole ? 0 : here, column);
        for (int k = 0; k < 4; k++)
            v_store(block + (here + k) * element_stride, column[k]);
    }
}

/* Four elements of LANES rows are transposed at a time, in registers; whole strips have a loop of their own. Packed
   rows of one to three elements are loaded as whole vectors and separated. */
static void rows_to_columns(const void *rows, ptrdiff_t row_stride, int count, ptrdiff_t n, void *block,
                            ptrdiff_t element_stride, int beyond_cache) {
    for (int row = 0; row < count; row += LANES) {
        const real *from = (const real *)rows + row * row_stride;
        real *to = (real *)block + row;
        if (beyond_cache)
            prefetch_rows(from + count * row_stride, row_stride, n);
        if (n >= 4 && row + LANES <= count) {
            strip_to_columns(from, row_stride, LANES, 1, n, to, element_stride);
        } else if (n >= 4) {
            strip_to_columns(from, row_stride, count - row, 0, n, to, element_stride);
        } else if (row + LANES <= count && row_stride == n) {
            vec column[4];
            if (n == 1)
                column[0] = v_load(from);
            else if (n == 2)
                v_load_pairs(from, column);
            else
                v_load_triples(from, column);
            for (int k = 0; k < n; k++)
                v_store(to + k * element_stride, column[k]);
        } else {
            for (ptrdiff_t j = 0; j < n; j++)
                for (int k = 0; k < LANES; k++)
                    to[j * element_stride + k] = row + k < count ? from[k * row_stride + j] : 0;
        }
    }
}

/* ---- rows of different lengths ---------------------------------------------------------------------------------- */

/* A strip is LANES rows, of which the last is taken again where there are no more. Most strips have rows of one length.
   The last four elements of such rows may include some that have been moved before. */
SMX_INLINE int is_even_strip(const uint8_t *length, int rows) {
    return length[0] == length[rows - 1] && length[0] >= 4;
}

SMX_INLINE void even_strip_to_columns(const real *const *at, ptrdiff_t n, real *to, ptrdiff_t element_stride) {
    for (ptrdiff_t j = 0; j < n; j += 4) {
        const ptrdiff_t here = j + 4 <= n ? j : n - 4;
        vec column[4];
        v_load_columns(at, here, column);
        for (int k = 0; k < 4; k++)
            v_store(to + (here + k) * element_stride, column[k]);
    }
}

/* Four elements of each row are loaded at a time, also beyond the end of a row. Elements there belong to another row
   and are replaced. */
SMX_INLINE void uneven_strip_to_columns(const real *const *at, const uint8_t *length, int rows, vec filler, real *to,
                                        ptrdiff_t element_stride) {
    const ptrdiff_t longest = length[0], shortest = length[rows - 1];
    real lengths[LANES];
    vec column[4];
    ptrdiff_t j = 0;
    for (int k = 0; k < LANES; k++)
        lengths[k] = length[k];
    for (; j + 4 <= shortest; j += 4) {
        v_load_columns(at, j, column);
        for (int k = 0; k < 4; k++)
            v_store(to + (j + k) * element_stride, column[k]);
    }
    for (; j < longest; j += 4) {
        v_load_columns(at, j, column);
        for (int k = 0; k < 4; k++)
            v_store(to + (j + k) * element_stride,
                    v_select_le(v_set1((real)(j + k + 1)), v_load(lengths), column[k], filler));
    }
}

/* Rows at the very end of the array are copied first, so that nothing beyond the array is read. Lanes up to the next
   multiple of SUMS repeat the last row: kernels read them. */
static void segments_to_columns(const void *array, ptrdiff_t end, const ptrdiff_t *start, const uint8_t *length,
                                int count, ptrdiff_t n, double fill, void *block, ptrdiff_t element_stride) {
    const vec filler = v_set1((real)fill);
    for (int row = 0; row < count || row % SUMS != 0; row += LANES) {
        const int first = row < count ? row : count - 1, rows = row + LANES <= count ? LANES : count - first;
        const int is_even = is_even_strip(length + first, rows);
        const ptrdiff_t longest = length[first];
        const real *at[LANES];
        real spare[LANES][SMX_SHORT];
        real *to = (real *)block + row;
        for (int k = 0; k < LANES; k++) {
            const int from = first + (k < rows ? k : rows - 1);
            at[k] = (const real *)array + start[from];
            if (!is_even && start[from] + longest + 3 >= end) {
                memcpy(spare[k], at[k], length[from] * sizeof(real));
                memset(spare[k] + length[from], 0, (SMX_SHORT - length[from]) * sizeof(real));
                at[k] = spare[k];
            }
        }
        if (is_even)
            even_strip_to_columns(at, longest, to, element_stride);
        else
            uneven_strip_to_columns(at, length + first, rows, filler, to, element_stride);
        for (ptrdiff_t j = is_even ? longest : (longest + 3) / 4 * 4; j < n; j++)
            v_store(to + j * element_stride, filler);
    }
}

SMX_INLINE void load_four_columns(const real *from, ptrdiff_t element_stride, vec *column) {
    for (int k = 0; k < 4; k++)
        column[k] = v_load(from + k * element_stride);
}

/* The last one to three elements of rows of different lengths, or of fewer than four elements, take a way through other
   memory, as nothing beyond them may be written. */
static void columns_to_segments(const void *block, ptrdiff_t element_stride, void *array, const ptrdiff_t *start,
                                const uint8_t *length, int count) {
    for (int row = 0; row < count; row += LANES) {
        const int rows = count - row < LANES ? count - row : LANES, is_even = is_even_strip(length + row, rows);
        const ptrdiff_t longest = length[row], shortest = length[row + rows - 1];
        const real *from = (const real *)block + row;
        real *at[LANES], *to[LANES], beyond[SMX_SHORT], spare[LANES][4];
        vec column[4];
        for (int k = 0; k < LANES; k++)
            at[k] = k < rows ? (real *)array + start[row + k] : beyond;
        ptrdiff_t j = 0;
        for (; is_even ? j < longest : j + 4 <= shortest; j += 4) {
            const ptrdiff_t here = j + 4 <= longest ? j : longest - 4;
            load_four_columns(from + here * element_stride, element_stride, column);
            v_store_columns(at, here, column);
        }
        for (; j < longest; j += 4) {
            load_four_columns(from + j * element_stride, element_stride, column);
            for (int k = 0; k < LANES; k++)
                to[k] = k < rows && length[row + k] - j >= 4 ? at[k] + j : spare[k];
            v_store_columns(to, 0, column);
            for (int k = 0; k < rows; k++)
                for (ptrdiff_t i = j; to[k] == spare[k] && i < length[row + k]; i++)
                    at[k][i] = spare[k][i - j];
        }
    }
}

/* The lanes of the sum of each row. Adding up the lanes of one row is a chain of dependent operations, during which
   first half of the lanes idle, then three quarters. So from some number of rows on, the lanes of all rows are
   transposed and added up together. */
typedef real lanes_of_rows[SMX_ROWS_AT_ONCE][LANES];
#define ADDS_AT_ONCE(rows) (LANES >= 4 && 2 * (rows) >= LANES)

/* lane[i] becomes number i of LANES rows, from `row` on; the last row is taken again and again where fewer are left. */
SMX_INLINE void transpose_lanes(lanes_of_rows lanes, int row, int rows, vec *lane) {
    const real *at[LANES];
    for (int k = 0; k < LANES; k++)
        at[k] = lanes[row + k < rows ? row + k : rows - 1];
    for (int i = 0; i + 4 <= LANES; i += 4)
        v_load_columns(at, i, lane + i);
}

/* Adds up the lanes of each row's sum, and stores the sums as numbers k and k + 1 of the partial. roots: NULL, or a
   number for each row, by whose square its sum is multiplied. All operations share the code, which runs once a tile. */
SMX_APART void put_sums_of_lanes(lanes_of_rows high_lanes, lanes_of_rows low_lanes, int rows, const real *roots,
                                 real *partial, int k) {
    const vec one = v_set1(1);
    if (!ADDS_AT_ONCE(rows)) {
        vec high = one, low = one;
        for (int row = 0; row < rows; row++) {
            const pair lanes = pair_of(v_load(high_lanes[row]), v_load(low_lanes[row]));
            const pair sum = pair_times_square(sum_lanes(lanes), roots ? v_set1(roots[row]) : one);
            put_row(partial, k, rows, row, &high, sum.high);
            put_row(partial, k + 1, rows, row, &low, sum.low);
        }
        return;
    }
    for (int row = 0; row < rows; row += LANES) {
        pair sum[LANES];
        vec high_lane[LANES], low_lane[LANES];
        transpose_lanes(high_lanes, row, rows, high_lane);
        transpose_lanes(low_lanes, row, rows, low_lane);
        for (int i = 0; i < LANES; i++)
            sum[i] = pair_of(high_lane[i], low_lane[i]);
        ADD_PAIRWISE(sum_add_sum, sum, LANES);
        store_pair(partial, k, rows, row, pair_times_square(sum[0], roots ? v_load(roots + row) : one));
    }
}
