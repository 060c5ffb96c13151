/* What exp.c and log.c share: blocks of arguments, the exponential in twice the working precision to hold results to,
   the worst case, the claims that stand in the sources, and the count of checks. */

#ifndef EXHAUSTIVE_CHECK_H
#define EXHAUSTIVE_CHECK_H

#include "level.h"

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if LDBL_MANT_DIG >= 113
typedef long double quad;
#define quad_exp expl
#define quad_log1p log1pl
#else
#include <quadmath.h>
typedef __float128 quad;
#define quad_exp expq
#define quad_log1p log1pq
#endif

#define INLINE static inline __attribute__((always_inline, unused))
#define HELPER static __attribute__((unused))

/* ---- blocks --------------------------------------------------------------------------------------------------------- */

enum { BLOCK = 1024 };

typedef union {
    float f[BLOCK];
    double d[BLOCK];
} reals;

INLINE double get(const reals *r, int bits, int i) { return bits == 32 ? r->f[i] : r->d[i]; }
INLINE void set(reals *r, int bits, int i, double x) {
    if (bits == 32)
        r->f[i] = (float)x;
    else
        r->d[i] = x;
}
INLINE int same_bits(const reals *a, const reals *b, int bits) { return memcmp(a, b, BLOCK * (size_t)bits / 8) == 0; }

