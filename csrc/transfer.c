/* Moves rows between arrays and blocks, whatever their strides, byte order, masks and storage. access.c chooses one
   load for each input and one store for the results. */

#include "arch.h"
#include "job.h"
#include "strided.h"

#include <string.h>

/* ---- views ------------------------------------------------------------------------------------------------------ */

smx_view smx_view_array(const smx_worker *w, const smx_operand *operand, ptrdiff_t start) {
    const smx_plan *plan = w->job->plan;
    const ptrdiff_t size = smx_item_size(plan, operand);
    smx_view view;
    view.start = smx_find_row(plan, operand, w->first_row) + smx_inner_offset(plan, operand, start);
    view.row_stride = operand->outer[plan->outer_dims - 1] / size;
    view.element_stride = operand->inner[0] / size;
    return view;
}

smx_view smx_view_block(const smx_job *j, char *block) {
    const int columns = j->layout == SMX_COLUMNS;
    const smx_view view = {block, columns ? 1 : j->pitch, columns ? j->pitch : 1};
    return view;
}

smx_view smx_view_loaded(const smx_worker *w, int k) {
    const smx_job *j = w->job;
    smx_view view = smx_view_block(j, w->block[k]);
    if (j->storage == SMX_REAL)
        return view;
    const ptrdiff_t size = smx_item_size(j->plan, &j->plan->in[k]), per_real = j->real_size / size;
    const int columns = j->layout == SMX_COLUMNS;
    view.start = (char *)view.start + (columns ? w->tile.rows : w->tile.n) * (j->real_size - size);
    *(columns ? &view.element_stride : &view.row_stride) *= per_real;
    return view;
}

/* Rows in the stage follow one another. */
static smx_view view_stage(const smx_worker *w) {
    const smx_view view = {w->stage, w->tile.n, 1};
    return view;
}

/* Where row r of the tile begins in the operand. */
static char *find_row(const smx_worker *w, const smx_operand *operand, ptrdiff_t r) {
    return smx_find_row(w->job->plan, operand, w->first_row + r);
}

static void prefetch_run(const char *from, ptrdiff_t bytes) {
    for (ptrdiff_t i = 0; i < bytes; i += SMX_CACHE_LINE)
        SMX_PREFETCH(from + i);
}

/* ---- masks ------------------------------------------------------------------------------------------------------ */

void smx_apply_mask(const smx_worker *w, const smx_view *from, double fill, const smx_view *to) {
    w->job->plan->kernels->apply_mask(from, &w->mask, w->tile.rows, w->tile.n, fill, to);
}

/* Replaces hidden elements in the block of input k, if there is a mask. */
static void mask_block(const smx_worker *w, int k, const smx_view *block) {
    if (w->job->plan->mask.data)
        smx_apply_mask(w, block, w->job->op->hidden.in[k], block);
}

smx_view smx_find_mask_of_rows(smx_worker *w, ptrdiff_t start, ptrdiff_t n) {
    return smx_view_mask(w->job->plan, w->first_row, w->tile.rows, start, n, w->job->layout == SMX_COLUMNS,
                         w->mask_block);
}

/* True if the bytes of the mask run along the rows of a tile in COLUMNS. Such rows are masked before they are
   transposed into the block, because the block would need a transposed mask. */
static int is_mask_of_rows(const smx_worker *w) {
    return w->job->plan->mask.data && w->mask.row_stride != 0 && w->mask.row_stride != 1;
}

/* ---- rows ------------------------------------------------------------------------------------------------------- */

/* Moves the tile's rows, from element number start on, out of an operand into memory, or back; `row` and `step` are the
   distances of rows and elements there, in bytes. */
