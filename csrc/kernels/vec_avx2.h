/* Vectors of level "avx2": 8 floats or 4 doubles, with AVX2, FMA and F16C. vec_scalar.h says what each operation
   means. */

#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#define END_OF_TARGET _Pragma("clang attribute pop")
#elif defined(__GNUC__)
#pragma GCC target("avx2,fma,f16c")
#define END_OF_TARGET
#else
#define END_OF_TARGET
#endif

#include "real.h"

#define LEVEL avx2

#if REAL_BITS == 32
#define LANES 8
typedef __m256 vec;
#define V(name) _mm256_##name##_ps
#define AS_INT _mm256_castps_si256
#define AS_REAL _mm256_castsi256_ps
#define SHIFT_LEFT _mm256_slli_epi32
#define SHIFT_RIGHT _mm256_srli_epi32
#define MINUS _mm256_sub_epi32
#define INTEGERS(x) _mm256_set1_epi32((int)(x))
#define BLEND _mm256_blend_ps
#else
#define LANES 4
typedef __m256d vec;
#define V(name) _mm256_##name##_pd
#define AS_INT _mm256_castpd_si256
#define AS_REAL _mm256_castsi256_pd
#define SHIFT_LEFT _mm256_slli_epi64
#define SHIFT_RIGHT _mm256_srli_epi64
#define MINUS _mm256_sub_epi64
#define INTEGERS(x) _mm256_set1_epi64x((long long)(x))
#define BLEND _mm256_blend_pd
#endif

SMX_INLINE vec v_set1(real x) { return V(set1)(x); }
SMX_INLINE vec v_load(const real *p) { return V(loadu)(p); }
SMX_INLINE void v_store(real *p, vec a) { V(storeu)(p, a); }
SMX_INLINE vec v_load_bytes(const char *p) { return AS_REAL(_mm256_loadu_si256((const __m256i *)p)); }
SMX_INLINE vec v_swap_bytes(vec a) {
#if REAL_BITS == 32
    const __m128i order = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
#else
    const __m128i order = _mm_set_epi8(8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
#endif
    return AS_REAL(_mm256_shuffle_epi8(AS_INT(a), _mm256_broadcastsi128_si256(order)));
}
SMX_INLINE void v_stream(real *p, vec a) { V(stream)(p, a); }
SMX_INLINE void v_stream_end(void) { _mm_sfence(); }

SMX_INLINE __m256i first_lanes(ptrdiff_t count) {
#if REAL_BITS == 32
    const int first = count >= LANES ? LANES : count > 0 ? (int)count : 0;
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(first), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
#else
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(count), _mm256_setr_epi64x(0, 1, 2, 3));
#endif
}
SMX_INLINE vec v_load_first(const real *p, ptrdiff_t count, vec fill) {
    const __m256i lanes = first_lanes(count);
    return V(blendv)(fill, V(maskload)(p, lanes), AS_REAL(lanes));
}
SMX_INLINE void v_store_first(real *p, ptrdiff_t count, vec a) { V(maskstore)(p, first_lanes(count), a); }

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

SMX_INLINE vec v_select_le(vec a, vec b, vec yes, vec no) { return V(blendv)(no, yes, V(cmp)(a, b, _CMP_LE_OQ)); }
SMX_INLINE vec v_keep_le(vec a, vec b, vec yes) { return V(and)(yes, V(cmp)(a, b, _CMP_LE_OQ)); }
typedef vec mask;
SMX_INLINE mask v_not_below(vec a, vec b) { return V(cmp)(a, b, _CMP_NLT_UQ); }
SMX_INLINE vec v_keep(mask m, vec a) { return V(and)(m, a); }
SMX_INLINE vec v_keep_fma(mask m, vec a, vec b, vec c) { return v_keep(m, v_fma(a, b, c)); }
SMX_INLINE int v_all_le(vec a, vec b) { return V(movemask)(V(cmp)(a, b, _CMP_LE_OQ)) == (1 << LANES) - 1; }

