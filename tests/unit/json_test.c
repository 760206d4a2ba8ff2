#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "transport/base/encode.h"
#include "transport/base/json.h"

/* Parses in memory that ends where a page begins that cannot be read, so that a look behind the
 * text is the end of the test. */
static pq_json *parse(const char *text, size_t length, pq_error *err)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t pages = (length + page - 1) / page + 1;
    char *memory =
        mmap(NULL, (pages + 1) * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(memory, MAP_FAILED);
    cr_assert_eq(mprotect(memory + pages * page, page, PROT_NONE), 0);
    char *copy = memory + pages * page - length;
    if (length > 0)
        memcpy(copy, text, length);
    pq_json *value = pq_json_parse(copy, length, err);
    munmap(memory, (pages + 1) * page);
    return value;
}

static pq_json *parsed(const char *text)
{
    pq_error err;
    pq_json *value = parse(text, strlen(text), &err);
    cr_assert_not_null(value, "%s: %s", text, err.text);
    return value;
}

static void assert_refused(const char *text, size_t length)
{
    pq_error err = {0};
    cr_assert_null(parse(text, length, &err), "accepted: %s", text);
    cr_assert_eq(err.code, PQ_E_BAD_ANSWER, "%s", text);
    cr_assert_eq(err.effect, PQ_EFFECT_NONE);
}

static void assert_string(const char *json, const char *wanted)
{
    pq_json *value = parsed(json);
    const char *text = pq_json_string_value(value);
    cr_assert_not_null(text, "%s", json);
    cr_assert_str_eq(text, wanted, "%s became %s", json, text);
    pq_json_free(value);
}

Test(json, reads_what_pve_sends)
{
    pq_json *value = parsed(" {\"data\":{\"exited\":1,\"exitcode\":\"3\",\"out-data\":\"hi\\n\","
                            "\"list\":[1,\"two\",null]},\"success\":true}\r\n");
    const pq_json *data = pq_json_member(value, "data");
    int64_t number = 0;
    bool flag = false;
    cr_assert(pq_json_is_object(value));
    cr_assert(pq_json_is_object(data));
    cr_assert(pq_json_bool(data, "exited", &flag));
    cr_assert(flag);
    cr_assert(pq_json_int(data, "exitcode", &number));
    cr_assert_eq(number, 3);
    cr_assert_str_eq(pq_json_text(data, "out-data"), "hi\n");
    const pq_json *item = pq_json_first(pq_json_member(data, "list"));
    cr_assert_null(pq_json_string_value(item));
    cr_assert_null(pq_json_name(item));
    item = pq_json_next(item);
    cr_assert_str_eq(pq_json_string_value(item), "two");
    item = pq_json_next(item);
    cr_assert(pq_json_is_null(item));
    cr_assert_null(pq_json_next(item));
    item = pq_json_first(value);
    cr_assert_str_eq(pq_json_name(item), "data");
    cr_assert_str_eq(pq_json_name(pq_json_next(item)), "success");
    pq_json_free(value);
}

Test(json, getters_check_types)
{
    pq_json *value = parsed("{\"n\":1,\"s\":\"x\",\"b\":true,\"o\":{},\"a\":[],\"z\":null,"
                            "\"Name\":\"y\"}");
    int64_t number = 77;
    bool flag = true;
    static const char *const not_int[] = {"s", "b", "o", "a", "z", "missing"};
    static const char *const not_bool[] = {"s", "o", "a", "z", "missing"};
    static const char *const not_text[] = {"n", "b", "o", "a", "z", "missing", "name"};
    for (size_t i = 0; i < 6; i++)
        cr_assert_not(pq_json_int(value, not_int[i], &number), "%s", not_int[i]);
    for (size_t i = 0; i < 5; i++)
        cr_assert_not(pq_json_bool(value, not_bool[i], &flag), "%s", not_bool[i]);
    for (size_t i = 0; i < 7; i++)
        cr_assert_null(pq_json_text(value, not_text[i]), "%s", not_text[i]);
    cr_assert_eq(number, 77);
    cr_assert(flag);
    cr_assert_null(pq_json_first(pq_json_member(value, "o")));
    cr_assert_null(pq_json_first(pq_json_member(value, "n")));
    cr_assert_null(pq_json_member(pq_json_member(value, "a"), "n"));
    cr_assert_not(pq_json_is_null(pq_json_member(value, "missing")));
    pq_json_free(value);
}

