/* Operands with any strides: see strided.h. */

#include "strided.h"

#include "arch.h"

#include <stdint.h>
#include <string.h>

/* The operands of the plan's operation: the inputs, the output, and those that have one number for each row. */
static int operand_count(const smx_plan *plan) {
    const smx_op_kernels *op = &plan->kernels->op[plan->op];
    return op->inputs + 1 + op->has_row_out + 2 * op->has_labels + 3 * op->has_targets + (plan->initial.data != NULL);
}

static smx_operand *operand_at(smx_plan *plan, int k) {
    const smx_op_kernels *op = &plan->kernels->op[plan->op];
    if (k <= op->inputs)
        return k < op->inputs ? &plan->in[k] : &plan->out;
    k -= op->inputs + 1;
    if (k < 2 * op->has_labels)
        return k == 0 ? &plan->label : &plan->factor;
    k -= 2 * op->has_labels;
    if (k < 3 * op->has_targets)
        return k == 0 ? &plan->exponent : k == 1 ? &plan->scale : &plan->spread;
    k -= 3 * op->has_targets;
    return k < op->has_row_out ? &plan->row_out : &plan->initial;
}

/* The outer or the inner axes of all operands, or of the mask. */
typedef struct {
    ptrdiff_t *shape;
    int count;
    ptrdiff_t *stride[SMX_MAX_INPUTS + 7], item[SMX_MAX_INPUTS + 7];
} axes;

static axes axes_of_operands(smx_plan *plan, int inner) {
    const smx_op_kernels *op = &plan->kernels->op[plan->op];
    axes a;
    a.shape = inner ? plan->inner_shape : plan->outer_shape;
    /* an operand with one number for each row has no inner axes */
    a.count = inner ? op->inputs + op->elementwise : operand_count(plan);
    for (int k = 0; k < a.count; k++) {
        smx_operand *operand = operand_at(plan, k);
        a.stride[k] = inner ? operand->inner : operand->outer;
        a.item[k] = smx_item_size(plan, operand);
    }
    return a;
}

static axes axes_of_mask(smx_mask *mask, int inner) {
    const axes a = {inner ? mask->inner_shape : mask->outer_shape, 1, {inner ? mask->inner : mask->outer}, {1}};
    return a;
}

static void move_axis(const axes *a, int from, int to) {
    a->shape[to] = a->shape[from];
    for (int k = 0; k < a->count; k++)
        a->stride[k][to] = a->stride[k][from];
}

static void swap_axes(const axes *a, int d, int e) {
    const ptrdiff_t shape = a->shape[d];
    a->shape[d] = a->shape[e];
    a->shape[e] = shape;
    for (int k = 0; k < a->count; k++) {
        const ptrdiff_t stride = a->stride[k][d];
        a->stride[k][d] = a->stride[k][e];
        a->stride[k][e] = stride;
    }
}

static int is_one_axis(const axes *a, int d, int e) {
    for (int k = 0; k < a->count; k++)
        if (a->stride[k][d] != a->stride[k][e] * a->shape[e])
            return 0;
    return 1;
}

static int merge_axes(axes a, int dims) {
    int left = 0;
    for (int d = 0; d < dims; d++) {
        if (a.shape[d] == 1)
            continue;
        if (left > 0 && is_one_axis(&a, left - 1, d)) {
            const ptrdiff_t size = a.shape[left - 1];
            move_axis(&a, d, left - 1);
            a.shape[left - 1] *= size;
        } else {
            move_axis(&a, d, left++);
        }
    }
    if (left == 0) {
        a.shape[0] = 1;
        for (int k = 0; k < a.count; k++)
            a.stride[k][0] = a.item[k];
        left = 1;
    }
    return left;
}

static ptrdiff_t size_of(ptrdiff_t x) { return x < 0 ? -x : x; }

/* The key of a stride in the order of axes: an axis along which an array repeats comes before all others. */
static size_t key_of(ptrdiff_t stride) { return (size_t)size_of(stride) - 1; }

/* Insertion sort by the strides of the first input, then of the output; the largest come first. */
static void sort_outer_axes(smx_plan *plan) {
    const axes operands = axes_of_operands(plan, 0), mask = axes_of_mask(&plan->mask, 0);
    for (int d = 1; d < plan->outer_dims; d++)
        for (int e = d; e > 0; e--) {
            const ptrdiff_t *x = plan->in[0].outer, *out = plan->out.outer;
            const size_t before = key_of(x[e - 1]), here = key_of(x[e]);
            if (before > here || (before == here && key_of(out[e - 1]) >= key_of(out[e])))
                break;
            swap_axes(&operands, e - 1, e);
            if (plan->mask.data)
                swap_axes(&mask, e - 1, e);
        }
}

