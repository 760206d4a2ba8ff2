/*
 * What trees have in common in both directions.   (filexfer)
 */
#pragma once

#include "exec/call.h"

/* Unpredictable; names a tree's files in the session's directory, and the hidden directory beside
 * its place. */
typedef struct pq_tree_name {
    char text[48];
} pq_tree_name;

int pq_tree_name_new(pq_tree_name *name, pq_error *err);

/* A copy of `path` without slashes at its end, free with free(); *ret_name is the last part, as the
 * tree is called in another directory, or "." if it is "", "." or "..". NULL with NOMEM. */
char *pq_tree_path(const char *path, const char **ret_name, pq_error *err);

/* Appends the arguments DIR NAME TREE PATH of the scripts. */
int pq_tree_add_place(pq_script *script, const pq_session *session, const pq_tree_name *name,
                      const char *tree, const char *path, pq_error *err);

/* Starts a call that the transfer waits for, and that may make the session's directory. Takes the
 * script over, as pq_call_start() does. */
pq_call *pq_tree_call_start(pq_session *session, pq_script *script, pq_call_fn done, void *context,
                            pq_error *err);

/* What a script said that is not "ok". */
void pq_tree_guest_error(const pq_session *session, const pq_call_result *result, pq_error *err);
