#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transport/ssh/agent_op.h"

/* MAX_ARG_STRLEN of Linux is 131072 with the NUL. */
#define ARG_MAX_BYTES ((size_t)131071)

/* Linux takes 2 MiB of arguments and environment, with a pointer for each, if the stack may have
 * 8 MiB, on the node for qm's process as in the guest. A call of qm carries nearly all that, since
 * it costs the same whatever it carries; one to the socket as much as keeps it busy, since three
 * of them are in memory, each several times. */
#define QM_ARGS_BYTES ((size_t)1792 * 1024)
#define SOCKET_ARGS_BYTES ((size_t)448 * 1024)

/* What goes through the child's pipe. qm takes 1 MiB, but on a virtual serial port an agent that
 * nobody is connected to moves 4 KiB in 0.1 s: larger input is faster as arguments. */
#define INPUT_BYTES ((size_t)65536)

/* qm takes the time that it needs to start and 1 s to ask for the second time; then Proxmox VE's
 * reader needs 0.25 s for 512 KiB and 0.9 s for 1 MiB of output, and gives up on 3 MiB. */
#define QM_READ_BYTES ((size_t)768 * 1024)
#define SOCKET_READ_BYTES ((size_t)512 * 1024)

/* Perl and what qm loads: 0.5 to 1 s. */
#define QM_START_MS 800

static pq_ssh_vm *of(pq_agent *agent)
{
    return (pq_ssh_vm *)agent;
}

static const pq_ssh_vm *of_const(const pq_agent *agent)
{
    return (const pq_ssh_vm *)agent;
}

/* ---- the interface ---- */

static int copy_argv(pq_agent_op *op, const char *const *argv, pq_error *err)
{
    size_t count = 0;
    while (argv[count] != NULL)
        count++;
    op->argv = calloc(count + 1, sizeof *op->argv);
    for (size_t i = 0; op->argv != NULL && i < count; i++) {
        op->argv[i] = strdup(argv[i]);
        if (op->argv[i] == NULL)
            return pq_fail(err, PQ_E_NOMEM, "out of memory");
    }
    return op->argv != NULL ? 0 : pq_fail(err, PQ_E_NOMEM, "out of memory");
}

static int copy_request(pq_agent_op *op, const pq_exec_request *request, pq_error *err)
{
    if (copy_argv(op, request->argv, err) < 0)
        return -1;
    if (request->input == NULL)
        return 0;
    op->input = malloc(request->input_length + 1);
    if (op->input == NULL)
        return pq_fail(err, PQ_E_NOMEM, "out of memory");
    memcpy(op->input, request->input, request->input_length);
    op->input_length = request->input_length;
    return 0;
}

static pq_agent_op *exec_start(pq_agent *agent, const pq_exec_request *request,
                               pq_exec_start_fn done, void *context)
{
    pq_agent_op *op = pq_ssh_op_new(of(agent), PQ_SSH_OP_EXEC, context);
    if (op == NULL)
        return NULL;
    op->done.exec_start = done;
    pq_ssh_op_start(op, copy_request(op, request, &op->failure));
    return op;
}

static pq_agent_op *exec_status(pq_agent *agent, int64_t pid, pq_exec_status_fn done, void *context)
{
    pq_agent_op *op = pq_ssh_op_new(of(agent), PQ_SSH_OP_STATUS, context);
    if (op == NULL)
        return NULL;
    op->done.exec_status = done;
    op->pid = pid;
    pq_ssh_op_start(op, 0);
    return op;
}

static pq_agent_op *file_read(pq_agent *agent, const char *path, uint64_t offset, size_t count,
                              pq_file_read_fn done, void *context)
{
    pq_agent_op *op = pq_ssh_op_new(of(agent), PQ_SSH_OP_READ, context);
    if (op == NULL)
        return NULL;
    op->done.file_read = done;
    op->offset = offset;
    op->count = count;
    op->file = strdup(path);
    pq_ssh_op_start(op, op->file != NULL ? 0 : pq_fail(&op->failure, PQ_E_NOMEM, "out of memory"));
    return op;
}

static pq_agent_op *ping(pq_agent *agent, pq_agent_done_fn done, void *context)
{
    pq_agent_op *op = pq_ssh_op_new(of(agent), PQ_SSH_OP_PING, context);
    if (op == NULL)
        return NULL;
    op->done.ping = done;
    pq_ssh_op_start(op, 0);
    return op;
}

/* The name goes into scripts as it is. */
static int set_query_name(pq_agent_op *op, const char *name, pq_error *err)
{
    size_t length = strlen(name);
    if (length == 0 || length > PQ_AGENT_QUERY_NAME_MAX ||
        strspn(name, "abcdefghijklmnopqrstuvwxyz-") != length)
        return pq_fail(err, PQ_E_INTERNAL, "a query of the agent cannot have this name");
    memcpy(op->query_name, name, length + 1);
    return 0;
}

static pq_agent_op *query(pq_agent *agent, const char *query_name, pq_agent_query_fn done,
                          void *context)
{
    pq_agent_op *op = pq_ssh_op_new(of(agent), PQ_SSH_OP_QUERY, context);
    if (op == NULL)
        return NULL;
    op->done.query = done;
    pq_ssh_op_start(op, set_query_name(op, query_name, &op->failure));
    return op;
}

