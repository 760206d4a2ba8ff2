#include "transport/pve/agent_op.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transport/pve/answer.h"
#include "transport/pve/request.h"

static pq_vm_agent *of(pq_agent *agent)
{
    return (pq_vm_agent *)agent;
}

static const pq_vm_agent *of_const(const pq_agent *agent)
{
    return (const pq_vm_agent *)agent;
}

/* ---- requests ---- */

bool pq_op_exceeds_limits(const pq_agent_op *op)
{
    pq_agent_limits now;
    pq_limits_report(&op->node->limits, 1, &now);
    return op->args_bytes > now.args_bytes || op->input_bytes > now.input_bytes;
}

static int check_size(pq_agent_op *op, pq_error *err)
{
    pq_limits *limits = &op->node->limits;
    if (op->body.length <= limits->body_bytes)
        return 0;
    if (op->is_form && !pq_op_exceeds_limits(op))
        pq_limits_form_too_large(limits);
    return pq_fail_effect(err, PQ_E_TOO_LARGE, PQ_EFFECT_NONE, pq_op_exceeds_limits(op),
                          "a request of %zu bytes, where the server takes %zu", op->body.length,
                          limits->body_bytes);
}

static int make_form(pq_agent_op *op, pq_error *err)
{
    pq_buf form = {0};
    if (pq_request_form(&form, &op->body, err) < 0) {
        pq_buf_done(&form);
        return -1;
    }
    pq_buf_done(&op->body);
    op->body = form;
    op->is_form = true;
    return 0;
}

static int prepare_exec(pq_agent_op *op, pq_error *err)
{
    if (op->node->limits.forms && !op->is_form && make_form(op, err) < 0)
        return -1;
    if (check_size(op, err) < 0)
        return -1;
    op->call.kind = PQ_API_EXEC;
    op->call.method = "POST";
    op->call.body = &op->body;
    op->call.content_type = op->is_form ? "application/x-www-form-urlencoded" : "application/json";
    return 0;
}

static int prepare_status(pq_agent_op *op, pq_error *err)
{
    op->call.kind = PQ_API_STATUS;
    op->call.method = "GET";
    op->call.large = true;
    op->call.gzip = true;
    return pq_buf_printf(&op->query, err, "pid=%" PRId64, op->pid);
}

static int prepare_read(pq_agent_op *op, pq_error *err)
{
    op->ranges = !op->node->limits.whole_files;
    if (!op->ranges && op->offset > 0)
        return pq_fail_effect(err, PQ_E_UNSUPPORTED, PQ_EFFECT_NONE, true,
                              "this Proxmox VE release reads files from their beginning only");
    op->call.kind = PQ_API_READ;
    op->call.method = "GET";
    op->call.large = true;
    /* Base64 of compressed data would shrink by a quarter, at 18 ms of the worker's time for
     * 256 KiB, which is more than most networks take for the rest. */
    op->call.gzip = !op->ranges;
    return pq_request_file_read(&op->query, op->file, op->ranges, op->offset, op->count, err);
}

static int prepare_ping(pq_agent_op *op)
{
    op->call.kind = PQ_API_PING;
    op->call.method = "POST";
    return 0;
}

static int prepare_query(pq_agent_op *op)
{
    op->call.kind = PQ_API_QUERY;
    op->call.method = "GET";
    op->call.gzip = true;
    return 0;
}

static int prepare_kind(pq_agent_op *op, pq_error *err)
{
    switch (op->kind) {
    case PQ_OP_EXEC:
        return prepare_exec(op, err);
    case PQ_OP_STATUS:
        return prepare_status(op, err);
    case PQ_OP_READ:
        return prepare_read(op, err);
    case PQ_OP_PING:
        return prepare_ping(op);
    case PQ_OP_QUERY:
        break;
    }
    return prepare_query(op);
}

int pq_op_prepare(pq_agent_op *op, pq_error *err)
{
    static const char *const verbs[] = {"exec", "exec-status", "file-read", "ping"};
    if (prepare_kind(op, err) < 0)
        return -1;
    snprintf(op->path, sizeof op->path, "/api2/json/nodes/%s/qemu/%" PRId64 "/agent/%s",
             op->node->name, op->agent->vmid,
             op->kind == PQ_OP_QUERY ? op->query_name : verbs[op->kind]);
    op->call.path = op->path;
    op->call.query = op->query.length > 0 ? op->query.data : NULL;
    return 0;
}

