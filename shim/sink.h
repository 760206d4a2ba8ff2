/*
 * Bytes on their way to a descriptor that others may share.   (shim: uses transport/loop)
 *
 * Theory of operation: what is added is queued, and written when the descriptor takes it.
 * O_NONBLOCK belongs to the open file, which our stdout shares with whoever started us, so it is
 * not set; instead each write has at most PIPE_BUF bytes and comes after poll() has found room,
 * which is when a pipe takes that much without waiting. Regular files never make one wait.
 *
 * The queue has no limit of its own but pq_buf's: whoever feeds it stops at PQ_SINK_HIGH and goes
 * on below PQ_SINK_LOW, as `moved` tells.
 */
#pragma once

#include "transport/base/buf.h"
#include "transport/loop/loop.h"

#define PQ_SINK_HIGH ((size_t)1024 * 1024)
#define PQ_SINK_LOW ((size_t)256 * 1024)

typedef struct pq_sink_events {
    /* Some of the queue was written. May free the sink's owner. */
    void (*moved)(void *context);
    /* Writing has failed, told once; what is queued and what is added from now on is dropped. */
    void (*failed)(void *context, const pq_error *err);
} pq_sink_events;

/* Embedded in its owner's struct. */
typedef struct pq_sink {
    pq_loop *loop;
    int fd; /* borrowed */
    bool regular;
    pq_buf queue;
    size_t written; /* bytes at the front of `queue` */
    pq_watch watch;
    pq_defer report;
    pq_error failure; /* code OK: none */
    pq_sink_events events;
    void *context;
} pq_sink;

void pq_sink_init(pq_sink *sink, pq_loop *loop, int fd, const pq_sink_events *events,
                  void *context);
void pq_sink_done(pq_sink *sink);

/* Bytes that are not written yet. */
size_t pq_sink_length(const pq_sink *sink);

/* Where to append; pq_sink_start() gets it on its way. */
pq_buf *pq_sink_queue(pq_sink *sink);
void pq_sink_start(pq_sink *sink);

/* Adds bytes and writes at once what can be written, so that two sinks whose readers keep up keep
 * the order between them. `failed` tells of a lack of memory, too. */
void pq_sink_write(pq_sink *sink, const void *bytes, size_t length);

/* Drops what is queued. */
void pq_sink_drop(pq_sink *sink);
