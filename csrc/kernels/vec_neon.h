/* Vectors of level "neon": 4 floats or 2 doubles, on 64-bit Arm. vec_scalar.h says what each operation means. */

#include <arm_neon.h>

#include "real.h"

#define LEVEL neon
#define END_OF_TARGET

#if REAL_BITS == 32
#define LANES 4
typedef float32x4_t vec;
typedef uint32x4_t ivec;
#define V(name) name##q_f32
#define I(name) name##q_u32
#define AS_INT vreinterpretq_u32_f32
#define AS_REAL vreinterpretq_f32_u32
#define SHIFT_LEFT vshlq_n_u32
#define SHIFT_RIGHT vshrq_n_u32
#define TO_REAL vcvtq_f32_u32
typedef float32x4x2_t two_vecs;
typedef float32x4x3_t three_vecs;
#define AS_WORDS(a) (a)
#define AS_BYTES vreinterpretq_u8_f32
#define FROM_BYTES vreinterpretq_f32_u8
#define BYTES_OF_REAL 2 /* as a power of two */
typedef uint8x16x2_t table_bytes;
#define LOOK_UP_BYTES vqtbl2q_u8
#else
#define LANES 2
typedef float64x2_t vec;
typedef uint64x2_t ivec;
#define V(name) name##q_f64
#define I(name) name##q_u64
#define AS_INT vreinterpretq_u64_f64
#define AS_REAL vreinterpretq_f64_u64
#define SHIFT_LEFT vshlq_n_u64
#define SHIFT_RIGHT vshrq_n_u64
#define TO_REAL vcvtq_f64_u64
typedef float64x2x2_t two_vecs;
typedef float64x2x3_t three_vecs;
#define AS_WORDS vreinterpretq_u32_u64
#define AS_BYTES vreinterpretq_u8_f64
#define FROM_BYTES vreinterpretq_f64_u8
#define BYTES_OF_REAL 3
typedef uint8x16x4_t table_bytes;
#define LOOK_UP_BYTES vqtbl4q_u8
#endif
typedef struct {
    table_bytes bytes;
} table;

SMX_INLINE vec v_set1(real x) {
#if REAL_BITS == 32
    return vdupq_n_f32(x);
#else
    return vdupq_n_f64(x);
#endif
}
SMX_INLINE vec v_load(const real *p) { return V(vld1)(p); }
SMX_INLINE void v_store(real *p, vec a) { V(vst1)(p, a); }
#if REAL_BITS == 32
SMX_INLINE vec v_load_bytes(const char *p) { return vreinterpretq_f32_u8(vld1q_u8((const uint8_t *)p)); }
SMX_INLINE vec v_swap_bytes(vec a) { return vreinterpretq_f32_u8(vrev32q_u8(vreinterpretq_u8_f32(a))); }
#else
SMX_INLINE vec v_load_bytes(const char *p) { return vreinterpretq_f64_u8(vld1q_u8((const uint8_t *)p)); }
SMX_INLINE vec v_swap_bytes(vec a) { return vreinterpretq_f64_u8(vrev64q_u8(vreinterpretq_u8_f64(a))); }
#endif
SMX_INLINE void v_stream(real *p, vec a) { v_store(p, a); } /* there is no such intrinsic */
SMX_INLINE void v_stream_end(void) {}

/* There are no masked moves: scalar ones go through the stack. */
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

SMX_INLINE vec v_add(vec a, vec b) { return V(vadd)(a, b); }
SMX_INLINE vec v_sub(vec a, vec b) { return V(vsub)(a, b); }
SMX_INLINE vec v_mul(vec a, vec b) { return V(vmul)(a, b); }
SMX_INLINE vec v_div(vec a, vec b) { return V(vdiv)(a, b); }
SMX_INLINE vec v_fma(vec a, vec b, vec c) { return V(vfma)(c, a, b); }
SMX_INLINE vec v_fms(vec a, vec b, vec c) { return V(vfma)(V(vneg)(c), a, b); }
SMX_INLINE vec v_fnma(vec a, vec b, vec c) { return V(vfms)(c, a, b); }
SMX_INLINE vec v_sub_fused(vec a, vec b) { return v_sub(a, b); }

/* By comparison, because the instructions for maxima treat NaN and signed zeros differently. */
SMX_INLINE vec v_max(vec a, vec b) { return V(vbsl)(V(vcgt)(a, b), a, b); }
SMX_INLINE vec v_min(vec a, vec b) { return V(vbsl)(V(vclt)(a, b), a, b); }
SMX_INLINE vec v_select_le(vec a, vec b, vec yes, vec no) { return V(vbsl)(V(vcle)(a, b), yes, no); }
SMX_INLINE vec v_keep_le(vec a, vec b, vec yes) { return AS_REAL(I(vand)(V(vcle)(a, b), AS_INT(yes))); }
typedef ivec mask; /* ones where the lane is below */
SMX_INLINE mask v_not_below(vec a, vec b) { return V(vclt)(a, b); }
SMX_INLINE vec v_keep(mask m, vec a) { return AS_REAL(I(vbic)(AS_INT(a), m)); }
SMX_INLINE vec v_keep_fma(mask m, vec a, vec b, vec c) { return v_keep(m, v_fma(a, b, c)); }
SMX_INLINE int v_all_le(vec a, vec b) { return vminvq_u32(AS_WORDS(V(vcle)(a, b))) != 0; }

