/*
 * A directory out of the guest.   (filexfer: may use exec, transport)
 *
 * Theory of operation. The guest packs the directory with its tar into the session's private
 * directory (guest/tree_pack.sh); for a while it needs room there. The archive is fetched as a file
 * is, and its bytes go straight into a thread that unpacks them (tree_thread.h) in a hidden
 * directory (tree_place.h). Nothing is shown before all has arrived and its checksum agrees.
 *
 * The guest is not trusted with anything it sends: see tree_extract.h. What is no directory is
 * fetched as a file.
 *
 *   PACKING -> FETCHING -> UNPACKING -> CLEANING -> done
 *          \-> FILE -------------------------------> done
 */
#pragma once

#include "exec/session.h"

typedef struct pq_tree_fetch pq_tree_fetch;

typedef struct pq_tree_fetch_request {
    const char *remote_path; /* any bytes but NUL; relative to the home directory */
    const char *local_path;  /* as with cp -r */
} pq_tree_fetch_request;

typedef struct pq_tree_fetch_result {
    bool file;        /* it was no directory */
    uint64_t entries; /* 1 for a file */
    uint64_t bytes;   /* of files */
} pq_tree_fetch_result;

typedef struct pq_tree_fetch_events {
    /* Bytes of the archive or file. May be NULL. */
    void (*progress)(void *context, uint64_t bytes, int64_t total);
    /* The end; the fetch is freed after it. */
    void (*done)(void *context, const pq_error *err, const pq_tree_fetch_result *result);
} pq_tree_fetch_events;

/* NULL with USAGE for an empty path, or NOMEM. Problems with the local place arrive in `done`. */
pq_tree_fetch *pq_tree_fetch_start(pq_session *session, const pq_tree_fetch_request *request,
                                   const pq_tree_fetch_events *events, void *context,
                                   pq_error *err);

/* Gives up; nothing is left on either side, `done` says CANCELLED. */
void pq_tree_fetch_cancel(pq_tree_fetch *fetch);

/* Forgets the fetch without `done`; nothing is left locally. NULL is fine. */
void pq_tree_fetch_drop(pq_tree_fetch *fetch);
