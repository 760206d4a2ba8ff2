/*
 * The event loop.   (transport/loop: may use transport/base)
 *
 * Theory of operation: one thread, one wait point (curl_multi_poll with our descriptors as extra
 * ones). What can happen is a readable or writable descriptor (pq_watch), a deadline (pq_timer), a
 * deferred call (pq_defer), a signal, or the end of a connection attempt (stream.h). Each calls
 * one function with the context it was started with.
 *
 * Callbacks run from pq_loop_run() only, never from inside the call that started something, so a
 * caller may finish setting up after it has started an operation. A callback may start, stop and
 * free anything, itself included, and may stop the loop.
 *
 * pq_watch, pq_timer and pq_defer are embedded in their owner's struct, all-zero when idle. An
 * owner stops them before it frees that memory.
 */
#pragma once

#include <stdbool.h>

#include "transport/base/clock.h"
#include "transport/base/error.h"

typedef struct pq_loop pq_loop;

typedef void (*pq_loop_fn)(void *context);

/* Ignores SIGPIPE for the process; a failed write says EPIPE instead. */
pq_loop *pq_loop_new(pq_error *err);

/* The owner has stopped everything started on it. */
void pq_loop_free(pq_loop *loop);

/* Runs until pq_loop_stop(), or until nothing is left that could happen: no watch, no connection
 * attempt, no timer but those that never come. Signal handlers alone do not keep it running. Fails
 * with INTERNAL if the wait itself fails, or NOMEM. It may be run again afterwards. */
int pq_loop_run(pq_loop *loop, pq_error *err);

/* No callback runs after the one that calls this; what was due is due in the next run. */
void pq_loop_stop(pq_loop *loop);

/* ---- timers ---- */

typedef struct pq_timer {
    pq_loop *loop; /* NULL while idle */
    pq_ms deadline;
    pq_loop_fn fire;
    void *context;
    struct pq_timer *next, **link;
} pq_timer;

/* Calls fire(context) once, `delay` ms from now or at the next turn for <= 0; never for PQ_NEVER.
 * Timers fire in the order of their deadlines, equal ones in the order of their start. Restarts a
 * running timer. */
void pq_timer_start(pq_loop *loop, pq_timer *timer, pq_ms delay, pq_loop_fn fire, void *context);
void pq_timer_stop(pq_timer *timer);
bool pq_timer_is_running(const pq_timer *timer);

/* ---- descriptors ---- */

#define PQ_READABLE 1
#define PQ_WRITABLE 2

typedef void (*pq_watch_fn)(void *context, int events);

typedef struct pq_watch {
    pq_loop *loop; /* NULL while idle */
    int fd;
    int events;
    int found; /* readiness that this turn has still to report */
    pq_watch_fn ready;
    void *context;
    struct pq_watch *next, **link;
} pq_watch;

/* Calls ready(context, events) on every turn in which `fd` is ready for any of `events`; an error
 * or hang-up counts as ready. The descriptor stays the caller's, who stops the watch before he
 * closes it. Regular files are always ready. Restarts a running watch; no events: stops it. */
void pq_watch_start(pq_loop *loop, pq_watch *watch, int fd, int events, pq_watch_fn ready,
                    void *context);
void pq_watch_stop(pq_watch *watch);
bool pq_watch_is_running(const pq_watch *watch);

/* ---- deferred calls ---- */

typedef struct pq_defer {
    pq_timer timer;
} pq_defer;

/* Calls fn(context) at the next turn. Nothing happens if it is already due. */
void pq_defer_start(pq_loop *loop, pq_defer *defer, pq_loop_fn fn, void *context);
void pq_defer_stop(pq_defer *defer);

/* ---- signals ---- */

typedef void (*pq_signal_fn)(void *context, int signal_number);

/* Calls fn for each delivery of `signal_number`; NULL restores the default action. One loop of the
 * process at a time may handle signals. Fails with INTERNAL. */
int pq_loop_on_signal(pq_loop *loop, int signal_number, pq_signal_fn fn, void *context,
                      pq_error *err);
