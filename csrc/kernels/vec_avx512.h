/* Vectors of level "avx512": 16 floats or 8 doubles, with the F, BW, DQ and VL extensions. vec_scalar.h says what each
   operation means. */

#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma"))), apply_to = function)
#define END_OF_TARGET _Pragma("clang attribute pop")
#elif defined(__GNUC__)
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,fma")
#define END_OF_TARGET
#else
#define END_OF_TARGET
#endif

#include "real.h"

#define LEVEL avx512
/* Arrays seldom begin at a cache line, and then every vector of 64 bytes lies across two of them. The long rows of
   softmax_vjp, which are hardly more than loads and stores, take less time in vectors of 32 bytes. Its segments do, too:
   the fewer there are in a strip, the less do their lengths differ. */
#define LEVEL_OF_VJP_ROWS avx2

#if REAL_BITS == 32
#define LANES 16
typedef __m512 vec;
typedef __mmask16 mask;
#define V(name) _mm512_##name##_ps
#define AS_INT _mm512_castps_si512
#define AS_REAL _mm512_castsi512_ps
#define SHIFT_LEFT _mm512_slli_epi32
#define SHIFT_LEFT_KEEP _mm512_maskz_slli_epi32
#define SHIFT_RIGHT _mm512_srli_epi32
#define MINUS _mm512_sub_epi32
#define INTEGERS(x) _mm512_set1_epi32((int)(x))
#define COMPARE_LE(a, b) _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ)
#define NOT_BELOW(a, b) _mm512_cmp_ps_mask(b, a, _CMP_NGT_UQ) /* a may be in memory */
#else
#define LANES 8
typedef __m512d vec;
typedef __mmask8 mask;
#define V(name) _mm512_##name##_pd
#define AS_INT _mm512_castpd_si512
#define AS_REAL _mm512_castsi512_pd
#define SHIFT_LEFT _mm512_slli_epi64
#define SHIFT_LEFT_KEEP _mm512_maskz_slli_epi64
#define SHIFT_RIGHT _mm512_srli_epi64
#define MINUS _mm512_sub_epi64
#define INTEGERS(x) _mm512_set1_epi64((long long)(x))
#define COMPARE_LE(a, b) _mm512_cmp_pd_mask(a, b, _CMP_LE_OQ)
#define NOT_BELOW(a, b) _mm512_cmp_pd_mask(b, a, _CMP_NGT_UQ)
#endif
typedef vec table;

/* Keeps x in a register. Compilers would load it anew for each operation that reads it, and a load across two cache
   lines takes twice as long: with vectors of 64 bytes that is every load, as NumPy's arrays begin 16 bytes into one. */
#ifdef __GNUC__
#define KEEP_IN_REGISTER(x) __asm__("" : "+v"(x))
#endif

