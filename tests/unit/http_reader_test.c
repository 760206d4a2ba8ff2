/* Reading HTTP responses. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "transport/pve/http_reader.h"

#define BODY_MAX ((size_t)1000)

/* Feeds `text` in pieces of `step` bytes; *ret_used counts what was taken. */
static int feed(pq_http_reader *reader, const char *text, size_t length, size_t step,
                size_t *ret_used, pq_error *err)
{
    *ret_used = 0;
    for (size_t at = 0; at < length && !pq_http_reader_is_done(reader); at += step) {
        size_t used = 0;
        if (pq_http_reader_feed(reader, text + at, length - at < step ? length - at : step, &used,
                                err) < 0)
            return -1;
        *ret_used += used;
    }
    return 0;
}

/* The answer is complete with its last byte, whole and byte by byte. */
static void expect_answer(const char *text, int status, const char *reason, const char *body,
                          bool keep_open)
{
    size_t length = strlen(text);
    for (size_t step = 1; step <= length; step += step < 8 ? 1 : length) {
        pq_http_reader reader = {0};
        pq_error err = {0};
        size_t used;
        pq_http_reader_start(&reader, BODY_MAX);
        cr_assert_eq(feed(&reader, text, length, step, &used, &err), 0, "%s: %s", err.text, text);
        cr_assert(pq_http_reader_is_done(&reader), "not complete: %s", text);
        cr_assert_eq(used, length);
        cr_assert_eq(reader.status, status);
        cr_assert_str_eq(reader.reason, reason);
        cr_assert_eq(reader.body.length, strlen(body));
        cr_assert(body[0] == '\0' || strcmp(reader.body.data, body) == 0);
        cr_assert_eq(reader.keep_open, keep_open, "keep_open of: %s", text);
        pq_http_reader_done(&reader);
    }
}

static void expect_bad(const char *text, size_t length, const char *part)
{
    for (size_t step = 1; step <= length; step += length - 1) {
        pq_http_reader reader = {0};
        pq_error err = {0};
        size_t used;
        pq_http_reader_start(&reader, BODY_MAX);
        cr_assert_eq(feed(&reader, text, length, step, &used, &err), -1, "accepted: %.60s", text);
        cr_expect_eq(err.code, PQ_E_BAD_ANSWER);
        cr_expect_not_null(strstr(err.text, part), "'%s' is not in: %s", part, err.text);
        pq_http_reader_done(&reader);
    }
}

#define OK_LENGTH "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"

Test(http_reader, body_with_length)
{
    expect_answer(OK_LENGTH "\r\nhi", 200, "OK", "hi", true);
    expect_answer("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 200, "", "", true);
    expect_answer("HTTP/1.1 200 \r\ncontent-LENGTH:\t2 \t\r\n\r\nhi", 200, "", "hi", true);
    expect_answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi", 200, "OK",
                  "hi", true);
}

Test(http_reader, status_line_carries_the_error)
{
    expect_answer("HTTP/1.1 500 VM 101 is not running\r\nContent-Length: 0\r\n\r\n", 500,
                  "VM 101 is not running", "", true);
    expect_answer("HTTP/1.1 401 No ticket\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", 401,
                  "No ticket", "", false);
}

Test(http_reader, reason_is_cleaned_and_cut)
{
    char text[2000] = "HTTP/1.1 500 a\tb\xff";
    pq_http_reader reader = {0};
    pq_error err;
    size_t used;
    memset(text + strlen(text), 'x', 1500);
    strcat(text, "\r\nContent-Length: 0\r\n\r\n");
    pq_http_reader_start(&reader, BODY_MAX);
    cr_assert_eq(feed(&reader, text, strlen(text), strlen(text), &used, &err), 0);
    cr_assert_eq(strlen(reader.reason), PQ_HTTP_REASON_MAX - 1);
    cr_assert_eq(strncmp(reader.reason, "a b?xxx", 7), 0, "%s", reader.reason);
    pq_http_reader_done(&reader);
}

