/* One tile: the protocol of reduce, finish, shift and write, and where the kernels find the rows meanwhile. route.c and
   access.c have decided nearly all of that. A tile decides only what a route cannot know: a shift, NaNs, and a mask
   whose bytes lie in another way than those of the tile before. */

#include "arch.h"
#include "job.h"
#include "strided.h"

#include <string.h>

static const smx_view nowhere = {NULL, 0, 0};

/* ---- where the rows are ----------------------------------------------------------------------------------------- */

/* Points the tile at the initial terms of its rows, if there are any. One number for all rows is copied once a worker: a
   vector load of numbers that have just been stored one by one waits until all stores before them, results among them,
   have reached the cache. */
static void find_initial(smx_worker *w) {
    const smx_job *j = w->job;
    const smx_operand *initial = &j->plan->initial;
    if (!initial->data) {
        w->tile.initial = NULL;
    } else if (j->plan->outer_dims > 1 || initial->outer[0] != 0) {
        w->tile.initial = smx_gather_numbers(w, initial, j->real_size, w->factor);
    } else if (!w->tile.initial) {
        smx_copy_elements((char *)w->factor, j->real_size, initial->data, 0, j->tile_rows, j->real_size, 0);
        w->tile.initial = w->factor;
    }
}

void smx_open_tile(smx_worker *w, ptrdiff_t number) {
    const smx_job *j = w->job;
    const ptrdiff_t span = number / j->tiles_per_span;
    const ptrdiff_t end = (number % j->tiles_per_span + 1) * j->tile_rows - j->first_tile_short_by;
    const ptrdiff_t in_span = smx_max(0, end - j->tile_rows);
    w->first_row = span * j->span + in_span;
    w->tile.layout = j->layout;
    w->tile.row_length = j->n;
    w->tile.temperature = j->temperature;
    w->tile.stream = 0;
    w->is_packed = j->output == SMX_AS_PACKED && j->layout == SMX_ROWS;
    /* Each view is copied from `nowhere`. If one were copied from another, it would be loaded just after it was stored,
       and the load would wait until all earlier stores, results among them, have reached the cache. */
    for (int k = 0; k < SMX_MAX_INPUTS; k++)
        w->tile.next[k] = nowhere;
    w->tile.mask = nowhere;
    w->tile.out = nowhere;
    w->tile.out_storage = SMX_REAL;
    w->tile.storage = j->storage;
    w->tile.rows = (int)(smx_min(end, j->span) - in_span);
    w->tile.targets = &j->plan->targets;
    find_initial(w);
    w->tile.label = NULL;
    if (j->op->has_labels) {
        w->tile.label = smx_gather_numbers(w, &j->plan->label, sizeof(int64_t), w->label);
        w->tile.factor = smx_gather_numbers(w, &j->plan->factor, j->real_size, w->factor);
    }
    w->tile.scale = w->tile.spread = NULL;
    if (j->op->has_targets && j->plan->scale.data)
        w->tile.scale = smx_gather_numbers(w, &j->plan->scale, j->real_size, w->scale);
    if (j->op->has_targets && j->plan->spread.data)
        w->tile.spread = smx_gather_numbers(w, &j->plan->spread, j->real_size, w->spread);
}

/* Makes `rows` rows from number `first` on the open tile of a uniform job. */
static void move_to_rows(smx_worker *w, ptrdiff_t first, ptrdiff_t rows) {
    const smx_job *j = w->job;
    const ptrdiff_t by = first - w->first_row;
    w->first_row = first;
    w->tile.rows = (int)rows;
    find_initial(w);
    for (int k = 0; k < j->op->inputs; k++) {
        const ptrdiff_t stride = j->plan->in[k].outer[0];
        w->tile.in[k].start = (char *)w->tile.in[k].start + by * stride;
        if (w->tile.next[k].start)
            w->tile.next[k].start = (char *)w->tile.in[k].start + rows * stride;
    }
    w->tile.out.start = (char *)w->tile.out.start + by * j->plan->out.outer[0];
}

static void move_tile(smx_worker *w, ptrdiff_t number) {
    const smx_job *j = w->job;
    const ptrdiff_t first = number * j->tile_rows;
    move_to_rows(w, first, smx_min(j->tile_rows, j->rows - first));
}

/* The rows of input k in the next piece, or in the next tile. If a span of COLUMNS is one tile, its last line is taken
   to be followed by the first line of the next span. */
