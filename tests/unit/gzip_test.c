/* gzip, packing and unpacking, and what gzip(1) makes of it. */
#include "filexfer/gzip.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pq_error err;

static char *make_bytes(size_t length, const char *kind)
{
    char *bytes = malloc(length + 1);
    cr_assert_not_null(bytes);
    uint64_t state = 88172645463325252u;
    for (size_t i = 0; i < length; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        unsigned random = (unsigned)(state >> 32);
        switch (kind[0]) {
        case 'r': /* random */
            bytes[i] = (char)random;
            break;
        case 't': /* text */
            bytes[i] = i > 40 && random % 8 != 0 ? bytes[i - 37] : "eatoin shrdlu\n"[random % 14];
            break;
        case 'd': /* digits, which pack to a little more than half */
            bytes[i] = (char)('0' + random / 7 % 10);
            break;
        case 'm': /* far short matches, the worst for deflate */
            bytes[i] = i > 30000 && i % 9 < 3 ? bytes[i - 29997] : (char)random;
            break;
        default: /* zeros */
            bytes[i] = 0;
        }
    }
    return bytes;
}

static const char *const kinds[] = {"random", "text", "digits", "matches", "zeros"};
#define KINDS (sizeof kinds / sizeof kinds[0])

static int collect(void *context, const char *bytes, size_t length, pq_error *failure)
{
    cr_assert_gt(length, 0);
    cr_assert_leq(length, 65536);
    return pq_buf_add(context, bytes, length, failure);
}

static void pack(pq_buf *out, const char *bytes, size_t length, size_t step)
{
    pq_gzip *gzip = pq_gzip_new(&err);
    cr_assert_not_null(gzip);
    size_t before = out->length;
    for (size_t at = 0; at < length; at += step) {
        size_t take = length - at < step ? length - at : step;
        size_t bound = pq_gzip_bound(gzip, take);
        size_t end_bound = pq_gzip_bound(gzip, length - at);
        cr_assert_leq(bound, end_bound);
        cr_assert_eq(pq_gzip_add(gzip, bytes + at, take, out, &err), 0, "%s", err.text);
        cr_assert_leq(out->length - before, bound);
    }
    size_t bound = pq_gzip_bound(gzip, 0);
    cr_assert_eq(pq_gzip_end(gzip, out, &err), 0, "%s", err.text);
    cr_assert_leq(out->length - before, bound);
    pq_gzip_free(gzip);
}

static void unpack(pq_buf *out, const pq_buf *packed, size_t step)
{
    pq_gunzip *gunzip = pq_gunzip_new(&err);
    cr_assert_not_null(gunzip);
    cr_assert(pq_gunzip_is_complete(gunzip));
    for (size_t at = 0; at < packed->length; at += step) {
        size_t take = packed->length - at < step ? packed->length - at : step;
        cr_assert_eq(pq_gunzip_add(gunzip, packed->data + at, take, collect, out, &err), 0, "%s",
                     err.text);
    }
    cr_assert(pq_gunzip_is_complete(gunzip));
    pq_gunzip_free(gunzip);
}

static void must_be(const pq_buf *buf, const char *bytes, size_t length)
{
    cr_assert_eq(buf->length, length);
    if (length > 0)
        cr_assert_arr_eq(buf->data, bytes, length);
}

/* ---- there and back ---- */

Test(gzip, there_and_back)
{
    static const size_t lengths[] = {0, 1, 4095, 65535, 65536, 65537, 700001};
    static const size_t steps[] = {1000000, 65536, 4096, 4099};
    for (size_t i = 0; i < KINDS * 7 * 4; i++) {
        size_t length = lengths[i / 4 % 7], step = steps[i % 4];
        char *bytes = make_bytes(length, kinds[i / 28]);
        pq_buf packed = {0}, back = {0};
        pack(&packed, bytes, length, step);
        unpack(&back, &packed, step);
        must_be(&back, bytes, length);
        pq_buf_done(&packed);
        pq_buf_done(&back);
        free(bytes);
    }
}

Test(gzip, byte_by_byte)
{
    char *bytes = make_bytes(3000, "text");
    pq_buf packed = {0}, back = {0};
    pack(&packed, bytes, 3000, 1);
    unpack(&back, &packed, 1);
    must_be(&back, bytes, 3000);
    pq_buf_done(&packed);
    pq_buf_done(&back);
    free(bytes);
}

