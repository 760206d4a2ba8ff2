/* Kept connections: what is reused, what is sent again, and what an error says. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/support/http_peer.h"
#include "tests/unit/support/stream_peer.h"
#include "transport/pve/http_pool.h"

#define CALLS_MAX 128

static pq_loop *loop;
static pq_http_pool *pool;
static pq_stream_options options;

/* A call and what came of it. */
typedef struct outcome {
    pq_http_call call;
    int calls;
    pq_error err;
    int status;
    char body[200];
    char reason[PQ_HTTP_REASON_MAX];
} outcome;

static outcome outcomes[CALLS_MAX];
static int left; /* until the loop stops */

static void setup(void)
{
    pq_error err;
    unsetenv("http_proxy");
    unsetenv("all_proxy");
    unsetenv("ALL_PROXY");
    loop = pq_loop_new(&err);
    cr_assert_not_null(loop, "%s", err.text);
    options = (pq_stream_options){.host = "127.0.0.1", .connect_timeout = 8000};
    pool = pq_http_pool_new(loop, &options, &err);
    cr_assert_not_null(pool, "%s", err.text);
}

static void teardown(void)
{
    pq_http_pool_free(pool);
    pq_loop_free(loop);
}

TestSuite(http_pool, .init = setup, .fini = teardown);

static void start_peer(http_peer *peer)
{
    http_peer_start(peer);
    options.port = peer->port;
}

/* The pool hangs up before the peer is stopped, so that nothing is in flight. */
static void stop_peer(http_peer *peer)
{
    pq_http_pool_free(pool);
    pool = NULL;
    http_peer_stop(peer);
}

static void done(void *context, const pq_error *err, pq_http_answer *answer)
{
    outcome *o = context;
    o->calls++;
    if (err != NULL) {
        o->err = *err;
    } else {
        o->status = answer->status;
        snprintf(o->body, sizeof o->body, "%.*s", (int)answer->body.length, answer->body.data);
        snprintf(o->reason, sizeof o->reason, "%s", answer->reason);
    }
    if (--left == 0)
        pq_loop_stop(loop);
}

static void start_call(outcome *o, const char *method, const char *body, size_t length)
{
    pq_error err;
    *o = (outcome){0};
    o->call.body = body;
    o->call.body_length = length;
    o->call.idempotent = strcmp(method, "GET") == 0;
    o->call.timeout = 10000;
    o->call.method = method;
    o->call.path = "/p";
    cr_assert_eq(pq_buf_printf(&o->call.head, &err, "%s /p HTTP/1.1\r\nContent-Length: %zu\r\n\r\n",
                               method, length),
                 0);
    pq_http_call_start(pool, &o->call, done, o);
}

static void run(int count)
{
    pq_error err;
    left = count;
    cr_assert_eq(pq_loop_run(loop, &err), 0, "%s", err.text);
    cr_assert_eq(left, 0, "the loop ended early");
}

static outcome *ask(const char *method)
{
    start_call(&outcomes[0], method, NULL, 0);
    run(1);
    cr_assert_eq(outcomes[0].calls, 1);
    return &outcomes[0];
}

static void expect_ok(const outcome *o, const char *body)
{
    cr_assert_eq(o->err.code, PQ_OK, "%s", o->err.text);
    cr_assert_eq(o->status, 200);
    cr_assert_str_eq(o->body, body);
}

static void expect_error(const outcome *o, pq_code code, pq_effect effect, bool retryable)
{
    cr_assert_eq(o->err.code, code, "%s: %s", pq_code_name(o->err.code), o->err.text);
    cr_expect_eq(o->err.effect, effect, "%s", o->err.text);
    cr_expect_eq(o->err.retryable, retryable, "%s", o->err.text);
}

Test(http_pool, a_connection_is_kept)
{
    const http_peer_step steps[] = {{HTTP_PEER_ANSWER, http_ok("a"), 0},
                                    {HTTP_PEER_ANSWER, http_ok("b"), 0}};
    http_peer peer = {.steps = steps, .count = 2};
    start_peer(&peer);
    expect_ok(ask("POST"), "a");
    expect_ok(ask("POST"), "b");
    expect_ok(ask("GET"), "b");
    stop_peer(&peer);
    cr_expect_eq(peer.request_count, 3);
    cr_expect_eq(peer.connection_count, 1);
    http_peer_done(&peer);
}

