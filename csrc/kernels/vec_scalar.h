/* Vectors of level "scalar": one lane, in portable C. This header also defines what each operation means; the headers
   of the other levels give the same names the same meaning.

   This level is the yardstick and the last resort, not a fast path. Where the compiler promises no instruction for fma,
   fma.inc.h makes one. */

#include "real.h"

#define LEVEL scalar
#define END_OF_TARGET
#define LANES 1

typedef real vec;
typedef struct {
    real entry[8];
} table;

SMX_INLINE vec v_set1(real x) { return x; }
SMX_INLINE vec v_load(const real *p) { return *p; }
SMX_INLINE void v_store(real *p, vec a) { *p = a; }

/* A load from any address, aligned or not; and the numbers with their bytes reversed. */
SMX_INLINE vec v_load_bytes(const char *p) {
    vec a;
    memcpy(&a, p, sizeof a);
    return a;
}
SMX_INLINE vec v_swap_bytes(vec a) {
    real_bits from = bits_of_real(a), to = 0;
    for (size_t k = 0; k < sizeof from; k++, from >>= 8)
        to = to << 8 | (from & 0xff);
    return real_from_bits(to);
}

/* A store past the cache, on levels that have one; p is aligned to a vector. v_stream_end ends a series of such
   stores. */
SMX_INLINE void v_stream(real *p, vec a) { *p = a; }
SMX_INLINE void v_stream_end(void) {}

/* The first count elements from p; the other lanes are those of fill. If count is 0 or less, nothing is read. */
SMX_INLINE vec v_load_first(const real *p, ptrdiff_t count, vec fill) { return count > 0 ? *p : fill; }
SMX_INLINE void v_store_first(real *p, ptrdiff_t count, vec a) {
    if (count > 0)
        *p = a;
}

SMX_INLINE vec v_add(vec a, vec b) { return a + b; }
SMX_INLINE vec v_sub(vec a, vec b) { return a - b; }
SMX_INLINE vec v_mul(vec a, vec b) { return a * b; }
SMX_INLINE vec v_div(vec a, vec b) { return a / b; }

#if defined(FP_FAST_FMA) && defined(FP_FAST_FMAF)
/* a b + c, rounded once */
#if REAL_BITS == 32
SMX_INLINE vec v_fma(vec a, vec b, vec c) { return fmaf(a, b, c); }
#else
SMX_INLINE vec v_fma(vec a, vec b, vec c) { return fma(a, b, c); }
#endif
#else
typedef double doubles;

SMX_INLINE doubles doubles_add(doubles a, doubles b) { return a + b; }
SMX_INLINE doubles doubles_sub(doubles a, doubles b) { return a - b; }
SMX_INLINE doubles doubles_mul(doubles a, doubles b) { return a * b; }
#if REAL_BITS == 32
SMX_INLINE doubles doubles_odd(doubles s, doubles e) {
    uint64_t bits;
    memcpy(&bits, &s, sizeof bits);
    if (e < 0 || e > 0)
        bits = (bits - ((e < 0) != (s < 0))) | 1; /* integers grow as the numbers move away from 0 */
    memcpy(&s, &bits, sizeof s);
    return s;
}
#else
SMX_INLINE doubles doubles_half(doubles a) {
    return real_from_bits((bits_of_real(a) + ((real_bits)1 << 26)) & ~(real_bits)0 << 27);
}
SMX_INLINE int is_power(doubles a) { return bits_of_real(a) << (REAL_BITS - FRACTION_BITS) == 0; }
SMX_INLINE int doubles_suspect(doubles p, doubles z, doubles lost) {
    return fabs(p) < FMA_SMALL || is_power(lost) || z != z;
}
SMX_INLINE int doubles_doubt(doubles a, doubles b, doubles p, doubles z, doubles lost, doubles before) {
    const int is_tie = is_power(lost) && lost != 0 && before != 0;
    return (fabs(p) < FMA_SMALL && a != 0 && b != 0) || is_tie || z != z;
}
SMX_INLINE doubles doubles_join(doubles a, doubles b, doubles z) {
    return signbit(a) && signbit(b) ? copysign(z, -1) : z;
}
#endif

#include "fma.inc.h"

#if REAL_BITS == 32
SMX_INLINE vec v_fma(vec a, vec b, vec c) { return (real)doubles_fma_of_floats(a, b, c); }
#else
SMX_INLINE vec v_fma(vec a, vec b, vec c) { return doubles_fma_exactly(a, b, c); }
#endif
#endif
SMX_INLINE vec v_fms(vec a, vec b, vec c) { return v_fma(a, b, -c); }  /* a b - c */
SMX_INLINE vec v_fnma(vec a, vec b, vec c) { return v_fma(-a, b, c); } /* c - a b */

