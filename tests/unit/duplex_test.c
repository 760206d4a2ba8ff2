/* Two-way streams, against real shells. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exec/duplex.h"
#include "exec/guest_scripts.h"
#include "tests/unit/support/guest_file.h"

static struct {
    pq_duplex_request request;
    pq_duplex *stream;
    pq_buf out, err_out;
    bool ended;
    pq_error err; /* code PQ_OK: none */
    pq_job_result result;
    const char *input; /* sent as there is room */
    size_t input_length, input_sent;
    bool input_open;     /* its end does not come by itself */
    size_t pause_behind; /* bytes of stdout behind which the stream is paused once; 0: never */
    void (*on_output)(void);
} talk;

static char *bytes;

static void teardown(void)
{
    pq_duplex_drop(talk.stream);
    pq_buf_done(&talk.out);
    pq_buf_done(&talk.err_out);
    free(bytes);
    guest_teardown();
}

TestSuite(duplex, .init = guest_setup, .fini = teardown, .timeout = 60);

static pq_timer resume_timer;

static void resume(void *context)
{
    (void)context;
    pq_duplex_pause(talk.stream, false);
}

static void on_output(void *context, int number, const char *data, size_t length)
{
    (void)context;
    pq_buf *to = number == 1 ? &talk.out : &talk.err_out;
    pq_error err;
    cr_assert_eq(pq_buf_add(to, data, length, &err), 0, "%s", err.text);
    if (talk.pause_behind != 0 && talk.out.length >= talk.pause_behind) {
        talk.pause_behind = 0;
        pq_duplex_pause(talk.stream, true);
        pq_timer_start(guest.loop, &resume_timer, 300, resume, NULL);
    }
    if (talk.on_output != NULL)
        talk.on_output();
}

static void send(void *context)
{
    (void)context;
    pq_error err;
    size_t room = pq_duplex_input_room(talk.stream), left = talk.input_length - talk.input_sent;
    size_t take = left < room ? left : room;
    cr_assert_eq(pq_duplex_input(talk.stream, talk.input + talk.input_sent, take, &err), 0);
    talk.input_sent += take;
    if (talk.input_sent == talk.input_length && !talk.input_open)
        pq_duplex_input_end(talk.stream);
}

static void on_done(void *context, const pq_error *err, const pq_job_result *result)
{
    (void)context;
    talk.stream = NULL;
    talk.ended = true;
    if (err != NULL)
        talk.err = *err;
    else
        talk.result = *result;
    pq_loop_stop(guest.loop);
}

static void start(const char *command)
{
    static const pq_duplex_events events = {
        .output = on_output, .input_wanted = send, .done = on_done};
    static char dir[100], ran[100];
    static const char *env[] = {dir, ran, NULL};
    pq_error err;
    snprintf(dir, sizeof dir, "DIR=%s", guest.dir);
    snprintf(ran, sizeof ran, "RAN=%s", guest_path("ran"));
    talk.request.command = command;
    talk.request.env = env;
    talk.request.input = talk.input != NULL || talk.input_open;
    talk.stream = pq_duplex_start(guest.session, &talk.request, &events, NULL, &err);
    cr_assert_not_null(talk.stream, "%s", err.text);
    if (talk.input != NULL)
        send(NULL);
}

static void finish(void)
{
    while (!talk.ended)
        guest_run();
}

static void run(const char *command)
{
    start(command);
    finish();
    cr_assert_eq(talk.err.code, PQ_OK, "%s", talk.err.text);
}

static void must_print(const void *data, size_t length)
{
    cr_assert_eq(talk.out.length, length, "%zu, not %zu", talk.out.length, length);
    cr_assert_arr_eq(talk.out.data, data, length);
}

static void rule(shell_call call, const char *part, unsigned skip, unsigned times,
                 shell_fault fault, pq_code code)
{
    shell_agent_rule(guest.agent, (shell_rule){.call = call,
                                               .part = part,
                                               .skip = skip,
                                               .times = times,
                                               .fault = fault,
                                               .code = code});
}

