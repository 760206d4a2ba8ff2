#include "transport/pve/agent_op.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transport/base/log.h"

static void locate(pq_agent_op *op, int64_t not_before_us);
static void send_call(pq_agent_op *op);

static void set_state(pq_agent_op *op, pq_op_state state)
{
    static const char *const kinds[] = {"exec", "exec-status", "file-read", "ping", "query"};
    static const char *const names[] = {"new", "locating", "queued", "sent", "failing"};
    pq_trace("op", PQ_TEXT("vm", op->agent->vm), PQ_TEXT("kind", kinds[op->kind]),
             PQ_TEXT("from", names[op->state]), PQ_TEXT("to", names[state]));
    op->state = state;
}

/* ---- memory ---- */

static pq_agent_op *take_spare(pq_vm_agent *agent)
{
    for (size_t i = 0; i < PQ_SPARE_OPS; i++) {
        pq_agent_op *op = &agent->spares[i];
        if (op->agent == NULL) {
            memset(op, 0, sizeof *op);
            op->spare = true;
            return op;
        }
    }
    return NULL;
}

pq_agent_op *pq_op_new(pq_vm_agent *agent, pq_op_kind kind, void *context)
{
    pq_agent_op *op = calloc(1, sizeof *op);
    if (op == NULL)
        op = take_spare(agent);
    if (op == NULL)
        return NULL;
    op->agent = agent;
    op->kind = kind;
    op->context = context;
    op->started_us = pq_now_us();
    op->next = agent->ops;
    op->link = &agent->ops;
    if (op->next != NULL)
        op->next->link = &op->next;
    agent->ops = op;
    return op;
}

static void free_op(pq_agent_op *op)
{
    *op->link = op->next;
    if (op->next != NULL)
        op->next->link = op->link;
    pq_buf_done(&op->body);
    pq_buf_done(&op->query);
    free(op->file);
    if (op->spare)
        op->agent = NULL;
    else
        free(op);
}

/* ---- a node's queue ---- */

static void run_queue(pq_node *node, const pq_pve *pve);

static void enqueue(pq_agent_op *op)
{
    pq_node *node = op->agent->node;
    op->node = node;
    op->turn_next = NULL;
    op->turn_link = node->queue_end;
    *node->queue_end = op;
    node->queue_end = &op->turn_next;
    set_state(op, PQ_OP_QUEUED);
    run_queue(node, op->agent->pve);
}

static void leave_queue(pq_agent_op *op)
{
    *op->turn_link = op->turn_next;
    if (op->turn_next != NULL)
        op->turn_next->turn_link = op->turn_link;
    else
        op->node->queue_end = op->turn_link;
}

/* Sends what may be sent now. Runs no callbacks. */
static void run_queue(pq_node *node, const pq_pve *pve)
{
    pq_agent_op *op = node->queue;
    while (op != NULL && node->in_flight < pve->calls_per_node) {
        pq_agent_op *next = op->turn_next;
        if (op->agent->in_flight < pve->calls_per_vm) {
            leave_queue(op);
            node->in_flight++;
            op->agent->in_flight++;
            op->sent_us = pq_now_us();
            set_state(op, PQ_OP_SENT);
            send_call(op);
        }
        op = next;
    }
}

/* Gives its place or its turn back. */
static void leave_node(pq_agent_op *op)
{
    pq_node *node = op->node;
    if (node == NULL)
        return;
    if (op->state == PQ_OP_QUEUED) {
        leave_queue(op);
        op->node = NULL;
        return;
    }
    op->node = NULL;
    node->in_flight--;
    op->agent->in_flight--;
    run_queue(node, op->agent->pve);
}

/* ---- the end ---- */

