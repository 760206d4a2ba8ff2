/*
 * A guest's agent, whatever the way to it.   (transport: the interface of every backend)
 *
 * A backend gives the few primitive operations of the QEMU guest agent; everything above works on
 * any backend and looks only at the limits it reports.
 *
 * Every operation is asynchronous and sends its request at most once: a backend retries what
 * happens before a request is on its way (connecting, a login, finding the VM's node) and never
 * the request itself, unless the server refused it in a way that rules out any effect. Error
 * effects say which: NONE (not sent, or refused), UNKNOWN (sent, no usable answer), DONE.
 * An error that is retryable with effect NONE can be tried again by anyone; with effect UNKNOWN
 * only by callers whose operation is idempotent.
 *
 * Backends bound the calls in flight per VM and per node and queue the rest, so callers need not
 * count.
 *
 * The callback runs from the loop, exactly once, unless the operation is dropped first.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transport/base/buf.h"
#include "transport/base/error.h"
#include "transport/base/json.h"
#include "transport/loop/loop.h"

/* What one call can carry. Values may shrink while running, when a server refuses a size. */
/* pveproxy gives the node's daemon 30 s for a call, whether its client is still there or not. */
#define PQ_LATE_CALL_MS 31000

typedef struct pq_agent_limits {
    size_t arg_bytes;   /* longest single argument, without NUL; Linux: 131071 */
    size_t args_bytes;  /* all arguments together, as encoded in the request body */
    size_t input_bytes; /* longest input-data; PVE: 65536 */
    size_t read_bytes;  /* longest piece that file_read returns */
    bool offset_reads;  /* file_read takes offset and count (PVE 9.2) */
    bool args_proven;   /* the server has taken a call of about args_bytes */
    unsigned parallel;  /* calls in flight to one VM that are worth it and allowed */
    pq_ms round_trip;   /* to the server, as the fastest connection has shown; 0: unknown */
    pq_ms call_cost;    /* of each call, however small, beside the round trip; 0: hardly any */
    pq_ms late_call; /* an exec whose answer was lost may still come so long afterwards, past what
                      * was sent later; 0: it does not */
    pq_ms exec_time; /* from the request of the last exec to its answer; 0: there was none */
} pq_agent_limits;

typedef struct pq_exec_request {
    const char *const *argv; /* NULL-terminated, ASCII only: anything else ends with INTERNAL */
    const void *input;       /* stdin of the process, any bytes; NULL for /dev/null */
    size_t input_length;
} pq_exec_request;

typedef struct pq_exec_status {
    bool exited;
    bool signalled;
    int code;           /* exit code, or signal number if signalled */
    bool out_truncated; /* the agent dropped output: over 16 MiB */
    bool err_truncated;
    pq_buf out; /* bytes; the callback may take them with pq_buf_take() */
    pq_buf err;
} pq_exec_status;

typedef struct pq_agent pq_agent;
typedef struct pq_agent_op pq_agent_op;

typedef void (*pq_exec_start_fn)(void *context, const pq_error *err, int64_t pid);
typedef void (*pq_exec_status_fn)(void *context, const pq_error *err, pq_exec_status *status);
typedef void (*pq_file_read_fn)(void *context, const pq_error *err, pq_buf *bytes, bool eof);
typedef void (*pq_agent_done_fn)(void *context, const pq_error *err);
typedef void (*pq_agent_query_fn)(void *context, const pq_error *err, const pq_json *result);

/* Longest name of a query, such as "network-get-interfaces". */
#define PQ_AGENT_QUERY_NAME_MAX 47

