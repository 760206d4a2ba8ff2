#include "transport/ssh/key_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "transport/base/encode.h"
#include "transport/base/fd.h"

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

static int check_private(const char *file, int fd, pq_error *err)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return pq_fail(err, PQ_E_SECRET, "cannot look at the SSH key '%s': %s", file,
                       strerror(errno));
    if (!S_ISREG(status.st_mode))
        return pq_fail(err, PQ_E_SECRET, "the SSH key '%s' is not a regular file", file);
    if (status.st_uid != geteuid() && status.st_uid != 0)
        return pq_fail(err, PQ_E_SECRET, "the SSH key '%s' belongs to another user", file);
    if ((status.st_mode & 077) != 0)
        return pq_fail(err, PQ_E_SECRET,
                       "the SSH key '%s' is open to other users (mode %04o); make it 0600", file,
                       (unsigned)status.st_mode & 07777);
    return 0;
}

static int read_text(const char *file, int fd, pq_secret *key, pq_error *err)
{
    char text[PQ_SECRET_MAX + 1];
    size_t length = 0, got = 1;
    int failed = 0;
    while (failed == 0 && got > 0 && length < sizeof text) {
        failed = pq_read_some(fd, text + length, sizeof text - length, &got, err);
        length += failed == 0 ? got : 0;
    }
    if (failed == 0 && length > PQ_SECRET_MAX)
        failed = pq_fail(err, PQ_E_SECRET, "'%s' is too long for an SSH key", file);
    if (failed == 0)
        failed = pq_secret_set(key, text, length, err);
    pq_wipe(text, sizeof text);
    return failed;
}

int pq_key_read(const char *file, pq_secret *key, pq_error *err)
{
    /* O_NONBLOCK: opening a FIFO, which is refused then, must not wait for its writer. */
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return pq_fail(err, PQ_E_SECRET, "cannot open the SSH key '%s': %s", file, strerror(errno));
    int failed = check_private(file, fd, err);
    if (failed == 0)
        failed = read_text(file, fd, key, err);
    pq_close(&fd);
    return failed;
}