Test(http_pool, a_connection_carries_95_requests)
{
    const http_peer_step step = {HTTP_PEER_ANSWER, http_ok("x"), 0};
    http_peer peer = {.steps = &step, .count = 1};
    start_peer(&peer);
    for (int i = 0; i < PQ_HTTP_REQUESTS_MAX + 1; i++)
        expect_ok(ask("POST"), "x");
    stop_peer(&peer);
    cr_expect_eq(peer.request_count, PQ_HTTP_REQUESTS_MAX + 1);
    cr_expect_eq(peer.connection_count, 2);
    http_peer_done(&peer);
}

/* Errors have no length and close the connection. */
Test(http_pool, errors_come_with_their_text)
{
    const http_peer_step steps[] = {{HTTP_PEER_LAST, http_error(500, "VM 1 is not running", "{}"), 0},
                                    {HTTP_PEER_ANSWER, http_ok("x"), 0}};
    http_peer peer = {.steps = steps, .count = 2};
    start_peer(&peer);
    outcome *o = ask("POST");
    cr_assert_eq(o->err.code, PQ_OK, "%s", o->err.text);
    cr_assert_eq(o->status, 500);
    cr_assert_str_eq(o->reason, "VM 1 is not running");
    cr_assert_str_eq(o->body, "{}");
    expect_ok(ask("POST"), "x");
    stop_peer(&peer);
    cr_expect_eq(peer.connection_count, 2);
    http_peer_done(&peer);
}

Test(http_pool, a_connection_closed_while_idle_is_replaced)
{
    const http_peer_step steps[] = {{HTTP_PEER_LAST, http_ok("a"), 0},
                                    {HTTP_PEER_LAST, http_ok("b"), 0}};
    http_peer peer = {.steps = steps, .count = 2};
    start_peer(&peer);
    for (int i = 0; i < 5; i++)
        expect_ok(ask("POST"), i == 0 ? "a" : "b");
    stop_peer(&peer);
    cr_expect_eq(peer.request_count, 5);
    cr_expect_eq(peer.connection_count, 5);
    http_peer_done(&peer);
}

Test(http_pool, a_lost_post_is_not_sent_again)
{
    const http_peer_step steps[] = {{HTTP_PEER_ANSWER, http_ok("a"), 0},
                                    {HTTP_PEER_CUT, NULL, 0},
                                    {HTTP_PEER_LAST, "HTTP/1.1 200 OK\r\nContent-Le", 0},
                                    {HTTP_PEER_ANSWER, http_ok("b"), 0}};
    http_peer peer = {.steps = steps, .count = 4};
    start_peer(&peer);
    expect_ok(ask("POST"), "a");
    expect_error(ask("POST"), PQ_E_NETWORK, PQ_EFFECT_UNKNOWN, true);
    expect_error(ask("POST"), PQ_E_NETWORK, PQ_EFFECT_UNKNOWN, true);
    expect_ok(ask("POST"), "b");
    stop_peer(&peer);
    cr_expect_eq(peer.request_count, 4);
    http_peer_done(&peer);
}

Test(http_pool, a_lost_get_is_sent_again_once)
{
    const http_peer_step steps[] = {{HTTP_PEER_CUT, NULL, 0},
                                    {HTTP_PEER_ANSWER, http_ok("a"), 0},
                                    {HTTP_PEER_CUT, NULL, 0}};
    http_peer peer = {.steps = steps, .count = 3};
    start_peer(&peer);
    expect_ok(ask("GET"), "a");
    expect_error(ask("GET"), PQ_E_NETWORK, PQ_EFFECT_UNKNOWN, true);
    stop_peer(&peer);
    cr_expect_eq(peer.request_count, 4);
    cr_expect_str_eq(peer.requests[0], peer.requests[1]);
    http_peer_done(&peer);
}

Test(http_pool, garbage_ends_the_call_and_the_connection)
{
    const http_peer_step steps[] = {
        {HTTP_PEER_ANSWER, "SSH-2.0-OpenSSH_9.2\r\n", 0},
        {HTTP_PEER_ANSWER, "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", 0},
        {HTTP_PEER_ANSWER,
         "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", 0},
        {HTTP_PEER_ANSWER, http_ok("a"), 0}};
    http_peer peer = {.steps = steps, .count = 4};
    start_peer(&peer);
    for (int i = 0; i < 3; i++)
        expect_error(ask("GET"), PQ_E_BAD_ANSWER, PQ_EFFECT_UNKNOWN, false);
    expect_ok(ask("GET"), "a");
    stop_peer(&peer);
    cr_expect_eq(peer.request_count, 4);
    cr_expect_eq(peer.connection_count, 4);
    http_peer_done(&peer);
}

