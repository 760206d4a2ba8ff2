#include <stdlib.h>
#include <string.h>

#include "transport/proto/params.h"

typedef enum message_kind { REQUEST, NOTICE } message_kind;

typedef struct method_row {
    pq_method method;
    const char *name;
    message_kind kind;
    bool payload;
} method_row;

static const method_row methods[] = {
#define X(symbol, name, kind, payload) {PQ_METHOD_##symbol, name, kind, payload},
    PQ_PROTO_METHODS(X)
#undef X
};

static const method_row *find_method(const char *name)
{
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        if (strcmp(methods[i].name, name) == 0)
            return &methods[i];
    return NULL;
}

const char *pq_message_method_name(pq_method method)
{
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        if (methods[i].method == method)
            return methods[i].name;
    return "";
}

bool pq_id_is_set(const pq_id *id)
{
    return id->json[0] != '\0';
}

bool pq_id_equal(const pq_id *a, const pq_id *b)
{
    return strcmp(a->json, b->json) == 0;
}

/* ---- params of each method ---- */

static int parse_hello(pq_message_hello *hello, const pq_json *params, pq_error *err)
{
    const pq_json *version = pq_json_member(params, "version");
    if (pq_param_require(pq_json_is_null(version) ? NULL : version, "version", err) < 0 ||
        pq_param_count(params, "version", &hello->version, err) < 0)
        return -1;
    return pq_param_text(params, "client", PQ_PROTO_NAME_MAX, &hello->client, err);
}

static size_t count_members(const pq_json *object)
{
    size_t count = 0;
    for (const pq_json *item = pq_json_first(object); item != NULL; item = pq_json_next(item))
        count++;
    return count;
}

static int parse_env(pq_message_exec *exec, const pq_json *params, pq_error *err)
{
    const pq_json *env = NULL;
    if (pq_param_object(params, "env", &env, err) < 0)
        return -1;
    size_t count = count_members(env);
    if (count == 0)
        return 0;
    exec->env = calloc(count, sizeof exec->env[0]);
    if (exec->env == NULL)
        return pq_fail(err, PQ_E_NOMEM, "out of memory");
    for (const pq_json *item = pq_json_first(env); item != NULL; item = pq_json_next(item)) {
        pq_env_entry entry = {pq_json_name(item), pq_json_string_value(item)};
        if (entry.name[0] == '\0' || strchr(entry.name, '=') != NULL)
            return pq_fail(err, PQ_E_PROTOCOL, "env has a name that is empty or has a '='");
        if (entry.value == NULL)
            return pq_fail(err, PQ_E_PROTOCOL, "env must be an object of strings");
        exec->env[exec->env_count++] = entry;
    }
    return 0;
}

static int parse_stdin_member(pq_message *message, const pq_json *params, pq_error *err)
{
    const char *text = NULL;
    if (pq_param_text(params, "stdin", PQ_PROTO_NAME_MAX, &text, err) < 0)
        return -1;
    if (text == NULL)
        return 0;
    if (strcmp(text, "stream") != 0)
        return pq_fail(err, PQ_E_PROTOCOL, "stdin must be \"stream\", or absent for the payload");
    if (message->payload_bytes > 0)
        return pq_fail(err, PQ_E_PROTOCOL, "payload and stdin \"stream\" exclude each other");
    message->exec.stdin_stream = true;
    return 0;
}

static int parse_exec(pq_message *message, const pq_json *params, pq_error *err)
{
    pq_message_exec *exec = &message->exec;
    exec->live = true;
    if (pq_param_bytes(params, "cmd", PQ_PROTO_CMD_MAX, &message->decoded[0], &exec->cmd, err) <
            0 ||
        pq_param_require(exec->cmd, "cmd", err) < 0 ||
        pq_param_text(params, "executable", PQ_PROTO_PATH_MAX, &exec->executable, err) < 0 ||
        pq_param_text(params, "cwd", PQ_PROTO_PATH_MAX, &exec->cwd, err) < 0 ||
        pq_param_seconds(params, "timeout", &exec->timeout_ms, err) < 0 ||
        pq_param_flag(params, "live", &exec->live, err) < 0 ||
        pq_param_flag(params, "remember", &exec->remember, err) < 0 ||
        parse_env(exec, params, err) < 0)
        return -1;
    return parse_stdin_member(message, params, err);
}

static int parse_path(pq_message *message, const pq_json *params, const char *name, int slot,
                      const char **ret, pq_error *err)
{
    if (pq_param_bytes(params, name, PQ_PROTO_PATH_MAX, &message->decoded[slot], ret, err) < 0)
        return -1;
    if (*ret != NULL && **ret == '\0')
        return pq_fail(err, PQ_E_PROTOCOL, "%s must not be empty", name);
    return 0;
}

static int parse_file(pq_message *message, const pq_json *params, pq_error *err)
{
    pq_message_file *file = &message->file;
    file->mode = -1;
    if (parse_path(message, params, "in_path", 0, &file->in_path, err) < 0 ||
        parse_path(message, params, "out_path", 1, &file->out_path, err) < 0 ||
        pq_param_require(file->out_path, "out_path", err) < 0)
        return -1;
    return pq_param_mode(params, "mode", &file->mode, err);
}

