/*
 * File descriptors.   (transport/base)
 *
 * A descriptor that is not open is -1. All are close-on-exec.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "transport/base/error.h"

/* Closes *fd unless it is -1 and sets it to -1; errno is kept. */
void pq_close(int *fd);

/* Writes all bytes, through EINTR and partial writes; waits with poll() on a non-blocking one.
 * Fails with IO; the text names errno. */
int pq_write_all(int fd, const void *bytes, size_t length, pq_error *err);

/* pwrite() of all bytes. */
int pq_pwrite_all(int fd, const void *bytes, size_t length, off_t offset, pq_error *err);

/* Reads up to `size` bytes, through EINTR; *ret_length 0 is the end. Fails with IO. */
int pq_read_some(int fd, void *bytes, size_t size, size_t *ret_length, pq_error *err);

/* Sets or clears O_NONBLOCK. Fails with IO. */
int pq_set_nonblocking(int fd, bool on, pq_error *err);
