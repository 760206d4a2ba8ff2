/*
 * Signals as bytes in a pipe.   (transport/loop, internal)
 *
 * The handler writes the signal's number to a pipe that the loop watches; what is to be done about
 * it happens in the loop. A handler has no context, so one pq_signals of the process at a time can
 * be in use.
 */
#pragma once

#include <signal.h>

#include "transport/loop/loop.h"

typedef struct pq_signals {
    int pipe[2]; /* non-blocking; -1 until a signal is handled */
    struct {
        pq_signal_fn fn; /* NULL: the signal is not ours */
        void *context;
    } handlers[NSIG];
} pq_signals;

void pq_signals_init(pq_signals *signals);

/* Restores the default action of each signal that is handled. */
void pq_signals_done(pq_signals *signals);

/* As pq_loop_on_signal(). */
int pq_signals_set(pq_signals *signals, int number, pq_signal_fn fn, void *context, pq_error *err);

/* Calls the handler of one signal that arrived; false if none is left. */
bool pq_signals_call_next(pq_signals *signals);
