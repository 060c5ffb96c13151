/* Memory of large released results, which is saved for the next result of about the same size.

   A fresh large array costs more than the softmax that fills it: the system has to find, clear and map every page. So
   released memory is not given back at once. At most the limit is held; memory in use does not count. */

#ifndef SMX_BUFFERS_H
#define SMX_BUFFERS_H

#include <stddef.h>

enum { SMX_BUFFER_LEAST = 1 << 20 }; /* bytes; for less, malloc does as well */

void smx_buffers_begin(void); /* once, at import */

void smx_set_buffer_limit(size_t bytes); /* gives back what is held beyond it */
size_t smx_get_buffer_limit(void);
size_t smx_get_buffers_held(void); /* bytes */

/* Like malloc, realloc and free, for any size and from any thread. */
void *smx_buffer_take(size_t size);
void *smx_buffer_resize(void *buffer, size_t size);
void smx_buffer_release(void *buffer);

#endif
