/*
 * Pieces on their way.
 *
 * Until the server has taken one, the first goes alone: its refusal tells what the server takes.
 * From then on several calls are under way, as many as measure best. Whether a piece's script went
 * well is asked late, when the calls of further pieces have been answered and it has surely ended,
 * so that one question is enough and does not keep the next piece waiting.
 */
#include <string.h>

#include "filexfer/guest_scripts.h"
#include "filexfer/put_internal.h"

/* Questions at a time when there is nothing else to do. */
#define IDLE_QUESTIONS 3

#define PATIENCE_MAX 3

/* A pause of the source tells nothing of the agent. */
#define INTERVAL_MAX_MS 200

/* Pieces that are not made smaller because the agent is slow. */
#define ROOM_LEAST ((size_t)32 * 1024)

/* So many in a row that the agent took well in time make the pieces larger again. */
#define QUICK_PIECES 8

const char *pq_put_dir(const pq_put *put)
{
    return put->dir != NULL ? put->dir : pq_session_files_dir(put->session);
}

static int begin(const pq_put *put, uint64_t offset, pq_script *script, pq_error *err)
{
    if (pq_file_script_begin(script, PQ_FILE_WRITE, err) < 0 ||
        pq_script_add(script, pq_put_dir(put), err) < 0 ||
        pq_script_add(script, put->staged, err) < 0)
        return -1;
    script->no_decoder = pq_session_lacks_decoder(put->session);
    return pq_script_addf(script, err, "%llu", (unsigned long long)(offset / PQ_BUILD_BLOCK));
}

int pq_put_find_room(const pq_put *put, size_t *ret_room, pq_error *err)
{
    pq_script script = {0};
    int result = begin(put, UINT64_MAX, &script, err);
    if (result == 0)
        *ret_room = pq_script_room(&script, pq_session_limits(put->session));
    if (put->room_most != 0 && *ret_room > put->room_most)
        *ret_room = put->room_most;
    pq_script_done(&script);
    return result;
}

/* ---- the pieces ---- */

static bool is_under_way(const put_piece *piece)
{
    return piece->call != NULL && piece->number == 0;
}

static unsigned count_under_way(const pq_put *put)
{
    unsigned count = 0;
    for (size_t i = 0; i < PUT_PIECES; i++)
        count += is_under_way(&put->pieces[i]);
    return count;
}

static unsigned count_asked(const pq_put *put)
{
    unsigned count = 0;
    for (size_t i = 0; i < PUT_PIECES; i++)
        count += put->pieces[i].call != NULL && put->pieces[i].asked;
    return count;
}

static put_piece *find_free(pq_put *put)
{
    for (size_t i = 0; i < PUT_PIECES; i++) {
        if (put->pieces[i].call == NULL)
            return &put->pieces[i];
    }
    return NULL;
}

/* The piece that was started first of those that nobody has asked about; or NULL. */
static put_piece *find_oldest(pq_put *put)
{
    put_piece *oldest = NULL;
    for (size_t i = 0; i < PUT_PIECES; i++) {
        put_piece *piece = &put->pieces[i];
        bool waits = piece->call != NULL && piece->number > 0 && !piece->asked;
        if (waits && (oldest == NULL || piece->number < oldest->number))
            oldest = piece;
    }
    return oldest;
}

static bool is_empty(const pq_put *put)
{
    for (size_t i = 0; i < PUT_PIECES; i++) {
        if (put->pieces[i].call != NULL)
            return false;
    }
    return true;
}

static void release(put_piece *piece)
{
    pq_put *put = piece->put;
    pq_piece_done(&piece->content);
    memset(piece, 0, sizeof *piece);
    piece->put = put;
}

/* ---- questions ---- */

static void ask(put_piece *piece)
{
    piece->asked = true;
    pq_call_hold(piece->call, false);
}

static void ask_late(pq_put *put)
{
    put_piece *piece;
    while ((piece = find_oldest(put)) != NULL) {
        bool ended = put->started - piece->number >= put->patience;
        bool needed = find_free(put) == NULL && count_asked(put) == 0;
        if (!ended && !needed)
            return;
        ask(piece);
    }
}

