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

/* The strides that an axis has in an operand, or NULL where the operand lacks such axes. */
static ptrdiff_t *strides(smx_plan *plan, int k, int inner) {
    const smx_op_kernels *op = &plan->kernels->op[plan->op];
    smx_operand *operand = operand_at(plan, k);
    if (!inner)
        return operand->outer;
    return k < op->inputs + op->elementwise ? operand->inner : NULL;
}

static void move_axis(smx_plan *plan, int inner, int from, int to) {
    ptrdiff_t *shape = inner ? plan->inner_shape : plan->outer_shape;
    shape[to] = shape[from];
    for (int k = 0; k < operand_count(plan); k++) {
        ptrdiff_t *stride = strides(plan, k, inner);
        if (stride)
            stride[to] = stride[from];
    }
}

static int is_one_axis(smx_plan *plan, int inner, int a, int b) {
    const ptrdiff_t *shape = inner ? plan->inner_shape : plan->outer_shape;
    for (int k = 0; k < operand_count(plan); k++) {
        const ptrdiff_t *stride = strides(plan, k, inner);
        if (stride && stride[a] != stride[b] * shape[b])
            return 0;
    }
    return 1;
}

static int merge_axes(smx_plan *plan, int inner, int dims) {
    ptrdiff_t *shape = inner ? plan->inner_shape : plan->outer_shape;
    int kept = 0;
    for (int d = 0; d < dims; d++) {
        if (shape[d] == 1)
            continue;
        if (kept > 0 && is_one_axis(plan, inner, kept - 1, d)) {
            const ptrdiff_t size = shape[kept - 1];
            move_axis(plan, inner, d, kept - 1);
            shape[kept - 1] *= size;
        } else {
            move_axis(plan, inner, d, kept++);
        }
    }
    if (kept == 0) {
        shape[0] = 1;
        for (int k = 0; k < operand_count(plan); k++)
            if (strides(plan, k, inner))
                strides(plan, k, inner)[0] = (ptrdiff_t)plan->kernels->real_size;
        kept = 1;
    }
    return kept;
}

static ptrdiff_t size_of(ptrdiff_t x) { return x < 0 ? -x : x; }

/* Insertion sort by the first input's strides, then the output's: the largest first. */
static void sort_outer_axes(smx_plan *plan) {
    for (int d = 1; d < plan->outer_dims; d++)
        for (int e = d; e > 0; e--) {
            const ptrdiff_t *x = plan->in[0].outer, *out = plan->out.outer;
            const ptrdiff_t before = size_of(x[e - 1]), here = size_of(x[e]);
            if (before > here || (before == here && size_of(out[e - 1]) >= size_of(out[e])))
                break;
            const ptrdiff_t shape = plan->outer_shape[e - 1];
            plan->outer_shape[e - 1] = plan->outer_shape[e];
            plan->outer_shape[e] = shape;
            for (int k = 0; k < operand_count(plan); k++) {
                ptrdiff_t *stride = strides(plan, k, 0), kept = stride[e - 1];
                stride[e - 1] = stride[e];
                stride[e] = kept;
            }
        }
}

void smx_simplify(smx_plan *plan) {
    plan->inner_dims = merge_axes(plan, 1, plan->inner_dims);
    sort_outer_axes(plan);
    plan->outer_dims = merge_axes(plan, 0, plan->outer_dims);
}

char *smx_find_row(const smx_plan *plan, const smx_operand *operand, ptrdiff_t r) {
    ptrdiff_t offset = 0;
    for (int d = plan->outer_dims - 1; d > 0; d--) {
        offset += r % plan->outer_shape[d] * operand->outer[d];
        r /= plan->outer_shape[d];
    }
    return operand->data + offset + r * operand->outer[0];
}

ptrdiff_t smx_inner_offset(const smx_plan *plan, const smx_operand *operand, ptrdiff_t i) {
    ptrdiff_t offset = 0;
    for (int d = plan->inner_dims - 1; d > 0; d--) {
        offset += i % plan->inner_shape[d] * operand->inner[d];
        i /= plan->inner_shape[d];
    }
    return offset + i * operand->inner[0];
}

static uint32_t swap32(uint32_t x) { return x >> 24 | (x >> 8 & 0xff00u) | (x << 8 & 0xff0000u) | x << 24; }

/* memcpy, because an element need not be aligned; the compiler makes it one move. */
void smx_copy_elements(char *to, ptrdiff_t to_step, const char *from, ptrdiff_t from_step, ptrdiff_t n, ptrdiff_t size,
                       int swapped) {
    if (size == 4) {
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
static ptrdiff_t run_length(const smx_plan *plan, ptrdiff_t i, ptrdiff_t n) {
    const ptrdiff_t size = plan->inner_shape[plan->inner_dims - 1], run = size - i % size;
    return run < n ? run : n;
}

void smx_gather(const smx_plan *plan, const smx_operand *from, const char *row, ptrdiff_t first, ptrdiff_t n, char *to,
                ptrdiff_t to_step) {
    while (n > 0) {
        const ptrdiff_t run = run_length(plan, first, n);
        smx_copy_elements(to, to_step, row + smx_inner_offset(plan, from, first), from->inner[plan->inner_dims - 1],
                          run, (ptrdiff_t)plan->kernels->real_size, from->swapped);
        to += run * to_step;
        first += run;
        n -= run;
    }
}

void smx_scatter(const smx_plan *plan, const smx_operand *to, char *row, ptrdiff_t first, ptrdiff_t n, const char *from,
                 ptrdiff_t from_step) {
    while (n > 0) {
        const ptrdiff_t run = run_length(plan, first, n);
        smx_copy_elements(row + smx_inner_offset(plan, to, first), to->inner[plan->inner_dims - 1], from, from_step,
                          run, (ptrdiff_t)plan->kernels->real_size, to->swapped);
        from += run * from_step;
        first += run;
        n -= run;
    }
}

int smx_is_native(const smx_plan *plan, const smx_operand *operand, int has_inner) {
    const ptrdiff_t size = (ptrdiff_t)plan->kernels->real_size;
    uintptr_t odd = (uintptr_t)operand->data;
    for (int d = 0; d < plan->outer_dims; d++)
        odd |= (uintptr_t)operand->outer[d];
    for (int d = 0; has_inner && d < plan->inner_dims; d++)
        odd |= (uintptr_t)operand->inner[d];
    return !operand->swapped && odd % (uintptr_t)size == 0;
}
