/* The flags of the floating-point state: no reduce may raise "underflow" or "denormal operand", at any level, in any walk,
   for logits as widely spread as may be. Some processors handle subnormal numbers in microcode, at a hundred times the
   price; a flag shows the first of them without a clock. Results that are subnormal are another matter: write rounds to
   them, and may raise flags.

       flags float32     prints what raised flags, then "N passed, N failed"; a call counts as one

   Each reduce of the table of kernels is replaced by one that looks at the flags around it, and calls go through the
   runner, so every way of a call is watched: masks, segments, temperatures, initial terms, losses, derivatives.

   Two kinds of numbers are the caller's, and arithmetic on them may raise a flag. An input that is subnormal is an
   operand. And products of a derivative's inputs may be of any size: they are 2^55 or 2^87 times too large (products.inc.h),
   and what is subnormal even so is negligible. So inputs here are normal, those of derivatives within 2^-30 and 2^30 or
   0, and log-probabilities either above -100 (-1000 in float64) or so far below that exp makes 0 of them. */

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
static unsigned raised;
static const char *walk_that_raised;
static long reduces;

static void watch(enum smx_walk walk, const char *name, const smx_tile *tile, void *partial, enum smx_op op) {
    clear_flags();
    watched->op[op].reduce[walk](tile, partial);
    const unsigned now = flags_raised();
    reduces++;
    if (now)
        walk_that_raised = name;
    raised |= now;
}

static enum smx_op op_of_call;

#define WATCH(walk)                                                                                                    \
    static void reduce_##walk(const smx_tile *tile, void *partial) {                                                   \
        watch(SMX_WALK_##walk, #walk, tile, partial, op_of_call);                                                      \
    }
WATCH(ROWS)
WATCH(SHORT_ROWS)
WATCH(PACKED)
WATCH(COLUMNS)
WATCH(NARROW_LINES)
WATCH(SHORT_COLUMNS)

static smx_reduce *const watching[SMX_WALKS] = {
    [SMX_WALK_ROWS] = reduce_ROWS,
    [SMX_WALK_SHORT_ROWS] = reduce_SHORT_ROWS,
    [SMX_WALK_PACKED] = reduce_PACKED,
    [SMX_WALK_COLUMNS] = reduce_COLUMNS,
    [SMX_WALK_NARROW_LINES] = reduce_NARROW_LINES,
    [SMX_WALK_SHORT_COLUMNS] = reduce_SHORT_COLUMNS,
};

