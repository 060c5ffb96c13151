/* How many threads a call may use.

   The limit is the number that was set here, or less if the OpenMP runtime has been told less since (threadpoolctl
   limits threads in this way, call by call and thread by thread). OMP_NUM_THREADS counts only at the start: "less"
   means less than the runtime's number at import.

   After fork the child has one thread, but the runtime still believes in the threads of the parent. GNU's runtime would
   wait for them for ever at the next parallel region. So a child stays serial.

   Threads without work spin for a short time, then sleep (softmax_ext/_threads.py). A call that comes alone and has
   little work does not wake them; calls that follow one another find them awake. So calls of this package that come
   between the calls of another library leave the processors to that library's threads, unless there is work enough.

   A parallel region ends when all its threads have come, and one of them may have lost its processor to another
   program. So each call is measured, and compared with the time that one thread would have taken: the time of the
   calling thread's own share, times all items over the items of that share. policy.h decides from this how many threads
   the next calls use. Only one call of a process at a time uses threads and is measured: calls that come meanwhile are
   made by threads that are busy already. */

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

#if defined(_MSC_VER) && !defined(__clang__)
#define THREAD_LOCAL __declspec(thread)
#else
#define THREAD_LOCAL _Thread_local
#endif

static smx_atomic limit_set = 1;

#ifdef _OPENMP

enum {
    AWAKE = 50 * 1000, /* ns since the last call after which a call comes alone */
    SHARE = 8 * 1000,  /* ns that a share worth a thread takes (min_elements_per_thread in kernel.h), more or less */
    /* A call needs so many shares to wake threads that sleep: they take some 60 us to come, so waking them pays if one
       thread would take 200 us or more. */
    WORTH_WAKING = 32,
    MOST_WORK = 1 << 20 /* more shares count as so many */
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

int smx_get_threads(void) {
    if (SMX_READ(is_forked_child) || omp_in_parallel())
        return 1;
    const int64_t runtime = omp_get_max_threads(), at_most = SMX_READ(most_at_import);
    int64_t limit = SMX_READ(limit_set);
    if (runtime < SMX_READ(runtime_at_import) && runtime < limit)
        limit = runtime;
    return (int)(limit < at_most ? limit : at_most);
}

/* The time in nanoseconds, as an integer: omp_get_wtime would leave its flags in the caller's floating-point state. */
static int64_t now(void) {
    struct timespec t;
#if defined(__linux__)
    clock_gettime(CLOCK_MONOTONIC, &t);
#else
    timespec_get(&t, TIME_UTC);
#endif
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* The time that the thread has had a processor. Asking for it takes a system call, so short calls take the plain time:
   they nearly always keep their processor. */
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

/* The processor that the thread is on; -1 if the system does not tell. */
static int own_cpu(void) {
#if defined(__linux__)
    return sched_getcpu();
#else
    return -1;
#endif
}

/* Only the call that found no other call inside, its owner, reads or writes the policy. */
static smx_policy policy;
static smx_atomic inside = 0, was_crowded = 0;
static smx_atomic rest_began = 0, always = 0;
/* The time that the thread has spent in calls that could have used threads. The thread that imports the module need not
   earn its team, as it makes most calls. */
static THREAD_LOCAL int64_t spent = 0;
static int64_t together_ended = 0; /* the end of the last call that used threads; only the owner reads or writes it */
static smx_atomic together = 0, alone = 0;

void smx_threads_begin(int limit) {
    SMX_WRITE(runtime_at_import, omp_get_max_threads());
    SMX_WRITE(most_at_import, omp_get_thread_limit());
    SMX_WRITE(limit_set, limit);
    smx_policy_begin(&policy, now());
    spent = INT64_MAX / 2;
#ifdef HAS_FORK
    pthread_atfork(NULL, NULL, in_child);
#endif
}

int smx_call_enter(smx_call *call, int threads, ptrdiff_t work) {
    call->start = now();
    call->work = work < MOST_WORK ? (int)work : MOST_WORK;
    call->serial = 0;
    call->taken = 0;
    call->regions = 0;
    call->cpu = -1;
    call->is_owner = SMX_FETCH_ADD_ORDERED(inside, 1) == 0;
    call->threads = threads;
    if (SMX_READ(always)) {
        call->cpu = own_cpu();
        return call->threads;
    }
    if (!call->is_owner) {
        SMX_WRITE(was_crowded, 1);
        SMX_FETCH_ADD(alone, 1);
        return call->threads = 1;
    }
    const int is_awake = call->start - SMX_READ(rest_began) < AWAKE;
    if (!is_awake && work < WORTH_WAKING)
        return call->threads = 1;
    const int has_team = smx_policy_is_worth_a_team(spent, (int64_t)SHARE * call->work);
    const int wanted = has_team ? smx_policy_width(&policy, call->start, smx_get_threads()) : 1;
    if (wanted == 1)
        SMX_FETCH_ADD(alone, 1);
    else if (call->start - together_ended > AWAKE || policy.state == SMX_PROBING)
        call->cpu = own_cpu();
    return call->threads = wanted < threads ? wanted : threads;
}

void smx_call_leave(smx_call *call) {
    const int64_t end = now();
    SMX_WRITE(rest_began, end);
    spent += end - call->start;
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

/* Linux may wake a thread on the processor of the thread that waits for it, and leave it there for as long as the two
   take turns sleeping: then no call has two processors. So a thread that finds itself on that processor moves to
   another one that it may use, before it takes any items. */
void smx_leave_cpu(const smx_call *call) {
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