static void gather_rows(const smx_worker *w, const smx_operand *from, ptrdiff_t start, char *to, ptrdiff_t row,
                        ptrdiff_t step) {
    const smx_job *j = w->job;
    const smx_plan *plan = j->plan;
    if (j->constant_stride && plan->inner_dims == 1) {
        smx_copy_rows(plan, from, to, row, step, find_row(w, from, 0) + start * from->inner[0],
                      from->outer[plan->outer_dims - 1], from->inner[0], w->tile.rows, w->tile.n);
        return;
    }
    for (ptrdiff_t r = 0; r < w->tile.rows; r++)
        smx_gather(plan, from, find_row(w, from, r), start, w->tile.n, to + r * row, step);
}
static void scatter_rows(const smx_worker *w, const smx_operand *to, ptrdiff_t start, const char *from, ptrdiff_t row,
                         ptrdiff_t step) {
    const smx_job *j = w->job;
    const smx_plan *plan = j->plan;
    if (j->constant_stride && plan->inner_dims == 1) {
        smx_copy_rows(plan, to, find_row(w, to, 0) + start * to->inner[0], to->outer[plan->outer_dims - 1],
                      to->inner[0], from, row, step, w->tile.rows, w->tile.n);
        return;
    }
    for (ptrdiff_t r = 0; r < w->tile.rows; r++)
        smx_scatter(plan, to, find_row(w, to, r), start, w->tile.n, from + r * row, step);
}

/* True if each row of the operand is contiguous and native: smx_facts, which says so, too, is gone by now. */
static int is_along(const smx_worker *w, const smx_operand *operand) {
    const smx_plan *plan = w->job->plan;
    return plan->inner_dims == 1 && operand->inner[0] == smx_item_size(plan, operand) &&
           smx_is_native(plan, operand, 1);
}

/* ---- numbers of 16 bits ----------------------------------------------------------------------------------------- */

/* True if rows, each contiguous, follow one another in the operand and in the view: they then make one long row. */
static int is_one_row(const smx_worker *w, const smx_operand *operand, const smx_view *rows) {
    const smx_plan *plan = w->job->plan;
    return w->job->constant_stride && rows->row_stride == w->tile.n &&
           operand->outer[plan->outer_dims - 1] == w->tile.n * smx_item_size(plan, operand);
}

/* Rows of 16 bits in input k into contiguous rows of reals, and back from reals into the output. */
static void rows_from_half(const smx_worker *w, int k, ptrdiff_t start, const smx_view *to) {
    const smx_job *j = w->job;
    const smx_plan *plan = j->plan;
    const smx_operand *from = &plan->in[k];
    const ptrdiff_t size = smx_item_size(plan, from);
    /* Short rows with gaps are brought together first, as each would take a call of from_half. */
    const int along = is_along(w, from) && (w->tile.n > SMX_SHORT / 2 || is_one_row(w, from, to));
    const int one_row = along ? is_one_row(w, from, to) : to->row_stride == w->tile.n;
    const ptrdiff_t rows = one_row ? 1 : w->tile.rows, n = one_row ? w->tile.rows * w->tile.n : w->tile.n;
    const ptrdiff_t row_bytes = to->row_stride * j->real_size, upper_half = n * (j->real_size - size);
    char *reals = to->start;
    if (!along)
        gather_rows(w, from, start, reals + upper_half, one_row ? w->tile.n * size : row_bytes, size);
    for (ptrdiff_t r = 0; r < rows; r++, reals += row_bytes) {
        const char *half = along ? find_row(w, from, r) + smx_inner_offset(plan, from, start) : reals + upper_half;
        plan->kernels->from_half(from->storage, half, n, reals);
    }
}

static void rows_to_half(const smx_worker *w, const smx_view *from, ptrdiff_t start) {
    const smx_job *j = w->job;
    const smx_plan *plan = j->plan;
    const smx_operand *to = &plan->out;
    const ptrdiff_t size = smx_item_size(plan, to);
    const int along = is_along(w, to);
    const int one_row = along ? is_one_row(w, to, from) : from->row_stride == w->tile.n;
    const ptrdiff_t rows = one_row ? 1 : w->tile.rows, n = one_row ? w->tile.rows * w->tile.n : w->tile.n;
    const ptrdiff_t row_bytes = from->row_stride * j->real_size;
    char *reals = from->start;
    for (ptrdiff_t r = 0; r < rows; r++, reals += row_bytes) {
        char *half = along ? find_row(w, to, r) + smx_inner_offset(plan, to, start) : reals;
        plan->kernels->to_half(to->storage, reals, n, half);
    }
    if (!along)
        scatter_rows(w, to, start, from->start, one_row ? w->tile.n * size : row_bytes, size);
}

