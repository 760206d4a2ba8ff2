/* Connections of transport/loop/stream.h: data, failures, freeing. */
#include <criterion/criterion.h>
#include <netdb.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/support/stream_client.h"

TestSuite(stream, .init = stream_client_setup, .fini = stream_client_teardown, .timeout = 20);

/* ---- names: libcurl asks this one, so that no test asks a name server ---- */

static sem_t resolver_called;
static sem_t resolver_may_go_on;

__attribute__((visibility("default"))) int getaddrinfo(const char *name, const char *service,
                                                       const struct addrinfo *hints,
                                                       struct addrinfo **result)
{
    (void)service;
    (void)hints;
    (void)result;
    if (strcmp(name, "slow.test") == 0) {
        sem_post(&resolver_called);
        sem_wait(&resolver_may_go_on);
    }
    return EAI_NONAME;
}

/* ---- data ---- */

Test(stream, plain_echo)
{
    stream_peer peer = {.kind = PEER_ECHO};

    stream_peer_start(&peer);
    cr_assert_eq(stream_client_connect(peer.port), PQ_OK, "%s", tester.err.text);
    stream_client_check_echo(&peer);
    stream_client_disconnect();
    stream_peer_stop(&peer);
}

Test(stream, tls_echo_with_ca)
{
    stream_peer peer = {.kind = PEER_ECHO};

    stream_client_start_tls(&peer);
    tester.options.ca_file = peer.certificate_file;
    tester.options.tls_min = "1.3";
    cr_assert_eq(stream_client_connect(peer.port), PQ_OK, "%s", tester.err.text);
    stream_client_check_echo(&peer);
    stream_client_disconnect();
    stream_peer_stop(&peer);
}

static void on_end(void *context, int events)
{
    stream_client *client = context;
    char bytes[16];
    size_t length = 0;
    pq_error err;

    (void)events;
    cr_assert_eq(pq_stream_recv(client->stream, bytes, sizeof bytes, &length, &client->got, &err),
                 0, "%s", err.text);
    if (client->got != PQ_STREAM_WAIT)
        pq_stream_watch(client->stream, 0, NULL, NULL);
}

static void check_end(void)
{
    pq_error err;

    tester.got = PQ_STREAM_WAIT;
    pq_stream_watch(tester.stream, PQ_READABLE, on_end, &tester);
    cr_assert_eq(pq_loop_run(tester.loop, &err), 0, "%s", err.text);
    cr_assert_eq(tester.got, PQ_STREAM_END);
}

Test(stream, end_of_stream)
{
    stream_peer plain = {.kind = PEER_CUT};
    stream_peer tls = {.kind = PEER_CUT};

    stream_peer_start(&plain);
    cr_assert_eq(stream_client_connect(plain.port), PQ_OK, "%s", tester.err.text);
    check_end();
    stream_client_disconnect();
    stream_peer_stop(&plain);

    stream_client_start_tls(&tls);
    tester.options.fingerprint = tls.fingerprint;
    cr_assert_eq(stream_client_connect(tls.port), PQ_OK, "%s", tester.err.text);
    check_end();
    stream_client_disconnect();
    stream_peer_stop(&tls);
}

Test(stream, lost_connection_is_network_with_unknown_effect)
{
    static const char bytes[100000];
    struct linger reset = {1, 0};
    size_t sent = 0;
    uint16_t port;
    int listener = stream_peer_listen(&port);

    cr_assert_eq(stream_client_connect(port), PQ_OK);
    int fd = accept(listener, NULL, NULL);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(fd);
    while (pq_stream_send(tester.stream, bytes, sizeof bytes, &sent, &tester.err) == 0)
        continue;
    cr_assert_eq(tester.err.code, PQ_E_NETWORK);
    cr_assert_eq(tester.err.effect, PQ_EFFECT_UNKNOWN);
    close(listener);
}

Test(stream, many_at_once_stay_open)
{
    enum { COUNT = 40 };
    pq_stream *streams[COUNT];
    stream_client clients[COUNT] = {0};
    uint16_t port;
    int listener = stream_peer_listen(&port);
    pq_error err;
    size_t sent;

    tester.options.port = port;
    for (size_t i = 0; i < COUNT; i++)
        streams[i] = pq_stream_open(tester.loop, &tester.options, stream_client_connected,
                                    &clients[i], &err);
    cr_assert_eq(pq_loop_run(tester.loop, &err), 0);
    for (size_t i = 0; i < COUNT; i += 2)
        pq_stream_free(streams[i]);
    for (size_t i = 1; i < COUNT; i += 2) {
        cr_assert_eq(clients[i].calls, 1);
        cr_assert_eq(pq_stream_send(streams[i], "x", 1, &sent, &err), 0, "%s", err.text);
        cr_assert_eq(sent, 1);
        pq_stream_free(streams[i]);
    }
    size_t received = 0;
    for (size_t i = 0; i < COUNT; i++) {
        char byte;
        int fd = accept(listener, NULL, NULL);
        received += read(fd, &byte, 1) == 1;
        close(fd);
    }
    cr_assert_eq(received, COUNT / 2);
    close(listener);
}

