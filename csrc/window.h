/* A window of ragged rows: neighbouring short segments whose rows become the columns of one block. */

#ifndef SMX_WINDOW_H
#define SMX_WINDOW_H

#include "job.h"

enum {
    SMX_WINDOW_ROWS = SMX_TILE_ROWS,
    SMX_PLACES = SMX_SHORT * SMX_WINDOW_ROWS, /* the most elements of a window; a single segment may have so many */
    SMX_PLACES_AT_ONCE = 8
};

/* A tile of a window: columns [from, to). Each is a row, of `shortest` to `longest` elements. */
typedef struct {
    int from, to, shortest, longest;
} smx_columns;

/* What all windows of a plan have in common. */
typedef struct {
    const smx_plan *plan;
    ptrdiff_t inner_count; /* rows of a segment: one for every index of the outer axes */
    ptrdiff_t pitch;       /* of the block */
    int beyond_cache;      /* what comes next is not in the cache */
    /* Operands whose elements follow one another in memory, segment by segment. */
    int in_order[SMX_MAX_INPUTS], out_in_order;
} smx_segments;

typedef struct {
    const smx_segments *of;
    /* The window has segments [first, last). `count` of them are not empty; length and column are about those. */
    ptrdiff_t first, last;
    int count, rows, are_equal;          /* are_equal: all segments that are not empty have one length */
    uint8_t length[SMX_WINDOW_ROWS + 1]; /* one more, as an empty segment's length is written before the next one's */
    uint16_t column[SMX_WINDOW_ROWS];    /* the first of the segment's rows */
    uint8_t sorted[SMX_WINDOW_ROWS];     /* the lengths, the longest first, as the columns are */
    smx_columns tile[SMX_WINDOW_ROWS];
    int tiles, has_places;
    uint16_t place[SMX_PLACES + SMX_PLACES_AT_ONCE]; /* where each element, in C order, is in the block, in reals */
} smx_window;

static inline ptrdiff_t smx_segment_length(const smx_plan *plan, ptrdiff_t k) {
    return plan->indptr[k + 1] - plan->indptr[k];
}

/* True if segment k is short enough for a window. */
int smx_fits_window(const smx_window *w, ptrdiff_t k);

/* Opens the window that begins with segment first, which fits, and ends at segment last at most. */
void smx_open_window(smx_window *w, ptrdiff_t first, ptrdiff_t last);

/* Finds the place of each element in the block, if that has not been done for this window. */
void smx_find_places(smx_window *w);

/* In transfer.c: loads input k into a block; stores a block in the output; loads one tile of input 0 once more. */
void smx_load_window(smx_window *w, int k, char *block);
void smx_store_window(smx_window *w, const char *block);
void smx_load_columns(const smx_window *w, char *block, smx_columns tile);

#endif
