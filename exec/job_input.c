/*
 * stdin of a job in numbered pieces, which the guest's feeder writes into the command's FIFO.
 *
 * Pieces go in any order and may be repeated, so several are on their way at once; each keeps its
 * bytes until the guest has it. The first goes alone: if the server finds it too large, it can be
 * cut anew while no other number is in use.
 *
 * Back-pressure: the guest holds at most PIECES_AHEAD pieces that the command has not read, the
 * caller's room is PQ_JOB_INPUT_WINDOW.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exec/guest_scripts.h"
#include "exec/job_internal.h"
#include "exec/poll.h"

#define CUTS_MAX 4

/* A piece that comes before the launcher has made the directory is sent again. */
#define NOT_THERE_YET_MS 50

static unsigned in_flight(const job_feed *feed)
{
    unsigned count = 0;
    for (size_t i = 0; i < PIECES_IN_FLIGHT; i++)
        count += feed->pieces[i].busy;
    return count;
}

static job_piece *free_piece(job_feed *feed)
{
    for (size_t i = 0; i < PIECES_IN_FLIGHT; i++) {
        if (!feed->pieces[i].busy)
            return &feed->pieces[i];
    }
    return NULL;
}

static void release(job_piece *piece)
{
    pq_buf_done(&piece->bytes);
    piece->busy = false;
}

static void on_piece(void *context, const pq_error *err, pq_call_result *result);

static int begin_piece(pq_job *job, uint64_t index, pq_script *script, pq_error *err)
{
    if (pq_script_begin(script, pq_guest_common, pq_guest_piece, err) < 0 ||
        pq_script_add(script, pq_session_dir(job->session), err) < 0 ||
        pq_script_addf(script, err, "%u", job->number) < 0 || pq_script_add(script, "i", err) < 0 ||
        pq_script_addf(script, err, "%llu", (unsigned long long)index) < 0)
        return -1;
    script->no_decoder = pq_session_lacks_decoder(job->session);
    return pq_script_add(script, "-", err);
}

/* Sends a piece's bytes; with none of them the call only asks, and may tell the end. */
static void send_piece(void *context)
{
    job_piece *piece = context;
    pq_job *job = piece->job;
    job_feed *feed = &job->feed;
    const pq_agent_limits *limits = pq_session_limits(job->session);
    pq_script script = {0};
    pq_error err;
    size_t taken;
    if (begin_piece(job, piece->index, &script, &err) < 0 ||
        pq_script_add_items(&script, limits, piece->bytes.data, piece->bytes.length, 1, &taken,
                            &err) < 0)
        goto fail;
    if (feed->ended && feed->waiting.length == 0) {
        char total[24];
        snprintf(total, sizeof total, "%llu", (unsigned long long)feed->next_index);
        if (pq_script_set(&script, PQ_PIECE_TOTAL_ARGUMENT, total, &err) < 0)
            goto fail;
        feed->end_sent = true;
    }
    piece->call = pq_call_start(job->session, &script, &PQ_CALL_DEFAULTS, on_piece, piece, &err);
    if (piece->call != NULL)
        return;
fail:
    pq_script_done(&script);
    pq_job_fail(job, &err);
}

/* Moves what fits into one call from the waiting bytes to the piece. */
static int fill(pq_job *job, job_piece *piece, pq_error *err)
{
    job_feed *feed = &job->feed;
    const pq_agent_limits *limits = pq_session_limits(job->session);
    pq_script script = {0};
    if (begin_piece(job, feed->next_index, &script, err) < 0) {
        pq_script_done(&script);
        return -1;
    }
    size_t room = pq_script_room(&script, limits);
    pq_script_done(&script);
    size_t take = feed->waiting.length < room ? feed->waiting.length : room;
    if (pq_buf_add(&piece->bytes, feed->waiting.data, take, err) < 0)
        return -1;
    pq_buf_consume(&feed->waiting, take);
    return 0;
}

/* Fewer bytes than fill a call are sent only while nothing else is on its way: they would cost a
 * call of their own. */
static bool worth_sending(pq_job *job)
{
    const job_feed *feed = &job->feed;
    const size_t full_call = pq_session_limits(job->session)->args_bytes / 2;
    if (feed->waiting.length == 0)
        return feed->ended && !feed->end_sent && in_flight(feed) == 0;
    return in_flight(feed) == 0 || feed->ended || feed->waiting.length >= full_call;
}

static void ask_used(void *context)
{
    pq_job *job = context;
    job_feed *feed = &job->feed;
    job_piece *piece = free_piece(feed);
    if (piece == NULL || feed->closed)
        return;
    piece->job = job;
    piece->busy = true;
    piece->index = 0;
    send_piece(piece);
}

static void start_piece(pq_job *job)
{
    job_feed *feed = &job->feed;
    job_piece *piece = free_piece(feed);
    pq_error err;
    piece->job = job;
    piece->busy = true;
    if (fill(job, piece, &err) < 0) {
        pq_job_fail(job, &err);
        return;
    }
    piece->index = feed->next_index;
    if (piece->bytes.length > 0)
        feed->next_index++;
    send_piece(piece);
}

