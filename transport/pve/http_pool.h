/*
 * Requests over kept connections to one server.   (transport/pve: uses transport/loop; knows HTTP,
 * nothing of Proxmox VE)
 *
 * Theory of operation: a call waits in a queue until a connection is free. The most recently used
 * idle connection is taken first, so that surplus ones grow old and go; with none idle, one more is
 * opened for every waiting call, up to PQ_HTTP_CONNECTIONS_MAX. TLS handshakes are what costs, so a
 * connection is kept as long as the server keeps it: pveproxy closes one after 100 requests or 5.0
 * s of idleness, and we retire it a little earlier than that. Requests are not pipelined.
 *
 * What happens to a request:
 *   - its idle connection turns out closed before any byte was sent: another is taken;
 *   - the connection ends before the whole request was sent: error with effect NONE, retryable;
 *   - it ends after that without an answer: effect UNKNOWN, retryable; an idempotent request is
 *     sent once more on a new connection first.
 *
 * Failing to connect ends the waiting calls at once if the server was never reached, else after
 * three more attempts within 2 s, as when a proxy restarts.
 */
#pragma once

#include "transport/base/buf.h"
#include "transport/loop/stream.h"
#include "transport/pve/http_reader.h"

/* pveproxy ends a connection with its 100th answer. */
#define PQ_HTTP_REQUESTS_MAX 99

/* pveproxy ends a connection after 5.0 s without a request. */
#define PQ_HTTP_IDLE_MAX_MS 4000

/* Open at a time, the ones being opened included. */
#define PQ_HTTP_CONNECTIONS_MAX 64

/* Largest answer, before and after unpacking: 16 MiB of file-read with every byte as two, and
 * then some. */
#define PQ_HTTP_ANSWER_MAX ((size_t)48 * 1024 * 1024)

typedef struct pq_http_pool pq_http_pool;

typedef struct pq_http_answer {
    int status;
    char reason[PQ_HTTP_REASON_MAX];
    pq_buf body; /* unpacked; the receiver may take it */
} pq_http_answer;

/* Exactly one of err and answer is NULL. The effect of `err` says what the server can have done. */
typedef void (*pq_http_done)(void *context, const pq_error *err, pq_http_answer *answer);

/* A request under way; embedded in its owner's struct, all-zero when idle. */
typedef struct pq_http_call {
    /* Set before pq_http_call_start(). */
    pq_buf head;        /* request line to blank line; wiped and freed when the call ends */
    const char *body;   /* the caller's, unchanged until the call ends; NULL for none */
    size_t body_length; /* bytes */
    size_t answer_max;  /* largest body, at most PQ_HTTP_ANSWER_MAX; 0: that */
    bool idempotent;
    pq_ms timeout;      /* from the first byte sent to the whole answer */
    const char *method; /* for the trace, like `path`: no query, no secrets */
    const char *path;

    /* private */
    pq_http_pool *pool; /* NULL while idle */
    pq_http_done done;
    void *context;
    struct pq_http_conn *conn; /* NULL while waiting */
    struct pq_http_call *next, **link;
    pq_timer timer;
    int64_t started_us;
    size_t head_body; /* bytes of the body that were copied behind the head */
    bool resent;
    bool wants_new; /* on a connection that was not used before */
} pq_http_call;

/* The options and what they point to stay the caller's and valid. */
pq_http_pool *pq_http_pool_new(pq_loop *loop, const pq_stream_options *options, pq_error *err);

/* All calls have ended or were dropped. */
void pq_http_pool_free(pq_http_pool *pool);

/* The shortest time of a round trip to the server, seen while connecting; 0: not connected yet. */
pq_ms pq_http_pool_round_trip(const pq_http_pool *pool);

/* Queues the call. `done` runs from the loop, once, unless the call is dropped. */
void pq_http_call_start(pq_http_pool *pool, pq_http_call *call, pq_http_done done, void *context);

/* Whether the server may have the whole request. */
bool pq_http_call_was_sent(const pq_http_call *call);

/* Forgets the call, idle ones included. A request on its way is not called back. */
void pq_http_call_drop(pq_http_call *call);
