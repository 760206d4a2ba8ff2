/*
 * A command that does one thing with one VM.   (shim)
 *
 * Theory of operation: the command starts its work on task->loop and says with pq_task_end() or
 * pq_task_fail() how it went; then the guest is cleaned up and pq_task_run() returns the exit
 * status. SIGINT, SIGTERM and SIGHUP ask the work to end, a second one again and more urgently, and
 * the exit status is 128 + the first signal. Work that has not ended PQ_TASK_PATIENCE_MS after the
 * first is dropped; the third one ends the program at once. A signal that was ignored when we were
 * started (nohup) stays so.
 *
 *   WORKING --end, fail, patience--> CLOSING --guest is clean--> CLOSED
 */
#pragma once

#include "shim/run.h"
#include "shim/target.h"

#define PQ_TASK_PATIENCE_MS 30000

typedef struct pq_task_work {
    /* A signal has come, also SIGQUIT, SIGUSR1, SIGUSR2, which are only caught for this; true: it
     * was dealt with, false: it is to be as said above. NULL: they all are. */
    bool (*signal)(void *context, int number);
    /* End soon; may be called again. May end the task at once. */
    void (*cancel)(void *context);
    /* Forget the work; the task ends by itself. */
    void (*drop)(void *context);
} pq_task_work;

typedef enum pq_task_state { PQ_TASK_WORKING = 0, PQ_TASK_CLOSING, PQ_TASK_CLOSED } pq_task_state;

/* All-zero is valid for pq_task_done(). */
typedef struct pq_task {
    pq_loop *loop;
    pq_session *session;
    char vm[100];    /* for messages: as the user calls it */
    char doing[400]; /* "copying 'a' to 'web:/b'"; set by the command */

    /* private */
    pq_targets *targets;
    pq_task_state state;
    pq_task_work work;
    void *context;
    pq_timer patience;
    int status;
    int signal; /* the first one, or 0 */
    unsigned signals;
} pq_task;

/* Makes loop and session for `vm` (NULL: the option vmid). Fails with USAGE, CONFIG, SECRET, NOMEM,
 * INTERNAL. */
int pq_task_init(pq_task *task, pq_run *run, const char *vm, pq_error *err);

/* Runs what was started until the task has ended. */
int pq_task_run(pq_task *task, const pq_task_work *work, void *context);

/* The work is over and nothing of it is left on the loop. */
void pq_task_end(pq_task *task, int status);

/* The same without cleaning up the guest, which cannot be reached or does so by itself. */
void pq_task_abandon(pq_task *task, int status);

/* As pq_task_end(), with the error's exit status; logs it. */
void pq_task_fail(pq_task *task, const pq_error *err);

/* Frees everything; the work was ended or dropped. */
void pq_task_done(pq_task *task);

/* Logs why a command could not start its work; returns its exit status. */
int pq_task_refuse(const pq_error *err, const char *doing);
