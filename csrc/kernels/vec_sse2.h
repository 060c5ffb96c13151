/* Vectors of level "sse2": 4 floats or 2 doubles, with what every 64-bit x86 has. vec_scalar.h says what each operation
   means. There is no fused multiply-add: fma.inc.h makes one, at some thirty instructions. */

#include <emmintrin.h>

#include "real.h"

#define LEVEL sse2
#define END_OF_TARGET

#if REAL_BITS == 32
#define LANES 4
typedef __m128 vec;
#define V(name) _mm_##name##_ps
#define AS_INT _mm_castps_si128
#define AS_REAL _mm_castsi128_ps
#define SHIFT_LEFT _mm_slli_epi32
#define SHIFT_RIGHT _mm_srli_epi32
#define MINUS _mm_sub_epi32
#define INTEGERS(x) _mm_set1_epi32((int)(x))
#else
#define LANES 2
typedef __m128d vec;
#define V(name) _mm_##name##_pd
#define AS_INT _mm_castpd_si128
#define AS_REAL _mm_castsi128_pd
#define SHIFT_LEFT _mm_slli_epi64
#define SHIFT_RIGHT _mm_srli_epi64
#define MINUS _mm_sub_epi64
#define INTEGERS(x) _mm_set1_epi64x((long long)(x))
#endif

SMX_INLINE vec v_set1(real x) { return V(set1)(x); }
SMX_INLINE vec v_load(const real *p) { return V(loadu)(p); }
SMX_INLINE void v_store(real *p, vec a) { V(storeu)(p, a); }
SMX_INLINE vec v_load_bytes(const char *p) { return AS_REAL(_mm_loadu_si128((const __m128i *)p)); }
/* First the order of the halves of 16 bits, then that of their bytes. */
SMX_INLINE vec v_swap_bytes(vec a) {
    enum { ORDER = REAL_BITS == 32 ? 0xb1 : 0x1b };
    const __m128i halves = _mm_shufflehi_epi16(_mm_shufflelo_epi16(AS_INT(a), ORDER), ORDER);
    return AS_REAL(_mm_or_si128(_mm_slli_epi16(halves, 8), _mm_srli_epi16(halves, 8)));
}
SMX_INLINE void v_stream(real *p, vec a) { V(stream)(p, a); }
SMX_INLINE void v_stream_end(void) { _mm_sfence(); }

/* There are no masked moves: a few scalar ones through the stack. */
SMX_INLINE vec v_load_first(const real *p, ptrdiff_t count, vec fill) {
    real lane[LANES];
    v_store(lane, fill);
    for (ptrdiff_t i = 0; i < count && i < LANES; i++)
        lane[i] = p[i];
    return v_load(lane);
}
SMX_INLINE void v_store_first(real *p, ptrdiff_t count, vec a) {
    real lane[LANES];
    v_store(lane, a);
    for (ptrdiff_t i = 0; i < count && i < LANES; i++)
        p[i] = lane[i];
}

typedef __m128d doubles;

