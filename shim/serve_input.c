/* What the client sends: frames taken apart, messages handed on. */
#include <unistd.h>

#include "shim/serve.h"
#include "transport/base/fd.h"

static serve_frame *current(pq_server *server)
{
    return &server->input.frame;
}

static void refuse_frame(pq_server *server, pq_rpc_code code)
{
    current(server)->refused = true;
    current(server)->code = code;
}

/* ---- the beginning of a frame ---- */

static bool is_in_flight(const pq_server *server, const pq_id *id)
{
    return pq_serve_request_find(server, id) != NULL ||
           (pq_id_is_set(&server->close_id) && pq_id_equal(&server->close_id, id));
}

/* A `stdin` for a request that has ended, or takes none, is skipped. */
static void begin_stdin(pq_server *server)
{
    serve_frame *frame = current(server);
    const pq_message *message = &frame->message;
    pq_request *request = pq_serve_request_find(server, &message->target);
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
static int begin_payload(pq_server *server, pq_rpc_code *ret_code, pq_error *err)
{
    serve_frame *frame = current(server);
    const pq_message *message = &frame->message;
    size_t bytes = (size_t)message->payload_bytes;
    frame->collects = bytes <= SERVE_COLLECT_BYTES;
    frame->begun = !frame->collects;
    *ret_code = PQ_RPC_FAILED;
    if (frame->collects)
        return bytes > 0 ? pq_buf_reserve(&frame->payload, bytes, err) : 0;
    return message->method == PQ_METHOD_PUT_FILE
               ? pq_serve_put(server, message, &frame->payload, true, &frame->request, ret_code,
                              err)
               : pq_serve_exec(server, message, &frame->payload, true, &frame->request, ret_code,
                               err);
}

static void begin_frame(pq_server *server)
{
    serve_input *input = &server->input;
    serve_frame *frame = &input->frame;
    pq_message *message = &frame->message;
    pq_rpc_code code;
    if (pq_message_parse(message, &input->decoder.frame, &code, &frame->reason) < 0 ||
        pq_message_admit(&server->conversation, message, is_in_flight(server, &message->id), &code,
                         &frame->reason) < 0)
        refuse_frame(server, code);
    else if (message->method == PQ_METHOD_STDIN)
        begin_stdin(server);
    else if ((message->method == PQ_METHOD_EXEC_COMMAND || message->method == PQ_METHOD_PUT_FILE) &&
             begin_payload(server, &code, &frame->reason) < 0)
        refuse_frame(server, code);
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

static void take_piece(pq_server *server, const char *bytes, size_t length)
{
    serve_frame *frame = current(server);
    if (frame->refused)
        return;
    if (frame->collects) {
        if (pq_buf_add(&frame->payload, bytes, length, &frame->reason) < 0)
            refuse_frame(server, PQ_RPC_FAILED);
    } else if (frame->request != NULL && frame->begun) {
        stream_piece(frame->request, bytes, length);
    } else if (frame->request != NULL) {
        pq_serve_exec_stdin(frame->request, bytes, length);
    }
}

/* ---- its end ---- */

static void close_conversation(pq_server *server, const pq_message *message)
{
    server->conversation.closing = true;
    server->close_id = message->id;
    pq_serve_settle(server);
}

static int carry_out(pq_server *server, pq_rpc_code *code, pq_error *err)
{
    serve_frame *frame = current(server);
    const pq_message *message = &frame->message;
    pq_request *request;
    switch (message->method) {
    case PQ_METHOD_HELLO:
        return pq_serve_hello(server, message, code, err);
    case PQ_METHOD_EXEC_COMMAND:
        return pq_serve_exec(server, message, &frame->payload, false, &request, code, err);
    case PQ_METHOD_PUT_FILE:
        return pq_serve_put(server, message, &frame->payload, false, &request, code, err);
    case PQ_METHOD_FETCH_FILE:
        return pq_serve_fetch(server, message, code, err);
    case PQ_METHOD_PING:
        return pq_serve_ping(server, message, code, err);
    case PQ_METHOD_CANCEL:
        pq_serve_cancel(server, message);
        return 0;
    case PQ_METHOD_CLOSE:
        close_conversation(server, message);
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

static void end_frame(pq_server *server)
{
    serve_frame *frame = current(server);
    pq_rpc_code code;
    if (frame->request != NULL)
        end_payload(frame);
    else if (!frame->refused && !frame->begun && carry_out(server, &code, &frame->reason) < 0)
        refuse_frame(server, code);
    if (frame->refused)
        pq_serve_error(server, &frame->message.id, frame->code, &frame->reason);
    forget_frame(frame);
}

/* ---- the end of input ---- */

/* The request of a frame that was cut off, and those whose stdin was: its end must not pass for the
 * whole. */
static void cut_off(pq_server *server)
{
    pq_request *receiving = current(server)->request;
    if (receiving != NULL && receiving->receiving) {
        receiving->silent = true;
        pq_serve_request_cancel(receiving);
    }
    for (pq_request *request = server->requests, *next; request != NULL; request = next) {
        next = request->next;
        if (request->streams && !request->window.eof)
            pq_serve_request_cancel(request);
    }
}

static void end_of_input(pq_server *server)
{
    pq_error err;
    int status = 0;
    if (pq_frame_finish(&server->input.decoder, &err) < 0) {
        pq_serve_error(server, NULL, PQ_RPC_PARSE_ERROR, &err);
        status = PQ_EXIT_FAILURE;
    }
    pq_serve_end(server, status);
    cut_off(server);
}

static void malformed(pq_server *server, const pq_error *err)
{
    pq_serve_error(server, NULL, PQ_RPC_PARSE_ERROR, err);
    pq_serve_end(server, PQ_EXIT_FAILURE);
    cut_off(server);
}

/* ---- reading ---- */

static bool takes_input(const pq_server *server)
{
    const serve_frame *frame = &server->input.frame;
    return !server->input.ended && !server->paused && !server->broken &&
           (frame->request == NULL || !pq_serve_request_is_full(frame->request));
}

static void on_readable(void *context, int events);

static void decode(void *context)
{
    pq_server *server = context;
    serve_input *input = &server->input;
    pq_frame_event event = {.happened = PQ_FRAME_END};
    pq_error err;
    while (takes_input(server)) {
        if (pq_frame_step(&input->decoder, &input->left, &event, &err) < 0) {
            malformed(server, &err);
            return;
        }
        if (event.happened == PQ_FRAME_MORE)
            break;
        if (event.happened == PQ_FRAME_HEADER)
            begin_frame(server);
        else if (event.happened == PQ_FRAME_PIECE)
            take_piece(server, event.bytes, event.length);
        else
            end_frame(server);
    }
    if (takes_input(server))
        pq_watch_start(server->loop, &input->watch, STDIN_FILENO, PQ_READABLE, on_readable, server);
}

static void on_readable(void *context, int events)
{
    pq_server *server = context;
    serve_input *input = &server->input;
    pq_error err;
    size_t got;
    (void)events;
    pq_watch_stop(&input->watch);
    if (pq_read_some(STDIN_FILENO, input->bytes, sizeof input->bytes, &got, &err) < 0) {
        pq_log_error(&err, "reading stdin");
        got = 0;
    }
    if (got == 0) {
        end_of_input(server);
        return;
    }
    input->left = (pq_frame_input){input->bytes, got};
    decode(server);
}

void pq_serve_input_start(pq_server *server)
{
    pq_watch_start(server->loop, &server->input.watch, STDIN_FILENO, PQ_READABLE, on_readable,
                   server);
}

void pq_serve_input_resume(pq_server *server)
{
    if (takes_input(server) && !pq_watch_is_running(&server->input.watch))
        pq_defer_start(server->loop, &server->input.more, decode, server);
}

void pq_serve_input_stop(pq_server *server)
{
    server->input.ended = true;
    pq_watch_stop(&server->input.watch);
    pq_defer_stop(&server->input.more);
}
