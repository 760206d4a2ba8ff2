/*
 * fetch_file: a file out of the guest, whole or not at all.   (filexfer)
 *
 * Theory of operation. One script (guest/open.sh) says what the file is and hands back a small one
 * at once with its SHA-256; more is read in pieces, several on their way (exec/range.h), while the
 * guest computes the SHA-256 (guest/sum.sh).
 *
 * Reading is plain or packed. It begins plain; where the bytes look as if packing them was worth
 * it, the guest packs a section that lies a little ahead (guest/pack.sh) while reading goes on. If
 * that turns out to be faster, section follows section, the next one packed while one is read, at
 * most two of them in the guest; else reading goes on plain, and what comes is looked at further
 * on. See fetch_pack.c.
 *
 * What is fetched are as many bytes as the file had when it was opened. It may grow meanwhile, as
 * logs do. Files that say they are empty and are not, as in /proc, are copied in the guest first
 * when they do not fit the first answer.
 *
 * Locally the bytes go to a file with an unpredictable name next to the destination, which is
 * renamed when everything is there and the checksums agree; to a descriptor, or a destination that
 * is no regular file, they go straight. When the guest cannot be reached any more, that part can
 * stay, with a record of it (resume.h); the next fetch of the same file has the guest compute the
 * SHA-256 of as many bytes, and goes on behind them if it agrees.
 *
 *   OPENING -> (small) ----------------------------> done
 *          \-> [RESUMING ->] READING -> COMPARING -> done
 *                    \--> CLEANING ----------------> failed
 */
#pragma once

#include "exec/session.h"
#include "transport/base/digest.h"

typedef struct pq_fetch pq_fetch;

typedef struct pq_fetch_request {
    const char *remote_path; /* any bytes but NUL; relative to the home directory */
    const char *local_path;  /* a file, or a directory to put it in; NULL: to `fd` */
    int fd;                  /* borrowed; used when local_path is NULL */
    int mode;                /* permission bits of a new local file; -1: those in the guest,
                              * less the umask */
    const char *resume_key;  /* identifies this fetch of this file to this place among all others;
                              * NULL: never goes on with a part, never leaves one */
    bool keep_partial;       /* a cancel, too, leaves the part; needs resume_key */
} pq_fetch_request;

typedef struct pq_fetch_result {
    uint64_t bytes;
    unsigned mode;       /* in the guest */
    bool digest_checked; /* as in put.h */
    char sha256[PQ_SHA256_HEX_SIZE];
} pq_fetch_result;

typedef struct pq_fetch_events {
    void (*progress)(void *context, uint64_t bytes, int64_t total);
    /* Set: the bytes come here, in order, and to no file. They are checked only when `done` says
     * success. Returning -1 ends the fetch with that error. */
    int (*content)(void *context, const char *bytes, size_t length, pq_error *err);
    void (*done)(void *context, const pq_error *err, const pq_fetch_result *result);
} pq_fetch_events;

/* NULL with USAGE for an empty path, or NOMEM. Problems with the local file arrive in `done`. */
pq_fetch *pq_fetch_start(pq_session *session, const pq_fetch_request *request,
                         const pq_fetch_events *events, void *context, pq_error *err);

/* Gives up; nothing is left locally unless keep_partial was set, `done` says CANCELLED. */
void pq_fetch_cancel(pq_fetch *fetch);

/* Forgets the fetch without `done`; nothing is left locally. NULL is fine. */
void pq_fetch_drop(pq_fetch *fetch);
