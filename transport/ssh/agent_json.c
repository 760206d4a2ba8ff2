#include "transport/ssh/agent_json.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "transport/base/encode.h"

/* ---- commands ---- */

static int add_ascii(pq_buf *out, const char *text, pq_error *err)
{
    size_t length = strlen(text);
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] >= 0x80)
            return pq_fail(err, PQ_E_INTERNAL, "an argument for the guest agent is not ASCII");
    return pq_json_write_text(out, text, length, err);
}

static int add_arguments(pq_buf *out, const char *const *argv, pq_error *err)
{
    if (argv[0] == NULL)
        return pq_fail(err, PQ_E_INTERNAL, "a command without a program");
    if (pq_buf_add_text(out, "{\"execute\":\"guest-exec\",\"arguments\":{\"path\":", err) < 0 ||
        add_ascii(out, argv[0], err) < 0 || pq_buf_add_text(out, ",\"arg\":[", err) < 0)
        return -1;
    for (const char *const *arg = argv + 1; *arg != NULL; arg++) {
        if (arg > argv + 1 && pq_buf_add_byte(out, ',', err) < 0)
            return -1;
        if (add_ascii(out, *arg, err) < 0)
            return -1;
    }
    return pq_buf_add_text(out, "],\"capture-output\":true", err);
}

int pq_agent_json_exec(pq_buf *out, const pq_exec_request *request, pq_error *err)
{
    if (add_arguments(out, request->argv, err) < 0)
        return -1;
    if (request->input != NULL &&
        (pq_buf_add_text(out, ",\"input-data\":\"", err) < 0 ||
         pq_base64_encode(out, request->input, request->input_length, err) < 0 ||
         pq_buf_add_byte(out, '"', err) < 0))
        return -1;
    return pq_buf_add_text(out, "}}\n", err);
}

int pq_agent_json_status(pq_buf *out, int64_t pid, pq_error *err)
{
    return pq_buf_printf(
        out, err, "{\"execute\":\"guest-exec-status\",\"arguments\":{\"pid\":%" PRId64 "}}\n", pid);
}

int pq_agent_json_read(pq_buf *out, const char *path, uint64_t offset, size_t count, pq_error *err)
{
    if (pq_buf_add_text(out, "{\"execute\":\"guest-file-open\",\"arguments\":{\"path\":", err) <
            0 ||
        add_ascii(out, path, err) < 0 || pq_buf_add_text(out, ",\"mode\":\"r\"}}\n", err) < 0)
        return -1;
    return pq_buf_printf(
        out, err,
        "{\"execute\":\"guest-file-seek\",\"arguments\":{\"handle\":@HANDLE@,\"offset\":%" PRIu64
        ",\"whence\":0}}\n"
        "{\"execute\":\"guest-file-read\",\"arguments\":{\"handle\":@HANDLE@,\"count\":%zu}}\n"
        "{\"execute\":\"guest-file-close\",\"arguments\":{\"handle\":@HANDLE@}}\n",
        offset, count);
}

int pq_agent_json_query(pq_buf *out, const char *name, pq_error *err)
{
    return pq_buf_printf(out, err, "{\"execute\":\"guest-%s\"}\n", name);
}

/* ---- answers ---- */

static int refused(pq_qm_kind kind, const pq_json *failure, pq_error *err)
{
    char text[320], clean[300];
    const char *what = pq_json_text(failure, "desc");
    if (what == NULL)
        what = "no reason was given";
    pq_error_clean(clean, sizeof clean, what, strlen(what));
    snprintf(text, sizeof text, "Agent error: %s", clean);
    pq_qm_refused(kind, text, err);
    return -1;
}

int pq_agent_json_result(pq_qm_kind kind, char *line, size_t length, pq_json **ret,
                         const pq_json **ret_value, pq_error *err)
{
    pq_json *answer = pq_json_parse(line, length, err);
    pq_effect effect = kind == PQ_QM_ASK ? PQ_EFFECT_NONE : PQ_EFFECT_UNKNOWN;
    if (answer == NULL) {
        err->effect = effect;
        return -1;
    }
    const pq_json *value = pq_json_member(answer, "return");
    const pq_json *failure = pq_json_member(answer, "error");
    if (value != NULL && failure == NULL) {
        *ret = answer;
        *ret_value = value;
        return 0;
    }
    if (failure != NULL)
        (void)refused(kind, failure, err);
    else
        pq_fail_effect(err, PQ_E_BAD_ANSWER, effect, false, "the agent's answer has no result");
    pq_json_free(answer);
    return -1;
}

static int bytes_of(const pq_json *value, const char *name, pq_buf *out, pq_error *err)
{
    const char *text = pq_json_text(value, name);
    if (text != NULL)
        return pq_base64_decode(out, text, strlen(text), err);
    if (pq_json_member(value, name) == NULL)
        return 0;
    return pq_fail(err, PQ_E_BAD_ANSWER, "the agent's answer has no text in '%s'", name);
}

static bool flag_of(const pq_json *value, const char *name)
{
    bool flag = false;
    return pq_json_bool(value, name, &flag) && flag;
}

int pq_agent_json_read_status(const pq_json *value, pq_exec_status *status, pq_error *err)
{
    int64_t code = 0;
    if (!pq_json_bool(value, "exited", &status->exited))
        return pq_fail(err, PQ_E_BAD_ANSWER, "the agent's answer does not tell the process' state");
    if (!status->exited)
        return 0;
    status->signalled = pq_json_int(value, "signal", &code) && code != 0;
    if (!status->signalled && !pq_json_int(value, "exitcode", &code))
        return pq_fail(err, PQ_E_BAD_ANSWER, "the agent's answer has no exit status");
    if (code < INT_MIN || code > UINT32_MAX)
        return pq_fail(err, PQ_E_BAD_ANSWER, "the agent's answer has a strange exit status");
    /* Windows has exit codes of 32 bits without a sign. */
    status->code = (int)(uint32_t)code;
    status->out_truncated = flag_of(value, "out-truncated");
    status->err_truncated = flag_of(value, "err-truncated");
    if (bytes_of(value, "out-data", &status->out, err) < 0)
        return -1;
    return bytes_of(value, "err-data", &status->err, err);
}

static int take_bytes(const pq_json *value, size_t count, pq_buf *bytes, bool *ret_eof,
                      pq_error *err)
{
    if (bytes_of(value, "buf-b64", bytes, err) < 0)
        return -1;
    *ret_eof = flag_of(value, "eof") || bytes->length < count;
    if (bytes->length > count) {
        bytes->length = count;
        bytes->data[count] = '\0';
        *ret_eof = false;
    }
    return 0;
}

/* The answers to open and seek come before that to read; one that failed is the last but that to
 * close, or the only one. */
int pq_agent_json_read_bytes(char *lines, size_t length, size_t count, pq_buf *bytes, bool *ret_eof,
                             pq_error *err)
{
    for (unsigned step = 0; length > 0; step++) {
        pq_json *answer;
        const pq_json *value;
        char *end = memchr(lines, '\n', length);
        size_t line = end != NULL ? (size_t)(end - lines) : length;
        if (pq_agent_json_result(PQ_QM_ASK, lines, line, &answer, &value, err) < 0)
            return -1;
        int failed = step == 2 ? take_bytes(value, count, bytes, ret_eof, err) : 0;
        pq_json_free(answer);
        if (failed < 0 || step == 2)
            return failed;
        line += end != NULL;
        lines += line;
        length -= line;
    }
    return pq_fail(err, PQ_E_BAD_ANSWER, "the agent's answer about a file is cut off");
}
