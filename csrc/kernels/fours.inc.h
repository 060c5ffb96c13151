/* Fours: four reals, which hold the partial sums of a short row. The header of each level whose vectors have no more
   lanes than that includes this file; quads_avx.h is for the others. */

typedef struct {
    vec part[4 / LANES];
} four;

#define OF_FOUR(expression)                                                                                            \
    four result;                                                                                                       \
    for (int k = 0; k < 4 / LANES; k++)                                                                                \
        result.part[k] = (expression);                                                                                 \
    return result

SMX_INLINE four v_four_set1(real x) { OF_FOUR(v_set1(x)); }
SMX_INLINE four v_four_load(const real *p) { OF_FOUR(v_load(p + k * LANES)); }
SMX_INLINE four v_four_load_first(const real *p, ptrdiff_t count) {
    OF_FOUR(v_load_first(p + k * LANES, count - k * LANES, v_set1(0)));
}
SMX_INLINE void v_four_store(real *p, four a) {
    for (int k = 0; k < 4 / LANES; k++)
        v_store(p + k * LANES, a.part[k]);
}
SMX_INLINE four v_four_add(four a, four b) { OF_FOUR(v_add(a.part[k], b.part[k])); }
SMX_INLINE four v_four_sub(four a, four b) { OF_FOUR(v_sub(a.part[k], b.part[k])); }
SMX_INLINE four v_four_mul(four a, four b) { OF_FOUR(v_mul(a.part[k], b.part[k])); }
SMX_INLINE four v_four_fma(four a, four b, four c) { OF_FOUR(v_fma(a.part[k], b.part[k], c.part[k])); }
#undef OF_FOUR