/* ---- answers ---- */

static void decode_pid(pq_agent_op *op, const pq_json *data)
{
    pq_op_result result = {0};
    pq_error err;
    if (pq_answer_pid(data, &result.pid, &err) < 0) {
        err.effect = PQ_EFFECT_DONE;
        result.err = &err;
    }
    pq_op_finish(op, &result);
}

static void decode_status(pq_agent_op *op, const pq_json *data)
{
    pq_exec_status status = {0};
    pq_op_result result = {.status = &status};
    pq_error err;
    if (pq_answer_status(data, &status, &err) < 0) {
        err.effect = PQ_EFFECT_UNKNOWN;
        result = (pq_op_result){.err = &err};
    }
    pq_op_finish(op, &result);
    pq_buf_done(&status.out);
    pq_buf_done(&status.err);
}

static void decode_file(pq_agent_op *op, const pq_json *data)
{
    pq_buf bytes = {0};
    pq_op_result result = {.bytes = &bytes};
    pq_error err;
    if (pq_answer_file(data, op->ranges, op->count, &bytes, &result.eof, &err) < 0)
        result = (pq_op_result){.err = &err};
    pq_op_finish(op, &result);
    pq_buf_done(&bytes);
}

static void decode_query(pq_agent_op *op, const pq_json *data)
{
    pq_op_result result = {0};
    pq_error err;
    if (pq_answer_query(data, &result.answer, &err) < 0)
        result = (pq_op_result){.err = &err};
    pq_op_finish(op, &result);
}

void pq_op_decode(pq_agent_op *op, const pq_json *data)
{
    switch (op->kind) {
    case PQ_OP_EXEC:
        decode_pid(op, data);
        break;
    case PQ_OP_STATUS:
        decode_status(op, data);
        break;
    case PQ_OP_READ:
        decode_file(op, data);
        break;
    case PQ_OP_PING:
        pq_op_finish(op, &(pq_op_result){0});
        break;
    case PQ_OP_QUERY:
        decode_query(op, data);
        break;
    }
}

/* ---- the interface ---- */

static pq_agent_op *exec_start(pq_agent *agent, const pq_exec_request *request,
                               pq_exec_start_fn done, void *context)
{
    pq_agent_op *op = pq_op_new(of(agent), PQ_OP_EXEC, context);
    if (op == NULL)
        return NULL;
    op->done.exec_start = done;
    op->input_bytes = request->input_length;
    pq_op_start(op, pq_request_exec(&op->body, request, &op->args_bytes, &op->failure));
    return op;
}

static pq_agent_op *exec_status(pq_agent *agent, int64_t pid, pq_exec_status_fn done, void *context)
{
    pq_agent_op *op = pq_op_new(of(agent), PQ_OP_STATUS, context);
    if (op == NULL)
        return NULL;
    op->done.exec_status = done;
    op->pid = pid;
    pq_op_start(op, 0);
    return op;
}

static pq_agent_op *file_read(pq_agent *agent, const char *path, uint64_t offset, size_t count,
                              pq_file_read_fn done, void *context)
{
    pq_agent_op *op = pq_op_new(of(agent), PQ_OP_READ, context);
    if (op == NULL)
        return NULL;
    op->done.file_read = done;
    op->offset = offset;
    op->count = count;
    op->file = strdup(path);
    pq_op_start(op, op->file != NULL ? 0 : pq_fail(&op->failure, PQ_E_NOMEM, "out of memory"));
    return op;
}

static pq_agent_op *ping(pq_agent *agent, pq_agent_done_fn done, void *context)
{
    pq_agent_op *op = pq_op_new(of(agent), PQ_OP_PING, context);
    if (op == NULL)
        return NULL;
    op->done.ping = done;
    pq_op_start(op, 0);
    return op;
}

/* The name goes into the path as it is. */
static int set_query_name(pq_agent_op *op, const char *query, pq_error *err)
{
    size_t length = strlen(query);
    if (length == 0 || length > PQ_AGENT_QUERY_NAME_MAX ||
        strspn(query, "abcdefghijklmnopqrstuvwxyz-") != length)
        return pq_fail(err, PQ_E_INTERNAL, "a query of the agent cannot have this name");
    memcpy(op->query_name, query, length + 1);
    return 0;
}

