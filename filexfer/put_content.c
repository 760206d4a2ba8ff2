/*
 * From content to pieces, and back when a piece could not be sent as it was.
 */
#include <stdlib.h>

#include "filexfer/put_internal.h"

static void free_first(pq_put *put)
{
    put_again *first = put->again;
    put->again = first->next;
    pq_buf_done(&first->bytes);
    free(first);
}

/* Each stretch ends in a piece of its own: what follows may be far away in the file. */
static int build_again(pq_put *put, pq_error *err)
{
    put_again *first = put->again;
    size_t taken;
    if (pq_build_add(&put->builder, &put->limits, first->offset + first->used,
                     first->bytes.data + first->used, first->bytes.length - first->used, true,
                     &taken, err) < 0)
        return -1;
    first->used += taken;
    if (first->used == first->bytes.length)
        free_first(put);
    return 0;
}

static int build_waiting(pq_put *put, bool *ret_more, pq_error *err)
{
    size_t taken;
    if (pq_build_add(&put->builder, &put->limits, put->position, put->waiting.data,
                     put->waiting.length, put->ended, &taken, err) < 0)
        return -1;
    pq_buf_consume(&put->waiting, taken);
    put->position += taken;
    *ret_more = taken > 0 && put->waiting.length > 0;
    return 0;
}

int pq_put_build(pq_put *put, bool *ret_more, pq_error *err)
{
    *ret_more = false;
    if (put->builder.complete)
        return 0;
    if (!put->builder.started) {
        if (pq_put_find_room(put, &put->limits.room, err) < 0)
            return -1;
        put->limits.may_pack =
            !pq_session_lacks_decoder(put->session) && !pq_session_lacks_unpacker(put->session);
    }
    if (put->again == NULL)
        return build_waiting(put, ret_more, err);
    *ret_more = true;
    return build_again(put, err);
}

bool pq_put_is_built(const pq_put *put)
{
    return put->ended && put->waiting.length == 0 && put->again == NULL && !put->builder.started;
}

static int push(pq_put *put, pq_piece *piece, pq_error *err)
{
    put_again *again = calloc(1, sizeof *again);
    if (again == NULL)
        return pq_fail(err, PQ_E_NOMEM, "out of memory");
    again->next = put->again;
    again->offset = piece->offset;
    put->again = again;
    if (piece->packed && pq_piece_unpack(piece, &again->bytes, err) < 0)
        return -1;
    if (!piece->packed) {
        again->bytes = piece->bytes;
        piece->bytes = (pq_buf){0};
    }
    pq_piece_done(piece);
    return 0;
}

int pq_put_build_anew(pq_put *put, pq_error *err)
{
    if (!put->builder.started)
        return 0;
    if (pq_build_end(&put->builder, err) < 0)
        return -1;
    pq_piece unsent = pq_build_take(&put->builder);
    int result = unsent.length > 0 ? push(put, &unsent, err) : 0;
    pq_piece_done(&unsent);
    return result;
}

int pq_put_again(pq_put *put, pq_piece *piece, pq_error *err)
{
    /* What is being built was planned by what did not fit. */
    return pq_put_build_anew(put, err) < 0 ? -1 : push(put, piece, err);
}

uint64_t pq_put_progress(const pq_put *put)
{
    uint64_t missing = put->builder.piece.length;
    for (const put_again *again = put->again; again != NULL; again = again->next)
        missing += again->bytes.length - again->used;
    for (size_t i = 0; i < PUT_PIECES; i++)
        missing += put->pieces[i].content.length;
    return put->position - missing;
}

void pq_put_content_done(pq_put *put)
{
    pq_builder_done(&put->builder);
    while (put->again != NULL)
        free_first(put);
}
