/* Derivatives of whole rows, from their sums to their results (smx_whole in kernel.h), made of the loops, sums and
   formulas of the other files. */

/* The number of vectors of packed rows that are added up before the first of them is written. A sum ends in a chain of
   operations that wait for one another, and the next sum hides it. What is added up is still in the first-level cache
   when it is written. A long row has sums enough of its own. */
enum { MOST_AT_ONCE = 8, BYTES_AT_ONCE = 16 * 1024 };

SMX_INLINE int whole_rows(const smx_tile *tile, const write_spec *spec, write_mode mode, int packed,
                          enum summand what) {
    const exp_temperature copy = *(const exp_temperature *)tile->temperature, *t = &copy;
    const vec largest = largest_of_exp(t);
    const row_numbers numbers = row_numbers_of(tile->n);
    const ptrdiff_t size = size_of(mode.from);
    const int rows = tile->rows, unit = packed ? LANES : 1;
    const ptrdiff_t fit = BYTES_AT_ONCE / (2 * LANES * tile->n * (ptrdiff_t)sizeof(real));
    const int at_once = packed ? unit * (int)(fit < 1 ? 1 : fit < MOST_AT_ONCE ? fit : MOST_AT_ONCE) : 1;
    for (int first = 0; first < rows; first += at_once) {
        const int end = rows - first < at_once ? rows : first + at_once;
        vec constant[MOST_AT_ONCE];
        int row = first;
        for (; row < end; row += unit) {
            const char *y = (const char *)tile->in[0].start + row * tile->in[0].row_stride * size;
            const char *g = (const char *)tile->in[1].start + row * tile->in[1].row_stride * size;
            pair total;
            if (packed) {
                total = sums_of_packed((const real *)y, (const real *)g, tile->n, rows - row, what);
            } else {
                const real *out = mode.from == SMX_REAL ? out_row_to_prefetch(tile, row) : NULL;
                total = derivative_sum_lanes(lanes_of_row(y, g, NULL, tile->n, out, tile->next[0].start != NULL,
                                                          largest, mode.from, NO_MASK, what));
                total = pair_of(v_set1(v_first(total.high)), v_set1(v_first(total.low)));
            }
            if (!plain_sum(total, what, &constant[(row - first) / unit]))
                break;
        }
        for (int k = first; k < end && k < row; k += unit)
            apply_to_stretch(spec, stretch_of(tile, spec, k, unit, mode, packed), &constant[(k - first) / unit], mode,
                             packed, numbers, t);
        if (row < end)
            return row;
    }
    return rows;
}
SMX_INLINE int whole_reals(const smx_tile *tile, const write_spec *spec, int packed, enum summand what) {
    if (!tile->stream)
        return whole_rows(tile, spec, mode_of(SMX_REAL, SMX_REAL, NO_MASK, 0), packed, what);
    const int done = whole_rows(tile, spec, mode_of(SMX_REAL, SMX_REAL, NO_MASK, 1), packed, what);
    v_stream_end();
    return done;
}
/* Each type of 16 bits has loops of its own: they are little more than loads and stores. */
SMX_INLINE int whole_halves(const smx_tile *tile, const write_spec *spec, enum summand what) {
    if (tile->storage == SMX_FLOAT16)
        return whole_rows(tile, spec, mode_of(SMX_FLOAT16, SMX_FLOAT16, NO_MASK, 0), 0, what);
    return whole_rows(tile, spec, mode_of(SMX_BFLOAT16, SMX_BFLOAT16, NO_MASK, 0), 0, what);
}
#define WHOLE_SPEC(op) {&tile->out, {&tile->in[0], &tile->in[1]}, 2, 1, 1, op##_of}
#define WHOLE_REALS(op, walk, packed, what)                                                                            \
    static int op##_whole_##walk(const smx_tile *tile) {                                                               \
        const write_spec spec = WHOLE_SPEC(op);                                                                        \
        return whole_reals(tile, &spec, packed, what);                                                                 \
    }
/* Long rows: those of reals by the function that is named. */
#if REAL_BITS == 32
#define WHOLE_ROWS(op, reals, what)                                                                                    \
    static int op##_whole_rows(const smx_tile *tile) {                                                                 \
        const write_spec spec = WHOLE_SPEC(op);                                                                        \
        return tile->storage == SMX_REAL ? (reals)(tile) : whole_halves(tile, &spec, what);                            \
    }
#else
#define WHOLE_ROWS(op, reals, what)                                                                                    \
    static int op##_whole_rows(const smx_tile *tile) { return (reals)(tile); }
#endif
/* The long rows of softmax_vjp may be another level's: bits are the same. */
#define VJP_ROWS_OF(level) JOIN(smx_, level, _softmax_vjp_f, REAL_BITS)
#ifdef LEVEL_OF_VJP_ROWS
smx_whole VJP_ROWS_OF(LEVEL_OF_VJP_ROWS);
WHOLE_ROWS(softmax_vjp, VJP_ROWS_OF(LEVEL_OF_VJP_ROWS), PRODUCT)
#else
smx_whole VJP_ROWS_OF(LEVEL);
WHOLE_REALS(softmax_vjp, reals, 0, PRODUCT)
int VJP_ROWS_OF(LEVEL)(const smx_tile *tile) { return softmax_vjp_whole_reals(tile); }
WHOLE_ROWS(softmax_vjp, softmax_vjp_whole_reals, PRODUCT)
#endif
WHOLE_REALS(softmax_vjp, packed, 1, PRODUCT)
WHOLE_REALS(log_softmax_vjp, reals, 0, GRADIENT)
WHOLE_ROWS(log_softmax_vjp, log_softmax_vjp_whole_reals, GRADIENT)
WHOLE_REALS(log_softmax_vjp, packed, 1, GRADIENT)
