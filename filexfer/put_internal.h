/*
 * Shared by put.c, put_*.c only.
 */
#pragma once

#include <sys/stat.h>

#include "exec/call.h"
#include "filexfer/put.h"
#include "filexfer/put_build.h"
#include "filexfer/resume.h"

typedef enum put_state {
    PUT_ADOPTING, /* what an earlier put has staged */
    PUT_READING,  /* the first piece; all of it may fit one call */
    PUT_SINGLE,
    PUT_SENDING,
    PUT_PLACING,
    PUT_CLEANING
} put_state;

/* Pieces that the agent has taken and that are not asked about yet, or just now; their content is
 * kept in case they are lost. */
#define PUT_LATE_MAX 4

/* In flight, with those. */
#define PUT_PIECES (3 + PUT_LATE_MAX)

/* Calls made smaller because the server found them too large, before it is believed. */
#define PUT_CUTS_MAX 4

/* Names of what is staged: unpredictable. */
#define PUT_NAME_SIZE 64

typedef struct put_piece {
    pq_put *put;
    pq_call *call; /* NULL: the slot is free */
    pq_piece content;
    pq_ms since;     /* when the call was made; once it was started, when that was */
    unsigned number; /* how many calls had been started with this one; 0: not started */
    bool asked;
    bool escaped; /* it was sent so that nothing needs to decode it */
} put_piece;

/* Content of a piece that could not be sent as it was. */
typedef struct put_again {
    struct put_again *next;
    uint64_t offset;
    pq_buf bytes;
    size_t used;
} put_again;

struct pq_put {
    pq_session *session;
    pq_put_events events;
    void *context;
    put_state state;
    char *remote_path, *name;
    int mode, new_mode;
    int64_t size;

    /* source */
    int fd;
    bool regular; /* reading never waits */
    bool ready;   /* the descriptor was readable, and not read since */
    pq_watch readable;
    struct stat opened; /* a regular file as it was */
    uint64_t end;       /* bytes that are read of it; UINT64_MAX: as many as there are */
    pq_buf waiting;     /* read, not in a piece yet */
    bool ended;         /* the source has no more */
    uint64_t taken;     /* bytes the source has given */
    pq_sha256 *sha256;  /* of what the source has given */
    uint32_t cksum;

    /* pieces */
    pq_builder builder;
    pq_build_limits limits; /* of the piece that is built */
    uint64_t position;      /* in the file, of what is in `waiting` */
    put_again *again;       /* goes before `waiting` */
    char *dir;              /* of what is staged; NULL: the session's */
    char staged[PUT_NAME_SIZE];
    bool any_staged; /* something may be in the guest */
    bool any_taken;  /* the server has taken a piece: its size is right */
    put_piece pieces[PUT_PIECES];
    unsigned started;  /* calls of pieces */
    pq_ms last_start;  /* when the last of them was started */
    pq_ms interval;    /* from one start to the next */
    unsigned patience; /* calls started after a piece's before that one is asked about */
    size_t room_most;  /* of pieces, since the agent was too slow for larger ones; 0: any */
    unsigned quick;    /* pieces that the agent took in time since */
    unsigned cuts, sums;
    pq_timer later; /* the next question */
    pq_call *call;  /* adopting, single, placing, cleaning */
    pq_defer pumped;

    /* resuming */
    bool keep_partial;
    pq_resume *resume; /* NULL: what is staged goes with the put */
    pq_resume_record record;
    pq_sha256 *beginning; /* of the file, as much as was staged earlier */
    uint64_t staged_end;  /* of the confirmed piece that ends last */

    pq_error failure; /* to be reported when cleaned up */
    pq_put_result result;
};

/* In each of these the put may end and be freed, unless said otherwise. */

/* ---- put.c ---- */
void pq_put_set_state(pq_put *put, put_state state); /* never ends the put */
/* Cleans up in the guest, then reports `err`. */
void pq_put_fail(pq_put *put, const pq_error *err);
/* Goes on with that: a piece has ended. */
void pq_put_clean(pq_put *put);
/* Does what can be done now, at the loop's next turn. Never ends the put itself. */
void pq_put_pump(pq_put *put);
/* Frees the put and reports, `err` NULL on success. */
void pq_put_finish(pq_put *put, const pq_error *err);
/* There is nothing for another put to go on with. Never ends the put. */
void pq_put_forget_record(pq_put *put);

/* ---- put_place.c ---- */
/* One call for everything, if all is in the piece that is built and fits. Returns whether that is
 * so, or the put has failed. */
bool pq_put_single(pq_put *put);
void pq_put_place(pq_put *put);

/* ---- put_source.c; none of these ends the put ---- */
int pq_put_source_open(pq_put *put, pq_error *err);
/* Reads some of what is there if there is room, `most` bytes at most; returns -1 when reading fails
 * or the file is not what it was. */
int pq_put_source_read(pq_put *put, uint64_t most, pq_error *err);
/* Whether another read would bring something now. */
bool pq_put_source_is_ready(const pq_put *put);
/* Back to the beginning of a regular file. */
int pq_put_source_rewind(pq_put *put, pq_error *err);
void pq_put_source_done(pq_put *put);

/* ---- put_pieces.c ---- */
/* Directory of what is staged. */
const char *pq_put_dir(const pq_put *put);
/* Bytes that the call of a piece carries. Never ends the put. */
int pq_put_find_room(const pq_put *put, size_t *ret_room, pq_error *err);
/* Asks about all pieces that were started; whether any has not ended. Never ends the put. */
bool pq_put_end_pieces(pq_put *put);
/* Sends what can be sent, and places the file when all is there. */
void pq_put_send(pq_put *put);
void pq_put_pieces_done(pq_put *put);

/* ---- put_content.c; none of these ends the put ---- */
/* Makes a piece of what is at hand. *ret_more: there is more at hand. */
int pq_put_build(pq_put *put, bool *ret_more, pq_error *err);
/* Whether all content is in pieces that were taken from the builder. */
bool pq_put_is_built(const pq_put *put);
/* What is built and not sent is cut anew, since what a call carries has changed. */
int pq_put_build_anew(pq_put *put, pq_error *err);
/* The same, with the content of a piece that was sent; the piece is empty afterwards. */
int pq_put_again(pq_put *put, pq_piece *piece, pq_error *err);
/* Bytes from the beginning that are in the guest, or need not be sent. */
uint64_t pq_put_progress(const pq_put *put);
void pq_put_content_done(pq_put *put);

/* ---- put_resume.c ---- */
/* Opens the record of a file that is worth it. Never ends the put. */
int pq_put_resume_open(pq_put *put, const char *key, pq_error *err);
/* Compares what was staged earlier. */
void pq_put_adopt(pq_put *put);
/* The first piece is sent, or one was confirmed. Never ends the put. */
void pq_put_resume_note(pq_put *put);
