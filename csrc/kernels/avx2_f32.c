/* The kernels for float at level "avx2": the operations of table.inc.h in the vectors of vec_avx2.h. */

#include "../arch.h"

#if SMX_X86
#define REAL_BITS 32
#include "vec_avx2.h"

#include "table.inc.h"
#endif
