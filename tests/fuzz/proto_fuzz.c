/*
 * Frames and messages from arbitrary bytes.
 *
 * Whatever comes, the decoder must say the same however the bytes are cut, a payload must have
 * the length its header gave, and every message must be refused with an answer that is itself one
 * frame, or be taken with what its method requires. A violation aborts.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "transport/proto/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

/* ---- messages ---- */

static void check_answer(const pq_message *m, pq_rpc_code code, const pq_error *error)
{
    pq_buf out = {0};
    pq_frame_decoder decoder = {0};
    pq_frame_event event;
    pq_error err;
    require(error->text[0] != '\0');
    require(pq_message_error(&out, &m->id, code, error, &err) == 0);
    pq_frame_input input = {out.data, out.length};
    require(pq_frame_step(&decoder, &input, &event, &err) == 0);
    require(event.happened == PQ_FRAME_HEADER && input.length == 0);
    pq_frame_decoder_done(&decoder);
    pq_buf_done(&out);
}

static void check_taken(const pq_message *m)
{
    switch (m->method) {
    case PQ_METHOD_EXEC_COMMAND:
        require(strlen(m->exec.cmd) <= PQ_PROTO_CMD_MAX && m->exec.timeout_ms >= 0);
        require(!m->exec.stdin_stream || m->payload_bytes == 0);
        for (size_t i = 0; i < m->exec.env_count; i++)
            require(strlen(m->exec.env[i].name) > 0 && m->exec.env[i].value != NULL);
        break;
    case PQ_METHOD_FETCH_FILE:
        require(m->file.in_path != NULL && m->payload_bytes == 0);
        /* fall through */
    case PQ_METHOD_PUT_FILE:
        require(m->file.out_path != NULL && strlen(m->file.out_path) <= PQ_PROTO_PATH_MAX);
        require(m->file.mode >= -1 && m->file.mode <= 07777);
        break;
    case PQ_METHOD_CANCEL:
    case PQ_METHOD_STDIN:
        require(pq_id_is_set(&m->target));
        break;
    case PQ_METHOD_HELLO:
    case PQ_METHOD_PING:
    case PQ_METHOD_CLOSE:
    case PQ_METHOD_NONE:
        break;
    }
    require(m->vm == NULL || strlen(m->vm) > 0);
}

static void check_message(pq_frame *frame)
{
    pq_message m = {0};
    pq_rpc_code code;
    pq_error err;
    if (pq_message_parse(&m, frame, &code, &err) < 0)
        check_answer(&m, code, &err);
    else
        check_taken(&m);
    pq_message_done(&m);
}

/* ---- frames ---- */

static void note(pq_buf *seen, const void *bytes, size_t length)
{
    pq_error err;
    require(pq_buf_add(seen, bytes, length, &err) == 0);
}

/* Decodes `data` in pieces of `step` bytes and notes what happened, pieces of payload joined. */
static void decode(const uint8_t *data, size_t size, size_t step, pq_buf *seen)
{
    pq_frame_decoder decoder = {0};
    pq_error err;
    uint64_t announced = 0, counted = 0;
    for (size_t at = 0; at < size; at += step) {
        pq_frame_input input = {(const char *)data + at, size - at < step ? size - at : step};
        pq_frame_event event = {0};
        do {
            if (pq_frame_step(&decoder, &input, &event, &err) < 0) {
                note(seen, err.text, strlen(err.text));
                pq_frame_decoder_done(&decoder);
                return;
            }
            if (event.happened == PQ_FRAME_HEADER) {
                announced = decoder.frame.payload_bytes;
                counted = 0;
                note(seen, &announced, sizeof announced);
                check_message(&decoder.frame);
            } else if (event.happened == PQ_FRAME_PIECE) {
                require(event.length > 0);
                counted += event.length;
                note(seen, event.bytes, event.length);
            } else if (event.happened == PQ_FRAME_END) {
                require(counted == announced);
            }
        } while (event.happened != PQ_FRAME_MORE);
    }
    note(seen, pq_frame_finish(&decoder, &err) < 0 ? "cut" : "end", 3);
    pq_frame_decoder_done(&decoder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pq_buf whole = {0}, cut = {0};
    decode(data, size, size > 0 ? size : 1, &whole);
    decode(data, size, size > 0 ? 1 + data[0] % 16 : 1, &cut);
    require(whole.length == cut.length && memcmp(whole.data, cut.data, whole.length) == 0);
    pq_buf_done(&whole);
    pq_buf_done(&cut);
    return 0;
}
