/* Jobs over an agent that really runs them: what comes back, and that they run once. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "exec/guest_scripts.h"
#include "tests/unit/support/guest_bench.h"

#define ONCE "echo x >>$RAN; "

static pq_error err;
static guest_job job;

static void teardown(void)
{
    guest_job_done(&job);
    guest_teardown();
}

TestSuite(job, .init = guest_setup, .fini = teardown, .timeout = 30);

static void rule(shell_call call, const char *part, shell_fault fault, pq_code code)
{
    shell_agent_rule(
        guest.agent,
        (shell_rule){.call = call, .part = part, .times = 1, .fault = fault, .code = code});
}

static void must_have_run_once(void)
{
    cr_assert_eq(guest_times_run(), 1, "ran %u times", guest_times_run());
}

/* ---- results ---- */

Test(job, output_and_status)
{
    guest_job_start(&job, ONCE "printf out; printf err >&2; exit 3");
    guest_job_await(&job);
    cr_assert_eq(job.err.code, PQ_OK, "%s", job.err.text);
    cr_assert_eq(job.result.exit_code, 3);
    cr_assert_eq(job.result.signal, 0);
    cr_assert_not(job.result.guest_full);
    guest_job_must_print(&job, "out", 3);
    cr_assert_str_eq(job.err_out.data, "err");
    must_have_run_once();
    cr_assert_eq(guest.agent->calls[SHELL_EXEC], 1, "a short command is one exec");
    cr_assert_eq(guest.agent->calls[SHELL_READ], 0);
    guest_must_close();
}

Test(job, nothing_happens_inside_the_start)
{
    guest_job_start(&job, "true");
    cr_assert_eq(guest.agent->calls[SHELL_EXEC], 0);
    pq_job_drop(job.job);
    job.job = NULL;
    guest_must_close();
    cr_assert_eq(guest.agent->calls[SHELL_EXEC], 0, "a clean session asks nothing");
}

Test(job, death_by_signal)
{
    guest_job_start(&job, "kill -9 $$");
    guest_job_await(&job);
    cr_assert_eq(job.result.signal, SIGKILL);
    cr_assert_eq(job.result.exit_code, 128 + SIGKILL);
    guest_must_close();
}

Test(job, exit_status_that_looks_like_a_signal)
{
    guest_job_start(&job, "exit 137");
    guest_job_await(&job);
    cr_assert_eq(job.result.signal, 0);
    cr_assert_eq(job.result.exit_code, 137);
    guest_must_close();
}

Test(job, every_byte_comes_back)
{
    char all[256];
    for (int c = 0; c < 256; c++)
        all[c] = (char)c;
    guest_write("all", all, sizeof all);
    guest_job_run(&job, "cat $DIR/all; cat $DIR/all >&2");
    guest_job_must_print(&job, all, sizeof all);
    cr_assert_eq(job.err_out.length, sizeof all);
    cr_assert_arr_eq(job.err_out.data, all, sizeof all);
    guest_must_close();
}

Test(job, output_cannot_forge_the_result)
{
    static const char forged[] = "\npq1 end 7 9 - - inline=1\n";
    guest_job_run(&job, "printf '\\npq1 end 7 9 - - inline=1\\n'");
    guest_job_must_print(&job, forged, sizeof forged - 1);
    guest_must_close();
}

Test(job, command_text_of_all_bytes)
{
    char command[512] = "printf %s '";
    size_t length = strlen(command);
    for (int c = 1; c < 256; c++) {
        if (c != '\'')
            command[length++] = (char)c;
    }
    strcpy(command + length, "'");
    guest_job_run(&job, command);
    guest_job_must_print(&job, command + 11, 254);
    guest_must_close();
}

