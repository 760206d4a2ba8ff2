#include "exec/job.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exec/guest_scripts.h"
#include "exec/job_internal.h"
#include "transport/base/log.h"

/* Launches with smaller and smaller calls before a server that finds all of them too large is
 * believed. */
#define RELAUNCHES_MAX 4

/* Between two kills of a command that does not end. */
#define KILL_AGAIN_MS 1000

/* After KILL: processes in uninterruptible sleep may never end. */
#define KILL_PATIENCE_MS 15000

/* For the first question about a command whose output is wanted while it runs. */
#define LIVE_PATIENCE_MS 300

/* Index of job.sh's RETRY argument. */
#define RETRY_ARGUMENT 2

static void launch(pq_job *job);
static void send_kill(void *context);

static void set_state(pq_job *job, job_state state)
{
    static const char *const names[] = {"staging", "running", "draining", "ended"};
    job->state = state;
    pq_trace("job-state", PQ_INT("job", job->number), PQ_TEXT("state", names[state]),
             PQ_GUEST("out", job->out.delivered), PQ_GUEST("err", job->err.delivered));
}

void pq_job_drop(pq_job *job)
{
    if (job == NULL)
        return;
    pq_job_stage_done(job);
    pq_input_done(&job->feed);
    pq_job_output_done(job);
    pq_call_drop(job->launcher);
    pq_call_drop(job->killer);
    pq_timer_stop(&job->timeout_timer);
    pq_timer_stop(&job->kill_timer);
    pq_defer_stop(&job->deferred);
    pq_launch_done(&job->launch);
    free(job);
}

/* Bytes of the job's files. Of what has failed it is not known how much it has written. */
static uint64_t left_in_guest(const pq_job *job, const pq_error *err)
{
    return err != NULL ? PQ_SESSION_BATCH_BYTES
                       : job->input_bytes + job->out.delivered + job->err.delivered;
}

static void end(pq_job *job, const pq_error *err)
{
    pq_job_events events = job->events;
    void *context = job->context;
    pq_job_result result = job->result;
    set_state(job, JOB_ENDED);
    if (!job->plain)
        pq_session_job_ended(job->session, job->number, left_in_guest(job, err));
    pq_job_drop(job);
    events.done(context, err, err == NULL ? &result : NULL);
}

void pq_job_fail(pq_job *job, const pq_error *err)
{
    pq_error copy = *err;
    /* A refusal of a later call says nothing about the command. */
    bool has_run = job->watching || job->state == JOB_DRAINING ||
                   (job->launcher != NULL && pq_call_may_have_run(job->launcher));
    if (has_run && copy.effect == PQ_EFFECT_NONE)
        copy.effect = PQ_EFFECT_UNKNOWN;
    end(job, &copy);
}

void pq_job_complete(pq_job *job)
{
    pq_error err;
    if (job->failure.code != PQ_OK) {
        pq_job_fail(job, &job->failure);
    } else if (job->timed_out) {
        pq_fail_effect(&err, PQ_E_TIMEOUT, PQ_EFFECT_DONE, false,
                       "the command was ended after %.6g s", (double)job->timeout / 1000.0);
        end(job, &err);
    } else if (job->cancelled) {
        pq_fail_effect(&err, PQ_E_CANCELLED, PQ_EFFECT_DONE, false, "the command was ended");
        end(job, &err);
    } else {
        end(job, NULL);
    }
}

/* ---- the launcher's answers ---- */

static void command_ended(pq_job *job, const pq_trailer *trailer)
{
    char value[8];
    int64_t code = pq_trailer_number(trailer, 0);
    int64_t signal = pq_trailer_number(trailer, 1);
    job->result.exit_code = code >= 0 && code <= 255 ? (int)code : 255;
    job->result.signal = signal > 0 && signal < 128 ? (int)signal : 0;
    job->result.guest_full = pq_trailer_value(trailer, "full", value, sizeof value);
    job->out.total = pq_trailer_number(trailer, 2);
    job->err.total = pq_trailer_number(trailer, 3);
    pq_timer_stop(&job->timeout_timer);
    pq_timer_stop(&job->kill_timer);
    pq_call_drop(job->killer);
    job->killer = NULL;
    pq_input_done(&job->feed);
    set_state(job, JOB_DRAINING);
}

