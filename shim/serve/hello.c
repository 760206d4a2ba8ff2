/* hello, ping and cancel. */
#include <stdlib.h>
#include <string.h>

#include "shim/serve/serve.h"
#include "transport/config/pack.h"

/* ---- hello ---- */

static int take_hello(pq_talk *talk, const pq_message *message, pq_error *err)
{
    pq_config *config = pq_config_copy(talk->config, err);
    char *vm = message->vm != NULL ? strdup(message->vm) : NULL;
    if (config != NULL && message->vm != NULL && vm == NULL)
        pq_fail(err, PQ_E_NOMEM, "out of memory");
    bool ok =
        config != NULL && (message->vm == NULL || vm != NULL) &&
        (message->options == NULL || (pq_config_apply_request(config, message->options, err) == 0 &&
                                      pq_config_resolve_paths(config, talk->cwd, err) == 0));
    if (!ok) {
        pq_config_free(config);
        free(vm);
        return -1;
    }
    talk->hello_config = config;
    talk->config = config;
    talk->hello_vm = vm;
    return 0;
}

int pq_serve_hello(pq_talk *talk, const pq_message *message, pq_rpc_code *ret_code, pq_error *err)
{
    pq_error failure;
    if (take_hello(talk, message, err) < 0) {
        *ret_code = pq_serve_refusal(message, err);
        return -1;
    }
    talk->protocol.greeted = true;
    pq_serve_sent(
        talk,
        pq_message_hello_result(pq_serve_queue(talk), &message->id, talk->server->shared, &failure),
        &failure);
    if (message->hello.client != NULL)
        pq_trace("hello", PQ_TEXT("client", message->hello.client));
    return 0;
}

/* ---- ping ---- */

static void on_answer(void *context, const pq_error *err, int64_t took_us)
{
    pq_request *request = context;
    pq_talk *talk = request->talk;
    pq_error failure;
    (void)took_us;
    request->ping = NULL;
    if (err != NULL) {
        pq_serve_request_failed(request, err);
        return;
    }
    pq_serve_sent(talk, pq_message_empty_result(pq_serve_queue(talk), &request->id, &failure),
                  &failure);
    pq_serve_request_free(request);
}

int pq_serve_ping(pq_talk *talk, const pq_message *message, pq_rpc_code *ret_code, pq_error *err)
{
    pq_config *config;
    pq_request *request = pq_serve_request_new(talk, message, &config, ret_code, err);
    if (request == NULL)
        return -1;
    pq_config_free(config);
    request->ping = pq_ping_start(request->session, on_answer, request, err);
    if (request->ping != NULL)
        return 0;
    *ret_code = pq_serve_refusal(message, err);
    pq_serve_request_free(request);
    return -1;
}

/* ---- cancel ---- */

void pq_serve_cancel(pq_talk *talk, const pq_message *message)
{
    pq_request *request = pq_serve_request_find(talk, &message->target);
    pq_error err;
    pq_serve_sent(
        talk, pq_message_cancel_result(pq_serve_queue(talk), &message->id, request != NULL, &err),
        &err);
    if (request != NULL)
        pq_serve_request_cancel(request);
}
