/*
 * Texts of private keys.   (transport/ssh; pure)
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

typedef struct pq_key_look {
    bool is_key; /* OpenSSH's form or PEM */
    bool encrypted;
    bool rsa;
} pq_key_look;

/* What a private key's text, which ends with a NUL, is: from its outside alone. */
void pq_key_look_at(const char *text, size_t length, pq_key_look *ret);
