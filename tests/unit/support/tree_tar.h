/*
 * Tar archives as a hostile guest could make them, header by header, and trees of files.   (tests)
 */
#pragma once

#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "transport/base/buf.h"

typedef struct tree_tar {
    pq_buf bytes;
} tree_tar;

/* A ustar header of type '0' to '7' and the content. */
void tree_tar_add(tree_tar *tar, char type, const char *path, const char *target, mode_t mode,
                  const void *bytes, size_t length);

/* The same for text, with mode 0644. */
void tree_tar_file(tree_tar *tar, const char *path, const char *text);

/* The two empty blocks at the end. */
void tree_tar_end(tree_tar *tar);

/* A descriptor that reads it from the start; the archive is empty afterwards. */
int tree_tar_open(tree_tar *tar);

/* ---- files; paths are in the working directory ---- */

/* Makes a directory of tests in /tmp and works there; removes it and goes back. */
void tree_setup(void);
void tree_teardown(void);

void tree_write(const char *path, const char *text);

/* The content of a small file, valid until the next call; NULL if there is none. */
const char *tree_read(const char *path);

struct stat tree_stat(const char *path);

/* Files and directories in a directory. */
unsigned tree_entries(const char *path);
