/* Runs a plan: rows -> tiles -> pieces -> threads. No arithmetic and no SIMD: kernels.h says what a kernel does.

   The plan's rows are cut into tiles, a tile's rows into pieces; each is handed to the kernels where it lies in memory
   if one of their two layouts fits, else by way of a block that stays in the cache:

       rows of up to SMX_SHORT elements        COLUMNS, through a block, many rows side by side
       ... that follow one another             derivatives: ROWS, in place, as a run; log_softmax: written so
       very few of them, contiguous            ROWS, in place (softmax, log_softmax, logsumexp)
       longer rows, contiguous                 ROWS, in place
       rows that lie side by side              COLUMNS, in place (see reads_lines) or through a block
       any others                              ROWS, gathered into a block

   Whatever is no array of the kernels' reals goes through a block, too: there masks are applied, and numbers of 16 bits
   widened and rounded. Only in ROWS do kernels themselves: results are rounded, and derivatives, whose arithmetic is so
   little that a block would cost half as much again, take masks and 16 bits.

   Neither the cut nor the layout nor the thread shows in a result.

   Threads take whole tiles where there are enough of them, else pieces: first all threads reduce, then each finishes what
   it is to write, and writes. */

#include "arch.h"
#include "fpstate.h"
#include "plan.h"
#include "segments.h"
#include "shares.h"
#include "strided.h"
#include "threads.h"

#include <stdlib.h>
#include <string.h>

enum {
    /* Bytes in one block of a tile of short rows: with what reduce keeps beside it, it stays in the first-level cache. Half as
       many of derivatives, which compute little, where arrays are a good part of the last cache. */
    SHORT_BLOCK = 8 * 1024,
    /* Bytes in the blocks of a tile of long rows side by side: a part of the second-level cache, more of it where a line, of
       one element of each of them, would be shorter than LONG_LINE. */
    LONG_BLOCK = 256 * 1024,
    LONGEST_BLOCK = 512 * 1024,
    LONG_LINE = 256,
    /* Bytes that a tile of contiguous rows reads; where something is kept for write, that counts as another input. Half of
       the first-level cache: results, and the rest of what is kept, want some of it, too. */
    ROWS_BLOCK = 16 * 1024,
    /* Reals in the stage, where it holds lines of a block. */
    LINES_STAGE = 1024,
    /* Bytes of scratch that come from the stack. */
    STACK_SCRATCH = 32 * 1024,
    /* Bytes of a result from which on it is written past any cache: nobody will find it there anyway. */
    STREAMED = 32 * 1024 * 1024,
    TILES_PER_THREAD = 4,
    /* Pieces of a row from which on looking ahead pays even where memory is waited for. */
    MANY_PIECES = 16,
    /* Elements of a call that are so few that how they are cut would be most of the work; and bytes of a block of them, which
       is on the stack. */
    AT_ONCE = 1024,
    BLOCK_AT_ONCE = 8 * AT_ONCE
};

/* The same for this machine's cache. Inputs and results of more than three eighths of it each leave no room. What is asked for
   and looked at ahead depends on it, too, and how large blocks are. */
static ptrdiff_t streamed_from = STREAMED;

void smx_run_begin(size_t last_cache) {
    const size_t share = last_cache / 8 * 3;
    streamed_from = share > 0 && share < STREAMED ? (ptrdiff_t)share : STREAMED;
}

/* Whether an array is a good part of the last cache. */
static int is_large(ptrdiff_t bytes) { return bytes >= streamed_from / 2; }

int smx_is_far(int arrays, ptrdiff_t bytes) { return arrays * bytes >= streamed_from; }

typedef struct {
    const smx_plan *plan;
    const smx_op_kernels *op;
    const void *temperature;
    double own_temperature[SMX_TEMPERATURE];
    ptrdiff_t size; /* of a real */
    enum smx_layout layout;
    ptrdiff_t n, pieces, rows;
    ptrdiff_t bytes; /* of an input */
    /* Rows are numbered along the outer axes, and a tile lies within a run of them. Its rows are evenly spaced if that is
       a run of the last outer axis; several short such runs may be taken as one, whose rows are found one by one. */
    ptrdiff_t run, tiles_in_run, tiles;
    int tile_rows, evenly_spaced;
    int missing; /* rows that the first tile of a run has less, so that the others begin with a line of the cache */
    int keeps; /* reduce leaves its work for write */
    int streams; /* results are written past the cache */
    int is_far; /* what comes next is not in the cache */
    int is_native[SMX_MAX_INPUTS];
    int in_place[SMX_MAX_INPUTS]; /* the kernels could read the input where it is, were it not for a mask or a shift */
    int out_in_place;
    /* The first and the last where the mask and the values allow it. */
    int masks_in_kernels, widens_in_kernels, rounds_in_kernels;
    int side_by_side[SMX_MAX_INPUTS]; /* COLUMNS: a tile's rows are neighbours in memory */
    int along[SMX_MAX_INPUTS]; /* COLUMNS: each of its rows is contiguous, and they are evenly spaced */
    int out_along, out_side_by_side;
    /* COLUMNS: rows follow one another, and write, or reduce as well, takes them as they are in memory. */
    int writes_as_run, reduces_as_run;
    int is_masked;
    int is_even; /* each tile lies as the one before does, so many rows further on */
    int looks_ahead; /* reduce may look at the next piece, or tile */
    /* Few long rows side by side, whose lines follow one another in memory, do so in a block, too: masks are applied, and 16
       bits widened, by whole vectors, and kernels take them so. */
    int is_compact;
    int rows_side_by_side; /* results of one number a row are neighbours */
    ptrdiff_t width; /* of a block: in COLUMNS from an element to the next, in ROWS from a row to the next */
    ptrdiff_t block_bytes, keep_bytes, partial_bytes, stage_bytes, mask_bytes, scratch_bytes;
    int threads;
} job;

typedef struct {
    const job *job;
    char *block[SMX_MAX_INPUTS], *keep, *partials;
    char *stage, *mask_block; /* rows on their way to or from a block of columns; the mask's bytes */
    smx_view mask; /* of the piece, in bytes */
    smx_tile tile;
    ptrdiff_t first; /* row of the tile */
    int is_open; /* the tile is one of an even job, read and written where it lies */
    ptrdiff_t found_for; /* the piece, numbered through all tiles, of which something has been found out ahead, or -1 */
    double found[SMX_FOUND];
    int64_t label[SMX_TILE_ROWS];
    double factor[SMX_TILE_ROWS]; /* room for reals */
} worker;

/* To multiples of a power of two. Small calls count their divisions. */
static ptrdiff_t round_down(ptrdiff_t x, ptrdiff_t step) { return x & -step; }
static ptrdiff_t round_up(ptrdiff_t x, ptrdiff_t step) { return round_down(x + step - 1, step); }
static ptrdiff_t least(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }
static ptrdiff_t most(ptrdiff_t a, ptrdiff_t b) { return a > b ? a : b; }

/* ---- how the work is cut ------------------------------------------------------------------------------------------ */