static const pq_agent_limits *limits(const pq_agent *base)
{
    /* The struct is the agent's own and refreshed at each call. */
    pq_ssh_vm *agent = (pq_ssh_vm *)(uintptr_t)base;
    const pq_ssh_options *options = &agent->ssh->options;
    pq_ssh_method method = agent->node != NULL ? agent->node->method : options->method;
    /* Until the node has shown which way it allows, what both take is assumed. */
    bool by_qm = method == PQ_SSH_METHOD_QM;
    agent->limits = (pq_agent_limits){
        .arg_bytes = ARG_MAX_BYTES,
        .args_bytes = by_qm ? QM_ARGS_BYTES : SOCKET_ARGS_BYTES,
        .input_bytes = INPUT_BYTES,
        .read_bytes = by_qm ? QM_READ_BYTES : SOCKET_READ_BYTES,
        .offset_reads = true,
        .args_proven = true,
        .parallel = options->calls_per_vm < options->calls_per_node ? options->calls_per_vm
                                                                    : options->calls_per_node,
        .round_trip = agent->node != NULL ? pq_ssh_session_round_trip(agent->node->session) : 0,
        .call_cost = by_qm ? QM_START_MS : 0,
        .late_call = PQ_LATE_CALL_MS,
        .exec_time = agent->exec_time,
    };
    return &agent->limits;
}

static const char *name(const pq_agent *agent)
{
    return of_const(agent)->name;
}

static pq_loop *loop(const pq_agent *agent)
{
    return of_const(agent)->ssh->loop;
}

static void free_agent(pq_agent *base)
{
    pq_ssh_vm *agent = of(base);
    while (agent->ops != NULL)
        pq_ssh_op_drop(agent->ops);
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
    .was_sent = pq_ssh_op_was_sent,
    .drop = pq_ssh_op_forget,
    .limits = limits,
    .name = name,
    .loop = loop,
    .free = free_agent,
};

/* ---- agents ---- */

void pq_ssh_vm_place(pq_ssh_vm *agent, pq_ssh_node *node, int64_t vmid, const char *vm_name)
{
    char clean[96] = "";
    agent->node = node;
    agent->vmid = vmid;
    if (vm_name != NULL)
        pq_error_clean(clean, sizeof clean, vm_name, strlen(vm_name));
    snprintf(agent->name, sizeof agent->name, "VM %" PRId64 "%s%s%s on node %s", vmid,
             clean[0] != '\0' ? " (" : "", clean, clean[0] != '\0' ? ")" : "",
             node->name[0] != '\0' ? node->name : pq_ssh_session_name(node->session));
}

/* Where the VM may be, as far as that is known without asking. */
static int place_given(pq_ssh_vm *agent, int64_t vmid, pq_error *err)
{
    pq_ssh *ssh = agent->ssh;
    pq_ssh_node *node = ssh->entry;
    if (agent->given_node != NULL && !pq_ssh_node_is_known(ssh, agent->given_node))
        return 0;
    if (agent->given_node != NULL) {
        node = pq_ssh_node_get(ssh, agent->given_node, "", err);
        if (node == NULL)
            return -1;
    }
    if (node == NULL)
        return pq_fail(err, PQ_E_CONFIG, "no node to log in to was given (--ssh-host or --node)");
    pq_ssh_vm_place(agent, node, vmid, NULL);
    return 0;
}

static int init_agent(pq_ssh_vm *agent, pq_ssh *ssh, const char *vm, const char *node,
                      pq_error *err)
{
    int64_t vmid = 0;
    char clean[96];
    agent->agent.ops = &ops;
    agent->ssh = ssh;
    agent->vm = strdup(vm);
    agent->given_node = node != NULL ? strdup(node) : NULL;
    if (agent->vm == NULL || (node != NULL && agent->given_node == NULL))
        return pq_fail(err, PQ_E_NOMEM, "out of memory");
    pq_error_clean(clean, sizeof clean, vm, strlen(vm));
    snprintf(agent->name, sizeof agent->name, "VM '%s'", clean);
    return pq_vm_is_id(vm, &vmid) ? place_given(agent, vmid, err) : 0;
}

pq_agent *pq_ssh_agent(pq_ssh *ssh, const char *vm, const char *node, pq_error *err)
{
    int64_t vmid;
    if (vm == NULL || vm[0] == '\0') {
        pq_fail(err, PQ_E_USAGE, "no VM was named");
        return NULL;
    }
    if (pq_vm_is_id(vm, &vmid) && vmid == 0) {
        pq_fail(err, PQ_E_USAGE, "'%s' cannot be the id of a VM", vm);
        return NULL;
    }
    if (node != NULL && !pq_is_node_name(node)) {
        pq_fail(err, PQ_E_USAGE, "'%s' cannot be the name of a node", node);
        return NULL;
    }
    pq_ssh_vm *agent = calloc(1, sizeof *agent);
    if (agent == NULL) {
        pq_fail(err, PQ_E_NOMEM, "out of memory");
        return NULL;
    }
    if (init_agent(agent, ssh, vm, node, err) < 0) {
        free_agent(&agent->agent);
        return NULL;
    }
    return &agent->agent;
}
