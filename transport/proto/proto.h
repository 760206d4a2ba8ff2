/*
 * The protocol of `pve-qga-run serve`: its messages, conversations and limits.
 * (transport/proto: may use transport/base)
 *
 * PROTOCOL.md is the specification; this header holds what both the codec and the server need of
 * it. A frame is one JSON-RPC 2.0 object on a line, followed by as many raw bytes as its `payload`
 * member says. C is the client (a plug-in that started us), S is us:
 *
 *   C hello                      S result {version, program, features, limits, shared?}
 *
 *   C exec_command [+stdin]      S stdout*, stderr*, result {exit_code, signal, warnings?}
 *   C exec_command "stream"      S stdin_ready {id, bytes}
 *     C stdin* [+bytes]          S stdin_ready*, stdout*, stderr*
 *     C stdin {eof}              S result
 *   C put_file [+content]        S progress*, result {bytes, sha256, mode}
 *   C fetch_file                 S progress*, result {bytes, sha256, mode}
 *   C ping                       S result {}
 *   C cancel {id}                S result {found}; the other request ends with error "cancelled"
 *
 *   C close                      S what still runs ends, then result {}; exit 0
 *   C end of input               S what still runs ends; exit 0
 *   C malformed frame            S error -32700 with id null, what still runs ends; exit 255
 *
 * `log` comes at any time. Any request may end with an error instead of its result.
 */
#pragma once

#define PQ_PROTO_VERSION 1

/* A header line without its LF: 1 MiB of `cmd` as JSON may escape it (six bytes for one) and
 * 2 MiB for everything else. */
#define PQ_PROTO_LINE_MAX ((size_t)8 * 1024 * 1024)

/* Payload of one frame. It is passed on in pieces, so this bounds no memory of ours: it bounds
 * what a wrong number can make us wait for. */
#define PQ_PROTO_PAYLOAD_MAX ((size_t)64 * 1024 * 1024)

/* JSON values in one header, counted as 1 + the commas, [ and { outside of strings; each costs up
 * to 100 bytes while a request is parsed. */
#define PQ_PROTO_VALUES_MAX 16384

/* Credit for streamed stdin that is out or used up and not yet taken, per request. */
#define PQ_PROTO_STDIN_WINDOW ((size_t)1024 * 1024)

/* Payload of one `stdout` or `stderr`. */
#define PQ_PROTO_OUTPUT_MAX ((size_t)64 * 1024)

/* Longest `cmd`, path (Linux PATH_MAX without its NUL), other text such as `vm`, and string `id`;
 * in bytes, after JSON or base64 were decoded. */
#define PQ_PROTO_CMD_MAX ((size_t)1024 * 1024)
#define PQ_PROTO_PATH_MAX ((size_t)4095)
#define PQ_PROTO_NAME_MAX ((size_t)255)
#define PQ_PROTO_ID_MAX ((size_t)64)

/* Longest `timeout`: ten years in milliseconds. */
#define PQ_PROTO_TIMEOUT_MAX_MS 315360000000LL

/*
 * What a client sends: X(symbol, name, kind, payload)
 *
 * kind     REQUEST has a top-level `id` and is answered once; NOTICE has none and is not.
 * payload  whether the frame may have one.
 */
#define PQ_PROTO_METHODS(X)                                                                        \
    X(HELLO, "hello", REQUEST, false)                                                              \
    X(EXEC_COMMAND, "exec_command", REQUEST, true)                                                 \
    X(PUT_FILE, "put_file", REQUEST, true)                                                         \
    X(FETCH_FILE, "fetch_file", REQUEST, false)                                                    \
    X(PING, "ping", REQUEST, false)                                                                \
    X(CANCEL, "cancel", REQUEST, false)                                                            \
    X(CLOSE, "close", REQUEST, false)                                                              \
    X(STDIN, "stdin", NOTICE, true)

/* What we send without being asked; `stdout` and `stderr` have a payload. */
#define PQ_PROTO_STDOUT "stdout"
#define PQ_PROTO_STDERR "stderr"
#define PQ_PROTO_STDIN_READY "stdin_ready"
#define PQ_PROTO_PROGRESS "progress"
#define PQ_PROTO_LOG "log"

/* What version 1 can do beyond its first draft; a client looks here before it relies on one. */
#define PQ_PROTO_FEATURES "\"stdin_stream\",\"base64\",\"put_payload\",\"remember\""

/* Error numbers of JSON-RPC 2.0; everything that is not about the form of a message is FAILED. */
typedef enum pq_rpc_code {
    PQ_RPC_PARSE_ERROR = -32700,     /* the frame's boundary is lost; the last answer */
    PQ_RPC_INVALID_REQUEST = -32600, /* no request object, or not now */
    PQ_RPC_NO_METHOD = -32601,
    PQ_RPC_INVALID_PARAMS = -32602,
    PQ_RPC_FAILED = -32000
} pq_rpc_code;
