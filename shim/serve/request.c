/* Requests in flight. */
#include <stdlib.h>
#include <string.h>

#include "shim/serve/serve.h"
#include "transport/base/fd.h"
#include "transport/config/pack.h"

pq_request *pq_serve_request_find(const pq_talk *talk, const pq_id *id)
{
    pq_request *request = talk->requests;
    while (request != NULL && !pq_id_equal(&request->id, id))
        request = request->next;
    return request;
}

/* ---- beginning ---- */

static const char *named_vm(const pq_talk *talk, const pq_message *message)
{
    return message->vm != NULL ? message->vm : talk->hello_vm;
}

/* The options of this request, and the session they lead to. */
static int find_session(pq_talk *talk, const pq_message *message, pq_config *config,
                        const char **ret_vm, pq_session **ret, pq_error *err)
{
    if (message->options != NULL && (pq_config_apply_request(config, message->options, err) < 0 ||
                                     pq_config_resolve_paths(config, talk->cwd, err) < 0))
        return -1;
    if (pq_config_select_vm(config, named_vm(talk, message), ret_vm, err) < 0)
        return -1;
    return pq_targets_get(talk->server->targets, config, *ret_vm, ret, err);
}

static pq_request *make(pq_talk *talk, const pq_message *message, pq_session *session,
                        pq_error *err)
{
    pq_request *request = calloc(1, sizeof *request);
    if (request == NULL) {
        pq_fail(err, PQ_E_NOMEM, "out of memory");
        return NULL;
    }
    request->talk = talk;
    request->id = message->id;
    request->method = message->method;
    request->session = session;
    request->fd = -1;
    request->next = talk->requests;
    request->link = &talk->requests;
    if (request->next != NULL)
        request->next->link = &request->next;
    talk->requests = request;
    return request;
}

pq_request *pq_serve_request_new(pq_talk *talk, const pq_message *message, pq_config **ret_config,
                                 pq_rpc_code *ret_code, pq_error *err)
{
    const char *vm;
    pq_session *session;
    pq_request *request = NULL;
    pq_config *config = pq_config_copy(talk->config, err);
    if (config != NULL && find_session(talk, message, config, &vm, &session, err) == 0)
        request = make(talk, message, session, err);
    if (request == NULL) {
        pq_config_free(config);
        *ret_code = pq_serve_refusal(message, err);
        return NULL;
    }
    *ret_config = config;
    request->vm = vm;
    return request;
}

pq_rpc_code pq_serve_refusal(const pq_message *message, pq_error *err)
{
    if (err->code != PQ_E_USAGE)
        return PQ_RPC_FAILED;
    err->code = PQ_E_PROTOCOL;
    pq_error_prefix(err, "%s: ", pq_message_method_name(message->method));
    return PQ_RPC_INVALID_PARAMS;
}

/* ---- ending ---- */

void pq_serve_request_free(pq_request *request)
{
    pq_talk *talk = request->talk;
    *request->link = request->next;
    if (request->next != NULL)
        request->next->link = request->link;
    if (talk->input.frame.request == request) {
        talk->input.frame.request = NULL;
        pq_serve_input_resume(talk);
    }
    pq_close(&request->fd);
    pq_buf_done(&request->payload);
    pq_buf_done(&request->held);
    pq_memory_note_done(&request->note);
    free(request);
    pq_serve_settle(talk);
}

/* A command that was cancelled may have been carried out in part, which `done` would not say. */
static void make_cancelled(pq_error *cancelled, const pq_error *err)
{
    pq_effect effect = err->effect == PQ_EFFECT_NONE ? PQ_EFFECT_NONE : PQ_EFFECT_UNKNOWN;
    pq_message_cancelled(cancelled, effect);
}

void pq_serve_request_failed(pq_request *request, const pq_error *err)
{
    pq_rpc_code code = PQ_RPC_FAILED;
    pq_error answer = *err;
    if (err->code == PQ_E_CANCELLED) {
        make_cancelled(&answer, err);
        if (request->refusal != 0) {
            pq_effect effect = answer.effect;
            code = request->refusal;
            answer = request->reason;
            answer.effect = effect;
        }
    }
    if (!request->silent)
        pq_serve_error(request->talk, &request->id, code, &answer);
    pq_serve_request_free(request);
}

static void cancel_ping(pq_request *request)
{
    pq_error err;
    pq_ping_drop(request->ping);
    request->ping = NULL;
    pq_message_cancelled(&err, PQ_EFFECT_NONE);
    pq_serve_request_failed(request, &err);
}

void pq_serve_request_cancel(pq_request *request)
{
    if (request->job != NULL)
        pq_job_cancel(request->job);
    else if (request->put != NULL)
        pq_put_cancel(request->put);
    else if (request->fetch != NULL)
        pq_fetch_cancel(request->fetch);
    else
        cancel_ping(request);
}

void pq_serve_request_refuse(pq_request *request, pq_rpc_code code, const pq_error *err)
{
    request->refusal = code;
    request->reason = *err;
    pq_serve_request_cancel(request);
}

void pq_serve_request_drop(pq_request *request)
{
    pq_error err;
    pq_job_drop(request->job);
    pq_put_drop(request->put);
    pq_fetch_drop(request->fetch);
    pq_ping_drop(request->ping);
    pq_message_cancelled(&err, PQ_EFFECT_UNKNOWN);
    pq_serve_request_failed(request, &err);
}

/* A request may end while it is cancelled, but no other one does. */
void pq_serve_cancel_all(pq_talk *talk)
{
    for (pq_request *request = talk->requests, *next; request != NULL; request = next) {
        next = request->next;
        pq_serve_request_cancel(request);
    }
}

/* ---- payloads ---- */

static size_t payload_room(const pq_request *request)
{
    return request->put != NULL ? pq_put_room(request->put) : pq_job_input_room(request->job);
}

static int pass_on(pq_request *request, size_t length, pq_error *err)
{
    const char *bytes = request->payload.data;
    return request->put != NULL ? pq_put_content(request->put, bytes, length, err)
                                : pq_job_input(request->job, bytes, length, err);
}

static void pass_end(pq_request *request)
{
    request->payload_end = true;
    if (request->put != NULL)
        pq_put_content_end(request->put);
    else
        pq_job_input_end(request->job);
}

bool pq_serve_request_is_full(const pq_request *request)
{
    return request->receiving && request->payload.length > 0;
}

void pq_serve_request_pump(pq_request *request)
{
    pq_error err;
    size_t room;
    if (request->payload_end)
        return;
    while (request->payload.length > 0 && (room = payload_room(request)) > 0) {
        size_t part = room < request->payload.length ? room : request->payload.length;
        if (pass_on(request, part, &err) < 0) {
            pq_serve_request_refuse(request, PQ_RPC_FAILED, &err);
            return;
        }
        pq_buf_consume(&request->payload, part);
    }
    if (request->payload.length > 0)
        return;
    if (request->receiving)
        pq_serve_input_resume(request->talk);
    else
        pass_end(request);
}