Test(gzip, members_behind_each_other)
{
    char *bytes = make_bytes(100000, "text");
    pq_buf packed = {0}, back = {0};
    pq_gzip *gzip = pq_gzip_new(&err);
    for (size_t at = 0; at < 100000; at += 25000) {
        cr_assert_eq(pq_gzip_add(gzip, bytes + at, 25000, &packed, &err), 0);
        cr_assert_eq(pq_gzip_end(gzip, &packed, &err), 0);
        cr_assert_lt(pq_gzip_bound(gzip, 0), 100, "the next one begins anew");
    }
    pq_gzip_free(gzip);
    unpack(&back, &packed, 77);
    must_be(&back, bytes, 100000);
    pq_buf_done(&packed);
    pq_buf_done(&back);
    free(bytes);
}

Test(gzip, is_what_gzip_reads)
{
    char *bytes = make_bytes(300000, "text"), *back = malloc(300001),
         name[] = "/tmp/pq-gzip-XXXXXX";
    pq_buf packed = {0};
    char command[64];
    pack(&packed, bytes, 300000, 65536);
    int fd = mkstemp(name);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, packed.data, packed.length), (ssize_t)packed.length);
    close(fd);
    snprintf(command, sizeof command, "gzip -dc <%s", name);
    FILE *pipe = popen(command, "r");
    cr_assert_not_null(pipe);
    cr_assert_eq(fread(back, 1, 300001, pipe), 300000);
    cr_assert_eq(pclose(pipe), 0);
    unlink(name);
    cr_assert_arr_eq(back, bytes, 300000);
    pq_buf_done(&packed);
    free(back);
    free(bytes);
}

Test(gzip, reads_what_gzip_writes)
{
    char bytes[65536];
    pq_buf packed = {0}, back = {0};
    FILE *pipe = popen("{ echo one | gzip -9; echo two | gzip -1n; }", "r");
    cr_assert_not_null(pipe);
    size_t length = fread(bytes, 1, sizeof bytes, pipe);
    cr_assert_eq(pclose(pipe), 0);
    cr_assert_eq(pq_buf_add(&packed, bytes, length, &err), 0);
    unpack(&back, &packed, 3);
    must_be(&back, "one\ntwo\n", 8);
    pq_buf_done(&packed);
    pq_buf_done(&back);
}

/* ---- packing ---- */

Test(gzip, bound_is_close)
{
    pq_gzip *gzip = pq_gzip_new(&err);
    pq_buf packed = {0};
    char *bytes = make_bytes(1 << 20, "text");
    cr_assert_eq(pq_gzip_add(gzip, bytes, 1 << 20, &packed, &err), 0);
    cr_assert_lt(packed.length, 1 << 19);
    cr_assert_leq(pq_gzip_bound(gzip, 0), packed.length + 100);
    cr_assert_leq(pq_gzip_bound(gzip, 4096), packed.length + 4096 + 100);
    pq_gzip_free(gzip);
    pq_buf_done(&packed);
    free(bytes);
}

Test(gzip, output_that_may_not_grow)
{
    char *bytes = make_bytes(200000, "random");
    pq_buf small = {.maximum = 100000};
    pq_gzip *gzip = pq_gzip_new(&err);
    cr_assert_eq(pq_gzip_add(gzip, bytes, 200000, &small, &err), -1);
    cr_assert_eq(err.code, PQ_E_TOO_LARGE);
    pq_gzip_free(gzip);
    pq_gzip_free(NULL);
    pq_buf_done(&small);
    free(bytes);
}

Test(gzip, worth_is_seen_from_the_bytes)
{
    static const bool worth[KINDS] = {false, true, true, false, true};
    static const size_t lengths[] = {512, 4096, 16384, 16385, 65536, 1000000};
    for (size_t kind = 0; kind < KINDS; kind++) {
        for (size_t i = 0; i < 6; i++) {
            char *bytes = make_bytes(lengths[i], kinds[kind]);
            cr_expect_eq(pq_gzip_is_worth(bytes, lengths[i]), worth[kind], "%zu bytes, %s",
                         lengths[i], kinds[kind]);
            free(bytes);
        }
    }
}

