/*
 * One kept connection of a pool; sends one request at a time and reads its answer.
 * (transport/pve, private to http_pool.c and http_conn.c)
 *
 * States, changed in set_state() only:
 *
 *   CONNECTING  pq_stream is at work; ends in IDLE or in the end of the connection
 *   IDLE        kept for the next request; anything that arrives now ends the connection
 *   BUSY        has a call: its request is being sent or its answer awaited
 *   DRAINING    its call was dropped after the whole request was sent; the answer is read and
 *               thrown away, so that the connection can be used again
 *
 * A connection never calls back from inside a function that was called on it. Each report is the
 * last thing it does, so the receiver may free it.
 */
#pragma once

#include "transport/loop/stream.h"
#include "transport/pve/http_pool.h"
#include "transport/pve/http_reader.h"

typedef enum pq_conn_state {
    PQ_CONN_CONNECTING = 0,
    PQ_CONN_IDLE,
    PQ_CONN_BUSY,
    PQ_CONN_DRAINING
} pq_conn_state;

typedef struct pq_http_conn {
    pq_http_pool *pool;
    pq_loop *loop;
    struct pq_http_conn *next, **link; /* in the pool's list of all connections */
    unsigned number;                   /* for the trace */
    pq_conn_state state;
    pq_stream *stream;
    pq_timer timer; /* IDLE: retire; DRAINING: give up */
    unsigned requests;
    int64_t idle_since_us; /* orders idle connections */
    pq_http_call *call;    /* BUSY */
    size_t sent;           /* bytes of the call's head and body */
    bool send_failed;      /* no more is sent; an answer may still be readable */
    pq_http_reader reader;
} pq_http_conn;

/* What became of a connection or its request. */
typedef enum pq_conn_event {
    PQ_CONN_READY,    /* connected, or free again after draining: IDLE now */
    PQ_CONN_ENDED,    /* could not connect, or ended without a call; `err` tells why */
    PQ_CONN_ANSWERED, /* conn->reader holds the answer to conn->call */
    PQ_CONN_FAILED    /* conn->call gets no answer; `err` tells why */
} pq_conn_event;

/* Implemented by the pool. */
void pq_http_pool_report(pq_http_pool *pool, pq_http_conn *conn, pq_conn_event event,
                         const pq_error *err);

/* Starts connecting. NULL on failure to start. */
pq_http_conn *pq_http_conn_open(pq_http_pool *pool, pq_loop *loop, const pq_stream_options *options,
                                unsigned number, pq_error *err);

/* Closes and frees; its call, if any, is only forgotten. */
void pq_http_conn_free(pq_http_conn *conn);

/* IDLE: still open, with nothing unexpected waiting to be read? */
bool pq_http_conn_is_sound(pq_http_conn *conn);

/* IDLE -> BUSY: starts sending. */
void pq_http_conn_begin(pq_http_conn *conn, pq_http_call *call);

/* BUSY -> IDLE after PQ_CONN_ANSWERED; the receiver took what it wants from the reader. */
void pq_http_conn_rest(pq_http_conn *conn);

/* BUSY, and the answer is not wanted any more. False if the connection must be closed. */
bool pq_http_conn_drain(pq_http_conn *conn);

/* Whether the connection can carry another request after this answer. */
bool pq_http_conn_is_reusable(const pq_http_conn *conn);

/* Whether the whole request was handed to the network. Until then the server cannot have acted on
 * it: Content-Length tells that bytes are missing. */
bool pq_http_conn_all_sent(const pq_http_conn *conn);
