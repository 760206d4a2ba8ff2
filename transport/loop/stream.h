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
    const char *host;        /* name or address; IPv6 without brackets */
    uint16_t port;
    bool tls;                /* false only for tests */
    bool verify;             /* check the certificate and its name */
    const char *ca_file;     /* PEM, or NULL for the system's CAs */
    const char *fingerprint; /* SHA-256 as "AA:BB:..", or NULL; replaces `verify` */
    const char *tls_min;     /* "1.2" or "1.3"; NULL: 1.2 */
    const char *proxy;       /* URL, "" for none even if the environment names one, or NULL */
    const pq_secret *proxy_userpwd; /* "user:password" or NULL */
    pq_ms connect_timeout;   /* for everything up to the finished TLS handshake */
} pq_stream_options;

typedef struct pq_stream pq_stream;

/* `err` is NULL when connected. Errors: RESOLVE, CONNECT, PROXY, TLS, FINGERPRINT, TIMEOUT, all with
 * effect "none"; RESOLVE, CONNECT, TIMEOUT are retryable. */
typedef void (*pq_stream_connected)(void *context, const pq_error *err);

/* Starts connecting; the options are copied. The stream is the caller's to free, at any time;
 * after that nothing is called. NULL on failure to start. */
pq_stream *pq_stream_open(pq_loop *loop, const pq_stream_options *options,
                          pq_stream_connected connected, void *context, pq_error *err);
void pq_stream_free(pq_stream *stream);

/* Sends what fits now; *ret_sent may be 0. Fails with NETWORK. */
int pq_stream_send(pq_stream *stream, const void *bytes, size_t length, size_t *ret_sent,
                   pq_error *err);

typedef enum pq_stream_got { PQ_STREAM_DATA, PQ_STREAM_WAIT, PQ_STREAM_END } pq_stream_got;

/* Receives what is there. Call until PQ_STREAM_WAIT: TLS may hold bytes that poll() does not see.
 * Returns -1 with NETWORK on failure. */
int pq_stream_recv(pq_stream *stream, void *bytes, size_t size, size_t *ret_length,
                   pq_stream_got *ret_got, pq_error *err);

/* Which readiness (PQ_READABLE, PQ_WRITABLE, 0) is reported to `ready` from now on. */
void pq_stream_watch(pq_stream *stream, int events, pq_watch_fn ready, void *context);