static int along_inner(const job *j, const smx_operand *operand, int is_native) {
    return is_native && j->plan->inner_dims == 1 && operand->inner[0] == smx_item_size(j->plan, operand);
}

static int along_outer(const job *j, const smx_operand *operand, int is_native) {
    return is_native && operand->outer[j->plan->outer_dims - 1] == smx_item_size(j->plan, operand);
}

/* Whether kernels take the rows as lines that follow one another, however few they are. Of derivatives, only reals that
   are not masked. */
static int are_narrow_lines(const job *j) {
    const smx_plan *plan = j->plan;
    const ptrdiff_t neighbours = plan->outer_shape[plan->outer_dims - 1];
    if (!j->op->takes_narrow_lines || j->n <= SMX_SHORT || plan->inner_dims != 1)
        return 0;
    for (int k = 0; k < j->op->inputs; k++) {
        const smx_operand *x = &plan->in[k];
        const int is_taken = !j->op->is_derivative || (x->storage == SMX_REAL && !plan->mask.data);
        if (!is_taken || !along_outer(j, x, j->is_native[k]) || x->inner[0] != neighbours * smx_item_size(plan, x))
            return 0;
    }
    return 1;
}

/* Side by side, few rows leave most of the lanes empty; by themselves, each has a chain of additions. */
static int are_few_short_rows(const smx_plan *plan, ptrdiff_t rows, ptrdiff_t n) {
    return plan->kernels->op[plan->op].has_short_rows && rows <= plan->kernels->lanes / 4 && 16 * (rows - 1) <= n;
}

static void count_tiles(job *j, int missing) {
    j->missing = missing;
    j->tiles_in_run = (j->run + missing + j->tile_rows - 1) / j->tile_rows;
    j->tiles = j->rows / j->run * j->tiles_in_run;
}

static void choose_layout(job *j) {
    const smx_plan *plan = j->plan;
    const int lanes = plan->kernels->lanes;
    const ptrdiff_t neighbours = plan->outer_shape[plan->outer_dims - 1];
    for (int k = 0; k < j->op->inputs; k++)
        j->is_native[k] = smx_is_native(plan, &plan->in[k], 1);
    /* Side by side, fewer rows than half of the lanes waste more than gathering them costs, unless they are taken as lines. */
    const int columns =
        along_outer(j, &plan->in[0], j->is_native[0]) && (neighbours >= lanes / 2 || are_narrow_lines(j));
    const ptrdiff_t piece = least(j->n, SMX_PIECE);
    const int short_rows = j->n <= SMX_SHORT;

    const int along = along_inner(j, &plan->in[0], j->is_native[0]);
    const int few = along && are_few_short_rows(plan, j->rows, j->n);

    j->layout = (short_rows && !few) || (columns && !along) ? SMX_COLUMNS : SMX_ROWS;
    /* A short run fills too few lanes of COLUMNS, unless its rows are side by side anyway. */
    j->run = j->layout == SMX_ROWS || columns || neighbours >= lanes ? neighbours : j->rows;
    j->evenly_spaced = j->run == neighbours;
    j->pieces = (j->n + SMX_PIECE - 1) / SMX_PIECE;
    if (j->layout == SMX_COLUMNS) {
        const ptrdiff_t row_bytes = j->op->inputs * piece * j->size, line = LONG_LINE / j->size;
        const ptrdiff_t short_block = j->op->is_derivative && is_large(j->bytes) ? SHORT_BLOCK / 2 : SHORT_BLOCK;
        const ptrdiff_t fit = short_rows ? short_block / (j->n * j->size)
                                         : most(LONG_BLOCK / row_bytes, least(line, LONGEST_BLOCK / row_bytes));
        j->tile_rows = (int)least(SMX_TILE_ROWS, most(lanes, round_down(fit, lanes)));
    } else {
        const ptrdiff_t share = j->rows / (TILES_PER_THREAD * (ptrdiff_t)j->threads);
        const ptrdiff_t row_bytes = (j->op->inputs + j->op->uses_keep) * piece * j->size;
        j->tile_rows = (int)most(1, least(SMX_ROWS_AT_ONCE, least(share, ROWS_BLOCK / row_bytes)));
    }
    j->tile_rows = (int)least(j->tile_rows, j->run);
    count_tiles(j, 0);
}

/* Whether rows, if each of them is contiguous, follow one another. */
static int is_run(const job *j, const smx_operand *operand, int is_along) {
    return is_along && operand->outer[j->plan->outer_dims - 1] == j->n * smx_item_size(j->plan, operand);
}

/* Whether COLUMNS are read where they are: lines that follow one another, or that are few and do not all fall into the
   same sets of the cache. */
static int reads_lines(const job *j, int k) {
    enum { WAY = 4096, WAYS = 8 }; /* of a first-level cache */
    const smx_plan *plan = j->plan;
    const int is_masked = j->is_masked && !j->op->is_derivative;
    if (!j->op->takes_lines || is_masked || !j->side_by_side[k] || plan->inner_dims != 1)
        return 0;
    const ptrdiff_t apart = plan->in[k].inner[0], bytes = j->tile_rows * smx_item_size(plan, &plan->in[k]);
    if (apart == bytes)
        return 1;
    const ptrdiff_t lines = round_up(bytes, SMX_CACHE_LINE) / SMX_CACHE_LINE, even = (apart | WAY) & -(apart | WAY);
    /* after WAY / even of them, the next falls into the sets of the first */
    const ptrdiff_t sets = least(WAY / SMX_CACHE_LINE, WAY / even * lines);
    return j->n <= SMX_SHORT && j->op->inputs * j->n * lines <= WAYS * sets;
}

