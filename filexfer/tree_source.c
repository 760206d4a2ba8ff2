#include "filexfer/tree_source.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "filexfer/tree_extract.h"
#include "filexfer/tree_route.h"
#include "filexfer/tree_walk.h"
#include "transport/base/fd.h"

#define READ_BYTES ((size_t)64 * 1024)

/* A file that has more names, and the one it was sent under. */
typedef struct known {
    dev_t device;
    ino_t inode;
    char path[];
} known;

struct pq_tree_source {
    pq_tree_walk *walk;
    pq_archive_writer *writer;
    pq_buf bytes;
    uint64_t entries;
    pq_tree_notes notes;
    pq_buf path; /* of the entry, in the stream */
    void *links; /* tree of known */
    unsigned link_count;

    /* the file that is being read */
    int fd; /* -1: none */
    struct stat info;
    uint64_t left;
    char block[READ_BYTES];
};

static void note(pq_tree_source *source, const char *what)
{
    pq_tree_note(&source->notes, "'%s' %s", pq_tree_show(source->path.data).text, what);
}

static int cannot_read(const pq_tree_source *source, pq_error *err)
{
    int number = errno;
    return pq_fail(err, PQ_E_IO, "cannot read '%s': %s", pq_tree_show(source->path.data).text,
                   strerror(number));
}

/* ---- files with several names ---- */

static int compare_known(const void *a, const void *b)
{
    const known *one = a, *other = b;
    if (one->device != other->device)
        return one->device < other->device ? -1 : 1;
    if (one->inode != other->inode)
        return one->inode < other->inode ? -1 : 1;
    return 0;
}

static const char *known_path(const pq_tree_source *source, const struct stat *info)
{
    known key = {.device = info->st_dev, .inode = info->st_ino};
    const known *const *found = tfind(&key, &source->links, compare_known);
    return found != NULL ? (*found)->path : NULL;
}

static int remember(pq_tree_source *source, pq_error *err)
{
    if (source->link_count >= PQ_TREE_LINKS_MAX)
        return 0;
    known *file = malloc(sizeof *file + source->path.length + 1);
    if (file == NULL)
        return pq_fail(err, PQ_E_NOMEM, "out of memory");
    file->device = source->info.st_dev;
    file->inode = source->info.st_ino;
    memcpy(file->path, source->path.data, source->path.length + 1);
    if (tsearch(file, &source->links, compare_known) == NULL) {
        free(file);
        return pq_fail(err, PQ_E_NOMEM, "out of memory");
    }
    source->link_count++;
    return 0;
}

/* ---- entries ---- */

static int add(pq_tree_source *source, pq_archive_kind kind, const struct stat *info,
               const char *target, pq_error *err)
{
    pq_archive_entry entry = {.kind = kind,
                              .path = source->path.data,
                              .target = target,
                              .mode = pq_tree_mode(kind == PQ_ARCHIVE_DIRECTORY, info->st_mode),
                              .size = (uint64_t)info->st_size,
                              .mtime = info->st_mtim};
    source->entries++;
    return pq_archive_add(source->writer, &entry, err);
}

static int add_symlink(pq_tree_source *source, const pq_tree_item *item, pq_error *err)
{
    char target[PATH_MAX];
    ssize_t length = readlinkat(item->directory, item->name, target, sizeof target - 1);
    if (length < 0) {
        note(source, "is gone before it was read");
        return 0;
    }
    target[length] = '\0';
    return add(source, PQ_ARCHIVE_SYMLINK, &item->info, target, err);
}

