/* The target of the compilation: the architecture and the compiler. The one flag that would break every promise is
   refused. */

#ifndef SMX_ARCH_H
#define SMX_ARCH_H

#ifdef __FAST_MATH__
#error "softmax_ext relies on IEEE arithmetic: its error-free sums vanish under -ffast-math"
#endif

#if defined(__x86_64__) || defined(_M_X64)
#define SMX_X86 1
#else
#define SMX_X86 0
#endif

#if defined(__aarch64__) || defined(_M_ARM64)
#define SMX_ARM 1
#else
#define SMX_ARM 0
#endif

/* The loops are written as small functions that must be inlined into their callers: a vector passed through memory
   would cost more than the arithmetic. (Sanitized builds do not inline, because each file would take minutes to
   compile.) */
#if defined(SMX_NO_INLINE)
#define SMX_INLINE static __attribute__((unused))
#elif defined(_MSC_VER) && !defined(__clang__)
#define SMX_INLINE static __forceinline
#else
#define SMX_INLINE static inline __attribute__((always_inline, unused))
#endif

enum { SMX_CACHE_LINE = 64 }; /* bytes */

/* Prefetches a cache line into the second-level cache; the address may be any. */
#if defined(__GNUC__)
#define SMX_PREFETCH(address) __builtin_prefetch(address, 0, 2)
#else
#define SMX_PREFETCH(address) ((void)(address))
#endif

#endif