static void choose_memory(job *j) {
    const smx_plan *plan = j->plan;
    const int columns = j->layout == SMX_COLUMNS, even = j->evenly_spaced;
    const ptrdiff_t piece = least(j->n, SMX_PIECE);
    int needs_block = 0, has_half = plan->out.storage != SMX_REAL;
    j->is_masked = plan->mask.data != NULL;
    j->masks_in_kernels = j->is_masked && j->op->is_derivative;
    j->widens_in_kernels = !j->is_masked && j->op->is_derivative;
    for (int k = 0; k < j->op->inputs; k++) {
        j->along[k] = even && along_inner(j, &plan->in[k], j->is_native[k]);
        j->side_by_side[k] = columns && even && along_outer(j, &plan->in[k], j->is_native[k]);
        const int is_near = columns ? reads_lines(j, k) : j->along[k];
        j->in_place[k] = is_near && plan->in[k].storage == SMX_REAL;
        j->masks_in_kernels &= j->in_place[k];
        j->widens_in_kernels &= is_near && plan->in[k].storage != SMX_REAL && plan->in[k].storage == plan->out.storage;
        needs_block |= !j->in_place[k] || j->is_masked;
        has_half |= plan->in[k].storage != SMX_REAL;
    }
    const int out_is_native = smx_is_native(plan, &plan->out, j->op->elementwise);
    j->out_along = j->op->elementwise && even && along_inner(j, &plan->out, out_is_native);
    j->out_side_by_side = even && along_outer(j, &plan->out, out_is_native);
    j->rows_side_by_side = j->out_side_by_side;
    if (j->op->has_row_out)
        j->rows_side_by_side = even && along_outer(j, &plan->row_out, smx_is_native(plan, &plan->row_out, 0));
    j->out_in_place = columns ? j->op->elementwise && plan->inner_dims == 1 && j->out_side_by_side : j->out_along;
    j->rounds_in_kernels = j->out_in_place && plan->out.storage != SMX_REAL && !j->op->has_labels;
    j->out_in_place &= plan->out.storage == SMX_REAL;
    needs_block |= j->op->elementwise && !j->out_in_place;

    j->keeps = j->op->uses_keep && j->pieces == 1 && (!columns || j->n <= SMX_SHORT);
    j->writes_as_run = columns && j->n <= SMX_SHORT && j->op->elementwise && !j->op->has_labels && !j->keeps &&
                       !j->out_in_place && is_run(j, &plan->out, j->out_along);
    for (int k = 0; k < j->op->inputs; k++) {
        const enum smx_storage storage = plan->in[k].storage;
        const int is_taken = storage == SMX_REAL || (j->op->is_derivative && !j->is_masked);
        j->writes_as_run &= is_run(j, &plan->in[k], j->along[k]) && is_taken && storage == plan->out.storage;
    }
    j->writes_as_run &= !j->is_masked || j->op->is_derivative;
    j->reduces_as_run = j->writes_as_run && j->op->reduces_runs && !j->is_masked && !has_half;

    j->is_even = plan->outer_dims == 1 && j->pieces == 1 && !j->is_masked && !has_half && j->op->elementwise &&
                 !j->op->has_labels && !j->op->has_row_out && (j->reduces_as_run || (!columns && j->out_in_place));
    for (int k = 0; k < j->op->inputs; k++)
        j->is_even &= j->reduces_as_run || j->in_place[k];

    /* What is written in place of an input is in the cache; and only whole lines of it go past it well. */
    const int is_aligned = !columns || plan->out.inner[0] % SMX_CACHE_LINE == 0;
    const int is_aligned_run = j->reduces_as_run && (uintptr_t)plan->out.data % SMX_CACHE_LINE == 0;
    j->streams = j->rows * j->n * j->size >= streamed_from && ((j->out_in_place && is_aligned) || is_aligned_run);
    for (int k = 0; k < j->op->inputs; k++)
        j->streams &= plan->in[k].data != plan->out.data;
    const int into_line = (int)((uintptr_t)plan->out.data % SMX_CACHE_LINE / j->size);
    if (j->streams && columns && into_line < j->tile_rows)
        count_tiles(j, into_line);

    j->is_far = smx_is_far(j->op->inputs + j->op->elementwise, j->bytes);
    /* Loads that wait for memory would make the exponentials wait: what is asked for in time still comes too late for them, but
       along a row that goes on for long. */
    const int is_found_ahead = !columns && j->in_place[0] && !j->is_masked && (j->pieces > 1 || plan->outer_dims == 1);
    j->looks_ahead =
        j->op->looks_ahead && j->n > SMX_SHORT && is_found_ahead && (!is_large(j->bytes) || j->pieces >= MANY_PIECES);

    j->is_compact = columns && j->tiles_in_run == 1 && are_narrow_lines(j);
    /* Lines that fill whole vectors are rounded one by one, others all at once, in the block. */
    j->rounds_in_kernels &= !j->is_compact || j->run % plan->kernels->lanes == 0;
    j->width = j->is_compact ? j->run
               : columns     ? round_up(j->tile_rows, plan->kernels->lanes)
                             : round_up(piece, SMX_STEP);
    /* At a power of two from one element to the next, all would fall into a few sets of the first-level cache. */
    if (columns && j->n <= SMX_SHORT)
        j->width += plan->kernels->lanes;
    const ptrdiff_t block = j->width * (columns ? piece : j->tile_rows) * j->size;
    /* Every input has a block even if only one needs it: a row that is too large is shifted in one. */
    j->block_bytes = (needs_block && !j->reduces_as_run) || j->op->subtracts_max ? round_up(block, 64) : 0;
    j->keep_bytes = j->keeps ? (j->in_place[0] ? 2 : 1) * round_up(block, 64) : 0;
    j->partial_bytes = round_up(j->pieces * SMX_PARTIALS * round_up(j->tile_rows, plan->kernels->lanes) * j->size, 64);
    j->mask_bytes = j->is_masked ? round_up(j->tile_rows * piece, 64) : 0;
    /* What reduce keeps for write is of no use before or after: rows may lie in its place. */
    j->stage_bytes = columns && !j->keeps && (j->is_masked || has_half) ? round_up(block, 64) : 0;
    j->scratch_bytes =
        j->op->inputs * j->block_bytes + j->keep_bytes + j->partial_bytes + j->stage_bytes + j->mask_bytes;
}

/* ---- a tile ---------------------------------------------------------------------------------------------------------- */

/* Of an operand of one number a row: those of the tile, one after the other. */
static const void *gather_rows(const worker *w, const smx_operand *from, ptrdiff_t size, void *to) {
    const job *j = w->job;
    const ptrdiff_t step = from->outer[j->plan->outer_dims - 1], rows = w->tile.width;
    const char *at = smx_find_row(j->plan, from, w->first);
    if (j->evenly_spaced && step == size)
        return at;
    if (j->evenly_spaced)
        smx_copy_elements(to, size, at, step, rows, size, 0);
    for (ptrdiff_t r = 0; !j->evenly_spaced && r < rows; r++)
        smx_copy_elements((char *)to + r * size, 0, smx_find_row(j->plan, from, w->first + r), 0, 1, size, 0);
    return to;
}

static const smx_view nowhere = {NULL, 0, 0};

static void open_tile(worker *w, ptrdiff_t number) {
    const job *j = w->job;
    const ptrdiff_t run = number / j->tiles_in_run, end = (number % j->tiles_in_run + 1) * j->tile_rows - j->missing;
    const ptrdiff_t in_run = most(0, end - j->tile_rows);
    w->first = run * j->run + in_run;
    w->tile.layout = j->layout;
    w->tile.length = j->n;
    w->tile.temperature = j->temperature;
    w->tile.stream = w->tile.as_run = 0;
    /* One by one: a copy of a copy would wait until all stores before it, results among them, have reached the cache. */
    w->tile.next[0] = nowhere;
    w->tile.next[1] = nowhere;
    w->tile.mask = nowhere;
    w->tile.out = nowhere;
    w->tile.out_storage = SMX_REAL;
    w->tile.storage = j->widens_in_kernels ? j->plan->in[0].storage : SMX_REAL;
    w->tile.width = (int)(least(end, j->run) - in_run);
    w->tile.targets = &j->plan->targets;
    w->tile.label = NULL;
    if (j->op->has_labels) {
        w->tile.label = gather_rows(w, &j->plan->label, sizeof(int64_t), w->label);
        w->tile.factor = gather_rows(w, &j->plan->factor, j->size, w->factor);
    }
}

