/* In which columns the segments of a window are.

   Rows are sorted by length, the longest first. Columns of similar length make a tile. Each column is filled up to the
   longest one of its tile, with numbers that change no bit (see the head of kernels/sum.inc.h). As columns are sorted,
   fewer elements are added than there are, plus one vector of the longest row. So an element costs a few nanoseconds,
   whatever the lengths are.

   Segments are also copied in that order. The number of turns of a copy's loop is then nearly always that of the segment
   before, so the processor foresees it; in the order of memory, each segment would cost it a wrong guess or two. */

#include "window.h"

#include <string.h>

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
        w->start[next[w->added_length[i]]++] = w->added_start[i];
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
                   w->start[w->count - 1] - w->start[0] == (w->count - 1) * (ptrdiff_t)w->longest;
}
