/* What an agent tells of its guest, asked over the API. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/support/pve_support.h"
#include "transport/base/json.h"

#define COUNT(steps) (sizeof(steps) / sizeof(steps)[0])
#define ANSWER(json)                                                                               \
    {                                                                                              \
        HTTP_PEER_ANSWER, http_ok(json), 0                                                         \
    }
#define OSINFO(node) "GET /api2/json/nodes/" node "/qemu/100/agent/get-osinfo HTTP/1.1\r\n"

TestSuite(pve_query, .init = pve_support_setup, .fini = pve_support_teardown);

/* What the last query gave. */
static pq_error failure;
static char id[40];

static void on_result(void *context, const pq_error *err, const pq_json *result)
{
    failure = (pq_error){0};
    id[0] = '\0';
    if (err != NULL)
        failure = *err;
    else if (pq_json_text(result, "id") != NULL)
        snprintf(id, sizeof id, "%s", pq_json_text(result, "id"));
    pve_on_ping(context, err);
}

static void ask(const char *name)
{
    pq_agent_query(pve_test.agent, name, on_result, NULL);
    pve_run(1);
}

Test(pve_query, result)
{
    const http_peer_step steps[] = {ANSWER("{\"data\":{\"result\":{\"id\":\"debian\"}}}"),
                                    ANSWER("{\"data\":{\"result\":[]}}"),
                                    ANSWER("{\"data\":{\"result\":{\"error\":7,\"id\":\"x\"}}}")};
    pve_support_start(steps, COUNT(steps), "100", "pve1");
    ask("get-osinfo");
    cr_expect_str_eq(id, "debian");
    ask("network-get-interfaces");
    cr_expect_eq(failure.code, PQ_OK, "%s", failure.text);
    ask("get-osinfo");
    cr_expect_eq(failure.code, PQ_E_AGENT, "an error of any form is one");
    pve_support_stop(3);
    expect_request(0, OSINFO("pve1"), "");
    expect_request(
        1, "GET /api2/json/nodes/pve1/qemu/100/agent/network-get-interfaces HTTP/1.1\r\n", "");
}

Test(pve_query, a_vm_that_moved_is_followed)
{
    const http_peer_step steps[] = {
        ANSWER("{\"data\":[{\"type\":\"qemu\",\"vmid\":100,\"name\":\"web\",\"node\":\"a\"}]}"),
        {HTTP_PEER_LAST,
         http_error(500, "Configuration file 'nodes/a/qemu-server/100.conf' does not exist", NULL),
         0},
        ANSWER("{\"data\":[{\"type\":\"qemu\",\"vmid\":100,\"name\":\"web\",\"node\":\"b\"}]}"),
        ANSWER("{\"data\":{\"result\":{\"id\":\"debian\"}}}")};
    pve_support_start(steps, COUNT(steps), "web", NULL);
    ask("get-osinfo");
    cr_expect_str_eq(id, "debian");
    pve_support_stop(4);
    expect_request(1, OSINFO("a"), "");
    expect_request(3, OSINFO("b"), "");
}

/* Errors of the agent's come as results where PVE does not look at them. */
Test(pve_query, errors_of_the_agent)
{
#define FAILED(class, desc)                                                                        \
    ANSWER("{\"data\":{\"result\":{\"error\":{\"class\":\"" class "\",\"desc\":\"" desc "\"}}}}")
    const http_peer_step steps[] = {
        FAILED("CommandNotFound", "Command guest-get-osinfo has been disabled"),
        FAILED("CommandNotFound",
               "Command guest-get-osinfo has been disabled: the agent is in frozen state"),
        FAILED("CommandNotFound", "The command guest-get-osinfo has not been found"),
        FAILED("GenericError", "a\\nb \\u001b[0m"),
        ANSWER("{\"data\":{\"result\":{\"error\":{\"class\":\"Unsupported\"}}}}"),
    };
    static const struct {
        pq_code code;
        const char *part;
    } wanted[] = {
        {PQ_E_AGENT_DISABLED, "get-osinfo has been disabled"},
        {PQ_E_AGENT_FROZEN, "frozen"},
        {PQ_E_UNSUPPORTED, "has not been found"},
        {PQ_E_AGENT, "a b [0m"},
        {PQ_E_AGENT, "Unsupported"},
    };
    pve_support_start(steps, COUNT(steps), "100", "pve1");
    for (size_t i = 0; i < COUNT(wanted); i++) {
        ask("get-osinfo");
        cr_expect_eq(failure.code, wanted[i].code, "%zu: %s", i, failure.text);
        cr_expect_not_null(strstr(failure.text, wanted[i].part), "%s", failure.text);
        cr_expect_eq(failure.effect, PQ_EFFECT_NONE);
    }
    pve_support_stop(COUNT(steps));
}

Test(pve_query, answers_that_are_none)
{
    const http_peer_step steps[] = {ANSWER("{\"data\":null}"), ANSWER("{\"data\":{}}"),
                                    ANSWER("{\"data\":[{\"result\":1}]}"),
                                    ANSWER("{\"data\":\"result\"}")};
    pve_support_start(steps, COUNT(steps), "100", "pve1");
    for (size_t i = 0; i < COUNT(steps); i++) {
        ask("get-osinfo");
        expect_failed(&pve_test.last, PQ_E_BAD_ANSWER, PQ_EFFECT_NONE, false);
    }
    pve_support_stop(COUNT(steps));
}

Test(pve_query, names_that_are_none)
{
    static const char *const names[] = {
        "",    "../config", "get-osinfo?x=1",
        "Get", "a/b",       "a2345678901234567890123456789012345678901234567-"};
    pve_support_start(NULL, 0, "100", "pve1");
    for (size_t i = 0; i < COUNT(names); i++) {
        ask(names[i]);
        cr_expect_eq(failure.code, PQ_E_INTERNAL, "%s", names[i]);
    }
    pve_support_stop(0);
}

Test(pve_query, missing_privileges_are_named)
{
    const http_peer_step steps[] = {{HTTP_PEER_LAST, http_error(403, "Forbidden", NULL), 0}};
    pve_support_start(steps, COUNT(steps), "100", "pve1");
    ask("get-osinfo");
    cr_expect_eq(failure.code, PQ_E_PERMISSION);
    cr_expect_not_null(strstr(failure.text, "VM.GuestAgent.Audit"), "%s", failure.text);
    pve_support_stop(1);
}
