/* A call as the routes see it: its shape, and how its arrays lie in memory. No decisions: those are in route.c and
   access.c. */

#ifndef SMX_FACTS_H
#define SMX_FACTS_H

#include "job.h"

/* What the routes ask about a call. `along`: each row is contiguous. `adjacent`: rows are side by side. Both are true
   only of numbers that are native: aligned, in the byte order of this machine. `by_lines`: rows are nearer to one
   another than the elements of a row are, so an array is better read line by line, whatever its byte order and
   alignment. `repeats`: the rows along the last outer axis are one and the same. */
typedef struct {
    const smx_plan *plan;
    const smx_op_kernels *op;
    ptrdiff_t rows, n; /* n: elements of a row */
    ptrdiff_t neighbours; /* rows along the last outer axis */
    int sums; /* SUMS, the lanes of the widest vector of any level: kernels->row_multiple */
    int along[SMX_MAX_INPUTS], adjacent[SMX_MAX_INPUTS], by_lines[SMX_MAX_INPUTS], repeats[SMX_MAX_INPUTS];
    int out_along, out_adjacent;
    int has_half; /* some array has numbers of 16 bits */
    int is_masked;
} smx_facts;

void smx_look_at(smx_facts *c, const smx_plan *plan, ptrdiff_t rows, ptrdiff_t n);

static inline int smx_is_short(const smx_facts *c) { return c->n <= SMX_SHORT; }

/* The stride of the operand from row to row, in bytes. */
static inline ptrdiff_t smx_row_bytes(const smx_facts *c, const smx_operand *operand) {
    return operand->outer[c->plan->outer_dims - 1];
}

/* True if the rows along the last outer axis make a span: they fill the lanes of COLUMNS, or they are all rows. */
static inline int smx_has_long_spans(const smx_facts *c) {
    return c->neighbours >= c->sums || c->neighbours == c->rows;
}

/* True if the rows of the operand follow one another without a gap; is_along: they are contiguous and native. */
int smx_is_packed(const smx_facts *c, const smx_operand *operand, int is_along);

/* True if every array is packed, in one storage that the packed loops take. */
int smx_are_all_packed(const smx_facts *c);

/* True if the operation has NARROW_LINES, rows are long, and every input is better read line by line. Derivatives take
   no such lines under a mask. */
int smx_fit_narrow_lines(const smx_facts *c);

/* True if the lines of input k follow one another, where rows have one inner axis. */
int smx_is_contiguous_lines(const smx_facts *c, int k);

/* True if narrow lines fit, and the lines of every input follow one another; derivatives take only reals. */
int smx_are_contiguous_lines(const smx_facts *c);

#endif
