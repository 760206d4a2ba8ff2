#include "exec/duplex.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exec/duplex_internal.h"
#include "exec/guest_scripts.h"
#include "transport/base/log.h"

/* Launches with smaller and smaller limits before a server that finds all too large is believed. */
#define RELAUNCHES_MAX 4

/* Index of stream.sh's RETRY argument. */
#define RETRY_ARGUMENT 2

/* Output that rides on the launcher's answer. */
#define INLINE_BYTES 65536

/* A command that gets no input has so long, and half the time of a call, to end before it is asked
 * for its output: a short one is told by its launcher. */
#define FIRST_TURN_MS 60

/* A signal that comes before the launcher has started the command is sent again. */
#define NOT_THERE_YET_MS 100

/* What it takes the guest to end a command that nobody is heard of for. In the time before it looks
 * this often, and does so when it has seen nothing new all but the first time. */
#define ABANDONING_MS 4000
#define ABANDON_LOOKS 6

/* After the command's end, for a process that still holds its outputs open. */
#define PATIENCE_MS 1000

static void launch(pq_duplex *stream);

static void set_state(pq_duplex *stream, duplex_state state)
{
    static const char *const names[] = {"starting", "running", "draining", "ended"};
    if (stream->state == state)
        return;
    stream->state = state;
    pq_trace("duplex-state", PQ_INT("stream", stream->number), PQ_TEXT("state", names[state]),
             PQ_GUEST("out", stream->out.bytes_delivered),
             PQ_GUEST("err", stream->err.bytes_delivered));
}

void pq_duplex_drop(pq_duplex *stream)
{
    if (stream == NULL)
        return;
    pq_duplex_turns_done(stream);
    pq_duplex_output_done(&stream->out);
    pq_duplex_output_done(&stream->err);
    pq_input_done(&stream->input);
    pq_call_drop(stream->launcher);
    pq_call_drop(stream->killer);
    pq_timer_stop(&stream->next_turn);
    pq_timer_stop(&stream->patience);
    pq_timer_stop(&stream->kill_timer);
    pq_timer_stop(&stream->signal_timer);
    pq_defer_stop(&stream->ending);
    pq_defer_stop(&stream->scheduling);
    pq_launch_done(&stream->launch);
    free(stream);
}

/* ---- the end ---- */

static uint64_t left_in_guest(const duplex_output *output)
{
    return (output->told - output->forgotten) * (uint64_t)65536;
}

static void end(void *context)
{
    pq_duplex *stream = context;
    pq_duplex_events events = stream->events;
    void *caller = stream->context;
    pq_job_result result = stream->result;
    pq_error failure = stream->failure;
    set_state(stream, DUPLEX_ENDED);
    pq_session_job_ended(stream->session, stream->number,
                         left_in_guest(&stream->out) + left_in_guest(&stream->err));
    if (stream->launcher_pid > 0)
        pq_call_reap(stream->session, stream->launcher_pid);
    pq_duplex_drop(stream);
    if (failure.code != PQ_OK)
        events.done(caller, &failure, NULL);
    else
        events.done(caller, NULL, &result);
}

void pq_duplex_fail(pq_duplex *stream, const pq_error *err)
{
    if (stream->failure.code != PQ_OK)
        return;
    stream->failure = *err;
    bool may_have_run = stream->state != DUPLEX_STARTING ||
                        (stream->launcher != NULL && pq_call_may_have_run(stream->launcher));
    /* A refusal of a later call says nothing about the command. */
    if (may_have_run && err->effect == PQ_EFFECT_NONE)
        stream->failure.effect = PQ_EFFECT_UNKNOWN;
    pq_defer_start(pq_session_loop(stream->session), &stream->ending, end, stream);
}

static void fail_cancelled(pq_duplex *stream, pq_effect effect, const char *text)
{
    pq_error err;
    pq_fail_effect(&err, PQ_E_CANCELLED, effect, false, "%s", text);
    stream->failure = err;
    pq_defer_start(pq_session_loop(stream->session), &stream->ending, end, stream);
}

