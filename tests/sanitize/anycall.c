/* See anycall.h. Memory is allocated to the byte, from an array's first element to its last, so that a sanitizer sees
   whatever is touched beside it; what lies between its elements is compared afterwards. */

#include "anycall.h"

#include "arch.h"
#include "cpu.h"
#include "plan.h"
#include "starve.h"
#include "threads.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif

enum { MOST_DIMS = 6, ARRAYS = SMX_MAX_INPUTS + 1, LARGEST_ARRAY = 8 << 20 };

/* ---- bytes --------------------------------------------------------------------------------------------------------- */

typedef struct {
    const uint8_t *at, *end;
} source;

static unsigned take(source *s) { return s->at < s->end ? *s->at++ : 0; }
static int below(source *s, int n) { return (int)(take(s) % (unsigned)n); }
static ptrdiff_t wide_below(source *s, ptrdiff_t n) {
    const unsigned low = take(s);
    return (ptrdiff_t)(low + 256 * take(s)) % n;
}

/* ---- values -------------------------------------------------------------------------------------------------------- */

static uint64_t next(uint64_t *state) { /* splitmix64 */
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

static const double specials[] = {0.0,   -0.0,   1.0,    -1.0,   88.73, -87.4,   -103.98, 709.79, -708.4, -745.14,
                                  1e-40, 5e-324, 1e-310, 3.4e38, -3e38, 1.7e308, 524288., 1e12,   -1e30,  16777216.};
static const uint64_t not_finite[] = {0x7ff0000000000000u, 0xfff0000000000000u, 0x7ff8000000000000u,
                                      0xfff8000000012345u, 0x7ff0000020000001u /* signalling, in float too */};

typedef struct {
    uint64_t state;
    double scale, offset;
    int special, odd; /* of 256 elements, how many are special, and how many of those are not finite */
    int any_bits;     /* of all kinds, as the generator gives them */
    int spread;       /* by how many powers of two elements differ in size, up and down */
} maker;

static maker choose_values(source *s) {
    static const double scales[] = {1, 1, 8, 40, 300, 1e4, 1e30, 1e-3, 1e-20, 0, 2e38, 1e-40, 8e307};
    static const double offsets[] = {0, 0, 0, 5.5, -1000, 1e7, -1e7, 3e30};
    static const int shares[] = {0, 0, 0, 8, 128, 255};
    maker m;
    m.scale = scales[below(s, 13)];
    m.offset = offsets[below(s, 8)];
    m.special = shares[below(s, 6)];
    m.odd = shares[below(s, 6)];
    m.any_bits = below(s, 16) == 1;
    m.spread = below(s, 8) == 1 ? 120 : 0;
    m.state = take(s);
    return m;
}

static void make_value(maker *m, size_t size, char *to) {
    const uint64_t bits = next(&m->state), more = next(&m->state);
    double value = m->scale * ((double)(int64_t)bits * 0x1p-62) + m->offset;
    if (m->spread)
        value = ldexp(value, (int)(more >> 33) % (2 * m->spread) - m->spread);
    if ((int)(more & 255) < m->special) {
        value = specials[(more >> 8) % (sizeof specials / sizeof *specials)];
        if ((int)(more >> 16 & 255) < m->odd)
            memcpy(&value, &not_finite[(more >> 24) % 5], sizeof value);
    }
    /* not by a cast: that would settle a signalling NaN, or be undefined beyond the range */
    float narrow = value > 3.4e38 ? 3.4e38f : value < -3.4e38 ? -3.4e38f : (float)value;
    uint64_t wide_bits;
    memcpy(&wide_bits, &value, sizeof wide_bits);
    if ((wide_bits >> 52 & 0x7ff) == 0x7ff) {
        const uint32_t narrow_bits =
            (uint32_t)(wide_bits >> 32 & 0x80000000u) | 0x7f800000u | (uint32_t)(wide_bits >> 29 & 0x7fffffu);
        memcpy(&narrow, &narrow_bits, sizeof narrow);
    }
    if (m->any_bits || size == 2) /* of 16 bits, any number is as good as another */
        memcpy(to, &bits, size);
    else if (size == 4)
        memcpy(to, &narrow, size);
    else
        memcpy(to, &value, size);
}

/* ---- arrays -------------------------------------------------------------------------------------------------------- */

typedef struct {
    int dims, outer_dims; /* the outer axes come first */
    ptrdiff_t size[MOST_DIMS], rows, n;
} shape;

typedef struct {
    ptrdiff_t stride[MOST_DIMS], start, bytes; /* start: of element 0, in memory of so many bytes */
    ptrdiff_t item;
    int swapped;
    char *memory, *before;
} array;

static shape choose_shape(source *s) {
    shape h = {.rows = 1, .n = 1};
    const int inner_dims = 1 + below(s, 3);
    h.outer_dims = below(s, 4);
    h.dims = h.outer_dims + inner_dims;
    const int kind = below(s, 64);
    for (int d = 0; d < h.dims; d++)
        h.size[d] = 1 + below(s, h.dims > 3 ? 4 : 7);
    if (kind >= 24 && kind < 61) { /* rows of any length about those at which the runner's ways change */
        h.outer_dims = inner_dims == 3 ? 2 : 1;
        h.dims = h.outer_dims + 1;
        h.size[0] = 1 + below(s, h.dims == 2 ? 40 : 6);
        h.size[h.dims - 1] = 1 + wide_below(s, 300);
    } else if (kind == 61 || kind == 62) { /* of several pieces */
        h.outer_dims = 1;
        h.dims = 1 + (inner_dims > 1 ? 2 : 1);
        h.size[0] = 1 + below(s, 3);
        h.size[1] = 1 + below(s, 6);
        h.size[h.dims - 1] = 1 + wide_below(s, 13000);
    } else if (kind == 63) { /* work for several threads */
        h.outer_dims = 1;
        h.dims = 2;
        h.size[1] = 1 + wide_below(s, 9000);
        h.size[0] = 70000 / h.size[1] + 1 + below(s, 60) % (1 + 140000 / h.size[1]);
    }
    for (int d = 0; d < h.dims; d++)
        *(d < h.outer_dims ? &h.rows : &h.n) *= h.size[d];
    return h;
}

/* Lays the first `dims` axes out: in any order, forwards or backwards, with or without gaps; of an input, any of them may
   repeat its elements. The two shapes are rarely the same, so the strides are no more than likely to be alike. */
static array choose_layout(source *s, const shape *h, int dims, ptrdiff_t item, int is_input) {
    array a = {.item = item, .swapped = below(s, 8) == 1};
    const unsigned plain = take(s), signs = take(s), repeated = is_input && take(s) % 4 == 1 ? take(s) : 0;
    int order[MOST_DIMS];
    ptrdiff_t reach = item, lowest = 0, highest = 0;
    for (int d = 0; d < dims; d++)
        order[d] = dims - 1 - d; /* C's order, the last axis first */
    if (plain % 2)
        for (int d = dims - 1; d > 0; d--) {
            const int other = below(s, d + 1), kept = order[d];
            order[d] = order[other];
            order[other] = kept;
        }
    for (int k = 0; k < dims; k++) {
        const int d = order[k];
        const int step = plain % 4 < 2 ? 1 : 1 + below(s, 3), gap = plain % 8 < 6 ? 0 : below(s, 20);
        a.stride[d] = reach * step + gap;
        if (repeated >> d & 1) {
            a.stride[d] = 0;
            continue;
        }
        reach = a.stride[d] * (h->size[d] - 1) + reach;
        if (plain % 16 > 9 && signs >> d & 1)
            a.stride[d] = -a.stride[d];
        *(a.stride[d] < 0 ? &lowest : &highest) += a.stride[d] * (h->size[d] - 1);
    }
    const int lead = plain % 16 == 15 ? 1 + below(s, 7) : 0;
    a.start = lead - lowest;
    a.bytes = a.start + highest + item;
    return a;
}

/* The offset of an element, the first `dims` axes being counted through in C's order. */
static ptrdiff_t offset_of(const array *a, const shape *h, int dims, ptrdiff_t i) {
    ptrdiff_t offset = a->start;
    for (int d = dims - 1; d >= 0; d--) {
        offset += i % h->size[d] * a->stride[d];
        i /= h->size[d];
    }
    return offset;
}

static void copy_element(char *to, const char *from, ptrdiff_t item, int swapped) {
    for (ptrdiff_t k = 0; k < item; k++)
        to[k] = from[swapped ? item - 1 - k : k];
}

static void *need_memory(ptrdiff_t bytes) {
    void *memory = malloc((size_t)bytes);
    if (!memory)
        abort();
    return memory;
}

static void hidden_real(double value, ptrdiff_t size, char *to) {
    const float narrow = (float)value;
    memcpy(to, size == 4 ? (const void *)&narrow : &value, (size_t)size);
}

static void fill_operand(smx_operand *operand, const array *a, const shape *h, int has_inner) {
    operand->data = a->memory + a->start;
    operand->swapped = a->swapped;
    for (int d = 0; d < h->outer_dims; d++)
        operand->outer[d] = a->stride[d];
    for (int d = h->outer_dims; has_inner && d < h->dims; d++)
        operand->inner[d - h->outer_dims] = a->stride[d];
}

/* ---- floating-point state ------------------------------------------------------------------------------------------

   Set to something odd in the calling thread and in the runtime's: it may not show in a result, and has to be there
   afterwards. The runtime's can be told only by as many threads, in a region of our own. */

#if SMX_X86

#include <immintrin.h>

static unsigned odd_states[] = {0x1f80, 0x1f80, 0x5f80 /* rounds up */, 0x9fc0 /* subnormals are zero */,
                                0x7fa1 /* rounds to zero, with flags */};

static void set_state(int k) { _mm_setcsr(odd_states[k]); }
static int is_state(int k) { return _mm_getcsr() == odd_states[k]; }

/* Valgrind keeps the rounding mode alone; it is the one by which it is told from a processor. */
static int is_processor(void) {
    const unsigned before = _mm_getcsr();
    int kept = 1;
    for (int k = 0; k < 5; k++) {
        set_state(k);
        kept &= is_state(k);
    }
    _mm_setcsr(before);
    return kept;
}

#else

#include <fenv.h>

static const int odd_states[] = {FE_TONEAREST, FE_TONEAREST, FE_UPWARD, FE_TOWARDZERO, FE_DOWNWARD};

static void set_state(int k) { fesetround(odd_states[k]); }
static int is_state(int k) { return fegetround() == odd_states[k]; }
static int is_processor(void) { return 1; }

#endif

static void set_states(int k, int threads) {
    (void)threads;
#ifdef _OPENMP
    if (threads > 1) {
#pragma omp parallel num_threads(threads)
        set_state(k);
    }
#endif
    set_state(k);
}

static int are_states(int k, int threads) {
    int right = is_state(k);
    (void)threads;
#ifdef _OPENMP
    if (threads > 1) {
#pragma omp parallel num_threads(threads) reduction(& : right)
        right &= is_state(k);
    }
#endif
    return right;
}

/* ---- a call -------------------------------------------------------------------------------------------------------- */

static void fail(const char *what, const smx_plan *plan, const char *level, const shape *h, const array *arrays,
                 ptrdiff_t at) {
    fprintf(stderr, "FAILED: %s; %s, %zu bytes, temperature %a%s%s, level %s, %d threads, at %td; shape", what,
            plan->kernels->op[plan->op].name, plan->kernels->real_size, plan->temperature,
            plan->initial.data ? ", initial terms"
            : plan->indptr     ? ", segments"
                               : "",
            plan->mask.data ? ", masked" : "", level, plan->threads, at);
    if (plan->kernels->op[plan->op].has_targets)
        fprintf(stderr, "; targets %a %a %a %d %d%s%s", plan->targets.keep, plan->targets.spread, plan->targets.divisor,
                plan->targets.exponent, plan->targets.divisor_exponent, plan->scale.data ? ", scales" : "",
                plan->spread.data ? ", spreads" : "");
    for (int d = 0; d < h->dims; d++)
        fprintf(stderr, "%s %td", d == h->outer_dims ? " |" : "", h->size[d]);
    for (int k = 0; k < ARRAYS; k++) {
        fprintf(stderr, "; %s%s", k < SMX_MAX_INPUTS ? "in" : "out", arrays[k].swapped ? " swapped" : "");
        for (int d = 0; d < h->dims; d++)
            fprintf(stderr, " %td", arrays[k].stride[d]);
    }
    fprintf(stderr, "\n");
    abort();
}

static void print_element(const char *label, const char *at, const array *a, ptrdiff_t item) {
    char bytes[8] = {0};
    float narrow;
    double value;
    copy_element(bytes, at, item, a->swapped);
    memcpy(&narrow, bytes, sizeof narrow);
    memcpy(&value, bytes, sizeof value);
    if (item == 2)
        fprintf(stderr, "%s 0x%02x%02x", label, (unsigned char)bytes[1], (unsigned char)bytes[0]);
    else
        fprintf(stderr, "%s %a", label, item == 4 ? narrow : value);
}

/* Which is the first result that is not what it has to be. */
static void show_result(const array *out, const shape *h, int dims, ptrdiff_t results, ptrdiff_t item) {
    for (ptrdiff_t i = 0; i < results; i++) {
        const ptrdiff_t at = offset_of(out, h, dims, i);
        if (memcmp(out->memory + at, out->before + at, (size_t)item) == 0)
            continue;
        fprintf(stderr, "result %td:", i);
        print_element("", out->memory + at, out, item);
        print_element(", not", out->before + at, out, item);
        fprintf(stderr, "\n");
        return;
    }
}

/* Makes an operand of contiguous numbers, one for each row, in the order of the rows. */
static void fill_row_operand(smx_operand *operand, char *numbers, const shape *h, ptrdiff_t size) {
    operand->data = numbers;
    for (int d = h->outer_dims - 1; d >= 0; size *= h->size[d], d--)
        operand->outer[d] = size;
}

/* Cuts an axis of n elements into segments: short ones, with empty and longer ones between them. Returns their number. */
static ptrdiff_t cut_segments(source *s, ptrdiff_t n, ptrdiff_t *indptr) {
    uint64_t state = take(s);
    const int same = below(s, 4) == 1 ? 1 + below(s, 100) : 0;
    ptrdiff_t count = 0;
    indptr[0] = 0;
    while (indptr[count] < n) {
        const uint64_t bits = next(&state);
        const ptrdiff_t left = n - indptr[count], length = (ptrdiff_t)(bits >> 8) % (bits % 8 ? 12 : 200);
        indptr[count + 1] = indptr[count];
        if (bits % 16 == 1)
            count++; /* an empty one */
        indptr[count + 1] = indptr[count] + (same && same < left ? same : length >= left ? left : 1 + length);
        count++;
    }
    return count;
}

/* Runs a plan of rows, or of each segment of its rows by itself. The operands are contiguous. */
static void run_plainly(const smx_plan *reference, const ptrdiff_t *indptr, ptrdiff_t segments) {
    for (ptrdiff_t k = 0; k < (indptr ? segments : 1); k++) {
        smx_plan plan = *reference;
        const ptrdiff_t first = indptr ? indptr[k] : 0, n = indptr ? indptr[k + 1] - first : plan.inner_shape[0];
        for (int i = 0; i < SMX_MAX_INPUTS; i++)
            plan.in[i].data = plan.in[i].data ? plan.in[i].data + first * plan.in[i].inner[0] : NULL;
        plan.out.data += first * plan.out.inner[0];
        plan.inner_shape[0] = n;
        if (n > 0 && smx_run(&plan) != SMX_DONE)
            abort();
    }
}

/* ---- losses --------------------------------------------------------------------------------------------------------

   Weights and factors are finite and not negative, as the package has checked them; probabilities may be anything. */

/* What each row has: label, factor, scale, spread; NULL where the call has none. `factor` may be one number for all. */
typedef struct {
    int64_t *label;
    char *factor, *scale, *spread;
    int one_factor;
    smx_targets targets;
} loss_rows;

static void make_weight(maker *m, size_t size, char *to) {
    float narrow;
    double value;
    make_value(m, size, to);
    memcpy(&narrow, to, sizeof narrow);
    memcpy(&value, to, size == 8 ? sizeof value : sizeof narrow);
    value = fabs(size == 4 ? (double)narrow : value);
    hidden_real(isfinite(value) ? value : 1, (ptrdiff_t)size, to);
}

/* Weights of rows. If rows may be left out, some are: their weight is -1. */
static char *make_weights(source *s, ptrdiff_t rows, ptrdiff_t size, int leaves_out) {
    maker m = choose_values(s);
    char *weights = need_memory(rows * size);
    for (ptrdiff_t row = 0; row < rows; row++) {
        make_weight(&m, (size_t)size, weights + row * size);
        if (leaves_out && next(&m.state) % 8 == 0)
            hidden_real(-1, size, weights + row * size);
    }
    return weights;
}

static loss_rows choose_loss(source *s, const smx_op_kernels *op, const shape *h, ptrdiff_t size) {
    static const double keeps[] = {1, 0.9, 0.5, 1e-3, 0, 1e-40}, spreads[] = {0, 0.1, 1e-3, 1, 1e-40, 0x1p-1000};
    static const double divisors[] = {1, 3, 1e5, 0x1.8p-700, 1e300, 0x1p-1022};
    static const int exponents[] = {0, 0, 0, 300, -700, 1000};
    loss_rows r;
    memset(&r, 0, sizeof r);
    const int has_others = op->inputs > 1;
    r.targets.keep = has_others ? keeps[below(s, 6)] : 1;
    r.targets.spread = has_others ? spreads[below(s, 6)] / (double)h->n : 0;
    r.targets.divisor = divisors[below(s, 6)];
    r.targets.exponent = exponents[below(s, 6)];
    r.targets.divisor_exponent = exponents[below(s, 6)];
    const int has_scale = below(s, 2), has_spread = has_others && below(s, 4) == 1;
    if (has_scale)
        r.scale = make_weights(s, h->rows, size, 1);
    if (has_spread)
        r.spread = make_weights(s, h->rows, size, 0);
    if (!op->has_labels)
        return r;
    r.one_factor = below(s, 2);
    r.factor = make_weights(s, h->rows, size, 0);
    if (r.one_factor)
        hidden_real(1, size, r.factor);
    r.label = need_memory(h->rows * (ptrdiff_t)sizeof *r.label);
    uint64_t state = take(s);
    for (ptrdiff_t row = 0; row < h->rows; row++) {
        const uint64_t bits = next(&state);
        r.label[row] = bits % 8 == 0 ? -1 : (int64_t)((bits >> 8) % (uint64_t)h->n);
    }
    return r;
}

/* Points a plan at these numbers, and at the exponents of its losses. */
static void fill_loss(smx_plan *plan, const loss_rows *r, char *exponents, const shape *h, ptrdiff_t size) {
    plan->targets = r->targets;
    fill_row_operand(&plan->exponent, exponents, h, 1);
    if (r->scale)
        fill_row_operand(&plan->scale, r->scale, h, size);
    if (r->spread)
        fill_row_operand(&plan->spread, r->spread, h, size);
    if (r->label)
        fill_row_operand(&plan->label, (char *)r->label, h, sizeof *r->label);
    plan->factor.data = r->factor;
    if (r->factor && !r->one_factor)
        fill_row_operand(&plan->factor, r->factor, h, size);
}

void anycall_check(const uint8_t *bytes, size_t size, anycall_ways ways) {
    source s = {bytes, bytes + size};
    int level_count;
    const smx_level *levels = smx_levels(&level_count), *level = &levels[below(&s, level_count)];
    for (int k = 0; ways.level && k < level_count; k++)
        if (strcmp(levels[k].name, ways.level) == 0)
            level = &levels[k];
    const int is_double = below(&s, 2);
    smx_plan plan;
    memset(&plan, 0, sizeof plan);
    plan.kernels = is_double ? level->f64 : level->f32;
    plan.op = (enum smx_op)below(&s, SMX_OP_COUNT);
    plan.threads = 1 + below(&s, 4);
    static const double temperatures[] = {1, 1, 1, 0.37, 3, 0x1p-20, 0x1.8p-85, 0x1.8p95};
    plan.temperature = temperatures[below(&s, 8)];
    const smx_op_kernels *op = &plan.kernels->op[plan.op];
    const ptrdiff_t real = (ptrdiff_t)plan.kernels->real_size;
    const shape h = choose_shape(&s);
    const int state = below(&s, 5), alias = below(&s, 6), is_real = is_processor();
    const int is_ragged = h.dims - h.outer_dims == 1 && op->elementwise && !op->has_row_out && below(&s, 4) == 1;

    plan.outer_dims = h.outer_dims;
    plan.inner_dims = h.dims - h.outer_dims;
    memcpy(plan.outer_shape, h.size, sizeof *h.size * (size_t)h.outer_dims);
    memcpy(plan.inner_shape, h.size + h.outer_dims, sizeof *h.size * (size_t)plan.inner_dims);

    /* The arrays; the output may be an input, if every element of that has a place of its own. */
    array arrays[ARRAYS];
    memset(arrays, 0, sizeof arrays);
    const int out_dims = op->elementwise ? h.dims : h.outer_dims;
    /* The weights of a loss are never its gradient. */
    const int aliased = alias < op->inputs && op->elementwise && !(op->has_targets && alias == 1) ? alias : -1;
    enum smx_storage storage[ARRAYS] = {SMX_REAL, SMX_REAL, SMX_REAL, SMX_REAL};
    const int halves = is_ragged ? 0 : below(&s, 4); /* none, none, all alike, any of them */
    for (int k = 0; !is_double && halves > 1 && k < ARRAYS; k++)
        if (!(op->has_targets && k == 1)) /* weights of classes are reals */
            storage[k] = k > 0 && (halves == 2 || k == aliased) ? storage[0] : (enum smx_storage)below(&s, 3);
    array *out = &arrays[SMX_MAX_INPUTS];
    if (aliased >= 0)
        storage[SMX_MAX_INPUTS] = storage[aliased];
    for (int k = 0; k < op->inputs; k++)
        arrays[k] = choose_layout(&s, &h, h.dims, storage[k] == SMX_REAL ? real : 2, k != aliased);
    const ptrdiff_t item = storage[SMX_MAX_INPUTS] == SMX_REAL ? real : 2;
    *out = aliased >= 0 ? arrays[aliased] : choose_layout(&s, &h, out_dims, item, 0);
    const int is_masked = below(&s, 4) == 1, share = take(&s);
    array mask = {.bytes = 0};
    if (is_masked)
        mask = choose_layout(&s, &h, h.dims, 1, 1);
    for (int k = 0; k < ARRAYS; k++)
        if (arrays[k].bytes > LARGEST_ARRAY || mask.bytes > LARGEST_ARRAY)
            return;

    const ptrdiff_t elements = h.rows * h.n, results = op->elementwise ? elements : h.rows;
    if (is_masked) {
        uint64_t state_of_mask = take(&s);
        mask.memory = need_memory(mask.bytes);
        for (ptrdiff_t i = 0; i < mask.bytes; i++) {
            const uint64_t bits = next(&state_of_mask);
            mask.memory[i] = (int)(bits & 255) < share ? 0 : (char)(1 + (bits >> 8) % 255);
        }
        plan.mask.data = mask.memory + mask.start;
        plan.mask.outer_dims = plan.outer_dims;
        plan.mask.inner_dims = plan.inner_dims;
        memcpy(plan.mask.outer_shape, plan.outer_shape, sizeof plan.outer_shape);
        memcpy(plan.mask.inner_shape, plan.inner_shape, sizeof plan.inner_shape);
        memcpy(plan.mask.outer, mask.stride, sizeof *h.size * (size_t)h.outer_dims);
        memcpy(plan.mask.inner, mask.stride + h.outer_dims, sizeof *h.size * (size_t)plan.inner_dims);
    }
    const smx_kernels *plainest = is_double ? levels[0].f64 : levels[0].f32;
    char *plain[ARRAYS] = {NULL};
    for (int k = 0; k < op->inputs; k++) {
        array *a = &arrays[k];
        maker m = choose_values(&s);
        a->memory = need_memory(a->bytes);
        a->before = need_memory(a->bytes);
        plain[k] = need_memory(elements * real);
        memset(a->memory, 0xA5, (size_t)a->bytes);
        for (ptrdiff_t i = 0; i < elements; i++) {
            char *at = a->memory + offset_of(a, &h, h.dims, i), weight[8];
            make_value(&m, (size_t)a->item, at);
            if (op->has_targets && k == 1) {
                make_weight(&m, (size_t)a->item, weight);
                copy_element(at, weight, a->item, a->swapped);
            }
        }
        for (ptrdiff_t i = 0; i < elements; i++) {
            char own[8];
            copy_element(own, a->memory + offset_of(a, &h, h.dims, i), a->item, a->swapped);
            if (is_masked && !mask.memory[offset_of(&mask, &h, h.dims, i)])
                hidden_real(op->hidden.in[k], real, plain[k] + i * real);
            else if (storage[k] == SMX_REAL)
                memcpy(plain[k] + i * real, own, (size_t)real);
            else
                plainest->from_half(storage[k], own, 1, plain[k] + i * real);
        }
        memcpy(a->before, a->memory, (size_t)a->bytes);
        fill_operand(&plan.in[k], a, &h, 1);
        plan.in[k].storage = storage[k];
    }
    if (aliased >= 0) {
        out->memory = arrays[aliased].memory;
    } else {
        out->memory = need_memory(out->bytes);
        memset(out->memory, 0x5A, (size_t)out->bytes);
    }
    out->before = need_memory(out->bytes);
    memcpy(out->before, out->memory, (size_t)out->bytes);
    fill_operand(&plan.out, out, &h, op->elementwise);
    plan.out.storage = storage[SMX_MAX_INPUTS];

    /* Numbers that each row has. */
    char *initial = NULL, *sums[2] = {NULL, NULL}; /* of the call, and of the reference */
    if (op->takes_initial && !is_ragged && below(&s, 2)) {
        maker m = choose_values(&s);
        initial = need_memory(h.rows * real);
        for (ptrdiff_t row = 0; row < h.rows; row++)
            make_value(&m, (size_t)real, initial + row * real);
        fill_row_operand(&plan.initial, initial, &h, real);
    }
    for (int k = 0; op->has_row_out && k < 2; k++) {
        sums[k] = need_memory(h.rows * real);
        memset(sums[k], 0x5A, (size_t)(h.rows * real));
    }
    fill_row_operand(&plan.row_out, sums[0], &h, real);
    loss_rows of_loss;
    memset(&of_loss, 0, sizeof of_loss);
    char *exponents[2] = {NULL, NULL};
    if (op->has_targets) {
        of_loss = choose_loss(&s, op, &h, real);
        for (int k = 0; k < 2; k++) {
            exponents[k] = need_memory(h.rows);
            memset(exponents[k], 0, (size_t)h.rows);
        }
        fill_loss(&plan, &of_loss, exponents[0], &h, real);
    }

    /* What has to come out: the rows, contiguous and aligned, by the plainest kernels. */
    plain[SMX_MAX_INPUTS] = need_memory(results * real);
    smx_plan reference;
    memset(&reference, 0, sizeof reference);
    reference.op = plan.op;
    reference.kernels = plainest;
    reference.threads = 1;
    reference.temperature = plan.temperature;
    reference.outer_dims = reference.inner_dims = 1;
    reference.outer_shape[0] = h.rows;
    reference.inner_shape[0] = h.n;
    for (int k = 0; k < ARRAYS; k++) {
        smx_operand *operand = k < SMX_MAX_INPUTS ? &reference.in[k] : &reference.out;
        operand->data = plain[k];
        operand->inner[0] = real;
        operand->outer[0] = (k == SMX_MAX_INPUTS && !op->elementwise ? 1 : h.n) * real;
    }
    reference.initial.data = initial;
    reference.row_out.data = sums[1];
    reference.initial.outer[0] = reference.row_out.outer[0] = real;
    ptrdiff_t *indptr = NULL;
    if (is_ragged) {
        indptr = need_memory((2 * h.n + 2) * (ptrdiff_t)sizeof *indptr);
        plan.segments = cut_segments(&s, h.n, indptr);
        plan.indptr = indptr;
    }
    if (op->has_targets) {
        shape in_one = h;
        in_one.outer_dims = 1;
        in_one.size[0] = h.rows;
        fill_loss(&reference, &of_loss, exponents[1], &in_one, real);
    }
    run_plainly(&reference, indptr, plan.segments);
    for (ptrdiff_t i = 0; i < results; i++) {
        char *result = plain[SMX_MAX_INPUTS] + i * real;
        if (is_masked && op->elementwise && !mask.memory[offset_of(&mask, &h, h.dims, i)])
            hidden_real(op->hidden.out, real, result);
        /* A row of which the mask leaves nothing has a result of its own; without the mask, it is a row of -inf. */
        if (is_masked && !op->elementwise && isinf(op->hidden.in[0]) && !initial) {
            const ptrdiff_t n = elements / results;
            int seen = 0;
            for (ptrdiff_t j = 0; j < n; j++)
                seen |= mask.memory[offset_of(&mask, &h, h.dims, i * n + j)];
            if (!seen)
                hidden_real(op->hidden.out, real, result);
        }
        if (item == 2)
            plainest->to_half(storage[SMX_MAX_INPUTS], result, 1, result);
        copy_element(out->before + offset_of(out, &h, out_dims, i), result, item, out->swapped);
    }

    smx_plan made = plan; /* the runner may rewrite it */
    /* Small work stays in the calling thread. */
    const int threads = ways.alone && elements >= 1 << 16 ? plan.threads : 1;
    if (is_real)
        set_states(state, threads);
    if (ways.alone && below(&s, 8) == 1)
        starve_after(below(&s, 3));
    smx_always_use_threads(1);
    const int status = smx_run(&made), starved = starve_end();
    const int state_kept = !is_real || are_states(state, threads);
    if (is_real)
        set_states(0, threads);
    if (status != (starved ? SMX_NO_MEMORY : SMX_DONE))
        fail(starved ? "no word of the memory that ran out" : "no memory", &plan, level->name, &h, arrays, 0);
    if (!state_kept)
        fail("the floating-point state was changed", &plan, level->name, &h, arrays, state);
    /* What is in the output after an error is not said; and Valgrind's fused multiply-add gives zeros the wrong sign. There,
       only what lies beside the results is looked at. */
    for (ptrdiff_t i = 0; (starved || !is_real) && i < results; i++) {
        const ptrdiff_t at = offset_of(out, &h, out_dims, i);
        memcpy(out->before + at, out->memory + at, (size_t)item);
    }
    for (int k = 0; k < ARRAYS; k++)
        if (arrays[k].bytes > 0 && k != aliased &&
            memcmp(arrays[k].memory, arrays[k].before, (size_t)arrays[k].bytes)) {
            ptrdiff_t at = 0;
            while (arrays[k].memory[at] == arrays[k].before[at])
                at++;
            if (k == SMX_MAX_INPUTS)
                show_result(out, &h, out_dims, results, item);
            fail(k < SMX_MAX_INPUTS ? "an input was written to" : "another result, or one in another place", &plan,
                 level->name, &h, arrays, at);
        }

    if (sums[0] && !starved && is_real && memcmp(sums[0], sums[1], (size_t)(h.rows * real)))
        fail("another sum of a row", &plan, level->name, &h, arrays, 0);
    if (exponents[0] && !starved && is_real && memcmp(exponents[0], exponents[1], (size_t)h.rows))
        fail("another exponent of a loss", &plan, level->name, &h, arrays, 0);

    free(initial);
    free(indptr);
    free(of_loss.label);
    free(of_loss.factor);
    free(of_loss.scale);
    free(of_loss.spread);
    for (int k = 0; k < 2; k++) {
        free(sums[k]);
        free(exponents[k]);
    }
    for (int k = 0; k < ARRAYS; k++) {
        if (k < SMX_MAX_INPUTS || aliased < 0)
            free(arrays[k].memory);
        free(arrays[k].before);
        free(plain[k]);
    }
    if (is_masked)
        free(mask.memory);
}
