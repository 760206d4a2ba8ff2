/*
 * One run of a guest script: exec, exec-status until it has ended, its trailer.   (exec)
 *
 * Theory of operation. Scripts are idempotent, so a call whose fate is unknown is run again:
 *
 *   STARTING --pid--> POLLING --exited, with trailer--> done
 *      ^  |              |
 *      |  +--error-------+--record lost, no trailer: START again
 *      |       |         +--other error: poll again after a delay
 *      +-delay-+
 *
 * A guest that cannot decode what a call brought says so before it does anything; that ends the
 * call with TOO_LARGE, effect "none": the caller makes smaller calls, escaped from then on.
 *
 * It goes on as retry.h says; errors that no repetition mends end it at once. If any try may have
 * reached the guest, the final error's effect is "unknown", else "none".
 *
 * A script that takes long (a job's launcher) can be held: then it is not asked about until it is
 * released, because its caller learns more in another way. One of many (a piece of a file) can
 * begin held, so that a single question is enough for it later.
 */
#pragma once

#include "exec/expect.h"
#include "exec/session.h"

typedef struct pq_call_result {
    pq_buf out; /* stdout without the trailer; may be taken */
    pq_buf err;
    pq_trailer trailer; /* points into `out`'s memory: read it before taking `out` */
    unsigned questions; /* it took to learn that the script had ended */
    pq_ms age;          /* when the last of them was asked, since the script's start */
    pq_ms running_age;  /* when the one before was asked; 0: there was none */
} pq_call_result;

typedef void (*pq_call_fn)(void *context, const pq_error *err, pq_call_result *result);

/* Makes a large script, so that it takes no memory between two tries. */
typedef int (*pq_call_make_fn)(void *context, pq_script *script, pq_error *err);

typedef struct pq_call_options {
    const void *input; /* for the script's stdin, copied; NULL: none */
    size_t input_length;
    int retry_argument;   /* index of the argument that repetitions set to the seconds since the
                           * first try, or -1 */
    bool once;            /* not idempotent: never run again once it may have started */
    bool makes_directory; /* once it may have run, closing the session has work to do */
    bool overlap;         /* someone waits for just this call: a ping may go along with it */
    pq_expect_plan plan;  /* when it will probably have ended */
    bool waits;           /* the script waits for something that may never come ... */
    pq_ms waited;         /* ... and that was waited for so long already */
    bool begins_held;     /* see pq_call_hold() */
    bool ends_if_slow;    /* a start that the agent did not answer in time ends the call, with
                           * AGENT_TIMEOUT: its caller makes smaller ones */
    pq_loop_fn started;   /* each time the agent has started the script; may be NULL */
    pq_call_make_fn make; /* makes the script for each try; NULL: it is kept */
} pq_call_options;

#define PQ_CALL_DEFAULTS ((pq_call_options){.retry_argument = -1})
#define PQ_CALL_MAKES_DIRECTORY ((pq_call_options){.retry_argument = -1, .makes_directory = true})

/* Takes the script over, even on failure; NULL with `make`. The call frees itself after `done` has
 * run. NULL only without memory, or when `make` fails. */
pq_call *pq_call_start(pq_session *session, pq_script *script, const pq_call_options *options,
                       pq_call_fn done, void *context, pq_error *err);

/* Ends the call without `done`; NULL is fine. What was sent may still run: then its session keeps
 * asking about it, so that the agent frees its record. (A record that nobody fetches is found in
 * place of another's once the guest's pids come round again.) */
void pq_call_drop(pq_call *call);

/* Forgets the calls that were dropped and are still asked about; for pq_session_free(). */
void pq_call_forget_dropped(pq_session *session);

/* Stops asking (true), or asks at once and then as usual (false), trying again for as long as if
 * the call began now. */
void pq_call_hold(pq_call *call, bool hold);

/* Whether the agent has said, more than once, that the script is still running. */
bool pq_call_is_known_running(const pq_call *call);

/* Pid of the script's shell in the guest, 0 while unknown. */
int64_t pq_call_pid(const pq_call *call);

/* False while certainly nothing has reached the guest. */
bool pq_call_may_have_run(const pq_call *call);

/* Asks the agent about a script's `pid` until it has ended, so that it frees its record; the answer
 * is of no interest. */
void pq_call_reap(pq_session *session, int64_t pid);