SMX_INLINE doubles doubles_add(doubles a, doubles b) { return _mm_add_pd(a, b); }
SMX_INLINE doubles doubles_sub(doubles a, doubles b) { return _mm_sub_pd(a, b); }
SMX_INLINE doubles doubles_mul(doubles a, doubles b) { return _mm_mul_pd(a, b); }
#if REAL_BITS == 32
/* Integers grow as the numbers move away from 0: one less where e points to it, then the last bit set. */
SMX_INLINE doubles doubles_odd(doubles s, doubles e) {
    const doubles outward = _mm_xor_pd(e, _mm_and_pd(s, _mm_set1_pd(-0.0)));
    const __m128i less = _mm_castpd_si128(_mm_cmplt_pd(outward, _mm_setzero_pd()));
    const __m128i more = _mm_castpd_si128(_mm_cmpgt_pd(outward, _mm_setzero_pd()));
    const __m128i last = _mm_srli_epi64(_mm_or_si128(less, more), 63);
    return _mm_castsi128_pd(_mm_or_si128(_mm_add_epi64(_mm_castpd_si128(s), less), last));
}
#else
SMX_INLINE doubles doubles_half(doubles a) {
    const __m128i rounded = _mm_add_epi64(AS_INT(a), INTEGERS((real_bits)1 << 26));
    return AS_REAL(_mm_and_si128(rounded, INTEGERS(~(real_bits)0 << 27)));
}
SMX_INLINE doubles is_small(doubles p) {
    return _mm_cmplt_pd(_mm_andnot_pd(_mm_set1_pd(-0.0), p), _mm_set1_pd(FMA_SMALL));
}
SMX_INLINE doubles is_power(doubles a) {
    const doubles one = _mm_set1_pd(1), fraction = AS_REAL(INTEGERS(((real_bits)1 << FRACTION_BITS) - 1));
    return _mm_cmpeq_pd(_mm_or_pd(_mm_and_pd(a, fraction), one), one);
}
SMX_INLINE int doubles_suspect(doubles p, doubles z, doubles lost) {
    return _mm_movemask_pd(_mm_or_pd(_mm_or_pd(is_small(p), is_power(lost)), _mm_cmpunord_pd(z, z))) != 0;
}
SMX_INLINE int doubles_doubt(doubles a, doubles b, doubles p, doubles z, doubles lost, doubles before) {
    const doubles zero = _mm_setzero_pd(), exact = _mm_or_pd(_mm_cmpeq_pd(a, zero), _mm_cmpeq_pd(b, zero));
    const doubles inexact = _mm_and_pd(_mm_cmpneq_pd(before, zero), _mm_cmpneq_pd(lost, zero));
    const doubles doubt = _mm_or_pd(_mm_andnot_pd(exact, is_small(p)), _mm_and_pd(is_power(lost), inexact));
    return _mm_movemask_pd(_mm_or_pd(doubt, _mm_cmpunord_pd(z, z))) != 0;
}
SMX_INLINE doubles doubles_join(doubles a, doubles b, doubles z) {
    return _mm_or_pd(z, _mm_and_pd(_mm_and_pd(a, b), _mm_set1_pd(-0.0)));
}
#endif

#include "fma.inc.h"

#if REAL_BITS == 32
SMX_APART vec v_fma(vec a, vec b, vec c) {
    const __m128 lower = _mm_cvtpd_ps(doubles_fma_of_floats(_mm_cvtps_pd(a), _mm_cvtps_pd(b), _mm_cvtps_pd(c)));
    a = _mm_movehl_ps(a, a), b = _mm_movehl_ps(b, b), c = _mm_movehl_ps(c, c);
    const __m128 upper = _mm_cvtpd_ps(doubles_fma_of_floats(_mm_cvtps_pd(a), _mm_cvtps_pd(b), _mm_cvtps_pd(c)));
    return _mm_movelh_ps(lower, upper);
}
#else
SMX_INLINE vec v_fma(vec a, vec b, vec c) { return doubles_fma_exactly(a, b, c); }
#endif
SMX_INLINE vec v_negative(vec a) { return V(xor)(a, v_set1((real)-0.0)); }

SMX_INLINE vec v_add(vec a, vec b) { return V(add)(a, b); }
SMX_INLINE vec v_sub(vec a, vec b) { return V(sub)(a, b); }
SMX_INLINE vec v_mul(vec a, vec b) { return V(mul)(a, b); }
SMX_INLINE vec v_div(vec a, vec b) { return V(div)(a, b); }
SMX_INLINE vec v_fms(vec a, vec b, vec c) { return v_fma(a, b, v_negative(c)); }
SMX_INLINE vec v_fnma(vec a, vec b, vec c) { return v_fma(v_negative(a), b, c); }
SMX_INLINE vec v_sub_fused(vec a, vec b) { return v_sub(a, b); }
SMX_INLINE vec v_max(vec a, vec b) { return V(max)(a, b); }
SMX_INLINE vec v_min(vec a, vec b) { return V(min)(a, b); }

