/* How many threads a call may use. The runner asks; the Python layer sets the limit. */

#ifndef SMX_THREADS_H
#define SMX_THREADS_H

#include <stddef.h>
#include <stdint.h>

/* Asks the OpenMP runtime how many processors it may use, and how many threads it would use; both are 0 without OpenMP.
   It is called once, at import, before smx_threads_begin. The affinity of the calling thread would not tell: the
   runtime may have bound that thread to one processor by now. */
void smx_ask_runtime(int *processors, int *threads);

/* Sets the first limit: the number that environment, affinity and quota allow. It is called once, at import. */
void smx_threads_begin(int limit);

void smx_set_threads(int limit);

/* The limit now in force. It is the number that was set, or less if the OpenMP runtime has been told less since; and 1
   without OpenMP, inside another parallel region, and in a child made by fork. */
int smx_get_threads(void);

/* The measurements of one call that could use threads, for policy.h. The thread that makes the call takes them. */
typedef struct {
    int64_t start;   /* of the call; times are in ns */
    int64_t mark;    /* the start of the calling thread's share of a region */
    int64_t serial;  /* the time that one thread would have taken */
    ptrdiff_t taken; /* items of the region that the calling thread has done */
    int work;        /* how many threads the work is worth */
    int threads;     /* the most that the call uses */
    int regions;     /* how many parallel regions the call has begun */
    int cpu;         /* the calling thread's processor, if other threads are to leave it; else -1 */
    int is_owner;    /* no other thread of the process was in such a call when this one began */
} smx_call;

/* Begins a call that could use so many threads, and returns how many it is to use. work: how many threads it would be
   worth if there were any number. */
int smx_call_enter(smx_call *call, int threads, ptrdiff_t work);
void smx_call_leave(smx_call *call);

/* The thread that makes the call reports that it begins its share of a region, and that no items of the region are
   left. items: how many the region had. */
void smx_share_begins(smx_call *call);
void smx_share_ends(smx_call *call, ptrdiff_t items);

/* Moves the calling thread, which helps with the call, off the processor of the thread that makes it. */
void smx_leave_cpu(const smx_call *call);

/* For tests: calls use threads, whatever the time and the policy say. */
void smx_always_use_threads(int always);

/* The number of calls so far that have used threads, and of those that went alone because threads cost too much. */
void smx_count_calls(int64_t *together, int64_t *alone);

/* The date of the OpenMP specification that the module was compiled for; 0 without OpenMP. */
int smx_openmp_version(void);

#endif
