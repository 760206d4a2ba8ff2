#include "filexfer/put_build.h"

#include <string.h>

/* Packed content is added in steps of this. */
#define STEP ((size_t)64 * 1024)

/* A packed piece is full when less than this could be added. */
#define STEP_MIN ((size_t)8 * 1024)

/* Packing that leaves more than this share of the bytes was no use; then content is sent as it is
 * for so long. */
#define USELESS_PERCENT 93
#define PLAIN_BYTES ((uint64_t)4 * 1024 * 1024)

/* Content behind so many zeros is packed without looking at it. */
#define ZEROS_TO_PACK ((size_t)64 * 1024)

static const char zero_block[PQ_BUILD_BLOCK];

void pq_piece_done(pq_piece *piece)
{
    pq_buf_done(&piece->bytes);
    memset(piece, 0, sizeof *piece);
}

static int append(void *context, const char *bytes, size_t length, pq_error *err)
{
    return pq_buf_add(context, bytes, length, err);
}

int pq_piece_unpack(const pq_piece *piece, pq_buf *out, pq_error *err)
{
    if (!piece->packed)
        return pq_buf_add(out, piece->bytes.data, piece->bytes.length, err);
    pq_gunzip *gunzip = pq_gunzip_new(err);
    if (gunzip == NULL || pq_buf_reserve(out, piece->length, err) < 0) {
        pq_gunzip_free(gunzip);
        return -1;
    }
    int result = pq_gunzip_add(gunzip, piece->bytes.data, piece->bytes.length, append, out, err);
    pq_gunzip_free(gunzip);
    return result;
}

void pq_builder_done(pq_builder *builder)
{
    pq_piece_done(&builder->piece);
    pq_gzip_free(builder->gzip);
    memset(builder, 0, sizeof *builder);
}

pq_piece pq_build_take(pq_builder *builder)
{
    pq_piece piece = builder->piece;
    memset(&builder->piece, 0, sizeof builder->piece);
    builder->started = builder->complete = builder->judged = false;
    builder->zeros = 0;
    return piece;
}

/* ---- filling ---- */

static int finish(pq_builder *builder, bool full, pq_error *err)
{
    pq_piece *piece = &builder->piece;
    if (piece->packed && pq_gzip_end(builder->gzip, &piece->bytes, err) < 0)
        return -1;
    if (piece->packed && piece->bytes.length > piece->length / 100 * USELESS_PERCENT)
        builder->plain_until = piece->offset + piece->length + PLAIN_BYTES;
    piece->full = full;
    builder->complete = true;
    return 0;
}

int pq_build_end(pq_builder *builder, pq_error *err)
{
    if (!builder->started || builder->complete)
        return 0;
    if (builder->piece.length > 0)
        return finish(builder, false, err);
    pq_piece nothing = pq_build_take(builder);
    pq_piece_done(&nothing);
    return 0;
}

/* How the piece goes, from the content that it begins with. */
static int judge(pq_builder *builder, const pq_build_limits *limits, const char *bytes,
                 size_t length, bool ends, pq_error *err)
{
    pq_piece *piece = &builder->piece;
    if (limits->room < PQ_BUILD_BLOCK && !(ends && builder->zeros + length <= limits->room))
        return pq_fail(err, PQ_E_TOO_LARGE, "a call carries only %zu bytes", limits->room);
    builder->judged = true;
    if (limits->may_pack && limits->room >= 2 * STEP_MIN && piece->offset >= builder->plain_until)
        piece->packed = builder->zeros >= ZEROS_TO_PACK ||
                        (length >= PQ_BUILD_SAMPLE && pq_gzip_is_worth(bytes, PQ_BUILD_SAMPLE));
    if (piece->packed && builder->gzip == NULL && (builder->gzip = pq_gzip_new(err)) == NULL)
        return -1;
    size_t most = builder->zeros + length;
    return pq_buf_reserve(&piece->bytes, ends && most < limits->room ? most : limits->room, err);
}

/* Sets *ret_fit to how much of `length` bytes can be added now: all, or a multiple of the block; 0
 * if the piece is full. */
static int find_room(pq_builder *builder, const pq_build_limits *limits, size_t length,
                     size_t *ret_fit, pq_error *err)
{
    pq_piece *piece = &builder->piece;
    size_t room = limits->room;
    if (!piece->packed) {
        size_t left = room > piece->bytes.length ? room - piece->bytes.length : 0;
        *ret_fit = length <= left ? length : left / PQ_BUILD_BLOCK * PQ_BUILD_BLOCK;
        return 0;
    }
    size_t most = PQ_BUILD_PACKED_MAX - piece->length;
    size_t step = length < STEP ? length : STEP;
    *ret_fit = 0;
    if (step > most)
        return 0;
    if (pq_gzip_bound(builder->gzip, step) > room) {
        if (pq_gzip_flush(builder->gzip, &piece->bytes, err) < 0)
            return -1;
        while (step > 0 && pq_gzip_bound(builder->gzip, step) > room)
            step = (step - 1) / PQ_BUILD_BLOCK * PQ_BUILD_BLOCK;
    }
    if (step == length || step >= STEP_MIN)
        *ret_fit = step;
    return 0;
}

