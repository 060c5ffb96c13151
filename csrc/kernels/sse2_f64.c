/* The kernels for double at level "sse2": the operations of table.inc.h in the vectors of vec_sse2.h. */

#define SMX_COMPACT /* its fused multiply-adds take longer than calls of functions do */
#include "../arch.h"

#if SMX_X86
#define REAL_BITS 64
#include "vec_sse2.h"

#include "table.inc.h"
#endif
