#include "shim/fallback.h"

#include <stdlib.h>
#include <string.h>

#include "transport/base/log.h"
#include "transport/base/secret.h"

typedef enum op_kind { OP_EXEC, OP_STATUS, OP_READ, OP_PING, OP_QUERY } op_kind;

typedef struct fallback {
    pq_agent agent; /* first, as agent.h wants it */
    pq_agent *first, *second;
    bool first_works;
    bool first_closed;
    pq_fallback_fn closed;
    void *context;
    pq_agent_op *ops;
} fallback;

struct pq_agent_op {
    fallback *owner;
    pq_agent_op *next, **link;
    op_kind kind;
    pq_agent *way; /* that `inner` goes */
    pq_agent_op *inner;
    union {
        pq_exec_start_fn exec_start;
        pq_exec_status_fn exec_status;
        pq_file_read_fn file_read;
        pq_agent_done_fn ping;
        pq_agent_query_fn query;
    } done;
    void *context;

    /* What is asked for; EXEC keeps its request only while it may have to go the other way. */
    char **argv;
    char *input;
    size_t input_length;
    int64_t pid;
    char *text; /* READ: the path, QUERY: the name */
    uint64_t offset;
    size_t count;
};

bool pq_fallback_is_closed(const pq_error *err)
{
    if (err->effect != PQ_EFFECT_NONE)
        return false;
    switch (err->code) {
    case PQ_E_RESOLVE:
    case PQ_E_CONNECT:
    case PQ_E_PROXY:
    case PQ_E_TIMEOUT:
    case PQ_E_PERMISSION:
        return true;
    default:
        return false;
    }
}

static fallback *of(pq_agent *agent)
{
    return (fallback *)agent;
}

static pq_agent *current(const fallback *both)
{
    return both->first_closed ? both->second : both->first;
}

/* ---- operations ---- */

static void free_op(pq_agent_op *op)
{
    *op->link = op->next;
    if (op->next != NULL)
        op->next->link = op->link;
    for (char **arg = op->argv; arg != NULL && *arg != NULL; arg++)
        free(*arg);
    free(op->argv);
    if (op->input != NULL)
        pq_wipe(op->input, op->input_length);
    free(op->input);
    free(op->text);
    free(op);
}

static pq_agent_op *new_op(pq_agent *agent, op_kind kind, void *context)
{
    fallback *both = of(agent);
    pq_agent_op *op = calloc(1, sizeof *op);
    if (op == NULL)
        return NULL;
    op->owner = both;
    op->kind = kind;
    op->context = context;
    op->next = both->ops;
    op->link = &both->ops;
    if (op->next != NULL)
        op->next->link = &op->next;
    both->ops = op;
    return op;
}

static bool copy_request(pq_agent_op *op, const pq_exec_request *request)
{
    size_t count = 0;
    while (request->argv[count] != NULL)
        count++;
    op->argv = calloc(count + 1, sizeof *op->argv);
    for (size_t i = 0; op->argv != NULL && i < count; i++)
        if ((op->argv[i] = strdup(request->argv[i])) == NULL)
            return false;
    if (op->argv == NULL || request->input == NULL)
        return op->argv != NULL;
    op->input = malloc(request->input_length + 1);
    if (op->input == NULL)
        return false;
    memcpy(op->input, request->input, request->input_length);
    op->input_length = request->input_length;
    return true;
}

static void send_op(pq_agent_op *op);

/* Whether the operation goes the other way; notes what the first one has shown. */
static bool goes_on(pq_agent_op *op, const pq_error *err)
{
    fallback *both = op->owner;
    op->inner = NULL;
    if (op->way == both->second)
        return false;
    if (err == NULL)
        both->first_works = true;
    if (err == NULL || both->first_works || !pq_fallback_is_closed(err))
        return false;
    if (!both->first_closed) {
        pq_log(PQ_LOG_WARNING, "%s; going on over SSH", err->text);
        both->closed(both->context, err);
    }
    both->first_closed = true;
    send_op(op);
    return true;
}

static pq_agent_op take(pq_agent_op *op)
{
    pq_agent_op copy = {.done = op->done, .context = op->context};
    free_op(op);
    return copy;
}

static void exec_started(void *context, const pq_error *err, int64_t pid)
{
    if (goes_on(context, err))
        return;
    pq_agent_op op = take(context);
    op.done.exec_start(op.context, err, pid);
}

static void got_status(void *context, const pq_error *err, pq_exec_status *status)
{
    if (goes_on(context, err))
        return;
    pq_agent_op op = take(context);
    op.done.exec_status(op.context, err, status);
}

static void file_was_read(void *context, const pq_error *err, pq_buf *bytes, bool eof)
{
    if (goes_on(context, err))
        return;
    pq_agent_op op = take(context);
    op.done.file_read(op.context, err, bytes, eof);
}

static void pinged(void *context, const pq_error *err)
{
    if (goes_on(context, err))
        return;
    pq_agent_op op = take(context);
    op.done.ping(op.context, err);
}

