/*
 * Frames: an incremental decoder and an encoder.   (transport/proto: may use transport/base; no
 * I/O)
 *
 * Theory of operation: the caller reads bytes from wherever they come and calls pq_frame_step()
 * until it says MORE. Each step uses up some of the input and says what happened:
 *
 *   LINE     --LF-->            HEADER, decoder->frame is the new frame
 *   PAYLOAD  --bytes-->         PIECE, any number of times; a piece points into the input
 *   PAYLOAD  --all bytes seen-> END, also after a frame without payload
 *
 * Between two steps a caller may stop for as long as it likes, which is how back-pressure works:
 * unused input stays unused. Memory is bounded by the line, PQ_PROTO_LINE_MAX, and its JSON tree.
 *
 * A frame that cannot be delimited (no JSON, a line or payload past its limit, a `payload` that is
 * no count) breaks the decoder for good: there is no way to find the next frame's start.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "transport/base/buf.h"
#include "transport/base/json.h"
#include "transport/proto/proto.h"

typedef struct pq_frame {
    pq_json *header;        /* any JSON value; who wants to keep it sets this to NULL */
    uint64_t payload_bytes; /* 0 without `payload` */
    bool has_payload;       /* the member is there, even as 0 */
    bool has_nul;           /* some text of the header has U+0000, which `header` cannot show */
} pq_frame;

typedef enum pq_frame_state {
    PQ_FRAME_LINE = 0, /* within a header line, or before one */
    PQ_FRAME_PAYLOAD,  /* after it; payload_left bytes are still to come */
    PQ_FRAME_BROKEN
} pq_frame_state;

/* All-zero is a decoder at the start of a frame. */
typedef struct pq_frame_decoder {
    pq_frame_state state;
    pq_frame frame; /* from HEADER to the step after END */
    uint64_t payload_left;
    pq_buf line;
} pq_frame_decoder;

/* The bytes that are still to be decoded; steps advance it. The memory is the caller's. */
typedef struct pq_frame_input {
    const char *bytes;
    size_t length;
} pq_frame_input;

typedef enum pq_frame_happened {
    PQ_FRAME_MORE,   /* the input is used up */
    PQ_FRAME_HEADER, /* decoder->frame was filled */
    PQ_FRAME_PIECE,  /* bytes of the payload; valid as long as the input's memory */
    PQ_FRAME_END     /* the frame is complete */
} pq_frame_happened;

typedef struct pq_frame_event {
    pq_frame_happened happened;
    const char *bytes; /* PIECE only */
    size_t length;
} pq_frame_event;

void pq_frame_decoder_done(pq_frame_decoder *decoder);

/* One step. Fails with PROTOCOL for a frame that cannot be delimited, or NOMEM; every later step
 * fails too then. */
int pq_frame_step(pq_frame_decoder *decoder, pq_frame_input *input, pq_frame_event *ret_event,
                  pq_error *err);

/* To be called when the input has ended: fails with PROTOCOL within a frame. */
int pq_frame_finish(pq_frame_decoder *decoder, pq_error *err);

/* Appends a frame: `object` is the text of a JSON object with at least one member, on one line and
 * without `payload`, which is added as its last member unless the payload is empty. Fails with
 * NOMEM or TOO_LARGE and leaves `out` as it was then. */
int pq_frame_add(pq_buf *out, const char *object, size_t object_length, const void *payload,
                 size_t payload_length, pq_error *err);
