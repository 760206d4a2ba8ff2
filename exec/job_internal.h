/*
 * Shared by job.c, job_input.c and job_output.c only.
 */
#pragma once

#include "exec/call.h"
#include "exec/input.h"
#include "exec/job.h"
#include "exec/launch.h"
#include "exec/range.h"

typedef enum job_state { JOB_STAGING, JOB_RUNNING, JOB_DRAINING, JOB_ENDED } job_state;

/* Command text on its way. */
typedef struct job_stage {
    pq_call *call;
    unsigned index;
    size_t offset, taken;
    unsigned cuts;
    bool done;
} job_stage;

typedef struct job_stream {
    pq_job *job;
    int number;         /* 1, 2 */
    uint64_t delivered; /* bytes handed to the caller */
    int64_t total;      /* size at the command's end; -1: at most PQ_JOB_INLINE_BYTES */
    bool inlined;       /* the launcher's answer brought its beginning */
    bool drained;       /* its rest was read, or is being read */
    bool complete;
    pq_range *range;
} job_stream;

struct pq_job {
    pq_session *session;
    pq_job_events events;
    void *context;
    job_state state;
    unsigned number;
    unsigned launches;
    bool plain; /* no directory in the guest */
    bool live;
    bool paused;
    pq_launch launch;
    job_stage stage;
    uint64_t input_bytes; /* of a stdin that was given as a whole */
    bool feeds;           /* stdin goes in pieces */
    pq_input feed;
    pq_call *launcher;
    uint64_t kind, wider_kind; /* of the command, for pq_expect; with and without its stdin */
    int64_t launcher_pid;      /* of a launcher whose record nobody has fetched; 0: none */
    bool watching;             /* looks tell when the command ends, not the launcher */
    pq_call *look, *killer;
    uint64_t look_out, look_err; /* offsets the look on its way begins at */
    pq_timer look_timer, timeout_timer, kill_timer;
    pq_ms started, timeout, kill_since;
    bool cancelled, timed_out;
    const char *kill_signal; /* NULL: nothing to kill */
    uint64_t punched;        /* stdout bytes whose disk space was given back */
    job_stream out, err;
    pq_job_result result;
    pq_error failure; /* what to say at the end instead of the result; code PQ_OK: nothing */
    pq_defer deferred;
};

/* In each of these the job may end and be freed: callers touch nothing of it afterwards, unless a
 * result says that it lives. */

/* ---- job.c ---- */

void pq_job_fail(pq_job *job, const pq_error *err);

/* Everything was delivered. */
void pq_job_complete(pq_job *job);

/* Takes a trailer with the job's state: "end CODE SIGNAL OUT ERR", "running PID", "lost PID".
 * False if the job has ended by it. */
bool pq_job_take_state(pq_job *job, const pq_trailer *trailer);

/* The command's text is in the guest. */
void pq_job_command_staged(pq_job *job);

/* ---- job_stage.c ---- */

void pq_job_stage_command(pq_job *job);
void pq_job_stage_done(pq_job *job);

/* ---- job_input.c ---- */

void pq_job_input_init(pq_job *job);

/* The guest says how many pieces it has used. Never ends the job. */
void pq_job_input_used(pq_job *job, const pq_trailer *trailer);

/* ---- job_output.c ---- */

/* Never ends the job. */
void pq_job_look_soon(pq_job *job);
void pq_job_output_inline(pq_job *job, const pq_call_result *result);

/* Reads what is left of both streams, then ends the job. */
void pq_job_drain(pq_job *job);
void pq_job_output_done(pq_job *job);
