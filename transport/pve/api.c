#include "transport/pve/api.h"

#include <string.h>

#include "transport/pve/request.h"

/* The pool copies the beginning of the body behind the head; room for that. */
#define HEAD_MORE ((size_t)16 * 1024)

/* Of an answer that is not expected to be large; errors name parameters and processes. */
#define SMALL_ANSWER_MAX ((size_t)1024 * 1024)

static void authorized(void *context, const pq_error *err);

/* Whether the user has to look at the server rather than at a VM. */
static bool is_about_server(const pq_error *err)
{
    return err->code == PQ_E_AUTH || err->code == PQ_E_TFA || err->code == PQ_E_BAD_ANSWER;
}

/* Ends the call. It is idle afterwards, so the callback may start it again or free it. */
static void end(pq_api_call *call, const pq_error *err, pq_refusal refusal, const pq_json *data)
{
    pq_error located;
    if (err != NULL && is_about_server(err)) {
        located = *err;
        pq_error_prefix(&located, "%s: ", call->api->host);
        err = &located;
    }
    call->api = NULL;
    call->done(call->context, err, refusal, data);
}

static void refuse(pq_api_call *call, const pq_http_answer *answer, const pq_json *body)
{
    pq_error err;
    pq_refusal refusal = pq_api_refused(call->kind, answer->status, answer->reason, body, &err);
    pq_auth *auth = call->api->auth;
    if (refusal == PQ_REFUSAL_LOGIN && pq_auth_rejected(auth, call->generation) &&
        !call->logged_in_again) {
        call->logged_in_again = true;
        pq_auth_wait_start(auth, &call->wait, authorized, call);
        return;
    }
    end(call, &err, refusal, NULL);
}

/* Ends the call without an answer. The effect of `cause` is what the server can have done; a call
 * that only reads does nothing. */
static void lose(pq_api_call *call, const pq_error *cause)
{
    pq_error err = *cause;
    if (err.effect != PQ_EFFECT_NONE)
        err.effect = pq_api_possible_effect(call->kind);
    if (err.code == PQ_E_BAD_ANSWER)
        err.retryable = call->api->proven;
    end(call, &err, PQ_REFUSAL_FINAL, NULL);
}

/* `problem` is filled if body is NULL. */
static void accept_answer(pq_api_call *call, const pq_json *body, const pq_error *problem)
{
    const pq_json *data = pq_json_member(body, "data");
    pq_error err;
    if (data != NULL) {
        call->api->proven = true;
        end(call, NULL, PQ_REFUSAL_FINAL, data);
        return;
    }
    if (body == NULL)
        err = *problem;
    else
        pq_fail(&err, PQ_E_BAD_ANSWER, "no 'data' in it");
    err.effect = PQ_EFFECT_UNKNOWN;
    pq_error_prefix(&err, "the server's answer is not one of a Proxmox VE API: ");
    lose(call, &err);
}

static void answered(void *context, const pq_error *err, pq_http_answer *answer)
{
    pq_api_call *call = context;
    pq_error problem;
    if (err != NULL) {
        lose(call, err);
        return;
    }
    pq_json *body = pq_json_parse(answer->body.data, answer->body.length, &problem);
    pq_buf_done(&answer->body);
    if (answer->status >= 200 && answer->status < 300)
        accept_answer(call, body, &problem);
    else
        refuse(call, answer, body);
    pq_json_free(body);
}

static int write_head(pq_api_call *call, pq_error *err)
{
    const pq_api *api = call->api;
    bool changes = strcmp(call->method, "GET") != 0;
    pq_request_head head = {
        .method = call->method,
        .host = api->host,
        .path = call->path,
        .query = call->query,
        .content_type = call->body != NULL ? call->content_type : NULL,
        .has_body = changes,
        .content_length = call->body != NULL ? call->body->length : 0,
        .gzip = call->gzip,
    };
    pq_buf *out = &call->http.head;
    if (pq_request_write_head(out, &head, HEAD_MORE, err) < 0 ||
        pq_auth_write_headers(api->auth, changes, out, err) < 0)
        return -1;
    return pq_buf_add_text(out, "\r\n", err);
}

static int send_request(pq_api_call *call, pq_error *err)
{
    pq_http_call *http = &call->http;
    memset(http, 0, sizeof *http);
    if (write_head(call, err) < 0) {
        pq_buf_wipe(&http->head);
        return -1;
    }
    call->generation = call->api->auth->generation;
    if (call->body != NULL) {
        http->body = call->body->data;
        http->body_length = call->body->length;
    }
    http->idempotent = call->kind != PQ_API_EXEC && call->kind != PQ_API_STATUS;
    http->answer_max = call->large ? PQ_HTTP_ANSWER_MAX : SMALL_ANSWER_MAX;
    http->timeout = call->api->timeout;
    http->method = call->method;
    http->path = call->path;
    pq_http_call_start(call->api->pool, http, answered, call);
    return 0;
}

static void authorized(void *context, const pq_error *err)
{
    pq_api_call *call = context;
    pq_error problem;
    if (err != NULL)
        end(call, err, PQ_REFUSAL_FINAL, NULL);
    else if (send_request(call, &problem) < 0)
        end(call, &problem, PQ_REFUSAL_FINAL, NULL);
}

static void report_failure(void *context)
{
    pq_api_call *call = context;
    pq_error err = call->failure;
    end(call, &err, PQ_REFUSAL_FINAL, NULL);
}

void pq_api_call_start(pq_api *api, pq_api_call *call, pq_api_fn done, void *context)
{
    call->api = api;
    call->done = done;
    call->context = context;
    call->logged_in_again = false;
    if (!pq_auth_is_ready(api->auth))
        pq_auth_wait_start(api->auth, &call->wait, authorized, call);
    else if (send_request(call, &call->failure) < 0)
        pq_defer_start(api->auth->loop, &call->report, report_failure, call);
}

void pq_api_call_drop(pq_api_call *call)
{
    if (call->api == NULL)
        return;
    pq_auth_wait_stop(&call->wait);
    pq_defer_stop(&call->report);
    pq_http_call_drop(&call->http);
    call->api = NULL;
}
