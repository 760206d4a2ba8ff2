#include "shim/rsh/relay.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exec/duplex.h"
#include "shim/outputs.h"
#include "shim/rsh/session.h"
#include "shim/rsh/terminal.h"
#include "shim/stdin_feed.h"
#include "shim/task.h"
#include "transport/base/fd.h"
#include "transport/base/log.h"
#include "transport/base/signal_name.h"

/* For the guest to end a session that the user has left; it does so by itself if it cannot be told.
 */
#define LEAVING_MS 3000

typedef struct relay {
    pq_task task;
    pq_terminal terminal;
    pq_stdin_feed feed;
    pq_outputs outputs;
    pq_duplex *stream; /* NULL: not started, or ended */
    pq_timer timeout, leaving;
    pq_ms abandon_after;
    bool quiet;
    unsigned end_signals; /* those that were passed on */
    int status;
    bool decided;     /* here, which goes before whatever the stream says */
    pq_error failure; /* to be told when all is shown; code PQ_OK: none */
} relay;

/* ---- the end ---- */

/* The user's next keys are for his own shell: he should know. */
static void tell_closed(relay *r)
{
    char text[200];
    pq_error err;
    bool tells = r->terminal.local && r->terminal.shown && !r->terminal.left && !r->quiet;
    pq_terminal_leave(&r->terminal);
    if (!tells)
        return;
    snprintf(text, sizeof text, "Connection to %s closed.\n", r->task.vm);
    (void)pq_write_all(STDERR_FILENO, text, strlen(text), &err);
}

static void tell_failure(relay *r)
{
    const pq_error *err = &r->failure;
    if (err->code == PQ_OK)
        return;
    bool as_asked = err->code == PQ_E_CANCELLED && err->effect != PQ_EFFECT_UNKNOWN &&
                    (r->decided || r->task.signal != 0);
    if (as_asked)
        pq_log(PQ_LOG_INFO, "%s: %s", r->task.doing, err->text);
    else
        pq_log_error(err, r->task.doing);
    r->failure.code = PQ_OK;
}

static void end_if_flushed(relay *r)
{
    if (r->task.signal != 0)
        pq_outputs_drop(&r->outputs);
    if (r->stream != NULL || !pq_outputs_are_empty(&r->outputs) || r->task.state != PQ_TASK_WORKING)
        return;
    tell_closed(r);
    tell_failure(r);
    pq_terminal_done(&r->terminal);
    pq_task_end(&r->task, r->status);
}

static void stream_ended(relay *r, int status)
{
    r->stream = NULL;
    if (!r->decided)
        r->status = status;
    pq_timer_stop(&r->timeout);
    pq_timer_stop(&r->leaving);
    pq_feed_done(&r->feed);
    end_if_flushed(r);
}

static void tell_result(const relay *r, const pq_job_result *result)
{
    if (result->guest_full)
        pq_log(PQ_LOG_WARNING, "%s: the guest ran out of space for the output: some may be missing",
               r->task.doing);
    if (result->signal == 0)
        return;
    const char *name = pq_signal_name(result->signal);
    if (name != NULL)
        pq_log(PQ_LOG_INFO, "the command was ended by signal %s", name);
    else
        pq_log(PQ_LOG_INFO, "the command was ended by signal %d", result->signal);
}

/* How a session on a terminal ended; -1 with an error if it had none, or lost it. */
static int terminal_status(const relay *r, const pq_job_result *result, pq_error *err)
{
    if (r->terminal.exit_code >= 0)
        return r->terminal.exit_code;
    if (r->terminal.none)
        return pq_fail(err, PQ_E_GUEST_TOOL,
                       "the guest has neither script(1) nor Python, one of which makes the "
                       "terminal; commands without one can be run");
    return pq_fail_effect(err, PQ_E_OUTCOME_UNKNOWN, PQ_EFFECT_UNKNOWN, false,
                          "what makes the guest's terminal was ended (exit status %d)",
                          result->exit_code);
}

static void on_done(void *context, const pq_error *err, const pq_job_result *result)
{
    relay *r = context;
    pq_error lost;
    int status = err == NULL ? result->exit_code : -1;
    if (err == NULL && r->terminal.wanted)
        status = terminal_status(r, result, &lost);
    else if (err == NULL)
        tell_result(r, result);
    if (status >= 0) {
        stream_ended(r, status);
        return;
    }
    r->failure = err != NULL ? *err : lost;
    /* What a terminal shows comes first; elsewhere nobody may be reading. */
    if (!r->terminal.wanted)
        tell_failure(r);
    stream_ended(r, pq_code_exit_status(err != NULL ? err->code : lost.code));
}

