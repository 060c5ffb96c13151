/* The target of the compilation: the architecture and the compiler. Flags that would break every promise are
   refused. */

#ifndef SMX_ARCH_H
#define SMX_ARCH_H

#include <float.h>

/* GCC names each part of -ffast-math, Clang the whole alone. */
#if defined(__FAST_MATH__) || defined(__ASSOCIATIVE_MATH__) || defined(__RECIPROCAL_MATH__) ||                         \
    defined(__NO_SIGNED_ZEROS__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__) || defined(_M_FP_FAST)
#error "softmax_ext relies on IEEE arithmetic: its error-free sums vanish under -ffast-math, and under parts of it"
#endif

/* 16 is GCC's answer for processors with arithmetic of _Float16, which alone it concerns (ISO/IEC TS 18661-3). */
#if FLT_EVAL_METHOD != 0 && FLT_EVAL_METHOD != 16
#error "softmax_ext needs float and double arithmetic that is rounded at once: -msse2 -mfpmath=sse on 32-bit x86"
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
   compile. Nor do levels with SMX_COMPACT code, whose arithmetic is slow anyway.) */
#if (defined(SMX_NO_INLINE) || defined(SMX_COMPACT)) && defined(_MSC_VER) && !defined(__clang__)
#define SMX_INLINE static
#elif defined(SMX_NO_INLINE) || defined(SMX_COMPACT)
#define SMX_INLINE static __attribute__((unused))
#elif defined(_MSC_VER) && !defined(__clang__)
#define SMX_INLINE static __forceinline
#else
#define SMX_INLINE static inline __attribute__((always_inline, unused))
#endif

/* A function that is not to melt into its callers. */
#if defined(_MSC_VER) && !defined(__clang__)
#define SMX_APART static __declspec(noinline)
#elif defined(__clang__)
#define SMX_APART static __attribute__((noinline, unused))
#else /* GCC makes copies of it for its callers, too */
#define SMX_APART static __attribute__((noinline, noclone, unused))
#endif

/* Tells the compiler what holds. It then sees that an array which a loop fills is not left without a value. */
#if defined(__GNUC__)
#define SMX_ASSUME(condition)                                                                                          \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            __builtin_unreachable();                                                                                   \
    } while (0)
#else
#define SMX_ASSUME(condition) ((void)0)
#endif

enum { SMX_CACHE_LINE = 64 }; /* bytes */

/* Prefetches a cache line into the second-level cache; the address may be any. */
#if defined(__GNUC__)
#define SMX_PREFETCH(address) __builtin_prefetch(address, 0, 2)
#else
#define SMX_PREFETCH(address) ((void)(address))
#endif

#endif
