#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transport/base/digest.h"

#define LARGE ((size_t)1000003)

/* A self-signed certificate made for this test; its key was thrown away. */
static const char certificate[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBdDCCARmgAwIBAgIUSS4speOubsuEKzf5BoJ+qjzEjHowCgYIKoZIzj0EAwIw\n"
    "DzENMAsGA1UEAwwEcHZlMTAeFw0yNjExMjEyMjQ0NDJaFw0zNjExMTgyMjQ0NDJa\n"
    "MA8xDTALBgNVBAMMBHB2ZTEwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQUSt13\n"
    "PIN4NTbNPfNVtzCJDvcxYqJL1YnztaCf16Li7X3y1mPIunm2ex45/0wXsd7RvhU8\n"
    "k8sKs9zmBy2s8D9do1MwUTAdBgNVHQ4EFgQUIfi9R3WdIV+18FDtKFk+JrMo2+cw\n"
    "HwYDVR0jBBgwFoAUIfi9R3WdIV+18FDtKFk+JrMo2+cwDwYDVR0TAQH/BAUwAwEB\n"
    "/zAKBggqhkjOPQQDAgNJADBGAiEAqTU2sIprI52P4kx+lArFcU0ftGYZ2SAhN5OA\n"
    "yFeyKHsCIQCgbLR4Yk6lVeRIQNWq7eJy3f0MT8hJ4pTCqCaBEhAp5w==\n"
    "-----END CERTIFICATE-----\n";

static const char certificate_fingerprint[] =
    "4D:A8:88:70:09:FE:60:82:08:A7:EB:F6:1A:36:4A:B0:90:44:A0:3C:83:82:93:3B:CD:17:0B:35:1C:23:"
    "5E:E7";

static unsigned char *large_new(void)
{
    unsigned char *bytes = malloc(LARGE);
    cr_assert_not_null(bytes);
    for (size_t i = 0; i < LARGE; i++)
        bytes[i] = (unsigned char)(i * 7);
    return bytes;
}

static const char *sha256_of(const void *bytes, size_t length, size_t piece)
{
    static char hex[PQ_SHA256_HEX_SIZE];
    pq_error err;
    pq_sha256 *digest = pq_sha256_new(&err);
    cr_assert_not_null(digest);
    for (size_t at = 0; at < length; at += piece)
        pq_sha256_add(digest, (const char *)bytes + at, length - at < piece ? length - at : piece);
    pq_sha256_hex(digest, hex);
    pq_sha256_free(digest);
    return hex;
}

static uint32_t cksum_of(const void *bytes, size_t length)
{
    return pq_cksum_end(pq_cksum_add(0, bytes, length), length);
}

/* FIPS 180-4's examples, and sha256sum(1) for the large one. */
Test(digest, sha256_known_answers)
{
    unsigned char *large = large_new();
    cr_assert_str_eq(sha256_of("", 0, 1),
                     "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    cr_assert_str_eq(sha256_of("abc", 3, 3),
                     "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    cr_assert_str_eq(sha256_of(large, LARGE, LARGE),
                     "c4a4283055231619b3d05f4a9a7a5c2c8f769e70d5d1ec88510bdaea2b2f9728");
    cr_assert_str_eq(sha256_of(large, LARGE, 4099),
                     "c4a4283055231619b3d05f4a9a7a5c2c8f769e70d5d1ec88510bdaea2b2f9728");
    free(large);
    pq_sha256_free(NULL);
}

/* What cksum(1) says. */
Test(digest, cksum_known_answers)
{
    unsigned char *large = large_new();
    cr_assert_eq(cksum_of("", 0), 4294967295u);
    cr_assert_eq(cksum_of("123456789", 9), 930766865u);
    cr_assert_eq(cksum_of(large, LARGE), 3114658972u);
    free(large);
}

Test(digest, cksum_in_pieces_of_any_size)
{
    unsigned char *large = large_new();
    for (size_t piece = 1; piece < 40; piece++) {
        uint32_t state = 0;
        for (size_t at = 0; at < 1000; at += piece)
            state = pq_cksum_add(state, large + at, 1000 - at < piece ? 1000 - at : piece);
        cr_assert_eq(pq_cksum_end(state, 1000), cksum_of(large, 1000), "pieces of %zu", piece);
    }
    free(large);
}

/* The bit-by-bit definition in POSIX. */
Test(digest, cksum_is_its_definition)
{
    unsigned char *large = large_new();
    for (size_t length = 0; length < 300; length++) {
        uint32_t state = 0;
        for (size_t i = 0; i < length; i++) {
            for (int bit = 7; bit >= 0; bit--) {
                uint32_t top = state >> 31 ^ ((uint32_t)large[i] >> bit & 1);
                state = state << 1 ^ (top ? 0x04C11DB7u : 0);
            }
        }
        cr_assert_eq(pq_cksum_add(0, large, length), state, "%zu bytes", length);
    }
    free(large);
}

Test(digest, random_hex_is_random)
{
    char one[2 * 64 + 1], two[2 * 64 + 1];
    pq_error err;
    cr_assert_eq(pq_random_hex(one, 64, &err), 0);
    cr_assert_eq(pq_random_hex(two, 64, &err), 0);
    cr_assert_eq(strlen(one), 128);
    cr_assert_eq(strspn(one, "0123456789abcdef"), 128);
    cr_assert_str_neq(one, two);
    cr_assert_eq(pq_random_hex(one, 1, &err), 0);
    cr_assert_eq(strlen(one), 2);
    cr_assert_eq(pq_random_hex(one, 0, &err), 0);
    cr_assert_str_eq(one, "");
}

Test(digest, random_hex_limit)
{
    char out[4] = "old";
    pq_error err;
    cr_assert_eq(pq_random_hex(out, 65, &err), -1);
    cr_assert_eq(err.code, PQ_E_INTERNAL);
    cr_assert_str_eq(out, "old");
}

Test(digest, certificate_fingerprint)
{
    char out[96];
    pq_error err;
    cr_assert_eq(pq_certificate_fingerprint(certificate, out, &err), 0);
    cr_assert_str_eq(out, certificate_fingerprint);
}

/* Servers send the chain; the first certificate is theirs. */
Test(digest, first_certificate_of_a_chain)
{
    char chain[2 * sizeof certificate + 64], out[96];
    pq_error err;
    snprintf(chain, sizeof chain, "Subject: pve1\n%s%s", certificate,
             "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    cr_assert_eq(pq_certificate_fingerprint(chain, out, &err), 0);
    cr_assert_str_eq(out, certificate_fingerprint);
}

Test(digest, bad_certificates)
{
    static const char *const bad[] = {
        "",
        "garbage",
        "-----BEGIN CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n",
        /* libcrypto would ask for a pass phrase. */
        "-----BEGIN CERTIFICATE-----\nProc-Type: 4,ENCRYPTED\n"
        "DEK-Info: AES-128-CBC,00112233445566778899AABBCCDDEEFF\n\n"
        "AAAAAAAAAAAAAAAAAAAAAA==\n-----END CERTIFICATE-----\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char out[96] = "old";
        pq_error err;
        cr_assert_eq(pq_certificate_fingerprint(bad[i], out, &err), -1, "%zu", i);
        cr_assert_eq(err.code, PQ_E_TLS);
        cr_assert_str_eq(out, "old");
    }
}
