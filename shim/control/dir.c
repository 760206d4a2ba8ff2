/* The directory of the sockets. See control.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "shim/control/control.h"
#include "transport/base/fd.h"

#define NAME "pve-qga-run"
#define LOCK_POLL_MS 5

/* ---- finding ---- */

static int set_path(pq_control_dir *dir, pq_error *err, const char *path)
{
    size_t length = strlen(path);
    if (length > PQ_CONTROL_DIR_MAX)
        return pq_fail(
            err, PQ_E_IO,
            "the path of the control directory '%.200s' has %zu bytes, more than the %zu "
            "that a socket's name leaves (--control-path)",
            path, length, PQ_CONTROL_DIR_MAX);
    memcpy(dir->path, path, length + 1);
    return 0;
}

/* Under sudo these may be another user's. */
static bool is_ours(const char *path)
{
    struct stat info;
    return path != NULL && path[0] == '/' && stat(path, &info) == 0 && S_ISDIR(info.st_mode) &&
           info.st_uid == geteuid();
}

static int set_default(pq_control_dir *dir, bool make, pq_error *err)
{
    const char *run = getenv("XDG_RUNTIME_DIR"), *home = getenv("HOME");
    char *path = NULL;
    int length = -1;
    if (is_ours(run)) {
        length = asprintf(&path, "%s/" NAME, run);
    } else if (is_ours(home)) {
        length = asprintf(&path, "%s/.cache", home);
        if (length >= 0 && make)
            (void)mkdir(path, 0700);
        free(path);
        length = asprintf(&path, "%s/.cache/" NAME, home);
    } else {
        return pq_fail(
            err, PQ_E_IO,
            "neither XDG_RUNTIME_DIR nor HOME is a directory of this user for the control "
            "sockets (--control-path)");
    }
    if (length < 0)
        return pq_fail(err, PQ_E_NOMEM, "out of memory");
    int result = set_path(dir, err, path);
    free(path);
    return result;
}

static int check(const char *path, pq_error *err)
{
    struct stat info;
    if (lstat(path, &info) < 0)
        return pq_fail(err, PQ_E_IO, "cannot use the control directory '%s': %s", path,
                       strerror(errno));
    if (!S_ISDIR(info.st_mode))
        return pq_fail(err, PQ_E_IO, "the control directory '%s' is no directory", path);
    if (info.st_uid != geteuid())
        return pq_fail(err, PQ_E_IO, "the control directory '%s' belongs to another user", path);
    if ((info.st_mode & 0777) != 0700)
        return pq_fail(err, PQ_E_IO, "the control directory '%s' has mode %04o, not 0700", path,
                       (unsigned)info.st_mode & 0777);
    return 0;
}

int pq_control_dir_find(const char *given, bool make, pq_control_dir *ret, pq_error *err)
{
    if ((given != NULL ? set_path(ret, err, given) : set_default(ret, make, err)) < 0)
        return -1;
    if (make && mkdir(ret->path, 0700) < 0 && errno != EEXIST)
        return pq_fail(err, PQ_E_IO, "cannot make the control directory '%s': %s", ret->path,
                       strerror(errno));
    return check(ret->path, err);
}

/* ---- the lock ---- */

static int lock(int fd)
{
    const struct timespec pause = {.tv_nsec = LOCK_POLL_MS * 1000000L};
    pq_ms deadline = pq_deadline(pq_now(), PQ_CONTROL_PATIENCE_MS);
    while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if ((errno != EWOULDBLOCK && errno != EINTR) || pq_now() > deadline)
            return -1;
        (void)nanosleep(&pause, NULL);
    }
    return 0;
}

int pq_control_dir_lock(const pq_control_dir *dir, int *ret_fd, pq_error *err)
{
    char path[PQ_CONTROL_PATH_SIZE + sizeof "/lock"];
    snprintf(path, sizeof path, "%s/lock", dir->path);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0 && lock(fd) == 0) {
        *ret_fd = fd;
        return 0;
    }
    pq_fail(err, PQ_E_IO, "cannot lock '%s': %s", path, strerror(errno));
    pq_close(&fd);
    return -1;
}

void pq_control_dir_unlock(int *fd)
{
    (void)flock(*fd, LOCK_UN);
    pq_close(fd);
}
