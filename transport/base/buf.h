/*
 * A growable byte buffer with a maximum.   (transport/base)
 *
 * All-zero is a valid empty buffer with no maximum of its own; PQ_BUF_MAX bounds it then. `data`
 * may be NULL while `length` is 0; it always has a NUL behind `length` once anything was added,
 * so text in it can be used as a C string.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "transport/base/error.h"

/* No buffer of ours ever needs more: the largest are a tar header or an API answer. */
#define PQ_BUF_MAX ((size_t)64 * 1024 * 1024)

typedef struct pq_buf {
    char *data;
    size_t length;
    size_t capacity; /* bytes allocated */
    size_t maximum;  /* 0: PQ_BUF_MAX */
} pq_buf;

/* Frees the memory and makes the buffer empty; the maximum stays. */
void pq_buf_done(pq_buf *buf);

/* The same, and the bytes are wiped first. */
void pq_buf_wipe(pq_buf *buf);

/* Sets the length to 0 and keeps the memory. */
void pq_buf_clear(pq_buf *buf);

/* Makes room for `more` bytes behind `length`. Fails with NOMEM, or TOO_LARGE past the maximum;
 * the contents are untouched then. */
int pq_buf_reserve(pq_buf *buf, size_t more, pq_error *err);

int pq_buf_add(pq_buf *buf, const void *bytes, size_t length, pq_error *err);
int pq_buf_add_text(pq_buf *buf, const char *text, pq_error *err);
int pq_buf_add_byte(pq_buf *buf, char byte, pq_error *err);
int pq_buf_printf(pq_buf *buf, pq_error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Removes `count` bytes (at most `length`) from the front. */
void pq_buf_consume(pq_buf *buf, size_t count);

/* Hands the memory to the caller, who frees it with free(); the buffer is empty afterwards.
 * Never NULL-terminated data without memory: an empty buffer gives NULL. */
char *pq_buf_take(pq_buf *buf, size_t *ret_length);
