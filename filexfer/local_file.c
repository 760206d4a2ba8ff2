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

/* Digits at the end of a part's name. */
#define RANDOM_DIGITS 16

/* A long name is cut, so that ours still fits NAME_MAX. */
#define NAME_FORMAT ".%.200s."

static const char *name_in(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

static int open_temporary(pq_local_file *file, pq_error *err)
{
    char random[RANDOM_DIGITS + 1];
    const char *name = name_in(file->path);
    int directory = (int)(name - file->path);
    if (pq_random_hex(random, RANDOM_DIGITS / 2, err) < 0)
        return -1;
    if (asprintf(&file->temporary, "%.*s" NAME_FORMAT "%s", directory, file->path, name, random) <
        0) {
        file->temporary = NULL;
        return pq_fail(err, PQ_E_NOMEM, "out of memory");
    }
    file->fd = open(file->temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
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

/* ---- parts ---- */

bool pq_local_file_place(const pq_local_file *file, char *out, size_t size)
{
    if (file->temporary == NULL)
        return false;
    const char *name = name_in(file->temporary);
    char *directory = strndup(file->temporary, (size_t)(name - file->temporary));
    char *whole =
        directory != NULL ? realpath(name > file->temporary ? directory : ".", NULL) : NULL;
    bool fits = whole != NULL && snprintf(out, size, "%s/%s", whole, name) < (int)size;
    free(whole);
    free(directory);
    return fits;
}

static bool is_name_of_part(const pq_local_file *file, const char *name)
{
    char expected[256];
    int length = snprintf(expected, sizeof expected, NAME_FORMAT, name_in(file->path));
    return strncmp(name, expected, (size_t)length) == 0 &&
           strlen(name) == (size_t)length + RANDOM_DIGITS &&
           strspn(name + length, "0123456789abcdef") == RANDOM_DIGITS;
}

/* The part of this name next to the temporary file; -1 unless it is a file of ours alone. */
static int open_part(const char *path)
{
    struct stat info;
    /* A FIFO must not be waited for. */
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd >= 0 && (fstat(fd, &info) < 0 || !S_ISREG(info.st_mode) || info.st_uid != geteuid() ||
                    info.st_nlink != 1))
        pq_close(&fd);
    return fd;
}

bool pq_local_file_adopt(pq_local_file *file, const char *place, uint64_t most,
                         uint64_t *ret_length)
{
    struct stat info;
    char *path = NULL;
    const char *name = name_in(place);
    if (file->temporary == NULL || !is_name_of_part(file, name))
        return false;
    int directory = (int)(name_in(file->temporary) - file->temporary);
    if (asprintf(&path, "%.*s%s", directory, file->temporary, name) < 0)
        return false;
    int fd = open_part(path);
    if (fd < 0 || fstat(fd, &info) < 0 ||
        ((uint64_t)info.st_size > most && ftruncate(fd, (off_t)most) < 0) ||
        lseek(fd, 0, SEEK_END) < 0) {
        pq_close(&fd);
        free(path);
        return false;
    }
    pq_close(&file->fd);
    (void)unlink(file->temporary);
    free(file->temporary);
    file->temporary = path;
    file->fd = fd;
    *ret_length = (uint64_t)info.st_size < most ? (uint64_t)info.st_size : most;
    return true;
}

static int failed_part(const pq_local_file *file, pq_error *err)
{
    return pq_fail(err, PQ_E_IO, "'%s': %s", file->temporary, strerror(errno));
}

int pq_local_file_read(const pq_local_file *file, uint64_t offset, void *out, size_t size,
                       size_t *ret_length, pq_error *err)
{
    ssize_t got = pread(file->fd, out, size, (off_t)offset);
    if (got < 0)
        return failed_part(file, err);
    *ret_length = (size_t)got;
    return 0;
}

int pq_local_file_restart(pq_local_file *file, pq_error *err)
{
    if (ftruncate(file->fd, 0) < 0 || lseek(file->fd, 0, SEEK_SET) < 0)
        return failed_part(file, err);
    return 0;
}

void pq_local_file_leave(pq_local_file *file)
{
    free(file->temporary);
    file->temporary = NULL;
    pq_local_file_done(file);
}
