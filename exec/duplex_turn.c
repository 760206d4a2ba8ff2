/*
 * Turns of a stream (guest/pump.sh): when they are taken, what they say, what they bring.
 */
#include <stdio.h>
#include <string.h>

#include "exec/duplex_internal.h"
#include "exec/guest_scripts.h"
#include "exec/poll.h"

/* Of each output, handed back with a turn: cheap up to about here on every kind of guest. */
#define INLINE_BYTES 65536

/* Segments that were read are removed when there are as many, since that costs a process. */
#define FORGET_BATCH 8

/* With so many read and not removed the guest may soon have to hold the command up, so a turn goes
 * even if another one waits. */
#define FORGET_NOW 16

/* With so many told and not read nothing is asked. */
#define BACKLOG_MAX 16

/* A turn that comes before the launcher has made the stream is sent again. */
#define NOT_THERE_YET_MS 20

/* For a launcher whose own answer was lost. */
#define LAUNCH_MAX_MS 10000

/* Between two turns that do not wait. */
#define PAUSE_MS 200

/* What nobody is known to wait for need not come within milliseconds. */
#define AT_EASE_MS 150

static void send_turn(void *context);

static duplex_turn *free_turn(pq_duplex *stream)
{
    for (size_t i = 0; i < DUPLEX_TURNS; i++) {
        if (!stream->turns[i].busy)
            return &stream->turns[i];
    }
    return NULL;
}

static bool is_any_busy(const pq_duplex *stream)
{
    for (size_t i = 0; i < DUPLEX_TURNS; i++) {
        if (stream->turns[i].busy)
            return true;
    }
    return false;
}

static void release(duplex_turn *turn)
{
    pq_buf_done(&turn->bytes);
    turn->busy = turn->rides = false;
}

/* ---- what comes back ---- */

static void take_outputs(pq_duplex *stream, const pq_call_result *result)
{
    pq_error err;
    uint64_t told = stream->out.bytes_told + stream->err.bytes_told;
    if (pq_duplex_output_take(&stream->out, &result->trailer, &result->out, &err) < 0 ||
        pq_duplex_output_take(&stream->err, &result->trailer, &result->err, &err) < 0) {
        pq_duplex_fail(stream, &err);
        return;
    }
    told = stream->out.bytes_told + stream->err.bytes_told - told;
    stream->plenty = told >= INLINE_BYTES / 2;
    if (told > 0)
        stream->last_news = pq_now();
    pq_duplex_check_space(stream, &result->trailer);
}

static void on_turn(void *context, const pq_error *err, pq_call_result *result)
{
    duplex_turn *turn = context;
    pq_duplex *stream = turn->stream;
    turn->call = NULL;
    if (err != NULL) {
        release(turn);
        pq_duplex_fail(stream, err);
        return;
    }
    bool none = strcmp(result->trailer.state, "none") == 0;
    bool may_come = stream->launcher != NULL || pq_now() - stream->began < LAUNCH_MAX_MS;
    if (none && !stream->confirmed && may_come) {
        /* Or it has refused the command and says why. */
        if (stream->launcher != NULL)
            pq_call_hold(stream->launcher, false);
        pq_timer_start(pq_session_loop(stream->session), &turn->timer,
                       NOT_THERE_YET_MS + (pq_now() - stream->began) / 10, send_turn, turn);
        return;
    }
    bool rode = turn->rides;
    release(turn);
    pq_duplex_take_state(stream, &result->trailer);
    if (stream->failure.code != PQ_OK)
        return;
    stream->confirmed = true;
    pq_input_used(&stream->input, &result->trailer);
    if (rode)
        pq_input_rode(&stream->input);
    else
        pq_input_pump(&stream->input); /* which may have waited for a turn to ride on */
    take_outputs(stream, result);
    pq_duplex_schedule(stream);
}

/* ---- what is sent ---- */

static int add_place(const duplex_output *output, uint64_t from, pq_script *script, pq_error *err)
{
    return pq_script_addf(script, err, "%llu %llu %llu %llu", (unsigned long long)from,
                          (unsigned long long)output->forgotten, (unsigned long long)output->told,
                          (unsigned long long)output->told_of_next);
}

/* Decides what the guest may remove; returns from where on. */
static uint64_t forget(duplex_output *output)
{
    uint64_t from = output->forgotten;
    if (output->read - from >= FORGET_BATCH)
        output->forgotten = output->read;
    return from;
}