/* ---- loads ------------------------------------------------------------------------------------------------------ */

/* From any strides and byte order into ROWS. Rows that are read in place come here for a shift. */
void smx_load_gathered(smx_worker *w, int k, ptrdiff_t start) {
    const smx_job *j = w->job;
    const smx_view block = smx_view_loaded(w, k);
    const ptrdiff_t size = smx_item_size(j->plan, &j->plan->in[k]);
    gather_rows(w, &j->plan->in[k], start, block.start, block.row_stride * size, size);
    mask_block(w, k, &block);
}

/* Rows of 16 bits into ROWS. */
void smx_load_half(smx_worker *w, int k, ptrdiff_t start) {
    const smx_view block = smx_view_block(w->job, w->block[k]);
    rows_from_half(w, k, start, &block);
    mask_block(w, k, &block);
}

/* Contiguous rows of reals into ROWS, masked on the way. */
void smx_load_masked(smx_worker *w, int k, ptrdiff_t start) {
    const smx_view block = smx_view_block(w->job, w->block[k]);
    const smx_view rows = smx_view_array(w, &w->job->plan->in[k], start);
    smx_apply_mask(w, &rows, w->job->op->hidden.in[k], &block);
}

/* Rows into COLUMNS. Rows that are not contiguous, or of 16 bits, become contiguous reals in the stage first. */
void smx_load_transposed(smx_worker *w, int k, ptrdiff_t start) {
    const smx_job *j = w->job;
    const smx_operand *from = &j->plan->in[k];
    const smx_view block = smx_view_block(j, w->block[k]), stage = view_stage(w);
    const int is_masked = is_mask_of_rows(w);
    smx_view rows = stage;
    if (from->storage != SMX_REAL)
        rows_from_half(w, k, start, &stage);
    else if (j->constant_stride && is_along(w, from))
        rows = smx_view_array(w, from, start);
    else
        gather_rows(w, from, start, stage.start, stage.row_stride * j->real_size, j->real_size);
    if (is_masked) {
        /* The rows of the next tile; without a mask, the transposition does this. */
        if (j->prefetches && j->next_is_known[k] && rows.start != w->stage && rows.row_stride < 2 * w->tile.n)
            prefetch_run((char *)rows.start + w->tile.rows * rows.row_stride * j->real_size,
                         w->tile.rows * rows.row_stride * j->real_size);
        smx_apply_mask(w, &rows, j->op->hidden.in[k], &stage);
        rows = stage;
    }
    const int beyond_cache = j->prefetches && rows.start != w->stage;
    j->plan->kernels->rows_to_columns(rows.start, rows.row_stride, w->tile.rows, w->tile.n, block.start,
                                      block.element_stride, beyond_cache);
    if (!is_masked)
        mask_block(w, k, &block);
}

/* Rows that are side by side in memory, line by line, into COLUMNS. */
void smx_load_lines(smx_worker *w, int k, ptrdiff_t start) {
    const smx_job *j = w->job;
    const smx_plan *plan = j->plan;
    const smx_operand *from = &plan->in[k];
    const smx_view block = smx_view_block(j, w->block[k]);
    const ptrdiff_t stride = from->inner[plan->inner_dims - 1] / smx_item_size(plan, from);
    const char *first = find_row(w, from, 0);
    for (ptrdiff_t i = 0, count; i < w->tile.n; i += count) {
        count = smx_constant_stride_run(plan, start + i, w->tile.n - i);
        plan->kernels->lines_to_columns(
            from->storage, first + smx_inner_offset(plan, from, start + i), stride, w->tile.rows, count,
            (char *)block.start + i * block.element_stride * j->real_size, block.element_stride, j->prefetches);
    }
    mask_block(w, k, &block);
}

