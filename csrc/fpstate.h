/* The floating-point state of a thread: ours during a call, the caller's after it.

   Ours is the default: round to nearest, subnormal numbers kept (another library may have switched them off), no traps.
   Restoring the caller's state also drops the flags that the kernels raised, so no warning ever depends on which lanes
   or threads computed what. */

#ifndef SMX_FPSTATE_H
#define SMX_FPSTATE_H

#include "arch.h"

#include <stdint.h>

#if SMX_X86

#include <immintrin.h>

typedef unsigned int smx_fpstate;

/* Writing the register takes longer than reading it. Flags that are set before the call do no harm, and most programs
   have set the one that the kernels raise: that a result was rounded. */
SMX_INLINE smx_fpstate smx_enter_fpstate(void) {
    const smx_fpstate before = _mm_getcsr();
    if ((before & ~0x3fu) != 0x1f80) /* all but the flags */
        _mm_setcsr(0x1f80);
    return before;
}
SMX_INLINE void smx_leave_fpstate(smx_fpstate before) {
    if (_mm_getcsr() != before)
        _mm_setcsr(before);
}

#elif SMX_ARM && defined(__GNUC__)

typedef struct {
    uint64_t control, status;
} smx_fpstate;

SMX_INLINE smx_fpstate smx_enter_fpstate(void) {
    smx_fpstate before;
    __asm__ volatile("mrs %0, fpcr" : "=r"(before.control));
    __asm__ volatile("mrs %0, fpsr" : "=r"(before.status));
    if (before.control != 0) /* writing it is slow */
        __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)0));
    return before;
}
SMX_INLINE void smx_leave_fpstate(smx_fpstate before) {
    __asm__ volatile("msr fpsr, %0" : : "r"(before.status));
    if (before.control != 0)
        __asm__ volatile("msr fpcr, %0" : : "r"(before.control));
}

#else

#include <fenv.h>

typedef fenv_t smx_fpstate;

SMX_INLINE smx_fpstate smx_enter_fpstate(void) {
    smx_fpstate before;
    fegetenv(&before);
    fesetenv(FE_DFL_ENV);
    return before;
}
SMX_INLINE void smx_leave_fpstate(smx_fpstate before) { fesetenv(&before); }

#endif

#endif