SMX_INLINE vec v_set1(real x) { return V(set1)(x); }
SMX_INLINE vec v_load(const real *p) { return V(loadu)(p); }
SMX_INLINE void v_store(real *p, vec a) { V(storeu)(p, a); }
SMX_INLINE vec v_load_bytes(const char *p) { return AS_REAL(_mm512_loadu_si512(p)); }
SMX_INLINE vec v_swap_bytes(vec a) {
#if REAL_BITS == 32
    const __m128i order = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
#else
    const __m128i order = _mm_set_epi8(8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
#endif
    return AS_REAL(_mm512_shuffle_epi8(AS_INT(a), _mm512_broadcast_i32x4(order)));
}
SMX_INLINE void v_stream(real *p, vec a) { V(stream)(p, a); }
SMX_INLINE void v_stream_end(void) { _mm_sfence(); }

SMX_INLINE mask first_lanes(ptrdiff_t count) {
    if (count >= LANES)
        return (mask)-1;
    return count > 0 ? (mask)((1u << count) - 1) : 0;
}
SMX_INLINE vec v_load_first(const real *p, ptrdiff_t count, vec fill) {
    return V(mask_loadu)(fill, first_lanes(count), p);
}
SMX_INLINE void v_store_first(real *p, ptrdiff_t count, vec a) { V(mask_storeu)(p, first_lanes(count), a); }

SMX_INLINE vec v_add(vec a, vec b) { return V(add)(a, b); }
SMX_INLINE vec v_sub(vec a, vec b) { return V(sub)(a, b); }
SMX_INLINE vec v_mul(vec a, vec b) { return V(mul)(a, b); }
SMX_INLINE vec v_div(vec a, vec b) { return V(div)(a, b); }
SMX_INLINE vec v_fma(vec a, vec b, vec c) { return V(fmadd)(a, b, c); }
SMX_INLINE vec v_fms(vec a, vec b, vec c) { return V(fmsub)(a, b, c); }
SMX_INLINE vec v_fnma(vec a, vec b, vec c) { return V(fnmadd)(a, b, c); }
SMX_INLINE vec v_sub_fused(vec a, vec b) { return v_fms(a, v_set1(1), b); }
SMX_INLINE vec v_max(vec a, vec b) { return V(max)(a, b); }
SMX_INLINE vec v_min(vec a, vec b) { return V(min)(a, b); }

SMX_INLINE vec v_select_le(vec a, vec b, vec yes, vec no) { return V(mask_mov)(no, COMPARE_LE(a, b), yes); }
SMX_INLINE vec v_keep_le(vec a, vec b, vec yes) { return V(maskz_mov)(COMPARE_LE(a, b), yes); }
SMX_INLINE mask v_not_below(vec a, vec b) { return NOT_BELOW(a, b); }
SMX_INLINE vec v_keep_fma(mask m, vec a, vec b, vec c) { return V(maskz_fmadd)(m, a, b, c); }
SMX_INLINE int v_all_le(vec a, vec b) { return COMPARE_LE(a, b) == first_lanes(LANES); }

SMX_INLINE vec v_low_bits_to_exponent(vec a) { return AS_REAL(SHIFT_LEFT(AS_INT(a), FRACTION_BITS)); }
SMX_INLINE vec v_minus_bits(vec a, vec b) { return AS_REAL(MINUS(AS_INT(a), AS_INT(b))); }
SMX_INLINE vec v_eighths(mask m, vec a) { return AS_REAL(SHIFT_LEFT_KEEP(m, AS_INT(a), FRACTION_BITS - 3)); }
SMX_INLINE vec v_permute(vec a, vec index) { return V(permutexvar)(AS_INT(index), a); }

/* A register holds the eight floats twice, so a further bit of an index does no harm. */
#if REAL_BITS == 32
SMX_INLINE table v_table(const real entries[8]) { return _mm512_broadcast_f32x8(_mm256_loadu_ps(entries)); }
#else
SMX_INLINE table v_table(const real entries[8]) { return v_load(entries); }
#endif
SMX_INLINE vec v_look_up(table t, vec index) { return v_permute(t, index); }

#if REAL_BITS == 32
SMX_INLINE real v_first(vec a) { return _mm512_cvtss_f32(a); }
#else
SMX_INLINE real v_first(vec a) { return _mm512_cvtsd_f64(a); }
#endif
SMX_INLINE vec v_move_down(vec a, int by) {
#if REAL_BITS == 32
    switch (by) {
    case 8:
        return _mm512_shuffle_f32x4(a, a, 0x0e);
    case 4:
        return _mm512_shuffle_f32x4(a, a, 0x01);
    case 2:
        return _mm512_permute_ps(a, 0x0e);
    default:
        return _mm512_permute_ps(a, 0x01);
    }
#else
    switch (by) {
    case 4:
        return _mm512_shuffle_f64x2(a, a, 0x0e);
    case 2:
        return _mm512_shuffle_f64x2(a, a, 0x01);
    default:
        return _mm512_permute_pd(a, 0x01);
    }
#endif
}

/* An integer below 2^FRACTION_BITS, in the significand of 2^FRACTION_BITS, makes the sum of both: no conversion is
   needed. */
SMX_INLINE vec v_exponent_field(vec a) {
    const vec base = v_set1((real)((real_bits)1 << FRACTION_BITS));
    const __m512i field = SHIFT_RIGHT(AS_INT(a), FRACTION_BITS);
    return v_sub(AS_REAL(_mm512_or_si512(field, AS_INT(base))), base);
}
SMX_INLINE vec v_significand(vec a) {
    const __m512i fraction = INTEGERS(((real_bits)1 << FRACTION_BITS) - 1);
    return AS_REAL(_mm512_or_si512(_mm512_and_si512(AS_INT(a), fraction), AS_INT(v_set1(1))));
}

/* Instructions for what reduce_weighted.inc.h makes of these two where a level has none. */
#define HAS_EXPONENT
SMX_INLINE vec v_exponent(vec a) { return V(getexp)(a); }
SMX_INLINE vec v_fraction(vec a) { return V(getmant)(a, _MM_MANT_NORM_1_2, _MM_MANT_SIGN_src); }

/* Four elements of a row fill a quarter (float) or a half (double) of a register straight from memory. Register i holds
   rows 4 q + i (float) or 4 h + i (double), and transposing within those parts leaves the rows in order. */
#if REAL_BITS == 32

SMX_INLINE void transpose_parts(vec a[4]) {
    const vec t0 = _mm512_unpacklo_ps(a[0], a[1]), t1 = _mm512_unpackhi_ps(a[0], a[1]);
    const vec t2 = _mm512_unpacklo_ps(a[2], a[3]), t3 = _mm512_unpackhi_ps(a[2], a[3]);
    a[0] = _mm512_shuffle_ps(t0, t2, 0x44);
    a[1] = _mm512_shuffle_ps(t0, t2, 0xee);
    a[2] = _mm512_shuffle_ps(t1, t3, 0x44);
    a[3] = _mm512_shuffle_ps(t1, t3, 0xee);
}
SMX_INLINE void v_load_parts(const real *const *rows, ptrdiff_t j, vec part[4]) {
    for (int i = 0; i < 4; i++) {
        vec a = _mm512_castps128_ps512(_mm_loadu_ps(rows[i] + j));
        a = _mm512_insertf32x4(a, _mm_loadu_ps(rows[4 + i] + j), 1);
        a = _mm512_insertf32x4(a, _mm_loadu_ps(rows[8 + i] + j), 2);
        part[i] = _mm512_insertf32x4(a, _mm_loadu_ps(rows[12 + i] + j), 3);
    }
}
SMX_INLINE void v_store_columns(real *const *rows, ptrdiff_t j, const vec column[4]) {
    vec a[4] = {column[0], column[1], column[2], column[3]};
    transpose_parts(a);
    for (int i = 0; i < 4; i++) {
        _mm_storeu_ps(rows[i] + j, _mm512_castps512_ps128(a[i]));
        _mm_storeu_ps(rows[4 + i] + j, _mm512_extractf32x4_ps(a[i], 1));
        _mm_storeu_ps(rows[8 + i] + j, _mm512_extractf32x4_ps(a[i], 2));
        _mm_storeu_ps(rows[12 + i] + j, _mm512_extractf32x4_ps(a[i], 3));
    }
}

#else

SMX_INLINE void transpose_parts(vec a[4]) {
    const __m512i low = _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13),
                  high = _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15);
    const vec t0 = _mm512_unpacklo_pd(a[0], a[1]), t1 = _mm512_unpackhi_pd(a[0], a[1]);
    const vec t2 = _mm512_unpacklo_pd(a[2], a[3]), t3 = _mm512_unpackhi_pd(a[2], a[3]);
    a[0] = _mm512_permutex2var_pd(t0, low, t2);
    a[1] = _mm512_permutex2var_pd(t1, low, t3);
    a[2] = _mm512_permutex2var_pd(t0, high, t2);
    a[3] = _mm512_permutex2var_pd(t1, high, t3);
}
SMX_INLINE void v_load_parts(const real *const *rows, ptrdiff_t j, vec part[4]) {
    for (int i = 0; i < 4; i++)
        part[i] = _mm512_insertf64x4(_mm512_castpd256_pd512(_mm256_loadu_pd(rows[i] + j)),
                                     _mm256_loadu_pd(rows[4 + i] + j), 1);
}
SMX_INLINE void v_store_columns(real *const *rows, ptrdiff_t j, const vec column[4]) {
    vec a[4] = {column[0], column[1], column[2], column[3]};
    transpose_parts(a);
    for (int i = 0; i < 4; i++) {
        _mm256_storeu_pd(rows[i] + j, _mm512_castpd512_pd256(a[i]));
        _mm256_storeu_pd(rows[4 + i] + j, _mm512_extractf64x4_pd(a[i], 1));
    }
}

