#include "transport/ssh/agent_op.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transport/base/log.h"

#define DEFAULT_CALLS 3
static void locate(pq_agent_op *op, int64_t not_before_us);

void pq_ssh_op_set_state(pq_agent_op *op, pq_ssh_op_state state)
{
    static const char *const kinds[] = {"exec", "exec-status", "file-read", "ping", "query"};
    static const char *const names[] = {"new", "locating", "queued", "sent", "pausing", "failing"};
    pq_trace("op", PQ_TEXT("vm", op->agent->vm), PQ_TEXT("kind", kinds[op->kind]),
             PQ_TEXT("from", names[op->state]), PQ_TEXT("to", names[state]));
    op->state = state;
}

/* ---- memory ---- */

static pq_agent_op *take_spare(pq_ssh_vm *agent)
{
    for (size_t i = 0; i < PQ_SSH_SPARE_OPS; i++) {
        pq_agent_op *op = &agent->spares[i];
        if (op->agent == NULL) {
            memset(op, 0, sizeof *op);
            op->spare = true;
            return op;
        }
    }
    return NULL;
}

pq_agent_op *pq_ssh_op_new(pq_ssh_vm *agent, pq_ssh_op_kind kind, void *context)
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

static void free_request(pq_agent_op *op)
{
    for (char **arg = op->argv; arg != NULL && *arg != NULL; arg++)
        free(*arg);
    free(op->argv);
    if (op->input != NULL)
        pq_wipe(op->input, op->input_length);
    free(op->input);
    op->argv = NULL;
    op->input = NULL;
}

static void free_op(pq_agent_op *op)
{
    *op->link = op->next;
    if (op->next != NULL)
        op->next->link = op->link;
    free_request(op);
    free(op->file);
    if (op->spare)
        op->agent = NULL;
    else
        free(op);
}

/* ---- a node's queue ---- */

static unsigned calls_per_node(const pq_ssh *ssh)
{
    return ssh->options.calls_per_node > 0 ? ssh->options.calls_per_node : DEFAULT_CALLS;
}

static unsigned calls_per_vm(const pq_ssh *ssh)
{
    return ssh->options.calls_per_vm > 0 ? ssh->options.calls_per_vm : DEFAULT_CALLS;
}

/* Sends what may be sent now. Runs no callbacks. */
static void run_queue(pq_ssh_node *node)
{
    const pq_ssh *ssh = node->ssh;
    pq_agent_op *op = node->queue;
    while (op != NULL && node->in_flight < calls_per_node(ssh)) {
        pq_agent_op *next = op->turn_next;
        if (op->agent->in_flight < calls_per_vm(ssh)) {
            *op->turn_link = next;
            if (next != NULL)
                next->turn_link = op->turn_link;
            else
                node->queue_end = op->turn_link;
            node->in_flight++;
            op->agent->in_flight++;
            op->sent_us = pq_now_us();
            pq_ssh_op_set_state(op, PQ_SSH_OP_SENT);
            pq_ssh_op_send(op);
        }
        op = next;
    }
}

static void enqueue(pq_agent_op *op)
{
    pq_ssh_node *node = op->agent->node;
    op->node = node;
    op->turn_next = NULL;
    op->turn_link = node->queue_end;
    *node->queue_end = op;
    node->queue_end = &op->turn_next;
    pq_ssh_op_set_state(op, PQ_SSH_OP_QUEUED);
    run_queue(node);
}

/* Gives its place or its turn back. */
static void leave_node(pq_agent_op *op)
{
    pq_ssh_node *node = op->node;
    op->node = NULL;
    if (node == NULL)
        return;
    if (op->state == PQ_SSH_OP_QUEUED) {
        *op->turn_link = op->turn_next;
        if (op->turn_next != NULL)
            op->turn_next->turn_link = op->turn_link;
        else
            node->queue_end = op->turn_link;
        return;
    }
    node->in_flight--;
    op->agent->in_flight--;
    run_queue(node);
    if (op->agent->node != NULL && op->agent->node != node)
        run_queue(op->agent->node);
}

/* ---- the end ---- */

