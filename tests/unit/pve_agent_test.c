/* An agent over the API: what is asked, in which order, and what is learned. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/support/pve_support.h"

#define ARGV(...) ((const char *const[]){__VA_ARGS__, NULL})
#define COUNT(steps) (sizeof(steps) / sizeof(steps)[0])

#define EXEC(node) "POST /api2/json/nodes/" node "/qemu/100/agent/exec HTTP/1.1\r\n"
#define LOOKUP "GET /api2/json/cluster/resources?type=vm HTTP/1.1\r\n"
#define BODY_TRUE "{\"command\":[\"/bin/true\"]}"

#define ANSWER(json)                                                                               \
    {                                                                                              \
        HTTP_PEER_ANSWER, http_ok(json), 0                                                         \
    }
#define ERROR(status, reason, json)                                                                \
    {                                                                                              \
        HTTP_PEER_LAST, http_error(status, reason, json), 0                                        \
    }
#define GUESTS(node)                                                                               \
    ANSWER("{\"data\":[{\"type\":\"qemu\",\"vmid\":100,\"name\":\"web\",\"node\":\"" node "\"}]}")
#define GONE(node)                                                                                 \
    ERROR(500, "Configuration file 'nodes/" node "/qemu-server/100.conf' does not exist", NULL)
#define PID(n) ANSWER("{\"data\":{\"pid\":" #n "}}")

TestSuite(pve_agent, .init = pve_support_setup, .fini = pve_support_teardown);

static void expect_pid(const pve_outcome *o, int64_t pid)
{
    cr_assert_eq(o->err.code, PQ_OK, "%s", o->err.text);
    cr_assert_eq(o->pid, pid);
}

Test(pve_agent, commands_and_their_results)
{
    const http_peer_step steps[] = {
        PID(7), ANSWER("{\"data\":{\"exited\":0}}"),
        ANSWER("{\"data\":{\"exited\":1,\"exitcode\":3,\"out-data\":\"a\\u0000\xc3\xbf\"}}")};
    pve_support_start(steps, COUNT(steps), "100", "pve1");
    cr_expect_str_eq(pq_agent_name(pve_test.agent), "VM 100 on node pve1");
    expect_pid(run_exec(ARGV("/bin/true")), 7);
    cr_expect_not(run_status(7)->exited);
    const pve_outcome *o = run_status(7);
    cr_expect(o->exited && !o->signalled && o->code == 3);
    cr_expect(o->out_length == 3 && memcmp(o->out, "a\0\xff", 3) == 0);
    pve_support_stop(3);
    cr_expect_eq(pve_test.peer.connection_count, 1);
    expect_request(0, EXEC("pve1"), BODY_TRUE);
    expect_request(1, "GET /api2/json/nodes/pve1/qemu/100/agent/exec-status?pid=7 HTTP/1.1\r\n",
                   "");
    cr_expect_not_null(strstr(pve_test.peer.requests[0],
                              "\r\nAuthorization: PVEAPIToken=root@pam!test=CANARY\r\n"));
    cr_expect_null(strstr(pve_test.peer.requests[0], "Accept-Encoding"));
    cr_expect_not_null(strstr(pve_test.peer.requests[1], "\r\nAccept-Encoding: gzip\r\n"));
}

Test(pve_agent, the_vm_is_looked_up_once)
{
    const http_peer_step steps[] = {GUESTS("pve2"), PID(1), PID(2)};
    pve_support_start(steps, COUNT(steps), "web", NULL);
    cr_expect_str_eq(pq_agent_name(pve_test.agent), "VM 'web'");
    expect_pid(run_exec(ARGV("/bin/true")), 1);
    expect_pid(run_exec(ARGV("/bin/true")), 2);
    cr_expect_str_eq(pq_agent_name(pve_test.agent), "VM 100 (web) on node pve2");
    pve_support_stop(3);
    expect_request(0, LOOKUP, "");
    expect_request(1, EXEC("pve2"), BODY_TRUE);
    expect_request(2, EXEC("pve2"), BODY_TRUE);
}

Test(pve_agent, a_vm_that_moved_is_followed)
{
    const http_peer_step steps[] = {GUESTS("pve1"), PID(1), GONE("pve1"), GUESTS("pve2"), PID(2)};
    pve_support_start(steps, COUNT(steps), "100", NULL);
    expect_pid(run_exec(ARGV("/bin/true")), 1);
    expect_pid(run_exec(ARGV("/bin/true")), 2);
    cr_expect_str_eq(pq_agent_name(pve_test.agent), "VM 100 (web) on node pve2");
    pve_support_stop(5);
    expect_request(2, EXEC("pve1"), BODY_TRUE);
    expect_request(3, LOOKUP, "");
    expect_request(4, EXEC("pve2"), BODY_TRUE);
}

Test(pve_agent, a_vm_that_is_gone_is_unknown)
{
    const http_peer_step steps[] = {GUESTS("pve1"), GONE("pve1"), GUESTS("pve1"),
                                    GONE("pve1"),   GONE("pve1"), ANSWER("{\"data\":[]}")};
    pve_support_start(steps, COUNT(steps), "web", NULL);
    expect_failed(run_exec(ARGV("/bin/true")), PQ_E_VM_UNKNOWN, PQ_EFFECT_NONE, false);
    cr_expect_not_null(strstr(pve_test.last.err.text, "does not exist"));
    expect_failed(run_exec(ARGV("/bin/true")), PQ_E_VM_UNKNOWN, PQ_EFFECT_NONE, false);
    cr_expect_not_null(strstr(pve_test.last.err.text, "no VM 'web'"));
    pve_support_stop(6);
}

Test(pve_agent, a_wrong_node_is_told)
{
    const http_peer_step steps[] = {GONE("pve1"), GUESTS("pve2")};
    pve_support_start(steps, COUNT(steps), "100", "pve1");
    expect_failed(run_exec(ARGV("/bin/true")), PQ_E_VM_UNKNOWN, PQ_EFFECT_NONE, false);
    cr_expect_str_eq(pve_test.last.err.text, "VM 100 is on node pve2, not on pve1");
    pve_support_stop(2);
}

Test(pve_agent, an_unknown_node_is_told)
{
    const http_peer_step steps[] = {
        ERROR(500, "hostname lookup 'nope' failed - failed to get address info", NULL),
        ERROR(403, "Permission check failed", NULL)};
    pve_support_start(steps, COUNT(steps), "100", "nope");
    expect_failed(run_exec(ARGV("/bin/true")), PQ_E_NODE_UNKNOWN, PQ_EFFECT_NONE, false);
    cr_expect_not_null(strstr(pve_test.last.err.text, "hostname lookup 'nope'"));
    pve_support_stop(2);
}

/* A VM that was made after the list was fetched. */
Test(pve_agent, a_list_without_the_vm_is_fetched_again)
{
    const http_peer_step steps[] = {ANSWER("{\"data\":[]}"), ANSWER("{\"data\":[]}"),
                                    GUESTS("pve1"), PID(1)};
    pve_support_start(steps, COUNT(steps), "web", NULL);
    expect_failed(run_ping(), PQ_E_VM_UNKNOWN, PQ_EFFECT_NONE, false);
    usleep(2000); /* the clock that tells lists from operations has milliseconds */
    expect_failed(run_ping(), PQ_E_VM_UNKNOWN, PQ_EFFECT_NONE, false);
    usleep(2000);
    expect_pid(run_exec(ARGV("/bin/true")), 1);
    pve_support_stop(4);
}

