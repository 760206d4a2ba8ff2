/* What the client sends: frames taken apart, messages handed on. */
#include "shim/serve/serve.h"
#include "transport/base/fd.h"

static serve_frame *current(pq_talk *talk)
{
    return &talk->input.frame;
}

static void refuse_frame(pq_talk *talk, pq_rpc_code code)
{
    current(talk)->refused = true;
    current(talk)->code = code;
}

/* ---- the beginning of a frame ---- */

static bool is_in_flight(const pq_talk *talk, const pq_id *id)
{
    return pq_serve_request_find(talk, id) != NULL ||
           (pq_id_is_set(&talk->close_id) && pq_id_equal(&talk->close_id, id));
}

/* A `stdin` for a request that has ended, or takes none, is skipped. */
static void begin_stdin(pq_talk *talk)
{
    serve_frame *frame = current(talk);
    const pq_message *message = &frame->message;
    pq_request *request = pq_serve_request_find(talk, &message->target);
    pq_error err;
    if (request == NULL || !request->streams)
        return;
    if (pq_stdin_window_received(&request->window, message->payload_bytes, message->stdin_data.eof,
                                 &err) < 0)
        pq_serve_request_refuse(request, PQ_RPC_INVALID_PARAMS, &err);
    else
        frame->request = request;
}

/* A payload that is collected, or a request that begins before its payload is here. */
static int begin_payload(pq_talk *talk, pq_rpc_code *ret_code, pq_error *err)
{
    serve_frame *frame = current(talk);
    const pq_message *message = &frame->message;
    size_t bytes = (size_t)message->payload_bytes;
    frame->collects = bytes <= SERVE_COLLECT_BYTES;
    frame->begun = !frame->collects;
    *ret_code = PQ_RPC_FAILED;
    if (frame->collects)
        return bytes > 0 ? pq_buf_reserve(&frame->payload, bytes, err) : 0;
    return message->method == PQ_METHOD_PUT_FILE
               ? pq_serve_put(talk, message, &frame->payload, true, &frame->request, ret_code, err)
               : pq_serve_exec(talk, message, &frame->payload, true, &frame->request, ret_code,
                               err);
}

static void begin_frame(pq_talk *talk)
{
    serve_input *input = &talk->input;
    serve_frame *frame = &input->frame;
    pq_message *message = &frame->message;
    pq_rpc_code code;
    if (pq_message_parse(message, &input->decoder.frame, &code, &frame->reason) < 0 ||
        pq_message_admit(&talk->protocol, message, is_in_flight(talk, &message->id), &code,
                         &frame->reason) < 0)
        refuse_frame(talk, code);
    else if (message->method == PQ_METHOD_STDIN)
        begin_stdin(talk);
    else if ((message->method == PQ_METHOD_EXEC_COMMAND || message->method == PQ_METHOD_PUT_FILE) &&
             begin_payload(talk, &code, &frame->reason) < 0)
        refuse_frame(talk, code);
}

/* ---- its payload ---- */

static void stream_piece(pq_request *request, const char *bytes, size_t length)
{
    pq_error err;
    if (pq_buf_add(&request->payload, bytes, length, &err) < 0)
        pq_serve_request_refuse(request, PQ_RPC_FAILED, &err);
    else
        pq_serve_request_pump(request);
}

static void take_piece(pq_talk *talk, const char *bytes, size_t length)
{
    serve_frame *frame = current(talk);
    if (frame->refused)
        return;
    if (frame->collects) {
        if (pq_buf_add(&frame->payload, bytes, length, &frame->reason) < 0)
            refuse_frame(talk, PQ_RPC_FAILED);
    } else if (frame->request != NULL && frame->begun) {
        stream_piece(frame->request, bytes, length);
    } else if (frame->request != NULL) {
        pq_serve_exec_stdin(frame->request, bytes, length);
    }
}

/* ---- its end ---- */

static void close_conversation(pq_talk *talk, const pq_message *message)
{
    talk->protocol.closing = true;
    talk->close_id = message->id;
    pq_serve_settle(talk);
}

static int carry_out(pq_talk *talk, pq_rpc_code *code, pq_error *err)
{
    serve_frame *frame = current(talk);
    const pq_message *message = &frame->message;
    pq_request *request;
    switch (message->method) {
    case PQ_METHOD_HELLO:
        return pq_serve_hello(talk, message, code, err);
    case PQ_METHOD_EXEC_COMMAND:
        return pq_serve_exec(talk, message, &frame->payload, false, &request, code, err);
    case PQ_METHOD_PUT_FILE:
        return pq_serve_put(talk, message, &frame->payload, false, &request, code, err);
    case PQ_METHOD_FETCH_FILE:
        return pq_serve_fetch(talk, message, code, err);
    case PQ_METHOD_PING:
        return pq_serve_ping(talk, message, code, err);
    case PQ_METHOD_CANCEL:
        pq_serve_cancel(talk, message);
        return 0;
    case PQ_METHOD_CLOSE:
        close_conversation(talk, message);
        return 0;
    case PQ_METHOD_STDIN:
    case PQ_METHOD_NONE:
        break;
    }
    return 0;
}