/* The operand's rows of the tile, from element number start on. */
static smx_view view_rows(const worker *w, const smx_operand *operand, ptrdiff_t start) {
    const job *j = w->job;
    const ptrdiff_t size = smx_item_size(j->plan, operand);
    smx_view view;
    view.start = smx_find_row(j->plan, operand, w->first) + smx_inner_offset(j->plan, operand, start);
    view.row = operand->outer[j->plan->outer_dims - 1] / size;
    view.element = operand->inner[0] / size;
    return view;
}

static smx_view view_block(const job *j, char *block) {
    const int columns = j->layout == SMX_COLUMNS;
    const smx_view view = {block, columns ? 1 : j->width, columns ? j->width : 1};
    return view;
}

/* Rows in the stage follow one another. */
static smx_view view_stage(const worker *w) {
    const smx_view view = {w->stage, w->tile.n, 1};
    return view;
}

/* Whether the mask is one of rows, in COLUMNS: rows are then masked on their way between memory and block. */
static int masks_rows(const worker *w) {
    return w->job->is_masked && w->job->layout == SMX_COLUMNS && w->mask.row != 0 && w->mask.row != 1;
}

static void hide(const worker *w, const smx_view *from, double value, const smx_view *to) {
    w->job->plan->kernels->hide(from, &w->mask, w->tile.width, w->tile.n, value, to);
}

/* Whether rows of 16 bits at from follow one another as those at to do: they are then moved as one. */
static int is_one_run(const worker *w, const smx_operand *operand, const smx_view *rows) {
    const job *j = w->job;
    return rows->row == w->tile.n && operand->outer[j->plan->outer_dims - 1] == 2 * w->tile.n;
}

static void widen_rows(const worker *w, int k, ptrdiff_t start, const smx_view *to) {
    const job *j = w->job;
    const smx_plan *plan = j->plan;
    const smx_operand *from = &plan->in[k];
    const int one_run = j->along[k] && is_one_run(w, from, to);
    const ptrdiff_t n = one_run ? w->tile.width * w->tile.n : w->tile.n;
    for (ptrdiff_t r = 0; r < (one_run ? 1 : w->tile.width); r++) {
        char *row = smx_find_row(plan, from, w->first + r), *reals = (char *)to->start + r * to->row * j->size;
        if (j->along[k]) {
            plan->kernels->widen(from->storage, row + smx_inner_offset(plan, from, start), n, reals);
        } else {
            char *upper_half = reals + n * (j->size - 2);
            smx_gather(plan, from, row, start, n, upper_half, 2);
            plan->kernels->widen(from->storage, upper_half, n, reals);
        }
    }
}

static void narrow_rows(const worker *w, const smx_view *from, ptrdiff_t start) {
    const job *j = w->job;
    const smx_plan *plan = j->plan;
    const smx_operand *to = &plan->out;
    const int one_run = j->out_along && is_one_run(w, to, from);
    const ptrdiff_t n = one_run ? w->tile.width * w->tile.n : w->tile.n;
    for (ptrdiff_t r = 0; r < (one_run ? 1 : w->tile.width); r++) {
        char *row = smx_find_row(plan, to, w->first + r), *reals = (char *)from->start + r * from->row * j->size;
        if (j->out_along) {
            plan->kernels->narrow(to->storage, reals, n, row + smx_inner_offset(plan, to, start));
        } else {
            plan->kernels->narrow(to->storage, reals, n, reals);
            smx_scatter(plan, to, row, start, n, reals, 2);
        }
    }
}

/* How many lines of a block of columns fit into a small part of the stage: their elements follow one another there, so
   that no line has a remainder of its own. */
static ptrdiff_t lines_at_once(const worker *w) { return most(1, LINES_STAGE / w->tile.width); }

/* Whether lines of an operand whose rows are neighbours follow one another, and have remainders. */
static int are_lines_staged(const worker *w, const smx_operand *operand) {
    const job *j = w->job;
    return j->plan->inner_dims == 1 && w->tile.width % j->plan->kernels->lanes != 0 &&
           operand->inner[0] == w->tile.width * smx_item_size(j->plan, operand);
}

/* Whether lines of the mask follow one another, too. */
static int masks_lines(const worker *w) {
    return w->job->is_masked && w->mask.row == 1 && w->mask.element == w->tile.width;
}

/* Lines that follow one another in memory and in the block; masked on the way. */
static void load_compact_lines(const worker *w, int k, ptrdiff_t start, const smx_view *block) {
    const job *j = w->job;
    const smx_operand *from = &j->plan->in[k];
    const ptrdiff_t rows = w->tile.width, count = w->tile.n * rows;
    smx_view lines = {smx_find_row(j->plan, from, w->first), 1, rows};
    lines.start = (char *)lines.start + smx_inner_offset(j->plan, from, start);
    if (from->storage != SMX_REAL) {
        j->plan->kernels->widen(from->storage, lines.start, count, block->start);
        lines = *block;
    }
    if (j->is_masked)
        hide(w, &lines, j->op->hidden.in[k], block);
    else if (from->storage == SMX_REAL)
        memcpy(block->start, lines.start, (size_t)(count * j->size));
}

/* Rows that are neighbours in memory: line by line, an element of each of them. Returns whether the mask was applied. */
static int load_lines(const worker *w, int k, ptrdiff_t start, const smx_view *block) {
    const job *j = w->job;
    const smx_kernels *kernels = j->plan->kernels;
    const smx_operand *from = &j->plan->in[k];
    const int is_half = from->storage != SMX_REAL, adjacent = are_lines_staged(w, from);
    const int hides = adjacent && masks_lines(w), is_staged = hides || (adjacent && is_half), rows = w->tile.width;
    const ptrdiff_t apart = from->inner[j->plan->inner_dims - 1] / smx_item_size(j->plan, from);
    const smx_view stage = {w->stage, 1, rows};
    const char *first = smx_find_row(j->plan, from, w->first);
    for (ptrdiff_t i = 0, count; i < w->tile.n; i += count) {
        const char *line = first + smx_inner_offset(j->plan, from, start + i);
        char *to = (char *)block->start + i * block->element * j->size;
        count = smx_even_run(j->plan, start + i, w->tile.n - i);
        if (!is_staged) {
            kernels->lines_to_columns(from->storage, line, apart, rows, count, to, block->element, j->is_far);
            continue;
        }
        count = least(count, lines_at_once(w));
        if (is_half)
            kernels->widen(from->storage, line, count * rows, w->stage);
        if (hides) {
            const smx_view memory = {(char *)line, 1, rows}, mask = {(char *)w->mask.start + i * rows, 1, rows};
            kernels->hide(is_half ? &stage : &memory, &mask, rows, count, j->op->hidden.in[k], &stage);
        }
        kernels->lines_to_columns(SMX_REAL, w->stage, rows, rows, count, to, block->element, 0);
    }
    return hides;
}

