/* The table of routes: how a call is cut, where operands are read, and how results are stored. Every threshold and every
   decision about that is here, and none of them shows in a result.

   Routes are tried in the order of the table. "short" fits all short rows, and the last one fits everything:

       route         rows                                 walk of reduce        where they are read
       tiny          all of a small call, contiguous      that of the next      in place, or a block on the stack
       packed        short and packed, derivatives        PACKED                in place
       few           few short ones, contiguous           SHORT_ROWS            in place
       short lines   short, side by side                  SHORT_COLUMNS         in place if they fit the cache's sets, else a block
       short         any other short ones                 SHORT_COLUMNS         a block, into which they are transposed
       rows          long, contiguous                     ROWS                  in place
       narrow lines  few long ones, side by side          NARROW_LINES          in place, or a block without padding
       lines         long, side by side                   COLUMNS               in place if lines follow one another, else a block
       gathered      any                                  ROWS                  a block

   "In place" holds for the kernels' own reals. What has another storage, byte order or alignment goes through a block, and so
   does what is masked; only derivatives, whose arithmetic is so little that a block would cost half as much again, read masks
   and 16 bits themselves. */

#include "arch.h"
#include "facts.h"
#include "fpstate.h"
#include "strided.h"

enum {
    /* Bytes of a block of short rows: with what reduce saves beside it, it stays in the first-level cache. Derivatives
       compute little, and take half as much where arrays are a good part of the last cache. */
    SHORT_BLOCK = 8 * 1024,
    /* Bytes of the blocks of long rows side by side: a part of the second-level cache, and more where a line, which has one
       element of each row, would be shorter than LONG_LINE. */
    LONG_BLOCK = 256 * 1024,
    LONGEST_BLOCK = 512 * 1024,
    LONG_LINE = 256,
    /* Bytes that a tile of contiguous rows reads; what reduce saves counts as another input. This is half of the first-level
       cache: results, and the rest of what is saved, want some of it, too. */
    ROWS_BLOCK = 16 * 1024,
    /* Bytes of a result from which on it is written past any cache: nobody would find it there anyway. */
    STREAMED = 32 * 1024 * 1024,
    TILES_PER_THREAD = 4,
    /* Pieces of a row from which on looking ahead pays even where memory is waited for. */
    MANY_PIECES = 16,
    /* Elements of a call that is so small that routing it would be most of the work. */
    TINY = SMX_TINY_BLOCK / 8,
    /* The first-level cache: bytes of a way, and ways. */
    WAY = 4096,
    WAYS = 8,
    PAGE = 4096,
    /* Pages of lines beyond which finding the next tile costs more than waiting for it. */
    PAGES = 1024
};

/* STREAMED for this machine's cache: an input and a result of more than three eighths of it each leave no room. */
static ptrdiff_t streamed_from = STREAMED;

void smx_run_begin(size_t last_cache) {
    const size_t share = last_cache / 8 * 3;
    streamed_from = share > 0 && share < STREAMED ? (ptrdiff_t)share : STREAMED;
}

/* True if an array is a good part of the last cache. */
static int is_large(ptrdiff_t bytes) { return bytes >= streamed_from / 2; }

int smx_beyond_cache(int arrays, ptrdiff_t bytes) { return arrays * bytes >= streamed_from; }

/* ---- thresholds of the routes ---------------------------------------------------------------------------------------- */

/* Side by side, few rows leave most lanes empty; by itself, each row has a chain of additions. */
static int are_few(ptrdiff_t rows, ptrdiff_t n, int sums) { return rows <= sums / 4 && 16 * (rows - 1) <= n; }

/* Fewer rows side by side than half of the lanes waste more than gathering them costs. */
static int are_worth_columns(const smx_facts *c) { return c->adjacent[0] && 2 * c->neighbours >= c->sums; }