Test(pve_agent, a_lookup_that_failed_is_tried_again_by_the_next)
{
    const http_peer_step steps[] = {ERROR(596, "Broken pipe", NULL), GUESTS("pve1"), PID(1)};
    pve_support_start(steps, COUNT(steps), "web", NULL);
    expect_failed(run_exec(ARGV("/bin/true")), PQ_E_NETWORK, PQ_EFFECT_NONE, true);
    cr_expect_not_null(strstr(pve_test.last.err.text, "finding VM 'web'"));
    expect_pid(run_exec(ARGV("/bin/true")), 1);
    pve_support_stop(3);
}

#define NOT_IN_SCHEMA "property is not defined in schema and the schema does not allow additional"
#define JSON_REFUSED                                                                               \
    ERROR(400, "Parameter verification failed.",                                                   \
          "{\"data\":null,\"errors\":{\"{\\\"command\\\":\":\"" NOT_IN_SCHEMA "\"}}")

Test(pve_agent, old_daemons_get_forms)
{
    const http_peer_step steps[] = {JSON_REFUSED, PID(1), PID(2)};
    pve_support_start(steps, COUNT(steps), "100", "pve1");
    expect_pid(run_exec(ARGV("/bin/echo", "a b")), 1);
    expect_pid(run_exec(ARGV("/bin/echo", "c")), 2);
    cr_expect_lt(pq_agent_get_limits(pve_test.agent)->args_bytes, 65536);
    expect_failed(run_exec(ARGV("/bin/echo", "")), PQ_E_UNSUPPORTED, PQ_EFFECT_NONE, false);
    pve_support_stop(3);
    expect_request(0, EXEC("pve1"), "{\"command\":[\"/bin/echo\",\"a b\"]}");
    expect_request(1, EXEC("pve1"), "command=%2Fbin%2Fecho&command=a%20b");
    expect_request(2, EXEC("pve1"), "command=%2Fbin%2Fecho&command=c");
}