static void end_payload(serve_frame *frame)
{
    pq_request *request = frame->request;
    if (frame->begun) {
        request->receiving = false;
        pq_serve_request_pump(request);
    } else if (frame->message.stdin_data.eof) {
        pq_serve_exec_stdin_end(request);
    }
}

static void forget_frame(serve_frame *frame)
{
    pq_message_done(&frame->message);
    pq_buf_done(&frame->payload);
    *frame = (serve_frame){0};
}

static void end_frame(pq_talk *talk)
{
    serve_frame *frame = current(talk);
    pq_rpc_code code;
    if (frame->request != NULL)
        end_payload(frame);
    else if (!frame->refused && !frame->begun && carry_out(talk, &code, &frame->reason) < 0)
        refuse_frame(talk, code);
    if (frame->refused)
        pq_serve_error(talk, &frame->message.id, frame->code, &frame->reason);
    forget_frame(frame);
}

/* ---- the end of input ---- */

/* The request of a frame that was cut off, and those whose stdin was: its end must not pass for the
 * whole. */
static void cut_off(pq_talk *talk)
{
    pq_request *receiving = current(talk)->request;
    if (receiving != NULL && receiving->receiving) {
        receiving->silent = true;
        pq_serve_request_cancel(receiving);
    }
    for (pq_request *request = talk->requests, *next; request != NULL; request = next) {
        next = request->next;
        if (request->streams && !request->window.eof)
            pq_serve_request_cancel(request);
    }
}

static void end_of_input(pq_talk *talk)
{
    pq_error err;
    int status = 0;
    if (pq_frame_finish(&talk->input.decoder, &err) < 0) {
        pq_serve_error(talk, NULL, PQ_RPC_PARSE_ERROR, &err);
        status = PQ_EXIT_FAILURE;
    }
    pq_serve_end(talk, status);
    cut_off(talk);
}

static void malformed(pq_talk *talk, const pq_error *err)
{
    pq_serve_error(talk, NULL, PQ_RPC_PARSE_ERROR, err);
    pq_serve_end(talk, PQ_EXIT_FAILURE);
    cut_off(talk);
}

/* ---- reading ---- */

static bool takes_input(const pq_talk *talk)
{
    const serve_frame *frame = &talk->input.frame;
    return !talk->input.ended && !talk->paused && !talk->broken &&
           (frame->request == NULL || !pq_serve_request_is_full(frame->request));
}

static void on_readable(void *context, int events);

static void decode(void *context)
{
    pq_talk *talk = context;
    serve_input *input = &talk->input;
    pq_frame_event event = {.happened = PQ_FRAME_END};
    pq_error err;
    while (takes_input(talk)) {
        if (pq_frame_step(&input->decoder, &input->left, &event, &err) < 0) {
            malformed(talk, &err);
            return;
        }
        if (event.happened == PQ_FRAME_MORE)
            break;
        if (event.happened == PQ_FRAME_HEADER)
            begin_frame(talk);
        else if (event.happened == PQ_FRAME_PIECE)
            take_piece(talk, event.bytes, event.length);
        else
            end_frame(talk);
    }
    if (takes_input(talk))
        pq_watch_start(talk->loop, &input->watch, input->fd, PQ_READABLE, on_readable, talk);
}

static void on_readable(void *context, int events)
{
    pq_talk *talk = context;
    serve_input *input = &talk->input;
    pq_error err;
    size_t got;
    (void)events;
    pq_watch_stop(&input->watch);
    if (pq_read_some(input->fd, input->bytes, sizeof input->bytes, &got, &err) < 0) {
        pq_serve_complain(talk, &err, "reading stdin");
        got = 0;
    }
    if (got == 0) {
        end_of_input(talk);
        return;
    }
    input->left = (pq_frame_input){input->bytes, got};
    decode(talk);
}

void pq_serve_input_start(pq_talk *talk, int fd)
{
    talk->input.fd = fd;
    pq_watch_start(talk->loop, &talk->input.watch, fd, PQ_READABLE, on_readable, talk);
}

void pq_serve_input_resume(pq_talk *talk)
{
    if (takes_input(talk) && !pq_watch_is_running(&talk->input.watch))
        pq_defer_start(talk->loop, &talk->input.more, decode, talk);
}

void pq_serve_input_stop(pq_talk *talk)
{
    talk->input.ended = true;
    pq_watch_stop(&talk->input.watch);
    pq_defer_stop(&talk->input.more);
}
