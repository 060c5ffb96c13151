/* A job: a plan cut into tiles, with its route. route.c decides everything here; tile.c, transfer.c and run.c read it. */

#ifndef SMX_JOB_H
#define SMX_JOB_H

#include "plan.h"

#include <stddef.h>

typedef struct smx_job smx_job;
typedef struct smx_worker smx_worker;

/* Fills the block of input k with the elements of the open piece, which begins with element number start of its rows; hidden
   elements become what the operation wants. One such function is chosen for each input of a job (transfer.c). */
typedef void smx_load(smx_worker *w, int k, ptrdiff_t start);

/* Moves the results of the piece from the block to the output; applies_mask: hidden results are still to be put right. */
typedef void smx_store(smx_worker *w, ptrdiff_t start, int applies_mask);

/* How the results of a tile reach the output. */
enum smx_output {
    SMX_NO_ELEMENTS, /* the operation has a result for each row alone */
    SMX_TO_BLOCK, /* write fills a block, and job.store moves it */
    SMX_TO_ARRAY, /* write fills the output */
    SMX_ROUNDED, /* the same, in 16 bits */
    SMX_AS_PACKED, /* the rows are packed in every array, and write goes from array to array */
    SMX_TRANSPOSED /* write turns saved columns into the rows of the output */
};

/* Pieces of work that a route may use or not; tests turn them off, one at a time. */
enum smx_option {
    SMX_SAVE, /* reduce saves exponentials for write */
    SMX_LOOK_AHEAD, /* reduce looks for the maxima of the next tile or piece */
    SMX_PREFETCH_NEXT, /* ask for what the next tile or piece reads */
    SMX_STREAM, /* write past the cache */
    SMX_UNIFORM, /* go from tile to tile by adding to pointers */
    SMX_MASK_IN_KERNEL, /* derivatives apply masks themselves */
    SMX_HALF_IN_KERNEL, /* derivatives read numbers of 16 bits themselves */
    SMX_ROUND_IN_KERNEL,
    SMX_WRITE_PACKED,
    SMX_WRITE_TRANSPOSED,
    SMX_READ_LINES, /* columns are reduced where they are, without a block */
    SMX_OPTIONS
};

struct smx_job {
    const smx_plan *plan;
    const smx_op_kernels *op;
    const void *temperature;
    double own_temperature[SMX_TEMPERATURE];
    ptrdiff_t real_size;
    ptrdiff_t rows, n, pieces;
    ptrdiff_t input_bytes; /* of each input */
    int threads;

    /* The route. */
    const char *route;
    enum smx_layout layout;
    smx_reduce *reduce;
    smx_write *write;
    smx_load *load[SMX_MAX_INPUTS];
    int in_place
        [SMX_MAX_INPUTS]; /* the kernels read the input where it is, unless it has to be masked or shifted before */
    int prefetches[SMX_MAX_INPUTS]; /* the kernels ask for what the next tile or piece reads */
    enum smx_output output;
    smx_store *store; /* from the block: for SMX_TO_BLOCK, and where results need another pass before they are stored */
    /* The steps of a tile: smx_open_piece and smx_write_piece, or those of ragged rows. */
    void (*open_piece)(smx_worker *w, ptrdiff_t piece, const void *shift);
    void (*write_piece)(smx_worker *w, ptrdiff_t piece);

    /* How rows are cut. Rows are numbered along the outer axes, and a tile lies within a span of them. The rows of a span are
       at a constant stride if it is the last outer axis; several short axes may make one span, whose rows are found one by one. */
    ptrdiff_t span, tiles_per_span, tiles;
    int tile_rows;
    int first_tile_short_by; /* rows, so that the tiles after the first of a span begin with a cache line of the output */

    int constant_stride; /* the rows of a span are at a constant stride */
    int saves; /* reduce saves exponentials for write */
    int looks_ahead; /* reduce may look at the next piece or tile */
    int beyond_cache; /* what comes next is not in the cache */
    int streams; /* results are written past the cache */
    int uniform; /* tiles are opened by adding to the pointers of the tile before */
    int masks_in_kernel; /* where the mask's strides allow it */
    int row_results_adjacent; /* results of one number a row are contiguous */
    int compact; /* lines follow one another in blocks, too, without padding */

    /* Scratch memory, in bytes. */
    ptrdiff_t pitch; /* of a block: in COLUMNS from an element to the next, in ROWS from a row to the next, in reals */
    ptrdiff_t block_bytes, saved_bytes, partial_bytes, stage_bytes, mask_bytes, scratch_bytes;
};

/* What finish made of a tile: the constants of its rows, and the shift that they need, which most rows do not. */
typedef struct {
    double constants[SMX_CONSTANTS * SMX_TILE_ROWS], shift[SMX_TILE_ROWS];
    int flags, shifted;
} smx_tile_state;