Test(pve_agent, a_form_that_is_refused_too_is_an_error)
{
    const http_peer_step steps[] = {JSON_REFUSED};
    pve_support_start(steps, COUNT(steps), "100", "pve1");
    expect_failed(run_exec(ARGV("/bin/true")), PQ_E_HTTP, PQ_EFFECT_NONE, false);
    pve_support_stop(2);
}

#define RANGES_REFUSED                                                                             \
    ERROR(400, "Parameter verification failed.",                                                   \
          "{\"data\":null,\"errors\":{\"offset\":\"" NOT_IN_SCHEMA "\"}}")

Test(pve_agent, file_pieces)
{
    const http_peer_step steps[] = {
        ANSWER("{\"data\":{\"content\":\"aGVsbG8=\",\"bytes-read\":5,\"truncated\":1}}"),
        ANSWER("{\"data\":{\"content\":\"\",\"bytes-read\":0}}")};
    pve_support_start(steps, COUNT(steps), "100", "pve1");
    const pve_outcome *o = run_read("/a b", 10, 5);
    cr_assert_eq(o->err.code, PQ_OK, "%s", o->err.text);
    cr_expect(!o->eof && o->out_length == 5 && memcmp(o->out, "hello", 5) == 0);
    o = run_read("/a b", 15, 5);
    cr_expect(o->eof && o->out_length == 0);
    pve_support_stop(2);
    expect_request(0,
                   "GET /api2/json/nodes/pve1/qemu/100/agent/file-read?file=%2Fa%20b&decode=0&"
                   "offset=10&count=5 HTTP/1.1\r\n",
                   "");
}

Test(pve_agent, old_daemons_read_whole_files)
{
    const http_peer_step steps[] = {RANGES_REFUSED,
                                    ANSWER("{\"data\":{\"content\":\"h\xc3\xa9llo\"}}")};
    pve_support_start(steps, COUNT(steps), "100", "pve1");
    cr_expect(pq_agent_get_limits(pve_test.agent)->offset_reads);
    const pve_outcome *o = run_read("/x", 0, 100);
    cr_assert_eq(o->err.code, PQ_OK, "%s", o->err.text);
    cr_expect(o->eof && o->out_length == 5 && memcmp(o->out, "h\xe9llo", 5) == 0);
    cr_expect_not(pq_agent_get_limits(pve_test.agent)->offset_reads);
    expect_failed(run_read("/x", 1, 100), PQ_E_UNSUPPORTED, PQ_EFFECT_NONE, true);
    o = run_read("/x", 0, 2);
    cr_expect(!o->eof && o->out_length == 2);
    pve_support_stop(3);
    expect_request(1, "GET /api2/json/nodes/pve1/qemu/100/agent/file-read?file=%2Fx HTTP/1.1\r\n",
                   "");
}

