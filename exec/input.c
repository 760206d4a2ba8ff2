#include "exec/input.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exec/guest_scripts.h"
#include "exec/poll.h"

#define CUTS_MAX 4

/* A piece that comes before the launcher has made the directory is sent again. */
#define NOT_THERE_YET_MS 50

/* Pieces that have a call of their own. Those that ride on a turn are not counted: it may wait in
 * the guest for output that only comes with more input. */
static unsigned in_flight(const pq_input *feed)
{
    unsigned count = 0;
    for (size_t i = 0; i < PQ_INPUT_IN_FLIGHT; i++)
        count += feed->pieces[i].busy;
    return count;
}

static pq_input_piece *free_piece(pq_input *feed)
{
    for (size_t i = 0; i < PQ_INPUT_IN_FLIGHT; i++) {
        if (!feed->pieces[i].busy)
            return &feed->pieces[i];
    }
    return NULL;
}

static void release(pq_input_piece *piece)
{
    pq_buf_done(&piece->bytes);
    piece->busy = false;
}

static void on_piece(void *context, const pq_error *err, pq_call_result *result);

static int begin_piece(pq_input *feed, uint64_t index, pq_script *script, pq_error *err)
{
    if (pq_script_begin(script, pq_guest_common, pq_guest_piece, err) < 0 ||
        pq_script_add(script, pq_session_dir(feed->session), err) < 0 ||
        pq_script_addf(script, err, "%u", feed->number) < 0 ||
        pq_script_add(script, "i", err) < 0 ||
        pq_script_addf(script, err, "%llu", (unsigned long long)index) < 0)
        return -1;
    script->no_decoder = pq_session_lacks_decoder(feed->session);
    return pq_script_add(script, "-", err);
}

