/* Content cut into pieces: what comes out of them is the content, whatever it is. */
#include "filexfer/put_build.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define KIB ((size_t)1024)
#define MIB ((size_t)1024 * 1024)
#define ROOM ((size_t)390000)

static pq_error err;
static pq_builder builder;
static pq_build_limits limits;

/* What a guest would have. */
static struct {
    char *file;
    size_t length;
    unsigned pieces, packed;
    size_t sent;  /* bytes that the calls carried */
    size_t plain; /* bytes of the file in plain pieces */
} guest;

static void setup(void)
{
    limits = (pq_build_limits){.room = ROOM, .may_pack = true};
}

static void teardown(void)
{
    pq_builder_done(&builder);
    free(guest.file);
    memset(&guest, 0, sizeof guest);
}

TestSuite(put_build, .init = setup, .fini = teardown);

/* ---- content ---- */

static uint64_t state = 88172645463325252u;

static unsigned next_random(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)(state >> 32);
}

static void add_random(pq_buf *content, size_t length)
{
    cr_assert_eq(pq_buf_reserve(content, length, &err), 0);
    for (size_t i = 0; i < length; i++)
        cr_assert_eq(pq_buf_add_byte(content, (char)next_random(), &err), 0);
}

static void add_text(pq_buf *content, size_t length)
{
    for (size_t end = content->length + length; content->length < end;) {
        cr_assert_eq(pq_buf_printf(content, &err, "%u bottles of beer on the wall %u\n",
                                   next_random() % 100, next_random()),
                     0);
        if (content->length > end)
            content->length = end;
    }
}

static void add_zeros(pq_buf *content, size_t length)
{
    cr_assert_eq(pq_buf_reserve(content, length, &err), 0);
    memset(content->data + content->length, 0, length);
    content->length += length;
}

/* ---- building ---- */

static void take_piece(void)
{
    pq_piece piece = pq_build_take(&builder);
    pq_buf content = {0};
    cr_assert_gt(piece.length, 0);
    cr_assert_eq(piece.offset % PQ_BUILD_BLOCK, 0);
    cr_assert_leq(piece.bytes.length, limits.room);
    cr_assert_eq(pq_piece_unpack(&piece, &content, &err), 0, "%s", err.text);
    cr_assert_eq(content.length, piece.length);
    if (!piece.packed)
        guest.plain += piece.length;
    else
        cr_assert_leq(piece.length, PQ_BUILD_PACKED_MAX);
    size_t end = piece.offset + piece.length;
    if (end > guest.length) {
        guest.file = realloc(guest.file, end);
        cr_assert_not_null(guest.file);
        memset(guest.file + guest.length, 0, end - guest.length);
        guest.length = end;
    }
    memcpy(guest.file + piece.offset, content.data, content.length);
    guest.pieces++;
    guest.packed += piece.packed;
    guest.sent += piece.bytes.length;
    pq_buf_done(&content);
    pq_piece_done(&piece);
}

/* Adds the content as it would be read, `step` bytes at a time. */
static void build(const pq_buf *content, size_t step)
{
    size_t at = 0, read = 0;
    while (at < content->length || builder.started) {
        size_t taken;
        bool ends = read == content->length;
        cr_assert_eq(
            pq_build_add(&builder, &limits, at, content->data + at, read - at, ends, &taken, &err),
            0, "%s", err.text);
        at += taken;
        cr_assert_leq(at, read);
        if (builder.complete)
            take_piece();
        else if (!ends)
            read = content->length - read < step ? content->length : read + step;
        else
            cr_assert_lt(at, content->length, "the end completes a piece");
    }
}

static void must_arrive(const pq_buf *content)
{
    cr_assert_eq(guest.length, content->length);
    if (content->length > 0)
        cr_assert_arr_eq(guest.file, content->data, content->length);
}

static void build_all(pq_buf *content)
{
    build(content, 64 * KIB);
    must_arrive(content);
    pq_buf_done(content);
}

/* ---- plain and packed ---- */

Test(put_build, random_bytes_go_plain)
{
    pq_buf content = {0};
    add_random(&content, 3 * MIB);
    build_all(&content);
    cr_assert_eq(guest.packed, 0);
    cr_assert_eq(guest.pieces, 3 * MIB / (ROOM / 4096 * 4096) + 1, "calls are filled");
}

