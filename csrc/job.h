/* A job: a plan cut into tiles, with its route. route.c and access.c fill in a job, or ragged.c for its windows;
   rows.c, tile.c and transfer.c read it. This file also declares what these files offer to each other. */

#ifndef SMX_JOB_H
#define SMX_JOB_H

#include "plan.h"

#include <stddef.h>

typedef struct smx_job smx_job;
typedef struct smx_worker smx_worker;

/* Fills the block of input k with the elements of the open piece, which begins with element number start of its rows.
   Hidden elements become what they count as. A job has one such function for each input (transfer.c). */
typedef void smx_load(smx_worker *w, int k, ptrdiff_t start);

/* Moves the results of the piece from the block to the output. applies_mask: it has to replace hidden results first. */
typedef void smx_store(smx_worker *w, ptrdiff_t start, int applies_mask);

/* Returns the mask of elements [start, start + n) of the tile's rows; strides are bytes. */
typedef smx_view smx_find_mask(smx_worker *w, ptrdiff_t start, ptrdiff_t n);

/* Stores one number for each row of the tile. */
typedef void smx_store_numbers(smx_worker *w, const smx_operand *to, const char *numbers);

/* How the results of a tile reach the output. */
enum smx_output {
    SMX_NO_ELEMENTS, /* the operation has no results but one for each row */
    SMX_TO_BLOCK, /* write fills a block, and job.store moves its results to the output */
    SMX_TO_ARRAY, /* write fills the output */
    SMX_ROUNDED, /* write fills the output with numbers of 16 bits */
    SMX_AS_PACKED, /* the rows are packed in every array, and write goes from array to array */
    SMX_TRANSPOSED /* write turns saved columns into the rows of the output */
};

/* Pieces of work that a route may use or not; tests turn them off, one at a time. */
enum smx_option {
    SMX_SAVE, /* reduce saves exponentials of long rows for write; those of short rows are always saved */
    SMX_LOOK_AHEAD, /* reduce finds maxima of the next tile or piece */
    SMX_PREFETCH_NEXT, /* loops prefetch what the next tile or piece reads */
    SMX_STREAM, /* write goes past the cache */
    SMX_UNIFORM, /* the next tile is opened by adding to pointers */
    SMX_MASK_IN_KERNEL, /* derivatives apply masks themselves */
    SMX_HALF_IN_KERNEL, /* derivatives read numbers of 16 bits themselves */
    SMX_ROUND_IN_KERNEL, /* SMX_ROUNDED is used */
    SMX_WRITE_PACKED, /* SMX_AS_PACKED is used for rows that were reduced in COLUMNS */
    SMX_WRITE_TRANSPOSED, /* SMX_TRANSPOSED is used */
    SMX_READ_LINES, /* COLUMNS are reduced in place, without a block */
    SMX_WHOLE_ROWS, /* rows are done one after the other, from their sums to their results */
    SMX_KEEP_PIECES, /* the blocks of all pieces of a row are kept for write */
    SMX_KEEP_IN_OUTPUT, /* those of the first input are kept where the results go */
    SMX_IN_ORDER, /* VJPs take short plain segments in the order of memory, without windows */
    SMX_OPTIONS
};

struct smx_job {
    const smx_plan *plan;
    const smx_op_kernels *op;
    const void *temperature;
    double own_temperature[SMX_TEMPERATURE];
    ptrdiff_t real_size;
    ptrdiff_t rows, n, pieces;
    ptrdiff_t input_bytes; /* of the first input; the others are taken to be as large */
    int threads;

    /* The route. */
    const char *route;
    enum smx_layout layout;
    smx_reduce *reduce;
    smx_whole *whole; /* tried first, if it is not NULL; what it leaves is reduced and written */
    smx_write *write; /* smx_write_piece takes another one for SMX_AS_PACKED and SMX_TRANSPOSED */
    /* Into the block. An input that is read in place has a load, too, for rows that have to be shifted or masked. */
    smx_load *load[SMX_MAX_INPUTS];
    int in_place[SMX_MAX_INPUTS]; /* kernels read the input where it is, unless it has to be shifted or masked first */
    enum smx_storage storage; /* of what the kernels read, in place and in blocks */
    int next_is_known[SMX_MAX_INPUTS]; /* tile.next is set for the input, if the job prefetches */
    enum smx_output output;
    /* From the block, for SMX_TO_BLOCK. Every job has a store, for results that need another pass, such as NaNs. */
    smx_store *store;
    smx_find_mask *find_mask;
    smx_store_numbers *store_numbers;

