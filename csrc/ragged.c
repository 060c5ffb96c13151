/* Runs a plan whose rows are the segments of an axis. Segments have any lengths: most are short, a few may be huge.

   A segment of more than SMX_SHORT elements is a plan of its own, which smx_run_rows does. For a shorter segment, a
   plan would take longer than the kernels do, so short segments are taken a window at a time (window.h). Long segments
   between them do not end a window: it would have too few rows for its vectors.

   Threads share elements, not segments: the axis is cut into parts of equal weight. All threads together first do the
   segments that outweigh a part and are worth more than one thread. Then each thread does parts. */

#include "ragged.h"

#include "arch.h"
#include "fpstate.h"
#include "scratch.h"
#include "shares.h"
#include "strided.h"
#include "window.h"

#include <stdio.h>

enum {
    PARTS_PER_THREAD = 8,
    SECOND_LEVEL = 1024 * 1024 /* bytes of all arrays that are taken to be in the second-level cache */
};

typedef struct {
    smx_segments segments;
    smx_job columns; /* of all tiles of all windows */
    smx_plan *plan;
    ptrdiff_t share; /* the weight of a part */
    int parts, threads;
} job;

typedef struct {
    const job *job;
    smx_worker columns; /* does the tiles of the window */
    smx_tile_state state;
    smx_plan alone; /* the plan of one segment */
    int failed;
    smx_window window;
    smx_columns tile; /* the open tile */
} worker;

/* ---- a tile of a window ----------------------------------------------------------------------------------------- */

static void open_columns(smx_worker *w, ptrdiff_t piece, const void *shift) {
    const worker *r = w->context;
    const smx_job *j = w->job;
    (void)piece;
    w->tile.again = shift;
    if (!w->state->shifted || !j->op->may_shift) /* do_tile has loaded them */
        return;
    smx_load_columns(&r->window, 0, w->block[0], r->tile);
    if (shift)
        j->plan->kernels->subtract(&w->tile, shift);
}

static void write_columns(smx_worker *w, ptrdiff_t piece) {
    (void)piece;
    w->job->write(&w->tile, w->state->constants);
    if (w->state->flags & SMX_NOT_FINITE)
        w->job->plan->kernels->canonicalize_nans(&w->tile);
}

static void do_tile(worker *r, smx_columns tile) {
    const smx_job *j = &r->job->columns;
    smx_tile *t = &r->columns.tile;
    r->tile = tile;
    t->rows = tile.to - tile.from;
    t->n = t->row_length = tile.longest;
    for (int k = 0; k < j->op->inputs; k++) {
        const smx_view view = {r->columns.block[k], 1, j->pitch};
        smx_load_columns(&r->window, k, r->columns.block[k], tile);
        t->in[k] = view;
    }
    t->out = t->in[0];
    if (j->saves) {
        const smx_view saved = {r->columns.saved, 1, j->pitch};
        t->saved[0] = t->in[0];
        t->saved[1] = saved;
    }
    smx_do_open_rows(&r->columns, 0, 0);
    smx_store_columns(&r->window, r->columns.block[0], tile);
}

/* ---- segments --------------------------------------------------------------------------------------------------- */

/* Points the operand at the segment that starts with that element. The stride is set again, as smx_simplify may have
   rewritten it for a segment of one element. */
static void move_to(smx_operand *operand, const smx_operand *whole, ptrdiff_t start) {
    operand->data = whole->data + start * whole->inner[0];
    operand->inner[0] = whole->inner[0];
}

/* Runs segment k as a plan of its own. */
static int run_alone(smx_plan *alone, const job *j, ptrdiff_t k, int threads) {
    const ptrdiff_t start = j->plan->indptr[k];
    for (int i = 0; i < j->columns.op->inputs; i++)
        move_to(&alone->in[i], &j->plan->in[i], start);
    move_to(&alone->out, &j->plan->out, start);
    alone->inner_shape[0] = smx_segment_length(j->plan, k);
    alone->threads = threads;
    return smx_run_rows(alone);
}

/* ---- threads ---------------------------------------------------------------------------------------------------- */

/* The weight of all segments before segment k: their elements, and 1 for each segment, as empty ones take time, too. */
static ptrdiff_t weight_before(const job *j, ptrdiff_t k) { return j->plan->indptr[k] * j->segments.inner_count + k; }