/* Long rows of a block that stays in the second-level cache. */
static ptrdiff_t rows_of_long_block(const smx_facts *c) {
    const ptrdiff_t size = (ptrdiff_t)c->plan->kernels->real_size, line = LONG_LINE / size;
    const ptrdiff_t row_bytes = c->op->inputs * smx_min(c->n, SMX_PIECE) * size;
    return smx_max(LONG_BLOCK / row_bytes, smx_min(line, LONGEST_BLOCK / row_bytes));
}

static int tile_of_columns(const smx_facts *c, ptrdiff_t fit, ptrdiff_t span) {
    const ptrdiff_t rows = smx_min(SMX_TILE_ROWS, smx_max(c->sums, smx_round_down(fit, c->sums)));
    return (int)smx_min(rows, span);
}

/* ---- the routes ---------------------------------------------------------------------------------------------------- */

static int fits_packed(const smx_facts *c) {
    return smx_is_short(c) && c->op->reduce[SMX_WALK_PACKED] && !c->is_masked && !c->has_half &&
           smx_has_long_spans(c) && smx_are_all_packed(c);
}
static int fits_few(const smx_facts *c) {
    return smx_is_short(c) && c->op->reduce[SMX_WALK_SHORT_ROWS] && c->along[0] && are_few(c->rows, c->n, c->sums);
}
static int fits_short_lines(const smx_facts *c) { return smx_is_short(c) && are_worth_columns(c); }
static int fits_short(const smx_facts *c) { return smx_is_short(c); }
static int fits_rows(const smx_facts *c) { return c->along[0]; }
static int fits_narrow_lines(const smx_facts *c) {
    /* A fifth of the lanes, or more, would be empty strip by strip; and a line is two vectors at most. */
    const ptrdiff_t rows = c->neighbours, padded = smx_round_up(rows, c->sums);
    return smx_are_contiguous_lines(c) && 5 * rows <= 4 * padded && rows <= 2 * c->sums &&
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
    {"few", SMX_ROWS, SMX_WALK_SHORT_ROWS, fits_few, 0},
    {"short lines", SMX_COLUMNS, SMX_WALK_SHORT_COLUMNS, fits_short_lines, 0},
    {"short", SMX_COLUMNS, SMX_WALK_SHORT_COLUMNS, fits_short, 1},
    {"rows", SMX_ROWS, SMX_WALK_ROWS, fits_rows, 0},
    {"narrow lines", SMX_COLUMNS, SMX_WALK_NARROW_LINES, fits_narrow_lines, 0},
    {"lines", SMX_COLUMNS, SMX_WALK_COLUMNS, fits_lines, 0},
    {"gathered", SMX_ROWS, SMX_WALK_ROWS, fits_any, 1},
};
enum { ROUTES = sizeof(routes) / sizeof(routes[0]) };

const char *smx_route_of_table(int k) { return k < ROUTES ? routes[k].name : NULL; }

/* What tests have turned off: bits of the table's rows, and of enum smx_option. */
static unsigned routes_off, options_off;
static int tiny_off;

void smx_turn(enum smx_switch what, int number, int off) {
    unsigned *bits = what == SMX_SWITCH_ROUTE ? &routes_off : &options_off;
    if (what == SMX_SWITCH_TINY)
        tiny_off = off;
    else
        *bits = off ? *bits | 1u << number : *bits & ~(1u << number);
}

static int may(enum smx_option option) { return !(options_off >> option & 1); }

static const route *find_route(const smx_facts *c) {
    const route *r = routes;
    while (!r->fits(c) || (!r->takes_all && routes_off >> (r - routes) & 1))
        r++;
    return r;
}

/* ---- how a call is cut ----------------------------------------------------------------------------------------------- */

static void count_tiles(smx_job *j, int first_tile_short_by) {
    j->first_tile_short_by = first_tile_short_by;
    j->tiles_per_span = (j->span + first_tile_short_by + j->tile_rows - 1) / j->tile_rows;
    j->tiles = j->rows / j->span * j->tiles_per_span;
}

