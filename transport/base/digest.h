/*
 * Digests; the only place that includes libcrypto's EVP.   (transport/base)
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "transport/base/error.h"

#define PQ_SHA256_BYTES 32
#define PQ_SHA256_HEX_SIZE (2 * PQ_SHA256_BYTES + 1)

typedef struct pq_sha256 pq_sha256;

pq_sha256 *pq_sha256_new(pq_error *err); /* free with pq_sha256_free() */
void pq_sha256_free(pq_sha256 *digest);
void pq_sha256_add(pq_sha256 *digest, const void *bytes, size_t length);

/* Lower-case hexadecimal of everything added; the digest can only be freed afterwards. */
void pq_sha256_hex(pq_sha256 *digest, char out[PQ_SHA256_HEX_SIZE]);

#define PQ_SHA1_BYTES 20

/* HMAC with SHA-1, as hashed host names in known_hosts files have it; for nothing new. Fails with
 * INTERNAL. */
int pq_hmac_sha1(const void *key, size_t key_length, const void *bytes, size_t length,
                 unsigned char out[PQ_SHA1_BYTES], pq_error *err);

/* POSIX cksum(1): feed bytes with pq_cksum_add() from state 0, end with the length in bytes. */
uint32_t pq_cksum_add(uint32_t state, const void *bytes, size_t length);
uint32_t pq_cksum_end(uint32_t state, uint64_t length);

/* `count` random bytes as 2*count hex digits and a NUL. Fails with INTERNAL. */
int pq_random_hex(char *out, size_t count, pq_error *err);

/* SHA-256 of the first certificate in PEM text, as PVE shows it: "AB:CD:...".
 * `out` has 96 bytes. Fails with TLS. */
int pq_certificate_fingerprint(const char *pem, char out[96], pq_error *err);
