/*
 * Reads one HTTP/1.1 response, byte by byte if need be.   (transport/pve; pure, no I/O)
 *
 * Theory of operation: pq_http_reader_feed() takes bytes as they come from the connection and
 * keeps what it needs; after the last byte of the answer it takes nothing more. Interim answers
 * (1xx) are skipped. The body ends by Content-Length, by chunks (a reverse proxy may send them) or
 * with the connection. What does not follow RFC 9112 is BAD_ANSWER, not guessed at.
 *
 * Whether the connection stays open is decided as pveproxy means it: it passes the inner daemon's
 * `Connection: close` on and adds its own `Connection: Keep-Alive`, and the connection stays open.
 * So: any Connection header with keep-alive means open, otherwise close means closed, otherwise
 * HTTP/1.1 is open and HTTP/1.0 closed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transport/base/buf.h"

/* All header lines of one response together, and their number. PVE sends about 500 bytes. */
#define PQ_HTTP_HEADER_MAX ((size_t)64 * 1024)
#define PQ_HTTP_LINES_MAX 128

/* Bytes kept of the reason, in which PVE puts its error text; the rest is cut off. */
#define PQ_HTTP_REASON_MAX 512

typedef enum pq_http_state {
    PQ_HTTP_STATUS = 0, /* waiting for the status line */
    PQ_HTTP_HEADERS,
    PQ_HTTP_BODY_LENGTH, /* `left` bytes to come */
    PQ_HTTP_BODY_CLOSE,  /* until the connection ends */
    PQ_HTTP_CHUNK_SIZE,
    PQ_HTTP_CHUNK_DATA, /* `left` bytes to come */
    PQ_HTTP_CHUNK_END,  /* the line end behind a chunk */
    PQ_HTTP_TRAILERS,
    PQ_HTTP_DONE
} pq_http_state;

/* All-zero is valid before pq_http_reader_start(). */
typedef struct pq_http_reader {
    /* The answer; valid in state DONE, status and reason from state HEADERS on. */
    int status;
    char reason[PQ_HTTP_REASON_MAX];
    bool keep_open;
    bool gzip;   /* the body is gzipped */
    pq_buf body; /* as sent; its maximum is the limit given */

    /* private */
    pq_http_state state;
    bool started; /* a byte was fed */
    bool http_1_0, close, keep_alive, chunked, has_length;
    uint64_t left;
    unsigned interim;    /* 1xx answers skipped */
    unsigned lines;      /* of this header or trailer */
    size_t header_bytes; /* of this answer's lines */
    pq_buf line;         /* the line that is not yet complete */
} pq_http_reader;

/* Prepares for the next response, whose body may have `body_max` bytes. */
void pq_http_reader_start(pq_http_reader *reader, size_t body_max);

void pq_http_reader_done(pq_http_reader *reader);

/* Takes up to `length` bytes; *ret_used is less only when the answer is complete (state DONE).
 * Fails with BAD_ANSWER or NOMEM. */
int pq_http_reader_feed(pq_http_reader *reader, const char *bytes, size_t length, size_t *ret_used,
                        pq_error *err);

/* The connection ended. Success if that completes the answer, else NETWORK. */
int pq_http_reader_end(pq_http_reader *reader, pq_error *err);

bool pq_http_reader_is_done(const pq_http_reader *reader);

/* Whether any byte of an answer came. */
bool pq_http_reader_has_begun(const pq_http_reader *reader);