static void cut(smx_job *j, const smx_facts *c, const route *r) {
    const ptrdiff_t piece = smx_min(j->n, SMX_PIECE);
    j->pieces = (j->n + SMX_PIECE - 1) / SMX_PIECE;
    j->span = c->neighbours;
    if (smx_is_short(c) && !smx_has_long_spans(c) && r->layout == SMX_COLUMNS && !are_worth_columns(c))
        j->span = j->rows;
    j->constant_stride = j->span == c->neighbours;
    if (r->layout == SMX_COLUMNS || r->walk == SMX_WALK_PACKED) {
        const ptrdiff_t short_block = c->op->is_derivative && is_large(j->input_bytes) ? SHORT_BLOCK / 2 : SHORT_BLOCK;
        const ptrdiff_t fit = smx_is_short(c) ? short_block / (j->n * j->real_size) : rows_of_long_block(c);
        j->tile_rows = tile_of_columns(c, fit, j->span);
    } else {
        const ptrdiff_t share = j->rows / (TILES_PER_THREAD * (ptrdiff_t)j->threads);
        const ptrdiff_t row_bytes = (c->op->inputs + c->op->saves) * piece * j->real_size;
        const ptrdiff_t rows = smx_min(SMX_ROWS_AT_ONCE, smx_min(share, ROWS_BLOCK / row_bytes));
        j->tile_rows = (int)smx_min(smx_max(1, rows), j->span);
    }
    count_tiles(j, 0);
}

/* ---- where inputs are read --------------------------------------------------------------------------------------------- */

/* True if COLUMNS are read where they are: lines that follow one another, or that are few and do not all fall into the same
   sets of the first-level cache. */
static int reads_lines(const smx_job *j, const smx_facts *c, int k) {
    const smx_plan *plan = j->plan;
    const int needs_block = c->op->reads_padding || (c->is_masked && !c->op->is_derivative) || !may(SMX_READ_LINES);
    if (needs_block || !c->adjacent[k] || plan->inner_dims != 1)
        return 0;
    const ptrdiff_t stride = plan->in[k].inner[0], bytes = j->tile_rows * smx_item_size(plan, &plan->in[k]);
    if (stride == bytes)
        return 1;
    const ptrdiff_t cache_lines = smx_round_up(bytes, SMX_CACHE_LINE) / SMX_CACHE_LINE;
    const ptrdiff_t power = (stride | WAY) & -(stride | WAY);
    /* after WAY / power lines, the next falls into the sets of the first */
    const ptrdiff_t sets = smx_min(WAY / SMX_CACHE_LINE, WAY / power * cache_lines);
    return smx_is_short(c) && c->op->inputs * j->n * cache_lines <= WAYS * sets;
}

static smx_load *load_of(const smx_job *j, const smx_facts *c, int k) {
    const int is_half = j->plan->in[k].storage != SMX_REAL, columns = j->layout == SMX_COLUMNS;
    if (columns && c->adjacent[k])
        return j->compact ? smx_load_compact_lines : smx_load_lines;
    if (columns && (c->along[k] || is_half))
        return smx_load_transposed;
    if (is_half)
        return smx_load_half;
    return !columns && c->along[k] && c->is_masked ? smx_load_masked : smx_load_gathered;
}

static void choose_inputs(smx_job *j, const smx_facts *c) {
    const smx_plan *plan = j->plan;
    int masks = c->is_masked && c->op->is_derivative && may(SMX_MASK_IN_KERNEL);
    int halves = !c->is_masked && c->op->is_derivative && may(SMX_HALF_IN_KERNEL);
    for (int k = 0; k < c->op->inputs; k++) {
        const enum smx_storage storage = plan->in[k].storage;
        const int is_near = j->layout == SMX_COLUMNS ? reads_lines(j, c, k) : c->along[k];
        j->in_place[k] = is_near && storage == SMX_REAL;
        masks &= j->in_place[k];
        halves &= is_near && storage != SMX_REAL && storage == plan->out.storage;
    }
    j->masks_in_kernel = masks;
    for (int k = 0; k < c->op->inputs; k++)
        j->in_place[k] |= halves;
}

