/* Scratch memory, kept by each thread: see scratch.h. A thread that asks again before it has given back what it keeps
   (a segment of ragged rows is a call within a call) gets memory from the heap. */

#include "scratch.h"

#include "arch.h"

#include <stdint.h>
#include <stdlib.h>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#define KEEPS 1
#else
#define KEEPS 0
#endif

/* The cache line before the memory. */
typedef union {
    struct {
        void *block; /* what malloc returned */
        int is_kept, is_taken; /* is_taken: of what is kept */
    } of;
    char line[SMX_CACHE_LINE];
} head;

static head *new_head(size_t bytes) {
    char *block = malloc(bytes + sizeof(head) + SMX_CACHE_LINE);
    if (!block)
        return NULL;
    head *h = (head *)(block + (-(uintptr_t)block % SMX_CACHE_LINE));
    h->of.block = block;
    h->of.is_kept = 0;
    return h;
}

#if KEEPS

static pthread_key_t key;
static int has_key;

static void free_kept(void *h) { free(((head *)h)->of.block); }

void smx_scratch_begin(void) { has_key = pthread_key_create(&key, free_kept) == 0; }

/* What the thread keeps; NULL if there is no memory, or nowhere to keep it. */
static head *kept_head(void) {
    head *h = has_key ? pthread_getspecific(key) : NULL;
    if (!h && has_key && (h = new_head(SMX_SCRATCH))) {
        h->of.is_taken = 0;
        h->of.is_kept = pthread_setspecific(key, h) == 0;
        if (!h->of.is_kept) {
            free(h->of.block);
            return NULL;
        }
    }
    return h;
}

#else

void smx_scratch_begin(void) {}
static head *kept_head(void) { return NULL; }

#endif

void *smx_take_scratch(size_t bytes) {
    head *h = bytes <= SMX_SCRATCH ? kept_head() : NULL;
    if (h && !h->of.is_taken) {
        h->of.is_taken = 1;
        return h + 1;
    }
    h = new_head(bytes);
    return h ? h + 1 : NULL;
}

void smx_return_scratch(void *memory) {
    head *h = memory ? (head *)memory - 1 : NULL;
    if (h && h->of.is_kept)
        h->of.is_taken = 0;
    else if (h)
        free(h->of.block);
}
