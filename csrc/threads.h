/* How many threads a call may use. The runner asks; the Python face sets. */

#ifndef SMX_THREADS_H
#define SMX_THREADS_H

#include <stddef.h>
#include <stdint.h>

/* Before the next, at import: the processors that the OpenMP runtime may use, and the threads that it would; 0 without
   OpenMP. By its own account: it has read the affinity before it may have bound the thread that asks to one of them. */
void smx_ask_runtime(int *processors, int *threads);

/* Once, at import: the number that environment, affinity and quota allow. */
void smx_threads_begin(int limit);

void smx_set_threads(int limit);

/* The limit now in force: what was set, less if the OpenMP runtime has been told less since; 1 without OpenMP, inside
   another parallel region, and in a child made by fork. */
int smx_get_threads(void);

/* One call that could use threads, as the thread that it is made on sees it: what policy.h wants to know of it. */
typedef struct {
    int64_t start, mark, serial; /* ns */
    ptrdiff_t taken; /* items of the region that this thread has done */
    int work;        /* in shares that are worth a thread */
    int threads;     /* that the call uses at most */
    int regions;
    int cpu; /* this thread's processor, where another thread that is found on it is to leave it; else -1 */
    int is_owner; /* no other thread of the process was in such a call when it began */
} smx_call;

/* Begins a call that could use so many threads, and returns how many it is to use. work: how many threads it would be worth
   if there were any number. */
int smx_call_enter(smx_call *call, int threads, ptrdiff_t work);
void smx_call_leave(smx_call *call);

/* By the calling thread alone: it begins its share of a region's items; it has done what it could get of them. */
void smx_share_begins(smx_call *call);
void smx_share_ends(smx_call *call, ptrdiff_t items);

/* By each of the others, when nothing is left to do. */
void smx_share_over(const smx_call *call);

/* For tests, which want threads to be used whatever the time and the policy say. */
void smx_always_use_threads(int always);

/* Calls so far that have used threads, and that have gone alone as threads would have cost more than they bring. */
void smx_count_calls(int64_t *together, int64_t *alone);

/* The version date of the OpenMP specification that this was compiled for; 0 without OpenMP. */
int smx_openmp_version(void);

#endif
