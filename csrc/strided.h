/* Operands with any strides: finding rows, and copying elements to and from blocks. No arithmetic. */

#ifndef SMX_STRIDED_H
#define SMX_STRIDED_H

#include "plan.h"

/* Brings the axes of a plan into their simplest form. Axes of one element are dropped, and neighbours that are one axis
   in all operands are merged. The outer axes are sorted so that memory is walked in order; no result depends on their
   order. At least one outer and one inner axis remain. */
void smx_simplify(smx_plan *plan);

/* The start of row r of an operand. */
char *smx_find_row(const smx_plan *plan, const smx_operand *operand, ptrdiff_t r);

/* Bytes of a number of the operand. */
static inline ptrdiff_t smx_item_size(const smx_plan *plan, const smx_operand *operand) {
    return operand->storage == SMX_REAL ? (ptrdiff_t)plan->kernels->real_size : 2;
}

/* Copies elements [first, first + n) of one row between the operand and memory whose elements are a constant step
   apart, in bytes. */
void smx_gather(const smx_plan *plan, const smx_operand *from, const char *row, ptrdiff_t first, ptrdiff_t n, char *to,
                ptrdiff_t to_step);
void smx_scatter(const smx_plan *plan, const smx_operand *to, char *row, ptrdiff_t first, ptrdiff_t n, const char *from,
                 ptrdiff_t from_step);

/* Copies rows of n numbers, as the operand keeps them, between it and memory in the order of this machine. Rows and
   numbers are a constant number of bytes apart, at both ends. */
void smx_copy_rows(const smx_plan *plan, const smx_operand *operand, char *to, ptrdiff_t to_row, ptrdiff_t to_step,
                   const char *from, ptrdiff_t from_row, ptrdiff_t from_step, ptrdiff_t rows, ptrdiff_t n);

/* The same for a single row. */
void smx_copy_numbers(const smx_plan *plan, const smx_operand *operand, char *to, ptrdiff_t to_step, const char *from,
                      ptrdiff_t from_step, ptrdiff_t n);

/* Copies elements of 2, 4 or 8 bytes one by one. If swapped, the bytes of each element are reversed. */
void smx_copy_elements(char *restrict to, ptrdiff_t to_step, const char *restrict from, ptrdiff_t from_step,
                       ptrdiff_t n, ptrdiff_t size, int swapped);

/* How many of the n elements of a row, from number i on, lie at the stride of the last inner axis. */
ptrdiff_t smx_constant_stride_run(const smx_plan *plan, ptrdiff_t i, ptrdiff_t n);

/* The offset of element i of a row from its first element. */
ptrdiff_t smx_inner_offset(const smx_plan *plan, const smx_operand *operand, ptrdiff_t i);

/* The mask of elements [piece_start, piece_start + n) of rows [r, r + rows), with strides in bytes. If the strides are
   constant, and the element stride or (if either will do) the row stride is 0 or 1, the view shows the mask where it
   is. Otherwise its bytes are copied to block, row by row. */
smx_view smx_view_mask(const smx_plan *plan, ptrdiff_t r, int rows, ptrdiff_t piece_start, ptrdiff_t n, int either,
                       char *block);

/* True if every element of the operand can be read and written as a number of its storage, in this machine's byte order
   and alignment. */
int smx_is_native(const smx_plan *plan, const smx_operand *operand, int has_inner);

#endif
