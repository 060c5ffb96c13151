/* a b + c, rounded once, for levels without an instruction for it. Plain arithmetic makes it, so that no C library's
   fma can be wrong or slow. The bits are those of the instruction in every case: ties, subnormal results, overflow,
   signs of zeros.

   Float: the product is exact in double; a sum of doubles is rounded once more, to float. That second rounding goes
   wrong only if the first has hidden on which side of the middle between two floats the sum lies. So the first is a
   rounding to odd: it takes, of the two doubles next to an inexact sum, the one whose last bit is 1. What is rounded to
   odd never lies on a middle unless the sum itself does (Boldo and Melquiond, 2008).

   Double: the product is a sum of two doubles, p + p_low (Dekker, 1971), and so is p + c, a large term and a remainder.
   The two small numbers are added and rounded; their sum is added to the large one and rounded again. What the first of
   these roundings loses matters only if the second had to break a tie: what the second loses is a power of two then.
   Integers do such cases, and those in which numbers are too large or too small for exact products and sums (the result
   is NaN then, or the product is small).

   The header of a level includes this file after its loads and stores. The header has to define `doubles`, a register
   of doubles, and these functions of it:

       doubles_add, doubles_sub, doubles_mul
       doubles_odd(s, e)                 (float) s moved to the odd one of the doubles on both sides of s + e, unless e
                                         is 0 or NaN; e is what s lost in rounding
       doubles_half(a)                   (double) a rounded to the upper half of its bits
       doubles_suspect(p, z, lost)       (double) whether in any lane z is NaN, |p| is below FMA_SMALL, or lost is 0 or
                                         a power of two
       doubles_doubt(a, b, p, z, lost, before)
                                         (double) whether that remains if factors of 0 make p exact, and nothing is
                                         wrong where lost or before is 0
       doubles_join(a, b, z)             (double) z, with its sign bit set also where those of both a and b are

   tests/exhaustive/fma.c holds it to the instruction. */

/* ---- by integers ------------------------------------------------------------------------------------------------ */

typedef struct {
    uint64_t high, low;
} integer128;

/* By less than 128, at the cost of no bit. */
static integer128 integer_up(integer128 n, int by) {
    if (by >= 64) {
        n.high = n.low;
        n.low = 0;
        by -= 64;
    }
    if (by > 0) {
        n.high = n.high << by | n.low >> (64 - by);
        n.low <<= by;
    }
    return n;
}

/* The last bit is 1 also if any bit that is lost was. */
static integer128 integer_down(integer128 n, int by) {
    uint64_t lost = 0;
    if (by >= 128) {
        lost = n.high | n.low;
        n.high = n.low = 0;
        by = 0;
    } else if (by >= 64) {
        lost = n.low;
        n.low = n.high;
        n.high = 0;
        by -= 64;
    }
    if (by > 0) {
        lost |= n.low << (64 - by);
        n.low = n.low >> by | n.high << (64 - by);
        n.high >>= by;
    }
    n.low |= lost != 0;
    return n;
}

/* A finite number that is not 0: n 2^exponent. */
typedef struct {
    integer128 n;
    int exponent;
} scaled;

/* With 2^125 the highest bit; n is below 2^126 and not 0. */
static scaled scaled_up(integer128 n, int exponent) {
    for (int by = 64; by > 0; by /= 2) {
        const int has_room = by == 64 ? n.high == 0 && n.low >> 62 == 0 : n.high >> (62 - by) == 0;
        if (has_room) {
            n = integer_up(n, by);
            exponent -= by;
        }
    }
    const scaled s = {n, exponent};
    return s;
}

/* The significand of |x|, an integer below 2^53, and the exponent of its last bit. */
static uint64_t double_parts(double x, int *exponent) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    const int field = (int)(bits >> 52 & 0x7ff);
    *exponent = (field ? field : 1) - 1075;
    return (bits & 0xfffffffffffffu) | (uint64_t)(field != 0) << 52;
}

static int is_negative(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (int)(bits >> 63);
}

static integer128 integer_product(uint64_t a, uint64_t b) {
    const uint64_t a_high = a >> 32, a_low = a & 0xffffffffu, b_high = b >> 32, b_low = b & 0xffffffffu;
    const uint64_t lowest = a_low * b_low, middle = a_high * b_low + (lowest >> 32);
    const uint64_t other = a_low * b_high + (middle & 0xffffffffu);
    const integer128 product = {a_high * b_high + (middle >> 32) + (other >> 32), other << 32 | (lowest & 0xffffffffu)};
    return product;
}