Test(http_pool, a_connection_with_surplus_bytes_is_not_used_again)
{
    const http_peer_step steps[] = {
        {HTTP_PEER_ANSWER, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 200 OK\r\n", 0},
        {HTTP_PEER_ANSWER, http_ok("b"), 0}};
    http_peer peer = {.steps = steps, .count = 2};
    start_peer(&peer);
    expect_ok(ask("POST"), "a");
    expect_ok(ask("POST"), "b");
    stop_peer(&peer);
    cr_expect_eq(peer.connection_count, 2);
    http_peer_done(&peer);
}

/* A refusal by Content-Length alone: the answer, or at least the certainty that nothing was done. */
Test(http_pool, a_body_that_is_refused_early_has_no_effect)
{
    const http_peer_step steps[] = {
        {HTTP_PEER_EARLY, http_error(501, "for data too large", NULL), 0}};
    http_peer peer = {.steps = steps, .count = 1};
    size_t length = (size_t)16 * 1024 * 1024;
    char *body = calloc(1, length);
    start_peer(&peer);
    start_call(&outcomes[0], "POST", body, length);
    run(1);
    if (outcomes[0].err.code == PQ_OK)
        cr_expect_str_eq(outcomes[0].reason, "for data too large");
    else
        expect_error(&outcomes[0], PQ_E_NETWORK, PQ_EFFECT_NONE, true);
    stop_peer(&peer);
    cr_expect_eq(peer.request_count, 1);
    http_peer_done(&peer);
    free(body);
}

Test(http_pool, a_large_body_arrives_whole)
{
    const http_peer_step step = {HTTP_PEER_ANSWER, http_ok("a"), 0};
    http_peer peer = {.steps = &step, .count = 1};
    size_t length = 522000;
    char *body = malloc(length + 1);
    for (size_t i = 0; i < length; i++)
        body[i] = (char)('a' + i % 23);
    body[length] = '\0';
    start_peer(&peer);
    for (int i = 0; i < 3; i++) {
        start_call(&outcomes[0], "POST", body, length);
        run(1);
        expect_ok(&outcomes[0], "a");
    }
    stop_peer(&peer);
    cr_expect_eq(peer.connection_count, 1);
    for (int i = 0; i < 3; i++)
        cr_expect(strcmp(strstr(peer.requests[i], "\r\n\r\n") + 4, body) == 0);
    http_peer_done(&peer);
    free(body);
}

Test(http_pool, a_silent_server_is_given_up)
{
    const http_peer_step step = {HTTP_PEER_SILENT, NULL, 0};
    http_peer peer = {.steps = &step, .count = 1};
    start_peer(&peer);
    start_call(&outcomes[0], "GET", NULL, 0);
    outcomes[0].call.timeout = 50;
    run(1);
    expect_error(&outcomes[0], PQ_E_TIMEOUT, PQ_EFFECT_UNKNOWN, true);
    stop_peer(&peer);
    cr_expect_eq(peer.request_count, 1);
    http_peer_done(&peer);
}

Test(http_pool, a_server_that_was_never_there_ends_all_calls_at_once)
{
    options.port = stream_peer_closed_port();
    for (int i = 0; i < 5; i++)
        start_call(&outcomes[i], "POST", NULL, 0);
    run(5);
    for (int i = 0; i < 5; i++)
        expect_error(&outcomes[i], PQ_E_CONNECT, PQ_EFFECT_NONE, true);
}

Test(http_pool, waiting_calls_get_connections_of_their_own)
{
    const http_peer_step step = {HTTP_PEER_ANSWER, http_ok("a"), 0};
    http_peer peer = {.steps = &step, .count = 1};
    start_peer(&peer);
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 3; i++)
            start_call(&outcomes[i], "POST", NULL, 0);
        run(3);
        for (int i = 0; i < 3; i++)
            expect_ok(&outcomes[i], "a");
    }
    stop_peer(&peer);
    cr_expect_eq(peer.request_count, 12);
    cr_expect_leq(peer.connection_count, 3);
    http_peer_done(&peer);
}