static int parse_put(pq_message *message, const pq_json *params, bool has_payload, pq_error *err)
{
    if (parse_file(message, params, err) < 0)
        return -1;
    if (message->file.in_path == NULL && !has_payload)
        return pq_fail(err, PQ_E_PROTOCOL, "in_path is missing, and there is no payload");
    if (message->file.in_path != NULL && has_payload)
        return pq_fail(err, PQ_E_PROTOCOL, "in_path and payload exclude each other");
    return 0;
}

static int parse_fetch(pq_message *message, const pq_json *params, pq_error *err)
{
    if (parse_file(message, params, err) < 0)
        return -1;
    return pq_param_require(message->file.in_path, "in_path", err);
}

static int parse_target(pq_message *message, const pq_json *params, pq_error *err)
{
    if (pq_param_id(params, "id", &message->target, err) < 0)
        return -1;
    return pq_param_require(pq_id_is_set(&message->target) ? params : NULL, "id", err);
}

static int parse_stdin(pq_message *message, const pq_json *params, pq_error *err)
{
    if (parse_target(message, params, err) < 0)
        return -1;
    return pq_param_flag(params, "eof", &message->stdin_data.eof, err);
}

static int parse_params(pq_message *message, const pq_json *params, bool has_payload, pq_error *err)
{
    if (pq_param_name(params, "vm", message->vm_digits, &message->vm, err) < 0 ||
        pq_param_object(params, "options", &message->options, err) < 0)
        return -1;
    switch (message->method) {
    case PQ_METHOD_HELLO:
        return parse_hello(&message->hello, params, err);
    case PQ_METHOD_EXEC_COMMAND:
        return parse_exec(message, params, err);
    case PQ_METHOD_PUT_FILE:
        return parse_put(message, params, has_payload, err);
    case PQ_METHOD_FETCH_FILE:
        return parse_fetch(message, params, err);
    case PQ_METHOD_CANCEL:
        return parse_target(message, params, err);
    case PQ_METHOD_STDIN:
        return parse_stdin(message, params, err);
    case PQ_METHOD_PING:
    case PQ_METHOD_CLOSE:
    case PQ_METHOD_NONE:
        break;
    }
    return 0;
}

/* ---- the envelope ---- */

/* "jsonrpc", "id" and "method": whether this is a request or notification at all. */
static int parse_envelope(pq_message *message, const char **ret_method, pq_error *err)
{
    const pq_json *header = message->header;
    if (!pq_json_is_object(header))
        return pq_fail(err, PQ_E_PROTOCOL, "a message is an object; batches are not supported");
    if (pq_param_unique(header, err) < 0 || pq_param_id(header, "id", &message->id, err) < 0)
        return -1;
    const char *version = pq_json_text(header, "jsonrpc");
    if (version == NULL || strcmp(version, "2.0") != 0)
        return pq_fail(err, PQ_E_PROTOCOL, "jsonrpc must be \"2.0\"");
    const char *method = pq_json_text(header, "method");
    if (method == NULL)
        return pq_fail(err, PQ_E_PROTOCOL, "method must be a string");
    if (pq_json_member(header, "id") != NULL && !pq_id_is_set(&message->id))
        return pq_fail(err, PQ_E_PROTOCOL, "id must not be null");
    *ret_method = method;
    return 0;
}

static int check_kind(const pq_message *message, const method_row *row, pq_error *err)
{
    bool has_id = pq_id_is_set(&message->id);
    if (row->kind == REQUEST && !has_id)
        return pq_fail(err, PQ_E_PROTOCOL, "%s needs an id", row->name);
    if (row->kind == NOTICE && has_id)
        return pq_fail(err, PQ_E_PROTOCOL, "%s is a notification and has no id", row->name);
    return 0;
}

static int unknown_method(const char *name, pq_error *err)
{
    char clean[64];
    pq_error_clean(clean, sizeof clean, name, strlen(name));
    return pq_fail(err, PQ_E_PROTOCOL, "there is no method '%s'", clean);
}

int pq_message_parse(pq_message *message, pq_frame *frame, pq_rpc_code *ret_code, pq_error *err)
{
    const char *name;
    message->header = frame->header;
    frame->header = NULL;
    message->payload_bytes = frame->payload_bytes;

    *ret_code = PQ_RPC_INVALID_REQUEST;
    if (parse_envelope(message, &name, err) < 0)
        return -1;
    const method_row *row = find_method(name);
    if (row == NULL && !pq_id_is_set(&message->id))
        return 0;
    *ret_code = PQ_RPC_NO_METHOD;
    if (row == NULL)
        return unknown_method(name, err);
    *ret_code = PQ_RPC_INVALID_REQUEST;
    if (check_kind(message, row, err) < 0)
        return -1;
    message->method = row->method;

    *ret_code = PQ_RPC_INVALID_PARAMS;
    const pq_json *params = NULL;
    if (frame->has_nul)
        pq_fail(err, PQ_E_PROTOCOL, "text must not have U+0000");
    else if (frame->payload_bytes > 0 && !row->payload)
        pq_fail(err, PQ_E_PROTOCOL, "there must be no payload");
    else if (pq_param_object(message->header, "params", &params, err) == 0 &&
             parse_params(message, params, frame->has_payload, err) == 0)
        return 0;
    return pq_error_prefix(err, "%s: ", row->name);
}

void pq_message_done(pq_message *message)
{
    if (message->method == PQ_METHOD_EXEC_COMMAND)
        free(message->exec.env);
    pq_json_free(message->header);
    pq_buf_done(&message->decoded[0]);
    pq_buf_done(&message->decoded[1]);
    *message = (pq_message){0};
}
