/* The logarithm of csrc/kernels/log.inc.h, held to the claims that stand there.

       log [--quick] csrc/kernels/log.inc.h         (built and run by `run`)

   log(1 + z), z = high + low >= 0 a pair, the result too. float: every high, once with low = 0 and once with a low at
   random, up to half of the last place of high. double: a dense sample. --quick takes a sample of both. The error of
   high + low, not rounded further, is relative to the true value, in units of u = half the distance from 1 to the next
   number; the claim "log_of_1_plus" is for low = 0, "log_of_1_plus_pair" for any. All levels of this machine have to
   give the same bytes. */

#include "check.h"

typedef struct {
    worst number, pair; /* low = 0, and not */
    long levels_differ; /* blocks */
    double example;     /* an argument of one of those */
} outcome;

/* The error of a result, high + low: with E = exp(high) the true value is high + log(1 + d), d = (1 + z - E) / E. So
   only exp has to be known well, and d, which is small; what is left out is d^4 / 4. */
INLINE double error_of(pair z, double high, double low) {
    const double n = rint(high * 0x1.71547652b82fep+0);
    const pair p = exp_less_1(remainder_of(high, n)); /* E = 2^n (1 + p) */
    const double scale = power_of_2(n < 0 ? 0 : n > 1022 ? -1022 : -(int64_t)n);
    /* z - p, or z / 2^n + 1 / 2^n - 1 - p, without loss */
    const pair a = two_sum(z.h * scale, scale), b = two_sum(a.h, -1), c = two_sum(b.h, -p.h);
    const double many = c.h + (((a.l + b.l) + c.l) + (z.l * scale - p.l));
    const double few = (z.h - p.h) + (z.l - p.l);
    const double d = (n == 0 ? few : many) / (1 + p.h);
    const double rest = d - d * d * (0.5 - d * (1.0 / 3));
    /* log(1 + z) = z as far as doubles go; p would be subnormal, and lose digits */
    const int is_tiny = z.h < 0x1p-120;
    const double error = is_tiny ? (high - z.h) + (low - z.l) : low - rest;
    return fabs(error / (is_tiny ? z.h : high + rest));
}

INLINE void check_block(int bits, const reals *high, const reals *low, outcome *o) {
    int count;
    const level *const *levels = levels_here(bits, &count);
    reals result, result_low, result2, result_low2;
    double errors[BLOCK];
    levels[0]->log_of_1_plus(high, low, BLOCK, &result, &result_low);
    for (int l = 1; l < count; l++) {
        levels[l]->log_of_1_plus(high, low, BLOCK, &result2, &result_low2);
        if (!same_bits(&result, &result2, bits) || !same_bits(&result_low, &result_low2, bits)) {
            o->levels_differ++;
            o->example = get(high, bits, 0);
        }
    }
    const double in_u = power_of_2(constants_of(bits).fraction_bits + 1);
    for (int i = 0; i < BLOCK; i++) {
        const pair z = {get(high, bits, i), get(low, bits, i)};
        errors[i] = error_of(z, get(&result, bits, i), get(&result_low, bits, i)) * in_u;
    }
    for (int i = 0; i < BLOCK; i++)
        if (get(high, bits, i) == 0)
            errors[i] = get(&result, bits, i) == 0 && get(&result_low, bits, i) == 0 ? 0 : INFINITY;
    for (int i = 0; i < BLOCK; i++)
        if (!(errors[i] < o->number.error) && get(low, bits, i) == 0)
            keep_worst(&o->number, errors[i], get(high, bits, i), 0);
        else if (!(errors[i] < o->pair.error))
            keep_worst(&o->pair, errors[i], get(high, bits, i), get(low, bits, i));
}

static void check_block_32(const reals *high, const reals *low, outcome *o) { check_block(32, high, low, o); }
static void check_block_64(const reals *high, const reals *low, outcome *o) { check_block(64, high, low, o); }

/* ---- arguments -------------------------------------------------------------------------------------------------------- */

enum { FLOAT_BLOCKS = 0x7f800000 / BLOCK }; /* 0x7f800000: the bits of infinity */

/* Up to half of the last place of high, so that high is the sum rounded; 0 where that is subnormal. */
static double some_low(int bits, double high, uint64_t k) {
    const constants c = constants_of(bits);
    int exponent;
    const double significand = frexp(high, &exponent);
    /* below a power of two numbers are half as far apart */
    const double half = ldexp(significand == 0.5 ? 0.25 : 0.5, exponent - 1 - c.fraction_bits);
    return high == 0 || half < power_of_2(1 - c.bias) ? 0 : (uniform(k) * 2 - 1) * half;
}

static void fill_floats(uint64_t b, reals *high, reals *low) {
    const uint64_t first = b % FLOAT_BLOCKS * BLOCK;
    for (uint64_t i = 0; i < BLOCK; i++) {
        high->f[i] = float_from_bits((uint32_t)(first + i));
        low->f[i] = b < FLOAT_BLOCKS ? 0 : (float)some_low(32, high->f[i], first + i);
    }
}