Test(duplex, short_command)
{
    run("echo out; echo err >&2; exit 3");
    must_print("out\n", 4);
    cr_assert_eq(talk.err_out.length, 4);
    cr_assert_eq(talk.result.exit_code, 3);
    guest_must_close();
}

Test(duplex, death_by_signal)
{
    run("kill -KILL $$");
    cr_assert_eq(talk.result.signal, 9);
    cr_assert_eq(talk.result.exit_code, 137);
    guest_must_close();
}

Test(duplex, copies_what_it_gets)
{
    bytes = guest_bytes(3000000);
    talk.input = bytes;
    talk.input_length = 3000000;
    run("cat");
    must_print(bytes, 3000000);
    guest_must_close();
}

Test(duplex, much_output)
{
    run("head -c 30000000 /dev/zero; echo end >&2");
    cr_assert_eq(talk.out.length, 30000000);
    cr_assert_eq(talk.err_out.length, 4);
    guest_must_close();
}

Test(duplex, output_without_offset_reads)
{
    guest.agent->limits.offset_reads = false;
    bytes = guest_bytes(2000000);
    guest_write("big", bytes, 2000000);
    run("cat $DIR/big");
    must_print(bytes, 2000000);
    guest_must_close();
}

/* Each line is answered before the next one is sent. */
static void send_next_line(void)
{
    static unsigned lines;
    char line[20];
    pq_error err;
    if (talk.out.length < 4 * (size_t)(lines + 1))
        return;
    if (++lines == 20) {
        pq_duplex_input_end(talk.stream);
        return;
    }
    snprintf(line, sizeof line, "%03u\n", lines);
    cr_assert_eq(pq_duplex_input(talk.stream, line, 4, &err), 0);
}

Test(duplex, conversation)
{
    talk.input = "000\n";
    talk.input_length = 4;
    talk.input_open = true;
    talk.on_output = send_next_line;
    run("while read -r line; do printf '%s\n' \"$line\"; done; exit 5");
    cr_assert_eq(talk.out.length, 80);
    cr_assert_eq(talk.result.exit_code, 5);
    guest_must_close();
}

Test(duplex, input_ends_before_output)
{
    talk.input = "x";
    talk.input_length = 1;
    run("cat; sleep 0.3; echo more; sleep 0.3; echo end");
    must_print("xmore\nend\n", 10);
    guest_must_close();
}

Test(duplex, command_that_takes_no_input)
{
    bytes = guest_bytes(6000000);
    talk.input = bytes;
    talk.input_length = 6000000;
    run("exec <&-; sleep 0.5; echo done");
    must_print("done\n", 5);
    guest_must_close();
}

Test(duplex, paused)
{
    talk.pause_behind = 1000000;
    run("head -c 20000000 /dev/zero");
    cr_assert_eq(talk.out.length, 20000000);
    guest_must_close();
}

Test(duplex, bounded_in_the_guest)
{
    talk.pause_behind = 1;
    start("head -c 30000000 /dev/zero");
    pq_timer stop = {0};
    pq_timer_start(guest.loop, &stop, 2000, (pq_loop_fn)pq_loop_stop, guest.loop);
    guest_run();
    finish();
    cr_assert_eq(talk.err.code, PQ_OK, "%s", talk.err.text);
    cr_assert_eq(talk.out.length, 30000000, "%zu", talk.out.length);
    guest_must_close();
}

Test(duplex, lost_answers)
{
    bytes = guest_bytes(1000000);
    talk.input = bytes;
    talk.input_length = 1000000;
    rule(SHELL_EXEC, pq_guest_stream, 0, 1, SHELL_LOSE, PQ_E_NETWORK);
    rule(SHELL_EXEC, pq_guest_pump, 1, 1, SHELL_LOSE, PQ_E_NETWORK);
    rule(SHELL_STATUS, pq_guest_pump, 2, 1, SHELL_FORGET, PQ_OK);
    rule(SHELL_EXEC, pq_guest_pump, 3, 1, SHELL_TWICE, PQ_OK);
    rule(SHELL_EXEC, pq_guest_piece, 1, 1, SHELL_LOSE, PQ_E_NETWORK);
    rule(SHELL_STATUS, pq_guest_stream, 0, 1, SHELL_FORGET, PQ_OK);
    run("echo x >>$RAN; cat");
    must_print(bytes, 1000000);
    cr_assert_eq(guest_times_run(), 1);
    guest_must_close();
}

