/*
 * Shared by fetch.c and fetch_*.c only.
 */
#pragma once

#include "exec/call.h"
#include "exec/range.h"
#include "filexfer/fetch.h"
#include "filexfer/gzip.h"
#include "filexfer/local_file.h"
#include "filexfer/pack_plan.h"
#include "filexfer/resume.h"

/* Parts that are read or follow: two packed ones, with plain ones around each. */
#define FETCH_PARTS 6

/* A path in the session's directory. */
#define FETCH_PATH_BYTES 1200

typedef enum fetch_state {
    FETCH_OPENING,
    FETCH_RESUMING,
    FETCH_READING,
    FETCH_COMPARING,
    FETCH_CLEANING
} fetch_state;

/* What the range delivers one after the other. */
typedef struct fetch_part {
    bool packed;
    uint64_t left;     /* bytes that are still to come through the range */
    uint64_t raw_left; /* packed: bytes of the file that are still to come out of it */
    uint64_t skip;     /* packed: so many of these are there already */
} fetch_part;

typedef struct fetch_packing {
    pq_gunzip *gunzip;
    pq_call *call; /* packs `raw` bytes from `start` on */
    pq_timer due;  /* when it should have ended */
    pq_ms begun;
    pq_ms overhead; /* of the last call, besides gzip */
    uint64_t start, raw;
    bool on;         /* sections follow each other */
    bool off;        /* for good: it does not pay */
    unsigned trials; /* in a row that plain reading has overtaken */
    unsigned level;  /* gzip's */
    /* Numbers: of the next section, and of the first whose file was not read, or not removed. */
    unsigned section, unread, unremoved;
    pq_pack_plan plan;
    uint64_t unseen; /* plain bytes since some were looked at */
    uint64_t worth;  /* plain bytes in a row that look worth it */
    uint64_t wait;   /* plain bytes to come before the next trial */
    uint64_t waited; /* what `wait` was the last time */
} fetch_packing;

struct pq_fetch {
    pq_session *session;
    pq_fetch_events events;
    void *context;
    fetch_state state;
    char *remote_path;
    char *local_path; /* NULL: to a descriptor */
    int fd;
    int mode;
    unsigned number;
    bool linked; /* a link with an ASCII name stands for the file */
    bool copied; /* a copy of that name does */
    pq_defer started;
    pq_ms opened_at;
    pq_ms call_ms; /* a small call takes so long on its own */
    pq_call *call; /* opening, resuming, cleaning */
    uint64_t size; /* when it was opened */

    /* reading */
    pq_range *range;
    fetch_part parts[FETCH_PARTS];
    unsigned part_count;
    fetch_packing packing;
    bool read_pieces;    /* slices may be in the session's directory */
    uint64_t wire_bytes; /* that came through the range */
    uint64_t received;   /* of the file, also what a part had */
    pq_local_file file;
    bool left_files; /* something of ours may be in the session's directory */

    /* checksums */
    pq_sha256 *sha256;
    uint32_t cksum;
    bool wants_cksum; /* the guest has no SHA-256 */
    bool needs_sum;   /* it is still to be asked for one of them */
    pq_call *summing;
    bool early_sum; /* it is from the opening: growth later may have spoilt it */
    char guest_sha256[PQ_SHA256_HEX_SIZE];
    char guest_cksum[40];
    char local_cksum[40];

    /* resuming */
    char *resume_key;
    bool keep_partial;
    pq_resume *resume;
    pq_resume_record record;
    uint64_t part_bytes, hashed; /* of the part that was found */
    pq_sha256 *part_sha256;
    pq_defer hashing;
    char part_digest[PQ_SHA256_HEX_SIZE]; /* empty: not known yet */
    char guest_digest[PQ_SHA256_HEX_SIZE];

    pq_fetch_result result;
    pq_error failure; /* to be reported when cleaned up; code PQ_OK: none */
};

/* In each of these the fetch may end and be freed, unless said otherwise. */

/* ---- fetch.c ---- */
/* Traces it; never ends the fetch. */
void pq_fetch_set_state(pq_fetch *fetch, fetch_state state);
/* Cleans up, and reports success (NULL) or failure. */
void pq_fetch_finish(pq_fetch *fetch, const pq_error *err);
/* The guest's file is not what it was when it was opened. */
void pq_fetch_changed(pq_fetch *fetch);
/* Next bytes of the file, to where they go. Never ends the fetch. */
int pq_fetch_receive(pq_fetch *fetch, const char *bytes, size_t length, pq_error *err);
void pq_fetch_progress(pq_fetch *fetch);
/* Arguments DIR NAME, or the path as the guest's scripts take it. Never end the fetch. */
int pq_fetch_add_place(const pq_fetch *fetch, pq_script *script, pq_error *err);
int pq_fetch_add_path(const pq_fetch *fetch, pq_script *script, pq_error *err);

/* ---- fetch_read.c ---- */
/* Reads what was not received yet; `head` is what was, and tells how the rest may look. */
void pq_fetch_read(pq_fetch *fetch, const char *head, size_t length);
/* The path from which plain bytes are read: the file's, or in `buffer` that of what stands for it.
 */
const char *pq_fetch_plain_path(const pq_fetch *fetch, char buffer[FETCH_PATH_BYTES]);
/* Adds a part to what is read. Never ends the fetch. */
int pq_fetch_add_part(pq_fetch *fetch, const char *path, uint64_t start, uint64_t end,
                      const fetch_part *part, pq_error *err);

/* ---- fetch_pack.c ---- */
/* Plain bytes came: perhaps packing is worth a trial. */
int pq_fetch_consider_packing(pq_fetch *fetch, const char *bytes, size_t length, pq_error *err);
/* A section was read: has the next one packed. */
int pq_fetch_section_read(pq_fetch *fetch, pq_error *err);
/* Bytes that can be read now. Never ends the fetch. */
uint64_t pq_fetch_waiting_bytes(const pq_fetch *fetch);
void pq_fetch_packing_done(pq_fetch *fetch);

/* ---- fetch_check.c ---- */
/* Takes the checksums of a trailer; false if it has none. Never ends the fetch. */
bool pq_fetch_take_sums(pq_fetch *fetch, const pq_trailer *trailer);
/* Has the guest compute them. Never ends the fetch. */
int pq_fetch_start_sum(pq_fetch *fetch, pq_error *err);
/* Everything has arrived: compares, and gives the file its name. */
void pq_fetch_compare(pq_fetch *fetch);

/* ---- fetch_resume.c ---- */
/* A file that does not come at once was opened: looks for a part. True if the guest is asked about
 * one; then reading is started later. */
bool pq_fetch_resume(pq_fetch *fetch);
/* Notes what is there by now. Never ends the fetch. */
void pq_fetch_note(pq_fetch *fetch);
/* Leaves the part and its record, or removes them. Never ends the fetch. */
void pq_fetch_leave_part(pq_fetch *fetch, bool leave);
void pq_fetch_resume_done(pq_fetch *fetch);
