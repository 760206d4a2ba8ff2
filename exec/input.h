/*
 * stdin of a command in numbered pieces, which the guest's feeder writes into the command's FIFO.
 *                                                                                        (exec)
 * Theory of operation. Pieces (guest/piece.sh) go in any order and may be repeated, so several are
 * on their way at once; each keeps its bytes until the guest has it. The first goes alone: if the
 * server finds it too large, it can be cut anew while no other number is in use.
 *
 * A few bytes can ride on another call of the feed's owner instead, which then is the piece.
 *
 * Back-pressure: the guest holds at most PQ_INPUT_AHEAD pieces that the command has not read, and
 * PQ_INPUT_WINDOW bytes wait here.
 */
#pragma once

#include "exec/call.h"

/* Room for bytes that were taken from the caller but not by the guest yet. */
#define PQ_INPUT_WINDOW ((size_t)2 * 1024 * 1024)

/* Pieces on their way. */
#define PQ_INPUT_IN_FLIGHT 3

/* Pieces the guest may hold unread: bounds its disk use. */
#define PQ_INPUT_AHEAD 8

/* More bytes than this do not ride; escaped they are five times that, at most. */
#define PQ_INPUT_RIDE_MAX 2048

/* Index of piece.sh's TOTAL argument. */
#define PQ_PIECE_TOTAL_ARGUMENT 4

typedef struct pq_input pq_input;

typedef struct pq_input_events {
    /* More bytes fit. May be NULL. */
    void (*wanted)(void *context);
    /* No more can be sent; the context may end by it. */
    void (*failed)(void *context, const pq_error *err);
    /* The guest has no space for a piece; the feed is closed. */
    void (*full)(void *context);
    /* A few bytes wait and nothing is on its way: true if they are to ride on a call that the
     * context starts now with pq_input_ride(). May be NULL. */
    bool (*ride)(void *context);
} pq_input_events;

typedef struct pq_input_piece {
    pq_input *feed;
    bool busy;
    pq_call *call;
    pq_timer timer;
    uint64_t index;
    pq_buf bytes; /* kept until the guest has them */
} pq_input_piece;

/* One for a command, embedded there; all-zero is valid for pq_input_done(). */
struct pq_input {
    pq_buf waiting; /* taken from the caller, not sent; may be filled before pq_input_start() */
    bool ended;     /* the caller has no more; may be set before pq_input_start() */

    /* private */
    pq_session *session;
    unsigned number; /* of the job */
    pq_input_events events;
    void *context;
    bool active;
    uint64_t next_index; /* of the next piece */
    uint64_t used;       /* pieces the guest has used up */
    bool end_sent;
    bool closed;     /* the command takes no more */
    bool confirmed;  /* the server has taken a piece: its size is right */
    unsigned riding; /* pieces that ride */
    unsigned cuts;
    pq_input_piece pieces[PQ_INPUT_IN_FLIGHT];
    pq_timer retry; /* asks again while the guest's window is full */
    unsigned full_polls;
    pq_defer more;
};

void pq_input_init(pq_input *feed, pq_session *session, unsigned number,
                   const pq_input_events *events, void *context);

/* From now on pieces are sent; the launcher is on its way. May be called again. */
void pq_input_start(pq_input *feed);

/* How many bytes are taken now; 0 also when the command wants no more. */
size_t pq_input_room(const pq_input *feed);

/* Takes up to pq_input_room() bytes; ignores what a command wants no more. Fails with NOMEM. */
int pq_input_add(pq_input *feed, const void *bytes, size_t length, pq_error *err);
void pq_input_end(pq_input *feed);

/* Sends what waits, at the loop's next turn. */
void pq_input_pump(pq_input *feed);

/* Makes all bytes that wait the next piece: appends them to `out`. */
int pq_input_ride(pq_input *feed, uint64_t *ret_index, pq_buf *out, pq_error *err);

/* A call that such a piece rode on has ended well. */
void pq_input_rode(pq_input *feed);

/* Pieces stop, and the bytes of the only one so far wait again: there is no directory in the guest.
 * Fails with NOMEM. */
int pq_input_take_back(pq_input *feed, pq_error *err);

/* A trailer says how many pieces the guest has used ("used=N"). False if it says that the command
 * has ended, which closes the feed. */
bool pq_input_used(pq_input *feed, const pq_trailer *trailer);

/* Forgets everything; later calls do nothing. */
void pq_input_done(pq_input *feed);
