/* Memory that runs out when it is told to. The runner's malloc and calloc are these (by -D, see run). */

#ifndef STARVE_H
#define STARVE_H

#include <stddef.h>

void *starved_malloc(size_t size);
void *starved_calloc(size_t count, size_t size);

/* From now on so many allocations succeed, and the next one fails. */
void starve_after(long allocations);

/* All succeed again. Returns whether one failed. */
int starve_end(void);

#endif
