#include "transport/ssh/key_text.h"

#include <string.h>

#include "transport/base/encode.h"

#define OPENSSH_BEGIN "-----BEGIN OPENSSH PRIVATE KEY-----"
#define OPENSSH_MAGIC "openssh-key-v1"

/* A string of SSH: four bytes of length, then as many bytes. */
static bool take_string(const unsigned char **at, size_t *left, const unsigned char **text,
                        size_t *length)
{
    if (*left < 4)
        return false;
    const unsigned char *b = *at;
    size_t n = (size_t)b[0] << 24 | (size_t)b[1] << 16 | (size_t)b[2] << 8 | b[3];
    if (n > *left - 4)
        return false;
    *text = b + 4;
    *length = n;
    *at += 4 + n;
    *left -= 4 + n;
    return true;
}

static bool equals(const unsigned char *text, size_t length, const char *word)
{
    return length == strlen(word) && memcmp(text, word, length) == 0;
}

/* PROTOCOL.key of OpenSSH: magic, cipher, KDF and its options, the number of keys, public keys. */
static void look_inside(const pq_buf *blob, pq_key_look *look)
{
    const unsigned char *at = (const unsigned char *)blob->data, *text, *type;
    size_t left = blob->length, length, type_length;
    if (left < sizeof OPENSSH_MAGIC || memcmp(at, OPENSSH_MAGIC, sizeof OPENSSH_MAGIC) != 0)
        return;
    at += sizeof OPENSSH_MAGIC;
    left -= sizeof OPENSSH_MAGIC;
    if (!take_string(&at, &left, &text, &length))
        return;
    look->encrypted = !equals(text, length, "none");
    if (!take_string(&at, &left, &text, &length) || !take_string(&at, &left, &text, &length) ||
        left < 4)
        return;
    at += 4;
    left -= 4;
    if (take_string(&at, &left, &text, &length) && take_string(&text, &length, &type, &type_length))
        look->rsa = equals(type, type_length, "ssh-rsa");
}

static void look_at_openssh(const char *text, pq_key_look *look)
{
    pq_buf blob = {0};
    pq_error bad;
    const char *start = text + sizeof OPENSSH_BEGIN - 1;
    const char *end = strstr(start, "-----END");
    if (end != NULL && pq_base64_decode(&blob, start, (size_t)(end - start), &bad) == 0)
        look_inside(&blob, look);
    pq_buf_wipe(&blob);
}

void pq_key_look_at(const char *text, size_t length, pq_key_look *ret)
{
    const char *openssh = memmem(text, length, OPENSSH_BEGIN, sizeof OPENSSH_BEGIN - 1);
    *ret = (pq_key_look){0};
    ret->is_key = memmem(text, length, "PRIVATE KEY-----", 16) != NULL;
    if (openssh != NULL) {
        look_at_openssh(openssh, ret);
        return;
    }
    ret->encrypted = memmem(text, length, "ENCRYPTED", 9) != NULL;
    ret->rsa = memmem(text, length, "BEGIN RSA PRIVATE KEY", 21) != NULL;
}
