/* One run of a guest script, whatever happens to its calls. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "exec/call.h"
#include "tests/unit/support/guest_bench.h"
#include "transport/base/log.h"

/* A script that tells what it got, and how often it was run. */
#define SCRIPT                                                                                     \
    "echo x >>\"$1\"; printf 'out'; printf 'err' >&2; cat; printf '\\npq1 ok %s\\n' \"$2\""

static pq_error err;
static struct {
    unsigned ended;
    pq_error err;
    pq_buf out, err_out;
    char state[16];
    int64_t number;
    char second[32];
} got;
static pq_call *call;
static pq_call_options options;
static pq_timer timer;

static void setup(void)
{
    guest_setup();
    options = PQ_CALL_DEFAULTS;
}

static void teardown(void)
{
    pq_buf_done(&got.out);
    pq_buf_done(&got.err_out);
    guest_teardown();
}

TestSuite(call, .init = setup, .fini = teardown, .timeout = 30);

static void on_done(void *context, const pq_error *failure, pq_call_result *result)
{
    cr_assert_eq(context, &got);
    got.ended++;
    call = NULL;
    if (failure != NULL) {
        got.err = *failure;
    } else {
        strcpy(got.state, result->trailer.state);
        got.number = pq_trailer_number(&result->trailer, 0);
        got.out = result->out;
        got.err_out = result->err;
        memset(&result->out, 0, sizeof result->out);
        memset(&result->err, 0, sizeof result->err);
    }
    pq_loop_stop(guest.loop);
}

static void start(const char *text)
{
    pq_script script = {0};
    cr_assert_eq(pq_script_begin(&script, "", text, &err), 0);
    cr_assert_eq(pq_script_add(&script, guest_path("ran"), &err), 0);
    cr_assert_eq(pq_script_add(&script, "-", &err), 0);
    call = pq_call_start(guest.session, &script, &options, on_done, &got, &err);
    cr_assert_not_null(call);
    cr_assert_eq(script.count, 0, "it was taken over");
    pq_script_done(&script);
}

static void await(void)
{
    while (got.ended == 0)
        guest_run();
    cr_assert_eq(got.ended, 1);
}

static void run(void)
{
    start(SCRIPT);
    await();
}

static void must_succeed(void)
{
    cr_assert_eq(got.err.code, PQ_OK, "%s", got.err.text);
    cr_assert_str_eq(got.state, "ok");
}

static void must_fail(pq_code code, pq_effect effect)
{
    cr_assert_eq(got.err.code, code, "%s: %s", pq_code_name(got.err.code), got.err.text);
    cr_assert_eq(got.err.effect, effect, "%s", pq_effect_name(got.err.effect));
}

static void rule(shell_call kind, unsigned times, shell_fault fault, pq_code code)
{
    shell_agent_rule(guest.agent,
                     (shell_rule){.call = kind, .times = times, .fault = fault, .code = code});
}

Test(call, output_and_trailer)
{
    options.input = "input\0x";
    options.input_length = 7;
    run();
    must_succeed();
    cr_assert_eq(got.out.length, 10);
    cr_assert_arr_eq(got.out.data, "outinput\0x", 10);
    cr_assert_str_eq(got.err_out.data, "err");
    cr_assert_eq(guest_times_run(), 1);
    cr_assert_eq(guest.agent->calls[SHELL_EXEC], 1);
}

Test(call, result_may_be_left)
{
    pq_script script = {0};
    cr_assert_eq(pq_script_begin(&script, "", "echo; echo pq1 ok", &err), 0);
    call = pq_call_start(guest.session, &script, &options, on_done, &got, &err);
    await();
    must_succeed();
}

Test(call, lost_start_is_run_again)
{
    rule(SHELL_EXEC, 2, SHELL_LOSE, PQ_E_NETWORK);
    run();
    must_succeed();
    cr_assert_eq(guest.agent->calls[SHELL_EXEC], 3);
}

Test(call, lost_status_is_asked_again_and_then_run_again)
{
    rule(SHELL_STATUS, 1, SHELL_LOSE, PQ_E_NETWORK);
    run();
    must_succeed();
}

Test(call, forgotten_is_run_again)
{
    rule(SHELL_STATUS, 1, SHELL_FORGET, PQ_OK);
    run();
    must_succeed();
    cr_assert_eq(guest.agent->calls[SHELL_EXEC], 2);
}

Test(call, forgotten_for_ever)
{
    /* The delays double: 20 runs would take a minute and more. */
    guest.connect_timeout = 500;
    guest_open_session(guest.remote_tmp);
    options.once = false;
    rule(SHELL_EXEC, 0, SHELL_LOSE, PQ_E_AGENT_TIMEOUT);
    run();
    must_fail(PQ_E_AGENT_TIMEOUT, PQ_EFFECT_UNKNOWN);
}

