/* Runs a plan whose rows are the segments of an axis. Segments have any lengths: most are short, a few may be huge.

   A segment of more than SMX_SHORT elements is a plan of its own, which smx_run_rows does. A contiguous row of up to
   LONGEST_ROW elements needs none and goes straight to the kernels. Many short segments of one length that follow one
   another are one plan. For any other short segment, a plan would take longer than the kernels do, so such segments are
   taken a window at a time (window.h). Long segments between them do not end a window: otherwise it would have too few
   rows for its vectors.

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
#include <string.h>

enum {
    PARTS_PER_THREAD = 8,
    LONGEST_ROW = 1024, /* elements of a segment that needs no plan */
    IN_ORDER = 256, /* so many segments are taken in the order of memory, or not, */
    MEAN_IN_ORDER = 32, /* if they have up to so many elements on average: longer ones fill fewer vectors in part */
    MANY_ALIKE = 64, /* so many segments of one length, one after the other, are worth a plan */
    SECOND_LEVEL = 1024 * 1024 /* bytes of all arrays that are taken to be in the second-level cache */
};

typedef struct {
    smx_segments segments;
    smx_job columns; /* of all tiles of all windows */
    smx_plan *plan;
    ptrdiff_t share; /* the weight of a part */
    int parts, threads;
    int has_rows; /* segments are contiguous rows of reals without a mask */
    int in_order; /* short segments are taken in the order of memory, without windows, if their values allow it */
    int may_run_alike; /* an outer axis can be added to the plan */
} job;

typedef struct {
    const job *job;
    smx_worker columns; /* does the tiles of the window */
    smx_tile_state state;
    smx_plan alone; /* the plan of one segment */
    smx_tile row; /* of one segment that needs no plan */
    int failed;
    smx_window window;
} worker;

/* ---- segments --------------------------------------------------------------------------------------------------- */

/* Points the operand at the element with that number, or at the result of that segment. The stride is set again, as
   smx_simplify may have rewritten it for a segment of one element. */
static void move_to(smx_operand *operand, const smx_operand *whole, ptrdiff_t number) {
    operand->data = whole->data + number * whole->inner[0];
    operand->inner[0] = whole->inner[0];
}

/* Points the plan `alone` at segment k. */
static void move_plan(smx_plan *alone, const job *j, ptrdiff_t k) {
    const ptrdiff_t start = j->plan->indptr[k];
    for (int i = 0; i < j->columns.op->inputs; i++)
        move_to(&alone->in[i], &j->plan->in[i], start);
    move_to(&alone->out, &j->plan->out, j->columns.op->elementwise ? start : k);
    alone->inner_shape[0] = smx_segment_length(j->plan, k);
    if (j->plan->mask.data) {
        alone->mask.data = j->plan->mask.data + start * j->plan->mask.inner[0];
        alone->mask.inner[0] = j->plan->mask.inner[0];
        alone->mask.inner_shape[0] = alone->inner_shape[0];
    }
}

/* Runs segment k as a plan of its own. */
static int run_alone(smx_plan *alone, const job *j, ptrdiff_t k, int threads) {
    move_plan(alone, j, k);
    alone->threads = threads;
    return smx_run_rows(alone);
}

/* The results of a segment without elements, one for each of its rows. */
static void put_nothing(const job *j, ptrdiff_t k) {
    const smx_operand *out = &j->plan->out;
    const ptrdiff_t size = j->columns.real_size;
    const double value = j->columns.op->hidden.out;
    const float narrow = (float)value;
    for (ptrdiff_t r = 0; r < j->segments.inner_count; r++)
        smx_copy_elements(smx_find_row(j->plan, out, r) + k * out->inner[0], 0,
                          size == 4 ? (const char *)&narrow : (const char *)&value, 0, 1, size, out->swapped);
}

/* Does segment k, a row of n elements, without a plan, which would take longer than the kernels do. Returns 0 if the
   values need another pass. */
