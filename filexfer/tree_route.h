/*
 * The paths of a guest's archive, taken apart and looked at.   (filexfer; pure)
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "filexfer/tree_walk.h"

/* All-zero is valid. */
typedef struct pq_tree_route {
    char *text;
    const char *names[PQ_TREE_DEPTH_MAX + 1]; /* without "." and empty ones */
    size_t count;                             /* 0: the directory itself */
} pq_tree_route;

/* Fails with REMOTE_FILE for a path that is absolute, has ".." in it or is too deep, or NOMEM; the
 * route is to be freed in any case. */
int pq_tree_route_parse(pq_tree_route *route, const char *path, pq_error *err);
void pq_tree_route_done(pq_tree_route *route);

/* Whether one of its names is `name`; NULL is none. */
bool pq_tree_route_has(const pq_tree_route *route, const char *name);

/* A path as it can be shown, without the "./" at its start. */
typedef struct pq_tree_shown {
    char text[200];
} pq_tree_shown;

pq_tree_shown pq_tree_show(const char *path);

/* Fails with REMOTE_FILE: the guest's path is not accepted. */
int pq_tree_refuse(pq_error *err, const char *path, const char *why);
