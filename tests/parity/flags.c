/* The flags of the floating-point state: no reduce may raise "underflow" or "denormal operand", at any level, in any walk,
   for logits as widely spread as may be. Some processors handle subnormal numbers in microcode, at a hundred times the
   price; a flag shows the first of them without a clock.

       flags float32     prints what raised flags, then "N passed, N failed"; a call counts as one
       flags float32 17  makes every seventeenth call alone, for an emulator

   Each reduce of the table of kernels, and each function that does whole rows, is replaced by one that looks at the flags
   around it. Calls go through the runner, so every way of a call is watched: masks, segments, temperatures, initial
   terms, weights, losses, derivatives, numbers of 16 bits.

   finish and write are not watched. write rounds to subnormal results, and finish may meet small numbers, once a row:
   log(1 + z) where z is small, the square of z among them.

   Some numbers are the caller's, and arithmetic on them may raise a flag. A subnormal input is an operand. Products of a
   derivative's inputs may be of any size: they are 2^55 or 2^87 times too large (products.inc.h), and what is subnormal
   even so is negligible. So inputs here are normal, or 0. Gradients are at least 2^-20, probabilities at least 2^-80
   (2^-700 in float64) or 0, and log-probabilities are above -60 (-600) or so far below that exp makes 0 of them: then
   all results of whole rows are normal, too, but for those of float16, which may underflow. |x / T| is in the range of exp's reduction (LARGE): rows beyond are reduced
   twice, and the first time makes nothing of use. */

#include "arch.h"
#include "cpu.h"
#include "plan.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the flags ------------------------------------------------------------------------------------------------------ */

#if SMX_X86

#include <immintrin.h>

enum { DENORMAL_OPERAND = 0x02, UNDERFLOW_FLAG = 0x10 };

static void clear_flags(void) { _mm_setcsr(_mm_getcsr() & ~0x3fu); }
static unsigned flags_raised(void) { return _mm_getcsr() & (DENORMAL_OPERAND | UNDERFLOW_FLAG); }

#else /* Arm and others have no flag for operands, unless they make 0 of them */

#include <fenv.h>

enum { DENORMAL_OPERAND = 0, UNDERFLOW_FLAG = FE_UNDERFLOW };

static void clear_flags(void) { feclearexcept(FE_ALL_EXCEPT); }
static unsigned flags_raised(void) { return (unsigned)fetestexcept(FE_UNDERFLOW); }

#endif

/* ---- the kernels, watched ------------------------------------------------------------------------------------------- */

static const smx_kernels *watched; /* those of the call that is made */
static enum smx_op op_of_call;
static unsigned raised;
static const char *raised_in;
static long reduces, wholes;

static void look(const char *name, unsigned allowed) {
    const unsigned now = flags_raised() & ~allowed;
    if (now)
        raised_in = name;
    raised |= now;
}

static void watch(enum smx_walk walk, const char *name, const smx_tile *tile, void *partial) {
    clear_flags();
    watched->op[op_of_call].reduce[walk](tile, partial);
    look(name, 0);
    reduces++;
}
static int watch_whole(enum smx_walk walk, const char *name, const smx_tile *tile) {
    clear_flags();
    const int done = watched->op[op_of_call].whole[walk](tile);
    look(name, tile->storage == SMX_FLOAT16 ? UNDERFLOW_FLAG : 0);
    wholes++;
    return done;
}

#define WATCH(walk)                                                                                                    \
    static void reduce_##walk(const smx_tile *tile, void *partial) { watch(SMX_WALK_##walk, #walk, tile, partial); }   \
    static int whole_##walk(const smx_tile *tile) { return watch_whole(SMX_WALK_##walk, "whole " #walk, tile); }
WATCH(ROWS)
WATCH(SHORT_ROWS)
WATCH(PACKED)
WATCH(COLUMNS)
WATCH(NARROW_LINES)
WATCH(SHORT_COLUMNS)
WATCH(TRANSPOSED)

