/*
 * A guest on this machine, a session with it, and what is done in it.   (tests)
 *
 * guest_setup() and guest_teardown() are for a suite. All files are below guest.dir, which is
 * removed; remote_tmp is guest.remote_tmp in it.
 */
#pragma once

#include "exec/job.h"
#include "exec/session.h"
#include "tests/unit/support/shell_agent.h"

typedef struct guest_bench {
    char dir[64];
    char remote_tmp[96];
    pq_loop *loop;
    shell_agent *agent;
    pq_session *session;
    pq_ms connect_timeout; /* of sessions that are opened from now on */
} guest_bench;

extern guest_bench guest;

void guest_setup(void);
void guest_teardown(void);

/* Another session, with `remote_tmp`; the one before is freed. */
void guest_open_session(const char *remote_tmp);

/* Runs the loop until somebody stops it. */
void guest_run(void);

/* Waits until a file below guest.dir is there, until a command has run, or until nothing of the
 * guest runs. */
void guest_await_file(const char *name);
void guest_await_run(void);
void guest_await_idle(void);

/* Closes the session, which must succeed, and checks that neither files nor processes are left. */
void guest_must_close(void);
void guest_must_be_clean(void);

/* A path below guest.dir; valid until the eighth call after this. */
const char *guest_path(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Files and directories in a directory below guest.dir. */
unsigned guest_entries(const char *name);

/* Contents of a file below guest.dir; free with free(). NULL if there is none. */
char *guest_content(const char *name, size_t *ret_length);
void guest_write(const char *name, const void *bytes, size_t length);

/* The lines in guest.dir/ran: commands append to it by $RAN. */
unsigned guest_times_run(void);

/* A directory of links to the tools that guests have, but for those in `hidden`, a list with
 * spaces; becomes the agent's PATH. */
void guest_hide_tools(const char *hidden);

/* `length` bytes that do not compress and have all values; free with free(). */
char *guest_bytes(size_t length);

/* ---- jobs ---- */

typedef struct guest_job {
    pq_job_request request;
    pq_job *job;
    pq_buf out, err_out;
    unsigned chunks; /* of output */
    bool ended;
    pq_error err; /* code PQ_OK: none */
    pq_job_result result;
    void (*on_output)(struct guest_job *job);
    const char *input; /* streamed when asked for */
    size_t input_length, input_sent;
    bool input_open;    /* its end never comes */
    size_t input_chunk; /* bytes of it at a time; 0: what there is room for */
} guest_job;

/* Starts it: its command sees $DIR (guest.dir) and $RAN. `request` may be changed before. */
void guest_job_start(guest_job *job, const char *command);

/* Runs until it has ended. */
void guest_job_await(guest_job *job);
void guest_job_done(guest_job *job);

/* Starts it, awaits its end; it must have exited with 0. */
void guest_job_run(guest_job *job, const char *command);

/* It must have ended with an error. */
void guest_job_must_fail(guest_job *job, pq_code code, pq_effect effect);

void guest_job_must_print(const guest_job *job, const void *bytes, size_t length);
