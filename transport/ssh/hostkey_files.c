/* The known_hosts files themselves, and what is said about a key that is not in them. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "transport/base/encode.h"
#include "transport/base/fd.h"
#include "transport/base/log.h"
#include "transport/ssh/hostkey.h"

static int read_all(int fd, pq_buf *out, pq_error *err)
{
    size_t got = 1;
    while (got > 0) {
        if (pq_buf_reserve(out, 65536, err) < 0 ||
            pq_read_some(fd, out->data + out->length, 65536, &got, err) < 0)
            return -1;
        out->length += got;
    }
    return 0;
}

static int load_file(pq_host_keys *keys, const char *file, pq_error *err)
{
    pq_buf text = {.maximum = PQ_KNOWN_HOSTS_MAX};
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return 0;
    if (fd < 0)
        return pq_fail(err, PQ_E_CONFIG, "cannot open the known hosts in '%s': %s", file,
                       strerror(errno));
    int failed = read_all(fd, &text, err);
    if (failed < 0)
        pq_error_prefix(err, "reading the known hosts in '%s': ", file);
    else
        failed = pq_host_keys_read(keys, file, text.data, text.length, err);
    pq_buf_done(&text);
    pq_close(&fd);
    return failed;
}

int pq_host_keys_load(pq_host_keys *keys, const char *const *files, pq_error *err)
{
    for (; *files != NULL; files++)
        if (load_file(keys, *files, err) < 0)
            return -1;
    return 0;
}

/* ---- adding a key ---- */

/* ~/.ssh may not be there yet. */
static int open_for_adding(const char *file)
{
    char folder[4096];
    const char *slash = strrchr(file, '/');
    if (slash != NULL && slash > file && (size_t)(slash - file) < sizeof folder) {
        snprintf(folder, sizeof folder, "%.*s", (int)(slash - file), file);
        if (mkdir(folder, 0700) < 0 && errno != EEXIST)
            return -1;
    }
    return open(file, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
}

/* Whether the last line lacks its end. */
static bool is_cut(int fd)
{
    char last;
    off_t size = lseek(fd, 0, SEEK_END);
    return size > 0 && pread(fd, &last, 1, size - 1) == 1 && last != '\n';
}

static int make_line(const pq_host_keys *keys, bool cut, pq_buf *line, pq_error *err)
{
    char type[PQ_KEY_TYPE_MAX + 1] = "";
    (void)pq_host_key_type(keys->key, keys->key_length, type);
    if (pq_buf_add_text(line, cut ? "\n" : "", err) < 0 || pq_host_keys_name(keys, line, err) < 0 ||
        pq_buf_printf(line, err, " %s ", type) < 0 ||
        pq_base64_encode(line, keys->key, keys->key_length, err) < 0)
        return -1;
    return pq_buf_add_byte(line, '\n', err);
}

static int add_key(const pq_host_keys *keys, const char *fingerprint, const char *file,
                   pq_error *err)
{
    pq_buf line = {0};
    int fd = open_for_adding(file);
    if (fd < 0)
        return pq_fail(err, PQ_E_CONFIG, "cannot add a host key to '%s': %s", file,
                       strerror(errno));
    int failed = make_line(keys, is_cut(fd), &line, err);
    if (failed == 0)
        failed = pq_write_all(fd, line.data, line.length, err);
    pq_buf_done(&line);
    pq_close(&fd);
    if (failed == 0)
        pq_log(PQ_LOG_WARNING, "the host key of %s, %s, was new and is in '%s' now", keys->host,
               fingerprint, file);
    return failed;
}

/* ---- judging ---- */

/* "ed25519" for `ssh-keyscan -t`. */
static const char *scan_type(const char *type)
{
    if (strncmp(type, "ecdsa-", 6) == 0)
        return "ecdsa";
    return strncmp(type, "ssh-", 4) == 0 ? type + 4 : type;
}

static int fail_unknown(const pq_host_keys *keys, const char *type, const char *fingerprint,
                        const char *file, pq_error *err)
{
    char port[16] = "";
    if (keys->port != 22)
        snprintf(port, sizeof port, "-p %u ", (unsigned)keys->port);
    const char *short_type = scan_type(type);
    return pq_fail(err, PQ_E_HOST_KEY,
                   "the host key of %s is not known: %s, %s; compare with `ssh-keygen -lf "
                   "/etc/ssh/ssh_host_%s_key.pub` on the node, then add it with `ssh-keyscan -t %s "
                   "%s%s >> %s`",
                   keys->host, type, fingerprint, short_type, short_type, port, keys->host, file);
}

static int fail_changed(const pq_host_keys *keys, const char *type, const char *fingerprint,
                        pq_error *err)
{
    pq_buf name = {0};
    pq_error ignored;
    (void)pq_host_keys_name(keys, &name, &ignored);
    int failed = pq_fail(err, PQ_E_HOST_KEY,
                         "the host key of %s is another one than in %s: %s, %s; somebody may be in "
                         "between; if the node was installed anew, remove the old key with "
                         "`ssh-keygen -R '%s'`",
                         keys->host, keys->where, type, fingerprint,
                         name.data != NULL ? name.data : keys->host);
    pq_buf_done(&name);
    return failed;
}

int pq_host_keys_judge(const pq_host_keys *keys, const char *fingerprint, bool accept_new,
                       const char *const *files, pq_error *err)
{
    char type[PQ_KEY_TYPE_MAX + 1] = "";
    if (!pq_host_key_type(keys->key, keys->key_length, type))
        return pq_fail(err, PQ_E_HOST_KEY, "%s showed a host key that cannot be read", keys->host);
    if (keys->revoked)
        return pq_fail(err, PQ_E_HOST_KEY, "the host key of %s, %s, is revoked in %s", keys->host,
                       fingerprint, keys->where);
    if (keys->known)
        return 0;
    if (keys->different)
        return fail_changed(keys, type, fingerprint, err);
    if (accept_new && keys->type_count == 0)
        return add_key(keys, fingerprint, files[0], err);
    return fail_unknown(keys, type, fingerprint, files[0], err);
}