Test(duplex, conversation_with_every_third_answer_lost)
{
    talk.input = "000\n";
    talk.input_length = 4;
    talk.input_open = true;
    talk.on_output = send_next_line;
    for (unsigned skip = 0; skip < 30; skip += 3)
        rule(SHELL_EXEC, pq_guest_pump, skip, 1, SHELL_LOSE, PQ_E_NETWORK);
    run("while read -r line; do printf '%s\n' \"$line\"; done");
    cr_assert_eq(talk.out.length, 80);
    guest_must_close();
}

Test(duplex, child_in_the_background)
{
    run("sleep 5 & echo $! >$DIR/pid; echo started");
    must_print("started\n", 8);
    size_t length;
    char *pid = guest_content("pid", &length);
    cr_assert_not_null(pid);
    kill(atoi(pid), SIGKILL);
    free(pid);
    guest_must_close();
}

static void signal_it(void)
{
    talk.on_output = NULL;
    pq_duplex_signal(talk.stream, "USR1");
}

Test(duplex, signals)
{
    talk.on_output = signal_it;
    run("trap 'echo got; exit 4' USR1; echo ready; while :; do sleep 0.05; done");
    must_print("ready\ngot\n", 10);
    cr_assert_eq(talk.result.exit_code, 4);
    guest_must_close();
}

static void cancel_it(void)
{
    talk.on_output = NULL;
    pq_duplex_cancel(talk.stream);
}

Test(duplex, cancelled)
{
    talk.on_output = cancel_it;
    start("echo ready; sleep 100");
    finish();
    cr_assert_eq(talk.err.code, PQ_E_CANCELLED);
    cr_assert_eq(talk.err.effect, PQ_EFFECT_DONE);
    guest_must_close();
}

Test(duplex, cancelled_before_it_began)
{
    start("echo x >>$RAN");
    pq_duplex_cancel(talk.stream);
    finish();
    cr_assert_eq(talk.err.code, PQ_E_CANCELLED);
    cr_assert_eq(talk.err.effect, PQ_EFFECT_NONE);
    cr_assert_eq(guest_times_run(), 0);
    guest_must_close();
}

Test(duplex, no_such_shell)
{
    talk.request.executable = "/no/such/shell";
    start("echo");
    finish();
    cr_assert_eq(talk.err.code, PQ_E_NO_EXECUTABLE);
    cr_assert_eq(talk.err.effect, PQ_EFFECT_NONE);
    guest_must_close();
}

Test(duplex, nowhere_to_write)
{
    guest_open_session("/proc/no");
    start("echo");
    finish();
    cr_assert_eq(talk.err.code, PQ_E_REMOTE_TMP);
    cr_assert_eq(talk.err.effect, PQ_EFFECT_NONE);
}

Test(duplex, bad_environment)
{
    static const pq_duplex_events events = {.output = on_output, .done = on_done};
    const char *const env[] = {"no assignment", NULL};
    pq_duplex_request request = {.command = "true", .env = env};
    pq_error err;
    cr_assert_null(pq_duplex_start(guest.session, &request, &events, NULL, &err));
    cr_assert_eq(err.code, PQ_E_USAGE);
}

Test(duplex, dropped)
{
    start("sleep 100");
    pq_timer stop = {0};
    pq_timer_start(guest.loop, &stop, 500, (pq_loop_fn)pq_loop_stop, guest.loop);
    guest_run();
    pq_duplex_drop(talk.stream);
    talk.stream = NULL;
}