/* Copies `count` lines as the operand keeps them, line_bytes apart in `to`. Of few rows, each is copied by itself. */
static void gather_lines(const smx_worker *w, const smx_operand *from, const char *first, ptrdiff_t count, char *to,
                         ptrdiff_t line_bytes) {
    enum { FEW = 8 };
    const smx_plan *plan = w->job->plan;
    const ptrdiff_t rows = w->tile.rows, size = smx_item_size(plan, from);
    const ptrdiff_t row = from->outer[plan->outer_dims - 1], line = from->inner[plan->inner_dims - 1];
    if (rows < FEW && (line != rows * row || line_bytes != rows * size))
        smx_copy_rows(plan, from, to, size, line_bytes, first, row, line, rows, count);
    else
        smx_copy_rows(plan, from, to, line_bytes, size, first, line, row, count, rows);
}

/* Rows whose lines are not contiguous, or not native, line by line into COLUMNS. Numbers of 16 bits become reals in the
   memory of their line, or of all lines if these follow one another. */
void smx_load_scattered_lines(smx_worker *w, int k, ptrdiff_t start) {
    const smx_job *j = w->job;
    const smx_plan *plan = j->plan;
    const smx_operand *from = &plan->in[k];
    const smx_view block = smx_view_block(j, w->block[k]);
    const ptrdiff_t n = w->tile.n, rows = w->tile.rows, size = smx_item_size(plan, from);
    const ptrdiff_t line_bytes = block.element_stride * j->real_size, at_once = j->compact ? n * rows : rows;
    const ptrdiff_t step = j->compact ? rows * size : line_bytes,
                    padded = smx_round_up(rows, plan->kernels->row_multiple);
    const char *first = find_row(w, from, 0);
    char *numbers = (char *)block.start + at_once * (j->real_size - size);
    for (ptrdiff_t i = 0, count; i < n; i += count) {
        count = smx_constant_stride_run(plan, start + i, n - i);
        gather_lines(w, from, first + smx_inner_offset(plan, from, start + i), count, numbers + i * step, step);
    }
    char *line = block.start;
    for (ptrdiff_t i = 0; from->storage != SMX_REAL && j->storage == SMX_REAL && i < n * rows;
         i += at_once, line += line_bytes)
        plan->kernels->from_half(from->storage, line + at_once * (j->real_size - size), at_once, line);
    line = (char *)block.start + rows * j->real_size;
    for (ptrdiff_t i = 0; !j->compact && padded > rows && i < n; i++, line += line_bytes)
        memset(line, 0, (size_t)((padded - rows) * j->real_size));
    mask_block(w, k, &block);
}

/* Lines that follow one another in memory and in the block, all at once. */
void smx_load_compact_lines(smx_worker *w, int k, ptrdiff_t start) {
    const smx_job *j = w->job;
    const smx_operand *from = &j->plan->in[k];
    const smx_view block = smx_view_block(j, w->block[k]);
    const ptrdiff_t rows = w->tile.rows, count = w->tile.n * rows;
    smx_view lines = {find_row(w, from, 0) + smx_inner_offset(j->plan, from, start), 1, rows};
    if (from->storage != SMX_REAL) {
        j->plan->kernels->from_half(from->storage, lines.start, count, block.start);
        lines = block;
    }
    if (j->plan->mask.data)
        smx_apply_mask(w, &lines, j->op->hidden.in[k], &block);
    else if (from->storage == SMX_REAL)
        memcpy(block.start, lines.start, (size_t)(count * j->real_size));
}

/* ---- stores ----------------------------------------------------------------------------------------------------- */

static void mask_results(const smx_worker *w, const smx_view *results, int applies_mask) {
    if (applies_mask)
        smx_apply_mask(w, results, w->job->op->hidden.out, results);
}

/* To any strides and byte order. */
void smx_store_scattered(smx_worker *w, ptrdiff_t start, int applies_mask) {
    const smx_job *j = w->job;
    const smx_view block = smx_view_block(j, w->block[0]);
    mask_results(w, &block, applies_mask);
    scatter_rows(w, &j->plan->out, start, block.start, block.row_stride * j->real_size,
                 block.element_stride * j->real_size);
}

/* ROWS into rows of 16 bits. */
void smx_store_half(smx_worker *w, ptrdiff_t start, int applies_mask) {
    const smx_view block = smx_view_block(w->job, w->block[0]);
    mask_results(w, &block, applies_mask);
    rows_to_half(w, &block, start);
}

