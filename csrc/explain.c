/* A job in words: its route, and what the route has decided. */

#include "job.h"

#include <stdio.h>
#include <string.h>

/* Appends to a text, as far as there is room. */
static void append(char *text, size_t size, const char *more) {
    const size_t used = strlen(text);
    snprintf(text + used, size - used, "%s", more);
}

void smx_explain_job(const smx_job *j, char *text, size_t size) {
    static const char *const outputs[] = {
        [SMX_NO_ELEMENTS] = "a result for each row",  [SMX_TO_BLOCK] = "results by a block",
        [SMX_TO_ARRAY] = "results in place",          [SMX_ROUNDED] = "results rounded in place",
        [SMX_AS_PACKED] = "results packed, in place", [SMX_TRANSPOSED] = "results transposed, in place"};
    int all_in_place = j->masks_in_kernel || !j->plan->mask.data;
    for (int k = 0; k < j->op->inputs; k++)
        all_in_place &= j->in_place[k];
    snprintf(text, size, "%s: %td tile%s of %d row%s", j->route, j->tiles, j->tiles == 1 ? "" : "s", j->tile_rows,
             j->tile_rows == 1 ? "" : "s");
    char more[96];
    if (j->pieces > 1) {
        snprintf(more, sizeof more, " in %td pieces", j->pieces);
        append(text, size, more);
    }
    append(text, size, all_in_place ? ", read in place, " : ", read by a block, ");
    append(text, size, outputs[j->output]);
    append(text, size, smx_keeps_pieces(j, 0) ? ", keeps pieces" : "");
    append(text, size, j->keeps_in_output ? " in the output" : "");
    append(text, size, j->saves ? ", saves exponentials" : "");
    append(text, size, j->looks_ahead ? ", looks ahead" : "");
    append(text, size, j->prefetches ? ", prefetches" : ""); /* inputs, results or both */
    append(text, size, j->streams ? ", streams" : "");
    append(text, size, j->uniform ? ", uniform" : "");
    append(text, size, j->whole ? ", whole rows" : "");
    append(text, size, j->masks_in_kernel ? ", masks in the kernel" : "");
    if (j->threads > 1 && (j->tiles > 1 || smx_shares_pieces(j))) {
        snprintf(more, sizeof more, ", %d threads share %s", j->threads, smx_shares_pieces(j) ? "pieces" : "tiles");
        append(text, size, more);
    }
}
