/* What a session keeps, and what it leaves in the guest. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <utime.h>

#include "exec/guest_scripts.h"
#include "tests/unit/support/guest_bench.h"

static pq_error err;
static pq_error closed_err;

TestSuite(session, .init = guest_setup, .fini = guest_teardown, .timeout = 20);

static void on_closed(void *context, const pq_error *failure)
{
    (void)context;
    pq_error_clear(&closed_err);
    if (failure != NULL)
        closed_err = *failure;
    pq_loop_stop(guest.loop);
}

static pq_code close_session(void)
{
    pq_session_close(guest.session, on_closed, NULL);
    guest_run();
    return closed_err.code;
}

static void run_a_job(void)
{
    guest_job job = {0};
    guest_job_run(&job, "true");
    guest_job_done(&job);
}

static void must_refuse(const char *remote_tmp)
{
    pq_session_options options = {.remote_tmp = remote_tmp};
    cr_assert_null(pq_session_new(&guest.agent->agent, &options, &err), "'%s'", remote_tmp);
    cr_assert_eq(err.code, PQ_E_CONFIG);
}

Test(session, remote_tmp_that_cannot_be_right)
{
    char path[1000];
    must_refuse("");
    must_refuse("tmp");
    must_refuse("./tmp");
    must_refuse("/t\xC3\xBCp");
    must_refuse("/a\nb");
    must_refuse("/a\x7F");
    memset(path, 'a', sizeof path);
    path[0] = '/';
    path[901] = '\0';
    must_refuse(path);
    path[900] = '\0';
    pq_session_options options = {.remote_tmp = path};
    pq_session *session = pq_session_new(&guest.agent->agent, &options, &err);
    cr_assert_not_null(session);
    pq_session_free(session);
}

Test(session, paths)
{
    guest_open_session("/run/x//");
    cr_assert_str_eq(pq_session_remote_tmp(guest.session), "/run/x");
    cr_assert_eq(strncmp(pq_session_dir(guest.session), "/run/x/.pve-qga-run-", 20), 0);
    cr_assert_eq(strlen(pq_session_dir(guest.session)), 20 + 32, "128 random bits");
    char expected[128];
    snprintf(expected, sizeof expected, "%s.files", pq_session_dir(guest.session));
    cr_assert_str_eq(pq_session_files_dir(guest.session), expected);
    guest_open_session("/");
    cr_assert_str_eq(pq_session_remote_tmp(guest.session), "/");
    cr_assert_eq(strncmp(pq_session_dir(guest.session), "/.pve-qga-run-", 14), 0);
}

Test(session, names_differ)
{
    char first[128];
    snprintf(first, sizeof first, "%s", pq_session_dir(guest.session));
    guest_open_session(guest.remote_tmp);
    cr_assert_str_neq(pq_session_dir(guest.session), first);
}

Test(session, numbers)
{
    cr_assert_eq(pq_session_next_number(guest.session), 1);
    cr_assert_eq(pq_session_next_number(guest.session), 2);
}

static void must_take_ended(const char *expected)
{
    pq_buf out = {0};
    cr_assert_eq(pq_session_take_ended(guest.session, &out, &err), 0);
    cr_assert_str_eq(out.data, expected);
    pq_buf_done(&out);
}

Test(session, ended_jobs_are_told_in_batches)
{
    must_take_ended("-");
    for (unsigned i = 1; i < 8; i++)
        pq_session_job_ended(guest.session, i, 100);
    must_take_ended("-");
    pq_session_job_ended(guest.session, 8, 100);
    must_take_ended("1 2 3 4 5 6 7 8");
    must_take_ended("-");
}

Test(session, ended_jobs_of_large_files_are_told_soon)
{
    pq_session_job_ended(guest.session, 3, 100);
    must_take_ended("-");
    pq_session_job_ended(guest.session, 7, 2 * 1024 * 1024);
    must_take_ended("3 7");
    pq_session_job_ended(guest.session, 9, 100);
    must_take_ended("-");
}

Test(session, many_ended_jobs_stay_bounded)
{
    pq_buf out = {0};
    for (unsigned i = 0; i < 10000; i++)
        pq_session_job_ended(guest.session, i, 1);
    cr_assert_eq(pq_session_take_ended(guest.session, &out, &err), 0);
    cr_assert_lt(out.length, 1000);
    pq_buf_done(&out);
}

Test(session, ended_jobs_without_memory)
{
    pq_buf out = {.maximum = 4};
    for (unsigned i = 1000; i < 1010; i++)
        pq_session_job_ended(guest.session, i, 1);
    cr_assert_eq(pq_session_take_ended(guest.session, &out, &err), -1);
    cr_assert_eq(err.code, PQ_E_TOO_LARGE);
    pq_buf_done(&out);
}

Test(session, learns_once)
{
    pq_trailer none = {.state = "end", .fields = "0 0 - -"};
    pq_trailer with = {.state = "end", .fields = "0 0 - - flags=pd boot=x"};
    pq_trailer without = {.state = "end", .fields = "0 0 - - flags=p"};
    cr_assert_str_eq(pq_session_launch_flags(guest.session), "p");
    pq_session_learn(guest.session, &none);
    cr_assert_str_eq(pq_session_launch_flags(guest.session), "p");
    pq_session_learn(guest.session, &with);
    cr_assert_str_eq(pq_session_launch_flags(guest.session), "d");
    pq_session_learn(guest.session, &without);
    cr_assert_str_eq(pq_session_launch_flags(guest.session), "d");
    guest_open_session(guest.remote_tmp);
    pq_session_learn(guest.session, &without);
    cr_assert_str_eq(pq_session_launch_flags(guest.session), "");
}

Test(session, first_job_tells_the_tools_and_later_ones_do_not)
{
    run_a_job();
    cr_assert_str_neq(pq_session_launch_flags(guest.session), "p");
    guest_must_close();
}

Test(session, clean_close_asks_nothing)
{
    cr_assert_eq(close_session(), PQ_OK);
    cr_assert_eq(guest.agent->calls[SHELL_EXEC], 0);
}

Test(session, close_removes_everything)
{
    run_a_job();
    cr_assert_eq(guest_entries("tmp"), 1);
    cr_assert_eq(mkdir(pq_session_files_dir(guest.session), 0700), 0);
    cr_assert_eq(close_session(), PQ_OK);
    guest_must_be_clean();
    unsigned calls = guest.agent->calls[SHELL_EXEC];
    cr_assert_eq(close_session(), PQ_OK);
    cr_assert_eq(guest.agent->calls[SHELL_EXEC], calls, "nothing is left to do");
}

Test(session, directory_is_private)
{
    struct stat info;
    run_a_job();
    cr_assert_eq(stat(pq_session_dir(guest.session), &info), 0);
    cr_assert_eq(info.st_mode & 07777, 0700);
    guest_must_close();
}

Test(session, used_again_after_a_close)
{
    run_a_job();
    cr_assert_eq(close_session(), PQ_OK);
    run_a_job();
    guest_must_close();
}

static void make_old(const char *name, long hours)
{
    struct utimbuf times;
    times.actime = times.modtime = time(NULL) - hours * 3600;
    cr_assert_eq(mkdir(guest_path("tmp/%s", name), 0700), 0);
    guest_write("tmp/keep", "", 0);
    cr_assert_eq(utime(guest_path("tmp/%s", name), &times), 0);
}

Test(session, close_removes_what_dead_sessions_left)
{
    make_old(".pve-qga-run-dead", 30);
    make_old(".pve-qga-run-dead.files", 30);
    make_old(".pve-qga-run-young", 1);
    make_old("other", 100);
    run_a_job();
    cr_assert_eq(close_session(), PQ_OK);
    cr_assert_neq(access(guest_path("tmp/.pve-qga-run-dead"), F_OK), 0);
    cr_assert_neq(access(guest_path("tmp/.pve-qga-run-dead.files"), F_OK), 0);
    cr_assert_eq(access(guest_path("tmp/.pve-qga-run-young"), F_OK), 0, "it may be in use");
    cr_assert_eq(access(guest_path("tmp/other"), F_OK), 0, "not ours");
    cr_assert_eq(access(guest_path("tmp/keep"), F_OK), 0, "not ours");
}

Test(session, close_by_lost_calls)
{
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_EXEC,
                                               .part = pq_guest_close,
                                               .times = 1,
                                               .fault = SHELL_LOSE,
                                               .code = PQ_E_NETWORK});
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_STATUS,
                                               .part = pq_guest_close,
                                               .times = 1,
                                               .fault = SHELL_FORGET});
    run_a_job();
    guest_must_close();
}

Test(session, close_says_what_stays)
{
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_STATUS,
                                               .part = pq_guest_close,
                                               .times = 1,
                                               .fault = SHELL_END,
                                               .answer = "\npq1 left\n"});
    run_a_job();
    cr_assert_eq(close_session(), PQ_E_REMOTE_TMP);
    cr_assert_not_null(strstr(closed_err.text, pq_session_dir(guest.session)));
    guest_must_close();
}

Test(session, close_without_an_agent)
{
    run_a_job();
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_EXEC,
                                               .times = 1,
                                               .fault = SHELL_REFUSE,
                                               .code = PQ_E_VM_STOPPED,
                                               .final = true});
    cr_assert_eq(close_session(), PQ_E_VM_STOPPED);
    cr_assert_not_null(strstr(closed_err.text, "may be left in the guest"), "%s", closed_err.text);
    guest_must_close();
}

Test(session, freed_while_it_closes)
{
    run_a_job();
    pq_session_close(guest.session, on_closed, NULL);
    pq_session_free(guest.session);
    guest.session = NULL;
    pq_session_free(NULL);
    guest_await_idle();
}

Test(session, plain_is_remembered)
{
    cr_assert_not(pq_session_is_plain(guest.session));
    pq_session_set_plain(guest.session);
    cr_assert(pq_session_is_plain(guest.session));
}

Test(session, accessors)
{
    cr_assert_eq(pq_session_agent(guest.session), &guest.agent->agent);
    cr_assert_eq(pq_session_loop(guest.session), guest.loop);
    cr_assert_eq(pq_session_limits(guest.session), &guest.agent->limits);
    cr_assert_eq(pq_session_connect_timeout(guest.session), guest.connect_timeout);
}
