/*
 * A connection pool with an http_peer at its other end, and what came of its calls.   (tests)
 *
 * http_client_setup() and _teardown() are for a suite.
 */
#pragma once

#include "tests/unit/support/http_peer.h"
#include "transport/pve/http_pool.h"

#define HTTP_CLIENT_CALLS_MAX 128

/* A call and what came of it. */
typedef struct http_outcome {
    pq_http_call call;
    int calls;
    pq_error err;
    int status;
    char body[200];
    char reason[PQ_HTTP_REASON_MAX];
} http_outcome;

typedef struct http_client {
    pq_loop *loop;
    pq_http_pool *pool;
    pq_stream_options options; /* 127.0.0.1, no TLS */
    http_outcome outcomes[HTTP_CLIENT_CALLS_MAX];
    int left; /* callbacks until the loop stops */
} http_client;

extern http_client client;

void http_client_setup(void);
void http_client_teardown(void);

void start_peer(http_peer *peer);

/* The pool hangs up before the peer is stopped, so that nothing is in flight. */
void stop_peer(http_peer *peer);

/* Queues a call; GET is idempotent. */
void start_call(http_outcome *o, const char *method, const char *body, size_t length);

/* Runs the loop until `count` calls have ended. */
void run(int count);

/* One call without a body, to its end. */
http_outcome *ask(const char *method);

void expect_ok(const http_outcome *o, const char *body);
void expect_error(const http_outcome *o, pq_code code, pq_effect effect, bool retryable);