SMX_INLINE vec v_low_bits_to_exponent(vec a) { return AS_REAL(SHIFT_LEFT(AS_INT(a), FRACTION_BITS)); }
SMX_INLINE vec v_minus_bits(vec a, vec b) { return AS_REAL(MINUS(AS_INT(a), AS_INT(b))); }
SMX_INLINE vec v_eighths(mask m, vec a) { return v_keep(m, AS_REAL(SHIFT_LEFT(AS_INT(a), FRACTION_BITS - 3))); }

/* Eight floats can be looked up at once; doubles can be looked up only as pairs of floats. */
#if REAL_BITS == 32
typedef vec table;
SMX_INLINE vec v_permute(vec a, vec index) { return _mm256_permutevar8x32_ps(a, AS_INT(index)); }
SMX_INLINE table v_table(const real entries[8]) { return v_load(entries); }
SMX_INLINE vec v_look_up(table t, vec index) { return v_permute(t, index); }
#else
/* The lower halves of the entries, and the upper halves. */
typedef struct {
    __m256 lower, upper;
} table;
SMX_INLINE table v_table(const real entries[8]) {
    const __m256 first = _mm256_castpd_ps(v_load(entries)), last = _mm256_castpd_ps(v_load(entries + 4));
    const __m256i evens = _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6), odds = _mm256_setr_epi32(1, 3, 5, 7, 1, 3, 5, 7);
    const table t = {
        _mm256_blend_ps(_mm256_permutevar8x32_ps(first, evens), _mm256_permutevar8x32_ps(last, evens), 0xf0),
        _mm256_blend_ps(_mm256_permutevar8x32_ps(first, odds), _mm256_permutevar8x32_ps(last, odds), 0xf0)};
    return t;
}
SMX_INLINE vec v_look_up(table t, vec index) {
    const __m256 lower = _mm256_permutevar8x32_ps(t.lower, AS_INT(index));
    const __m256 upper = _mm256_permutevar8x32_ps(t.upper, SHIFT_LEFT(AS_INT(index), 32));
    return _mm256_castps_pd(_mm256_blend_ps(lower, upper, 0xaa));
}
/* Lane j of the doubles is floats 2 j and 2 j + 1. */
SMX_INLINE vec v_permute(vec a, vec index) {
    const __m256i twice = _mm256_shuffle_epi32(_mm256_add_epi32(AS_INT(index), AS_INT(index)), 0xa0);
    const __m256i floats = _mm256_or_si256(twice, _mm256_set1_epi64x((long long)1 << 32));
    return _mm256_castps_pd(_mm256_permutevar8x32_ps(_mm256_castpd_ps(a), floats));
}
#endif

#if REAL_BITS == 32
SMX_INLINE real v_first(vec a) { return _mm256_cvtss_f32(a); }
#else
SMX_INLINE real v_first(vec a) { return _mm256_cvtsd_f64(a); }
#endif
SMX_INLINE vec v_move_down(vec a, int by) {
#if REAL_BITS == 32
    switch (by) {
    case 4:
        return _mm256_permute2f128_ps(a, a, 0x01);
    case 2:
        return _mm256_permute_ps(a, 0x0e);
    default:
        return _mm256_permute_ps(a, 0x01);
    }
#else
    switch (by) {
    case 2:
        return _mm256_permute2f128_pd(a, a, 0x01);
    default:
        return _mm256_permute_pd(a, 0x05);
    }
#endif
}

/* An integer below 2^FRACTION_BITS, in the significand of 2^FRACTION_BITS, makes the sum of both: no conversion is
   needed. */
SMX_INLINE vec v_exponent_field(vec a) {
    const vec base = v_set1((real)((real_bits)1 << FRACTION_BITS));
    return v_sub(V(or)(AS_REAL(SHIFT_RIGHT(AS_INT(a), FRACTION_BITS)), base), base);
}
SMX_INLINE vec v_significand(vec a) {
    const vec fraction = AS_REAL(INTEGERS(((real_bits)1 << FRACTION_BITS) - 1));
    return V(or)(V(and)(a, fraction), v_set1(1));
}

/* Float: four elements of a row fill half a register straight from memory; register i holds rows i and 4 + i, and
   transposing within the halves leaves the rows in order. Double: four elements of a row fill a register. */
