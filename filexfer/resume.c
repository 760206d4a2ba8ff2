#include "filexfer/resume.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "transport/base/digest.h"
#include "transport/base/fd.h"

/* First line of a record: its form, bytes, size, whether the place is local. The place follows, to
 * the end of the file, since a path can have line breaks in it. */
#define WRITE_FIRST_LINE "1 %" PRIu64 " %" PRIu64 " %d\n"
#define READ_FIRST_LINE "1 %" SCNu64 " %" SCNu64 " %d%n"
#define RECORD_MAX (128 + sizeof((pq_resume_record *)0)->place)

/* Other processes may remove a record between its opening and its locking. */
#define OPENINGS_MAX 10

struct pq_resume {
    int dir;
    int fd;
    char name[PQ_SHA256_HEX_SIZE];
};

/* ---- the directory ---- */

/* Makes it and the ones above it where they are missing. */
static void make_directories(char *path)
{
    for (char *slash = path + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        (void)mkdir(path, 0700);
        *slash = '/';
    }
    (void)mkdir(path, 0700);
}

/* Nobody else may be able to write records: they name files that are removed. */
static bool is_ours(int fd)
{
    struct stat info;
    return fstat(fd, &info) == 0 && info.st_uid == geteuid() && (info.st_mode & 022) == 0;
}

static int open_directory(void)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    bool own = state != NULL && state[0] == '/';
    char *path = NULL;
    if (!own && (home == NULL || home[0] != '/'))
        return -1;
    if (asprintf(&path, "%s%s/pve-qga-run", own ? state : home, own ? "" : "/.local/state") < 0)
        return -1;
    make_directories(path);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(path);
    if (fd >= 0 && !is_ours(fd))
        pq_close(&fd);
    return fd;
}

/* ---- a record's file ---- */

static bool is_same_file(int fd, int dir, const char *name)
{
    struct stat opened, named;
    return fstat(fd, &opened) == 0 && fstatat(dir, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

/* Opens and locks it; -1 if that cannot be, or another process has it. */
static int open_locked(int dir, const char *name, int flags)
{
    for (int i = 0; i < OPENINGS_MAX; i++) {
        int fd = openat(dir, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | flags, 0600);
        if (fd < 0)
            return -1;
        if (flock(fd, LOCK_EX | LOCK_NB) == 0 && is_same_file(fd, dir, name))
            return fd;
        bool busy = is_same_file(fd, dir, name);
        pq_close(&fd);
        if (busy)
            return -1;
    }
    return -1;
}

static bool is_too_old(int fd)
{
    struct stat info;
    return fstat(fd, &info) < 0 || info.st_mtime < time(NULL) - PQ_RESUME_MAX_AGE_S;
}

static bool read_record(int fd, pq_resume_record *ret)
{
    char text[RECORD_MAX + 1];
    pq_resume_record record = {0};
    int local = 0, end = 0;
    ssize_t length = pread(fd, text, RECORD_MAX, 0);
    if (length <= 0)
        return false;
    text[length] = '\0';
    if (sscanf(text, READ_FIRST_LINE, &record.bytes, &record.size, &local, &end) < 3 ||
        text[end] != '\n')
        return false;
    const char *place = text + end + 1;
    size_t place_length = (size_t)(text + length - place);
    if (place[0] != '/' || strlen(place) != place_length || place_length >= sizeof record.place)
        return false;
    memcpy(record.place, place, place_length);
    record.is_local = local != 0;
    *ret = record;
    return true;
}

/* The part that a record names, if it is a file of ours on this machine. */
static void remove_part(int fd)
{
    pq_resume_record record;
    struct stat info;
    if (read_record(fd, &record) && record.is_local && lstat(record.place, &info) == 0 &&
        S_ISREG(info.st_mode) && info.st_uid == geteuid())
        (void)unlink(record.place);
}

/* ---- old records ---- */

static bool is_record_name(const char *name)
{
    return strlen(name) == PQ_SHA256_HEX_SIZE - 1 &&
           strspn(name, "0123456789abcdef") == PQ_SHA256_HEX_SIZE - 1;
}

static void remove_if_old(int dir, const char *name)
{
    int fd = open_locked(dir, name, 0);
    if (fd < 0)
        return;
    if (is_too_old(fd)) {
        remove_part(fd);
        (void)unlinkat(dir, name, 0);
    }
    pq_close(&fd);
}

static void remove_old_ones(int dir)
{
    int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = copy >= 0 ? fdopendir(copy) : NULL;
    if (list == NULL) {
        pq_close(&copy);
        return;
    }
    for (struct dirent *entry; (entry = readdir(list)) != NULL;) {
        if (is_record_name(entry->d_name))
            remove_if_old(dir, entry->d_name);
    }
    closedir(list);
}

/* ---- from outside ---- */

static int name_of(const char *key, char name[PQ_SHA256_HEX_SIZE])
{
    pq_error err;
    pq_sha256 *digest = pq_sha256_new(&err);
    if (digest == NULL)
        return -1;
    pq_sha256_add(digest, key, strlen(key));
    pq_sha256_hex(digest, name);
    pq_sha256_free(digest);
    return 0;
}

static void resume_free(pq_resume *resume)
{
    pq_close(&resume->fd);
    pq_close(&resume->dir);
    free(resume);
}

pq_resume *pq_resume_open(const char *key, pq_resume_record *ret, bool *ret_found)
{
    pq_resume *resume = calloc(1, sizeof *resume);
    if (resume == NULL)
        return NULL;
    resume->fd = -1;
    resume->dir = open_directory();
    if (resume->dir >= 0 && name_of(key, resume->name) == 0) {
        remove_old_ones(resume->dir);
        resume->fd = open_locked(resume->dir, resume->name, O_CREAT);
    }
    if (resume->fd < 0) {
        resume_free(resume);
        return NULL;
    }
    *ret_found = read_record(resume->fd, ret);
    return resume;
}

void pq_resume_note(pq_resume *resume, const pq_resume_record *record)
{
    char text[RECORD_MAX];
    int length = snprintf(text, sizeof text, WRITE_FIRST_LINE "%s", record->bytes, record->size,
                          record->is_local, record->place);
    pq_error err;
    if (length < 0 || (size_t)length >= sizeof text)
        return;
    /* What is half written would be read as a wrong place. */
    if (pq_pwrite_all(resume->fd, text, (size_t)length, 0, &err) < 0 ||
        ftruncate(resume->fd, length) < 0)
        (void)!ftruncate(resume->fd, 0);
}

void pq_resume_forget(pq_resume *resume)
{
    if (resume == NULL)
        return;
    (void)unlinkat(resume->dir, resume->name, 0);
    resume_free(resume);
}

void pq_resume_leave(pq_resume *resume)
{
    pq_resume_record record;
    if (resume != NULL && !read_record(resume->fd, &record))
        pq_resume_forget(resume);
    else if (resume != NULL)
        resume_free(resume);
}
