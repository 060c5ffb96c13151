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
#define _GNU_SOURCE /* clock_gettime, sched_getcpu */
#endif

#include "threads.h"

#include "atomics.h"
#include "policy.h"

#ifdef _OPENMP
#include <omp.h>
#include <time.h>
#if defined(__linux__)
#include <sched.h>
#endif
#endif

#if defined(_OPENMP) && (defined(__unix__) || defined(__APPLE__))
#include <pthread.h>
#define HAS_FORK 1
#endif

static smx_atomic limit_set = 1;

#ifdef _OPENMP

enum {
    AWAKE = 50 * 1000, /* ns after which a call is one that comes alone */
    SHARE = 8 * 1000,  /* ns that a share takes which is worth a thread, more or less (kernel.h) */
    /* Such shares that a call must have to wake threads that sleep: it takes them some 60 us to come, and what they would do
       then pays from 200 us on. */
    WORTH_WAKING = 32,
    MOST_WORK = 1 << 20 /* that is told apart */
};

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

/* Time that a thread had a processor. It takes a system call; so short calls, which nearly always keep theirs, do without. */
static int64_t now_of(const smx_call *call) {
#if defined(CLOCK_THREAD_CPUTIME_ID)
    struct timespec t;
    if (call->work >= WORTH_WAKING && clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) == 0)
        return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
#else
    (void)call;
#endif
    return now();
}

/* The policy belongs to the call that found nobody inside. */
static smx_policy policy;
static smx_atomic inside = 0, was_crowded = 0;
static smx_atomic rest_began = 0, always = 0;
static int64_t together_ended = 0; /* the owner's, too */
static smx_atomic together = 0, alone = 0;

int smx_call_enter(smx_call *call, int threads, ptrdiff_t work) {
    call->start = now();
    call->work = work < MOST_WORK ? (int)work : MOST_WORK;
    call->serial = 0;
    call->taken = 0;
    call->regions = 0;
    call->cpu = -1;
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
    if (!is_awake && work < WORTH_WAKING)
        return call->threads = 1;
    const int wanted = smx_policy_width(&policy, call->start, smx_get_threads());
    if (wanted == 1)
        SMX_FETCH_ADD(alone, 1);
#if defined(__linux__)
    else if (call->start - together_ended > AWAKE || policy.state == SMX_PROBING)
        call->cpu = sched_getcpu();
#endif
    return call->threads = wanted < threads ? wanted : threads;
}

void smx_call_leave(smx_call *call) {
    const int64_t end = now();
    SMX_WRITE(rest_began, end);
    if (call->threads > 1)
        SMX_FETCH_ADD(together, 1);
    if (call->is_owner && !SMX_READ(always)) {
        const int is_parallel = call->regions > 0 && call->serial > 0;
        const smx_measurement measured = {.now = end,
                                          .took = end - call->start,
                                          .serial = call->serial,
                                          .expected = (int64_t)SHARE * call->work,
                                          .width = is_parallel ? call->threads : 1,
                                          .is_crowded = SMX_READ(was_crowded) != 0};
        SMX_WRITE(was_crowded, 0);
        smx_policy_learn(&policy, &measured);
        if (is_parallel)
            together_ended = end;
    }
    SMX_FETCH_ADD_ORDERED(inside, -1);
}

void smx_share_begins(smx_call *call) {
    call->mark = call->regions++ > 0 || call->work >= WORTH_WAKING ? now_of(call) : call->start;
}

void smx_share_ends(smx_call *call, ptrdiff_t items) {
    const int64_t own = now_of(call) - call->mark;
    call->serial += call->taken > 0 ? (int64_t)((double)own / (double)call->taken * (double)items) : own;
    call->taken = 0;
}

/* Linux may wake a thread on the processor of the thread that waits for it, and leave it there for as long as each of them
   gives way to the other by sleeping: then no call has two processors. So a thread that has just been woken, and finds itself
   there, goes where it is allowed to be otherwise. */
void smx_share_over(const smx_call *call) {
#if defined(__linux__)
    cpu_set_t allowed, others;
    if (sched_getcpu() != call->cpu || sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return;
    others = allowed;
    CPU_CLR(call->cpu, &others);
    if (CPU_COUNT(&others) > 0 && sched_setaffinity(0, sizeof others, &others) == 0)
        sched_setaffinity(0, sizeof allowed, &allowed);
#else
    (void)call;
#endif
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
int smx_call_enter(smx_call *call, int threads, ptrdiff_t work) {
    (void)threads, (void)work;
    return call->threads = 1;
}
void smx_call_leave(smx_call *call) { (void)call; }
void smx_always_use_threads(int always) { (void)always; }
void smx_count_calls(int64_t *together, int64_t *alone) { *together = *alone = 0; }
int smx_openmp_version(void) { return 0; }

#endif

void smx_set_threads(int limit) { SMX_WRITE(limit_set, limit); }
