/* Request bodies, queries and heads. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "transport/pve/request.h"

#define ARGV(...) ((const char *const[]){__VA_ARGS__, NULL})

static void expect_exec(const char *const *argv, const void *input, size_t length,
                        const char *expected, size_t expected_args)
{
    pq_exec_request request = {.argv = argv, .input = input, .input_length = length};
    pq_buf body = {0};
    pq_error err = {0};
    size_t args = 0;
    cr_assert_eq(pq_request_exec(&body, &request, &args, &err), 0, "%s", err.text);
    cr_assert_str_eq(body.data, expected);
    cr_assert_eq(args, expected_args, "%zu", args);
    pq_buf_done(&body);
}

static void expect_no_exec(const char *const *argv, size_t input_length, pq_code code)
{
    static const char input[PQ_REQUEST_INPUT_MAX + 1];
    pq_exec_request request = {.argv = argv, .input = input, .input_length = input_length};
    pq_buf body = {0};
    pq_error err = {0};
    size_t args;
    cr_assert_eq(pq_request_exec(&body, &request, &args, &err), -1);
    cr_expect_eq(err.code, code, "%s", err.text);
    cr_expect_eq(err.effect, PQ_EFFECT_NONE);
    pq_buf_done(&body);
}

Test(pve_request, exec_bodies)
{
    expect_exec(ARGV("/bin/true"), NULL, 0, "{\"command\":[\"/bin/true\"]}", 9);
    expect_exec(ARGV("sh", "-c", "echo \"$1\"\n", ""), NULL, 0,
                "{\"command\":[\"sh\",\"-c\",\"echo \\\"$1\\\"\\n\",\"\"]}", 2 + 2 + 13);
    expect_exec(ARGV("cat"), "a\"\xff", 3,
                "{\"command\":[\"cat\"],\"input-data\":\"a\\\"\xc3\xbf\"}", 3);
    expect_exec(ARGV("cat"), "\0\x01", 2,
                "{\"command\":[\"cat\"],\"input-data\":\"\\u0000\\u0001\"}", 3);
    expect_exec(ARGV("cat"), "", 0, "{\"command\":[\"cat\"],\"input-data\":\"\"}", 3);
}

Test(pve_request, what_would_hang_the_agent_is_refused)
{
    expect_no_exec(ARGV("echo", "\xc3\xa9"), 0, PQ_E_INTERNAL);
    expect_no_exec(ARGV("\x80"), 0, PQ_E_INTERNAL);
    expect_no_exec(ARGV(""), 0, PQ_E_INTERNAL);
    expect_no_exec((const char *const[]){NULL}, 0, PQ_E_INTERNAL);
    expect_no_exec(ARGV("cat"), PQ_REQUEST_INPUT_MAX + 1, PQ_E_TOO_LARGE);
}

static int make_form(pq_buf *form, const char *const *argv, const void *input, size_t length,
                     pq_error *err)
{
    pq_exec_request request = {.argv = argv, .input = input, .input_length = length};
    pq_buf json = {0};
    size_t args;
    cr_assert_eq(pq_request_exec(&json, &request, &args, err), 0, "%s", err->text);
    int result = pq_request_form(form, &json, err);
    pq_buf_done(&json);
    return result;
}

static void expect_form(const char *const *argv, const void *input, size_t length,
                        const char *expected)
{
    pq_buf form = {0};
    pq_error err = {0};
    cr_assert_eq(make_form(&form, argv, input, length, &err), 0, "%s", err.text);
    cr_assert_str_eq(form.data, expected);
    pq_buf_done(&form);
}

Test(pve_request, forms)
{
    expect_form(ARGV("sh", "-c", "a=b;c&d+e%\n"), NULL, 0,
                "command=sh&command=-c&command=a%3Db%3Bc%26d%2Be%25%0A");
    /* One argument alone would be split at blanks, commas and semicolons. */
    expect_form(ARGV("/bin/a b"), NULL, 0, "command=%2Fbin%2Fa%20b%00");
    /* "command=" would make the daemon forget the fields before it. */
    expect_form(ARGV("a", "", "b"), NULL, 0, "command=a%00%00b%00");
    expect_form(ARGV("cat", "-"), "\0A\x80\xff", 4,
                "command=cat&command=-&input-data=%00A%C2%80%C3%BF");
}

