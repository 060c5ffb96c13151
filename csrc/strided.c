/* Walking arrays with any strides: see strided.h. */

#include "strided.h"

#include <stdint.h>
#include <string.h>

/* The operands of the plan's operation: the inputs, the output, those of one number a row. */
static int operand_count(const smx_plan *plan) {
    const smx_op_kernels *op = &plan->kernels->op[plan->op];
    return op->inputs + 1 + op->has_row_out + 2 * op->has_labels;
}

static smx_operand *operand_at(smx_plan *plan, int k) {
    const smx_op_kernels *op = &plan->kernels->op[plan->op];
    if (k <= op->inputs)
        return k < op->inputs ? &plan->in[k] : &plan->out;
    k -= op->inputs + 1;
    if (k < 2 * op->has_labels)
        return k == 0 ? &plan->label : &plan->factor;
    return &plan->row_out;
}

/* Axes that belong together: outer or inner ones, of all operands or of the mask. */
typedef struct {
    ptrdiff_t *shape;
    int count;
    ptrdiff_t *stride[SMX_MAX_INPUTS + 4], item[SMX_MAX_INPUTS + 4];
} axes;

static axes axes_of_operands(smx_plan *plan, int inner) {
    const smx_op_kernels *op = &plan->kernels->op[plan->op];
    axes a;
    a.shape = inner ? plan->inner_shape : plan->outer_shape;
    /* what has one number a row has no inner ones */
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
        const ptrdiff_t kept = a->stride[k][d];
        a->stride[k][d] = a->stride[k][e];
        a->stride[k][e] = kept;
    }
}

static int is_one_axis(const axes *a, int d, int e) {
    for (int k = 0; k < a->count; k++)
        if (a->stride[k][d] != a->stride[k][e] * a->shape[e])
            return 0;
    return 1;
}

static int merge_axes(axes a, int dims) {
    int kept = 0;
    for (int d = 0; d < dims; d++) {
        if (a.shape[d] == 1)
            continue;
        if (kept > 0 && is_one_axis(&a, kept - 1, d)) {
            const ptrdiff_t size = a.shape[kept - 1];
            move_axis(&a, d, kept - 1);
            a.shape[kept - 1] *= size;
        } else {
            move_axis(&a, d, kept++);
        }
    }
    if (kept == 0) {
        a.shape[0] = 1;
        for (int k = 0; k < a.count; k++)
            a.stride[k][0] = a.item[k];
        kept = 1;
    }
    return kept;
}

static ptrdiff_t size_of(ptrdiff_t x) { return x < 0 ? -x : x; }

/* Insertion sort by the first input's strides, then the output's: the largest first. */
static void sort_outer_axes(smx_plan *plan) {
    const axes operands = axes_of_operands(plan, 0), mask = axes_of_mask(&plan->mask, 0);
    for (int d = 1; d < plan->outer_dims; d++)
        for (int e = d; e > 0; e--) {
            const ptrdiff_t *x = plan->in[0].outer, *out = plan->out.outer;
            const ptrdiff_t before = size_of(x[e - 1]), here = size_of(x[e]);
            if (before > here || (before == here && size_of(out[e - 1]) >= size_of(out[e])))
                break;
            swap_axes(&operands, e - 1, e);
            if (plan->mask.data)
                swap_axes(&mask, e - 1, e);
        }
}

