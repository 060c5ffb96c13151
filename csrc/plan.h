/* A plan: one call, described in full and independent of NumPy. The Cython face fills one in, the driver runs it.

   An operand's axes are split in two: the outer ones tell the rows apart, the inner ones run along a row, in the order
   that fixes the order of the row's sums. Strides are in bytes and may be anything, 0 and negative ones included.

   A mask has axes of its own, into which rows and elements are divided: so a broadcast one, whose axes merge in other
   ways, does not cut up the rows of the operands.

   Rows need not be of one length: with an indptr, the one inner axis is cut into segments, each of which is a row for
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
    int swapped; /* bytes in the order that is not this machine's */
    ptrdiff_t outer[SMX_MAX_DIMS];
    ptrdiff_t inner[SMX_MAX_DIMS]; /* not used where there is one number a row */
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
    const smx_kernels *kernels; /* which fixes the type */
    int threads;                /* at most; fewer are used for small work */
    smx_call *call;             /* set by smx_run */
    double temperature;         /* 1: none; read by softmax and log_softmax */
    int outer_dims, inner_dims;
    ptrdiff_t outer_shape[SMX_MAX_DIMS], inner_shape[SMX_MAX_DIMS];
    smx_operand in[SMX_MAX_INPUTS];
    /* The output may be the very memory of an input, element for element, but not overlap it in any other way. */
    smx_operand out;
    /* Its inner axes are the plan's; so are the outer ones, unless the plan has but one: then they may divide it. */
    smx_mask mask;
    /* Segment k is the elements from indptr[k] to indptr[k + 1] of the inner axis: segments + 1 numbers that never
       decrease, from 0 to the axis' length. NULL: there is one, the whole row. */
    const ptrdiff_t *indptr;
    ptrdiff_t segments;
    /* One number a row, where the operation has them. */
    smx_operand row_out; /* beside the elements of out */
    smx_operand label;   /* int64_t; label and factor in the order of this machine */
    smx_operand factor;
    smx_targets targets;
    char *explanation; /* NULL, or room for SMX_EXPLANATION bytes: which way the call took, in words */
} smx_plan;

enum { SMX_DONE = 0, SMX_NO_MEMORY = 1 };
enum { SMX_EXPLANATION = 256 };

/* Once, at import: how large the last cache is, 0 if that is unknown. */
void smx_run_begin(size_t last_cache);

/* True if so many bytes of each of so many arrays are more than the caches hold beside all else that they are for. Within the
   caches, hardware sees to it that what comes next is there. */
int smx_beyond_cache(int arrays, ptrdiff_t bytes);

/* Runs the plan, which it may rewrite on the way (it reorders and merges axes). No row may be empty, but
   segments may be. */
int smx_run(smx_plan *plan);

/* The same for a part of another plan's work, without indptr: whether to wake threads has been decided. */
int smx_run_rows(smx_plan *plan);

/* How many threads smx_run uses for so many elements. */
int smx_threads_for(const smx_plan *plan, ptrdiff_t elements);

/* For tests: the names of routes, in the order in which they are tried, and of the options that routes have; NULL after the
   last. A route or option that is turned off is passed over; the routes that take all short rows and all long rows stay. */
const char *smx_route_name(int number);
const char *smx_option_name(int number);
void smx_turn_route(int number, int off);
void smx_turn_option(int number, int off);

#endif
