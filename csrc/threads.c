/* How many threads a call may use.

   The number set here rules, but never above what the OpenMP runtime has been told since (that is how threadpoolctl
   limits it, call by call and thread by thread). OMP_NUM_THREADS has no say over it beyond the start: the runtime's
   number at import is what "been told since" is measured against.

   After fork the child has one thread, while the runtime's own records still speak of the pool of the parent: GNU's
   would wait for it for ever at the next parallel region. So a child stays serial.

   A call that comes alone, and would have to wake threads for little work, does it by itself; calls that follow one another
   find them awake. So what runs between the calls of another library, whose threads want the processors, leaves its
   own asleep unless they are worth it. */

#include "threads.h"

#ifdef _OPENMP
#include <omp.h>
#include <time.h>
#endif

#if defined(_OPENMP) && (defined(__unix__) || defined(__APPLE__))
#include <pthread.h>
#define HAS_FORK 1
#endif

/* Plain ints, each read and written whole by any thread at any time. */
#if defined(_MSC_VER) && !defined(__clang__)
typedef volatile long setting;
#define READ(s) ((int)(s))
#define WRITE(s, value) ((s) = (value))
#else
typedef int setting;
#define READ(s) __atomic_load_n(&(s), __ATOMIC_RELAXED)
#define WRITE(s, value) __atomic_store_n(&(s), (value), __ATOMIC_RELAXED)
#endif

enum { AWAKE = 50 }; /* us after which a call is one that comes alone */

static setting limit_set = 1;

#ifdef _OPENMP

static setting runtime_at_import = 1;
static setting is_forked_child = 0;

#ifdef HAS_FORK
static void in_child(void) { WRITE(is_forked_child, 1); }
#endif

void smx_threads_begin(int limit) {
    WRITE(runtime_at_import, omp_get_max_threads());
    WRITE(limit_set, limit);
#ifdef HAS_FORK
    pthread_atfork(NULL, NULL, in_child);
#endif
}

int smx_get_threads(void) {
    if (READ(is_forked_child) || omp_in_parallel())
        return 1;
    const int limit = READ(limit_set), runtime = omp_get_max_threads();
    return runtime < READ(runtime_at_import) && runtime < limit ? runtime : limit;
}

static setting rest_began = 0, kept_awake = 0;

/* In microseconds; it wraps, and only differences count: if somebody sets the clock, one call is taken for another kind.
   By integers: omp_get_wtime would leave its flags in the caller's floating-point state. */
static unsigned now(void) {
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (unsigned)t.tv_sec * 1000000u + (unsigned)(t.tv_nsec / 1000);
}

int smx_are_threads_awake(void) { return READ(kept_awake) || now() - (unsigned)READ(rest_began) < AWAKE; }
void smx_keep_threads_awake(int always) { WRITE(kept_awake, always); }
void smx_threads_rest(void) { WRITE(rest_began, (int)now()); }

int smx_openmp_version(void) { return _OPENMP; }

#else

void smx_threads_begin(int limit) { WRITE(limit_set, limit); }
int smx_get_threads(void) { return 1; }
int smx_are_threads_awake(void) { return 0; }
void smx_keep_threads_awake(int always) { (void)always; }
void smx_threads_rest(void) {}
int smx_openmp_version(void) { return 0; }

#endif

void smx_set_threads(int limit) { WRITE(limit_set, limit); }
