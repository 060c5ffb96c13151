/* How many threads a call may use.

   The number set here rules, but never above what the OpenMP runtime has been told since (that is how threadpoolctl
   limits it, call by call and thread by thread). OMP_NUM_THREADS has no say over it beyond the start: the runtime's
   number at import is what "been told since" is measured against.

   After fork the child has one thread, while the runtime's own records still speak of the pool of the parent: GNU's
   would wait for it for ever at the next parallel region. So a child stays serial.

   Threads without work spin for a short time, then sleep (softmax_ext/_threads.py). A call that comes alone, and would have
   to wake them for little work, does it by itself; calls that follow one another find them awake. So what runs between the
   calls of another library, whose threads want the processors, leaves its own asleep unless they are worth it.

   A parallel region ends when each of its threads has come, and one of them may have lost its processor to another
   program. So each call is measured: against the time that one thread would have taken, which is that of the calling
   thread's own share, times what there was to do over what it has done. policy.h makes of it whether the next calls use
   threads. One call of a process at a time does, and is measured: others that come meanwhile have a thread already. */

#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* clock_gettime */
#endif

#include "threads.h"

#include "atomics.h"
#include "policy.h"

#ifdef _OPENMP
#include <omp.h>
#include <time.h>
#endif

#if defined(_OPENMP) && (defined(__unix__) || defined(__APPLE__))
#include <pthread.h>
#define HAS_FORK 1
#endif

static smx_atomic limit_set = 1;

#ifdef _OPENMP

enum { AWAKE = 50 * 1000 }; /* ns after which a call is one that comes alone */

static smx_atomic runtime_at_import = 1, most_at_import = 1;
static smx_atomic is_forked_child = 0;

#ifdef HAS_FORK
static void in_child(void) { SMX_WRITE(is_forked_child, 1); }
#endif

void smx_ask_runtime(int *processors, int *threads) {
    *processors = omp_get_num_procs();
    *threads = omp_get_max_threads();
}

void smx_threads_begin(int limit) {
    SMX_WRITE(runtime_at_import, omp_get_max_threads());
    SMX_WRITE(most_at_import, omp_get_thread_limit());
    SMX_WRITE(limit_set, limit);
#ifdef HAS_FORK
    pthread_atfork(NULL, NULL, in_child);
#endif
}

int smx_get_threads(void) {
    if (SMX_READ(is_forked_child) || omp_in_parallel())
        return 1;
    const int64_t runtime = omp_get_max_threads(), at_most = SMX_READ(most_at_import);
    int64_t limit = SMX_READ(limit_set);
    if (runtime < SMX_READ(runtime_at_import) && runtime < limit)
        limit = runtime;
    return (int)(limit < at_most ? limit : at_most);
}

/* In nanoseconds. By integers: omp_get_wtime would leave its flags in the caller's floating-point state. */
static int64_t now(void) {
    struct timespec t;
#if defined(__linux__)
    clock_gettime(CLOCK_MONOTONIC, &t);
#else
    timespec_get(&t, TIME_UTC);
#endif
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* The policy belongs to the call that found nobody inside. */
static smx_policy policy;
static smx_atomic inside = 0, was_crowded = 0;
static smx_atomic rest_began = 0, always = 0;
static smx_atomic together = 0, alone = 0;

int smx_call_enter(smx_call *call, int threads, int is_worth_waking) {
    call->start = call->mark = now();
    call->serial = 0;
    call->taken = 0;
    call->regions = 0;
    call->is_owner = SMX_FETCH_ADD_ORDERED(inside, 1) == 0;
    call->threads = threads;
    if (SMX_READ(always))
        return call->threads;
    if (!call->is_owner) {
        SMX_WRITE(was_crowded, 1);
        SMX_FETCH_ADD(alone, 1);
        return call->threads = 1;
    }
    const int is_awake = call->start - SMX_READ(rest_began) < AWAKE;
    if (!is_awake && !is_worth_waking)
        return call->threads = 1;
    const int wanted = smx_policy_width(&policy, call->start, smx_get_threads());
    if (wanted == 1)
        SMX_FETCH_ADD(alone, 1);
    return call->threads = wanted < threads ? wanted : threads;
}

void smx_call_leave(smx_call *call) {
    const int64_t end = now();
    SMX_WRITE(rest_began, end);
    if (call->threads > 1)
        SMX_FETCH_ADD(together, 1);
    if (call->is_owner && !SMX_READ(always)) {
        const int is_parallel = call->regions > 0 && call->serial > 0;
        const smx_measurement measured = {end, end - call->start, call->serial, is_parallel ? call->threads : 1,
                                          SMX_READ(was_crowded) != 0};
        SMX_WRITE(was_crowded, 0);
        smx_policy_learn(&policy, &measured);
    }
    SMX_FETCH_ADD_ORDERED(inside, -1);
}

void smx_share_begins(smx_call *call) {
    if (call->regions++ > 0) /* the first begins with the call */
        call->mark = now();
}

void smx_share_ends(smx_call *call, ptrdiff_t items) {
    const int64_t end = now(), own = end - call->mark;
    call->serial += call->taken > 0 ? own * items / call->taken : own;
    call->taken = 0;
}

void smx_always_use_threads(int value) { SMX_WRITE(always, value); }

void smx_count_calls(int64_t *in_company, int64_t *by_itself) {
    *in_company = SMX_READ(together);
    *by_itself = SMX_READ(alone);
}

int smx_openmp_version(void) { return _OPENMP; }

#else

void smx_ask_runtime(int *processors, int *threads) { *processors = *threads = 0; }
void smx_threads_begin(int limit) { SMX_WRITE(limit_set, limit); }
int smx_get_threads(void) { return 1; }
int smx_call_enter(smx_call *call, int threads, int is_worth_waking) {
    (void)threads, (void)is_worth_waking;
    return call->threads = 1;
}
void smx_call_leave(smx_call *call) { (void)call; }
void smx_always_use_threads(int always) { (void)always; }
void smx_count_calls(int64_t *together, int64_t *alone) { *together = *alone = 0; }
int smx_openmp_version(void) { return 0; }

#endif

void smx_set_threads(int limit) { SMX_WRITE(limit_set, limit); }
