/* A plan: one call, described in full and independent of NumPy. The Cython layer fills it in, the runner runs it.

   An operand's axes are split in two: the outer ones tell the rows apart, the inner ones run along a row, in the order
   that fixes the order of the row's sums. Strides are in bytes and may be anything, 0 and negative ones included.

   A mask has axes of its own. The axes of a mask that is broadcast merge in other ways than those of the operands. If
   both had the same axes, such a mask would cut up the rows of the operands.

   Rows may differ in length. With an indptr, the one inner axis is cut into segments, and each segment is a row for
   every index of the outer axes. */

#ifndef SMX_PLAN_H
#define SMX_PLAN_H

#include "kernel.h"
#include "threads.h"

enum {
    SMX_MAX_DIMS = 64, /* NumPy's own limit */
};

typedef struct {
    char *data;
    enum smx_storage storage;
    int swapped; /* the numbers are in the other byte order than this machine's */
    ptrdiff_t outer[SMX_MAX_DIMS];
    /* Not used in an operand of one number a row; but if rows are segments, inner[0] is its stride from one to the
       next. */
    ptrdiff_t inner[SMX_MAX_DIMS];
} smx_operand;

/* A byte for each element: 0 hides it. */
typedef struct {
    const char *data; /* NULL: there is no mask */
    int outer_dims, inner_dims;
    ptrdiff_t outer_shape[SMX_MAX_DIMS], inner_shape[SMX_MAX_DIMS];
    ptrdiff_t outer[SMX_MAX_DIMS], inner[SMX_MAX_DIMS];
} smx_mask;

typedef struct {
    enum smx_op op;
    const smx_kernels *kernels; /* of the level, and of the type to compute in */
    int threads;                /* the most to use; small work takes fewer */
    smx_call *call;             /* set by smx_run if there are several threads */
    double temperature;         /* 1: none; read by every operation on exp(x / T) */
    int outer_dims, inner_dims;
    ptrdiff_t outer_shape[SMX_MAX_DIMS], inner_shape[SMX_MAX_DIMS];
    smx_operand in[SMX_MAX_INPUTS];
    /* The output may be the very memory of an input, element for element, but not overlap it in any other way. */
    smx_operand out;
    /* The mask's inner axes are those of the plan. So are its outer axes, but if the plan has a single outer axis, the
       mask's may divide it. */
    smx_mask mask;
    /* Segment k is the elements from indptr[k] to indptr[k + 1] of the inner axis: segments + 1 numbers that never
       decrease, from 0 to the axis' length. NULL: the axis is not cut. */
    const ptrdiff_t *indptr;
    ptrdiff_t segments;
    /* Operands of one number a row, if the operation has them. */
    smx_operand row_out; /* beside the elements of out, or beside its number of each row */
    smx_operand label;   /* int64_t, in the byte order of this machine */
    smx_operand factor;  /* real, in the byte order of this machine */
    smx_operand initial; /* likewise; data is NULL if there is none, and for all but softmax and its sums */
    /* Of losses. exponent: bytes; one is written only for a loss that is out of range without it, so all have to be 0
       before. scale and spread: real, in the byte order of this machine; data is NULL if there are none. */
    smx_operand exponent, scale, spread;
    smx_targets targets;
    char *explanation; /* NULL, or room for SMX_EXPLANATION bytes of text: the way that the call takes */
} smx_plan;

enum { SMX_DONE = 0, SMX_NO_MEMORY = 1 };
enum { SMX_EXPLANATION = 256 };

/* Tells route.c the size of the last-level cache in bytes, or 0 if that is unknown. It is called once, at import. */
void smx_run_begin(size_t last_cache);

/* True if that many arrays, of so many bytes each, take more of the last-level cache than one call may count on. Loops
   then prefetch; within the cache, the processor does it well enough, unless the cache is far away (route.c). */
int smx_beyond_cache(int arrays, ptrdiff_t bytes);

/* Runs the plan and may rewrite it on the way (axes are reordered and merged). No row may be empty, but segments may
   be. */
int smx_run(smx_plan *plan);

/* Runs a plan without indptr. smx_run calls it for a whole plan, and ragged.c for one segment. It does not ask the
   policy for threads: smx_run has done that, and the number is in plan->threads. */
int smx_run_rows(smx_plan *plan);

/* The number of threads that so many elements are worth, up to plan->threads. */
int smx_threads_for(const smx_plan *plan, ptrdiff_t elements);

/* For tests: the names of routes, in the order in which they are tried, and of the options of routes; NULL after the
   last. A route or option that is turned off is passed over. The routes that take all short or all long rows stay. */
const char *smx_route_name(int number);
const char *smx_option_name(int number);
void smx_turn_route(int number, int off);
void smx_turn_option(int number, int off);

#endif