static int add_bytes(pq_builder *builder, const char *bytes, size_t length, pq_error *err)
{
    pq_piece *piece = &builder->piece;
    piece->length += length;
    if (piece->packed)
        return pq_gzip_add(builder->gzip, bytes, length, &piece->bytes, err);
    return pq_buf_add(&piece->bytes, bytes, length, err);
}

/* Adds the zeros that were held back, or leaves them out if they are not behind other content or do
 * not fit. */
static int add_zeros(pq_builder *builder, const pq_build_limits *limits, pq_error *err)
{
    pq_piece *piece = &builder->piece;
    bool leave_out = piece->length == 0 && piece->offset > 0;
    while (builder->zeros > 0 && !leave_out) {
        size_t fit;
        if (find_room(builder, limits, builder->zeros, &fit, err) < 0)
            return -1;
        bool goes_on = fit == builder->zeros || (piece->packed && fit > 0);
        if (!goes_on && piece->length > 0)
            return finish(builder, true, err);
        leave_out = !goes_on;
        for (size_t added = 0; goes_on && added < fit; added += PQ_BUILD_BLOCK) {
            if (add_bytes(builder, zero_block, PQ_BUILD_BLOCK, err) < 0)
                return -1;
        }
        builder->zeros -= goes_on ? fit : 0;
    }
    piece->offset += builder->zeros;
    builder->zeros = 0;
    return 0;
}

/* Adds some of the content; *ret_taken is 0 if the piece is complete now. */
static int add_content(pq_builder *builder, const pq_build_limits *limits, const char *bytes,
                       size_t length, size_t *ret_taken, pq_error *err)
{
    size_t fit = 0;
    *ret_taken = 0;
    if (builder->zeros > 0 && add_zeros(builder, limits, err) < 0)
        return -1;
    if (builder->complete)
        return 0;
    if (find_room(builder, limits, length, &fit, err) < 0)
        return -1;
    if (fit == 0)
        return finish(builder, true, err);
    *ret_taken = fit;
    return add_bytes(builder, bytes, fit, err);
}

/* ---- runs of zeros ---- */

static bool is_zero_block(const char *bytes)
{
    return bytes[0] == 0 && memcmp(bytes, zero_block, PQ_BUILD_BLOCK) == 0;
}

/* Bytes of the zero blocks, or of the others, at the beginning. The last block, whole or not, is no
 * zero block. */
static size_t run_of(const char *bytes, size_t length, bool *ret_zeros)
{
    size_t run = 0, last = (length - 1) / PQ_BUILD_BLOCK * PQ_BUILD_BLOCK;
    *ret_zeros = last > 0 && is_zero_block(bytes);
    while (run < last && is_zero_block(bytes + run) == *ret_zeros)
        run += PQ_BUILD_BLOCK;
    return run == last && !*ret_zeros ? length : run;
}

static int hold_zeros(pq_builder *builder, size_t length, pq_error *err)
{
    pq_piece *piece = &builder->piece;
    builder->zeros += length;
    if (builder->zeros < PQ_BUILD_HOLE)
        return 0;
    if (piece->length > 0)
        return finish(builder, false, err);
    piece->offset += builder->zeros;
    builder->zeros = 0;
    return 0;
}

int pq_build_add(pq_builder *builder, const pq_build_limits *limits, uint64_t offset,
                 const char *bytes, size_t length, bool ends, size_t *ret_taken, pq_error *err)
{
    size_t at = 0;
    *ret_taken = 0;
    /* Whether the last block is a file's last is known when more comes. */
    size_t usable = ends || length == 0 ? length : (length - 1) / PQ_BUILD_BLOCK * PQ_BUILD_BLOCK;
    if (!builder->started && usable > 0) {
        builder->started = true;
        builder->piece.offset = offset;
    }
    while (at < usable && !builder->complete) {
        bool zeros;
        size_t run = run_of(bytes + at, length - at, &zeros), taken = 0;
        if (run > usable - at)
            run = usable - at;
        if (zeros) {
            taken = run;
            if (hold_zeros(builder, run, err) < 0)
                return -1;
        } else if (!builder->judged && length - at < PQ_BUILD_SAMPLE && !ends) {
            break;
        } else {
            if (!builder->judged && judge(builder, limits, bytes + at, length - at, ends, err) < 0)
                return -1;
            if (add_content(builder, limits, bytes + at, run, &taken, err) < 0)
                return -1;
        }
        at += taken;
    }
    *ret_taken = at;
    return ends && at == length ? pq_build_end(builder, err) : 0;
}
