/*
 * A stream under test and what came of it.   (tests)
 *
 * stream_client_setup() and _teardown() are for a suite, without a proxy in the environment.
 */
#pragma once

#include "tests/unit/support/stream_peer.h"
#include "transport/loop/stream.h"

/* More than the socket buffers of both sides hold. */
#define STREAM_ECHO_BYTES ((size_t)8 * 1024 * 1024)

typedef struct stream_client {
    pq_loop *loop;
    pq_stream *stream;
    pq_stream_options options; /* 127.0.0.1 without TLS at first */
    int calls;                 /* of the connected callback */
    bool free_when_called;
    pq_timer timer; /* free for the test's use */
    pq_error err;   /* what the callback got */

    unsigned char *out; /* STREAM_ECHO_BYTES to send */
    unsigned char *in;
    size_t sent, received;
    bool full; /* the last send was cut short */
    pq_stream_got got;
} stream_client;

extern stream_client tester;

void stream_client_setup(void);
void stream_client_teardown(void);

/* The connected callback; `context` is a stream_client. */
void stream_client_connected(void *context, const pq_error *err);

/* Connects as tester.options say, or gets an error, and returns its code; an earlier stream is
 * freed. */
pq_code stream_client_connect(uint16_t port);

void stream_client_disconnect(void);

/* Starts a TLS peer and makes the client expect one. */
void stream_client_start_tls(stream_peer *peer);

/* Sends until nothing fits any more, lets the peer go, sends and receives the rest at once, and
 * compares. Once in a test. */
void stream_client_check_echo(stream_peer *peer);