SMX_INLINE vec choose(vec where, vec yes, vec no) { return V(or)(V(and)(where, yes), V(andnot)(where, no)); }
SMX_INLINE vec v_select_le(vec a, vec b, vec yes, vec no) { return choose(V(cmple)(a, b), yes, no); }
SMX_INLINE vec v_keep_le(vec a, vec b, vec yes) { return V(and)(yes, V(cmple)(a, b)); }
typedef vec mask;
SMX_INLINE mask v_not_below(vec a, vec b) { return V(cmpnlt)(a, b); }
SMX_INLINE vec v_keep(mask m, vec a) { return V(and)(m, a); }
SMX_INLINE vec v_keep_fma(mask m, vec a, vec b, vec c) { return v_keep(m, v_fma(a, b, c)); }
SMX_INLINE int v_all_le(vec a, vec b) { return V(movemask)(V(cmple)(a, b)) == (1 << LANES) - 1; }

SMX_INLINE vec v_low_bits_to_exponent(vec a) { return AS_REAL(SHIFT_LEFT(AS_INT(a), FRACTION_BITS)); }
SMX_INLINE vec v_minus_bits(vec a, vec b) { return AS_REAL(MINUS(AS_INT(a), AS_INT(b))); }
SMX_INLINE vec v_eighths(mask m, vec a) { return v_keep(m, AS_REAL(SHIFT_LEFT(AS_INT(a), FRACTION_BITS - 3))); }

/* Tables are looked up in memory, lane by lane. */
typedef struct {
    real entry[8];
} table;
SMX_INLINE vec look_up(const real *entries, real_bits last, vec index) {
    real lane[LANES];
    v_store(lane, index);
    for (int i = 0; i < LANES; i++)
        lane[i] = entries[bits_of_real(lane[i]) & last];
    return v_load(lane);
}
SMX_INLINE table v_table(const real entries[8]) {
    table t;
    memcpy(t.entry, entries, sizeof t.entry);
    return t;
}
SMX_INLINE vec v_look_up(table t, vec index) { return look_up(t.entry, 7, index); }
SMX_INLINE vec v_permute(vec a, vec index) {
    real lane[LANES];
    v_store(lane, a);
    return look_up(lane, LANES - 1, index);
}

#if REAL_BITS == 32
SMX_INLINE real v_first(vec a) { return _mm_cvtss_f32(a); }
#else
SMX_INLINE real v_first(vec a) { return _mm_cvtsd_f64(a); }
#endif
SMX_INLINE vec v_move_down(vec a, int by) {
#if REAL_BITS == 32
    return by == 2 ? _mm_movehl_ps(a, a) : _mm_shuffle_ps(a, a, 0x39);
#else
    (void)by;
    return _mm_unpackhi_pd(a, a);
#endif
}

/* An integer below 2^FRACTION_BITS in the significand of 2^FRACTION_BITS is that sum: no conversion is needed. */
SMX_INLINE vec v_exponent_field(vec a) {
    const vec base = v_set1((real)((real_bits)1 << FRACTION_BITS));
    return v_sub(V(or)(AS_REAL(SHIFT_RIGHT(AS_INT(a), FRACTION_BITS)), base), base);
}
SMX_INLINE vec v_significand(vec a) {
    const vec fraction = AS_REAL(INTEGERS(((real_bits)1 << FRACTION_BITS) - 1));
    return V(or)(V(and)(a, fraction), v_set1(1));
}

#if REAL_BITS == 32

SMX_INLINE void v_load_columns(const real *const *rows, ptrdiff_t j, vec column[4]) {
    for (int i = 0; i < 4; i++)
        column[i] = v_load(rows[i] + j);
    _MM_TRANSPOSE4_PS(column[0], column[1], column[2], column[3]);
}
SMX_INLINE void v_store_columns(real *const *rows, ptrdiff_t j, const vec column[4]) {
    vec a[4] = {column[0], column[1], column[2], column[3]};
    _MM_TRANSPOSE4_PS(a[0], a[1], a[2], a[3]);
    for (int i = 0; i < 4; i++)
        v_store(rows[i] + j, a[i]);
}

