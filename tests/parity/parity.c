/* One answer from every level: what the kernels of each level that this machine has give for the same rows, byte by
   byte against level 0 ("scalar"), each call through the runner. `run` builds it for this machine and for 64-bit Arm,
   which it runs under an emulator, and compares what the two print.

       parity check float32     every operation on rows of many lengths, families and layouts; prints a digest of the
                                results for each level, operation and family, then "N passed, N failed"; masks and
                                types of 16 bits, too
       parity golden float32    the raw results on the inputs of tests/golden.py, for golden.py here to digest */

#include "cpu.h"
#include "losses.h"
#include "plan.h"

#ifdef _WIN32
#include <fcntl.h>
#include <io.h>
#endif

#include <inttypes.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An operation's row of the table. What is read of it here is the same at every level and for every type: `check` sees to
   that. */
static const smx_op_kernels *row_of(enum smx_op op) { return &smx_scalar_f32.op[op]; }

/* ---- inputs ---------------------------------------------------------------------------------------------------------

   The numbers of tests/golden.py, which says how they are made; a family turns two integers of 24 bits, of streams 1
   and 2, into element j of a row of n. Multiples of powers of two, so exact in the type (of so many bits). */

static int64_t integer(uint64_t stream, uint64_t k) {
    uint64_t z = ((stream << 40) + k + 1) * 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    z ^= z >> 31;
    return (int64_t)(z >> 40) - (1 << 23);
}

typedef struct {
    int64_t m, other; /* of stream 1, of stream 2 */
    ptrdiff_t j, n;
    int bits;
} place;

/* Rounds down, as Python's shift does. */
static double down(int64_t m, int shift) { return floor(ldexp((double)m, -shift)); }

static double least_subnormal(place p) { return ldexp(1, p.bits == 32 ? -149 : -1074); }
static double largest_number(place p) { return p.bits == 32 ? 0x1.fffffep127 : 0x1.fffffffffffffp1023; }