Test(pve_agent, an_offset_that_is_refused_is_unsupported)
{
    const http_peer_step steps[] = {RANGES_REFUSED};
    pve_support_start(steps, COUNT(steps), "100", "pve1");
    expect_failed(run_read("/x", 7, 100), PQ_E_UNSUPPORTED, PQ_EFFECT_NONE, true);
    pve_support_stop(1);
}

static void fill_argument(char *arg, size_t length)
{
    memset(arg, 'A', length);
    arg[length] = '\0';
}

Test(pve_agent, smaller_bodies_are_learned)
{
    static char arg[100001];
    const http_peer_step steps[] = {ERROR(501, "for data too large", NULL), PID(1)};
    fill_argument(arg, 100000);
    pve_support_start(steps, COUNT(steps), "100", "pve1");
    expect_failed(run_exec(ARGV("/bin/echo", arg)), PQ_E_TOO_LARGE, PQ_EFFECT_NONE, true);
    size_t args = pq_agent_get_limits(pve_test.agent)->args_bytes;
    cr_assert_eq(args, 65536 - 2048);
    /* Another that was planned before: not even sent. */
    expect_failed(run_exec(ARGV("/bin/echo", arg)), PQ_E_TOO_LARGE, PQ_EFFECT_NONE, true);
    fill_argument(arg, args - strlen("/bin/echo"));
    expect_pid(run_exec(ARGV("/bin/echo", arg)), 1);
    pve_support_stop(2);
}

Test(pve_agent, what_cannot_be_sent_is_not)
{
    const http_peer_step steps[] = {PID(1)};
    pve_support_start(steps, COUNT(steps), "100", "pve1");
    expect_failed(run_exec(ARGV("/bin/echo", "\xc3\xa9")), PQ_E_INTERNAL, PQ_EFFECT_NONE, false);
    expect_failed(run_read("/\xc3\xa9", 0, 1), PQ_E_INTERNAL, PQ_EFFECT_NONE, false);
    pve_support_stop(0);
}

Test(pve_agent, effects_of_bad_answers)
{
    const http_peer_step steps[] = {ANSWER("<html>"),
                                    ANSWER("{\"data\":{}}"),
                                    ANSWER("{\"data\":{\"exited\":1}}"),
                                    ANSWER("<html>"),
                                    ANSWER("{\"data\":{\"content\":1}}"),
                                    {HTTP_PEER_CUT, NULL, 0},
                                    {HTTP_PEER_CUT, NULL, 0},
                                    ANSWER("{\"data\":null}")};
    pve_support_start(steps, COUNT(steps), "100", "pve1");
    expect_failed(run_exec(ARGV("/bin/true")), PQ_E_BAD_ANSWER, PQ_EFFECT_UNKNOWN, false);
    expect_failed(run_exec(ARGV("/bin/true")), PQ_E_BAD_ANSWER, PQ_EFFECT_DONE, false);
    expect_failed(run_status(1), PQ_E_BAD_ANSWER, PQ_EFFECT_UNKNOWN, false);
    expect_failed(run_exec(ARGV("/bin/true")), PQ_E_BAD_ANSWER, PQ_EFFECT_UNKNOWN, true);
    expect_failed(run_read("/x", 0, 1), PQ_E_BAD_ANSWER, PQ_EFFECT_NONE, false);
    expect_failed(run_exec(ARGV("/bin/true")), PQ_E_NETWORK, PQ_EFFECT_UNKNOWN, true);
    expect_failed(run_status(1), PQ_E_NETWORK, PQ_EFFECT_UNKNOWN, true);
    cr_expect_eq(run_ping()->err.code, PQ_OK);
    pve_support_stop(8);
}

Test(pve_agent, a_bad_token_is_asked_once)
{
    const http_peer_step steps[] = {ERROR(401, "Authentication failed!", NULL)};
    pve_support_start(steps, COUNT(steps), "100", "pve1");
    expect_failed(run_ping(), PQ_E_AUTH, PQ_EFFECT_NONE, false);
    pve_support_stop(1);
}

