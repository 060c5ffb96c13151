/* The shortest way, for a call that is one tile of rows of any strides. Rows that are not contiguous, native reals are
   copied as a whole. There is no job, which would take half of the time of softmax of 1x10. */

#include "fpstate.h"
#include "job.h"
#include "scratch.h"
#include "strided.h"

#include <stdio.h>
#include <string.h>

typedef struct {
    /* What is saved is in the first two. The copy of the first input is in the last one, and results that are not
       written in place follow it there. Operations of two inputs save nothing, so the other copy is in the second. */
    double block[3][SMX_TINY_BLOCK / sizeof(double)];
    double partial[SMX_PARTIALS * SMX_TILE_ROWS], constants[SMX_CONSTANTS * SMX_TILE_ROWS];
    double initial[SMX_TILE_ROWS]; /* room for reals */
} tiny_scratch;

_Static_assert(sizeof(tiny_scratch) <= SMX_SCRATCH, "tiny calls take the memory that a thread keeps");

/* Returns the initial terms of the rows, contiguous: in the array, or copied to `to`. */
static const void *gather_initial(const smx_plan *plan, ptrdiff_t rows, void *to) {
    const size_t size = plan->kernels->real_size;
    const ptrdiff_t stride = plan->initial.outer[0];
    if (rows == 1 || stride == (ptrdiff_t)size)
        return plan->initial.data;
    for (ptrdiff_t row = 0; row < rows; row++)
        memcpy((char *)to + (size_t)row * size, plan->initial.data + row * stride, size);
    return to;
}

/* Copies all rows of an input, and makes them reals. */
static void load(const smx_plan *plan, const smx_operand *from, ptrdiff_t rows, ptrdiff_t n, char *to) {
    const ptrdiff_t size = smx_item_size(plan, from);
    char *numbers = to + rows * n * ((ptrdiff_t)plan->kernels->real_size - size);
    smx_copy_rows(plan, from, numbers, n * size, size, from->data, from->outer[0], from->inner[0], rows, n);
    if (from->storage != SMX_REAL)
        plan->kernels->from_half(from->storage, numbers, rows * n, to);
}

/* Points the tile at copies of the operands that are not in order. The output gets the place of its results. */
SMX_APART void copy_operands(const smx_plan *plan, int copied, tiny_scratch *scratch, smx_tile *tile) {
    const int inputs = plan->kernels->op[plan->op].inputs;
    const smx_fpstate before = smx_enter_fpstate();
    for (int k = 0; copied >> k != 0; k++) {
        smx_view *view = k < inputs ? &tile->in[k] : &tile->out;
        if (!(copied >> k & 1))
            continue;
        view->start = scratch->block[k < inputs ? 2 - k : 2];
        view->row_stride = tile->n;
        if (k < inputs)
            load(plan, &plan->in[k], tile->rows, tile->n, view->start);
    }
    smx_leave_fpstate(before);
}

static void store(const smx_plan *plan, char *results, ptrdiff_t rows, ptrdiff_t n) {
    const smx_operand *to = &plan->out;
    const ptrdiff_t size = smx_item_size(plan, to);
    if (to->storage != SMX_REAL)
        plan->kernels->to_half(to->storage, results, rows * n, results);
    smx_copy_rows(plan, to, to->data, to->outer[0], to->inner[0], results, n * size, size, rows, n);
}

int smx_run_tiny(const smx_plan *plan, ptrdiff_t rows, ptrdiff_t n) {
    smx_tiny_route route;
    if (!smx_is_tiny(plan, rows, n, &route))
        return 0;
    const smx_kernels *kernels = plan->kernels;
    const smx_op_kernels *op = &kernels->op[plan->op];
    const ptrdiff_t size = (ptrdiff_t)kernels->real_size;
    const int columns = route.reduce == SMX_WALK_SHORT_COLUMNS;
    tiny_scratch *scratch = smx_take_scratch(sizeof(tiny_scratch));
    if (!scratch)
        return 0;
    const smx_view nowhere = {NULL, 0, 0};
    const smx_view saved = {NULL, columns ? 1 : route.pitch, columns ? route.pitch : 1};

    smx_tile tile;
    tile.out = nowhere;
    tile.rows = (int)rows;
    tile.n = tile.row_length = n;
    for (int k = 0; k < op->inputs + op->elementwise; k++) {
        const smx_operand *operand = k < op->inputs ? &plan->in[k] : &plan->out;
        smx_view *view = k < op->inputs ? &tile.in[k] : &tile.out;
        view->start = operand->data;
        view->row_stride = rows > 1 ? operand->outer[0] / size : n; /* the stride of a single row may be any */
        view->element_stride = 1;
    }
    if (route.copied)
        copy_operands(plan, route.copied, scratch, &tile);
    const smx_view memory = tile.in[0];
    tile.layout = columns ? SMX_COLUMNS : SMX_ROWS;
    tile.piece_start = 0;
    tile.saved[0] = tile.saved[1] = saved;
    if (op->saves) {
        tile.saved[0].start = scratch->block[0];
        tile.saved[1].start = scratch->block[1];
    }
    tile.temperature = kernels->no_temperature;
    tile.initial = plan->initial.data ? gather_initial(plan, rows, scratch->initial) : NULL;
    tile.targets = &plan->targets;
    tile.label = NULL;
    tile.stream = 0;
    tile.again = NULL;
    tile.lookahead.maxima = NULL;
    for (int k = 0; k < op->inputs; k++)
        tile.next[k] = nowhere;
    tile.mask = nowhere;
    tile.storage = tile.out_storage = SMX_REAL;
    if (columns) {
        kernels->rows_to_columns(memory.start, n, (int)rows, n, scratch->block[0], route.pitch, 0);
        tile.in[0] = saved;
        tile.in[0].start = scratch->block[0];
    }
    const smx_fpstate before = smx_enter_fpstate();
    op->reduce[route.reduce](&tile, scratch->partial);
    const int is_finite = op->finish(&tile, 1, scratch->partial, NULL, scratch->constants) == 0;
    if (columns && route.write == SMX_WALK_PACKED) {
        tile.layout = SMX_ROWS;
        tile.in[0] = memory;
    }
    if (is_finite && op->elementwise)
        op->write[route.write](&tile, scratch->constants);
    else if (is_finite)
        memcpy(plan->out.data, scratch->constants, (size_t)(rows * size));
    if (is_finite && op->elementwise && route.copied >> op->inputs)
        store(plan, tile.out.start, rows, n);
    if (is_finite && op->has_row_out) { /* see kernel.h */
        const char *constants = (const char *)scratch->constants;
        memcpy(plan->row_out.data, constants + (op->elementwise ? 0 : SMX_TILE_ROWS * size), (size_t)(rows * size));
    }
    smx_leave_fpstate(before);
    smx_return_scratch(scratch);
    if (is_finite && plan->explanation)
        snprintf(plan->explanation, SMX_EXPLANATION, "tiny: 1 tile of %d row%s", (int)rows, rows == 1 ? "" : "s");
    return is_finite;
}
