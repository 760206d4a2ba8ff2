/* Logging in, renewing, and stopping in time. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/support/http_peer.h"
#include "transport/pve/auth.h"

#define MINUTE ((pq_ms)60 * 1000)

#define TICKET_1 "{\"data\":{\"ticket\":\"PVE:u@pve:1::a+/=\",\"CSRFPreventionToken\":\"1:c\"}}"
#define TICKET_2 "{\"data\":{\"ticket\":\"PVE:u@pve:2::b+/=\",\"CSRFPreventionToken\":\"2:c\"}}"
#define CHALLENGE                                                                                  \
    "{\"data\":{\"ticket\":\"PVE:!tfa!x:1::c\",\"NeedTFA\":1,\"CSRFPreventionToken\":\"3:c\"}}"

static pq_loop *loop;
static pq_http_pool *pool;
static pq_stream_options options;
static pq_auth auth;

typedef struct waiter {
    pq_auth_wait wait;
    int calls;
    pq_error err;
} waiter;

static waiter waiters[4];
static int left;

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

static void hang_up(void)
{
    pq_auth_done(&auth);
    pq_http_pool_free(pool);
    pool = NULL;
    auth.pool = NULL;
}

static void teardown(void)
{
    hang_up();
    pq_loop_free(loop);
}

TestSuite(pve_auth, .init = setup, .fini = teardown);

static void init(const char *user, bool is_token, const char *otp)
{
    pq_secret secret = {0}, code = {0};
    pq_error err;
    cr_assert_eq(pq_secret_set(&secret, "s&cret", 6, &err), 0);
    if (otp != NULL)
        cr_assert_eq(pq_secret_set(&code, otp, strlen(otp), &err), 0);
    cr_assert_eq(
        pq_auth_init(&auth, loop, pool, "h:8006", user, is_token, &secret, &code, 10000, &err), 0);
    pq_secret_done(&secret);
    pq_secret_done(&code);
}

static void ready(void *context, const pq_error *err)
{
    waiter *w = context;
    w->calls++;
    if (err != NULL)
        w->err = *err;
    if (--left == 0)
        pq_loop_stop(loop);
}

/* Lets `count` waiters wait at the same time. */
static void wait_for_login(int count)
{
    pq_error err;
    left = count;
    for (int i = 0; i < count; i++) {
        waiters[i] = (waiter){0};
        pq_auth_wait_start(&auth, &waiters[i].wait, ready, &waiters[i]);
        cr_assert_eq(waiters[i].calls, 0);
    }
    cr_assert_eq(pq_loop_run(loop, &err), 0);
    for (int i = 0; i < count; i++)
        cr_assert_eq(waiters[i].calls, 1);
}

static void expect_login(void)
{
    wait_for_login(1);
    cr_assert_eq(waiters[0].err.code, PQ_OK, "%s", waiters[0].err.text);
    cr_assert(pq_auth_is_ready(&auth));
}

static void expect_failure(pq_code code, const char *part)
{
    wait_for_login(1);
    cr_assert_eq(waiters[0].err.code, code, "%s: %s", pq_code_name(waiters[0].err.code),
                 waiters[0].err.text);
    cr_expect_eq(waiters[0].err.effect, PQ_EFFECT_NONE);
    cr_expect_not_null(strstr(waiters[0].err.text, part), "'%s' is not in: %s", part,
                       waiters[0].err.text);
    cr_expect_null(strstr(waiters[0].err.text, "cret"));
    cr_expect_not(pq_auth_is_ready(&auth));
}

static void expect_headers(bool changes, const char *expected)
{
    pq_buf head = {0};
    pq_error err;
    cr_assert_eq(pq_auth_write_headers(&auth, changes, &head, &err), 0);
    cr_assert_str_eq(head.data, expected);
    pq_buf_done(&head);
}

static void start_peer(http_peer *peer)
{
    http_peer_start(peer);
    options.port = peer->port;
}

static void stop_peer(http_peer *peer, size_t requests)
{
    hang_up();
    http_peer_stop(peer);
    cr_expect_eq(peer->request_count, requests, "%zu requests", peer->request_count);
}

static void expect_body(const http_peer *peer, size_t index, const char *expected)
{
    cr_expect_str_eq(strstr(peer->requests[index], "\r\n\r\n") + 4, expected);
}

Test(pve_auth, a_token_needs_no_login)
{
    init("root@pam!lab", true, NULL);
    cr_assert(pq_auth_is_ready(&auth));
    expect_headers(true, "Authorization: PVEAPIToken=root@pam!lab=s&cret\r\n");
    cr_expect_not(pq_auth_rejected(&auth, auth.generation));
    expect_login();
}

