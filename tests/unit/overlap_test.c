/* Pings that go along with commands. */
#include <criterion/criterion.h>
#include <string.h>

#include "exec/call.h"
#include "exec/overlap.h"
#include "tests/unit/support/guest_bench.h"

/* What an exec takes on a port that sleeps. */
#define SLOW_MS 200

static pq_error err;
static unsigned ended;

TestSuite(overlap, .init = guest_setup, .fini = guest_teardown, .timeout = 30);

static void on_done(void *context, const pq_error *failure, pq_call_result *result)
{
    (void)context;
    cr_assert_null(failure);
    cr_assert_str_eq(result->trailer.state, "ok");
    ended++;
    pq_loop_stop(guest.loop);
}

static void start(bool overlap)
{
    pq_script script = {0};
    pq_call_options options = PQ_CALL_DEFAULTS;
    options.overlap = overlap;
    cr_assert_eq(pq_script_begin(&script, "", "echo; echo pq1 ok", &err), 0);
    cr_assert_not_null(pq_call_start(guest.session, &script, &options, on_done, NULL, &err));
}

static void await(unsigned calls)
{
    while (ended < calls)
        guest_run();
}

static void slow_port(void)
{
    guest.agent->limits.exec_time = SLOW_MS;
}

static unsigned pings(void)
{
    return guest.agent->calls[SHELL_PING];
}

Test(overlap, one_ping_for_a_slow_exec)
{
    slow_port();
    start(true);
    await(1);
    cr_assert_eq(pings(), 1);
    start(true);
    await(2);
    cr_assert_eq(pings(), 2);
}

Test(overlap, none_where_the_agent_is_fast)
{
    for (unsigned i = 1; i <= 5; i++) {
        start(true);
        await(i);
    }
    cr_assert_eq(pings(), 0);
}

Test(overlap, none_for_calls_nobody_waits_for)
{
    slow_port();
    start(false);
    await(1);
    cr_assert_eq(pings(), 0);
}

Test(overlap, none_while_other_calls_keep_the_port_open)
{
    slow_port();
    start(true);
    start(true);
    await(2);
    cr_assert_eq(pings(), 0);
}

Test(overlap, none_beyond_the_calls_that_are_allowed)
{
    guest.agent->limits.parallel = 1;
    slow_port();
    start(true);
    await(1);
    cr_assert_eq(pings(), 0);
}

Test(overlap, none_before_a_far_server_can_have_answered)
{
    guest.agent->limits.round_trip = SLOW_MS;
    slow_port();
    start(true);
    await(1);
    cr_assert_eq(pings(), 0);
}

Test(overlap, can_be_switched_off)
{
    const pq_session_options options = {.remote_tmp = guest.remote_tmp,
                                        .connect_timeout = guest.connect_timeout,
                                        .no_overlap = true};
    pq_session_free(guest.session);
    guest.session = pq_session_new(&guest.agent->agent, &options, &err);
    cr_assert_not_null(guest.session);
    slow_port();
    start(true);
    await(1);
    cr_assert_eq(pings(), 0);
}

Test(overlap, a_ping_that_never_answers_harms_nothing)
{
    slow_port();
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_PING, .fault = SHELL_SILENT});
    start(true);
    await(1);
    start(true);
    await(2);
    cr_assert_eq(pings(), 1, "the first is still on its way");
}
