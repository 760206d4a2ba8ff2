#include "transport/base/digest.h"

#include <limits.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
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

int pq_hmac_sha1(const void *key, size_t key_length, const void *bytes, size_t length,
                 unsigned char out[PQ_SHA1_BYTES], pq_error *err)
{
    unsigned made = 0;
    if (key_length > INT_MAX ||
        HMAC(EVP_sha1(), key, (int)key_length, bytes, length, out, &made) == NULL ||
        made != PQ_SHA1_BYTES)
        return pq_fail(err, PQ_E_INTERNAL, "HMAC with SHA-1 is not available");
    return 0;
}

/* cksum_table[n][b]: what byte b does to the state when n more bytes follow it, so that four bytes
 * take one step. */
static uint32_t cksum_table[4][256];

static void cksum_prepare(void)
{
    if (cksum_table[0][1] != 0)
        return;
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t value = byte << 24;
        for (int step = 0; step < 4; step++) {
            for (int bit = 0; bit < 8; bit++)
                value = value & 0x80000000u ? value << 1 ^ 0x04C11DB7u : value << 1;
            cksum_table[step][byte] = value;
        }
    }
}

static uint32_t cksum_byte(uint32_t state, unsigned byte)
{
    return state << 8 ^ cksum_table[0][(state >> 24 ^ byte) & 0xFF];
}

uint32_t pq_cksum_add(uint32_t state, const void *bytes, size_t length)
{
    const unsigned char *in = bytes;
    cksum_prepare();
    for (; length >= 4; in += 4, length -= 4) {
        state ^= (uint32_t)in[0] << 24 | (uint32_t)in[1] << 16 | (uint32_t)in[2] << 8 | in[3];
        state = cksum_table[3][state >> 24] ^ cksum_table[2][state >> 16 & 0xFF] ^
                cksum_table[1][state >> 8 & 0xFF] ^ cksum_table[0][state & 0xFF];
    }
    for (; length > 0; in++, length--)
        state = cksum_byte(state, *in);
    return state;
}

uint32_t pq_cksum_end(uint32_t state, uint64_t length)
{
    cksum_prepare();
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

/* Without a callback of its own, libcrypto asks the terminal for an encrypted PEM's pass phrase. */
static int no_passphrase(char *out, int size, int writing, void *context)
{
    (void)out, (void)size, (void)writing, (void)context;
    return -1;
}

int pq_certificate_fingerprint(const char *pem, char out[96], pq_error *err)
{
    unsigned char value[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *certificate = bio != NULL ? PEM_read_bio_X509(bio, NULL, no_passphrase, NULL) : NULL;
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
