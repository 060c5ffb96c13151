/* Runs a plan whose rows are the segments of an axis: of any lengths, most of them short, a few of them huge.

   A segment of more than SMX_SHORT elements is a plan of its own, which smx_run does. Shorter ones would lose more on the
   way to the kernels than in them, so they are taken a window at a time: neighbours whose rows become the columns of one
   block, sorted by length, the longest first. Columns of similar length make a tile, each of them filled up to the
   longest with what changes no bit (the head of kernels/sum.inc.h). As they are sorted, what is filled up in vain is
   less than what is there, and one vector of the longest: whatever the lengths, an element costs a few nanoseconds.

   Threads share elements, not segments: the axis is cut into parts of equal weight. A segment that outweighs a part, and
   is worth more than one thread, is done before, by all of them. */

#include "segments.h"

#include "arch.h"
#include "fpstate.h"
#include "shares.h"
#include "strided.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    WINDOW_ROWS = SMX_TILE_ROWS,
    /* Elements of a window of more than one segment: enough for full vectors, few enough for the first-level cache. */
    WINDOW_ELEMENTS = 4096,
    PLACES = SMX_SHORT * WINDOW_ROWS, /* a single segment may have so many */
    PLACES_AT_ONCE = 8,
    PARTS_PER_THREAD = 8
};

typedef struct {
    smx_plan *plan;
    const smx_op_kernels *op;
    ptrdiff_t size;   /* of a real */
    ptrdiff_t beside; /* rows of a segment: one for every index of the outer axes */
    ptrdiff_t share;  /* the weight of a part */
    int parts, threads;
    int is_far; /* what comes next is not in the cache */
    /* Operands whose elements follow one another in memory, segment by segment. */
    int in_order[SMX_MAX_INPUTS], out_in_order;
    ptrdiff_t pitch; /* of a block: from an element of a row to the next */
    ptrdiff_t block_bytes, partial_bytes;
} job;

/* Columns [from, to) of a window; the rows in them have from shortest to longest elements. */
typedef struct {
    int from, to, shortest, longest;
} columns;

typedef struct {
    const job *job;
    smx_plan alone; /* the plan of one segment */
    int failed;
    char *block[SMX_MAX_INPUTS], *keep, *partials;

    /* The window: segments [first, last), of which count are not empty. Of those: */
    ptrdiff_t first, last;
    int count, rows, are_equal;      /* equal: of one length */
    uint8_t length[WINDOW_ROWS + 1]; /* one more, so that an empty one may be written, too */
    uint16_t column[WINDOW_ROWS];    /* the first of the segment's rows */
    uint8_t sorted[WINDOW_ROWS];     /* the lengths in the order of the columns */
    columns tile[WINDOW_ROWS];
    int tiles, has_places;
    uint16_t place[PLACES + PLACES_AT_ONCE]; /* in the block, of each element in C order */
} worker;

static ptrdiff_t round_up(ptrdiff_t x, ptrdiff_t step) { return (x + step - 1) & -step; } /* a power of two */
static ptrdiff_t least(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }

/* ---- a window: which segments, in which columns --------------------------------------------------------------------- */

static ptrdiff_t length_of(const smx_plan *plan, ptrdiff_t k) { return plan->indptr[k + 1] - plan->indptr[k]; }

static int fits_window(const job *j, ptrdiff_t k) {
    return length_of(j->plan, k) <= SMX_SHORT && j->beside <= WINDOW_ROWS;
}

