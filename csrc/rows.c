/* Runs a plan whose rows have one length: threads share the tiles of a job, or the pieces of its few long rows. No
   arithmetic is here: route.c decides how a call is cut, tile.c does a tile.

   Threads take whole tiles if there are enough of them, else pieces. With pieces, all threads reduce first; then each
   thread finishes what it is going to write, and writes. No result depends on the thread that made it. */

#include "arch.h"
#include "fpstate.h"
#include "job.h"
#include "scratch.h"
#include "shares.h"
#include "strided.h"

#include <stdlib.h>

/* ---- a worker --------------------------------------------------------------------------------------------------- */

typedef struct {
    smx_worker worker;
    smx_tile_state state;
} worker_memory;

/* Makes a worker for the job, with its scratch memory behind it; returns NULL if there is no memory. */
static smx_worker *open_worker(const smx_job *j) {
    const size_t head_bytes = (size_t)smx_round_up(sizeof(worker_memory), SMX_CACHE_LINE);
    worker_memory *memory = smx_take_scratch(head_bytes + (size_t)j->scratch_bytes);
    if (!memory)
        return NULL;
    smx_worker *w = &memory->worker;
    char *scratch = (char *)memory + head_bytes;
    w->job = j;
    w->state = &memory->state;
    w->is_open = 0;
    w->lookahead_item = -1;
    w->tile.initial = NULL;
    for (int k = 0; k < j->op->inputs; k++, scratch += j->block_bytes)
        w->block[k] = w->first_block[k] = scratch;
    w->holds_pieces = 0;
    w->saved = w->stage = scratch;
    scratch += j->saved_bytes + j->stage_bytes;
    w->mask_block = scratch;
    w->partials = scratch + j->mask_bytes; /* last, because run_pieces takes them out of scratch_bytes */
    return w;
}

static int run_serial(const smx_job *j) {
    smx_worker *w = open_worker(j);
    const smx_fpstate before = smx_enter_fpstate();
    for (ptrdiff_t t = 0; w && t < j->tiles; t++)
        smx_do_tile(w, t, t + 1 < j->tiles);
    smx_leave_fpstate(before);
    smx_return_scratch(w);
    return w ? SMX_DONE : SMX_NO_MEMORY;
}

#ifdef _OPENMP

/* ---- threads share tiles ---------------------------------------------------------------------------------------- */

static int run_tiles(const smx_job *j) {
    smx_shares tiles;
    int failed = 0;
    smx_share_out(&tiles, j->tiles, smx_min(4096, smx_max(1, j->tiles / (8 * (ptrdiff_t)j->threads))), j->threads,
                  j->plan->call);
    smx_share_begins(j->plan->call);
#pragma omp parallel num_threads(j->threads) reduction(| : failed)
    {
        smx_join(j->plan->call);
        smx_worker *w = open_worker(j);
        const smx_fpstate before = smx_enter_fpstate();
        failed |= !w;
        for (ptrdiff_t t, end; w && smx_take(&tiles, &t, &end);)
            for (; t < end; t++)
                smx_do_tile(w, t, t + 1 < end);
        smx_leave_fpstate(before);
        smx_return_scratch(w);
    }
    return failed ? SMX_NO_MEMORY : SMX_DONE;
}

/* ---- threads share pieces --------------------------------------------------------------------------------------- */

/* Where a round of run_pieces leaves the partials of tile t. */
static char *partials_of(const smx_job *j, char *partials, int round, ptrdiff_t t) {
    return partials + (round * j->tiles + t) * j->partial_bytes;
}

/* Brings the worker's state to that of tile t after so many rounds. Each thread does this for itself, which takes less
   time than waiting for another thread. */
static void finish_shared(const smx_worker *w, ptrdiff_t t, int rounds, char *partials) {
    w->state->shifted = 0;
    for (int round = 0; round < rounds; round++)
        if (smx_finish_rows(w, partials_of(w->job, partials, round, t), w->state))
            return;
}

