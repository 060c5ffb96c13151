/* Numbers of 16 bits, read as float and rounded on writing: IEEE 754 binary16 ("float16", 11 bits of precision) and
   bfloat16 (the upper half of a float, 8 bits). Every one of them is a float, so only writing rounds: to nearest, ties to
   even, as all else does. */

#if REAL_BITS == 32

typedef vec (*half_load)(const char *p);
typedef void (*half_store)(char *p, vec a);

SMX_INLINE void widen_with(half_load load, const char *from, ptrdiff_t n, real *to) {
    ptrdiff_t i = 0;
    for (; i + WIDTH <= n; i += WIDTH)
        v_store(to + i, load(from + 2 * i));
    if (i < n) {
        char last[2 * WIDTH] = {0};
        memcpy(last, from + 2 * i, (size_t)(2 * (n - i)));
        v_store_first(to + i, n - i, load(last));
    }
}

SMX_INLINE void narrow_with(half_store store, const real *from, ptrdiff_t n, char *to) {
    ptrdiff_t i = 0;
    for (; i + WIDTH <= n; i += WIDTH)
        store(to + 2 * i, v_load(from + i));
    if (i < n) {
        char last[2 * WIDTH];
        store(last, v_load_first(from + i, n - i, v_set1(0)));
        memcpy(to + 2 * i, last, (size_t)(2 * (n - i)));
    }
}

static void widen(enum smx_storage storage, const void *from, ptrdiff_t n, void *to) {
    if (storage == SMX_FLOAT16)
        widen_with(v_load_float16, from, n, to);
    else
        widen_with(v_load_bfloat16, from, n, to);
}

static void narrow(enum smx_storage storage, const void *from, ptrdiff_t n, void *to) {
    if (storage == SMX_FLOAT16)
        narrow_with(v_store_float16, from, n, to);
    else
        narrow_with(v_store_bfloat16, from, n, to);
}

#endif