bool pq_put_end_pieces(pq_put *put)
{
    put_piece *piece;
    while ((piece = find_oldest(put)) != NULL)
        ask(piece);
    return !is_empty(put);
}

static void on_idle(void *context);

/* Nothing is under way: what was sent last is asked about when it should have ended, too. Its
 * script takes about half of the time that the agent takes for its call. */
static void ask_idle(pq_put *put)
{
    pq_ms delay = pq_poll_first_delay(pq_session_first_poll(put->session)), now = pq_now();
    if (delay < put->interval / 2)
        delay = put->interval / 2;
    put_piece *piece;
    while (count_asked(put) < IDLE_QUESTIONS && (piece = find_oldest(put)) != NULL) {
        if (now - piece->since < delay) {
            pq_timer_start(pq_session_loop(put->session), &put->later, delay - (now - piece->since),
                           on_idle, put);
            return;
        }
        ask(piece);
    }
}

static void on_idle(void *context)
{
    pq_put *put = context;
    if (count_under_way(put) == 0)
        ask_idle(put);
}

/* ---- what becomes of a piece ---- */

static void learn_speed(pq_put *put, const put_piece *piece, pq_ms took)
{
    pq_pace *pace = pq_session_write_pace(put->session);
    if (piece->content.full)
        pq_pace_done(pace, piece->content.bytes.length, took, pq_now());
    put->quick = took < PQ_PACE_SLOW_MS ? put->quick + 1 : 0;
    if (put->quick < QUICK_PIECES)
        return;
    put->quick = 0;
    bool large = put->room_most >= pq_session_limits(put->session)->args_bytes;
    put->room_most = large ? 0 : 2 * put->room_most;
}

static void on_started(void *context)
{
    put_piece *piece = context;
    pq_put *put = piece->put;
    pq_ms now = pq_now();
    /* It may be started again. */
    if (piece->number != 0)
        return;
    piece->number = ++put->started;
    if (put->state == PUT_CLEANING) {
        pq_put_clean(put);
        return;
    }
    put->any_taken = true;
    put->interval = now - (put->started > 1 ? put->last_start : piece->since);
    if (put->interval > INTERVAL_MAX_MS)
        put->interval = INTERVAL_MAX_MS;
    put->last_start = now;
    learn_speed(put, piece, now - piece->since);
    piece->since = now;
    ask_late(put);
    pq_put_pump(put);
}

/* Whether smaller pieces can help; `room` is what there is for one. */
static bool can_cut(pq_put *put, const put_piece *piece, const pq_error *err, size_t room)
{
    size_t length = piece->content.bytes.length;
    bool is_news = !piece->escaped && pq_session_lacks_decoder(put->session);
    if (err->code == PQ_E_TOO_LARGE)
        return is_news || length > room || ++put->cuts <= PUT_CUTS_MAX;
    if (err->code != PQ_E_AGENT_TIMEOUT || length <= ROOM_LEAST)
        return false;
    put->quick = 0;
    if (length <= room)
        put->room_most = length / 2 > ROOM_LEAST ? length / 2 : ROOM_LEAST;
    return true;
}

static void send_again(put_piece *piece)
{
    pq_put *put = piece->put;
    pq_error err;
    int result = pq_put_again(put, &piece->content, &err);
    release(piece);
    if (result < 0)
        pq_put_fail(put, &err);
    else
        pq_put_pump(put);
}

static void failed(put_piece *piece, const pq_error *err)
{
    pq_put *put = piece->put;
    pq_error failure;
    size_t room = 0;
    if (pq_put_find_room(put, &room, &failure) < 0)
        pq_put_fail(put, &failure);
    else if (can_cut(put, piece, err, room))
        send_again(piece);
    else
        pq_put_fail(put, err);
}

static void refused(put_piece *piece, const char *state)
{
    pq_put *put = piece->put;
    pq_error err;
    if (strcmp(state, "nounpacker") == 0 && piece->content.packed) {
        pq_session_set_no_unpacker(put->session);
        send_again(piece);
        return;
    }
    bool full = strcmp(state, "full") == 0;
    pq_fail(&err, full ? PQ_E_GUEST_FULL : PQ_E_REMOTE_TMP,
            full ? "no space in '%s' of the guest" : "'%s' in the guest cannot be written",
            pq_session_remote_tmp(put->session));
    pq_put_fail(put, &err);
}