static smx_view view_next(const smx_worker *w, int k, ptrdiff_t start) {
    const smx_job *j = w->job;
    const int by_pieces = j->pieces > 1 || (j->layout == SMX_COLUMNS && j->tiles_per_span == 1);
    const ptrdiff_t pieces = j->looks_ahead ? 2 : 1; /* reduce looks at the next piece beside this one */
    smx_view view = smx_view_array(w, &j->plan->in[k], start);
    const ptrdiff_t step = by_pieces ? pieces * w->tile.n * view.element_stride : w->tile.rows * view.row_stride;
    view.start = (char *)view.start + step * j->real_size;
    return view;
}

/* True if the kernels of a derivative can read the mask of the piece. */
static int is_mask_for_kernels(const smx_worker *w) {
    if (!w->job->masks_in_kernel)
        return 0;
    return w->tile.layout == SMX_ROWS ? w->mask.element_stride == 1
                                      : w->mask.row_stride == 0 || w->mask.row_stride == 1;
}

/* Points the tile at a piece, and loads blocks as needed. shift: NULL, or the numbers to subtract from the rows. */
void smx_open_piece(smx_worker *w, ptrdiff_t piece, const void *shift) {
    const smx_job *j = w->job;
    w->tile.again = shift;
    if (!j->op->may_shift)
        shift = NULL;
    const smx_plan *plan = j->plan;
    const ptrdiff_t start = piece * SMX_PIECE;
    w->tile.piece_start = start;
    w->tile.n = smx_min(SMX_PIECE, w->tile.row_length - start);
    for (int k = 0; j->prefetches && k < j->op->inputs; k++)
        w->tile.next[k] = j->next_is_known[k] ? view_next(w, k, start) : nowhere;
    const int is_masked = plan->mask.data != NULL;
    if (is_masked)
        w->mask = j->find_mask(w, start, w->tile.n);
    const int kernels_mask = is_masked && is_mask_for_kernels(w);
    w->tile.mask = kernels_mask ? w->mask : nowhere;
    for (int k = 0; k < j->op->inputs; k++)
        if (j->in_place[k] && !shift && (!is_masked || kernels_mask)) {
            w->tile.in[k] = smx_view_array(w, &plan->in[k], start);
        } else {
            if (k == 0 && j->keeps_in_output)
                w->block[0] = smx_view_array(w, &plan->out, start).start;
            else if (smx_keeps_pieces(j, k))
                w->block[k] = w->first_block[k] + piece * j->piece_bytes;
            if (!w->holds_pieces || !smx_keeps_pieces(j, k))
                j->load[k](w, k, start);
            w->tile.in[k] = smx_view_loaded(w, k);
        }
    if (shift && !w->holds_pieces)
        plan->kernels->subtract(&w->tile, shift);
    w->tile.saved[0].start = NULL;
    if (j->saves) {
        const smx_view saved = smx_view_block(j, w->saved);
        w->tile.saved[0] = saved;
        w->tile.saved[1] = saved;
        if (w->tile.in[0].start == w->block[0])
            w->tile.saved[0] = w->tile.in[0];
        else
            w->tile.saved[1].start = w->saved + j->saved_bytes / 2;
    }
    if (j->output == SMX_NO_ELEMENTS)
        return;
    const int in_array = j->output == SMX_TO_ARRAY || w->is_packed || j->uniform;
    w->tile.out = in_array ? smx_view_array(w, &plan->out, start) : smx_view_block(j, w->block[0]);
    /* COLUMNS and packed rows go past the cache by whole cache lines. */
    const int by_cache_lines = j->layout == SMX_COLUMNS || w->is_packed;
    w->tile.stream = j->streams && (!by_cache_lines || (uintptr_t)w->tile.out.start % SMX_CACHE_LINE == 0);
}

/* ---- write ------------------------------------------------------------------------------------------------------ */

/* True if the mask of the piece lies as packed rows do. */
static int is_mask_packed(const smx_worker *w) {
    return w->mask.element_stride == 1 && w->mask.row_stride == w->tile.n;
}

/* How the results of the open piece reach the output. It is the way of the route, unless NaNs or the mask need another
   pass over the results. That pass needs reals in the layout of the tile, so such results go to a block. */
static enum smx_output output_of_piece(const smx_worker *w, int not_finite, int needs_mask) {
    const smx_job *j = w->job;
    const int is_real = j->plan->out.storage == SMX_REAL, is_masked = j->plan->mask.data != NULL;
    switch (j->output) {
    case SMX_ROUNDED:
        return not_finite || needs_mask || w->tile.mask.start ? SMX_TO_BLOCK : SMX_ROUNDED;
    case SMX_TRANSPOSED:
        return not_finite || needs_mask ? SMX_TO_BLOCK : SMX_TRANSPOSED;
    case SMX_AS_PACKED:
        if (!w->is_packed && (w->state->shifted || (!is_real && not_finite) || (is_masked && !is_mask_packed(w))))
            return SMX_TO_BLOCK;
        return SMX_AS_PACKED;
    default:
        return j->output;
    }
}