static void pump(void *context)
{
    pq_job *job = context;
    job_feed *feed = &job->feed;
    if (feed->closed || job->state != JOB_RUNNING)
        return;
    unsigned window = pq_session_limits(job->session)->parallel;
    if (!feed->confirmed)
        window = 1;
    else if (window > PIECES_IN_FLIGHT)
        window = PIECES_IN_FLIGHT;
    bool full = feed->next_index - feed->used >= PIECES_AHEAD;
    if (full && in_flight(feed) == 0)
        pq_timer_start(pq_session_loop(job->session), &feed->retry,
                       pq_poll_look_delay(100 * (pq_ms)++feed->full_polls), ask_used, job);
    if (full || in_flight(feed) >= window || !worth_sending(job))
        return;
    pq_job_feed_pump(job);
    start_piece(job);
}

void pq_job_feed_pump(pq_job *job)
{
    if (job->feeds && !job->plain && !job->feed.closed)
        pq_defer_start(pq_session_loop(job->session), &job->feed.more, pump, job);
}

/* Undoes the sending of the only piece so far. */
static int take_back(job_piece *piece, pq_error *err)
{
    job_feed *feed = &piece->job->feed;
    if (pq_buf_add(&piece->bytes, feed->waiting.data, feed->waiting.length, err) < 0)
        return -1;
    pq_buf_done(&feed->waiting);
    feed->waiting = piece->bytes;
    memset(&piece->bytes, 0, sizeof piece->bytes);
    release(piece);
    feed->next_index = 0;
    feed->end_sent = false;
    return 0;
}

/* The first piece was too large for this server, which has told its limit by now. */
static bool cut_anew(job_piece *piece, const pq_error *err)
{
    job_feed *feed = &piece->job->feed;
    pq_error ignored;
    return err->code == PQ_E_TOO_LARGE && !feed->confirmed && ++feed->cuts <= CUTS_MAX &&
           take_back(piece, &ignored) == 0;
}

int pq_job_feed_take_back(pq_job *job, pq_error *err)
{
    job_piece *piece = &job->feed.pieces[0];
    pq_timer_stop(&job->feed.retry);
    pq_defer_stop(&job->feed.more);
    if (!piece->busy)
        return 0;
    pq_timer_stop(&piece->timer);
    pq_call_drop(piece->call);
    piece->call = NULL;
    return take_back(piece, err);
}

static void no_space(pq_job *job)
{
    pq_fail_effect(&job->failure, PQ_E_GUEST_FULL, PQ_EFFECT_DONE, false,
                   "no space in '%s' of the guest for the command's stdin; the command was ended",
                   pq_session_remote_tmp(job->session));
    pq_job_cancel(job);
}

static void on_piece(void *context, const pq_error *err, pq_call_result *result)
{
    job_piece *piece = context;
    pq_job *job = piece->job;
    job_feed *feed = &job->feed;
    piece->call = NULL;
    if (err != NULL) {
        if (cut_anew(piece, err))
            pq_job_feed_pump(job);
        else
            pq_job_fail(job, err);
        return;
    }
    const char *state = result->trailer.state;
    if (strcmp(state, "gone") == 0) {
        pq_timer_start(pq_session_loop(job->session), &piece->timer, NOT_THERE_YET_MS, send_piece,
                       piece);
        return;
    }
    release(piece);
    feed->confirmed = true;
    if (strcmp(state, "full") == 0) {
        no_space(job);
        return;
    }
    pq_job_feed_used(job, &result->trailer);
    pq_job_feed_pump(job);
    if (feed->waiting.length < PQ_JOB_INPUT_WINDOW && !feed->ended &&
        job->events.input_wanted != NULL)
        job->events.input_wanted(job->context);
}

void pq_job_feed_used(pq_job *job, const pq_trailer *trailer)
{
    job_feed *feed = &job->feed;
    char text[24];
    if (!job->feeds || !pq_trailer_value(trailer, "used", text, sizeof text))
        return;
    uint64_t used = strtoull(text, NULL, 10);
    if (used > feed->used && used <= feed->next_index) {
        feed->used = used;
        feed->full_polls = 0;
    }
    if (strcmp(trailer->state, "end") == 0) {
        feed->closed = true;
        if (job->launcher != NULL)
            pq_call_hold(job->launcher, false);
    }
}

void pq_job_feed_done(pq_job *job)
{
    job_feed *feed = &job->feed;
    for (size_t i = 0; i < PIECES_IN_FLIGHT; i++) {
        pq_timer_stop(&feed->pieces[i].timer);
        pq_call_drop(feed->pieces[i].call);
        feed->pieces[i].call = NULL;
        release(&feed->pieces[i]);
    }
    pq_timer_stop(&feed->retry);
    pq_defer_stop(&feed->more);
    feed->closed = true;
    pq_buf_done(&feed->waiting);
}

size_t pq_job_input_room(const pq_job *job)
{
    const job_feed *feed = &job->feed;
    if (feed->closed || feed->ended || feed->waiting.length >= PQ_JOB_INPUT_WINDOW)
        return 0;
    return PQ_JOB_INPUT_WINDOW - feed->waiting.length;
}

int pq_job_input(pq_job *job, const void *bytes, size_t length, pq_error *err)
{
    if (job->feed.closed)
        return 0;
    if (pq_buf_add(&job->feed.waiting, bytes, length, err) < 0)
        return -1;
    pq_job_feed_pump(job);
    return 0;
}

void pq_job_input_end(pq_job *job)
{
    if (job->feed.closed)
        return;
    job->feed.ended = true;
    pq_job_feed_pump(job);
}