Test(job, environment_directory_and_executable)
{
    const char *env[] = {"A=x y", "ODD='\"\\$(id)\n\xC3\xA4\xFF", "EMPTY=", NULL};
    cr_assert_eq(mkdir(guest_path("d\xC3\xA4 d"), 0755), 0);
    job.request.env = env;
    job.request.cwd = guest_path("d\xC3\xA4 d");
    job.request.executable = "/bin/bash";
    guest_job_run(&job, "printf '%s|%s|%s|%s|%s' \"$A\" \"$ODD\" \"${EMPTY-unset}\" "
                        "\"${BASH_VERSION:+bash}\" \"${PWD##*/}\"");
    static const char expected[] = "x y|'\"\\$(id)\n\xC3\xA4\xFF||bash|d\xC3\xA4 d";
    guest_job_must_print(&job, expected, sizeof expected - 1);
    guest_must_close();
}

Test(job, what_a_login_would_have_set)
{
    guest_job_run(&job,
                  "umask; [ -n \"$HOME\" ] && [ \"$PWD\" = \"$HOME\" ] && [ -n \"$USER\" ] && "
                  "[ -n \"$SHELL\" ] && echo yes; [ -t 0 ] || cat");
    cr_assert_str_eq(job.out.data, "0022\nyes\n");
    guest_must_close();
}

Test(job, bad_environment)
{
    const char *env[] = {"1A=x", NULL};
    pq_job_request request = {.command = "true", .env = env};
    pq_job_events events = {0};
    cr_assert_null(pq_job_start(guest.session, &request, &events, NULL, &err));
    cr_assert_eq(err.code, PQ_E_USAGE);
}

Test(job, stdin_that_is_here)
{
    char *bytes = guest_bytes(50000);
    job.request.input = bytes;
    job.request.input_length = 50000;
    guest_job_run(&job, "cat");
    guest_job_must_print(&job, bytes, 50000);
    cr_assert_eq(guest.agent->calls[SHELL_EXEC], 1);
    free(bytes);
    guest_must_close();
}

Test(job, jobs_of_a_session)
{
    for (int i = 0; i < 3; i++) {
        guest_job each = {0};
        guest_job_run(&each, ONCE "printf hello");
        guest_job_must_print(&each, "hello", 5);
        guest_job_done(&each);
    }
    cr_assert_eq(guest_times_run(), 3);
    guest_must_close();
}

static bool has_job_file(unsigned number)
{
    const char *dir = strrchr(pq_session_dir(guest.session), '/') + 1;
    char name[200];
    snprintf(name, sizeof name, "tmp/%s/%u.s", dir, number);
    return access(guest_path("%s", name), F_OK) == 0;
}

Test(job, ended_jobs_are_removed_by_a_later_one)
{
    for (int i = 0; i < 9; i++) {
        guest_job each = {0};
        guest_job_run(&each, "true");
        guest_job_done(&each);
    }
    guest_await_idle();
    for (unsigned number = 1; number <= 8; number++)
        cr_assert_not(has_job_file(number), "%u", number);
    cr_assert(has_job_file(9));
    guest_must_close();
}

Test(job, a_background_child_does_not_hold_it)
{
    guest_job_run(&job, "sleep 1000 & printf out");
    guest_job_must_print(&job, "out", 3);
    cr_assert_eq(shell_agent_running(), 1);
    shell_agent_restart(guest.agent);
    guest_must_close();
}

/* ---- lost calls ---- */

static void run_with_fault(shell_call call, const char *part, shell_fault fault, pq_code code)
{
    rule(call, part, fault, code);
    guest_job_start(&job, ONCE "printf out; printf err >&2; exit 3");
    guest_job_await(&job);
    cr_assert_eq(job.err.code, PQ_OK, "%s", job.err.text);
    cr_assert_eq(job.result.exit_code, 3);
    guest_job_must_print(&job, "out", 3);
    cr_assert_str_eq(job.err_out.data, "err");
    must_have_run_once();
    guest_must_close();
}

Test(job, start_refused)
{
    run_with_fault(SHELL_EXEC, NULL, SHELL_REFUSE, PQ_E_AGENT_DOWN);
}

