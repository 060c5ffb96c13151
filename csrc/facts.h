/* A call as the routes see it: its shape, and how its arrays lie in memory. No decisions: those are in route.c. */

#ifndef SMX_FACTS_H
#define SMX_FACTS_H

#include "job.h"

/* What the routes ask about a call. `along`: each row is contiguous. `adjacent`: rows are side by side. Both are about native
   numbers alone: aligned, in the byte order of this machine. */
typedef struct {
    const smx_plan *plan;
    const smx_op_kernels *op;
    ptrdiff_t rows, n, neighbours; /* neighbours: rows along the last outer axis */
    int sums; /* kernels->row_multiple */
    int along[SMX_MAX_INPUTS], adjacent[SMX_MAX_INPUTS], out_along, out_adjacent;
    int has_half, is_masked;
} smx_facts;

void smx_look_at(smx_facts *c, const smx_plan *plan, ptrdiff_t rows, ptrdiff_t n);

static inline int smx_is_short(const smx_facts *c) { return c->n <= SMX_SHORT; }

/* The stride of the operand from row to row, in bytes. */
static inline ptrdiff_t smx_row_bytes(const smx_facts *c, const smx_operand *operand) {
    return operand->outer[c->plan->outer_dims - 1];
}

/* A span of one short axis fills too few lanes of COLUMNS, so all rows are one span; they are then found one by one. */
static inline int smx_has_long_spans(const smx_facts *c) {
    return c->neighbours >= c->sums || c->neighbours == c->rows;
}

/* True if every array is packed, in one storage that the packed loops take. */
int smx_are_all_packed(const smx_facts *c);

/* True if lines of long rows follow one another. Derivatives take them so only as reals that are not masked. */
int smx_are_contiguous_lines(const smx_facts *c);

#endif
