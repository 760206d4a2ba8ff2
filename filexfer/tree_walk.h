/*
 * A walk through a local directory.   (filexfer)
 *
 * Everything below the directory, each directory behind what is in it, its root last; in the order
 * of the file system. Links are not followed but in the name of the root. Whoever changes the
 * tree meanwhile changes what is found and cannot lead the walk out of it: each directory is opened
 * from the one above it.
 *
 * Memory and descriptors are bounded by the depth, PQ_TREE_DEPTH_MAX.
 */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>

#include "transport/base/error.h"

/* Directories below each other; each costs a descriptor, and there may be 1024 of those. */
#define PQ_TREE_DEPTH_MAX 200

typedef struct pq_tree_walk pq_tree_walk;

/* Valid until the next step. */
typedef struct pq_tree_item {
    const char *path; /* below the root: "a/b"; "" for the root itself */
    const char *name; /* its last part, in `directory` */
    int directory;    /* descriptor, or for a directory its own */
    struct stat info;
} pq_tree_item;

/* `path` is a directory. Fails with IO, or NOMEM. */
pq_tree_walk *pq_tree_walk_new(const char *path, pq_error *err);

/* The next item; *ret_end behind the root. What is gone when it is looked at is passed over. Fails
 * with IO, or NOMEM; the text names the file. */
int pq_tree_walk_next(pq_tree_walk *walk, pq_tree_item *ret, bool *ret_end, pq_error *err);

/* NULL is fine. */
void pq_tree_walk_free(pq_tree_walk *walk);
