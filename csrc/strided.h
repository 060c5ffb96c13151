/* Walking arrays with any strides: rows found one after the other, and copied to or from blocks. No arithmetic. */

#ifndef SMX_STRIDED_H
#define SMX_STRIDED_H

#include "plan.h"

/* Brings a plan's axes into their simplest form: axes of one element are dropped, neighbours that are one axis in all
   operands are merged, and the outer axes (whose order concerns no result) are sorted so that memory is walked in
   order. At least one outer and one inner axis remain. */
void smx_simplify(smx_plan *plan);

/* Where row number r of an operand begins. */
char *smx_find_row(const smx_plan *plan, const smx_operand *operand, ptrdiff_t r);

/* The size of a number of the operand. */
static inline ptrdiff_t smx_item_size(const smx_plan *plan, const smx_operand *operand) {
    return operand->storage == SMX_REAL ? (ptrdiff_t)plan->kernels->real_size : 2;
}

/* Copies elements [first, first + n) of one row between the operand and memory of the given step (in bytes). */
void smx_gather(const smx_plan *plan, const smx_operand *from, const char *row, ptrdiff_t first, ptrdiff_t n, char *to,
                ptrdiff_t to_step);
void smx_scatter(const smx_plan *plan, const smx_operand *to, char *row, ptrdiff_t first, ptrdiff_t n, const char *from,
                 ptrdiff_t from_step);

/* Elements of 2, 4 or 8 bytes, so many bytes apart, their own bytes turned round if swapped. */
void smx_copy_elements(char *to, ptrdiff_t to_step, const char *from, ptrdiff_t from_step, ptrdiff_t n, ptrdiff_t size,
                       int swapped);

/* How many of the n elements of a row from number i on are evenly spaced, at the stride of the last inner axis. */
ptrdiff_t smx_constant_stride_run(const smx_plan *plan, ptrdiff_t i, ptrdiff_t n);

/* Offset of element i of a row from its first. */
ptrdiff_t smx_inner_offset(const smx_plan *plan, const smx_operand *operand, ptrdiff_t i);

/* The mask of elements [first, first + n) of so many rows from number r on, with strides in bytes. If it is evenly spaced
   and one of its strides, that along the rows or (if either will do) that across them, is 0 or 1, it is seen where it
   is; else its bytes are copied to block, row by row. */
smx_view smx_view_mask(const smx_plan *plan, ptrdiff_t r, int rows, ptrdiff_t first, ptrdiff_t n, int either,
                       char *block);

/* Whether every element of the operand may be read and written as a number of this machine, of its storage. */
int smx_is_native(const smx_plan *plan, const smx_operand *operand, int has_inner);

#endif
