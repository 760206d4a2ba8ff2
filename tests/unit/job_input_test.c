/* stdin of a job in pieces. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exec/guest_scripts.h"
#include "tests/unit/support/guest_file.h"

#define ONCE "echo x >>$RAN; "
#define UNTIL_GO "while [ ! -e $DIR/go ]; do sleep 0.02; done; "

static guest_job job;
static char *bytes;

static void teardown(void)
{
    guest_job_done(&job);
    free(bytes);
    guest_teardown();
}

TestSuite(job_input, .init = guest_setup, .fini = teardown, .timeout = 30);

static void stream(size_t length)
{
    bytes = guest_bytes(length);
    job.input = bytes;
    job.input_length = length;
}

/* Copies all of `length` bytes through cat. */
static void run_cat(void)
{
    guest_job_run(&job, ONCE "cat >$DIR/got");
    size_t length = 0;
    char *got = guest_content("got", &length);
    cr_assert_eq(length, job.input_length);
    cr_assert_arr_eq(got, bytes, length);
    free(got);
    cr_assert_eq(guest_times_run(), 1);
    guest_must_close();
}

static void rule(shell_call call, unsigned skip, shell_fault fault, pq_code code)
{
    shell_agent_rule(guest.agent, (shell_rule){.call = call,
                                               .part = pq_guest_piece,
                                               .skip = skip,
                                               .times = 1,
                                               .fault = fault,
                                               .code = code});
}

Test(job_input, a_few_bytes)
{
    stream(10);
    run_cat();
    cr_assert_leq(shell_agent_count(guest.agent, SHELL_EXEC, pq_guest_piece), 2);
}

Test(job_input, three_mebibytes)
{
    stream(3 * 1048576);
    run_cat();
    cr_assert_leq(shell_agent_count(guest.agent, SHELL_EXEC, pq_guest_piece), 30,
                  "calls are filled");
}

Test(job_input, in_small_writes)
{
    stream(2000);
    job.input_chunk = 100;
    run_cat();
}

Test(job_input, too_long_for_the_launcher_but_all_there)
{
    bytes = guest_bytes(1000000);
    job.request.input = bytes;
    job.request.input_length = job.input_length = 1000000;
    run_cat();
}

Test(job_input, nothing)
{
    job.input = "";
    guest_job_start(&job, ONCE "cat; echo end");
    pq_job_input_end(job.job);
    guest_job_await(&job);
    cr_assert_eq(job.err.code, PQ_OK, "%s", job.err.text);
    guest_job_must_print(&job, "end\n", 4);
    guest_must_close();
}

Test(job_input, begins_with_what_is_there)
{
    job.request.input = "first ";
    job.request.input_length = 6;
    job.input = "second";
    job.input_length = 6;
    guest_job_run(&job, "cat");
    guest_job_must_print(&job, "first second", 12);
    guest_must_close();
}

Test(job_input, lost_answers)
{
    stream(2 * 1048576);
    rule(SHELL_EXEC, 0, SHELL_LOSE, PQ_E_NETWORK);
    rule(SHELL_EXEC, 3, SHELL_TWICE, PQ_OK);
    rule(SHELL_STATUS, 3, SHELL_FORGET, PQ_OK);
    rule(SHELL_STATUS, 5, SHELL_LOSE, PQ_E_AGENT_TIMEOUT);
    run_cat();
}

Test(job_input, pieces_overtake_each_other)
{
    stream(2 * 1048576);
    shell_agent_rule(
        guest.agent,
        (shell_rule){
            .call = SHELL_EXEC, .part = pq_guest_piece, .skip = 1, .times = 1, .delay = 150});
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_EXEC,
                                               .part = pq_guest_piece,
                                               .skip = 2,
                                               .times = 1,
                                               .fault = SHELL_REFUSE,
                                               .code = PQ_E_AGENT_DOWN});
    run_cat();
}

Test(job_input, pieces_come_before_the_launcher)
{
    stream(1000);
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_EXEC,
                                               .part = pq_guest_job,
                                               .times = 2,
                                               .fault = SHELL_REFUSE,
                                               .code = PQ_E_AGENT_DOWN});
    run_cat();
    cr_assert_geq(shell_agent_count(guest.agent, SHELL_EXEC, pq_guest_piece), 2);
}

Test(job_input, too_large_pieces_are_cut_anew)
{
    stream(1000000);
    guest.agent->refuse_bytes = 60000;
    run_cat();
}

Test(job_input, every_piece_is_too_large)
{
    stream(1000000);
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_EXEC,
                                               .part = pq_guest_piece,
                                               .fault = SHELL_REFUSE,
                                               .code = PQ_E_TOO_LARGE});
    guest_job_start(&job, "cat");
    guest_job_await(&job);
    cr_assert_eq(job.err.code, PQ_E_TOO_LARGE);
    cr_assert_lt(shell_agent_count(guest.agent, SHELL_EXEC, "sh"), 10);
}

static void allow(void *context)
{
    (void)context;
    guest_write("go", "", 0);
}

static pq_timer go_timer;

