#include "filexfer/tree_extract.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "filexfer/tree_route.h"
#include "transport/base/fd.h"

/* Of a directory that the stream has files in, but no entry for. */
#define PLAIN_DIRECTORY 0755

#define OPEN_DIRECTORY (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

/* A directory on the way to the last entry. */
typedef struct level {
    char *name;
    int fd;
    mode_t mode; /* that it gets when it is left */
    struct timespec mtime;
} level;

typedef struct extraction {
    const pq_tree_extract_options *options;
    pq_tree_extract_result *result;
    pq_archive_reader *reader;
    level levels[PQ_TREE_DEPTH_MAX + 1]; /* 0: the root, whose descriptor is borrowed */
    size_t depth;
} extraction;

mode_t pq_tree_mode(bool directory, mode_t mode)
{
    return mode & (directory ? 01777 : 0777);
}

/* ---- errors ---- */

static int cannot_write(pq_error *err, const char *path)
{
    int number = errno;
    if (number == EISDIR)
        return pq_tree_refuse(err, path, "it is a directory, too");
    return pq_fail(err, PQ_E_IO, "cannot write '%s': %s", pq_tree_show(path).text,
                   strerror(number));
}

/* ---- directories ---- */

static level *top(extraction *tree)
{
    return &tree->levels[tree->depth];
}

static void forget(level *directory)
{
    pq_close(&directory->fd);
    free(directory->name);
    directory->name = NULL;
}

static int give_attributes(const level *directory, pq_error *err)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, directory->mtime};
    if (fchmod(directory->fd, directory->mode) == 0 && futimens(directory->fd, times) == 0)
        return 0;
    return cannot_write(err, directory->name);
}

static int leave(extraction *tree, pq_error *err)
{
    level *left = top(tree);
    int result = give_attributes(left, err);
    forget(left);
    tree->depth--;
    return result;
}

/* Makes it if need be. One that was there was made by the stream and keeps what it was given. */
static int enter(extraction *tree, const char *path, const char *name, pq_error *err)
{
    struct stat info;
    int above = top(tree)->fd;
    level entered = {.mode = PLAIN_DIRECTORY, .mtime = {.tv_nsec = UTIME_OMIT}};
    bool made = mkdirat(above, name, 0700) == 0;
    if (!made && errno != EEXIST)
        return cannot_write(err, path);
    entered.fd = openat(above, name, OPEN_DIRECTORY);
    if (entered.fd < 0 && (errno == ELOOP || errno == ENOTDIR))
        return pq_tree_refuse(err, path, "a part of its path is no directory");
    entered.name = strdup(name);
    bool failed = entered.fd < 0 || entered.name == NULL || fstat(entered.fd, &info) < 0 ||
                  fchmod(entered.fd, 0700) < 0;
    if (failed) {
        cannot_write(err, path);
        forget(&entered);
        return -1;
    }
    if (!made) {
        entered.mode = info.st_mode & 07777;
        entered.mtime = info.st_mtim;
    }
    tree->levels[++tree->depth] = entered;
    return 0;
}

/* Stands in the directory of the first `count` names afterwards. */
static int go_to(extraction *tree, const pq_tree_route *way, size_t count, const char *path,
                 pq_error *err)
{
    size_t common = 0;
    while (common < count && common < tree->depth &&
           strcmp(way->names[common], tree->levels[common + 1].name) == 0)
        common++;
    while (tree->depth > common) {
        if (leave(tree, err) < 0)
            return -1;
    }
    if (count > PQ_TREE_DEPTH_MAX)
        return pq_tree_refuse(err, path, "there are too many directories below each other");
    for (size_t i = common; i < count; i++) {
        if (enter(tree, path, way->names[i], err) < 0)
            return -1;
    }
    return 0;
}

/* ---- entries ---- */

static int add_directory(extraction *tree, const pq_archive_entry *entry, const pq_tree_route *way,
                         pq_error *err)
{
    if (go_to(tree, way, way->count, entry->path, err) < 0)
        return -1;
    top(tree)->mode = pq_tree_mode(true, entry->mode);
    top(tree)->mtime = entry->mtime;
    return 0;
}