static bool is_read(const duplex_output *output)
{
    return output->ended && pq_duplex_output_is_level(output);
}

static void on_patience(void *context)
{
    pq_duplex *stream = context;
    /* One of them may say that there is room for more output of the command itself. */
    if (!pq_duplex_turns_are_there(stream)) {
        pq_timer_start(pq_session_loop(stream->session), &stream->patience, PATIENCE_MS,
                       on_patience, stream);
        return;
    }
    stream->impatient = true;
    /* The turn that waits is followed by one that ends the waiting. */
    stream->turn_sent -= stream->period;
    pq_duplex_schedule(stream);
}

static void schedule(void *context)
{
    pq_duplex *stream = context;
    if (stream->failure.code != PQ_OK || stream->state == DUPLEX_STARTING)
        return;
    if (stream->state == DUPLEX_DRAINING) {
        if (stream->cancelled) {
            fail_cancelled(stream, PQ_EFFECT_DONE, "the command was ended");
            return;
        }
        if (is_read(&stream->out) && is_read(&stream->err)) {
            pq_defer_start(pq_session_loop(stream->session), &stream->ending, end, stream);
            return;
        }
        bool waits = pq_duplex_output_is_level(&stream->out) &&
                     pq_duplex_output_is_level(&stream->err) && !stream->impatient;
        if (!waits)
            pq_timer_stop(&stream->patience);
        else if (!pq_timer_is_running(&stream->patience))
            pq_timer_start(pq_session_loop(stream->session), &stream->patience, PATIENCE_MS,
                           on_patience, stream);
    }
    pq_duplex_take_turns(stream);
}

void pq_duplex_schedule(pq_duplex *stream)
{
    pq_defer_start(pq_session_loop(stream->session), &stream->scheduling, schedule, stream);
}

/* ---- how the command is ---- */

static void command_ended(pq_duplex *stream, const pq_trailer *trailer)
{
    int64_t code = pq_trailer_number(trailer, 0);
    int64_t signal = pq_trailer_number(trailer, 1);
    stream->result.exit_code = code >= 0 && code <= 255 ? (int)code : 255;
    stream->result.signal = signal > 0 && signal < 128 ? (int)signal : 0;
    pq_timer_stop(&stream->kill_timer);
    pq_timer_stop(&stream->signal_timer);
    pq_call_drop(stream->killer);
    stream->killer = NULL;
    stream->signal_count = 0;
    pq_input_done(&stream->input);
    set_state(stream, DUPLEX_DRAINING);
}

static void fail_full(pq_duplex *stream, const char *what)
{
    pq_error err;
    pq_fail_effect(&err, PQ_E_GUEST_FULL, PQ_EFFECT_DONE, false,
                   "no space in '%s' of the guest for the command's %s",
                   pq_session_remote_tmp(stream->session), what);
    pq_duplex_fail(stream, &err);
}

void pq_duplex_take_state(pq_duplex *stream, const pq_trailer *trailer)
{
    pq_error err;
    if (strcmp(trailer->state, "end") == 0) {
        if (stream->state != DUPLEX_DRAINING)
            command_ended(stream, trailer);
    } else if (strcmp(trailer->state, "lost") == 0) {
        pq_fail_effect(&err, PQ_E_GUEST_RESTARTED, PQ_EFFECT_UNKNOWN, false,
                       "the guest agent was restarted while the command ran, which ended it");
        pq_duplex_fail(stream, &err);
    } else if (strcmp(trailer->state, "none") == 0) {
        pq_fail_effect(&err, PQ_E_OUTCOME_UNKNOWN, PQ_EFFECT_UNKNOWN, false,
                       "the command's files are gone from the guest: it was ended there because "
                       "nothing was heard of us");
        pq_duplex_fail(stream, &err);
    } else if (strcmp(trailer->state, "full") == 0) {
        fail_full(stream, "stdin");
    }
}

