/* Any call of the runner, from any bytes: shapes, strides, types, masks, aliases, levels, threads and values. */

#ifndef ANYCALL_H
#define ANYCALL_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    const char *level; /* the only one to be used, or NULL for any */
    int alone; /* no other caller: the OpenMP runtime's threads are this one's, and their state is looked at, too */
} anycall_ways;

/* Decodes the bytes into one call, makes it, and holds the outcome to the same rows laid out plainly and computed by
   level "scalar" on one thread. Aborts, after a line that says what was called, unless every byte of every array and the
   floating-point state are what they have to be. */
void anycall_check(const uint8_t *bytes, size_t size, anycall_ways ways);

/* So many bytes are all that a call can be decoded from; from fewer, the rest counts as zeros. */
enum { ANYCALL_BYTES = 160 };

#endif
