/* Moves rows between arrays and blocks, whatever their strides, byte order, masks and storage. route.c chooses one load
   for each input and one store for the results. */

#include "arch.h"
#include "job.h"
#include "strided.h"
#include "window.h"

#include <math.h>
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

/* Rows in the stage follow one another. */
static smx_view view_stage(const smx_worker *w) {
    const smx_view view = {w->stage, w->tile.n, 1};
    return view;
}

/* Where row r of the tile begins in the operand. */
static char *find_row(const smx_worker *w, const smx_operand *operand, ptrdiff_t r) {
    return smx_find_row(w->job->plan, operand, w->first_row + r);
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

/* True if the bytes of the mask run along the rows of a tile in COLUMNS. Such rows are masked before they are
   transposed into the block, because the block would need a transposed mask. */
static int is_mask_of_rows(const smx_worker *w) {
    return w->job->plan->mask.data && w->mask.row_stride != 0 && w->mask.row_stride != 1;
}

/* ---- numbers of 16 bits ----------------------------------------------------------------------------------------- */

/* True if rows, each contiguous, follow one another in the operand and in the view: they then make one long row. */
static int is_one_row(const smx_worker *w, const smx_operand *operand, const smx_view *rows) {
    const smx_plan *plan = w->job->plan;
    return w->job->constant_stride && rows->row_stride == w->tile.n &&
           operand->outer[plan->outer_dims - 1] == w->tile.n * smx_item_size(plan, operand);
}

/* True if each row of the operand is contiguous and native: smx_facts, which says so, too, is gone by now. */
static int is_along(const smx_worker *w, const smx_operand *operand) {
    const smx_plan *plan = w->job->plan;
    return plan->inner_dims == 1 && operand->inner[0] == smx_item_size(plan, operand) &&
           smx_is_native(plan, operand, 1);
}

/* Rows of 16 bits in input k into contiguous rows of reals, and back from reals into the output. */
static void rows_from_half(const smx_worker *w, int k, ptrdiff_t start, const smx_view *to) {
    const smx_job *j = w->job;
    const smx_plan *plan = j->plan;
    const smx_operand *from = &plan->in[k];
    const ptrdiff_t size = smx_item_size(plan, from);
    const int along = is_along(w, from), one_row = along && is_one_row(w, from, to);
    const ptrdiff_t n = one_row ? w->tile.rows * w->tile.n : w->tile.n;
    for (ptrdiff_t r = 0; r < (one_row ? 1 : w->tile.rows); r++) {
        char *row = find_row(w, from, r), *reals = (char *)to->start + r * to->row_stride * j->real_size;
        if (along) {
            plan->kernels->from_half(from->storage, row + smx_inner_offset(plan, from, start), n, reals);
        } else {
            char *upper_half = reals + n * (j->real_size - size);
            smx_gather(plan, from, row, start, n, upper_half, size);
            plan->kernels->from_half(from->storage, upper_half, n, reals);
        }
    }
}

static void rows_to_half(const smx_worker *w, const smx_view *from, ptrdiff_t start) {
    const smx_job *j = w->job;
    const smx_plan *plan = j->plan;
    const smx_operand *to = &plan->out;
    const ptrdiff_t size = smx_item_size(plan, to);
    const int along = is_along(w, to), one_row = along && is_one_row(w, to, from);
    const ptrdiff_t n = one_row ? w->tile.rows * w->tile.n : w->tile.n;
    for (ptrdiff_t r = 0; r < (one_row ? 1 : w->tile.rows); r++) {
        char *row = find_row(w, to, r), *reals = (char *)from->start + r * from->row_stride * j->real_size;
        if (along) {
            plan->kernels->to_half(to->storage, reals, n, row + smx_inner_offset(plan, to, start));
        } else {
            plan->kernels->to_half(to->storage, reals, n, reals);
            smx_scatter(plan, to, row, start, n, reals, size);
        }
    }
}

/* ---- loads ------------------------------------------------------------------------------------------------------ */

/* Element by element, from any strides and byte order. ROWS that are read in place come here for a shift. */
void smx_load_gathered(smx_worker *w, int k, ptrdiff_t start) {
    const smx_job *j = w->job;
    const smx_plan *plan = j->plan;
    const smx_view block = smx_view_block(j, w->block[k]);
    /* kernels read the padding of columns: zeros make it ordinary rows */
    if (j->layout == SMX_COLUMNS && w->tile.rows % plan->kernels->row_multiple != 0)
        memset(block.start, 0, (size_t)(w->tile.n * j->pitch * j->real_size));
    for (ptrdiff_t r = 0; r < w->tile.rows; r++)
        smx_gather(plan, &plan->in[k], find_row(w, &plan->in[k], r), start, w->tile.n,
                   (char *)block.start + r * block.row_stride * j->real_size, block.element_stride * j->real_size);
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

/* Rows, contiguous or of 16 bits, into COLUMNS. */
void smx_load_transposed(smx_worker *w, int k, ptrdiff_t start) {
    const smx_job *j = w->job;
    const smx_operand *from = &j->plan->in[k];
    const smx_view block = smx_view_block(j, w->block[k]), stage = view_stage(w);
    const int is_masked = is_mask_of_rows(w);
    smx_view rows = stage;
    if (from->storage != SMX_REAL)
        rows_from_half(w, k, start, &stage);
    else
        rows = smx_view_array(w, from, start);
    if (is_masked) {
        smx_apply_mask(w, &rows, j->op->hidden.in[k], &stage);
        rows = stage;
    }
    const int beyond_cache = j->beyond_cache && rows.start != w->stage;
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
            (char *)block.start + i * block.element_stride * j->real_size, block.element_stride, j->beyond_cache);
    }
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

/* Element by element, to any strides and byte order. */
void smx_store_scattered(smx_worker *w, ptrdiff_t start, int applies_mask) {
    const smx_job *j = w->job;
    const smx_operand *to = &j->plan->out;
    const smx_view block = smx_view_block(j, w->block[0]);
    mask_results(w, &block, applies_mask);
    for (ptrdiff_t r = 0; r < w->tile.rows; r++)
        smx_scatter(j->plan, to, find_row(w, to, r), start, w->tile.n,
                    (char *)block.start + r * block.row_stride * j->real_size, block.element_stride * j->real_size);
}

/* ROWS into rows of 16 bits. */
void smx_store_half(smx_worker *w, ptrdiff_t start, int applies_mask) {
    const smx_view block = smx_view_block(w->job, w->block[0]);
    mask_results(w, &block, applies_mask);
    rows_to_half(w, &block, start);
}

/* COLUMNS into rows, contiguous or of 16 bits. */
void smx_store_transposed(smx_worker *w, ptrdiff_t start, int applies_mask) {
    const smx_job *j = w->job;
    const int is_half = j->plan->out.storage != SMX_REAL, masks_rows = applies_mask && is_mask_of_rows(w);
    const smx_view block = smx_view_block(j, w->block[0]);
    const smx_view rows = is_half ? view_stage(w) : smx_view_array(w, &j->plan->out, start);
    mask_results(w, &block, applies_mask && !masks_rows);
    j->plan->kernels->columns_to_rows(block.start, block.element_stride, rows.start, rows.row_stride, w->tile.rows,
                                      w->tile.n, j->beyond_cache && !is_half);
    mask_results(w, &rows, masks_rows);
    if (is_half)
        rows_to_half(w, &rows, start);
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

void smx_store_numbers(const smx_worker *w, const smx_operand *to, const char *numbers) {
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

/* ---- windows of ragged rows ------------------------------------------------------------------------------------- */

SMX_INLINE void to_places_sized(char *block, const uint16_t *place, const char *from, ptrdiff_t n, size_t size) {
    for (ptrdiff_t i = 0; i < n; i++)
        memcpy(block + place[i] * size, from + (size_t)i * size, size);
}
SMX_INLINE void from_places_sized(const char *block, const uint16_t *place, char *to, ptrdiff_t n, size_t size) {
    for (ptrdiff_t i = 0; i < n; i++)
        memcpy(to + (size_t)i * size, block + place[i] * size, size);
}
static void to_places(char *block, const uint16_t *place, const char *from, ptrdiff_t n, ptrdiff_t size) {
    if (size == 4)
        to_places_sized(block, place, from, n, 4);
    else
        to_places_sized(block, place, from, n, 8);
}
static void from_places(const char *block, const uint16_t *place, char *to, ptrdiff_t n, ptrdiff_t size) {
    if (size == 4)
        from_places_sized(block, place, to, n, 4);
    else
        from_places_sized(block, place, to, n, 8);
}

/* What the missing elements of the rows count as: -inf, whose exponential is 0; 0 where products are summed. */
static void fill(const smx_plan *plan, char *to, ptrdiff_t count) {
    const size_t size = plan->kernels->real_size;
    if (plan->kernels->op[plan->op].inputs > 1)
        memset(to, 0, (size_t)count * size);
    else if (size == 4)
        for (const float x = -INFINITY; count > 0; count--, to += 4)
            memcpy(to, &x, 4);
    else
        for (const double x = -INFINITY; count > 0; count--, to += 8)
            memcpy(to, &x, 8);
}

/* Fills up the shorter rows of a tile. The lanes beyond its last row get zeros, which make ordinary rows. */
static void fill_up(const smx_window *w, char *block, smx_columns tile) {
    const ptrdiff_t size = (ptrdiff_t)w->of->plan->kernels->real_size;
    const ptrdiff_t to = smx_round_up(tile.to, w->of->plan->kernels->row_multiple);
    for (int at = 0; at < tile.longest; at++) {
        char *row = block + at * w->of->pitch * size;
        if (to > tile.to)
            memset(row + tile.to * size, 0, (size_t)((to - tile.to) * size));
        if (at >= tile.shortest)
            fill(w->of->plan, row + tile.from * size, tile.to - tile.from);
    }
}

/* Copies the rows in columns [from, to) to the block, or from the block if the operand is the output. */
static void copy_columns(const smx_window *w, const smx_operand *operand, char *block, int from, int to) {
    const smx_plan *plan = w->of->plan;
    const ptrdiff_t size = (ptrdiff_t)plan->kernels->real_size;
    const int is_output = operand == &plan->out;
    int i = 0;
    for (ptrdiff_t k = w->first; k < w->last; k++) {
        const ptrdiff_t n = smx_segment_length(plan, k), start = plan->indptr[k];
        if (n == 0)
            continue;
        const int column = w->column[i++];
        for (int c = column > from ? column : from; c < column + w->of->inner_count && c < to; c++) {
            char *row = smx_find_row(plan, operand, c - column), *at = block + c * size;
            if (is_output)
                smx_scatter(plan, operand, row, start, n, at, w->of->pitch * size);
            else
                smx_gather(plan, operand, row, start, n, at, w->of->pitch * size);
        }
    }
}

/* Where the window begins in an operand whose segments follow one another, and how many elements the window has. */
static char *find_window(const smx_window *w, const smx_operand *operand) {
    return operand->data +
           w->of->plan->indptr[w->first] * w->of->inner_count * (ptrdiff_t)w->of->plan->kernels->real_size;
}
static ptrdiff_t elements_of(const smx_window *w) {
    return (w->of->plan->indptr[w->last] - w->of->plan->indptr[w->first]) * w->of->inner_count;
}

void smx_load_columns(const smx_window *w, char *block, smx_columns tile) {
    fill_up(w, block, tile);
    copy_columns(w, &w->of->plan->in[0], block, tile.from, tile.to);
}

void smx_load_window(smx_window *w, int k, char *block) {
    const smx_kernels *kernels = w->of->plan->kernels;
    const smx_operand *from = &w->of->plan->in[k];
    for (int t = 0; t < w->tiles; t++)
        fill_up(w, block, w->tile[t]);
    if (!w->of->in_order[k]) {
        copy_columns(w, from, block, 0, w->rows);
    } else if (w->are_equal && w->of->inner_count == 1) {
        const ptrdiff_t n = w->length[0];
        kernels->rows_to_columns(find_window(w, from), n, w->rows, n, block, w->of->pitch, w->of->beyond_cache);
    } else {
        smx_find_places(w);
        to_places(block, w->place, find_window(w, from), elements_of(w), (ptrdiff_t)kernels->real_size);
    }
}

void smx_store_window(smx_window *w, const char *block) {
    const smx_kernels *kernels = w->of->plan->kernels;
    const smx_operand *to = &w->of->plan->out;
    if (!w->of->out_in_order) {
        copy_columns(w, to, (char *)block, 0, w->rows);
    } else if (w->are_equal && w->of->inner_count == 1) {
        const ptrdiff_t n = w->length[0];
        kernels->columns_to_rows(block, w->of->pitch, find_window(w, to), n, w->rows, n, w->of->beyond_cache);
    } else {
        smx_find_places(w);
        from_places(block, w->place, find_window(w, to), elements_of(w), (ptrdiff_t)kernels->real_size);
    }
}