void pq_duplex_check_space(pq_duplex *stream, const pq_trailer *trailer)
{
    char value[8];
    if (pq_trailer_value(trailer, "full", value, sizeof value))
        fail_full(stream, "output");
}

static void begin_turns(void *context)
{
    pq_duplex *stream = context;
    if (stream->state != DUPLEX_STARTING)
        return;
    set_state(stream, DUPLEX_RUNNING);
    if (stream->has_input)
        pq_input_start(&stream->input);
    pq_duplex_schedule(stream);
    pq_duplex_send_signal(stream);
}

/* ---- the launcher ---- */

static void on_started(void *context)
{
    pq_duplex *stream = context;
    const pq_agent_limits *limits = pq_session_limits(stream->session);
    bool talks = stream->input.waiting.length > 0 || stream->signal_count > 0;
    pq_ms delay = talks ? 0 : FIRST_TURN_MS + limits->exec_time / 2;
    if (stream->state == DUPLEX_STARTING)
        pq_timer_start(pq_session_loop(stream->session), &stream->next_turn, delay, begin_turns,
                       stream);
}

static bool is_refusal(const char *state)
{
    return strcmp(state, "end") != 0 && strcmp(state, "running") != 0 && strcmp(state, "lost") != 0;
}

static void take_answer(pq_duplex *stream, const pq_call_result *result)
{
    pq_error err;
    begin_turns(stream);
    if (strcmp(result->trailer.state, "running") == 0)
        stream->launcher_pid = pq_trailer_number(&result->trailer, 0);
    pq_duplex_take_state(stream, &result->trailer);
    if (stream->failure.code == PQ_OK &&
        (pq_duplex_output_take(&stream->out, &result->trailer, &result->out, &err) < 0 ||
         pq_duplex_output_take(&stream->err, &result->trailer, &result->err, &err) < 0))
        pq_duplex_fail(stream, &err);
    pq_duplex_check_space(stream, &result->trailer);
    pq_duplex_schedule(stream);
}

static void on_launched(void *context, const pq_error *err, pq_call_result *result)
{
    pq_duplex *stream = context;
    pq_error refusal;
    stream->launcher = NULL;
    if (err != NULL && err->code == PQ_E_TOO_LARGE && err->effect == PQ_EFFECT_NONE &&
        stream->launches < RELAUNCHES_MAX) {
        launch(stream);
        return;
    }
    if (err != NULL) {
        pq_duplex_fail(stream, err);
        return;
    }
    pq_session_learn(stream->session, &result->trailer);
    if (strcmp(result->trailer.state, "nodir") == 0) {
        pq_fail(&refusal, PQ_E_REMOTE_TMP,
                "'%s' in the guest cannot be written, which a stream needs",
                pq_session_remote_tmp(stream->session));
        pq_duplex_fail(stream, &refusal);
    } else if (is_refusal(result->trailer.state)) {
        pq_launch_refused(&stream->launch, &result->trailer, &refusal);
        pq_duplex_fail(stream, &refusal);
        stream->failure.effect = refusal.effect;
    } else {
        take_answer(stream, result);
    }
}

static int build(pq_duplex *stream, pq_script *script, pq_error *err)
{
    pq_buf ended = {0};
    int result = -1;
    if (pq_duplex_launcher_begin(script, err) == 0 &&
        pq_session_take_ended(stream->session, &ended, err) == 0 &&
        pq_script_add(script, pq_session_dir(stream->session), err) == 0 &&
        pq_script_addf(script, err, "%u", stream->number) == 0 &&
        pq_script_add(script, "-", err) == 0 &&
        pq_script_addf(script, err, "s%s%s", pq_session_launch_flags(stream->session),
                       stream->has_input ? "f" : "") == 0 &&
        pq_script_add(script, ended.data, err) == 0 &&
        pq_script_addf(script, err, "%d", INLINE_BYTES) == 0 &&
        pq_script_addf(
            script, err, "%lld",
            (long long)((stream->abandon_after - ABANDONING_MS) / ABANDON_LOOKS / 1000)) == 0 &&
        pq_launch_add_items(&stream->launch, script, err) == 0)
        result = pq_launch_add_command(&stream->launch, script, err);
    pq_buf_done(&ended);
    return result;
}

