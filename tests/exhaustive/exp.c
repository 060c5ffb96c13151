/* The exponential of csrc/kernels/exp.inc.h, held to the claims that stand there.

       exp [--quick] csrc/kernels/exp.inc.h         (built and run by `run`)

   float: every argument |x| <= LARGE = 2^15. double: a dense sample of |x| <= LARGE = 2^40. --quick takes a sample of
   both. The two parts of exp_of are taken as a m and a t, a being a power of two and 1 <= m < 2. For each, at every
   level of this machine:

       exp         the error of their sum times CENTRE, not rounded further, relative to exp(x), in units of u = half the
                   distance from 1 to the next number; |t| < 0.08 m
       its row     the bits of m and t are the same in rows of other maxima, and a moves with the maximum; where x is
                   below the floor of its row, both parts are 0
       exp_alone   the error of the rounded result in units of its last place (ulp), subnormal results included
       the levels  give the same bytes */

#include "check.h"

typedef struct {
    worst parts, alone, t;
    long levels_differ, rows_differ, out_of_range; /* blocks */
    double example;                                /* an argument of one of those */
} outcome;

/* The field of the exponent; of a negative number more than any. */
INLINE int64_t field(const reals *a, int bits, int i) {
    uint32_t narrow;
    memcpy(&narrow, &a->f[i], sizeof narrow);
    return bits == 32 ? (int64_t)(narrow >> 23) : (int64_t)(bits_of(a->d[i]) >> 52);
}

/* high = a m and low = a t; m and t exactly, unless low is subnormal */
INLINE void split(int bits, int bias, const reals *high, const reals *low, reals *m, reals *t, reals *a) {
    for (int i = 0; i < BLOCK; i++) {
        const double a_field = (double)field(high, bits, i), h = get(high, bits, i), l = get(low, bits, i);
        const double power = a_field > 0 ? ldexp(1, (int)a_field - bias) : 1;
        set(a, bits, i, a_field > 0 ? power : h);
        set(m, bits, i, h / power);
        set(t, bits, i, l / power);
    }
}

/* Maxima of rows that x could be in, to see that they do not show: near to x, further away, and so far that the floor is
   there or thereabouts. */
enum { PASSES = 3 };
INLINE void fill_maxima(int bits, int pass, const reals *x, uint64_t k, reals *maximum) {
    const constants c = constants_of(bits);
    const double reach = c.reach * 0.69314718, at_most = c.large;
    const double least = pass == 2 ? reach - 2 : 0, range = pass == 0 ? 2 : pass == 1 ? reach : 4;
    for (int i = 0; i < BLOCK; i++) {
        const double above = get(x, bits, i) + least + uniform(k + (uint64_t)i) * range;
        set(maximum, bits, i, above < at_most ? above : at_most);
    }
}

/* The errors of a block: of 2^n (m + t) in u, of y in ulp. */
INLINE void measure_block(int bits, const reals *x, const reals *m, const reals *t, const double n[BLOCK],
                          const reals *y, outcome *o) {
    double parts[BLOCK], alone[BLOCK];
    const constants c = constants_of(bits);
    const double in_u = power_of_2(c.fraction_bits + 1);
    const double lowest = -1 - c.bias - c.fraction_bits; /* 2^lowest is half of the least number */
    const int64_t smallest = 1 - c.bias;
    for (int i = 0; i < BLOCK; i++) {
        const double value = get(y, bits, i);
        const pair q = exp_less_1(remainder_of(get(x, bits, i), n[i]));
        /* C m is exact, and so is t - C t = t (1 - C): C is 31/32 */
        const double one_part = get(m, bits, i) * c.centre - 1, other = get(t, bits, i);
        parts[i] = fabs((((q.h - one_part) - other) + (q.l + other * (1 - c.centre))) / (1 + q.h) * in_u);

        /* y / 2^n - (1 + q), in units of the last place of 2^n (1 + q), all scaled by 2^-n in two steps; 1 + q may be
           just below 1 */
        const double most = c.bias + 1 - c.scaled_headroom;
        const double not_low = n[i] < lowest - 2 ? lowest - 2 : n[i], bounded = not_low < most ? not_low : most;
        const int64_t k = (int64_t)bounded, half = k >> 1;
        const double scaled = value * power_of_2(-half) * power_of_2(half - k);
        const int64_t exponent = k + (int64_t)(bits_of(q.h) >> 63) * -1;
        const int64_t last = (exponent < smallest ? smallest : exponent) - c.fraction_bits - k;
        const double error = fabs(((scaled - 1) - q.h) - q.l) * power_of_2(-last);
        const int is_too_high = get(x, bits, i) >= c.highest;
        const double exactly = is_too_high ? INFINITY : 0;
        const double all_or_nothing = value == exactly ? 0 : INFINITY;
        alone[i] = is_too_high | (n[i] < lowest - 1) ? all_or_nothing : error;
    }
    for (int i = 0; i < BLOCK; i++)
        if (!(parts[i] < o->parts.error))
            keep_worst(&o->parts, parts[i], get(x, bits, i), 0);
    for (int i = 0; i < BLOCK; i++)
        if (!(alone[i] < o->alone.error))
            keep_worst(&o->alone, alone[i], get(x, bits, i), 0);
}

