/*
 * The messages in the frames.   (transport/proto: may use transport/base; no I/O)
 *
 * In: pq_message_parse() turns a frame's header into a checked struct, pq_message_admit() checks
 * that it may come now: `hello` first and once, no two requests in flight with one id, nothing but
 * `stdin` and `cancel` after `close`. What passes is well-formed; whether a VM or an option exists
 * is the server's to say.
 *
 * Out: each pq_message_<answer>() appends one whole frame to `out`, its members in a fixed order,
 * so that the bytes are those of PROTOCOL.md. They fail with NOMEM or TOO_LARGE (the buffer's
 * maximum) and leave `out` as it was then.
 */
#pragma once

#include "transport/base/clock.h"
#include "transport/base/log.h"
#include "transport/proto/frame.h"
#include "transport/proto/proto.h"

/* A request's id as JSON text: a whole number or a string of printable ASCII, each written in one
 * way only. Empty: none, which is written as null. Can be copied. */
typedef struct pq_id {
    char json[2 * PQ_PROTO_ID_MAX + 3];
} pq_id;

bool pq_id_is_set(const pq_id *id);
bool pq_id_equal(const pq_id *a, const pq_id *b);

typedef enum pq_method {
    PQ_METHOD_NONE = 0, /* a notification we do not know: skip its payload, say nothing */
#define X(symbol, name, kind, payload) PQ_METHOD_##symbol,
    PQ_PROTO_METHODS(X)
#undef X
} pq_method;

typedef struct pq_env_entry {
    const char *name; /* not empty, without '=' */
    const char *value;
} pq_env_entry;

typedef struct pq_message_hello {
    int64_t version;
    const char *client; /* name for the log, or NULL */
} pq_message_hello;

typedef struct pq_message_exec {
    const char *cmd;
    const char *executable; /* NULL: the option's value */
    const char *cwd;        /* NULL: the home directory */
    pq_env_entry *env;
    size_t env_count;
    pq_ms timeout_ms;  /* 0: the option's value */
    bool live;         /* output is sent while the command runs */
    bool remember;     /* its answer may come from memory */
    bool stdin_stream; /* stdin comes in `stdin` notifications; else it is the payload */
} pq_message_exec;

typedef struct pq_message_file {
    const char *in_path; /* put_file: NULL when the payload is the content */
    const char *out_path;
    int mode; /* permission bits, or -1: as the source has them */
} pq_message_file;

typedef struct pq_message_stdin {
    bool eof; /* nothing comes after this message's payload */
} pq_message_stdin;

/* Text is C strings: U+0000 is refused everywhere, since neither a command line nor a path can have
 * it. Everything lives until pq_message_done(); all-zero is valid. */
typedef struct pq_message {
    pq_method method;
    pq_id id;     /* the request's own */
    pq_id target; /* CANCEL, STDIN: the request meant */
    uint64_t payload_bytes;
    const char *vm;         /* NULL: none was named */
    const pq_json *options; /* an object, its members unchecked; or NULL */
    union {
        pq_message_hello hello;
        pq_message_exec exec;
        pq_message_file file; /* PUT_FILE, FETCH_FILE */
        pq_message_stdin stdin_data;
    };
    pq_json *header;   /* what the texts above point into */
    pq_buf decoded[2]; /* the same for base64 */
    char vm_digits[24];
} pq_message;

/* Takes frame->header and fills *message, an all-zero struct that needs pq_message_done() in any
 * case. On failure (PROTOCOL, or NOMEM) *ret_code is the number to answer with, and message->id is
 * set if the answer can be addressed; the frame's payload is to be skipped. */
int pq_message_parse(pq_message *message, pq_frame *frame, pq_rpc_code *ret_code, pq_error *err);
void pq_message_done(pq_message *message);

/* How far the conversation has come; kept by the server, all-zero at the start. */
typedef struct pq_message_session {
    bool greeted; /* a hello was answered with its result */
    bool closing; /* a close was received */
} pq_message_session;

/* Whether a parsed message may come now; `in_flight`: a request with message->id has not been
 * answered yet. Fails as pq_message_parse() does, with UNSUPPORTED for a version that is not ours.
 * message->id is cleared if it is in flight, because an answer to it would be the other's. */
int pq_message_admit(const pq_message_session *session, pq_message *message, bool in_flight,
                     pq_rpc_code *ret_code, pq_error *err);

/* "exec_command" etc.; "" for NONE. */
const char *pq_message_method_name(pq_method method);

/* ---- results ---- */

/* `shared`: the server has other clients, too. */
int pq_message_hello_result(pq_buf *out, const pq_id *id, bool shared, pq_error *err);

/* `signal` is the guest's signal number, or 0 after an exit with `exit_code`; `warnings` may be
 * NULL when there are none. */
int pq_message_exec_result(pq_buf *out, const pq_id *id, int exit_code, int signal,
                           const char *const *warnings, size_t warning_count, pq_error *err);

/* put_file and fetch_file. `sha256` in hexadecimal, or NULL when the guest has no tool for it. */
int pq_message_file_result(pq_buf *out, const pq_id *id, uint64_t bytes, const char *sha256,
                           unsigned mode, pq_error *err);

int pq_message_cancel_result(pq_buf *out, const pq_id *id, bool found, pq_error *err);

/* ping, close: {}. */
int pq_message_empty_result(pq_buf *out, const pq_id *id, pq_error *err);

/* id NULL or not set: null. */
int pq_message_error(pq_buf *out, const pq_id *id, pq_rpc_code code, const pq_error *error,
                     pq_error *err);

/* Fills *error as a cancelled request ends; `effect` says whether it had begun. */
void pq_message_cancelled(pq_error *error, pq_effect effect);

/* ---- notifications ---- */

typedef enum pq_output { PQ_OUTPUT_STDOUT, PQ_OUTPUT_STDERR } pq_output;

/* At most PQ_PROTO_OUTPUT_MAX bytes, and at least one. */
int pq_message_output(pq_buf *out, pq_output output, const pq_id *id, const void *bytes,
                      size_t length, pq_error *err);
int pq_message_stdin_ready(pq_buf *out, const pq_id *id, size_t bytes, pq_error *err);

/* `total` below 0: not known. */
int pq_message_progress(pq_buf *out, const pq_id *id, uint64_t bytes, int64_t total, pq_error *err);
int pq_message_log(pq_buf *out, pq_log_level level, const char *text, pq_error *err);