/* For an entry that the stream has twice: the last one counts. */
static bool made_way(extraction *tree, const char *name)
{
    return errno == EEXIST && unlinkat(top(tree)->fd, name, 0) == 0;
}

static int write_blocks(extraction *tree, int fd, const pq_archive_entry *entry, pq_error *err)
{
    uint64_t end = 0;
    for (;;) {
        const void *bytes;
        size_t length;
        uint64_t offset;
        if (pq_archive_bytes(tree->reader, &bytes, &length, &offset, err) < 0)
            return -1;
        if (length == 0)
            break;
        if (offset > INT64_MAX - length)
            return pq_tree_refuse(err, entry->path, "its size is impossible");
        if (pq_pwrite_all(fd, bytes, length, (off_t)offset, err) < 0)
            return pq_error_prefix(err, "'%s': ", pq_tree_show(entry->path).text);
        end = offset + length;
        tree->result->bytes += length;
    }
    if (end < entry->size && ftruncate(fd, (off_t)entry->size) < 0)
        return cannot_write(err, entry->path);
    return 0;
}

static int add_file(extraction *tree, const pq_archive_entry *entry, const char *name,
                    pq_error *err)
{
    static const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, entry->mtime};
    int fd = openat(top(tree)->fd, name, flags, 0600);
    if (fd < 0 && made_way(tree, name))
        fd = openat(top(tree)->fd, name, flags, 0600);
    if (fd < 0)
        return cannot_write(err, entry->path);
    int result = write_blocks(tree, fd, entry, err);
    if (result == 0 &&
        (fchmod(fd, pq_tree_mode(false, entry->mode)) < 0 || futimens(fd, times) < 0))
        result = cannot_write(err, entry->path);
    /* Some file systems tell a failed write only here. */
    if (close(fd) < 0 && result == 0)
        result = cannot_write(err, entry->path);
    return result;
}

static int add_symlink(extraction *tree, const pq_archive_entry *entry, const char *name,
                       pq_error *err)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, entry->mtime};
    int directory = top(tree)->fd;
    if (symlinkat(entry->target, directory, name) < 0 &&
        (!made_way(tree, name) || symlinkat(entry->target, directory, name) < 0))
        return cannot_write(err, entry->path);
    /* Not all file systems keep the time of a link. */
    (void)utimensat(directory, name, times, AT_SYMLINK_NOFOLLOW);
    return 0;
}

