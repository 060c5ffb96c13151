/* A window of ragged rows: short segments, sorted so that those of similar length make a tile. Longer segments may lie
   between them, and are left out. */

#ifndef SMX_WINDOW_H
#define SMX_WINDOW_H

#include "job.h"

enum {
    SMX_WINDOW_ROWS = SMX_TILE_ROWS,
    /* Elements of a window of more than one segment: enough for full vectors, few enough for the first-level cache. */
    SMX_WINDOW_ELEMENTS = 4096
};

/* A tile of a window: columns [from, to). Each is a row, of `shortest` to `longest` elements. */
typedef struct {
    int from, to, shortest, longest;
} smx_columns;

/* What all windows of a plan have in common. */
typedef struct {
    const smx_plan *plan;
    ptrdiff_t inner_count; /* rows of a segment: one for every index of the outer axes */
    ptrdiff_t pitch; /* of the block */
    int prefetches; /* elements are prefetched before their segments are added to a window */
    /* Operands whose elements follow one another in memory, segment by segment. */
    int in_order[SMX_MAX_INPUTS], out_in_order;
} smx_segments;

typedef struct {
    const smx_segments *of;
    ptrdiff_t end; /* of the elements that no other thread writes to meanwhile */
    int count, rows; /* segments, of which none is empty; and columns */
    ptrdiff_t elements;
    int shortest, longest;
    /* The segments' numbers and lengths, as they were added. */
    ptrdiff_t added[SMX_WINDOW_ROWS];
    uint8_t added_length[SMX_WINDOW_ROWS];
    /* As columns: the longest segment first. The rows of segment i begin at column i * inner_count. */
    ptrdiff_t segment[SMX_WINDOW_ROWS], start[SMX_WINDOW_ROWS]; /* start counts elements of the axis */
    uint8_t length[SMX_WINDOW_ROWS + SMX_STEP]; /* and of lanes beyond the last row */
    smx_columns tile[SMX_WINDOW_ROWS];
    int tiles;
    smx_columns open; /* the tile that is worked on */
} smx_window;

static inline ptrdiff_t smx_segment_length(const smx_plan *plan, ptrdiff_t k) {
    return plan->indptr[k + 1] - plan->indptr[k];
}

/* True if a segment of n elements is short enough for a window. */
static inline int smx_fits_window(const smx_window *w, ptrdiff_t n) {
    return n <= SMX_SHORT && w->of->inner_count <= SMX_WINDOW_ROWS;
}

static inline void smx_clear_window(smx_window *w) {
    w->count = 0;
    w->elements = 0;
    w->shortest = SMX_SHORT;
    w->longest = 0;
}

/* Adds segment k, which fits, and has n > 0 elements. Returns 0 if the window is full, and has to be done first. */
static inline int smx_add_segment(smx_window *w, ptrdiff_t k, ptrdiff_t n) {
    const ptrdiff_t elements = w->elements + n * w->of->inner_count;
    const ptrdiff_t rows = (w->count + 1) * w->of->inner_count;
    if (w->count > 0 && (rows > SMX_WINDOW_ROWS || elements > SMX_WINDOW_ELEMENTS))
        return 0;
    w->added[w->count] = k;
    w->added_length[w->count++] = (uint8_t)n;
    w->elements = elements;
    w->shortest = n < w->shortest ? (int)n : w->shortest;
    w->longest = n > w->longest ? (int)n : w->longest;
    return 1;
}

/* Sorts the segments that were added, and cuts the columns into tiles. */
void smx_sort_window(smx_window *w);

/* Prefetches elements [from, to) of the axis in the operands whose segments follow one another. */
void smx_prefetch_elements(const smx_segments *of, ptrdiff_t from, ptrdiff_t to);

/* A job of ragged rows has these in place of the functions of transfer.c. The worker's context is the window. */
smx_load smx_load_segments;
smx_store smx_store_segments;
smx_find_mask smx_find_mask_of_segments;
smx_store_numbers smx_store_numbers_of_segments;

#endif
