/* Items shared out among the threads of a parallel region. Each thread has a share of its own. The share is the same in
   every call of that size, so that the thread finds its data in its cache. A thread that is done with its share takes
   items from the others, as one of them may be late: its processor may have been given to another program. */

#ifndef SMX_SHARES_H
#define SMX_SHARES_H

#ifdef _OPENMP

#include "arch.h"
#include "atomics.h"
#include "threads.h"

#include <omp.h>
#include <stddef.h>

enum { SMX_SHARES = 64 }; /* the most shares; if there are more threads, several have one in common */

/* The next item of a share, and the item behind its last. Each share has a cache line of its own. */
typedef struct {
    ptrdiff_t next, end;
    char apart[SMX_CACHE_LINE - 2 * sizeof(ptrdiff_t)];
} smx_share;

typedef struct {
    _Alignas(SMX_CACHE_LINE) smx_share share[SMX_SHARES];
    int count;
    ptrdiff_t items, at_once; /* the number of all items, and of those that a thread takes at a time */
    smx_call *call; /* thread 0 reports to it how its work goes */
} smx_shares;

static inline void smx_share_out(smx_shares *of, ptrdiff_t items, ptrdiff_t at_once, int threads, smx_call *call) {
    of->call = call;
    of->items = items;
    of->count = threads < SMX_SHARES ? threads : SMX_SHARES;
    of->at_once = at_once;
    for (int k = 0; k < of->count; k++) {
        of->share[k].next = items * k / of->count;
        of->share[k].end = items * (k + 1) / of->count;
    }
}

/* Each thread of a region calls this before it takes items. */
static inline void smx_join(const smx_call *call) {
    if (call->cpu >= 0 && omp_get_thread_num() > 0)
        smx_leave_cpu(call);
}

/* Takes the items [*first, *end) for the thread that calls it; returns 0 if all items have been taken. Relaxed atomics
   are enough, because a barrier stands between data that one thread writes and another one reads. */
static inline int smx_take(smx_shares *of, ptrdiff_t *first, ptrdiff_t *end) {
    const int thread = omp_get_thread_num(), own = thread % of->count;
    for (int k = 0; k < of->count; k++) {
        smx_share *share = &of->share[(own + k) % of->count];
        *first = SMX_FETCH_ADD(share->next, of->at_once);
        if (*first < share->end) {
            *end = *first + of->at_once < share->end ? *first + of->at_once : share->end;
            if (thread == 0)
                of->call->taken += *end - *first;
            return 1;
        }
    }
    if (thread == 0)
        smx_share_ends(of->call, of->items);
    return 0;
}

#endif

#endif
