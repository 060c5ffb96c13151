/* Prefetches: what the next step, row or tile needs is asked for early. No result depends on them. */

/* The processor foresees what comes next in memory, but not across a tile's work, nor from one line of a block to the next:
   so what the next tile is likely to read and write is asked for, where it is not in the cache anyway. Into the second level:
   the first can wait for few lines at once (24 of 64 bytes on Zen 4, some 10 GB/s), and has no room for another tile. */
SMX_INLINE void ask_for(const void *from, ptrdiff_t bytes) {
    for (ptrdiff_t i = 0; i < bytes; i += SMX_CACHE_LINE)
        SMX_PREFETCH((const char *)from + i);
}

SMX_INLINE const real *next_row(const smx_tile *tile, int k, ptrdiff_t row) {
    return tile->next[k].start ? row_of(&tile->next[k], row) : NULL;
}

/* The same of COLUMNS that lie so in memory, too: rows that are transposed are asked for on that occasion. */
SMX_INLINE const real *next_strip(const smx_tile *tile, int k, ptrdiff_t row) {
    return tile->next[k].row_stride == 1 ? next_row(tile, k, row) : NULL;
}
/* Where the row's own results are to go, if that is worth asking for: if they are written soon, and not there already. */
SMX_INLINE const real *awaited_row(const smx_tile *tile, ptrdiff_t row) {
    const int beyond_cache =
        tile->next[0].start && tile->out.start && !tile->stream && tile->out.start != tile->in[0].start;
    return beyond_cache && tile->n == tile->row_length ? row_of(&tile->out, row) : NULL;
}
/* Of long columns, hardware foresees it. */
SMX_INLINE const real *awaited_strip(const smx_tile *tile, ptrdiff_t row) {
    return is_short(tile) && next_strip(tile, 0, row) ? awaited_row(tile, row) : NULL;
}

/* So many lines' parts of a strip; returns the next line's. One pointer that moves on: of several, the loops' registers
   would run out. */
SMX_INLINE const real *ask_for_lines(const real *line, ptrdiff_t pitch, int count) {
    for (int k = 0; line && k < count; k++, line += pitch)
        SMX_PREFETCH(line + LANES - 1);
    return line;
}

/* So many rows as a strip has. */
SMX_INLINE void ask_for_rows(const real *rows, ptrdiff_t row, ptrdiff_t n) {
    const ptrdiff_t size = sizeof(real);
    if (row < 2 * n)
        ask_for(rows, LANES * row * size);
    else
        for (int k = 0; k < LANES; k++)
            ask_for(rows + k * row, n * size);
}
