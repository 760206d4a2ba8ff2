/* Output of a job beyond what rides on the launcher's answer, and while it runs. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "exec/guest_scripts.h"
#include "tests/unit/support/guest_bench.h"

#define ONCE "echo x >>$RAN; "

static guest_job job;
static char *bytes;

static void teardown(void)
{
    guest_job_done(&job);
    free(bytes);
    guest_teardown();
}

TestSuite(job_output, .init = guest_setup, .fini = teardown, .timeout = 30);

static void write_bytes(size_t length)
{
    bytes = guest_bytes(length);
    guest_write("bytes", bytes, length);
}

static void run_cat(size_t length)
{
    guest_job_run(&job, ONCE "cat $DIR/bytes; head -c 100000 $DIR/bytes >&2");
    guest_job_must_print(&job, bytes, length);
    cr_assert_eq(job.err_out.length, 100000);
    cr_assert_arr_eq(job.err_out.data, bytes, 100000);
    cr_assert_eq(guest_times_run(), 1);
    guest_must_close();
}

static void run_of_length(size_t length)
{
    write_bytes(length);
    guest_job_run(&job, "cat $DIR/bytes");
    guest_job_must_print(&job, bytes, length);
    guest_must_close();
}

Test(job_output, up_to_the_limit_it_rides_along)
{
    run_of_length(PQ_JOB_INLINE_BYTES);
    cr_assert_eq(guest.agent->calls[SHELL_READ], 0);
}

Test(job_output, more_is_read)
{
    run_of_length(PQ_JOB_INLINE_BYTES + 2);
    cr_assert_eq(guest.agent->calls[SHELL_READ], 1);
}

Test(job_output, by_offset_reads)
{
    write_bytes(3000001);
    run_cat(3000001);
}

Test(job_output, by_slices)
{
    guest.agent->limits.offset_reads = false;
    write_bytes(3000001);
    run_cat(3000001);
    cr_assert_geq(shell_agent_count(guest.agent, SHELL_EXEC, pq_guest_slice), 2);
}

Test(job_output, server_without_offsets_after_all)
{
    guest.agent->refuse_offsets = true;
    write_bytes(3000001);
    run_cat(3000001);
    cr_assert_geq(shell_agent_count(guest.agent, SHELL_EXEC, pq_guest_slice), 2);
}

Test(job_output, lost_reads)
{
    write_bytes(3000001);
    shell_agent_rule(
        guest.agent,
        (shell_rule){
            .call = SHELL_READ, .skip = 1, .times = 2, .fault = SHELL_LOSE, .code = PQ_E_NETWORK});
    shell_agent_rule(guest.agent,
                     (shell_rule){.call = SHELL_READ, .skip = 5, .times = 1, .delay = 100});
    run_cat(3000001);
}

Test(job_output, lost_reads_of_slices)
{
    guest.agent->limits.offset_reads = false;
    write_bytes(3000001);
    shell_agent_rule(
        guest.agent,
        (shell_rule){
            .call = SHELL_READ, .skip = 1, .times = 2, .fault = SHELL_LOSE, .code = PQ_E_NETWORK});
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_EXEC,
                                               .part = pq_guest_slice,
                                               .times = 2,
                                               .fault = SHELL_LOSE,
                                               .code = PQ_E_NETWORK});
    run_cat(3000001);
}

Test(job_output, launcher_forgotten)
{
    write_bytes(300000);
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_STATUS,
                                               .part = pq_guest_job,
                                               .times = 1,
                                               .fault = SHELL_FORGET});
    run_cat(300000);
}

Test(job_output, launcher_forgotten_after_its_end)
{
    write_bytes(300000);
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_EXEC,
                                               .part = pq_guest_job,
                                               .times = 1,
                                               .fault = SHELL_LOSE,
                                               .code = PQ_E_NETWORK});
    run_cat(300000);
}

Test(job_output, unreadable)
{
    write_bytes(300000);
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_READ,
                                               .fault = SHELL_REFUSE,
                                               .code = PQ_E_REMOTE_FILE,
                                               .final = true});
    guest_job_start(&job, ONCE "cat $DIR/bytes");
    guest_job_await(&job);
    cr_assert_eq(job.err.code, PQ_E_REMOTE_FILE);
    cr_assert_eq(guest_times_run(), 1);
    guest_must_close();
}

/* ---- live ---- */

