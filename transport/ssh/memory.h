/*
 * libssh2's memory: wiped when it is freed, since passwords and keys pass through it.
 * (transport/ssh, private)
 */
#pragma once

#include <stddef.h>

/* As libssh2 wants its allocator; `abstract` is not used. */
void *pq_ssh_alloc(size_t size, void **abstract);
void *pq_ssh_realloc(void *memory, size_t size, void **abstract);
void pq_ssh_free_memory(void *memory, void **abstract);
