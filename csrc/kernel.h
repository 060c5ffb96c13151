/* What a kernel is: serial code for one tile, the same table of functions at every level and for every type.

   The runner calls three functions of an operation for each tile (tile.c):

       reduce   for every piece: leaves a few numbers for each row (a partial)
       finish   once: combines the partials of each row's pieces into the constants of the row
       write    for every piece: makes the results, element by element, from the inputs and the constants

   Glossary

       real        the type that the kernels compute in: float or double
       level       the instructions that kernels are compiled for, such as "avx2"
       plan, job   a call as it is described (plan.h), and as it is cut up (job.h)
       route       a named way of a call through the runner (route.c)
       row         the elements that one softmax is taken over
       short       (a row) of up to SMX_SHORT elements; all other rows are long
       SUMS        the partial sums of a long row: as many as the widest vector of any level has lanes
       tile        a few rows that are worked on together
       piece       SMX_PIECE elements of each row of a tile; the last piece may be shorter
       layout      how the rows of a tile lie in memory:
                     ROWS      each row is contiguous; vectors run along it
                     COLUMNS   the rows lie side by side: the elements j of all rows are contiguous, and vectors run
                               across rows
       line        in COLUMNS, the elements j of all rows of the tile
       strip       in COLUMNS, as many rows as a vector has lanes
       walk        the way in which a kernel goes through a tile (enum smx_walk); an operation has a reduce and a write
                   for each walk that it supports
       packed      rows that follow one another in memory with no gap, in every array
       native      (numbers) aligned, and in the byte order of this machine
       hidden      (an element) left out by the mask
       segment     a row of a plan whose rows differ in length; such rows are called ragged
       span        the rows that tiles are cut from, so that no tile reaches over the end of a span: the rows along the
                   last outer axis, at a constant stride; or all rows, found one by one, if that axis is short
       block       scratch memory that holds a tile of reals and stays in the cache
       pitch       the distance in a block from row to row (ROWS) or from line to line (COLUMNS), in reals
       stage       scratch memory that rows pass on their way between an array and a block of columns
       partial     the numbers that reduce leaves for each row of a piece
       constants   the numbers that finish leaves for each row
       saved       numbers that reduce keeps, so that write need not compute them again
       shift       what is subtracted from the rows whose maximum is beyond the range of exp's reduction
       beyond cache   (memory) not in the last-level cache when it is needed
       uniform     (a job) each tile lies as the tile before does, at a constant distance

   Both layouts give the same bits: see "the order of every sum" in kernels/sum.inc.h. */

#ifndef SMX_KERNEL_H
#define SMX_KERNEL_H

#include <stddef.h>
#include <stdint.h>

enum smx_op {
    SMX_SOFTMAX,
    SMX_LOG_SOFTMAX,
    SMX_LOGSUMEXP,
    SMX_WEIGHTED_LOGSUMEXP,
    SMX_SIGNED_LOGSUMEXP, /* and the sign of the sum beside it */
    SMX_SOFTMAX_LOGSUMEXP, /* the elements of the one, and beside them the rows of the other */
    SMX_LOG_SOFTMAX_LOGSUMEXP,
    SMX_SOFTMAX_ENTROPY,
    SMX_SOFTMAX_VJP,
    SMX_LOG_SOFTMAX_VJP,
    SMX_LOG_SOFTMAX_JVP,
    /* cross-entropy of labels, of smoothed labels, of probabilities; each also with its gradient */
    SMX_LABEL_LOSS,
    SMX_LABEL_LOSS_GRAD,
    SMX_SMOOTH_LOSS,
    SMX_SMOOTH_LOSS_GRAD,
    SMX_TARGET_LOSS,
    SMX_TARGET_LOSS_GRAD,
    SMX_OP_COUNT
};

enum {
    SMX_PIECE = 4096,      /* elements of a row that are reduced at once */
    SMX_SHORT = 80,        /* rows up to this length have one partial sum and mostly lie side by side in a tile */
    SMX_FEW = 4,           /* products of rows up to this length are added plainly */
    SMX_STEP = 64,         /* the longest step of a loop over a row, at any level and for any type */
    SMX_TILE_ROWS = 256,   /* the most rows of a tile in COLUMNS, and of packed rows */
    SMX_ROWS_AT_ONCE = 16, /* the most rows of a tile in ROWS that are not packed */
    SMX_PARTIALS = 8,      /* numbers in a partial; each has room for the tile's rows, rounded up to row_multiple */
    SMX_CONSTANTS = 11,    /* constants of a row: constant k of row r is constants[k * SMX_TILE_ROWS + r] */
    SMX_SHIFT = 10,        /* the constant that holds the shift if finish returns SMX_TOO_LARGE */
    SMX_TEMPERATURE = 13,  /* doubles that hold a temperature's constants */
    SMX_LOOKAHEAD = 6 * SMX_ROWS_AT_ONCE, /* doubles that hold the maxima found ahead and what follows from them */
    SMX_MAX_INPUTS = 3
};

