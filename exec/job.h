/*
 * A command as a job in the guest.   (exec)
 *
 * Theory of operation. One launcher call (guest/job.sh) claims the job's number in the session's
 * directory, so that the command runs once however often the call has to be sent again, runs the
 * command with its output in files, and hands back up to PQ_JOB_INLINE_BYTES of each stream when
 * it has ended: a short command costs exec and exec-status, nothing else. The rest of longer
 * output is read from the files (range.h).
 *
 *   STAGING   the text of a very long command goes to the guest in pieces
 *   RUNNING   the launcher is asked about; with `live`, looks at the files bring output while the
 *             command runs; stdin that did not fit the launcher's call follows in pieces, which
 *             the guest feeds to the command through a FIFO
 *   DRAINING  the command has ended; output beyond what the launcher handed back is read
 *
 * Without a writable remote_tmp the command runs with its output captured by the agent: no live
 * output, at most 16 MiB of it, a stdin of at most 64 KiB, and a lost answer ends in
 * OUTCOME_UNKNOWN. The user is warned.
 */
#pragma once

#include "exec/input.h"

/* Output of each stream that rides on the launcher's answer: cheap up to about here on every kind
 * of guest. */
#define PQ_JOB_INLINE_BYTES 65536

/* Between TERM and KILL for a command that is cancelled or has timed out. */
#define PQ_JOB_KILL_DELAY_MS 5000

typedef struct pq_job_request {
    const char *command;    /* a shell line; any bytes but NUL */
    const char *executable; /* the shell; NULL: /bin/sh */
    const char *cwd;        /* NULL: the home directory */
    const char *const *env; /* NAME=VALUE..., NULL-terminated; NULL: none */
    const void *input;      /* stdin that is already here, copied; NULL: none */
    size_t input_length;
    bool input_streams; /* more stdin follows by pq_job_input() */
    bool live;          /* deliver output while the command runs */
    pq_ms timeout;      /* 0: none */
} pq_job_request;

typedef struct pq_job_result {
    int exit_code;   /* the command's; 128 + signal if it died of one */
    int signal;      /* 0: it exited */
    bool guest_full; /* remote_tmp ran out of space: output may be cut */
} pq_job_result;

typedef struct pq_job pq_job;

typedef struct pq_job_events {
    /* Bytes of stdout (1) or stderr (2), in order within each. May pause the job, not end it. */
    void (*output)(void *context, int stream, const char *bytes, size_t length);
    /* More streamed stdin fits now; may be NULL without input_streams. */
    void (*input_wanted)(void *context);
    /* The end; the job is freed after it. `result` is NULL with an error. TIMEOUT and CANCELLED
     * have effect "done" once the command was ended. */
    void (*done)(void *context, const pq_error *err, const pq_job_result *result);
} pq_job_events;

/* Everything given is copied. NULL with USAGE for a bad env entry, or NOMEM. */
pq_job *pq_job_start(pq_session *session, const pq_job_request *request,
                     const pq_job_events *events, void *context, pq_error *err);

/* How many bytes of streamed stdin are taken now; 0 also when the command wants no more. */
size_t pq_job_input_room(const pq_job *job);

/* Takes up to pq_job_input_room() bytes. */
int pq_job_input(pq_job *job, const void *bytes, size_t length, pq_error *err);
void pq_job_input_end(pq_job *job);

/* Ends the command: TERM to its process group, KILL after PQ_JOB_KILL_DELAY_MS; a second call
 * sends KILL at once. `done` says CANCELLED when it has ended; output that was not read by then is
 * not delivered. */
void pq_job_cancel(pq_job *job);

/* While paused no output is delivered and at most a few pieces are held. */
void pq_job_pause(pq_job *job, bool pause);

/* Leaves the command alone and forgets it, without `done`; NULL is fine. */
void pq_job_drop(pq_job *job);
