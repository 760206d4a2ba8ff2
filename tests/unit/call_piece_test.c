/* Calls that are pieces of something: held from the beginning, made again for each try, small when
 * the agent is slow. */
#include <criterion/criterion.h>
#include <string.h>
#include <unistd.h>

#include "exec/call.h"
#include "tests/unit/support/guest_bench.h"

static pq_error err;
static pq_call *call;
static pq_call_options options;
static pq_timer timer;
static unsigned made, make_fails_at, started;
static struct {
    unsigned ended;
    pq_error err;
    unsigned questions;
} got;

static int make(void *context, pq_script *script, pq_error *failure)
{
    cr_assert_eq(context, &got);
    if (++made == make_fails_at)
        return pq_fail(failure, PQ_E_TOO_LARGE, "it does not fit any more");
    if (pq_script_begin(script, "", "echo x >>\"$1\"; printf '\\npq1 ok\\n'", failure) < 0)
        return -1;
    return pq_script_add(script, guest_path("ran"), failure);
}

static void on_started(void *context)
{
    cr_assert_eq(context, &got);
    started++;
}

static void setup(void)
{
    guest_setup();
    options = PQ_CALL_DEFAULTS;
    options.make = make;
    options.started = on_started;
}

TestSuite(call_piece, .init = setup, .fini = guest_teardown, .timeout = 30);

static void on_done(void *context, const pq_error *failure, pq_call_result *result)
{
    (void)context;
    got.ended++;
    call = NULL;
    if (failure != NULL)
        got.err = *failure;
    else
        got.questions = result->questions;
    pq_loop_stop(guest.loop);
}

static void start(void)
{
    call = pq_call_start(guest.session, NULL, &options, on_done, &got, &err);
    cr_assert_not_null(call);
}

static void run_for(pq_ms time)
{
    pq_timer_start(guest.loop, &timer, time, (pq_loop_fn)pq_loop_stop, guest.loop);
    guest_run();
    pq_timer_stop(&timer);
}

static void await(void)
{
    while (got.ended == 0)
        guest_run();
    cr_assert_eq(got.ended, 1);
}

static void rule(shell_call kind, unsigned times, shell_fault fault, pq_code code)
{
    shell_agent_rule(guest.agent,
                     (shell_rule){.call = kind, .times = times, .fault = fault, .code = code});
}

/* ---- held ---- */

Test(call_piece, nothing_is_asked_until_it_is_released)
{
    options.begins_held = true;
    start();
    run_for(50);
    cr_assert_eq(started, 1);
    guest_await_run();
    cr_assert_eq(guest.agent->calls[SHELL_STATUS], 0);
    guest_await_idle();
    pq_call_hold(call, false);
    await();
    cr_assert_eq(got.err.code, PQ_OK);
    cr_assert_eq(got.questions, 1);
}

Test(call_piece, a_release_before_the_start_is_no_question)
{
    options.begins_held = true;
    start();
    pq_call_hold(call, false);
    cr_assert_eq(guest.agent->calls[SHELL_STATUS], 0);
    await();
    cr_assert_eq(started, 1);
    cr_assert_eq(got.err.code, PQ_OK);
}

Test(call_piece, it_tells_nothing_of_how_long_scripts_take)
{
    pq_ms before = pq_poll_first_delay(pq_session_first_poll(guest.session));
    for (int i = 0; i < 40; i++) {
        memset(&got, 0, sizeof got);
        options.begins_held = true;
        start();
        run_for(1);
        pq_call_hold(call, false);
        await();
    }
    cr_assert_eq(pq_poll_first_delay(pq_session_first_poll(guest.session)), before);
}

Test(call_piece, dropped_while_held_is_asked_about)
{
    options.begins_held = true;
    start();
    run_for(20);
    pq_call_drop(call);
    guest_await_idle();
    while (*pq_session_dropped_calls(guest.session) != NULL)
        run_for(1);
    cr_assert_geq(guest.agent->calls[SHELL_STATUS], 1);
    cr_assert_eq(got.ended, 0);
    cr_assert_eq(started, 1);
}

Test(call_piece, nobody_is_told_of_a_dropped_ones_start)
{
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_EXEC, .delay = 20});
    start();
    run_for(1);
    pq_call_drop(call);
    run_for(50);
    cr_assert_eq(started, 0);
}

/* ---- made anew ---- */

Test(call_piece, made_for_each_try)
{
    rule(SHELL_EXEC, 2, SHELL_LOSE, PQ_E_NETWORK);
    start();
    await();
    cr_assert_eq(got.err.code, PQ_OK);
    cr_assert_eq(made, 3);
    cr_assert_eq(started, 1, "only answers tell");
    cr_assert_eq(guest_times_run(), 3);
}

Test(call_piece, started_again)
{
    rule(SHELL_STATUS, 2, SHELL_FORGET, PQ_OK);
    start();
    await();
    cr_assert_eq(got.err.code, PQ_OK);
    cr_assert_eq(started, 3);
}

Test(call_piece, it_cannot_be_made)
{
    make_fails_at = 1;
    cr_assert_null(pq_call_start(guest.session, NULL, &options, on_done, &got, &err));
    cr_assert_eq(err.code, PQ_E_TOO_LARGE);
    cr_assert_eq(got.ended, 0);
}

Test(call_piece, it_cannot_be_made_again)
{
    make_fails_at = 2;
    rule(SHELL_EXEC, 1, SHELL_LOSE, PQ_E_NETWORK);
    start();
    await();
    cr_assert_eq(got.err.code, PQ_E_TOO_LARGE);
    cr_assert_eq(got.err.effect, PQ_EFFECT_UNKNOWN);
}

/* ---- an agent that is slow ---- */

Test(call_piece, a_slow_start_ends_it)
{
    options.ends_if_slow = true;
    rule(SHELL_EXEC, 1, SHELL_LOSE, PQ_E_AGENT_TIMEOUT);
    start();
    await();
    cr_assert_eq(got.err.code, PQ_E_AGENT_TIMEOUT);
    cr_assert_eq(got.err.effect, PQ_EFFECT_UNKNOWN);
    cr_assert_eq(made, 1);
}

Test(call_piece, or_is_tried_again)
{
    rule(SHELL_EXEC, 1, SHELL_LOSE, PQ_E_AGENT_TIMEOUT);
    start();
    await();
    cr_assert_eq(got.err.code, PQ_OK);
    cr_assert_eq(made, 2);
}

Test(call_piece, a_slow_answer_to_a_question_is_something_else)
{
    options.ends_if_slow = true;
    rule(SHELL_STATUS, 1, SHELL_REFUSE, PQ_E_AGENT_TIMEOUT);
    start();
    await();
    cr_assert_eq(got.err.code, PQ_OK);
}