enum smx_layout { SMX_ROWS, SMX_COLUMNS };

enum smx_walk {
    SMX_WALK_ROWS,          /* ROWS: long rows, one after the other */
    SMX_WALK_SHORT_ROWS,    /* ROWS: a few rows of up to SMX_SHORT elements, one after the other */
    SMX_WALK_PACKED,        /* ROWS: packed rows of up to SMX_SHORT elements; vectors reach over several rows */
    SMX_WALK_COLUMNS,       /* COLUMNS: long rows, strips of a vector's width one after the other */
    SMX_WALK_NARROW_LINES,  /* COLUMNS: few long rows, lines follow one another; vectors reach over several lines */
    SMX_WALK_SHORT_COLUMNS, /* COLUMNS: rows of up to SMX_SHORT elements */
    SMX_WALK_TRANSPOSED, /* write alone: from saved columns of up to SMX_SHORT elements into rows of reals */
    SMX_WALKS
};

/* How an array keeps its numbers: as the reals of the kernels, or in 16 bits for kernels of float. */
enum smx_storage { SMX_REAL, SMX_FLOAT16, SMX_BFLOAT16 };

/* Where the rows of a tile are: element j of row r is at start + r * row_stride + j * element_stride. Strides count
   reals, or 16-bit numbers in an array of those, or bytes in a mask. ROWS have an element_stride of 1, COLUMNS a
   row_stride of 1. */
typedef struct {
    void *start;
    ptrdiff_t row_stride, element_stride;
} smx_view;

/* The numbers of a call of cross-entropy. Class j has the target weight[j] (keep q[j] + spread) 2^exponent, times the
   row's scale if there is one; q is a probability, or 0 if there are labels. A label's own target is the row's factor
   2^exponent. The gradient is that of the sum of the losses / (divisor 2^divisor_exponent). Exponents are apart, so
   that weights and divisors of any size make neither an overflow nor an underflow. */
typedef struct {
    double keep, spread, divisor;
    int exponent, divisor_exponent;
} smx_targets;

/* A loss counts 2^(SMX_LOSS_UNIT exponent) times its number, where the number alone would be out of range. The exponent
   SMX_OUT_OF_REACH says that the targets of a row of floats are too large for its gradient to be made in float. */
enum { SMX_LOSS_UNIT = 64, SMX_OUT_OF_REACH = 127 };

/* The rows that the next reduce is likely to read, in the next piece or tile. While reduce adds up the exponentials of
   its own rows, it finds the maxima of those, because the loop has loads to spare. */
typedef struct {
    smx_view view;
    int rows; /* how many rows to look at, n elements each */
    int valid; /* maxima holds what the reduce before has found in the rows of this tile */
    void *maxima; /* SMX_LOOKAHEAD doubles; if NULL, reduce does not look ahead, and the other fields are not set */
} smx_lookahead;

