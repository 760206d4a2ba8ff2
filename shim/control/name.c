/* What the clients of one shared server have in common. See control.h. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shim/control/control.h"
#include "transport/base/digest.h"

/* Where interrupted transfers are noted. */
static const char *const public_variables[] = {"HOME", "XDG_STATE_HOME"};

/* What libcurl and OpenSSL read themselves; a proxy may come with its password. */
static const char *const private_variables[] = {
    "https_proxy",   "HTTPS_PROXY",   "http_proxy",   "all_proxy",
    "ALL_PROXY",     "no_proxy",      "NO_PROXY",     "SSL_CERT_DIR",
    "SSL_CERT_FILE", "SSLKEYLOGFILE", "OPENSSL_CONF", "CURL_CA_BUNDLE",
};

/* Files and addresses mean something else in other ones. */
static const char *const namespaces[] = {"mnt", "net", "user"};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static int add_line(pq_buf *out, const char *name, const char *value, pq_error *err)
{
    return value != NULL ? pq_buf_printf(out, err, "%s=%s\n", name, value) : 0;
}

static int add_namespace(pq_buf *out, const char *name, pq_error *err)
{
    char path[40] = "/proc/self/ns/", target[60];
    strcat(path, name);
    ssize_t length = readlink(path, target, sizeof target - 1);
    target[length > 0 ? length : 0] = '\0';
    return add_line(out, name, target, err);
}

static int add_groups(pq_buf *out, pq_error *err)
{
    gid_t groups[256];
    int count = getgroups(COUNT(groups), groups);
    if (pq_buf_printf(out, err, "groups=%ld", (long)getegid()) < 0)
        return -1;
    for (int i = 0; i < count; i++) {
        if (pq_buf_printf(out, err, " %ld", (long)groups[i]) < 0)
            return -1;
    }
    return pq_buf_add_byte(out, '\n', err);
}

/* A home directory may be shared by hosts. */
static int add_process(pq_buf *out, pq_error *err)
{
    char host[256] = "";
    (void)gethostname(host, sizeof host - 1);
    mode_t mask = umask(0);
    umask(mask);
    if (add_line(out, "on", host, err) < 0 || add_groups(out, err) < 0 ||
        pq_buf_printf(out, err, "umask=%03o\n", (unsigned)mask) < 0)
        return -1;
    for (size_t i = 0; i < COUNT(namespaces); i++) {
        if (add_namespace(out, namespaces[i], err) < 0)
            return -1;
    }
    for (size_t i = 0; i < COUNT(public_variables); i++) {
        if (add_line(out, public_variables[i], getenv(public_variables[i]), err) < 0)
            return -1;
    }
    return 0;
}

static bool matters(const pq_option *row)
{
    return row->type != PQ_TYPE_SECRET &&
           (row->group == PQ_GROUP_SERVER || row->group == PQ_GROUP_LOGIN ||
            row->group == PQ_GROUP_TLS || row->group == PQ_GROUP_SSH);
}

/* With the trace: what is traced together is one file's. */
int pq_control_identity(const pq_config *config, pq_buf *out, pq_error *err)
{
    const pq_option *row;
    pq_buf_clear(out);
    if (add_process(out, err) < 0 ||
        add_line(out, "trace", pq_config_text(config, PQ_OPT_TRACE), err) < 0)
        return -1;
    for (unsigned id = 0; (row = pq_config_row(config, id)) != NULL; id++) {
        if (matters(row) && add_line(out, row->name, pq_config_text(config, id), err) < 0)
            return -1;
    }
    return 0;
}

int pq_control_environment(pq_buf *out, pq_error *err)
{
    size_t length = 0;
    pq_buf_wipe(out);
    for (size_t i = 0; i < COUNT(private_variables); i++) {
        const char *value = getenv(private_variables[i]);
        length += value != NULL ? strlen(private_variables[i]) + strlen(value) + 2 : 0;
    }
    if (pq_buf_reserve(out, length, err) < 0)
        return -1;
    for (size_t i = 0; i < COUNT(private_variables); i++) {
        const char *value = getenv(private_variables[i]);
        if (value != NULL &&
            (pq_buf_add_text(out, private_variables[i], err) < 0 ||
             pq_buf_add_byte(out, '=', err) < 0 || pq_buf_add_text(out, value, err) < 0 ||
             pq_buf_add_byte(out, '\n', err) < 0))
            return -1;
    }
    return 0;
}

/* ---- names ---- */

int pq_control_name(const pq_buf *identity, char out[PQ_CONTROL_NAME_DIGITS + 1], pq_error *err)
{
    char hex[PQ_SHA256_HEX_SIZE];
    pq_sha256 *digest = pq_sha256_new(err);
    if (digest == NULL)
        return -1;
    pq_sha256_add(digest, identity->data, identity->length);
    pq_sha256_hex(digest, hex);
    pq_sha256_free(digest);
    memcpy(out, hex, PQ_CONTROL_NAME_DIGITS);
    out[PQ_CONTROL_NAME_DIGITS] = '\0';
    return 0;
}

bool pq_control_is_name(const char *name)
{
    return strspn(name, "0123456789abcdef") == PQ_CONTROL_NAME_DIGITS &&
           name[PQ_CONTROL_NAME_DIGITS] == '\0';
}

/* ---- comparing ---- */

bool pq_control_same_secrets(pq_config *a, pq_config *b)
{
    const pq_option *row;
    bool same = true;
    for (unsigned id = 0; (row = pq_config_row(a, id)) != NULL; id++) {
        const pq_secret *one = NULL, *other = NULL;
        pq_error err;
        if (row->type != PQ_TYPE_SECRET)
            continue;
        if (pq_config_secret(a, id, &one, &err) < 0 || pq_config_secret(b, id, &other, &err) < 0)
            return false;
        same &= pq_secret_equal(one, other);
    }
    return same;
}
