/*
 * A command in the guest as a two-way stream.   (exec)
 *
 * What pq_job gives to a command that is handed its input and asked for its result, a stream gives
 * to a conversation: bytes go both ways while the command runs, each way ends on its own, and a
 * turn costs about one round trip.
 *
 * Theory of operation. guest/stream.sh starts the command like a job, once however often the call
 * is sent, with its stdin, stdout and stderr on FIFOs. In the guest stdout and stderr are cut into
 * segments: numbered files, each written in one go, which are removed when we say that we have
 * them; so they can be read any number of times, and the command is held up while
 * PQ_DUPLEX_SEGMENTS of them wait. Input goes in numbered pieces. guest/pump.sh is one turn: it
 * hands over a piece of input, says which segments we have, and waits in the guest for output
 * beyond those, which it hands back. Larger backlogs are read as files, a few at a time.
 *
 *   STARTING  the launcher is on its way
 *   RUNNING   one pump waits in the guest, others bring input
 *   DRAINING  the command has ended; what its FIFOs held is read
 *
 * Every call can be repeated: a piece of input is taken once, output is asked for by its place. So
 * lost answers and a restarted server lose and double nothing.
 *
 * The guest ends the command and removes everything when no pump has come for `abandon_after`.
 */
#pragma once

#include "exec/job.h"

/* Segments of each output that may wait in the guest, of 64 KiB to 512 KiB. */
#define PQ_DUPLEX_SEGMENTS 32

/* Input that was taken from the caller but not by the guest yet. */
#define PQ_DUPLEX_INPUT_WINDOW ((size_t)2 * 1024 * 1024)

/* For abandon_after; no shorter than the pauses between pumps allow. */
#define PQ_DUPLEX_ABANDON_MIN_MS 10000
#define PQ_DUPLEX_ABANDON_DEFAULT_MS 120000

typedef struct pq_duplex_request {
    const char *command;    /* a shell line; any bytes but NUL */
    const char *executable; /* the shell; NULL: /bin/sh */
    const char *cwd;        /* NULL: the home directory */
    const char *const *env; /* NAME=VALUE..., NULL-terminated; NULL: none */
    bool input;             /* stdin follows by pq_duplex_input(); else it is /dev/null */
    pq_ms abandon_after;    /* 0: PQ_DUPLEX_ABANDON_DEFAULT_MS */
} pq_duplex_request;

typedef struct pq_duplex pq_duplex;

typedef struct pq_duplex_events {
    /* Bytes of stdout (1) or stderr (2), in order within each. May pause the stream, not end it. */
    void (*output)(void *context, int stream, const char *bytes, size_t length);
    /* More input fits now; may be NULL without input. */
    void (*input_wanted)(void *context);
    /* The end; the stream is freed after it. `result` is NULL with an error; errors as pq_job's. */
    void (*done)(void *context, const pq_error *err, const pq_job_result *result);
} pq_duplex_events;

/* Everything given is copied. NULL with USAGE for a bad env entry or a command that does not fit
 * one call, or NOMEM. */
pq_duplex *pq_duplex_start(pq_session *session, const pq_duplex_request *request,
                           const pq_duplex_events *events, void *context, pq_error *err);

/* How many bytes of input are taken now; 0 also when the command wants no more. */
size_t pq_duplex_input_room(const pq_duplex *stream);

/* Takes up to pq_duplex_input_room() bytes. */
int pq_duplex_input(pq_duplex *stream, const void *bytes, size_t length, pq_error *err);

/* The command's stdin ends behind what was given; output goes on. */
void pq_duplex_input_end(pq_duplex *stream);

/* While paused no output is delivered, a bounded amount is held, and the command is held up. */
void pq_duplex_pause(pq_duplex *stream, bool pause);

/* Sends a signal ("INT", "TERM", "HUP", "QUIT", "USR1", "USR2", "WINCH", "KILL") to the command's
 * process group. Once for each call, at best: nobody learns whether it came before the end. */
void pq_duplex_signal(pq_duplex *stream, const char *name);

/* Ends the command: TERM to its process group, KILL after PQ_JOB_KILL_DELAY_MS. `done` says
 * CANCELLED; output that was not read by then is not delivered. */
void pq_duplex_cancel(pq_duplex *stream);

/* Forgets the stream, without `done`; the guest ends it after abandon_after. NULL is fine. */
void pq_duplex_drop(pq_duplex *stream);