/* Ends the command, for a reason of ours. */
static void fail_here(relay *r, const pq_error *err)
{
    if (r->decided)
        return;
    r->decided = true;
    r->status = pq_task_refuse(err, r->task.doing);
    if (r->stream != NULL)
        pq_duplex_cancel(r->stream);
}

static void on_timeout(void *context)
{
    pq_error err;
    pq_fail(&err, PQ_E_TIMEOUT, "the command took too long");
    fail_here(context, &err);
}

/* ---- output ---- */

static void on_output(void *context, int stream, const char *bytes, size_t length)
{
    relay *r = context;
    pq_error err;
    bool told = stream == 2 && r->terminal.wanted;
    if (told && pq_terminal_said(&r->terminal, bytes, length, &err) < 0)
        fail_here(r, &err);
    else if (r->terminal.wanted && !told && pq_terminal_shows(&r->terminal, &err) < 0)
        fail_here(r, &err);
    /* Whoever has left the session has his terminal for himself. */
    if (told || r->terminal.left)
        return;
    pq_outputs_write(&r->outputs, stream, bytes, length);
}

static void on_pause(void *context, bool pause)
{
    relay *r = context;
    if (r->stream != NULL)
        pq_duplex_pause(r->stream, pause);
}

static void on_moved(void *context)
{
    end_if_flushed(context);
}

static void on_output_failed(void *context, const pq_error *err)
{
    fail_here(context, err);
}

/* ---- input ---- */

static size_t input_room(const void *context)
{
    const relay *r = context;
    size_t room = pq_duplex_input_room(r->stream);
    return room > PQ_ESCAPE_HELD_MAX ? room - PQ_ESCAPE_HELD_MAX : 0;
}

static int take_input(void *context, const void *bytes, size_t length, pq_error *err)
{
    relay *r = context;
    pq_buf keys = {0};
    if (!r->terminal.wanted)
        return pq_duplex_input(r->stream, bytes, length, err);
    if (pq_buf_reserve(&keys, length + PQ_ESCAPE_HELD_MAX, err) < 0)
        return -1;
    keys.length = pq_terminal_keys(&r->terminal, bytes, length, keys.data);
    int result = keys.length > 0 ? pq_duplex_input(r->stream, keys.data, keys.length, err) : 0;
    pq_buf_done(&keys);
    return result;
}

static void input_ended(void *context)
{
    relay *r = context;
    pq_duplex_input_end(r->stream);
}

static void on_input_wanted(void *context)
{
    relay *r = context;
    pq_feed_more(&r->feed);
}

static void on_input_failed(void *context, const pq_error *err)
{
    fail_here(context, err);
}

static void start_feed(relay *r)
{
    static const pq_feed_target input = {
        .room = input_room, .input = take_input, .end = input_ended};
    pq_feed_start(&r->feed, r->task.loop, &input, r, on_input_failed, r);
}

/* ---- signals ---- */

/* The stream's name of one of our signals. */
static const char *stream_signal(int number)
{
    static const struct {
        int number;
        const char *name;
    } names[] = {{SIGINT, "INT"},   {SIGTERM, "TERM"}, {SIGHUP, "HUP"},
                 {SIGQUIT, "QUIT"}, {SIGUSR1, "USR1"}, {SIGUSR2, "USR2"}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (names[i].number == number)
            return names[i].name;
    }
    return NULL;
}

static bool on_signal(void *context, int number)
{
    relay *r = context;
    const char *name = stream_signal(number);
    bool ends = number == SIGINT || number == SIGTERM || number == SIGHUP;
    if (r->terminal.wanted) {
        pq_feed_done(&r->feed);
        tell_closed(r);
        return false;
    }
    if (r->stream == NULL || name == NULL || !pq_session_was_reached(r->task.session))
        return false;
    if (ends && ++r->end_signals > 1)
        return false;
    pq_duplex_signal(r->stream, name);
    return true;
}

static void cancel(void *context)
{
    relay *r = context;
    if (r->stream != NULL)
        pq_duplex_cancel(r->stream);
    else
        end_if_flushed(r);
}

static void drop(void *context)
{
    relay *r = context;
    pq_duplex_drop(r->stream);
    r->stream = NULL;
    pq_timer_stop(&r->timeout);
    pq_timer_stop(&r->leaving);
    pq_feed_done(&r->feed);
    pq_terminal_done(&r->terminal);
}

