/*
 * Passwords, token secrets and tickets.   (transport/base)
 *
 * A secret's memory is wiped when it is freed, locked where the system allows it, and left out of
 * core dumps. There is no function that prints one: the only way out is pq_secret_text(), called
 * where a header, a form or a library needs the value.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "transport/base/error.h"

/* Longest secret in bytes; PVE tickets have about 700, token secrets 36. */
#define PQ_SECRET_MAX 8192

/* All-zero is valid and means "not set". */
typedef struct pq_secret {
    char *text;    /* NUL-terminated */
    size_t length; /* without the NUL */
} pq_secret;

/* Copies `length` bytes. An earlier value is wiped. Fails with NOMEM or TOO_LARGE. */
int pq_secret_set(pq_secret *secret, const char *text, size_t length, pq_error *err);

void pq_secret_done(pq_secret *secret);
bool pq_secret_is_set(const pq_secret *secret);

/* The value, or "" when not set; valid until the secret changes. */
const char *pq_secret_text(const pq_secret *secret);

/* Whether both are the same, or not set; in a time that depends on their lengths alone. */
bool pq_secret_equal(const pq_secret *a, const pq_secret *b);

/* The same for bytes that have secrets in them. */
bool pq_secret_equal_bytes(const char *a, size_t a_length, const char *b, size_t b_length);

/* Overwrites memory in a way the compiler cannot drop. */
void pq_wipe(void *memory, size_t length);
