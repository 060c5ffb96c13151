/* Which levels this machine can run, and how large its cache is.

   A level may be used if the processor has its instructions (CPUID), and if the operating system saves its registers on
   a task switch (XGETBV): a processor with AVX-512 would corrupt results or fault under a system that does not know of
   it. */

#include "cpu.h"

#include "arch.h"

#include <math.h>

#if SMX_X86

#include <stdint.h>

#if defined(_MSC_VER)
#include <intrin.h>
static void cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4]) {
    __cpuid((int *)out, (int)(leaf & 0x80000000));
    if (out[0] >= leaf)
        __cpuidex((int *)out, (int)leaf, (int)subleaf);
    else
        out[0] = out[1] = out[2] = out[3] = 0;
}
static uint64_t xgetbv(void) { return _xgetbv(0); }
#else
#include <cpuid.h>
static void cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4]) {
    out[0] = out[1] = out[2] = out[3] = 0;
    __get_cpuid_count(leaf, subleaf, &out[0], &out[1], &out[2], &out[3]);
}
static uint64_t xgetbv(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return ((uint64_t)high << 32) | low;
}
#endif

enum { EAX, EBX, ECX };

static int has(uint32_t word, int bit) { return word >> bit & 1; }

static void detect(int *avx2, int *avx512) {
    uint32_t basic[4], extended[4];
    *avx2 = *avx512 = 0;
    cpuid(1, 0, basic);
    cpuid(7, 0, extended);
    const int fma = has(basic[ECX], 12), osxsave = has(basic[ECX], 27), avx = has(basic[ECX], 28);
    const int f16c = has(basic[ECX], 29);
    if (!(fma && osxsave && avx && f16c))
        return;
    const uint64_t saved = xgetbv();
    const uint64_t sse_and_avx = 0x6, opmask_and_zmm = 0xe0;
    *avx2 = has(extended[EBX], 5) && (saved & sse_and_avx) == sse_and_avx;
    *avx512 = *avx2 && (saved & opmask_and_zmm) == opmask_and_zmm && has(extended[EBX], 16) /* F */
              && has(extended[EBX], 17) /* DQ */ && has(extended[EBX], 30) /* BW */ && has(extended[EBX], 31) /* VL */;
}

/* The size of the largest cache that a leaf describes, one cache in each subleaf. */
static size_t largest_cache(uint32_t leaf) {
    size_t largest = 0;
    for (uint32_t k = 0; k < 8; k++) {
        uint32_t cache[4];
        cpuid(leaf, k, cache);
        if ((cache[EAX] & 31) == 0)
            break;
        const size_t cache_line = (cache[EBX] & 0xfff) + 1, partitions = (cache[EBX] >> 12 & 0x3ff) + 1;
        const size_t size = (((size_t)cache[EBX] >> 22) + 1) * partitions * cache_line * ((size_t)cache[ECX] + 1);
        largest = size > largest ? size : largest;
    }
    return largest;
}

size_t smx_last_cache(void) {
    const size_t intel = largest_cache(4), amd = largest_cache(0x8000001d);
    return intel > amd ? intel : amd;
}

#else

size_t smx_last_cache(void) { return 0; }

#endif

/* As in vec_scalar.h. */
#if defined(FP_FAST_FMA) && defined(FP_FAST_FMAF)
enum { SCALAR_HAS_FMA = 1 };
#else
enum { SCALAR_HAS_FMA = 0 };
#endif

const smx_level *smx_levels(int *count) {
    static const smx_level all[] = {
        {"scalar", &smx_scalar_f32, &smx_scalar_f64, SCALAR_HAS_FMA},
#if SMX_X86
        {"sse2", &smx_sse2_f32, &smx_sse2_f64, 0}, /* part of every 64-bit x86 */
        {"avx2", &smx_avx2_f32, &smx_avx2_f64, 1},
        {"avx512", &smx_avx512_f32, &smx_avx512_f64, 1},
#elif SMX_ARM
        {"neon", &smx_neon_f32, &smx_neon_f64, 1}, /* part of every 64-bit Arm */
#endif
    };
#if SMX_X86
    int avx2, avx512;
    detect(&avx2, &avx512);
    *count = 2 + avx2 + avx512;
#else
    *count = (int)(sizeof all / sizeof *all);
#endif
    return all;
}