static void on_written(void *context, const pq_error *err, pq_call_result *result)
{
    put_piece *piece = context;
    pq_put *put = piece->put;
    piece->call = NULL;
    if (put->state == PUT_CLEANING) {
        release(piece);
        pq_put_clean(put);
        return;
    }
    if (err != NULL) {
        failed(piece, err);
        return;
    }
    if (strcmp(result->trailer.state, "ok") != 0) {
        refused(piece, result->trailer.state);
        return;
    }
    if (result->questions > 1 && put->patience < PATIENCE_MAX)
        put->patience++;
    uint64_t end = piece->content.offset + piece->content.length;
    if (end > put->staged_end)
        put->staged_end = end;
    release(piece);
    pq_put_resume_note(put);
    pq_put_pump(put);
    if (put->events.progress != NULL)
        put->events.progress(put->context, pq_put_progress(put), put->size);
}

/* ---- sending ---- */

static unsigned window(const pq_put *put)
{
    const pq_agent_limits *limits = pq_session_limits(put->session);
    pq_pace *pace = pq_session_write_pace(put->session);
    if (!limits->args_proven && !put->any_taken)
        return 1;
    pq_pace_limit(pace, 1, limits->parallel);
    if (limits->call_cost > 0)
        pq_pace_cost(pace, limits->call_cost);
    return pace->window;
}

/* The call of a piece is large and can be made again from its content. */
static int make_script(void *context, pq_script *script, pq_error *err)
{
    const put_piece *piece = context;
    const pq_put *put = piece->put;
    const pq_buf *bytes = &piece->content.bytes;
    size_t taken = 0;
    if (begin(put, piece->content.offset, script, err) < 0)
        return -1;
    script->packed = piece->content.packed;
    if (script->packed && script->no_decoder)
        return pq_fail(err, PQ_E_TOO_LARGE, "the guest has no tool to decode base64");
    if (pq_script_add_items(script, pq_session_limits(put->session), bytes->data, bytes->length,
                            PQ_BUILD_BLOCK, &taken, err) < 0)
        return -1;
    if (taken < bytes->length)
        return pq_fail(err, PQ_E_TOO_LARGE, "a call carries %zu bytes, not %zu", taken,
                       bytes->length);
    return 0;
}

/* Sends the piece that is built; or it is cut anew, since what calls carry has changed. */
static int send_piece(pq_put *put, put_piece *piece, pq_error *err)
{
    pq_call_options options = PQ_CALL_DEFAULTS;
    piece->put = put;
    piece->content = pq_build_take(&put->builder);
    piece->since = pq_now();
    piece->escaped = pq_session_lacks_decoder(put->session);
    options.makes_directory = put->dir == NULL;
    options.begins_held = true;
    options.ends_if_slow = piece->content.bytes.length > ROOM_LEAST;
    options.started = on_started;
    options.make = make_script;
    if (!put->any_staged)
        pq_put_resume_note(put);
    put->any_staged = true;
    piece->call = pq_call_start(put->session, NULL, &options, on_written, piece, err);
    if (piece->call != NULL)
        return 0;
    int result = -1;
    if (err->code == PQ_E_TOO_LARGE)
        result = pq_put_again(put, &piece->content, err);
    release(piece);
    return result;
}

void pq_put_send(pq_put *put)
{
    pq_error err;
    put_piece *piece = find_free(put);
    if (put->builder.complete && piece != NULL && count_under_way(put) < window(put)) {
        if (send_piece(put, piece, &err) < 0)
            pq_put_fail(put, &err);
        else
            pq_put_pump(put);
        return;
    }
    if (is_empty(put) && pq_put_is_built(put))
        pq_put_place(put);
    else if (count_under_way(put) == 0)
        ask_idle(put);
}

void pq_put_pieces_done(pq_put *put)
{
    pq_timer_stop(&put->later);
    for (size_t i = 0; i < PUT_PIECES; i++) {
        pq_call_drop(put->pieces[i].call);
        release(&put->pieces[i]);
    }
}
