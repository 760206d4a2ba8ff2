#include "transport/ssh/memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "transport/base/secret.h"

/* In front of each block; keeps what follows aligned for any type. */
typedef union header {
    size_t size;
    max_align_t align;
} header;

void *pq_ssh_alloc(size_t size, void **abstract)
{
    (void)abstract;
    if (size > SIZE_MAX - sizeof(header))
        return NULL;
    header *block = malloc(sizeof *block + size);
    if (block == NULL)
        return NULL;
    block->size = size;
    return block + 1;
}

void pq_ssh_free_memory(void *memory, void **abstract)
{
    (void)abstract;
    if (memory == NULL)
        return;
    header *block = (header *)memory - 1;
    pq_wipe(memory, block->size);
    free(block);
}

void *pq_ssh_realloc(void *memory, size_t size, void **abstract)
{
    void *moved = pq_ssh_alloc(size, abstract);
    if (moved == NULL || memory == NULL)
        return moved;
    size_t old = ((header *)memory - 1)->size;
    memcpy(moved, memory, old < size ? old : size);
    pq_ssh_free_memory(memory, abstract);
    return moved;
}