static int build(duplex_turn *turn, pq_script *script, pq_error *err)
{
    pq_duplex *stream = turn->stream;
    bool level = pq_duplex_output_is_level(&stream->out) && pq_duplex_output_is_level(&stream->err);
    char waits[2] = {turn->waits, '\0'};
    uint64_t out_from = forget(&stream->out), err_from = forget(&stream->err);
    if (pq_duplex_turn_begin(script, err) < 0 ||
        pq_script_add(script, pq_session_dir(stream->session), err) < 0 ||
        pq_script_addf(script, err, "%u", stream->number) < 0 ||
        pq_script_addf(script, err, "%llu", (unsigned long long)turn->number) < 0 ||
        pq_script_add(script, waits, err) < 0 ||
        add_place(&stream->out, out_from, script, err) < 0 ||
        add_place(&stream->err, err_from, script, err) < 0 ||
        pq_script_addf(script, err, "%d", level && !stream->paused ? INLINE_BYTES : 0) < 0)
        return -1;
    if (!turn->rides)
        return pq_script_add(script, "-", err);
    if (pq_script_addf(script, err, "%llu", (unsigned long long)turn->piece) < 0 ||
        pq_script_add(script, "P", err) < 0)
        return -1;
    return pq_script_add_escaped(script, turn->bytes.data, turn->bytes.length, err);
}

static void send_turn(void *context)
{
    duplex_turn *turn = context;
    pq_duplex *stream = turn->stream;
    pq_script script = {0};
    pq_error err;
    pq_ms quiet = pq_now() - stream->last_news;
    bool awaited = turn->rides || stream->plenty;
    pq_call_options options = PQ_CALL_DEFAULTS;
    options.overlap = turn->rides;
    options.waits = turn->waits == 'w' || turn->waits == 'a';
    options.waited = awaited ? 0 : quiet + AT_EASE_MS;
    if (build(turn, &script, &err) == 0)
        turn->call = pq_call_start(stream->session, &script, &options, on_turn, turn, &err);
    pq_script_done(&script);
    if (turn->call != NULL)
        return;
    release(turn);
    pq_duplex_fail(stream, &err);
}

static void take_turn(pq_duplex *stream, duplex_turn *turn, char waits)
{
    if (stream->launcher != NULL)
        pq_call_hold(stream->launcher, true);
    turn->stream = stream;
    turn->busy = true;
    turn->number = ++stream->turn;
    turn->waits = waits;
    stream->turn_sent = pq_now();
    send_turn(turn);
}

static char how_to_wait(const pq_duplex *stream)
{
    if (stream->impatient)
        return 'x';
    if (stream->paused)
        return '-';
    return stream->state == DUPLEX_DRAINING ? 'a' : 'w';
}

bool pq_duplex_ride(void *context)
{
    pq_duplex *stream = context;
    duplex_turn *turn = free_turn(stream);
    pq_error err;
    if (stream->state != DUPLEX_RUNNING || turn == NULL)
        return false;
    if (pq_input_ride(&stream->input, &turn->piece, &turn->bytes, &err) < 0) {
        pq_duplex_fail(stream, &err);
        return true;
    }
    turn->rides = true;
    stream->last_news = pq_now();
    take_turn(stream, turn, how_to_wait(stream));
    return true;
}

/* ---- when ---- */

static uint64_t backlog(const duplex_output *output)
{
    return output->told - output->read;
}

static bool must_forget(const duplex_output *output)
{
    return output->read - output->forgotten >= FORGET_NOW;
}

static bool is_due(const pq_duplex *stream)
{
    if (must_forget(&stream->out) || must_forget(&stream->err))
        return true;
    if (pq_now() - stream->turn_sent >= stream->period)
        return true;
    bool nothing_comes = stream->state == DUPLEX_DRAINING && stream->out.ended && stream->err.ended;
    if (is_any_busy(stream) || stream->paused || nothing_comes)
        return false;
    return backlog(&stream->out) < BACKLOG_MAX && backlog(&stream->err) < BACKLOG_MAX;
}

static void on_next_turn(void *context)
{
    pq_duplex_schedule(context);
}

void pq_duplex_take_turns(pq_duplex *stream)
{
    duplex_turn *turn = free_turn(stream);
    pq_ms since = pq_now() - stream->turn_sent;
    bool paces = stream->impatient && since < PAUSE_MS;
    if (turn != NULL && !paces && is_due(stream))
        take_turn(stream, turn, how_to_wait(stream));
    pq_ms left = paces ? PAUSE_MS - since : stream->period - (pq_now() - stream->turn_sent);
    pq_timer_start(pq_session_loop(stream->session), &stream->next_turn,
                   left > PAUSE_MS || paces ? left : PAUSE_MS, on_next_turn, stream);
}

bool pq_duplex_turns_are_there(const pq_duplex *stream)
{
    for (size_t i = 0; i < DUPLEX_TURNS; i++) {
        const duplex_turn *turn = &stream->turns[i];
        if (turn->busy && (turn->call == NULL || !pq_call_is_known_running(turn->call)))
            return false;
    }
    return true;
}

void pq_duplex_turns_done(pq_duplex *stream)
{
    for (size_t i = 0; i < DUPLEX_TURNS; i++) {
        pq_timer_stop(&stream->turns[i].timer);
        pq_call_drop(stream->turns[i].call);
        stream->turns[i].call = NULL;
        release(&stream->turns[i]);
    }
}