/* The same as v_sub, but done by the units that multiply, where these are not the units that add: for long series of
   sums. (GCC leaves it so; Clang recognizes it, and subtracts.) */
SMX_INLINE vec v_sub_fused(vec a, vec b) { return a - b; }

/* If a or b is NaN, the result is b. */
SMX_INLINE vec v_max(vec a, vec b) { return a > b ? a : b; }
SMX_INLINE vec v_min(vec a, vec b) { return a < b ? a : b; }

/* a <= b ? yes : no, and a <= b ? yes : 0. If a or b is NaN, the comparison is false. */
SMX_INLINE vec v_select_le(vec a, vec b, vec yes, vec no) { return a <= b ? yes : no; }
SMX_INLINE vec v_keep_le(vec a, vec b, vec yes) { return a <= b ? yes : 0; }

/* A mask says yes or no of each lane: here, that a is not below b, which holds for NaN. v_keep_fma and v_eighths make 0
   of the other lanes, in a single instruction of AVX-512. */
typedef int mask;
SMX_INLINE mask v_not_below(vec a, vec b) { return !(a < b); }
SMX_INLINE vec v_keep(mask m, vec a) { return m ? a : 0; }
SMX_INLINE vec v_keep_fma(mask m, vec a, vec b, vec c) { return v_keep(m, v_fma(a, b, c)); }

/* True if a <= b in every lane. */
SMX_INLINE int v_all_le(vec a, vec b) { return a <= b; }

/* Moves the bits up until the lowest bit of the significand is the lowest bit of the exponent. */
SMX_INLINE vec v_low_bits_to_exponent(vec a) { return real_from_bits(bits_of_real(a) << FRACTION_BITS); }

/* The bits of a less those of b, as integers. */
SMX_INLINE vec v_minus_bits(vec a, vec b) { return real_from_bits(bits_of_real(a) - bits_of_real(b)); }

/* Moves the bits up until the three lowest bits are the highest of the significand: 8 k + j becomes 2^(k - BIAS) (1 + j
   / 8). Lanes that the mask does not keep become 0. */
SMX_INLINE vec v_eighths(mask m, vec a) { return v_keep(m, real_from_bits(bits_of_real(a) << (FRACTION_BITS - 3))); }

/* Each lane of the result is the lane of a whose number is in the low bits of index. */
SMX_INLINE vec v_permute(vec a, vec index) {
    (void)index;
    return a;
}

/* Each lane of the result is the entry whose number is in the three lowest bits of index. */
SMX_INLINE table v_table(const real entries[8]) {
    table t;
    memcpy(t.entry, entries, sizeof t.entry);
    return t;
}
SMX_INLINE vec v_look_up(table t, vec index) { return t.entry[bits_of_real(index) & 7]; }

/* The first lane. */
SMX_INLINE real v_first(vec a) { return a; }
/* Lane i of the result is lane i + by of a; by is a power of two below LANES. The last lanes may hold anything. */
SMX_INLINE vec v_move_down(vec a, int by) {
    (void)by;
    return a;
}

/* For positive normal numbers: the exponent field, as a number; and the significand, in [1, 2). */
SMX_INLINE vec v_exponent_field(vec a) { return (real)(bits_of_real(a) >> FRACTION_BITS); }
SMX_INLINE vec v_significand(vec a) {
    const real_bits mask = ((real_bits)1 << FRACTION_BITS) - 1;
    return real_from_bits((bits_of_real(a) & mask) | bits_of_real(1));
}

/* Transposes elements j to j + 3 of LANES rows: column[k] holds element j + k of each row. v_store_columns does the
   reverse. */
SMX_INLINE void v_load_columns(const real *const *rows, ptrdiff_t j, vec column[4]) {
    for (int k = 0; k < 4; k++)
        column[k] = rows[0][j + k];
}
SMX_INLINE void v_store_columns(real *const *rows, ptrdiff_t j, const vec column[4]) {
    for (int k = 0; k < 4; k++)
        rows[0][j + k] = column[k];
}

/* Separates LANES packed rows of two or three elements into columns; the stores do the reverse. */
SMX_INLINE void v_load_pairs(const real *p, vec column[2]) { column[0] = p[0], column[1] = p[1]; }
SMX_INLINE void v_store_pairs(real *p, const vec column[2]) { p[0] = column[0], p[1] = column[1]; }
SMX_INLINE void v_load_triples(const real *p, vec column[3]) { column[0] = p[0], column[1] = p[1], column[2] = p[2]; }
SMX_INLINE void v_store_triples(real *p, const vec column[3]) { p[0] = column[0], p[1] = column[1], p[2] = column[2]; }

