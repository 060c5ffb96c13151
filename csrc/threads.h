/* How many threads a call may use. The driver asks; the Python face sets. */

#ifndef SMX_THREADS_H
#define SMX_THREADS_H

#include <stddef.h>

/* Once, at import: the number that environment, affinity and quota allow. */
void smx_threads_begin(int limit);

void smx_set_threads(int limit);

/* The limit now in force: what was set, less if the OpenMP runtime has been told less since; 1 without OpenMP, inside
   another parallel region, and in a child made by fork. */
int smx_get_threads(void);

/* Threads that have no work spin for a short time, then sleep (softmax_ext/_threads.py). A call that comes soon after another
   that could use threads finds them awake, or is one of many, for which it is worth to wake them: whether the last such
   call ended just now; and that one ends now. */
int smx_are_threads_awake(void);
void smx_threads_rest(void);

/* For tests, which want threads to be used however much time has passed. */
void smx_keep_threads_awake(int always);

/* The version date of the OpenMP specification that this was compiled for; 0 without OpenMP. */
int smx_openmp_version(void);

#endif
