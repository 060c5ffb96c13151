/* See starve.h. */

#include "starve.h"

#include <stdatomic.h>
#include <stdlib.h>

enum { PLENTY = 1 << 30 };

static atomic_long left = PLENTY;

static int is_granted(void) { return atomic_load(&left) >= PLENTY || atomic_fetch_sub(&left, 1) != 0; }

void *starved_malloc(size_t size) { return is_granted() ? malloc(size) : NULL; }
void *starved_calloc(size_t count, size_t size) { return is_granted() ? calloc(count, size) : NULL; }

void starve_after(long allocations) { atomic_store(&left, allocations); }
int starve_end(void) { return atomic_exchange(&left, PLENTY) < 0; }