void smx_simplify(smx_plan *plan) {
    /* Contiguous rows come in this form, and small calls count their nanoseconds. The stride of a single row may be
       any; if it is the stride that merging leaves, nothing is left to do. */
    const int is_one_row = plan->outer_shape[0] == 1;
    const int is_simple = plan->outer_dims == 1 && plan->inner_dims == 1 && plan->inner_shape[0] > 1 &&
                          (!is_one_row || plan->in[0].outer[0] == smx_item_size(plan, &plan->in[0]));
    if (!is_simple) {
        sort_outer_axes(plan);
        plan->inner_dims = merge_axes(axes_of_operands(plan, 1), plan->inner_dims);
        plan->outer_dims = merge_axes(axes_of_operands(plan, 0), plan->outer_dims);
    }
    smx_mask *mask = &plan->mask;
    if (mask->data) {
        mask->inner_dims = merge_axes(axes_of_mask(mask, 1), mask->inner_dims);
        mask->outer_dims = merge_axes(axes_of_mask(mask, 0), mask->outer_dims);
    }
}

/* The offset of element i, counted in C order along axes of that shape. */
static ptrdiff_t offset_of(int dims, const ptrdiff_t *shape, const ptrdiff_t *stride, ptrdiff_t i) {
    ptrdiff_t offset = 0;
    for (int d = dims - 1; d > 0; d--) {
        offset += i % shape[d] * stride[d];
        i /= shape[d];
    }
    return offset + i * stride[0];
}

char *smx_find_row(const smx_plan *plan, const smx_operand *operand, ptrdiff_t r) {
    return operand->data + offset_of(plan->outer_dims, plan->outer_shape, operand->outer, r);
}

ptrdiff_t smx_inner_offset(const smx_plan *plan, const smx_operand *operand, ptrdiff_t i) {
    return offset_of(plan->inner_dims, plan->inner_shape, operand->inner, i);
}

static uint16_t swap16(uint16_t x) { return (uint16_t)(x >> 8 | x << 8); }
static uint32_t swap32(uint32_t x) { return x >> 24 | (x >> 8 & 0xff00u) | (x << 8 & 0xff0000u) | x << 24; }

static uint64_t swap64(uint64_t x) { return (uint64_t)swap32((uint32_t)x) << 32 | swap32((uint32_t)(x >> 32)); }

/* memcpy, because an element need not be aligned. The compiler makes it one move. Four elements a turn: a turn of one
   element takes one cycle or two, which depends on where the loop's code lies in the cache. */
#define COPY_ELEMENTS(type, swap)                                                                                      \
    do {                                                                                                               \
        type x[4];                                                                                                     \
        ptrdiff_t i = 0;                                                                                               \
        for (; i + 4 <= n; i += 4) {                                                                                   \
            for (int k = 0; k < 4; k++)                                                                                \
                memcpy(&x[k], from + (i + k) * from_step, sizeof(type));                                               \
            for (int k = 0; k < 4; k++)                                                                                \
                x[k] = swapped ? swap(x[k]) : x[k];                                                                    \
            for (int k = 0; k < 4; k++)                                                                                \
                memcpy(to + (i + k) * to_step, &x[k], sizeof(type));                                                   \
        }                                                                                                              \
        for (; i < n; i++) {                                                                                           \
            memcpy(x, from + i * from_step, sizeof(type));                                                             \
            x[0] = swapped ? swap(x[0]) : x[0];                                                                        \
            memcpy(to + i * to_step, x, sizeof(type));                                                                 \
        }                                                                                                              \
    } while (0)

/* Contiguous numbers of 16 bits. Compilers make vectors of this loop. */
static void swap_halves(char *restrict to, const char *restrict from, ptrdiff_t n) {
    for (ptrdiff_t i = 0; i < n; i++) {
        uint16_t x;
        memcpy(&x, from + 2 * i, 2);
        x = swap16(x);
        memcpy(to + 2 * i, &x, 2);
    }
}

void smx_copy_elements(char *restrict to, ptrdiff_t to_step, const char *restrict from, ptrdiff_t from_step,
                       ptrdiff_t n, ptrdiff_t size, int swapped) {
    if (to_step == size && from_step == size && !swapped)
        memcpy(to, from, (size_t)(n * size));
    else if (to_step == 2 && from_step == 2 && size == 2)
        swap_halves(to, from, n);
    else if (size == 2)
        COPY_ELEMENTS(uint16_t, swap16);
    else if (size == 4)
        COPY_ELEMENTS(uint32_t, swap32);
    else
        COPY_ELEMENTS(uint64_t, swap64);
}