static void narrow_lines(const worker *w, const smx_view *block, ptrdiff_t start) {
    const job *j = w->job;
    const smx_kernels *kernels = j->plan->kernels;
    const smx_operand *to = &j->plan->out;
    const int rows = w->tile.width, is_staged = are_lines_staged(w, to);
    const ptrdiff_t apart = to->inner[j->plan->inner_dims - 1] / 2;
    char *first = smx_find_row(j->plan, to, w->first);
    if (j->is_compact && j->plan->inner_dims == 1 && to->inner[0] == 2 * rows) {
        kernels->narrow(to->storage, block->start, w->tile.n * rows, first + smx_inner_offset(j->plan, to, start));
        return;
    }
    for (ptrdiff_t i = 0, count; i < w->tile.n; i += count) {
        const char *from = (char *)block->start + i * block->element * j->size;
        char *line = first + smx_inner_offset(j->plan, to, start + i);
        count = smx_even_run(j->plan, start + i, w->tile.n - i);
        if (!is_staged) {
            kernels->columns_to_lines(to->storage, from, block->element, line, apart, rows, count);
            continue;
        }
        count = least(count, lines_at_once(w));
        kernels->columns_to_lines(SMX_REAL, from, block->element, w->stage, rows, rows, count);
        kernels->narrow(to->storage, w->stage, count * rows, line);
    }
}

static void load_block(worker *w, int k, ptrdiff_t start) {
    const job *j = w->job;
    const smx_plan *plan = j->plan;
    const smx_operand *from = &plan->in[k];
    const int columns = j->layout == SMX_COLUMNS, is_half = from->storage != SMX_REAL;
    const ptrdiff_t n = w->tile.n, rows = w->tile.width;
    const smx_view block = view_block(j, w->block[k]);
    const double value = j->op->hidden.in[k];
    int is_hidden = !j->is_masked;

    if (columns && !j->side_by_side[k] && (j->along[k] || is_half)) {
        const smx_view stage = view_stage(w);
        smx_view at = stage;
        if (is_half)
            widen_rows(w, k, start, &stage);
        else
            at = view_rows(w, from, start);
        if (masks_rows(w)) {
            hide(w, &at, value, &stage);
            at = stage;
            is_hidden = 1;
        }
        const int is_far = j->is_far && at.start != w->stage;
        plan->kernels->rows_to_columns(at.start, at.row, (int)rows, n, block.start, block.element, is_far);
    } else if (!columns && j->along[k] && !is_half && j->is_masked) {
        const smx_view at = view_rows(w, from, start);
        hide(w, &at, value, &block);
        is_hidden = 1;
    } else {
        if (columns && rows % plan->kernels->lanes != 0 && !j->side_by_side[k])
            memset(block.start, 0, (size_t)(n * j->width * j->size)); /* the padding is read, whatever it holds */
        if (j->is_compact) {
            load_compact_lines(w, k, start, &block);
            is_hidden = 1;
        } else if (j->side_by_side[k])
            is_hidden |= load_lines(w, k, start, &block);
        else if (is_half)
            widen_rows(w, k, start, &block);
        else
            for (ptrdiff_t r = 0; r < rows; r++)
                smx_gather(plan, from, smx_find_row(plan, from, w->first + r), start, n,
                           w->block[k] + r * block.row * j->size, block.element * j->size);
    }
    if (!is_hidden)
        hide(w, &block, value, &block);
}

/* Where the operand's rows of the next piece are, or of the next tile; nowhere if that is unknown, or not worth asking
   for: lines of COLUMNS that lie in too many pages cost more to find than to wait for. */
static smx_view view_next(const worker *w, const smx_operand *operand, ptrdiff_t start) {
    enum { PAGE = 4096, PAGES = 1024 };
    const job *j = w->job;
    const int columns = j->layout == SMX_COLUMNS, by_pieces = j->pieces > 1 || (columns && j->tiles_in_run == 1);
    smx_view view = view_rows(w, operand, start);
    const ptrdiff_t pieces = j->looks_ahead ? 2 : 1; /* the next is looked at beside this one */
    const ptrdiff_t step = by_pieces ? pieces * w->tile.n * view.element : w->tile.width * view.row;
    const ptrdiff_t apart = most(view.element, -view.element) * j->size;
    const ptrdiff_t in_pages = j->op->inputs * w->tile.n * least(PAGE, apart);
    view.start = (char *)view.start + step * j->size;
    if (!j->evenly_spaced || j->plan->inner_dims > 1 || operand->storage != SMX_REAL ||
        (columns && in_pages > PAGES * PAGE))
        view.start = NULL;
    return view;
}

/* Points the tile at short rows as they are in memory; returns whether write can take them there. */
static int open_run(worker *w, int settles, int is_shifted) {
    const job *j = w->job;
    const int is_settled = !settles || j->plan->out.storage == SMX_REAL; /* which numbers of 16 bits cannot be */
    const int is_masked = !j->is_masked || (w->mask.element == 1 && w->mask.row == w->tile.n);
    if (!j->writes_as_run || is_shifted || !is_settled || !is_masked)
        return 0;
    w->tile.layout = SMX_ROWS;
    w->tile.as_run = 1;
    for (int k = 0; k < j->op->inputs; k++)
        w->tile.in[k] = view_rows(w, &j->plan->in[k], 0);
    w->tile.storage = j->plan->in[0].storage;
    if (j->is_masked)
        w->tile.mask = w->mask;
    w->tile.out = view_rows(w, &j->plan->out, 0);
    w->tile.out_storage = j->plan->out.storage;
    w->tile.stream = j->streams && (uintptr_t)w->tile.out.start % SMX_CACHE_LINE == 0;
    return 1;
}

/* Points the tile at piece number piece, loading blocks as needed; shift is NULL or what to subtract. */
static void open_piece(worker *w, ptrdiff_t piece, const void *shift) {
    const job *j = w->job;
    const ptrdiff_t start = piece * SMX_PIECE;
    w->tile.first = start;
    w->tile.n = least(SMX_PIECE, j->n - start);
    for (int k = 0; j->is_far && k < j->op->inputs; k++)
        w->tile.next[k] = view_next(w, &j->plan->in[k], start);
    if (j->reduces_as_run) {
        open_run(w, 0, 0);
        return;
    }
    if (j->is_masked)
        w->mask =
            smx_view_mask(j->plan, w->first, w->tile.width, start, w->tile.n, j->layout == SMX_COLUMNS, w->mask_block);
    const int fits = j->layout == SMX_ROWS ? w->mask.element == 1 : w->mask.row == 0 || w->mask.row == 1;
    const int masked_by_kernel = j->masks_in_kernels && fits;
    w->tile.mask = masked_by_kernel ? w->mask : nowhere;
    for (int k = 0; k < j->op->inputs; k++)
        if (j->widens_in_kernels || (j->in_place[k] && !shift && (!j->is_masked || masked_by_kernel))) {
            w->tile.in[k] = view_rows(w, &j->plan->in[k], start);
        } else {
            load_block(w, k, start);
            w->tile.in[k] = view_block(j, w->block[k]);
        }
    if (shift)
        j->plan->kernels->subtract(&w->tile, shift);
    w->tile.kept[0].start = NULL;
    if (j->keeps) {
        const smx_view keep = view_block(j, w->keep);
        w->tile.kept[0] = keep;
        w->tile.kept[1] = keep;
        if (w->tile.in[0].start == w->block[0])
            w->tile.kept[0] = w->tile.in[0];
        else
            w->tile.kept[1].start = w->keep + j->keep_bytes / 2;
    }
    if (j->op->elementwise)
        w->tile.out = j->out_in_place ? view_rows(w, &j->plan->out, start) : view_block(j, w->block[0]);
    w->tile.stream =
        j->streams && j->out_in_place && (j->layout == SMX_ROWS || (uintptr_t)w->tile.out.start % SMX_CACHE_LINE == 0);
}

