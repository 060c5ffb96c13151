/* Prefetches: loops ask early for what the next step, row or tile needs. No result depends on them. */

/* Prefetches memory, mostly what the next tile is likely to read and write, if that is beyond the cache. The processor
   foresees what comes next in memory, but not across the work of a whole tile, nor from one line of a block to the
   next. The prefetch goes to the second-level cache: the first level can wait for few cache lines at once (24 of 64
   bytes on Zen 4, some 10 GB/s), and has no room for another tile. */
SMX_INLINE void prefetch(const void *from, ptrdiff_t bytes) {
    for (ptrdiff_t i = 0; i < bytes; i += SMX_CACHE_LINE)
        SMX_PREFETCH((const char *)from + i);
}

/* Where a row of input k is in the next piece or tile; NULL if it need not be prefetched. */
SMX_INLINE const real *next_row(const smx_tile *tile, int k, ptrdiff_t row) {
    return tile->next[k].start ? row_of(&tile->next[k], row) : NULL;
}

/* Where a strip of COLUMNS is in the next piece or tile, if the array lies in columns, too. Rows that are transposed
   into a block are prefetched by the transposition. */
SMX_INLINE const real *next_strip(const smx_tile *tile, int k, ptrdiff_t row) {
    return tile->next[k].row_stride == 1 ? next_row(tile, k, row) : NULL;
}
/* Where the results of the row go, if they are worth prefetching: they are written soon, not past the cache, and not
   over the input. */
SMX_INLINE const real *out_row_to_prefetch(const smx_tile *tile, ptrdiff_t row) {
    const int beyond_cache =
        tile->next[0].start && tile->out.start && !tile->stream && tile->out.start != tile->in[0].start;
    return beyond_cache && tile->n == tile->row_length ? row_of(&tile->out, row) : NULL;
}
/* Where the results of a strip of short COLUMNS go, if they are worth prefetching. The processor foresees long columns
   by itself. */
SMX_INLINE const real *out_strip_to_prefetch(const smx_tile *tile, ptrdiff_t row) {
    return is_short(tile) && next_strip(tile, 0, row) ? out_row_to_prefetch(tile, row) : NULL;
}

/* Prefetches a strip's part of `count` lines, and returns the next line. There is one pointer, which moves on: with
   several pointers, the loops would run out of registers. */
SMX_INLINE const real *prefetch_lines(const real *line, ptrdiff_t stride, int count) {
    for (int k = 0; line && k < count; k++, line += stride)
        SMX_PREFETCH(line + LANES - 1);
    return line;
}

/* Prefetches as many rows as a strip has. */
SMX_INLINE void prefetch_rows(const real *rows, ptrdiff_t row_stride, ptrdiff_t n) {
    const ptrdiff_t size = sizeof(real);
    if (row_stride < 2 * n)
        prefetch(rows, LANES * row_stride * size);
    else
        for (int k = 0; k < LANES; k++)
            prefetch(rows + k * row_stride, n * size);
}
