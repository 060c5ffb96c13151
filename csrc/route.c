/* The table of routes: which way a call takes, and how it is cut. access.c then decides where the operands of the route
   are read, and how its results are stored. For rows of one length, these two files hold every threshold and every
   decision of that kind, and no result depends on them.

   Routes are tried in the order of the table. "short" fits all short rows, and the last one fits everything:

       route         rows                              walk of reduce    where they are read
       tiny          all of a small call, contiguous   (see below)       in place, or a block
       packed        short and packed, derivatives     PACKED            in place
       packed blocks short, derivatives, copied        PACKED            blocks without padding
       few           few short ones, contiguous        SHORT_ROWS        in place
       short lines   short, side by side               SHORT_COLUMNS     in place if they fit the cache, else a block
       short         any other short ones              SHORT_COLUMNS     a block, into which they are transposed
       rows          long, contiguous                  ROWS              in place
       narrow lines  few long ones, side by side       NARROW_LINES      in place, or a block without padding
       lines         long, side by side                COLUMNS           in place if lines adjoin, else a block
       gathered      any                               ROWS              a block

   The array `routes` has no entry for a tiny call, which takes the walk of "rows", "few", "packed" or "short"
   (smx_is_tiny).

   Rows are side by side if they are nearer to one another than the elements of a row are. Only native reals are read in
   place. An array of another storage, byte order or alignment goes through a block, and so does a masked one.
   Derivatives compute so little that a block would cost half as much again, so their kernels read masks and 16 bits
   themselves. */

#include "access.h"
#include "arch.h"
#include "fpstate.h"
#include "strided.h"

enum {
    /* Bytes of a block of short rows. The block stays in the first-level cache, together with the block of what is
       saved. Derivatives take half of it if an array is a good part of the last-level cache, unless the rows lie side by
       side: their lines should be long. */
    SHORT_BLOCK = 8 * 1024,
    /* Bytes of the blocks of all inputs, for long rows side by side, and of several rows of many pieces: a part of the
       second-level cache. The blocks may grow up to LONGEST_BLOCK to make a line LONG_LINE bytes long. */
    LONG_BLOCK = 256 * 1024,
    LONGEST_BLOCK = 512 * 1024,
    LONG_LINE = 256,
    /* The most bytes of blocks that keep all pieces of a row: a part of the second-level cache, or of the last one.
       From there, they come in less time than they would take to be copied once more. */
    KEPT_PIECES = 2 * 1024 * 1024,
    /* Bytes of what a tile in ROWS reads, and of the first of the two blocks that reduce saves. This is half of the
       first-level cache; the other half is for the second block and for results. */
    ROWS_BLOCK = 16 * 1024,
    /* The same where finish is a long chain of operations, which takes as long for one row as for a vector of rows: a
       part of the second-level cache. */
    LONG_FINISH_BLOCK = 128 * 1024,
    /* The most bytes that count as within the cache, even if the cache is larger or its size is unknown. */
    MOST_IN_CACHE = 32 * 1024 * 1024,
    /* A last-level cache from this size on is shared by dozens of cores, and far from each of them: it takes several
       times as long to answer as one of 32 MB that eight cores share. */
    FAR_CACHE = 128 * 1024 * 1024,
    /* The most bytes that count as within the second-level cache. */
    IN_SECOND_LEVEL = 1536 * 1024,
    TILES_PER_THREAD = 4,
    /* Rows of so many pieces are worth looking ahead along, even if their loads wait for memory. */
    MANY_PIECES = 16,
    /* The most elements of a tiny call. For such a call, a route would be most of the work. */
    TINY = SMX_TINY_BLOCK / 8
};

/* So many bytes are beyond this machine's last-level cache, if one result has them (streams) or all arrays of a call
   together (smx_beyond_cache). It is three eighths of the cache: an input and a result of that size leave no room. */
static ptrdiff_t beyond_cache_from = MOST_IN_CACHE;

/* Loops prefetch what comes next if all arrays of a call together have so many bytes. */
static ptrdiff_t prefetched_from = MOST_IN_CACHE;

void smx_run_begin(size_t last_cache) {
    const size_t share = last_cache / 8 * 3;
    beyond_cache_from = share > 0 && share < MOST_IN_CACHE ? (ptrdiff_t)share : MOST_IN_CACHE;
    prefetched_from = last_cache < FAR_CACHE ? beyond_cache_from : IN_SECOND_LEVEL;
}

