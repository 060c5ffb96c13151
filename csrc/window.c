/* Which segments are in a window, and in which columns.

   Rows are sorted by length, the longest first. Columns of similar length make a tile. Each column is filled up to the
   longest one of its tile, with numbers that change no bit (see the head of kernels/sum.inc.h). As columns are sorted,
   fewer elements are added than there are, plus one vector of the longest row. So an element costs a few nanoseconds,
   whatever the lengths are. */

#include "window.h"

#include "arch.h"

#include <string.h>

/* Elements of a window of more than one segment: enough for full vectors, few enough for the first-level cache. */
enum { WINDOW_ELEMENTS = 4096 };

int smx_fits_window(const smx_window *w, ptrdiff_t k) {
    return smx_segment_length(w->of->plan, k) <= SMX_SHORT && w->of->inner_count <= SMX_WINDOW_ROWS;
}

/* Counting sort, the longest first. Segments of equal length stay in order. */
static void sort_window(smx_window *w) {
    const int beside = (int)w->of->inner_count;
    int segments_of[SMX_SHORT + 1] = {0}, next[SMX_SHORT + 1], before = 0;
    for (int i = 0; i < w->count; i++)
        segments_of[w->length[i]]++;
    for (int n = SMX_SHORT; n > 0; n--) {
        next[n] = before;
        memset(w->sorted + before, n, (size_t)segments_of[n]);
        before += segments_of[n];
    }
    for (int i = 0; i < w->count; i++)
        w->column[i] = (uint16_t)(next[w->length[i]]++ * beside);
}

/* The same for rows of one length, which are common and need no sorting. */
static void keep_window(smx_window *w) {
    memcpy(w->sorted, w->length, (size_t)w->count);
    for (int i = 0; i < w->count; i++)
        w->column[i] = (uint16_t)(i * w->of->inner_count);
}

/* Cuts the columns into tiles. A tile takes SUMS rows, and more while the next is not much shorter than its first. */
static void cut_window(smx_window *w) {
    const int lanes = w->of->plan->kernels->row_multiple, beside = (int)w->of->inner_count;
    w->tiles = 0;
    for (int from = 0; from < w->rows;) {
        smx_columns tile = {from, from, 0, w->sorted[from / beside]};
        do
            tile.to += lanes;
        while (tile.to < w->rows && 4 * w->sorted[tile.to / beside] >= 3 * tile.longest);
        tile.to = (int)smx_min(tile.to, w->rows);
        tile.shortest = w->sorted[(tile.to - 1) / beside];
        w->tile[w->tiles++] = tile;
        from = tile.to;
    }
}

void smx_open_window(smx_window *w, ptrdiff_t first, ptrdiff_t last) {
    const ptrdiff_t most_segments = SMX_WINDOW_ROWS / w->of->inner_count,
                    most_elements = WINDOW_ELEMENTS / w->of->inner_count;
    const ptrdiff_t start = w->of->plan->indptr[first];
    ptrdiff_t k = first, shortest = SMX_SHORT, longest = 0;
    int count = 0;
    for (; k < last && count < most_segments; k++) {
        const ptrdiff_t n = smx_segment_length(w->of->plan, k);
        if (n > SMX_SHORT || (count > 0 && w->of->plan->indptr[k + 1] - start > most_elements))
            break;
        w->length[count] = (uint8_t)n; /* the next segment overwrites it if this one is empty */
        count += n > 0;
        shortest = n > 0 && n < shortest ? n : shortest;
        longest = n > longest ? n : longest;
    }
    w->first = first;
    w->last = k;
    w->count = count;
    w->rows = count * (int)w->of->inner_count;
    w->has_places = 0;
    w->are_equal = shortest == longest;
    if (w->are_equal)
        keep_window(w);
    else
        sort_window(w);
    cut_window(w);
}

/* Writes the places of n elements, at steps of the pitch or of 1. Some places beyond the last are written, too: so the
   loop consists of whole vectors, and takes one turn for a segment of a few elements. */
SMX_INLINE void write_places(uint16_t *place, int n, int first, const uint16_t steps[SMX_PLACES_AT_ONCE]) {
    uint16_t from = (uint16_t)first;
    for (int at = 0; at < n; at += SMX_PLACES_AT_ONCE) {
        for (int k = 0; k < SMX_PLACES_AT_ONCE; k++)
            place[at + k] = (uint16_t)(from + steps[k]);
        from = (uint16_t)(from + steps[1] * SMX_PLACES_AT_ONCE);
    }
}

void smx_find_places(smx_window *w) {
    if (w->has_places)
        return;
    const int beside = (int)w->of->inner_count, pitch = (int)w->of->pitch, along = beside == 1;
    uint16_t *place = w->place, steps[SMX_PLACES_AT_ONCE];
    for (int k = 0; k < SMX_PLACES_AT_ONCE; k++)
        steps[k] = (uint16_t)(k * (along ? pitch : 1));
    for (int i = 0; i < w->count; i++) {
        const int n = w->length[i], from = w->column[i];
        if (along) {
            write_places(place, n, from, steps);
            place += n;
        } else {
            for (int at = 0; at < n; at++, place += beside)
                write_places(place, beside, from + at * pitch, steps);
        }
    }
    w->has_places = 1;
}
