/*
 * Shared by stream.c, stream_turn.c and stream_output.c only.
 */
#pragma once

#include "exec/call.h"
#include "exec/input.h"
#include "exec/launch.h"
#include "exec/range.h"
#include "exec/stream.h"

/* Turns on their way: one waits in the guest, others bring input. */
#define STREAM_TURNS 3

/* Segments that were told and not read, at most; the guest keeps PQ_STREAM_SEGMENTS and one that
 * grows. A power of two. */
#define STREAM_TOLD_MAX 64

/* Signals that wait for the one before to be delivered. */
#define STREAM_SIGNALS 8

typedef enum stream_state {
    STREAM_STARTING, /* the launcher is on its way */
    STREAM_RUNNING,  /* turns can be taken */
    STREAM_DRAINING, /* the command has ended */
    STREAM_ENDED
} stream_state;

typedef struct stream_turn {
    pq_stream *stream;
    pq_call *call; /* NULL: free, or waiting for its timer */
    bool busy;
    pq_timer timer; /* sends it again: the launcher has not come so far */
    uint64_t number;
    char waits; /* pump.sh's WAIT */
    bool rides; /* a piece of input comes along */
    uint64_t piece;
    pq_buf bytes; /* of that */
} stream_turn;

/* stdout or stderr. What was told is delivered in that order. */
typedef struct stream_output {
    pq_stream *stream;
    int number;            /* 1, 2 */
    char letter;           /* 'o', 'e': in the guest's file names */
    uint64_t told;         /* segments whose size is known; the next one's number */
    uint64_t told_of_next; /* bytes known of that, which grows */
    uint64_t read;         /* segments that were delivered whole */
    uint64_t forgotten;    /* segments that the guest was told to remove */
    uint64_t bytes_told, bytes_delivered;
    uint64_t ends[STREAM_TOLD_MAX]; /* bytes_told at the end of a segment, by its number */
    bool ended;                     /* no segment follows */
    pq_range *range;                /* NULL: none was needed so far */
} stream_output;

struct pq_stream {
    pq_session *session;
    pq_stream_events events;
    void *context;
    stream_state state;
    unsigned number;
    pq_launch launch;
    pq_ms period; /* a turn comes at least so often */
    bool has_input;
    pq_input input;
    pq_call *launcher;
    unsigned launches;
    int64_t launcher_pid; /* of a launcher whose record nobody has fetched; 0: none */
    bool confirmed;       /* a turn has found the stream */
    bool paused;
    uint64_t turn; /* number of the last one */
    stream_turn turns[STREAM_TURNS];
    pq_ms turn_sent;    /* when the last one was */
    pq_ms last_news;    /* when something was sent or came */
    bool plenty;        /* the last turn brought a lot: there will be more at once */
    pq_timer next_turn; /* the first one; one that is due although nothing happened */
    pq_timer patience;  /* for outputs that somebody else holds open */
    bool impatient;
    stream_output out, err;
    pq_job_result result;
    pq_call *killer;
    const char *signals[STREAM_SIGNALS];
    unsigned signal_count;
    bool cancelled;
    pq_timer kill_timer;
    pq_error failure; /* code PQ_OK: none */
    pq_defer ending, scheduling;
};

/* ---- stream.c ---- */

/* The stream ends with this at the loop's next turn; the first error counts. */
void pq_stream_fail(pq_stream *stream, const pq_error *err);

/* The launcher, or a turn, says how the command is ("end CODE SIGNAL", "running PID", "lost PID").
 */
void pq_stream_take_state(pq_stream *stream, const pq_trailer *trailer);

/* Something has changed: at the loop's next turn it is seen what is to be done. */
void pq_stream_schedule(pq_stream *stream);

/* ---- stream_turn.c ---- */

/* Starts the turns that are due. */
void pq_stream_take_turns(pq_stream *stream);

/* Lets a few bytes of input ride on a turn; for pq_input_events. */
bool pq_stream_ride(void *context);

void pq_stream_turns_done(pq_stream *stream);

/* ---- stream_output.c ---- */

/* Takes what a trailer tells of an output (stream_common.sh, hand_over), with the bytes that came
 * along. Fails with BAD_ANSWER, or NOMEM. */
int pq_stream_output_take(stream_output *output, const pq_trailer *trailer, const pq_buf *bytes,
                          pq_error *err);

/* All that was told was delivered. */
bool pq_stream_output_is_level(const stream_output *output);

void pq_stream_output_pause(stream_output *output, bool pause);
void pq_stream_output_done(stream_output *output);
