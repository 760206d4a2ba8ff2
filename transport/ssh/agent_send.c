/* Sending an operation's request by one method or the other, and what comes of it. */
#include "transport/ssh/agent_op.h"

/* An answer of qm: 16 MiB of output, each byte as six characters at worst. */
#define ANSWER_MAX ((size_t)100 * 1024 * 1024 / 2)

#define DEFAULT_CALL_TIMEOUT_MS 60000

/* Between two questions about a process that reads a file. */
#define READ_PAUSE_MS 20

static void ask_again(void *context)
{
    pq_agent_op *op = context;
    pq_ssh_op_set_state(op, PQ_SSH_OP_SENT);
    pq_ssh_op_send(op);
}

static void took(pq_agent_op *op, pq_ssh_answer answer, const pq_error *err)
{
    switch (answer) {
    case PQ_SSH_ANSWER_DONE:
        break;
    case PQ_SSH_ANSWER_AGAIN:
        pq_ssh_op_set_state(op, PQ_SSH_OP_PAUSING);
        pq_timer_start(op->agent->ssh->loop, &op->timer, op->pid != 0 ? READ_PAUSE_MS : 0,
                       ask_again, op);
        break;
    case PQ_SSH_ANSWER_FAILED:
        pq_ssh_op_refused(op, err);
        break;
    }
}

static void command_done(void *context, const pq_error *failure, pq_ssh_result *result)
{
    pq_agent_op *op = context;
    pq_error err;
    op->command = NULL;
    pq_timer_stop(&op->timer);
    if (op->forgotten)
        pq_ssh_op_drop(op);
    else if (failure != NULL)
        pq_ssh_op_fail(op, failure);
    else
        took(op, pq_ssh_op_take_qm(op, result, &err), &err);
}

static void relay_done(void *context, const pq_error *failure, pq_buf *answers)
{
    pq_agent_op *op = context;
    pq_error err;
    op->call = NULL;
    pq_timer_stop(&op->timer);
    if (op->forgotten) {
        pq_ssh_op_drop(op);
        return;
    }
    if (failure != NULL) {
        pq_ssh_op_refused(op, failure);
        return;
    }
    op->node->method = PQ_SSH_METHOD_SOCKET;
    took(op, pq_ssh_op_take_lines(op, answers, &err), &err);
}

static void too_late(void *context)
{
    pq_agent_op *op = context;
    bool sent = pq_ssh_op_was_sent(op) && pq_ssh_op_effect_kind(op) != PQ_QM_ASK;
    pq_error err;
    pq_fail_effect(&err, PQ_E_TIMEOUT, sent ? PQ_EFFECT_UNKNOWN : PQ_EFFECT_NONE, true,
                   "node %s did not answer in time", pq_ssh_session_name(op->node->session));
    pq_ssh_op_fail(op, &err);
}

static pq_ms call_timeout(const pq_agent_op *op)
{
    pq_ms timeout = op->agent->ssh->options.call_timeout;
    return timeout > 0 ? timeout : DEFAULT_CALL_TIMEOUT_MS;
}

static int send_by_qm(pq_agent_op *op, pq_error *err)
{
    char line[PQ_QM_LINE_MAX];
    pq_buf script = {0};
    if (pq_ssh_op_script(op, &script, err) < 0) {
        pq_buf_wipe(&script);
        return -1;
    }
    pq_qm_line(line, script.length);
    op->command =
        pq_ssh_command_start(op->node->session, &(pq_ssh_command_options){.line = line,
                                                                          .input = &script,
                                                                          .out_max = ANSWER_MAX,
                                                                          .done = command_done,
                                                                          .context = op});
    return op->command != NULL ? 0 : pq_fail(err, PQ_E_NOMEM, "out of memory");
}

static int send_by_relay(pq_agent_op *op, pq_error *err)
{
    pq_buf lines = {0};
    if (pq_ssh_op_lines(op, &lines, err) < 0) {
        pq_buf_wipe(&lines);
        return -1;
    }
    op->call = pq_relay_call_start(&op->node->relay, op->agent->vmid, pq_ssh_op_effect_kind(op),
                                   call_timeout(op) / 2, &lines, relay_done, op);
    return op->call != NULL ? 0 : pq_fail(err, PQ_E_NOMEM, "out of memory");
}

void pq_ssh_op_send(pq_agent_op *op)
{
    op->by_relay = op->node->method != PQ_SSH_METHOD_QM;
    if ((op->by_relay ? send_by_relay : send_by_qm)(op, &op->failure) < 0)
        pq_ssh_op_fail_later(op);
    else
        pq_timer_start(op->agent->ssh->loop, &op->timer, call_timeout(op), too_late, op);
}