/* Everything there is to check of a block of arguments; k is where its random numbers start. */
INLINE void check_block(int bits, const reals *x, uint64_t k, outcome *o) {
    const constants c = constants_of(bits);
    int count;
    const level *const *levels = levels_here(bits, &count);
    reals high, low, m, t, a, reference, y, m2, t2, a2, reference2, y2, maximum;
    double n[BLOCK];
    levels[0]->exp_of(x, x, BLOCK, &high, &low, &reference);
    levels[0]->exp_alone(x, BLOCK, &y);
    for (int l = 1; l < count; l++) {
        levels[l]->exp_of(x, x, BLOCK, &m2, &t2, &reference2);
        levels[l]->exp_alone(x, BLOCK, &y2);
        if (!same_bits(&high, &m2, bits) || !same_bits(&low, &t2, bits) || !same_bits(&reference, &reference2, bits) ||
            !same_bits(&y, &y2, bits)) {
            o->levels_differ++;
            o->example = get(x, bits, 0);
        }
    }
    int good = 1;
    split(bits, c.bias, &high, &low, &m, &t, &a);
    for (int i = 0; i < BLOCK; i++) {
        const int64_t f = field(&high, bits, i);
        const double p = fabs(get(&t, bits, i) / get(&m, bits, i));
        good &= f > 0 && f < 2 * c.bias;
        if (!(p <= o->t.error))
            keep_worst(&o->t, p, get(x, bits, i), 0);
        n[i] = (double)(f - c.bias - c.headroom) + get(&reference, bits, i);
    }
    if (!good) {
        o->out_of_range++;
        o->example = get(x, bits, 0);
    }
    measure_block(bits, x, &m, &t, n, &y, o);

    for (int pass = 0; pass < PASSES; pass++) {
        fill_maxima(bits, pass, x, k, &maximum);
        levels[count - 1]->exp_of(x, &maximum, BLOCK, &high, &low, &reference2);
        split(bits, c.bias, &high, &low, &m2, &t2, &a2);
        int same = 1;
        for (int i = 0; i < BLOCK; i++) {
            const double expected = n[i] - get(&reference2, bits, i) + c.bias + c.headroom;
            const double got = (double)field(&high, bits, i), difference = fabs(get(&t2, bits, i) - get(&t, bits, i));
            const int subnormal = fabs(get(&low, bits, i)) <= ldexp(1, 1 - c.bias); /* or rounded up from one */
            const int close = difference <= ldexp(1, 1 - c.fraction_bits - (int)got);
            const int equal =
                (got == expected) & (get(&m2, bits, i) == get(&m, bits, i)) & ((difference == 0) | (subnormal & close));
            const int is_nothing = (get(&high, bits, i) == 0) & (get(&low, bits, i) == 0);
            same &= equal | (is_nothing & (expected <= c.bias + c.headroom - c.reach));
        }
        if (!same) {
            o->rows_differ++;
            o->example = get(x, bits, 0);
        }
    }
}

static void check_block_32(const reals *x, uint64_t k, outcome *o) { check_block(32, x, k, o); }
static void check_block_64(const reals *x, uint64_t k, outcome *o) { check_block(64, x, k, o); }

static void merge(outcome *all, const outcome *o) {
    keep_worst(&all->parts, o->parts.error, o->parts.at[0], 0);
    keep_worst(&all->alone, o->alone.error, o->alone.at[0], 0);
    keep_worst(&all->t, o->t.error, o->t.at[0], 0);
    all->levels_differ += o->levels_differ;
    all->rows_differ += o->rows_differ;
    all->out_of_range += o->out_of_range;
    if (o->levels_differ + o->rows_differ + o->out_of_range)
        all->example = o->example;
}

/* ---- arguments --------------------------------------------------------------------------------------------------------

   float: block b holds BLOCK neighbours, the positive ones first. */

static uint32_t bits_of_last_float(void) { return bits_of_float((float)constants_of(32).large); }
static uint32_t float_blocks_of_a_sign(void) { return (bits_of_last_float() + BLOCK) / BLOCK; }

