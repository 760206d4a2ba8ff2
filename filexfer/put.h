/*
 * put_file: a file into the guest, whole or not at all.   (filexfer: may use exec, transport)
 *
 * Theory of operation. The content comes from a descriptor or is pushed by the caller, and is cut
 * into pieces as it comes (put_build.h), packed where that helps. What fits one call goes in one,
 * with mode, checksum and rename (guest/put.sh). More goes in pieces, each with its offset, several
 * on their way at once, into a file of a private directory in remote_tmp (guest/write.sh); then the
 * guest compares the SHA-256 (or size and cksum, where it has no tool for that), sets mode and
 * owner, and renames (guest/put.sh). The last step is a rename inside the destination's directory,
 * so the name shows the old file or the new one, never a part, also across file systems.
 *
 * An existing file keeps its owner, and its mode unless one is asked for; a symlink is followed.
 * Every call can be repeated, so lost answers cost nothing but time. A regular file must not change
 * while it is read. Memory does not grow with the file.
 *
 * After a failure the staged part is removed, unless the guest cannot be reached any more: then the
 * next put with the same `resume_key` compares it with the file and goes on where this one stopped.
 *
 *   ADOPTING -> SENDING
 *      \-> READING -> SINGLE ------------------> done
 *                 \-> SENDING -> PLACING ------> done
 *                           \--> CLEANING -----> failed
 */
#pragma once

#include "exec/session.h"
#include "transport/base/digest.h"

/* Pushed content that is not in a piece yet, at most. */
#define PQ_PUT_WINDOW ((size_t)256 * 1024)

typedef struct pq_put pq_put;

typedef struct pq_put_request {
    int fd;                  /* borrowed; a file, pipe or terminal; -1: content is pushed */
    const char *remote_path; /* any bytes but NUL; relative to the home directory */
    const char *name;        /* appended when remote_path is a directory; NULL: that is an error */
    int mode;                /* permission bits; -1: the existing file's, or `new_mode` */
    int new_mode;            /* for a new file without `mode` */
    int64_t size;            /* bytes to come, if known, for the progress; else -1 */
    const char
        *resume_key;   /* tells this copy from others; regular files only; NULL: never resumed */
    bool keep_partial; /* cancelling leaves the part for the next put, if it can be resumed */
} pq_put_request;

typedef struct pq_put_result {
    uint64_t bytes;
    unsigned mode;       /* as set in the guest */
    bool digest_checked; /* false: the guest has no SHA-256, size and cksum were compared */
    char sha256[PQ_SHA256_HEX_SIZE];
} pq_put_result;

typedef struct pq_put_events {
    /* Bytes the guest has by now; total is -1 when unknown. May be NULL. */
    void (*progress)(void *context, uint64_t bytes, int64_t total);
    /* More pushed content fits now; NULL with a descriptor. */
    void (*content_wanted)(void *context);
    /* The end; the put is freed after it. */
    void (*done)(void *context, const pq_error *err, const pq_put_result *result);
} pq_put_events;

/* NULL with USAGE for an empty path, or NOMEM. */
pq_put *pq_put_start(pq_session *session, const pq_put_request *request,
                     const pq_put_events *events, void *context, pq_error *err);

/* Pushed content, up to pq_put_room() bytes at a time. */
size_t pq_put_room(const pq_put *put);
int pq_put_content(pq_put *put, const void *bytes, size_t length, pq_error *err);
void pq_put_content_end(pq_put *put);

/* Gives up, removes what is staged (but see keep_partial), then `done` says CANCELLED. Once the
 * file is being placed it may still appear: effect "unknown". */
void pq_put_cancel(pq_put *put);

/* Forgets the put without `done` and without cleaning up; NULL is fine. */
void pq_put_drop(pq_put *put);