/* Of an even job: from the tile that is open to another one. */
static void move_tile(worker *w, ptrdiff_t number) {
    const job *j = w->job;
    const ptrdiff_t first = number * j->tile_rows, rows = first - w->first;
    w->first = first;
    w->tile.width = (int)least(j->tile_rows, j->rows - first);
    for (int k = 0; k < j->op->inputs; k++) {
        const ptrdiff_t row = j->plan->in[k].outer[0];
        w->tile.in[k].start = (char *)w->tile.in[k].start + rows * row;
        if (w->tile.next[k].start)
            w->tile.next[k].start = (char *)w->tile.in[k].start + w->tile.width * row;
    }
    w->tile.out.start = (char *)w->tile.out.start + rows * j->plan->out.outer[0];
}

/* Whether results go from the block of columns to memory row by row. */
static int stores_rows(const job *j) {
    return j->layout == SMX_COLUMNS && !j->out_in_place &&
           (j->out_along || (j->plan->out.storage != SMX_REAL && !j->out_side_by_side));
}

/* hides: the mask is still to be applied. */
static void store_block(worker *w, ptrdiff_t piece, int hides) {
    const job *j = w->job;
    const smx_plan *plan = j->plan;
    const int is_half = plan->out.storage != SMX_REAL;
    const ptrdiff_t start = piece * SMX_PIECE, n = w->tile.n;
    const smx_view block = view_block(j, w->block[0]);
    if (stores_rows(j)) {
        const smx_view rows = is_half ? view_stage(w) : view_rows(w, &plan->out, start);
        const int is_far = j->is_far && !is_half;
        plan->kernels->columns_to_rows(block.start, block.element, rows.start, rows.row, w->tile.width, n, is_far);
        if (hides)
            hide(w, &rows, j->op->hidden.out, &rows);
        if (is_half)
            narrow_rows(w, &rows, start);
    } else if (is_half && j->layout == SMX_ROWS) {
        narrow_rows(w, &block, start);
    } else if (is_half) {
        narrow_lines(w, &block, start);
    } else {
        for (ptrdiff_t r = 0; r < w->tile.width; r++)
            smx_scatter(plan, &plan->out, smx_find_row(plan, &plan->out, w->first + r), start, n,
                        w->block[0] + r * block.row * j->size, block.element * j->size);
    }
}

static void write_piece(worker *w, ptrdiff_t piece, const void *constants, int flags, int is_shifted) {
    const job *j = w->job;
    const int settles = flags & SMX_NOT_FINITE;
    const int as_run = j->reduces_as_run || open_run(w, settles, is_shifted);
    int hides = j->is_masked && (settles || (!j->op->hidden.comes_by_itself && !w->tile.mask.start));
    /* Kernels that round do not mask: then a block is the way. */
    const int rounds = j->rounds_in_kernels && !settles && !hides && !w->tile.mask.start;
    if (rounds) {
        w->tile.out = view_rows(w, &j->plan->out, piece * SMX_PIECE);
        w->tile.out_storage = j->plan->out.storage;
    }
    const int transposes =
        j->op->writes_rows && j->keeps && stores_rows(j) && j->plan->out.storage == SMX_REAL && !settles && !hides;
    if (transposes)
        w->tile.out = view_rows(w, &j->plan->out, 0);
    j->op->write(&w->tile, constants);
    if (settles)
        j->plan->kernels->settle_nans(&w->tile);
    if (hides && (as_run || !(stores_rows(j) && masks_rows(w)))) {
        hide(w, &w->tile.out, j->op->hidden.out, &w->tile.out);
        hides = 0;
    }
    if (!j->out_in_place && !rounds && !as_run && !transposes)
        store_block(w, piece, hides);
}

/* One number a row: all that the operation has to say, or what it says beside the elements. */
static void store_rows(worker *w, const char *constants) {
    const job *j = w->job;
    const smx_operand *to = j->op->has_row_out ? &j->plan->row_out : &j->plan->out;
    const ptrdiff_t size = smx_item_size(j->plan, to);
    char half[2 * SMX_TILE_ROWS];
    if (to->storage != SMX_REAL) {
        j->plan->kernels->narrow(to->storage, constants, w->tile.width, half);
        constants = half;
    }
    if (j->rows_side_by_side) {
        memcpy(smx_find_row(j->plan, to, w->first), constants, (size_t)(w->tile.width * size));
        return;
    }
    for (int r = 0; r < w->tile.width; r++)
        smx_copy_elements(smx_find_row(j->plan, to, w->first + r), 0, constants + r * size, 0, 1, size, to->swapped);
}

static int has_row_results(const job *j) { return !j->op->elementwise || j->op->has_row_out; }

/* ---- threads --------------------------------------------------------------------------------------------------------- */

/* The constants of a tile, and the shift that its rows need, of which most need none. */
typedef struct {
    double constants[SMX_CONSTANTS * SMX_TILE_ROWS], shift[SMX_TILE_ROWS];
    int flags, is_shifted;
} tile_state;

static int finish_tile(const worker *w, const void *partials, tile_state *state) {
    const job *j = w->job;
    const void *shift = state->is_shifted ? state->shift : NULL;
    state->flags = j->op->finish(&w->tile, j->pieces, partials, shift, state->constants);
    if (!(state->flags & SMX_TOO_LARGE) || state->is_shifted)
        return 1;
    memcpy(state->shift, (char *)state->constants + SMX_SHIFT * SMX_TILE_ROWS * j->size,
           SMX_TILE_ROWS * (size_t)j->size);
    state->is_shifted = 1;
    return 0;
}

static char *partial_of(const job *j, const worker *w, char *partials, ptrdiff_t piece) {
    return partials + piece * SMX_PARTIALS * round_up(w->tile.width, j->plan->kernels->lanes) * j->size;
}

/* Points the tile at what is likely to be reduced next: the next piece of its rows, or the rows of the next tile, where the
   worker goes on to it. */