SMX_INLINE vec v_low_bits_to_exponent(vec a) { return AS_REAL(SHIFT_LEFT(AS_INT(a), FRACTION_BITS)); }
SMX_INLINE vec v_minus_bits(vec a, vec b) { return AS_REAL(I(vsub)(AS_INT(a), AS_INT(b))); }
SMX_INLINE vec v_eighths(mask m, vec a) { return v_keep(m, AS_REAL(SHIFT_LEFT(AS_INT(a), FRACTION_BITS - 3))); }

/* Tables are looked up byte by byte. */
SMX_INLINE table v_table(const real entries[8]) {
    table t;
    for (int k = 0; k < (int)(8 * sizeof(real) / 16); k++)
        t.bytes.val[k] = vld1q_u8((const uint8_t *)entries + 16 * k);
    return t;
}
/* The low bits of each lane hold a number below count. The result says where the bytes of that entry are in a row of
   reals. */
SMX_INLINE uint8x16_t bytes_of_entry(vec index, uint8_t count) {
    static const uint8_t lowest[16] = {
#if REAL_BITS == 32
        0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12};
    static const uint8_t within[16] = {0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3};
#else
        0, 0, 0, 0, 0, 0, 0, 0, 8, 8, 8, 8, 8, 8, 8, 8};
    static const uint8_t within[16] = {0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7};
#endif
    const uint8x16_t j = vandq_u8(vqtbl1q_u8(AS_BYTES(index), vld1q_u8(lowest)), vdupq_n_u8(count - 1));
    return vaddq_u8(vshlq_n_u8(j, BYTES_OF_REAL), vld1q_u8(within));
}
SMX_INLINE vec v_look_up(table t, vec index) { return FROM_BYTES(LOOK_UP_BYTES(t.bytes, bytes_of_entry(index, 8))); }
SMX_INLINE vec v_permute(vec a, vec index) { return FROM_BYTES(vqtbl1q_u8(AS_BYTES(a), bytes_of_entry(index, LANES))); }

#if REAL_BITS == 32
SMX_INLINE real v_first(vec a) { return vgetq_lane_f32(a, 0); }
#else
SMX_INLINE real v_first(vec a) { return vgetq_lane_f64(a, 0); }
#endif
SMX_INLINE vec v_move_down(vec a, int by) {
#if REAL_BITS == 32
    return by == 2 ? vextq_f32(a, a, 2) : vextq_f32(a, a, 1);
#else
    (void)by;
    return vextq_f64(a, a, 1);
#endif
}
SMX_INLINE vec v_exponent_field(vec a) { return TO_REAL(SHIFT_RIGHT(AS_INT(a), FRACTION_BITS)); }
SMX_INLINE vec v_significand(vec a) {
    const ivec one = AS_INT(v_set1(1)), whole = AS_INT(a);
    return AS_REAL(I(vorr)(SHIFT_RIGHT(SHIFT_LEFT(whole, REAL_BITS - FRACTION_BITS), REAL_BITS - FRACTION_BITS), one));
}

#if REAL_BITS == 32

SMX_INLINE void transpose_parts(vec a[4]) {
    const float32x4x2_t t = vtrnq_f32(a[0], a[1]), u = vtrnq_f32(a[2], a[3]);
    a[0] = vcombine_f32(vget_low_f32(t.val[0]), vget_low_f32(u.val[0]));
    a[1] = vcombine_f32(vget_low_f32(t.val[1]), vget_low_f32(u.val[1]));
    a[2] = vcombine_f32(vget_high_f32(t.val[0]), vget_high_f32(u.val[0]));
    a[3] = vcombine_f32(vget_high_f32(t.val[1]), vget_high_f32(u.val[1]));
}
SMX_INLINE void v_load_columns(const real *const *rows, ptrdiff_t j, vec column[4]) {
    for (int i = 0; i < 4; i++)
        column[i] = v_load(rows[i] + j);
    transpose_parts(column);
}
SMX_INLINE void v_store_columns(real *const *rows, ptrdiff_t j, const vec column[4]) {
    vec a[4] = {column[0], column[1], column[2], column[3]};
    transpose_parts(a);
    for (int i = 0; i < 4; i++)
        v_store(rows[i] + j, a[i]);
}

#else

