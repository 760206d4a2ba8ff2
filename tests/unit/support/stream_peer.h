/*
 * A server for one connection at a time, in a thread: echo over TLS or TCP, perhaps behind an
 * HTTP proxy.   (tests)
 */
#pragma once

#include <openssl/ssl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>

#include "transport/base/digest.h"

typedef enum stream_peer_kind {
    PEER_ECHO,   /* waits for stream_peer_go(), then sends back what comes until the end */
    PEER_SILENT, /* accepts the connection and says nothing, no TLS either */
    PEER_CUT,    /* closes the connection as soon as it is up */
} stream_peer_kind;

/* All-zero but for the first three is what stream_peer_start() wants. */
typedef struct stream_peer {
    stream_peer_kind kind;
    bool tls;
    const char *proxy_answer; /* what a proxy says to CONNECT; NULL: no proxy */

    uint16_t port;
    char fingerprint[96];      /* of the certificate, as PVE shows it */
    char certificate_file[64]; /* PEM; a certificate for 127.0.0.1, its own CA */
    char proxy_request[2048];  /* valid after stream_peer_stop() */
    int listener;
    SSL_CTX *context;
    sem_t gate;
    pthread_t thread;
} stream_peer;

void stream_peer_start(stream_peer *peer);

/* Lets echoes begin, this one and all later ones. */
void stream_peer_go(stream_peer *peer);

/* Returns after the client has closed its connection. */
void stream_peer_stop(stream_peer *peer);

/* A listening socket on 127.0.0.1. */
int stream_peer_listen(uint16_t *ret_port);

/* A port of 127.0.0.1 that nobody listens on. */
uint16_t stream_peer_closed_port(void);