Test(json, getters_take_null)
{
    int64_t number = 77;
    bool flag = true;
    cr_assert_null(pq_json_member(NULL, "x"));
    cr_assert_null(pq_json_text(NULL, "x"));
    cr_assert_null(pq_json_first(NULL));
    cr_assert_null(pq_json_next(NULL));
    cr_assert_null(pq_json_name(NULL));
    cr_assert_null(pq_json_string_value(NULL));
    cr_assert_not(pq_json_is_object(NULL));
    cr_assert_not(pq_json_is_null(NULL));
    cr_assert_not(pq_json_int(NULL, "x", &number));
    cr_assert_not(pq_json_bool(NULL, "x", &flag));
    pq_json_free(NULL);
}

Test(json, whole_numbers)
{
    static const struct {
        const char *text;
        bool good;
        int64_t number;
    } cases[] = {
        {"0", true, 0},
        {"-0", true, 0},
        {"-5", true, -5},
        {"1e3", true, 1000},
        {"1.0", true, 1},
        {"9007199254740991", true, 9007199254740991},
        {"-9007199254740991", true, -9007199254740991},
        {"9007199254740993", false, 0}, /* a double makes it ...992 */
        {"1e300", false, 0},
        {"1e999", false, 0},
        {"1.5", false, 0},
        {"\"12\"", true, 12},
        {"\"-12\"", true, -12},
        {"\"9223372036854775807\"", true, INT64_MAX},
        {"\"-9223372036854775808\"", true, INT64_MIN},
        {"\"9223372036854775808\"", false, 0},
        {"\"\"", false, 0},
        {"\"-\"", false, 0},
        {"\"+1\"", false, 0},
        {"\" 1\"", false, 0},
        {"\"1 \"", false, 0},
        {"\"0x10\"", false, 0},
        {"\"1.0\"", false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[64];
        int64_t number = 77;
        snprintf(text, sizeof text, "{\"n\":%s}", cases[i].text);
        pq_json *value = parsed(text);
        cr_assert_eq(pq_json_int(value, "n", &number), cases[i].good, "%s", text);
        cr_assert_eq(number, cases[i].good ? cases[i].number : 77, "%s", text);
        pq_json_free(value);
    }
}

Test(json, booleans)
{
    pq_json *value = parsed("{\"t\":true,\"f\":false,\"one\":1,\"zero\":0,\"s1\":\"1\","
                            "\"s0\":\"0\",\"two\":2,\"word\":\"true\"}");
    static const char *const names[] = {"t", "f", "one", "zero", "s1", "s0"};
    for (size_t i = 0; i < 6; i++) {
        bool flag = i % 2 != 0;
        cr_assert(pq_json_bool(value, names[i], &flag), "%s", names[i]);
        cr_assert_eq(flag, i % 2 == 0, "%s", names[i]);
    }
    bool flag = true;
    cr_assert_not(pq_json_bool(value, "two", &flag));
    cr_assert_not(pq_json_bool(value, "word", &flag));
    pq_json_free(value);
}

Test(json, refuses_what_is_not_one_value)
{
    static const char *const bad[] = {
        "",          " ",         "{",       "}",           "[1",     "[1,]",        "[1,",
        "{\"a\":1,", "{\"a\":1",  "{\"a\":", "{\"a\"",      "{\"a",   "{\"",         "{,",
        "{a:1}",     "{\"a\" 1}", "\"",      "\"a",         "\"\\",   "\"\\u",       "\"\\u00\"",
        "\"\\x41\"", "nul",       "tru",     "truefalse",   "1 2",    "{}{}",        "[]]",
        "{} x",      "-",         "--1",     "'a'",         "<html>", "\"\\ud800\"", "\"\\u\"",
        ",",         "[,]",       "[1, ",    "{\"a\":1,\n", "\xFF",   "[1}",         "{\"a\":1]",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_refused(bad[i], strlen(bad[i]));
    assert_refused("{}\0", 3);
    assert_refused("\0{}", 3);
    assert_refused("\"a\0b\"", 5);
    assert_refused("\"a\\\0b\"", 6);
    assert_refused("{\"a\":1,\x01", 8);
    assert_refused("[1,\x01 2]", 7);
}

Test(json, every_prefix_of_an_answer_is_refused)
{
    static const char text[] =
        "{\"data\":{\"a\":[1,-2.5e1,\"\\u0000\\ud83d\\ude00\\n\"],\"b\":null,"
        "\"c\":true}}";
    for (size_t length = 0; length < sizeof text - 1; length++)
        assert_refused(text, length);
    pq_json_free(parsed(text));
}

static void nested(char *text, size_t depth, char open, char close)
{
    memset(text, open, depth);
    memset(text + depth, close, depth);
    text[2 * depth] = '\0';
}

Test(json, depth_is_bounded)
{
    char text[2 * PQ_JSON_DEPTH_MAX + 3];
    nested(text, PQ_JSON_DEPTH_MAX, '[', ']');
    pq_json_free(parsed(text));
    nested(text, PQ_JSON_DEPTH_MAX + 1, '[', ']');
    assert_refused(text, strlen(text));
    memset(text, '{', PQ_JSON_DEPTH_MAX + 1);
    assert_refused(text, PQ_JSON_DEPTH_MAX + 1);
    /* Closing more than was opened earns no depth. */
    assert_refused("]]]][[[[", 8);
}

Test(json, depth_counts_no_brackets_in_strings)
{
    char text[256];
    memset(text, '[', sizeof text);
    text[0] = '"';
    text[100] = '\\';
    text[101] = '"';
    text[254] = '"';
    text[255] = '\0';
    pq_json_free(parsed(text));
}

Test(json, number_of_values_is_bounded)
{
    size_t commas = PQ_JSON_VALUES_MAX - 2;
    char *text = malloc(2 * commas + 8);
    cr_assert_not_null(text);
    char *to = text;
    *to++ = '[';
    for (size_t i = 0; i < commas; i++) {
        *to++ = '1';
        *to++ = ',';
    }
    memcpy(to, "1]", 3);
    pq_json_free(parsed(text));
    memcpy(to, "1,1,1]", 7);
    assert_refused(text, strlen(text));
    free(text);
}

Test(json, u0000_is_read_as_u0100)
{
    assert_string("\"\\u0000\"", "\xC4\x80");
    assert_string("\"a\\u0000\\u0000b\"", "a\xC4\x80\xC4\x80"
                                          "b");
    /* An escaped backslash, then plain characters. */
    assert_string("\"\\\\u0000\"", "\\u0000");
    assert_string("\"\\\\\\u0000\"", "\\\xC4\x80");
    assert_string("\"\\\\\\\\u0000\"", "\\\\u0000");
    assert_string("\"\\\"\\u0000\"", "\"\xC4\x80");
    /* Neighbours stay. */
    assert_string("\"\\u0001\\u00ff\\u0100\"", "\x01\xC3\xBF\xC4\x80");
    assert_string("\"\\u00000\"", "\xC4\x80"
                                  "0");
    assert_string("\"u0000\"", "u0000");
    /* Half a surrogate pair is still an error. */
    assert_refused("\"\\ud83d\\u0000\"", 14);
}

Test(json, u0000_in_a_name)
{
    pq_json *value = parsed("{\"a\\u0000b\":\"\\u0000\"}");
    const pq_json *item = pq_json_first(value);
    cr_assert_str_eq(pq_json_name(item), "a\xC4\x80"
                                         "b");
    cr_assert_str_eq(pq_json_string_value(item), "\xC4\x80");
    pq_json_free(value);
}

Test(json, all_bytes_there_and_back)
{
    unsigned char bytes[3 * 256];
    pq_buf text = {0}, back = {0};
    pq_error err;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(i < 256 ? i : i * 7 + 3);
    /* Every length, so that each byte comes last once. */
    for (size_t length = 0; length <= sizeof bytes; length++) {
        pq_buf_clear(&text);
        pq_buf_clear(&back);
        cr_assert_eq(pq_json_write_bytes(&text, bytes, length, &err), 0);
        pq_json *value = parse(text.data, text.length, &err);
        cr_assert_not_null(value, "%s", err.text);
        const char *string = pq_json_string_value(value);
        cr_assert_eq(pq_utf8_to_latin1(&back, string, strlen(string), &err), 0, "%s", err.text);
        cr_assert_eq(back.length, length);
        cr_assert_eq(memcmp(back.data, bytes, length), 0);
        pq_json_free(value);
    }
    pq_buf_done(&text);
    pq_buf_done(&back);
}

typedef int (*writer)(pq_buf *out, const char *bytes, size_t length, pq_error *err);

static int write_bytes(pq_buf *out, const char *bytes, size_t length, pq_error *err)
{
    return pq_json_write_bytes(out, bytes, length, err);
}

/* A buffer whose maximum is exactly what the result needs takes it, no smaller one does. */
static void assert_written(writer write, const char *bytes, size_t length, const char *wanted)
{
    pq_buf exact = {.maximum = strlen(wanted)};
    pq_error err;
    cr_assert_eq(write(&exact, bytes, length, &err), 0, "%s", err.text);
    cr_assert_str_eq(exact.data, wanted);
    cr_assert_eq(exact.length, strlen(wanted));
    pq_buf_done(&exact);
    for (size_t maximum = 1; maximum < strlen(wanted); maximum++) {
        pq_buf small = {.maximum = maximum};
        cr_assert_eq(write(&small, bytes, length, &err), -1);
        cr_assert_eq(err.code, PQ_E_TOO_LARGE);
        cr_assert(small.data == NULL || small.data[small.length] == '\0');
        pq_buf_done(&small);
    }
}

static void assert_written_bytes(const char *bytes, size_t length, const char *wanted)
{
    assert_written(write_bytes, bytes, length, wanted);
}

static void assert_written_text(const char *text, size_t length, const char *wanted)
{
    assert_written(pq_json_write_text, text, length, wanted);
}

Test(json, write_bytes)
{
    assert_written_bytes("", 0, "\"\"");
    assert_written_bytes("plain text", 10, "\"plain text\"");
    assert_written_bytes("\"\\/\n\t\r\b\f", 8, "\"\\\"\\\\/\\n\\t\\r\\u0008\\u000c\"");
    assert_written_bytes("\0\x1F\x7F\x80\xFF", 5, "\"\\u0000\\u001f\\u007f\xC2\x80\xC3\xBF\"");
    assert_written_bytes("\0\0\0\0\0\0\0\0", 8,
                         "\"\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000\"");
}

Test(json, write_text)
{
    assert_written_text(NULL, 0, "\"\"");
    assert_written_text("a\"b\\c\nd\x01", 8, "\"a\\\"b\\\\c\\nd\\u0001\"");
    assert_written_text("\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", 9,
                        "\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\"");
    assert_written_text("a\0b", 3, "\"a\\u0000b\"");
    assert_written_text("\x7F", 1, "\"\\u007f\"");
}

/* A special character right behind a multibyte one is still special. */
Test(json, write_text_escapes_behind_multibyte_characters)
{
    assert_written_text("\xC3\xA9\"", 3, "\"\xC3\xA9\\\"\"");
    assert_written_text("\xC3\xA9\\\n", 4, "\"\xC3\xA9\\\\\\n\"");
    assert_written_text("\xC3\xA9"
                        "a\"",
                        4,
                        "\"\xC3\xA9"
                        "a\\\"\"");
    assert_written_text("\xE2\x82\xAC\x01", 4, "\"\xE2\x82\xAC\\u0001\"");
    assert_written_text("\xF0\x9F\x98\x80\"", 5, "\"\xF0\x9F\x98\x80\\\"\"");
}

Test(json, write_text_replaces_bad_bytes)
{
    assert_written_text("a\xFF"
                        "b",
                        3, "\"a?b\"");
    assert_written_text("\xC3", 1, "\"?\"");
    assert_written_text("\xE2\x82\"", 3, "\"??\\\"\"");
    assert_written_text("\xED\xA0\x80", 3, "\"???\"");
    assert_written_text("\x80\x81", 2, "\"??\"");
    /* The length counts, not what is behind it. */
    assert_written_text("\xC3\xA9", 1, "\"?\"");
}

Test(json, write_appends)
{
    pq_buf out = {0};
    pq_error err;
    cr_assert_eq(pq_buf_add_text(&out, "[", &err), 0);
    cr_assert_eq(pq_json_write_text(&out, "a", 1, &err), 0);
    cr_assert_eq(pq_buf_add_text(&out, ",", &err), 0);
    cr_assert_eq(pq_json_write_bytes(&out, "\xE9", 1, &err), 0);
    cr_assert_eq(pq_buf_add_text(&out, "]", &err), 0);
    cr_assert_str_eq(out.data, "[\"a\",\"\xC3\xA9\"]");
    pq_buf_done(&out);
}

Test(json, print)
{
    static const char text[] = "{\"a\":[1,-2,2.5,\"x\\n\\\"\"],\"b\":{},\"c\":null,\"d\":false}";
    pq_json *value = parsed(text);
    pq_buf out = {0}, small = {.maximum = 10};
    pq_error err;
    cr_assert_eq(pq_buf_add_text(&out, "> ", &err), 0);
    cr_assert_eq(pq_json_print(&out, value, &err), 0);
    cr_assert_str_eq(out.data + 2, text);
    cr_assert_eq(pq_json_print(&small, value, &err), -1);
    cr_assert_eq(err.code, PQ_E_TOO_LARGE);
    pq_buf_done(&out);
    pq_buf_done(&small);
    pq_json_free(value);
}
