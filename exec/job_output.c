/*
 * Output of a job: looks while it runs, what rides on the launcher's answer, the rest by ranges.
 */
#include <stdio.h>
#include <string.h>

#include "exec/guest_scripts.h"
#include "exec/job_internal.h"
#include "exec/poll.h"

/* dd in the look script counts in these. */
#define BLOCK 4096

/* What one look hands back of each stream; a stream that fills it is read by a range. */
#define LOOK_BLOCKS 16

/* A command younger than this is not looked at, nor one that the agent has not said to be running:
 * most have ended by then, and on a slow guest this much time passes before the first answer. */
#define LOOK_AFTER_MS 250
#define NOT_KNOWN_RUNNING_MS 50

/* Read output whose disk space is given back at once, so that it costs a call argument only now and
 * then. */
#define PUNCH_BYTES ((uint64_t)8 * 1024 * 1024)

static void look(void *context);
static void finish_drain(pq_job *job);

static void emit(job_stream *stream, const char *bytes, size_t length)
{
    pq_job *job = stream->job;
    stream->delivered += length;
    job->events.output(job->context, stream->number, bytes, length);
}

/* Hands over what lies beyond the bytes already delivered. `offset` is that of bytes[0]. */
static void emit_new(job_stream *stream, uint64_t offset, const char *bytes, size_t length)
{
    if (offset > stream->delivered || offset + length <= stream->delivered)
        return;
    size_t known = (size_t)(stream->delivered - offset);
    emit(stream, bytes + known, length - known);
}

/* ---- while the command runs ---- */

void pq_job_look_soon(pq_job *job)
{
    pq_ms age = pq_now() - job->started;
    pq_ms delay = age < LOOK_AFTER_MS ? LOOK_AFTER_MS - age : pq_poll_look_delay(age);
    bool reading = job->out.range != NULL || job->err.range != NULL;
    if (job->state == JOB_RUNNING && !job->paused && !reading && job->look == NULL)
        pq_timer_start(pq_session_loop(job->session), &job->look_timer, delay, look, job);
}

static bool on_range_data(void *context, const char *bytes, size_t length)
{
    emit(context, bytes, length);
    return true;
}

static void on_caught_up(void *context, const pq_error *err, uint64_t end)
{
    job_stream *stream = context;
    pq_job *job = stream->job;
    (void)end;
    stream->range = NULL;
    if (err != NULL)
        pq_job_fail(job, err);
    else if (job->state == JOB_DRAINING)
        finish_drain(job);
    else
        pq_job_look_soon(job);
}

static int read_on(job_stream *stream, uint64_t end, pq_error *err)
{
    pq_job *job = stream->job;
    char path[1200];
    snprintf(path, sizeof path, "%s/%u.%c", pq_session_dir(job->session), job->number,
             stream->number == 1 ? 'o' : 'e');
    pq_range_request request = {.dir = pq_session_dir(job->session),
                                .number = 2 * job->number + (unsigned)(stream->number - 1),
                                .path = path,
                                .start = stream->delivered,
                                .end = end};
    stream->range =
        pq_range_start(job->session, &request, on_range_data, on_caught_up, stream, err);
    if (stream->range == NULL)
        return -1;
    pq_range_pause(stream->range, job->paused);
    return 0;
}

static void command_is_over(pq_job *job)
{
    if (job->launcher != NULL) {
        /* Its answer is on the way and has the rest. */
        pq_call_hold(job->launcher, false);
        return;
    }
    if (job->launcher_pid > 0)
        pq_call_reap(job->session, job->launcher_pid);
    pq_job_drain(job);
}

static void on_look(void *context, const pq_error *err, pq_call_result *result)
{
    pq_job *job = context;
    pq_error failure;
    job->look = NULL;
    if (err != NULL) {
        pq_job_fail(job, err);
        return;
    }
    bool over = strcmp(result->trailer.state, "end") == 0;
    bool watched = job->launcher == NULL;
    emit_new(&job->out, job->look_out, result->out.data, result->out.length);
    emit_new(&job->err, job->look_err, result->err.data, result->err.length);
    pq_job_input_used(job, &result->trailer);
    if (watched && strcmp(result->trailer.state, "none") == 0) {
        pq_fail_effect(&failure, PQ_E_OUTCOME_UNKNOWN, PQ_EFFECT_UNKNOWN, false,
                       "the command's files are gone from '%s' in the guest",
                       pq_session_dir(job->session));
        pq_job_fail(job, &failure);
        return;
    }
    if ((watched || !over) && !pq_job_take_state(job, &result->trailer))
        return;
    if (over) {
        command_is_over(job);
        return;
    }
    /* No claim: the launcher has not come so far, or it has refused the command and says why. */
    if (!watched && strcmp(result->trailer.state, "none") == 0)
        pq_call_hold(job->launcher, false);
    bool failed = false;
    if (result->out.length >= LOOK_BLOCKS * BLOCK)
        failed = read_on(&job->out, PQ_RANGE_TO_END, &failure) < 0;
    if (!failed && result->err.length >= LOOK_BLOCKS * BLOCK)
        failed = read_on(&job->err, PQ_RANGE_TO_END, &failure) < 0;
    if (failed)
        pq_job_fail(job, &failure);
    else
        pq_job_look_soon(job);
}

