/*
 * The server of the protocol in PROTOCOL.md, on stdin and stdout.   (shim, private to serve*.c)
 *
 * Theory of operation: serve_input.c takes frames apart and hands their messages to the files that
 * carry them out; each request that takes time is a pq_request until it is answered. Everything
 * sent goes through one queue (serve_output.c).
 *
 * Back-pressure. While the queue is over PQ_SINK_HIGH, jobs are paused and no input is taken. A
 * request's payload of up to SERVE_COLLECT_BYTES is collected before the request begins; a larger
 * one is passed on as it comes, so that input waits while the guest is slower. Streamed stdin never
 * waits: its credit is less than what a job takes.
 *
 *   OPEN      reads requests
 *   ENDING    no more input, or after close: what is in flight ends
 *   CLEANING  the guests are cleaned up
 *   FLUSHING  the last answers are written
 *
 * A signal and a client that is gone cancel all requests first; what has not ended
 * PQ_TASK_PATIENCE_MS later is dropped.
 */
#pragma once

#include "exec/job.h"
#include "filexfer/fetch.h"
#include "filexfer/put.h"
#include "shim/ping.h"
#include "shim/run.h"
#include "shim/sink.h"
#include "shim/target.h"
#include "transport/proto/message.h"
#include "transport/proto/stdin_window.h"

/* Payload of a request that is held before the request begins. */
#define SERVE_COLLECT_BYTES ((size_t)1024 * 1024)

#define SERVE_READ_BYTES ((size_t)64 * 1024)

typedef struct pq_server pq_server;

/* A request in flight: exactly one of job, put, fetch and ping is set, but while it is made. */
typedef struct pq_request {
    pq_server *server;
    struct pq_request *next, **link;
    pq_id id;
    pq_method method;
    pq_session *session;
    pq_job *job;
    pq_put *put;
    pq_fetch *fetch;
    pq_ping *ping;
    bool silent;         /* its frame was cut off: it gets no answer */
    pq_rpc_code refusal; /* how to answer after cancelling, with `reason`; 0: as cancelled */
    pq_error reason;

    /* exec_command, put_file: the payload of its frame */
    pq_buf payload;   /* not passed on yet */
    bool receiving;   /* the frame is not complete */
    bool payload_end; /* the end was passed on, or there is nothing to pass on */

    /* exec_command */
    bool live;
    bool streams; /* stdin comes in `stdin` notifications */
    pq_stdin_window window;
    pq_buf held; /* output that does not fill a message yet, of `held_stream` */
    pq_output held_stream;

    /* transfers */
    const char *vm; /* as the configuration has it, and as long as that */
    int fd;         /* put_file: the local file, or -1 */
    pq_ms progress_due;
} pq_request;

/* The frame being received. */
typedef struct serve_frame {
    pq_message message;
    bool refused; /* with code and reason, once it is complete */
    pq_rpc_code code;
    pq_error reason;
    bool begun;          /* its request did not wait for the payload */
    bool collects;       /* its request waits for the payload */
    pq_request *request; /* whose payload or stdin this is; NULL: none, or it has ended */
    pq_buf payload;      /* collected */
} serve_frame;

typedef struct serve_input {
    pq_watch watch;
    pq_defer more;
    bool ended;
    pq_frame_decoder decoder;
    pq_frame_input left; /* read and not decoded */
    serve_frame frame;
    char bytes[SERVE_READ_BYTES];
} serve_input;

typedef enum serve_state {
    SERVE_OPEN = 0,
    SERVE_ENDING,
    SERVE_CLEANING,
    SERVE_FLUSHING
} serve_state;

struct pq_server {
    pq_loop *loop;
    pq_targets *targets;
    const pq_config *config; /* what requests begin with: the program's, or hello's */
    pq_config *hello_config; /* or NULL */
    char *hello_vm;          /* or NULL */
    serve_state state;
    pq_message_session conversation;
    pq_id close_id; /* set while a close waits for its answer */
    pq_request *requests;
    serve_input input;
    pq_sink out;
    bool paused;
    bool broken; /* nothing can be sent any more */
    pq_defer settle;
    pq_defer hang_up;
    pq_timer patience;
    int status;
    int signal; /* the first one, or 0 */
    unsigned signals;
};