typedef struct {
    enum smx_layout layout;
    int rows;
    ptrdiff_t piece_start; /* the number of the piece's first element in its row */
    ptrdiff_t n; /* elements of each row in this piece */
    ptrdiff_t row_length; /* elements of the whole row, which fixes the order of the sums */
    smx_view in[SMX_MAX_INPUTS];
    smx_view out;
    /* Where reduce saves two numbers for each element; start is NULL if reduce does not save. Rows in ROWS are rounded
       up to SMX_STEP. saved[0] may be the memory of in[0], if that is a block. */
    smx_view saved[2];
    const void *temperature; /* the constants that set_temperature makes */
    const void *initial; /* of each row: exp(initial) is added to its sum of exponentials; NULL: nothing is added */
    int stream; /* write past the cache; in the walks PACKED and COLUMNS, out then starts at a cache line */
    /* Where each input lies in the next piece or tile, to be prefetched; start is NULL if it need not be prefetched. */
    smx_view next[SMX_MAX_INPUTS];
    smx_lookahead lookahead;
    /* How results are stored. They have 16 bits only if no later step (labels, canonicalize_nans, apply_mask) reads
       them as reals. */
    enum smx_storage out_storage;
    /* Derivatives only: how the inputs are stored, and the mask. The bytes of the mask are contiguous in the direction
       of the vectors, or one byte stands for a whole line of COLUMNS. mask.start is NULL if there is no mask, as with
       inputs of 16 bits. */
    enum smx_storage storage;
    smx_view mask;
    /* If finish has returned SMX_TOO_LARGE, what it has left in the constant SMX_SHIFT of each row; else NULL.
       Derivatives do these rows with care. Other operations get shifted inputs, and shift the initial terms by
       themselves. */
    const void *again;
    const smx_targets *targets;
    const int64_t *label; /* of each row; -1 for a row that does not count */
    const void *factor; /* of each row: the target of its label */
    const void *scale; /* of each row: what its targets are multiplied by; NULL: 1; negative: the row does not count */
    const void *spread; /* of each row, in place of targets->spread; NULL: that one */
} smx_tile;

/* What finish found out about a tile, as flags. */
enum {
    SMX_NOT_FINITE = 1, /* write may leave NaNs of any kind: canonicalize_nans and apply_mask have to follow */
    /* |max| is beyond the range of exp's reduction: repeat reduce with the shift subtracted. A derivative sets it
       if its formulas cannot take the numbers: the tile is done again with care. */
    SMX_TOO_LARGE = 2,
    SMX_SCALED = 4 /* (losses) constants[1] holds the exponent of each row's loss, and some are not 0 */
};

/* What hidden elements count as: inputs that do not change the constants of the row, and a result. */
typedef struct {
    double in[SMX_MAX_INPUTS], out;
    int follows_from_in; /* write makes the result `out` from the inputs `in`, unless finish returns SMX_NOT_FINITE */
} smx_hidden;

typedef void smx_reduce(const smx_tile *tile, void *partial);
typedef int smx_finish(const smx_tile *tile, ptrdiff_t pieces, const void *partials, const void *shift,
                       void *constants);
typedef void smx_write(const smx_tile *tile, const void *constants);

/* Reduces, finishes and writes rows one after the other; packed rows, a vector of them at a time. So what a row costs
   beside its elements is hidden behind other rows. The tile has one piece, no mask and no temperature. Returns
   the number of rows that are done. It stops at a row for which finish would do more than make constants; that row and
   those behind it are untouched. */
typedef int smx_whole(const smx_tile *tile);

/* The same for short rows of different lengths. Row r is the reals from indptr[r] to indptr[r + 1] of both inputs and of
   the output. It also stops at a row of more than `limit` elements, up to SMX_SHORT, and at rows after which the inputs
   end: numbers behind a row are read, up to number `end`. */
typedef ptrdiff_t smx_whole_segments(const void *y, const void *g, void *out, const ptrdiff_t *indptr, ptrdiff_t count,
                                     ptrdiff_t limit, ptrdiff_t end);

/* A row of the table of operations. */
typedef struct {
    const char *name;
    int inputs; /* x; x and b; y and g; x and weight; x, weight and q */
    int elementwise; /* writes a result for each element; else one for each row, in constants[0] */
    int has_row_out; /* leaves a result for each row in constants[0] beside those for elements, or in constants[1] */
    int has_targets; /* a loss: takes targets, and has an exponent beside its result for each row */
    int has_labels; /* takes a label and a factor for each row */
    int takes_initial; /* the sum may include an initial term for each row */
    int saves; /* reduce can save work for write in tile->saved */
    int may_shift; /* finish may answer SMX_TOO_LARGE, and wants the shift subtracted from the first input */
    int writes_unshifted; /* write reads the elements as they are: the shift has gone into the constants */
    int is_derivative; /* takes masks through tile->mask, or numbers of 16 bits through tile->storage */
    int looks_ahead; /* reduce makes use of tile->lookahead */
    int has_long_finish; /* finish takes logarithms: a long chain of operations for each vector of rows */
    int reads_padding; /* in COLUMNS, reduce reads whole vectors, so lines have to be padded to row_multiple */
    smx_reduce *reduce[SMX_WALKS]; /* NULL: the operation does not support the walk */
    smx_finish *finish;
    smx_write *write[SMX_WALKS];
    smx_whole *whole[SMX_WALKS]; /* NULL: rows of the walk are done by reduce, finish and write alone */
    smx_whole_segments *whole_segments; /* NULL: ragged rows are done in windows alone */
    smx_hidden hidden;
    int min_elements_per_thread; /* elements that take some 8 us: with fewer, a thread costs more than it helps */
} smx_op_kernels;

