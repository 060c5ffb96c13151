/* The kernels of one level for one type: every operation, written once, in terms of vectors (vec_<level>.h) of reals
   (real.h), and the table that holds them.

   kernel.h says what reduce, finish and write are, and what a tile is. Here each operation reduces a row to a few
   constants, then applies a formula to each element:

       operation           reduction                           element
       softmax             max, sum exp(x)                     exp(x) / sum
       log_softmax         the two largest, sum exp(x)         x - log sum
       logsumexp           as log_softmax                      (none: log sum itself)
       weighted_logsumexp  sum b exp(x)                        (none: log |sum|, and its sign beside it)
       softmax_entropy     and sum exp(x) (max - x)            (none: the entropy itself)
       softmax_vjp         d = sum y g                         y (g - d)
       log_softmax_vjp     d = sum g                           g - exp(y) d
       log_softmax_jvp     d = sum exp(y) g                    g - d
       cross-entropy       see op_loss.inc.h

   A level's file includes its vectors, then this file. Each file below is included once, and uses only what stands
   above it. There is one exception, which reduce_exp.inc.h declares at its head. */

/* arithmetic */
#include "exp.inc.h"
#include "sum.inc.h"
#include "log.inc.h"
#include "products.inc.h"

/* what the loops share */
#include "special.inc.h"
#include "tile.inc.h"
#include "load.inc.h"
#include "prefetch.inc.h"
#include "initial.inc.h"
#include "largest.inc.h"
#include "transpose.inc.h"

/* the loops */
#include "exp_terms.inc.h"
#include "reduce_exp.inc.h"
#include "reduce_weighted.inc.h"
#include "reduce_products.inc.h"
#include "care.inc.h"
#include "reduce_targets.inc.h"
#include "formula.inc.h"
#include "lines.inc.h"
#include "write.inc.h"
#include "walk.inc.h"
#include "combine_exp.inc.h"

/* Entries of a row of the table. MIN_ELEMENTS_PER_THREAD is in thousands of floats; doubles take twice the time.
   bench/README.md says how it was measured. */
#define MIN_ELEMENTS_PER_THREAD(thousands) ((thousands) * 1024 * 32 / REAL_BITS)
#define HIDDEN(first, second, out, follows_from_in) {{first, second}, out, follows_from_in}

#define JOIN_(a, b, c, d) a##b##c##d
#define JOIN(a, b, c, d) JOIN_(a, b, c, d)

/* The operations. Each file defines its rows of the table as macros, because in C11 no constant object can initialize
   another. */
#include "op_softmax.inc.h"
#include "op_log_softmax.inc.h"
#include "op_logsumexp.inc.h"
#include "op_weighted_logsumexp.inc.h"
#include "op_softmax_entropy.inc.h"
#include "op_derivatives.inc.h"
#include "whole_rows.inc.h"
#include "segments.inc.h"
#include "loss.inc.h"
#include "op_loss.inc.h"

/* the rest of the table */
#include "adjust.inc.h"
#include "transfer.inc.h"

#define STRING_(a) #a
#define STRING(a) STRING_(a)

const smx_kernels JOIN(smx_, LEVEL, _f, REAL_BITS) = {
    .level = STRING(LEVEL),
    .real_size = sizeof(real),
    .row_multiple = SUMS,
    .op =
        {
            [SMX_SOFTMAX] = SOFTMAX_ROW,
            [SMX_LOG_SOFTMAX] = LOG_SOFTMAX_ROW,
            [SMX_LOGSUMEXP] = LOGSUMEXP_ROW,
            [SMX_WEIGHTED_LOGSUMEXP] = WEIGHTED_LOGSUMEXP_ROW,
            [SMX_SIGNED_LOGSUMEXP] = SIGNED_LOGSUMEXP_ROW,
            [SMX_SOFTMAX_LOGSUMEXP] = SOFTMAX_LOGSUMEXP_ROW,
            [SMX_LOG_SOFTMAX_LOGSUMEXP] = LOG_SOFTMAX_LOGSUMEXP_ROW,
            [SMX_SOFTMAX_ENTROPY] = SOFTMAX_ENTROPY_ROW,
            [SMX_SOFTMAX_VJP] = SOFTMAX_VJP_ROW,
            [SMX_LOG_SOFTMAX_VJP] = LOG_SOFTMAX_VJP_ROW,
            [SMX_LOG_SOFTMAX_JVP] = LOG_SOFTMAX_JVP_ROW,
            [SMX_LABEL_LOSS] = LABEL_LOSS_ROW,
            [SMX_LABEL_LOSS_GRAD] = LABEL_LOSS_GRAD_ROW,
            [SMX_SMOOTH_LOSS] = SMOOTH_LOSS_ROW,
            [SMX_SMOOTH_LOSS_GRAD] = SMOOTH_LOSS_GRAD_ROW,
            [SMX_TARGET_LOSS] = TARGET_LOSS_ROW,
            [SMX_TARGET_LOSS_GRAD] = TARGET_LOSS_GRAD_ROW,
        },
    .lines_to_columns = lines_to_columns,
    .columns_to_lines = columns_to_lines,
    .rows_to_columns = rows_to_columns,
    .columns_to_rows = columns_to_rows,
    .segments_to_columns = segments_to_columns,
    .columns_to_segments = columns_to_segments,
    .gather = gather,
    .no_temperature = &no_temperature,
    .set_temperature = set_temperature,
    .subtract = subtract,
    .canonicalize_nans = canonicalize_nans,
    .apply_mask = apply_mask,
#if REAL_BITS == 32
    .from_half = from_half,
    .to_half = to_half,
#endif
};

END_OF_TARGET
