/* Numbers that several threads read and write at the same time. Each access is atomic. Only SMX_FETCH_ADD_ORDERED also
   orders the accesses to other memory before and after it. */

#ifndef SMX_ATOMICS_H
#define SMX_ATOMICS_H

#include <stdint.h>

#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
typedef volatile int64_t smx_atomic;
#define SMX_READ(x) (x)
#define SMX_WRITE(x, value) ((x) = (value))
#define SMX_FETCH_ADD(x, value) _InterlockedExchangeAdd64(&(x), (value))
#define SMX_FETCH_ADD_ORDERED(x, value) _InterlockedExchangeAdd64(&(x), (value))
#else
typedef int64_t smx_atomic;
#define SMX_READ(x) __atomic_load_n(&(x), __ATOMIC_RELAXED)
#define SMX_WRITE(x, value) __atomic_store_n(&(x), (value), __ATOMIC_RELAXED)
#define SMX_FETCH_ADD(x, value) __atomic_fetch_add(&(x), (value), __ATOMIC_RELAXED)
#define SMX_FETCH_ADD_ORDERED(x, value) __atomic_fetch_add(&(x), (value), __ATOMIC_ACQ_REL)
#endif

#endif
