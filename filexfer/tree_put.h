/*
 * A directory into the guest.   (filexfer: may use exec, transport)
 *
 * Theory of operation. The guest says where the tree goes, as with cp -r, and what tar it has
 * (guest/tree_open.sh). The tree becomes one tar stream, made a little at a time (tree_source.h)
 * and pushed into a pq_put, so it travels and is checked as a file does, into the session's private
 * directory. Then the guest unpacks it into a hidden directory beside its place and shows it
 * (guest/tree_unpack.sh): with one rename, or merged into a directory that is there, file by file.
 * For a while the guest needs room for the tar in remote_tmp, and for the tree.
 *
 * Permission bits and modification times are kept, as far as the guest's tar can; owners are not.
 * See tree_source.h for what is left out. In a merge, files and links of the same name are
 * replaced, directories stay as they are.
 *
 *   OPENING -> SENDING -> UNPACKING -> done
 *                  \-> \-> CLEANING -> failed
 */
#pragma once

#include "exec/session.h"

typedef struct pq_tree_put pq_tree_put;

typedef struct pq_tree_put_request {
    const char *local_path;  /* a directory */
    const char *remote_path; /* any bytes but NUL; relative to the home directory */
    bool with_total;         /* find out how large the tree is, for the progress */
} pq_tree_put_request;

typedef struct pq_tree_put_result {
    uint64_t entries;
    uint64_t bytes; /* of the stream */
} pq_tree_put_result;

typedef struct pq_tree_put_events {
    /* Bytes of the stream that the guest has by now; total is an estimate, -1 while unknown. May be
     * NULL. */
    void (*progress)(void *context, uint64_t bytes, int64_t total);
    /* The end; the put is freed after it. */
    void (*done)(void *context, const pq_error *err, const pq_tree_put_result *result);
} pq_tree_put_events;

/* NULL with USAGE for an empty path, IO, NOMEM. */
pq_tree_put *pq_tree_put_start(pq_session *session, const pq_tree_put_request *request,
                               const pq_tree_put_events *events, void *context, pq_error *err);

/* Gives up, removes what is in the guest, then `done` says CANCELLED; or success, if the tree was
 * being shown already. */
void pq_tree_put_cancel(pq_tree_put *put);

/* Forgets the put without `done` and without cleaning up; NULL is fine. */
void pq_tree_put_drop(pq_tree_put *put);
