/*
 * Credit for a request's streamed stdin.   (transport/proto: may use transport/base; pure)
 *
 * A client may send as many bytes in `stdin` notifications as `stdin_ready` has told it in all; it
 * starts with none. So stdin of one request never stands in the way of another, and what we hold
 * is bounded: credit + held <= PQ_PROTO_STDIN_WINDOW.
 *
 *   ready:     credit += room, once half of the window is free; at the start that is all of it
 *   received:  credit -> held
 *   taken:     held -> the guest
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "transport/base/error.h"
#include "transport/proto/proto.h"

/* All-zero is a window before its first credit. */
typedef struct pq_stdin_window {
    size_t credit; /* bytes the client may send */
    size_t held;   /* bytes that came and were not taken yet */
    bool eof;
} pq_stdin_window;

/* Bytes to announce with `stdin_ready` now, which count as announced; 0: nothing to say. */
size_t pq_stdin_window_ready(pq_stdin_window *window);

/* A `stdin` message with that much payload, from its header. Fails with PROTOCOL when it is more
 * than the credit or comes after the end; the request is to be cancelled then. */
int pq_stdin_window_received(pq_stdin_window *window, uint64_t bytes, bool eof, pq_error *err);

/* `bytes` (at most `held`) went on to the guest. */
void pq_stdin_window_taken(pq_stdin_window *window, size_t bytes);