/* True if an array is a good part of the last-level cache. */
static int is_large(ptrdiff_t bytes) { return bytes >= beyond_cache_from / 2; }

int smx_beyond_cache(int arrays, ptrdiff_t bytes) { return arrays * bytes >= beyond_cache_from; }

/* ---- thresholds of the routes ----------------------------------------------------------------------------------- */

/* True if short rows are so few that they are better taken one by one. Side by side, they would leave most lanes empty.
   One by one, each row is a chain of additions that wait for one another. */
static int are_few(ptrdiff_t rows, ptrdiff_t n, int sums) { return rows <= sums / 4 && 16 * (rows - 1) <= n; }

/* True if rows lie side by side, and fill half of the lanes of the widest vector or more. With fewer rows, empty lanes
   cost more than gathering rows does. */
static int are_worth_columns(const smx_facts *c) { return c->by_lines[0] && 2 * c->neighbours >= c->sums; }

/* How many long rows, side by side, fit into blocks that stay in the second-level cache. */
static ptrdiff_t rows_of_long_block(const smx_facts *c) {
    const ptrdiff_t size = (ptrdiff_t)c->plan->kernels->real_size, line = LONG_LINE / size;
    const ptrdiff_t row_bytes = c->op->inputs * smx_min(c->n, SMX_PIECE) * size;
    return smx_max(LONG_BLOCK / row_bytes, smx_min(line, LONGEST_BLOCK / row_bytes));
}

/* How many rows a tile in COLUMNS has, if `fit` rows fit into its blocks: whole vectors, or the whole span. */
static int tile_of_columns(const smx_facts *c, ptrdiff_t fit, ptrdiff_t span) {
    const ptrdiff_t rows = smx_min(SMX_TILE_ROWS, smx_max(c->sums, smx_round_down(fit, c->sums)));
    return (int)smx_min(rows, span);
}

/* ---- the routes ------------------------------------------------------------------------------------------------- */

static int fits_packed(const smx_facts *c) {
    return smx_is_short(c) && c->op->reduce[SMX_WALK_PACKED] && !c->is_masked && !c->has_half &&
           smx_has_long_spans(c) && smx_are_all_packed(c);
}
/* Some input has to be copied row by row. Copies of packed rows take less time than turning them into columns. */
static int fits_packed_blocks(const smx_facts *c) {
    int needs_copy = 0;
    for (int k = 0; k < c->op->inputs; k++)
        needs_copy |= c->repeats[k] || (!c->along[k] && !c->by_lines[k]);
    return smx_is_short(c) && c->n > 1 && c->op->reduce[SMX_WALK_PACKED] && !c->is_masked && smx_has_long_spans(c) &&
           needs_copy;
}
static int fits_few(const smx_facts *c) {
    return smx_is_short(c) && c->op->reduce[SMX_WALK_SHORT_ROWS] && c->along[0] && are_few(c->rows, c->n, c->sums);
}
static int fits_short_lines(const smx_facts *c) { return smx_is_short(c) && are_worth_columns(c); }
static int fits_short(const smx_facts *c) { return smx_is_short(c); }
static int fits_rows(const smx_facts *c) { return c->along[0]; }
static int fits_narrow_lines(const smx_facts *c) {
    /* Strips would leave a fifth of the lanes empty, or more; and a line fits into two vectors. */
    const ptrdiff_t rows = c->neighbours, padded = smx_round_up(rows, c->sums);
    return smx_fit_narrow_lines(c) && 5 * rows <= 4 * padded && rows <= 2 * c->sums &&
           rows <= tile_of_columns(c, rows_of_long_block(c), rows);
}
static int fits_lines(const smx_facts *c) { return are_worth_columns(c) || smx_are_contiguous_lines(c); }
static int fits_any(const smx_facts *c) {
    (void)c;
    return 1;
}

typedef struct {
    const char *name;
    enum smx_layout layout;
    enum smx_walk walk;
    int (*fits)(const smx_facts *c);
    int takes_all; /* all short rows, or all long ones: it cannot be turned off */
} route;

