/* The kernels for double at level "scalar": the operations of table.inc.h in the vectors of vec_scalar.h. */

#define SMX_COMPACT /* compiled in a tenth of the time */
#define REAL_BITS 64
#include "vec_scalar.h"

#include "table.inc.h"