/* 6 MiB wait for a command that reads late: memory here and disk there stay bounded. */
Test(job_input, late_consumer)
{
    stream(6 * 1048576);
    guest_job_start(&job, ONCE UNTIL_GO "cat >$DIR/got");
    pq_timer_start(guest.loop, &go_timer, 700, allow, NULL);
    guest_job_await(&job);
    cr_assert_eq(job.err.code, PQ_OK, "%s", job.err.text);
    cr_assert_eq(job.result.exit_code, 0);
    size_t length = 0;
    char *got = guest_content("got", &length);
    cr_assert_eq(length, job.input_length);
    cr_assert_arr_eq(got, bytes, length);
    free(got);
    cr_assert_eq(guest_times_run(), 1);
    guest_must_close();
}

static size_t sent_by_then;

static void note_sent(void *context)
{
    (void)context;
    sent_by_then = job.input_sent;
    pq_job_cancel(job.job);
}

Test(job_input, window_stays_full_while_nobody_reads)
{
    stream(12 * 1048576);
    guest_job_start(&job, ONCE "sleep 1000");
    pq_timer_start(guest.loop, &go_timer, 700, note_sent, NULL);
    guest_job_await(&job);
    cr_assert_eq(job.err.code, PQ_E_CANCELLED);
    cr_assert_eq(job.err.effect, PQ_EFFECT_DONE);
    cr_assert_lt(sent_by_then, 8 * 1048576);
    guest_must_close();
}

Test(job_input, command_that_does_not_read)
{
    stream(3 * 1048576);
    guest_job_run(&job, ONCE "echo out");
    guest_job_must_print(&job, "out\n", 4);
    cr_assert_eq(guest_times_run(), 1);
    guest_must_close();
}

Test(job_input, command_that_reads_some)
{
    stream(3 * 1048576);
    guest_job_run(&job, ONCE "head -c 5 | wc -c");
    guest_job_must_print(&job, "5\n", 2);
    guest_must_close();
}

Test(job_input, command_that_closes_its_stdin)
{
    stream(3 * 1048576);
    guest_job_run(&job, ONCE "exec <&-; sleep 0.3; echo out");
    guest_job_must_print(&job, "out\n", 4);
    guest_must_close();
}

static void end_input(guest_job *of)
{
    if (of->out.length < 4)
        return;
    pq_job_input_end(of->job);
}

/* The answer to what was typed comes while stdin is open. */
Test(job_input, conversation)
{
    job.input = "ping\n";
    job.input_length = 5;
    job.input_open = true;
    job.request.live = true;
    job.on_output = end_input;
    guest_job_run(&job, "read -r line; echo $line; cat; echo end");
    guest_job_must_print(&job, "ping\nend\n", 9);
    guest_must_close();
}

Test(job_input, room_is_bounded_and_ends)
{
    pq_error err;
    job.input = "";
    guest_job_start(&job, "cat >/dev/null");
    cr_assert_eq(pq_job_input_room(job.job), PQ_INPUT_WINDOW);
    char *block = calloc(1, PQ_INPUT_WINDOW);
    cr_assert_eq(pq_job_input(job.job, block, PQ_INPUT_WINDOW, &err), 0);
    free(block);
    cr_assert_eq(pq_job_input_room(job.job), 0);
    pq_job_input_end(job.job);
    cr_assert_eq(pq_job_input_room(job.job), 0);
    guest_job_await(&job);
    cr_assert_eq(job.err.code, PQ_OK);
    guest_must_close();
}

Test(job_input, base64_by_another_tool)
{
    guest_hide_tools("base64");
    stream(500000);
    run_cat();
}

Test(job_input, nothing_to_decode_with)
{
    guest_hide_tools("base64 openssl python3 perl");
    stream(500000);
    run_cat();
}

Test(job_input, nothing_to_decode_with_and_all_there)
{
    guest_hide_tools("base64 openssl python3 perl");
    bytes = guest_bytes(300000);
    job.request.input = bytes;
    job.request.input_length = job.input_length = 300000;
    run_cat();
}

Test(job_input, no_space_for_pieces)
{
    guest_limit_tmp("1m");
    stream(6 * 1048576);
    guest_job_start(&job, ONCE "sleep 1000");
    guest_job_await(&job);
    guest_must_close();
    guest_unlimit_tmp();
    cr_assert_eq(job.err.code, PQ_E_GUEST_FULL, "%s", job.err.text);
    cr_assert_eq(job.err.effect, PQ_EFFECT_DONE);
    cr_assert_eq(guest_times_run(), 1);
}

Test(job_input, more_in_parallel_than_pieces)
{
    guest.agent->limits.parallel = 100;
    stream(3 * 1048576);
    run_cat();
}

Test(job_input, what_comes_after_the_end_is_dropped)
{
    pq_error err;
    job.input = "";
    guest_job_start(&job, "exec <&-; sleep 0.1");
    while (pq_job_input_room(job.job) > 0) {
        cr_assert_eq(pq_job_input(job.job, "x", 1, &err), 0);
        pq_timer_start(guest.loop, &go_timer, 5, (pq_loop_fn)pq_loop_stop, guest.loop);
        guest_run();
        if (job.ended)
            break;
    }
    pq_timer_stop(&go_timer);
    guest_job_await(&job);
    cr_assert_eq(job.err.code, PQ_OK, "%s", job.err.text);
    guest_must_close();
}