/* a where the byte of the lane is not 0, else fill; also fill in the lanes from count on. */
SMX_INLINE vec v_select_bytes(const unsigned char *p, ptrdiff_t count, vec a, vec fill) {
    return count > 0 && *p ? a : fill;
}

/* A four is four reals: the partial sums of a short row. v_four_load_first reads the first `count` of them, and puts
   zeros in the place of the others. */
#include "fours.inc.h"

#if REAL_BITS == 32

/* Halves: LANES numbers of 16 bits in a register. Loads and stores take any alignment, and loads leave 0 in the lanes
   from count on. Halves become reals without loss; reals are rounded to nearest, ties to even. A NaN that is rounded to
   bfloat16 is the canonical NaN, whose bits survive the rounding. */
typedef uint16_t halves;

SMX_INLINE halves v_load_halves(const char *p, ptrdiff_t count) {
    halves h = 0;
    if (count > 0)
        memcpy(&h, p, sizeof h);
    return h;
}
SMX_INLINE void v_store_halves(char *p, ptrdiff_t count, halves h) {
    if (count > 0)
        memcpy(p, &h, sizeof h);
}

SMX_INLINE vec v_from_float16(halves h) {
    const uint32_t sign = (h & 0x8000u) << 16, size = h & 0x7fffu;
    if (size < 0x0400) /* subnormal: multiples of 2^-24 */
        return real_from_bits(sign | bits_of_real((real)size * 0x1p-24f));
    const uint32_t rebias = size < 0x7c00 ? BIAS - 15 : 2 * (BIAS - 15); /* the highest exponent stays the highest */
    return real_from_bits(sign | ((size << 13) + (rebias << FRACTION_BITS)));
}
SMX_INLINE halves v_to_float16(vec a) {
    const uint32_t bits = bits_of_real(a), sign = bits >> 16 & 0x8000u, size = bits & 0x7fffffffu;
    uint32_t half;
    if (size > 0x7f800000) /* NaN */
        half = 0x7e00;
    else if (size >= 0x477ff000) /* 65520, halfway to what would be the next number */
        half = 0x7c00;
    else if (size >= 0x38800000) /* 2^-14 */
        half = (size - ((uint32_t)(BIAS - 15) << FRACTION_BITS) + 0xfff + (size >> 13 & 1)) >> 13;
    else /* subnormal: beside 1/2, the last bit of a float is 2^-24 */
        half = bits_of_real(real_from_bits(size) + 0.5f) - bits_of_real(0.5f);
    return (uint16_t)(sign | half);
}

SMX_INLINE vec v_from_bfloat16(halves h) { return real_from_bits((uint32_t)h << 16); }
SMX_INLINE halves v_to_bfloat16(vec a) {
    const uint32_t bits = bits_of_real(a);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* LANES doubles, for sums of reals. The operations: reals as doubles; a + b; s - x; the sum of the lanes, upper half
   onto lower half; and the doubles rounded to reals. */
typedef double wide;

SMX_INLINE wide v_wide_zero(void) { return 0; }
SMX_INLINE wide v_wide_load(const double *p) { return *p; }
SMX_INLINE void v_wide_store(double *p, wide a) { *p = a; }
SMX_INLINE wide v_wide_of(vec x) { return x; }
SMX_INLINE wide v_wide_add(wide a, wide b) { return a + b; }
SMX_INLINE wide v_wide_sub(wide s, vec x) { return s - x; }
SMX_INLINE double v_wide_sum(wide s) { return s; }
SMX_INLINE vec v_wide_round(wide s) { return (real)s; }

/* A quad: four doubles, sums of fours of floats. The operations: a four as a quad; s + a; and the sum of each of LANES
   quads, pairwise, upper half onto lower half. */
typedef struct {
    double part[4];
} quad;

SMX_INLINE quad v_quad_of(four a) {
    const quad s = {{a.part[0], a.part[1], a.part[2], a.part[3]}};
    return s;
}
SMX_INLINE quad v_quad_add(quad s, four a) {
    for (int k = 0; k < 4; k++)
        s.part[k] += a.part[k];
    return s;
}
SMX_INLINE wide v_wide_of_quads(const quad s[LANES]) {
    return (s[0].part[0] + s[0].part[2]) + (s[0].part[1] + s[0].part[3]);
}

#endif
