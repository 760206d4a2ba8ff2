/*
 * Our stdin on its way to that of a command in the guest.   (shim: uses exec)
 *
 * Theory of operation: more is read whenever the command (a job, a stream) has room for it, so
 * nothing is held here. A job can take its beginning at the start: what is there by then is read
 * first, without waiting. If stdin ends within PQ_FEED_EARLY_BYTES it rides on the job's launcher
 * and costs nothing; otherwise it is the beginning of what is streamed.
 *
 * The descriptor may be shared with others, so its flags stay as they are.
 */
#pragma once

#include "transport/base/buf.h"
#include "transport/loop/loop.h"

#define PQ_FEED_EARLY_BYTES ((size_t)256 * 1024)

typedef void (*pq_feed_failed_fn)(void *context, const pq_error *err);

/* Where the bytes go: the functions of a job's or stream's input. */
typedef struct pq_feed_target {
    size_t (*room)(const void *target);
    int (*input)(void *target, const void *bytes, size_t length, pq_error *err);
    void (*end)(void *target);
} pq_feed_target;

/* Embedded in its owner's struct; all-zero is an empty stdin. */
typedef struct pq_stdin_feed {
    int fd; /* borrowed */
    pq_buf early;
    bool streams; /* there is more than `early` */
    pq_feed_target functions;
    void *target; /* NULL: none, or it has ended */
    pq_loop *loop;
    pq_watch watch;
    pq_feed_failed_fn failed;
    void *context;
} pq_stdin_feed;

/* All of it is streamed. */
void pq_feed_open(pq_stdin_feed *feed, int fd);

/* Reads what is there. Fails with IO, NOMEM. */
int pq_feed_read_early(pq_stdin_feed *feed, int fd, pq_error *err);

/* The target has taken `early`; streams the rest, if any. `failed` tells that stdin cannot be read
 * to its end. */
void pq_feed_start(pq_stdin_feed *feed, pq_loop *loop, const pq_feed_target *functions,
                   void *target, pq_feed_failed_fn failed, void *context);

/* The target has room again. */
void pq_feed_more(pq_stdin_feed *feed);

/* The target has ended, or wants no more. */
void pq_feed_done(pq_stdin_feed *feed);