/* A thread at work on a job. */
struct smx_worker {
    const smx_job *job;
    char *block[SMX_MAX_INPUTS], *saved, *partials;
    char *stage, *mask_block; /* rows on their way to or from a block of columns; bytes of the mask */
    smx_view mask; /* of the open piece, strides in bytes */
    smx_tile tile;
    smx_tile_state *state;
    ptrdiff_t first_row; /* of the tile */
    int is_packed; /* the tile is packed rows of the arrays, in the layout ROWS */
    int is_open; /* the tile of a uniform job, read and written where it is */
    ptrdiff_t lookahead_item; /* the piece, numbered through all tiles, whose maxima lookahead holds, or -1 */
    double lookahead[SMX_LOOKAHEAD];
    int64_t label[SMX_TILE_ROWS];
    double factor[SMX_TILE_ROWS]; /* room for reals */
    void *context; /* of ragged rows */
};

enum {
    SMX_TINY_BLOCK = 8 * 1024, /* bytes of a block of a tiny call, on the stack */
    SMX_STACK_SCRATCH = 32 * 1024, /* bytes of scratch memory that come from the stack */
};

/* Steps are powers of two. Small calls count their divisions. */
static inline ptrdiff_t smx_round_down(ptrdiff_t x, ptrdiff_t step) { return x & -step; }
static inline ptrdiff_t smx_round_up(ptrdiff_t x, ptrdiff_t step) { return smx_round_down(x + step - 1, step); }
static inline ptrdiff_t smx_min(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }
static inline ptrdiff_t smx_max(ptrdiff_t a, ptrdiff_t b) { return a > b ? a : b; }

/* ---- route.c --------------------------------------------------------------------------------------------------------- */

/* Chooses the route of a plan of so many rows of n elements, and cuts it up. */
void smx_choose_route(smx_job *job, const smx_plan *plan, ptrdiff_t rows, ptrdiff_t n, int threads);

/* True if threads share the pieces of the job's rows, not its tiles. */
int smx_shares_pieces(const smx_job *job);

/* A call that is one tile of contiguous rows of reals is over before a job would be made: see tiny.c. */
typedef struct {
    enum smx_walk reduce, write;
    ptrdiff_t pitch; /* of the block that columns are transposed into, and of what is saved */
} smx_tiny_route;
int smx_is_tiny(const smx_plan *plan, ptrdiff_t rows, ptrdiff_t n, smx_tiny_route *route);

/* What explain.c turns and names. */
enum smx_switch { SMX_SWITCH_TINY, SMX_SWITCH_ROUTE, SMX_SWITCH_OPTION };
void smx_turn(enum smx_switch what, int number, int off);
const char *smx_route_of_table(int number);

/* ---- explain.c ------------------------------------------------------------------------------------------------------- */

/* The job in a line of text, for people. */
void smx_explain_job(const smx_job *job, char *text, size_t size);

/* ---- tiny.c ---------------------------------------------------------------------------------------------------------- */

/* Returns 1 if the plan is done, 0 if it is not tiny, or holds values that want another pass. */
int smx_run_tiny(const smx_plan *plan, ptrdiff_t rows, ptrdiff_t n);

/* ---- tile.c ---------------------------------------------------------------------------------------------------------- */

/* One tile from start to end; next_follows: the worker goes on with the next tile. */
void smx_do_tile(smx_worker *w, ptrdiff_t number, int next_follows);

/* The protocol of a tile, for rows that the worker has opened: reduce, finish, again with a shift if need be, and write. */
void smx_do_open_rows(smx_worker *w, ptrdiff_t number, int next_follows);

/* The steps of that protocol, for threads that share the pieces of a tile. smx_finish_rows returns 0 if the rows have to be
   reduced again, with the shift that it has put into the state. */
void smx_open_tile(smx_worker *w, ptrdiff_t number);
void smx_reduce_piece(smx_worker *w, ptrdiff_t number, ptrdiff_t piece, int next_follows, char *partials);
int smx_finish_rows(const smx_worker *w, const void *partials, smx_tile_state *state);
void smx_store_row_results(smx_worker *w);

/* What a job's open_piece and write_piece are, except for ragged rows. */
void smx_open_piece(smx_worker *w, ptrdiff_t piece, const void *shift);
void smx_write_piece(smx_worker *w, ptrdiff_t piece);

static inline int smx_has_row_results(const smx_job *j) { return !j->op->elementwise || j->op->has_row_out; }

/* ---- transfer.c ------------------------------------------------------------------------------------------------------ */

smx_load smx_load_gathered, smx_load_half, smx_load_masked, smx_load_transposed, smx_load_lines, smx_load_compact_lines;
smx_store smx_store_scattered, smx_store_half, smx_store_transposed, smx_store_half_lines;

/* The rows of the tile in an array, from element number start on, and in a block. */
smx_view smx_view_array(const smx_worker *w, const smx_operand *operand, ptrdiff_t start);
smx_view smx_view_block(const smx_job *job, char *block);

/* Applies the mask of the open piece. */
void smx_apply_mask(const smx_worker *w, const smx_view *from, double fill, const smx_view *to);

/* An operand of one number a row: returns the numbers of the tile, contiguous, in the array or in `to`. */
const void *smx_gather_numbers(const smx_worker *w, const smx_operand *from, ptrdiff_t size, void *to);

/* Stores one number for each row of the tile. */
void smx_store_numbers(const smx_worker *w, const smx_operand *to, const char *numbers);

#endif