/* Counting sort, the longest first; of equal ones the order stays. */
static void sort_window(worker *w) {
    const int beside = (int)w->job->beside;
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

/* What sorting makes of rows of one length, which are so common that they are not sorted. */
static void keep_window(worker *w) {
    memcpy(w->sorted, w->length, (size_t)w->count);
    for (int i = 0; i < w->count; i++)
        w->column[i] = (uint16_t)(i * w->job->beside);
}

/* A tile takes a vector of rows, and more while they are not much shorter than its first. */
static void cut_window(worker *w) {
    const int lanes = w->job->plan->kernels->lanes, beside = (int)w->job->beside;
    w->tiles = 0;
    for (int from = 0; from < w->rows;) {
        columns tile = {from, from, 0, w->sorted[from / beside]};
        do
            tile.to += lanes;
        while (tile.to < w->rows && 4 * w->sorted[tile.to / beside] >= 3 * tile.longest);
        tile.to = (int)least(tile.to, w->rows);
        tile.shortest = w->sorted[(tile.to - 1) / beside];
        w->tile[w->tiles++] = tile;
        from = tile.to;
    }
}

/* The window that begins with segment first, which fits. */
static void open_window(worker *w, ptrdiff_t first, ptrdiff_t last) {
    const job *j = w->job;
    const ptrdiff_t most_segments = WINDOW_ROWS / j->beside, most_elements = WINDOW_ELEMENTS / j->beside;
    const ptrdiff_t start = j->plan->indptr[first];
    ptrdiff_t k = first, shortest = SMX_SHORT, longest = 0;
    int count = 0;
    for (; k < last && count < most_segments; k++) {
        const ptrdiff_t n = length_of(j->plan, k);
        if (n > SMX_SHORT || (count > 0 && j->plan->indptr[k + 1] - start > most_elements))
            break;
        w->length[count] = (uint8_t)n; /* to be overwritten if the segment is empty */
        count += n > 0;
        shortest = n > 0 && n < shortest ? n : shortest;
        longest = n > longest ? n : longest;
    }
    w->first = first;
    w->last = k;
    w->count = count;
    w->rows = count * (int)j->beside;
    w->has_places = 0;
    w->are_equal = shortest == longest;
    if (w->are_equal)
        keep_window(w);
    else
        sort_window(w);
    cut_window(w);
}

/* The places of n elements, at steps of the pitch or of 1. Some beyond the last are written, too: so a segment of a few
   elements takes one turn of the loop, and all is vectors. */
SMX_INLINE void write_places(uint16_t *place, int n, int first, const uint16_t steps[PLACES_AT_ONCE]) {
    uint16_t from = (uint16_t)first;
    for (int at = 0; at < n; at += PLACES_AT_ONCE) {
        for (int k = 0; k < PLACES_AT_ONCE; k++)
            place[at + k] = (uint16_t)(from + steps[k]);
        from = (uint16_t)(from + steps[1] * PLACES_AT_ONCE);
    }
}

static void find_places(worker *w) {
    const int beside = (int)w->job->beside, pitch = (int)w->job->pitch, along = beside == 1;
    uint16_t *place = w->place, steps[PLACES_AT_ONCE];
    for (int k = 0; k < PLACES_AT_ONCE; k++)
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

/* ---- between memory and block --------------------------------------------------------------------------------------- */

SMX_INLINE void to_places_sized(char *block, const uint16_t *place, const char *from, ptrdiff_t n, size_t size) {
    for (ptrdiff_t i = 0; i < n; i++)
        memcpy(block + place[i] * size, from + (size_t)i * size, size);
}
SMX_INLINE void from_places_sized(const char *block, const uint16_t *place, char *to, ptrdiff_t n, size_t size) {
    for (ptrdiff_t i = 0; i < n; i++)
        memcpy(to + (size_t)i * size, block + place[i] * size, size);
}
static void to_places(char *block, const uint16_t *place, const char *from, ptrdiff_t n, ptrdiff_t size) {
    if (size == 4)
        to_places_sized(block, place, from, n, 4);
    else
        to_places_sized(block, place, from, n, 8);
}
static void from_places(const char *block, const uint16_t *place, char *to, ptrdiff_t n, ptrdiff_t size) {
    if (size == 4)
        from_places_sized(block, place, to, n, 4);
    else
        from_places_sized(block, place, to, n, 8);
}

/* What the missing elements of the rows count as: -inf, whose exponential is 0; 0 where products are summed. */
static void fill(const job *j, char *to, ptrdiff_t count) {
    if (j->op->inputs > 1)
        memset(to, 0, (size_t)(count * j->size));
    else if (j->size == 4)
        for (const float x = -INFINITY; count > 0; count--, to += 4)
            memcpy(to, &x, 4);
    else
        for (const double x = -INFINITY; count > 0; count--, to += 8)
            memcpy(to, &x, 8);
}

/* Fills up a tile's rows. The lanes beyond its last row hold zeros: an ordinary row. */
static void fill_up(const worker *w, int k, columns tile) {
    const job *j = w->job;
    const ptrdiff_t to = round_up(tile.to, j->plan->kernels->lanes);
    for (int at = 0; at < tile.longest; at++) {
        char *row = w->block[k] + at * j->pitch * j->size;
        if (to > tile.to)
            memset(row + tile.to * j->size, 0, (size_t)((to - tile.to) * j->size));
        if (at >= tile.shortest)
            fill(j, row + tile.from * j->size, tile.to - tile.from);
    }
}

/* Copies the rows in columns [from, to) to the block, or from it where the operand is the output. */
static void copy_rows(worker *w, const smx_operand *operand, char *block, int from, int to) {
    const job *j = w->job;
    const int is_output = operand == &j->plan->out;
    int i = 0;
    for (ptrdiff_t k = w->first; k < w->last; k++) {
        const ptrdiff_t n = length_of(j->plan, k), start = j->plan->indptr[k];
        if (n == 0)
            continue;
        const int column = w->column[i++];
        for (int c = column > from ? column : from; c < column + j->beside && c < to; c++) {
            char *row = smx_find_row(j->plan, operand, c - column), *at = block + c * j->size;
            if (is_output)
                smx_scatter(j->plan, operand, row, start, n, at, j->pitch * j->size);
            else
                smx_gather(j->plan, operand, row, start, n, at, j->pitch * j->size);
        }
    }
}

/* Where the window begins in an operand that is in order, and how many elements it has. */
static char *find_window(const worker *w, const smx_operand *operand) {
    return operand->data + w->job->plan->indptr[w->first] * w->job->beside * w->job->size;
}
static ptrdiff_t elements_of(const worker *w) {
    const ptrdiff_t *indptr = w->job->plan->indptr;
    return (indptr[w->last] - indptr[w->first]) * w->job->beside;
}

static void load_window(worker *w, int k) {
    const job *j = w->job;
    const smx_operand *from = &j->plan->in[k];
    for (int t = 0; t < w->tiles; t++)
        fill_up(w, k, w->tile[t]);
    if (!j->in_order[k]) {
        copy_rows(w, from, w->block[k], 0, w->rows);
    } else if (w->are_equal && j->beside == 1) {
        const ptrdiff_t n = w->length[0];
        j->plan->kernels->rows_to_columns(find_window(w, from), n, w->rows, n, w->block[k], j->pitch, j->is_far);
    } else {
        if (!w->has_places)
            find_places(w);
        to_places(w->block[k], w->place, find_window(w, from), elements_of(w), j->size);
    }
}

static void store_window(worker *w) {
    const job *j = w->job;
    const smx_operand *to = &j->plan->out;
    if (!j->out_in_order) {
        copy_rows(w, to, w->block[0], 0, w->rows);
    } else if (w->are_equal && j->beside == 1) {
        const ptrdiff_t n = w->length[0];
        j->plan->kernels->columns_to_rows(w->block[0], j->pitch, find_window(w, to), n, w->rows, n, j->is_far);
    } else {
        if (!w->has_places)
            find_places(w);
        from_places(w->block[0], w->place, find_window(w, to), elements_of(w), j->size);
    }
}

/* ---- segments --------------------------------------------------------------------------------------------------------- */

static void do_tile(worker *w, columns where) {
    const job *j = w->job;
    const smx_kernels *kernels = j->plan->kernels;
    double constants[SMX_CONSTANTS * SMX_TILE_ROWS], shift[SMX_TILE_ROWS];
    smx_tile tile = {.layout = SMX_COLUMNS, .storage = SMX_REAL, .out_storage = SMX_REAL};
    tile.width = where.to - where.from;
    tile.n = tile.length = where.longest;
    tile.temperature = kernels->no_temperature;
    for (int k = 0; k < j->op->inputs; k++) {
        const smx_view view = {w->block[k] + where.from * j->size, 1, j->pitch};
        tile.in[k] = view;
    }
    tile.out = tile.in[0];
    if (j->op->uses_keep) {
        const smx_view kept = {w->keep + where.from * j->size, 1, j->pitch};
        tile.kept[0] = tile.in[0];
        tile.kept[1] = kept;
    }

    j->op->reduce(&tile, w->partials);
    int flags = j->op->finish(&tile, 1, w->partials, NULL, constants);
    if (flags & SMX_TOO_LARGE) {
        memcpy(shift, (char *)constants + SMX_SHIFT * SMX_TILE_ROWS * j->size, SMX_TILE_ROWS * (size_t)j->size);
        fill_up(w, 0, where);
        copy_rows(w, &j->plan->in[0], w->block[0], where.from, where.to);
        kernels->subtract(&tile, shift);
        j->op->reduce(&tile, w->partials);
        flags = j->op->finish(&tile, 1, w->partials, shift, constants);
    }
    j->op->write(&tile, constants);
    if (flags & SMX_NOT_FINITE)
        kernels->settle_nans(&tile);
}

/* The operand from segment k on. Running a plan may have rewritten the axis of a segment of one element. */
static void move_to(smx_operand *operand, const smx_operand *whole, ptrdiff_t start) {
    operand->data = whole->data + start * whole->inner[0];
    operand->inner[0] = whole->inner[0];
}

static int run_alone(smx_plan *alone, const job *j, ptrdiff_t k, int threads) {
    const ptrdiff_t start = j->plan->indptr[k];
    for (int i = 0; i < j->op->inputs; i++)
        move_to(&alone->in[i], &j->plan->in[i], start);
    move_to(&alone->out, &j->plan->out, start);
    alone->inner_shape[0] = length_of(j->plan, k);
    alone->threads = threads;
    return smx_run_rows(alone);
}

/* ---- threads ---------------------------------------------------------------------------------------------------------- */

/* An empty segment takes its time, too. */
static ptrdiff_t weight_before(const job *j, ptrdiff_t k) { return j->plan->indptr[k] * j->beside + k; }

/* The first segment before which there is at least that weight. */
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
    const ptrdiff_t elements = length_of(j->plan, k) * j->beside;
    return j->threads > 1 && elements > j->share && smx_threads_for(j->plan, elements) > 1;
}

static void do_part(worker *w, int part) {
    const job *j = w->job;
    const ptrdiff_t last = segment_at(j, (part + 1) * j->share);
    for (ptrdiff_t k = segment_at(j, part * j->share); k < last;) {
        if (fits_window(j, k)) {
            open_window(w, k, last);
            for (int i = 0; i < j->op->inputs; i++)
                load_window(w, i);
            for (int t = 0; t < w->tiles; t++)
                do_tile(w, w->tile[t]);
            store_window(w);
            k = w->last;
        } else {
            if (length_of(j->plan, k) > 0 && !is_for_all_threads(j, k))
                w->failed |= run_alone(&w->alone, j, k, 1) != SMX_DONE;
            k++;
        }
    }
}

/* With its scratch behind it; NULL if there is no memory. */
static worker *open_worker(const job *j) {
    const ptrdiff_t blocks = (j->op->inputs + j->op->uses_keep) * j->block_bytes;
    worker *w = malloc(sizeof(worker) + 64 + (size_t)(blocks + j->partial_bytes));
    if (!w)
        return NULL;
    char *scratch = (char *)(w + 1);
    scratch += (64 - (size_t)scratch % 64) % 64;
    for (int k = 0; k < j->op->inputs; k++, scratch += j->block_bytes)
        w->block[k] = scratch;
    w->keep = scratch;
    w->partials = scratch + (j->op->uses_keep ? j->block_bytes : 0);
    w->job = j;
    w->alone = *j->plan;
    w->alone.indptr = NULL;
    w->failed = 0;
    return w;
}

static int run_serial(const job *j) {
    worker *w = open_worker(j);
    if (!w)
        return SMX_NO_MEMORY;
    const smx_fpstate before = smx_enter_fpstate();
    for (int part = 0; part < j->parts; part++)
        do_part(w, part);
    smx_leave_fpstate(before);
    const int failed = w->failed;
    free(w);
    return failed ? SMX_NO_MEMORY : SMX_DONE;
}

#ifdef _OPENMP

/* Such a segment reaches over the end of a part. */
static int run_with_all_threads(const job *j) {
    smx_plan alone = *j->plan;
    int status = SMX_DONE;
    ptrdiff_t done = -1;
    alone.indptr = NULL;
    for (int part = 1; part <= j->parts; part++) {
        const ptrdiff_t k = segment_at(j, part * j->share) - 1;
        if (k > done && is_for_all_threads(j, k)) {
            status |= run_alone(&alone, j, k, j->threads);
            done = k;
        }
    }
    return status;
}

static int run_parallel(const job *j) {
    smx_shares parts;
    int failed = 0;
    smx_share_out(&parts, j->parts, 1, j->threads, j->plan->call);
    smx_share_begins(j->plan->call);
#pragma omp parallel num_threads(j->threads) reduction(| : failed)
    {
        worker *w = open_worker(j);
        const smx_fpstate before = smx_enter_fpstate();
        for (ptrdiff_t part, end; w && smx_take(&parts, &part, &end);)
            for (; part < end; part++)
                do_part(w, (int)part);
        smx_leave_fpstate(before);
        failed |= !w || w->failed;
        free(w);
    }
    return failed ? SMX_NO_MEMORY : SMX_DONE;
}

#endif

static int is_in_order(const smx_plan *plan, const smx_operand *operand, ptrdiff_t beside, ptrdiff_t size) {
    return plan->outer_dims == 1 && operand->outer[0] == size && operand->inner[0] == beside * size &&
           smx_is_native(plan, operand, 1);
}

int smx_run_segments(smx_plan *plan) {
    job j;
    smx_simplify(plan);
    j.plan = plan;
    j.op = &plan->kernels->op[plan->op];
    j.size = (ptrdiff_t)plan->kernels->real_size;
    j.beside = 1;
    for (int d = 0; d < plan->outer_dims; d++)
        j.beside *= plan->outer_shape[d];
    for (int k = 0; k < j.op->inputs; k++)
        j.in_order[k] = is_in_order(plan, &plan->in[k], j.beside, j.size);
    j.out_in_order = is_in_order(plan, &plan->out, j.beside, j.size);

    const ptrdiff_t lanes = plan->kernels->lanes, elements = plan->inner_shape[0] * j.beside;
    /* As in the driver: at a power of two from one element to the next, all would fall into a few sets of the cache. */
    j.pitch = round_up(least(WINDOW_ROWS, elements), lanes) + lanes;
    j.block_bytes = round_up(least(SMX_SHORT, plan->inner_shape[0]) * j.pitch * j.size, 64);
    j.partial_bytes = SMX_PARTIALS * WINDOW_ROWS * j.size;
    j.is_far = smx_is_far(j.op->inputs + 1, elements * j.size);
    j.threads = smx_threads_for(plan, elements);
    j.parts = j.threads > 1 ? PARTS_PER_THREAD * j.threads : 1;
    j.share = weight_before(&j, plan->segments) / j.parts + 1;
#ifdef _OPENMP
    if (j.threads > 1)
        return run_with_all_threads(&j) | run_parallel(&j);
#endif
    return run_serial(&j);
}
