/* libFuzzer's way into anycall.c. */

#include "anycall.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    anycall_check(bytes, size, (anycall_ways){.alone = 1});
    return 0;
}
