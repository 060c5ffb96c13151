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
    const ptrdiff_t size = (ptrdiff_t)plan->kernels->real_size, stride = plan->initial.outer[0];
    if (rows == 1 || stride == size)
        return plan->initial.data;
    smx_copy_elements(to, size, plan->initial.data, stride, rows, size, 0);
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

/* Sets a view field by field. A view that were copied from another would be loaded just after its fields had been
   stored one by one, and the load would wait until they have reached the cache. */
static void set_view(smx_view *view, void *start, ptrdiff_t row_stride, ptrdiff_t element_stride) {
    view->start = start;
    view->row_stride = row_stride;
    view->element_stride = element_stride;
}

/* Points a view at the contiguous rows of an operand. */
static void view_rows(smx_view *view, const smx_operand *operand, ptrdiff_t rows, ptrdiff_t n, ptrdiff_t size) {
    const ptrdiff_t bytes = operand->outer[0];
    /* Compilers divide by a number that they know in a cycle or two. The stride of a single row may be any. */
    const ptrdiff_t stride =
        size == sizeof(float) ? bytes / (ptrdiff_t)sizeof(float) : bytes / (ptrdiff_t)sizeof(double);
    set_view(view, operand->data, rows > 1 ? stride : n, 1);
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
    const ptrdiff_t saved_row = columns ? 1 : route.pitch, saved_element = columns ? route.pitch : 1;

    smx_tile tile;
    for (int k = 0; k < op->inputs; k++) {
        view_rows(&tile.in[k], &plan->in[k], rows, n, size);
        set_view(&tile.next[k], NULL, 0, 0);
    }
    if (op->elementwise)
        view_rows(&tile.out, &plan->out, rows, n, size);
    else
        set_view(&tile.out, NULL, 0, 0);
    for (int k = 0; k < 2; k++)
        set_view(&tile.saved[k], op->saves ? scratch->block[k] : NULL, saved_row, saved_element);
    set_view(&tile.mask, NULL, 0, 0);
    tile.layout = columns ? SMX_COLUMNS : SMX_ROWS;
    tile.piece_start = 0;
    tile.rows = (int)rows;
    tile.n = tile.row_length = n;
    if (route.copied)
        copy_operands(plan, route.copied, scratch, &tile);
    tile.temperature = kernels->no_temperature;
    tile.initial = plan->initial.data ? gather_initial(plan, rows, scratch->initial) : NULL;
    tile.targets = &plan->targets;
    tile.label = NULL;
    tile.stream = 0;
    tile.again = NULL;
    tile.lookahead.maxima = NULL;
    tile.storage = tile.out_storage = SMX_REAL;
    void *first_rows = route.copied & 1 ? (void *)scratch->block[2] : plan->in[0].data;
    if (columns) {
        kernels->rows_to_columns(first_rows, n, (int)rows, n, scratch->block[0], route.pitch, 0);
        set_view(&tile.in[0], scratch->block[0], saved_row, saved_element);
    }
    const smx_fpstate before = smx_enter_fpstate();
    op->reduce[route.reduce](&tile, scratch->partial);
    const int is_finite = op->finish(&tile, 1, scratch->partial, NULL, scratch->constants) == 0;
    if (columns && route.write == SMX_WALK_PACKED) {
        tile.layout = SMX_ROWS;
        set_view(&tile.in[0], first_rows, n, 1);
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
