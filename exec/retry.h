/*
 * Trying an idempotent operation again.   (exec)
 *
 * It goes on, with growing delays, until nothing has worked for the session's connect_timeout. A
 * server that could not be reached even once is not waited for: a wrong name or port does not mend
 * itself, while a guest agent comes up.
 */
#pragma once

#include "exec/session.h"

/* All-zero but for `last_good`, which pq_retry_good() sets. Stop it before its memory goes. */
typedef struct pq_retry {
    pq_timer timer;
    pq_ms last_good;   /* when the server last did what it was asked */
    unsigned failures; /* in a row */
    bool told;         /* the user knows that we are waiting */
} pq_retry;

/* At the start of an operation. */
void pq_retry_begin(pq_retry *retry);

/* The server did what it was asked. */
void pq_retry_good(pq_retry *retry, pq_session *session);

/* After a failure: calls next(context) after a delay, or returns false if it is final. Tells the
 * user once when this takes long. */
bool pq_retry_later(pq_retry *retry, pq_session *session, const pq_error *err, pq_loop_fn next,
                    void *context);

void pq_retry_stop(pq_retry *retry);