Test(job, start_lost)
{
    run_with_fault(SHELL_EXEC, NULL, SHELL_LOSE, PQ_E_NETWORK);
}

Test(job, start_timed_out)
{
    run_with_fault(SHELL_EXEC, NULL, SHELL_LOSE, PQ_E_AGENT_TIMEOUT);
}

Test(job, start_delivered_twice)
{
    run_with_fault(SHELL_EXEC, NULL, SHELL_TWICE, PQ_OK);
}

Test(job, status_refused)
{
    run_with_fault(SHELL_STATUS, NULL, SHELL_REFUSE, PQ_E_AGENT_DOWN);
}

Test(job, status_lost)
{
    run_with_fault(SHELL_STATUS, NULL, SHELL_LOSE, PQ_E_NETWORK);
}

Test(job, garbled_status)
{
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_STATUS,
                                               .times = 1,
                                               .fault = SHELL_LOSE,
                                               .code = PQ_E_BAD_ANSWER,
                                               .final = true});
    guest_job_run(&job, ONCE "printf out");
    guest_job_must_print(&job, "out", 3);
    must_have_run_once();
    guest_must_close();
}

Test(job, answer_without_a_trailer)
{
    shell_agent_rule(
        guest.agent,
        (shell_rule){.call = SHELL_STATUS, .times = 1, .fault = SHELL_END, .answer = "noise"});
    guest_job_run(&job, ONCE "printf out");
    guest_job_must_print(&job, "out", 3);
    must_have_run_once();
    guest_must_close();
}

Test(job, several_starts_lost)
{
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_EXEC,
                                               .part = pq_guest_job,
                                               .times = 3,
                                               .fault = SHELL_LOSE,
                                               .code = PQ_E_NETWORK});
    guest_job_run(&job, ONCE "printf out");
    guest_job_must_print(&job, "out", 3);
    must_have_run_once();
    cr_assert_eq(shell_agent_count(guest.agent, SHELL_EXEC, pq_guest_job), 4);
    guest_must_close();
}

static void allow(void *context)
{
    (void)context;
    guest_write("go", "", 0);
}

#define UNTIL_GO "while [ ! -e $DIR/go ]; do sleep 0.02; done; "

Test(job, forgotten_launcher_is_replaced_by_looks)
{
    rule(SHELL_STATUS, pq_guest_job, SHELL_FORGET, PQ_OK);
    shell_agent_rule(
        guest.agent,
        (shell_rule){.call = SHELL_STATUS, .part = pq_guest_look, .times = 1, .event = allow});
    guest_job_run(&job, ONCE "printf out; " UNTIL_GO "printf more; printf err >&2");
    guest_job_must_print(&job, "outmore", 7);
    cr_assert_str_eq(job.err_out.data, "err");
    must_have_run_once();
    cr_assert_geq(shell_agent_count(guest.agent, SHELL_EXEC, pq_guest_look), 2);
    guest_must_close();
}

static void forget_files(void *context)
{
    (void)context;
    char command[256];
    snprintf(command, sizeof command, "rm -rf '%s'", pq_session_dir(guest.session));
    cr_assert_eq(system(command), 0);
}

Test(job, files_gone_while_watched)
{
    rule(SHELL_STATUS, pq_guest_job, SHELL_FORGET, PQ_OK);
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_STATUS,
                                               .part = pq_guest_look,
                                               .times = 1,
                                               .event = forget_files});
    guest_job_start(&job, ONCE "sleep 1000");
    guest_job_must_fail(&job, PQ_E_OUTCOME_UNKNOWN, PQ_EFFECT_UNKNOWN);
    must_have_run_once();
}

Test(job, killed_launcher_is_told)
{
    rule(SHELL_EXEC, pq_guest_job, SHELL_KILL, PQ_OK);
    guest_job_run(&job, ONCE "printf out");
    guest_job_must_print(&job, "out", 3);
    must_have_run_once();
    guest_must_close();
}

