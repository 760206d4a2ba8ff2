/* Cancelling a job, and jobs that take too long, in each of their states. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exec/guest_scripts.h"
#include "tests/unit/support/guest_bench.h"

#define ONCE "echo x >>$RAN; "

static guest_job job;
static pq_timer timer;

static void teardown(void)
{
    guest_job_done(&job);
    guest_teardown();
}

TestSuite(job_end, .init = guest_setup, .fini = teardown, .timeout = 30);

static void cancel(void *context)
{
    (void)context;
    if (job.job != NULL)
        pq_job_cancel(job.job);
}

static void cancel_when_it_runs(void *context)
{
    (void)context;
    if (guest_times_run() > 0)
        cancel(NULL);
    else
        pq_timer_start(guest.loop, &timer, 5, cancel_when_it_runs, NULL);
}

static void on_call(shell_call call, const char *part, void (*event)(void *context))
{
    shell_agent_rule(guest.agent,
                     (shell_rule){.call = call, .part = part, .times = 1, .event = event});
}

static void must_be_cancelled(pq_effect effect, unsigned times_run)
{
    guest_job_must_fail(&job, PQ_E_CANCELLED, effect);
    cr_assert_eq(guest_times_run(), times_run);
}

Test(job_end, cancelled_before_anything_was_sent)
{
    guest_job_start(&job, ONCE "true");
    pq_timer_start(guest.loop, &timer, -1, cancel, NULL);
    cancel(NULL);
    must_be_cancelled(PQ_EFFECT_NONE, 0);
    cr_assert_eq(guest.agent->calls[SHELL_EXEC], 0);
    guest_must_close();
}

Test(job_end, cancelled_while_the_agent_is_down)
{
    shell_agent_rule(
        guest.agent,
        (shell_rule){.call = SHELL_EXEC, .fault = SHELL_REFUSE, .code = PQ_E_AGENT_DOWN});
    guest_job_start(&job, ONCE "true");
    pq_timer_start(guest.loop, &timer, 30, cancel, NULL);
    must_be_cancelled(PQ_EFFECT_NONE, 0);
}

Test(job_end, cancelled_while_it_is_started)
{
    on_call(SHELL_EXEC, pq_guest_job, cancel);
    guest_job_start(&job, ONCE "sleep 1000");
    guest_job_await(&job);
    cr_assert_eq(job.err.code, PQ_E_CANCELLED, "%s", job.err.text);
    cr_assert_eq(job.err.effect, PQ_EFFECT_DONE);
    guest_must_close();
}

Test(job_end, cancelled_while_it_runs)
{
    guest_job_start(&job, ONCE "sleep 1000 & sleep 1000");
    cancel_when_it_runs(NULL);
    must_be_cancelled(PQ_EFFECT_DONE, 1);
    guest_must_close();
}

Test(job_end, output_up_to_then_is_delivered)
{
    guest_job_start(&job, "echo out; " ONCE "sleep 1000");
    cancel_when_it_runs(NULL);
    must_be_cancelled(PQ_EFFECT_DONE, 1);
    guest_job_must_print(&job, "out\n", 4);
    guest_must_close();
}

Test(job_end, cancelled_by_signal_handler_of_its_own)
{
    guest_job_start(&job, "trap 'echo bye; exit 0' TERM; " ONCE "while :; do sleep 0.05; done");
    cancel_when_it_runs(NULL);
    must_be_cancelled(PQ_EFFECT_DONE, 1);
    guest_job_must_print(&job, "bye\n", 4);
    guest_must_close();
}

static void cancel_twice(void *context)
{
    cancel(context);
    cancel(context);
}

static void cancel_twice_when_it_runs(void *context)
{
    (void)context;
    if (guest_times_run() > 0)
        cancel_twice(NULL);
    else
        pq_timer_start(guest.loop, &timer, 5, cancel_twice_when_it_runs, NULL);
}

Test(job_end, a_second_cancel_kills)
{
    guest_job_start(&job, "trap '' TERM; " ONCE "while :; do sleep 0.05; done");
    cancel_twice_when_it_runs(NULL);
    must_be_cancelled(PQ_EFFECT_DONE, 1);
    guest_must_close();
}

Test(job_end, cancelled_while_it_is_watched)
{
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_STATUS,
                                               .part = pq_guest_job,
                                               .times = 1,
                                               .fault = SHELL_FORGET});
    on_call(SHELL_STATUS, pq_guest_look, cancel);
    guest_job_start(&job, ONCE "sleep 1000");
    must_be_cancelled(PQ_EFFECT_DONE, 1);
    guest_must_close();
}

Test(job_end, cancelled_while_it_is_live)
{
    job.request.live = true;
    on_call(SHELL_STATUS, pq_guest_look, cancel);
    guest_job_start(&job, ONCE "sleep 1000");
    must_be_cancelled(PQ_EFFECT_DONE, 1);
    guest_must_close();
}

Test(job_end, cancelled_while_its_output_is_read)
{
    on_call(SHELL_READ, NULL, cancel);
    guest_job_start(&job, ONCE "head -c 3000000 /dev/zero");
    guest_job_await(&job);
    /* It had ended by itself: either is true. */
    if (job.err.code != PQ_OK)
        must_be_cancelled(PQ_EFFECT_DONE, 1);
    else
        cr_assert_eq(job.out.length, 3000000);
    guest_must_close();
}

