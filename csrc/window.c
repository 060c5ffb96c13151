/* In which columns the segments of a window are, and how they get there and back.

   Rows are sorted by length, the longest first. Columns of similar length make a tile. Each column is filled up to the
   longest one of its tile, with numbers that change no bit (see the head of kernels/sum.inc.h). As columns are sorted,
   fewer elements are added than there are, plus one vector of the longest row. So an element costs a few nanoseconds,
   whatever the lengths are.

   Segments are also copied in that order. The number of turns of a copy's loop is then nearly always that of the segment
   before, so the processor foresees it; in the order of memory, each segment would cost it a wrong guess or two. */

#include "window.h"

#include "arch.h"
#include "strided.h"

#include <string.h>

/* ---- columns ---------------------------------------------------------------------------------------------------- */

/* The first element, along the axis, of a segment that has been sorted. */
static ptrdiff_t start_of(const smx_window *w, ptrdiff_t i) { return w->of->plan->indptr[w->segment[i]]; }

/* Counting sort. Segments of equal length stay in order. */
static void sort_segments(smx_window *w) {
    int segments_of[SMX_SHORT + 1] = {0}, next[SMX_SHORT + 1], before = 0;
    for (int i = 0; i < w->count; i++)
        segments_of[w->added_length[i]]++;
    for (int n = w->longest; n >= w->shortest; n--) {
        next[n] = before;
        memset(w->length + before, n, (size_t)segments_of[n]);
        before += segments_of[n];
    }
    for (int i = 0; i < w->count; i++)
        w->segment[next[w->added_length[i]]++] = w->added[i];
}

/* A tile takes SUMS rows, and more while the next is not much shorter than its first. */
static void cut_window(smx_window *w) {
    const int lanes = w->of->plan->kernels->row_multiple, beside = (int)w->of->inner_count;
    w->tiles = 0;
    for (int from = 0; from < w->rows;) {
        smx_columns tile = {from, from, 0, w->length[from / beside]};
        do
            tile.to += lanes;
        while (tile.to < w->rows && 4 * w->length[tile.to / beside] >= 3 * tile.longest);
        tile.to = (int)smx_min(tile.to, w->rows);
        tile.shortest = w->length[(tile.to - 1) / beside];
        w->tile[w->tiles++] = tile;
        from = tile.to;
    }
}

void smx_sort_window(smx_window *w) {
    w->rows = w->count * (int)w->of->inner_count;
    sort_segments(w);
    cut_window(w);
    /* They are in order, so they follow one another if they reach as far as their elements do. */
    w->is_packed = w->of->inner_count == 1 && w->shortest == w->longest &&
                   start_of(w, w->count - 1) - start_of(w, 0) == (w->count - 1) * (ptrdiff_t)w->longest;
}

/* ---- reals ------------------------------------------------------------------------------------------------------ */

/* One segment into a column of the block, or back. */
SMX_INLINE void copy_column_sized(char *to, ptrdiff_t to_step, const char *from, ptrdiff_t from_step, ptrdiff_t n,
                                  size_t size) {
    ptrdiff_t i = 0;
    for (; i + 4 <= n; i += 4, from += 4 * from_step)
        for (int k = 0; k < 4; k++, to += to_step)
            memcpy(to, from + k * from_step, size);
    for (; i < n; i++, to += to_step, from += from_step)
        memcpy(to, from, size);
}

static void fill(char *to, double value, ptrdiff_t count, size_t size) {
    const float single = (float)value;
    for (; count > 0; count--, to += size)
        memcpy(to, size == 4 ? (const void *)&single : &value, size);
}

/* Fills up the shorter rows of a tile with what hidden elements of input k count as, which changes no bit. The lanes
   beyond its last row get zeros, which make ordinary rows. */
static void fill_up(const smx_worker *worker, int k, char *block, smx_columns tile) {
    const smx_job *j = worker->job;
    const ptrdiff_t size = j->real_size, rows = tile.to - tile.from;
    const ptrdiff_t padded = smx_round_up(rows, j->plan->kernels->row_multiple);
    for (int at = padded > rows ? 0 : tile.shortest; at < tile.longest; at++) {
        char *line = block + at * j->pitch * size;
        if (padded > rows)
            memset(line + rows * size, 0, (size_t)((padded - rows) * size));
        if (at >= tile.shortest)
            fill(line, j->op->hidden.in[k], rows, (size_t)size);
    }
}

/* Where an element of the axis is in an operand whose segments follow one another. */
static char *find_element(const smx_window *w, const smx_operand *operand, ptrdiff_t start) {
    return operand->data + start * w->of->inner_count * (ptrdiff_t)w->of->plan->kernels->real_size;
}

/* Segments are copied in order of length, which the processor does not foresee. */
void smx_prefetch_segment(const smx_window *w, ptrdiff_t k, ptrdiff_t n) {
    const smx_plan *plan = w->of->plan;
    const ptrdiff_t bytes = n * w->of->inner_count * (ptrdiff_t)plan->kernels->real_size;
    for (int i = 0; i <= plan->kernels->op[plan->op].inputs; i++) {
        const int is_output = i == plan->kernels->op[plan->op].inputs;
        const smx_operand *operand = is_output ? &plan->out : &plan->in[i];
        if (is_output ? !w->of->out_in_order || plan->out.data == plan->in[0].data : !w->of->in_order[i])
            continue;
        for (ptrdiff_t at = 0; at < bytes; at += SMX_CACHE_LINE)
            SMX_PREFETCH(find_element(w, operand, plan->indptr[k]) + at);
    }
}

