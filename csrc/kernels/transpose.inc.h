/* Transposition in registers: rows into columns, and the lanes of the sums of several rows. */

/* Where elements from j on of LANES rows stand, that are so far apart: by fours, whose addresses fit into registers. */
SMX_INLINE void find_rows(const real *rows, ptrdiff_t row, ptrdiff_t j, const real **at) {
    for (int four = 0; four < LANES; four += 4) {
        const real *first = rows + four * row + j;
        for (int k = 0; k < 4 && four + k < LANES; k++)
            at[four + k] = first + k * row;
    }
}

/* Of four elements or more of LANES rows, or of so many that are left: then the last of them is taken again and again. */
SMX_INLINE void strip_to_columns(const real *rows, ptrdiff_t row, int left, int is_whole, ptrdiff_t n, real *block,
                                 ptrdiff_t element) {
    const real *at[LANES];
    if (!is_whole) {
        find_rows(rows, row, 0, at);
        for (int k = left; k < LANES; k++)
            at[k] = at[k - 1];
    }
    /* Of the last four some may have been moved before: moving them again spares a remainder. */
    for (ptrdiff_t j = 0; j < n; j += 4) {
        const ptrdiff_t here = j + 4 <= n ? j : n - 4;
        vec column[4];
        if (is_whole)
            find_rows(rows, row, here, at);
        v_load_columns(at, is_whole ? 0 : here, column);
        for (int k = 0; k < 4; k++)
            v_store(block + (here + k) * element, column[k]);
    }
}

/* Four elements of LANES rows at a time, transposed in registers, by a loop of its own for whole strips. Rows of two or three
   that follow one another are taken apart as a whole. */
static void rows_to_columns(const void *rows, ptrdiff_t row, int width, ptrdiff_t n, void *block, ptrdiff_t element,
                            int beyond_cache) {
    for (int first = 0; first < width; first += LANES) {
        const real *from = (const real *)rows + first * row;
        real *to = (real *)block + first;
        if (beyond_cache)
            ask_for_rows(from + width * row, row, n);
        if (n >= 4 && first + LANES <= width) {
            strip_to_columns(from, row, LANES, 1, n, to, element);
        } else if (n >= 4) {
            strip_to_columns(from, row, width - first, 0, n, to, element);
        } else if (first + LANES <= width && row == n) {
            vec column[4];
            if (n == 1)
                column[0] = v_load(from);
            else if (n == 2)
                v_load_pairs(from, column);
            else
                v_load_triples(from, column);
            for (int k = 0; k < n; k++)
                v_store(to + k * element, column[k]);
        } else {
            for (ptrdiff_t j = 0; j < n; j++)
                for (int k = 0; k < LANES; k++)
                    to[j * element + k] = first + k < width ? from[k * row + j] : 0;
        }
    }
}

/* The lanes of each row's sum. Added up row by row they are a chain of dependent operations each, and half of the lanes
   idle, then three quarters: so from some rows on, those of all rows are added up at once, transposed. */
typedef real lanes_of_rows[SMX_ROWS_AT_ONCE][LANES];
#define ADDS_AT_ONCE(rows) (LANES >= 4 && 2 * (rows) >= LANES)

/* lane[i]: number i of LANES rows from row on, the last again and again where fewer are left. */
SMX_INLINE void transpose_lanes(lanes_of_rows of, int row, int width, vec *lane) {
    const real *at[LANES];
    for (int k = 0; k < LANES; k++)
        at[k] = of[row + k < width ? row + k : width - 1];
    for (int i = 0; i + 4 <= LANES; i += 4)
        v_load_columns(at, i, lane + i);
}
