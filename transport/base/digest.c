#include "transport/base/digest.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <stdlib.h>

struct pq_sha256 {
    EVP_MD_CTX *context;
};

pq_sha256 *pq_sha256_new(pq_error *err)
{
    pq_sha256 *digest = malloc(sizeof *digest);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (digest == NULL || context == NULL || EVP_DigestInit_ex(context, EVP_sha256(), NULL) != 1) {
        free(digest);
        EVP_MD_CTX_free(context);
        pq_fail(err, PQ_E_NOMEM, "out of memory");
        return NULL;
    }
    digest->context = context;
    return digest;
}

void pq_sha256_free(pq_sha256 *digest)
{
    if (digest == NULL)
        return;
    EVP_MD_CTX_free(digest->context);
    free(digest);
}

void pq_sha256_add(pq_sha256 *digest, const void *bytes, size_t length)
{
    EVP_DigestUpdate(digest->context, bytes, length);
}

static void write_hex(char *out, const unsigned char *bytes, size_t count)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < count; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * count] = '\0';
}

void pq_sha256_hex(pq_sha256 *digest, char out[PQ_SHA256_HEX_SIZE])
{
    unsigned char value[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    EVP_DigestFinal_ex(digest->context, value, &length);
    write_hex(out, value, PQ_SHA256_BYTES);
}

static uint32_t cksum_byte(uint32_t state, unsigned byte)
{
    static uint32_t table[256];
    if (table[1] == 0) {
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t value = i << 24;
            for (int bit = 0; bit < 8; bit++)
                value = value & 0x80000000u ? value << 1 ^ 0x04C11DB7u : value << 1;
            table[i] = value;
        }
    }
    return state << 8 ^ table[(state >> 24 ^ byte) & 0xFF];
}

uint32_t pq_cksum_add(uint32_t state, const void *bytes, size_t length)
{
    const unsigned char *in = bytes;
    for (size_t i = 0; i < length; i++)
        state = cksum_byte(state, in[i]);
    return state;
}

uint32_t pq_cksum_end(uint32_t state, uint64_t length)
{
    for (; length > 0; length >>= 8)
        state = cksum_byte(state, (unsigned)(length & 0xFF));
    return ~state;
}

int pq_random_hex(char *out, size_t count, pq_error *err)
{
    unsigned char bytes[64];
    if (count > sizeof bytes || RAND_bytes(bytes, (int)count) != 1)
        return pq_fail(err, PQ_E_INTERNAL, "no random numbers to be had");
    write_hex(out, bytes, count);
    return 0;
}

int pq_certificate_fingerprint(const char *pem, char out[96], pq_error *err)
{
    unsigned char value[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *certificate = bio != NULL ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    int ok = certificate != NULL && X509_digest(certificate, EVP_sha256(), value, &length) == 1;
    X509_free(certificate);
    BIO_free(bio);
    if (!ok || length != PQ_SHA256_BYTES)
        return pq_fail(err, PQ_E_TLS, "cannot read the server's certificate");
    static const char digits[] = "0123456789ABCDEF";
    for (unsigned i = 0; i < length; i++) {
        out[3 * i] = digits[value[i] >> 4];
        out[3 * i + 1] = digits[value[i] & 15];
        out[3 * i + 2] = i + 1 < length ? ':' : '\0';
    }
    return 0;
}
