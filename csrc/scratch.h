/* Scratch memory of calls. A call needs up to some 60 KB, which is more than threads with small stacks have, and the
   heap costs a small call too much. So each thread keeps one piece of memory for its calls, until it ends. */

#ifndef SMX_SCRATCH_H
#define SMX_SCRATCH_H

#include <stddef.h>

enum {
    SMX_SCRATCH = 64 * 1024 /* bytes that a thread keeps; a request for more goes to the heap */
};

/* Called once, at import. Without it, all requests go to the heap. */
void smx_scratch_begin(void);

/* Returns memory that starts at a cache line, or NULL if there is none. */
void *smx_take_scratch(size_t bytes);

/* Gives it back; NULL is allowed. */
void smx_return_scratch(void *memory);

#endif
