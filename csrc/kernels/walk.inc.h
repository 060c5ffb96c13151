/* The functions of an operation, one for each walk that it supports; route.c chooses among them. One choice is made
   here, once a tile: how the tile's numbers are stored and masked. */

#define REDUCE(op, walk) static void op##_reduce_##walk(const smx_tile *tile, void *partial)
#define WRITE(op, walk) static void op##_write_##walk(const smx_tile *tile, const void *constants)

/* The type of 16 bits that a storage is. The compiler does not know which one, so both share a loop. */
SMX_INLINE enum smx_storage half_of(enum smx_storage storage) {
    return storage == SMX_FLOAT16 ? SMX_FLOAT16 : SMX_BFLOAT16;
}

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
    if (tile->storage != SMX_REAL)
        sum_reduce_from(tile, partial, layout, half_of(tile->storage), NO_MASK, what);
    else
#endif
        if (layout == SMX_COLUMNS && masking_of(tile) == BY_LINE)
        sum_reduce_from(tile, partial, layout, SMX_REAL, BY_LINE, what);
    else
        sum_reduce_from(tile, partial, layout, SMX_REAL, BY_LANE, what);
}

SMX_INLINE int is_plain_tile(const smx_tile *tile) { return is_plain(tile->storage, masking_of(tile)); }

/* ---- write: a formula for each element -------------------------------------------------------------------------- */

/* Inputs of operations that are no derivatives are reals without a mask. Packed rows have the same storage at both
   ends. Only reals are written past the cache: packed ones of derivatives alone, and masked ones in long rows alone. */
SMX_INLINE write_mode mode_of_tile(const smx_tile *tile, enum smx_walk walk, const write_spec *spec) {
    const enum smx_storage from = spec->is_derivative ? tile->storage : SMX_REAL;
    const enum smx_storage to = walk == SMX_WALK_PACKED ? from : tile->out_storage;
    const enum masking masking = spec->is_derivative ? masking_of(tile) : NO_MASK;
    const int walk_may = walk != SMX_WALK_PACKED || spec->is_derivative;
    const int may_stream = from == SMX_REAL && to == SMX_REAL && (masking == NO_MASK || walk == SMX_WALK_ROWS);
    return mode_of(from, to, masking, walk_may && may_stream && tile->stream);
}

SMX_INLINE void write_as(const smx_tile *tile, enum smx_walk walk, const write_spec *spec, const void *constants,
                         write_mode mode) {
    if (walk == SMX_WALK_COLUMNS)
        apply_to_columns(tile, spec, constants, mode);
    else
        apply_to_rows(tile, spec, constants, mode, walk == SMX_WALK_PACKED);
}

/* NARROW_LINES: reals without a mask. */
SMX_INLINE void write_lines(const smx_tile *tile, const write_spec *spec, const void *constants) {
    apply_to_lines(tile, spec, constants);
}

/* TRANSPOSED: columns of reals into rows. */
SMX_INLINE void write_transposed(const smx_tile *tile, const write_spec *spec, const void *constants) {
    apply_into_rows(spec, tile->rows, tile->n, tile->next[0].start != NULL, constants, tile->temperature);
}

/* Every walk of every formula but NARROW_LINES, whose loop needs half of the stack that a call may take. The walks
   share their loops: these call the formula by its address, and look at the mode at every vector. So they are for what
   is rare, and for formulas that take long. */
SMX_APART void write_rarely(const smx_tile *tile, enum smx_walk walk, const write_spec *spec, const void *constants) {
    const write_mode mode = mode_of_tile(tile, walk, spec);
    if (walk == SMX_WALK_COLUMNS)
        write_as(tile, SMX_WALK_COLUMNS, spec, constants, mode);
    else if (walk == SMX_WALK_PACKED)
        write_as(tile, SMX_WALK_PACKED, spec, constants, mode);
    else
        write_as(tile, SMX_WALK_ROWS, spec, constants, mode);
    if (mode.stream)
        v_stream_end();
}

/* The walks ROWS, PACKED and COLUMNS; short columns are written as long ones are. Conditions on the walk and the spec
   alone leave out what no route reaches. Results of reals without a mask have one loop, whether they are rounded, go past
   the cache or neither: a branch at each store costs little. */
SMX_INLINE void write_walk(const smx_tile *tile, enum smx_walk walk, const write_spec *spec, const void *constants) {
    const int packed = walk == SMX_WALK_PACKED, along = walk == SMX_WALK_ROWS || packed;
    const write_mode mode = mode_of_tile(tile, walk, spec);
    if (!spec->is_derivative)
        write_as(tile, walk, spec, constants, mode_of(SMX_REAL, mode.to, NO_MASK, mode.stream));
#if REAL_BITS == 32
    else if (!packed && mode.from != mode.to)
        write_rarely(tile, walk, spec, constants);
    else if (mode.from != SMX_REAL)
        write_as(tile, walk, spec, constants, mode_of(half_of(mode.from), half_of(mode.from), NO_MASK, 0));
#endif
    else if (mode.masking == BY_LINE && !along)
        write_as(tile, walk, spec, constants, mode_of(SMX_REAL, SMX_REAL, BY_LINE, 0));
    else if (mode.masking == BY_LANE)
        write_as(tile, walk, spec, constants, mode_of(SMX_REAL, SMX_REAL, BY_LANE, mode.stream));
    else
        write_as(tile, walk, spec, constants, mode_of(SMX_REAL, SMX_REAL, NO_MASK, mode.stream));
    if (mode.stream)
        v_stream_end();
}
