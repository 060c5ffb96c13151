/* The memory roof: threads that move bytes with plain loads and stores, and do nothing else.
 *
 * Compiled by roof.py when it is needed. Words are integers, so that no value is special. */

#include <stddef.h>
#include <stdint.h>

/* What softmax and log_softmax must move at least: one array in, one out. */
void copy(uint32_t *restrict out, const uint32_t *restrict a, ptrdiff_t n, int threads) {
#pragma omp parallel for simd schedule(static) num_threads(threads) if (threads > 1)
    for (ptrdiff_t i = 0; i < n; i++)
        out[i] = a[i];
}

/* A vector-Jacobian product: two in, one out. */
void merge(uint32_t *restrict out, const uint32_t *restrict a, const uint32_t *restrict b,
           ptrdiff_t n, int threads) {
#pragma omp parallel for simd schedule(static) num_threads(threads) if (threads > 1)
    for (ptrdiff_t i = 0; i < n; i++)
        out[i] = a[i] ^ b[i];
}

/* logsumexp: one in, next to nothing out. */
uint32_t scan(const uint32_t *a, ptrdiff_t n, int threads) {
    uint32_t all = 0;
#pragma omp parallel for simd schedule(static) num_threads(threads) if (threads > 1) \
    reduction(^ : all)
    for (ptrdiff_t i = 0; i < n; i++)
        all ^= a[i];
    return all;
}