static void restart_agent(void *context)
{
    (void)context;
    guest_await_run();
    shell_agent_restart(guest.agent);
}

Test(job, agent_restarts_while_it_runs)
{
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_STATUS,
                                               .part = pq_guest_job,
                                               .times = 1,
                                               .event = restart_agent});
    guest_job_start(&job, ONCE "sleep 1000");
    guest_job_must_fail(&job, PQ_E_GUEST_RESTARTED, PQ_EFFECT_UNKNOWN);
    must_have_run_once();
    guest_must_close();
}

Test(job, agent_restarts_while_it_is_watched)
{
    rule(SHELL_STATUS, pq_guest_job, SHELL_FORGET, PQ_OK);
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_STATUS,
                                               .part = pq_guest_look,
                                               .times = 1,
                                               .event = restart_agent});
    guest_job_start(&job, ONCE "sleep 1000");
    guest_job_must_fail(&job, PQ_E_GUEST_RESTARTED, PQ_EFFECT_UNKNOWN);
    must_have_run_once();
    guest_must_close();
}

Test(job, guest_down_for_good)
{
    guest.connect_timeout = 300;
    guest_open_session(guest.remote_tmp);
    shell_agent_rule(
        guest.agent,
        (shell_rule){.call = SHELL_EXEC, .fault = SHELL_REFUSE, .code = PQ_E_AGENT_DOWN});
    guest_job_start(&job, ONCE "true");
    guest_job_must_fail(&job, PQ_E_AGENT_DOWN, PQ_EFFECT_NONE);
    cr_assert_eq(guest_times_run(), 0);
}

Test(job, guest_down_after_a_lost_start)
{
    guest.connect_timeout = 300;
    guest_open_session(guest.remote_tmp);
    rule(SHELL_EXEC, NULL, SHELL_LOSE, PQ_E_NETWORK);
    shell_agent_rule(
        guest.agent,
        (shell_rule){.call = SHELL_EXEC, .fault = SHELL_REFUSE, .code = PQ_E_AGENT_DOWN});
    guest_job_start(&job, ONCE "true");
    guest_job_must_fail(&job, PQ_E_AGENT_DOWN, PQ_EFFECT_UNKNOWN);
    must_have_run_once();
}

Test(job, refused_for_good)
{
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_EXEC,
                                               .fault = SHELL_REFUSE,
                                               .code = PQ_E_VM_STOPPED,
                                               .final = true});
    guest_job_start(&job, ONCE "true");
    guest_job_must_fail(&job, PQ_E_VM_STOPPED, PQ_EFFECT_NONE);
    cr_assert_eq(guest.agent->calls[SHELL_EXEC], 1);
}

static void lose_memory_files(void *context)
{
    guest_await_run();
    shell_agent_restart(guest.agent);
    forget_files(context);
}

/* The guest was up for less than the time since the first try: simulated by a launcher whose claim
 * is gone, with the age of the try made longer than any uptime. */
Test(job, lost_claim_in_a_guest_that_is_up_for_longer_runs)
{
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_EXEC,
                                               .part = pq_guest_job,
                                               .times = 1,
                                               .fault = SHELL_LOSE,
                                               .code = PQ_E_NETWORK,
                                               .event = lose_memory_files});
    guest_job_run(&job, ONCE "true");
    cr_assert_eq(guest_times_run(), 2, "only a restart loses a claim, and there was none");
    guest_must_close();
}

Test(job, launcher_says_restarted)
{
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_STATUS,
                                               .times = 1,
                                               .fault = SHELL_END,
                                               .answer = "\npq1 restarted\n"});
    guest_job_start(&job, "true");
    guest_job_must_fail(&job, PQ_E_GUEST_RESTARTED, PQ_EFFECT_UNKNOWN);
}

