/* The choice of the loop that takes a tile, by the tile's layout, storage and mask and the length of its rows. Every
   operation has copies of its own of all loops that it may need. */

SMX_INLINE void exp_reduce(const smx_tile *tile, void *partial, enum sum_of what, int keep) {
    if (tile->layout == SMX_ROWS && is_short(tile))
        exp_reduce_rows(tile, partial, 1, what, keep);
    else if (tile->layout == SMX_ROWS)
        exp_reduce_rows(tile, partial, LANES, what, keep);
    else if (is_short(tile))
        exp_reduce_short_columns(tile, partial, what, keep);
    else if (what != OTHERS_KEEPING_ALL && follow_as_lines(tile, &tile->in[0]))
        exp_reduce_lines(tile, partial, what);
    else
        exp_reduce_long_columns(tile, partial, what);
}

SMX_INLINE void sum_reduce_from(const smx_tile *tile, real *partial, enum smx_storage storage, enum masking how,
                                enum summand what) {
    const int few = what == GRADIENT ? 1 : SHORT_PRODUCT_SUMS;
    if (tile->layout == SMX_ROWS)
        sum_reduce_rows(tile, partial, storage, how, what);
    else if (!is_plain(storage, how))
        sum_reduce_columns(tile, partial, is_short(tile) ? few : LANES, storage, how, what);
    else if (is_short(tile))
        sum_reduce_columns(tile, partial, few, storage, how, what);
    else if (follow_as_lines(tile, &tile->in[0]) && follow_as_lines(tile, &tile->in[1]))
        sum_reduce_lines(tile, partial, what);
    else
        sum_reduce_columns(tile, partial, LANES, storage, how, what);
}

SMX_INLINE void sum_reduce(const smx_tile *tile, void *partial, enum summand what) {
    if (tile->as_run)
        sum_reduce_run(tile, partial, what);
#if REAL_BITS == 32
    else if (tile->storage == SMX_FLOAT16)
        sum_reduce_from(tile, partial, SMX_FLOAT16, NO_MASK, what);
    else if (tile->storage == SMX_BFLOAT16)
        sum_reduce_from(tile, partial, SMX_BFLOAT16, NO_MASK, what);
#endif
    else if (masking_of(tile) == BY_LINE)
        sum_reduce_from(tile, partial, SMX_REAL, BY_LINE, what);
    else if (masking_of(tile) == BY_LANE)
        sum_reduce_from(tile, partial, SMX_REAL, BY_LANE, what);
    else
        sum_reduce_from(tile, partial, SMX_REAL, NO_MASK, what);
}

SMX_INLINE void apply(const smx_tile *tile, const smx_view *to, const smx_view *const *from, int inputs,
                      const void *constants, int constant_count, formula f) {
    if (tile->layout == SMX_ROWS)
        apply_to_rows(tile, to, from, inputs, SMX_REAL, constants, constant_count, SMX_REAL, 0, NO_MASK, 0, f);
    else
        apply_to_columns(tile, to, from, inputs, SMX_REAL, constants, constant_count, SMX_REAL, 0, NO_MASK, f);
}

/* is_derivative: an operation that takes masks and 16 bits. */
SMX_INLINE void write_from(const smx_tile *tile, const smx_view *const *from, int inputs, const void *constants,
                           int constant_count, int is_derivative, formula f) {
#define WRITE_ROWS(storage, to, stream, how, as_run)                                                                   \
    apply_to_rows(tile, &tile->out, from, inputs, storage, constants, constant_count, to, stream, how, as_run, f)
#define WRITE_COLUMNS(storage, to, stream, how)                                                                        \
    apply_to_columns(tile, &tile->out, from, inputs, storage, constants, constant_count, to, stream, how, f)
#define WRITE(storage, to, how, may_be_run)                                                                            \
    do {                                                                                                               \
        if (tile->layout == SMX_COLUMNS)                                                                               \
            WRITE_COLUMNS(storage, to, 0, how);                                                                        \
        else if (may_be_run && tile->as_run)                                                                           \
            WRITE_ROWS(storage, to, 0, how, 1);                                                                        \
        else                                                                                                           \
            WRITE_ROWS(storage, to, 0, how, 0);                                                                        \
    } while (0)
    const enum masking how = is_derivative ? masking_of(tile) : NO_MASK;
#if REAL_BITS == 32
    const enum smx_storage storage = is_derivative ? tile->storage : SMX_REAL, to = tile->out_storage;
    if (storage == SMX_FLOAT16 && to == SMX_FLOAT16)
        WRITE(SMX_FLOAT16, SMX_FLOAT16, NO_MASK, 1);
    else if (storage == SMX_FLOAT16)
        WRITE(SMX_FLOAT16, SMX_REAL, NO_MASK, 0);
    else if (storage == SMX_BFLOAT16 && to == SMX_BFLOAT16)
        WRITE(SMX_BFLOAT16, SMX_BFLOAT16, NO_MASK, 1);
    else if (storage == SMX_BFLOAT16)
        WRITE(SMX_BFLOAT16, SMX_REAL, NO_MASK, 0);
    else if (to == SMX_FLOAT16)
        WRITE(SMX_REAL, SMX_FLOAT16, NO_MASK, 0);
    else if (to == SMX_BFLOAT16)
        WRITE(SMX_REAL, SMX_BFLOAT16, NO_MASK, 0);
    else
#endif
        if (is_derivative && tile->stream && tile->as_run)
        WRITE_ROWS(SMX_REAL, SMX_REAL, 1, NO_MASK, 1);
    else if (tile->stream && tile->layout == SMX_ROWS && how == BY_LANE)
        WRITE_ROWS(SMX_REAL, SMX_REAL, 1, BY_LANE, 0);
    else if (tile->stream && tile->layout == SMX_ROWS)
        WRITE_ROWS(SMX_REAL, SMX_REAL, 1, NO_MASK, 0);
    else if (tile->stream && how == NO_MASK)
        WRITE_COLUMNS(SMX_REAL, SMX_REAL, 1, NO_MASK);
    else if (how == BY_LINE)
        WRITE_COLUMNS(SMX_REAL, SMX_REAL, 0, BY_LINE);
    else if (how == BY_LANE)
        WRITE(SMX_REAL, SMX_REAL, BY_LANE, 1);
    else
        WRITE(SMX_REAL, SMX_REAL, NO_MASK, 1);
    if (tile->stream)
        v_stream_end();
#undef WRITE
#undef WRITE_COLUMNS
#undef WRITE_ROWS
}

SMX_INLINE void write_with(const smx_tile *tile, int inputs, const void *constants, int constant_count,
                           int is_derivative, formula f) {
    const smx_view *const from[SMX_MAX_INPUTS] = {&tile->in[0], &tile->in[1], &tile->in[2]};
    write_from(tile, from, inputs, constants, constant_count, is_derivative, f);
}