#if REAL_BITS == 32

SMX_INLINE void transpose_parts(vec a[4]) {
    const vec t0 = _mm256_unpacklo_ps(a[0], a[1]), t1 = _mm256_unpackhi_ps(a[0], a[1]);
    const vec t2 = _mm256_unpacklo_ps(a[2], a[3]), t3 = _mm256_unpackhi_ps(a[2], a[3]);
    a[0] = _mm256_shuffle_ps(t0, t2, 0x44);
    a[1] = _mm256_shuffle_ps(t0, t2, 0xee);
    a[2] = _mm256_shuffle_ps(t1, t3, 0x44);
    a[3] = _mm256_shuffle_ps(t1, t3, 0xee);
}
SMX_INLINE void v_load_parts(const real *const *rows, ptrdiff_t j, vec part[4]) {
    for (int i = 0; i < 4; i++)
        part[i] =
            _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(rows[i] + j)), _mm_loadu_ps(rows[4 + i] + j), 1);
}
SMX_INLINE void v_store_columns(real *const *rows, ptrdiff_t j, const vec column[4]) {
    vec a[4] = {column[0], column[1], column[2], column[3]};
    transpose_parts(a);
    for (int i = 0; i < 4; i++) {
        _mm_storeu_ps(rows[i] + j, _mm256_castps256_ps128(a[i]));
        _mm_storeu_ps(rows[4 + i] + j, _mm256_extractf128_ps(a[i], 1));
    }
}

#else

SMX_INLINE void transpose_parts(vec a[4]) {
    const vec t0 = _mm256_unpacklo_pd(a[0], a[1]), t1 = _mm256_unpackhi_pd(a[0], a[1]);
    const vec t2 = _mm256_unpacklo_pd(a[2], a[3]), t3 = _mm256_unpackhi_pd(a[2], a[3]);
    a[0] = _mm256_permute2f128_pd(t0, t2, 0x20);
    a[1] = _mm256_permute2f128_pd(t1, t3, 0x20);
    a[2] = _mm256_permute2f128_pd(t0, t2, 0x31);
    a[3] = _mm256_permute2f128_pd(t1, t3, 0x31);
}
SMX_INLINE void v_load_parts(const real *const *rows, ptrdiff_t j, vec part[4]) {
    for (int i = 0; i < 4; i++)
        part[i] = _mm256_loadu_pd(rows[i] + j);
}
SMX_INLINE void v_store_columns(real *const *rows, ptrdiff_t j, const vec column[4]) {
    vec a[4] = {column[0], column[1], column[2], column[3]};
    transpose_parts(a);
    for (int i = 0; i < 4; i++)
        _mm256_storeu_pd(rows[i] + j, a[i]);
}

#endif

#define HAS_PARTS
SMX_INLINE void v_load_columns(const real *const *rows, ptrdiff_t j, vec column[4]) {
    v_load_parts(rows, j, column);
    transpose_parts(column);
}

SMX_INLINE void v_load_pairs(const real *p, vec column[2]) {
    const vec a = v_load(p), b = v_load(p + LANES);
#if REAL_BITS == 32
    const __m256d even = _mm256_castps_pd(_mm256_shuffle_ps(a, b, 0x88)),
                  odd = _mm256_castps_pd(_mm256_shuffle_ps(a, b, 0xdd));
    column[0] = _mm256_castpd_ps(_mm256_permute4x64_pd(even, 0xd8));
    column[1] = _mm256_castpd_ps(_mm256_permute4x64_pd(odd, 0xd8));
#else
    column[0] = _mm256_permute4x64_pd(_mm256_unpacklo_pd(a, b), 0xd8);
    column[1] = _mm256_permute4x64_pd(_mm256_unpackhi_pd(a, b), 0xd8);
#endif
}
SMX_INLINE void v_store_pairs(real *p, const vec column[2]) {
    const vec low = V(unpacklo)(column[0], column[1]), high = V(unpackhi)(column[0], column[1]);
#if REAL_BITS == 32
    v_store(p, _mm256_permute2f128_ps(low, high, 0x20));
    v_store(p + LANES, _mm256_permute2f128_ps(low, high, 0x31));
#else
    v_store(p, _mm256_permute2f128_pd(low, high, 0x20));
    v_store(p + LANES, _mm256_permute2f128_pd(low, high, 0x31));
#endif
}

