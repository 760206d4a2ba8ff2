#include "exec/range_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- memory ---- */

void pq_range_release(range_piece *piece)
{
    pq_retry_stop(&piece->retry);
    pq_agent_drop(pq_session_agent(piece->range->session), piece->op);
    pq_buf_done(&piece->bytes);
    *piece = (range_piece){.range = piece->range};
}

static void drop_part(pq_range *range)
{
    range_part *part = range->parts;
    range->parts = part->next;
    for (size_t i = 0; i < 2; i++) {
        if (range->batches[i].part == part)
            range->batches[i].part = NULL;
    }
    free(part->path);
    free(part);
}

static range_part *new_part(const char *path, uint64_t start, uint64_t end)
{
    range_part *part = calloc(1, sizeof *part);
    if (part == NULL)
        return NULL;
    *part = (range_part){.path = strdup(path), .start = start, .end = end, .planned = start};
    if (part->path == NULL) {
        free(part);
        return NULL;
    }
    return part;
}

static range_part *last_part(const pq_range *range)
{
    range_part *part = range->parts;
    while (part->next != NULL)
        part = part->next;
    return part;
}

void pq_range_drop(pq_range *range)
{
    if (range == NULL)
        return;
    for (size_t i = 0; i < PQ_RANGE_HELD; i++)
        pq_range_release(&range->pieces[i]);
    while (range->parts != NULL)
        drop_part(range);
    pq_call_drop(range->slicing);
    pq_defer_stop(&range->pumped);
    free(range->dir);
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

void pq_range_fail(pq_range *range, const pq_error *err)
{
    pq_error copy = *err;
    finish(range, &copy);
}

/* ---- delivering ---- */

static range_piece *piece_to_deliver(pq_range *range)
{
    for (size_t i = 0; i < PQ_RANGE_HELD; i++) {
        range_piece *piece = &range->pieces[i];
        if (piece->state == PIECE_HERE && piece->part == range->parts &&
            piece->offset == range->delivered)
            return piece;
    }
    return NULL;
}

/* Hands over a piece. False if the receiver had enough and the range is gone. */
static bool deliver(pq_range *range, range_piece *piece)
{
    const range_part *part = piece->part;
    pq_buf bytes = piece->bytes;
    range->delivered += bytes.length;
    if (piece->eof && range->delivered < part->end)
        range->ended = true;
    piece->bytes = (pq_buf){0};
    pq_range_release(piece);
    bool go_on = bytes.length == 0 || range->data(range->context, bytes.data, bytes.length);
    pq_buf_done(&bytes);
    if (!go_on)
        pq_range_drop(range);
    return go_on;
}

/* Goes on to the next part when one is delivered; the last one stays. */
static void leave_parts(pq_range *range)
{
    while (!range->ended && range->delivered >= range->parts->end) {
        if (range->parts->next != NULL) {
            drop_part(range);
            range->delivered = range->parts->start;
        } else if (range->more) {
            return;
        } else {
            range->ended = true;
        }
    }
}

void pq_range_pump(void *context)
{
    pq_range *range = context;
    range_piece *piece;
    leave_parts(range);
    while (!range->paused && !range->ended && (piece = piece_to_deliver(range)) != NULL) {
        if (!deliver(range, piece))
            return;
        leave_parts(range);
    }
    if (range->ended)
        finish(range, NULL);
    else
        pq_range_ask(range);
}

static void pump_soon(pq_range *range)
{
    pq_defer_start(pq_session_loop(range->session), &range->pumped, pq_range_pump, range);
}

/* ---- the interface ---- */

pq_range *pq_range_start(pq_session *session, const pq_range_request *request,
                         pq_range_data_fn data, pq_range_done_fn done, void *context, pq_error *err)
{
    pq_range *range = calloc(1, sizeof *range);
    if (range != NULL) {
        range->dir = strdup(request->dir);
        range->parts = new_part(request->path, request->start, request->end);
    }
    if (range == NULL || range->dir == NULL || range->parts == NULL) {
        if (range != NULL && range->parts != NULL)
            drop_part(range);
        if (range != NULL)
            free(range->dir);
        free(range);
        pq_fail(err, PQ_E_NOMEM, "out of memory");
        return NULL;
    }
    range->session = session;
    range->number = request->number;
    range->delivered = request->start;
    range->more = request->more;
    range->sliced = !pq_session_limits(session)->offset_reads;
    range->starved = true;
    range->data = data;
    range->done = done;
    range->context = context;
    for (size_t i = 0; i < PQ_RANGE_HELD; i++)
        range->pieces[i].range = range;
    pump_soon(range);
    return range;
}

int pq_range_add(pq_range *range, const char *path, uint64_t start, uint64_t end, pq_error *err)
{
    range_part *part = new_part(path, start, end);
    if (part == NULL)
        return pq_fail(err, PQ_E_NOMEM, "out of memory");
    last_part(range)->next = part;
    pump_soon(range);
    return 0;
}

void pq_range_end(pq_range *range)
{
    range->more = false;
    pump_soon(range);
}

uint64_t pq_range_cut(pq_range *range, uint64_t end)
{
    range_part *part = last_part(range);
    if (end < part->planned)
        end = part->planned;
    if (end < part->end)
        part->end = end;
    pump_soon(range);
    return part->end;
}

uint64_t pq_range_asked(const pq_range *range)
{
    return last_part(range)->planned;
}

void pq_range_pause(pq_range *range, bool pause)
{
    bool resumed = range->paused && !pause;
    range->paused = pause;
    if (resumed)
        pump_soon(range);
}