Test(put_build, text_is_packed)
{
    pq_buf content = {0};
    add_text(&content, 5 * MIB);
    build_all(&content);
    cr_assert_eq(guest.packed, guest.pieces);
    cr_assert_lt(guest.sent, 5 * MIB / 2);
    cr_assert_leq(guest.pieces, guest.sent / (ROOM - 10000) + 1, "calls are filled");
}

Test(put_build, what_packs_well_is_bounded_by_what_the_guest_unpacks)
{
    pq_buf content = {0};
    for (int i = 0; i < 500000; i++)
        cr_assert_eq(pq_buf_add_text(&content, "all work and no play\n", &err), 0);
    build_all(&content);
    cr_assert_eq(guest.pieces, 3);
    cr_assert_lt(guest.sent, 200 * KIB);
}

Test(put_build, nothing_is_packed_where_that_is_not_allowed)
{
    pq_buf content = {0};
    add_text(&content, MIB);
    limits.may_pack = false;
    build_all(&content);
    cr_assert_eq(guest.packed, 0);
}

Test(put_build, little_text_goes_plain)
{
    pq_buf content = {0};
    add_text(&content, 60 * KIB);
    build_all(&content);
    cr_assert_eq(guest.pieces, 1);
    cr_assert_eq(guest.packed, 0, "unpacking would need a process");
}

Test(put_build, it_is_decided_anew_as_content_changes)
{
    pq_buf content = {0};
    add_random(&content, MIB);
    add_text(&content, 2 * MIB);
    add_random(&content, 8 * MIB);
    add_text(&content, 2 * MIB);
    build_all(&content);
    cr_assert_gt(guest.packed, 2);
    cr_assert_lt(guest.plain, 10 * MIB);
    cr_assert_gt(guest.plain, 8 * MIB);
}

Test(put_build, packing_that_was_no_use_is_not_tried_again_at_once)
{
    pq_buf content = {0};
    add_random(&content, MIB);
    /* Where samples are taken. */
    for (size_t at = 0; at < 64 * KIB; at += 20 * KIB)
        memset(content.data + at, 'x', 4 * KIB);
    add_text(&content, 6 * MIB);
    build_all(&content);
    cr_assert_geq(guest.plain, 4 * MIB);
    cr_assert_lt(guest.plain, 5 * MIB, "but later it is");
}

/* ---- zeros ---- */

Test(put_build, zeros_alone_are_one_block)
{
    static const size_t lengths[] = {64 * MIB, 64 * MIB - 1, 64 * MIB + 1, MIB + 4096};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        pq_buf content = {.maximum = 65 * MIB};
        add_zeros(&content, lengths[i]);
        build_all(&content);
        cr_assert_eq(guest.pieces, 1);
        cr_assert_leq(guest.sent, PQ_BUILD_BLOCK);
        teardown();
    }
}

Test(put_build, few_zeros_are_all_sent)
{
    pq_buf content = {0};
    add_zeros(&content, 100 * KIB + 5);
    build_all(&content);
    cr_assert_eq(guest.pieces, 1, "one call can carry the file");
    cr_assert_eq(guest.packed, 1);
    cr_assert_lt(guest.sent, 1000);
}

Test(put_build, long_runs_are_left_out)
{
    pq_buf content = {0};
    add_zeros(&content, MIB);
    add_random(&content, 10000);
    add_zeros(&content, 5 * MIB);
    add_random(&content, 10000);
    add_zeros(&content, MIB);
    build_all(&content);
    cr_assert_eq(guest.pieces, 3);
    cr_assert_lt(guest.sent, 64 * KIB);
}

Test(put_build, short_runs_do_not_make_more_calls)
{
    pq_buf content = {0};
    limits.may_pack = false;
    for (int i = 0; i < 20; i++) {
        add_random(&content, 32 * KIB);
        add_zeros(&content, 64 * KIB);
    }
    build_all(&content);
    cr_assert_leq(guest.pieces, 20 * 96 * KIB / (ROOM / 4096 * 4096) + 1);
}

