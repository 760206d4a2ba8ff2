/* exec_command, and stdin for it. */
#include <stdlib.h>
#include <string.h>

#include "shim/serve/serve.h"

/* ---- output ---- */

static void send_held(pq_request *request)
{
    pq_serve_output(request->talk, &request->id, request->held_stream, request->held.data,
                    request->held.length);
    pq_buf_clear(&request->held);
}

/* Without `live` all messages of a stream but its last are full. */
static void hold(pq_request *request, pq_output output, const char *bytes, size_t length)
{
    pq_error err;
    if (request->held_stream != output)
        send_held(request);
    request->held_stream = output;
    while (length > 0) {
        size_t room = PQ_PROTO_OUTPUT_MAX - request->held.length;
        size_t part = length < room ? length : room;
        if (pq_buf_add(&request->held, bytes, part, &err) < 0) {
            pq_serve_sent(request->talk, -1, &err);
            return;
        }
        if (request->held.length == PQ_PROTO_OUTPUT_MAX)
            send_held(request);
        bytes += part;
        length -= part;
    }
}

static void on_output(void *context, int stream, const char *bytes, size_t length)
{
    pq_request *request = context;
    pq_output output = stream == 1 ? PQ_OUTPUT_STDOUT : PQ_OUTPUT_STDERR;
    if (request->silent)
        return;
    pq_memory_note_add(&request->note, stream, bytes, length);
    if (request->live)
        pq_serve_output(request->talk, &request->id, output, bytes, length);
    else
        hold(request, output, bytes, length);
}

static void on_done(void *context, const pq_error *err, const pq_job_result *result)
{
    static const char *const guest_full[] = {
        "the guest ran out of space for the output: some may be missing"};
    pq_request *request = context;
    pq_talk *talk = request->talk;
    pq_error failure;
    request->job = NULL;
    send_held(request);
    if (err != NULL) {
        pq_serve_request_failed(request, err);
        return;
    }
    if (result->exit_code == 0 && result->signal == 0 && !result->guest_full)
        pq_memory_keep(&talk->server->memory, &request->note);
    if (!request->silent)
        pq_serve_sent(talk,
                      pq_message_exec_result(pq_serve_queue(talk), &request->id, result->exit_code,
                                             result->signal, guest_full, result->guest_full ? 1 : 0,
                                             &failure),
                      &failure);
    pq_serve_request_free(request);
}

/* ---- streamed stdin ---- */

static void give_credit(pq_request *request)
{
    pq_talk *talk = request->talk;
    pq_error err;
    size_t bytes = pq_stdin_window_ready(&request->window);
    if (bytes > 0)
        pq_serve_sent(talk, pq_message_stdin_ready(pq_serve_queue(talk), &request->id, bytes, &err),
                      &err);
}

/* What the job has not sent on yet counts as held. */
static void on_input_wanted(void *context)
{
    pq_request *request = context;
    if (!request->streams) {
        pq_serve_request_pump(request);
        return;
    }
    size_t in_job = PQ_INPUT_WINDOW - pq_job_input_room(request->job);
    if (request->window.held > in_job)
        pq_stdin_window_taken(&request->window, request->window.held - in_job);
    give_credit(request);
}

void pq_serve_exec_stdin(pq_request *request, const char *bytes, size_t length)
{
    pq_error err;
    if (pq_job_input(request->job, bytes, length, &err) < 0)
        pq_serve_request_refuse(request, PQ_RPC_FAILED, &err);
}

void pq_serve_exec_stdin_end(pq_request *request)
{
    pq_job_input_end(request->job);
}

/* ---- beginning ---- */

static void free_env(char **env)
{
    for (char **entry = env; entry != NULL && *entry != NULL; entry++)
        free(*entry);
    free(env);
}

/* NAME=VALUE..., NULL */
static char **make_env(const pq_message_exec *exec, pq_error *err)
{
    char **env = calloc(exec->env_count + 1, sizeof *env);
    for (size_t i = 0; env != NULL && i < exec->env_count; i++) {
        size_t name = strlen(exec->env[i].name), value = strlen(exec->env[i].value);
        env[i] = malloc(name + 1 + value + 1);
        if (env[i] == NULL) {
            free_env(env);
            env = NULL;
            break;
        }
        memcpy(env[i], exec->env[i].name, name);
        env[i][name] = '=';
        memcpy(env[i] + name + 1, exec->env[i].value, value + 1);
    }
    if (env == NULL)
        pq_fail(err, PQ_E_NOMEM, "out of memory");
    return env;
}