/* A NaN of either sign with bits of its own, which must not show in a result. */
static double some_nan(place p) {
    const uint64_t bits = 0x7ff8000000000000u | (uint64_t)(p.m & 1) << 63 | (uint64_t)0x123 << 29;
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* those of tests/golden.py */
static double unit(place p) { return ldexp((double)p.m, -21); }
static double wide(place p) { return ldexp((double)p.m, -16); }
static double steep(place p) { return ldexp((double)p.m, -13); }
static double flat(place p) { return ldexp((double)p.m, -40); }
static double ties(place p) { return down(p.m, 20); }
static double offset(place p) { return ldexp(down(p.m, 10), -9) + 1000; }
static double far(place p) { return down(p.m, 17) + 0x1p20; }
static double huge(place p) { return ldexp((double)p.m, 100); }
static double confident(place p) { return ldexp(down(p.m, 4), -17) + (p.j == 2 ? 64 : 0); }
static double masked(place p) { return p.j % 5 == 3 ? -INFINITY : ldexp((double)p.m, -20); }
static double probabilities(place p) { return ldexp((double)(p.m + (1 << 23) + 1), -30); }
static double tiny(place p) { return ldexp((double)(p.m + (1 << 23) + 1), -149); }
static double moderate(place p) { return ldexp((double)(p.m - (1 << 23)), -20); }
static double steeply(place p) { return ldexp((double)(p.m - (1 << 23)), -17); }
static double moderate_vector(place p) { return ldexp((double)p.other, -21); }
static double steep_vector(place p) { return ldexp((double)p.other, -10); }

/* those of this program */
static double ramp(place p) { return (double)p.j * -0.5; }
static double equal(place p) { return (void)p, -3; }
static double subnormal(place p) { return (double)p.m * least_subnormal(p); }
static double below_zero(place p) { return -ldexp((double)(p.m + (1 << 23)), p.bits == 32 ? -17 : -14); }
static double far_7(place p) { return 1e7 + down(p.m, 20); }
static double far_below(place p) { return -1e7 + down(p.m, 20); }
static double far_30(place p) { return 0x1.93e594p99 * (1 + down(p.m, 20) * 0x1p-23); }
static double far_below_30(place p) { return -far_30(p); }
static double near_large(place p) { return ldexp(1, p.bits == 32 ? 19 : 40) + down(p.m, 20) / 2; }
static double extreme(place p) { return p.m < 0 ? -largest_number(p) : largest_number(p); }
static double with_nan(place p) { return p.j == p.n / 2 || p.m % 16 == 0 ? some_nan(p) : unit(p); }
static double with_infinity(place p) { return p.j == p.n / 3 ? INFINITY : unit(p); }
static double infinity_and_nan(place p) { return p.j == p.n / 3 ? INFINITY : with_nan(p); }
static double both_infinities(place p) { return p.j == p.n / 3 ? INFINITY : p.j % 2 ? -INFINITY : unit(p); }
static double all_masked(place p) { return (void)p, -INFINITY; }
static double masked_and_nan(place p) { return p.j == p.n / 2 ? some_nan(p) : -INFINITY; }
static double one_left(place p) { return p.j == p.n / 2 ? unit(p) : -INFINITY; }
static double zeros(place p) { return p.m < 0 ? -0.0 : 0.0; }
static double vector_with_nan(place p) { return p.j == p.n / 2 ? some_nan(p) : moderate_vector(p); }
static double vector_with_infinity(place p) { return p.j == p.n / 2 ? -INFINITY : moderate_vector(p); }
static double one_hot(place p) { return p.j == p.n / 2 ? 1 : 0; }
static double vector_of_extremes(place p) { return p.other < 0 ? -largest_number(p) : largest_number(p); }
static double vector_of_subnormals(place p) { return (double)p.other * least_subnormal(p); }

typedef double (*maker)(place p);

typedef struct {
    const char *name;
    enum { GOLDEN, PLAIN, SPECIAL } kind; /* SPECIAL: rows that make the runner do more for their whole tile */
    maker first, second;
} family;

enum { MAX_FAMILIES = 40 };

static const family of_x[MAX_FAMILIES] = {
    {"unit", GOLDEN, unit, NULL},
    {"wide", GOLDEN, wide, NULL},
    {"steep", GOLDEN, steep, NULL},
    {"flat", GOLDEN, flat, NULL},
    {"ties", GOLDEN, ties, NULL},
    {"offset", GOLDEN, offset, NULL},
    {"far", GOLDEN, far, NULL},
    {"huge", GOLDEN, huge, NULL},
    {"confident", GOLDEN, confident, NULL},
    {"masked", GOLDEN, masked, NULL},
    {"ramp", PLAIN, ramp, NULL},
    {"equal", PLAIN, equal, NULL},
    {"subnormal", PLAIN, subnormal, NULL},
    {"below_zero", PLAIN, below_zero, NULL},
    {"one_left", PLAIN, one_left, NULL},
    {"zeros", PLAIN, zeros, NULL},
    {"far_7", SPECIAL, far_7, NULL},
    {"far_below", SPECIAL, far_below, NULL},
    {"far_30", SPECIAL, far_30, NULL},
    {"far_below_30", SPECIAL, far_below_30, NULL},
    {"near_large", SPECIAL, near_large, NULL},
    {"extreme", SPECIAL, extreme, NULL},
    {"with_nan", SPECIAL, with_nan, NULL},
    {"with_infinity", SPECIAL, with_infinity, NULL},
    {"infinity_and_nan", SPECIAL, infinity_and_nan, NULL},
    {"both_infinities", SPECIAL, both_infinities, NULL},
    {"all_masked", SPECIAL, all_masked, NULL},
    {"masked_and_nan", SPECIAL, masked_and_nan, NULL},
};

static const family of_probabilities[MAX_FAMILIES] = {
    {"probabilities", GOLDEN, probabilities, moderate_vector},
    {"tiny", GOLDEN, tiny, steep_vector},
    {"subnormal", PLAIN, subnormal, moderate_vector},
    {"subnormal_vector", PLAIN, probabilities, vector_of_subnormals},
    {"any_sign", PLAIN, unit, steep_vector},
    {"zeros", PLAIN, zeros, moderate_vector},
    {"with_nan", SPECIAL, with_nan, moderate_vector},
    {"with_infinity", SPECIAL, with_infinity, moderate_vector},
    {"vector_with_nan", SPECIAL, probabilities, vector_with_nan},
    {"vector_with_infinity", SPECIAL, probabilities, vector_with_infinity},
    {"overflow", SPECIAL, unit, vector_of_extremes},
    {"overflow_beside_0", SPECIAL, one_hot, vector_of_extremes},
};

static const family of_logarithms[MAX_FAMILIES] = {
    {"moderate", GOLDEN, moderate, moderate_vector},
    {"steep", GOLDEN, steeply, steep_vector},
    {"masked", PLAIN, masked, moderate_vector},
    {"below_zero", PLAIN, below_zero, steep_vector},
    {"subnormal", PLAIN, subnormal, moderate_vector},
    {"subnormal_vector", PLAIN, moderate, vector_of_subnormals},
    {"any_sign", PLAIN, wide, steep_vector},
    {"all_masked", PLAIN, all_masked, moderate_vector},
    {"zeros", PLAIN, zeros, moderate_vector},
    {"with_nan", SPECIAL, with_nan, moderate_vector},
    {"with_infinity", SPECIAL, with_infinity, moderate_vector},
    {"extreme", SPECIAL, extreme, moderate_vector},
    {"vector_with_nan", SPECIAL, moderate, vector_with_nan},
    {"vector_with_infinity", SPECIAL, moderate, vector_with_infinity},
    {"overflow", SPECIAL, moderate, vector_of_extremes},
};

/* the second function makes probabilities */
static double shares(place p) { return ldexp((double)(p.other + (1 << 23) + 1), -30); }
static double shares_with_zeros(place p) { return p.j % 3 ? 0 : shares(p); }
static double shares_with_nan(place p) { return p.j == p.n / 2 ? some_nan(p) : shares(p); }

static const family of_logits[MAX_FAMILIES] = {
    {"unit", GOLDEN, unit, shares},
    {"wide", GOLDEN, wide, shares},
    {"huge", GOLDEN, huge, shares},
    {"confident", GOLDEN, confident, shares},
    {"masked", GOLDEN, masked, shares},
    {"ties", PLAIN, ties, shares},
    {"masked_and_zeros", PLAIN, masked, shares_with_zeros},
    {"subnormal", PLAIN, subnormal, vector_of_subnormals},
    {"one_left", PLAIN, one_left, one_hot},
    {"far_30", SPECIAL, far_30, shares},
    {"near_large", SPECIAL, near_large, shares},
    {"extreme", SPECIAL, extreme, shares},
    {"with_nan", SPECIAL, with_nan, shares},
    {"with_infinity", SPECIAL, with_infinity, shares_with_zeros},
    {"all_masked", SPECIAL, all_masked, shares},
    {"shares_with_nan", SPECIAL, unit, shares_with_nan},
    {"overflow", SPECIAL, unit, vector_of_extremes},
};

/* the second function makes weights of both signs: those of tests/golden.py, and others */
static double weights(place p) { return p.j % 9 == 4 ? 0 : ldexp((double)p.other, (int)(7 * p.j % 41) - 42); }
static double weights_of_any_size(place p) {
    const int most = p.bits == 32 ? 126 : 1020;
    return ldexp((double)p.other, (int)(p.m % most) - 23);
}
static double weights_with_nan(place p) { return p.j == p.n / 2 ? some_nan(p) : weights(p); }
static double weights_with_infinity(place p) { return p.j == p.n / 2 ? -INFINITY : weights(p); }
static double weights_that_hide(place p) { return p.j == p.n / 2 || p.j == p.n / 3 || p.m % 16 == 0 ? 0 : weights(p); }
static double same_weights(place p) { return p.j % 2 ? 1 : -1; }

static const family of_weighted[MAX_FAMILIES] = {
    {"unit", GOLDEN, unit, weights},
    {"wide", GOLDEN, wide, weights},
    {"steep", GOLDEN, steep, weights},
    {"flat", GOLDEN, flat, weights},
    {"ties", GOLDEN, ties, weights},
    {"offset", GOLDEN, offset, weights},
    {"far", GOLDEN, far, weights},
    {"huge", GOLDEN, huge, weights},
    {"confident", GOLDEN, confident, weights},
    {"masked", GOLDEN, masked, weights},
    {"any_size", PLAIN, unit, weights_of_any_size},
    {"wide_of_any_size", PLAIN, wide, weights_of_any_size},
    {"subnormal", PLAIN, unit, vector_of_subnormals},
    {"same", PLAIN, ties, same_weights},
    {"zeros", PLAIN, unit, zeros},
    {"one_left", PLAIN, one_left, weights},
    {"hidden_nan", SPECIAL, with_nan, weights_that_hide},
    {"hidden_infinity", SPECIAL, with_infinity, weights_that_hide},
    {"far_7", SPECIAL, far_7, weights_of_any_size},
    {"far_30", SPECIAL, far_30, weights_of_any_size},
    {"near_large", SPECIAL, near_large, weights},
    {"extreme", SPECIAL, extreme, weights},
    {"both_extreme", SPECIAL, extreme, vector_of_extremes},
    {"with_nan", SPECIAL, with_nan, weights},
    {"with_infinity", SPECIAL, with_infinity, weights},
    {"both_infinities", SPECIAL, both_infinities, weights},
    {"all_masked", SPECIAL, all_masked, weights},
    {"weights_with_nan", SPECIAL, unit, weights_with_nan},
    {"weights_with_infinity", SPECIAL, masked, weights_with_infinity},
};

/* x and labels; x, weights of the classes and labels; or x, weights and probabilities */
static int is_loss(enum smx_op op) { return row_of(op)->has_labels || row_of(op)->inputs == 3; }
/* x and b: logsumexp with weights */
static int is_weighted(enum smx_op op) { return row_of(op)->takes_initial && row_of(op)->inputs == 2; }

/* Of two inputs the first is a result of softmax or of log_softmax: a hidden element of it is 0 or log 0. */
static const family *families(enum smx_op op) {
    return is_loss(op)                      ? of_logits
           : is_weighted(op)                ? of_weighted
           : row_of(op)->inputs == 1        ? of_x
           : row_of(op)->hidden.in[0] == 0. ? of_probabilities
                                            : of_logarithms;
}

/* How many of them there are up to the last of that kind. */
static int family_count(enum smx_op op, int kind) {
    const family *all = families(op);
    int count = 0;
    while (count < MAX_FAMILIES && all[count].name && (int)all[count].kind <= kind)
        count++;
    return count;
}

/* ---- a call ---------------------------------------------------------------------------------------------------------

   Arrays of rows x n elements lie in memory in one of these ways. */

typedef enum {
    ALONG,      /* contiguous rows */
    SIDE,       /* side by side, with a gap */
    REVERSED,   /* every other element, backwards */
    SPLIT,      /* the axis of the row is two axes, which do not merge */
    ODD_SWAPPED /* contiguous rows at an odd address, bytes in the other order */
} kind;

typedef struct {
    const char *name;
    kind in[SMX_MAX_INPUTS], out;
    int in_place; /* over the first input */
} layout;

static const layout layouts[] = {
    {"contiguous rows", {ALONG, ALONG, ALONG}, ALONG, 0},
    {"columns", {SIDE, SIDE, SIDE}, SIDE, 0},
    {"columns, second input in rows, reversed result", {SIDE, ALONG, SIDE}, REVERSED, 0},
    {"rows, second input in columns, result in columns", {ALONG, SIDE, ALONG}, SIDE, 0},
    {"reversed", {REVERSED, REVERSED, REVERSED}, REVERSED, 0},
    {"rows along two axes", {SPLIT, SPLIT, SPLIT}, SPLIT, 0},
    {"odd address, swapped bytes", {ODD_SWAPPED, ODD_SWAPPED, ODD_SWAPPED}, ODD_SWAPPED, 0},
    {"contiguous rows, in place", {ALONG, ALONG, ALONG}, ALONG, 1},
    {"columns, in place", {SIDE, SIDE, SIDE}, SIDE, 1},
};
enum { LAYOUTS = sizeof layouts / sizeof *layouts, FEW_LAYOUTS = 3, GAP = 3, SENTINEL = 0xA5 };

typedef struct {
    enum smx_op op;
    size_t size;
    ptrdiff_t rows, n;
    char *in[SMX_MAX_INPUTS]; /* contiguous */
} call;

/* Room for an array laid out in any way. */
static size_t room(const call *c) { return (size_t)(c->rows + GAP) * (size_t)(3 * c->n + GAP) * c->size + 64; }

static ptrdiff_t divisor(ptrdiff_t n) {
    ptrdiff_t d = 1;
    for (ptrdiff_t k = 2; k * k <= n; k++)
        if (n % k == 0)
            d = k;
    return d;
}

/* Fills in the operand, for an array in memory of room(c) bytes; with it the plan's axes of the row. */
static void lay_out(const call *c, kind how, char *memory, smx_operand *operand, ptrdiff_t inner) {
    const ptrdiff_t size = (ptrdiff_t)c->size, n = c->n;
    operand->data = memory;
    operand->swapped = how == ODD_SWAPPED;
    operand->inner[0] = n / inner * size;
    operand->inner[1] = size;
    operand->outer[0] = n * size;
    switch (how) {
    case ALONG:
        operand->inner[0] = inner * size;
        break;
    case SIDE:
        operand->inner[1] = (c->rows + GAP) * size;
        operand->inner[0] = inner * operand->inner[1];
        operand->outer[0] = size;
        break;
    case REVERSED:
        operand->data += 2 * (n - 1) * size;
        operand->inner[1] = -2 * size;
        operand->inner[0] = inner * operand->inner[1];
        operand->outer[0] = (2 * n + GAP) * size;
        break;
    case SPLIT: /* the faster of the two axes has the larger stride */
        operand->inner[0] = size;
        operand->inner[1] = n / inner * size;
        operand->outer[0] = (n + GAP) * size;
        break;
    case ODD_SWAPPED:
        operand->data += 1;
        operand->inner[0] = inner * size;
        break;
    }
}

static void copy_element(char *to, const char *from, size_t size, int swapped) {
    for (size_t k = 0; k < size; k++)
        to[k] = from[swapped ? size - 1 - k : k];
}

static char *element(const smx_operand *operand, ptrdiff_t inner, ptrdiff_t row, ptrdiff_t j) {
    return operand->data + row * operand->outer[0] + j / inner * operand->inner[0] + j % inner * operand->inner[1];
}

static void *need_memory(size_t size) {
    void *memory = malloc(size);
    if (!memory) {
        fprintf(stderr, "no memory\n");
        exit(2);
    }
    return memory;
}

/* A gradient is followed by the row's loss. */
static ptrdiff_t results_per_row(const call *c) {
    const smx_op_kernels *op = row_of(c->op);
    return (op->elementwise ? c->n : 1) + op->has_row_out;
}

/* What an operation is called with that has one number for each row: that of tests/golden.py. */
typedef struct {
    int64_t *label;
    int8_t *exponent;
    char *factor, *initial, *result;
} row_arrays;

static void put(char *to, size_t size, double value);
static double get(const char *from, size_t size);

static void add_targets(const call *c, smx_plan *plan, row_arrays *side) {
    const ptrdiff_t size = (ptrdiff_t)c->size;
    side->label = need_memory((size_t)c->rows * sizeof(int64_t));
    side->factor = need_memory((size_t)c->rows * c->size);
    side->exponent = need_memory((size_t)c->rows);
    memset(side->exponent, 0, (size_t)c->rows);
    plan->exponent.data = (char *)side->exponent;
    plan->exponent.outer[0] = 1;
    const int has_weights = row_of(c->op)->inputs > 1;
    const double smoothing = has_weights ? 0.125 : 0;
    plan->targets.keep = 1 - smoothing;
    plan->targets.spread = smoothing / (double)c->n;
    plan->targets.divisor = 1;
    for (ptrdiff_t row = 0; row < c->rows; row++) {
        const ptrdiff_t label = (7 * row + 3) % c->n;
        const double weight = has_weights ? get(c->in[1] + label * size, c->size) : 1;
        side->label[row] = row % 5 == 4 ? -1 : label;
        put(side->factor + row * size, c->size, plan->targets.keep * weight);
    }
    plan->label.data = (char *)side->label;
    plan->label.outer[0] = sizeof(int64_t);
    plan->factor.data = side->factor;
    plan->factor.outer[0] = size;
}

/* The initial term of a row is its middle element, but 0 in every fifth row. */
static void add_initial(const call *c, smx_plan *plan, row_arrays *side) {
    const ptrdiff_t size = (ptrdiff_t)c->size;
    side->initial = need_memory((size_t)c->rows * c->size);
    for (ptrdiff_t row = 0; row < c->rows; row++) {
        put(side->initial + row * size, c->size, 0);
        if (row % 5 != 4)
            memcpy(side->initial + row * size, c->in[0] + (row * c->n + c->n / 2) * size, c->size);
    }
    plan->initial.data = side->initial;
    plan->initial.outer[0] = size;
}

/* Makes the call with the kernels and leaves the results, contiguous, in result. Returns what is wrong, or NULL. */
static const char *run(const call *c, const smx_kernels *kernels, const layout *how, char *result) {
    /* Of an axis that is split all operands have both parts. */
    const int split = how->out == SPLIT;
    const ptrdiff_t inner = split ? divisor(c->n) : c->n;
    const int inputs = kernels->op[c->op].inputs;
    smx_plan plan = {.op = c->op, .kernels = kernels, .threads = 1, .temperature = 1, .outer_dims = 1, .inner_dims = 2};
    plan.outer_shape[0] = c->rows;
    plan.inner_shape[0] = c->n / inner;
    plan.inner_shape[1] = inner;
    char *memory[SMX_MAX_INPUTS + 1] = {NULL};
    for (int k = 0; k <= inputs; k++) {
        memory[k] = need_memory(room(c));
        memset(memory[k], SENTINEL, room(c));
    }
    for (int k = 0; k < inputs; k++) {
        lay_out(c, how->in[k], memory[k], &plan.in[k], inner);
        for (ptrdiff_t row = 0; row < c->rows; row++)
            for (ptrdiff_t j = 0; j < c->n; j++)
                copy_element(element(&plan.in[k], inner, row, j), c->in[k] + (row * c->n + j) * (ptrdiff_t)c->size,
                             c->size, plan.in[k].swapped);
    }
    const smx_op_kernels *op = &kernels->op[c->op];
    row_arrays side = {NULL, NULL, NULL, NULL, NULL};
    if (is_loss(c->op))
        add_targets(c, &plan, &side);
    if (op->takes_initial && op->elementwise && op->has_row_out)
        add_initial(c, &plan, &side);
    if (op->has_row_out) {
        side.result = need_memory((size_t)c->rows * c->size);
        plan.row_out.data = side.result;
        plan.row_out.outer[0] = (ptrdiff_t)c->size;
    }
    char *out = memory[how->in_place && op->elementwise ? 0 : inputs];
    lay_out(c, how->out, out, &plan.out, inner);
    const smx_operand target = plan.out; /* the runner may rewrite the plan */
    const char *wrong = smx_run(&plan) == SMX_DONE ? NULL : "no memory";

    /* What is left of the output without its elements has to be as it was. */
    const ptrdiff_t count = results_per_row(c);
    for (ptrdiff_t row = 0; row < c->rows; row++)
        for (ptrdiff_t j = 0; j < count; j++, result += c->size) {
            if (op->has_row_out && j == count - 1) {
                memcpy(result, side.result + row * (ptrdiff_t)c->size, c->size);
                if (is_loss(c->op))
                    smx_apply_exponents(result, c->size == 8, &side.exponent[row], 1);
                continue;
            }
            char *at = element(&target, inner, row, j);
            copy_element(result, at, c->size, target.swapped);
            if (is_loss(c->op) && !op->elementwise)
                smx_apply_exponents(result, c->size == 8, &side.exponent[row], 1);
            memset(at, SENTINEL, c->size);
        }
    for (size_t i = 0; i < room(c) && !wrong; i++)
        if ((unsigned char)out[i] != SENTINEL)
            wrong = "wrote beside the output";
    for (int k = 0; k <= inputs; k++)
        free(memory[k]);
    free(side.label);
    free(side.factor);
    free(side.exponent);
    free(side.initial);
    free(side.result);
    return wrong;
}

static void put(char *to, size_t size, double value) {
    const float narrow = (float)value;
    memcpy(to, size == 4 ? (const void *)&narrow : &value, size);
}

static double get(const char *from, size_t size) {
    float narrow;
    double value;
    memcpy(&narrow, from, sizeof narrow);
    if (size == 4)
        return narrow;
    memcpy(&value, from, sizeof value);
    return value;
}

static void make_row(const call *c, const family *f, ptrdiff_t row, uint64_t first_row, uint64_t position) {
    for (ptrdiff_t j = 0; j < c->n; j++) {
        const place p = {integer(1, position + (uint64_t)j), integer(2, position + (uint64_t)j), j, c->n,
                         (int)c->size * 8};
        const ptrdiff_t at = (row * c->n + j) * (ptrdiff_t)c->size;
        put(c->in[0] + at, c->size, f->first(p));
        const double second = f->second ? f->second(p) : 0;
        /* tests/golden.py has no NaN in its results */
        const int is_size = is_weighted(c->op) && !row_of(c->op)->has_row_out && f->kind == GOLDEN;
        put(c->in[1] + at, c->size, is_size ? fabs(second) : second);
        if (is_loss(c->op)) { /* the weights of the classes, from the first row's numbers; probabilities */
            const int64_t n = integer(2, first_row + (uint64_t)j);
            put(c->in[1] + at, c->size, ldexp((double)(n < 0 ? -n : n) + 1, -22));
            put(c->in[2] + at, c->size, f->second(p));
        }
    }
}

static const smx_kernels *kernels_of(const smx_level *level, size_t size) {
    return size == 4 ? level->f32 : level->f64;
}

static const char *type_name(size_t size) { return size == 4 ? "float32" : "float64"; }

/* ---- check ---------------------------------------------------------------------------------------------------------- */

enum { MAX_LEVELS = 8, FAILURES_SHOWN = 6 }; /* of each operation */

static long passed, failed, failed_beyond_nans, failed_of[SMX_OP_COUNT];
static uint64_t digests[MAX_LEVELS][SMX_OP_COUNT][MAX_FAMILIES];

/* FNV-1a, of bytes in the same order everywhere. */
static void digest(uint64_t *d, const char *row, ptrdiff_t count, size_t size) {
    for (ptrdiff_t j = 0; j < count; j++, row += size) {
        uint64_t bits = 0;
        uint32_t narrow;
        memcpy(&narrow, row, sizeof narrow);
        bits = narrow;
        if (size == 8)
            memcpy(&bits, row, sizeof bits);
        for (size_t k = 0; k < size; k++)
            *d = (*d ^ (bits >> 8 * k & 0xff)) * 0x100000001b3u;
    }
}

static void print_bits(const char *at, size_t size) {
    uint64_t bits = 0;
    memcpy(&bits, at, size);
    fprintf(stderr, "%a (%0*" PRIx64 ")", get(at, size), (int)size * 2, size == 4 ? bits & 0xffffffffu : bits);
}

static void compare(const call *c, const char *level, const layout *how, const family *const *row_families,
                    const char *got, const char *want, const char *wrong) {
    const ptrdiff_t count = results_per_row(c), size = (ptrdiff_t)c->size;
    if (!wrong && memcmp(got, want, (size_t)(c->rows * count * size)) == 0) {
        passed++;
        return;
    }
    ptrdiff_t first = -1, differ = 0, nans = 0; /* nans: differ only in the bits of a NaN */
    for (ptrdiff_t i = 0; i < c->rows * count; i++) {
        const char *a = got + i * size, *b = want + i * size;
        if (memcmp(a, b, c->size) == 0)
            continue;
        const int both = isnan(get(a, c->size)) && isnan(get(b, c->size));
        if (first < 0 || (!both && nans == differ))
            first = i;
        differ++;
        nans += both;
    }
    failed++;
    failed_beyond_nans += wrong || nans < differ;
    if (++failed_of[c->op] > FAILURES_SHOWN)
        return;
    fprintf(stderr, "FAILED %s %s %s, %td rows of %td, %s: ", row_of(c->op)->name, type_name(c->size), level, c->rows,
            c->n, how->name);
    if (wrong) {
        fprintf(stderr, "%s\n", wrong);
        return;
    }
    const ptrdiff_t row = first / count, j = first % count, in = (row * c->n + (j < c->n ? j : 0)) * size;
    fprintf(stderr, "%td differ, %td of them in the bits of a NaN; at row %td (%s), element %td: ", differ, nans, row,
            row_families[row]->name, j);
    print_bits(got + first * size, c->size);
    fprintf(stderr, ", not ");
    print_bits(want + first * size, c->size);
    fprintf(stderr, "; from ");
    print_bits(c->in[0] + in, c->size);
    fprintf(stderr, ", ");
    print_bits(c->in[1] + in, c->size);
    fprintf(stderr, "\n");
}

/* Rows of one length, of the families up to that kind, in turn; every level and the first so many layouts. */
static void check_length(enum smx_op op, size_t size, ptrdiff_t rows, ptrdiff_t n, int kinds, int layout_count) {
    int level_count;
    const smx_level *levels = smx_levels(&level_count);
    call c = {.op = op, .size = size, .rows = rows, .n = n};
    const size_t bytes = (size_t)(rows * n) * size;
    for (int k = 0; k < SMX_MAX_INPUTS; k++)
        c.in[k] = need_memory(bytes);
    const size_t result_bytes = (size_t)(rows * (n + 1)) * size;
    char *want = need_memory(result_bytes), *got = need_memory(result_bytes);
    const family *row_families[64];
    for (ptrdiff_t row = 0; row < rows; row++) {
        row_families[row] = families(op) + (row + n) % family_count(op, kinds);
        make_row(&c, row_families[row], row, (uint64_t)n << 20, ((uint64_t)n << 20) + ((uint64_t)row << 14));
    }
    for (int level = 0; level < level_count; level++)
        for (int k = 0; k < layout_count; k++) {
            const int is_reference = level == 0 && k == 0;
            char *result = is_reference ? want : got;
            const char *wrong = run(&c, kernels_of(&levels[level], size), &layouts[k], result);
            compare(&c, levels[level].name, &layouts[k], row_families, result, want, wrong);
            for (ptrdiff_t row = 0; k == 0 && row < rows; row++)
                digest(&digests[level][op][row_families[row] - families(op)],
                       result + row * results_per_row(&c) * (ptrdiff_t)size, results_per_row(&c), size);
        }
    free(want);
    free(got);
    for (int k = 0; k < SMX_MAX_INPUTS; k++)
        free(c.in[k]);
}

/* What the kernels do to rows beside: a mask, and every number of 16 bits read and written. Lengths around those of the
   vectors, in memory as tight as it may be. */
static void check_rows(const smx_kernels *kernels, const smx_kernels *scalar, size_t size) {
    enum { NUMBERS = 1 << 16, WIDTH = 5, LONGEST = 40 };
    for (ptrdiff_t n = 1; n <= LONGEST; n++) {
        char from[WIDTH * LONGEST * 8], got[sizeof from], want[sizeof from], mask[WIDTH * LONGEST];
        for (ptrdiff_t i = 0; i < WIDTH * n; i++) {
            put(from + i * (ptrdiff_t)size, size, (double)integer(1, (uint64_t)i));
            mask[i] = integer(2, (uint64_t)(n + i)) > 0 ? (char)(1 + i % 255) : 0;
        }
        for (int kind = 0; kind < 6;
             kind++) { /* rows or columns; a mask of each element, of each row, of each column */
            const int columns = kind % 2;
            const smx_view in = {from, columns ? 1 : n, columns ? WIDTH : 1};
            const smx_view seen = {mask, kind / 2 == 2 ? 0 : in.row_stride, kind / 2 == 1 ? 0 : in.element_stride};
            smx_view to = in;
            to.start = got;
            kernels->apply_mask(&in, &seen, WIDTH, n, -INFINITY, &to);
            to.start = want;
            scalar->apply_mask(&in, &seen, WIDTH, n, -INFINITY, &to);
            const int same = memcmp(got, want, (size_t)(WIDTH * n) * size) == 0;
            same ? passed++ : failed++;
            if (!same)
                fprintf(stderr, "FAILED hide %s %s, rows of %td, kind %d\n", type_name(size), kernels->level, n, kind);
        }
    }
    static uint16_t halves[NUMBERS], narrowed[2][NUMBERS];
    static uint32_t singles[2][NUMBERS];
    for (int storage = SMX_FLOAT16; size == 4 && storage <= SMX_BFLOAT16; storage++)
        for (ptrdiff_t n = 1; n <= NUMBERS; n = n < LONGEST ? n + 1 : n + NUMBERS - LONGEST) {
            for (int i = 0; i < NUMBERS; i++)
                halves[i] = (uint16_t)(i * 40503 + n);
            kernels->from_half(storage, halves, n, singles[0]);
            scalar->from_half(storage, halves, n, singles[1]);
            int same = 1;
            for (ptrdiff_t i = 0; i < n; i++) { /* a signalling NaN may be made quiet */
                const uint32_t quiet = (singles[1][i] & 0x7fffffffu) > 0x7f800000u ? 0x00400000u : 0;
                same &= (singles[0][i] | quiet) == (singles[1][i] | quiet);
            }
            for (int offset = -1; offset <= 2; offset++) { /* a tie, and beside it; 2: numbers of every size */
                const uint32_t half_step = storage == SMX_FLOAT16 ? 0x1000 : 0x8000;
                for (ptrdiff_t i = 0; i < n; i++) {
                    const uint32_t bits = offset < 2 ? singles[1][i] + half_step + (uint32_t)offset
                                                     : (uint32_t)integer(3, (uint64_t)i) << 8;
                    singles[0][i] = (bits & 0x7fffffffu) > 0x7f800000u ? 0x7fc00000u : bits;
                }
                kernels->to_half(storage, singles[0], n, narrowed[0]);
                scalar->to_half(storage, singles[0], n, narrowed[1]);
                same &= memcmp(narrowed[0], narrowed[1], (size_t)n * 2) == 0;
            }
            same ? passed++ : failed++;
            if (!same)
                fprintf(stderr, "FAILED storage %d %s, %td numbers\n", storage, kernels->level, n);
        }
}

/* The rows of the table say the same of an operation at this level as at level 0. */
static void check_table(const smx_kernels *kernels) {
    for (int op = 0; op < SMX_OP_COUNT; op++) {
        const smx_op_kernels *a = &kernels->op[op], *b = row_of(op);
        const int same = strcmp(a->name, b->name) == 0 && a->inputs == b->inputs && a->elementwise == b->elementwise &&
                         a->has_row_out == b->has_row_out && a->has_labels == b->has_labels &&
                         (a->hidden.in[0] == 0) == (b->hidden.in[0] == 0);
        same ? passed++ : failed++;
        if (!same)
            fprintf(stderr, "FAILED table %s %s\n", kernels->level, b->name);
    }
}

static void check(size_t size) {
    /* more rows than any level has lanes, and no multiple of them */
    enum { ROWS = 19, FEW = 9, LONGEST_WITH_ALL = 140 };
    static const ptrdiff_t middle[] = {159, 191, 192, 193, 255, 256, 257, 511, 512, 513, 1000, 1023, 1025};
    static const ptrdiff_t blocks[] = {4095, 4096, 4097, 4161, 8191, 8192, 8193, 12289};
    int level_count;
    const smx_level *levels = smx_levels(&level_count);
    for (int level = 0; level < level_count; level++)
        check_table(kernels_of(&levels[level], size));
    for (int level = 1; level < level_count; level++)
        check_rows(kernels_of(&levels[level], size), kernels_of(&levels[0], size), size);
    for (int op = 0; op < SMX_OP_COUNT; op++) {
        for (ptrdiff_t n = 1; n <= LONGEST_WITH_ALL; n++)
            for (int kinds = PLAIN; kinds <= SPECIAL; kinds++)
                check_length(op, size, ROWS, n, kinds, LAYOUTS);
        for (size_t k = 0; k < sizeof middle / sizeof *middle; k++)
            check_length(op, size, FEW, middle[k], k % 2 ? PLAIN : SPECIAL, LAYOUTS);
        for (size_t k = 0; k < sizeof blocks / sizeof *blocks; k++)
            check_length(op, size, FEW, blocks[k], k % 2 ? SPECIAL : PLAIN, FEW_LAYOUTS);
        for (int level = 0; level < level_count; level++)
            for (int k = 0; k < family_count(op, SPECIAL); k++)
                printf("digest %s %s %s %s %016" PRIx64 "\n", levels[level].name, row_of(op)->name, type_name(size),
                       families(op)[k].name, digests[level][op][k]);
    }
    if (failed > 0)
        fprintf(stderr, "FAILED %s: %ld comparisons, %ld of them in more than the bits of a NaN\n", type_name(size),
                failed, failed_beyond_nans);
    printf("%ld passed, %ld failed\n", passed, failed);
}

/* Numbers, their bytes in the order that little-endian machines have. */
static void write_out(const void *numbers, size_t size, ptrdiff_t count) {
    const int one = 1;
    const int is_little = *(const char *)&one;
    const char *bytes = numbers;
    for (size_t k = 0; k < (size_t)count * size; k++)
        putchar(bytes[is_little ? k : k - k % size + size - 1 - k % size]);
}

/* ---- golden ----------------------------------------------------------------------------------------------------------

   For every level, operation and family a line "case LEVEL FUNCTION TYPE FAMILY BYTES", then so many bytes: the results
   on all the shapes of tests/golden.py, little-endian on all machines. */

static void golden(size_t size) {
    static const ptrdiff_t shapes[][2] = {{70, 1},   {70, 3},   {70, 10},  {19, 33},  {19, 64},   {19, 65},
                                          {17, 130}, {5, 1000}, {3, 4096}, {2, 4097}, {3, 12289}, {1, 100000}};
    enum { SHAPES = sizeof shapes / sizeof *shapes, LARGEST = 100000 };
    int level_count;
    const smx_level *levels = smx_levels(&level_count);
    call c = {.size = size};
    for (int k = 0; k < SMX_MAX_INPUTS; k++)
        c.in[k] = need_memory(LARGEST * size);
    char *result = need_memory((LARGEST + 1) * size);
    for (int level = 0; level < level_count; level++)
        for (int op = 0; op < SMX_OP_COUNT; op++)
            for (int k = 0; k < family_count(op, GOLDEN); k++) {
                const family *f = &families(op)[k];
                ptrdiff_t total = 0;
                for (int s = 0; s < SHAPES; s++)
                    c.op = op, c.n = shapes[s][1], total += shapes[s][0] * results_per_row(&c);
                printf("case %s %s %s %s %td\n", levels[level].name, row_of(op)->name, type_name(size), f->name,
                       total * (ptrdiff_t)size);
                for (int s = 0; s < SHAPES; s++) {
                    c.op = op;
                    c.rows = shapes[s][0];
                    c.n = shapes[s][1];
                    for (ptrdiff_t row = 0; row < c.rows; row++)
                        make_row(&c, f, row, 0, (uint64_t)(row * c.n));
                    const char *wrong = run(&c, kernels_of(&levels[level], size), &layouts[0], result);
                    if (wrong) {
                        fprintf(stderr, "%s\n", wrong);
                        exit(2);
                    }
                    write_out(result, size, c.rows * results_per_row(&c));
                }
            }
}

int main(int argc, char **argv) {
#ifdef _WIN32
    _setmode(_fileno(stdout), _O_BINARY); /* bytes, not lines */
#endif
    const char *task = argc == 3 ? argv[1] : "", *type = argc == 3 ? argv[2] : "";
    const size_t size = strcmp(type, "float32") == 0 ? 4 : strcmp(type, "float64") == 0 ? 8 : 0;
    if (size && strcmp(task, "check") == 0)
        check(size);
    else if (size && strcmp(task, "golden") == 0)
        golden(size);
    else {
        fprintf(stderr, "usage: parity check|golden float32|float64\n");
        return 2;
    }
    return failed > 0;
}