Test(call, once_and_lost)
{
    options.once = true;
    rule(SHELL_EXEC, 1, SHELL_LOSE, PQ_E_NETWORK);
    run();
    must_fail(PQ_E_OUTCOME_UNKNOWN, PQ_EFFECT_UNKNOWN);
    guest_await_idle();
    cr_assert_eq(guest_times_run(), 1);
}

Test(call, once_and_refused_is_tried_again)
{
    options.once = true;
    rule(SHELL_EXEC, 2, SHELL_REFUSE, PQ_E_AGENT_DOWN);
    run();
    must_succeed();
    cr_assert_eq(guest_times_run(), 1);
}

Test(call, once_and_forgotten)
{
    options.once = true;
    rule(SHELL_STATUS, 1, SHELL_FORGET, PQ_OK);
    run();
    must_fail(PQ_E_OUTCOME_UNKNOWN, PQ_EFFECT_UNKNOWN);
}

Test(call, once_without_a_trailer)
{
    options.once = true;
    start("echo x >>\"$1\"; kill -9 $$");
    await();
    must_fail(PQ_E_OUTCOME_UNKNOWN, PQ_EFFECT_UNKNOWN);
    cr_assert_eq(guest_times_run(), 1);
}

Test(call, killed_once_is_run_again)
{
    rule(SHELL_EXEC, 1, SHELL_KILL, PQ_OK);
    run();
    must_succeed();
    cr_assert_eq(guest.agent->calls[SHELL_EXEC], 2);
}

Test(call, never_a_trailer)
{
    start("echo x >>\"$1\"; exit 7");
    await();
    must_fail(PQ_E_AGENT, PQ_EFFECT_UNKNOWN);
    cr_assert_not_null(strstr(got.err.text, "exit status 7"), "%s", got.err.text);
    cr_assert_eq(guest_times_run(), 3);
}

Test(call, always_killed)
{
    start("kill -9 $$");
    await();
    must_fail(PQ_E_AGENT, PQ_EFFECT_UNKNOWN);
    cr_assert_not_null(strstr(got.err.text, "signal 9"), "%s", got.err.text);
}

Test(call, repetition_tells_the_seconds)
{
    options.retry_argument = 1;
    rule(SHELL_EXEC, 1, SHELL_LOSE, PQ_E_NETWORK);
    run();
    must_succeed();
    cr_assert_geq(got.number, 1, "rounded up");
    cr_assert_leq(got.number, 10);
}

Test(call, first_try_and_what_was_refused_are_no_repetition)
{
    options.retry_argument = 1;
    rule(SHELL_EXEC, 2, SHELL_REFUSE, PQ_E_AGENT_DOWN);
    run();
    must_succeed();
    cr_assert_eq(got.number, -1);
}

Test(call, too_large_is_not_tried_again)
{
    rule(SHELL_EXEC, 0, SHELL_REFUSE, PQ_E_TOO_LARGE);
    run();
    must_fail(PQ_E_TOO_LARGE, PQ_EFFECT_NONE);
    cr_assert_eq(guest.agent->calls[SHELL_EXEC], 1);
}

Test(call, bad_answers_are_tried_some_times)
{
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_STATUS,
                                               .fault = SHELL_REFUSE,
                                               .code = PQ_E_BAD_ANSWER,
                                               .final = true});
    run();
    must_fail(PQ_E_BAD_ANSWER, PQ_EFFECT_UNKNOWN);
    cr_assert_eq(guest.agent->calls[SHELL_STATUS], 4);
}

Test(call, status_refused_for_good)
{
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_STATUS,
                                               .fault = SHELL_REFUSE,
                                               .code = PQ_E_PERMISSION,
                                               .final = true});
    run();
    must_fail(PQ_E_PERMISSION, PQ_EFFECT_UNKNOWN);
}

static char said[512];

static void keep_line(void *context, pq_log_level level, const char *line)
{
    (void)context;
    if (level == PQ_LOG_WARNING)
        strncat(said, line, sizeof said - strlen(said) - 1);
}

Test(call, a_long_wait_is_told_once)
{
    pq_log_set_sink(keep_line, NULL);
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_EXEC,
                                               .times = 1,
                                               .fault = SHELL_REFUSE,
                                               .code = PQ_E_AGENT_DOWN,
                                               .delay = 1600});
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_EXEC,
                                               .times = 1,
                                               .fault = SHELL_REFUSE,
                                               .code = PQ_E_AGENT_DOWN});
    run();
    must_succeed();
    char *first = strstr(said, "trying again for up to 20 s");
    cr_assert_not_null(first, "%s", said);
    cr_assert_null(strstr(first + 1, "trying again"), "%s", said);
}

/* ---- holding ---- */