/* ---- how results are stored -------------------------------------------------------------------------------------------- */

static smx_store *store_of(const smx_job *j, const smx_facts *c) {
    const int is_half = j->plan->out.storage != SMX_REAL;
    if (j->layout == SMX_COLUMNS && (c->out_along || (is_half && !c->out_adjacent)))
        return smx_store_transposed;
    if (!is_half)
        return smx_store_scattered;
    return j->layout == SMX_ROWS ? smx_store_half : smx_store_half_lines;
}

/* True if results have a place of their own in the output, in the order in which write makes them. */
static int has_place(const smx_job *j, const smx_facts *c) {
    if (j->layout == SMX_ROWS)
        return c->out_along;
    return c->op->elementwise && j->plan->inner_dims == 1 && c->out_adjacent;
}

static enum smx_output output_of(const smx_job *j, const smx_facts *c, enum smx_walk walk) {
    const int is_half = j->plan->out.storage != SMX_REAL, columns = j->layout == SMX_COLUMNS;
    if (!c->op->elementwise)
        return SMX_NO_ELEMENTS;
    if (walk == SMX_WALK_PACKED)
        return SMX_AS_PACKED;
    if (has_place(j, c)) {
        if (!is_half)
            return SMX_TO_ARRAY;
        /* Lines of a compact block are rounded one by one if they fill whole vectors, else all at once in the block. */
        const int by_lines = !j->compact || j->span % c->sums == 0;
        return by_lines && !c->op->has_labels && may(SMX_ROUND_IN_KERNEL) ? SMX_ROUNDED : SMX_TO_BLOCK;
    }
    if (!columns || !smx_is_short(c) || c->op->has_labels)
        return SMX_TO_BLOCK;
    if (!j->saves && c->op->write[SMX_WALK_PACKED] && smx_are_all_packed(c) && may(SMX_WRITE_PACKED))
        return SMX_AS_PACKED;
    return j->saves && c->op->write[SMX_WALK_TRANSPOSED] && c->out_along && !is_half && may(SMX_WRITE_TRANSPOSED)
               ? SMX_TRANSPOSED
               : SMX_TO_BLOCK;
}

/* True if large results are to be written past the cache. An output that is an input is in the cache, and only whole cache
   lines go past it well. */
static int streams(const smx_job *j, const smx_facts *c) {
    const smx_plan *plan = j->plan;
    int fits = j->output == SMX_TO_ARRAY && (j->layout == SMX_ROWS || plan->out.inner[0] % SMX_CACHE_LINE == 0);
    fits |= j->layout == SMX_ROWS && j->output == SMX_AS_PACKED && (uintptr_t)plan->out.data % SMX_CACHE_LINE == 0;
    for (int k = 0; k < c->op->inputs; k++)
        fits &= plan->in[k].data != plan->out.data;
    return fits && j->rows * j->n * j->real_size >= streamed_from && may(SMX_STREAM);
}

/* ---- all together -------------------------------------------------------------------------------------------------------- */

/* Loads that wait for memory would make the exponentials wait: where arrays are large, what is prefetched in time for a tile
   still comes too late for looking ahead, except along a row that goes on for long. */
static int looks_ahead(const smx_job *j, const smx_facts *c) {
    return c->op->looks_ahead && j->layout == SMX_ROWS && !smx_is_short(c) && j->in_place[0] && !c->is_masked &&
           (j->pieces > 1 || j->plan->outer_dims == 1) && (!is_large(j->input_bytes) || j->pieces >= MANY_PIECES) &&
           may(SMX_LOOK_AHEAD);
}