static int start_job(pq_request *request, const pq_message_exec *exec, const pq_config *config,
                     const pq_buf *input, pq_error *err)
{
    static const pq_job_events events = {
        .output = on_output, .input_wanted = on_input_wanted, .done = on_done};
    char **env = make_env(exec, err);
    if (env == NULL)
        return -1;
    pq_job_request job = {
        .command = exec->cmd,
        .executable =
            exec->executable != NULL ? exec->executable : pq_config_text(config, PQ_OPT_EXECUTABLE),
        .cwd = exec->cwd,
        .env = (const char *const *)env,
        .input = input->length > 0 ? input->data : NULL,
        .input_length = input->length,
        .input_streams = request->streams || request->receiving,
        .live = exec->live,
        .timeout =
            exec->timeout_ms > 0 ? exec->timeout_ms : pq_config_duration_ms(config, PQ_OPT_TIMEOUT),
    };
    request->job = pq_job_start(request->session, &job, &events, request, err);
    free_env(env);
    return request->job != NULL ? 0 : -1;
}

/* ---- remembering ---- */

static void add_part(pq_sha256 *digest, const void *bytes, size_t length)
{
    pq_sha256_add(digest, &length, sizeof length);
    pq_sha256_add(digest, bytes, length);
}

static void add_text(pq_sha256 *digest, const char *text)
{
    add_part(digest, text, text != NULL ? strlen(text) : 0);
}

/* A session stands for the VM and the way to it, and lives as long as the memory. */
static int make_key(const pq_request *request, const pq_message_exec *exec, const pq_config *config,
                    pq_memory_key *ret, pq_error *err)
{
    pq_sha256 *digest = pq_sha256_new(err);
    if (digest == NULL)
        return -1;
    add_part(digest, &request->session, sizeof request->session);
    add_text(digest, exec->cmd);
    add_text(digest, exec->executable != NULL ? exec->executable
                                              : pq_config_text(config, PQ_OPT_EXECUTABLE));
    add_text(digest, exec->cwd);
    for (size_t i = 0; i < exec->env_count; i++) {
        add_text(digest, exec->env[i].name);
        add_text(digest, exec->env[i].value);
    }
    pq_sha256_hex(digest, ret->text);
    pq_sha256_free(digest);
    return 0;
}

static void answer_from(pq_request *request, const pq_memory_entry *entry)
{
    static const pq_output streams[] = {PQ_OUTPUT_STDOUT, PQ_OUTPUT_STDERR};
    pq_talk *talk = request->talk;
    pq_error err;
    for (size_t i = 0; i < 2; i++)
        pq_serve_output(talk, &request->id, streams[i], entry->output[i].data,
                        entry->output[i].length);
    pq_serve_sent(talk,
                  pq_message_exec_result(pq_serve_queue(talk), &request->id, 0, 0, NULL, 0, &err),
                  &err);
}

/* Whether the answer was known; otherwise it will be noted. */
static bool is_remembered(pq_request *request, const pq_message_exec *exec, const pq_config *config)
{
    pq_memory_key key;
    pq_error err;
    if (make_key(request, exec, config, &key, &err) < 0)
        return false;
    const pq_memory_entry *entry = pq_memory_find(&request->talk->server->memory, &key);
    if (entry != NULL)
        answer_from(request, entry);
    else
        pq_memory_note_start(&request->note, &key);
    return entry != NULL;
}

/* ---- the request ---- */

int pq_serve_exec(pq_talk *talk, const pq_message *message, pq_buf *payload, bool receiving,
                  pq_request **ret_request, pq_rpc_code *ret_code, pq_error *err)
{
    pq_config *config;
    pq_request *request = pq_serve_request_new(talk, message, &config, ret_code, err);
    if (request == NULL)
        return -1;
    request->live = message->exec.live;
    request->streams = message->exec.stdin_stream;
    request->receiving = receiving;
    request->payload_end = !receiving;
    bool has_input = receiving || request->streams || payload->length > 0;
    if (message->exec.remember && !has_input && is_remembered(request, &message->exec, config)) {
        pq_config_free(config);
        pq_serve_request_free(request);
        *ret_request = NULL;
        return 0;
    }
    int result = start_job(request, &message->exec, config, payload, err);
    pq_config_free(config);
    pq_buf_done(payload);
    if (result < 0) {
        *ret_code = pq_serve_refusal(message, err);
        pq_serve_request_free(request);
        return -1;
    }
    if (request->streams)
        give_credit(request);
    *ret_request = request;
    return 0;
}