bool pq_job_take_state(pq_job *job, const pq_trailer *trailer)
{
    pq_error err;
    if (strcmp(trailer->state, "end") == 0) {
        command_ended(job, trailer);
        return true;
    }
    if (strcmp(trailer->state, "running") == 0) {
        int64_t pid = pq_trailer_number(trailer, 0);
        if (pid > 0)
            job->launcher_pid = pid;
        return true;
    }
    if (strcmp(trailer->state, "lost") == 0) {
        pq_fail_effect(&err, PQ_E_GUEST_RESTARTED, PQ_EFFECT_UNKNOWN, false,
                       "the guest agent was restarted while the command ran, which ended it");
        pq_job_fail(job, &err);
        return false;
    }
    return true;
}

/* The launcher's own record is gone; another delivery of it has found the claim. */
static void watch_by_looks(pq_job *job)
{
    job->watching = true;
    pq_job_look_soon(job);
}

static void run_plain(pq_job *job)
{
    pq_log(PQ_LOG_WARNING,
           "%s: '%s' in the guest cannot be written: output comes at the end, at most 16 MiB of "
           "it, and a lost answer cannot be repaired",
           pq_agent_name(pq_session_agent(job->session)), pq_session_remote_tmp(job->session));
    pq_error err;
    pq_session_set_plain(job->session);
    job->plain = true;
    if (pq_input_take_back(&job->feed, &err) < 0)
        pq_job_fail(job, &err);
    else
        launch(job);
}

static void refused(pq_job *job, const pq_trailer *trailer)
{
    pq_error err;
    pq_launch_refused(&job->launch, trailer, &err);
    pq_job_fail(job, &err);
}

static void learn_time(pq_job *job, const pq_call_result *result)
{
    char value[16];
    pq_expect *expect = pq_session_expect(job->session);
    bool told = pq_trailer_value(&result->trailer, "took", value, sizeof value);
    pq_expect_end end = {.questions = result->questions,
                         .age = result->age,
                         .running_age = result->running_age,
                         .told = told ? (pq_ms)strtoul(value, NULL, 10) : -1};
    pq_expect_learn(expect, job->kind, &end);
    pq_expect_learn(expect, job->wider_kind, &end);
}

static void on_launched(void *context, const pq_error *err, pq_call_result *result)
{
    pq_job *job = context;
    job->launcher = NULL;
    if (err != NULL && err->code == PQ_E_TOO_LARGE && err->effect == PQ_EFFECT_NONE &&
        job->launches < RELAUNCHES_MAX) {
        launch(job);
        return;
    }
    if (err != NULL) {
        pq_job_fail(job, err);
        return;
    }
    const char *state = result->trailer.state;
    pq_session_learn(job->session, &result->trailer);
    if (strcmp(state, "nodir") == 0 && !job->plain) {
        run_plain(job);
        return;
    }
    bool known =
        strcmp(state, "end") == 0 || strcmp(state, "running") == 0 || strcmp(state, "lost") == 0;
    if (!known) {
        refused(job, &result->trailer);
        return;
    }
    if (!pq_job_take_state(job, &result->trailer))
        return;
    if (job->state != JOB_DRAINING) {
        watch_by_looks(job);
        return;
    }
    learn_time(job, result);
    pq_job_output_inline(job, result);
    pq_job_drain(job);
}

/* ---- launching ---- */

static int add_command(pq_job *job, pq_script *script, pq_error *err)
{
    if (job->stage.done)
        return pq_script_add(script, "X", err) < 0 ? -1 : pq_script_add(script, "-", err);
    return pq_launch_add_command(&job->launch, script, err);
}

static int add_head(pq_job *job, pq_script *script, const char *flags, pq_error *err)
{
    pq_buf ended = {0};
    int result = -1;
    if (pq_job_script_begin(script, err) == 0 &&
        pq_session_take_ended(job->session, &ended, err) == 0 &&
        pq_script_add(script, pq_session_dir(job->session), err) == 0 &&
        pq_script_addf(script, err, "%u", job->number) == 0 &&
        pq_script_add(script, "-", err) == 0 && pq_script_add(script, flags, err) == 0 &&
        pq_script_add(script, ended.data, err) == 0 &&
        pq_script_addf(script, err, "%d", PQ_JOB_INLINE_BYTES) == 0)
        result = 0;
    pq_buf_done(&ended);
    return result;
}