/* True if it is known where the next tile or piece of input k is, and worth asking for. */
static int prefetches(const smx_job *j, const smx_facts *c, int k) {
    const smx_operand *x = &j->plan->in[k];
    const ptrdiff_t stride = smx_max(x->inner[0], -x->inner[0]);
    const ptrdiff_t line_bytes = c->op->inputs * smx_min(j->n, SMX_PIECE) * smx_min(PAGE, stride);
    return j->constant_stride && j->plan->inner_dims == 1 && x->storage == SMX_REAL &&
           (j->layout == SMX_ROWS || line_bytes <= PAGES * PAGE);
}

static int is_uniform(const smx_job *j, const smx_facts *c) {
    int is = j->plan->outer_dims == 1 && j->pieces == 1 && j->layout == SMX_ROWS && !c->is_masked && !c->has_half &&
             !c->op->has_labels && !c->op->has_row_out && (j->output == SMX_TO_ARRAY || j->output == SMX_AS_PACKED);
    for (int k = 0; k < c->op->inputs; k++)
        is &= j->in_place[k];
    return is && may(SMX_UNIFORM);
}

/* The write of a walk; NARROW_LINES only where the results, too, are lines that follow one another. */
static smx_write *write_of(const smx_job *j, const smx_facts *c, enum smx_walk walk) {
    const int is_array = j->output == SMX_TO_ARRAY || j->output == SMX_ROUNDED;
    if (walk == SMX_WALK_NARROW_LINES && is_array &&
        (j->output == SMX_ROUNDED || j->plan->out.inner[0] != j->span * j->real_size))
        walk = SMX_WALK_COLUMNS;
    return c->op->write[walk];
}

static void measure_scratch(smx_job *j, const smx_facts *c) {
    const int columns = j->layout == SMX_COLUMNS;
    const ptrdiff_t piece = smx_min(j->n, SMX_PIECE);
    int needs_block = c->is_masked || (c->op->elementwise && j->output != SMX_TO_ARRAY && j->output != SMX_AS_PACKED);
    needs_block |= j->output == SMX_AS_PACKED && columns;
    for (int k = 0; k < c->op->inputs; k++)
        needs_block |= !j->in_place[k];
    j->pitch = j->compact ? j->span : columns ? smx_round_up(j->tile_rows, c->sums) : smx_round_up(piece, SMX_STEP);
    /* At a power of two from one element to the next, all would fall into a few sets of the first-level cache. */
    if (columns && smx_is_short(c))
        j->pitch += c->sums;
    const ptrdiff_t block = smx_round_up(j->pitch * (columns ? piece : j->tile_rows) * j->real_size, 64);
    /* Every input has a block even if only one needs it: rows that are too large are shifted in one. */
    j->block_bytes = needs_block || c->op->may_shift ? block : 0;
    j->saved_bytes = j->saves ? (j->in_place[0] ? 2 : 1) * block : 0;
    j->partial_bytes = smx_round_up(j->pieces * SMX_PARTIALS * smx_round_up(j->tile_rows, c->sums) * j->real_size, 64);
    j->mask_bytes = c->is_masked ? smx_round_up(j->tile_rows * piece, 64) : 0;
    /* What reduce saves for write is of no use before or after: the stage may be in its place. */
    j->stage_bytes = columns && !j->saves && (c->is_masked || c->has_half) ? block : 0;
    j->scratch_bytes =
        c->op->inputs * j->block_bytes + j->saved_bytes + j->partial_bytes + j->stage_bytes + j->mask_bytes;
}

