/*
 * What an interrupted transfer leaves for the next one of the same file.   (filexfer; local files)
 *
 * Theory of operation. While a transfer of more than a few calls is under way, a record of it is
 * kept in $XDG_STATE_HOME/pve-qga-run (or ~/.local/state/pve-qga-run), mode 0700, as a file named
 * after the SHA-256 of what identifies the transfer, mode 0600, and locked (flock) for as long as
 * the transfer lasts. A transfer that ends, well or with its parts removed, removes the record. One
 * that is killed, or cannot reach its guest any more, leaves it: a record that is there and not
 * locked says where the parts are.
 *
 * What a record says is only a hint: whoever uses it compares the content.
 *
 * A place where no record can be kept (no home, a read-only disk) only means that nothing is
 * resumed.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "transport/base/error.h"

typedef struct pq_resume_record {
    char place[1024]; /* put: path of the staged file in the guest; fetch: of the local part */
    bool is_local;    /* `place` is on this machine; it goes with a record that is too old */
    uint64_t bytes;   /* so many, from the beginning, are there */
    uint64_t size;    /* of the whole file */
} pq_resume_record;

typedef struct pq_resume pq_resume;

/* Older records mean nothing any more: by then others may have removed the parts. */
#define PQ_RESUME_MAX_AGE_S (24 * 3600)

/* Opens the record of the transfer that `key` identifies, new if there is none. NULL if there is no
 * place for it, or another process is at this transfer right now. *ret_found tells whether `ret`
 * was left by an interrupted transfer. Records older than PQ_RESUME_MAX_AGE_S are removed on the
 * way, and the parts they name on this machine. */
pq_resume *pq_resume_open(const char *key, pq_resume_record *ret, bool *ret_found);

/* Writes how far the transfer is; fine to call often, one small write. Losing one costs bytes sent
 * twice, not more. */
void pq_resume_note(pq_resume *resume, const pq_resume_record *record);

/* Removes the record: there is nothing to resume. NULL is fine. */
void pq_resume_forget(pq_resume *resume);

/* Leaves it for the next transfer, if there is anything in it. NULL is fine. */
void pq_resume_leave(pq_resume *resume);