    /* How rows are cut. Rows are numbered along the outer axes, and each tile lies within a span of `span` rows. A span
       is the last outer axis, whose rows are at a constant stride; or all rows, which are then found one by one. */
    ptrdiff_t span, tiles_per_span, tiles;
    int tile_rows;
    /* Rows that the first tile of a span lacks, so that the other tiles start at a cache line of the output. */
    int first_tile_short_by;

    int constant_stride; /* the rows of a span are at a constant stride */
    int saves; /* reduce saves exponentials for write */
    int looks_ahead; /* reduce finds maxima of the next piece or tile */
    int prefetches; /* what comes next is not in the cache, and loops prefetch it */
    int streams; /* results are written past the cache */
    int uniform; /* tiles are opened by adding to the pointers of the tile before */
    int masks_in_kernel; /* kernels apply the mask, if its strides allow it */
    int row_results_adjacent; /* the results of one number a row are contiguous */
    int compact; /* lines follow one another in the arrays, and do so in blocks, too: blocks have no padding */

    int keeps_in_output; /* the block of the first input is where the results go */

    /* Scratch memory, in bytes. */
    ptrdiff_t pitch; /* of a block, not in bytes but in reals */
    ptrdiff_t piece_bytes; /* of a piece in a block */
    ptrdiff_t block_bytes, saved_bytes, partial_bytes, stage_bytes, mask_bytes, scratch_bytes;
};

/* True if write finds all pieces of input k as reduce has loaded them: blocks have room for them, or the output has. */
static inline int smx_keeps_pieces(const smx_job *j, int k) {
    return j->pieces > 1 && (j->block_bytes > j->piece_bytes || (k == 0 && j->keeps_in_output));
}

/* What finish made of a tile: the constants of its rows, and the shift that they need, which most rows do not. */
typedef struct {
    double constants[SMX_CONSTANTS * SMX_TILE_ROWS], shift[SMX_TILE_ROWS];
    int flags, shifted;
} smx_tile_state;

/* A thread at work on a job. */
struct smx_worker {
    const smx_job *job;
    char *block[SMX_MAX_INPUTS], *saved, *partials; /* block: of the open piece */
    char *first_block[SMX_MAX_INPUTS];
    int holds_pieces; /* what keeps pieces holds those of the tile as they are to be opened, so none is loaded */
    char *stage, *mask_block; /* rows on their way to or from a block of columns; bytes of the mask */
    smx_view mask; /* of the open piece, strides in bytes */
    smx_tile tile;
    smx_tile_state *state;
    ptrdiff_t first_row; /* of the tile */
    int is_packed; /* the tile has the layout ROWS and points at packed rows of the arrays */
    int is_open; /* the job is uniform, and the tile points at the arrays: move_tile opens the next tile */
    ptrdiff_t lookahead_item; /* the piece, numbered through all tiles, whose maxima lookahead holds, or -1 */
    double lookahead[SMX_LOOKAHEAD];
    int64_t label[SMX_TILE_ROWS];
    double factor[SMX_TILE_ROWS], scale[SMX_TILE_ROWS], spread[SMX_TILE_ROWS]; /* room for reals */
    void *context; /* the window of ragged rows */
};

enum {
    SMX_TINY_BLOCK = 8 * 1024, /* bytes of a block of a tiny call */
};

/* step is a power of two, because small calls would feel a division. */
static inline ptrdiff_t smx_round_down(ptrdiff_t x, ptrdiff_t step) { return x & -step; }
static inline ptrdiff_t smx_round_up(ptrdiff_t x, ptrdiff_t step) { return smx_round_down(x + step - 1, step); }
static inline ptrdiff_t smx_min(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }
static inline ptrdiff_t smx_max(ptrdiff_t a, ptrdiff_t b) { return a > b ? a : b; }

/* ---- route.c ---------------------------------------------------------------------------------------------------- */

/* Sets the job's temperature to that of the plan. */
void smx_set_temperature(smx_job *job, const smx_plan *plan);

