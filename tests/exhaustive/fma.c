/* The fused multiply-add of levels without an instruction for it (csrc/kernels/fma.inc.h), against the C library's:
   every combination of three special values, then random ones of every kind that could be rounded wrongly. `run` says
   which library that is; GNU's uses the processor's instruction, if there is one.

       fma SECONDS     goes on for so long

   Compiled with -DREAL_BITS=32 or 64 and -DVECTORS='"vec_<level>.h"'. The last line is "N passed, N failed", of
   batches. */

#define SMX_COMPACT

#include VECTORS

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define STRING_(a) #a
#define STRING(a) STRING_(a)

#if REAL_BITS == 32
#define RIGHT fmaf
#else
#define RIGHT fma
#endif

#define BITS (FRACTION_BITS + 1)
#define LEAST (2 - BIAS - BITS) /* the exponent of the smallest number */
#define SCALE(x, by) ((real)ldexp(x, by))

enum { BATCH = 1 << 12 };

static real a[BATCH], b[BATCH], c[BATCH], got[BATCH];
static long passed, failed;
static uint64_t state = 1;

static uint64_t draw(void) {
    uint64_t z = state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}
static int below(int n) { return (int)(draw() >> 33) % n; }
static int between(int low, int high) { return low + below(high - low + 1); }

static void check(const char *kind, int count) {
    int wrong = 0;
    for (int i = 0; i < count; i += LANES)
        v_store(got + i, v_fma(v_load(a + i), v_load(b + i), v_load(c + i)));
    for (int i = 0; i < count; i++) {
        const real right = RIGHT(a[i], b[i], c[i]);
        if (bits_of_real(got[i]) == bits_of_real(right) || (isnan(got[i]) && isnan(right)))
            continue;
        if (!wrong++)
            fprintf(stderr, "FAILED %s, %s: fma(%a, %a, %a) is %a, not %a\n", kind, STRING(LEVEL), (double)a[i],
                    (double)b[i], (double)c[i], (double)got[i], (double)right);
    }
    wrong ? failed++ : passed++;
}

/* A number in [1, 2), of either sign: of all bits, of few, just above a number of few bits, or just below. */
static double significand(void) {
    double s = 1;
    const int bits = below(2) ? BITS - 1 : below(BITS);
    if (bits)
        s += ldexp((double)(draw() >> (64 - bits)), -bits);
    if (below(4) == 0)
        s += ldexp(between(-2, 2), 1 - BITS);
    s = s >= 2 || s < 1 ? 1 : s;
    return below(2) ? s : -s;
}

/* Anything, by its bits. */
static void draw_bits(int i) {
    a[i] = real_from_bits((real_bits)draw());
    b[i] = real_from_bits((real_bits)draw());
    c[i] = real_from_bits((real_bits)draw());
}

/* A product whose exponent is near the sum's other term's; everywhere in the range, and beyond both its ends. */
static void draw_near(int i) {
    const int product = between(LEAST - 4, BIAS + 2), split = between(-BIAS / 2, BIAS / 2);
    a[i] = SCALE(significand(), product - product / 2 + split);
    b[i] = SCALE(significand(), product / 2 - split);
    c[i] = SCALE(significand(), product + between(-2 * BITS - 3, 2 * BITS + 3));
}

/* c close to the negative of the product: nearly all cancels. */
static void draw_cancelling(int i) {
    draw_near(i);
    c[i] = -a[i] * b[i];
    if (below(2) && isfinite(c[i]) && c[i] != 0)
        c[i] = real_from_bits(bits_of_real(c[i]) + (real_bits)between(-3, 3));
}

/* c and half, or a quarter, or a whole of its last bit, or nearly so: what decides about a tie is far below it. */
static void draw_tie(int i) {
    c[i] = SCALE(significand(), between(LEAST, BIAS));
    int exponent;
    frexp(c[i], &exponent);
    exponent = exponent - BITS > LEAST ? exponent - BITS : LEAST;
    const double half = (1 + ldexp(between(-1, 1), -between(1, BITS - 1))) * (below(2) ? 1 : -1);
    const double rest = 1 + ldexp(between(-1, 1), -between(1, BITS - 1));
    const int split = between(-BIAS / 2, BIAS / 2);
    a[i] = SCALE(half, split);
    b[i] = SCALE(rest, exponent - between(0, 2) - split);
}

/* A product in the middle of two numbers, or nearly, and a small c that decides; subnormal results above all. */
static void draw_middle(int i) {
    const int product = below(2) ? between(LEAST - 3, LEAST + BITS + 3) : between(LEAST, BIAS);
    const int bits = below(BITS - 1) + 1, split = between(-BIAS / 2, BIAS / 2);
    const double left = (double)(draw() >> (64 - bits)) * 2 + 1;
    const int more = BITS - bits > 0 ? BITS - bits : 1;
    const double right = (double)(draw() >> (64 - more)) * 2 + 1;
    a[i] = SCALE(below(2) ? left : -left, split - bits);
    b[i] = SCALE(right, product - split - more);
    c[i] = below(4) ? SCALE(significand(), product - between(BITS - 2, 3 * BITS)) : 0;
    if (below(8) == 0)
        c[i] = SCALE(below(2) ? 1 : -1, LEAST);
}

static void special(void) {
    real values[64];
    int count = 0;
    const double one = 1, bit = ldexp(1, 1 - BITS), least = ldexp(1, LEAST), normal = ldexp(1, 1 - BIAS);
    const double largest = real_from_bits(((real_bits)(2 * BIAS + 1) << FRACTION_BITS) - 1);
    const double some[] = {0,
                           least,
                           3 * least,
                           normal - least,
                           normal,
                           normal * (one + bit),
                           one,
                           one + bit,
                           one - bit / 2,
                           3,
                           bit / 2,
                           bit / 4,
                           largest,
                           largest / 2,
                           ldexp(1, BIAS),
                           ldexp(1, -BIAS / 2),
                           ldexp(1 + bit, BIAS / 2),
                           INFINITY,
                           NAN,
                           0x1p990,
                           0x1p-960,
                           0x1.0000000000001p-961};
    for (size_t k = 0; k < sizeof some / sizeof *some; k++) {
        values[count++] = (real)some[k];
        values[count++] = (real)-some[k];
    }
    int i = 0;
    for (int j = 0; j < count * count * count; j++) {
        a[i] = values[j % count];
        b[i] = values[j / count % count];
        c[i] = values[j / count / count];
        if (++i == BATCH || j + 1 == count * count * count) {
            while (i % 16) {
                a[i] = b[i] = c[i] = 1;
                i++;
            }
            check("special", i);
            i = 0;
        }
    }
}

static const struct {
    const char *name;
    void (*draw)(int i);
} kinds[] = {{"bits", draw_bits},
             {"near", draw_near},
             {"cancelling", draw_cancelling},
             {"tie", draw_tie},
             {"middle", draw_middle}};

int main(int argc, char **argv) {
    const double seconds = argc > 1 ? atof(argv[1]) : 1;
    const clock_t begin = clock();
    special();
    do {
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
            for (int i = 0; i < BATCH; i++)
                kinds[k].draw(i);
            check(kinds[k].name, BATCH);
        }
    } while ((double)(clock() - begin) / CLOCKS_PER_SEC < seconds);
    printf("fma of %s, %d bits: batches of %d\n%ld passed, %ld failed\n", STRING(LEVEL), REAL_BITS, BATCH, passed,
           failed);
    return failed != 0;
}

END_OF_TARGET