/* ---- serve.c ---- */

/* Something has ended: goes on with the end of the server, at the loop's next turn, if it is time.
 */
void pq_serve_settle(pq_server *server);

/* Takes no more input; `status` is that of the program. */
void pq_serve_end(pq_server *server, int status);

/* ---- serve_input.c ---- */

void pq_serve_input_start(pq_server *server);

/* Something that input was waiting for may have happened. */
void pq_serve_input_resume(pq_server *server);

void pq_serve_input_stop(pq_server *server);

/* ---- serve_output.c ---- */

void pq_serve_output_start(pq_server *server);

/* Behind each pq_message_...() on pq_pq_serve_queue(), with its result: gets the message on its
 * way, or gives the client up if there was no memory for it. */
pq_buf *pq_serve_queue(pq_server *server);
void pq_serve_sent(pq_server *server, int result, const pq_error *err);

/* `id` not set: null. */
void pq_serve_error(pq_server *server, const pq_id *id, pq_rpc_code code, const pq_error *error);

/* Log lines go to the client from now on, or to stderr again. */
void pq_serve_log_to_client(pq_server *server, bool on);

/* ---- serve_request.c ---- */

pq_request *pq_serve_request_find(const pq_server *server, const pq_id *id);

/* Makes the request of a message with its session. *ret_config is the caller's: the options for
 * this request. On failure *ret_code tells how to answer. */
pq_request *pq_serve_request_new(pq_server *server, const pq_message *message,
                                 pq_config **ret_config, pq_rpc_code *ret_code, pq_error *err);

/* Frees a request whose work has ended, without an answer. */
void pq_serve_request_free(pq_request *request);

/* Answers with an error that ended the work, and frees the request. */
void pq_serve_request_failed(pq_request *request, const pq_error *err);

/* How a refused request is answered: errors of usage are those of params. */
pq_rpc_code pq_serve_refusal(const pq_message *message, pq_error *err);

/* Ends the work; may answer and free the request at once. */
void pq_serve_request_cancel(pq_request *request);

/* The same, and the answer will be this error. */
void pq_serve_request_refuse(pq_request *request, pq_rpc_code code, const pq_error *err);

/* Forgets the work, answers, and frees the request. */
void pq_serve_request_drop(pq_request *request);

void pq_serve_cancel_all(pq_server *server);

/* Passes on what there is of the payload. */
void pq_serve_request_pump(pq_request *request);

/* Whether more of its payload would have to wait. */
bool pq_serve_request_is_full(const pq_request *request);

/* ---- requests: each begins what a message asks for; on failure *ret_code tells how to answer ----
 */

/* `payload` was collected and is taken over; with `receiving`, more comes through
 * pq_serve_request_pump(). *ret_request may be NULL afterwards if nothing is in flight. */
int pq_serve_exec(pq_server *server, const pq_message *message, pq_buf *payload, bool receiving,
                  pq_request **ret_request, pq_rpc_code *ret_code, pq_error *err);
int pq_serve_put(pq_server *server, const pq_message *message, pq_buf *payload, bool receiving,
                 pq_request **ret_request, pq_rpc_code *ret_code, pq_error *err);
int pq_serve_fetch(pq_server *server, const pq_message *message, pq_rpc_code *ret_code,
                   pq_error *err);
int pq_serve_ping(pq_server *server, const pq_message *message, pq_rpc_code *ret_code,
                  pq_error *err);
int pq_serve_hello(pq_server *server, const pq_message *message, pq_rpc_code *ret_code,
                   pq_error *err);
void pq_serve_cancel(pq_server *server, const pq_message *message);

/* Bytes of a `stdin` notification that was accepted. */
void pq_serve_exec_stdin(pq_request *request, const char *bytes, size_t length);
void pq_serve_exec_stdin_end(pq_request *request);
