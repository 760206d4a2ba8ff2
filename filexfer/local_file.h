/*
 * The local end of a fetch.   (filexfer)
 *
 * A regular file is written under an unpredictable name in the destination's directory, mode 0600,
 * and renamed at the end, so the destination shows the old file or the whole new one. A
 * destination that exists and is no regular file (a FIFO, /dev/null) is written in place.
 */
#pragma once

#include <sys/types.h>

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
