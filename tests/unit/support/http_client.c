#include "tests/unit/support/http_client.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

http_client client;

void http_client_setup(void)
{
    pq_error err;
    unsetenv("http_proxy");
    unsetenv("all_proxy");
    unsetenv("ALL_PROXY");
    client.loop = pq_loop_new(&err);
    cr_assert_not_null(client.loop, "%s", err.text);
    client.options = (pq_stream_options){.host = "127.0.0.1", .connect_timeout = 8000};
    client.pool = pq_http_pool_new(client.loop, &client.options, &err);
    cr_assert_not_null(client.pool, "%s", err.text);
}

void http_client_teardown(void)
{
    pq_http_pool_free(client.pool);
    pq_loop_free(client.loop);
}

void start_peer(http_peer *peer)
{
    http_peer_start(peer);
    client.options.port = peer->port;
}

void stop_peer(http_peer *peer)
{
    pq_http_pool_free(client.pool);
    client.pool = NULL;
    http_peer_stop(peer);
}

static void done(void *context, const pq_error *err, pq_http_answer *answer)
{
    http_outcome *o = context;
    o->calls++;
    if (err != NULL) {
        o->err = *err;
    } else {
        o->status = answer->status;
        snprintf(o->body, sizeof o->body, "%.*s", (int)answer->body.length, answer->body.data);
        snprintf(o->reason, sizeof o->reason, "%s", answer->reason);
    }
    if (--client.left == 0)
        pq_loop_stop(client.loop);
}

void start_call(http_outcome *o, const char *method, const char *body, size_t length)
{
    pq_error err;
    *o = (http_outcome){0};
    o->call.body = body;
    o->call.body_length = length;
    o->call.idempotent = strcmp(method, "GET") == 0;
    o->call.timeout = 10000;
    o->call.method = method;
    o->call.path = "/p";
    cr_assert_eq(pq_buf_printf(&o->call.head, &err, "%s /p HTTP/1.1\r\nContent-Length: %zu\r\n\r\n",
                               method, length),
                 0);
    pq_http_call_start(client.pool, &o->call, done, o);
}

void run(int count)
{
    pq_error err;
    client.left = count;
    cr_assert_eq(pq_loop_run(client.loop, &err), 0, "%s", err.text);
    cr_assert_eq(client.left, 0, "the loop ended early");
}

http_outcome *ask(const char *method)
{
    start_call(&client.outcomes[0], method, NULL, 0);
    run(1);
    cr_assert_eq(client.outcomes[0].calls, 1);
    return &client.outcomes[0];
}

void expect_ok(const http_outcome *o, const char *body)
{
    cr_assert_eq(o->err.code, PQ_OK, "%s", o->err.text);
    cr_assert_eq(o->status, 200);
    cr_assert_str_eq(o->body, body);
}

void expect_error(const http_outcome *o, pq_code code, pq_effect effect, bool retryable)
{
    cr_assert_eq(o->err.code, code, "%s: %s", pq_code_name(o->err.code), o->err.text);
    cr_expect_eq(o->err.effect, effect, "%s", o->err.text);
    cr_expect_eq(o->err.retryable, retryable, "%s", o->err.text);
}