/* Reduces or writes the pieces that the worker gets; item t * pieces + p is piece p of tile t. Round 0 reduces all
   tiles, and writes those that need no shift; round 1 does the others. Returns 1 if tiles are left for round 1. */
static int do_pieces(smx_worker *w, smx_shares *shares, int round, int writes, char *partials) {
    const smx_job *j = w->job;
    smx_tile_state *state = w->state;
    ptrdiff_t open = -1;
    int are_left = 0;
    for (ptrdiff_t i, end; smx_take(shares, &i, &end);) {
        const ptrdiff_t t = i / j->pieces, piece = i % j->pieces;
        if (t != open) {
            smx_open_tile(w, t);
            finish_shared(w, t, round + writes, partials);
            open = t;
        }
        are_left |= state->shifted > round;
        if (state->shifted != round)
            continue;
        if (writes && piece == 0 && smx_has_row_results(j))
            smx_store_row_results(w);
        if (writes && !j->op->elementwise)
            continue;
        const int is_shifted = state->shifted && !(writes && j->op->writes_unshifted);
        smx_open_piece(w, piece, is_shifted ? state->shift : NULL);
        if (writes)
            smx_write_piece(w, piece);
        else
            smx_reduce_piece(w, t, piece, 0, partials_of(j, partials, round, t));
    }
    return are_left;
}

/* The thread that has reduced a piece also writes it, if no thread is late. */
static int run_pieces(smx_job *j) {
    enum { ROUNDS = 2 }; /* the second is for rows that are shifted */
    const ptrdiff_t items = j->tiles * j->pieces;
    char *partials = malloc((size_t)(ROUNDS * j->tiles * j->partial_bytes));
    int failed = !partials, are_left = 1;
    j->scratch_bytes -= j->partial_bytes; /* all threads share the partials */
    for (int round = 0; round < ROUNDS && are_left && !failed; round++) {
        smx_shares reduced, written;
        smx_share_out(&reduced, items, 1, j->threads, j->plan->call);
        smx_share_out(&written, items, 1, j->threads, j->plan->call);
        smx_share_begins(j->plan->call);
        are_left = 0;
#pragma omp parallel num_threads(j->threads) reduction(| : failed, are_left)
        {
            smx_join(j->plan->call);
            smx_worker *w = open_worker(j);
            const smx_fpstate before = smx_enter_fpstate();
            failed |= !w;
            if (w)
                do_pieces(w, &reduced, round, 0, partials);
#pragma omp barrier
#pragma omp master
            smx_share_begins(j->plan->call);
            if (w)
                are_left |= do_pieces(w, &written, round, 1, partials);
            smx_leave_fpstate(before);
            smx_return_scratch(w);
        }
    }
    free(partials);
    return failed ? SMX_NO_MEMORY : SMX_DONE;
}

#endif

/* ---- all rows --------------------------------------------------------------------------------------------------- */

static ptrdiff_t min_elements_per_thread(const smx_plan *plan) {
    return plan->kernels->op[plan->op].min_elements_per_thread;
}

int smx_threads_for(const smx_plan *plan, ptrdiff_t elements) {
    if (elements < 2 * min_elements_per_thread(plan))
        return 1;
    return (int)smx_max(1, smx_min(plan->threads, elements / min_elements_per_thread(plan)));
}

int smx_run_rows(smx_plan *plan) {
    ptrdiff_t n = 1, rows = 1;
    smx_simplify(plan);
    for (int d = 0; d < plan->inner_dims; d++)
        n *= plan->inner_shape[d];
    for (int d = 0; d < plan->outer_dims; d++)
        rows *= plan->outer_shape[d];
    if (smx_run_tiny(plan, rows, n))
        return SMX_DONE;
    smx_job j;
    smx_choose_route(&j, plan, rows, n, smx_threads_for(plan, n * rows));
    if (plan->explanation)
        smx_explain_job(&j, plan->explanation, SMX_EXPLANATION);
#ifdef _OPENMP
    if (smx_shares_pieces(&j))
        return run_pieces(&j);
    if (j.threads > 1 && j.tiles > 1)
        return run_tiles(&j);
#endif
    return run_serial(&j);
}