/* Three registers hold LANES triples, and a lane belongs to another column in each register. So two blends gather a
   column, out of order, and a permutation puts it in order; the stores do the reverse. */
#if REAL_BITS == 32
#define ORDER(a, ...) _mm256_permutevar8x32_ps(a, _mm256_setr_epi32(__VA_ARGS__))
#define ONE_COLUMN(a, b, c) BLEND(BLEND(a, b, 0x92), c, 0x24) /* lanes of a: 0 3 6; b: 1 4 7; c: 2 5 */
SMX_INLINE void v_load_triples(const real *p, vec column[3]) {
    const vec a = v_load(p), b = v_load(p + LANES), c = v_load(p + 2 * LANES);
    column[0] = ORDER(ONE_COLUMN(a, b, c), 0, 3, 6, 1, 4, 7, 2, 5);
    column[1] = ORDER(ONE_COLUMN(c, a, b), 1, 4, 7, 2, 5, 0, 3, 6);
    column[2] = ORDER(ONE_COLUMN(b, c, a), 2, 5, 0, 3, 6, 1, 4, 7);
}
SMX_INLINE void v_store_triples(real *p, const vec column[3]) {
    const vec a = ORDER(column[0], 0, 3, 6, 1, 4, 7, 2, 5), b = ORDER(column[1], 5, 0, 3, 6, 1, 4, 7, 2);
    const vec c = ORDER(column[2], 2, 5, 0, 3, 6, 1, 4, 7);
    v_store(p, ONE_COLUMN(a, b, c));
    v_store(p + LANES, ONE_COLUMN(c, a, b));
    v_store(p + 2 * LANES, ONE_COLUMN(b, c, a));
}
#else
#define ONE_COLUMN(a, b, c) BLEND(BLEND(a, b, 0x2), c, 0x4) /* lanes of a: 0 3; b: 1; c: 2 */
SMX_INLINE void v_load_triples(const real *p, vec column[3]) {
    const vec a = v_load(p), b = v_load(p + LANES), c = v_load(p + 2 * LANES);
    column[0] = _mm256_permute4x64_pd(ONE_COLUMN(a, c, b), 0x6c); /* 0 3 2 1 */
    column[1] = _mm256_permute4x64_pd(ONE_COLUMN(b, a, c), 0xb1); /* 1 0 3 2 */
    column[2] = _mm256_permute4x64_pd(ONE_COLUMN(c, b, a), 0xc6); /* 2 1 0 3 */
}
SMX_INLINE void v_store_triples(real *p, const vec column[3]) {
    const vec a = _mm256_permute4x64_pd(column[0], 0x6c), b = _mm256_permute4x64_pd(column[1], 0xb1);
    const vec c = _mm256_permute4x64_pd(column[2], 0xc6);
    v_store(p, ONE_COLUMN(a, b, c));
    v_store(p + LANES, ONE_COLUMN(b, c, a));
    v_store(p + 2 * LANES, ONE_COLUMN(c, a, b));
}
#endif

SMX_INLINE vec v_select_bytes(const unsigned char *p, ptrdiff_t count, vec a, vec fill) {
    unsigned char few[LANES] = {0};
    if (count < LANES)
        p = memcpy(few, p, (size_t)count);
#if REAL_BITS == 32
    const __m256i bytes = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p));
    return V(blendv)(a, fill, AS_REAL(_mm256_cmpeq_epi32(bytes, _mm256_setzero_si256())));
#else
    int four;
    memcpy(&four, p, sizeof four);
    const __m256i bytes = _mm256_cvtepu8_epi64(_mm_cvtsi32_si128(four));
    return V(blendv)(a, fill, AS_REAL(_mm256_cmpeq_epi64(bytes, _mm256_setzero_si256())));
#endif
}

#include "quads_avx.h"