#endif

#define HAS_PARTS
SMX_INLINE void v_load_columns(const real *const *rows, ptrdiff_t j, vec column[4]) {
    v_load_parts(rows, j, column);
    transpose_parts(column);
}

#if REAL_BITS == 32
#define INDEX(...) _mm512_setr_epi32(__VA_ARGS__)
#define LESS(index, k) _mm512_sub_epi32(index, _mm512_set1_epi32(k))
#define TIMES_3 INDEX(0, 3, 6, 9, 12, 15, 2, 5, 8, 11, 14, 1, 4, 7, 10, 13)
#define TIMES_11 INDEX(0, 11, 6, 1, 12, 7, 2, 13, 8, 3, 14, 9, 4, 15, 10, 5) /* a third, modulo LANES */
#define THIRD(k) LESS(TIMES_11, 11 * (k))
#define EVENS INDEX(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30)
#define HALVES INDEX(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define SECOND_AND_FIFTH 0x2492 /* lanes 1, 4, 7, ... */
#define THIRD_AND_SIXTH 0x4924  /* lanes 2, 5, 8, ... */
#else
#define INDEX(...) _mm512_setr_epi64(__VA_ARGS__)
#define LESS(index, k) _mm512_sub_epi64(index, _mm512_set1_epi64(k))
#define TIMES_3 INDEX(0, 3, 6, 1, 4, 7, 2, 5) /* also a third, modulo LANES */
#define THIRD(k) LESS(TIMES_3, 3 * (k))
#define EVENS INDEX(0, 2, 4, 6, 8, 10, 12, 14)
#define HALVES INDEX(0, 8, 1, 9, 2, 10, 3, 11)
#define SECOND_AND_FIFTH 0x92
#define THIRD_AND_SIXTH 0x24
#endif