typedef struct {
    const char *level;
    size_t real_size;
    /* SUMS. Blocks of columns and partials have room for a multiple of it, and the padding may be read. */
    int row_multiple;
    smx_op_kernels op[SMX_OP_COUNT];
    /* Four copies between an array and a block of columns. Lines may have any storage, and line_stride counts its
       items. Rows are contiguous reals. A copy to columns fills their padding with zeros. If beyond_cache is set, a
       copy prefetches what follows. columns_to_lines of reals may overwrite memory behind the last line, up to
       row_multiple. */
    void (*lines_to_columns)(enum smx_storage storage, const void *lines, ptrdiff_t line_stride, int rows, ptrdiff_t n,
                             void *block, ptrdiff_t element_stride, int beyond_cache);
    void (*columns_to_lines)(enum smx_storage storage, const void *block, ptrdiff_t element_stride, void *lines,
                             ptrdiff_t line_stride, int rows, ptrdiff_t n);
    void (*rows_to_columns)(const void *rows, ptrdiff_t row_stride, int count, ptrdiff_t n, void *block,
                            ptrdiff_t element_stride, int beyond_cache);
    void (*columns_to_rows)(const void *block, ptrdiff_t element_stride, void *rows, ptrdiff_t row_stride, int count,
                            ptrdiff_t n, int beyond_cache);
    /* The same two for rows of different lengths, up to SMX_SHORT. Row r is length[r] contiguous reals, which begin at
       number start[r] of an array of `end` reals. No row is longer than the row before, and the lengths go on up to the
       next multiple of row_multiple. A copy to columns fills shorter rows up to n elements with the number `fill`, and
       writes lines up to the next multiple of 4. */
    void (*segments_to_columns)(const void *array, ptrdiff_t end, const ptrdiff_t *start, const uint8_t *length,
                                int count, ptrdiff_t n, double fill, void *block, ptrdiff_t element_stride);
    void (*columns_to_segments)(const void *block, ptrdiff_t element_stride, void *array, const ptrdiff_t *start,
                                const uint8_t *length, int count);
    /* Copies rows of n reals that are `step` bytes apart into contiguous ones, whose rows are aligned. Rows are from_row
       and to_row bytes apart. Of each row it copies only the first reals, as far as vectors do it well, and returns
       their number. If swapped, the bytes of each are reversed. */
    ptrdiff_t (*gather)(const void *from, ptrdiff_t from_row, ptrdiff_t step, ptrdiff_t rows, ptrdiff_t n, int swapped,
                        void *to, ptrdiff_t to_row);
    const void *no_temperature; /* the constants of temperature 1 */
    void (*set_temperature)(double temperature, void *constants);
    void (*subtract)(const smx_tile *tile, const void *shift); /* in[0] -= shift[row], in place */
    void (*canonicalize_nans)(const smx_tile *tile); /* every NaN in out becomes the one quiet NaN */
    /* to = mask ? from : fill; to and from may be the same memory */
    void (*apply_mask)(const smx_view *from, const smx_view *mask, int rows, ptrdiff_t n, double fill,
                       const smx_view *to);
    /* Convert n contiguous numbers of 16 bits to reals, and back; NULL in the kernels of double. NaNs become the one
       quiet NaN. to_half rounds to nearest, ties to even. Both can work in one buffer, as both go upwards: the 16-bit
       numbers that from_half reads may lie in the upper half of the memory of its reals, those that to_half makes in
       the lower half. */
    void (*from_half)(enum smx_storage storage, const void *from, ptrdiff_t n, void *to);
    void (*to_half)(enum smx_storage storage, const void *from, ptrdiff_t n, void *to);
} smx_kernels;

extern const smx_kernels smx_scalar_f32, smx_scalar_f64;
extern const smx_kernels smx_sse2_f32, smx_sse2_f64;
extern const smx_kernels smx_avx2_f32, smx_avx2_f64;
extern const smx_kernels smx_avx512_f32, smx_avx512_f64;
extern const smx_kernels smx_neon_f32, smx_neon_f64;

#endif