#if REAL_BITS == 32

typedef __m128i halves;

SMX_INLINE halves v_load_halves(const char *p, ptrdiff_t count) {
    char few[sizeof(halves)] = {0};
    return _mm_loadu_si128((const __m128i *)(count < LANES ? memcpy(few, p, (size_t)(2 * count)) : p));
}
SMX_INLINE void v_store_halves(char *p, ptrdiff_t count, halves h) {
    char few[sizeof(halves)];
    _mm_storeu_si128((__m128i *)(count < LANES ? few : p), h);
    if (count < LANES)
        memcpy(p, few, (size_t)(2 * count));
}

SMX_INLINE vec v_from_float16(halves h) { return _mm256_cvtph_ps(h); }
SMX_INLINE halves v_to_float16(vec a) { return _mm256_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT); }

SMX_INLINE vec v_from_bfloat16(halves h) { return AS_REAL(SHIFT_LEFT(_mm256_cvtepu16_epi32(h), 16)); }
/* The upper half of each lane becomes its bfloat16 number. */
SMX_INLINE __m256i rounded_to_bfloat16(vec a) {
    const __m256i bits = AS_INT(a), odd = _mm256_and_si256(SHIFT_RIGHT(bits, 16), INTEGERS(1));
    return _mm256_add_epi32(_mm256_add_epi32(bits, INTEGERS(0x7fff)), odd);
}
SMX_INLINE halves v_to_bfloat16(vec a) {
    const __m256i half = SHIFT_RIGHT(rounded_to_bfloat16(a), 16);
    return _mm256_castsi256_si128(_mm256_permute4x64_epi64(_mm256_packus_epi32(half, half), 0x08));
}

/* Every second number belongs to the same vector, so that nothing has to be moved between lanes. */
#define HAS_TWO_BFLOAT16
SMX_INLINE void v_load_two_bfloat16(const char *p, vec *evens, vec *odds) {
    const __m256i both = _mm256_loadu_si256((const __m256i *)p);
    *evens = AS_REAL(SHIFT_LEFT(both, 16));
    *odds = AS_REAL(_mm256_and_si256(both, INTEGERS(0xffff0000)));
}
SMX_INLINE void v_store_two_bfloat16(char *p, vec evens, vec odds) {
    const __m256i lower = SHIFT_RIGHT(rounded_to_bfloat16(evens), 16);
    _mm256_storeu_si256((__m256i *)p, _mm256_blend_epi16(lower, rounded_to_bfloat16(odds), 0xaa));
}

typedef __m256d doubles;

SMX_INLINE doubles doubles_zero(void) { return _mm256_setzero_pd(); }
SMX_INLINE doubles doubles_add(doubles a, doubles b) { return _mm256_add_pd(a, b); }
SMX_INLINE doubles doubles_sub(doubles a, doubles b) { return _mm256_sub_pd(a, b); }
SMX_INLINE doubles doubles_get(const double *p) { return _mm256_loadu_pd(p); }
SMX_INLINE void doubles_put(double *p, doubles a) { _mm256_storeu_pd(p, a); }
SMX_INLINE doubles doubles_lower(vec a) { return _mm256_cvtps_pd(_mm256_castps256_ps128(a)); }
SMX_INLINE doubles doubles_upper(vec a) { return _mm256_cvtps_pd(_mm256_extractf128_ps(a, 1)); }
SMX_INLINE double doubles_sum(doubles by_4) {
    const __m128d by_2 = _mm_add_pd(_mm256_castpd256_pd128(by_4), _mm256_extractf128_pd(by_4, 1));
    return _mm_cvtsd_f64(_mm_add_sd(by_2, _mm_unpackhi_pd(by_2, by_2)));
}

#include "wide.inc.h"

SMX_INLINE vec v_wide_round(wide s) { return _mm256_set_m128(_mm256_cvtpd_ps(s.upper), _mm256_cvtpd_ps(s.lower)); }

SMX_INLINE wide v_wide_of_quads(const quad s[LANES]) { return wide_of(sums_of_quads(s), sums_of_quads(s + 4)); }

#endif
