/*
 * Our stdin on its way to a job's.   (shim: uses exec)
 *
 * Theory of operation: what is there when the command starts is read first, without waiting. If it
 * ends within PQ_FEED_EARLY_BYTES it rides on the job's launcher and costs nothing; otherwise it is
 * the beginning of a stream, of which more is read as the job has room for it.
 *
 * A terminal is not forwarded: without a terminal in the guest, line editing and job control would
 * be the wrong side's. The command gets an empty stdin then.
 */
#pragma once

#include "exec/job.h"

#define PQ_FEED_EARLY_BYTES ((size_t)256 * 1024)

typedef void (*pq_feed_failed_fn)(void *context, const pq_error *err);

/* Embedded in its owner's struct; all-zero is an empty stdin. */
typedef struct pq_stdin_feed {
    int fd; /* borrowed */
    pq_buf early;
    bool streams; /* there is more than `early` */
    pq_job *job;
    pq_loop *loop;
    pq_watch watch;
    pq_feed_failed_fn failed;
    void *context;
} pq_stdin_feed;

/* Reads what is there. Fails with IO, NOMEM. */
int pq_feed_read_early(pq_stdin_feed *feed, int fd, pq_error *err);

/* Fills what the request says of stdin; its pointers are into the feed. */
void pq_feed_describe(const pq_stdin_feed *feed, pq_job_request *request);

/* The job has taken `early`; streams the rest, if any. `failed` tells that stdin cannot be read to
 * its end. */
void pq_feed_start(pq_stdin_feed *feed, pq_loop *loop, pq_job *job, pq_feed_failed_fn failed,
                   void *context);

/* The job has room again. */
void pq_feed_more(pq_stdin_feed *feed);

/* The job has ended, or wants no more. */
void pq_feed_done(pq_stdin_feed *feed);
