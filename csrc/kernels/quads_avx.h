/* Fours and quads of the levels whose registers may have more than four lanes; vec_scalar.h says what the operations
   mean. */

#if REAL_BITS == 32
typedef __m128 four;
#define FOUR(name) _mm_##name##_ps
#define FOUR_MASK(p) _mm_loadu_si128((const __m128i *)(p))
typedef int32_t four_lane;
#else
typedef __m256d four;
#define FOUR(name) _mm256_##name##_pd
#define FOUR_MASK(p) _mm256_loadu_si256((const __m256i *)(p))
typedef int64_t four_lane;
#endif

SMX_INLINE four v_four_set1(real x) { return FOUR(set1)(x); }
SMX_INLINE four v_four_load(const real *p) { return FOUR(loadu)(p); }
SMX_INLINE four v_four_load_first(const real *p, ptrdiff_t count) {
    static const four_lane last_ones[8] = {-1, -1, -1, -1, 0, 0, 0, 0};
    return FOUR(maskload)(p, FOUR_MASK(last_ones + 4 - count));
}
SMX_INLINE void v_four_store(real *p, four a) { FOUR(storeu)(p, a); }
SMX_INLINE four v_four_add(four a, four b) { return FOUR(add)(a, b); }
SMX_INLINE four v_four_sub(four a, four b) { return FOUR(sub)(a, b); }
SMX_INLINE four v_four_mul(four a, four b) { return FOUR(mul)(a, b); }
SMX_INLINE four v_four_fma(four a, four b, four c) { return FOUR(fmadd)(a, b, c); }

#if REAL_BITS == 32

typedef __m256d quad;

SMX_INLINE quad v_quad_of(four a) { return _mm256_cvtps_pd(a); }
SMX_INLINE quad v_quad_add(quad s, four a) { return _mm256_add_pd(s, _mm256_cvtps_pd(a)); }

/* The sum of each of four quads. */
SMX_INLINE __m256d sums_of_quads(const quad *s) {
    const __m256d even =
        _mm256_add_pd(_mm256_permute2f128_pd(s[0], s[2], 0x20), _mm256_permute2f128_pd(s[0], s[2], 0x31));
    const __m256d odd =
        _mm256_add_pd(_mm256_permute2f128_pd(s[1], s[3], 0x20), _mm256_permute2f128_pd(s[1], s[3], 0x31));
    return _mm256_add_pd(_mm256_unpacklo_pd(even, odd), _mm256_unpackhi_pd(even, odd));
}

#endif
