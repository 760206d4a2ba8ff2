/* The environment, and the files from disk. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "transport/base/fd.h"
#include "transport/config/internal.h"

const char *pq_config_getenv(void *context, const char *name)
{
    (void)context;
    return getenv(name);
}

/* An empty variable counts as not set, as most programs have it, except where "" is a value. */
static const char *get_variable(const pq_option *option, pq_getenv_fn get, void *context,
                                const char *name)
{
    const char *text = get(context, name);

    if (text != NULL && text[0] == '\0' && option->type != PQ_TYPE_PROXY)
        return NULL;
    return text;
}

/* The first of the option's variables that is set. */
static int load_variable(pq_config *config, unsigned id, pq_getenv_fn get, void *context,
                         pq_error *err)
{
    const pq_option *option = pq_config_row(config, id);
    const char *names = option->environment;
    char name[64];

    while (*names != '\0') {
        size_t length = strcspn(names, " ");
        pq_origin origin = {.source = PQ_SOURCE_ENVIRONMENT, .name = name};
        const char *text;

        snprintf(name, sizeof name, "%.*s", (int)length, names);
        text = get_variable(option, get, context, name);
        if (text != NULL)
            return pq_config_offer(config, id, PQ_SECRET_VALUE, &origin, text, err);
        names += length + (names[length] == ' ');
    }
    return 0;
}

static int load_environment(pq_config *config, pq_getenv_fn get, void *context, pq_error *err)
{
    for (unsigned id = 0; id < pq_config_count(config); id++) {
        if (pq_config_row(config, id)->environment != NULL &&
            load_variable(config, id, get, context, err) < 0)
            return -1;
    }
    return 0;
}

/* All of a file; it may hold secrets, so the room is made once and `text` is wiped by the caller.
 */
static int read_all(int fd, const char *path, size_t size, pq_buf *text, pq_error *err)
{
    size_t got = 1;
    char rest;

    if (size > PQ_CONFIG_FILE_MAX)
        return pq_fail(err, PQ_E_CONFIG, "%.180s: the file has more than %zu bytes", path,
                       PQ_CONFIG_FILE_MAX);
    if (pq_buf_reserve(text, size, err) < 0)
        return -1;
    while (text->length < size && got > 0) {
        if (pq_read_some(fd, text->data + text->length, size - text->length, &got, err) < 0) {
            pq_error_prefix(err, "%.180s: ", path);
            return -1;
        }
        text->length += got;
    }
    if (pq_read_some(fd, &rest, 1, &got, err) == 0 && got > 0)
        return pq_fail(err, PQ_E_IO, "%.180s: the file grew while it was read", path);
    return 0;
}

static int load_open_file(pq_config *config, int fd, const char *path, pq_source source,
                          pq_error *err)
{
    pq_config_text_file file = {.name = path, .source = source};
    pq_buf text = {0};
    struct stat status;
    int result;

    if (fstat(fd, &status) < 0)
        return pq_fail(err, PQ_E_IO, "%.180s: %s", path, strerror(errno));
    if (!S_ISREG(status.st_mode))
        return pq_fail(err, PQ_E_CONFIG, "%.180s: not a regular file", path);
    if ((status.st_mode & 02) != 0)
        return pq_fail(err, PQ_E_CONFIG, "%.180s: not used, since everyone can write it", path);
    file.mode = (unsigned)status.st_mode & 07777;
    file.owned = status.st_uid == 0 || status.st_uid == geteuid();
    result = read_all(fd, path, (size_t)status.st_size, &text, err);
    if (result == 0)
        result = pq_config_parse_file(config, &file, text.data, text.length, err);
    pq_buf_wipe(&text);
    return result;
}

/* A file that must be there is one the user named. Of the others, one that we may not read is meant
 * for somebody else. */
static int load_file(pq_config *config, const char *path, pq_source source, bool required,
                     pq_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    int result;

    if (fd < 0) {
        if (!required && (errno == ENOENT || errno == ENOTDIR || errno == EACCES))
            return 0;
        return pq_fail(err, PQ_E_IO, "cannot open the configuration file '%.180s': %s", path,
                       strerror(errno));
    }
    result = load_open_file(config, fd, path, source, err);
    pq_close(&fd);
    return result;
}

static int load_user_file(pq_config *config, pq_getenv_fn get, void *context, pq_error *err)
{
    const char *base = get(context, "XDG_CONFIG_HOME");
    char path[PATH_MAX];
    int length = 0;

    /* A relative XDG_CONFIG_HOME is to be ignored, says the XDG Base Directory Specification. */
    if (base != NULL && base[0] == '/')
        length = snprintf(path, sizeof path, "%s/" PQ_CONFIG_USER_FILE, base);
    else if (config->home != NULL)
        length = snprintf(path, sizeof path, "%s/.config/" PQ_CONFIG_USER_FILE, config->home);
    if (length <= 0 || (size_t)length >= sizeof path)
        return 0;
    return load_file(config, path, PQ_SOURCE_USER_FILE, false, err);
}

int pq_config_load(pq_config *config, const char *system_file, pq_getenv_fn get, void *context,
                   pq_error *err)
{
    const char *named = pq_config_text(config, PQ_OPT_CONFIG);
    const char *home = get(context, "HOME");

    if (home != NULL && home[0] == '/' && config->home == NULL) {
        config->home = strdup(home);
        if (config->home == NULL)
            return pq_fail(err, PQ_E_NOMEM, "out of memory");
    }
    if (load_environment(config, get, context, err) < 0)
        return -1;
    if (named != NULL)
        return load_file(config, named, PQ_SOURCE_USER_FILE, true, err);
    if (system_file == NULL)
        system_file = PQ_CONFIG_SYSTEM_FILE;
    if (load_file(config, system_file, PQ_SOURCE_SYSTEM_FILE, false, err) < 0)
        return -1;
    return load_user_file(config, get, context, err);
}
