/* The levels that this machine can run. csrc/cpu.c says which they are. It names the tables of kernels, so there are
   empty tables here. */

#include "level.h"

#include "arch.h"
#include "cpu.h"

const smx_kernels smx_scalar_f32, smx_scalar_f64;
extern const level scalar_f32, scalar_f64;
#if SMX_X86
const smx_kernels smx_sse2_f32, smx_sse2_f64;
const smx_kernels smx_avx2_f32, smx_avx2_f64, smx_avx512_f32, smx_avx512_f64;
extern const level sse2_f32, sse2_f64, avx2_f32, avx2_f64, avx512_f32, avx512_f64;
static const level *const floats[] = {&scalar_f32, &sse2_f32, &avx2_f32, &avx512_f32};
static const level *const doubles[] = {&scalar_f64, &sse2_f64, &avx2_f64, &avx512_f64};
#elif SMX_ARM
const smx_kernels smx_neon_f32, smx_neon_f64;
extern const level neon_f32, neon_f64;
static const level *const floats[] = {&scalar_f32, &neon_f32};
static const level *const doubles[] = {&scalar_f64, &neon_f64};
#else
static const level *const floats[] = {&scalar_f32};
static const level *const doubles[] = {&scalar_f64};
#endif

static int known; /* how many; CPUID is slow in a virtual machine */

const level *const *levels_here(int bits, int *count) {
    if (!known)
        smx_levels(&known);
    *count = known;
    return bits == 32 ? floats : doubles;
}

constants constants_of(int bits) { return (bits == 32 ? floats : doubles)[0]->type; }