/* Decides how stdin travels and makes the launcher's arguments. */
static int build(pq_job *job, pq_script *script, pq_error *err)
{
    const pq_agent_limits *limits = pq_session_limits(job->session);
    char flags[16];
    snprintf(flags, sizeof flags, "%s%s%s", pq_session_launch_flags(job->session),
             job->plain ? "n" : "", job->feeds && !job->plain ? "f" : "");
    if (job->plain && job->feed.waiting.length > 0)
        snprintf(flags, sizeof flags, "%sni", pq_session_launch_flags(job->session));
    if (add_head(job, script, flags, err) < 0 ||
        pq_launch_add_items(&job->launch, script, err) < 0 || add_command(job, script, err) < 0)
        return -1;
    script->no_decoder = pq_session_lacks_decoder(job->session);
    if (job->plain || job->feeds || job->feed.waiting.length == 0)
        return 0;
    size_t length = job->feed.waiting.length, taken;
    if (pq_script_add_items(script, limits, job->feed.waiting.data, length, length, &taken, err) <
        0)
        return -1;
    if (taken == length)
        return 0;
    pq_script_done(script);
    job->feeds = true;
    return build(job, script, err);
}

static int plain_input(pq_job *job, pq_call_options *options, pq_error *err)
{
    size_t limit = pq_session_limits(job->session)->input_bytes;
    options->once = true;
    if (!job->feed.ended || job->feed.waiting.length > limit)
        return pq_fail(err, PQ_E_REMOTE_TMP,
                       "a stdin that is streamed or larger than %zu bytes needs a remote_tmp that "
                       "can be written",
                       limit);
    if (job->feed.waiting.length > 0) {
        options->input = job->feed.waiting.data;
        options->input_length = job->feed.waiting.length;
    }
    return 0;
}

/* Looks at output begin behind the first questions, so someone who waits for it is not made to wait
 * long for these. */
static pq_expect_plan plan(pq_job *job)
{
    const pq_expect *expect = pq_session_expect(job->session);
    const pq_buf *text = &job->launch.command;
    job->kind = pq_expect_key(text->data, text->length, job->feed.waiting.length);
    job->wider_kind = pq_expect_key(text->data, text->length, PQ_EXPECT_ANY_STDIN);
    pq_expect_plan known = pq_expect_get(expect, job->kind);
    if (known.first == 0)
        known = pq_expect_get(expect, job->wider_kind);
    return job->live && known.first > LIVE_PATIENCE_MS ? (pq_expect_plan){0} : known;
}

static void launch(pq_job *job)
{
    pq_error err;
    pq_script script = {0};
    pq_call_options options = PQ_CALL_DEFAULTS;
    job->launches++;
    if (job->plain && plain_input(job, &options, &err) < 0) {
        pq_job_fail(job, &err);
        return;
    }
    if (build(job, &script, &err) < 0) {
        pq_script_done(&script);
        pq_job_fail(job, &err);
        return;
    }
    const pq_agent_limits *limits = pq_session_limits(job->session);
    bool too_long =
        script.bytes > limits->args_bytes || job->launch.command.length > limits->arg_bytes;
    if (too_long && !job->stage.done && !job->plain) {
        pq_script_done(&script);
        set_state(job, JOB_STAGING);
        pq_job_stage_command(job);
        return;
    }
    options.retry_argument = RETRY_ARGUMENT;
    options.makes_directory = !job->plain;
    options.overlap = true;
    options.plan = plan(job);
    set_state(job, JOB_RUNNING);
    job->launcher = pq_call_start(job->session, &script, &options, on_launched, job, &err);
    if (job->launcher == NULL) {
        pq_job_fail(job, &err);
        return;
    }
    if (job->live && !job->plain)
        pq_job_look_soon(job);
    if (job->feeds && !job->plain)
        pq_input_start(&job->feed);
}

void pq_job_command_staged(pq_job *job)
{
    job->stage.done = true;
    launch(job);
}

static void begin(void *context)
{
    launch(context);
}

/* ---- ending a command ---- */

static void on_killed(void *context, const pq_error *err, pq_call_result *result)
{
    pq_job *job = context;
    job->killer = NULL;
    if (err != NULL && !err->retryable) {
        pq_job_fail(job, err);
        return;
    }
    if (err == NULL && strcmp(result->trailer.state, "lost") == 0) {
        pq_job_take_state(job, &result->trailer);
        return;
    }
    /* The launcher tells the end itself. */
    if (job->launcher != NULL)
        pq_call_hold(job->launcher, false);
    pq_timer_start(pq_session_loop(job->session), &job->kill_timer, KILL_AGAIN_MS, send_kill, job);
}