static void launch(pq_duplex *stream)
{
    pq_error err;
    pq_script script = {0};
    pq_call_options options = PQ_CALL_DEFAULTS;
    options.retry_argument = RETRY_ARGUMENT;
    options.makes_directory = true;
    options.overlap = true;
    options.started = on_started;
    stream->launches++;
    const pq_agent_limits *limits = pq_session_limits(stream->session);
    if (build(stream, &script, &err) < 0) {
        pq_script_done(&script);
    } else if (script.bytes > limits->args_bytes) {
        pq_script_done(&script);
        pq_fail(&err, PQ_E_USAGE, "the command is too long: %zu bytes",
                stream->launch.command.length);
    } else {
        stream->launcher =
            pq_call_start(stream->session, &script, &options, on_launched, stream, &err);
    }
    if (stream->launcher == NULL)
        pq_duplex_fail(stream, &err);
}

static void begin(void *context)
{
    pq_duplex *stream = context;
    pq_error err;
    if (!pq_session_is_plain(stream->session)) {
        launch(stream);
        return;
    }
    pq_fail(&err, PQ_E_REMOTE_TMP, "'%s' in the guest cannot be written, which a stream needs",
            pq_session_remote_tmp(stream->session));
    pq_duplex_fail(stream, &err);
}

/* ---- signals ---- */

static void send_again(void *context)
{
    pq_duplex_send_signal(context);
}

static void on_signalled(void *context, const pq_error *err, pq_call_result *result)
{
    pq_duplex *stream = context;
    char sent[8] = "1";
    stream->killer = NULL;
    /* Whatever goes wrong here the turns meet, too; a signal is not sent twice. */
    bool running = err == NULL && strcmp(result->trailer.state, "running") == 0;
    if (running)
        pq_trailer_value(&result->trailer, "sent", sent, sizeof sent);
    if (running && strcmp(sent, "0") == 0) {
        pq_timer_start(pq_session_loop(stream->session), &stream->signal_timer, NOT_THERE_YET_MS,
                       send_again, stream);
        return;
    }
    stream->signal_count--;
    memmove(stream->signals, stream->signals + 1, stream->signal_count * sizeof *stream->signals);
    pq_duplex_send_signal(stream);
}

void pq_duplex_send_signal(pq_duplex *stream)
{
    pq_error err;
    pq_script script = {0};
    pq_call_options options = PQ_CALL_DEFAULTS;
    options.once = true;
    if (stream->state != DUPLEX_RUNNING || stream->killer != NULL || stream->signal_count == 0)
        return;
    if (pq_script_begin(&script, pq_guest_common, pq_guest_kill, &err) == 0 &&
        pq_script_add(&script, pq_session_dir(stream->session), &err) == 0 &&
        pq_script_addf(&script, &err, "%u", stream->number) == 0 &&
        pq_script_add(&script, stream->signals[0], &err) == 0)
        stream->killer =
            pq_call_start(stream->session, &script, &options, on_signalled, stream, &err);
    pq_script_done(&script);
    if (stream->killer == NULL)
        pq_duplex_fail(stream, &err);
}

void pq_duplex_signal(pq_duplex *stream, const char *name)
{
    static const char *const known[] = {"INT",  "TERM", "HUP",   "QUIT",
                                        "USR1", "USR2", "WINCH", "KILL"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(known[i], name) == 0 && stream->signal_count < DUPLEX_SIGNALS)
            stream->signals[stream->signal_count++] = known[i];
    }
    pq_duplex_send_signal(stream);
}

static void kill_again(void *context)
{
    pq_duplex *stream = context;
    pq_duplex_signal(stream, "KILL");
    pq_timer_start(pq_session_loop(stream->session), &stream->kill_timer, PQ_JOB_KILL_DELAY_MS,
                   kill_again, stream);
}

