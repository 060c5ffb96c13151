/* Random calls for a while, from several callers at once: what the sanitizers and Valgrind watch.

       storm SECONDS CALLERS SEED [LEVEL]

   Prints how many calls were made; aborts at the first that is wrong. The same seed makes the same calls. */

#include "anycall.h"

#include "threads.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST_CALLERS = 64, LEAST_CALLS = 20 };

static anycall_ways ways;
static double end_time;

typedef struct {
    uint64_t state;
    long calls;
} caller;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *make_calls(void *argument) {
    caller *c = argument;
    while (now() < end_time || c->calls < LEAST_CALLS) {
        uint8_t bytes[ANYCALL_BYTES];
        for (size_t k = 0; k < sizeof bytes; k++) {
            c->state = c->state * 6364136223846793005u + 1442695040888963407u; /* Knuth's generator of 64 bits */
            bytes[k] = (uint8_t)(c->state >> 56);
        }
        anycall_check(bytes, sizeof bytes, ways);
        /* the only setting that calls share */
        if (bytes[0] % 8 == 0)
            smx_set_threads(1 + bytes[1] % 4);
        (void)smx_get_threads();
        c->calls++;
    }
    return NULL;
}

int main(int argc, char **argv) {
    if (argc < 4) {
        fprintf(stderr, "usage: storm SECONDS CALLERS SEED [LEVEL]\n");
        return 2;
    }
    caller callers[MOST_CALLERS];
    pthread_t threads[MOST_CALLERS];
    const int count = atoi(argv[2]) < MOST_CALLERS ? atoi(argv[2]) : MOST_CALLERS;
    ways = (anycall_ways){argc > 4 ? argv[4] : NULL, count == 1};
    end_time = now() + atof(argv[1]);
    smx_threads_begin(2);
    long calls = 0;
    for (int k = 0; k < count; k++) {
        callers[k] = (caller){.state = strtoull(argv[3], NULL, 10) * 1000 + (uint64_t)k};
        if (pthread_create(&threads[k], NULL, make_calls, &callers[k]) != 0)
            return 2;
    }
    for (int k = 0; k < count; k++) {
        pthread_join(threads[k], NULL);
        calls += callers[k].calls;
    }
    printf("%ld calls from %d callers, seed %s, level %s\n", calls, count, argv[3], ways.level ? ways.level : "any");
    return 0;
}