/* A backend's operations; programs call the pq_agent_* functions below. */
typedef struct pq_agent_ops {
    pq_agent_op *(*exec_start)(pq_agent *agent, const pq_exec_request *request,
                               pq_exec_start_fn done, void *context);
    pq_agent_op *(*exec_status)(pq_agent *agent, int64_t pid, pq_exec_status_fn done,
                                void *context);
    pq_agent_op *(*file_read)(pq_agent *agent, const char *path, uint64_t offset, size_t count,
                              pq_file_read_fn done, void *context);
    pq_agent_op *(*ping)(pq_agent *agent, pq_agent_done_fn done, void *context);
    pq_agent_op *(*query)(pq_agent *agent, const char *name, pq_agent_query_fn done, void *context);
    bool (*was_sent)(const pq_agent_op *op);
    void (*drop)(pq_agent_op *op);
    const pq_agent_limits *(*limits)(const pq_agent *agent);
    const char *(*name)(const pq_agent *agent);
    pq_loop *(*loop)(const pq_agent *agent);
    void (*free)(pq_agent *agent);
} pq_agent_ops;

/* A backend's agent struct begins with this. */
struct pq_agent {
    const pq_agent_ops *ops;
};

/* The request is copied before the call returns. The op is valid until its callback has run; it
 * needs no free. Starting cannot fail: problems arrive in the callback. */
static inline pq_agent_op *pq_agent_exec_start(pq_agent *agent, const pq_exec_request *request,
                                               pq_exec_start_fn done, void *context)
{
    return agent->ops->exec_start(agent, request, done, context);
}

/* One-shot on the server: the answer that says `exited` frees the record, so after a lost answer
 * the next one is NO_SUCH_PID. Errors have effect UNKNOWN when that may have happened. */
static inline pq_agent_op *pq_agent_exec_status(pq_agent *agent, int64_t pid,
                                                pq_exec_status_fn done, void *context)
{
    return agent->ops->exec_status(agent, pid, done, context);
}

/* Reads up to `count` bytes at `offset` of an ASCII path; needs limits->offset_reads unless offset
 * is 0 and the whole file is wanted. Idempotent. `eof`: the answer was shorter than asked. */
static inline pq_agent_op *pq_agent_file_read(pq_agent *agent, const char *path, uint64_t offset,
                                              size_t count, pq_file_read_fn done, void *context)
{
    return agent->ops->file_read(agent, path, offset, count, done, context);
}

static inline pq_agent_op *pq_agent_ping(pq_agent *agent, pq_agent_done_fn done, void *context)
{
    return agent->ops->ping(agent, done, context);
}

/* Asks the agent what it can tell of its guest: `name` is the command without "guest-", one that
 * takes no arguments and changes nothing, such as "get-osinfo"; lower-case letters and "-" only,
 * anything else ends with INTERNAL. `result` is what the agent returned, of a form that nobody has
 * checked, at most 1 MiB of JSON (PQ_JSON_DEPTH_MAX, PQ_JSON_VALUES_MAX), and valid during the
 * callback. Idempotent. Commands that the agent lacks end with UNSUPPORTED, those that it was
 * forbidden with AGENT_DISABLED. */
static inline pq_agent_op *pq_agent_query(pq_agent *agent, const char *name, pq_agent_query_fn done,
                                          void *context)
{
    return agent->ops->query(agent, name, done, context);
}

/* False while certainly no server has the operation's request. */
static inline bool pq_agent_was_sent(const pq_agent *agent, const pq_agent_op *op)
{
    return agent->ops->was_sent(op);
}

/* Forgets an operation: its callback will not run. What was sent may still happen. NULL is fine. */
static inline void pq_agent_drop(pq_agent *agent, pq_agent_op *op)
{
    if (op != NULL)
        agent->ops->drop(op);
}

static inline const pq_agent_limits *pq_agent_get_limits(const pq_agent *agent)
{
    return agent->ops->limits(agent);
}

/* For messages: "VM 100 (web) on node pve1", as far as known. */
static inline const char *pq_agent_name(const pq_agent *agent)
{
    return agent->ops->name(agent);
}

static inline pq_loop *pq_agent_loop(const pq_agent *agent)
{
    return agent->ops->loop(agent);
}

/* Drops what is in flight and frees the agent; NULL is fine. */
static inline void pq_agent_free(pq_agent *agent)
{
    if (agent != NULL)
        agent->ops->free(agent);
}
