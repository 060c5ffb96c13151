/* Memory of released results: see buffers.h.

   The buffers that are held form a short list, the longest held first. Each begins with a head that says how large it
   is. Each is mapped and unmapped by itself, so that released memory goes back to the system: a heap would keep some of
   it.

   Results start on a page, so no result begins a little further into its page than an input does. That matters
   because processors first compare stores and loads by the lower 12 bits of their addresses, and a load that seems to
   need what was stored just before has to wait. malloc puts a large block 16 bytes into a page on Linux; a result that
   began 64 bytes into one took up to a third of the time of the call. */

#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* MAP_ANONYMOUS, madvise */
#endif

#include "buffers.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__unix__) || defined(__APPLE__)
#define IS_UNIX 1
#include <pthread.h>
#include <sys/mman.h>
#else
#define IS_UNIX 0
#endif

#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
#include <malloc.h>
static volatile long lock;
#define TRY_LOCK() (_InterlockedExchange(&lock, 1) == 0)
#define UNLOCK() _InterlockedExchange(&lock, 0)
#else
static char lock;
#define TRY_LOCK() (!__atomic_test_and_set(&lock, __ATOMIC_ACQUIRE))
#define UNLOCK() __atomic_clear(&lock, __ATOMIC_RELEASE)
#endif

enum {
    PAGE = 4096,
    MOST = 32, /* buffers held at once */
    /* For buffers of at least so many bytes, huge pages are requested from the system, as NumPy does for its arrays. */
    HUGE_PAGES_FROM = 4 * 1024 * 1024
};

/* A page before the result; only the size in it is used. */
typedef union {
    size_t size; /* of the buffer that follows */
    char page[PAGE];
} head;

static head *held[MOST];
static int count;
static size_t held_bytes, limit;

/* The lock is held for a few dozen instructions, never across a system call. */
static void enter(void) {
    while (!TRY_LOCK())
        ;
}

/* Another thread of the parent may have held the lock, with the list half changed: the child starts with an empty
   list. */
#if IS_UNIX
static void in_child(void) {
    count = 0;
    held_bytes = 0;
    UNLOCK();
}
#endif

void smx_buffers_begin(void) {
#if IS_UNIX
    pthread_atfork(NULL, NULL, in_child);
#endif
}

static head *head_of(void *buffer) { return (head *)buffer - 1; }

static head *allocate(size_t size) {
    if (size > SIZE_MAX / 2)
        return NULL;
    const size_t whole = size + sizeof(head);
#if IS_UNIX
    void *memory = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
#if defined(MADV_HUGEPAGE)
    if (whole >= HUGE_PAGES_FROM)
        madvise(memory, whole, MADV_HUGEPAGE);
#endif
#else
    void *memory = _aligned_malloc(whole, PAGE);
    if (!memory)
        return NULL;
#endif
    ((head *)memory)->size = size;
    return memory;
}

static void give_back(head *buffer) {
#if IS_UNIX
    munmap(buffer, buffer->size + sizeof(head));
#else
    _aligned_free(buffer);
#endif
}

/* Call it with the lock held. */
static head *take_out(int i) {
    head *buffer = held[i];
    held_bytes -= buffer->size;
    count--;
    memmove(held + i, held + i + 1, (size_t)(count - i) * sizeof *held);
    return buffer;
}

/* Releases the longest held buffers until at most `bytes` bytes, and fewer than MOST buffers, are left. */
static void shrink_to(size_t bytes) {
    for (;;) {
        enter();
        head *oldest = held_bytes > bytes || count == MOST ? take_out(0) : NULL;
        UNLOCK();
        if (!oldest)
            return;
        give_back(oldest);
    }
}

void smx_set_buffer_limit(size_t bytes) {
    enter();
    limit = bytes;
    UNLOCK();
    shrink_to(bytes);
}

size_t smx_get_buffer_limit(void) {
    enter();
    const size_t bytes = limit;
    UNLOCK();
    return bytes;
}

size_t smx_get_buffers_held(void) {
    enter();
    const size_t bytes = held_bytes;
    UNLOCK();
    return bytes;
}

void *smx_buffer_take(size_t size) {
    head *buffer = NULL;
    enter();
    int best = -1;
    for (int i = 0; i < count; i++)
        if (held[i]->size >= size && held[i]->size - size <= size / 4 && (best < 0 || held[i]->size < held[best]->size))
            best = i;
    if (best >= 0)
        buffer = take_out(best);
    UNLOCK();
    if (!buffer)
        buffer = allocate(size);
    return buffer ? buffer + 1 : NULL;
}

void smx_buffer_release(void *memory) {
    if (!memory)
        return;
    head *buffer = head_of(memory);
    const size_t size = buffer->size, bound = smx_get_buffer_limit();
    int is_held = 0;
    if (size >= SMX_BUFFER_LEAST && size <= bound) {
        shrink_to(bound - size);
        enter();
        /* another thread may have been faster */
        if (count < MOST && size <= limit && held_bytes <= limit - size) {
            held[count++] = buffer;
            held_bytes += size;
            is_held = 1;
        }
        UNLOCK();
    }
    if (!is_held)
        give_back(buffer);
}

void *smx_buffer_resize(void *memory, size_t size) {
    if (memory && head_of(memory)->size >= size)
        return memory;
    void *larger = smx_buffer_take(size);
    if (larger && memory) {
        memcpy(larger, memory, head_of(memory)->size);
        smx_buffer_release(memory);
    }
    return larger;
}
