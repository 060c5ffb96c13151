/* In which columns the segments of a window are, and how they get there and back.

   Rows are sorted by length, the longest first. Columns of similar length make a tile. Each column is filled up to the
   longest one of its tile, with numbers that change no bit (see the head of kernels/sum.inc.h). As columns are sorted,
   fewer elements are added than there are, plus one vector of the longest row. So an element costs a few nanoseconds,
   whatever the lengths are.

   Segments of one row are transposed in registers, a vector of rows at a time, where they follow one another in memory
   (segments_to_columns, columns_to_segments). Others are copied element by element. Both go in order of length. The
   number of turns of a copy's loop is then nearly always that of the row before, so the processor foresees it. In the
   order of memory, each segment would cost a wrong guess or two. */

#include "window.h"

#include "arch.h"
#include "strided.h"

#include <string.h>

/* ---- columns ---------------------------------------------------------------------------------------------------- */

enum { PREFETCHED = 256 }; /* elements of the axis that are prefetched at once */

/* Returns the place of an element of the axis in an operand whose segments follow one another. */
static char *find_element(const smx_segments *of, const smx_operand *operand, ptrdiff_t number) {
    return operand->data + number * of->inner_count * (ptrdiff_t)of->plan->kernels->real_size;
}

/* Segments are copied in order of length, which the processor does not foresee. */
static void prefetch_elements(smx_window *w, ptrdiff_t from, ptrdiff_t to) {
    const smx_plan *plan = w->of->plan;
    const int inputs = plan->kernels->op[plan->op].inputs;
    from = smx_max(from, w->prefetched);
    to = smx_min(to + PREFETCHED, plan->inner_shape[0]);
    for (int k = 0; k <= inputs; k++) {
        const smx_operand *operand = k < inputs ? &plan->in[k] : &plan->out;
        if (k < inputs ? !w->of->in_order[k] : !w->of->out_in_order || plan->out.data == plan->in[0].data)
            continue;
        const char *end = find_element(w->of, operand, to);
        for (const char *at = find_element(w->of, operand, from); at < end; at += SMX_CACHE_LINE)
            SMX_PREFETCH(at);
    }
    w->prefetched = to;
}

/* Counting sort. Segments of equal length stay in order. */
static void sort_segments(smx_window *w) {
    const ptrdiff_t *indptr = w->of->plan->indptr + w->first;
    int next[SMX_LONG + 1], before = 0;
    for (int n = SMX_SHORT; n > 0; n--) {
        next[n] = before;
        if (w->of_kind[n] > 0)
            memset(w->length + before, n, (size_t)w->of_kind[n]);
        before += w->of_kind[n];
    }
    next[0] = before;
    next[SMX_LONG] = before + w->of_kind[0];
    for (int i = 0; i < w->count; i++) {
        const int to = next[w->kind[i]]++;
        w->segment[to] = (uint16_t)i;
        w->start[to] = indptr[i];
    }
    w->rows = before * (int)w->of->inner_count;
    /* Loops read a vector of lengths at a time, from the first row of any tile on. */
    if (before > 0)
        memset(w->length + before, w->length[before - 1], (size_t)w->of->plan->kernels->row_multiple);
}

void smx_fill_window(smx_window *w, ptrdiff_t first, ptrdiff_t last, int alike) {
    const ptrdiff_t *indptr = w->of->plan->indptr + first, longest = w->of->longest;
    const int most = (int)smx_min(last - first, SMX_WINDOW_SEGMENTS);
    ptrdiff_t room = smx_max(1, SMX_WINDOW_ELEMENTS / w->of->inner_count);
    int i = 0;
    memset(w->of_kind, 0, sizeof w->of_kind);
    for (; i < most && room > 0; i++) {
        const ptrdiff_t n = indptr[i + 1] - indptr[i];
        const int is_short = n <= longest;
        if (alike > 0 && i > 0 && i % alike == 0 && i + alike <= last - first && n > 0 && is_short &&
            indptr[i + alike] - indptr[i] == alike * n)
            break;
        if (w->of->prefetches && is_short && indptr[i + 1] > w->prefetched)
            prefetch_elements(w, indptr[i], indptr[i + 1]);
        w->kind[i] = (uint8_t)(is_short ? n : SMX_LONG);
        w->of_kind[w->kind[i]]++;
        room -= is_short ? n : 0;
    }
    w->first = first;
    w->count = i;
    w->open.to = 0;
    sort_segments(w);
}

/* A tile takes SUMS rows, and more while the next is not much shorter than its first. Rows of up to SMX_FEW elements
   have tiles of their own, as their products are added in another way. */
int smx_open_next_columns(smx_window *w) {
    enum { FIRST_LEVEL = 2048 }; /* elements of a tile of more than SUMS rows */
    const int lanes = w->of->plan->kernels->row_multiple, beside = (int)w->of->inner_count, from = w->open.to;
    if (from >= w->rows)
        return 0;
    smx_columns tile = {from, from, 0, w->length[from / beside]};
    const int most = (int)smx_min(w->rows, from + smx_min(SMX_TILE_ROWS, smx_max(lanes, FIRST_LEVEL / tile.longest)));
    do
        tile.to += lanes;
    while (tile.to + lanes <= most && 4 * w->length[tile.to / beside] >= 3 * tile.longest);
    tile.to = (int)smx_min(tile.to, w->rows);
    while (tile.longest > SMX_FEW && w->length[(tile.to - 1) / beside] <= SMX_FEW)
        tile.to--;
    tile.shortest = w->length[(tile.to - 1) / beside];
    w->open = tile;
    return 1;
}

/* ---- reals ------------------------------------------------------------------------------------------------------ */

