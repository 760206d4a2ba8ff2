/*
 * Private keys in files and variables.   (transport/ssh; pure but for reading)
 */
#pragma once

#include <stdbool.h>

#include "transport/base/secret.h"

typedef struct pq_key_look {
    bool is_key; /* OpenSSH's form or PEM */
    bool encrypted;
    bool rsa;
} pq_key_look;

/* What a private key's text is, from its outside alone. */
void pq_key_look_at(const char *text, size_t length, pq_key_look *ret);

/* Reads a file that must be closed to other users. Fails with SECRET or NOMEM. */
int pq_key_read(const char *file, pq_secret *key, pq_error *err);
