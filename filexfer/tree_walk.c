#include "filexfer/tree_walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "transport/base/buf.h"
#include "transport/base/fd.h"

typedef struct level {
    DIR *stream;
    struct stat info;   /* when it was opened */
    size_t path_length; /* of its path */
} level;

struct pq_tree_walk {
    level levels[PQ_TREE_DEPTH_MAX + 1]; /* 0: the root */
    size_t count;
    bool left; /* the last item was a directory, whose level goes now */
    pq_buf path;
};

static int fail(const pq_tree_walk *walk, const char *why, pq_error *err)
{
    char shown[200];
    const char *path = walk->path.length > 0 ? walk->path.data : ".";
    pq_error_clean(shown, sizeof shown, path, strlen(path));
    return pq_fail(err, PQ_E_IO, "cannot read '%s': %s", shown, why);
}

static int cannot_read(const pq_tree_walk *walk, pq_error *err)
{
    return fail(walk, strerror(errno), err);
}

/* Takes the descriptor over. */
static int push(pq_tree_walk *walk, int fd, pq_error *err)
{
    level *entered = &walk->levels[walk->count];
    if (fd < 0)
        return cannot_read(walk, err);
    if (walk->count > PQ_TREE_DEPTH_MAX) {
        pq_close(&fd);
        return fail(walk, "there are too many directories below each other", err);
    }
    entered->stream = fstat(fd, &entered->info) == 0 ? fdopendir(fd) : NULL;
    if (entered->stream == NULL) {
        cannot_read(walk, err);
        pq_close(&fd);
        return -1;
    }
    entered->path_length = walk->path.length;
    walk->count++;
    return 0;
}

static void pop(pq_tree_walk *walk)
{
    closedir(walk->levels[--walk->count].stream);
}

/* Sets the path to that of a name in the uppermost directory; *ret_name is the name in it. */
static int set_path(pq_tree_walk *walk, const char *name, const char **ret_name, pq_error *err)
{
    walk->path.length = walk->levels[walk->count - 1].path_length;
    if (walk->path.length > 0 && pq_buf_add_byte(&walk->path, '/', err) < 0)
        return -1;
    size_t start = walk->path.length;
    if (pq_buf_add_text(&walk->path, name, err) < 0)
        return -1;
    *ret_name = walk->path.data + start;
    return 0;
}

static void cut_path(pq_tree_walk *walk, size_t length)
{
    walk->path.length = length;
    if (walk->path.data != NULL)
        walk->path.data[length] = '\0';
}

/* The uppermost directory, which has no more entries. */
static void finish_directory(pq_tree_walk *walk, pq_tree_item *ret)
{
    level *done = &walk->levels[walk->count - 1];
    cut_path(walk, done->path_length);
    const char *path = walk->path.data != NULL ? walk->path.data : "";
    const char *slash = strrchr(path, '/');
    *ret = (pq_tree_item){.path = path,
                          .name = slash != NULL ? slash + 1 : path,
                          .directory = dirfd(done->stream),
                          .info = done->info};
    walk->left = true;
}

/* Looks at an entry: *ret_found if it is an item, and not a directory that was entered, or gone. */
static int look(pq_tree_walk *walk, const char *name, pq_tree_item *ret, bool *ret_found,
                pq_error *err)
{
    int above = dirfd(walk->levels[walk->count - 1].stream);
    *ret_found = false;
    if (fstatat(above, name, &ret->info, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : cannot_read(walk, err);
    if (S_ISDIR(ret->info.st_mode)) {
        int fd = openat(above, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return fd < 0 && errno == ENOENT ? 0 : push(walk, fd, err);
    }
    ret->path = walk->path.data;
    ret->name = name;
    ret->directory = above;
    *ret_found = true;
    return 0;
}

int pq_tree_walk_next(pq_tree_walk *walk, pq_tree_item *ret, bool *ret_end, pq_error *err)
{
    if (walk->left)
        pop(walk);
    walk->left = false;
    for (bool found = false; !found && walk->count > 0;) {
        errno = 0;
        const struct dirent *entry = readdir(walk->levels[walk->count - 1].stream);
        if (entry == NULL && errno != 0)
            return cannot_read(walk, err);
        if (entry == NULL) {
            finish_directory(walk, ret);
            break;
        }
        const char *name;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (set_path(walk, entry->d_name, &name, err) < 0 || look(walk, name, ret, &found, err) < 0)
            return -1;
    }
    *ret_end = walk->count == 0;
    return 0;
}

pq_tree_walk *pq_tree_walk_new(const char *path, pq_error *err)
{
    pq_tree_walk *walk = calloc(1, sizeof *walk);
    if (walk == NULL) {
        pq_fail(err, PQ_E_NOMEM, "out of memory");
        return NULL;
    }
    if (push(walk, open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err) < 0) {
        pq_tree_walk_free(walk);
        return NULL;
    }
    return walk;
}

void pq_tree_walk_free(pq_tree_walk *walk)
{
    if (walk == NULL)
        return;
    while (walk->count > 0)
        pop(walk);
    pq_buf_done(&walk->path);
    free(walk);
}
