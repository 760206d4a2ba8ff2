/* The requests of operations and what their answers hold, by either method. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "transport/ssh/agent_json.h"
#include "transport/ssh/agent_op.h"

/* Exit statuses of the command that reads a piece of a file. */
#define READ_MISSING 90
#define READ_DIRECTORY 91
#define READ_REFUSED 92

#define TEXT_OF(number) #number
#define DIGITS(number) TEXT_OF(number)

/* $1 is the file, $2 the number of the first byte, counted from 1, $3 how many. */
static const char read_script[] =
    "[ -e \"$1\" ] || exit " DIGITS(READ_MISSING) "; [ ! -d \"$1\" ] || exit " DIGITS(
        READ_DIRECTORY) "; exec <\"$1\" || exit " DIGITS(READ_REFUSED) "; tail -c +$2 | head -c $3";

pq_qm_kind pq_ssh_op_effect_kind(const pq_agent_op *op)
{
    return op->kind == PQ_SSH_OP_EXEC     ? PQ_QM_EXEC
           : op->kind == PQ_SSH_OP_STATUS ? PQ_QM_STATUS
                                          : PQ_QM_ASK;
}

/* ---- requests ---- */

static int read_by_qm(const pq_agent_op *op, pq_buf *out, pq_error *err)
{
    char first[24], count[24];
    const char *argv[] = {"/bin/sh", "-c", read_script, "sh", op->file, first, count, NULL};
    bool sudo = op->agent->ssh->sudo;
    if (op->pid != 0)
        return pq_qm_status_script(out, op->agent->vmid, op->pid, sudo, err);
    snprintf(first, sizeof first, "%" PRIu64, op->offset + 1);
    snprintf(count, sizeof count, "%zu", op->count);
    return pq_qm_run_script(out, op->agent->vmid, &(pq_exec_request){.argv = argv}, sudo, err);
}

static pq_exec_request request_of(const pq_agent_op *op)
{
    return (pq_exec_request){.argv = (const char *const *)op->argv,
                             .input = op->input,
                             .input_length = op->input_length};
}

int pq_ssh_op_script(const pq_agent_op *op, pq_buf *out, pq_error *err)
{
    int64_t vmid = op->agent->vmid;
    bool sudo = op->agent->ssh->sudo;
    pq_exec_request request = request_of(op);
    switch (op->kind) {
    case PQ_SSH_OP_EXEC:
        return pq_qm_exec_script(out, vmid, &request, sudo, err);
    case PQ_SSH_OP_STATUS:
        return pq_qm_status_script(out, vmid, op->pid, sudo, err);
    case PQ_SSH_OP_READ:
        return read_by_qm(op, out, err);
    case PQ_SSH_OP_PING:
        return pq_qm_query_script(out, vmid, "ping", sudo, err);
    case PQ_SSH_OP_QUERY:
        break;
    }
    return pq_qm_query_script(out, vmid, op->query_name, sudo, err);
}

int pq_ssh_op_lines(const pq_agent_op *op, pq_buf *out, pq_error *err)
{
    pq_exec_request request = request_of(op);
    switch (op->kind) {
    case PQ_SSH_OP_EXEC:
        return pq_agent_json_exec(out, &request, err);
    case PQ_SSH_OP_STATUS:
        return pq_agent_json_status(out, op->pid, err);
    case PQ_SSH_OP_READ:
        return pq_agent_json_read(out, op->file, op->offset, op->count, err);
    case PQ_SSH_OP_PING:
        return pq_agent_json_query(out, "ping", err);
    case PQ_SSH_OP_QUERY:
        break;
    }
    return pq_agent_json_query(out, op->query_name, err);
}

/* ---- answers ---- */

static pq_ssh_answer finish_pid(pq_agent_op *op, const pq_json *answer, pq_error *err)
{
    pq_ssh_op_result result = {0};
    if (pq_qm_read_pid(answer, &result.pid, err) < 0)
        return PQ_SSH_ANSWER_FAILED;
    pq_ssh_op_finish(op, &result);
    return PQ_SSH_ANSWER_DONE;
}

typedef int (*read_status_fn)(const pq_json *answer, pq_exec_status *status, pq_error *err);

static pq_ssh_answer finish_status(pq_agent_op *op, const pq_json *answer, read_status_fn read,
                                   pq_error *err)
{
    pq_exec_status status = {0};
    pq_ssh_answer result = PQ_SSH_ANSWER_DONE;
    if (read(answer, &status, err) < 0) {
        err->effect = PQ_EFFECT_UNKNOWN;
        result = PQ_SSH_ANSWER_FAILED;
    } else {
        pq_ssh_op_finish(op, &(pq_ssh_op_result){.status = &status});
    }
    pq_buf_done(&status.out);
    pq_buf_done(&status.err);
    return result;
}