SMX_INLINE void v_load_pairs(const real *p, vec column[2]) {
    const vec a = v_load(p), b = v_load(p + LANES);
    column[0] = V(permutex2var)(a, EVENS, b);
    column[1] = V(permutex2var)(a, LESS(EVENS, -1), b);
}
SMX_INLINE void v_store_pairs(real *p, const vec column[2]) {
    v_store(p, V(permutex2var)(column[0], HALVES, column[1]));
    v_store(p + LANES, V(permutex2var)(column[0], LESS(HALVES, -LANES / 2), column[1]));
}

/* Number f of the 3 LANES in memory is lane f % LANES of register f / LANES, and lane f / 3 of column f % 3. So a lane
   belongs to another column in each register. Two blends gather a column, out of order: lane i of the column is then at
   (3 i + k) % LANES. The stores do the reverse. */
SMX_INLINE vec every_third(vec a, vec b, vec c) {
    return V(mask_blend)(THIRD_AND_SIXTH, V(mask_blend)(SECOND_AND_FIFTH, a, b), c);
}
SMX_INLINE vec in_order(__m512i index, vec a) { return V(permutexvar)(index, a); }

SMX_INLINE void v_load_triples(const real *p, vec column[3]) {
    const vec r[3] = {v_load(p), v_load(p + LANES), v_load(p + 2 * LANES)};
    for (int k = 0; k < 3; k++) {
        const int back = 3 - LANES % 3; /* LANES is its own inverse modulo 3 */
        const vec mixed = every_third(r[k * LANES % 3], r[(k * LANES + back) % 3], r[(k * LANES + 2 * back) % 3]);
        column[k] = in_order(LESS(TIMES_3, -k), mixed);
    }
}
SMX_INLINE void v_store_triples(real *p, const vec column[3]) {
    const vec c[3] = {in_order(THIRD(0), column[0]), in_order(THIRD(1), column[1]), in_order(THIRD(2), column[2])};
    for (int k = 0; k < 3; k++)
        v_store(p + k * LANES, every_third(c[k * LANES % 3], c[(k * LANES + 1) % 3], c[(k * LANES + 2) % 3]));
}

SMX_INLINE vec v_select_bytes(const unsigned char *p, ptrdiff_t count, vec a, vec fill) {
    const __m128i bytes = _mm_maskz_loadu_epi8(first_lanes(count), p);
    return V(mask_mov)(fill, (mask)_mm_test_epi8_mask(bytes, bytes), a);
}