/* (-1)^negative s, rounded to nearest, ties to even. */
static double double_of_scaled(scaled s, int negative) {
    /* Two bits more than the result has are kept, the last one for all below. */
    const int least = -1074, last = s.exponent + 73 > least ? s.exponent + 73 : least;
    const uint64_t kept = integer_down(s.n, last - s.exponent - 2).low;
    const uint64_t significand = (kept >> 2) + ((kept & 3) > 2 || (kept & 7) == 6);
    const uint64_t infinite = (uint64_t)0x7ff << 52;
    uint64_t bits = infinite;
    if (last - least < 0x7ff)
        bits = ((uint64_t)(last - least) << 52) + significand; /* which carries into the exponent, or makes it 1 */
    bits = (bits < infinite ? bits : infinite) | (uint64_t)negative << 63;
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

SMX_APART double fma_by_integers(double a, double b, double c) {
    const double largest = DBL_MAX;
    if (!(a >= -largest && a <= largest && b >= -largest && b <= largest) || a == 0 || b == 0)
        return a * b + c; /* the product is exact */
    if (!(c >= -largest && c <= largest))
        return c + c;
    if (c == 0)
        return a * b; /* whose sign counts where it comes to 0 */
    int a_exponent, b_exponent, c_exponent;
    const uint64_t a_integer = double_parts(a, &a_exponent), b_integer = double_parts(b, &b_exponent);
    const integer128 c_integer = {0, double_parts(c, &c_exponent)};
    scaled x = scaled_up(integer_product(a_integer, b_integer), a_exponent + b_exponent);
    scaled y = scaled_up(c_integer, c_exponent);
    int x_negative = is_negative(a) ^ is_negative(b), y_negative = is_negative(c);
    if (x.exponent < y.exponent ||
        (x.exponent == y.exponent && (x.n.high < y.n.high || (x.n.high == y.n.high && x.n.low < y.n.low)))) {
        const scaled swapped = x;
        x = y;
        y = swapped;
        const int negative = x_negative;
        x_negative = y_negative;
        y_negative = negative;
    }
    /* |x| >= |y|. Bits are lost only if y is far smaller, and then at most one bit of x cancels. */
    y.n = integer_down(y.n, x.exponent - y.exponent);
    if (x_negative == y_negative) {
        x.n.low += y.n.low;
        x.n.high += y.n.high + (x.n.low < y.n.low);
    } else {
        x.n.high -= y.n.high + (x.n.low < y.n.low);
        x.n.low -= y.n.low;
    }
    if ((x.n.high | x.n.low) == 0)
        return 0;
    if (x.n.high >> 62) {
        x.n = integer_down(x.n, 1);
        x.exponent++;
    }
    return double_of_scaled(scaled_up(x.n, x.exponent), x_negative);
}

/* In the few places where a level needs the fma of doubles and no vectors of them. */
#undef DOUBLE_FMA
#define DOUBLE_FMA fma_by_integers

/* ---- by floating-point arithmetic ------------------------------------------------------------------------------- */

typedef struct {
    doubles high, low;
} doubles_pair;

/* Knuth's TwoSum, as in sum.inc.h. */
SMX_INLINE doubles_pair doubles_two_sum(doubles x, doubles y) {
    const doubles sum = doubles_add(x, y), y_seen = doubles_sub(sum, x), x_seen = doubles_sub(sum, y_seen);
    const doubles_pair exact = {sum, doubles_add(doubles_sub(x, x_seen), doubles_sub(y, y_seen))};
    return exact;
}

#if REAL_BITS == 32

/* Of floats; what comes out has to be rounded to float. */
SMX_INLINE doubles doubles_fma_of_floats(doubles a, doubles b, doubles c) {
    const doubles_pair sum = doubles_two_sum(doubles_mul(a, b), c);
    return doubles_odd(sum.high, sum.low);
}

#else

SMX_APART doubles doubles_fma_exactly(doubles a, doubles b, doubles c) {
    const doubles a_high = doubles_half(a), a_low = doubles_sub(a, a_high);
    const doubles b_high = doubles_half(b), b_low = doubles_sub(b, b_high);
    const doubles p = doubles_mul(a, b);
    doubles p_low = doubles_sub(doubles_mul(a_high, b_high), p);
    p_low = doubles_add(p_low, doubles_mul(a_high, b_low));
    p_low = doubles_add(p_low, doubles_mul(a_low, b_high));
    p_low = doubles_add(p_low, doubles_mul(a_low, b_low));
    const doubles_pair sum = doubles_two_sum(p, c);
    const doubles rest = doubles_add(sum.low, p_low), z = doubles_add(sum.high, rest);
    const doubles lost = doubles_sub(rest, doubles_sub(z, sum.high));
    if (doubles_suspect(p, z, lost) && doubles_doubt(a, b, p, z, lost, doubles_two_sum(sum.low, p_low).low)) {
        double x[LANES], y[LANES], right[LANES];
        v_store(x, a);
        v_store(y, b);
        v_store(right, c);
        for (int i = 0; i < LANES; i++)
            right[i] = fma_by_integers(x[i], y[i], right[i]);
        return v_load(right);
    }
    /* Of two terms that are negative, or -0, the sum is; p_low may have been +0. */
    return doubles_join(p, c, z);
}

#endif
