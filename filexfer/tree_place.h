/*
 * Where a fetched tree goes.   (filexfer)
 *
 * As with cp -r: into the destination under its own name if that is a directory, else it gets the
 * destination's name; a tree without a name of its own ("/", "x/.", "x/..") goes into the
 * destination itself. It is made in a hidden directory, mode 0700 with an unpredictable name,
 * beside its place, or in it if there is a directory already. Then it is shown:
 *   - with one rename if its place is free, so it is there whole or not at all
 *   - else file by file, each with a rename. What cannot be is found before anything is moved: a
 *     file in the place of a directory or the other way round, another file system. Links in the
 *     place are replaced, never followed, since the guest may have made them in an earlier fetch.
 *     Directories that are there keep their mode.
 */
#pragma once

#include <stdbool.h>

#include "transport/base/error.h"

typedef struct pq_tree_place {
    char *path;   /* of the tree, for messages */
    int parent;   /* directory that has the hidden one in it */
    char *name;   /* that the tree gets in it; NULL: what is in the tree goes into `parent` */
    char *hidden; /* name of the hidden directory; NULL: none was made, or it is gone */
    int root;     /* the hidden directory */
} pq_tree_place;

#define PQ_TREE_PLACE_NONE ((pq_tree_place){.parent = -1, .root = -1})

/* Looks for the place of a tree called `name`; makes nothing. Fails with IO, NOMEM. */
int pq_tree_place_find(pq_tree_place *place, const char *destination, const char *name,
                       pq_error *err);

/* Makes the hidden directory. Fails with IO, INTERNAL, NOMEM. */
int pq_tree_place_make(pq_tree_place *place, pq_error *err);

/* Shows the tree. Fails with IO, effect "done" if a part of it is shown. */
int pq_tree_place_show(pq_tree_place *place, pq_error *err);

/* Removes the hidden directory, if there is one, with all that is in it. Fine to call at any time
 * after PQ_TREE_PLACE_NONE. */
void pq_tree_place_done(pq_tree_place *place);