static const route routes[] = {
    {"packed", SMX_ROWS, SMX_WALK_PACKED, fits_packed, 0},
    {"packed blocks", SMX_ROWS, SMX_WALK_PACKED, fits_packed_blocks, 0},
    {"few", SMX_ROWS, SMX_WALK_SHORT_ROWS, fits_few, 0},
    {"short lines", SMX_COLUMNS, SMX_WALK_SHORT_COLUMNS, fits_short_lines, 0},
    {"short", SMX_COLUMNS, SMX_WALK_SHORT_COLUMNS, fits_short, 1},
    {"rows", SMX_ROWS, SMX_WALK_ROWS, fits_rows, 0},
    {"narrow lines", SMX_COLUMNS, SMX_WALK_NARROW_LINES, fits_narrow_lines, 0},
    {"lines", SMX_COLUMNS, SMX_WALK_COLUMNS, fits_lines, 0},
    {"gathered", SMX_ROWS, SMX_WALK_ROWS, fits_any, 1},
};
enum { ROUTES = sizeof(routes) / sizeof(routes[0]) };

/* Number 0 is the tiny call, and the rows of the table follow. */
const char *smx_route_name(int number) {
    return number == 0 ? "tiny" : number <= ROUTES ? routes[number - 1].name : NULL;
}

static const route *find_route(const smx_facts *c) {
    const route *r = routes;
    while (!r->fits(c) || (!r->takes_all && !smx_may_take((int)(r - routes) + 1)))
        r++;
    return r;
}

/* ---- how a call is cut ------------------------------------------------------------------------------------------ */

/* Cuts each span into tiles; the first one has so many rows fewer than the others. */
static void count_tiles(smx_job *j, int first_tile_short_by) {
    j->first_tile_short_by = first_tile_short_by;
    j->tiles_per_span = (j->span + first_tile_short_by + j->tile_rows - 1) / j->tile_rows;
    j->tiles = j->rows / j->span * j->tiles_per_span;
}

/* Rows of a tile in COLUMNS, if all rows are one span: as many tiles for each thread, if there are only a few. */
static int share_out(const smx_job *j, const smx_facts *c) {
    const ptrdiff_t tiles = (j->span + j->tile_rows - 1) / j->tile_rows, threads = j->threads;
    if (tiles >= TILES_PER_THREAD * threads)
        return j->tile_rows;
    const ptrdiff_t even = (tiles + threads - 1) / threads * threads;
    return (int)smx_min(j->tile_rows, smx_round_up((j->span + even - 1) / even, c->sums));
}

static void cut(smx_job *j, const smx_facts *c, const route *r) {
    const ptrdiff_t piece = smx_min(j->n, SMX_PIECE);
    j->pieces = (j->n + SMX_PIECE - 1) / SMX_PIECE;
    j->span = c->neighbours;
    /* All short rows make one span if the last outer axis is too short for one. The rows are then found one by one. */
    if (smx_is_short(c) && !smx_has_long_spans(c) && r->layout == SMX_COLUMNS && !are_worth_columns(c))
        j->span = j->rows;
    j->constant_stride = j->span == c->neighbours;
    if (r->layout == SMX_COLUMNS || r->walk == SMX_WALK_PACKED) {
        const int takes_half = c->op->is_derivative && is_large(j->input_bytes) && !c->by_lines[0];
        const ptrdiff_t short_block = takes_half ? SHORT_BLOCK / 2 : SHORT_BLOCK;
        const ptrdiff_t fit = smx_is_short(c) ? short_block / (j->n * j->real_size) : rows_of_long_block(c);
        j->tile_rows = tile_of_columns(c, fit, j->span);
        if (j->threads > 1 && j->pieces == 1 && j->span == j->rows && r->walk != SMX_WALK_NARROW_LINES)
            j->tile_rows = share_out(j, c);
    } else {
        const ptrdiff_t share = j->rows / (TILES_PER_THREAD * (ptrdiff_t)j->threads);
        const ptrdiff_t row_bytes = (c->op->inputs + c->op->saves) * piece * j->real_size;
        const ptrdiff_t block = c->op->has_long_finish ? LONG_FINISH_BLOCK : ROWS_BLOCK;
        /* All pieces of a tile are reduced before the first is written, and should still be near then. */
        const ptrdiff_t near = LONG_BLOCK / (c->op->inputs * j->n * j->real_size);
        const ptrdiff_t rows = smx_min(SMX_ROWS_AT_ONCE, smx_min(share, smx_min(block / row_bytes, near)));
        j->tile_rows = (int)smx_min(smx_max(1, rows), j->span);
    }
    count_tiles(j, 0);
}

/* ---- all together ----------------------------------------------------------------------------------------------- */