static void fill(char *to, double value, ptrdiff_t count, size_t size) {
    const float single = (float)value;
    for (; count > 0; count--, to += size)
        memcpy(to, size == 4 ? (const void *)&single : &value, size);
}

/* The lanes beyond a tile's last row get zeros, which make ordinary rows. */
static void clear_lanes(const smx_job *j, char *block, smx_columns tile) {
    const ptrdiff_t size = j->real_size, rows = tile.to - tile.from;
    const ptrdiff_t padded = smx_round_up(rows, j->plan->kernels->row_multiple);
    for (int at = 0; padded > rows && at < tile.longest; at++)
        memset(block + (at * j->pitch + rows) * size, 0, (size_t)((padded - rows) * size));
}

/* Fills up the shorter rows of a tile with what hidden elements of input k count as, which changes no bit. */
static void fill_up(const smx_worker *worker, int k, char *block, smx_columns tile) {
    const smx_job *j = worker->job;
    clear_lanes(j, block, tile);
    for (int at = tile.shortest; at < tile.longest; at++)
        fill(block + at * j->pitch * j->real_size, j->op->hidden.in[k], tile.to - tile.from, (size_t)j->real_size);
}

/* Copies the rows of a tile to the block, or from the block if the operand is the output. */
static void copy_tile(const smx_window *w, const smx_operand *operand, int in_order, char *block, smx_columns tile) {
    const smx_plan *plan = w->of->plan;
    const ptrdiff_t size = (ptrdiff_t)plan->kernels->real_size, beside = w->of->inner_count;
    const ptrdiff_t step = w->of->pitch * size;
    const int is_output = operand == &plan->out;
    for (ptrdiff_t i = tile.from / beside; i * beside < tile.to; i++) {
        const ptrdiff_t n = w->length[i], column = i * beside, first = smx_max(column, tile.from),
                        last = smx_min(column + beside, tile.to);
        char *at = block + (first - tile.from) * size;
        if (in_order) {
            char *segment = find_element(w->of, operand, w->start[i]) + (first - column) * size;
            if (is_output)
                smx_copy_rows(plan, operand, segment, beside * size, size, at, step, size, n, last - first);
            else
                smx_copy_rows(plan, operand, at, step, size, segment, beside * size, size, n, last - first);
            continue;
        }
        for (ptrdiff_t c = first; c < last; c++, at += size) {
            char *row = smx_find_row(plan, operand, c - column);
            if (is_output)
                smx_scatter(plan, operand, row, w->start[i], n, at, step);
            else
                smx_gather(plan, operand, row, w->start[i], n, at, step);
        }
    }
}

void smx_load_segments(smx_worker *worker, int k, ptrdiff_t start) {
    const smx_window *w = worker->context;
    const smx_plan *plan = worker->job->plan;
    const smx_columns tile = w->open;
    const smx_view block = smx_view_block(worker->job, worker->block[k]);
    (void)start; /* a tile is one piece */
    if (w->of->in_order[k] && w->of->inner_count == 1) {
        plan->kernels->segments_to_columns(plan->in[k].data, w->end, w->start + tile.from, w->length + tile.from,
                                           tile.to - tile.from, tile.longest, worker->job->op->hidden.in[k],
                                           block.start, block.element_stride);
    } else {
        fill_up(worker, k, block.start, tile);
        copy_tile(w, &plan->in[k], w->of->in_order[k], block.start, tile);
    }
    if (plan->mask.data) {
        smx_apply_mask(worker, &block, worker->job->op->hidden.in[k], &block);
        clear_lanes(worker->job, block.start, tile); /* they may repeat hidden elements */
    }
}

void smx_store_segments(smx_worker *worker, ptrdiff_t start, int applies_mask) {
    const smx_window *w = worker->context;
    const smx_plan *plan = worker->job->plan;
    const smx_columns tile = w->open;
    const smx_view block = smx_view_block(worker->job, worker->block[0]);
    (void)start;
    if (applies_mask)
        smx_apply_mask(worker, &block, worker->job->op->hidden.out, &block);
    if (w->of->out_in_order && w->of->inner_count == 1)
        plan->kernels->columns_to_segments(block.start, block.element_stride, plan->out.data, w->start + tile.from,
                                           w->length + tile.from, tile.to - tile.from);
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
        const smx_view row = smx_view_mask(w->of->plan, c % beside, 1, w->start[i], length, 1, bytes);
        char *to = worker->mask_block + c - w->open.from;
        for (ptrdiff_t at = 0; at < length; at++)
            to[at * pitch] = ((const char *)row.start)[at * row.element_stride];
    }
    return view;
}

void smx_store_numbers_of_segments(smx_worker *worker, const smx_operand *to, const char *numbers) {
    const smx_window *w = worker->context;
    const smx_plan *plan = worker->job->plan;
    const ptrdiff_t size = worker->job->real_size, beside = w->of->inner_count, step = to->inner[0];
    char *first = to->data + w->first * step;
    if (beside == 1 && !to->swapped) {
        /* Two loops with the same body: the compiler knows the size in each. */
        for (int c = w->open.from; size == 4 && c < w->open.to; c++, numbers += 4)
            memcpy(first + w->segment[c] * step, numbers, 4);
        for (int c = w->open.from; size == 8 && c < w->open.to; c++, numbers += 8)
            memcpy(first + w->segment[c] * step, numbers, 8);
        return;
    }
    for (ptrdiff_t c = w->open.from; c < w->open.to; c++, numbers += size) {
        char *at = smx_find_row(plan, to, c % beside) + (w->first + w->segment[c / beside]) * step;
        smx_copy_elements(at, 0, numbers, 0, 1, size, to->swapped);
    }
}