static void go_on(guest_job *of)
{
    if (of->out.length >= 3)
        guest_write("go", "", 0);
}

#define UNTIL_GO "while [ ! -e $DIR/go ]; do sleep 0.02; done; "

Test(job_output, live)
{
    job.request.live = true;
    job.on_output = go_on;
    guest_job_run(&job, ONCE "printf out; printf err >&2; " UNTIL_GO "printf more");
    guest_job_must_print(&job, "outmore", 7);
    cr_assert_str_eq(job.err_out.data, "err");
    cr_assert_eq(guest_times_run(), 1);
    guest_must_close();
}

Test(job_output, live_survives_lost_answers)
{
    job.request.live = true;
    job.on_output = go_on;
    shell_agent_rule(
        guest.agent,
        (shell_rule){.call = SHELL_EXEC, .times = 2, .fault = SHELL_LOSE, .code = PQ_E_NETWORK});
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_STATUS,
                                               .part = pq_guest_look,
                                               .times = 1,
                                               .fault = SHELL_LOSE,
                                               .code = PQ_E_NETWORK});
    guest_job_run(&job, ONCE "printf out; printf err >&2; " UNTIL_GO "printf more");
    guest_job_must_print(&job, "outmore", 7);
    cr_assert_str_eq(job.err_out.data, "err");
    cr_assert_eq(guest_times_run(), 1);
    guest_must_close();
}

static void go_on_after_bytes(guest_job *of)
{
    if (of->out.length >= 1000000 && of->err_out.length >= 200000)
        guest_write("go", "", 0);
}

/* A look that comes back full lets a range read on, which must find the right place again. */
Test(job_output, live_and_much)
{
    job.request.live = true;
    job.on_output = go_on_after_bytes;
    write_bytes(1000000);
    guest_job_run(&job, ONCE "cat $DIR/bytes; head -c 200000 $DIR/bytes >&2; " UNTIL_GO
                             "head -c 100001 $DIR/bytes; printf end >&2");
    cr_assert_eq(job.out.length, 1100001);
    cr_assert_arr_eq(job.out.data, bytes, 1000000);
    cr_assert_arr_eq(job.out.data + 1000000, bytes, 100001);
    cr_assert_eq(job.err_out.length, 200003);
    cr_assert_eq(memcmp(job.err_out.data + 200000, "end", 3), 0);
    guest_must_close();
}

Test(job_output, live_by_slices)
{
    guest.agent->limits.offset_reads = false;
    job.request.live = true;
    job.on_output = go_on_after_bytes;
    write_bytes(1000000);
    guest_job_run(&job, ONCE "cat $DIR/bytes; head -c 200000 $DIR/bytes >&2; " UNTIL_GO
                             "head -c 100001 $DIR/bytes; printf end >&2");
    cr_assert_eq(job.out.length, 1100001);
    cr_assert_arr_eq(job.out.data, bytes, 1000000);
    cr_assert_arr_eq(job.out.data + 1000000, bytes, 100001);
    cr_assert_eq(job.err_out.length, 200003);
    guest_must_close();
}

/* Beyond 8 MiB the guest's disk space is given back while the command goes on. */
static void go_on_after_much(guest_job *of)
{
    if (of->out.length >= 10000000)
        guest_write("go", "", 0);
}

Test(job_output, live_and_punched)
{
    job.request.live = true;
    job.on_output = go_on_after_much;
    write_bytes(10000000);
    guest_job_run(&job, ONCE "cat $DIR/bytes; " UNTIL_GO "sleep 0.5; du -k ${DIR}/tmp/.pve*/1.o |"
                             " { read -r size name; echo $((size < 9000)); } >&2; printf end");
    cr_assert_eq(job.out.length, 10000003);
    cr_assert_arr_eq(job.out.data, bytes, 10000000);
    cr_assert_eq(memcmp(job.out.data + 10000000, "end", 3), 0);
    cr_assert_str_eq(job.err_out.data, "1\n", "the disk space is still used");
    guest_must_close();
}

static pq_timer timer;

static void resume(void *context)
{
    (void)context;
    cr_assert_leq(job.out.length, 1000000, "what was held is not delivered while paused");
    pq_job_pause(job.job, false);
}

static void pause_once(guest_job *of)
{
    static bool paused;
    if (paused)
        return;
    paused = true;
    pq_job_pause(of->job, true);
    pq_timer_start(guest.loop, &timer, 300, resume, NULL);
}