void smx_simplify(smx_plan *plan) {
    /* What contiguous rows come as, and small calls count their nanoseconds. The stride of a single row may be any: if it is
       that of merged axes, nothing is left to do. */
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

/* Offset of number i, counted in C order along axes of that shape. */
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

/* memcpy, because an element need not be aligned; the compiler makes it one move. */
void smx_copy_elements(char *to, ptrdiff_t to_step, const char *from, ptrdiff_t from_step, ptrdiff_t n, ptrdiff_t size,
                       int swapped) {
    if (size == 2) {
        uint16_t x;
        for (ptrdiff_t i = 0; i < n; i++) {
            memcpy(&x, from + i * from_step, 2);
            x = swapped ? swap16(x) : x;
            memcpy(to + i * to_step, &x, 2);
        }
    } else if (size == 4) {
        uint32_t x;
        for (ptrdiff_t i = 0; i < n; i++) {
            memcpy(&x, from + i * from_step, 4);
            x = swapped ? swap32(x) : x;
            memcpy(to + i * to_step, &x, 4);
        }
    } else {
        uint64_t x;
        for (ptrdiff_t i = 0; i < n; i++) {
            memcpy(&x, from + i * from_step, 8);
            x = swapped ? (uint64_t)swap32((uint32_t)x) << 32 | swap32((uint32_t)(x >> 32)) : x;
            memcpy(to + i * to_step, &x, 8);
        }
    }
}

/* How many elements from number i on lie at one stride. */
static ptrdiff_t run_length(ptrdiff_t size, ptrdiff_t i, ptrdiff_t n) {
    const ptrdiff_t run = size - i % size;
    return run < n ? run : n;
}

ptrdiff_t smx_constant_stride_run(const smx_plan *plan, ptrdiff_t i, ptrdiff_t n) {
    return run_length(plan->inner_shape[plan->inner_dims - 1], i, n);
}

void smx_gather(const smx_plan *plan, const smx_operand *from, const char *row, ptrdiff_t first, ptrdiff_t n, char *to,
                ptrdiff_t to_step) {
    while (n > 0) {
        const ptrdiff_t run = smx_constant_stride_run(plan, first, n);
        smx_copy_elements(to, to_step, row + smx_inner_offset(plan, from, first), from->inner[plan->inner_dims - 1],
                          run, smx_item_size(plan, from), from->swapped);
        to += run * to_step;
        first += run;
        n -= run;
    }
}

void smx_scatter(const smx_plan *plan, const smx_operand *to, char *row, ptrdiff_t first, ptrdiff_t n, const char *from,
                 ptrdiff_t from_step) {
    while (n > 0) {
        const ptrdiff_t run = smx_constant_stride_run(plan, first, n);
        smx_copy_elements(row + smx_inner_offset(plan, to, first), to->inner[plan->inner_dims - 1], from, from_step,
                          run, smx_item_size(plan, to), to->swapped);
        from += run * from_step;
        first += run;
        n -= run;
    }
}

int smx_is_native(const smx_plan *plan, const smx_operand *operand, int has_inner) {
    const ptrdiff_t size = smx_item_size(plan, operand);
    uintptr_t odd = (uintptr_t)operand->data;
    for (int d = 0; d < plan->outer_dims; d++)
        odd |= (uintptr_t)operand->outer[d];
    for (int d = 0; has_inner && d < plan->inner_dims; d++)
        odd |= (uintptr_t)operand->inner[d];
    return !operand->swapped && (odd & (uintptr_t)(size - 1)) == 0;
}

smx_view smx_view_mask(const smx_plan *plan, ptrdiff_t r, int rows, ptrdiff_t first, ptrdiff_t n, int either,
                       char *block) {
    const smx_mask *mask = &plan->mask;
    const ptrdiff_t run = mask->outer_shape[mask->outer_dims - 1], row = mask->outer[mask->outer_dims - 1];
    const ptrdiff_t inner_run = mask->inner_shape[mask->inner_dims - 1], element = mask->inner[mask->inner_dims - 1];
    const int is_even = r / run == (r + rows - 1) / run && first / inner_run == (first + n - 1) / inner_run;
    if (is_even && (element == 0 || element == 1 || (either && (row == 0 || row == 1)))) {
        const char *start = mask->data + offset_of(mask->outer_dims, mask->outer_shape, mask->outer, r) +
                            offset_of(mask->inner_dims, mask->inner_shape, mask->inner, first);
        const smx_view view = {(char *)start, row, element};
        return view;
    }
    char *to = block;
    const char *start = NULL;
    for (ptrdiff_t end = r + rows; r < end; r++) {
        start = start && r % run != 0 ? start + row
                                      : mask->data + offset_of(mask->outer_dims, mask->outer_shape, mask->outer, r);
        for (ptrdiff_t i = first; i < first + n;) {
            const ptrdiff_t count = run_length(inner_run, i, first + n - i);
            const char *from = start + offset_of(mask->inner_dims, mask->inner_shape, mask->inner, i);
            for (ptrdiff_t k = 0; k < count; k++)
                to[k] = from[k * element];
            to += count;
            i += count;
        }
    }
    const smx_view view = {block, n, 1};
    return view;
}
