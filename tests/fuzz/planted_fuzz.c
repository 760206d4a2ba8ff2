/*
 * A fuzz target with bugs, for planted_check.py: proof that the drivers find what is there.
 *
 *   "T!..."  ends in a trap
 *   "O!..."  reads one byte behind its input
 */
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || data[1] != '!')
        return 0;
    if (data[0] == 'T')
        __builtin_trap();
    if (data[0] == 'O')
        return *(const volatile uint8_t *)(data + size) & 0;
    return 0;
}