static void look_ahead(worker *w, ptrdiff_t number, ptrdiff_t piece, int is_shifted, int goes_on) {
    const job *j = w->job;
    const ptrdiff_t item = number * j->pieces + piece;
    int width = 0;
    w->tile.found = NULL;
    if (!j->looks_ahead || is_shifted)
        return;
    w->tile.found = w->found;
    w->tile.is_found = w->found_for == item;
    w->tile.ahead = w->tile.in[0];
    if (j->pieces > 1) {
        w->tile.ahead.start = (char *)w->tile.in[0].start + SMX_PIECE * j->size;
        width = (piece + 2) * SMX_PIECE <= j->n ? w->tile.width : 0; /* no shorter one */
    } else {
        w->tile.ahead.start = (char *)w->tile.in[0].start + w->tile.width * j->plan->in[0].outer[0];
        width = goes_on ? (int)least(j->tile_rows, j->rows - w->first - w->tile.width) : 0;
    }
    w->tile.ahead_width = width;
    w->found_for = width > 0 ? item + 1 : -1;
}

/* goes_on: the next tile is the worker's next. */
static void do_tile(worker *w, ptrdiff_t number, int goes_on) {
    const job *j = w->job;
    const int moves = w->is_open;
    tile_state state;
    state.is_shifted = 0;
    if (moves)
        move_tile(w, number);
    else
        open_tile(w, number);
    const void *shift = NULL;
    do {
        shift = state.is_shifted ? state.shift : NULL;
        for (ptrdiff_t piece = 0; piece < j->pieces; piece++) {
            if (!moves || shift)
                open_piece(w, piece, shift);
            look_ahead(w, number, piece, shift != NULL, goes_on);
            j->op->reduce(&w->tile, partial_of(j, w, w->partials, piece));
        }
    } while (!finish_tile(w, w->partials, &state));
    w->is_open = j->is_even && !shift;
    if (has_row_results(j))
        store_rows(w, (const char *)state.constants);
    if (!j->op->elementwise)
        return;
    for (ptrdiff_t piece = 0; piece < j->pieces; piece++) {
        if (j->pieces > 1)
            open_piece(w, piece, shift);
        write_piece(w, piece, state.constants, state.flags, state.is_shifted);
    }
}

/* A worker with its scratch: from the stack if that is enough, else from the heap; NULL if there is none. */
static void *open_worker(worker *w, const job *j, char *stack) {
    void *heap = NULL;
    char *scratch = stack;
    if (j->scratch_bytes > STACK_SCRATCH) {
        heap = malloc((size_t)j->scratch_bytes + 64);
        if (!heap) {
            w->job = NULL;
            return NULL;
        }
        scratch = heap;
    }
    scratch += (64 - (size_t)scratch % 64) % 64;
    w->job = j;
    w->is_open = 0;
    w->found_for = -1;
    for (int k = 0; k < j->op->inputs; k++, scratch += j->block_bytes)
        w->block[k] = scratch;
    w->keep = w->stage = scratch;
    scratch += j->keep_bytes + j->stage_bytes;
    w->mask_block = scratch;
    w->partials = scratch + j->mask_bytes; /* last: run_pieces leaves them out */
    return heap;
}

/* What every thread of a region starts and ends with. */
#define WORKER_BEGIN(w, j)                                                                                             \
    char stack[STACK_SCRATCH + 64];                                                                                    \
    worker w;                                                                                                          \
    const smx_fpstate before = smx_enter_fpstate();                                                                    \
    void *heap = open_worker(&w, j, stack)
#define WORKER_END()                                                                                                   \
    free(heap);                                                                                                        \
    smx_leave_fpstate(before)

static int run_serial(const job *j) {
    WORKER_BEGIN(w, j);
    const int failed = w.job == NULL;
    for (ptrdiff_t t = 0; !failed && t < j->tiles; t++)
        do_tile(&w, t, t + 1 < j->tiles);
    WORKER_END();
    return failed ? SMX_NO_MEMORY : SMX_DONE;
}

#ifdef _OPENMP

static int run_tiles(const job *j) {
    smx_shares tiles;
    int failed = 0;
    smx_share_out(&tiles, j->tiles, least(4096, most(1, j->tiles / (8 * (ptrdiff_t)j->threads))), j->threads,
                  j->plan->call);
    smx_share_begins(j->plan->call);
#pragma omp parallel num_threads(j->threads) reduction(| : failed)
    {
        WORKER_BEGIN(w, j);
        failed |= w.job == NULL;
        for (ptrdiff_t t, end; w.job && smx_take(&tiles, &t, &end);)
            for (; t < end; t++)
                do_tile(&w, t, t + 1 < end);
        WORKER_END();
    }
    return failed ? SMX_NO_MEMORY : SMX_DONE;
}

/* Of tile t, as a round of run_pieces leaves them. */
static char *partials_of(const job *j, char *partials, int round, ptrdiff_t t) {
    return partials + (round * j->tiles + t) * j->partial_bytes;
}

/* Of tile t, after so many rounds of run_pieces: its constants, and whether its rows are to be shifted. Each thread works that
   out for itself: it takes less time than waiting for another one to do it. */
static void finish_shared(const worker *w, ptrdiff_t t, int rounds, char *partials, tile_state *state) {
    state->is_shifted = 0;
    for (int round = 0; round < rounds; round++)
        if (finish_tile(w, partials_of(w->job, partials, round, t), state))
            return;
}

/* The pieces that fall to the worker; item t * pieces + p is piece p of tile t. Returns whether rows are left for the next
   round, as they are to be shifted. */
static int do_pieces(worker *w, smx_shares *shares, int round, int writes, char *partials) {
    const job *j = w->job;
    tile_state state;
    ptrdiff_t open = -1;
    int are_left = 0;
    for (ptrdiff_t i, end; smx_take(shares, &i, &end);) {
        const ptrdiff_t t = i / j->pieces, piece = i % j->pieces;
        if (t != open) {
            open_tile(w, t);
            finish_shared(w, t, round + writes, partials, &state);
            open = t;
        }
        are_left |= state.is_shifted > round;
        if (state.is_shifted != round)
            continue;
        if (writes && piece == 0 && has_row_results(j))
            store_rows(w, (const char *)state.constants);
        if (writes && !j->op->elementwise)
            continue;
        open_piece(w, piece, state.is_shifted ? state.shift : NULL);
        if (writes) {
            write_piece(w, piece, state.constants, state.flags, state.is_shifted);
        } else {
            look_ahead(w, t, piece, state.is_shifted, 0);
            j->op->reduce(&w->tile, partial_of(j, w, partials_of(j, partials, round, t), piece));
        }
    }
    return are_left;
}