/* True if reduce finds maxima ahead. It does not if arrays are large: a prefetch that is in time for the next tile is
   too late for looking ahead at it, so loads would wait for memory and exponentials for loads. Rows of many pieces are
   an exception. */
static int looks_ahead(const smx_job *j, const smx_facts *c) {
    return c->op->looks_ahead && j->layout == SMX_ROWS && !smx_is_short(c) && j->in_place[0] && !c->is_masked &&
           (j->pieces > 1 || j->plan->outer_dims == 1) && (!is_large(j->input_bytes) || j->pieces >= MANY_PIECES) &&
           smx_may(SMX_LOOK_AHEAD);
}

/* True if loops prefetch what comes next. From a far cache they do not in derivatives, which have too little arithmetic
   to hide it behind, nor in long columns, whose lines are known to the prefetchers of the processor. */
static int prefetches(const smx_job *j, const smx_facts *c, enum smx_walk walk) {
    const int are_foreseen = c->op->is_derivative || walk == SMX_WALK_COLUMNS;
    const ptrdiff_t from = are_foreseen ? beyond_cache_from : prefetched_from;
    return (c->op->inputs + c->op->elementwise) * j->input_bytes >= from && smx_may(SMX_PREFETCH_NEXT);
}

/* True if the worker can open the next tile by adding to the pointers of the last one. */
static int is_uniform(const smx_job *j, const smx_facts *c) {
    /* numbers of 16 bits that kernels read and write as they are */
    const int are_halves =
        c->op->is_derivative && j->output == SMX_ROUNDED && j->plan->in[0].storage == j->plan->out.storage;
    int is = j->plan->outer_dims == 1 && j->pieces == 1 && j->layout == SMX_ROWS && !c->is_masked &&
             !c->op->has_targets && (j->output == SMX_TO_ARRAY || j->output == SMX_AS_PACKED || are_halves);
    for (int k = 0; k < c->op->inputs; k++)
        is &= j->in_place[k];
    return is && smx_may(SMX_UNIFORM);
}

/* The function that does rows from their sums to their results. Its tiles need not fit the first-level cache as a
   whole. Packed rows are one stretch of memory, which the processor foresees by itself. */
static void choose_whole(smx_job *j, const smx_facts *c, enum smx_walk walk) {
    const int is_plain = j->uniform && j->temperature == j->plan->kernels->no_temperature;
    j->whole = is_plain && smx_may(SMX_WHOLE_ROWS) ? c->op->whole[walk] : NULL;
    if (!j->whole)
        return;
    const ptrdiff_t share = j->rows / (TILES_PER_THREAD * (ptrdiff_t)j->threads);
    const ptrdiff_t most = walk == SMX_WALK_PACKED ? SMX_TILE_ROWS : SMX_ROWS_AT_ONCE;
    j->tile_rows = (int)smx_max(j->tile_rows, smx_min(most, smx_round_down(share, c->sums)));
    count_tiles(j, 0);
    if (walk == SMX_WALK_PACKED)
        j->prefetches = 0;
}

/* Decides if the blocks of all pieces of a row are kept for write. If they are too many, those of the first input may
   take the place of the results: they are then what a copy of the array would be. */
static void keep_pieces(smx_job *j, const smx_facts *c) {
    const smx_plan *plan = j->plan;
    int is_loaded = c->is_masked && !j->masks_in_kernel, is_out_alone = j->output == SMX_TO_ARRAY;
    for (int k = 0; k < c->op->inputs; k++) {
        is_loaded |= !j->in_place[k];
        is_out_alone &= plan->in[k].data != plan->out.data;
    }
    if (j->pieces == 1 || !is_loaded || !c->op->elementwise || smx_shares_pieces(j))
        return;
    const ptrdiff_t bytes = j->pieces * j->piece_bytes;
    const int fit = c->op->inputs * bytes <= KEPT_PIECES && smx_may(SMX_KEEP_PIECES);
    j->keeps_in_output = !fit && is_out_alone && !j->in_place[0] && j->layout == SMX_ROWS && j->tile_rows == 1 &&
                         smx_may(SMX_KEEP_IN_OUTPUT);
    j->streams &= !j->keeps_in_output;
    if (smx_may(SMX_KEEP_PIECES) && (c->op->inputs - j->keeps_in_output) * bytes <= KEPT_PIECES)
        j->block_bytes *= j->pieces;
}

