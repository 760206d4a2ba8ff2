#include "transport/pve/answer.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "transport/base/encode.h"
#include "transport/pve/errors.h"

int pq_answer_pid(const pq_json *data, int64_t *ret_pid, pq_error *err)
{
    int64_t pid;
    if (!pq_json_int(data, "pid", &pid) || pid < 0)
        return pq_fail(err, PQ_E_BAD_ANSWER, "the API's answer names no process");
    *ret_pid = pid;
    return 0;
}

static int bytes_of(const pq_json *data, const char *name, pq_buf *out, pq_error *err)
{
    const char *text = pq_json_text(data, name);
    if (text == NULL) {
        if (pq_json_member(data, name) == NULL)
            return 0;
        return pq_fail(err, PQ_E_BAD_ANSWER, "the API's answer has no text in '%s'", name);
    }
    return pq_utf8_to_latin1(out, text, strlen(text), err);
}

static void flag_of(const pq_json *data, const char *name, bool *ret)
{
    bool value = false;
    *ret = pq_json_bool(data, name, &value) && value;
}

int pq_answer_status(const pq_json *data, pq_exec_status *status, pq_error *err)
{
    int64_t code = 0;
    if (!pq_json_bool(data, "exited", &status->exited))
        return pq_fail(err, PQ_E_BAD_ANSWER, "the API's answer does not tell the process' state");
    if (!status->exited)
        return 0;
    status->signalled = pq_json_int(data, "signal", &code) && code != 0;
    if (!status->signalled && !pq_json_int(data, "exitcode", &code))
        return pq_fail(err, PQ_E_BAD_ANSWER, "the API's answer has no exit status");
    if (code < INT_MIN || code > UINT32_MAX)
        return pq_fail(err, PQ_E_BAD_ANSWER, "the API's answer has a strange exit status");
    /* Windows has exit codes of 32 bits without a sign. */
    status->code = (int)(uint32_t)code;
    flag_of(data, "out-truncated", &status->out_truncated);
    flag_of(data, "err-truncated", &status->err_truncated);
    if (bytes_of(data, "out-data", &status->out, err) < 0)
        return -1;
    return bytes_of(data, "err-data", &status->err, err);
}

static int agent_failed(const pq_json *failure, pq_error *err)
{
    char text[PQ_ERROR_TEXT_MAX], clean[PQ_ERROR_TEXT_MAX / 2];
    const char *what = pq_json_text(failure, "desc");
    if (what == NULL)
        what = pq_json_text(failure, "class");
    if (what == NULL)
        what = "no reason was given";
    pq_error_clean(clean, sizeof clean, what, strlen(what));
    snprintf(text, sizeof text, "Agent error: %s", clean);
    (void)pq_api_refused(PQ_API_QUERY, 500, text, NULL, err);
    return -1;
}

int pq_answer_query(const pq_json *data, const pq_json **ret_result, pq_error *err)
{
    const pq_json *result = pq_json_member(data, "result");
    const pq_json *failure = pq_json_member(result, "error");
    if (result == NULL)
        return pq_fail(err, PQ_E_BAD_ANSWER, "the API's answer has no result of the agent's");
    if (failure != NULL)
        return agent_failed(failure, err);
    *ret_result = result;
    return 0;
}

int pq_answer_file(const pq_json *data, bool base64, size_t count, pq_buf *bytes, bool *ret_eof,
                   pq_error *err)
{
    const char *content = pq_json_text(data, "content");
    bool truncated;
    if (content == NULL)
        return pq_fail(err, PQ_E_BAD_ANSWER, "the API's answer has no file content");
    int failed = base64 ? pq_base64_decode(bytes, content, strlen(content), err)
                        : pq_utf8_to_latin1(bytes, content, strlen(content), err);
    if (failed < 0)
        return -1;
    flag_of(data, "truncated", &truncated);
    if (bytes->length > count) {
        bytes->length = count;
        bytes->data[count] = '\0';
        truncated = true;
    }
    *ret_eof = !truncated;
    return 0;
}
