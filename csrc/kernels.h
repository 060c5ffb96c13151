/* The kernels as the driver sees them: serial, one tile at a time, the same table at every level and for every type.

   A tile is a few rows that are worked on together. A row longer than SMX_PIECE elements is worked on in pieces of
   that size. For each tile the driver calls

       reduce   for every piece: what the operation must know of the piece, a few numbers a row (a "partial")
       finish   once: combines the partials of each row's pieces into the constants of the row
       write    for every piece: the results, element by element, from the inputs and the constants

   The rows of a tile lie in memory in one of two layouts:

       ROWS      each row is contiguous; vectors run along it
       COLUMNS   the rows lie side by side; element j of all of them is contiguous, vectors run across them

   Both layouts give the same bits: see "the order of every sum" in kernels/sum.inc.h. */

#ifndef SMX_KERNELS_H
#define SMX_KERNELS_H

#include <stddef.h>
#include <stdint.h>

enum smx_op {
    SMX_SOFTMAX,
    SMX_LOG_SOFTMAX,
    SMX_LOGSUMEXP,
    SMX_SOFTMAX_VJP,
    SMX_LOG_SOFTMAX_VJP,
    SMX_LOG_SOFTMAX_JVP,
    /* cross-entropy of labels, of labels smoothed, of probabilities; each also with its gradient */
    SMX_LABEL_LOSS,
    SMX_LABEL_LOSS_GRAD,
    SMX_SMOOTH_LOSS,
    SMX_SMOOTH_LOSS_GRAD,
    SMX_TARGET_LOSS,
    SMX_TARGET_LOSS_GRAD,
    SMX_OP_COUNT
};

enum {
    SMX_PIECE = 4096,    /* elements of a row that are reduced at once */
    SMX_SHORT = 80,      /* rows up to here have one partial sum and are mostly laid out side by side */
    SMX_STEP = 64,       /* no step of a loop over a row, at any level and for any type, is longer */
    SMX_TILE_ROWS = 256, /* rows of a tile at most, in COLUMNS */
    SMX_ROWS_AT_ONCE = 16, /* in ROWS */
    SMX_PARTIALS = 8,    /* numbers in a partial, each for all rows of the tile, rounded up to lanes */
    SMX_CONSTANTS = 10,  /* constants of a row: number k of row r is constants[k * SMX_TILE_ROWS + r] */
    SMX_SHIFT = 9,       /* the number among them that holds the shift, after SMX_TOO_LARGE */
    SMX_TEMPERATURE = 8, /* doubles that hold a temperature's constants */
    SMX_FOUND = 6 * SMX_ROWS_AT_ONCE, /* doubles that hold what is found out ahead */
    SMX_MAX_INPUTS = 3
};

enum smx_layout { SMX_ROWS, SMX_COLUMNS };

/* How an array keeps its numbers: as the reals of the kernels, or in 16 bits for kernels of float. */
enum smx_storage { SMX_REAL, SMX_FLOAT16, SMX_BFLOAT16 };

/* Where the rows of a tile are: element j of row r stands r * row + j * element reals from the start. In ROWS element is
   1, in COLUMNS row is. */
typedef struct {
    void *start;
    ptrdiff_t row, element;
} smx_view;

/* What a cross-entropy is called with, but for its arrays: class j has the target weight[j] (keep q[j] + spread), q
   being the probabilities, or 1 at the label. The gradient is that of the sum of the losses / divisor. */
typedef struct {
    double keep, spread, divisor;
} smx_targets;

typedef struct {
    enum smx_layout layout;
    int width;         /* rows */
    ptrdiff_t first;   /* number of the piece's first element in its row */
    ptrdiff_t n;       /* elements of each row in this piece */
    ptrdiff_t length;  /* elements of the whole row: it fixes the order of the sums */
    smx_view in[SMX_MAX_INPUTS];
    smx_view out;
    /* Where reduce leaves what spares write most of its work, if not NULL: two numbers for each element. In ROWS, rows are
       rounded up to SMX_STEP; in COLUMNS, the first may take the place of in[0], where that is a block. */
    smx_view kept[2];
    const void *temperature; /* as set_temperature leaves it */
    int stream; /* write past the cache; as_run (of derivatives) and COLUMNS: whose out begins with a line of it */
    /* ROWS: its rows follow one another in every array, all of one storage, and in the mask: short ones share vectors. */
    int as_run;
    /* Where the like of an input in a piece or tile to come is, to be asked for; NULL if that is in the cache anyway. */
    smx_view next[SMX_MAX_INPUTS];
    /* Of operations that look ahead, ROWS longer than SMX_SHORT: so many rows of the next piece or tile, n elements of each.
       While reduce adds up exponentials, it looks for their largest elements, and leaves what it finds in found, where the
       next reduce has it from, if is_found. Where found is NULL, none of this is set. */
    smx_view ahead;
    int ahead_width, is_found;
    void *found;
    /* How results are to be kept. 16 bits if nobody (a write that takes labels off, settle_nans, hide) is to see them
       again as reals; out then counts items. */
    enum smx_storage out_storage;
    /* Of a derivative: how its inputs are kept; the mask's bytes, which follow one another as the lanes of a vector do
       (in COLUMNS, all may have the same), or NULL. Of inputs of 16 bits, which are not masked here, the views count
       items. */
    enum smx_storage storage;
    smx_view mask;
    const smx_targets *targets;
    const int64_t *label; /* of each row; of one that does not count, -1 */
    const void *factor; /* of each row: its label's target */
} smx_tile;