static void answered(void *context, const pq_error *err, const pq_json *result)
{
    if (goes_on(context, err))
        return;
    pq_agent_op op = take(context);
    op.done.query(op.context, err, result);
}

static void send_exec(pq_agent_op *op, const pq_exec_request *request)
{
    op->inner = pq_agent_exec_start(op->way, request, exec_started, op);
}

static void send_op(pq_agent_op *op)
{
    op->way = current(op->owner);
    switch (op->kind) {
    case OP_EXEC:
        send_exec(op, &(pq_exec_request){.argv = (const char *const *)op->argv,
                                         .input = op->input,
                                         .input_length = op->input_length});
        break;
    case OP_STATUS:
        op->inner = pq_agent_exec_status(op->way, op->pid, got_status, op);
        break;
    case OP_READ:
        op->inner = pq_agent_file_read(op->way, op->text, op->offset, op->count, file_was_read, op);
        break;
    case OP_PING:
        op->inner = pq_agent_ping(op->way, pinged, op);
        break;
    case OP_QUERY:
        op->inner = pq_agent_query(op->way, op->text, answered, op);
        break;
    }
}

/* What could not be started is as if there had been no memory for it. */
static pq_agent_op *started(pq_agent_op *op)
{
    if (op->inner != NULL)
        return op;
    free_op(op);
    return NULL;
}

/* ---- the interface ---- */

static pq_agent_op *exec_start(pq_agent *agent, const pq_exec_request *request,
                               pq_exec_start_fn done, void *context)
{
    pq_agent_op *op = new_op(agent, OP_EXEC, context);
    if (op == NULL)
        return NULL;
    op->done.exec_start = done;
    op->way = current(op->owner);
    if (op->owner->first_works || op->owner->first_closed || copy_request(op, request))
        send_exec(op, request);
    return started(op);
}

static pq_agent_op *exec_status(pq_agent *agent, int64_t pid, pq_exec_status_fn done, void *context)
{
    pq_agent_op *op = new_op(agent, OP_STATUS, context);
    if (op == NULL)
        return NULL;
    op->done.exec_status = done;
    op->pid = pid;
    send_op(op);
    return started(op);
}

static pq_agent_op *file_read(pq_agent *agent, const char *path, uint64_t offset, size_t count,
                              pq_file_read_fn done, void *context)
{
    pq_agent_op *op = new_op(agent, OP_READ, context);
    if (op == NULL)
        return NULL;
    op->done.file_read = done;
    op->offset = offset;
    op->count = count;
    op->text = strdup(path);
    if (op->text != NULL)
        send_op(op);
    return started(op);
}

static pq_agent_op *ping(pq_agent *agent, pq_agent_done_fn done, void *context)
{
    pq_agent_op *op = new_op(agent, OP_PING, context);
    if (op == NULL)
        return NULL;
    op->done.ping = done;
    send_op(op);
    return started(op);
}

static pq_agent_op *query(pq_agent *agent, const char *query_name, pq_agent_query_fn done,
                          void *context)
{
    pq_agent_op *op = new_op(agent, OP_QUERY, context);
    if (op == NULL)
        return NULL;
    op->done.query = done;
    op->text = strdup(query_name);
    if (op->text != NULL)
        send_op(op);
    return started(op);
}

static bool was_sent(const pq_agent_op *op)
{
    return op->inner != NULL && pq_agent_was_sent(op->way, op->inner);
}

static void drop(pq_agent_op *op)
{
    pq_agent_drop(op->way, op->inner);
    free_op(op);
}

static const pq_agent_limits *limits(const pq_agent *agent)
{
    fallback *both = (fallback *)agent;
    return pq_agent_get_limits(both->first_closed ? both->second : both->first);
}

static const char *name(const pq_agent *agent)
{
    return pq_agent_name(current((const fallback *)agent));
}

static pq_loop *loop(const pq_agent *agent)
{
    return pq_agent_loop(((const fallback *)agent)->first);
}

static void free_agent(pq_agent *agent)
{
    fallback *both = of(agent);
    while (both->ops != NULL)
        drop(both->ops);
    pq_agent_free(both->first);
    pq_agent_free(both->second);
    free(both);
}

static const pq_agent_ops ops = {
    .exec_start = exec_start,
    .exec_status = exec_status,
    .file_read = file_read,
    .ping = ping,
    .query = query,
    .was_sent = was_sent,
    .drop = drop,
    .limits = limits,
    .name = name,
    .loop = loop,
    .free = free_agent,
};

pq_agent *pq_fallback_agent(pq_agent *first, pq_agent *second, pq_fallback_fn closed, void *context,
                            pq_error *err)
{
    fallback *both = first != NULL && second != NULL ? calloc(1, sizeof *both) : NULL;
    if (both == NULL) {
        if (first != NULL && second != NULL)
            pq_fail(err, PQ_E_NOMEM, "out of memory");
        pq_agent_free(first);
        pq_agent_free(second);
        return NULL;
    }
    both->agent.ops = &ops;
    both->first = first;
    both->second = second;
    both->closed = closed;
    both->context = context;
    return &both->agent;
}