Test(gzip, worth_looks_beyond_the_beginning)
{
    char *bytes = make_bytes(65536, "random");
    memset(bytes, 'x', 2000);
    cr_expect_not(pq_gzip_is_worth(bytes, 65536), "a header in front of packed data");
    memset(bytes + 20000, 'x', 40000);
    cr_expect(pq_gzip_is_worth(bytes, 65536));
    free(bytes);
}

Test(gzip, little_is_not_worth_it)
{
    char zeros[511] = "";
    cr_expect_not(pq_gzip_is_worth(zeros, sizeof zeros));
    cr_expect_not(pq_gzip_is_worth(NULL, 0));
}

/* ---- unpacking what others made ---- */

static int unpack_all(const char *bytes, size_t length, pq_buf *out, bool *ret_complete)
{
    pq_gunzip *gunzip = pq_gunzip_new(&err);
    cr_assert_not_null(gunzip);
    int result = pq_gunzip_add(gunzip, bytes, length, collect, out, &err);
    *ret_complete = pq_gunzip_is_complete(gunzip);
    pq_gunzip_free(gunzip);
    return result;
}

Test(gunzip, each_cut_is_incomplete)
{
    pq_buf packed = {0}, back = {0};
    bool complete;
    pack(&packed, "hello hello hello\n", 18, 18);
    for (size_t length = 0; length <= packed.length; length++) {
        pq_buf_done(&back);
        cr_assert_eq(unpack_all(packed.data, length, &back, &complete), 0, "%zu", length);
        cr_assert_eq(complete, length == 0 || length == packed.length, "%zu", length);
    }
    must_be(&back, "hello hello hello\n", 18);
    pq_buf_done(&packed);
    pq_buf_done(&back);
}

Test(gunzip, what_is_no_gzip)
{
    static const char *const texts[] = {"no gzip at all", "\x1f\x8b\x07 method",
                                        "\x1f\x8b\x08\xff flags", "\x78\x9c zlib"};
    pq_buf back = {0};
    bool complete;
    for (size_t i = 0; i < 4; i++) {
        cr_assert_eq(unpack_all(texts[i], strlen(texts[i]), &back, &complete), -1, "%zu", i);
        cr_assert_eq(err.code, PQ_E_BAD_ANSWER);
    }
    cr_assert_eq(back.length, 0);
    pq_buf_done(&back);
}

Test(gunzip, damage_is_found)
{
    char *bytes = make_bytes(5000, "text");
    pq_buf packed = {0}, back = {0};
    bool complete;
    pack(&packed, bytes, 5000, 5000);
    /* The last eight bytes are the check sum and the length. */
    for (size_t at = packed.length - 8; at < packed.length; at++) {
        packed.data[at] ^= 1;
        cr_assert_eq(unpack_all(packed.data, packed.length, &back, &complete), -1);
        cr_assert_eq(err.code, PQ_E_BAD_ANSWER);
        packed.data[at] ^= 1;
    }
    cr_assert_eq(pq_buf_add_text(&packed, "garbage", &err), 0);
    cr_assert_eq(unpack_all(packed.data, packed.length, &back, &complete), -1, "behind the end");
    pq_buf_done(&packed);
    pq_buf_done(&back);
    free(bytes);
}

static int refuse(void *context, const char *bytes, size_t length, pq_error *failure)
{
    unsigned *calls = context;
    (void)bytes;
    (void)length;
    if (++*calls == 3)
        return pq_fail(failure, PQ_E_IO, "no more");
    return 0;
}

Test(gunzip, ends_where_its_taker_fails)
{
    char *bytes = make_bytes(1 << 20, "zeros");
    pq_buf packed = {0};
    unsigned calls = 0;
    pack(&packed, bytes, 1 << 20, 65536);
    pq_gunzip *gunzip = pq_gunzip_new(&err);
    cr_assert_eq(pq_gunzip_add(gunzip, packed.data, packed.length, refuse, &calls, &err), -1);
    cr_assert_eq(err.code, PQ_E_IO);
    cr_assert_eq(calls, 3);
    cr_assert_not(pq_gunzip_is_complete(gunzip));
    pq_gunzip_free(gunzip);
    pq_gunzip_free(NULL);
    pq_buf_done(&packed);
    free(bytes);
}