/* The directory that holds the last of the names, or -1. */
static int open_above(const extraction *tree, const pq_tree_route *way)
{
    int fd = fcntl(tree->options->root, F_DUPFD_CLOEXEC, 0);
    for (size_t i = 0; i + 1 < way->count && fd >= 0; i++) {
        int above = fd;
        fd = openat(above, way->names[i], O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        pq_close(&above);
    }
    return fd;
}

static int link_to(extraction *tree, const pq_tree_route *target, const char *path,
                   const char *name, pq_error *err)
{
    struct stat info;
    int above = open_above(tree, target);
    const char *old = target->names[target->count - 1];
    bool found = above >= 0 && fstatat(above, old, &info, AT_SYMLINK_NOFOLLOW) == 0 &&
                 !S_ISDIR(info.st_mode);
    int result = 0;
    if (!found)
        result = pq_tree_refuse(err, path, "it is a link to nothing that was copied");
    else if (linkat(above, old, top(tree)->fd, name, 0) < 0 &&
             (!made_way(tree, name) || linkat(above, old, top(tree)->fd, name, 0) < 0))
        result = cannot_write(err, path);
    pq_close(&above);
    return result;
}

static int add_hardlink(extraction *tree, const pq_archive_entry *entry, const char *name,
                        pq_error *err)
{
    pq_tree_route target = {0};
    int result = pq_tree_route_parse(&target, entry->target, err);
    if (result == 0 && target.count == 0)
        result = pq_tree_refuse(err, entry->path, "it is a link to nothing that was copied");
    if (result == 0)
        result = link_to(tree, &target, entry->path, name, err);
    pq_tree_route_done(&target);
    return result;
}

static void leave_out(extraction *tree, const char *path)
{
    pq_tree_note(&tree->result->notes,
                 "'%s' in the guest is left out: it is neither a file nor a directory nor a link",
                 pq_tree_show(path).text);
}

static int add_in_directory(extraction *tree, const pq_archive_entry *entry,
                            const pq_tree_route *way, pq_error *err)
{
    if (way->count == 0)
        return pq_tree_refuse(err, entry->path, "it is no directory");
    const char *name = way->names[way->count - 1];
    if (go_to(tree, way, way->count - 1, entry->path, err) < 0)
        return -1;
    switch (entry->kind) {
    case PQ_ARCHIVE_FILE:
        return add_file(tree, entry, name, err);
    case PQ_ARCHIVE_SYMLINK:
        return add_symlink(tree, entry, name, err);
    case PQ_ARCHIVE_HARDLINK:
        return add_hardlink(tree, entry, name, err);
    case PQ_ARCHIVE_DIRECTORY:
    case PQ_ARCHIVE_OTHER:
        break;
    }
    leave_out(tree, entry->path);
    return 0;
}

/* Bytes that went into no file: nothing may be left in front of the next header. */
static int skip_bytes(extraction *tree, pq_error *err)
{
    const void *bytes;
    size_t length;
    uint64_t offset;
    do {
        if (pq_archive_bytes(tree->reader, &bytes, &length, &offset, err) < 0)
            return -1;
    } while (length > 0);
    return 0;
}

static int add(extraction *tree, const pq_archive_entry *entry, pq_error *err)
{
    pq_tree_route way = {0};
    int result = pq_tree_route_parse(&way, entry->path, err);
    if (result == 0 && !pq_tree_route_has(&way, tree->options->leave_out)) {
        tree->result->entries++;
        result = entry->kind == PQ_ARCHIVE_DIRECTORY ? add_directory(tree, entry, &way, err)
                                                     : add_in_directory(tree, entry, &way, err);
    }
    pq_tree_route_done(&way);
    return result == 0 ? skip_bytes(tree, err) : -1;
}

/* ---- the stream ---- */

static int add_all(extraction *tree, pq_error *err)
{
    for (;;) {
        pq_archive_entry entry;
        bool end;
        if (pq_archive_next(tree->reader, &entry, &end, err) < 0)
            return -1;
        if (end)
            break;
        if (add(tree, &entry, err) < 0)
            return -1;
    }
    if (tree->result->entries == 0)
        return pq_fail(err, PQ_E_REMOTE_FILE, "the guest's archive is empty");
    while (tree->depth > 0) {
        if (leave(tree, err) < 0)
            return -1;
    }
    return tree->options->keep_root ? give_attributes(top(tree), err) : 0;
}

/* Archives are followed by padding, and the writer waits until it is taken. */
static int drain(int stream, pq_error *err)
{
    char bytes[4096];
    size_t length;
    do {
        if (pq_read_some(stream, bytes, sizeof bytes, &length, err) < 0)
            return -1;
    } while (length > 0);
    return 0;
}

int pq_tree_extract(int stream, const pq_tree_extract_options *options,
                    pq_tree_extract_result *result, pq_error *err)
{
    char root_name[] = ".";
    extraction *tree = calloc(1, sizeof *tree);
    memset(result, 0, sizeof *result);
    if (tree == NULL)
        return pq_fail(err, PQ_E_NOMEM, "out of memory");
    tree->options = options;
    tree->result = result;
    tree->levels[0] = (level){.name = root_name,
                              .fd = options->root,
                              .mode = PLAIN_DIRECTORY,
                              .mtime = {.tv_nsec = UTIME_OMIT}};
    tree->reader = pq_archive_reader_new(stream, err);
    int failed = tree->reader == NULL || add_all(tree, err) < 0 || drain(stream, err) < 0;
    for (; tree->depth > 0; tree->depth--)
        forget(top(tree));
    pq_archive_reader_free(tree->reader);
    free(tree);
    return failed ? -1 : 0;
}
