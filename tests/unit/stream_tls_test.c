/* What transport/loop/stream.h accepts between itself and a server: certificates and proxies. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/support/stream_client.h"

TestSuite(stream_tls, .init = stream_client_setup, .fini = stream_client_teardown, .timeout = 20);

/* ---- certificates ---- */

Test(stream_tls, pinned_certificate_needs_no_ca)
{
    char spelling[96] = "";
    stream_peer peer = {.kind = PEER_ECHO};

    stream_client_start_tls(&peer);
    for (const char *digit = peer.fingerprint; *digit != '\0'; digit++)
        if (*digit != ':')
            spelling[strlen(spelling)] = (char)(*digit | 0x20); /* lower case */
    tester.options.fingerprint = spelling;
    cr_assert_eq(stream_client_connect(peer.port), PQ_OK, "%s", tester.err.text);
    stream_client_check_echo(&peer);
    stream_client_disconnect();
    stream_peer_stop(&peer);
}

Test(stream_tls, wrong_fingerprint_is_refused_and_the_right_one_shown)
{
    char wrong[96];
    stream_peer peer = {.kind = PEER_ECHO};
    size_t sent;
    pq_error err;

    stream_client_start_tls(&peer);
    strcpy(wrong, peer.fingerprint);
    wrong[94] = wrong[94] == '0' ? '1' : '0';
    tester.options.fingerprint = wrong;
    tester.options.ca_file = peer.certificate_file; /* does not help */
    cr_assert_eq(stream_client_connect(peer.port), PQ_E_FINGERPRINT);
    cr_assert_eq(tester.err.effect, PQ_EFFECT_NONE);
    cr_assert_not(tester.err.retryable);
    cr_assert_not_null(strstr(tester.err.text, peer.fingerprint));
    cr_assert_eq(pq_stream_send(tester.stream, "x", 1, &sent, &err), -1);
    stream_peer_stop(&peer);
}

Test(stream_tls, unknown_ca_is_refused)
{
    stream_peer peer = {.kind = PEER_ECHO};

    stream_client_start_tls(&peer);
    cr_assert_eq(stream_client_connect(peer.port), PQ_E_TLS);
    cr_assert_eq(tester.err.effect, PQ_EFFECT_NONE);
    cr_assert_not(tester.err.retryable);
    cr_assert_not_null(strstr(tester.err.text, "127.0.0.1:"));
    cr_assert_not_null(strstr(tester.err.text, "self"), "%s", tester.err.text);
    stream_peer_stop(&peer);
}

Test(stream_tls, wrong_name_is_refused)
{
    stream_peer peer = {.kind = PEER_ECHO};

    stream_client_start_tls(&peer);
    tester.options.ca_file = peer.certificate_file;
    tester.options.host = "localhost";
    stream_peer_go(&peer);
    cr_assert_eq(stream_client_connect(peer.port), PQ_E_TLS);
    stream_client_disconnect();

    tester.options.verify = false;
    cr_assert_eq(stream_client_connect(peer.port), PQ_OK, "%s", tester.err.text);
    stream_client_disconnect();
    stream_peer_stop(&peer);
}

Test(stream_tls, missing_ca_file_is_a_tls_error)
{
    stream_peer peer = {.kind = PEER_ECHO};

    stream_client_start_tls(&peer);
    tester.options.ca_file = "/nonexistent/ca.pem";
    cr_assert_eq(stream_client_connect(peer.port), PQ_E_TLS);
    stream_peer_stop(&peer);
}

Test(stream_tls, old_tls_is_refused)
{
    stream_peer peer = {.kind = PEER_ECHO};

    stream_client_start_tls(&peer);
    SSL_CTX_set_max_proto_version(peer.context, TLS1_2_VERSION);
    tester.options.fingerprint = peer.fingerprint;
    tester.options.tls_min = "1.3";
    cr_assert_eq(stream_client_connect(peer.port), PQ_E_TLS);
    stream_client_disconnect();

    tester.options.tls_min = NULL;
    cr_assert_eq(stream_client_connect(peer.port), PQ_OK, "%s", tester.err.text);
    stream_client_check_echo(&peer);
    stream_client_disconnect();
    stream_peer_stop(&peer);
}

/* ---- proxies ---- */

static pq_code connect_through(stream_peer *proxy, const char *host)
{
    static char url[64];

    snprintf(url, sizeof url, "http://127.0.0.1:%u", (unsigned)proxy->port);
    tester.options.proxy = url;
    tester.options.host = host;
    return stream_client_connect(8006);
}

Test(stream_tls, tls_through_a_proxy)
{
    stream_peer proxy = {.kind = PEER_ECHO,
                         .proxy_answer = "HTTP/1.1 200 Connection established\r\n\r\n"};
    pq_secret userpwd = {0};

    stream_client_start_tls(&proxy);
    cr_assert_eq(pq_secret_set(&userpwd, "joe:secret", 10, &tester.err), 0);
    tester.options.proxy_userpwd = &userpwd;
    tester.options.fingerprint = proxy.fingerprint;
    cr_assert_eq(connect_through(&proxy, "pve.invalid"), PQ_OK, "%s", tester.err.text);
    stream_client_check_echo(&proxy);
    stream_client_disconnect();
    stream_peer_stop(&proxy);
    pq_secret_done(&userpwd);
    cr_assert_eq(strncmp(proxy.proxy_request, "CONNECT pve.invalid:8006 HTTP/1.1\r\n", 35), 0);
    cr_assert_not_null(
        strstr(proxy.proxy_request, "\r\nProxy-Authorization: Basic am9lOnNlY3JldA==\r\n"));
}

Test(stream_tls, proxy_refuses)
{
    stream_peer proxy = {.proxy_answer = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"};

    stream_peer_start(&proxy);
    cr_assert_eq(connect_through(&proxy, "pve.invalid"), PQ_E_PROXY);
    cr_assert_eq(tester.err.effect, PQ_EFFECT_NONE);
    cr_assert_not_null(strstr(tester.err.text, "403"), "%s", tester.err.text);
    stream_peer_stop(&proxy);
}

Test(stream_tls, proxy_is_down)
{
    stream_peer proxy = {.port = stream_peer_closed_port()};

    cr_assert_eq(connect_through(&proxy, "pve.invalid"), PQ_E_PROXY);
}

Test(stream_tls, proxy_url_stays_out_of_errors)
{
    static const char *const urls[] = {"foo://joe:canary@127.0.0.1:1",
                                       "joe:canary@[:::", "http://joe:canary@127.0.0.1:1"};

    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        tester.options.proxy = urls[i];
        cr_assert_eq(stream_client_connect(8006), PQ_E_PROXY, "%s", tester.err.text);
        cr_assert_null(strstr(tester.err.text, "canary"), "%s", tester.err.text);
        stream_client_disconnect();
    }
}

Test(stream_tls, empty_proxy_overrides_the_environment)
{
    stream_peer peer = {.kind = PEER_ECHO};

    stream_peer_start(&peer);
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    cr_assert_eq(stream_client_connect(peer.port), PQ_E_CONNECT);
    stream_client_disconnect();
    tester.options.proxy = "";
    cr_assert_eq(stream_client_connect(peer.port), PQ_OK, "%s", tester.err.text);
    stream_client_disconnect();
    stream_peer_stop(&peer);
}