/* Segments of one row in an operand whose segments follow one another: into the block, or out of it. */
SMX_INLINE void copy_segments_sized(const smx_window *w, const smx_operand *operand, char *block, smx_columns tile,
                                    int is_output, ptrdiff_t size) {
    const ptrdiff_t step = w->of->pitch * size;
    for (int i = tile.from; i < tile.to; i++, block += size) {
        char *segment = find_element(w, operand, start_of(w, i));
        if (is_output)
            copy_column_sized(segment, size, block, step, w->length[i], (size_t)size);
        else
            copy_column_sized(block, step, segment, size, w->length[i], (size_t)size);
    }
}

/* Copies the rows of a tile to the block, or from the block if the operand is the output. */
static void copy_tile(const smx_window *w, const smx_operand *operand, int in_order, char *block, smx_columns tile) {
    const smx_plan *plan = w->of->plan;
    const ptrdiff_t size = (ptrdiff_t)plan->kernels->real_size, beside = w->of->inner_count;
    const ptrdiff_t step = w->of->pitch * size;
    const int is_output = operand == &plan->out;
    if (in_order && beside == 1 && size == 4) {
        copy_segments_sized(w, operand, block, tile, is_output, 4);
        return;
    }
    if (in_order && beside == 1) {
        copy_segments_sized(w, operand, block, tile, is_output, 8);
        return;
    }
    for (ptrdiff_t i = tile.from / beside; i < w->count && i * beside < tile.to; i++) {
        const ptrdiff_t n = w->length[i], column = i * beside, first = smx_max(column, tile.from),
                        last = smx_min(column + beside, tile.to);
        char *at = block + (first - tile.from) * size;
        if (in_order) {
            char *segment = find_element(w, operand, start_of(w, i)) + (first - column) * size;
            if (is_output)
                smx_copy_rows(segment, beside * size, size, at, step, size, n, last - first, size, 0);
            else
                smx_copy_rows(at, step, size, segment, beside * size, size, n, last - first, size, 0);
            continue;
        }
        for (ptrdiff_t c = first; c < last; c++, at += size) {
            char *row = smx_find_row(plan, operand, c - column);
            if (is_output)
                smx_scatter(plan, operand, row, start_of(w, i), n, at, step);
            else
                smx_gather(plan, operand, row, start_of(w, i), n, at, step);
        }
    }
}

void smx_load_segments(smx_worker *worker, int k, ptrdiff_t start) {
    const smx_window *w = worker->context;
    const smx_plan *plan = worker->job->plan;
    const smx_columns tile = w->open;
    const smx_view block = smx_view_block(worker->job, worker->block[k]);
    (void)start; /* a tile is one piece */
    fill_up(worker, k, block.start, tile);
    if (w->is_packed && w->of->in_order[k])
        plan->kernels->rows_to_columns(find_element(w, &plan->in[k], start_of(w, tile.from)), tile.longest,
                                       tile.to - tile.from, tile.longest, block.start, block.element_stride,
                                       w->of->prefetches);
    else
        copy_tile(w, &plan->in[k], w->of->in_order[k], block.start, tile);
    if (plan->mask.data)
        smx_apply_mask(worker, &block, worker->job->op->hidden.in[k], &block);
}

void smx_store_segments(smx_worker *worker, ptrdiff_t start, int applies_mask) {
    const smx_window *w = worker->context;
    const smx_plan *plan = worker->job->plan;
    const smx_columns tile = w->open;
    const smx_view block = smx_view_block(worker->job, worker->block[0]);
    (void)start;
    if (applies_mask)
        smx_apply_mask(worker, &block, worker->job->op->hidden.out, &block);
    if (w->is_packed && w->of->out_in_order)
        plan->kernels->columns_to_rows(block.start, block.element_stride,
                                       find_element(w, &plan->out, start_of(w, tile.from)), tile.longest,
                                       tile.to - tile.from, tile.longest, w->of->prefetches);
    else
        copy_tile(w, &plan->out, w->of->out_in_order, block.start, tile);
}

/* ---- masks, and one number a row -------------------------------------------------------------------------------- */

/* Makes columns of the mask's bytes, which lie as the reals of a block do. */
smx_view smx_find_mask_of_segments(smx_worker *worker, ptrdiff_t start, ptrdiff_t n) {
    const smx_window *w = worker->context;
    const ptrdiff_t pitch = worker->job->pitch, beside = w->of->inner_count;
    const smx_view view = {worker->mask_block, 1, pitch};
    char bytes[SMX_SHORT];
    (void)start;
    memset(worker->mask_block, 0, (size_t)(n * pitch));
    for (ptrdiff_t c = w->open.from; c < w->open.to; c++) {
        const ptrdiff_t i = c / beside, length = w->length[i];
        const smx_view row = smx_view_mask(w->of->plan, c % beside, 1, start_of(w, i), length, 1, bytes);
        char *to = worker->mask_block + c - w->open.from;
        for (ptrdiff_t at = 0; at < length; at++)
            to[at * pitch] = ((const char *)row.start)[at * row.element_stride];
    }
    return view;
}

void smx_store_numbers_of_segments(smx_worker *worker, const smx_operand *to, const char *numbers) {
    const smx_window *w = worker->context;
    const smx_plan *plan = worker->job->plan;
    const ptrdiff_t size = worker->job->real_size, beside = w->of->inner_count;
    for (ptrdiff_t c = w->open.from; c < w->open.to; c++, numbers += size) {
        char *at = smx_find_row(plan, to, c % beside) + w->segment[c / beside] * to->inner[0];
        smx_copy_elements(at, 0, numbers, 0, 1, size, to->swapped);
    }
}
