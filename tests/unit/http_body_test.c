/* Unpacking gzipped answers. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "transport/pve/http_body.h"

static size_t gzip(const void *bytes, size_t length, unsigned char *out, size_t size)
{
    z_stream z = {0};
    cr_assert_eq(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (Bytef *)bytes;
    z.avail_in = (uInt)length;
    z.next_out = out;
    z.avail_out = (uInt)size;
    cr_assert_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return z.total_out;
}

static void expect_round_trip(const char *text, size_t length, size_t maximum)
{
    unsigned char packed[20000];
    pq_buf out = {.maximum = maximum};
    pq_error err = {0};
    size_t size = gzip(text, length, packed, sizeof packed);
    cr_assert_eq(pq_gzip_decode(&out, packed, size, &err), 0, "%s", err.text);
    cr_assert_eq(out.length, length);
    cr_assert_eq(memcmp(out.data, text, length), 0);
    pq_buf_done(&out);
}

static void expect_refused(const void *bytes, size_t length, size_t maximum, const char *part)
{
    pq_buf out = {.maximum = maximum};
    pq_error err = {0};
    cr_assert_eq(pq_gzip_decode(&out, bytes, length, &err), -1);
    cr_expect_eq(err.code, PQ_E_BAD_ANSWER);
    cr_expect_not_null(strstr(err.text, part), "'%s' is not in: %s", part, err.text);
    cr_expect_leq(out.length, maximum);
    pq_buf_done(&out);
}

Test(http_body, round_trips)
{
    char *zeros = calloc(1, 500000);
    expect_round_trip("", 0, 100);
    expect_round_trip("hello", 5, 100);
    expect_round_trip(zeros, 500000, 1000000);
    free(zeros);
}

Test(http_body, exactly_the_maximum_fits)
{
    char *zeros = calloc(1, 100000);
    expect_round_trip(zeros, 100000, 100000);
    expect_round_trip("hello", 5, 5);
    free(zeros);
}

Test(http_body, a_bomb_is_refused)
{
    unsigned char packed[20000];
    char *zeros = calloc(1, 10000000);
    size_t size = gzip(zeros, 10000000, packed, sizeof packed);
    expect_refused(packed, size, 100000, "unpacks to more than 100000 bytes");
    expect_refused(packed, size, 9999999, "unpacks to more than 9999999 bytes");
    free(zeros);
}

Test(http_body, members_are_joined)
{
    unsigned char packed[200];
    pq_buf out = {0};
    pq_error err;
    size_t first = gzip("ab", 2, packed, sizeof packed);
    size_t second = gzip("cd", 2, packed + first, sizeof packed - first);
    cr_assert_eq(pq_gzip_decode(&out, packed, first + second, &err), 0);
    cr_assert_str_eq(out.data, "abcd");
    pq_buf_done(&out);
}

Test(http_body, damaged_data_is_refused)
{
    unsigned char packed[200];
    size_t size = gzip("hello hello hello", 17, packed, sizeof packed);
    for (size_t cut = 0; cut < size; cut++)
        expect_refused(packed, cut, 1000, "ends early");
    packed[size - 5] ^= 1;
    expect_refused(packed, size, 1000, "damaged");
    expect_refused("plain text", 10, 1000, "damaged");
    size = gzip("hello", 5, packed, sizeof packed);
    packed[size] = 'x';
    packed[size + 1] = 'y';
    expect_refused(packed, size + 2, 1000, "damaged");
}