Test(put_build, a_run_between_two_pieces_is_left_out)
{
    pq_buf content = {0};
    limits.may_pack = false;
    add_random(&content, ROOM / 4096 * 4096);
    add_zeros(&content, 64 * KIB);
    add_random(&content, ROOM / 4096 * 4096);
    build_all(&content);
    cr_assert_eq(guest.pieces, 2);
    cr_assert_eq(guest.sent, ROOM / 4096 * 4096 * 2);
}

Test(put_build, zeros_that_do_not_fit_end_a_piece)
{
    pq_buf content = {0};
    limits = (pq_build_limits){.room = 45000};
    add_random(&content, 40960);
    add_zeros(&content, 65536);
    add_random(&content, 100);
    build_all(&content);
    cr_assert_eq(guest.pieces, 2);
    cr_assert_eq(guest.sent, 40960 + 100);
}

/* ---- any content, any way ---- */

Test(put_build, whatever_it_is)
{
    static const size_t rooms[] = {4096, 10000, 45000, 61000, ROOM};
    static const size_t steps[] = {1000, 4096, 65536, 100000, 1000000};
    for (int round = 0; round < 60; round++) {
        pq_buf content = {0};
        while (content.length < 4 * MIB && (content.length == 0 || next_random() % 8 != 0)) {
            size_t length = next_random() % (next_random() % 2 ? 9000 : 700 * KIB);
            if (next_random() % 2)
                length = length / 4096 * 4096;
            unsigned kind = next_random() % 3;
            if (kind == 0)
                add_random(&content, length);
            else if (kind == 1)
                add_text(&content, length);
            else
                add_zeros(&content, length);
        }
        limits.room = rooms[next_random() % 5];
        limits.may_pack = next_random() % 4 != 0;
        build(&content, steps[next_random() % 5]);
        must_arrive(&content);
        pq_buf_done(&content);
        teardown();
    }
}

Test(put_build, each_length_around_a_block)
{
    for (size_t length = 1; length < 5 * 4096;
         length += length % 4096 < 4090 && length % 4096 > 5 ? 1021 : 1) {
        pq_buf content = {0};
        add_random(&content, length);
        build(&content, 4096);
        must_arrive(&content);
        pq_buf_done(&content);
        teardown();
    }
}

Test(put_build, nothing)
{
    size_t taken = 1;
    cr_assert_eq(pq_build_add(&builder, &limits, 0, NULL, 0, true, &taken, &err), 0);
    cr_assert_eq(taken, 0);
    cr_assert_not(builder.started);
}

Test(put_build, a_call_too_small_for_a_block)
{
    pq_buf content = {0};
    size_t taken;
    add_random(&content, 5000);
    limits.room = 4095;
    cr_assert_eq(pq_build_add(&builder, &limits, 0, content.data, 5000, true, &taken, &err), -1);
    cr_assert_eq(err.code, PQ_E_TOO_LARGE);
    teardown();
    content.length = 4000;
    build_all(&content);
    cr_assert_eq(guest.pieces, 1, "what fits is sent");
}

/* ---- ending early ---- */

Test(put_build, a_piece_can_be_ended_as_it_is)
{
    pq_buf content = {0};
    size_t taken;
    add_text(&content, 200 * KIB);
    cr_assert_eq(pq_build_end(&builder, &err), 0);
    cr_assert_not(builder.started);
    cr_assert_eq(
        pq_build_add(&builder, &limits, 8192, content.data, content.length, false, &taken, &err),
        0);
    cr_assert(builder.started);
    cr_assert_not(builder.complete);
    cr_assert_eq(taken % PQ_BUILD_BLOCK, 0);
    cr_assert_eq(pq_build_end(&builder, &err), 0);
    cr_assert(builder.complete);
    cr_assert_eq(builder.piece.offset, 8192);
    cr_assert_eq(builder.piece.length, taken);
    cr_assert_eq(pq_build_end(&builder, &err), 0, "again");
    take_piece();
    pq_buf_done(&content);
}

Test(put_build, zeros_alone_end_in_nothing)
{
    pq_buf content = {0};
    size_t taken;
    add_zeros(&content, 100 * KIB);
    cr_assert_eq(
        pq_build_add(&builder, &limits, 0, content.data, content.length, false, &taken, &err), 0);
    cr_assert_eq(pq_build_end(&builder, &err), 0);
    cr_assert_not(builder.started);
    pq_buf_done(&content);
}
