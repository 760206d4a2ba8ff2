/* Kept connections: many calls, no server, and calls that are dropped. */
#include <criterion/criterion.h>

#include "tests/unit/support/http_client.h"
#include "tests/unit/support/stream_peer.h"

TestSuite(http_pool_end, .init = http_client_setup, .fini = http_client_teardown);

Test(http_pool_end, a_server_that_was_never_there_ends_all_calls_at_once)
{
    client.options.port = stream_peer_closed_port();
    for (int i = 0; i < 5; i++)
        start_call(&client.outcomes[i], "POST", NULL, 0);
    run(5);
    for (int i = 0; i < 5; i++)
        expect_error(&client.outcomes[i], PQ_E_CONNECT, PQ_EFFECT_NONE, true);
}

Test(http_pool_end, waiting_calls_get_connections_of_their_own)
{
    const http_peer_step step = {HTTP_PEER_ANSWER, http_ok("a"), 0};
    http_peer peer = {.steps = &step, .count = 1};
    start_peer(&peer);
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 3; i++)
            start_call(&client.outcomes[i], "POST", NULL, 0);
        run(3);
        for (int i = 0; i < 3; i++)
            expect_ok(&client.outcomes[i], "a");
    }
    stop_peer(&peer);
    cr_expect_eq(peer.request_count, 12);
    cr_expect_leq(peer.connection_count, 3);
    http_peer_done(&peer);
}

Test(http_pool_end, connections_are_bounded)
{
    const http_peer_step step = {HTTP_PEER_ANSWER, http_ok("a"), 0};
    http_peer peer = {.steps = &step, .count = 1};
    start_peer(&peer);
    for (int i = 0; i < HTTP_CLIENT_CALLS_MAX; i++)
        start_call(&client.outcomes[i], "GET", NULL, 0);
    run(HTTP_CLIENT_CALLS_MAX);
    for (int i = 0; i < HTTP_CLIENT_CALLS_MAX; i++)
        expect_ok(&client.outcomes[i], "a");
    stop_peer(&peer);
    cr_expect_eq(peer.request_count, HTTP_CLIENT_CALLS_MAX);
    cr_expect_leq(peer.connection_count, PQ_HTTP_CONNECTIONS_MAX);
    http_peer_done(&peer);
}

Test(http_pool_end, dropped_calls_are_not_called_back)
{
    const http_peer_step step = {HTTP_PEER_ANSWER, http_ok("a"), 0};
    http_peer peer = {.steps = &step, .count = 1};
    start_peer(&peer);
    start_call(&client.outcomes[1], "POST", NULL, 0);
    start_call(&client.outcomes[2], "POST", NULL, 0);
    pq_http_call_drop(&client.outcomes[1].call);
    pq_http_call_drop(&client.outcomes[1].call);
    start_call(&client.outcomes[3], "POST", NULL, 0);
    run(2);
    cr_expect_eq(client.outcomes[1].calls, 0);
    expect_ok(&client.outcomes[2], "a");
    expect_ok(&client.outcomes[3], "a");
    stop_peer(&peer);
    cr_expect_eq(peer.request_count, 2);
    http_peer_done(&peer);
}

static void drop_first(void *context)
{
    (void)context;
    pq_http_call_drop(&client.outcomes[1].call);
    start_call(&client.outcomes[2], "POST", NULL, 0);
}

/* The answer to a dropped call is read and thrown away: the connection stays good. */
Test(http_pool_end, a_connection_survives_a_dropped_call)
{
    const http_peer_step step = {HTTP_PEER_ANSWER, http_ok("a"), 0};
    http_peer peer = {.steps = &step, .count = 1};
    pq_defer defer = {0};
    start_peer(&peer);
    expect_ok(ask("POST"), "a");
    start_call(&client.outcomes[1], "POST", NULL, 0);
    pq_defer_start(client.loop, &defer, drop_first, NULL);
    run(1);
    expect_ok(&client.outcomes[2], "a");
    expect_ok(ask("POST"), "a");
    cr_expect_eq(client.outcomes[1].calls, 0);
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
    pq_http_pool_free(client.pool);
    client.pool = NULL;
    pq_loop_stop(client.loop);
}

Test(http_pool_end, a_callback_may_free_everything)
{
    static const http_peer_act acts[] = {HTTP_PEER_ANSWER, HTTP_PEER_CUT};
    for (size_t i = 0; i < 2; i++) {
        const http_peer_step step = {acts[i], i == 0 ? http_ok("a") : NULL, 0};
        http_peer peer = {.steps = &step, .count = 1};
        pq_error err;
        start_peer(&peer);
        if (client.pool == NULL)
            client.pool = pq_http_pool_new(client.loop, &client.options, &err);
        start_call(&client.outcomes[0], "POST", NULL, 0);
        client.outcomes[0].call.done = free_pool;
        cr_assert_eq(pq_loop_run(client.loop, &err), 0);
        cr_expect_null(client.pool);
        stop_peer(&peer);
        http_peer_done(&peer);
    }
}

Test(http_pool_end, the_same_call_can_be_started_again)
{
    const http_peer_step step = {HTTP_PEER_ANSWER, http_ok("a"), 0};
    http_peer peer = {.steps = &step, .count = 1};
    start_peer(&peer);
    for (int i = 0; i < 3; i++) {
        expect_ok(ask("POST"), "a");
        cr_expect_null(client.outcomes[0].call.head.data, "the head, with its secrets, was kept");
    }
    stop_peer(&peer);
    http_peer_done(&peer);
}