void pq_duplex_cancel(pq_duplex *stream)
{
    if (stream->cancelled)
        return;
    stream->cancelled = true;
    if (stream->state == DUPLEX_STARTING &&
        (stream->launcher == NULL || !pq_call_may_have_run(stream->launcher))) {
        fail_cancelled(stream, PQ_EFFECT_NONE, "ended before the command ran");
        return;
    }
    pq_duplex_signal(stream, "TERM");
    pq_timer_start(pq_session_loop(stream->session), &stream->kill_timer, PQ_JOB_KILL_DELAY_MS,
                   kill_again, stream);
    pq_duplex_schedule(stream);
}

/* ---- the interface ---- */

static void on_input_wanted(void *context)
{
    pq_duplex *stream = context;
    if (stream->events.input_wanted != NULL && stream->failure.code == PQ_OK)
        stream->events.input_wanted(stream->context);
}

static void on_input_failed(void *context, const pq_error *err)
{
    pq_duplex_fail(context, err);
}

static void on_input_full(void *context)
{
    fail_full(context, "stdin");
}

pq_duplex *pq_duplex_start(pq_session *session, const pq_duplex_request *request,
                           const pq_duplex_events *events, void *context, pq_error *err)
{
    static const pq_input_events input_events = {.wanted = on_input_wanted,
                                                 .failed = on_input_failed,
                                                 .full = on_input_full,
                                                 .ride = pq_duplex_ride};
    pq_duplex *stream = calloc(1, sizeof *stream);
    if (stream == NULL) {
        pq_fail(err, PQ_E_NOMEM, "out of memory");
        return NULL;
    }
    pq_ms abandon =
        request->abandon_after != 0 ? request->abandon_after : PQ_DUPLEX_ABANDON_DEFAULT_MS;
    if (abandon < PQ_DUPLEX_ABANDON_MIN_MS)
        abandon = PQ_DUPLEX_ABANDON_MIN_MS;
    stream->session = session;
    stream->events = *events;
    stream->context = context;
    stream->number = pq_session_next_number(session);
    stream->abandon_after = abandon;
    stream->period = abandon / 5;
    stream->has_input = request->input;
    stream->began = stream->last_news = stream->turn_sent = pq_now();
    stream->out = (duplex_output){.stream = stream, .number = 1, .letter = 'o'};
    stream->err = (duplex_output){.stream = stream, .number = 2, .letter = 'e'};
    pq_input_init(&stream->input, session, stream->number, &input_events, stream);
    if (pq_launch_init(&stream->launch, request->command, request->executable, request->cwd,
                       request->env, err) < 0) {
        pq_duplex_drop(stream);
        return NULL;
    }
    /* Errors of the start must not reach the caller before it has the stream. */
    pq_timer_start(pq_session_loop(session), &stream->next_turn, 0, begin, stream);
    return stream;
}

size_t pq_duplex_input_room(const pq_duplex *stream)
{
    return stream->has_input ? pq_input_room(&stream->input) : 0;
}

int pq_duplex_input(pq_duplex *stream, const void *bytes, size_t length, pq_error *err)
{
    if (pq_input_add(&stream->input, bytes, length, err) < 0)
        return -1;
    /* Whoever has something to say is answered, so the launcher's answer is not waited for. */
    if (stream->state == DUPLEX_STARTING && stream->launcher != NULL &&
        pq_timer_is_running(&stream->next_turn))
        pq_timer_start(pq_session_loop(stream->session), &stream->next_turn, 0, begin_turns,
                       stream);
    return 0;
}

void pq_duplex_input_end(pq_duplex *stream)
{
    pq_input_end(&stream->input);
}

void pq_duplex_pause(pq_duplex *stream, bool pause)
{
    if (stream->paused == pause)
        return;
    stream->paused = pause;
    pq_duplex_output_pause(&stream->out, pause);
    pq_duplex_output_pause(&stream->err, pause);
    pq_duplex_schedule(stream);
}