Test(http_pool, connections_are_bounded)
{
    const http_peer_step step = {HTTP_PEER_ANSWER, http_ok("a"), 0};
    http_peer peer = {.steps = &step, .count = 1};
    start_peer(&peer);
    for (int i = 0; i < CALLS_MAX; i++)
        start_call(&outcomes[i], "GET", NULL, 0);
    run(CALLS_MAX);
    for (int i = 0; i < CALLS_MAX; i++)
        expect_ok(&outcomes[i], "a");
    stop_peer(&peer);
    cr_expect_eq(peer.request_count, CALLS_MAX);
    cr_expect_leq(peer.connection_count, PQ_HTTP_CONNECTIONS_MAX);
    http_peer_done(&peer);
}

Test(http_pool, dropped_calls_are_not_called_back)
{
    const http_peer_step step = {HTTP_PEER_ANSWER, http_ok("a"), 0};
    http_peer peer = {.steps = &step, .count = 1};
    start_peer(&peer);
    start_call(&outcomes[1], "POST", NULL, 0);
    start_call(&outcomes[2], "POST", NULL, 0);
    pq_http_call_drop(&outcomes[1].call);
    pq_http_call_drop(&outcomes[1].call);
    start_call(&outcomes[3], "POST", NULL, 0);
    run(2);
    cr_expect_eq(outcomes[1].calls, 0);
    expect_ok(&outcomes[2], "a");
    expect_ok(&outcomes[3], "a");
    stop_peer(&peer);
    cr_expect_eq(peer.request_count, 2);
    http_peer_done(&peer);
}

static void drop_first(void *context)
{
    (void)context;
    pq_http_call_drop(&outcomes[1].call);
    start_call(&outcomes[2], "POST", NULL, 0);
}

/* The answer to a dropped call is read and thrown away: the connection stays good. */
Test(http_pool, a_connection_survives_a_dropped_call)
{
    const http_peer_step step = {HTTP_PEER_ANSWER, http_ok("a"), 0};
    http_peer peer = {.steps = &step, .count = 1};
    pq_defer defer = {0};
    start_peer(&peer);
    expect_ok(ask("POST"), "a");
    start_call(&outcomes[1], "POST", NULL, 0);
    pq_defer_start(loop, &defer, drop_first, NULL);
    run(1);
    expect_ok(&outcomes[2], "a");
    expect_ok(ask("POST"), "a");
    cr_expect_eq(outcomes[1].calls, 0);
    stop_peer(&peer);
    cr_expect_eq(peer.request_count, 4);
    cr_expect_leq(peer.connection_count, 2);
    http_peer_done(&peer);
}

static void free_pool(void *context, const pq_error *err, pq_http_answer *answer)
{
    (void)context;
    (void)err;
    (void)answer;
    pq_http_pool_free(pool);
    pool = NULL;
    pq_loop_stop(loop);
}

Test(http_pool, a_callback_may_free_everything)
{
    static const http_peer_act acts[] = {HTTP_PEER_ANSWER, HTTP_PEER_CUT};
    for (size_t i = 0; i < 2; i++) {
        const http_peer_step step = {acts[i], i == 0 ? http_ok("a") : NULL, 0};
        http_peer peer = {.steps = &step, .count = 1};
        pq_error err;
        start_peer(&peer);
        if (pool == NULL)
            pool = pq_http_pool_new(loop, &options, &err);
        start_call(&outcomes[0], "POST", NULL, 0);
        outcomes[0].call.done = free_pool;
        cr_assert_eq(pq_loop_run(loop, &err), 0);
        cr_expect_null(pool);
        stop_peer(&peer);
        http_peer_done(&peer);
    }
}

Test(http_pool, the_same_call_can_be_started_again)
{
    const http_peer_step step = {HTTP_PEER_ANSWER, http_ok("a"), 0};
    http_peer peer = {.steps = &step, .count = 1};
    start_peer(&peer);
    for (int i = 0; i < 3; i++) {
        expect_ok(ask("POST"), "a");
        cr_expect_null(outcomes[0].call.head.data, "the head, with its secrets, was kept");
    }
    stop_peer(&peer);
    http_peer_done(&peer);
}