/* Forgets what is under way; what was sent may still happen. */
static void let_go(pq_agent_op *op)
{
    pq_ssh_list_wait_stop(&op->wait);
    if (op->search != NULL)
        op->agent->ssh->guide.stop(op->search);
    op->search = NULL;
    pq_defer_stop(&op->defer);
    pq_timer_stop(&op->timer);
    pq_ssh_command_drop(op->command);
    pq_relay_call_drop(op->call);
    op->command = NULL;
    op->call = NULL;
}

void pq_ssh_op_finish(pq_agent_op *op, const pq_ssh_op_result *result)
{
    pq_agent_op ended = {.done = op->done, .kind = op->kind, .context = op->context};
    const pq_error *err = result->err;
    if (op->kind == PQ_SSH_OP_EXEC && err == NULL)
        op->agent->exec_time = (pq_now_us() - op->sent_us) / 1000;
    let_go(op);
    leave_node(op);
    free_op(op);
    switch (ended.kind) {
    case PQ_SSH_OP_EXEC:
        ended.done.exec_start(ended.context, err, result->pid);
        break;
    case PQ_SSH_OP_STATUS:
        ended.done.exec_status(ended.context, err, result->status);
        break;
    case PQ_SSH_OP_READ:
        ended.done.file_read(ended.context, err, result->bytes, result->eof);
        break;
    case PQ_SSH_OP_PING:
        ended.done.ping(ended.context, err);
        break;
    case PQ_SSH_OP_QUERY:
        ended.done.query(ended.context, err, result->answer);
        break;
    }
}

bool pq_ssh_op_was_sent(const pq_agent_op *op)
{
    return (op->command != NULL && pq_ssh_command_was_sent(op->command)) ||
           (op->call != NULL && pq_relay_call_was_sent(op->call));
}

void pq_ssh_op_drop(pq_agent_op *op)
{
    let_go(op);
    leave_node(op);
    free_op(op);
}

void pq_ssh_op_forget(pq_agent_op *op)
{
    if (op->state == PQ_SSH_OP_SENT && pq_ssh_op_was_sent(op))
        op->forgotten = true;
    else
        pq_ssh_op_drop(op);
}

void pq_ssh_op_fail(pq_agent_op *op, const pq_error *err)
{
    pq_error copy = *err; /* it may be the operation's own */
    if (op->forgotten)
        pq_ssh_op_drop(op);
    else
        pq_ssh_op_finish(op, &(pq_ssh_op_result){.err = &copy});
}

static void report_failure(void *context)
{
    pq_agent_op *op = context;
    pq_ssh_op_fail(op, &op->failure);
}

void pq_ssh_op_fail_later(pq_agent_op *op)
{
    leave_node(op);
    pq_ssh_op_set_state(op, PQ_SSH_OP_FAILING);
    pq_defer_start(op->agent->ssh->loop, &op->defer, report_failure, op);
}

/* ---- finding the VM ---- */

static int take_place(pq_agent_op *op, pq_error *err)
{
    pq_ssh_vm *agent = op->agent;
    const pq_guest *guest = NULL;
    if (pq_guests_find(&agent->ssh->list.guests, agent->vm, agent->given_node, &guest, err) < 0)
        return -1;
    pq_ssh_node *node = pq_ssh_node_get(agent->ssh, guest->node, "", err);
    if (node == NULL)
        return -1;
    pq_ssh_vm_place(agent, node, guest->vmid, guest->name);
    pq_log(PQ_LOG_INFO, "found %s", agent->name);
    return 0;
}

/* A place that the guide has told, or that was given. */
static void go_to(pq_agent_op *op, int64_t vmid, const char *name, const char *address)
{
    pq_ssh_vm *agent = op->agent;
    pq_error err;
    pq_ssh_node *node = pq_ssh_node_get(agent->ssh, name, address, &err);
    if (node == NULL) {
        pq_ssh_op_fail(op, &err);
        return;
    }
    pq_ssh_vm_place(agent, node, vmid, NULL);
    pq_log(PQ_LOG_INFO, "found %s at %s without a list of guests: %s", agent->name,
           pq_ssh_session_name(node->session), op->unlisted.text);
    enqueue(op);
}

