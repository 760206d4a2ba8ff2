#include "tests/unit/support/pve_support.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transport/pve/pve_internal.h"

pve_tester pve_test;

void pve_support_setup(void)
{
    pq_error err;
    unsetenv("http_proxy");
    unsetenv("all_proxy");
    unsetenv("ALL_PROXY");
    pve_test = (pve_tester){0};
    pve_test.loop = pq_loop_new(&err);
    cr_assert_not_null(pve_test.loop, "%s", err.text);
    cr_assert_eq(pq_secret_set(&pve_test.secret, "CANARY", 6, &err), 0);
    pve_test.options = (pq_pve_options){
        .host = "127.0.0.1",
        .user = "root@pam!test",
        .token_secret = &pve_test.secret,
        .validate_certs = true,
        .connect_timeout = 8000,
        .call_timeout = 10000,
    };
}

static void hang_up(void)
{
    pq_agent_free(pve_test.agent);
    pq_pve_free(pve_test.pve);
    pve_test.agent = NULL;
    pve_test.pve = NULL;
}

void pve_support_teardown(void)
{
    hang_up();
    pq_loop_free(pve_test.loop);
    pq_secret_done(&pve_test.secret);
    http_peer_done(&pve_test.peer);
}

void pve_support_start(const http_peer_step *steps, size_t count, const char *vm, const char *node)
{
    pq_error err;
    pve_test.peer = (http_peer){.steps = steps, .count = count};
    http_peer_start(&pve_test.peer);
    pve_test.options.port = pve_test.peer.port;
    pve_test.pve = pq_pve_new(pve_test.loop, &pve_test.options, &err);
    cr_assert_not_null(pve_test.pve, "%s", err.text);
    pve_test.pve->stream.tls = false;
    pve_test.agent = pq_pve_agent(pve_test.pve, vm, node, &err);
    cr_assert_not_null(pve_test.agent, "%s", err.text);
}

void pve_support_stop(size_t requests)
{
    hang_up();
    http_peer_stop(&pve_test.peer);
    cr_assert_eq(pve_test.peer.request_count, requests, "%zu requests",
                 pve_test.peer.request_count);
}

static pve_outcome *note(const pq_error *err)
{
    pve_outcome *o = &pve_test.last;
    int calls = o->calls;
    *o = (pve_outcome){.calls = calls + 1};
    if (err != NULL)
        o->err = *err;
    cr_expect_null(strstr(o->err.text, "CANARY"));
    if (--pve_test.left == 0)
        pq_loop_stop(pve_test.loop);
    return o;
}

static void note_bytes(pve_outcome *o, const pq_buf *bytes)
{
    o->out_length = bytes->length;
    if (bytes->length < sizeof o->out)
        memcpy(o->out, bytes->length > 0 ? bytes->data : "", bytes->length);
}

void pve_on_exec(void *context, const pq_error *err, int64_t pid)
{
    (void)context;
    note(err)->pid = pid;
}

static void on_status(void *context, const pq_error *err, pq_exec_status *status)
{
    (void)context;
    pve_outcome *o = note(err);
    if (err != NULL)
        return;
    o->exited = status->exited;
    o->signalled = status->signalled;
    o->code = status->code;
    note_bytes(o, &status->out);
}

static void on_read(void *context, const pq_error *err, pq_buf *bytes, bool eof)
{
    (void)context;
    pve_outcome *o = note(err);
    if (err != NULL)
        return;
    o->eof = eof;
    note_bytes(o, bytes);
}

void pve_on_ping(void *context, const pq_error *err)
{
    (void)context;
    note(err);
}

void pve_run(int count)
{
    pq_error err;
    int before = pve_test.last.calls;
    pve_test.left = count;
    cr_assert_eq(pq_loop_run(pve_test.loop, &err), 0, "%s", err.text);
    cr_assert_eq(pve_test.last.calls - before, count);
}

pve_outcome *run_exec(const char *const *argv)
{
    pq_agent_exec_start(pve_test.agent, &(pq_exec_request){.argv = argv}, pve_on_exec, NULL);
    pve_run(1);
    return &pve_test.last;
}

pve_outcome *run_status(int64_t pid)
{
    pq_agent_exec_status(pve_test.agent, pid, on_status, NULL);
    pve_run(1);
    return &pve_test.last;
}

pve_outcome *run_read(const char *path, uint64_t offset, size_t count)
{
    pq_agent_file_read(pve_test.agent, path, offset, count, on_read, NULL);
    pve_run(1);
    return &pve_test.last;
}

pve_outcome *run_ping(void)
{
    pq_agent_ping(pve_test.agent, pve_on_ping, NULL);
    pve_run(1);
    return &pve_test.last;
}

void expect_failed(const pve_outcome *o, pq_code code, pq_effect effect, bool retryable)
{
    cr_assert_eq(o->err.code, code, "%s: %s", pq_code_name(o->err.code), o->err.text);
    cr_expect_eq(o->err.effect, effect, "effect %s: %s", pq_effect_name(o->err.effect),
                 o->err.text);
    cr_expect_eq(o->err.retryable, retryable, "%sretryable: %s", o->err.retryable ? "" : "not ",
                 o->err.text);
}

void expect_request(size_t index, const char *line, const char *body)
{
    cr_assert_lt(index, pve_test.peer.request_count);
    const char *request = pve_test.peer.requests[index];
    cr_expect_eq(strncmp(request, line, strlen(line)), 0, "not '%s': %.200s", line, request);
    cr_expect_str_eq(strstr(request, "\r\n\r\n") + 4, body);
}
