/*
 * stdout and stderr of a command in the guest on their way to ours.   (shim)
 *
 * Theory of operation: each goes through a sink. When one of them has more than PQ_SINK_HIGH bytes,
 * `pause` asks for no more, and when both are below PQ_SINK_LOW, for more again.
 */
#pragma once

#include "shim/sink.h"

typedef struct pq_outputs_events {
    /* No more output, please; or go on. */
    void (*pause)(void *context, bool pause);
    /* Some of it was written. May free the owner. */
    void (*moved)(void *context);
    /* One of them cannot be written, which the error names; what is for it is dropped. */
    void (*failed)(void *context, const pq_error *err);
} pq_outputs_events;

/* Embedded in its owner's struct; all-zero is valid for pq_outputs_done(). */
typedef struct pq_outputs {
    pq_sink out, err;
    bool paused;
    pq_outputs_events events;
    void *context;
} pq_outputs;

void pq_outputs_init(pq_outputs *outputs, pq_loop *loop, const pq_outputs_events *events,
                     void *context);
void pq_outputs_done(pq_outputs *outputs);

/* Bytes of stdout (1) or stderr (2). */
void pq_outputs_write(pq_outputs *outputs, int stream, const char *bytes, size_t length);

bool pq_outputs_are_empty(const pq_outputs *outputs);

/* Drops what is not written yet. */
void pq_outputs_drop(pq_outputs *outputs);