static void measure_scratch(smx_job *j, const smx_facts *c, enum smx_walk walk) {
    const int columns = j->layout == SMX_COLUMNS;
    const ptrdiff_t piece = smx_min(j->n, SMX_PIECE);
    int needs_stage = c->is_masked || c->has_half || (c->op->elementwise && !c->out_along && !c->out_adjacent);
    int needs_block = c->is_masked || (c->op->elementwise && j->output != SMX_TO_ARRAY && j->output != SMX_AS_PACKED);
    needs_block |= j->output == SMX_AS_PACKED && columns;
    for (int k = 0; k < c->op->inputs; k++) {
        needs_block |= !j->in_place[k];
        needs_stage |= !c->along[k] && !c->adjacent[k];
    }
    j->pitch = j->compact ? j->span : columns ? smx_round_up(j->tile_rows, c->sums) : smx_round_up(piece, SMX_STEP);
    if (walk == SMX_WALK_PACKED)
        j->pitch = piece;
    /* If the pitch were a power of two, all lines would fall into a few sets of the first-level cache. */
    if (columns && smx_is_short(c))
        j->pitch += c->sums;
    const ptrdiff_t block = smx_round_up(j->pitch * (columns ? piece : j->tile_rows) * j->real_size, 64);
    /* Every input has a block, even if only one input needs it. The shift needs one, too. */
    j->block_bytes = needs_block || c->op->may_shift ? block : 0;
    j->piece_bytes = block;
    keep_pieces(j, c);
    j->saved_bytes = j->saves ? (j->in_place[0] ? 2 : 1) * block : 0;
    j->partial_bytes = smx_round_up(j->pieces * SMX_PARTIALS * smx_round_up(j->tile_rows, c->sums) * j->real_size, 64);
    j->mask_bytes = c->is_masked ? smx_round_up(j->tile_rows * piece, 64) : 0;
    /* The stage is used before reduce saves and after write has read what was saved, so it may have the same memory. */
    j->stage_bytes = columns && !j->saves && needs_stage ? block : 0;
    j->scratch_bytes =
        c->op->inputs * j->block_bytes + j->saved_bytes + j->partial_bytes + j->stage_bytes + j->mask_bytes;
}

void smx_set_temperature(smx_job *j, const smx_plan *plan) {
    j->temperature = plan->kernels->no_temperature;
    if (plan->temperature != 1) {
        const smx_fpstate before = smx_enter_fpstate();
        plan->kernels->set_temperature(plan->temperature, j->own_temperature);
        smx_leave_fpstate(before);
        j->temperature = j->own_temperature;
    }
}

void smx_choose_route(smx_job *j, const smx_plan *plan, ptrdiff_t rows, ptrdiff_t n, int threads) {
    smx_facts c;
    smx_look_at(&c, plan, rows, n);
    const route *r = find_route(&c);
    j->plan = plan;
    j->op = c.op;
    smx_set_temperature(j, plan);
    j->real_size = (ptrdiff_t)plan->kernels->real_size;
    j->keeps_in_output = 0;
    j->rows = rows;
    j->n = n;
    j->input_bytes = rows * n * smx_item_size(plan, &plan->in[0]);
    j->threads = threads;
    j->route = r->name;
    j->layout = r->layout;
    j->reduce = c.op->reduce[r->walk];
    j->find_mask = smx_find_mask_of_rows;
    j->store_numbers = smx_store_numbers_of_rows;
    cut(j, &c, r);
    /* Rows that are found one by one have no row stride, so they are neither "along" nor "adjacent". */
    for (int k = 0; k < c.op->inputs; k++) {
        c.along[k] &= j->constant_stride;
        c.adjacent[k] &= j->constant_stride;
        c.by_lines[k] &= j->constant_stride;
    }
    c.out_along &= j->constant_stride;
    c.out_adjacent &= j->constant_stride;

    const int columns = j->layout == SMX_COLUMNS;
    j->saves = c.op->saves && j->pieces == 1 && (smx_is_short(&c) || (!columns && smx_may(SMX_SAVE)));
    j->compact =
        columns && j->tiles_per_span == 1 && (r->walk == SMX_WALK_NARROW_LINES || smx_are_contiguous_lines(&c));
    smx_choose_places(j, &c, r->walk);
    /* The output begins so many reals behind the start of a cache line. */
    const int into_line = (int)((uintptr_t)plan->out.data % SMX_CACHE_LINE / j->real_size);
    if (j->streams && columns && into_line < j->tile_rows)
        count_tiles(j, into_line);
    j->compact &= j->tiles_per_span == 1;
    smx_choose_functions(j, &c, r->walk);
    j->prefetches = prefetches(j, &c, r->walk);
    j->looks_ahead = looks_ahead(j, &c);
    j->uniform = is_uniform(j, &c);
    choose_whole(j, &c, r->walk);
    measure_scratch(j, &c, r->walk);
}

