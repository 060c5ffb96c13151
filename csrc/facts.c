/* How the arrays of a call lie in memory: see facts.h. */

#include "facts.h"

#include "strided.h"

static ptrdiff_t size_of(ptrdiff_t x) { return x < 0 ? -x : x; }

void smx_look_at(smx_facts *c, const smx_plan *plan, ptrdiff_t rows, ptrdiff_t n) {
    c->plan = plan;
    c->op = &plan->kernels->op[plan->op];
    c->rows = rows;
    c->n = n;
    c->neighbours = plan->outer_shape[plan->outer_dims - 1];
    c->sums = plan->kernels->row_multiple;
    c->is_masked = plan->mask.data != NULL;
    c->has_half = plan->out.storage != SMX_REAL;
    for (int k = 0; k < c->op->inputs; k++) {
        const smx_operand *x = &plan->in[k];
        const ptrdiff_t size = smx_item_size(plan, x);
        const int is_native = smx_is_native(plan, x, 1);
        c->along[k] = is_native && plan->inner_dims == 1 && x->inner[0] == size;
        c->adjacent[k] = is_native && smx_row_bytes(c, x) == size;
        c->repeats[k] = rows > 1 && smx_row_bytes(c, x) == 0;
        c->by_lines[k] = c->adjacent[k] ||
                         (!c->repeats[k] && size_of(smx_row_bytes(c, x)) < size_of(x->inner[plan->inner_dims - 1]));
        c->has_half |= x->storage != SMX_REAL;
    }
    const ptrdiff_t size = smx_item_size(plan, &plan->out);
    const int is_native = smx_is_native(plan, &plan->out, c->op->elementwise);
    c->out_along = c->op->elementwise && is_native && plan->inner_dims == 1 && plan->out.inner[0] == size;
    c->out_adjacent = is_native && smx_row_bytes(c, &plan->out) == size;
}

int smx_is_packed(const smx_facts *c, const smx_operand *operand, int is_along) {
    return is_along && smx_row_bytes(c, operand) == c->n * smx_item_size(c->plan, operand);
}

int smx_are_all_packed(const smx_facts *c) {
    const smx_plan *plan = c->plan;
    /* Rows of one element are adjacent columns, too. Derivatives alone take them as packed rows. */
    int are = (c->n > 1 || c->op->reduce[SMX_WALK_PACKED]) && smx_is_packed(c, &plan->out, c->out_along);
    for (int k = 0; k < c->op->inputs; k++) {
        const enum smx_storage storage = plan->in[k].storage;
        const int is_taken = storage == SMX_REAL || (c->op->is_derivative && !c->is_masked);
        are &= smx_is_packed(c, &plan->in[k], c->along[k]) && is_taken && storage == plan->out.storage;
    }
    return are && (!c->is_masked || c->op->is_derivative);
}

int smx_fit_narrow_lines(const smx_facts *c) {
    int fit = c->op->reduce[SMX_WALK_NARROW_LINES] && !smx_is_short(c) && c->plan->inner_dims == 1;
    for (int k = 0; k < c->op->inputs; k++)
        fit &= c->by_lines[k];
    return fit && !(c->op->is_derivative && c->is_masked);
}

int smx_is_contiguous_lines(const smx_facts *c, int k) {
    const smx_operand *x = &c->plan->in[k];
    return c->adjacent[k] && x->inner[0] == c->neighbours * smx_item_size(c->plan, x);
}

int smx_are_contiguous_lines(const smx_facts *c) {
    int are = smx_fit_narrow_lines(c);
    for (int k = 0; k < c->op->inputs; k++)
        are &= smx_is_contiguous_lines(c, k) && !(c->op->is_derivative && c->plan->in[k].storage != SMX_REAL);
    return are;
}