static int add_file(pq_tree_source *source, const pq_tree_item *item, pq_error *err)
{
    const char *other = item->info.st_nlink > 1 ? known_path(source, &item->info) : NULL;
    if (other != NULL)
        return add(source, PQ_ARCHIVE_HARDLINK, &item->info, other, err);
    /* What has become a FIFO meanwhile must not make us wait. */
    source->fd = openat(item->directory, item->name,
                        O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (source->fd < 0 && errno != ENOENT && errno != ELOOP)
        return cannot_read(source, err);
    if (source->fd < 0 || fstat(source->fd, &source->info) < 0 || !S_ISREG(source->info.st_mode)) {
        pq_close(&source->fd);
        note(source, "is gone before it was read");
        return 0;
    }
    source->left = (uint64_t)source->info.st_size;
    if (source->info.st_nlink > 1 && remember(source, err) < 0)
        return -1;
    return add(source, PQ_ARCHIVE_FILE, &source->info, NULL, err);
}

static int set_path(pq_tree_source *source, const pq_tree_item *item, pq_error *err)
{
    pq_buf_clear(&source->path);
    if (item->path[0] == '\0')
        return pq_buf_add_byte(&source->path, '.', err);
    return pq_buf_printf(&source->path, err, "./%s", item->path);
}

static int add_item(pq_tree_source *source, const pq_tree_item *item, pq_error *err)
{
    if (set_path(source, item, err) < 0)
        return -1;
    if (S_ISDIR(item->info.st_mode))
        return add(source, PQ_ARCHIVE_DIRECTORY, &item->info, NULL, err);
    if (S_ISLNK(item->info.st_mode))
        return add_symlink(source, item, err);
    if (S_ISREG(item->info.st_mode))
        return add_file(source, item, err);
    note(source, "is left out: it is neither a file nor a directory nor a link");
    return 0;
}

/* ---- a file's content ---- */

static bool has_changed(const pq_tree_source *source)
{
    const struct stat *before = &source->info;
    struct stat now;
    return fstat(source->fd, &now) < 0 || now.st_size != before->st_size ||
           now.st_mtim.tv_sec != before->st_mtim.tv_sec ||
           now.st_mtim.tv_nsec != before->st_mtim.tv_nsec;
}

static int read_block(pq_tree_source *source, size_t wanted, size_t *ret_length, pq_error *err)
{
    if (pq_read_some(source->fd, source->block, wanted, ret_length, err) < 0)
        return pq_error_prefix(err, "'%s': ", pq_tree_show(source->path.data).text);
    /* The file has become shorter than its header says. */
    if (*ret_length == 0) {
        memset(source->block, 0, wanted);
        *ret_length = wanted;
    }
    return 0;
}

static int read_file(pq_tree_source *source, pq_error *err)
{
    size_t wanted = source->left < READ_BYTES ? (size_t)source->left : READ_BYTES;
    size_t length;
    if (wanted > 0) {
        if (read_block(source, wanted, &length, err) < 0 ||
            pq_archive_add_bytes(source->writer, source->block, length, err) < 0)
            return -1;
        source->left -= length;
        return 0;
    }
    if (has_changed(source))
        note(source, "changed while it was read");
    pq_close(&source->fd);
    return 0;
}

int pq_tree_source_step(pq_tree_source *source, bool *ret_end, pq_error *err)
{
    pq_tree_item item;
    *ret_end = false;
    if (source->fd >= 0)
        return read_file(source, err);
    if (pq_tree_walk_next(source->walk, &item, ret_end, err) < 0)
        return -1;
    return *ret_end ? pq_archive_close(source->writer, err) : add_item(source, &item, err);
}

/* ---- the source ---- */

pq_tree_source *pq_tree_source_new(const char *path, pq_archive_format format, pq_error *err)
{
    pq_tree_source *source = calloc(1, sizeof *source);
    if (source == NULL) {
        pq_fail(err, PQ_E_NOMEM, "out of memory");
        return NULL;
    }
    source->fd = -1;
    source->walk = pq_tree_walk_new(path, err);
    if (source->walk != NULL)
        source->writer = pq_archive_writer_new(format, &source->bytes, err);
    if (source->writer == NULL) {
        pq_tree_source_free(source);
        return NULL;
    }
    return source;
}

pq_buf *pq_tree_source_bytes(pq_tree_source *source)
{
    return &source->bytes;
}

pq_tree_notes *pq_tree_source_notes(pq_tree_source *source)
{
    return &source->notes;
}

uint64_t pq_tree_source_entries(const pq_tree_source *source)
{
    return source->entries;
}

void pq_tree_source_free(pq_tree_source *source)
{
    if (source == NULL)
        return;
    pq_close(&source->fd);
    pq_archive_writer_free(source->writer);
    pq_tree_walk_free(source->walk);
    tdestroy(source->links, free);
    pq_buf_done(&source->path);
    pq_buf_done(&source->bytes);
    free(source);
}
