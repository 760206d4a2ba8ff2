#include "transport/proto/message.h"

#include <string.h>

#include "transport/base/signal_name.h"

/* A frame is written in full to a buffer of its own and then added, so that a failure leaves no
 * half frame behind. */

static int begin_result(pq_buf *text, const pq_id *id, pq_error *err)
{
    return pq_buf_printf(text, err, "{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":", id->json);
}

static int begin_notice(pq_buf *text, const char *method, const pq_id *id, pq_error *err)
{
    return pq_buf_printf(text, err, "{\"jsonrpc\":\"2.0\",\"method\":\"%s\",\"params\":{\"id\":%s",
                         method, id->json);
}

static int add_string(pq_buf *text, const char *string, pq_error *err)
{
    if (string == NULL)
        return pq_buf_add_text(text, "null", err);
    return pq_json_write_text(text, string, strlen(string), err);
}

/* `result` is that of the last write to `text`. */
static int finish(pq_buf *out, pq_buf *text, int result, const void *payload, size_t length,
                  pq_error *err)
{
    if (result == 0)
        result = pq_frame_add(out, text->data, text->length, payload, length, err);
    pq_buf_done(text);
    return result;
}

/* ---- results ---- */

int pq_message_hello_result(pq_buf *out, const pq_id *id, bool shared, pq_error *err)
{
    pq_buf text = {0};
    int result = begin_result(&text, id, err);
    if (result == 0)
        result = pq_buf_printf(&text, err,
                               "{\"version\":%d,\"program\":\"pve-qga-run " PQ_VERSION
                               "\",\"features\":[" PQ_PROTO_FEATURES
                               "],\"limits\":{\"line_bytes\":%zu,\"payload_bytes\":%zu}%s}}",
                               PQ_PROTO_VERSION, PQ_PROTO_LINE_MAX, PQ_PROTO_PAYLOAD_MAX,
                               shared ? ",\"shared\":true" : "");
    return finish(out, &text, result, NULL, 0, err);
}

/* A number that has no name stays one. */
static int add_signal(pq_buf *text, int signal, pq_error *err)
{
    if (signal <= 0)
        return pq_buf_add_text(text, "null", err);
    const char *name = pq_signal_name(signal);
    if (name == NULL)
        return pq_buf_printf(text, err, "\"%d\"", signal);
    return pq_buf_printf(text, err, "\"%s\"", name);
}

static int add_warnings(pq_buf *text, const char *const *warnings, size_t count, pq_error *err)
{
    for (size_t i = 0; i < count; i++) {
        if (pq_buf_add_text(text, i == 0 ? ",\"warnings\":[" : ",", err) < 0 ||
            add_string(text, warnings[i], err) < 0)
            return -1;
    }
    return count > 0 ? pq_buf_add_byte(text, ']', err) : 0;
}

static int write_exec_result(pq_buf *text, const pq_id *id, int exit_code, int signal,
                             const char *const *warnings, size_t warning_count, pq_error *err)
{
    if (begin_result(text, id, err) < 0 ||
        pq_buf_printf(text, err,
                      "{\"exit_code\":%d,\"signal\":", signal > 0 ? 128 + signal : exit_code) < 0 ||
        add_signal(text, signal, err) < 0 || add_warnings(text, warnings, warning_count, err) < 0)
        return -1;
    return pq_buf_add_text(text, "}}", err);
}

int pq_message_exec_result(pq_buf *out, const pq_id *id, int exit_code, int signal,
                           const char *const *warnings, size_t warning_count, pq_error *err)
{
    pq_buf text = {0};
    int result = write_exec_result(&text, id, exit_code, signal, warnings, warning_count, err);
    return finish(out, &text, result, NULL, 0, err);
}

int pq_message_file_result(pq_buf *out, const pq_id *id, uint64_t bytes, const char *sha256,
                           unsigned mode, pq_error *err)
{
    pq_buf text = {0};
    int result = begin_result(&text, id, err);
    if (result == 0)
        result =
            pq_buf_printf(&text, err, "{\"bytes\":%llu,\"sha256\":", (unsigned long long)bytes);
    if (result == 0)
        result = add_string(&text, sha256, err);
    if (result == 0)
        result = pq_buf_printf(&text, err, ",\"mode\":\"%04o\"}}", mode & 07777);
    return finish(out, &text, result, NULL, 0, err);
}

int pq_message_cancel_result(pq_buf *out, const pq_id *id, bool found, pq_error *err)
{
    pq_buf text = {0};
    int result = begin_result(&text, id, err);
    if (result == 0)
        result = pq_buf_printf(&text, err, "{\"found\":%s}}", found ? "true" : "false");
    return finish(out, &text, result, NULL, 0, err);
}

int pq_message_empty_result(pq_buf *out, const pq_id *id, pq_error *err)
{
    pq_buf text = {0};
    int result = begin_result(&text, id, err);
    if (result == 0)
        result = pq_buf_add_text(&text, "{}}", err);
    return finish(out, &text, result, NULL, 0, err);
}

/* ---- errors ---- */

static int write_error(pq_buf *text, const pq_id *id, pq_rpc_code code, const pq_error *error,
                       pq_error *err)
{
    const char *id_text = id != NULL && pq_id_is_set(id) ? id->json : "null";
    if (pq_buf_printf(text, err,
                      "{\"jsonrpc\":\"2.0\",\"id\":%s,\"error\":{\"code\":%d,\"message\":", id_text,
                      (int)code) < 0 ||
        add_string(text, error->text, err) < 0 ||
        pq_buf_printf(text, err,
                      ",\"data\":{\"code\":\"%s\",\"effect\":\"%s\",\"retryable\":%s,\"hint\":",
                      pq_code_name(error->code), pq_effect_name(error->effect),
                      error->retryable ? "true" : "false") < 0 ||
        add_string(text, pq_code_hint(error->code), err) < 0)
        return -1;
    return pq_buf_add_text(text, "}}}", err);
}

int pq_message_error(pq_buf *out, const pq_id *id, pq_rpc_code code, const pq_error *error,
                     pq_error *err)
{
    pq_buf text = {0};
    int result = write_error(&text, id, code, error, err);
    return finish(out, &text, result, NULL, 0, err);
}

void pq_message_cancelled(pq_error *error, pq_effect effect)
{
    pq_fail_effect(error, PQ_E_CANCELLED, effect, false, "cancelled");
}

/* ---- notifications ---- */

int pq_message_output(pq_buf *out, pq_output output, const pq_id *id, const void *bytes,
                      size_t length, pq_error *err)
{
    pq_buf text = {0};
    if (length > PQ_PROTO_OUTPUT_MAX)
        return pq_fail(err, PQ_E_TOO_LARGE, "one output message has at most %zu bytes",
                       PQ_PROTO_OUTPUT_MAX);
    const char *method = output == PQ_OUTPUT_STDOUT ? PQ_PROTO_STDOUT : PQ_PROTO_STDERR;
    int result = begin_notice(&text, method, id, err);
    if (result == 0)
        result = pq_buf_add_text(&text, "}}", err);
    return finish(out, &text, result, bytes, length, err);
}

int pq_message_stdin_ready(pq_buf *out, const pq_id *id, size_t bytes, pq_error *err)
{
    pq_buf text = {0};
    int result = begin_notice(&text, PQ_PROTO_STDIN_READY, id, err);
    if (result == 0)
        result = pq_buf_printf(&text, err, ",\"bytes\":%zu}}", bytes);
    return finish(out, &text, result, NULL, 0, err);
}

int pq_message_progress(pq_buf *out, const pq_id *id, uint64_t bytes, int64_t total, pq_error *err)
{
    pq_buf text = {0};
    int result = begin_notice(&text, PQ_PROTO_PROGRESS, id, err);
    if (result == 0)
        result = pq_buf_printf(&text, err, ",\"bytes\":%llu,\"total\":", (unsigned long long)bytes);
    if (result == 0)
        result = total < 0 ? pq_buf_add_text(&text, "null}}", err)
                           : pq_buf_printf(&text, err, "%lld}}", (long long)total);
    return finish(out, &text, result, NULL, 0, err);
}

static const char *level_name(pq_log_level level)
{
    switch (level) {
    case PQ_LOG_ERROR:
        return "error";
    case PQ_LOG_WARNING:
        return "warning";
    case PQ_LOG_INFO:
        return "info";
    case PQ_LOG_DEBUG:
        break;
    }
    return "debug";
}

int pq_message_log(pq_buf *out, pq_log_level level, const char *text_line, pq_error *err)
{
    pq_buf text = {0};
    int result = pq_buf_printf(&text, err,
                               "{\"jsonrpc\":\"2.0\",\"method\":\"" PQ_PROTO_LOG
                               "\",\"params\":{\"level\":\"%s\",\"message\":",
                               level_name(level));
    if (result == 0)
        result = add_string(&text, text_line, err);
    if (result == 0)
        result = pq_buf_add_text(&text, "}}", err);
    return finish(out, &text, result, NULL, 0, err);
}