int smx_shares_pieces(const smx_job *j) {
    return j->threads > 1 && j->pieces > 1 && j->tiles < TILES_PER_THREAD * (ptrdiff_t)j->threads;
}

/* ---- tiny calls ------------------------------------------------------------------------------------------------- */

/* True if an operand of a plan with a single outer axis holds native reals, `size` bytes each. What smx_is_native asks,
   without its loops. */
static int are_native_reals(const smx_operand *operand, ptrdiff_t size) {
    const uintptr_t misaligned = (uintptr_t)operand->data | (uintptr_t)operand->outer[0];
    return operand->storage == SMX_REAL && !operand->swapped && (misaligned & (uintptr_t)(size - 1)) == 0;
}

/* True if an array of a number for each row is contiguous, and of reals. */
static int are_numbers_of_rows(const smx_operand *numbers, ptrdiff_t rows, ptrdiff_t size) {
    return are_native_reals(numbers, size) && (rows == 1 || numbers->outer[0] == size);
}

/* True if rows of one outer axis and one inner axis are nearer to one another than their elements are. */
static int is_by_lines(const smx_operand *x) {
    const ptrdiff_t row = x->outer[0], element = x->inner[0];
    return row != 0 && smx_max(row, -row) < smx_max(element, -element);
}

int smx_is_tiny(const smx_plan *plan, ptrdiff_t rows, ptrdiff_t n, smx_tiny_route *route) {
    const smx_kernels *kernels = plan->kernels;
    const smx_op_kernels *op = &kernels->op[plan->op];
    const ptrdiff_t size = (ptrdiff_t)kernels->real_size;
    const int is_plain = plan->outer_dims == 1 && plan->inner_dims == 1 && !plan->mask.data && plan->temperature == 1;
    if (rows * n > TINY || !is_plain || op->has_targets || !smx_may_take(0))
        return 0;
    const int along = n > SMX_SHORT ? rows <= SMX_ROWS_AT_ONCE
                                    : op->reduce[SMX_WALK_SHORT_ROWS] && are_few(rows, n, kernels->row_multiple);
    const int are_packed = n <= SMX_SHORT && rows <= SMX_TILE_ROWS && (op->reduce[SMX_WALK_PACKED] || op->inputs == 1);
    route->copied = 0;
    for (int k = 0; k < op->inputs + op->elementwise; k++) {
        const smx_operand *operand = k < op->inputs ? &plan->in[k] : &plan->out;
        /* The stride of a single row may be any. A copy is packed. */
        const int is_placed = along || rows == 1 || operand->outer[0] == n * size;
        if (is_placed && operand->inner[0] == size && are_native_reals(operand, size))
            continue;
        if (rows > 1 && is_by_lines(operand))
            return 0;
        route->copied |= 1 << k;
    }
    if ((!op->elementwise && !are_numbers_of_rows(&plan->out, rows, size)) ||
        (op->has_row_out && !are_numbers_of_rows(&plan->row_out, rows, size)))
        return 0;
    route->pitch =
        along ? smx_round_up(n, SMX_STEP) : smx_round_up(rows, kernels->row_multiple) + kernels->row_multiple;
    if ((!along && !are_packed) || route->pitch * (along ? rows : n) * size > SMX_TINY_BLOCK)
        return 0;
    if (along)
        route->reduce = route->write = n > SMX_SHORT ? SMX_WALK_ROWS : SMX_WALK_SHORT_ROWS;
    else {
        route->reduce = op->reduce[SMX_WALK_PACKED] ? SMX_WALK_PACKED : SMX_WALK_SHORT_COLUMNS;
        route->write = op->write[SMX_WALK_TRANSPOSED] ? SMX_WALK_TRANSPOSED : SMX_WALK_PACKED;
    }
    return op->reduce[route->reduce] && (!op->elementwise || op->write[route->write]);
}