/* Nobody knows: a node that was named is looked for by its name. */
static void go_without_list(pq_agent_op *op)
{
    const pq_ssh_vm *agent = op->agent;
    int64_t vmid;
    if (op->relocated) {
        pq_ssh_op_fail(op, &op->failure);
    } else if (agent->given_node != NULL && pq_vm_is_id(agent->vm, &vmid)) {
        go_to(op, vmid, agent->given_node, "");
    } else {
        pq_error_prefix(&op->unlisted, "finding VM '%s': ", agent->vm);
        pq_ssh_op_fail(op, &op->unlisted);
    }
}

static void guided(void *context, const pq_error *err, int64_t vmid, const char *node,
                   const char *address)
{
    pq_agent_op *op = context;
    op->search = NULL;
    if (err == NULL)
        go_to(op, vmid, node, address);
    else
        go_without_list(op);
}

static bool ask_guide(pq_agent_op *op)
{
    const pq_ssh_vm *agent = op->agent;
    const pq_ssh_guide *guide = &agent->ssh->guide;
    if (guide->start != NULL)
        op->search = guide->start(guide->context, agent->vm, agent->given_node, guided, op);
    return op->search != NULL;
}

static void located(void *context, const pq_error *lookup)
{
    pq_agent_op *op = context;
    pq_error err;
    if (lookup != NULL) {
        op->unlisted = *lookup;
        if (!ask_guide(op))
            go_without_list(op);
    } else if (take_place(op, &err) == 0) {
        enqueue(op);
    } else if (op->agent->ssh->list.listed_at_us < op->started_us) {
        locate(op, op->started_us);
    } else {
        pq_ssh_op_fail(op, &err);
    }
}

static void locate(pq_agent_op *op, int64_t not_before_us)
{
    if (op->state != PQ_SSH_OP_LOCATING)
        pq_ssh_op_set_state(op, PQ_SSH_OP_LOCATING);
    pq_ssh_list_wait_start(&op->agent->ssh->list, &op->wait, not_before_us, located, op);
}

static void go_elsewhere(pq_agent_op *op, int64_t not_before_us)
{
    leave_node(op);
    if (op->agent->node != NULL)
        enqueue(op);
    else
        locate(op, not_before_us);
}

/* The VM is not on op->node, which was a guess or was true once. What waits there for its turn
 * would wait for ever when nothing else of the VM is left there. */
static void relocate(pq_agent_op *op, const pq_error *err)
{
    const pq_ssh_node *left = op->node;
    int64_t sent_us = op->sent_us;
    op->relocated = true;
    op->failure = *err;
    if (op->agent->node == left)
        op->agent->node = NULL;
    for (pq_agent_op *other = op->agent->ops; other != NULL; other = other->next)
        if (other->state == PQ_SSH_OP_QUEUED && other->node == left)
            go_elsewhere(other, sent_us);
    go_elsewhere(op, sent_us);
}

/* ---- refusals ---- */

static bool is_socket_refused(const pq_agent_op *op, const pq_error *err)
{
    return op->by_relay && err->effect == PQ_EFFECT_NONE &&
           op->agent->ssh->options.method == PQ_SSH_METHOD_AUTO &&
           (err->code == PQ_E_SUDO || err->code == PQ_E_NODE_TOOL);
}

void pq_ssh_op_refused(pq_agent_op *op, const pq_error *err)
{
    /* The relay knows of a VM elsewhere only that there is none of it here. */
    bool not_here = err->code == PQ_E_VM_UNKNOWN || (op->by_relay && err->code == PQ_E_VM_STOPPED);
    bool may_relocate = not_here && err->effect == PQ_EFFECT_NONE && !op->relocated &&
                        op->agent->given_node == NULL && !op->forgotten;
    if (is_socket_refused(op, err) && !op->forgotten) {
        if (op->node->method == PQ_SSH_METHOD_AUTO)
            pq_log(PQ_LOG_INFO, "going on with qm: %s", err->text);
        op->node->method = PQ_SSH_METHOD_QM;
        pq_ssh_op_send(op);
    } else if (may_relocate) {
        relocate(op, err);
    } else {
        pq_ssh_op_fail(op, err);
    }
}

void pq_ssh_op_start(pq_agent_op *op, int failed)
{
    if (op->spare)
        failed = pq_fail(&op->failure, PQ_E_NOMEM, "out of memory");
    if (failed < 0)
        pq_ssh_op_fail_later(op);
    else if (op->agent->node != NULL)
        enqueue(op);
    else
        locate(op, 0);
}