static pq_agent_op *query(pq_agent *agent, const char *query_name, pq_agent_query_fn done,
                          void *context)
{
    pq_agent_op *op = pq_op_new(of(agent), PQ_OP_QUERY, context);
    if (op == NULL)
        return NULL;
    op->done.query = done;
    pq_op_start(op, set_query_name(op, query_name, &op->failure));
    return op;
}

static const pq_agent_limits *limits(const pq_agent *base)
{
    /* The struct is the agent's own and refreshed at each call. */
    pq_vm_agent *agent = (pq_vm_agent *)(uintptr_t)base;
    const pq_pve *pve = agent->pve;
    pq_limits unknown;
    pq_limits_init(&unknown);
    unsigned parallel =
        pve->calls_per_vm < pve->calls_per_node ? pve->calls_per_vm : pve->calls_per_node;
    pq_limits_report(agent->node != NULL ? &agent->node->limits : &unknown, parallel,
                     &agent->limits);
    agent->limits.exec_time = agent->exec_time;
    agent->limits.round_trip = pq_http_pool_round_trip(pve->pool);
    return &agent->limits;
}

static const char *name(const pq_agent *agent)
{
    return of_const(agent)->name;
}

static pq_loop *loop(const pq_agent *agent)
{
    return of_const(agent)->pve->loop;
}

static void free_agent(pq_agent *base)
{
    pq_vm_agent *agent = of(base);
    while (agent->ops != NULL)
        pq_op_drop(agent->ops);
    free(agent->vm);
    free(agent->given_node);
    free(agent);
}

static const pq_agent_ops ops = {
    .exec_start = exec_start,
    .exec_status = exec_status,
    .file_read = file_read,
    .ping = ping,
    .query = query,
    .was_sent = pq_op_was_sent,
    .drop = pq_op_forget,
    .limits = limits,
    .name = name,
    .loop = loop,
    .free = free_agent,
};

void pq_agent_place(pq_vm_agent *agent, pq_node *node, int64_t vmid, const char *vm_name)
{
    char clean[96] = "";
    agent->node = node;
    agent->vmid = vmid;
    if (vm_name != NULL)
        pq_error_clean(clean, sizeof clean, vm_name, strlen(vm_name));
    snprintf(agent->name, sizeof agent->name, "VM %" PRId64 "%s%s%s on node %s", vmid,
             clean[0] != '\0' ? " (" : "", clean, clean[0] != '\0' ? ")" : "", node->name);
}

static int init_agent(pq_vm_agent *agent, pq_pve *pve, const char *vm, const char *node,
                      pq_error *err)
{
    int64_t vmid = 0;
    bool is_id = pq_vm_is_id(vm, &vmid);
    char clean[96];
    agent->agent.ops = &ops;
    agent->pve = pve;
    agent->vm = strdup(vm);
    agent->given_node = node != NULL ? strdup(node) : NULL;
    if (agent->vm == NULL || (node != NULL && agent->given_node == NULL))
        return pq_fail(err, PQ_E_NOMEM, "out of memory");
    pq_error_clean(clean, sizeof clean, vm, strlen(vm));
    snprintf(agent->name, sizeof agent->name, is_id ? "VM %s" : "VM '%s'", clean);
    if (node == NULL || !is_id)
        return 0;
    pq_node *place = pq_pve_node(pve, node, err);
    if (place == NULL)
        return -1;
    pq_agent_place(agent, place, vmid, NULL);
    return 0;
}

pq_agent *pq_pve_agent(pq_pve *pve, const char *vm, const char *node, pq_error *err)
{
    int64_t vmid;
    if (vm == NULL || vm[0] == '\0') {
        pq_fail(err, PQ_E_USAGE, "no VM was named");
        return NULL;
    }
    if (pq_vm_is_id(vm, &vmid) && vmid == 0) {
        pq_fail(err, PQ_E_USAGE, "'%s' cannot be the id of a VM: they are %d to %d", vm,
                PQ_VMID_MIN, PQ_VMID_MAX);
        return NULL;
    }
    if (node != NULL && !pq_is_node_name(node)) {
        pq_fail(err, PQ_E_USAGE, "'%s' cannot be the name of a node", node);
        return NULL;
    }
    pq_vm_agent *agent = calloc(1, sizeof *agent);
    if (agent == NULL) {
        pq_fail(err, PQ_E_NOMEM, "out of memory");
        return NULL;
    }
    if (init_agent(agent, pve, vm, node, err) < 0) {
        free_agent(&agent->agent);
        return NULL;
    }
    return &agent->agent;
}
