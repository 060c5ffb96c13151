/* A tile in memory: how much of it a loop takes at a time, where its rows are, and where the numbers of a partial
   are. */

#define STEP (4 * SUMS) /* elements that a loop over exponentials takes at a time */
#define GROUPS (SUMS / LANES) /* registers that hold the SUMS partial sums of a row */
#define STRIPS IN_STEP /* strips of LANES rows that are written together */
#define CACHE_LINE_STRIPS (GROUPS < STRIPS ? GROUPS : STRIPS) /* strips that fill a cache line */

#ifndef KEEP_IN_REGISTER /* levels with few registers, or with short vectors, let the compiler choose */
#define KEEP_IN_REGISTER(x) ((void)0)
#endif

SMX_INLINE real *row_of(const smx_view *view, ptrdiff_t row) { return (real *)view->start + row * view->row_stride; }

/* True if the rows are short. Short rows have fewer partial sums than long ones. Loops are compiled for each number of
   sums: if there are few, their registers stay in the loop. */
SMX_INLINE int is_short(const smx_tile *tile) { return tile->row_length <= SMX_SHORT; }

/* ---- partials --------------------------------------------------------------------------------------------------- */

/* Where number k of the partials of rows row to row + LANES is. */
SMX_INLINE ptrdiff_t partial_at(int k, int rows, int row) { return k * ((rows + SUMS - 1) / SUMS * SUMS) + row; }

/* The number of each lane, for vectors of up to 16 lanes. */
static const real lane_numbers[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

/* Stores a number of one row, when rows come one after the other: the first lane of value goes into the row's lane of
   all. The lanes above it may be overwritten, because their rows come later. Whole vectors are stored, because they are
   read as such: a vector load of numbers that were stored one by one would wait until every store before it has reached
   the cache, which takes as long as a hundred elements do. */
SMX_INLINE void put_number(real *numbers, int row, vec *all, vec value) {
    *all = v_select_le(v_set1((real)(row % LANES)), v_load(lane_numbers), v_set1(v_first(value)), *all);
    v_store(numbers + row - row % LANES, *all);
}
SMX_INLINE void put_row(real *partial, int k, int rows, int row, vec *all, vec value) {
    put_number(partial + partial_at(k, rows, 0), row, all, value);
}

SMX_INLINE pair read_sum(const real *partial, int k, int rows, int row) {
    return pair_of(v_load(partial + partial_at(k, rows, row)), v_load(partial + partial_at(k + 1, rows, row)));
}
SMX_INLINE void store_pair(real *partial, int k, int rows, int row, pair s) {
    v_store(partial + partial_at(k, rows, row), s.high);
    v_store(partial + partial_at(k + 1, rows, row), s.low);
}