#include "quads_avx.h"

#if REAL_BITS == 32

typedef __m256i halves;

SMX_INLINE halves v_load_halves(const char *p, ptrdiff_t count) {
    return _mm256_maskz_loadu_epi16(first_lanes(count), p);
}
SMX_INLINE void v_store_halves(char *p, ptrdiff_t count, halves h) {
    _mm256_mask_storeu_epi16(p, first_lanes(count), h);
}

SMX_INLINE vec v_from_float16(halves h) { return _mm512_cvtph_ps(h); }
SMX_INLINE halves v_to_float16(vec a) { return _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }

SMX_INLINE vec v_from_bfloat16(halves h) { return AS_REAL(SHIFT_LEFT(_mm512_cvtepu16_epi32(h), 16)); }
/* The upper half of each lane becomes its bfloat16 number. */
SMX_INLINE __m512i rounded_to_bfloat16(vec a) {
    const __m512i bits = AS_INT(a), rounded = _mm512_add_epi32(bits, INTEGERS(0x7fff));
    return _mm512_mask_add_epi32(rounded, _mm512_test_epi32_mask(bits, INTEGERS(0x10000)), rounded, INTEGERS(1));
}
SMX_INLINE halves v_to_bfloat16(vec a) { return _mm512_cvtepi32_epi16(SHIFT_RIGHT(rounded_to_bfloat16(a), 16)); }

/* Every second number belongs to the same vector, so that nothing has to be moved between lanes. */
#define HAS_TWO_BFLOAT16
SMX_INLINE void v_load_two_bfloat16(const char *p, vec *evens, vec *odds) {
    const __m512i both = _mm512_loadu_si512(p);
    *evens = AS_REAL(SHIFT_LEFT(both, 16));
    *odds = AS_REAL(_mm512_and_si512(both, INTEGERS(0xffff0000)));
}
SMX_INLINE void v_store_two_bfloat16(char *p, vec evens, vec odds) {
    const __m512i lower = SHIFT_RIGHT(rounded_to_bfloat16(evens), 16);
    _mm512_storeu_si512(p, _mm512_mask_blend_epi16(0xaaaaaaaa, lower, rounded_to_bfloat16(odds)));
}

typedef __m512d doubles;

SMX_INLINE doubles doubles_zero(void) { return _mm512_setzero_pd(); }
SMX_INLINE doubles doubles_add(doubles a, doubles b) { return _mm512_add_pd(a, b); }
SMX_INLINE doubles doubles_sub(doubles a, doubles b) { return _mm512_sub_pd(a, b); }
SMX_INLINE doubles doubles_get(const double *p) { return _mm512_loadu_pd(p); }
SMX_INLINE void doubles_put(double *p, doubles a) { _mm512_storeu_pd(p, a); }
SMX_INLINE doubles doubles_lower(vec a) { return _mm512_cvtps_pd(_mm512_castps512_ps256(a)); }
SMX_INLINE doubles doubles_upper(vec a) { return _mm512_cvtps_pd(_mm512_extractf32x8_ps(a, 1)); }
SMX_INLINE double doubles_sum(doubles by_8) {
    const __m256d by_4 = _mm256_add_pd(_mm512_castpd512_pd256(by_8), _mm512_extractf64x4_pd(by_8, 1));
    const __m128d by_2 = _mm_add_pd(_mm256_castpd256_pd128(by_4), _mm256_extractf128_pd(by_4, 1));
    return _mm_cvtsd_f64(_mm_add_sd(by_2, _mm_unpackhi_pd(by_2, by_2)));
}

#include "wide.inc.h"

SMX_INLINE vec v_wide_round(wide s) {
    return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(s.lower)), _mm512_cvtpd_ps(s.upper), 1);
}

SMX_INLINE wide v_wide_of_quads(const quad s[LANES]) {
    return wide_of(_mm512_insertf64x4(_mm512_castpd256_pd512(sums_of_quads(s)), sums_of_quads(s + 4), 1),
                   _mm512_insertf64x4(_mm512_castpd256_pd512(sums_of_quads(s + 8)), sums_of_quads(s + 12), 1));
}

#endif
