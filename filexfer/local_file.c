#include "filexfer/local_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "transport/base/digest.h"
#include "transport/base/fd.h"

static int open_temporary(pq_local_file *file, pq_error *err)
{
    char random[2 * 8 + 1];
    const char *slash = strrchr(file->path, '/');
    const char *name = slash != NULL ? slash + 1 : file->path;
    int directory = (int)(name - file->path);
    /* A long name is cut, so that ours still fits NAME_MAX. */
    if (pq_random_hex(random, 8, err) < 0)
        return -1;
    if (asprintf(&file->temporary, "%.*s.%.200s.%s", directory, file->path, name, random) < 0) {
        file->temporary = NULL;
        return pq_fail(err, PQ_E_NOMEM, "out of memory");
    }
    file->fd = open(file->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file->fd >= 0)
        return 0;
    pq_fail(err, PQ_E_IO, "cannot write '%s': %s", file->path, strerror(errno));
    free(file->temporary);
    file->temporary = NULL;
    return -1;
}

/* A rename would replace a symlink rather than the file behind it. */
static void follow_link(pq_local_file *file)
{
    struct stat info;
    if (lstat(file->path, &info) < 0 || !S_ISLNK(info.st_mode))
        return;
    char *target = realpath(file->path, NULL);
    if (target == NULL)
        return;
    free(file->path);
    file->path = target;
}

int pq_local_file_open(pq_local_file *file, const char *path, const char *name, pq_error *err)
{
    struct stat info;
    memset(file, 0, sizeof *file);
    file->fd = -1;
    if (path[0] == '\0')
        return pq_fail(err, PQ_E_IO, "cannot write '': %s", strerror(ENOENT));
    bool directory = stat(path, &info) == 0 && S_ISDIR(info.st_mode);
    int made =
        directory ? asprintf(&file->path, "%s/%s", path, name) : asprintf(&file->path, "%s", path);
    if (made < 0) {
        file->path = NULL;
        return pq_fail(err, PQ_E_NOMEM, "out of memory");
    }
    if (directory && stat(file->path, &info) == 0 && S_ISDIR(info.st_mode))
        return pq_fail(err, PQ_E_IO, "cannot write '%s': it is a directory", file->path);
    follow_link(file);
    if (stat(file->path, &info) < 0 || S_ISREG(info.st_mode))
        return open_temporary(file, err);
    file->fd = open(file->path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    if (file->fd < 0)
        return pq_fail(err, PQ_E_IO, "cannot write '%s': %s", file->path, strerror(errno));
    return 0;
}

void pq_local_file_borrow(pq_local_file *file, int fd)
{
    memset(file, 0, sizeof *file);
    file->fd = fd;
    file->borrowed = true;
}

int pq_local_file_write(pq_local_file *file, const void *bytes, size_t length, pq_error *err)
{
    if (pq_write_all(file->fd, bytes, length, err) == 0)
        return 0;
    return pq_error_prefix(err, "'%s': ", file->path != NULL ? file->path : "-");
}

int pq_local_file_keep(pq_local_file *file, int mode, pq_error *err)
{
    if (file->temporary == NULL)
        return 0;
    bool failed = mode >= 0 && fchmod(file->fd, (mode_t)mode) < 0;
    /* Some file systems tell a failed write only here. */
    failed = close(file->fd) < 0 || failed;
    file->fd = -1;
    if (failed || rename(file->temporary, file->path) < 0)
        return pq_fail(err, PQ_E_IO, "cannot write '%s': %s", file->path, strerror(errno));
    free(file->temporary);
    file->temporary = NULL;
    return 0;
}

void pq_local_file_done(pq_local_file *file)
{
    if (!file->borrowed)
        pq_close(&file->fd);
    if (file->temporary != NULL)
        (void)unlink(file->temporary);
    free(file->temporary);
    free(file->path);
    memset(file, 0, sizeof *file);
    file->fd = -1;
}
