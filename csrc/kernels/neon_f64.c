/* The kernels for double at level "neon": the operations of table.inc.h in the vectors of vec_neon.h. */

#include "../arch.h"

#if SMX_ARM
#define REAL_BITS 64
#include "vec_neon.h"

#include "table.inc.h"
#endif