void pq_op_finish(pq_agent_op *op, const pq_op_result *result)
{
    pq_op_kind kind = op->kind;
    void *context = op->context;
    const pq_error *err = result->err;
    pq_agent_op done = {.done = op->done};
    if (kind == PQ_OP_EXEC && err == NULL)
        op->agent->exec_time = (pq_now_us() - op->call.http.started_us) / 1000;
    leave_node(op);
    free_op(op);
    switch (kind) {
    case PQ_OP_EXEC:
        done.done.exec_start(context, err, result->pid);
        break;
    case PQ_OP_STATUS:
        done.done.exec_status(context, err, result->status);
        break;
    case PQ_OP_READ:
        done.done.file_read(context, err, result->bytes, result->eof);
        break;
    case PQ_OP_PING:
        done.done.ping(context, err);
        break;
    case PQ_OP_QUERY:
        done.done.query(context, err, result->answer);
        break;
    }
}

bool pq_op_was_sent(const pq_agent_op *op)
{
    return op->state == PQ_OP_SENT && pq_http_call_was_sent(&op->call.http);
}

void pq_op_drop(pq_agent_op *op)
{
    pq_locate_wait_stop(&op->wait);
    pq_defer_stop(&op->defer);
    pq_api_call_drop(&op->call);
    leave_node(op);
    free_op(op);
}

void pq_op_forget(pq_agent_op *op)
{
    if (pq_op_was_sent(op))
        op->forgotten = true;
    else
        pq_op_drop(op);
}

static void fail(pq_agent_op *op, const pq_error *err)
{
    pq_error copy = *err; /* it may be the operation's own */
    pq_op_finish(op, &(pq_op_result){.err = &copy});
}

static void report_failure(void *context)
{
    pq_agent_op *op = context;
    fail(op, &op->failure);
}

/* Reports op->failure from the loop. */
static void fail_later(pq_agent_op *op)
{
    set_state(op, PQ_OP_FAILING);
    pq_defer_start(op->agent->pve->loop, &op->defer, report_failure, op);
}

/* ---- finding the VM ---- */

static int take_place(pq_agent_op *op, pq_error *err)
{
    pq_vm_agent *agent = op->agent;
    const pq_guest *guest = NULL;
    if (pq_guests_find(&agent->pve->locate.guests, agent->vm, agent->given_node, &guest, err) < 0)
        return -1;
    pq_node *node = pq_pve_node(agent->pve, guest->node, err);
    if (node == NULL)
        return -1;
    pq_agent_place(agent, node, guest->vmid, guest->name);
    pq_log(PQ_LOG_INFO, "found %s", agent->name);
    return 0;
}

/* The server said that the VM is not where its id and node were given. Says where it is. */
static void explain_given_place(pq_agent_op *op, pq_error *err)
{
    const pq_vm_agent *agent = op->agent;
    const pq_guest *guest = pq_guests_by_id(&agent->pve->locate.guests, agent->vmid);
    if (guest == NULL)
        pq_error_prefix(err, "no VM %" PRId64 " was found on node %s: ", agent->vmid,
                        agent->given_node);
    else if (strcmp(guest->node, agent->given_node) != 0)
        pq_fail(err, err->code, "VM %" PRId64 " is on node %s, not on %s", agent->vmid, guest->node,
                agent->given_node);
}

static void relocated(pq_agent_op *op, const pq_error *lookup)
{
    pq_error err = op->failure;
    if (op->agent->given_node != NULL) {
        if (lookup == NULL)
            explain_given_place(op, &err);
        fail(op, &err);
    } else if (lookup != NULL || take_place(op, &err) < 0) {
        fail(op, &err);
    } else {
        enqueue(op);
    }
}

static void located(void *context, const pq_error *lookup)
{
    pq_agent_op *op = context;
    const pq_locate *list = &op->agent->pve->locate;
    pq_error err;
    if (op->relocated) {
        relocated(op, lookup);
    } else if (lookup != NULL) {
        err = *lookup;
        pq_error_prefix(&err, "finding VM '%s': ", op->agent->vm);
        fail(op, &err);
    } else if (take_place(op, &err) == 0) {
        enqueue(op);
    } else if (list->listed_at_us < op->started_us) {
        locate(op, op->started_us);
    } else {
        fail(op, &err);
    }
}

