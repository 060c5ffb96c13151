/* Numbers of 16 bits, read as float and rounded on writing: IEEE 754 binary16 ("float16", 11 bits of precision) and
   bfloat16 (the upper half of a float, 8 bits). Every one of them is a float, so only writing rounds: to nearest, ties to
   even, as all else does. */

#if REAL_BITS == 32

typedef vec (*half_load)(const char *p);
typedef void (*half_store)(char *p, vec a);

/* The last vector may overlap the one before it. It is read first, while what it reads is still there: see kernels.h. */
SMX_INLINE void widen_with(half_load load, const char *from, ptrdiff_t n, real *to) {
    if (n < WIDTH) {
        char few[2 * WIDTH] = {0};
        memcpy(few, from, (size_t)(2 * n));
        v_store_first(to, n, load(few));
        return;
    }
    const vec last = load(from + 2 * (n - WIDTH));
    for (ptrdiff_t i = 0; i + WIDTH <= n; i += WIDTH)
        v_store(to + i, load(from + 2 * i));
    v_store(to + n - WIDTH, last);
}

SMX_INLINE void narrow_with(half_store store, const real *from, ptrdiff_t n, char *to) {
    if (n < WIDTH) {
        char few[2 * WIDTH];
        store(few, v_load_first(from, n, v_set1(0)));
        memcpy(to, few, (size_t)(2 * n));
        return;
    }
    const vec last = v_load(from + n - WIDTH);
    for (ptrdiff_t i = 0; i + WIDTH <= n; i += WIDTH)
        store(to + 2 * i, v_load(from + i));
    store(to + 2 * (n - WIDTH), last);
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
