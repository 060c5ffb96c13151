/* Vectors from memory and back: where fewer elements are left than lanes, for numbers of 16 bits, and under a mask.

   Numbers of 16 bits are read as float and rounded on writing. They are IEEE 754 binary16 ("float16", 11 bits of
   precision) and bfloat16 (the upper half of a float, 8 bits). Each of them is exactly a float, so only writing rounds,
   to nearest, ties to even, as all arithmetic does. */

/* LANES elements; zeros where fewer are left. */
SMX_INLINE vec load_left(const real *p, ptrdiff_t left) {
    return left >= LANES ? v_load(p) : v_load_first(p, left, v_set1(0));
}

/* The size of a stored number, for loops that read and write numbers as they are stored. */
SMX_INLINE ptrdiff_t size_of(enum smx_storage storage) { return storage == SMX_REAL ? sizeof(real) : 2; }

/* Between memory and a vector: up to LANES numbers, zeros where fewer are left. */
SMX_INLINE vec load_stored(const char *from, ptrdiff_t left, enum smx_storage storage) {
#if REAL_BITS == 32
    if (storage == SMX_FLOAT16)
        return v_from_float16(v_load_halves(from, left));
    if (storage == SMX_BFLOAT16)
        return v_from_bfloat16(v_load_halves(from, left));
#endif
    (void)storage;
    return left >= LANES ? v_load((const real *)from) : v_load_first((const real *)from, left, v_set1(0));
}
SMX_INLINE void store_stored(char *to, ptrdiff_t left, vec a, enum smx_storage storage) {
#if REAL_BITS == 32
    if (storage != SMX_REAL) {
        v_store_halves(to, left, storage == SMX_FLOAT16 ? v_to_float16(a) : v_to_bfloat16(a));
        return;
    }
#endif
    (void)storage;
    if (left >= LANES)
        v_store((real *)to, a);
    else
        v_store_first((real *)to, left, a);
}

/* 2 LANES bfloat16 numbers as two vectors, for formulas, which do not care which lane a number is in. A level may have an
   order of its own that takes fewer instructions than this one. */
#ifndef HAS_TWO_BFLOAT16
SMX_INLINE void v_load_two_bfloat16(const char *from, vec *a, vec *b) {
    *a = load_stored(from, LANES, SMX_BFLOAT16);
    *b = load_stored(from + 2 * LANES, LANES, SMX_BFLOAT16);
}
SMX_INLINE void v_store_two_bfloat16(char *to, vec a, vec b) {
    store_stored(to, LANES, a, SMX_BFLOAT16);
    store_stored(to + 2 * LANES, LANES, b, SMX_BFLOAT16);
}
#endif

/* ---- masks ------------------------------------------------------------------------------------------------------ */

/* The mask of a derivative: none, a byte for each lane, or a byte for each line of COLUMNS. */
enum masking { NO_MASK, BY_LANE, BY_LINE };

SMX_INLINE enum masking masking_of(const smx_tile *tile) {
    return !tile->mask.start ? NO_MASK : tile->layout == SMX_COLUMNS && tile->mask.row_stride == 0 ? BY_LINE : BY_LANE;
}
SMX_INLINE const unsigned char *mask_of(const smx_tile *tile, ptrdiff_t row) {
    return tile->mask.start ? (const unsigned char *)tile->mask.start + row * tile->mask.row_stride : NULL;
}
SMX_INLINE const unsigned char *mask_at(const unsigned char *mask, ptrdiff_t offset, enum masking masking) {
    return masking == NO_MASK ? NULL : mask + offset;
}

/* A vector whose lanes share one byte of the mask. There are no branches, because their prediction would often be
   wrong. */
SMX_INLINE vec visible_or(unsigned char mask, vec a, vec fill) {
    static const real hidden_or_visible[2] = {-1, 1};
    return v_select_le(v_set1(0), v_set1(hidden_or_visible[mask != 0]), a, fill);
}
SMX_INLINE vec visible_or_0(const unsigned char *mask, ptrdiff_t left, vec a, enum masking masking) {
    const vec zero = v_set1(0);
    return masking == NO_MASK   ? a
           : masking == BY_LANE ? v_select_bytes(mask, left, a, zero)
                                : visible_or(*mask, a, zero);
}

/* Reals without a mask have loops of their own for whole vectors, and for each number of partial sums. Everything else
   shares one loop, because each loop is compiled again for every formula. */
SMX_INLINE int is_plain(enum smx_storage storage, enum masking masking) {
    return storage == SMX_REAL && masking == NO_MASK;
}

/* Hidden elements count as 0. */
SMX_INLINE vec load_visible(const char *x, const unsigned char *mask, ptrdiff_t left, enum smx_storage storage,
                            enum masking masking) {
    return visible_or_0(mask, left, load_stored(x, left, storage), masking);
}