/* A sample of doubles: each block is of one kind; low is 0 in every fourth. */
static void fill_doubles(uint64_t b, reals *high, reals *low) {
    for (int i = 0; i < BLOCK; i++) {
        const uint64_t k = 4 * (b * BLOCK + (uint64_t)i);
        const double one = uniform(k);
        const int steps = (int)(number(k + 2) % 9) - 4;
        double v;
        switch (b % 7) {
        case 0: /* two or three elements that matter */
            v = one * 2;
            break;
        case 1: /* many that do */
            v = uniform(k + 1) * ldexp(1, (int)(one * 40));
            break;
        case 2: /* a dominant element, and the least numbers */
            v = ldexp(1 + one, (int)(number(k + 3) % 1130) - 1074);
            break;
        case 3:
            v = ldexp(1 + one, (int)(number(k + 3) % 60) - 40);
            break;
        case 4: /* 1 + z near the boundary between k and k + 1, at 2^k sqrt(2) */
            v = further(ldexp(constants_of(64).sqrt2, (int)(number(k + 3) % 50)) - 1, steps);
            break;
        case 5: /* near 2^k */
            v = fabs(further(ldexp(1, (int)(number(k + 3) % 50)) - 1, steps));
            break;
        default: /* whole numbers: so many elements equal the maximum */
            v = rint(uniform(k + 1) * ldexp(1, (int)(one * 33)));
            break;
        }
        high->d[i] = v < 0x1p1000 ? v : 0; /* "further" below 0 */
        low->d[i] = b / 7 % 4 == 0 ? 0 : some_low(64, high->d[i], k + 3);
    }
}

/* ---- the runs --------------------------------------------------------------------------------------------------------- */

static worst measure(int bits, double at, double at_low) {
    outcome o = {.number = {0}};
    reals high, low;
    for (int i = 0; i < BLOCK; i++) {
        set(&high, bits, i, at);
        set(&low, bits, i, at_low);
    }
    (bits == 32 ? check_block_32 : check_block_64)(&high, &low, &o);
    return at_low == 0 ? o.number : o.pair;
}

static void check_type(int bits, int quick, const char *source) {
    const int64_t floats = 2 * (int64_t)FLOAT_BLOCKS, doubles = 200000;
    const int64_t every = quick ? (bits == 32 ? 127 : 10) : 1, count = (bits == 32 ? floats : doubles) / every;
    outcome all = {.number = {0}};
#pragma omp parallel
    {
        outcome mine = {.number = {0}};
#pragma omp for schedule(dynamic, 64)
        for (int64_t i = 0; i < count; i++) {
            const uint64_t b = (uint64_t)(i * every) + (i && every > 1 ? number((uint64_t)i) % (uint64_t)every : 0);
            reals high, low;
            if (bits == 32)
                fill_floats(b, &high, &low);
            else
                fill_doubles(b, &high, &low);
            (bits == 32 ? check_block_32 : check_block_64)(&high, &low, &mine);
        }
#pragma omp critical
        {
            keep_worst(&all.number, mine.number.error, mine.number.at[0], 0);
            keep_worst(&all.pair, mine.pair.error, mine.pair.at[0], mine.pair.at[1]);
            all.levels_differ += mine.levels_differ;
            if (mine.levels_differ)
                all.example = mine.example;
        }
    }
    char what[128], detail[128];
    snprintf(what, sizeof what, "log_of_1_plus float%d, %.4g arguments, all levels the same", bits,
             (double)count * BLOCK);
    snprintf(detail, sizeof detail, "%ld blocks differ, one from %a on", all.levels_differ, all.example);
    report(!all.levels_differ, what, all.levels_differ ? detail : "");
    hold_to_claim(source, "log_of_1_plus", bits, "u", all.number, 1, measure);
    hold_to_claim(source, "log_of_1_plus_pair", bits, "u", all.pair, 2, measure);
}

/* The measure itself: the error of the true value, rounded to a pair, by a library of 113 bits. */
static void check_reference(void) {
    double largest = 0;
    for (uint64_t k = 0; k < 20000; k++) {
        const pair z = {ldexp(1 + uniform(k), (int)(number(k) % 160) - 110), 0};
        const quad truth = quad_log1p(z.h);
        const double high = (double)truth * (1 + (uniform(k + 7) - 0.5) * 0x1p-22); /* as far off as a float */
        largest = fmax(largest, error_of(z, high, (double)(truth - high)));
    }
    char detail[64];
    snprintf(detail, sizeof detail, "relative difference at most 2^%.1f", log2(largest));
    report(largest < 0x1p-65, "the reference against 113 bits", detail);
}

int main(int argc, char **argv) {
    const int quick = argc == 3 && strcmp(argv[1], "--quick") == 0;
    if (argc != 2 + quick) {
        fprintf(stderr, "usage: log [--quick] csrc/kernels/log.inc.h\n");
        return 2;
    }
    make_factors();
    check_reference();
    for (int bits = 32; bits <= 64; bits += 32)
        check_type(bits, quick, argv[argc - 1]);
    printf("%ld passed, %ld failed\n", passed, failed);
    return failed > 0;
}