INLINE uint64_t bits_of(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}
INLINE double from_bits(uint64_t bits) {
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
INLINE uint32_t bits_of_float(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}
INLINE float float_from_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
INLINE double power_of_2(int64_t k) { return from_bits((uint64_t)(k + 1023) << 52); } /* -1022 <= k <= 1023 */

/* Number k of a fixed sequence (splitmix64); the same as a number in [0, 1). */
INLINE uint64_t number(uint64_t k) {
    uint64_t z = (k + 1) * 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}
INLINE double uniform(uint64_t k) { return (double)(number(k) >> 11) * 0x1p-53; }

/* x so many numbers further from 0. */
INLINE double further(double x, int steps) { return from_bits(bits_of(x) + (uint64_t)(int64_t)steps); }

/* ---- the exponential, to about 2^-100 -------------------------------------------------------------------------------

   Pairs high + low of doubles, with the error-free steps of Knuth and Dekker. exp(r) - 1 by Taylor's series: nothing
   in common with the code under test. */

typedef struct {
    double h, l;
} pair;

INLINE pair two_sum(double a, double b) {
    const double s = a + b, b_seen = s - a;
    const pair r = {s, (a - (s - b_seen)) + (b - b_seen)};
    return r;
}
INLINE pair fast_two_sum(double a, double b) {
    const double s = a + b;
    const pair r = {s, b - (s - a)};
    return r;
}
INLINE pair times(pair a, pair b) {
    const double h = a.h * b.h;
    return fast_two_sum(h, fma(a.h, b.h, -h) + (a.h * b.l + a.l * b.h));
}

#define LN2_1 0x1.62e42fefa39efp-1
#define LN2_2 0x1.abc9e3b39803fp-56
#define LN2_3 0x1.7b57a079a1934p-111

/* x - n ln2, |n| < 2^42 */
INLINE pair remainder_of(double x, double n) {
    const double p = n * LN2_1, p_low = fma(n, LN2_1, -p);
    const double q = n * LN2_2, q_low = fma(n, LN2_2, -q);
    const pair a = two_sum(x, -p), b = two_sum(a.h, -p_low), c = two_sum(b.h, -q);
    return two_sum(c.h, ((a.l + b.l) + c.l) - (q_low + n * LN2_3));
}

enum { TERMS = 21, TERMS_IN_PAIRS = 8 };
static double factor[TERMS], factor_low[TERMS]; /* 1 / k! */

HELPER void make_factors(void) {
    double factorial = 1;
    for (int k = 1; k < TERMS; k++) {
        factorial *= k; /* exact up to 22! */
        factor[k] = 1 / factorial;
        factor_low[k] = -fma(factor[k], factorial, -1) / factorial;
    }
}

/* exp(r) - 1 for |r| < 1/2 */
INLINE pair exp_less_1(pair r) {
    double t = factor[TERMS - 1];
#pragma GCC unroll 32
    for (int k = TERMS - 2; k >= TERMS_IN_PAIRS; k--)
        t = fma(t, r.h, factor[k]);
    pair s = {t, 0};
#pragma GCC unroll 32
    for (int k = TERMS_IN_PAIRS - 1; k >= 1; k--) {
        const double h = s.h * r.h, l = fma(s.h, r.h, -h) + (s.h * r.l + s.l * r.h);
        const pair next = fast_two_sum(factor[k], h);
        s = fast_two_sum(next.h, next.l + (l + factor_low[k]));
    }
    return times(s, r);
}

/* ---- results --------------------------------------------------------------------------------------------------------- */

typedef struct {
    double error, at[2];
} worst;

INLINE void keep_worst(worst *w, double error, double at, double at_low) {
    /* a NaN counts as the worst there is; equals are told apart so that the order of the threads does not show */
    const double e = error == error ? error : INFINITY;
    if (e > w->error || (e == w->error && (at < w->at[0] || (at == w->at[0] && at_low < w->at[1])))) {
        w->error = e;
        w->at[0] = at;
        w->at[1] = at_low;
    }
}

static long passed, failed;

HELPER void report(int good, const char *what, const char *detail) {
    printf("%s %s%s%s\n", good ? "ok    " : "FAILED", what, *detail ? ": " : "", detail);
    fflush(stdout);
    passed += good;
    failed += !good;
}

typedef struct {
    double bound, found, at[2];
    int numbers;
} claim;

/* The line "claim: FUNCTION TYPE <= X UNIT; found Y at hex: 0x..., 0x..." of a source file. */
HELPER int read_claim(const char *path, const char *function, int bits, claim *c) {
    char line[512], start[128];
    FILE *file = fopen(path, "r");
    if (!file) {
        perror(path);
        exit(2);
    }
    snprintf(start, sizeof start, "claim: %s float%d <= ", function, bits);
    c->numbers = 0;
    c->at[0] = c->at[1] = 0;
    while (!c->numbers && fgets(line, sizeof line, file)) {
        const char *at = strstr(line, start);
        if (at && sscanf(at + strlen(start), "%lf %*[^;]; found %lf at hex: %la, %la", &c->bound, &c->found, &c->at[0],
                         &c->at[1]) >= 3)
            c->numbers = strchr(at, ',') ? 2 : 1;
    }
    fclose(file);
    return c->numbers > 0;
}

/* %a of a float, which printf takes for a double, in the shortest form */
HELPER void print_claim(char *to, size_t room, const char *function, int bits, const char *unit, worst w, int numbers) {
    const double bound = ceil(w.error * 100 + 0.2) / 100;
    int n = snprintf(to, room, "claim: %s float%d <= %.2f %s; found %.3f at hex: %a", function, bits, bound, unit,
                     w.error, w.at[0]);
    if (numbers == 2 && n > 0 && (size_t)n < room)
        snprintf(to + n, room - (size_t)n, ", %a", w.at[1]);
}

/* Holds the worst case found to the claim, and the claim's own worst case, measured again, to what it says. */
HELPER void hold_to_claim(const char *path, const char *function, int bits, const char *unit, worst w, int numbers,
                          worst (*measure)(int bits, double at, double at_low)) {
    char what[128], detail[512];
    claim c;
    snprintf(what, sizeof what, "%s float%d", function, bits);
    if (!read_claim(path, function, bits, &c)) {
        print_claim(detail, sizeof detail, function, bits, unit, w, numbers);
        char all[700];
        snprintf(all, sizeof all, "no claim in %s; found now: %s", path, detail);
        report(0, what, all);
        return;
    }
    const worst again = measure(bits, c.at[0], c.at[1]);
    char at_low[64] = "";
    if (numbers == 2)
        snprintf(at_low, sizeof at_low, ", %a", w.at[1]);
    snprintf(detail, sizeof detail, "worst %.4f %s at hex: %a%s; claimed <= %g", w.error, unit, w.at[0], at_low,
             c.bound);
    report(w.error <= c.bound, what, detail);
    snprintf(what, sizeof what, "%s float%d, the worst case in the source", function, bits);
    snprintf(detail, sizeof detail, "%.4f %s, as found then: %.3f", again.error, unit, c.found);
    report(fabs(again.error - c.found) <= 0.001 && c.found <= c.bound, what, detail);
}

#endif