/* ---- a session that the user leaves ---- */

static void out_of_patience(void *context)
{
    relay *r = context;
    pq_log(PQ_LOG_WARNING, "%s: what runs there ends in %lld s at the latest", r->task.doing,
           (long long)(r->abandon_after / 1000));
    drop(r);
    pq_task_abandon(&r->task, r->status);
}

/* As long as the guest keeps the session it can be gone on with. */
static void on_there(void *context)
{
    relay *r = context;
    if (pq_session_connect_timeout(r->task.session) < r->abandon_after)
        pq_session_set_connect_timeout(r->task.session, r->abandon_after);
    if (r->terminal.local)
        start_feed(r);
}

static void on_disconnect(void *context)
{
    relay *r = context;
    r->decided = true;
    r->status = PQ_EXIT_FAILURE;
    pq_outputs_drop(&r->outputs);
    tell_closed(r);
    pq_timer_start(r->task.loop, &r->leaving, LEAVING_MS, out_of_patience, r);
    pq_feed_done(&r->feed);
    if (r->stream != NULL)
        pq_duplex_cancel(r->stream);
}

/* ---- the beginning ---- */

static int start_stream(relay *r, const pq_duplex_request *request, pq_error *err)
{
    static const pq_duplex_events events = {
        .output = on_output, .input_wanted = on_input_wanted, .done = on_done};
    r->stream = pq_duplex_start(r->task.session, request, &events, r, err);
    if (r->stream == NULL)
        return -1;
    if (request->input)
        pq_feed_open(&r->feed, STDIN_FILENO);
    /* What is typed before our terminal is raw waits there: ^D would be the end of all input. */
    if (!r->terminal.wanted || !r->terminal.local)
        start_feed(r);
    return 0;
}

static int start_terminal(relay *r, const pq_rsh_options *options, pq_buf *line, pq_error *err)
{
    static const pq_terminal_events events = {.there = on_there, .disconnect = on_disconnect};
    if (pq_terminal_wrap(&r->terminal, line, err) < 0)
        return -1;
    return pq_terminal_start(&r->terminal, r->task.session, options->escape, &events, r, err);
}

static int start_session(relay *r, const pq_rsh_options *options, const pq_config *config,
                         pq_error *err)
{
    pq_buf line = {0};
    bool on_terminal = pq_terminal_is_wanted(options);
    const char **env = pq_rsh_session_env(options, on_terminal, err);
    int result = env != NULL ? pq_rsh_session_line(options, config, &line, err) : -1;
    if (result == 0 && on_terminal)
        result = start_terminal(r, options, &line, err);
    if (result == 0) {
        pq_duplex_request request = {.command = line.data,
                                     .env = env,
                                     .input = !options->no_stdin,
                                     .abandon_after = r->abandon_after};
        result = start_stream(r, &request, err);
    }
    pq_buf_done(&line);
    free(env);
    return result;
}

static int start(relay *r, pq_run *run, const pq_rsh_options *options, pq_error *err)
{
    static const pq_outputs_events events = {
        .pause = on_pause, .moved = on_moved, .failed = on_output_failed};
    if (pq_task_init(&r->task, run, options->vm, err) < 0)
        return -1;
    pq_outputs_init(&r->outputs, r->task.loop, &events, r);
    snprintf(r->task.doing, sizeof r->task.doing, "running a command on '%s'", r->task.vm);
    r->quiet = run->quiet;
    r->abandon_after = pq_config_duration_ms(run->config, PQ_OPT_ABANDON_AFTER);
    pq_ms timeout = pq_config_duration_ms(run->config, PQ_OPT_TIMEOUT);
    if (timeout > 0)
        pq_timer_start(r->task.loop, &r->timeout, timeout, on_timeout, r);
    return start_session(r, options, run->config, err);
}

int pq_rsh_relay(pq_run *run, const pq_rsh_options *options)
{
    static const pq_task_work work = {.signal = on_signal, .cancel = cancel, .drop = drop};
    relay r = {0};
    pq_error err;
    int status = start(&r, run, options, &err) < 0 ? pq_task_refuse(&err, r.task.doing)
                                                   : pq_task_run(&r.task, &work, &r);
    drop(&r);
    pq_outputs_done(&r.outputs);
    pq_task_done(&r.task);
    return status;
}
