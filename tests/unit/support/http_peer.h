/*
 * A server that plays a script of HTTP answers over plain TCP, in a thread.   (tests)
 *
 * Each request that arrives, on whatever connection, is met by the next step. Connections that no
 * step closes stay open. Requests and connections are recorded; look at them after
 * http_peer_stop().
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_PEER_REQUESTS_MAX 128
#define HTTP_PEER_CONNECTIONS_MAX 100

typedef enum http_peer_act {
    HTTP_PEER_ANSWER, /* reads the request, answers, keeps the connection open */
    HTTP_PEER_LAST,   /* the same, and closes it */
    HTTP_PEER_CUT,    /* reads the request and closes the connection */
    HTTP_PEER_EARLY,  /* reads the head only, answers, closes */
    HTTP_PEER_SILENT, /* reads the request and says nothing */
} http_peer_act;

typedef struct http_peer_step {
    http_peer_act act;
    const char *answer;
    size_t length; /* of the answer; 0: it is a string */
} http_peer_step;

/* All-zero but for steps and count is what http_peer_start() wants. The last step meets all
 * further requests too. */
typedef struct http_peer {
    const http_peer_step *steps;
    size_t count;

    uint16_t port;
    int listener;
    int stop_pipe[2];
    pthread_t thread;
    size_t request_count;
    char *requests[HTTP_PEER_REQUESTS_MAX]; /* head and body of each */
    size_t connection_count;
} http_peer;

void http_peer_start(http_peer *peer);
void http_peer_stop(http_peer *peer);

/* Frees the records. */
void http_peer_done(http_peer *peer);

/* "HTTP/1.1 200 OK" as pveproxy sends it, both Connection headers included, with `json` as the
 * body; valid until the test ends. */
const char *http_ok(const char *json);

/* An error as pveproxy sends it: the text in the status line, and `json` as the body unless NULL.
 */
const char *http_error(int status, const char *reason, const char *json);
