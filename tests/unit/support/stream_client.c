#include "tests/unit/support/stream_client.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define OFFER_BYTES ((size_t)100000)

stream_client tester;

void stream_client_setup(void)
{
    pq_error err;

    unsetenv("https_proxy");
    unsetenv("http_proxy");
    unsetenv("all_proxy");
    unsetenv("HTTPS_PROXY");
    unsetenv("ALL_PROXY");
    tester = (stream_client){0};
    tester.loop = pq_loop_new(&err);
    cr_assert_not_null(tester.loop, "%s", err.text);
    tester.options = (pq_stream_options){.host = "127.0.0.1", .connect_timeout = 8000};
}

void stream_client_teardown(void)
{
    pq_stream_free(tester.stream);
    pq_loop_free(tester.loop);
    free(tester.out);
    free(tester.in);
}

void stream_client_connected(void *context, const pq_error *err)
{
    stream_client *client = context;

    client->calls++;
    if (err != NULL)
        client->err = *err;
    if (client->free_when_called) {
        pq_stream_free(client->stream);
        client->stream = NULL;
    }
}

void stream_client_disconnect(void)
{
    pq_stream_free(tester.stream);
    tester.stream = NULL;
}

pq_code stream_client_connect(uint16_t port)
{
    pq_error err;

    stream_client_disconnect();
    tester.calls = 0;
    pq_error_clear(&tester.err);
    tester.options.port = port;
    tester.stream =
        pq_stream_open(tester.loop, &tester.options, stream_client_connected, &tester, &err);
    if (tester.stream == NULL) {
        tester.err = err;
        return err.code;
    }
    cr_assert_eq(tester.calls, 0, "called from inside the start");
    cr_assert_eq(pq_loop_run(tester.loop, &err), 0, "%s", err.text);
    cr_assert_eq(tester.calls, 1);
    return tester.err.code;
}

void stream_client_start_tls(stream_peer *peer)
{
    peer->tls = true;
    stream_peer_start(peer);
    tester.options.tls = true;
    tester.options.verify = true;
}

static void pump(void *context, int events);

static void watch_again(stream_client *client)
{
    int events = PQ_READABLE | (client->sent < STREAM_ECHO_BYTES ? PQ_WRITABLE : 0);

    if (client->received == STREAM_ECHO_BYTES || client->got == PQ_STREAM_END)
        events = 0;
    pq_stream_watch(client->stream, events, pump, client);
}

/* Offers what comes next from another address each time, as a caller's growing buffer would. */
static void send_some(stream_client *client)
{
    size_t rest = STREAM_ECHO_BYTES - client->sent;
    size_t offered = rest < OFFER_BYTES ? rest : OFFER_BYTES;
    size_t sent = 0;
    unsigned char *moved = malloc(offered);
    pq_error err;

    memcpy(moved, client->out + client->sent, offered);
    cr_assert_eq(pq_stream_send(client->stream, moved, offered, &sent, &err), 0, "%s", err.text);
    client->sent += sent;
    client->full = sent < offered;
    free(moved);
}

static void receive_some(stream_client *client)
{
    size_t length = 0;
    pq_error err;

    do {
        cr_assert_eq(pq_stream_recv(client->stream, client->in + client->received,
                                    STREAM_ECHO_BYTES - client->received + 1, &length, &client->got,
                                    &err),
                     0, "%s", err.text);
        if (client->got == PQ_STREAM_DATA)
            client->received += length;
    } while (client->got == PQ_STREAM_DATA);
}

static void pump(void *context, int events)
{
    stream_client *client = context;

    (void)events;
    if (client->sent < STREAM_ECHO_BYTES)
        send_some(client);
    receive_some(client);
    watch_again(client);
}

void stream_client_check_echo(stream_peer *peer)
{
    pq_error err;

    tester.out = malloc(STREAM_ECHO_BYTES);
    tester.in = calloc(1, STREAM_ECHO_BYTES + 1);
    for (size_t i = 0; i < STREAM_ECHO_BYTES; i++)
        tester.out[i] = (unsigned char)(i * 31 + i / 251);
    while (!tester.full && tester.sent < STREAM_ECHO_BYTES)
        send_some(&tester);
    cr_assert(tester.full, "%zu bytes fit into the buffers", tester.sent);
    stream_peer_go(peer);
    watch_again(&tester);
    cr_assert_eq(pq_loop_run(tester.loop, &err), 0, "%s", err.text);
    cr_assert_eq(tester.received, STREAM_ECHO_BYTES);
    cr_assert_arr_eq(tester.in, tester.out, STREAM_ECHO_BYTES);
}