Test(job_end, cancelled_while_its_text_is_staged)
{
    size_t length = 1048576;
    char *text = malloc(length + 1);
    memset(text, '#', length);
    memcpy(text, ONCE "true\n", strlen(ONCE "true\n"));
    text[length] = '\0';
    on_call(SHELL_STATUS, pq_guest_piece, cancel);
    guest_job_start(&job, text);
    must_be_cancelled(PQ_EFFECT_NONE, 0);
    free(text);
    guest_must_close();
}

Test(job_end, cancelled_while_it_reads_its_stdin)
{
    job.input = "some";
    job.input_length = 4;
    job.input_open = true;
    guest_job_start(&job, ONCE "cat");
    cancel_when_it_runs(NULL);
    must_be_cancelled(PQ_EFFECT_DONE, 1);
    guest_must_close();
}

Test(job_end, lost_kills_are_repeated)
{
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_EXEC,
                                               .part = pq_guest_kill,
                                               .times = 2,
                                               .fault = SHELL_REFUSE,
                                               .code = PQ_E_AGENT_DOWN});
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_STATUS,
                                               .part = pq_guest_kill,
                                               .times = 1,
                                               .fault = SHELL_LOSE,
                                               .code = PQ_E_NETWORK});
    guest_job_start(&job, ONCE "sleep 1000");
    cancel_when_it_runs(NULL);
    must_be_cancelled(PQ_EFFECT_DONE, 1);
    guest_must_close();
}

Test(job_end, kill_refused_for_good)
{
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_EXEC,
                                               .part = pq_guest_kill,
                                               .fault = SHELL_REFUSE,
                                               .code = PQ_E_VM_STOPPED,
                                               .final = true});
    guest_job_start(&job, ONCE "sleep 1000");
    cancel_when_it_runs(NULL);
    guest_job_await(&job);
    cr_assert_eq(job.err.code, PQ_E_VM_STOPPED);
}

static void restart(void *context)
{
    (void)context;
    shell_agent_restart(guest.agent);
}

Test(job_end, agent_restarts_while_it_is_killed)
{
    on_call(SHELL_EXEC, pq_guest_kill, restart);
    guest_job_start(&job, "trap '' TERM; " ONCE "while :; do sleep 0.05; done");
    cancel_when_it_runs(NULL);
    guest_job_await(&job);
    cr_assert_eq(job.err.code, PQ_E_GUEST_RESTARTED, "%s", job.err.text);
    guest_must_close();
}

Test(job_end, without_setsid)
{
    guest_hide_tools("setsid");
    guest_job_start(&job, ONCE "exec sleep 1000");
    cancel_when_it_runs(NULL);
    must_be_cancelled(PQ_EFFECT_DONE, 1);
    guest_must_close();
}

Test(job_end, plain_goes_on)
{
    guest_open_session(guest_path("missing"));
    guest_job_start(&job, ONCE "sleep 1000");
    cancel_when_it_runs(NULL);
    must_be_cancelled(PQ_EFFECT_UNKNOWN, 1);
    cr_assert_gt(shell_agent_running(), 0);
}

Test(job_end, dropped)
{
    guest_job_start(&job, ONCE "sleep 1000");
    on_call(SHELL_STATUS, pq_guest_job, (void (*)(void *))pq_loop_stop);
    guest.agent->rules[0].context = guest.loop;
    guest_run();
    pq_job_drop(job.job);
    job.job = NULL;
    pq_job_drop(NULL);
    guest_await_run();
    shell_agent_restart(guest.agent);
    cr_assert_not(job.ended);
    guest_must_close();
}

/* ---- timeout ---- */

Test(job_end, timeout)
{
    job.request.timeout = 200;
    guest_job_start(&job, ONCE "sleep 1000");
    guest_job_must_fail(&job, PQ_E_TIMEOUT, PQ_EFFECT_DONE);
    cr_assert_not_null(strstr(job.err.text, "0.2 s"), "%s", job.err.text);
    cr_assert_eq(guest_times_run(), 1);
    guest_must_close();
}

Test(job_end, timeout_before_it_was_started)
{
    job.request.timeout = 100;
    shell_agent_rule(
        guest.agent,
        (shell_rule){.call = SHELL_EXEC, .fault = SHELL_REFUSE, .code = PQ_E_AGENT_DOWN});
    guest_job_start(&job, ONCE "true");
    guest_job_must_fail(&job, PQ_E_TIMEOUT, PQ_EFFECT_NONE);
    cr_assert_eq(guest_times_run(), 0);
}

Test(job_end, timeout_without_an_answer)
{
    job.request.timeout = 100;
    guest_open_session(guest_path("missing"));
    guest_job_start(&job, ONCE "sleep 1000");
    guest_job_must_fail(&job, PQ_E_TIMEOUT, PQ_EFFECT_UNKNOWN);
}

Test(job_end, timeout_that_is_not_reached)
{
    job.request.timeout = 60000;
    guest_job_run(&job, ONCE "echo out");
    guest_job_must_print(&job, "out\n", 4);
    guest_must_close();
}

Test(job_end, timeout_does_not_cut_the_output_of_what_has_ended)
{
    job.request.timeout = 300;
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_READ, .times = 1, .delay = 500});
    guest_job_run(&job, ONCE "head -c 1000000 /dev/zero");
    cr_assert_eq(job.out.length, 1000000);
    guest_must_close();
}
