#include "exec/range.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exec/call.h"
#include "exec/guest_scripts.h"
#include "exec/retry.h"

/* dd in the slice script counts in these. */
#define BLOCK 4096

/* Slices that one script call cuts, and file-reads that fetch them. */
#define SLICES_PER_CALL 8

typedef enum piece_state { PIECE_FREE, PIECE_ASKED, PIECE_WAITING, PIECE_HERE } piece_state;

typedef struct range_piece {
    pq_range *range;
    piece_state state;
    uint64_t index; /* piece number; its bytes begin at first_offset + index * piece_bytes */
    pq_agent_op *op;
    pq_retry retry;
    pq_buf bytes;
    bool eof;
} range_piece;

struct pq_range {
    pq_session *session;
    char *dir;
    unsigned number;
    char *path;
    uint64_t start, end;
    uint64_t base; /* `start` rounded down to a block: where piece 0 begins */
    size_t piece_bytes;
    bool sliced;
    uint64_t sliced_to; /* slices below this number exist */
    pq_call *slicing;
    range_piece pieces[PQ_RANGE_WINDOW];
    uint64_t next_ask, next_deliver; /* piece numbers */
    uint64_t delivered;              /* offset behind the last byte handed over */
    bool paused;
    bool ended; /* the end of the file or of the range was seen */
    pq_defer pumped;
    pq_range_data_fn data;
    pq_range_done_fn done;
    void *context;
};

static void ask(void *context);
static void pump(void *context);

static uint64_t piece_offset(const pq_range *range, uint64_t index)
{
    return range->base + index * range->piece_bytes;
}

void pq_range_drop(pq_range *range)
{
    if (range == NULL)
        return;
    for (size_t i = 0; i < PQ_RANGE_WINDOW; i++) {
        range_piece *piece = &range->pieces[i];
        pq_retry_stop(&piece->retry);
        pq_agent_drop(pq_session_agent(range->session), piece->op);
        pq_buf_done(&piece->bytes);
    }
    pq_call_drop(range->slicing);
    pq_defer_stop(&range->pumped);
    free(range->dir);
    free(range->path);
    free(range);
}

static void finish(pq_range *range, const pq_error *err)
{
    pq_range_done_fn done = range->done;
    void *context = range->context;
    uint64_t end = range->delivered;
    pq_range_drop(range);
    done(context, err, end);
}

/* Hands over the bytes of a piece that belong to the range. False if the receiver had enough and
 * the range is gone. */
static bool deliver(pq_range *range, range_piece *piece)
{
    uint64_t offset = piece_offset(range, piece->index);
    const char *bytes = piece->bytes.data;
    size_t length = piece->bytes.length;
    if (offset < range->start) {
        size_t skip = (size_t)(range->start - offset);
        skip = skip < length ? skip : length;
        bytes += skip;
        length -= skip;
        offset = range->start;
    }
    if (range->end != PQ_RANGE_TO_END && length > range->end - offset)
        length = (size_t)(range->end - offset);
    range->ended = piece->eof || offset + length == range->end;
    range->delivered = offset + length;
    if (length > 0 && !range->data(range->context, bytes, length)) {
        pq_range_drop(range);
        return false;
    }
    pq_buf_clear(&piece->bytes);
    piece->state = PIECE_FREE;
    range->next_deliver++;
    return true;
}

static void on_sliced(void *context, const pq_error *err, pq_call_result *result)
{
    pq_range *range = context;
    pq_error failure;
    range->slicing = NULL;
    if (err != NULL) {
        finish(range, err);
    } else if (strcmp(result->trailer.state, "ok") == 0) {
        range->sliced_to += SLICES_PER_CALL;
        pump(range);
    } else if (strcmp(result->trailer.state, "full") == 0) {
        pq_fail(&failure, PQ_E_GUEST_FULL, "no space in '%s' of the guest for slices of a file",
                range->dir);
        finish(range, &failure);
    } else {
        pq_fail(&failure, PQ_E_REMOTE_FILE, "'%s' in the guest cannot be read", range->path);
        finish(range, &failure);
    }
}

static void cut_slices(pq_range *range)
{
    pq_error err;
    pq_script script = {0};
    if (pq_script_begin(&script, pq_guest_common, pq_guest_slice, &err) == 0 &&
        pq_script_add(&script, range->dir, &err) == 0 &&
        pq_script_addf(&script, &err, "%u", range->number) == 0 &&
        pq_script_add_escaped(&script, range->path, strlen(range->path), &err) == 0 &&
        pq_script_addf(&script, &err, "%llu", (unsigned long long)range->sliced_to) == 0 &&
        pq_script_addf(&script, &err, "%d", SLICES_PER_CALL) == 0 &&
        pq_script_addf(&script, &err, "%zu", range->piece_bytes / BLOCK) == 0 &&
        pq_script_addf(&script, &err, "%llu", (unsigned long long)(range->base / BLOCK)) == 0)
        range->slicing = pq_call_start(range->session, &script, &PQ_CALL_MAKES_DIRECTORY, on_sliced,
                                       range, &err);
    pq_script_done(&script);
    if (range->slicing == NULL)
        finish(range, &err);
}