Test(job, launcher_says_none)
{
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_STATUS,
                                               .times = 1,
                                               .fault = SHELL_END,
                                               .answer = "\npq1 none\n"});
    guest_job_start(&job, "true");
    guest_job_must_fail(&job, PQ_E_OUTCOME_UNKNOWN, PQ_EFFECT_UNKNOWN);
}

Test(job, launcher_says_what_nobody_knows)
{
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_STATUS,
                                               .times = 1,
                                               .fault = SHELL_END,
                                               .answer = "\npq1 hello 1\n"});
    guest_job_start(&job, "true");
    guest_job_must_fail(&job, PQ_E_BAD_ANSWER, PQ_EFFECT_UNKNOWN);
}

Test(job, absurd_numbers_in_the_answer)
{
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_STATUS,
                                               .times = 1,
                                               .fault = SHELL_END,
                                               .answer = "\npq1 end 999 4711 - - inline=1\n"});
    guest_job_start(&job, "true");
    guest_job_await(&job);
    cr_assert_eq(job.err.code, PQ_OK);
    cr_assert_eq(job.result.exit_code, 255);
    cr_assert_eq(job.result.signal, 0);
}

/* ---- what the guest lacks ---- */

Test(job, no_such_executable)
{
    job.request.executable = "/no/such";
    guest_job_start(&job, ONCE "true");
    guest_job_must_fail(&job, PQ_E_NO_EXECUTABLE, PQ_EFFECT_NONE);
    cr_assert_eq(guest_times_run(), 0);
    guest_must_close();
}

Test(job, no_such_directory)
{
    job.request.cwd = "/no/such";
    guest_job_start(&job, ONCE "true");
    guest_job_must_fail(&job, PQ_E_NO_CWD, PQ_EFFECT_NONE);
    cr_assert_eq(guest_times_run(), 0);
    guest_must_close();
}

Test(job, no_mkfifo)
{
    guest_hide_tools("mkfifo");
    job.input = "streamed";
    job.input_length = 8;
    guest_job_start(&job, ONCE "cat");
    guest_job_must_fail(&job, PQ_E_GUEST_TOOL, PQ_EFFECT_NONE);
    cr_assert_eq(guest_times_run(), 0);
    guest_must_close();
}

Test(job, few_tools)
{
    guest_hide_tools("setsid openssl python3 perl fallocate mkfifo stat sha256sum env head tr");
    guest_job_run(&job, ONCE "printf out");
    guest_job_must_print(&job, "out", 3);
    must_have_run_once();
    guest_must_close();
}

/* A small file system at remote_tmp, which only root can make. */
static void make_small_tmp(const char *size)
{
    char options[64];
    snprintf(options, sizeof options, "size=%s", size);
    if (mount("pq-test", guest.remote_tmp, "tmpfs", 0, options) != 0)
        cr_skip_test("cannot mount a tmpfs");
}

Test(job, no_space_for_output)
{
    make_small_tmp("200k");
    guest_job_start(&job, ONCE "head -c 1000000 /dev/zero");
    guest_job_await(&job);
    bool full = job.result.guest_full;
    pq_code code = job.err.code;
    size_t got = job.out.length;
    guest_must_close();
    umount(guest.remote_tmp);
    cr_assert_eq(code, PQ_OK, "%s", job.err.text);
    cr_assert(full, "the caller is told");
    cr_assert_gt(got, 100000);
    must_have_run_once();
}

Test(job, no_space_for_stdin)
{
    char *bytes = guest_bytes(300000);
    make_small_tmp("100k");
    job.request.input = bytes;
    job.request.input_length = 300000;
    guest_job_start(&job, ONCE "cat");
    guest_job_await(&job);
    guest_must_close();
    umount(guest.remote_tmp);
    free(bytes);
    cr_assert_eq(job.err.code, PQ_E_GUEST_FULL, "%s", job.err.text);
    cr_assert_eq(job.err.effect, PQ_EFFECT_NONE);
    cr_assert_eq(guest_times_run(), 0);
}
