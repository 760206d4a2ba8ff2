#include "transport/proto/frame.h"

#include <stdio.h>
#include <string.h>

#include "transport/base/encode.h"
#include "transport/base/log.h"

/* Memory of the line buffer that is kept for the next frame. */
#define LINE_KEEP ((size_t)64 * 1024)

static const char *state_name(pq_frame_state state)
{
    switch (state) {
    case PQ_FRAME_LINE:
        return "line";
    case PQ_FRAME_PAYLOAD:
        return "payload";
    case PQ_FRAME_BROKEN:
        break;
    }
    return "broken";
}

static void set_state(pq_frame_decoder *decoder, pq_frame_state state)
{
    pq_trace("frame.state", PQ_TEXT("from", state_name(decoder->state)),
             PQ_TEXT("to", state_name(state)), PQ_GUEST("line", decoder->line.length),
             PQ_GUEST("payload", decoder->frame.payload_bytes));
    decoder->state = state;
}

static void forget_frame(pq_frame_decoder *decoder)
{
    pq_json_free(decoder->frame.header);
    decoder->frame = (pq_frame){0};
}

static void forget_line(pq_frame_decoder *decoder)
{
    if (decoder->line.capacity > LINE_KEEP)
        pq_buf_done(&decoder->line);
    else
        pq_buf_clear(&decoder->line);
}

void pq_frame_decoder_done(pq_frame_decoder *decoder)
{
    forget_frame(decoder);
    pq_buf_done(&decoder->line);
}

/* ---- the header line ---- */

typedef struct line_scan {
    bool in_string;
    bool has_nul;
    size_t values; /* upper bound: all but the first follow one of , [ { */
} line_scan;

/* The escape at `text[i]`, a backslash; returns the index of the character it escapes. */
static size_t scan_escape(line_scan *scan, const char *text, size_t length, size_t i)
{
    if (length - i >= 6 && memcmp(text + i + 1, "u0000", 5) == 0)
        scan->has_nul = true;
    return i + 1;
}

/* What the JSON library would let pass or not show: control bytes, U+0000, too many values. */
static int scan_line(const char *text, size_t length, line_scan *ret_scan, pq_error *err)
{
    line_scan scan = {.values = 1};
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if ((unsigned char)c < 0x20 && (scan.in_string || (c != '\t' && c != '\r')))
            return pq_fail(err, PQ_E_PROTOCOL, "malformed frame: control byte in the header");
        if (c == '"')
            scan.in_string = !scan.in_string;
        else if (scan.in_string && c == '\\')
            i = scan_escape(&scan, text, length, i);
        else if (!scan.in_string && (c == ',' || c == '[' || c == '{'))
            scan.values++;
    }
    if (scan.values > PQ_PROTO_VALUES_MAX)
        return pq_fail(err, PQ_E_PROTOCOL, "malformed frame: more than %d values in the header",
                       PQ_PROTO_VALUES_MAX);
    *ret_scan = scan;
    return 0;
}

static bool is_number(const pq_json *item)
{
    return pq_json_string_value(item) == NULL;
}

/* `payload` decides where the next frame starts, so it may not be ambiguous. */
static int read_payload_member(pq_frame *frame, pq_error *err)
{
    if (!pq_json_is_object(frame->header))
        return 0;
    const pq_json *found = NULL;
    for (const pq_json *item = pq_json_first(frame->header); item != NULL;
         item = pq_json_next(item)) {
        if (strcmp(pq_json_name(item), "payload") != 0)
            continue;
        if (found != NULL)
            return pq_fail(err, PQ_E_PROTOCOL, "malformed frame: payload is given twice");
        found = item;
    }
    if (found == NULL)
        return 0;
    int64_t bytes;
    if (!is_number(found) || !pq_json_int(frame->header, "payload", &bytes) || bytes < 0)
        return pq_fail(err, PQ_E_PROTOCOL, "malformed frame: payload must be a count of bytes");
    if ((uint64_t)bytes > PQ_PROTO_PAYLOAD_MAX)
        return pq_fail(err, PQ_E_PROTOCOL, "malformed frame: payload is larger than %zu bytes",
                       PQ_PROTO_PAYLOAD_MAX);
    frame->payload_bytes = (uint64_t)bytes;
    frame->has_payload = true;
    return 0;
}

static int read_header(pq_frame_decoder *decoder, pq_error *err)
{
    pq_buf *line = &decoder->line;
    line_scan scan;
    if (scan_line(line->data, line->length, &scan, err) < 0)
        return -1;
    if (pq_utf8_valid_length(line->data, line->length) != line->length)
        return pq_fail(err, PQ_E_PROTOCOL, "malformed frame: the header is not UTF-8");
    pq_error parse_error;
    decoder->frame.header = pq_json_parse(line->data, line->length, &parse_error);
    if (decoder->frame.header == NULL)
        return pq_fail(err, PQ_E_PROTOCOL, "malformed frame: the header is not one JSON value");
    decoder->frame.has_nul = scan.has_nul;
    return read_payload_member(&decoder->frame, err);
}

