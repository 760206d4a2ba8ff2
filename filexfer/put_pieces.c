/*
 * Content that does not fit one call: pieces with their offset, several on their way at once. The
 * first goes alone; if the server finds it too large it is cut anew.
 */
#include <string.h>

#include "filexfer/guest_scripts.h"
#include "filexfer/put_internal.h"

static unsigned in_flight(const pq_put *put)
{
    unsigned count = 0;
    for (size_t i = 0; i < PUT_PIECES; i++)
        count += put->pieces[i].busy;
    return count;
}

static put_piece *free_piece(pq_put *put)
{
    for (size_t i = 0; i < PUT_PIECES; i++) {
        if (!put->pieces[i].busy)
            return &put->pieces[i];
    }
    return NULL;
}

static void release(put_piece *piece)
{
    pq_buf_done(&piece->bytes);
    piece->busy = false;
}

static bool cut_anew(put_piece *piece, const pq_error *err)
{
    pq_put *put = piece->put;
    pq_error ignored;
    if (err->code != PQ_E_TOO_LARGE || put->piece_confirmed || ++put->cuts > PUT_CUTS_MAX)
        return false;
    if (pq_buf_add(&piece->bytes, put->waiting.data, put->waiting.length, &ignored) < 0)
        return false;
    pq_buf_done(&put->waiting);
    put->waiting = piece->bytes;
    memset(&piece->bytes, 0, sizeof piece->bytes);
    put->sent = piece->offset;
    release(piece);
    return true;
}

static void on_written(void *context, const pq_error *err, pq_call_result *result)
{
    put_piece *piece = context;
    pq_put *put = piece->put;
    pq_error failure;
    piece->call = NULL;
    if (err != NULL) {
        if (cut_anew(piece, err))
            pq_put_pump(put);
        else
            pq_put_fail(put, err);
        return;
    }
    if (strcmp(result->trailer.state, "ok") != 0) {
        bool full = strcmp(result->trailer.state, "full") == 0;
        pq_fail(&failure, full ? PQ_E_GUEST_FULL : PQ_E_REMOTE_TMP,
                full ? "no space in '%s' of the guest" : "'%s' in the guest cannot be written",
                pq_session_remote_tmp(put->session));
        pq_put_fail(put, &failure);
        return;
    }
    put->piece_confirmed = true;
    put->confirmed += piece->bytes.length;
    release(piece);
    pq_put_pump(put);
    if (put->events.progress != NULL)
        put->events.progress(put->context, put->confirmed, put->size);
    if (put->events.content_wanted != NULL && pq_put_room(put) > 0)
        put->events.content_wanted(put->context);
}

static int begin(pq_put *put, uint64_t offset, pq_script *script, pq_error *err)
{
    if (pq_file_script_begin(script, PQ_FILE_WRITE, err) < 0 ||
        pq_script_add(script, pq_session_files_dir(put->session), err) < 0 ||
        pq_script_add(script, put->staged, err) < 0)
        return -1;
    script->no_decoder = pq_session_lacks_decoder(put->session);
    return pq_script_addf(script, err, "%llu", (unsigned long long)(offset / PUT_BLOCK));
}

/* Makes the next piece's call, or with too few bytes for one nothing: *ret_taken is 0 then. */
static int build(pq_put *put, pq_script *script, size_t *ret_taken, pq_error *err)
{
    const pq_agent_limits *limits = pq_session_limits(put->session);
    if (begin(put, put->sent, script, err) < 0)
        return -1;
    size_t room = pq_script_room(script, limits) / PUT_BLOCK * PUT_BLOCK;
    bool whole = put->waiting.length <= room;
    *ret_taken = 0;
    if (whole && !put->ended)
        return 0;
    size_t length = whole ? put->waiting.length : room;
    return pq_script_add_items(script, limits, put->waiting.data, length, PUT_BLOCK, ret_taken,
                               err);
}

static int send_piece(pq_put *put, pq_script *script, size_t length, pq_error *err)
{
    put_piece *piece = free_piece(put);
    if (pq_buf_add(&piece->bytes, put->waiting.data, length, err) < 0)
        return -1;
    pq_buf_consume(&put->waiting, length);
    piece->put = put;
    piece->busy = true;
    piece->offset = put->sent;
    put->sent += length;
    piece->call =
        pq_call_start(put->session, script, &PQ_CALL_MAKES_DIRECTORY, on_written, piece, err);
    return piece->call != NULL ? 0 : -1;
}

void pq_put_send(pq_put *put)
{
    pq_error err;
    unsigned window = pq_session_limits(put->session)->parallel;
    if (!put->piece_confirmed)
        window = 1;
    else if (window > PUT_PIECES)
        window = PUT_PIECES;
    while (in_flight(put) < window && put->waiting.length > 0) {
        pq_script script = {0};
        size_t length;
        if (build(put, &script, &length, &err) < 0 ||
            (length > 0 && send_piece(put, &script, length, &err) < 0)) {
            pq_script_done(&script);
            pq_put_fail(put, &err);
            return;
        }
        pq_script_done(&script);
        if (length == 0)
            break;
    }
    if (put->ended && put->waiting.length == 0 && in_flight(put) == 0)
        pq_put_place(put);
}

void pq_put_pieces_done(pq_put *put)
{
    for (size_t i = 0; i < PUT_PIECES; i++) {
        pq_call_drop(put->pieces[i].call);
        put->pieces[i].call = NULL;
        release(&put->pieces[i]);
    }
}