SMX_INLINE void v_load_pairs(const real *p, vec column[2]) {
    const vec a = v_load(p), b = v_load(p + LANES);
    column[0] = _mm_shuffle_ps(a, b, 0x88);
    column[1] = _mm_shuffle_ps(a, b, 0xdd);
}

#else

SMX_INLINE void v_load_columns(const real *const *rows, ptrdiff_t j, vec column[4]) {
    for (int k = 0; k < 4; k += 2) {
        const vec a = v_load(rows[0] + j + k), b = v_load(rows[1] + j + k);
        column[k] = _mm_unpacklo_pd(a, b);
        column[k + 1] = _mm_unpackhi_pd(a, b);
    }
}
SMX_INLINE void v_store_columns(real *const *rows, ptrdiff_t j, const vec column[4]) {
    for (int k = 0; k < 4; k += 2) {
        v_store(rows[0] + j + k, _mm_unpacklo_pd(column[k], column[k + 1]));
        v_store(rows[1] + j + k, _mm_unpackhi_pd(column[k], column[k + 1]));
    }
}

SMX_INLINE void v_load_pairs(const real *p, vec column[2]) {
    const vec a = v_load(p), b = v_load(p + LANES);
    column[0] = _mm_unpacklo_pd(a, b);
    column[1] = _mm_unpackhi_pd(a, b);
}

#endif

SMX_INLINE void v_store_pairs(real *p, const vec column[2]) {
    v_store(p, V(unpacklo)(column[0], column[1]));
    v_store(p + LANES, V(unpackhi)(column[0], column[1]));
}

SMX_INLINE void v_load_triples(const real *p, vec column[3]) {
    real lane[3][LANES];
    for (int i = 0; i < 3 * LANES; i++)
        lane[i % 3][i / 3] = p[i];
    for (int k = 0; k < 3; k++)
        column[k] = v_load(lane[k]);
}
SMX_INLINE void v_store_triples(real *p, const vec column[3]) {
    real lane[3][LANES];
    for (int k = 0; k < 3; k++)
        v_store(lane[k], column[k]);
    for (int i = 0; i < 3 * LANES; i++)
        p[i] = lane[i % 3][i / 3];
}

SMX_INLINE vec v_select_bytes(const unsigned char *p, ptrdiff_t count, vec a, vec fill) {
    real_bits lane[LANES];
    for (int i = 0; i < LANES; i++)
        lane[i] = i < count && p[i] ? ~(real_bits)0 : 0;
    return choose(AS_REAL(_mm_loadu_si128((const __m128i *)lane)), a, fill);
}

#include "fours.inc.h"

#if REAL_BITS == 32

typedef __m128i halves; /* in the lower half */

SMX_INLINE halves v_load_halves(const char *p, ptrdiff_t count) {
    char few[8] = {0};
    return _mm_loadl_epi64((const __m128i *)(count < LANES ? memcpy(few, p, (size_t)(2 * count)) : p));
}
SMX_INLINE void v_store_halves(char *p, ptrdiff_t count, halves h) {
    char few[8];
    _mm_storel_epi64((__m128i *)(count < LANES ? few : p), h);
    if (count < LANES)
        memcpy(p, few, (size_t)(2 * count));
}

/* The lower 16 bits of each lane, as a signed pack would keep them. */
SMX_INLINE halves lower_halves(__m128i a) {
    const __m128i extended = _mm_srai_epi32(_mm_slli_epi32(a, 16), 16);
    return _mm_packs_epi32(extended, extended);
}

/* Half's bits in the places of float's are the number times 2^-112, subnormal ones too; the highest exponent stays the
   highest. */