static void send_kill(void *context)
{
    pq_job *job = context;
    pq_error err;
    pq_ms waited = pq_now() - job->kill_since;
    if (waited > PQ_JOB_KILL_DELAY_MS)
        job->kill_signal = "KILL";
    if (waited > PQ_JOB_KILL_DELAY_MS + KILL_PATIENCE_MS) {
        pq_fail_effect(&err, job->timed_out ? PQ_E_TIMEOUT : PQ_E_CANCELLED, PQ_EFFECT_UNKNOWN,
                       false, "the command does not end, not even by KILL");
        pq_job_fail(job, &err);
        return;
    }
    pq_script script = {0};
    if (pq_script_begin(&script, pq_guest_common, pq_guest_kill, &err) == 0 &&
        pq_script_add(&script, pq_session_dir(job->session), &err) == 0 &&
        pq_script_addf(&script, &err, "%u", job->number) == 0 &&
        pq_script_add(&script, job->kill_signal, &err) == 0)
        job->killer = pq_call_start(job->session, &script, &PQ_CALL_DEFAULTS, on_killed, job, &err);
    pq_script_done(&script);
    if (job->killer == NULL)
        pq_job_fail(job, &err);
}

/* Nothing has reached the guest, or nothing can be done about what has. */
static bool end_without_kill(pq_job *job)
{
    pq_error err;
    bool sent = job->watching || job->state == JOB_DRAINING ||
                (job->launcher != NULL && pq_call_may_have_run(job->launcher));
    if (sent && !job->plain)
        return false;
    pq_fail_effect(&err, job->timed_out ? PQ_E_TIMEOUT : PQ_E_CANCELLED,
                   sent ? PQ_EFFECT_UNKNOWN : PQ_EFFECT_NONE, false,
                   sent ? "the command goes on in the guest" : "ended before the command ran");
    pq_job_fail(job, &err);
    return true;
}

static void end_command(pq_job *job)
{
    if (end_without_kill(job))
        return;
    if (job->state == JOB_DRAINING) {
        if (job->cancelled)
            pq_job_drain(job);
        return;
    }
    if (job->kill_signal != NULL) {
        job->kill_since -= PQ_JOB_KILL_DELAY_MS + 1;
    } else {
        job->kill_signal = "TERM";
        job->kill_since = pq_now();
    }
    if (job->killer == NULL)
        pq_timer_start(pq_session_loop(job->session), &job->kill_timer, 0, send_kill, job);
}

static void on_timeout(void *context)
{
    pq_job *job = context;
    job->timed_out = true;
    end_command(job);
}

void pq_job_cancel(pq_job *job)
{
    job->cancelled = true;
    end_command(job);
}

/* ---- the interface ---- */

static int take_request(pq_job *job, const pq_job_request *request, pq_error *err)
{
    if (pq_launch_init(&job->launch, request->command, request->executable, request->cwd,
                       request->env, err) < 0)
        return -1;
    if (request->input != NULL &&
        pq_buf_add(&job->feed.waiting, request->input, request->input_length, err) < 0)
        return -1;
    job->input_bytes = request->input_length;
    job->feed.ended = !request->input_streams;
    job->feeds = request->input_streams;
    return 0;
}

pq_job *pq_job_start(pq_session *session, const pq_job_request *request,
                     const pq_job_events *events, void *context, pq_error *err)
{
    pq_job *job = calloc(1, sizeof *job);
    if (job == NULL) {
        pq_fail(err, PQ_E_NOMEM, "out of memory");
        return NULL;
    }
    job->session = session;
    job->events = *events;
    job->context = context;
    job->number = pq_session_next_number(session);
    job->plain = pq_session_is_plain(session);
    job->live = request->live;
    job->timeout = request->timeout;
    job->started = pq_now();
    pq_job_input_init(job);
    job->out = (job_stream){.job = job, .number = 1, .total = -1};
    job->err = (job_stream){.job = job, .number = 2, .total = -1};
    if (take_request(job, request, err) < 0) {
        pq_job_drop(job);
        return NULL;
    }
    if (job->timeout > 0)
        pq_timer_start(pq_session_loop(session), &job->timeout_timer, job->timeout, on_timeout,
                       job);
    /* Errors of the start must not reach the caller before it has the job. */
    pq_defer_start(pq_session_loop(session), &job->deferred, begin, job);
    return job;
}
