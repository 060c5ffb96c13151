/* The kernels for float at level "scalar": the operations of ops.inc.h in the vectors of vec_scalar.h. */

#define SMX_COMPACT /* compiled in a tenth of the time */
#define REAL_BITS 32
#include "vec_scalar.h"

#include "ops.inc.h"