void smx_copy_rows(const smx_plan *plan, const smx_operand *operand, char *to, ptrdiff_t to_row, ptrdiff_t to_step,
                   const char *from, ptrdiff_t from_row, ptrdiff_t from_step, ptrdiff_t rows, ptrdiff_t n) {
    const ptrdiff_t size = smx_item_size(plan, operand);
    if (to_step == -size) { /* the same copy from its other end, where the results are contiguous upwards */
        to += (n - 1) * to_step;
        from += (n - 1) * from_step;
        to_step = size;
        from_step = -from_step;
    }
    if (to_row == n * to_step && from_row == n * from_step) {
        n *= rows;
        rows = 1;
    }
    ptrdiff_t done = 0;
    if (to_step == size && operand->storage == SMX_REAL)
        done = plan->kernels->gather(from, from_row, from_step, rows, n, operand->swapped, to, to_row);
    for (ptrdiff_t r = 0; done < n && r < rows; r++)
        smx_copy_elements(to + r * to_row + done * to_step, to_step, from + r * from_row + done * from_step, from_step,
                          n - done, size, operand->swapped);
}

void smx_copy_numbers(const smx_plan *plan, const smx_operand *operand, char *to, ptrdiff_t to_step, const char *from,
                      ptrdiff_t from_step, ptrdiff_t n) {
    smx_copy_rows(plan, operand, to, 0, to_step, from, 0, from_step, 1, n);
}

/* How many of n elements, from number i on, lie on one span of `span` elements. */
static ptrdiff_t count_in_span(ptrdiff_t span, ptrdiff_t i, ptrdiff_t n) {
    const ptrdiff_t count = span - i % span;
    return count < n ? count : n;
}

ptrdiff_t smx_constant_stride_run(const smx_plan *plan, ptrdiff_t i, ptrdiff_t n) {
    return count_in_span(plan->inner_shape[plan->inner_dims - 1], i, n);
}

void smx_gather(const smx_plan *plan, const smx_operand *from, const char *row, ptrdiff_t first, ptrdiff_t n, char *to,
                ptrdiff_t to_step) {
    while (n > 0) {
        const ptrdiff_t count = smx_constant_stride_run(plan, first, n);
        smx_copy_numbers(plan, from, to, to_step, row + smx_inner_offset(plan, from, first),
                         from->inner[plan->inner_dims - 1], count);
        to += count * to_step;
        first += count;
        n -= count;
    }
}

void smx_scatter(const smx_plan *plan, const smx_operand *to, char *row, ptrdiff_t first, ptrdiff_t n, const char *from,
                 ptrdiff_t from_step) {
    while (n > 0) {
        const ptrdiff_t count = smx_constant_stride_run(plan, first, n);
        smx_copy_numbers(plan, to, row + smx_inner_offset(plan, to, first), to->inner[plan->inner_dims - 1], from,
                         from_step, count);
        from += count * from_step;
        first += count;
        n -= count;
    }
}

int smx_is_native(const smx_plan *plan, const smx_operand *operand, int has_inner) {
    const ptrdiff_t size = smx_item_size(plan, operand);
    uintptr_t misaligned = (uintptr_t)operand->data;
    for (int d = 0; d < plan->outer_dims; d++)
        misaligned |= (uintptr_t)operand->outer[d];
    for (int d = 0; has_inner && d < plan->inner_dims; d++)
        misaligned |= (uintptr_t)operand->inner[d];
    return !operand->swapped && (misaligned & (uintptr_t)(size - 1)) == 0;
}

smx_view smx_view_mask(const smx_plan *plan, ptrdiff_t r, int rows, ptrdiff_t piece_start, ptrdiff_t n, int either,
                       char *block) {
    const smx_mask *mask = &plan->mask;
    const ptrdiff_t span = mask->outer_shape[mask->outer_dims - 1], row_stride = mask->outer[mask->outer_dims - 1];
    const ptrdiff_t inner_span = mask->inner_shape[mask->inner_dims - 1],
                    element_stride = mask->inner[mask->inner_dims - 1];
    const int has_constant_stride =
        r / span == (r + rows - 1) / span && piece_start / inner_span == (piece_start + n - 1) / inner_span;
    if (has_constant_stride &&
        (element_stride == 0 || element_stride == 1 || (either && (row_stride == 0 || row_stride == 1)))) {
        const char *start = mask->data + offset_of(mask->outer_dims, mask->outer_shape, mask->outer, r) +
                            offset_of(mask->inner_dims, mask->inner_shape, mask->inner, piece_start);
        const smx_view view = {(char *)start, row_stride, element_stride};
        return view;
    }
    char *bytes = block;
    const char *start = NULL;
    for (ptrdiff_t end = r + rows; r < end; r++) {
        start = start && r % span != 0 ? start + row_stride
                                       : mask->data + offset_of(mask->outer_dims, mask->outer_shape, mask->outer, r);
        for (ptrdiff_t i = piece_start; i < piece_start + n;) {
            const ptrdiff_t count = count_in_span(inner_span, i, piece_start + n - i);
            const char *from = start + offset_of(mask->inner_dims, mask->inner_shape, mask->inner, i);
            for (ptrdiff_t k = 0; k < count; k++)
                bytes[k] = from[k * element_stride];
            bytes += count;
            i += count;
        }
    }
    const smx_view view = {block, n, 1};
    return view;
}