/* Points a tile that has been reduced in COLUMNS at the packed rows of the arrays. */
static void open_packed(smx_worker *w) {
    const smx_job *j = w->job;
    w->tile.layout = SMX_ROWS;
    w->is_packed = 1;
    for (int k = 0; k < j->op->inputs; k++)
        w->tile.in[k] = smx_view_array(w, &j->plan->in[k], 0);
    w->tile.storage = j->plan->in[0].storage;
    if (j->plan->mask.data)
        w->tile.mask = w->mask;
    w->tile.out = smx_view_array(w, &j->plan->out, 0);
    w->tile.out_storage = j->plan->out.storage;
}

void smx_write_piece(smx_worker *w, ptrdiff_t piece) {
    const smx_job *j = w->job;
    const smx_hidden *hidden = &j->op->hidden;
    const ptrdiff_t start = piece * SMX_PIECE;
    const int is_masked = j->plan->mask.data != NULL, not_finite = w->state->flags & SMX_NOT_FINITE;
    const int write_hides = hidden->follows_from_in || w->tile.mask.start;
    int needs_mask = is_masked && (not_finite || !write_hides);
    const enum smx_output output = output_of_piece(w, not_finite, needs_mask);
    smx_write *write = j->write;
    switch (output) {
    case SMX_TO_BLOCK:
        w->tile.out = smx_view_block(j, w->block[0]);
        w->tile.out_storage = SMX_REAL;
        break;
    case SMX_AS_PACKED:
        if (!w->is_packed) {
            open_packed(w);
            needs_mask = is_masked && not_finite; /* the kernel has the mask now */
        }
        write = j->op->write[SMX_WALK_PACKED];
        break;
    case SMX_ROUNDED:
        w->tile.out = smx_view_array(w, &j->plan->out, start);
        w->tile.out_storage = j->plan->out.storage;
        break;
    case SMX_TRANSPOSED:
        w->tile.out = smx_view_array(w, &j->plan->out, start);
        write = j->op->write[SMX_WALK_TRANSPOSED];
        break;
    default:
        break;
    }
    write(&w->tile, w->state->constants);
    if (not_finite)
        j->plan->kernels->canonicalize_nans(&w->tile);
    if (output == SMX_TO_BLOCK)
        j->store(w, start, needs_mask);
    else if (needs_mask)
        smx_apply_mask(w, &w->tile.out, hidden->out, &w->tile.out);
}

/* Puts in the results of rows of which the mask leaves nothing. finish cannot tell them from rows of the numbers that
   stand for hidden elements. Neither has a finite sum, so the mask is read again only for tiles that are not finite.
   With an initial term there is no difference. */
static void put_hidden_rows(smx_worker *w) {
    const smx_job *j = w->job;
    const int rows = w->tile.rows;
    const ptrdiff_t row_length = w->tile.row_length;
    unsigned char seen[SMX_TILE_ROWS] = {0};
    for (ptrdiff_t start = 0; start < row_length; start += SMX_PIECE) {
        const ptrdiff_t n = smx_min(SMX_PIECE, row_length - start);
        const smx_view mask = j->find_mask(w, start, n);
        for (int r = 0; r < rows; r++)
            for (ptrdiff_t i = 0; !seen[r] && i < n; i++)
                seen[r] = ((const unsigned char *)mask.start)[r * mask.row_stride + i * mask.element_stride];
    }
    const smx_view bytes = {seen, 1, 1}, results = {w->state->constants, 1, SMX_TILE_ROWS};
    j->plan->kernels->apply_mask(&results, &bytes, rows, 1, j->op->hidden.out, &results);
}

void smx_store_row_results(smx_worker *w) {
    const smx_job *j = w->job;
    if (j->plan->mask.data && !j->op->elementwise && !j->plan->initial.data && w->state->flags & SMX_NOT_FINITE)
        put_hidden_rows(w);
    const char *results = (const char *)w->state->constants;
    j->store_numbers(w, j->op->elementwise ? &j->plan->row_out : &j->plan->out, results);
    if (j->op->has_row_out && !j->op->elementwise)
        j->store_numbers(w, &j->plan->row_out, results + SMX_TILE_ROWS * j->real_size);
    if (w->state->flags & SMX_SCALED)
        smx_store_exponents(w, results + SMX_TILE_ROWS * j->real_size);
}

