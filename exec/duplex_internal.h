/*
 * Shared by stream.c, duplex_turn.c and duplex_output.c only.
 */
#pragma once

#include "exec/call.h"
#include "exec/duplex.h"
#include "exec/input.h"
#include "exec/launch.h"
#include "exec/range.h"

/* Turns on their way: one waits in the guest, others bring input. */
#define DUPLEX_TURNS 3

/* Segments that were told and not read, at most; the guest keeps PQ_DUPLEX_SEGMENTS and one that
 * grows. A power of two. */
#define DUPLEX_TOLD_MAX 64

/* Signals that wait for the one before to be delivered. */
#define DUPLEX_SIGNALS 8

typedef enum duplex_state {
    DUPLEX_STARTING, /* the launcher is on its way */
    DUPLEX_RUNNING,  /* turns can be taken */
    DUPLEX_DRAINING, /* the command has ended */
    DUPLEX_ENDED
} duplex_state;

typedef struct duplex_turn {
    pq_duplex *stream;
    pq_call *call; /* NULL: free, or waiting for its timer */
    bool busy;
    pq_timer timer; /* sends it again: the launcher has not come so far */
    uint64_t number;
    char waits; /* pump.sh's WAIT */
    bool rides; /* a piece of input comes along */
    uint64_t piece;
    pq_buf bytes; /* of that */
} duplex_turn;

/* stdout or stderr. What was told is delivered in that order. */
typedef struct duplex_output {
    pq_duplex *stream;
    int number;            /* 1, 2 */
    char letter;           /* 'o', 'e': in the guest's file names */
    uint64_t told;         /* segments whose size is known; the next one's number */
    uint64_t told_of_next; /* bytes known of that, which grows */
    uint64_t read;         /* segments that were delivered whole */
    uint64_t forgotten;    /* segments that the guest was told to remove */
    uint64_t bytes_told, bytes_delivered;
    uint64_t ends[DUPLEX_TOLD_MAX]; /* bytes_told at the end of a segment, by its number */
    bool ended;                     /* no segment follows */
    pq_range *range;                /* NULL: none was needed so far */
} duplex_output;

struct pq_duplex {
    pq_session *session;
    pq_duplex_events events;
    void *context;
    duplex_state state;
    unsigned number;
    pq_launch launch;
    pq_ms began;
    pq_ms abandon_after;
    pq_ms period; /* a turn comes at least so often */
    bool has_input;
    pq_input input;
    pq_call *launcher;
    unsigned launches;
    int64_t launcher_pid; /* of a launcher whose record nobody has fetched; 0: none */
    bool confirmed;       /* a turn has found the stream */
    bool paused;
    uint64_t turn; /* number of the last one */
    duplex_turn turns[DUPLEX_TURNS];
    pq_ms turn_sent;    /* when the last one was */
    pq_ms last_news;    /* when something was sent or came */
    bool plenty;        /* the last turn brought a lot: there will be more at once */
    pq_timer next_turn; /* the first one; one that is due although nothing happened */
    pq_timer patience;  /* for outputs that somebody else holds open */
    bool impatient;
    duplex_output out, err;
    pq_job_result result;
    pq_call *killer;
    const char *signals[DUPLEX_SIGNALS];
    unsigned signal_count;
    bool cancelled;
    pq_timer kill_timer, signal_timer;
    pq_error failure; /* code PQ_OK: none */
    pq_defer ending, scheduling;
};

/* ---- stream.c ---- */

/* The stream ends with this at the loop's next turn; the first error counts. */
void pq_duplex_fail(pq_duplex *stream, const pq_error *err);

/* The launcher, or a turn, says how the command is ("end CODE SIGNAL", "running PID", "lost PID").
 */
void pq_duplex_take_state(pq_duplex *stream, const pq_trailer *trailer);

/* Fails the stream if a trailer says that output was lost because the guest's disk is full. */
void pq_duplex_check_space(pq_duplex *stream, const pq_trailer *trailer);

/* Sends the next signal that waits, unless one is on its way. */
void pq_duplex_send_signal(pq_duplex *stream);

/* Something has changed: at the loop's next turn it is seen what is to be done. */
void pq_duplex_schedule(pq_duplex *stream);

/* ---- duplex_turn.c ---- */

/* Starts the turns that are due. */
void pq_duplex_take_turns(pq_duplex *stream);

/* Lets a few bytes of input ride on a turn; for pq_input_events. */
bool pq_duplex_ride(void *context);

/* The guest is known to have all turns that are on their way. */
bool pq_duplex_turns_are_there(const pq_duplex *stream);

void pq_duplex_turns_done(pq_duplex *stream);

/* ---- duplex_output.c ---- */

/* Takes what a trailer tells of an output (stream_common.sh, hand_over), with the bytes that came
 * along. Fails with BAD_ANSWER, or NOMEM. */
int pq_duplex_output_take(duplex_output *output, const pq_trailer *trailer, const pq_buf *bytes,
                          pq_error *err);

/* All that was told was delivered. */
bool pq_duplex_output_is_level(const duplex_output *output);

void pq_duplex_output_pause(duplex_output *output, bool pause);
void pq_duplex_output_done(duplex_output *output);
