/*
 * Shared by put.c, put_source.c and put_pieces.c only.
 */
#pragma once

#include "exec/call.h"
#include "filexfer/put.h"

typedef enum put_state {
    PUT_READING,
    PUT_SINGLE,
    PUT_SENDING,
    PUT_PLACING,
    PUT_CLEANING
} put_state;

#define PUT_PIECES 3

/* Calls made smaller because the server found them too large, before it is believed. */
#define PUT_CUTS_MAX 4

/* dd in the write script counts in these; every piece but the last is a multiple. */
#define PUT_BLOCK 4096

typedef struct put_piece {
    pq_put *put;
    bool busy;
    pq_call *call;
    uint64_t offset;
    pq_buf bytes; /* kept until the guest has them */
} put_piece;

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
    pq_buf waiting;    /* read, not sent; all of a file that turns out to fit one call */
    bool ended;        /* the source has no more */
    uint64_t taken;    /* bytes the source has given */
    pq_sha256 *sha256; /* of what the source has given */
    uint32_t cksum;

    /* sending */
    char staged[64]; /* name of the staged file, unpredictable */
    uint64_t sent, confirmed;
    bool piece_confirmed; /* the server has taken a piece: its size is right */
    unsigned cuts, sums;
    put_piece pieces[PUT_PIECES];
    pq_call *call; /* single, placing, cleaning */
    pq_defer pumped;
    pq_error failure; /* to be reported when cleaned up */
    pq_put_result result;
};

/* In each of these the put may end and be freed, unless said otherwise. */

/* ---- put.c ---- */
/* Cleans up in the guest, then reports `err`. */
void pq_put_fail(pq_put *put, const pq_error *err);
/* Does what can be done now, at the loop's next turn. Never ends the put itself. */
void pq_put_pump(pq_put *put);
void pq_put_place(pq_put *put);

/* ---- put_source.c ---- */
int pq_put_source_open(pq_put *put, pq_error *err);
/* Reads what is there while there is room. Returns -1 on a read error. Never ends the put. */
int pq_put_source_read(pq_put *put, pq_error *err);
void pq_put_source_done(pq_put *put);

/* ---- put_pieces.c ---- */
void pq_put_send(pq_put *put);
void pq_put_pieces_done(pq_put *put);