/* The first segment that has at least that weight before it. */
static ptrdiff_t segment_at(const job *j, ptrdiff_t weight) {
    ptrdiff_t low = 0, high = j->plan->segments;
    while (low < high) {
        const ptrdiff_t middle = low + (high - low) / 2;
        if (weight_before(j, middle) >= weight)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static int is_for_all_threads(const job *j, ptrdiff_t k) {
    const ptrdiff_t elements = smx_segment_length(j->plan, k) * j->segments.inner_count;
    return j->threads > 1 && elements > j->share && smx_threads_for(j->plan, elements) > 1;
}

static void do_window(worker *r) {
    smx_window *window = &r->window;
    if (window->count == 0)
        return;
    smx_sort_window(window);
    for (int t = 0; t < window->tiles; t++)
        do_tile(r, window->tile[t]);
    smx_clear_window(window);
}

static void do_part(worker *r, int part) {
    const job *j = r->job;
    const ptrdiff_t last = segment_at(j, (part + 1) * j->share);
    for (ptrdiff_t k = segment_at(j, part * j->share); k < last; k++) {
        const ptrdiff_t n = smx_segment_length(j->plan, k), start = j->plan->indptr[k];
        if (n == 0)
            continue;
        if (!smx_fits_window(&r->window, n)) {
            if (!is_for_all_threads(j, k))
                r->failed |= run_alone(&r->alone, j, k, 1) != SMX_DONE;
            continue;
        }
        if (j->segments.prefetches_segments)
            smx_prefetch_segment(&r->window, start, n);
        if (!smx_add_segment(&r->window, start, n)) {
            do_window(r);
            smx_add_segment(&r->window, start, n);
        }
    }
    do_window(r);
}

/* Makes a worker with its scratch memory behind it; returns NULL if there is no memory. */
static worker *open_worker(const job *j) {
    static const smx_tile nothing = {.layout = SMX_COLUMNS, .storage = SMX_REAL, .out_storage = SMX_REAL};
    const smx_job *columns = &j->columns;
    worker *r = smx_take_scratch(sizeof(worker) + SMX_CACHE_LINE + (size_t)columns->scratch_bytes);
    if (!r)
        return NULL;
    char *scratch = (char *)r + smx_round_up(sizeof(worker), SMX_CACHE_LINE);
    smx_worker *w = &r->columns;
    for (int k = 0; k < columns->op->inputs; k++, scratch += columns->block_bytes)
        w->block[k] = scratch;
    w->saved = scratch;
    w->partials = scratch + columns->saved_bytes;
    w->job = columns;
    w->state = &r->state;
    w->context = r;
    w->is_open = 0;
    w->tile = nothing;
    w->tile.temperature = columns->temperature;
    w->tile.initial = NULL;
    r->job = j;
    r->window.of = &j->segments;
    smx_clear_window(&r->window);
    r->alone = *j->plan;
    r->alone.indptr = NULL;
    r->alone.explanation = NULL;
    r->failed = 0;
    return r;
}

static int run_serial(const job *j) {
    worker *r = open_worker(j);
    if (!r)
        return SMX_NO_MEMORY;
    const smx_fpstate before = smx_enter_fpstate();
    for (int part = 0; part < j->parts; part++)
        do_part(r, part);
    smx_leave_fpstate(before);
    const int failed = r->failed;
    smx_return_scratch(r);
    return failed ? SMX_NO_MEMORY : SMX_DONE;
}

#ifdef _OPENMP

/* Does the segments that are for all threads. Such a segment is larger than a part, so it reaches over a part's end. */
static int run_with_all_threads(const job *j) {
    smx_plan *alone = smx_take_scratch(sizeof(smx_plan));
    int status = SMX_DONE;
    ptrdiff_t done = -1;
    if (!alone)
        return SMX_NO_MEMORY;
    *alone = *j->plan;
    alone->indptr = NULL;
    alone->explanation = NULL;
    for (int part = 1; part <= j->parts; part++) {
        const ptrdiff_t k = segment_at(j, part * j->share) - 1;
        if (k > done && is_for_all_threads(j, k)) {
            status |= run_alone(alone, j, k, j->threads);
            done = k;
        }
    }
    smx_return_scratch(alone);
    return status;
}

static int run_parallel(const job *j) {
    smx_shares parts;
    int failed = 0;
    smx_share_out(&parts, j->parts, 1, j->threads, j->plan->call);
    smx_share_begins(j->plan->call);
#pragma omp parallel num_threads(j->threads) reduction(| : failed)
    {
        smx_join(j->plan->call);
        worker *r = open_worker(j);
        const smx_fpstate before = smx_enter_fpstate();
        for (ptrdiff_t part, end; r && smx_take(&parts, &part, &end);)
            for (; part < end; part++)
                do_part(r, (int)part);
        smx_leave_fpstate(before);
        failed |= !r || r->failed;
        smx_return_scratch(r);
    }
    return failed ? SMX_NO_MEMORY : SMX_DONE;
}

#endif

static int is_in_order(const smx_plan *plan, const smx_operand *operand, ptrdiff_t inner_count, ptrdiff_t size) {
    return plan->outer_dims == 1 && operand->outer[0] == size && operand->inner[0] == inner_count * size &&
           smx_is_native(plan, operand, 1);
}

/* Fills in the job of all tiles of all windows. */
static void set_up_columns(smx_job *c, const smx_plan *plan, ptrdiff_t elements) {
    const ptrdiff_t multiple = plan->kernels->row_multiple;
    c->plan = plan;
    c->op = &plan->kernels->op[plan->op];
    c->temperature = plan->kernels->no_temperature;
    c->real_size = (ptrdiff_t)plan->kernels->real_size;
    c->pieces = 1;
    c->layout = SMX_COLUMNS;
    c->reduce = c->op->reduce[SMX_WALK_SHORT_COLUMNS];
    c->write = c->op->write[SMX_WALK_SHORT_COLUMNS];
    c->open_piece = open_columns;
    c->write_piece = write_columns;
    c->saves = c->op->saves;
    c->looks_ahead = c->uniform = c->keeps_pieces = 0;
    c->prefetches = smx_beyond_cache(c->op->inputs + 1, elements * c->real_size);
    /* As in route.c: if the pitch were a power of two, all lines would fall into a few sets of the cache. */
    c->pitch = smx_round_up(smx_min(SMX_WINDOW_ROWS, elements), multiple) + multiple;
    c->block_bytes = smx_round_up(smx_min(SMX_SHORT, plan->inner_shape[0]) * c->pitch * c->real_size, 64);
    c->saved_bytes = c->saves ? c->block_bytes : 0;
    c->partial_bytes = SMX_PARTIALS * SMX_WINDOW_ROWS * c->real_size;
    c->scratch_bytes = c->op->inputs * c->block_bytes + c->saved_bytes + c->partial_bytes;
}

static void set_up_segments(smx_segments *s, const smx_plan *plan, const smx_job *columns, ptrdiff_t elements) {
    s->plan = plan;
    s->inner_count = 1;
    for (int d = 0; d < plan->outer_dims; d++)
        s->inner_count *= plan->outer_shape[d];
    for (int k = 0; k < columns->op->inputs; k++)
        s->in_order[k] = is_in_order(plan, &plan->in[k], s->inner_count, columns->real_size);
    s->out_in_order = is_in_order(plan, &plan->out, s->inner_count, columns->real_size);
    s->pitch = columns->pitch;
    s->prefetches = columns->prefetches;
    s->prefetches_segments = (columns->op->inputs + 1) * elements * columns->real_size > SECOND_LEVEL;
}

int smx_run_ragged(smx_plan *plan) {
    job j;
    ptrdiff_t elements = 1;
    smx_simplify(plan);
    for (int d = 0; d < plan->outer_dims; d++)
        elements *= plan->outer_shape[d];
    elements *= plan->inner_shape[0];
    j.plan = plan;
    set_up_columns(&j.columns, plan, elements);
    set_up_segments(&j.segments, plan, &j.columns, elements);
    j.threads = smx_threads_for(plan, elements);
    j.parts = j.threads > 1 ? PARTS_PER_THREAD * j.threads : 1;
    j.share = weight_before(&j, plan->segments) / j.parts + 1;
    if (plan->explanation)
        snprintf(plan->explanation, SMX_EXPLANATION, "ragged: %td segments in %d part%s, %d thread%s", plan->segments,
                 j.parts, j.parts == 1 ? "" : "s", j.threads, j.threads == 1 ? "" : "s");
#ifdef _OPENMP
    if (j.threads > 1)
        return run_with_all_threads(&j) | run_parallel(&j);
#endif
    return run_serial(&j);
}