#define WATCHING(kind)                                                                                                 \
    {[SMX_WALK_ROWS] = kind##_ROWS,                                                                                    \
     [SMX_WALK_SHORT_ROWS] = kind##_SHORT_ROWS,                                                                        \
     [SMX_WALK_PACKED] = kind##_PACKED,                                                                                \
     [SMX_WALK_COLUMNS] = kind##_COLUMNS,                                                                              \
     [SMX_WALK_NARROW_LINES] = kind##_NARROW_LINES,                                                                    \
     [SMX_WALK_SHORT_COLUMNS] = kind##_SHORT_COLUMNS,                                                                  \
     [SMX_WALK_TRANSPOSED] = kind##_TRANSPOSED}
static smx_reduce *const watching_reduce[SMX_WALKS] = WATCHING(reduce);
static smx_whole *const watching_whole[SMX_WALKS] = WATCHING(whole);

static smx_kernels watching_kernels(const smx_kernels *kernels) {
    smx_kernels copy = *kernels;
    for (int k = 0; k < SMX_OP_COUNT; k++) {
        smx_op_kernels *op = &copy.op[k];
        for (int walk = 0; walk < SMX_WALKS; walk++) {
            if (op->reduce[walk])
                op->reduce[walk] = watching_reduce[walk];
            if (op->whole[walk])
                op->whole[walk] = watching_whole[walk];
        }
    }
    return copy;
}

/* ---- numbers -------------------------------------------------------------------------------------------------------- */

static uint64_t state = 1;

/* In [0, 1). */
static double uniform(void) {
    state = state * 6364136223846793005u + 1442695040888963407u; /* Knuth's generator of 64 bits */
    return ldexp((double)(state >> 33), -31);
}
static double normal(void) {
    double sum = 0;
    for (int k = 0; k < 12; k++)
        sum += uniform();
    return sum - 6;
}

/* Logits of a row: of a standard deviation; or one or two large ones, and the others down to `gap` below. */
typedef struct {
    const char *name;
    double deviation, gap;
    int leaders;
} family;

static const family families[] = {
    {"deviation 1", 1, 0, 0},     {"deviation 10", 10, 0, 0},     {"deviation 30", 30, 0, 0},
    {"deviation 100", 100, 0, 0}, {"one leads", 0, 1, 1},         {"two lead", 0, 1, 2},
    {"one far ahead", 0, -1, 1},  {"deviation 1000", 1000, 0, 0}, {"some are hidden", 40, 0, 0}};
enum { FAMILIES = sizeof families / sizeof *families };

static double logit(const family *f, ptrdiff_t j, ptrdiff_t n, size_t size) {
    const double gap = size == 4 ? 120 : 800, x = 3 + f->deviation * normal();
    if (f == &families[FAMILIES - 1] && j % 3 == 1)
        return -INFINITY;
    if (f->leaders == 0)
        return x;
    if (j == n / 2 || (f->leaders > 1 && j == n / 3))
        return 5;
    return f->gap > 0 ? 5 - gap * uniform() : 5 - gap + 2 * uniform();
}

/* The first input of a derivative, from logits: what softmax or log_softmax makes of a row. Probabilities are 0 if they are
   so small that results might be subnormal. */
static void make_probabilities(double *row, ptrdiff_t n, size_t size, int logarithms) {
    double most = -INFINITY, sum = 0;
    for (ptrdiff_t j = 0; j < n; j++)
        most = fmax(most, row[j]);
    for (ptrdiff_t j = 0; j < n; j++)
        sum += exp(row[j] - most);
    const double lowest = size == 4 ? -60 : -600, least = size == 4 ? 0x1p-80 : 0x1p-700;
    for (ptrdiff_t j = 0; j < n; j++) {
        const double y = row[j] - most - log(sum), p = exp(y);
        row[j] = logarithms ? (y < lowest ? -4000 : y) : p < least ? 0 : p;
    }
}

static int is_loss(const smx_op_kernels *op) { return op->has_targets || op->has_labels; }

/* True if the first input is what softmax or log_softmax has made. The field is_derivative says something else: that the
   kernels read masks and 16 bits. */
static int is_of_results(const smx_op_kernels *op) { return op->inputs == 2 && !op->takes_initial && !is_loss(op); }

/* Any input but the first: a gradient, a weight of b or of a class, a probability. */
static double other_input(const smx_op_kernels *op, size_t size) {
    const double g = normal(), range = size == 4 ? 100 : 900;
    if (op->has_targets)
        return fabs(g) + 0x1p-20;
    if (!is_of_results(op))
        return uniform() < 0.1 ? 0 : ldexp(g, (int)(range * (2 * uniform() - 1)));
    return fabs(g) < 0x1p-20 ? 0x1p-20 : g;
}

/* ---- arrays --------------------------------------------------------------------------------------------------------- */

static void put_real(char *to, size_t size, double value) {
    const float narrow = (float)value;
    memcpy(to, size == 4 ? (const void *)&narrow : &value, size);
}

/* The 16 bits of a number, cut off. What float16 has no normal number for becomes 0, or infinite. */
static uint16_t half_of(enum smx_storage storage, double value) {
    const float narrow = (float)value;
    uint32_t bits;
    memcpy(&bits, &narrow, sizeof bits);
    if (storage == SMX_BFLOAT16)
        return (uint16_t)(bits >> 16);
    const unsigned sign = bits >> 16 & 0x8000u, exponent = bits >> 23 & 0xff, rest = bits >> 13 & 0x3ff;
    if (exponent < 127 - 14)
        return (uint16_t)sign;
    return (uint16_t)(sign | (exponent > 127 + 15 ? 0x7c00 : (exponent - 112) << 10 | rest));
}

static void swap(char *at, ptrdiff_t size) {
    for (ptrdiff_t k = 0; k < size / 2; k++) {
        const char first = at[k];
        at[k] = at[size - 1 - k];
        at[size - 1 - k] = first;
    }
}

static void *need_memory(ptrdiff_t size) {
    void *memory = calloc((size_t)size, 1);
    if (!memory) {
        fprintf(stderr, "no memory\n");
        exit(2);
    }
    return memory;
}

/* ---- calls ---------------------------------------------------------------------------------------------------------- */

enum {
    MASKED = 1,
    TEMPERED = 2,
    WITH_INITIAL = 4,
    RAGGED = 8,
    IN_COLUMNS = 16,
    WITH_GAPS = 32,
    SWAPPED = 64,
    FLOAT16 = 128,
    BFLOAT16 = 256,
    WAYS = 512
};
static const char *const way_names[] = {"masked",  "temperature",   "initial", "segments", "columns",
                                        "strided", "bytes swapped", "float16", "bfloat16"};

static long passed, failed;

/* Segments of n elements: all of one length, or of lengths of all kinds. Returns their number. */
static ptrdiff_t cut(ptrdiff_t n, ptrdiff_t *indptr) {
    const int is_even = uniform() < 0.3;
    ptrdiff_t count = 0;
    indptr[0] = 0;
    while (indptr[count] < n) {
        const double kind = uniform();
        const ptrdiff_t length = is_even ? 7 : (ptrdiff_t)((kind < 0.1 ? 2000 : kind < 0.3 ? 150 : 25) * uniform());
        indptr[count + 1] = indptr[count] + length < n ? indptr[count] + length : n;
        count++;
    }
    return count;
}

/* One call. */
typedef struct {
    const smx_level *level;
    enum smx_op op;
    size_t size;
    ptrdiff_t rows, n;
    const family *family;
    unsigned way;
    double temperature;
} call;

static void say(const call *c, const char *name) {
    fprintf(stderr, "FAILED %s %s %s, %td rows of %td, %s, %s:%s%s", c->level->name, name,
            c->size == 4 ? "float32" : "float64", c->rows, c->n, c->family->name, raised_in,
            raised & UNDERFLOW_FLAG ? " underflow" : "", raised & DENORMAL_OPERAND ? " denormal operand" : "");
    for (unsigned k = 0; 1u << k < WAYS; k++)
        if (c->way >> k & 1)
            fprintf(stderr, ", %s", way_names[k]);
    fprintf(stderr, c->way & TEMPERED ? " %g\n" : "\n", c->temperature);
}

static void check(const call *c) {
    const smx_kernels *kernels = c->size == 4 ? c->level->f32 : c->level->f64, watching = watching_kernels(kernels);
    const smx_op_kernels *op = &kernels->op[c->op];
    const unsigned way = c->way;
    const enum smx_storage storage = way & FLOAT16 ? SMX_FLOAT16 : way & BFLOAT16 ? SMX_BFLOAT16 : SMX_REAL;
    const ptrdiff_t rows = c->rows, n = c->n, real = (ptrdiff_t)c->size, bytes = storage == SMX_REAL ? real : 2;
    const ptrdiff_t step = bytes * (way & WITH_GAPS ? 2 : 1);
    const ptrdiff_t element = way & IN_COLUMNS ? rows * step : step, row_step = way & IN_COLUMNS ? step : n * step;
    smx_plan plan = {
        .op = c->op, .kernels = &watching, .threads = 1, .temperature = way & TEMPERED ? c->temperature : 1};
    plan.outer_dims = plan.inner_dims = 1;
    plan.outer_shape[0] = rows;
    plan.inner_shape[0] = n;

    ptrdiff_t *indptr = need_memory((8 * n + 100) * (ptrdiff_t)sizeof *indptr);
    double *values = need_memory(n * (ptrdiff_t)sizeof *values);
    char *memory[SMX_MAX_INPUTS + 1], *mask = need_memory(rows * n), *of_rows = need_memory(3 * rows * real);
    for (int k = 0; k <= SMX_MAX_INPUTS; k++) {
        memory[k] = need_memory(rows * (n * step + 64));
        smx_operand *operand = k < SMX_MAX_INPUTS ? &plan.in[k] : &plan.out;
        operand->data = memory[k];
        operand->storage = storage;
        operand->swapped = k < SMX_MAX_INPUTS && way & SWAPPED;
        operand->inner[0] = element;
        operand->outer[0] = row_step;
    }
    for (int k = 0; k < op->inputs; k++)
        for (ptrdiff_t row = 0; row < rows; row++) {
            for (ptrdiff_t j = 0; j < n; j++)
                values[j] = k == 0 ? logit(c->family, j, n, c->size) : other_input(op, c->size);
            if (k == 0 && is_of_results(op))
                make_probabilities(values, n, c->size, op->hidden.in[0] != 0);
            for (ptrdiff_t j = 0; j < n; j++) {
                char *to = memory[k] + row * row_step + j * element;
                const uint16_t half = half_of(storage, values[j]);
                if (storage == SMX_REAL)
                    put_real(to, c->size, values[j]);
                else
                    memcpy(to, &half, sizeof half);
                if (way & SWAPPED)
                    swap(to, bytes);
            }
        }
    if (way & MASKED) {
        for (ptrdiff_t i = 0; i < rows * n; i++)
            mask[i] = uniform() < 0.7;
        plan.mask = (smx_mask){.data = mask, .outer_dims = 1, .inner_dims = 1, .outer = {n}, .inner = {1}};
        plan.mask.outer_shape[0] = rows;
        plan.mask.inner_shape[0] = n;
    }
    if (way & RAGGED) {
        plan.indptr = indptr;
        plan.segments = cut(n, indptr);
    }
    if (!op->elementwise) {
        plan.out.data = need_memory(rows * (plan.segments + 1) * real);
        plan.out.storage = SMX_REAL;
        plan.out.inner[0] = real;
        plan.out.outer[0] = way & RAGGED ? plan.segments * real : real;
    }
    plan.row_out = (smx_operand){.data = of_rows, .outer = {real}};
    if (way & WITH_INITIAL) {
        for (ptrdiff_t row = 0; row < rows; row++)
            put_real(of_rows + (rows + row) * real, c->size, row % 3 ? -20. * (double)row : 3);
        plan.initial = (smx_operand){.data = of_rows + rows * real, .outer = {real}};
    }
    int64_t *label = need_memory(rows * (ptrdiff_t)sizeof *label);
    int8_t *exponent = need_memory(rows);
    if (is_loss(op)) {
        const double smoothing = op->inputs > 1 ? 0.125 : 0;
        plan.targets = (smx_targets){1 - smoothing, smoothing / (double)n, (double)rows, 0, 0};
        for (ptrdiff_t row = 0; row < rows; row++) {
            label[row] = (7 * row + 3) % n;
            put_real(of_rows + (2 * rows + row) * real, c->size, 1);
        }
        plan.label = (smx_operand){.data = (char *)label, .outer = {sizeof *label}};
        plan.factor = (smx_operand){.data = of_rows + 2 * rows * real, .outer = {real}};
        plan.exponent = (smx_operand){.data = (char *)exponent, .outer = {1}};
    }

    watched = kernels;
    op_of_call = c->op;
    raised = 0;
    char *out = plan.out.data;
    const int status = smx_run(&plan);
    raised || status != SMX_DONE ? failed++ : passed++;
    if (raised)
        say(c, op->name);
    if (!op->elementwise)
        free(out);
    for (int k = 0; k <= SMX_MAX_INPUTS; k++)
        free(memory[k]);
    free(indptr);
    free(values);
    free(mask);
    free(of_rows);
    free(label);
    free(exponent);
}

/* What an operation or a type does not take is left out. */
static int is_possible(const smx_op_kernels *op, size_t size, unsigned way) {
    if (way & WITH_INITIAL && (!op->takes_initial || way & RAGGED))
        return 0;
    if (way & (FLOAT16 | BFLOAT16) && (size != 4 || way & RAGGED || (way & FLOAT16 && way & BFLOAT16)))
        return 0;
    return !(is_loss(op) && way & MASKED) && !(way & RAGGED && (is_loss(op) || op->has_row_out));
}

int main(int argc, char **argv) {
    const char *type = argc > 1 ? argv[1] : "";
    const size_t size = strcmp(type, "float32") == 0 ? 4 : strcmp(type, "float64") == 0 ? 8 : 0;
    const long every = argc == 3 ? atol(argv[2]) : 1;
    if (!size || argc > 3 || every < 1) {
        fprintf(stderr, "usage: flags float32|float64 [every]\n");
        return 2;
    }
    static const ptrdiff_t shapes[][2] = {{1, 10},   {3, 30},   {70, 3},   {70, 10},   {40, 77},  {19, 130},
                                          {10, 300}, {5, 1000}, {3, 5000}, {1, 20000}, {40, 400}, {200, 90}};
    static const double temperatures[] = {1.37, 0.25, 41};
    enum { SHAPES = sizeof shapes / sizeof *shapes, ONE_IN = 193 };
    int level_count;
    long calls = 0;
    const smx_level *levels = smx_levels(&level_count);
    for (int l = 0; l < level_count; l++)
        for (int op = 0; op < SMX_OP_COUNT; op++)
            for (int s = 0; s < SHAPES; s++)
                for (int k = 0; k < FAMILIES; k++)
                    for (unsigned way = 0; way < WAYS; way++) {
                        /* each way alone and some of their combinations, which change from shape to shape */
                        const int is_single = (way & (way - 1)) == 0;
                        if (!is_single && (way * 7 + (unsigned)(s * FAMILIES + k)) % ONE_IN)
                            continue;
                        const call c = {&levels[l],   (enum smx_op)op, size, shapes[s][0],
                                        shapes[s][1], &families[k],    way,  temperatures[(s + k) % 3]};
                        if (is_possible(&levels[l].f32->op[op], size, way) && calls++ % every == 0)
                            check(&c);
                    }
    fprintf(stderr, "%ld reduces, %ld of them of whole rows\n", reduces + wholes, wholes);
    printf("%ld passed, %ld failed\n", passed, failed);
    return failed > 0;
}