#define TICKET ANSWER("{\"data\":{\"ticket\":\"PVE:t\",\"CSRFPreventionToken\":\"c\"}}")
#define REJECTED ERROR(401, "Permission denied - invalid ticket", NULL)

Test(pve_agent, an_expired_ticket_is_replaced_once)
{
    const http_peer_step steps[] = {TICKET, PID(1),   REJECTED, TICKET,
                                    PID(2), REJECTED, TICKET,   REJECTED};
    pve_test.options.user = "u@pve";
    pve_test.options.token_secret = NULL;
    pve_test.options.password = &pve_test.secret;
    pve_support_start(steps, COUNT(steps), "100", "pve1");
    expect_pid(run_exec(ARGV("/bin/true")), 1);
    expect_pid(run_exec(ARGV("/bin/true")), 2);
    expect_failed(run_exec(ARGV("/bin/true")), PQ_E_AUTH, PQ_EFFECT_NONE, false);
    pve_support_stop(8);
    expect_request(1, EXEC("pve1"), BODY_TRUE);
    expect_request(4, EXEC("pve1"), BODY_TRUE);
    cr_expect_not_null(strstr(pve_test.peer.requests[1], "\r\nCSRFPreventionToken: c\r\n"));
}

static void expect_connections(unsigned per_node, unsigned per_vm, unsigned parallel)
{
    const http_peer_step steps[] = {PID(1)};
    pve_test.options.calls_per_node = per_node;
    pve_test.options.calls_per_vm = per_vm;
    pve_support_start(steps, COUNT(steps), "100", "pve1");
    cr_expect_eq(pq_agent_get_limits(pve_test.agent)->parallel, parallel);
    for (int i = 0; i < 12; i++)
        pq_agent_ping(pve_test.agent, pve_on_ping, NULL);
    pve_run(12);
    pve_support_stop(12);
    cr_expect_leq(pve_test.peer.connection_count, parallel);
    http_peer_done(&pve_test.peer);
    memset(&pve_test.peer, 0, sizeof pve_test.peer);
}

Test(pve_agent, calls_in_flight_are_bounded)
{
    expect_connections(1, 5, 1);
    expect_connections(5, 2, 2);
    expect_connections(0, 0, 3);
}

Test(pve_agent, a_dropped_operation_lets_the_next_go)
{
    const http_peer_step steps[] = {PID(1)};
    pve_test.options.calls_per_vm = 1;
    pve_support_start(steps, COUNT(steps), "100", "pve1");
    pq_agent_op *first = pq_agent_ping(pve_test.agent, pve_on_ping, NULL);
    pq_agent_op *second = pq_agent_ping(pve_test.agent, pve_on_ping, NULL);
    pq_agent_ping(pve_test.agent, pve_on_ping, NULL);
    pq_agent_drop(pve_test.agent, first);
    pq_agent_drop(pve_test.agent, second);
    pve_run(1);
    cr_expect_eq(pve_test.last.err.code, PQ_OK);
    pve_support_stop(1);
}

static void free_all(void *context, const pq_error *err)
{
    (void)context;
    (void)err;
    pq_agent_free(pve_test.agent);
    pq_pve_free(pve_test.pve);
    pve_test.agent = NULL;
    pve_test.pve = NULL;
    pq_loop_stop(pve_test.loop);
}

Test(pve_agent, a_callback_may_free_everything)
{
    const http_peer_step steps[] = {PID(1)};
    pq_error err;
    pve_support_start(steps, COUNT(steps), "100", "pve1");
    pq_agent_ping(pve_test.agent, free_all, NULL);
    pq_agent_ping(pve_test.agent, pve_on_ping, NULL);
    pq_agent_exec_start(pve_test.agent, &(pq_exec_request){.argv = ARGV("\x80")}, pve_on_exec,
                        NULL);
    cr_assert_eq(pq_loop_run(pve_test.loop, &err), 0);
    cr_expect_null(pve_test.pve);
    pve_support_stop(pve_test.peer.request_count);
}