static int do_row(worker *r, ptrdiff_t k, ptrdiff_t n) {
    const smx_plan *plan = r->job->plan;
    const smx_job *c = &r->job->columns;
    const ptrdiff_t start = plan->indptr[k] * c->real_size;
    double *constants = r->state.constants;
    r->row.n = r->row.row_length = n;
    for (int i = 0; i < c->op->inputs; i++)
        r->row.in[i].start = plan->in[i].data + start;
    c->op->reduce[SMX_WALK_ROWS](&r->row, r->columns.partials);
    if (c->op->finish(&r->row, 1, r->columns.partials, NULL, constants) != 0)
        return 0;
    if (c->op->elementwise) {
        r->row.out.start = plan->out.data + start;
        c->op->write[SMX_WALK_ROWS](&r->row, constants);
    } else {
        char *to = plan->out.data + k * plan->out.inner[0];
        smx_copy_elements(to, 0, (const char *)constants, 0, 1, c->real_size, plan->out.swapped);
    }
    return 1;
}

static void open_row(worker *r) {
    static const smx_tile nothing = {.layout = SMX_ROWS, .rows = 1, .storage = SMX_REAL, .out_storage = SMX_REAL};
    const smx_job *c = &r->job->columns;
    const smx_view row = {NULL, LONGEST_ROW, 1};
    r->row = nothing;
    r->row.temperature = c->temperature;
    for (int i = 0; i < c->op->inputs; i++)
        r->row.in[i] = row;
    r->row.out = r->row.saved[0] = r->row.saved[1] = row;
    if (c->saves) {
        r->row.saved[0].start = r->columns.block[0];
        r->row.saved[1].start = r->columns.saved;
    }
}

/* ---- segments of one length ------------------------------------------------------------------------------------- */

/* How many segments from k on, before `last`, have the length of segment k; 0 if they are too few for a plan, or not
   short. */
static ptrdiff_t count_alike(const job *j, ptrdiff_t k, ptrdiff_t last) {
    const ptrdiff_t *indptr = j->plan->indptr, n = smx_segment_length(j->plan, k);
    if (!j->may_run_alike || n == 0 || n > j->segments.longest || last - k < MANY_ALIKE ||
        indptr[k + MANY_ALIKE] - indptr[k] != MANY_ALIKE * n)
        return 0;
    ptrdiff_t count = 1;
    while (k + count < last && smx_segment_length(j->plan, k + count) == n)
        count++;
    return count < MANY_ALIKE ? 0 : count;
}

static void put_first(ptrdiff_t *list, int count, ptrdiff_t number) {
    memmove(list + 1, list, (size_t)count * sizeof *list);
    list[0] = number;
}