static size_t at_pause;

static void pause_and_note(guest_job *of)
{
    if (at_pause == 0) {
        at_pause = of->out.length;
        pause_once(of);
    }
}

Test(job_output, paused_while_it_is_drained)
{
    write_bytes(3000000);
    job.on_output = pause_and_note;
    guest_job_run(&job, ONCE "cat $DIR/bytes");
    guest_job_must_print(&job, bytes, 3000000);
    guest_must_close();
}

Test(job_output, paused_while_it_runs)
{
    job.request.live = true;
    job.on_output = pause_once;
    write_bytes(1000000);
    guest_job_run(&job, ONCE "cat $DIR/bytes; sleep 0.6; cat $DIR/bytes");
    cr_assert_eq(job.out.length, 2000000);
    cr_assert_arr_eq(job.out.data, bytes, 1000000);
    cr_assert_arr_eq(job.out.data + 1000000, bytes, 1000000);
    guest_must_close();
}

Test(job_output, growing_between_looks)
{
    job.request.live = true;
    guest_job_run(&job, ONCE "i=0; while [ $i -lt 1000 ]; do echo line $i; i=$((i + 1)); "
                             "[ $((i % 50)) = 0 ] && sleep 0.03; done");
    char expected[16000];
    size_t length = 0;
    for (int i = 0; i < 1000; i++)
        length += (size_t)snprintf(expected + length, sizeof expected - length, "line %d\n", i);
    guest_job_must_print(&job, expected, length);
    cr_assert_geq(job.chunks, 2);
    guest_must_close();
}

static void forget_all(void *context)
{
    (void)context;
    shell_agent_restart(guest.agent);
}

Test(job_output, live_agent_restart)
{
    job.request.live = true;
    shell_agent_rule(
        guest.agent,
        (shell_rule){.call = SHELL_STATUS, .part = pq_guest_look, .times = 1, .event = forget_all});
    guest_job_start(&job, ONCE "printf out; sleep 1000");
    guest_job_must_fail(&job, PQ_E_GUEST_RESTARTED, PQ_EFFECT_UNKNOWN);
    cr_assert_eq(guest_times_run(), 1);
    guest_must_close();
}

Test(job_output, look_refused_for_good)
{
    job.request.live = true;
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_EXEC,
                                               .part = pq_guest_look,
                                               .fault = SHELL_REFUSE,
                                               .code = PQ_E_PERMISSION,
                                               .final = true});
    guest_job_start(&job, ONCE "sleep 1000");
    guest_job_await(&job);
    cr_assert_eq(job.err.code, PQ_E_PERMISSION);
    cr_assert_eq(guest_times_run(), 1);
}

/* The launcher gives its claim back after the first look has put off all questions about it. */
Test(job_output, refused_late)
{
    guest_hide_tools("env");
    FILE *env = fopen(guest_path("bin/env"), "w");
    cr_assert_not_null(env);
    fputs("#!/bin/sh\nsleep 0.8\nexit 125\n", env);
    cr_assert_eq(fchmod(fileno(env), 0755), 0);
    cr_assert_eq(fclose(env), 0);
    job.request.live = true;
    job.request.cwd = "/no/such";
    guest_job_start(&job, ONCE "true");
    guest_job_must_fail(&job, PQ_E_NO_CWD, PQ_EFFECT_NONE);
    cr_assert_gt(shell_agent_count(guest.agent, SHELL_EXEC, pq_guest_look), 0);
    cr_assert_eq(guest_times_run(), 0);
    guest_must_close();
}

static void cut_files(void *context)
{
    char command[256];
    (void)context;
    guest_await_file("done");
    snprintf(command, sizeof command, "truncate -s 100000 '%s'/*.o", pq_session_dir(guest.session));
    cr_assert_eq(system(command), 0);
}

/* What the launcher has counted is not there any more. */
Test(job_output, lost_before_it_was_read)
{
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_STATUS,
                                               .part = pq_guest_job,
                                               .fault = SHELL_END,
                                               .answer = "\npq1 end 0 0 3000000 - inline=1\n",
                                               .event = cut_files});
    write_bytes(3000000);
    guest_job_start(&job, ONCE "cat $DIR/bytes; touch $DIR/done");
    guest_job_must_fail(&job, PQ_E_REMOTE_FILE, PQ_EFFECT_DONE);
}