Test(http_reader, connection_headers)
{
    static const struct {
        const char *version, *headers;
        bool keep_open;
    } rows[] = {
        {"1.1", "", true},
        {"1.1", "Connection: close\r\n", false},
        {"1.1", "Connection: Keep-Alive\r\n", true},
        {"1.1", "Connection: close\r\nConnection: Keep-Alive\r\n", true},
        {"1.1", "Connection: Keep-Alive\r\nConnection: close\r\n", true},
        {"1.1", "Connection: close, keep-alive\r\n", true},
        {"1.1", "connection: TE ,  CLOSE\r\n", false},
        {"1.1", "Connection: closed\r\n", true},
        {"1.1", "Connection: TE\r\n", true},
        {"1.1", "Keep-Alive: timeout=5\r\nConnection: close\r\n", false},
        {"1.0", "", false},
        {"1.0", "Connection: keep-alive\r\n", true},
        {"1.0", "Connection: close\r\n", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[300];
        snprintf(text, sizeof text, "HTTP/%s 200 OK\r\n%sContent-Length: 1\r\n\r\nx",
                 rows[i].version, rows[i].headers);
        expect_answer(text, 200, "OK", "x", rows[i].keep_open);
    }
}

Test(http_reader, chunks)
{
    const char *head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n";
    static const struct {
        const char *chunks, *body;
    } rows[] = {
        {"0\r\n\r\n", ""},
        {"2\r\nhi\r\n0\r\n\r\n", "hi"},
        {"2\r\nhi\r\n00C;name=\"v\"\r\n there world\r\n0\r\n\r\n", "hi there world"},
        {"1 \r\na\r\n000\r\nX-Trailer: 1\r\nConnection: close\r\n\r\n", "a"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[300];
        snprintf(text, sizeof text, "%s%s", head, rows[i].chunks);
        expect_answer(text, 200, "OK", rows[i].body, true);
    }
}

Test(http_reader, answers_without_body)
{
    expect_answer("HTTP/1.1 204 No Content\r\n\r\n", 204, "No Content", "", true);
    expect_answer("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 304, "Not Modified", "",
                  true);
}

Test(http_reader, interim_answers_are_skipped)
{
    expect_answer("HTTP/1.1 100 Continue\r\nConnection: close\r\n\r\n"
                  "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\nContent-Length: 7\r\n\r\n" OK_LENGTH
                  "\r\nhi",
                  200, "OK", "hi", true);
}

Test(http_reader, body_until_the_end)
{
    pq_http_reader reader = {0};
    pq_error err;
    size_t used;
    const char *text = "HTTP/1.1 500 oops\r\nConnection: Keep-Alive\r\n\r\nabc";
    pq_http_reader_start(&reader, BODY_MAX);
    cr_assert_eq(feed(&reader, text, strlen(text), 3, &used, &err), 0);
    cr_assert_not(pq_http_reader_is_done(&reader));
    cr_assert_eq(pq_http_reader_end(&reader, &err), 0);
    cr_assert(pq_http_reader_is_done(&reader));
    cr_assert_str_eq(reader.body.data, "abc");
    cr_assert_not(reader.keep_open);
    pq_http_reader_done(&reader);
}

Test(http_reader, takes_nothing_behind_the_answer)
{
    pq_http_reader reader = {0};
    pq_error err;
    size_t used;
    const char *text = OK_LENGTH "\r\nhiHTTP/1.1 500 next\r\n";
    pq_http_reader_start(&reader, BODY_MAX);
    cr_assert_eq(pq_http_reader_feed(&reader, text, strlen(text), &used, &err), 0);
    cr_assert(pq_http_reader_is_done(&reader));
    cr_assert_str_eq(text + used, "HTTP/1.1 500 next\r\n");
    cr_assert_eq(pq_http_reader_feed(&reader, "x", 1, &used, &err), 0);
    cr_assert_eq(used, 0);
    pq_http_reader_done(&reader);
}

Test(http_reader, can_be_started_again)
{
    pq_http_reader reader = {0};
    pq_error err;
    size_t used;
    const char *first = "HTTP/1.1 500 a\r\nConnection: close\r\nContent-Encoding: gzip\r\n"
                        "Content-Length: 3\r\n\r\nabc";
    const char *second = OK_LENGTH "\r\nhi";
    for (int i = 0; i < 3; i++) {
        pq_http_reader_start(&reader, BODY_MAX);
        cr_assert_not(pq_http_reader_has_begun(&reader));
        cr_assert_eq(feed(&reader, first, strlen(first), 5, &used, &err), 0);
        cr_assert(reader.gzip && !reader.keep_open);
        pq_http_reader_start(&reader, BODY_MAX);
        cr_assert_eq(feed(&reader, second, strlen(second), 5, &used, &err), 0);
        cr_assert_str_eq(reader.body.data, "hi");
        cr_assert(pq_http_reader_has_begun(&reader) && reader.keep_open && !reader.gzip);
    }
    pq_http_reader_done(&reader);
}

Test(http_reader, an_early_end_is_a_network_error)
{
    static const char *const texts[] = {
        "",
        "HTTP/1.1 200",
        "HTTP/1.1 200 OK\r\n",
        OK_LENGTH "\r\n",
        OK_LENGTH "\r\nh",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        pq_http_reader reader = {0};
        pq_error err = {0};
        size_t used;
        pq_http_reader_start(&reader, BODY_MAX);
        cr_assert_eq(feed(&reader, texts[i], strlen(texts[i]), 7, &used, &err), 0);
        cr_expect_eq(pq_http_reader_end(&reader, &err), -1, "complete: %s", texts[i]);
        cr_expect_eq(err.code, PQ_E_NETWORK);
        cr_expect_not_null(strstr(err.text, i == 0 ? "without an answer" : "in the middle"));
        pq_http_reader_done(&reader);
    }
}

#define CHUNKED "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

Test(http_reader, malformed_answers)
{
    static const struct {
        const char *text, *part;
    } rows[] = {
        {"SSH-2.0-OpenSSH_9.2\r\n", "no status line"},
        {"HTTP/2 200 OK\r\n", "no status line"},
        {"HTTP/1.2 200 OK\r\n", "no status line"},
        {"HTTP/1.1 20 OK\r\n", "no status line"},
        {"HTTP/1.1 099 OK\r\n", "no status line"},
        {"HTTP/1.1 2000\r\n", "no status line"},
        {"\r\n", "no status line"},
        {"HTTP/1.1 200 OK\n", "CR LF"},
        {"HTTP/1.1 101 Switching\r\n\r\n", "interim"},
        {"HTTP/1.1 200 OK\r\nno colon\r\n", "without a name"},
        {"HTTP/1.1 200 OK\r\n: value\r\n", "without a name"},
        {"HTTP/1.1 200 OK\r\nName : value\r\n", "without a name"},
        {"HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n", "without a name"},
        {"HTTP/1.1 200 OK\r\nA: b\rc\r\n", "control characters"},
        {"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n", "bad Content-Length"},
        {"HTTP/1.1 200 OK\r\nContent-Length: \r\n", "bad Content-Length"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1 2\r\n", "bad Content-Length"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 0x10\r\n", "bad Content-Length"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 9999999999999999999\r\n", "bad Content-Length"},
        {OK_LENGTH "Content-Length: 3\r\n", "two different"},
        {OK_LENGTH "Transfer-Encoding: chunked\r\n\r\n", "both"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n", "Transfer-Encoding"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
         "Transfer-Encoding"},
        {"HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\n", "Content-Encoding"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n", "more than 1000 bytes"},
        {CHUNKED "x\r\n", "bad chunk size"},
        {CHUNKED "\r\n", "bad chunk size"},
        {CHUNKED "-1\r\n", "bad chunk size"},
        {CHUNKED "2 3\r\n", "bad chunk size"},
        {CHUNKED "ffffffffffffffff\r\n", "bad chunk size"},
        {CHUNKED "3e9\r\n", "more than 1000 bytes"},
        {CHUNKED "fffffffffffffff\r\n", "more than 1000 bytes"},
        {CHUNKED "2\r\nhix\r\n", "longer than announced"},
        {CHUNKED "0\r\nbad trailer\r\n", "without a name"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        expect_bad(rows[i].text, strlen(rows[i].text), rows[i].part);
    expect_bad("HTTP/1.1 200 OK\r\nA: \0b\r\n", 24, "control characters");
}

Test(http_reader, a_body_until_the_end_is_bounded)
{
    char text[1200] = "HTTP/1.1 200 OK\r\n\r\n";
    memset(text + 19, 'x', 1001);
    expect_bad(text, 19 + 1001, "more than 1000 bytes");
}

Test(http_reader, headers_are_bounded)
{
    static char text[PQ_HTTP_HEADER_MAX + 100] = "HTTP/1.1 200 OK\r\n";
    size_t length = 17;
    while (length < PQ_HTTP_HEADER_MAX) {
        memcpy(text + length, "A: 1\r\n", 6);
        length += 6;
    }
    expect_bad(text, length, "too many header lines");
    memset(text + 17, 'x', PQ_HTTP_HEADER_MAX);
    expect_bad(text, PQ_HTTP_HEADER_MAX + 17, "too much header");
}

Test(http_reader, endless_interim_answers_end)
{
    char text[1000] = "";
    for (int i = 0; i < 10; i++)
        strcat(text, "HTTP/1.1 100 Continue\r\n\r\n");
    expect_bad(text, strlen(text), "interim");
}