Test(pve_auth, a_password_gives_a_ticket)
{
    const http_peer_step step = {HTTP_PEER_ANSWER, http_ok(TICKET_1), 0};
    http_peer peer = {.steps = &step, .count = 1};
    init("u@pve", false, NULL);
    start_peer(&peer);
    cr_assert_not(pq_auth_is_ready(&auth));
    wait_for_login(3);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(waiters[i].err.code, PQ_OK, "%s", waiters[i].err.text);
    expect_headers(false, "Cookie: PVEAuthCookie=PVE%3Au%40pve%3A1%3A%3Aa%2B%2F%3D\r\n");
    expect_headers(true, "Cookie: PVEAuthCookie=PVE%3Au%40pve%3A1%3A%3Aa%2B%2F%3D\r\n"
                         "CSRFPreventionToken: 1:c\r\n");
    stop_peer(&peer, 1);
    cr_expect_eq(strncmp(peer.requests[0], "POST /api2/json/access/ticket HTTP/1.1\r\n", 40), 0);
    expect_body(&peer, 0, "username=u%40pve&password=s%26cret");
    http_peer_done(&peer);
}

Test(pve_auth, a_refused_login_stands)
{
    const http_peer_step step = {HTTP_PEER_LAST, http_error(401, "authentication failure", NULL),
                                 0};
    http_peer peer = {.steps = &step, .count = 1};
    init("u@pve", false, NULL);
    start_peer(&peer);
    expect_failure(PQ_E_AUTH, "logging in as u@pve");
    for (int i = 0; i < 5; i++)
        expect_failure(PQ_E_AUTH, "authentication failure");
    wait_for_login(3);
    stop_peer(&peer, 1);
    http_peer_done(&peer);
}

Test(pve_auth, a_lost_login_can_be_tried_again)
{
    const http_peer_step steps[] = {{HTTP_PEER_CUT, NULL, 0},
                                    {HTTP_PEER_LAST, http_error(596, "Broken pipe", NULL), 0},
                                    {HTTP_PEER_ANSWER, http_ok("{\"data\":{}}"), 0},
                                    {HTTP_PEER_ANSWER, http_ok("nonsense"), 0},
                                    {HTTP_PEER_ANSWER, http_ok(TICKET_1), 0}};
    http_peer peer = {.steps = steps, .count = 5};
    init("u@pve", false, NULL);
    start_peer(&peer);
    expect_failure(PQ_E_NETWORK, "closed the connection");
    expect_failure(PQ_E_NETWORK, "596");
    expect_failure(PQ_E_BAD_ANSWER, "no ticket");
    expect_failure(PQ_E_BAD_ANSWER, "not JSON");
    expect_login();
    stop_peer(&peer, 5);
    http_peer_done(&peer);
}

Test(pve_auth, a_second_factor_is_sent_once)
{
    const http_peer_step steps[] = {{HTTP_PEER_ANSWER, http_ok(CHALLENGE), 0},
                                    {HTTP_PEER_ANSWER, http_ok(TICKET_1), 0},
                                    {HTTP_PEER_ANSWER, http_ok(CHALLENGE), 0}};
    http_peer peer = {.steps = steps, .count = 3};
    init("u@pve", false, "123456");
    start_peer(&peer);
    expect_login();
    expect_headers(false, "Cookie: PVEAuthCookie=PVE%3Au%40pve%3A1%3A%3Aa%2B%2F%3D\r\n");
    cr_assert(pq_auth_rejected(&auth, auth.generation));
    expect_failure(PQ_E_TFA, "another one-time password");
    expect_failure(PQ_E_TFA, "another one-time password");
    stop_peer(&peer, 3);
    expect_body(&peer, 1,
                "username=u%40pve&tfa-challenge=PVE%3A%21tfa%21x%3A1%3A%3Ac&"
                "password=totp%3A123456");
    http_peer_done(&peer);
}

Test(pve_auth, a_wrong_second_factor)
{
    const http_peer_step steps[] = {{HTTP_PEER_ANSWER, http_ok(CHALLENGE), 0},
                                    {HTTP_PEER_LAST, http_error(401, "bad", NULL), 0}};
    http_peer peer = {.steps = steps, .count = 2};
    init("u@pve", false, "000000");
    start_peer(&peer);
    expect_failure(PQ_E_TFA, "bad");
    stop_peer(&peer, 2);
    http_peer_done(&peer);
}

Test(pve_auth, no_second_factor_was_given)
{
    const http_peer_step step = {HTTP_PEER_ANSWER, http_ok(CHALLENGE), 0};
    http_peer peer = {.steps = &step, .count = 1};
    init("u@pve", false, NULL);
    start_peer(&peer);
    expect_failure(PQ_E_TFA, "needs a second factor");
    stop_peer(&peer, 1);
    http_peer_done(&peer);
}