SMX_INLINE void v_load_columns(const real *const *rows, ptrdiff_t j, vec column[4]) {
    for (int k = 0; k < 4; k += 2) {
        const vec a = v_load(rows[0] + j + k), b = v_load(rows[1] + j + k);
        column[k] = vzip1q_f64(a, b);
        column[k + 1] = vzip2q_f64(a, b);
    }
}
SMX_INLINE void v_store_columns(real *const *rows, ptrdiff_t j, const vec column[4]) {
    for (int k = 0; k < 4; k += 2) {
        v_store(rows[0] + j + k, vzip1q_f64(column[k], column[k + 1]));
        v_store(rows[1] + j + k, vzip2q_f64(column[k], column[k + 1]));
    }
}

#endif

SMX_INLINE void v_load_pairs(const real *p, vec column[2]) {
    const two_vecs t = V(vld2)(p);
    column[0] = t.val[0], column[1] = t.val[1];
}
SMX_INLINE void v_store_pairs(real *p, const vec column[2]) {
    const two_vecs t = {{column[0], column[1]}};
    V(vst2)(p, t);
}
SMX_INLINE void v_load_triples(const real *p, vec column[3]) {
    const three_vecs t = V(vld3)(p);
    column[0] = t.val[0], column[1] = t.val[1], column[2] = t.val[2];
}
SMX_INLINE void v_store_triples(real *p, const vec column[3]) {
    const three_vecs t = {{column[0], column[1], column[2]}};
    V(vst3)(p, t);
}

SMX_INLINE vec v_select_bytes(const unsigned char *p, ptrdiff_t count, vec a, vec fill) {
    unsigned char few[LANES] = {0};
    if (count < LANES)
        p = memcpy(few, p, (size_t)count);
#if REAL_BITS == 32
    uint32_t four;
    memcpy(&four, p, sizeof four);
    const ivec bytes = vmovl_u16(vget_low_u16(vmovl_u8(vcreate_u8(four))));
#else
    const ivec bytes = vcombine_u64(vcreate_u64(p[0]), vcreate_u64(p[1]));
#endif
    return V(vbsl)(I(vtst)(bytes, bytes), a, fill);
}

#include "fours.inc.h"

#if REAL_BITS == 32

typedef uint16x4_t halves;

SMX_INLINE halves v_load_halves(const char *p, ptrdiff_t count) {
    uint16_t few[LANES] = {0};
    memcpy(few, p, count < LANES ? (size_t)(2 * count) : sizeof few);
    return vld1_u16(few);
}
SMX_INLINE void v_store_halves(char *p, ptrdiff_t count, halves h) {
    uint16_t few[LANES];
    vst1_u16(few, h);
    memcpy(p, few, count < LANES ? (size_t)(2 * count) : sizeof few);
}

SMX_INLINE vec v_from_float16(halves h) { return vcvt_f32_f16(vreinterpret_f16_u16(h)); }
SMX_INLINE halves v_to_float16(vec a) { return vreinterpret_u16_f16(vcvt_f16_f32(a)); }

SMX_INLINE vec v_from_bfloat16(halves h) { return AS_REAL(vshlq_n_u32(vmovl_u16(h), 16)); }
SMX_INLINE halves v_to_bfloat16(vec a) {
    const ivec bits = AS_INT(a), odd = vandq_u32(SHIFT_RIGHT(bits, 16), vdupq_n_u32(1));
    return vshrn_n_u32(vaddq_u32(vaddq_u32(bits, vdupq_n_u32(0x7fff)), odd), 16);
}

typedef float64x2_t doubles;

SMX_INLINE doubles doubles_zero(void) { return vdupq_n_f64(0); }
SMX_INLINE doubles doubles_add(doubles a, doubles b) { return vaddq_f64(a, b); }
SMX_INLINE doubles doubles_sub(doubles a, doubles b) { return vsubq_f64(a, b); }
SMX_INLINE doubles doubles_get(const double *p) { return vld1q_f64(p); }
SMX_INLINE void doubles_put(double *p, doubles a) { vst1q_f64(p, a); }
SMX_INLINE doubles doubles_lower(vec a) { return vcvt_f64_f32(vget_low_f32(a)); }
SMX_INLINE doubles doubles_upper(vec a) { return vcvt_high_f64_f32(a); }
SMX_INLINE double doubles_sum(doubles by_2) { return vaddvq_f64(by_2); }

#include "wide.inc.h"

SMX_INLINE vec v_wide_round(wide s) { return vcvt_high_f32_f64(vcvt_f32_f64(s.lower), s.upper); }

typedef wide quad;

SMX_INLINE quad v_quad_of(four a) { return v_wide_of(a.part[0]); }
SMX_INLINE quad v_quad_add(quad s, four a) { return v_wide_add(s, v_quad_of(a)); }
SMX_INLINE wide v_wide_of_quads(const quad s[LANES]) {
    float64x2_t halves_of[LANES];
    for (int k = 0; k < LANES; k++)
        halves_of[k] = vaddq_f64(s[k].lower, s[k].upper);
    return wide_of(vpaddq_f64(halves_of[0], halves_of[1]), vpaddq_f64(halves_of[2], halves_of[3]));
}

#endif