static void consume(pq_frame_input *input, size_t count)
{
    input->bytes += count;
    input->length -= count;
}

static int step_line(pq_frame_decoder *decoder, pq_frame_input *input, pq_frame_event *event,
                     pq_error *err)
{
    const char *end = input->length > 0 ? memchr(input->bytes, '\n', input->length) : NULL;
    size_t part = end != NULL ? (size_t)(end - input->bytes) : input->length;
    if (part > PQ_PROTO_LINE_MAX - decoder->line.length)
        return pq_fail(err, PQ_E_PROTOCOL, "malformed frame: the header is longer than %zu bytes",
                       PQ_PROTO_LINE_MAX);
    if (pq_buf_add(&decoder->line, input->bytes, part, err) < 0)
        return -1;
    consume(input, end != NULL ? part + 1 : part);
    if (end == NULL) {
        event->happened = PQ_FRAME_MORE;
        return 0;
    }
    if (read_header(decoder, err) < 0)
        return -1;
    decoder->payload_left = decoder->frame.payload_bytes;
    set_state(decoder, PQ_FRAME_PAYLOAD);
    forget_line(decoder);
    event->happened = PQ_FRAME_HEADER;
    return 0;
}

/* ---- the payload ---- */

static void step_payload(pq_frame_decoder *decoder, pq_frame_input *input, pq_frame_event *event)
{
    if (decoder->payload_left == 0) {
        set_state(decoder, PQ_FRAME_LINE);
        event->happened = PQ_FRAME_END;
        return;
    }
    if (input->length == 0) {
        event->happened = PQ_FRAME_MORE;
        return;
    }
    size_t part = input->length;
    if (part > decoder->payload_left)
        part = (size_t)decoder->payload_left;
    *event = (pq_frame_event){PQ_FRAME_PIECE, input->bytes, part};
    decoder->payload_left -= part;
    consume(input, part);
}

static int break_off(pq_frame_decoder *decoder)
{
    forget_frame(decoder);
    pq_buf_done(&decoder->line);
    set_state(decoder, PQ_FRAME_BROKEN);
    return -1;
}

int pq_frame_step(pq_frame_decoder *decoder, pq_frame_input *input, pq_frame_event *ret_event,
                  pq_error *err)
{
    pq_frame_event event = {0};
    switch (decoder->state) {
    case PQ_FRAME_LINE:
        forget_frame(decoder);
        if (step_line(decoder, input, &event, err) < 0)
            return break_off(decoder);
        break;
    case PQ_FRAME_PAYLOAD:
        step_payload(decoder, input, &event);
        break;
    case PQ_FRAME_BROKEN:
        return pq_fail(err, PQ_E_PROTOCOL, "no frame can follow a malformed one");
    }
    *ret_event = event;
    return 0;
}

int pq_frame_finish(pq_frame_decoder *decoder, pq_error *err)
{
    bool between = decoder->state == PQ_FRAME_LINE && decoder->line.length == 0;
    if (between || decoder->state == PQ_FRAME_BROKEN)
        return 0;
    pq_fail(err, PQ_E_PROTOCOL, "malformed frame: the input ended within it");
    return break_off(decoder);
}

/* ---- encoding ---- */

int pq_frame_add(pq_buf *out, const char *object, size_t object_length, const void *payload,
                 size_t payload_length, pq_error *err)
{
    char tail[40]; /* ,"payload":18446744073709551615} and LF */
    if (payload_length > PQ_PROTO_PAYLOAD_MAX)
        return pq_fail(err, PQ_E_TOO_LARGE, "a payload has at most %zu bytes",
                       PQ_PROTO_PAYLOAD_MAX);
    int tail_length = payload_length == 0
                          ? snprintf(tail, sizeof tail, "}\n")
                          : snprintf(tail, sizeof tail, ",\"payload\":%zu}\n", payload_length);
    size_t head_length = object_length - 1;
    /* With the room made, none of the rest can fail. */
    if (pq_buf_reserve(out, head_length + (size_t)tail_length + payload_length, err) < 0 ||
        pq_buf_add(out, object, head_length, err) < 0 ||
        pq_buf_add(out, tail, (size_t)tail_length, err) < 0)
        return -1;
    return payload_length == 0 ? 0 : pq_buf_add(out, payload, payload_length, err);
}