static void fill_floats(uint64_t b, reals *x) {
    const uint32_t last = bits_of_last_float(), blocks = float_blocks_of_a_sign();
    const int negative = b >= blocks;
    const uint32_t first = (uint32_t)(negative ? b - blocks : b) * BLOCK;
    for (uint32_t i = 0; i < BLOCK; i++) {
        const uint32_t bits = first + i < last ? first + i : last;
        x->f[i] = float_from_bits(bits | (uint32_t)negative << 31);
    }
}

/* Arguments whose exp is among the hardest to round (Lefevre and Muller, 2001, and their successors), the ends of the
   range, to which infinities are brought back, and the least numbers. */
static const double chosen[] = {
    0x1.0122ef37212ebp-1,
    0x1.3bf54763f7f68p-1,
    0x1.8bc1a374cd53fp-1,
    0x1.fedc746ddf8fap-1,
    0x1.08543b70bd86bp-1,
    0x1.0eea5efe118aap+0,
    0x1.3a6c53d5a0f79p+0,
    0x1.6c66cedb7546p+0,
    0x1.704809e9afabdp+0,
    INFINITY,
    -INFINITY,
    0x1p-1074,
    -0x1p-1074,
    0x1p-1022,
    0.0,
    -0.0,
    0x1.62e42fefa39efp-2,
    0x1.62e42fefa39efp-1,
    -0x1.6232bdd7abcd2p+9,
};

/* A sample of doubles: each block is of one kind. */
static void fill_doubles(uint64_t b, reals *x) {
    enum { CHOSEN = sizeof chosen / sizeof *chosen };
    const double at_most = constants_of(64).large, bits_of_k = floor(uniform(b ^ 0x55) * (log2(at_most) + 1));
    for (int i = 0; i < BLOCK; i++) {
        const uint64_t k = 4 * (b * BLOCK + (uint64_t)i);
        const double one = uniform(k), two = uniform(k + 1) * 2 - 1;
        const int steps = (int)(number(k + 2) % 9) - 4;
        const double near = rint(two * 1100), far = rint(two * power_of_2((int64_t)bits_of_k));
        double v;
        switch (b % 9) {
        case 0: /* n = 0: x = r */
            v = two * 0.34658;
            break;
        case 1: /* where softmaxes are */
            v = two * 750;
            break;
        case 2:
            v = two * 40;
            break;
        case 3: /* every size */
            v = ldexp(two < 0 ? -1 - one : 1 + one, (int)(number(k + 3) % 1062) - 1022);
            break;
        case 4: /* every size from 2^-20 on */
            v = ldexp(two < 0 ? -1 - one : 1 + one, (int)(number(k + 3) % 60) - 20);
            break;
        case 5: /* the boundary between n and n + 1 */
            v = further(fma(near + 0.5, LN2_1, (near + 0.5) * LN2_2), steps);
            break;
        case 6:
            v = further(fma(far + 0.5, LN2_1, (far + 0.5) * LN2_2), steps);
            break;
        case 7: /* the multiples of ln2: r close to 0 */
            v = further(fma(far, LN2_1, far * LN2_2), steps);
            break;
        default: /* r in its outer half */
            v = fma(far + (one - 0.5 < 0 ? -0.5 : 0.25) + uniform(k + 3) * 0.25, LN2_1, 0);
            break;
        }
        x->d[i] = b > 0 || i > CHOSEN ? v : i < CHOSEN ? chosen[i] : further(at_most, -1);
        x->d[i] = fmin(fmax(x->d[i], -at_most), at_most);
    }
}

/* ---- the runs --------------------------------------------------------------------------------------------------------- */

static worst measure_parts(int bits, double at, double unused) {
    outcome o = {.parts = {0}};
    reals x;
    (void)unused;
    for (int i = 0; i < BLOCK; i++)
        set(&x, bits, i, at);
    (bits == 32 ? check_block_32 : check_block_64)(&x, 0, &o);
    return o.parts;
}
static worst measure_alone(int bits, double at, double unused) {
    outcome o = {.parts = {0}};
    reals x;
    (void)unused;
    for (int i = 0; i < BLOCK; i++)
        set(&x, bits, i, at);
    (bits == 32 ? check_block_32 : check_block_64)(&x, 0, &o);
    return o.alone;
}

