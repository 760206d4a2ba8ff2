#include "filexfer/tree_place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "transport/base/buf.h"
#include "transport/base/digest.h"
#include "transport/base/fd.h"

#define OPEN_DIRECTORY (O_RDONLY | O_DIRECTORY | O_CLOEXEC)

static int cannot_write(const char *path, const char *why, pq_error *err)
{
    char shown[200];
    pq_error_clean(shown, sizeof shown, path, strlen(path));
    return pq_fail(err, PQ_E_IO, "cannot write '%s': %s", shown, why);
}

/* The next entry but "." and "..", NULL at the end. */
static const char *next_name(DIR *stream)
{
    const struct dirent *entry;
    do {
        entry = readdir(stream);
    } while (entry != NULL &&
             (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0));
    return entry != NULL ? entry->d_name : NULL;
}

/* A directory below the hidden one, which is ours whatever its mode. */
static DIR *open_own(int above, const char *name)
{
    if (fchmodat(above, name, 0700, 0) < 0)
        return NULL;
    int fd = openat(above, name, OPEN_DIRECTORY | O_NOFOLLOW);
    DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;
    if (stream == NULL)
        pq_close(&fd);
    return stream;
}

static bool is_directory(int above, const char *name)
{
    struct stat info;
    return fstatat(above, name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(info.st_mode);
}

/* ---- finding the place ---- */

static bool has_name(const char *name)
{
    return name[0] != '\0' && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

/* In the directory `place->parent`, which was named as destination. */
static int find_in_directory(pq_tree_place *place, const char *name, pq_error *err)
{
    struct stat info;
    int parent = place->parent;
    if (fstatat(parent, name, &info, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT) {
        place->name = strdup(name);
        return place->name != NULL ? 0 : pq_fail(err, PQ_E_NOMEM, "out of memory");
    }
    place->parent = openat(parent, name, OPEN_DIRECTORY | O_NOFOLLOW);
    pq_close(&parent);
    return place->parent >= 0 ? 0 : cannot_write(place->path, strerror(errno), err);
}

/* A destination that could not be opened, `number` says why: if it is not there, its last part is
 * the tree's name. */
static int find_new(pq_tree_place *place, int number, pq_error *err)
{
    struct stat info;
    if (number != ENOENT || place->path[0] == '\0')
        return cannot_write(place->path, strerror(number), err);
    if (lstat(place->path, &info) == 0)
        return cannot_write(place->path, "it is a link to nothing", err);
    char *slash = strrchr(place->path, '/');
    char *above = slash == NULL          ? strdup(".")
                  : slash == place->path ? strdup("/")
                                         : strndup(place->path, (size_t)(slash - place->path));
    place->name = strdup(slash != NULL ? slash + 1 : place->path);
    if (above != NULL)
        place->parent = open(above, OPEN_DIRECTORY);
    number = errno;
    bool memory = above != NULL && place->name != NULL;
    free(above);
    if (!memory)
        return pq_fail(err, PQ_E_NOMEM, "out of memory");
    return place->parent >= 0 ? 0 : cannot_write(place->path, strerror(number), err);
}

int pq_tree_place_find(pq_tree_place *place, const char *destination, const char *name,
                       pq_error *err)
{
    size_t length = strlen(destination);
    while (length > 1 && destination[length - 1] == '/')
        length--;
    place->parent = open(destination, OPEN_DIRECTORY);
    int number = errno;
    bool inside = place->parent >= 0 && has_name(name);
    if (asprintf(&place->path, "%.*s%s%s", (int)length, destination, inside ? "/" : "",
                 inside ? name : "") < 0) {
        place->path = NULL;
        return pq_fail(err, PQ_E_NOMEM, "out of memory");
    }
    if (place->parent < 0)
        return find_new(place, number, err);
    return inside ? find_in_directory(place, name, err) : 0;
}

int pq_tree_place_make(pq_tree_place *place, pq_error *err)
{
    char random[2 * 8 + 1];
    if (pq_random_hex(random, 8, err) < 0)
        return -1;
    /* A long name is cut, so that ours still fits NAME_MAX. */
    if (asprintf(&place->hidden, ".%.200s.%s", place->name != NULL ? place->name : "pve-qga-run",
                 random) < 0) {
        place->hidden = NULL;
        return pq_fail(err, PQ_E_NOMEM, "out of memory");
    }
    if (mkdirat(place->parent, place->hidden, 0700) < 0) {
        int number = errno;
        free(place->hidden);
        place->hidden = NULL;
        return cannot_write(place->path, strerror(number), err);
    }
    place->root = openat(place->parent, place->hidden, OPEN_DIRECTORY | O_NOFOLLOW);
    return place->root >= 0 ? 0 : cannot_write(place->path, strerror(errno), err);
}

/* ---- showing ---- */

typedef struct merging {
    const pq_tree_place *place;
    bool move;   /* false: only look for what cannot be */
    bool moved;  /* something was */
    pq_buf path; /* below the tree's, for messages */
    pq_error *err;
} merging;

static int merge_directory(merging *merge, DIR *from, int to);

static int cannot_be(merging *merge, const char *why)
{
    char path[PQ_ERROR_TEXT_MAX];
    snprintf(path, sizeof path, "%s%s", merge->place->path, merge->path.data);
    return cannot_write(path, why, merge->err);
}

/* To move a directory, the system wants it to be writable, for the ".." in it. */
static int move(int from, const char *name, int to, bool directory)
{
    struct stat info;
    if (renameat(from, name, to, name) == 0)
        return 0;
    if (errno != EACCES || !directory || fstatat(from, name, &info, AT_SYMLINK_NOFOLLOW) < 0 ||
        fchmodat(from, name, 0700, 0) < 0 || renameat(from, name, to, name) < 0)
        return -1;
    return fchmodat(to, name, info.st_mode & 07777, 0);
}

static int merge_into(merging *merge, DIR *from, const char *name, int to)
{
    struct stat above, here;
    DIR *inner = open_own(dirfd(from), name);
    int result;
    if (inner == NULL || fstat(dirfd(from), &above) < 0 || fstat(to, &here) < 0)
        result = cannot_be(merge, strerror(errno));
    else if (above.st_dev != here.st_dev)
        result = cannot_be(merge, "it is on another file system; fetch it by itself");
    else
        result = merge_directory(merge, inner, to);
    if (inner != NULL)
        closedir(inner);
    return result;
}

static int merge_entry(merging *merge, DIR *from, const char *name, int to)
{
    bool directory = is_directory(dirfd(from), name);
    int there = openat(to, name, OPEN_DIRECTORY | O_NOFOLLOW);
    if (there >= 0) {
        int result = directory ? merge_into(merge, from, name, there)
                               : cannot_be(merge, "it is a directory");
        pq_close(&there);
        return result;
    }
    if (directory && errno != ENOENT)
        return cannot_be(merge, errno == ENOTDIR ? "it is no directory" : strerror(errno));
    if (!merge->move)
        return 0;
    if (move(dirfd(from), name, to, directory) < 0)
        return cannot_be(merge, strerror(errno));
    merge->moved = true;
    return 0;
}

static int merge_directory(merging *merge, DIR *from, int to)
{
    size_t length = merge->path.length;
    const char *name;
    rewinddir(from);
    while ((name = next_name(from)) != NULL) {
        if (pq_buf_printf(&merge->path, merge->err, "/%s", name) < 0 ||
            merge_entry(merge, from, name, to) < 0)
            return -1;
        merge->path.length = length;
    }
    return 0;
}

/* Into a directory that is there. */
static int merge_all(pq_tree_place *place, pq_error *err)
{
    merging merge = {.place = place, .err = err};
    DIR *from = open_own(place->parent, place->hidden);
    if (from == NULL)
        return cannot_write(place->path, strerror(errno), err);
    int result = merge_directory(&merge, from, place->parent);
    merge.path.length = 0;
    merge.move = true;
    if (result == 0)
        result = merge_directory(&merge, from, place->parent);
    if (result < 0 && merge.moved) {
        pq_error_prefix(err, "a part of it is in its place: ");
        err->effect = PQ_EFFECT_DONE;
    }
    closedir(from);
    pq_buf_done(&merge.path);
    return result;
}

int pq_tree_place_show(pq_tree_place *place, pq_error *err)
{
    if (place->name == NULL)
        return merge_all(place, err);
    if (renameat(place->parent, place->hidden, place->parent, place->name) < 0)
        return cannot_write(place->path, strerror(errno), err);
    free(place->hidden);
    place->hidden = NULL;
    return 0;
}

/* ---- removing ---- */

static void remove_entry(int above, const char *name)
{
    const char *inner;
    if (!is_directory(above, name)) {
        (void)unlinkat(above, name, 0);
        return;
    }
    DIR *stream = open_own(above, name);
    if (stream == NULL)
        return;
    while ((inner = next_name(stream)) != NULL)
        remove_entry(dirfd(stream), inner);
    closedir(stream);
    (void)unlinkat(above, name, AT_REMOVEDIR);
}

void pq_tree_place_done(pq_tree_place *place)
{
    pq_close(&place->root);
    if (place->hidden != NULL)
        remove_entry(place->parent, place->hidden);
    pq_close(&place->parent);
    free(place->hidden);
    free(place->name);
    free(place->path);
    *place = PQ_TREE_PLACE_NONE;
}