/* What finish found out about a tile, as flags. */
enum {
    SMX_NOT_FINITE = 1, /* write may leave NaNs of any kind: it is to be followed by settle_nans, and hide */
    SMX_TOO_LARGE = 2 /* |max| beyond the range of the reduction: do it all again with the shift subtracted */
};

/* What a mask makes of hidden elements: inputs that leave the row's constants alone, and a result. */
typedef struct {
    double in[SMX_MAX_INPUTS], out;
    int comes_by_itself; /* write makes that result of those inputs, unless finish says SMX_NOT_FINITE */
} smx_hidden;

typedef struct {
    int inputs; /* x; y and g; x and weight; x, weight and q */
    int elementwise; /* writes a result for each element; else one for each row, in constants[0] */
    int has_row_out; /* leaves one for each row in constants[0] beside those for each element */
    int has_labels; /* takes a label and a factor for each row */
    int uses_keep; /* reduce can spare write work through tile->kept */
    int subtracts_max; /* may answer SMX_TOO_LARGE */
    int is_derivative; /* takes masks through tile->mask, or numbers of 16 bits through tile->storage */
    int reduces_runs; /* takes rows of reals as_run; write always does */
    int looks_ahead; /* makes use of tile->ahead */
    int takes_lines; /* reduce takes COLUMNS that are not padded */
    int takes_narrow_lines; /* and wastes no lanes on few of them, if they are long */
    int writes_rows; /* COLUMNS of which reduce has kept exponentials; out may then be rows, unless NaNs are to be settled */
    int has_short_rows; /* reduce takes rows of up to SMX_SHORT elements in ROWS as well */
    void (*reduce)(const smx_tile *tile, void *partial);
    int (*finish)(const smx_tile *tile, ptrdiff_t pieces, const void *partials, const void *shift, void *constants);
    void (*write)(const smx_tile *tile, const void *constants);
    smx_hidden hidden;
    int worth_a_thread; /* elements that take some 8 us: less for a thread, and it costs more than it helps */
} smx_op_kernels;

typedef struct {
    const char *level;
    size_t real_size;
    int lanes; /* widths of blocks and partials are rounded up to a multiple of it; the padding may be read */
    smx_op_kernels op[SMX_OP_COUNT];
    /* Between an array and a block of columns, whose padding is filled with zeros, or with a row again: n lines, each of one
       element of all rows, that far apart and kept in any way; and contiguous rows of reals, that far apart. is_far:
       what comes next is not in the cache. columns_to_lines of reals may overwrite what lies behind the last line, up to a
       multiple of lanes. */
    void (*lines_to_columns)(enum smx_storage storage, const void *lines, ptrdiff_t line, int width, ptrdiff_t n,
                             void *block, ptrdiff_t element, int is_far);
    void (*columns_to_lines)(enum smx_storage storage, const void *block, ptrdiff_t element, void *lines,
                             ptrdiff_t line, int width, ptrdiff_t n);
    void (*rows_to_columns)(const void *rows, ptrdiff_t row, int width, ptrdiff_t n, void *block, ptrdiff_t element,
                            int is_far);
    void (*columns_to_rows)(const void *block, ptrdiff_t element, void *rows, ptrdiff_t row, int width, ptrdiff_t n,
                            int is_far);
    const void *no_temperature; /* the constants of temperature 1 */
    void (*set_temperature)(double temperature, void *constants);
    void (*subtract)(const smx_tile *tile, const void *shift); /* in[0] -= shift[row], in place */
    void (*settle_nans)(const smx_tile *tile); /* every NaN in out becomes the one quiet NaN */
    /* to = from where the byte in mask, whose strides are in bytes, is not 0, else fill; to may be from */
    void (*hide)(const smx_view *from, const smx_view *mask, int width, ptrdiff_t n, double fill, const smx_view *to);
    /* between n numbers of 16 bits that follow one another and n reals, whose NaNs are the one quiet NaN; NULL for double.
       narrow rounds to nearest, ties to even. Both go upwards, so that the 16 bits may lie in the upper half of the reals
       that widen makes of them, and in the lower half of those that narrow reads. */
    void (*widen)(enum smx_storage storage, const void *from, ptrdiff_t n, void *to);
    void (*narrow)(enum smx_storage storage, const void *from, ptrdiff_t n, void *to);
} smx_kernels;

extern const smx_kernels smx_scalar_f32, smx_scalar_f64;
extern const smx_kernels smx_sse2_f32, smx_sse2_f64;
extern const smx_kernels smx_avx2_f32, smx_avx2_f64;
extern const smx_kernels smx_avx512_f32, smx_avx512_f64;
extern const smx_kernels smx_neon_f32, smx_neon_f64;

#endif
