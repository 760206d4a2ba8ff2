/*
 * A conversation of the protocol in PROTOCOL.md, on two descriptors.   (shim, private to shim/serve
 * and control*.c)
 *
 * A server (server.h) has one conversation on its stdin and stdout, or, as a shared one
 * (shim/control/control.h), any number on those of its clients.
 *
 * Theory of operation: input.c takes frames apart and hands their messages to the files that
 * carry them out; each request that takes time is a pq_request until it is answered. Everything
 * sent goes through one queue (output.c).
 *
 * Back-pressure. While the queue is over PQ_SINK_HIGH, jobs are paused and no input is taken. A
 * request's payload of up to SERVE_COLLECT_BYTES is collected before the request begins; a larger
 * one is passed on as it comes, so that input waits while the guest is slower. Streamed stdin never
 * waits: its credit is less than what a job takes. So a slow reader stops its own conversation
 * only.
 *
 *   OPEN      reads requests
 *   ENDING    no more input, or after close: what is in flight ends
 *   CLEANING  the server cleans the guests up, unless other conversations use them
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
#include "shim/serve/memory.h"
#include "shim/serve/server.h"
#include "shim/sink.h"
#include "transport/base/log.h"
#include "transport/proto/message.h"
#include "transport/proto/stdin_window.h"

/* Payload of a request that is held before the request begins. */
#define SERVE_COLLECT_BYTES ((size_t)1024 * 1024)

#define SERVE_READ_BYTES ((size_t)64 * 1024)

/* A request in flight: exactly one of job, put, fetch and ping is set, but while it is made. */
typedef struct pq_request {
    pq_talk *talk;
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
    pq_memory_note note; /* its output, if it is to be remembered */

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
    int fd; /* borrowed */
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

typedef struct pq_talk_events {
    /* All requests have ended: pq_talk_cleaned() is to follow. */
    void (*clean)(void *context);
    /* Everything was written, or nothing more can be; may free the conversation. */
    void (*ended)(void *context, int status);
    /* A line for whoever started the client: before hello, at the end, and when nothing can be sent
     * any more. */
    void (*log)(void *context, pq_log_level level, const char *line);
} pq_talk_events;

typedef struct pq_talk_options {
    int in, out;             /* borrowed */
    const pq_config *config; /* what requests begin with; outlives the conversation */
    const char *cwd;         /* what relative paths begin with, or NULL: the process'; borrowed */
    pq_log_level level;      /* lines above it are not sent */
} pq_talk_options;

struct pq_talk {
    pq_server *server;
    pq_loop *loop; /* the server's */
    struct pq_talk *next, **link;
    pq_talk_events events;
    void *context;
    const pq_config *config; /* what requests begin with: the options', or hello's */
    const char *cwd;
    pq_log_level level;
    pq_config *hello_config; /* or NULL */
    char *hello_vm;          /* or NULL */
    serve_state state;
    pq_message_session protocol;
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

/* ---- talk.c: for those who have conversations ---- */

/* Begins to read. NULL only without memory. */
pq_talk *pq_talk_new(pq_server *server, const pq_talk_options *options,
                     const pq_talk_events *events, void *context, pq_error *err);

/* Drops what is in flight. NULL is fine. */
void pq_talk_free(pq_talk *talk);

/* The first and the second signal cancel what is in flight; false for the third, after which the
 * conversation is to be freed. The exit status is 128 + the first. */
bool pq_talk_signal(pq_talk *talk, int number);

/* The client is gone: all requests are cancelled, and nothing is sent any more. */
void pq_talk_hang_up(pq_talk *talk);

/* The guests are clean, but for `err` if it is not NULL, or are not to be cleaned. */
void pq_talk_cleaned(pq_talk *talk, const pq_error *err);

/* ---- talk.c: for the conversation itself ---- */

/* Something has ended: goes on with the end, at the loop's next turn, if it is time. */
void pq_serve_settle(pq_talk *talk);

/* Takes no more input; `status` is that of the program. */
void pq_serve_end(pq_talk *talk, int status);

/* ---- input.c ---- */

void pq_serve_input_start(pq_talk *talk, int fd);

/* Something that input was waiting for may have happened. */
void pq_serve_input_resume(pq_talk *talk);

void pq_serve_input_stop(pq_talk *talk);

/* ---- output.c ---- */

void pq_serve_output_start(pq_talk *talk, int fd);

/* Behind each pq_message_...() on pq_serve_queue(), with its result: gets the message on its
 * way, or gives the client up if there was no memory for it. */
pq_buf *pq_serve_queue(pq_talk *talk);
void pq_serve_sent(pq_talk *talk, int result, const pq_error *err);

/* `id` not set: null. */
void pq_serve_error(pq_talk *talk, const pq_id *id, pq_rpc_code code, const pq_error *error);

/* At most PQ_PROTO_OUTPUT_MAX bytes to a message. */
void pq_serve_output(pq_talk *talk, const pq_id *id, pq_output output, const char *bytes,
                     size_t length);

/* Nothing is sent any more, and nothing waits for what was to be. */
void pq_serve_output_stop(pq_talk *talk);

/* Sends a log line to this client, in the conversation if that is open. */
void pq_serve_log(pq_talk *talk, pq_log_level level, const char *line);

/* An error of the conversation itself, as "doing: cause". */
void pq_serve_complain(pq_talk *talk, const pq_error *err, const char *doing);

/* ---- request.c ---- */

pq_request *pq_serve_request_find(const pq_talk *talk, const pq_id *id);

/* Makes the request of a message with its session. *ret_config is the caller's: the options for
 * this request. On failure *ret_code tells how to answer. */
pq_request *pq_serve_request_new(pq_talk *talk, const pq_message *message, pq_config **ret_config,
                                 pq_rpc_code *ret_code, pq_error *err);

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

void pq_serve_cancel_all(pq_talk *talk);

/* Passes on what there is of the payload. */
void pq_serve_request_pump(pq_request *request);

/* Whether more of its payload would have to wait. */
bool pq_serve_request_is_full(const pq_request *request);

/* ---- requests: each begins what a message asks for; on failure *ret_code tells how to answer ----
 */

/* `payload` was collected and is taken over; with `receiving`, more comes through
 * pq_serve_request_pump(). *ret_request may be NULL afterwards if nothing is in flight. */
int pq_serve_exec(pq_talk *talk, const pq_message *message, pq_buf *payload, bool receiving,
                  pq_request **ret_request, pq_rpc_code *ret_code, pq_error *err);
int pq_serve_put(pq_talk *talk, const pq_message *message, pq_buf *payload, bool receiving,
                 pq_request **ret_request, pq_rpc_code *ret_code, pq_error *err);
int pq_serve_fetch(pq_talk *talk, const pq_message *message, pq_rpc_code *ret_code, pq_error *err);
int pq_serve_ping(pq_talk *talk, const pq_message *message, pq_rpc_code *ret_code, pq_error *err);
int pq_serve_hello(pq_talk *talk, const pq_message *message, pq_rpc_code *ret_code, pq_error *err);
void pq_serve_cancel(pq_talk *talk, const pq_message *message);

/* Bytes of a `stdin` notification that was accepted. */
void pq_serve_exec_stdin(pq_request *request, const char *bytes, size_t length);
void pq_serve_exec_stdin_end(pq_request *request);