/* ---- no connection ---- */

Test(stream, closed_port)
{
    char peer[32];
    uint16_t port = stream_peer_closed_port();

    cr_assert_eq(stream_client_connect(port), PQ_E_CONNECT);
    cr_assert_eq(tester.err.effect, PQ_EFFECT_NONE);
    cr_assert(tester.err.retryable);
    snprintf(peer, sizeof peer, "127.0.0.1:%u:", (unsigned)port);
    cr_assert_not_null(strstr(tester.err.text, peer), "%s", tester.err.text);
}

Test(stream, unknown_name)
{
    tester.options.host = "nowhere.test";
    cr_assert_eq(stream_client_connect(8006), PQ_E_RESOLVE);
    cr_assert_eq(tester.err.effect, PQ_EFFECT_NONE);
    cr_assert(tester.err.retryable);
}

Test(stream, timeout)
{
    stream_peer peer = {.kind = PEER_SILENT};

    stream_peer_start(&peer);
    tester.options.tls = true;
    tester.options.connect_timeout = 50;
    cr_assert_eq(stream_client_connect(peer.port), PQ_E_TIMEOUT);
    cr_assert_eq(tester.err.effect, PQ_EFFECT_NONE);
    cr_assert(tester.err.retryable);
    stream_peer_stop(&peer);
}

Test(stream, ipv6_is_bracketed)
{
    tester.options.host = "::1";
    cr_assert_eq(stream_client_connect(stream_peer_closed_port()), PQ_E_CONNECT);
    cr_assert_not_null(strstr(tester.err.text, "[::1]:"), "%s", tester.err.text);
}

Test(stream, impossible_options)
{
    static const char *const hosts[] = {"",          "user@host", "host/path", "host?query",
                                        "host:8006", "ho st",     "host#",     "host\\"};

    tester.options.tls = true;
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        tester.options.host = hosts[i];
        cr_assert_eq(stream_client_connect(8006), PQ_E_CONFIG, "%s", hosts[i]);
        cr_assert_null(tester.stream);
    }
    tester.options.host = "127.0.0.1";
    cr_assert_eq(stream_client_connect(0), PQ_E_CONFIG);
    tester.options.fingerprint = "AB:CD";
    cr_assert_eq(stream_client_connect(8006), PQ_E_CONFIG);
    tester.options.fingerprint = NULL;
    tester.options.tls_min = "1.1";
    cr_assert_eq(stream_client_connect(8006), PQ_E_CONFIG);
}

/* ---- freeing ---- */

Test(stream, free_from_its_own_callback)
{
    stream_peer peer = {.kind = PEER_ECHO};

    stream_peer_start(&peer);
    tester.free_when_called = true;
    cr_assert_eq(stream_client_connect(peer.port), PQ_OK);
    cr_assert_null(tester.stream);
    cr_assert_eq(stream_client_connect(stream_peer_closed_port()), PQ_E_CONNECT);
    cr_assert_null(tester.stream);
    stream_peer_stop(&peer);
}

static void free_stream(void *context)
{
    pq_stream_free(context);
}

Test(stream, free_while_connecting)
{
    stream_peer peer = {.kind = PEER_SILENT};
    pq_timer timer = {0};
    pq_error err;

    stream_peer_start(&peer);
    tester.options.tls = true;
    tester.options.port = peer.port;
    pq_stream_free(
        pq_stream_open(tester.loop, &tester.options, stream_client_connected, &tester, &err));
    pq_stream *stream =
        pq_stream_open(tester.loop, &tester.options, stream_client_connected, &tester, &err);
    pq_timer_start(tester.loop, &timer, 20, free_stream, stream);
    cr_assert_eq(pq_loop_run(tester.loop, &err), 0, "the loop ends without the attempt");
    cr_assert_eq(tester.calls, 0);
    stream_peer_stop(&peer);
}

static void free_when_resolving(void *context)
{
    stream_client *client = context;

    if (sem_trywait(&resolver_called) < 0) {
        pq_timer_start(client->loop, &client->timer, 1, free_when_resolving, client);
        return;
    }
    stream_client_disconnect();
}

/* Without the resolver's answer, which only comes afterwards. */
Test(stream, free_does_not_wait_for_the_resolver)
{
    pq_error err;

    sem_init(&resolver_called, 0, 0);
    sem_init(&resolver_may_go_on, 0, 0);
    tester.options.host = "slow.test";
    tester.options.port = 8006;
    tester.stream =
        pq_stream_open(tester.loop, &tester.options, stream_client_connected, &tester, &err);
    pq_timer_start(tester.loop, &tester.timer, 1, free_when_resolving, &tester);
    cr_assert_eq(pq_loop_run(tester.loop, &err), 0);
    cr_assert_null(tester.stream);
    cr_assert_eq(tester.calls, 0);
    sem_post(&resolver_may_go_on);
}