static int build_look(pq_job *job, pq_script *script, pq_error *err)
{
    if (pq_script_begin(script, pq_guest_common, pq_guest_look, err) < 0 ||
        pq_script_add(script, pq_session_dir(job->session), err) < 0 ||
        pq_script_addf(script, err, "%u", job->number) < 0 ||
        pq_script_addf(script, err, "%llu", (unsigned long long)(job->look_out / BLOCK)) < 0 ||
        pq_script_addf(script, err, "%llu", (unsigned long long)(job->look_err / BLOCK)) < 0 ||
        pq_script_addf(script, err, "%d", LOOK_BLOCKS) < 0)
        return -1;
    uint64_t punch = job->out.delivered / BLOCK * BLOCK;
    if (punch < job->punched + PUNCH_BYTES)
        return pq_script_add(script, "-", err);
    job->punched = punch;
    return pq_script_addf(script, err, "%llu", (unsigned long long)punch);
}

static void look(void *context)
{
    pq_job *job = context;
    pq_error err;
    pq_script script = {0};
    if (job->launcher != NULL && !pq_call_is_known_running(job->launcher)) {
        pq_timer_start(pq_session_loop(job->session), &job->look_timer, NOT_KNOWN_RUNNING_MS, look,
                       job);
        return;
    }
    job->look_out = job->out.delivered / BLOCK * BLOCK;
    job->look_err = job->err.delivered / BLOCK * BLOCK;
    if (job->launcher != NULL)
        pq_call_hold(job->launcher, true);
    if (build_look(job, &script, &err) == 0)
        job->look = pq_call_start(job->session, &script, &PQ_CALL_DEFAULTS, on_look, job, &err);
    pq_script_done(&script);
    if (job->look == NULL)
        pq_job_fail(job, &err);
}

/* ---- at its end ---- */

void pq_job_output_inline(pq_job *job, const pq_call_result *result)
{
    char value[8];
    if (!job->plain && !pq_trailer_value(&result->trailer, "inline", value, sizeof value))
        return;
    job->out.inlined = true;
    emit_new(&job->out, 0, result->out.data, result->out.length);
    /* Without live output stderr comes behind all of stdout, from its file. */
    bool out_goes_on = job->out.total > (int64_t)job->out.delivered;
    if (!job->live && !job->plain && out_goes_on && result->err.length > 0)
        return;
    job->err.inlined = true;
    emit_new(&job->err, 0, result->err.data, result->err.length);
}

/* Starts reading the rest of a stream, or finds that there is none. */
static int drain_stream(job_stream *stream, pq_error *err)
{
    pq_job *job = stream->job;
    uint64_t end = stream->total >= 0 ? (uint64_t)stream->total : PQ_JOB_INLINE_BYTES;
    bool rode_along = job->plain || (stream->total < 0 && stream->inlined);
    if (!rode_along && stream->delivered < end && !stream->drained) {
        stream->drained = true;
        return read_on(stream, end, err);
    }
    stream->complete = true;
    return 0;
}

/* What the guest had at the end is not there any more. */
static bool is_short(const job_stream *stream)
{
    return stream->complete && stream->total >= 0 && stream->delivered < (uint64_t)stream->total;
}

static const pq_error *lost_output(pq_error *err)
{
    pq_fail_effect(err, PQ_E_REMOTE_FILE, PQ_EFFECT_DONE, false,
                   "the command has run, but its output in the guest was cut by somebody else");
    return err;
}

static void finish_drain(pq_job *job)
{
    pq_error err;
    bool failed = job->out.range == NULL && drain_stream(&job->out, &err) < 0;
    bool err_too = job->live || job->out.complete;
    if (!failed && err_too && job->err.range == NULL)
        failed = drain_stream(&job->err, &err) < 0;
    if (failed)
        pq_job_fail(job, &err);
    else if (is_short(&job->out) || is_short(&job->err))
        pq_job_fail(job, lost_output(&err));
    else if (job->out.complete && job->err.complete)
        pq_job_complete(job);
}

void pq_job_drain(pq_job *job)
{
    /* What a range that was catching up has not delivered yet is read again. */
    pq_job_output_done(job);
    /* Whoever cancels wants no more; hundreds of MB may wait. */
    if (job->cancelled)
        pq_job_complete(job);
    else
        finish_drain(job);
}

void pq_job_pause(pq_job *job, bool pause)
{
    job->paused = pause;
    if (job->out.range != NULL)
        pq_range_pause(job->out.range, pause);
    if (job->err.range != NULL)
        pq_range_pause(job->err.range, pause);
    if (pause)
        pq_timer_stop(&job->look_timer);
    else if (job->live)
        pq_job_look_soon(job);
}

void pq_job_output_done(pq_job *job)
{
    pq_call_drop(job->look);
    job->look = NULL;
    pq_timer_stop(&job->look_timer);
    pq_range_drop(job->out.range);
    pq_range_drop(job->err.range);
    job->out.range = job->err.range = NULL;
}