static void check_type(int bits, int quick, const char *source) {
    const int64_t floats = 2 * (int64_t)float_blocks_of_a_sign(), doubles = 200000;
    const int64_t every = quick ? (bits == 32 ? 61 : 10) : 1, count = (bits == 32 ? floats : doubles) / every;
    outcome all = {.parts = {0}};
#pragma omp parallel
    {
        outcome mine = {.parts = {0}};
#pragma omp for schedule(dynamic, 64)
        for (int64_t i = 0; i < count; i++) {
            /* of every so many blocks one at random; of floats all, where none is left out */
            const uint64_t b = (uint64_t)(i * every) + (i && every > 1 ? number((uint64_t)i) % (uint64_t)every : 0);
            reals x;
            if (bits == 32)
                fill_floats(b, &x);
            else
                fill_doubles(b, &x);
            (bits == 32 ? check_block_32 : check_block_64)(&x, b * BLOCK, &mine);
        }
#pragma omp critical
        merge(&all, &mine);
    }
    char what[128], detail[128];
    snprintf(what, sizeof what, "exp float%d, %.4g arguments, all levels the same", bits, (double)count * BLOCK);
    snprintf(detail, sizeof detail, "%ld blocks differ, one from %a on", all.levels_differ, all.example);
    report(!all.levels_differ, what, all.levels_differ ? detail : "");
    snprintf(what, sizeof what, "exp float%d, the same in every row", bits);
    snprintf(detail, sizeof detail, "%ld blocks differ, one from %a on", all.rows_differ, all.example);
    report(!all.rows_differ, what, all.rows_differ ? detail : "");
    snprintf(what, sizeof what, "exp float%d, in range at the maximum", bits);
    snprintf(detail, sizeof detail, "not so in %ld blocks, one from %a on", all.out_of_range, all.example);
    report(!all.out_of_range, what, all.out_of_range ? detail : "");
    snprintf(what, sizeof what, "exp float%d, |p| < 0.08", bits);
    snprintf(detail, sizeof detail, "at most %.5f, at %a", all.t.error, all.t.at[0]);
    report(all.t.error < 0.08, what, detail);
    hold_to_claim(source, "exp", bits, "u", all.parts, 1, measure_parts);
    hold_to_claim(source, "exp_alone", bits, "ulp", all.alone, 1, measure_alone);
}

/* -inf and what is far below the maximum: both parts are +0. NaN: the second is NaN. Whatever the maximum, even a NaN. */
static void check_special(int bits) {
    const double large = constants_of(bits).large;
    int count, good = 1;
    const level *const *levels = levels_here(bits, &count);
    reals x, maximum, high, low, reference, y;
    for (int l = 0; l < count; l++)
        for (int kind = 0; kind < 3; kind++) {
            for (int i = 0; i < BLOCK; i++) {
                const double of_row = i == 0 ? INFINITY : i == 1 ? -INFINITY : i == 2 ? NAN : (i - 512) * large / 512;
                set(&maximum, bits, i, of_row);
                set(&x, bits, i, kind == 0 ? -INFINITY : kind == 1 ? NAN : -4 * large * (1 + i));
            }
            levels[l]->exp_of(&x, &maximum, BLOCK, &high, &low, &reference);
            levels[l]->exp_alone(&x, BLOCK, &y);
            for (int i = 0; i < BLOCK; i++)
                if (kind == 1)
                    good &= isnan(get(&low, bits, i)) && isnan(get(&y, bits, i));
                else
                    good &= i == 2 || (get(&high, bits, i) == 0 && !signbit(get(&high, bits, i)) &&
                                       get(&low, bits, i) == 0 && get(&y, bits, i) == 0);
        }
    char what[64];
    snprintf(what, sizeof what, "exp float%d of -inf, NaN and far below the maximum", bits);
    report(good, what, "");
}

/* The reference itself against a library of 113 bits. */
static void check_reference(void) {
    double worst_difference = 0;
    for (uint64_t k = 0; k < 2000; k++) {
        const double x = (uniform(k) * 2 - 1) * (k % 2 ? 40 : 11000), n = rint(x / LN2_1);
        const pair p = exp_less_1(remainder_of(x, n));
        quad scale = 1;
        for (int i = 0; i < fabs(n); i++)
            scale *= n < 0 ? 2 : 0.5; /* exact; the range of a quad is that of 2^16383 */
        const quad truth = quad_exp(x) * scale;
        worst_difference = fmax(worst_difference, fabs((double)((truth - 1 - p.h - p.l) / truth)));
    }
    char detail[64];
    snprintf(detail, sizeof detail, "relative difference at most 2^%.1f", log2(worst_difference));
    report(worst_difference < 0x1p-75, "the reference against 113 bits", detail);
}

int main(int argc, char **argv) {
    const int quick = argc == 3 && strcmp(argv[1], "--quick") == 0;
    if (argc != 2 + quick) {
        fprintf(stderr, "usage: exp [--quick] csrc/kernels/exp.inc.h\n");
        return 2;
    }
    make_factors();
    check_reference();
    for (int bits = 32; bits <= 64; bits += 32) {
        check_special(bits);
        check_type(bits, quick, argv[argc - 1]);
    }
    printf("%ld passed, %ld failed\n", passed, failed);
    return failed > 0;
}
