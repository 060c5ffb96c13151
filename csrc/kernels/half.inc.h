/* Numbers of 16 bits, read as float and rounded on writing: IEEE 754 binary16 ("float16", 11 bits of precision) and
   bfloat16 (the upper half of a float, 8 bits). Every one of them is a float, so only writing rounds: to nearest, ties to
   even, as all else does. */

/* How numbers are kept, in the loops that take them as they are. */
SMX_INLINE ptrdiff_t size_of(enum smx_storage storage) { return storage == SMX_REAL ? sizeof(real) : 2; }

/* Up to LANES numbers; zeros where fewer are left. And back. */
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

#if REAL_BITS == 32

SMX_INLINE void widen_from(enum smx_storage storage, const char *from, ptrdiff_t n, real *to) {
    ptrdiff_t i = 0;
    for (; i + LANES <= n; i += LANES)
        v_store(to + i, load_stored(from + 2 * i, LANES, storage));
    if (i < n)
        v_store_first(to + i, n - i, load_stored(from + 2 * i, n - i, storage));
}
SMX_INLINE void narrow_to(enum smx_storage storage, const real *from, ptrdiff_t n, char *to) {
    ptrdiff_t i = 0;
    for (; i + LANES <= n; i += LANES)
        store_stored(to + 2 * i, LANES, v_load(from + i), storage);
    if (i < n)
        store_stored(to + 2 * i, n - i, v_load_first(from + i, n - i, v_set1(0)), storage);
}

static void from_half(enum smx_storage storage, const void *from, ptrdiff_t n, void *to) {
    if (storage == SMX_FLOAT16)
        widen_from(SMX_FLOAT16, from, n, to);
    else
        widen_from(SMX_BFLOAT16, from, n, to);
}

static void to_half(enum smx_storage storage, const void *from, ptrdiff_t n, void *to) {
    if (storage == SMX_FLOAT16)
        narrow_to(SMX_FLOAT16, from, n, to);
    else
        narrow_to(SMX_BFLOAT16, from, n, to);
}

#endif
