/* Quads: four doubles in a register of 256 bits, for sums of products of short rows of floats. Both levels that have
   such registers include this file; vec_scalar.h says what the operations mean. */

typedef __m256d quad;

SMX_INLINE quad v_quad_zero(void) { return _mm256_setzero_pd(); }
SMX_INLINE quad v_quad_add_product(quad s, const real *x, const real *y) {
    return _mm256_fmadd_pd(_mm256_cvtps_pd(_mm_loadu_ps(x)), _mm256_cvtps_pd(_mm_loadu_ps(y)), s);
}
SMX_INLINE quad v_quad_add_product_first(quad s, const real *x, const real *y, ptrdiff_t count) {
    static const int32_t last_ones[8] = {-1, -1, -1, -1, 0, 0, 0, 0};
    const __m128i first = _mm_loadu_si128((const __m128i *)(last_ones + 4 - count));
    return _mm256_fmadd_pd(_mm256_cvtps_pd(_mm_maskload_ps(x, first)), _mm256_cvtps_pd(_mm_maskload_ps(y, first)), s);
}

/* The sum of each of four quads. */
SMX_INLINE __m256d sums_of_quads(const quad *s) {
    const __m256d even =
        _mm256_add_pd(_mm256_permute2f128_pd(s[0], s[2], 0x20), _mm256_permute2f128_pd(s[0], s[2], 0x31));
    const __m256d odd =
        _mm256_add_pd(_mm256_permute2f128_pd(s[1], s[3], 0x20), _mm256_permute2f128_pd(s[1], s[3], 0x31));
    return _mm256_add_pd(_mm256_unpacklo_pd(even, odd), _mm256_unpackhi_pd(even, odd));
}
