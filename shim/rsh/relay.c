#include "shim/rsh/relay.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "exec/duplex.h"
#include "shim/outputs.h"
#include "shim/rsh/session.h"
#include "shim/stdin_feed.h"
#include "shim/task.h"
#include "transport/base/log.h"
#include "transport/base/signal_name.h"

typedef struct relay {
    pq_task task;
    pq_stdin_feed feed;
    pq_outputs outputs;
    pq_duplex *stream; /* NULL: not started, or ended */
    pq_timer timeout;
    unsigned end_signals; /* those that were passed on */
    int status;
    bool decided; /* here, which goes before whatever the stream says */
} relay;

/* ---- the end ---- */

static void end_if_flushed(relay *r)
{
    if (r->task.signal != 0)
        pq_outputs_drop(&r->outputs);
    if (r->stream == NULL && pq_outputs_are_empty(&r->outputs) && r->task.state == PQ_TASK_WORKING)
        pq_task_end(&r->task, r->status);
}

static void stream_ended(relay *r, int status)
{
    r->stream = NULL;
    if (!r->decided)
        r->status = status;
    pq_timer_stop(&r->timeout);
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

static void on_done(void *context, const pq_error *err, const pq_job_result *result)
{
    relay *r = context;
    if (err == NULL) {
        tell_result(r, result);
        stream_ended(r, result->exit_code);
        return;
    }
    bool as_asked = err->code == PQ_E_CANCELLED && err->effect != PQ_EFFECT_UNKNOWN &&
                    (r->decided || r->task.signal != 0);
    if (as_asked)
        pq_log(PQ_LOG_INFO, "%s: %s", r->task.doing, err->text);
    else
        pq_log_error(err, r->task.doing);
    stream_ended(r, pq_code_exit_status(err->code));
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

static size_t stream_room(const void *stream)
{
    return pq_duplex_input_room(stream);
}

static int stream_take(void *stream, const void *bytes, size_t length, pq_error *err)
{
    return pq_duplex_input(stream, bytes, length, err);
}

static void stream_input_end(void *stream)
{
    pq_duplex_input_end(stream);
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
    pq_feed_done(&r->feed);
}

/* ---- the beginning ---- */

static int start_stream(relay *r, const pq_duplex_request *request, pq_error *err)
{
    static const pq_duplex_events events = {
        .output = on_output, .input_wanted = on_input_wanted, .done = on_done};
    static const pq_feed_target input = {
        .room = stream_room, .input = stream_take, .end = stream_input_end};
    r->stream = pq_duplex_start(r->task.session, request, &events, r, err);
    if (r->stream == NULL)
        return -1;
    if (request->input)
        pq_feed_open(&r->feed, STDIN_FILENO);
    pq_feed_start(&r->feed, r->task.loop, &input, r->stream, on_input_failed, r);
    return 0;
}

static int start_session(relay *r, const pq_rsh_options *options, const pq_config *config,
                         pq_error *err)
{
    pq_buf line = {0};
    const char **env = pq_rsh_session_env(options, err);
    int result = -1;
    if (env != NULL && pq_rsh_session_line(options, config, &line, err) == 0) {
        pq_duplex_request request = {.command = line.data,
                                     .env = env,
                                     .input = !options->no_stdin,
                                     .abandon_after =
                                         pq_config_duration_ms(config, PQ_OPT_ABANDON_AFTER)};
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