/* ---- the protocol ----------------------------------------------------------------------------------------------- */

static char *partial_of(const smx_worker *w, char *partials, ptrdiff_t piece) {
    const smx_job *j = w->job;
    return partials + piece * SMX_PARTIALS * smx_round_up(w->tile.rows, j->plan->kernels->row_multiple) * j->real_size;
}

/* Points lookahead at what is likely to be reduced next: the next piece of the rows, or the rows of the next tile if
   the worker goes on with it. */
static void look_ahead(smx_worker *w, ptrdiff_t number, ptrdiff_t piece, int next_follows) {
    const smx_job *j = w->job;
    const ptrdiff_t item = number * j->pieces + piece;
    smx_lookahead *to = &w->tile.lookahead;
    to->maxima = NULL;
    if (!j->looks_ahead || w->state->shifted)
        return;
    to->maxima = w->lookahead;
    to->valid = w->lookahead_item == item;
    to->view = w->tile.in[0];
    if (j->pieces > 1) {
        to->view.start = (char *)w->tile.in[0].start + SMX_PIECE * j->real_size;
        to->rows = (piece + 2) * SMX_PIECE <= j->n ? w->tile.rows : 0; /* not if the next piece is shorter */
    } else {
        to->view.start = (char *)w->tile.in[0].start + w->tile.rows * j->plan->in[0].outer[0];
        to->rows = next_follows ? (int)smx_min(j->tile_rows, j->rows - w->first_row - w->tile.rows) : 0;
    }
    w->lookahead_item = to->rows > 0 ? item + 1 : -1;
}

void smx_reduce_piece(smx_worker *w, ptrdiff_t number, ptrdiff_t piece, int next_follows, char *partials) {
    look_ahead(w, number, piece, next_follows);
    w->job->reduce(&w->tile, partial_of(w, partials, piece));
}

int smx_finish_rows(const smx_worker *w, const void *partials, smx_tile_state *state) {
    const smx_job *j = w->job;
    const void *shift = state->shifted ? state->shift : NULL;
    state->flags = j->op->finish(&w->tile, j->pieces, partials, shift, state->constants);
    if (!(state->flags & SMX_TOO_LARGE) || state->shifted)
        return 1;
    memcpy(state->shift, (char *)state->constants + SMX_SHIFT * SMX_TILE_ROWS * j->real_size,
           SMX_TILE_ROWS * (size_t)j->real_size);
    state->shifted = 1;
    return 0;
}

void smx_do_open_rows(smx_worker *w, ptrdiff_t number, int next_follows) {
    const smx_job *j = w->job;
    smx_tile_state *state = w->state;
    int is_open = w->is_open; /* then the tile has one piece, which is open, too */
    state->shifted = 0;
    do {
        const void *shift = state->shifted ? state->shift : NULL;
        for (ptrdiff_t piece = 0; piece < j->pieces; piece++) {
            if (!is_open)
                smx_open_piece(w, piece, shift);
            smx_reduce_piece(w, number, piece, next_follows, w->partials);
        }
        is_open = 0;
    } while (!smx_finish_rows(w, w->partials, state));
    w->is_open = j->uniform && !state->shifted;
    if (smx_has_row_results(j))
        smx_store_row_results(w);
    if (!j->op->elementwise)
        return;
    const int takes_shift_back = state->shifted && j->op->writes_unshifted;
    w->holds_pieces = smx_keeps_pieces(j, 0) && !takes_shift_back;
    for (ptrdiff_t piece = 0; piece < j->pieces; piece++) {
        if (j->pieces > 1 || takes_shift_back)
            smx_open_piece(w, piece, state->shifted && !takes_shift_back ? state->shift : NULL);
        smx_write_piece(w, piece);
    }
    w->holds_pieces = 0;
}

void smx_do_tile(smx_worker *w, ptrdiff_t number, int next_follows) {
    const smx_job *j = w->job;
    if (w->is_open)
        move_tile(w, number);
    else
        smx_open_tile(w, number);
    if (j->whole) {
        if (!w->is_open)
            smx_open_piece(w, 0, NULL);
        w->is_open = 1;
        const int done = j->whole(&w->tile);
        if (done == w->tile.rows)
            return;
        move_to_rows(w, w->first_row + done, w->tile.rows - done);
    }
    smx_do_open_rows(w, number, next_follows);
}
