/* Kept connections: what is reused, what is sent again, and what an error says. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/support/http_client.h"

TestSuite(http_pool, .init = http_client_setup, .fini = http_client_teardown);

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
    const http_peer_step steps[] = {
        {HTTP_PEER_LAST, http_error(500, "VM 1 is not running", "{}"), 0},
        {HTTP_PEER_ANSWER, http_ok("x"), 0}};
    http_peer peer = {.steps = steps, .count = 2};
    start_peer(&peer);
    http_outcome *o = ask("POST");
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
    const http_peer_step steps[] = {
        {HTTP_PEER_CUT, NULL, 0}, {HTTP_PEER_ANSWER, http_ok("a"), 0}, {HTTP_PEER_CUT, NULL, 0}};
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

/* A refusal by Content-Length alone: the answer, or at least the certainty that nothing was done.
 */
Test(http_pool, a_body_that_is_refused_early_has_no_effect)
{
    const http_peer_step steps[] = {
        {HTTP_PEER_EARLY, http_error(501, "for data too large", NULL), 0}};
    http_peer peer = {.steps = steps, .count = 1};
    size_t length = (size_t)16 * 1024 * 1024;
    char *body = calloc(1, length);
    start_peer(&peer);
    start_call(&client.outcomes[0], "POST", body, length);
    run(1);
    if (client.outcomes[0].err.code == PQ_OK)
        cr_expect_str_eq(client.outcomes[0].reason, "for data too large");
    else
        expect_error(&client.outcomes[0], PQ_E_NETWORK, PQ_EFFECT_NONE, true);
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
        start_call(&client.outcomes[0], "POST", body, length);
        run(1);
        expect_ok(&client.outcomes[0], "a");
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
    start_call(&client.outcomes[0], "GET", NULL, 0);
    client.outcomes[0].call.timeout = 50;
    run(1);
    expect_error(&client.outcomes[0], PQ_E_TIMEOUT, PQ_EFFECT_UNKNOWN, true);
    stop_peer(&peer);
    cr_expect_eq(peer.request_count, 1);
    http_peer_done(&peer);
}