SMX_INLINE vec v_from_float16(halves h) {
    const __m128i bits = _mm_unpacklo_epi16(h, _mm_setzero_si128());
    const __m128i sign = _mm_slli_epi32(_mm_and_si128(bits, INTEGERS(0x8000)), 16);
    const __m128i size = _mm_slli_epi32(_mm_and_si128(bits, INTEGERS(0x7fff)), 13);
    const __m128i special = _mm_and_si128(_mm_cmpgt_epi32(size, INTEGERS(0x0f7fffff)), INTEGERS(0x7f800000));
    return _mm_or_ps(v_mul(AS_REAL(size), v_set1(0x1p112f)), AS_REAL(_mm_or_si128(sign, special)));
}
/* vec_scalar.h has the four cases one by one. */
SMX_INLINE halves v_to_float16(vec a) {
    const __m128i bits = AS_INT(a), size = _mm_and_si128(bits, INTEGERS(0x7fffffff));
    const __m128i sign = _mm_and_si128(SHIFT_RIGHT(bits, 16), INTEGERS(0x8000));
    const __m128i odd = _mm_and_si128(SHIFT_RIGHT(size, 13), INTEGERS(1));
    const __m128i rebased = _mm_sub_epi32(size, INTEGERS(((BIAS - 15) << FRACTION_BITS) - 0xfff));
    vec half = AS_REAL(SHIFT_RIGHT(_mm_add_epi32(rebased, odd), 13));
    const __m128i subnormal = _mm_sub_epi32(AS_INT(v_add(AS_REAL(size), v_set1(0.5f))), AS_INT(v_set1(0.5f)));
    half = choose(AS_REAL(_mm_cmplt_epi32(size, INTEGERS(0x38800000))), AS_REAL(subnormal), half);
    half = choose(AS_REAL(_mm_cmpgt_epi32(size, INTEGERS(0x477fefff))), AS_REAL(INTEGERS(0x7c00)), half);
    half = choose(AS_REAL(_mm_cmpgt_epi32(size, INTEGERS(0x7f800000))), AS_REAL(INTEGERS(0x7e00)), half);
    return lower_halves(_mm_or_si128(AS_INT(half), sign));
}

SMX_INLINE vec v_from_bfloat16(halves h) { return AS_REAL(_mm_unpacklo_epi16(_mm_setzero_si128(), h)); }
SMX_INLINE halves v_to_bfloat16(vec a) {
    const __m128i bits = AS_INT(a), odd = _mm_and_si128(SHIFT_RIGHT(bits, 16), INTEGERS(1));
    return lower_halves(SHIFT_RIGHT(_mm_add_epi32(_mm_add_epi32(bits, INTEGERS(0x7fff)), odd), 16));
}

SMX_INLINE doubles doubles_zero(void) { return _mm_setzero_pd(); }
SMX_INLINE doubles doubles_get(const double *p) { return _mm_loadu_pd(p); }
SMX_INLINE void doubles_put(double *p, doubles a) { _mm_storeu_pd(p, a); }
SMX_INLINE doubles doubles_lower(vec a) { return _mm_cvtps_pd(a); }
SMX_INLINE doubles doubles_upper(vec a) { return _mm_cvtps_pd(_mm_movehl_ps(a, a)); }
SMX_INLINE double doubles_sum(doubles by_2) { return _mm_cvtsd_f64(_mm_add_sd(by_2, _mm_unpackhi_pd(by_2, by_2))); }

#include "wide.inc.h"

SMX_INLINE vec v_wide_round(wide s) { return _mm_movelh_ps(_mm_cvtpd_ps(s.lower), _mm_cvtpd_ps(s.upper)); }

typedef wide quad;

SMX_INLINE quad v_quad_of(four a) { return v_wide_of(a.part[0]); }
SMX_INLINE quad v_quad_add(quad s, four a) { return v_wide_add(s, v_quad_of(a)); }
SMX_INLINE doubles sums_of_two(quad a, quad b) {
    const doubles first = _mm_add_pd(a.lower, a.upper), second = _mm_add_pd(b.lower, b.upper);
    return _mm_add_pd(_mm_unpacklo_pd(first, second), _mm_unpackhi_pd(first, second));
}
SMX_INLINE wide v_wide_of_quads(const quad s[LANES]) {
    return wide_of(sums_of_two(s[0], s[1]), sums_of_two(s[2], s[3]));
}

#endif
