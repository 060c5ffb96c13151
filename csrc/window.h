/* A window of ragged rows: some segments that follow one another, sorted so that short ones of similar length make a
   tile. */

#ifndef SMX_WINDOW_H
#define SMX_WINDOW_H

#include "job.h"

enum {
    SMX_WINDOW_SEGMENTS = 1024, /* enough for full vectors of segments of one length */
    SMX_WINDOW_ELEMENTS = 16 * 1024, /* of short segments; few enough for the second-level cache */
    SMX_LONG = SMX_SHORT + 1 /* the kind of segments that are not short */
};

/* A tile of a window: columns [from, to). Each is a row, of `shortest` to `longest` elements. */
typedef struct {
    int from, to, shortest, longest;
} smx_columns;

/* What all windows of a plan have in common. */
typedef struct {
    const smx_plan *plan;
    ptrdiff_t inner_count; /* rows of a segment: one for every index of the outer axes */
    ptrdiff_t longest; /* elements of a short segment; 0 if all segments are done alone */
    ptrdiff_t pitch; /* of the block */
    int prefetches; /* elements are prefetched before their segments are added to a window */
    /* Operands whose elements follow one another in memory, segment by segment. */
    int in_order[SMX_MAX_INPUTS], out_in_order;
} smx_segments;

typedef struct {
    const smx_segments *of;
    ptrdiff_t end; /* of the elements that no other thread writes to meanwhile */
    ptrdiff_t prefetched; /* elements up to here have been prefetched */
    ptrdiff_t first; /* the window is the segments [first, first + count) */
    int count;
    int rows; /* columns, which are the rows of all short segments that are not empty */
    uint8_t kind[SMX_WINDOW_SEGMENTS]; /* of each segment: its length, or SMX_LONG */
    int of_kind[SMX_LONG + 1]; /* so many segments */
    /* Sorted: short segments, the longest first; empty ones; long ones. The rows of segment i begin at column
       i * inner_count. */
    uint16_t segment[SMX_WINDOW_SEGMENTS]; /* its number, from `first` on */
    ptrdiff_t start[SMX_WINDOW_SEGMENTS]; /* counts elements of the axis */
    uint8_t length[SMX_WINDOW_SEGMENTS + SMX_STEP]; /* of short segments, and of lanes beyond the last row */
    smx_columns open; /* the tile that is worked on */
} smx_window;

static inline ptrdiff_t smx_segment_length(const smx_plan *plan, ptrdiff_t k) {
    return plan->indptr[k + 1] - plan->indptr[k];
}

/* Makes a window of the segments from `first` on, before `last`: of some, or of all if there is room. It ends before the
   first of `alike` segments of one length, if `alike` is not 0; such segments are looked for now and then. */
void smx_fill_window(smx_window *w, ptrdiff_t first, ptrdiff_t last, int alike);

/* Opens the tile behind the open one. Returns 0 if that was the last. */
int smx_open_next_columns(smx_window *w);

/* A job of ragged rows has these in place of the functions of transfer.c. The worker's context is the window. */
smx_load smx_load_segments;
smx_store smx_store_segments;
smx_find_mask smx_find_mask_of_segments;
smx_store_numbers smx_store_numbers_of_segments;

#endif
