/* Jobs where remote_tmp cannot be written. */
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

TestSuite(job_plain, .init = guest_setup, .fini = teardown, .timeout = 30);

static void must_have_run_once(void)
{
    cr_assert_eq(guest_times_run(), 1, "ran %u times", guest_times_run());
}

static void make_plain(void)
{
    static char missing[128];
    snprintf(missing, sizeof missing, "%s/missing", guest.dir);
    guest_open_session(missing);
}

Test(job_plain, output_and_status)
{
    make_plain();
    guest_job_start(&job, ONCE "printf out; printf err >&2; exit 4");
    guest_job_await(&job);
    cr_assert_eq(job.err.code, PQ_OK, "%s", job.err.text);
    cr_assert_eq(job.result.exit_code, 4);
    guest_job_must_print(&job, "out", 3);
    cr_assert_str_eq(job.err_out.data, "err");
    must_have_run_once();
    cr_assert(pq_session_is_plain(guest.session));
    unsigned calls = guest.agent->calls[SHELL_EXEC];
    guest_job second = {0};
    guest_job_run(&second, ONCE "printf two");
    guest_job_must_print(&second, "two", 3);
    guest_job_done(&second);
    cr_assert_eq(guest.agent->calls[SHELL_EXEC], calls + 1, "it is remembered");
    cr_assert_eq(guest_times_run(), 2);
    guest_must_close();
}

Test(job_plain, stdin)
{
    char *bytes = guest_bytes(65536);
    make_plain();
    job.request.input = bytes;
    job.request.input_length = 65536;
    guest_job_run(&job, ONCE "cat");
    guest_job_must_print(&job, bytes, 65536);
    must_have_run_once();
    free(bytes);
}

Test(job_plain, stdin_too_long)
{
    char *bytes = guest_bytes(65537);
    make_plain();
    job.request.input = bytes;
    job.request.input_length = 65537;
    guest_job_start(&job, ONCE "cat");
    guest_job_must_fail(&job, PQ_E_REMOTE_TMP, PQ_EFFECT_NONE);
    cr_assert_eq(guest_times_run(), 0);
    free(bytes);
}

Test(job_plain, stdin_streamed)
{
    make_plain();
    job.input = "streamed";
    job.input_length = 8;
    job.input_open = true;
    guest_job_start(&job, ONCE "cat");
    guest_job_must_fail(&job, PQ_E_REMOTE_TMP, PQ_EFFECT_NONE);
    cr_assert_eq(guest_times_run(), 0);
}

Test(job_plain, stdin_streamed_that_has_ended_by_then)
{
    make_plain();
    job.input = "streamed";
    job.input_length = 8;
    guest_job_run(&job, ONCE "cat");
    guest_job_must_print(&job, "streamed", 8);
    must_have_run_once();
}

Test(job_plain, lost_start_is_not_repeated)
{
    make_plain();
    shell_agent_rule(
        guest.agent,
        (shell_rule){
            .call = SHELL_EXEC, .skip = 1, .times = 1, .fault = SHELL_LOSE, .code = PQ_E_NETWORK});
    guest_job_start(&job, ONCE "true");
    guest_job_must_fail(&job, PQ_E_OUTCOME_UNKNOWN, PQ_EFFECT_UNKNOWN);
    guest_await_idle();
    must_have_run_once();
}

Test(job_plain, lost_end_is_not_repeated)
{
    make_plain();
    /* " pn ": the flags of a launcher without a directory. */
    shell_agent_rule(guest.agent,
                     (shell_rule){.call = SHELL_STATUS, .part = " pn ", .fault = SHELL_FORGET});
    guest_job_start(&job, ONCE "true");
    guest_job_must_fail(&job, PQ_E_OUTCOME_UNKNOWN, PQ_EFFECT_UNKNOWN);
    guest_await_idle();
    must_have_run_once();
}

Test(job_plain, output_of_a_mebibyte)
{
    char *bytes = guest_bytes(1048576);
    guest_write("bytes", bytes, 1048576);
    make_plain();
    guest_job_run(&job, ONCE "cat $DIR/bytes");
    guest_job_must_print(&job, bytes, 1048576);
    must_have_run_once();
    free(bytes);
}