static smx_kernels watching_kernels(const smx_kernels *kernels) {
    smx_kernels copy = *kernels;
    for (int op = 0; op < SMX_OP_COUNT; op++)
        for (int walk = 0; walk < SMX_WALKS; walk++)
            if (copy.op[op].reduce[walk])
                copy.op[op].reduce[walk] = watching[walk];
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

/* The first input of a derivative, from logits: what softmax or log_softmax makes of a row, without its subnormal numbers
   and what lies between. */
static void make_probabilities(char *row, ptrdiff_t stride, ptrdiff_t n, size_t size, int logarithms) {
    double most = -INFINITY, sum = 0;
    for (ptrdiff_t j = 0; j < n; j++)
        most = fmax(most, get(row + j * stride, size));
    for (ptrdiff_t j = 0; j < n; j++)
        sum += exp(get(row + j * stride, size) - most);
    const double lowest = size == 4 ? -100 : -1000, least = size == 4 ? 0x1p-126 : 0x1p-1022;
    for (ptrdiff_t j = 0; j < n; j++) {
        const double y = get(row + j * stride, size) - most - log(sum), p = exp(y);
        put(row + j * stride, size, logarithms ? (y < lowest ? -4000 : y) : p < least ? 0 : p);
    }
}

/* ---- calls ---------------------------------------------------------------------------------------------------------- */

enum { MASKED = 1, TEMPERED = 2, WITH_INITIAL = 4, RAGGED = 8, COLUMNS = 16, GAPS = 32, SWAPPED = 64, WAYS = 128 };

static long passed, failed;

static void *need_memory(size_t size) {
    void *memory = calloc(size, 1);
    if (!memory) {
        fprintf(stderr, "no memory\n");
        exit(2);
    }
    return memory;
}

static void swap(char *at, size_t size) {
    for (size_t k = 0; k < size / 2; k++) {
        const char first = at[k];
        at[k] = at[size - 1 - k];
        at[size - 1 - k] = first;
    }
}

static void check(const smx_level *level, enum smx_op op, size_t size, ptrdiff_t rows, ptrdiff_t n, const family *f,
                  unsigned way) {
    const smx_kernels *kernels = size == 4 ? level->f32 : level->f64, watching_ones = watching_kernels(kernels);
    const smx_op_kernels *row_of_table = &kernels->op[op];
    const ptrdiff_t bytes = (ptrdiff_t)size, step = way & GAPS ? 2 : 1;
    const ptrdiff_t element = way & COLUMNS ? rows * step * bytes : step * bytes,
                    row_stride = way & COLUMNS ? step * bytes : n * step * bytes;
    const int is_loss = row_of_table->has_targets || row_of_table->has_labels;
    smx_plan plan = {.op = op, .kernels = &watching_ones, .threads = 1, .temperature = way & TEMPERED ? 1.37 : 1};
    plan.outer_dims = plan.inner_dims = 1;
    plan.outer_shape[0] = rows;
    plan.inner_shape[0] = n;

    char *memory[SMX_MAX_INPUTS + 1], *mask = need_memory((size_t)(rows * n)),
                                      *of_rows = need_memory((size_t)(4 * rows) * sizeof(double));
    for (int k = 0; k <= SMX_MAX_INPUTS; k++) {
        memory[k] = need_memory((size_t)(rows * (n * step + 5)) * size);
        smx_operand *operand = k < SMX_MAX_INPUTS ? &plan.in[k] : &plan.out;
        operand->data = memory[k];
        operand->swapped = k < SMX_MAX_INPUTS && way & SWAPPED;
        operand->inner[0] = element;
        operand->outer[0] = row_of_table->elementwise || k < SMX_MAX_INPUTS ? row_stride : bytes;
    }
    for (int k = 0; k < row_of_table->inputs; k++)
        for (ptrdiff_t row = 0; row < rows; row++) {
            for (ptrdiff_t j = 0; j < n; j++) {
                const double g = normal(), other = is_loss ? fabs(g) + 0x1p-20 : fabs(g) < 0x1p-30 ? 0 : g;
                put(memory[k] + row * row_stride + j * element, size, k == 0 ? logit(f, j, n, size) : other);
            }
            if (k == 0 && row_of_table->is_derivative)
                make_probabilities(memory[k] + row * row_stride, element, n, size, row_of_table->hidden.in[0] != 0);
            for (ptrdiff_t j = 0; way & SWAPPED && j < n; j++)
                swap(memory[k] + row * row_stride + j * element, size);
        }
    if (way & MASKED) {
        for (ptrdiff_t i = 0; i < rows * n; i++)
            mask[i] = uniform() < 0.7;
        plan.mask = (smx_mask){.data = mask, .outer_dims = 1, .inner_dims = 1, .outer = {n}, .inner = {1}};
        plan.mask.outer_shape[0] = rows;
        plan.mask.inner_shape[0] = n;
    }
    const ptrdiff_t indptr[] = {0, n / 7, n / 7, n / 2, n - n / 9, n};
    if (way & RAGGED) {
        plan.indptr = indptr;
        plan.segments = 5;
        plan.out.inner[0] = element;
        if (!row_of_table->elementwise) {
            plan.out.inner[0] = bytes;
            plan.out.outer[0] = 5 * bytes;
        }
    }
    plan.row_out = (smx_operand){.data = of_rows, .outer = {bytes}};
    for (ptrdiff_t row = 0; way & WITH_INITIAL && row < rows; row++)
        put(of_rows + (rows + row) * bytes, size, row % 3 ? -20. * (double)row : 3);
    if (way & WITH_INITIAL)
        plan.initial = (smx_operand){.data = of_rows + rows * bytes, .outer = {bytes}};
    int64_t *label = need_memory((size_t)rows * sizeof *label);
    int8_t *exponent = need_memory((size_t)rows);
    if (is_loss) {
        const double smoothing = row_of_table->inputs > 1 ? 0.125 : 0;
        plan.targets = (smx_targets){1 - smoothing, smoothing / (double)n, (double)rows, 0, 0};
        for (ptrdiff_t row = 0; row < rows; row++) {
            label[row] = (7 * row + 3) % n;
            put(of_rows + (2 * rows + row) * bytes, size, 1);
        }
        plan.label = (smx_operand){.data = (char *)label, .outer = {sizeof *label}};
        plan.factor = (smx_operand){.data = of_rows + 2 * rows * bytes, .outer = {bytes}};
        plan.exponent = (smx_operand){.data = (char *)exponent, .outer = {1}};
    }

    watched = kernels;
    op_of_call = op;
    raised = 0;
    clear_flags();
    const int status = smx_run(&plan);
    raised || status != SMX_DONE ? failed++ : passed++;
    if (raised)
        fprintf(stderr, "FAILED %s %s %s, %td rows of %td, %s, walk %s:%s%s%s%s%s%s%s%s%s\n", level->name,
                row_of_table->name, size == 4 ? "float32" : "float64", rows, n, f->name, walk_that_raised,
                raised & UNDERFLOW_FLAG ? " underflow" : "", raised & DENORMAL_OPERAND ? " denormal operand" : "",
                way & MASKED ? ", masked" : "", way & TEMPERED ? ", temperature" : "",
                way & WITH_INITIAL ? ", initial" : "", way & RAGGED ? ", segments" : "",
                way & COLUMNS ? ", columns" : "", way & GAPS ? ", gaps" : "", way & SWAPPED ? ", swapped" : "");
    for (int k = 0; k <= SMX_MAX_INPUTS; k++)
        free(memory[k]);
    free(mask);
    free(of_rows);
    free(label);
    free(exponent);
}

/* What an operation does not take is left out. */
static int is_possible(const smx_op_kernels *op, enum smx_op number, unsigned way) {
    const int is_loss = op->has_targets || op->has_labels;
    if (way & WITH_INITIAL && (number > SMX_LOG_SOFTMAX_LOGSUMEXP || way & RAGGED))
        return 0;
    return !(is_loss && way & MASKED) && !(way & RAGGED && (is_loss || op->has_row_out || !op->elementwise));
}

int main(int argc, char **argv) {
    const size_t size = argc == 2 && strcmp(argv[1], "float32") == 0   ? 4
                        : argc == 2 && strcmp(argv[1], "float64") == 0 ? 8
                                                                       : 0;
    if (!size) {
        fprintf(stderr, "usage: flags float32|float64\n");
        return 2;
    }
    static const ptrdiff_t shapes[][2] = {{1, 10},   {3, 30},   {70, 3},   {70, 10},   {40, 77},  {19, 130},
                                          {10, 300}, {5, 1000}, {3, 5000}, {1, 20000}, {40, 400}, {200, 90}};
    enum { SHAPES = sizeof shapes / sizeof *shapes };
    int level_count;
    const smx_level *levels = smx_levels(&level_count);
    for (int l = 0; l < level_count; l++)
        for (int op = 0; op < SMX_OP_COUNT; op++)
            for (int s = 0; s < SHAPES; s++)
                for (int k = 0; k < FAMILIES; k++)
                    for (unsigned way = 0; way < WAYS; way++) {
                        /* each way alone and some of their combinations, which change from shape to shape */
                        const int is_single = (way & (way - 1)) == 0;
                        if (!is_single && (way * 7 + (unsigned)(s * FAMILIES + k)) % 29)
                            continue;
                        if (is_possible(&levels[l].f32->op[op], (enum smx_op)op, way))
                            check(&levels[l], (enum smx_op)op, size, shapes[s][0], shapes[s][1], &families[k], way);
                    }
    fprintf(stderr, "%ld reduces\n", reduces);
    printf("%ld passed, %ld failed\n", passed, failed);
    return failed > 0;
}