/* The server has no offset reads after all: begin again with slices at what was delivered. */
static void switch_to_slices(pq_range *range)
{
    for (size_t i = 0; i < PQ_RANGE_WINDOW; i++) {
        range_piece *piece = &range->pieces[i];
        pq_retry_stop(&piece->retry);
        pq_agent_drop(pq_session_agent(range->session), piece->op);
        piece->op = NULL;
        pq_buf_clear(&piece->bytes);
        piece->state = PIECE_FREE;
    }
    range->sliced = true;
    range->sliced_to = range->next_deliver;
    range->next_ask = range->next_deliver;
    pump(range);
}

static void on_piece(void *context, const pq_error *err, pq_buf *bytes, bool eof)
{
    range_piece *piece = context;
    pq_range *range = piece->range;
    piece->op = NULL;
    if (err != NULL && err->code == PQ_E_UNSUPPORTED && !range->sliced) {
        switch_to_slices(range);
        return;
    }
    if (err != NULL) {
        if (pq_retry_later(&piece->retry, range->session, err, ask, piece))
            piece->state = PIECE_WAITING;
        else
            finish(range, err);
        return;
    }
    pq_retry_good(&piece->retry, range->session);
    piece->state = PIECE_HERE;
    pq_buf_done(&piece->bytes);
    piece->bytes = *bytes;
    memset(bytes, 0, sizeof *bytes);
    /* A slice is a file of its own, which always ends. */
    piece->eof = (eof && !range->sliced) || piece->bytes.length < range->piece_bytes;
    pump(range);
}

static void ask(void *context)
{
    range_piece *piece = context;
    pq_range *range = piece->range;
    pq_agent *agent = pq_session_agent(range->session);
    piece->state = PIECE_ASKED;
    if (!range->sliced) {
        piece->op = pq_agent_file_read(agent, range->path, piece_offset(range, piece->index),
                                       range->piece_bytes, on_piece, piece);
        return;
    }
    char path[1200];
    snprintf(path, sizeof path, "%s/%u.r.%llu", range->dir, range->number,
             (unsigned long long)piece->index);
    piece->op = pq_agent_file_read(agent, path, 0, range->piece_bytes, on_piece, piece);
}

static void ask_for_more(pq_range *range)
{
    unsigned window = pq_session_limits(range->session)->parallel;
    if (window > PQ_RANGE_WINDOW)
        window = PQ_RANGE_WINDOW;
    for (size_t i = 0; i < window && !range->ended; i++) {
        range_piece *piece = &range->pieces[i];
        bool in_range = piece_offset(range, range->next_ask) < range->end;
        if (piece->state != PIECE_FREE || !in_range)
            continue;
        if (range->sliced && range->next_ask >= range->sliced_to) {
            /* Old slices are removed as new ones are cut, so all must have been read. */
            if (range->slicing == NULL && range->next_deliver == range->sliced_to)
                cut_slices(range);
            return;
        }
        piece->range = range;
        piece->index = range->next_ask++;
        pq_retry_begin(&piece->retry);
        ask(piece);
    }
}

static range_piece *piece_to_deliver(pq_range *range)
{
    for (size_t i = 0; i < PQ_RANGE_WINDOW; i++) {
        if (range->pieces[i].state == PIECE_HERE && range->pieces[i].index == range->next_deliver)
            return &range->pieces[i];
    }
    return NULL;
}

static void pump(void *context)
{
    pq_range *range = context;
    range_piece *piece;
    while (!range->paused && !range->ended && (piece = piece_to_deliver(range)) != NULL) {
        if (!deliver(range, piece))
            return;
    }
    if (range->ended)
        finish(range, NULL);
    else
        ask_for_more(range);
}

pq_range *pq_range_start(pq_session *session, const pq_range_request *request,
                         pq_range_data_fn data, pq_range_done_fn done, void *context, pq_error *err)
{
    pq_range *range = calloc(1, sizeof *range);
    if (range != NULL) {
        range->dir = strdup(request->dir);
        range->path = strdup(request->path);
    }
    if (range == NULL || range->dir == NULL || range->path == NULL) {
        if (range != NULL)
            free(range->dir);
        free(range);
        pq_fail(err, PQ_E_NOMEM, "out of memory");
        return NULL;
    }
    const pq_agent_limits *limits = pq_session_limits(session);
    range->session = session;
    range->number = request->number;
    range->start = range->delivered = request->start;
    range->end = request->end;
    range->base = request->start / BLOCK * BLOCK;
    range->piece_bytes = limits->read_bytes / BLOCK * BLOCK;
    range->sliced = !limits->offset_reads;
    range->ended = request->start >= request->end;
    range->data = data;
    range->done = done;
    range->context = context;
    pq_defer_start(pq_session_loop(session), &range->pumped, pump, range);
    return range;
}

void pq_range_pause(pq_range *range, bool pause)
{
    bool resumed = range->paused && !pause;
    range->paused = pause;
    if (resumed)
        pq_defer_start(pq_session_loop(range->session), &range->pumped, pump, range);
}
