/* The functions of an operation, one for each walk that it supports; route.c chooses among them. One choice is made
   here, once a tile: how the tile's numbers are stored and masked. */

#define REDUCE(op, walk) static void op##_reduce_##walk(const smx_tile *tile, void *partial)
#define WRITE(op, walk) static void op##_write_##walk(const smx_tile *tile, const void *constants)

/* ---- reduce: sums of products ----------------------------------------------------------------------------------- */

SMX_INLINE void sum_reduce_from(const smx_tile *tile, real *partial, enum smx_layout layout, enum smx_storage storage,
                                enum masking masking, enum summand what) {
    if (layout == SMX_ROWS)
        sum_reduce_rows(tile, partial, storage, masking, what);
    else
        sum_reduce_columns(tile, partial, is_short(tile), storage, masking, what);
}

/* Numbers of 16 bits and masked numbers: one loop serves short and long columns. */
SMX_INLINE void sum_reduce_stored(const smx_tile *tile, real *partial, enum smx_layout layout, enum summand what) {
#if REAL_BITS == 32
    if (tile->storage == SMX_FLOAT16)
        sum_reduce_from(tile, partial, layout, SMX_FLOAT16, NO_MASK, what);
    else if (tile->storage == SMX_BFLOAT16)
        sum_reduce_from(tile, partial, layout, SMX_BFLOAT16, NO_MASK, what);
    else
#endif
        if (layout == SMX_COLUMNS && masking_of(tile) == BY_LINE)
        sum_reduce_from(tile, partial, layout, SMX_REAL, BY_LINE, what);
    else
        sum_reduce_from(tile, partial, layout, SMX_REAL, BY_LANE, what);
}

SMX_INLINE int is_plain_tile(const smx_tile *tile) { return is_plain(tile->storage, masking_of(tile)); }

/* ---- write: a formula for each element -------------------------------------------------------------------------- */

SMX_INLINE void write_as(const smx_tile *tile, enum smx_walk walk, const write_spec *spec, const void *constants,
                         write_mode mode) {
    if (walk == SMX_WALK_COLUMNS)
        apply_to_columns(tile, spec, constants, mode);
    else
        apply_to_rows(tile, spec, constants, mode, walk == SMX_WALK_PACKED);
}

/* The walks ROWS, SHORT_ROWS, PACKED and COLUMNS; short columns are written as long ones are. Conditions on the walk
   alone leave out what no route reaches: packed rows have the same storage at both ends, and only those of derivatives
   are written past the cache; a few short rows never are. */
SMX_INLINE void write_walk(const smx_tile *tile, enum smx_walk walk, const write_spec *spec, const void *constants) {
    const int packed = walk == SMX_WALK_PACKED, along = walk == SMX_WALK_ROWS || walk == SMX_WALK_SHORT_ROWS || packed;
    const int may_stream = packed ? spec->is_derivative : walk != SMX_WALK_SHORT_ROWS;
    const enum masking masking = spec->is_derivative ? masking_of(tile) : NO_MASK;
    const int stream = may_stream && tile->stream;
#if REAL_BITS == 32
    const enum smx_storage storage = spec->is_derivative ? tile->storage : SMX_REAL, to = tile->out_storage;
    if (storage == SMX_FLOAT16 && (packed || to == SMX_FLOAT16))
        write_as(tile, walk, spec, constants, mode_of(SMX_FLOAT16, SMX_FLOAT16, NO_MASK, 0));
    else if (storage == SMX_FLOAT16)
        write_as(tile, walk, spec, constants, mode_of(SMX_FLOAT16, SMX_REAL, NO_MASK, 0));
    else if (storage == SMX_BFLOAT16 && (packed || to == SMX_BFLOAT16))
        write_as(tile, walk, spec, constants, mode_of(SMX_BFLOAT16, SMX_BFLOAT16, NO_MASK, 0));
    else if (storage == SMX_BFLOAT16)
        write_as(tile, walk, spec, constants, mode_of(SMX_BFLOAT16, SMX_REAL, NO_MASK, 0));
    else if (!packed && to == SMX_FLOAT16)
        write_as(tile, walk, spec, constants, mode_of(SMX_REAL, SMX_FLOAT16, NO_MASK, 0));
    else if (!packed && to == SMX_BFLOAT16)
        write_as(tile, walk, spec, constants, mode_of(SMX_REAL, SMX_BFLOAT16, NO_MASK, 0));
    else
#endif
        if (stream && masking == NO_MASK)
        write_as(tile, walk, spec, constants, mode_of(SMX_REAL, SMX_REAL, NO_MASK, 1));
    else if (stream && masking == BY_LANE && walk == SMX_WALK_ROWS)
        write_as(tile, walk, spec, constants, mode_of(SMX_REAL, SMX_REAL, BY_LANE, 1));
    else if (masking == BY_LINE && !along)
        write_as(tile, walk, spec, constants, mode_of(SMX_REAL, SMX_REAL, BY_LINE, 0));
    else if (masking == BY_LANE)
        write_as(tile, walk, spec, constants, mode_of(SMX_REAL, SMX_REAL, BY_LANE, 0));
    else
        write_as(tile, walk, spec, constants, mode_of(SMX_REAL, SMX_REAL, NO_MASK, 0));
    if (stream)
        v_stream_end();
}

/* NARROW_LINES: reals without a mask. */
SMX_INLINE void write_lines(const smx_tile *tile, const write_spec *spec, const void *constants) {
    apply_to_lines(tile, spec, constants);
}

/* TRANSPOSED: columns of reals into rows. */
SMX_INLINE void write_transposed(const smx_tile *tile, const write_spec *spec, const void *constants) {
    apply_into_rows(spec, tile->rows, tile->n, tile->next[0].start != NULL, constants, tile->temperature);
}