static unsigned asked;

static void release(void *context)
{
    (void)context;
    asked = guest.agent->calls[SHELL_STATUS];
    cr_assert_gt(pq_call_pid(call), 0);
    pq_call_hold(call, false);
    pq_call_hold(call, false);
}

Test(call, held_is_not_asked_about)
{
    start(SCRIPT);
    cr_assert(pq_call_may_have_run(call), "it is on its way");
    cr_assert_eq(pq_call_pid(call), 0);
    pq_call_hold(call, true);
    pq_timer_start(guest.loop, &timer, 100, release, NULL);
    await();
    must_succeed();
    cr_assert_eq(asked, 0);
}

static unsigned asked_before;

static void release_and_let_end(void *context)
{
    release(context);
    cr_assert_leq(asked, asked_before + 1, "an answer on its way still comes");
    guest_write("ran", "", 0);
}

static void hold(void *context)
{
    (void)context;
    pq_call_hold(call, true);
    asked_before = guest.agent->calls[SHELL_STATUS];
    pq_timer_start(guest.loop, &timer, 100, release_and_let_end, NULL);
}

Test(call, held_while_it_is_polled)
{
    start("while [ ! -e \"$1\" ]; do sleep 0.02; done; echo; echo pq1 ok");
    pq_timer_start(guest.loop, &timer, 50, hold, NULL);
    await();
    must_succeed();
    cr_assert_gt(asked_before, 0);
}

Test(call, may_not_have_run_while_refused)
{
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_EXEC,
                                               .fault = SHELL_REFUSE,
                                               .code = PQ_E_AGENT_DOWN,
                                               .times = 1});
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_EXEC, .fault = SHELL_SILENT});
    start(SCRIPT);
    pq_timer_start(guest.loop, &timer, 30, (pq_loop_fn)pq_loop_stop, guest.loop);
    guest_run();
    cr_assert_not(pq_call_may_have_run(call), "between two tries");
    pq_call_drop(call);
    cr_assert_eq(got.ended, 0);
}

Test(call, dropped_on_its_way)
{
    rule(SHELL_EXEC, 0, SHELL_SILENT, PQ_OK);
    options.input = "x";
    options.input_length = 1;
    start(SCRIPT);
    pq_call_drop(call);
    pq_call_drop(NULL);
    cr_assert_eq(got.ended, 0);
}

/* A record that nobody fetches would stay in the agent. */
Test(call, dropped_is_asked_about_until_it_has_ended)
{
    start("sleep 0.1; echo x >>\"$1\"; echo; echo pq1 ok");
    while (pq_call_pid(call) == 0) {
        pq_timer_start(guest.loop, &timer, 1, (pq_loop_fn)pq_loop_stop, guest.loop);
        guest_run();
    }
    pq_call_drop(call);
    cr_assert_not_null(guest.agent->processes);
    while (guest.agent->processes != NULL) {
        pq_timer_start(guest.loop, &timer, 5, (pq_loop_fn)pq_loop_stop, guest.loop);
        guest_run();
    }
    cr_assert_eq(got.ended, 0);
    cr_assert_eq(guest_times_run(), 1);
}

Test(call, reap_frees_a_record)
{
    start("sleep 0.1; echo x >>\"$1\"; echo; echo pq1 ok");
    pq_call_hold(call, true);
    while (pq_call_pid(call) == 0) {
        pq_timer_start(guest.loop, &timer, 1, (pq_loop_fn)pq_loop_stop, guest.loop);
        guest_run();
    }
    pq_call_reap(guest.session, pq_call_pid(call));
    while (guest.agent->processes != NULL) {
        pq_timer_start(guest.loop, &timer, 1, (pq_loop_fn)pq_loop_stop, guest.loop);
        guest_run();
    }
    cr_assert_geq(guest.agent->calls[SHELL_STATUS], 2, "it was still running at first");
    pq_call_drop(call);
}

Test(call, a_server_that_was_never_reached_is_not_waited_for)
{
    rule(SHELL_EXEC, 1, SHELL_REFUSE, PQ_E_CONNECT);
    run();
    must_fail(PQ_E_CONNECT, PQ_EFFECT_NONE);
    cr_assert_eq(guest.agent->calls[SHELL_EXEC], 1);
}

Test(call, a_connection_that_times_out_is_not_waited_for)
{
    rule(SHELL_EXEC, 1, SHELL_REFUSE, PQ_E_TIMEOUT);
    run();
    must_fail(PQ_E_TIMEOUT, PQ_EFFECT_NONE);
}

Test(call, a_server_that_was_reached_is_waited_for)
{
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_STATUS,
                                               .times = 1,
                                               .fault = SHELL_REFUSE,
                                               .code = PQ_E_CONNECT});
    run();
    must_succeed();
}