/* Chooses the route of a plan of so many rows of n elements, and cuts it up. */
void smx_choose_route(smx_job *job, const smx_plan *plan, ptrdiff_t rows, ptrdiff_t n, int threads);

/* True if threads share the pieces of the job's rows, not its tiles. */
int smx_shares_pieces(const smx_job *job);

/* A small call is one tile, which tiny.c does without a job. */
typedef struct {
    int copied; /* a bit for each input, then the output: its rows are not contiguous, native reals */
    enum smx_walk reduce, write;
    ptrdiff_t pitch; /* of the block that rows are transposed into, and of the blocks of what is saved */
} smx_tiny_route;

/* Returns 1 and fills in the route if the call is tiny. */
int smx_is_tiny(const smx_plan *plan, ptrdiff_t rows, ptrdiff_t n, smx_tiny_route *route);

/* ---- switches.c ------------------------------------------------------------------------------------------------- */

/* False if a test has turned off the route of that number (smx_route_name), or the option. */
int smx_may_take(int route);
int smx_may(enum smx_option option);

/* ---- explain.c -------------------------------------------------------------------------------------------------- */

/* The job in a line of text, for people. */
void smx_explain_job(const smx_job *job, char *text, size_t size);

/* ---- tiny.c ----------------------------------------------------------------------------------------------------- */

/* Returns 1 if the plan is done, 0 if it is not tiny, or if its values need another pass. */
int smx_run_tiny(const smx_plan *plan, ptrdiff_t rows, ptrdiff_t n);

/* ---- tile.c ----------------------------------------------------------------------------------------------------- */

/* Does one tile from start to end. next_follows: the worker goes on with the next tile. */
void smx_do_tile(smx_worker *w, ptrdiff_t number, int next_follows);

/* The protocol of a tile whose rows the worker has found: reduce, finish, both again with a shift if need be, write. */
void smx_do_open_rows(smx_worker *w, ptrdiff_t number, int next_follows);

/* The steps of that protocol, for threads that share the pieces of a tile. smx_finish_rows returns 0 if the rows have
   to be reduced again, with the shift that smx_finish_rows has put into the state. */
void smx_open_tile(smx_worker *w, ptrdiff_t number);
void smx_reduce_piece(smx_worker *w, ptrdiff_t number, ptrdiff_t piece, int next_follows, char *partials);
int smx_finish_rows(const smx_worker *w, const void *partials, smx_tile_state *state);
void smx_store_row_results(smx_worker *w);

void smx_open_piece(smx_worker *w, ptrdiff_t piece, const void *shift);
void smx_write_piece(smx_worker *w, ptrdiff_t piece);

static inline int smx_has_row_results(const smx_job *j) { return !j->op->elementwise || j->op->has_row_out; }

/* ---- transfer.c ------------------------------------------------------------------------------------------------- */

smx_load smx_load_gathered, smx_load_half, smx_load_masked, smx_load_transposed, smx_load_lines, smx_load_compact_lines;
smx_load smx_load_scattered_lines;
smx_store smx_store_scattered, smx_store_half, smx_store_transposed, smx_store_half_lines;

/* Views of the tile's rows: in an array, from element number start on; and in a block. */
smx_view smx_view_array(const smx_worker *w, const smx_operand *operand, ptrdiff_t start);
smx_view smx_view_block(const smx_job *job, char *block);

/* View of what load has put into the block of input k. Numbers of 16 bits lie at the end of the memory of their row or
   line, so that write may put reals there, upwards. */
smx_view smx_view_loaded(const smx_worker *w, int k);

/* For rows of one length. */
smx_find_mask smx_find_mask_of_rows;
smx_store_numbers smx_store_numbers_of_rows;

/* Applies the mask of the open piece. */
void smx_apply_mask(const smx_worker *w, const smx_view *from, double fill, const smx_view *to);

/* Returns the tile's numbers in an operand of one number a row. They are contiguous, in the array or copied to `to`. */
const void *smx_gather_numbers(const smx_worker *w, const smx_operand *from, ptrdiff_t size, void *to);

/* Stores the exponents of the tile's losses, which are reals, as bytes. */
void smx_store_exponents(const smx_worker *w, const char *exponents);

#endif
