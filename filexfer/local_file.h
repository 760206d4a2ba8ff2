/*
 * The local end of a fetch.   (filexfer)
 *
 * A regular file is written under an unpredictable name in the destination's directory, mode 0600,
 * and renamed at the end, so the destination shows the old file or the whole new one. A
 * destination that exists and is no regular file (a FIFO, /dev/null) is written in place.
 *
 * What was written of it, the part, can be left for a later process, which adopts it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transport/base/error.h"

typedef struct pq_local_file {
    char *path;      /* destination; NULL: a borrowed descriptor */
    char *temporary; /* NULL: written in place */
    int fd;
    bool borrowed;
} pq_local_file;

/* Where `name` goes if `path` is a directory. Fails with IO; the text names the path. */
int pq_local_file_open(pq_local_file *file, const char *path, const char *name, pq_error *err);

/* To a descriptor that stays the caller's. */
void pq_local_file_borrow(pq_local_file *file, int fd);

/* Appends; fails with IO. */
int pq_local_file_write(pq_local_file *file, const void *bytes, size_t length, pq_error *err);

/* Gives it its mode and name. `mode` < 0: leave what the system gives. */
int pq_local_file_keep(pq_local_file *file, int mode, pq_error *err);

/* Closes; what was not kept is removed. Fine to call at any time. */
void pq_local_file_done(pq_local_file *file);

/* ---- parts ---- */

/* Absolute path of the part, to find it again; false if there is none or it does not fit. */
bool pq_local_file_place(const pq_local_file *file, char *out, size_t size);

/* Goes on with the part that pq_local_file_place() once told, instead of an empty one: it must have
 * a name of ours, lie in the destination's directory, and be a regular file that is ours alone. Its
 * length, at most `most` bytes, is in *ret_length then, and what is written comes behind. False if
 * it is not usable; then the empty one is still there. */
bool pq_local_file_adopt(pq_local_file *file, const char *place, uint64_t most,
                         uint64_t *ret_length);

/* Reads up to `size` bytes of the part at `offset`; fails with IO. */
int pq_local_file_read(const pq_local_file *file, uint64_t offset, void *out, size_t size,
                       size_t *ret_length, pq_error *err);

/* Makes it empty again. Fails with IO. */
int pq_local_file_restart(pq_local_file *file, pq_error *err);

/* Closes and leaves the part. */
void pq_local_file_leave(pq_local_file *file);