/* COLUMNS into rows; those that are not contiguous, or of 16 bits, by way of the stage. */
void smx_store_transposed(smx_worker *w, ptrdiff_t start, int applies_mask) {
    const smx_job *j = w->job;
    const smx_operand *to = &j->plan->out;
    const int is_half = to->storage != SMX_REAL, masks_rows = applies_mask && is_mask_of_rows(w);
    const int in_place = !is_half && j->constant_stride && is_along(w, to);
    const smx_view block = smx_view_block(j, w->block[0]);
    const smx_view rows = in_place ? smx_view_array(w, to, start) : view_stage(w);
    mask_results(w, &block, applies_mask && !masks_rows);
    j->plan->kernels->columns_to_rows(block.start, block.element_stride, rows.start, rows.row_stride, w->tile.rows,
                                      w->tile.n, j->prefetches && in_place);
    mask_results(w, &rows, masks_rows);
    if (is_half)
        rows_to_half(w, &rows, start);
    else if (!in_place)
        scatter_rows(w, to, start, rows.start, rows.row_stride * j->real_size, j->real_size);
}

/* COLUMNS into rows of 16 bits that are side by side. */
void smx_store_half_lines(smx_worker *w, ptrdiff_t start, int applies_mask) {
    const smx_job *j = w->job;
    const smx_plan *plan = j->plan;
    const smx_operand *to = &plan->out;
    const smx_view block = smx_view_block(j, w->block[0]);
    const ptrdiff_t rows = w->tile.rows, size = smx_item_size(plan, to);
    const ptrdiff_t stride = to->inner[plan->inner_dims - 1] / size;
    char *first = find_row(w, to, 0);
    mask_results(w, &block, applies_mask);
    if (j->compact && plan->inner_dims == 1 && stride == rows) {
        plan->kernels->to_half(to->storage, block.start, w->tile.n * rows, first + smx_inner_offset(plan, to, start));
        return;
    }
    for (ptrdiff_t i = 0, count; i < w->tile.n; i += count) {
        count = smx_constant_stride_run(plan, start + i, w->tile.n - i);
        plan->kernels->columns_to_lines(to->storage, (char *)block.start + i * block.element_stride * j->real_size,
                                        block.element_stride, first + smx_inner_offset(plan, to, start + i), stride,
                                        (int)rows, count);
    }
}

/* ---- one number a row ------------------------------------------------------------------------------------------- */

const void *smx_gather_numbers(const smx_worker *w, const smx_operand *from, ptrdiff_t size, void *to) {
    const smx_job *j = w->job;
    const ptrdiff_t step = from->outer[j->plan->outer_dims - 1], rows = w->tile.rows;
    const char *first = find_row(w, from, 0);
    if (j->constant_stride && step == size)
        return first;
    if (j->constant_stride)
        smx_copy_elements(to, size, first, step, rows, size, 0);
    for (ptrdiff_t r = 0; !j->constant_stride && r < rows; r++)
        smx_copy_elements((char *)to + r * size, 0, find_row(w, from, r), 0, 1, size, 0);
    return to;
}

void smx_store_numbers_of_rows(smx_worker *w, const smx_operand *to, const char *numbers) {
    const smx_job *j = w->job;
    const ptrdiff_t size = smx_item_size(j->plan, to);
    uint16_t half[SMX_TILE_ROWS];
    if (to->storage != SMX_REAL) {
        j->plan->kernels->to_half(to->storage, numbers, w->tile.rows, half);
        numbers = (const char *)half;
    }
    if (j->row_results_adjacent) {
        memcpy(find_row(w, to, 0), numbers, (size_t)(w->tile.rows * size));
        return;
    }
    for (int r = 0; r < w->tile.rows; r++)
        smx_copy_elements(find_row(w, to, r), 0, numbers + r * size, 0, 1, size, to->swapped);
}

void smx_store_exponents(const smx_worker *w, const char *exponents) {
    const smx_operand *to = &w->job->plan->exponent;
    for (ptrdiff_t r = 0; r < w->tile.rows; r++) {
        const double value =
            w->job->real_size == 4 ? (double)((const float *)exponents)[r] : ((const double *)exponents)[r];
        *(int8_t *)find_row(w, to, r) = (int8_t)value;
    }
}