static int judge_read(const pq_agent_op *op, const pq_exec_status *status, pq_error *err)
{
    if (status->signalled || status->code > READ_REFUSED)
        return pq_fail(err, PQ_E_GUEST_TOOL,
                       "'%s' cannot be read: no sh, tail or head in the guest", op->file);
    switch (status->code) {
    case READ_MISSING:
        return pq_fail(err, PQ_E_NOT_FOUND, "'%s' does not exist", op->file);
    case READ_DIRECTORY:
        return pq_fail(err, PQ_E_IS_DIRECTORY, "'%s' is a directory", op->file);
    case 0:
        break;
    default:
        return pq_fail(err, PQ_E_REMOTE_FILE, "'%s' cannot be read", op->file);
    }
    if (status->out.length > op->count)
        return pq_fail(err, PQ_E_BAD_ANSWER, "more of '%s' came than was asked for", op->file);
    return 0;
}

/* The process that reads a file was asked about. */
static pq_ssh_answer take_read_status(pq_agent_op *op, const pq_json *answer, pq_error *err)
{
    pq_exec_status status = {0};
    pq_ssh_answer result = PQ_SSH_ANSWER_DONE;
    if (pq_qm_read_status(answer, &status, err) < 0 ||
        (status.exited && judge_read(op, &status, err) < 0))
        result = PQ_SSH_ANSWER_FAILED;
    else if (!status.exited)
        result = PQ_SSH_ANSWER_AGAIN;
    else
        pq_ssh_op_finish(
            op, &(pq_ssh_op_result){.bytes = &status.out, .eof = status.out.length < op->count});
    pq_buf_done(&status.out);
    pq_buf_done(&status.err);
    return result;
}

static pq_ssh_answer take_read(pq_agent_op *op, const pq_json *answer, pq_error *err)
{
    bool exited;
    if (op->pid != 0 || pq_json_bool(answer, "exited", &exited))
        return take_read_status(op, answer, err);
    return pq_qm_read_pid(answer, &op->pid, err) < 0 ? PQ_SSH_ANSWER_FAILED : PQ_SSH_ANSWER_AGAIN;
}

static pq_ssh_answer take_answer(pq_agent_op *op, const pq_json *answer, pq_error *err)
{
    switch (op->kind) {
    case PQ_SSH_OP_EXEC:
        return finish_pid(op, answer, err);
    case PQ_SSH_OP_STATUS:
        return finish_status(op, answer, pq_qm_read_status, err);
    case PQ_SSH_OP_READ:
        return take_read(op, answer, err);
    case PQ_SSH_OP_PING:
    case PQ_SSH_OP_QUERY:
        break;
    }
    pq_ssh_op_finish(op, &(pq_ssh_op_result){.answer = answer});
    return PQ_SSH_ANSWER_DONE;
}

pq_ssh_answer pq_ssh_op_take_qm(pq_agent_op *op, pq_ssh_result *result, pq_error *err)
{
    pq_json *answer = NULL;
    if (pq_qm_answer(pq_ssh_op_effect_kind(op), result->status, &result->out, &result->err, &answer,
                     err) < 0)
        return PQ_SSH_ANSWER_FAILED;
    pq_ssh_answer taken = take_answer(op, answer, err);
    pq_json_free(answer);
    return taken;
}

static pq_ssh_answer take_bytes(pq_agent_op *op, pq_buf *lines, pq_error *err)
{
    pq_buf bytes = {0};
    bool eof = false;
    int failed = pq_agent_json_read_bytes(lines->data, lines->length, op->count, &bytes, &eof, err);
    if (failed == 0)
        pq_ssh_op_finish(op, &(pq_ssh_op_result){.bytes = &bytes, .eof = eof});
    pq_buf_done(&bytes);
    return failed == 0 ? PQ_SSH_ANSWER_DONE : PQ_SSH_ANSWER_FAILED;
}

pq_ssh_answer pq_ssh_op_take_lines(pq_agent_op *op, pq_buf *lines, pq_error *err)
{
    pq_json *answer;
    const pq_json *value;
    pq_ssh_answer taken = PQ_SSH_ANSWER_DONE;
    if (lines->length == 0) {
        pq_fail_effect(err, PQ_E_BAD_ANSWER, PQ_EFFECT_UNKNOWN, false,
                       "the relay's answer is empty");
        return PQ_SSH_ANSWER_FAILED;
    }
    if (op->kind == PQ_SSH_OP_READ)
        return take_bytes(op, lines, err);
    if (pq_agent_json_result(pq_ssh_op_effect_kind(op), lines->data, lines->length, &answer, &value,
                             err) < 0)
        return PQ_SSH_ANSWER_FAILED;
    if (op->kind == PQ_SSH_OP_EXEC)
        taken = finish_pid(op, value, err);
    else if (op->kind == PQ_SSH_OP_STATUS)
        taken = finish_status(op, value, pq_agent_json_read_status, err);
    else
        pq_ssh_op_finish(op, &(pq_ssh_op_result){.answer = value});
    pq_json_free(answer);
    return taken;
}