/* Runs so many segments from k on, which have one length, as a plan with one more outer axis. */
static int run_alike(const job *j, ptrdiff_t k, ptrdiff_t count) {
    smx_plan *alike = smx_take_scratch(sizeof(smx_plan));
    if (!alike)
        return SMX_NO_MEMORY;
    *alike = *j->plan;
    alike->indptr = NULL;
    alike->explanation = NULL;
    alike->threads = 1;
    move_plan(alike, j, k);
    const ptrdiff_t n = alike->inner_shape[0];
    for (int i = 0; i < j->columns.op->inputs; i++)
        put_first(alike->in[i].outer, alike->outer_dims, n * alike->in[i].inner[0]);
    put_first(alike->out.outer, alike->outer_dims, (j->columns.op->elementwise ? n : 1) * alike->out.inner[0]);
    if (alike->mask.data) {
        put_first(alike->mask.outer, alike->mask.outer_dims, n * alike->mask.inner[0]);
        put_first(alike->mask.outer_shape, alike->mask.outer_dims++, count);
    }
    put_first(alike->outer_shape, alike->outer_dims++, count);
    const int status = smx_run_rows(alike);
    smx_return_scratch(alike);
    return status;
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

/* Does segment k, which is not short, unless it is for all threads. */
static void do_long(worker *r, ptrdiff_t k) {
    const job *j = r->job;
    const ptrdiff_t n = smx_segment_length(j->plan, k);
    if (is_for_all_threads(j, k) || (j->has_rows && n <= LONGEST_ROW && do_row(r, k, n)))
        return;
    r->failed |= run_alone(&r->alone, j, k, 1) != SMX_DONE;
}

static void do_window(worker *r) {
    smx_window *window = &r->window;
    const int *of_kind = window->of_kind;
    while (smx_open_next_columns(window)) {
        smx_tile *tile = &r->columns.tile;
        tile->rows = window->open.to - window->open.from;
        tile->row_length = window->open.longest;
        smx_do_open_rows(&r->columns, 0, 0);
    }
    int i = window->count - of_kind[SMX_LONG] - of_kind[0];
    for (; i < window->count - of_kind[SMX_LONG]; i++)
        if (!r->job->columns.op->elementwise)
            put_nothing(r->job, window->first + window->segment[i]);
    for (; i < window->count; i++)
        do_long(r, window->first + window->segment[i]);
}

/* Takes segments from k on, before `last`, in the order of memory, up to a short one whose values do not allow it.
   Returns how many are done. */
static ptrdiff_t do_in_order(worker *r, ptrdiff_t k, ptrdiff_t last) {
    const smx_plan *plan = r->job->plan;
    const ptrdiff_t longest = r->job->segments.longest;
    if (smx_segment_length(plan, k) > longest) {
        do_long(r, k);
        return 1;
    }
    return r->job->columns.op->whole_segments(plan->in[0].data, plan->in[1].data, plan->out.data, plan->indptr + k,
                                              last - k, longest, r->window.end);
}

static void do_part(worker *r, int part) {
    const job *j = r->job;
    const ptrdiff_t *indptr = j->plan->indptr, last = segment_at(j, (part + 1) * j->share);
    r->window.end = indptr[last];
    for (ptrdiff_t k = segment_at(j, part * j->share); k < last;) {
        const ptrdiff_t alike = count_alike(j, k, last);
        if (alike > 0) {
            r->failed |= run_alike(j, k, alike) != SMX_DONE;
            k += alike;
            continue;
        }
        const ptrdiff_t some = smx_min(IN_ORDER, last - k);
        const int in_order = j->in_order && indptr[k + some] - indptr[k] <= some * MEAN_IN_ORDER;
        const ptrdiff_t done = in_order ? do_in_order(r, k, k + some) : 0;
        k += done;
        if (done > 0)
            continue;
        smx_fill_window(&r->window, k, in_order ? smx_min(k + j->plan->kernels->row_multiple, last) : last,
                        j->may_run_alike ? MANY_ALIKE : 0);
        do_window(r);
        k += r->window.count;
    }
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
    w->mask_block = w->partials + columns->partial_bytes;
    w->job = columns;
    w->holds_pieces = 0;
    w->state = &r->state;
    w->context = &r->window;
    w->is_open = w->is_packed = 0;
    w->tile = nothing;
    w->tile.temperature = columns->temperature;
    r->job = j;
    r->window.of = &j->segments;
    r->window.prefetched = 0;
    open_row(r);
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

/* Fills in the job of all tiles of all windows. What is not set is off. */
static void set_up_columns(smx_job *c, const smx_plan *plan, ptrdiff_t elements) {
    static const smx_job nothing;
    const ptrdiff_t multiple = plan->kernels->row_multiple;
    *c = nothing;
    c->plan = plan;
    c->op = &plan->kernels->op[plan->op];
    smx_set_temperature(c, plan);
    c->real_size = (ptrdiff_t)plan->kernels->real_size;
    c->pieces = 1;
    c->layout = SMX_COLUMNS;
    c->reduce = c->op->reduce[SMX_WALK_SHORT_COLUMNS];
    c->write = c->op->write[SMX_WALK_SHORT_COLUMNS];
    c->output = c->op->elementwise ? SMX_TO_BLOCK : SMX_NO_ELEMENTS;
    for (int k = 0; k < c->op->inputs; k++)
        c->load[k] = smx_load_segments;
    c->store = smx_store_segments;
    c->find_mask = smx_find_mask_of_segments;
    c->store_numbers = smx_store_numbers_of_segments;
    c->saves = c->op->saves;
    c->prefetches = smx_beyond_cache(c->op->inputs + c->op->elementwise, elements * c->real_size);
    /* As in route.c: if the pitch were a power of two, all lines would fall into a few sets of the cache. */
    c->pitch = smx_round_up(smx_min(SMX_TILE_ROWS, elements), multiple) + multiple;
    const ptrdiff_t block = smx_round_up(smx_min(SMX_SHORT, plan->inner_shape[0]), 4) * c->pitch;
    c->block_bytes = smx_round_up(block * c->real_size, 64);
    c->saved_bytes = c->saves ? c->block_bytes : 0;
    c->partial_bytes = SMX_PARTIALS * SMX_TILE_ROWS * c->real_size;
    c->mask_bytes = plan->mask.data ? smx_round_up(block, 64) : 0;
    c->scratch_bytes = c->op->inputs * c->block_bytes + c->saved_bytes + c->partial_bytes + c->mask_bytes;
}

static void set_up_segments(smx_segments *s, const smx_plan *plan, const smx_job *columns, ptrdiff_t elements) {
    s->plan = plan;
    s->inner_count = 1;
    for (int d = 0; d < plan->outer_dims; d++)
        s->inner_count *= plan->outer_shape[d];
    for (int k = 0; k < columns->op->inputs; k++)
        s->in_order[k] = is_in_order(plan, &plan->in[k], s->inner_count, columns->real_size);
    s->out_in_order = columns->op->elementwise && is_in_order(plan, &plan->out, s->inner_count, columns->real_size);
    s->longest = s->inner_count <= SMX_TILE_ROWS ? SMX_SHORT : 0;
    s->pitch = columns->pitch;
    s->prefetches = (columns->op->inputs + 1) * elements * columns->real_size > SECOND_LEVEL;
}

int smx_are_segments(const ptrdiff_t *indptr, ptrdiff_t segments, ptrdiff_t length) {
    int falls = 0;
    for (ptrdiff_t k = 0; k < segments; k++)
        falls |= indptr[k + 1] < indptr[k];
    return indptr[0] == 0 && indptr[segments] == length && !falls;
}

int smx_run_ragged(smx_plan *plan) {
    job j;
    ptrdiff_t elements = 1;
    smx_simplify(plan);
    for (int d = 0; d < plan->outer_dims; d++)
        elements *= plan->outer_shape[d];
    elements *= plan->inner_shape[0];
    j.plan = plan;
    /* The axes of the mask are the plan's, so that both are sorted alike. */
    j.may_run_alike = plan->outer_dims == 1 && (!plan->mask.data || plan->mask.outer_dims == 1);
    set_up_columns(&j.columns, plan, elements);
    set_up_segments(&j.segments, plan, &j.columns, elements);
    j.has_rows =
        !plan->mask.data && j.segments.inner_count == 1 && (j.segments.out_in_order || !j.columns.op->elementwise);
    for (int k = 0; k < j.columns.op->inputs; k++)
        j.has_rows &= j.segments.in_order[k];
    j.in_order = j.has_rows && j.columns.op->whole_segments && j.columns.temperature == plan->kernels->no_temperature &&
                 smx_may(SMX_IN_ORDER);
    j.threads = smx_threads_for(plan, elements);
    j.parts = j.threads > 1 ? PARTS_PER_THREAD * j.threads : 1;
    j.share = weight_before(&j, plan->segments) / j.parts + 1;
    if (j.threads > 1 && j.segments.longest * j.segments.inner_count > j.share)
        j.segments.longest = j.share / j.segments.inner_count; /* longer ones may be for all threads */
    if (plan->explanation)
        snprintf(plan->explanation, SMX_EXPLANATION, "ragged: %td segments in %d part%s, %d thread%s%s", plan->segments,
                 j.parts, j.parts == 1 ? "" : "s", j.threads, j.threads == 1 ? "" : "s",
                 j.in_order ? ", short ones in order" : "");
#ifdef _OPENMP
    if (j.threads > 1)
        return run_with_all_threads(&j) | run_parallel(&j);
#endif
    return run_serial(&j);
}