/* Sends a piece's bytes; with none of them the call only asks, and may tell the end. */
static void send_piece(void *context)
{
    pq_input_piece *piece = context;
    pq_input *feed = piece->feed;
    const pq_agent_limits *limits = pq_session_limits(feed->session);
    pq_script script = {0};
    pq_error err;
    size_t taken;
    if (begin_piece(feed, piece->index, &script, &err) < 0 ||
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
    piece->call = pq_call_start(feed->session, &script, &PQ_CALL_DEFAULTS, on_piece, piece, &err);
    if (piece->call != NULL)
        return;
fail:
    pq_script_done(&script);
    feed->events.failed(feed->context, &err);
}

/* Moves what fits into one call from the waiting bytes to the piece. */
static int fill(pq_input *feed, pq_input_piece *piece, pq_error *err)
{
    const pq_agent_limits *limits = pq_session_limits(feed->session);
    pq_script script = {0};
    if (begin_piece(feed, feed->next_index, &script, err) < 0) {
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
static bool worth_sending(const pq_input *feed)
{
    const size_t full_call = pq_session_limits(feed->session)->args_bytes / 2;
    if (feed->waiting.length == 0)
        return feed->ended && !feed->end_sent && in_flight(feed) == 0;
    return in_flight(feed) == 0 || feed->ended || feed->waiting.length >= full_call;
}

static void ask_used(void *context)
{
    pq_input *feed = context;
    pq_input_piece *piece = free_piece(feed);
    if (piece == NULL || feed->closed)
        return;
    piece->feed = feed;
    piece->busy = true;
    piece->index = 0;
    send_piece(piece);
}

static void start_piece(pq_input *feed)
{
    pq_input_piece *piece = free_piece(feed);
    pq_error err;
    piece->feed = feed;
    piece->busy = true;
    if (fill(feed, piece, &err) < 0) {
        feed->events.failed(feed->context, &err);
        return;
    }
    piece->index = feed->next_index;
    if (piece->bytes.length > 0)
        feed->next_index++;
    send_piece(piece);
}

/* A few bytes and nothing else under way: they may go with something that goes anyway. */
static bool rides(const pq_input *feed)
{
    return feed->events.ride != NULL && !feed->ended && feed->waiting.length > 0 &&
           feed->waiting.length <= PQ_INPUT_RIDE_MAX && in_flight(feed) == 0;
}

static void pump(void *context)
{
    pq_input *feed = context;
    if (feed->closed || !feed->active)
        return;
    unsigned window = pq_session_limits(feed->session)->parallel;
    if (!feed->confirmed)
        window = 1;
    else if (window > PQ_INPUT_IN_FLIGHT)
        window = PQ_INPUT_IN_FLIGHT;
    bool full = feed->next_index - feed->used >= PQ_INPUT_AHEAD;
    if (full && in_flight(feed) == 0)
        pq_timer_start(pq_session_loop(feed->session), &feed->retry,
                       pq_poll_look_delay(100 * (pq_ms)++feed->full_polls), ask_used, feed);
    if (full || in_flight(feed) >= window)
        return;
    if (rides(feed) && feed->events.ride(feed->context))
        return;
    if (!worth_sending(feed))
        return;
    pq_input_pump(feed);
    start_piece(feed);
}

void pq_input_pump(pq_input *feed)
{
    if (feed->active && !feed->closed)
        pq_defer_start(pq_session_loop(feed->session), &feed->more, pump, feed);
}

int pq_input_ride(pq_input *feed, uint64_t *ret_index, pq_buf *out, pq_error *err)
{
    if (pq_buf_add(out, feed->waiting.data, feed->waiting.length, err) < 0)
        return -1;
    pq_buf_consume(&feed->waiting, feed->waiting.length);
    *ret_index = feed->next_index++;
    feed->riding++;
    return 0;
}

static void tell_room(pq_input *feed)
{
    if (feed->waiting.length < PQ_INPUT_WINDOW && !feed->ended && !feed->closed &&
        feed->events.wanted != NULL)
        feed->events.wanted(feed->context);
}

void pq_input_rode(pq_input *feed)
{
    feed->riding--;
    pq_input_pump(feed);
    tell_room(feed);
}

/* Undoes the sending of the only piece so far. */
static int take_back(pq_input_piece *piece, pq_error *err)
{
    pq_input *feed = piece->feed;
    if (pq_buf_add(&piece->bytes, feed->waiting.data, feed->waiting.length, err) < 0)
        return -1;
    pq_buf_done(&feed->waiting);
    feed->waiting = piece->bytes;
    memset(&piece->bytes, 0, sizeof piece->bytes);
    release(piece);
    feed->next_index = piece->index;
    feed->end_sent = false;
    return 0;
}

/* The first piece was too large for this server, which has told its limit by now. */
static bool cut_anew(pq_input_piece *piece, const pq_error *err)
{
    pq_input *feed = piece->feed;
    pq_error ignored;
    return err->code == PQ_E_TOO_LARGE && !feed->confirmed && ++feed->cuts <= CUTS_MAX &&
           take_back(piece, &ignored) == 0;
}

int pq_input_take_back(pq_input *feed, pq_error *err)
{
    pq_input_piece *piece = &feed->pieces[0];
    feed->active = false;
    pq_timer_stop(&feed->retry);
    pq_defer_stop(&feed->more);
    if (!piece->busy)
        return 0;
    pq_timer_stop(&piece->timer);
    pq_call_drop(piece->call);
    piece->call = NULL;
    return take_back(piece, err);
}

static void on_piece(void *context, const pq_error *err, pq_call_result *result)
{
    pq_input_piece *piece = context;
    pq_input *feed = piece->feed;
    piece->call = NULL;
    if (err != NULL) {
        if (cut_anew(piece, err))
            pq_input_pump(feed);
        else
            feed->events.failed(feed->context, err);
        return;
    }
    const char *state = result->trailer.state;
    if (strcmp(state, "gone") == 0) {
        pq_timer_start(pq_session_loop(feed->session), &piece->timer, NOT_THERE_YET_MS, send_piece,
                       piece);
        return;
    }
    /* A small piece says nothing of large ones. */
    const pq_agent_limits *limits = pq_session_limits(feed->session);
    if (limits->args_proven || piece->bytes.length >= limits->args_bytes / 2)
        feed->confirmed = true;
    release(piece);
    if (strcmp(state, "full") == 0) {
        feed->closed = true;
        feed->events.full(feed->context);
        return;
    }
    pq_input_used(feed, &result->trailer);
    pq_input_pump(feed);
    tell_room(feed);
}

bool pq_input_used(pq_input *feed, const pq_trailer *trailer)
{
    char text[24];
    bool over = strcmp(trailer->state, "end") == 0;
    if (!feed->active || !pq_trailer_value(trailer, "used", text, sizeof text))
        return !over;
    uint64_t used = strtoull(text, NULL, 10);
    if (used > feed->used && used <= feed->next_index) {
        feed->used = used;
        feed->full_polls = 0;
    }
    if (over)
        feed->closed = true;
    return !over;
}

void pq_input_done(pq_input *feed)
{
    for (size_t i = 0; i < PQ_INPUT_IN_FLIGHT; i++) {
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

size_t pq_input_room(const pq_input *feed)
{
    if (feed->closed || feed->ended || feed->waiting.length >= PQ_INPUT_WINDOW)
        return 0;
    return PQ_INPUT_WINDOW - feed->waiting.length;
}

int pq_input_add(pq_input *feed, const void *bytes, size_t length, pq_error *err)
{
    if (feed->closed)
        return 0;
    if (pq_buf_add(&feed->waiting, bytes, length, err) < 0)
        return -1;
    pq_input_pump(feed);
    return 0;
}

void pq_input_end(pq_input *feed)
{
    if (feed->closed)
        return;
    feed->ended = true;
    pq_input_pump(feed);
}

void pq_input_init(pq_input *feed, pq_session *session, unsigned number,
                   const pq_input_events *events, void *context)
{
    feed->session = session;
    feed->number = number;
    feed->events = *events;
    feed->context = context;
}

void pq_input_start(pq_input *feed)
{
    feed->active = true;
    pq_input_pump(feed);
}