static void locate(pq_agent_op *op, int64_t not_before_us)
{
    if (op->state != PQ_OP_LOCATING)
        set_state(op, PQ_OP_LOCATING);
    pq_locate_wait_start(&op->agent->pve->locate, &op->wait, not_before_us, located, op);
}

/* The VM is not on op->node. Another operation may have found out before. */
static void relocate(pq_agent_op *op, const pq_error *err)
{
    bool known = op->agent->node != NULL && op->agent->node != op->node;
    op->relocated = true;
    op->failure = *err;
    if (!known && op->agent->given_node == NULL)
        op->agent->node = NULL;
    leave_node(op);
    if (known)
        enqueue(op);
    else
        locate(op, op->sent_us);
}

/* ---- the call ---- */

/* Another form of the same call is known to work now. */
static bool learn_form(pq_agent_op *op, pq_refusal refusal)
{
    if (refusal == PQ_REFUSAL_JSON && op->kind == PQ_OP_EXEC && !op->is_form) {
        pq_limits_forms_only(&op->node->limits);
        return true;
    }
    if (refusal == PQ_REFUSAL_RANGES && op->kind == PQ_OP_READ && op->ranges) {
        op->node->limits.whole_files = true;
        return true;
    }
    return false;
}

static void size_refused(pq_agent_op *op, pq_error *err)
{
    bool smaller = pq_limits_refused(&op->node->limits, op->body.length);
    pq_fail_effect(err, PQ_E_TOO_LARGE, PQ_EFFECT_NONE, smaller && pq_op_exceeds_limits(op),
                   "the server refused a request of %zu bytes as too large", op->body.length);
}

static void refused(pq_agent_op *op, const pq_error *cause, pq_refusal refusal)
{
    pq_error err = *cause;
    if (learn_form(op, refusal)) {
        send_call(op);
        return;
    }
    if (refusal == PQ_REFUSAL_PLACE && !op->relocated) {
        relocate(op, &err);
        return;
    }
    if (refusal == PQ_REFUSAL_BODY)
        size_refused(op, &err);
    fail(op, &err);
}

/* A daemon that refuses a body by its announced length hangs up without reading it, and its answer
 * can get lost in that. Told from other losses by the size, as long as no body of that size was
 * ever taken. */
static bool was_body_refused(const pq_agent_op *op, const pq_error *err)
{
    return op->kind == PQ_OP_EXEC && err->code == PQ_E_NETWORK && err->effect == PQ_EFFECT_NONE &&
           op->body.length > PQ_LIMITS_BODY_OLD && !op->node->limits.large_taken;
}

static void answered(void *context, const pq_error *err, pq_refusal refusal, const pq_json *data)
{
    pq_agent_op *op = context;
    if (op->forgotten) {
        pq_op_drop(op);
        return;
    }
    if (err == NULL) {
        pq_limits_taken(&op->node->limits, op->body.length);
        pq_op_decode(op, data);
    } else if (was_body_refused(op, err)) {
        pq_error too_large;
        size_refused(op, &too_large);
        fail(op, &too_large);
    } else {
        refused(op, err, refusal);
    }
}

static void send_call(pq_agent_op *op)
{
    memset(&op->call, 0, sizeof op->call);
    pq_buf_clear(&op->query);
    if (pq_op_prepare(op, &op->failure) < 0)
        fail_later(op);
    else
        pq_api_call_start(&op->agent->pve->api, &op->call, answered, op);
}

void pq_op_start(pq_agent_op *op, int failed)
{
    if (op->spare)
        failed = pq_fail(&op->failure, PQ_E_NOMEM, "out of memory");
    if (failed < 0)
        fail_later(op);
    else if (op->agent->node != NULL)
        enqueue(op);
    else
        locate(op, 0);
}