void smx_choose_route(smx_job *j, const smx_plan *plan, ptrdiff_t rows, ptrdiff_t n, int threads) {
    smx_facts c;
    smx_look_at(&c, plan, rows, n);
    const route *r = find_route(&c);
    j->plan = plan;
    j->op = c.op;
    j->temperature = plan->kernels->no_temperature;
    if (plan->temperature != 1) {
        const smx_fpstate before = smx_enter_fpstate();
        plan->kernels->set_temperature(plan->temperature, j->own_temperature);
        smx_leave_fpstate(before);
        j->temperature = j->own_temperature;
    }
    j->real_size = (ptrdiff_t)plan->kernels->real_size;
    j->rows = rows;
    j->n = n;
    j->input_bytes = rows * n * smx_item_size(plan, &plan->in[0]);
    j->threads = threads;
    j->route = r->name;
    j->layout = r->layout;
    j->reduce = c.op->reduce[r->walk];
    j->open_piece = smx_open_piece;
    j->write_piece = smx_write_piece;
    cut(j, &c, r);
    /* Rows that are found one by one have no strides. */
    for (int k = 0; k < c.op->inputs; k++) {
        c.along[k] &= j->constant_stride;
        c.adjacent[k] &= j->constant_stride;
    }
    c.out_along &= j->constant_stride;
    c.out_adjacent &= j->constant_stride;

    const int columns = j->layout == SMX_COLUMNS;
    j->saves = c.op->saves && j->pieces == 1 && (smx_is_short(&c) || (!columns && may(SMX_SAVE)));
    choose_inputs(j, &c);
    j->compact = columns && j->tiles_per_span == 1 && smx_are_contiguous_lines(&c);
    j->output = output_of(j, &c, r->walk);
    j->streams = streams(j, &c);
    const int into_line = (int)((uintptr_t)plan->out.data % SMX_CACHE_LINE / j->real_size);
    if (j->streams && columns && into_line < j->tile_rows)
        count_tiles(j, into_line);
    j->compact &= j->tiles_per_span == 1;
    j->write = write_of(j, &c, r->walk);
    j->store = store_of(j, &c);
    for (int k = 0; k < c.op->inputs; k++)
        j->load[k] = load_of(j, &c, k);
    j->row_results_adjacent = c.out_adjacent;
    if (c.op->has_row_out)
        j->row_results_adjacent = j->constant_stride && smx_is_native(plan, &plan->row_out, 0) &&
                                  smx_row_bytes(&c, &plan->row_out) == smx_item_size(plan, &plan->row_out);
    j->beyond_cache = smx_beyond_cache(c.op->inputs + c.op->elementwise, j->input_bytes) && may(SMX_PREFETCH_NEXT);
    for (int k = 0; k < c.op->inputs; k++)
        j->prefetches[k] = prefetches(j, &c, k);
    j->looks_ahead = looks_ahead(j, &c);
    j->uniform = is_uniform(j, &c);
    measure_scratch(j, &c);
}

int smx_shares_pieces(const smx_job *j) {
    return j->threads > 1 && j->pieces > 1 && j->tiles < TILES_PER_THREAD * (ptrdiff_t)j->threads;
}

/* ---- tiny calls ------------------------------------------------------------------------------------------------------------ */

int smx_is_tiny(const smx_plan *plan, ptrdiff_t rows, ptrdiff_t n, smx_tiny_route *route) {
    const smx_kernels *kernels = plan->kernels;
    const smx_op_kernels *op = &kernels->op[plan->op];
    const ptrdiff_t size = (ptrdiff_t)kernels->real_size;
    const int is_plain = plan->outer_dims == 1 && plan->inner_dims == 1 && !plan->mask.data && plan->temperature == 1;
    if (rows * n > TINY || !is_plain || !op->elementwise || op->has_row_out || op->has_labels || tiny_off)
        return 0;
    int are_packed = n <= SMX_SHORT && rows <= SMX_TILE_ROWS && (op->reduce[SMX_WALK_PACKED] || op->inputs == 1);
    for (int k = 0; k <= op->inputs; k++) {
        const smx_operand *operand = k < op->inputs ? &plan->in[k] : &plan->out;
        if (operand->storage != SMX_REAL || operand->inner[0] != size || !smx_is_native(plan, operand, 1))
            return 0;
        are_packed &= rows == 1 || operand->outer[0] == n * size; /* the stride of a single row may be any */
    }
    const int along = n > SMX_SHORT ? rows <= SMX_ROWS_AT_ONCE
                                    : op->reduce[SMX_WALK_SHORT_ROWS] && are_few(rows, n, kernels->row_multiple);
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
    return op->reduce[route->reduce] && op->write[route->write];
}
