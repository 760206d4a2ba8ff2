/* Jobs whose command is long. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exec/guest_scripts.h"
#include "tests/unit/support/guest_file.h"

#define ONCE "echo x >>$RAN; "

static guest_job job;

static void teardown(void)
{
    guest_job_done(&job);
    guest_teardown();
}

TestSuite(job_text, .init = guest_setup, .fini = teardown, .timeout = 30);

static void must_have_run_once(void)
{
    cr_assert_eq(guest_times_run(), 1, "ran %u times", guest_times_run());
}

static void rule(shell_call call, const char *part, shell_fault fault, pq_code code)
{
    shell_agent_rule(guest.agent, (shell_rule){
                                      .call = call,
                                      .part = part,
                                      .times = 1,
                                      .fault = fault,
                                      .code = code,
                                  });
}

/* A command of `length` bytes that prints its comment's length. */
static char *long_command(size_t length)
{
    static const char end[] = "'; " ONCE "printf %s ${#x}";
    char *text = malloc(length + 1);
    memset(text, 'x', length);
    memcpy(text, "x='", 3);
    strcpy(text + length - strlen(end), end);
    return text;
}

static void run_long(size_t length)
{
    char number[32];
    char *text = long_command(length);
    guest_job_run(&job, text);
    snprintf(number, sizeof number, "%zu", length - strlen("'; " ONCE "printf %s ${#x}") - 3);
    guest_job_must_print(&job, number, strlen(number));
    must_have_run_once();
    free(text);
}

Test(job_text, command_in_several_arguments)
{
    run_long(100000);
    cr_assert_eq(guest.agent->calls[SHELL_EXEC], 1);
    guest_must_close();
}

/* Its shell takes it as one argument, of at most 128 KiB. */
Test(job_text, command_longer_than_an_argument)
{
    run_long(300000);
    guest_must_close();
}

Test(job_text, command_of_a_mebibyte_is_staged)
{
    run_long(1048576);
    cr_assert_geq(shell_agent_count(guest.agent, SHELL_EXEC, pq_guest_piece), 2);
    guest_must_close();
}

Test(job_text, staging_survives_lost_answers)
{
    rule(SHELL_EXEC, pq_guest_piece, SHELL_LOSE, PQ_E_NETWORK);
    rule(SHELL_STATUS, pq_guest_piece, SHELL_LOSE, PQ_E_NETWORK);
    run_long(1048576);
    guest_must_close();
}

Test(job_text, staging_without_a_directory)
{
    char *text = long_command(1048576);
    guest_open_session(guest_path("missing"));
    guest_job_start(&job, text);
    guest_job_must_fail(&job, PQ_E_REMOTE_TMP, PQ_EFFECT_NONE);
    free(text);
}

Test(job_text, staging_without_space)
{
    char *text = long_command(1048576);
    guest_limit_tmp("100k");
    guest_job_start(&job, text);
    guest_job_await(&job);
    guest_must_close();
    guest_unlimit_tmp();
    free(text);
    cr_assert_eq(job.err.code, PQ_E_GUEST_FULL, "%s", job.err.text);
    cr_assert_eq(job.err.effect, PQ_EFFECT_NONE);
}

Test(job_text, launcher_too_large_is_staged)
{
    guest.agent->refuse_bytes = 60000;
    run_long(300000);
    cr_assert_geq(shell_agent_count(guest.agent, SHELL_EXEC, pq_guest_piece), 2);
    guest_must_close();
}

Test(job_text, stage_too_large_is_cut_anew)
{
    guest.agent->refuse_bytes = 60000;
    run_long(1048576);
    guest_must_close();
}

Test(job_text, everything_is_too_large)
{
    shell_agent_rule(
        guest.agent,
        (shell_rule){.call = SHELL_EXEC, .fault = SHELL_REFUSE, .code = PQ_E_TOO_LARGE});
    guest_job_start(&job, ONCE "true");
    guest_job_must_fail(&job, PQ_E_TOO_LARGE, PQ_EFFECT_NONE);
    cr_assert_eq(guest_times_run(), 0);
    cr_assert_lt(guest.agent->calls[SHELL_EXEC], 10);
}

Test(job_text, everything_is_too_large_for_a_staged_command)
{
    char *text = long_command(1048576);
    shell_agent_rule(
        guest.agent,
        (shell_rule){.call = SHELL_EXEC, .fault = SHELL_REFUSE, .code = PQ_E_TOO_LARGE});
    guest_job_start(&job, text);
    guest_job_must_fail(&job, PQ_E_TOO_LARGE, PQ_EFFECT_NONE);
    cr_assert_lt(guest.agent->calls[SHELL_EXEC], 10);
    free(text);
}
