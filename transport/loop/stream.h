/*
 * A TLS (or plain) connection to a server, made by libcurl.   (transport/loop)
 *
 * libcurl resolves, connects, speaks to proxies and does TLS; the bytes on the connection are the
 * caller's. (PVE answers with two Connection headers that contradict each other; libcurl's own
 * HTTP would drop the connection after every agent call.)
 *
 * Nothing is sent before the certificate was accepted: verified against the CAs, or, when a
 * fingerprint is given, compared with that and nothing else.
 */
#pragma once

#include <stdint.h>

#include "transport/base/secret.h"
#include "transport/loop/loop.h"

typedef struct pq_stream_options {
    const char *host; /* name or address; IPv6 without brackets */
    uint16_t port;
    bool tls;                /* false: the bytes are as they are, for SSH */
    bool verify;             /* check the certificate and its name */
    const char *ca_file;     /* PEM, or NULL for the system's CAs */
    const char *fingerprint; /* SHA-256 as "AA:BB:..", or NULL; replaces `verify` */
    const char *tls_min;     /* "1.2" or "1.3"; NULL: 1.2 */
    const char *proxy;       /* URL, "" for none even if the environment names one, or NULL */
    const pq_secret *proxy_userpwd; /* "user:password" or NULL */
    pq_ms connect_timeout; /* up to the finished TLS handshake; <= 0: libcurl's 5 minutes */
} pq_stream_options;

typedef struct pq_stream pq_stream;

/* `err` is NULL when connected. Errors: RESOLVE, CONNECT, PROXY, TLS, FINGERPRINT, TIMEOUT (and
 * NOMEM, CONFIG), all with effect "none"; RESOLVE, CONNECT, TIMEOUT and NETWORK
 * (the server hung up in the handshake) are retryable. What is wrong
 * between us and a proxy is PROXY, but for a proxy that the environment names and that does not
 * accept connections: libcurl does not tell that from the server, only its text does. */
typedef void (*pq_stream_connected)(void *context, const pq_error *err);

/* Starts connecting; the options are copied. The stream is the caller's to free, at any time, also
 * from its own callbacks; after that nothing is called. NULL on failure to start: CONFIG for
 * options that cannot be right, NOMEM, INTERNAL. */
pq_stream *pq_stream_open(pq_loop *loop, const pq_stream_options *options,
                          pq_stream_connected connected, void *context, pq_error *err);
void pq_stream_free(pq_stream *stream);

/* The time from the first packet to an address that answered until it did: one round trip to the
 * server or its proxy. 0 while not connected. */
pq_ms pq_stream_round_trip(const pq_stream *stream);

/* The connection's descriptor, for libraries that want to see one; -1 while not connected. */
int pq_stream_descriptor(const pq_stream *stream);

/* Sends what fits now; *ret_sent may be 0. Bytes that were not sent come first in the next call:
 * part of them may be encrypted already. Fails with NETWORK and effect "unknown". */
int pq_stream_send(pq_stream *stream, const void *bytes, size_t length, size_t *ret_sent,
                   pq_error *err);

typedef enum pq_stream_got { PQ_STREAM_DATA, PQ_STREAM_WAIT, PQ_STREAM_END } pq_stream_got;

/* Receives what is there. Call until PQ_STREAM_WAIT: TLS may hold bytes that poll() does not see.
 * *ret_length is above 0 with PQ_STREAM_DATA only. Fails with NETWORK and effect "unknown", also
 * when a TLS connection ends without the peer's goodbye. */
int pq_stream_recv(pq_stream *stream, void *bytes, size_t size, size_t *ret_length,
                   pq_stream_got *ret_got, pq_error *err);

/* Which readiness (PQ_READABLE, PQ_WRITABLE, 0) is reported to `ready` from now on. For connected
 * streams; does nothing on others. */
void pq_stream_watch(pq_stream *stream, int events, pq_watch_fn ready, void *context);