Test(pve_request, a_form_cannot_carry_an_empty_last_argument)
{
    pq_buf form = {0};
    pq_error err = {0};
    cr_assert_eq(make_form(&form, ARGV("a", "b", ""), NULL, 0, &err), -1);
    cr_expect_eq(err.code, PQ_E_UNSUPPORTED);
    cr_expect_eq(err.effect, PQ_EFFECT_NONE);
    pq_buf_done(&form);
}

Test(pve_request, every_input_byte_survives_the_form)
{
    unsigned char bytes[256];
    pq_buf form = {0};
    pq_error err = {0};
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)i;
    cr_assert_eq(make_form(&form, ARGV("cat", "-"), bytes, sizeof bytes, &err), 0, "%s", err.text);
    const char *at = strstr(form.data, "input-data=") + strlen("input-data=");
    for (unsigned i = 0; i < sizeof bytes; i++) {
        unsigned value = (unsigned char)*at;
        if (*at == '%') {
            char digits[3] = {at[1], at[2], '\0'};
            value = (unsigned)strtoul(digits, NULL, 16);
            at += 2;
        }
        at++;
        if (value >= 0xC0) {
            char digits[3] = {at[1], at[2], '\0'};
            value = (value & 3) << 6 | ((unsigned)strtoul(digits, NULL, 16) & 63);
            at += 3;
        }
        cr_assert_eq(value, i, "byte %u became %u", i, value);
    }
    cr_assert_eq(*at, '\0');
    pq_buf_done(&form);
}

Test(pve_request, file_read_queries)
{
    pq_buf query = {0};
    pq_error err = {0};
    cr_assert_eq(pq_request_file_read(&query, "/a b&c=d", false, 0, 10, &err), 0);
    cr_assert_str_eq(query.data, "file=%2Fa%20b%26c%3Dd");
    pq_buf_clear(&query);
    cr_assert_eq(pq_request_file_read(&query, "/x", true, 1ULL << 40, 262144, &err), 0);
    cr_assert_str_eq(query.data, "file=%2Fx&decode=0&offset=1099511627776&count=262144");
    pq_buf_clear(&query);
    cr_assert_eq(pq_request_file_read(&query, "/\xc3\xa9", true, 0, 1, &err), -1);
    cr_assert_eq(err.code, PQ_E_INTERNAL);
    pq_buf_done(&query);
}

Test(pve_request, a_long_path_is_refused)
{
    static char path[PQ_REQUEST_HEAD_MAX];
    pq_buf query = {0};
    pq_error err = {0};
    memset(path, 'x', sizeof path - 1);
    cr_assert_eq(pq_request_file_read(&query, path, true, 0, 1, &err), -1);
    cr_assert_eq(err.code, PQ_E_TOO_LARGE);
    pq_buf_done(&query);
}

Test(pve_request, heads)
{
    pq_buf out = {0};
    pq_error err = {0};
    pq_request_head get = {
        .method = "GET", .host = "h:8006", .path = "/p", .query = "q=1", .gzip = true};
    cr_assert_eq(pq_request_write_head(&out, &get, 0, &err), 0);
    cr_assert_str_eq(out.data, "GET /p?q=1 HTTP/1.1\r\nHost: h:8006\r\n"
                               "User-Agent: pve-qga-run/" PQ_VERSION "\r\n"
                               "Accept-Encoding: gzip\r\n");
    pq_buf_clear(&out);
    pq_request_head post = {.method = "POST",
                            .host = "h:8006",
                            .path = "/p",
                            .has_body = true,
                            .content_type = "application/json",
                            .content_length = 12};
    cr_assert_eq(pq_request_write_head(&out, &post, 0, &err), 0);
    cr_assert_str_eq(out.data, "POST /p HTTP/1.1\r\nHost: h:8006\r\n"
                               "User-Agent: pve-qga-run/" PQ_VERSION "\r\n"
                               "Content-Type: application/json\r\nContent-Length: 12\r\n");
    cr_assert_geq(out.capacity, PQ_REQUEST_HEAD_MAX);
    pq_buf_done(&out);
}