/* Threads take pieces of a few long rows. A piece is written by who reduced it, if nobody is late. */
static int run_pieces(job *j) {
    enum { ROUNDS = 2 }; /* the second for rows that are shifted */
    const ptrdiff_t items = j->tiles * j->pieces;
    char *partials = malloc((size_t)(ROUNDS * j->tiles * j->partial_bytes));
    int failed = !partials, are_left = 1;
    j->scratch_bytes -= j->partial_bytes; /* which are everybody's */
    for (int round = 0; round < ROUNDS && are_left && !failed; round++) {
        smx_shares reduced, written;
        smx_share_out(&reduced, items, 1, j->threads, j->plan->call);
        smx_share_out(&written, items, 1, j->threads, j->plan->call);
        smx_share_begins(j->plan->call);
        are_left = 0;
#pragma omp parallel num_threads(j->threads) reduction(| : failed, are_left)
        {
            WORKER_BEGIN(w, j);
            const int ready = w.job != NULL;
            failed |= !ready;
            if (ready)
                do_pieces(&w, &reduced, round, 0, partials);
#pragma omp barrier
#pragma omp master
            smx_share_begins(j->plan->call);
            if (ready)
                are_left |= do_pieces(&w, &written, round, 1, partials);
            WORKER_END();
        }
    }
    free(partials);
    return failed ? SMX_NO_MEMORY : SMX_DONE;
}

#endif

/* The shortest way: rows that are one tile, and lie where the kernels can take them. Returns whether it was taken. */
static int run_at_once(const smx_plan *plan, ptrdiff_t rows, ptrdiff_t n) {
    const smx_kernels *kernels = plan->kernels;
    const smx_op_kernels *op = &kernels->op[plan->op];
    const ptrdiff_t size = (ptrdiff_t)kernels->real_size;
    const int is_plain = plan->outer_dims == 1 && plan->inner_dims == 1 && !plan->mask.data && plan->temperature == 1;
    if (rows * n > AT_ONCE || !is_plain || !op->elementwise || op->has_row_out || op->has_labels)
        return 0;
    smx_tile tile;
    int are_runs = n <= SMX_SHORT && rows <= SMX_TILE_ROWS && (op->reduces_runs || op->inputs == 1);
    for (int k = 0; k <= op->inputs; k++) {
        const smx_operand *operand = k < op->inputs ? &plan->in[k] : &plan->out;
        smx_view *view = k < op->inputs ? &tile.in[k] : &tile.out;
        if (operand->storage != SMX_REAL || operand->inner[0] != size || !smx_is_native(plan, operand, 1))
            return 0;
        view->start = operand->data;
        view->row = rows > 1 ? operand->outer[0] / size : n; /* the stride of a single row may be any */
        view->element = 1;
        are_runs &= view->row == n;
    }
    const int along = n > SMX_SHORT ? rows <= SMX_ROWS_AT_ONCE : are_few_short_rows(plan, rows, n);
    const ptrdiff_t width = along ? round_up(n, SMX_STEP) : round_up(rows, kernels->lanes) + kernels->lanes;
    if ((!along && !are_runs) || width * (along ? rows : n) * size > BLOCK_AT_ONCE)
        return 0;

    double kept[2][BLOCK_AT_ONCE / sizeof(double)], partial[SMX_PARTIALS * SMX_TILE_ROWS];
    double constants[SMX_CONSTANTS * SMX_TILE_ROWS];
    const smx_view memory = tile.in[0], keep = {NULL, along ? width : 1, along ? 1 : width};
    tile.layout = along || op->reduces_runs ? SMX_ROWS : SMX_COLUMNS;
    tile.width = (int)rows;
    tile.first = 0;
    tile.n = tile.length = n;
    tile.as_run = !along && op->reduces_runs;
    tile.kept[0] = tile.kept[1] = keep;
    if (op->uses_keep) {
        tile.kept[0].start = kept[0];
        tile.kept[1].start = kept[1];
    }
    tile.temperature = kernels->no_temperature;
    tile.stream = 0;
    tile.found = NULL;
    for (int k = 0; k < op->inputs; k++)
        tile.next[k] = nowhere;
    tile.mask = nowhere;
    tile.storage = tile.out_storage = SMX_REAL;
    if (tile.layout == SMX_COLUMNS) {
        kernels->rows_to_columns(memory.start, n, (int)rows, n, kept[0], width, 0);
        tile.in[0] = keep;
        tile.in[0].start = kept[0];
    }
    const smx_fpstate before = smx_enter_fpstate();
    op->reduce(&tile, partial);
    const int is_finite = op->finish(&tile, 1, partial, NULL, constants) == 0;
    if (tile.layout == SMX_COLUMNS && !op->writes_rows) {
        tile.layout = SMX_ROWS;
        tile.as_run = 1;
        tile.in[0] = memory;
    }
    if (is_finite)
        op->write(&tile, constants);
    smx_leave_fpstate(before);
    return is_finite;
}

static ptrdiff_t worth_a_thread(const smx_plan *plan) { return plan->kernels->op[plan->op].worth_a_thread; }

int smx_threads_for(const smx_plan *plan, ptrdiff_t elements) {
    if (elements < 2 * worth_a_thread(plan))
        return 1;
    return (int)most(1, least(plan->threads, elements / worth_a_thread(plan)));
}

int smx_run_rows(smx_plan *plan) {
    job j;
    smx_simplify(plan);
    j.n = j.rows = 1;
    for (int d = 0; d < plan->inner_dims; d++)
        j.n *= plan->inner_shape[d];
    for (int d = 0; d < plan->outer_dims; d++)
        j.rows *= plan->outer_shape[d];
    if (run_at_once(plan, j.rows, j.n))
        return SMX_DONE;
    j.plan = plan;
    j.op = &plan->kernels->op[plan->op];
    j.size = (ptrdiff_t)plan->kernels->real_size;
    j.bytes = j.rows * j.n * smx_item_size(plan, &plan->in[0]);
    j.temperature = plan->kernels->no_temperature;
    if (plan->temperature != 1) {
        const smx_fpstate before = smx_enter_fpstate();
        plan->kernels->set_temperature(plan->temperature, j.own_temperature);
        smx_leave_fpstate(before);
        j.temperature = j.own_temperature;
    }
    j.threads = smx_threads_for(plan, j.n * j.rows);
    choose_layout(&j);
    choose_memory(&j);
#ifdef _OPENMP
    if (j.threads > 1 && j.pieces > 1 && j.tiles < TILES_PER_THREAD * (ptrdiff_t)j.threads)
        return run_pieces(&j);
    if (j.threads > 1 && j.tiles > 1)
        return run_tiles(&j);
#endif
    return run_serial(&j);
}

int smx_run(smx_plan *plan) {
    ptrdiff_t elements = 1;
    for (int d = 0; d < plan->inner_dims; d++)
        elements *= plan->inner_shape[d];
    for (int d = 0; d < plan->outer_dims; d++)
        elements *= plan->outer_shape[d];
    const int threads = smx_threads_for(plan, elements);
    smx_call call;
    if (threads > 1) {
        plan->threads = smx_call_enter(&call, threads, elements / worth_a_thread(plan));
        plan->call = &call;
    }
    const int status = plan->indptr ? smx_run_segments(plan) : smx_run_rows(plan);
    if (threads > 1)
        smx_call_leave(&call);
    return status;
}
