/*
 * Pieces: which part of the file each one is, asking for it, and its answer.
 */
#include <string.h>

#include "exec/range_internal.h"

static void ask(void *context);

/* ---- answers ---- */

/* The server has no offset reads after all: begins again with slices at what was delivered. */
static void switch_to_slices(pq_range *range)
{
    for (size_t i = 0; i < PQ_RANGE_HELD; i++)
        pq_range_release(&range->pieces[i]);
    memset(range->holes, 0, sizeof range->holes);
    for (range_part *part = range->parts; part != NULL; part = part->next)
        part->planned = part == range->parts ? range->delivered : part->start;
    range->sliced = true;
    pq_range_pump(range);
}

/* A piece that ran into a time-out becomes as small as pieces are now; its remainder is asked for
 * as soon as there is room. */
static void make_smaller(range_piece *piece)
{
    pq_range *range = piece->range;
    pq_pace *pace = pq_session_read_pace(range->session);
    pq_pace_timed_out(pace, piece->length);
    if (piece->batch != NULL || piece->length <= pace->piece)
        return;
    for (size_t i = 0; i < RANGE_HOLES; i++) {
        if (range->holes[i].part != NULL)
            continue;
        range->holes[i] = (range_hole){.part = piece->part,
                                       .offset = piece->offset + pace->piece,
                                       .length = piece->length - pace->piece};
        piece->length = pace->piece;
        return;
    }
}

static void piece_failed(range_piece *piece, const pq_error *err)
{
    pq_range *range = piece->range;
    if (err->code == PQ_E_UNSUPPORTED && !range->sliced) {
        switch_to_slices(range);
        return;
    }
    if (err->code == PQ_E_AGENT_TIMEOUT)
        make_smaller(piece);
    if (pq_retry_later(&piece->retry, range->session, err, ask, piece)) {
        piece->state = PIECE_WAITING;
        piece->repeated = true;
    } else {
        pq_range_fail(range, err);
    }
}

static void take_bytes(range_piece *piece, pq_buf *bytes, bool eof)
{
    if (bytes->length > 0) {
        pq_buf_consume(bytes, piece->lead);
        if (bytes->length > piece->length) {
            bytes->length = piece->length;
            bytes->data[bytes->length] = '\0';
        }
    }
    /* A slice is a file of its own, which always ends. */
    bool ends = eof && piece->batch == NULL && piece->part->end == PQ_RANGE_TO_END;
    piece->eof = ends || bytes->length < piece->length;
    piece->bytes = *bytes;
    *bytes = (pq_buf){0};
}

static void on_piece(void *context, const pq_error *err, pq_buf *bytes, bool eof)
{
    range_piece *piece = context;
    pq_range *range = piece->range;
    pq_pace *pace = pq_session_read_pace(range->session);
    piece->op = NULL;
    if (err != NULL) {
        piece_failed(piece, err);
        return;
    }
    pq_retry_good(&piece->retry, range->session);
    if (!piece->repeated)
        pq_pace_done(pace, piece->length, pq_now() - piece->asked, pq_now());
    take_bytes(piece, bytes, eof);
    piece->state = PIECE_HERE;
    if (piece->batch != NULL)
        piece->batch->received++;
    pq_range_pump(range);
}

/* ---- asking ---- */

static void ask(void *context)
{
    range_piece *piece = context;
    pq_agent *agent = pq_session_agent(piece->range->session);
    piece->state = PIECE_ASKED;
    piece->asked = pq_now();
    if (piece->batch == NULL) {
        piece->op = pq_agent_file_read(agent, piece->part->path, piece->offset, piece->length,
                                       on_piece, piece);
        return;
    }
    char path[1200];
    pq_range_slice_path(piece, path, sizeof path);
    piece->op = pq_agent_file_read(agent, path, 0, piece->batch->bytes, on_piece, piece);
}

range_part *pq_range_part_to_plan(pq_range *range)
{
    range_part *part = range->parts;
    while (part != NULL && part->planned >= part->end)
        part = part->next;
    return part;
}

/* The hole that is to be delivered first. */
static range_hole *first_hole(pq_range *range)
{
    range_hole *first = NULL;
    for (const range_part *part = range->parts; part != NULL && first == NULL; part = part->next) {
        for (size_t i = 0; i < RANGE_HOLES; i++) {
            range_hole *hole = &range->holes[i];
            if (hole->part == part && (first == NULL || hole->offset < first->offset))
                first = hole;
        }
    }
    return first;
}

static bool plan(pq_range *range, range_piece *piece, size_t piece_bytes, size_t largest)
{
    range_hole *hole = first_hole(range);
    if (hole != NULL) {
        piece->part = hole->part;
        piece->offset = hole->offset;
        piece->length = hole->length < piece_bytes ? hole->length : piece_bytes;
        hole->offset += piece->length;
        hole->length -= piece->length;
        if (hole->length == 0)
            hole->part = NULL;
        return true;
    }
    if (range->sliced)
        return pq_range_take_slice(range, piece);
    range_part *part = pq_range_part_to_plan(range);
    if (part == NULL)
        return false;
    uint64_t left = part->end - part->planned;
    size_t stretched = piece_bytes + piece_bytes / 4;
    if (stretched > largest)
        stretched = largest;
    piece->part = part;
    piece->offset = part->planned;
    /* A small rest is not worth a call of its own. */
    piece->length = left <= stretched ? (size_t)left : piece_bytes;
    part->planned += piece->length;
    return true;
}

static unsigned on_their_way(const pq_range *range)
{
    unsigned count = 0;
    for (size_t i = 0; i < PQ_RANGE_HELD; i++)
        count += range->pieces[i].state == PIECE_ASKED || range->pieces[i].state == PIECE_WAITING;
    return count;
}

static range_piece *free_piece(pq_range *range)
{
    for (size_t i = 0; i < PQ_RANGE_HELD; i++) {
        if (range->pieces[i].state == PIECE_FREE)
            return &range->pieces[i];
    }
    return NULL;
}

static pq_pace *current_pace(const pq_range *range)
{
    const pq_agent_limits *limits = pq_session_limits(range->session);
    pq_pace *pace = pq_session_read_pace(range->session);
    size_t largest =
        limits->read_bytes < PQ_RANGE_PIECE_MAX ? limits->read_bytes : PQ_RANGE_PIECE_MAX;
    unsigned window = limits->parallel < PQ_RANGE_WINDOW ? limits->parallel : PQ_RANGE_WINDOW;
    pq_pace_limit(pace, largest / RANGE_BLOCK * RANGE_BLOCK, window);
    if (limits->call_cost > 0)
        pq_pace_cost(pace, limits->call_cost);
    return pace;
}

void pq_range_ask(pq_range *range)
{
    pq_pace *pace = current_pace(range);
    unsigned asked = on_their_way(range);
    range_piece *piece;
    if (range->sliced && !pq_range_cut_slices(range))
        return;
    while (asked < pace->window && (piece = free_piece(range)) != NULL &&
           plan(range, piece, pace->piece, pace->largest)) {
        if (range->starved)
            pq_pace_begin(pace);
        range->starved = false;
        pq_retry_begin(&piece->retry);
        ask(piece);
        asked++;
    }
    if (asked < pace->window)
        range->starved = true;
}