Test(pve_auth, an_old_ticket_is_renewed_with_itself)
{
    const http_peer_step steps[] = {{HTTP_PEER_ANSWER, http_ok(TICKET_1), 0},
                                    {HTTP_PEER_ANSWER, http_ok(TICKET_2), 0},
                                    {HTTP_PEER_ANSWER, http_ok(TICKET_1), 0}};
    http_peer peer = {.steps = steps, .count = 3};
    init("u@pve", false, NULL);
    start_peer(&peer);
    expect_login();
    auth.ticket_time -= 104 * MINUTE;
    cr_expect(pq_auth_is_ready(&auth));
    auth.ticket_time -= 1 * MINUTE;
    cr_expect_not(pq_auth_is_ready(&auth));
    expect_login();
    expect_headers(false, "Cookie: PVEAuthCookie=PVE%3Au%40pve%3A2%3A%3Ab%2B%2F%3D\r\n");
    /* Too late for that: the password again. */
    auth.ticket_time -= 120 * MINUTE;
    expect_login();
    stop_peer(&peer, 3);
    expect_body(&peer, 1, "username=u%40pve&password=PVE%3Au%40pve%3A1%3A%3Aa%2B%2F%3D");
    expect_body(&peer, 2, "username=u%40pve&password=s%26cret");
    http_peer_done(&peer);
}

Test(pve_auth, a_refused_renewal_becomes_a_login)
{
    const http_peer_step steps[] = {{HTTP_PEER_ANSWER, http_ok(TICKET_1), 0},
                                    {HTTP_PEER_LAST, http_error(401, "no", NULL), 0},
                                    {HTTP_PEER_ANSWER, http_ok(TICKET_2), 0}};
    http_peer peer = {.steps = steps, .count = 3};
    init("u@pve", false, NULL);
    start_peer(&peer);
    expect_login();
    auth.ticket_time -= 110 * MINUTE;
    expect_login();
    stop_peer(&peer, 3);
    expect_body(&peer, 2, "username=u%40pve&password=s%26cret");
    http_peer_done(&peer);
}

/* The ticket is good for some minutes more. */
Test(pve_auth, a_lost_renewal_keeps_the_ticket)
{
    const http_peer_step steps[] = {{HTTP_PEER_ANSWER, http_ok(TICKET_1), 0},
                                    {HTTP_PEER_CUT, NULL, 0}};
    http_peer peer = {.steps = steps, .count = 2};
    init("u@pve", false, NULL);
    start_peer(&peer);
    expect_login();
    auth.ticket_time -= 110 * MINUTE;
    wait_for_login(1);
    cr_expect_eq(waiters[0].err.code, PQ_OK, "%s", waiters[0].err.text);
    expect_headers(false, "Cookie: PVEAuthCookie=PVE%3Au%40pve%3A1%3A%3Aa%2B%2F%3D\r\n");
    stop_peer(&peer, 2);
    http_peer_done(&peer);
}

Test(pve_auth, a_rejected_ticket_is_discarded_once)
{
    const http_peer_step steps[] = {{HTTP_PEER_ANSWER, http_ok(TICKET_1), 0},
                                    {HTTP_PEER_ANSWER, http_ok(TICKET_2), 0}};
    http_peer peer = {.steps = steps, .count = 2};
    init("u@pve", false, NULL);
    start_peer(&peer);
    expect_login();
    unsigned first = auth.generation;
    cr_expect(pq_auth_rejected(&auth, first));
    cr_expect_not(pq_auth_is_ready(&auth));
    expect_login();
    /* The answer to another call with the first ticket comes late. */
    cr_expect(pq_auth_rejected(&auth, first));
    cr_expect(pq_auth_is_ready(&auth));
    stop_peer(&peer, 2);
    http_peer_done(&peer);
}

Test(pve_auth, waits_can_be_stopped)
{
    const http_peer_step step = {HTTP_PEER_ANSWER, http_ok(TICKET_1), 0};
    http_peer peer = {.steps = &step, .count = 1};
    pq_error err;
    init("u@pve", false, NULL);
    start_peer(&peer);
    left = 1;
    for (int i = 0; i < 3; i++)
        pq_auth_wait_start(&auth, &waiters[i].wait, ready, &waiters[i]);
    pq_auth_wait_stop(&waiters[0].wait);
    pq_auth_wait_stop(&waiters[1].wait);
    pq_auth_wait_stop(&waiters[1].wait);
    cr_assert_eq(pq_loop_run(loop, &err), 0);
    cr_expect(waiters[0].calls == 0 && waiters[1].calls == 0 && waiters[2].calls == 1);
    stop_peer(&peer, 1);
    http_peer_done(&peer);
}
