/* The arguments of a guest script and its answer. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "exec/guest_scripts.h"
#include "exec/script.h"
#include "transport/base/encode.h"
#include "transport/base/json.h"

static pq_error err;
static pq_script script;

static void teardown(void)
{
    pq_script_done(&script);
}

TestSuite(script, .fini = teardown, .timeout = 20);

static void begin(void)
{
    cr_assert_eq(pq_script_begin(&script, pq_guest_common, pq_guest_piece, &err), 0, "%s",
                 err.text);
}

/* Characters that the arguments take in a JSON body, with their commas. */
static size_t json_length(void)
{
    pq_buf body = {0};
    for (size_t i = 0; i < script.count; i++) {
        cr_assert_eq(pq_json_write_text(&body, script.argv[i], strlen(script.argv[i]), &err), 0);
        cr_assert_eq(pq_buf_add_byte(&body, ',', &err), 0);
    }
    size_t length = body.length;
    pq_buf_done(&body);
    return length;
}

/* What a guest makes of the items from argument `first` on. */
static void decode(size_t first, pq_buf *to)
{
    for (size_t i = first; i < script.count; i += 2) {
        const char *tag = script.argv[i], *text = script.argv[i + 1];
        if (strcmp(tag, script.packed ? "z" : "b") == 0) {
            cr_assert_eq(pq_base64_decode(to, text, strlen(text), &err), 0, "%s", err.text);
            continue;
        }
        cr_assert_str_eq(tag, script.no_decoder ? "P" : "p");
        for (const char *c = text; *c != '\0'; c++) {
            char byte = *c;
            if (*c == '\\' && c[1] == '0') {
                byte = (char)strtol((char[]){c[2], c[3], c[4], '\0'}, NULL, 8);
                c += 4;
            } else if (*c == '\\') {
                byte = *++c == 'n' ? '\n' : *c;
            }
            cr_assert_eq(pq_buf_add_byte(to, byte, &err), 0);
        }
    }
}

static char *make_bytes(size_t length, const char *kind)
{
    char *bytes = malloc(length + 1);
    cr_assert_not_null(bytes);
    unsigned state = 12345;
    for (size_t i = 0; i < length; i++) {
        state = state * 1103515245u + 12345u;
        unsigned char random = (unsigned char)(state >> 16);
        bytes[i] = kind[0] == 'r'   ? (char)random
                   : kind[0] == 'm' ? "\"\\\n"[random % 3]
                   : kind[0] == 'q' ? '"'
                   : kind[0] == 'n' ? '\n'
                                    : (char)('a' + random % 26);
    }
    return bytes;
}

/* ---- arguments ---- */

Test(script, begins_with_the_shell)
{
    begin();
    cr_assert_eq(script.count, 4);
    cr_assert_str_eq(script.argv[0], "/bin/sh");
    cr_assert_str_eq(script.argv[1], "-c");
    cr_assert_str_eq(script.argv[3], "sh");
    cr_assert_null(script.argv[4]);
    cr_assert_eq(strncmp(script.argv[2], pq_guest_common, strlen(pq_guest_common)), 0);
    cr_assert_str_eq(script.argv[2] + strlen(pq_guest_common), pq_guest_piece);
}

Test(script, scripts_are_ascii)
{
    const char *const texts[] = {pq_guest_common, pq_guest_launch, pq_guest_job,   pq_guest_piece,
                                 pq_guest_look,   pq_guest_kill,   pq_guest_slice, pq_guest_close};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        for (const char *c = texts[i]; *c != '\0'; c++)
            cr_assert(*c == '\n' || (*c >= 0x20 && *c <= 0x7E));
    }
}

Test(script, counts_what_the_body_takes)
{
    begin();
    cr_assert_eq(script.bytes, json_length() + script.count, "one too many for each argument");
    cr_assert_eq(pq_script_add(&script, "/run/x", &err), 0);
    cr_assert_eq(pq_script_addf(&script, &err, "%d-%s", 7, "seven"), 0);
    cr_assert_str_eq(script.argv[5], "7-seven");
    cr_assert_geq(script.bytes, json_length());
    cr_assert_eq(pq_script_add_escaped(&script, "\"\\\n\xFF", 4, &err), 0);
    cr_assert_str_eq(script.argv[6], "\"\\\\\\n\\0377");
    cr_assert_geq(script.bytes, json_length());
    cr_assert_eq(pq_script_add_escaped(&script, "", 0, &err), 0);
    cr_assert_str_eq(script.argv[7], "");
    cr_assert_eq(script.argv[8], NULL);
}

Test(script, many_arguments)
{
    begin();
    for (int i = 0; i < 500; i++)
        cr_assert_eq(pq_script_addf(&script, &err, "%d", i), 0);
    cr_assert_eq(script.count, 504);
    cr_assert_str_eq(script.argv[503], "499");
    cr_assert_null(script.argv[504]);
    cr_assert_geq(script.bytes, json_length());
}

Test(script, set_replaces_and_counts)
{
    begin();
    cr_assert_eq(pq_script_add(&script, "a", &err), 0);
    cr_assert_eq(pq_script_add(&script, "-", &err), 0);
    size_t before = script.bytes;
    cr_assert_eq(pq_script_set(&script, 1, "12345", &err), 0);
    cr_assert_str_eq(script.argv[4], "a");
    cr_assert_str_eq(script.argv[5], "12345");
    cr_assert_eq(script.bytes, before + 4);
    cr_assert_eq(pq_script_set(&script, 1, "-", &err), 0);
    cr_assert_eq(script.bytes, before);
}

Test(script, done_twice)
{
    begin();
    pq_script_done(&script);
    cr_assert_eq(script.count, 0);
    pq_script_done(&script);
}

/* ---- items ---- */

/* Adds items under the limits given and checks everything that is promised of them. */
static size_t add(const pq_agent_limits *limits, const char *bytes, size_t length, size_t granule)
{
    pq_buf back = {0};
    size_t first = script.count, taken = SIZE_MAX;
    size_t room = pq_script_room(&script, limits);
    cr_assert_eq(pq_script_add_items(&script, limits, bytes, length, granule, &taken, &err), 0,
                 "%s", err.text);
    cr_assert_leq(taken, length);
    cr_assert(taken == length || taken % granule == 0);
    for (size_t i = first; i < script.count; i++)
        cr_assert_leq(strlen(script.argv[i]), limits->arg_bytes);
    if (script.count > first) {
        cr_assert_leq(json_length(), limits->args_bytes);
        cr_assert_leq(json_length(), script.bytes);
    }
    cr_assert_geq(taken, length < room ? length : room / granule * granule,
                  "the room that was told is there");
    decode(first, &back);
    cr_assert_eq(back.length, taken);
    if (taken > 0)
        cr_assert_arr_eq(back.data, bytes, taken);
    pq_buf_done(&back);
    return taken;
}

static const pq_agent_limits big = {.arg_bytes = 131071, .args_bytes = 520000};

Test(script, text_is_escaped)
{
    begin();
    cr_assert_eq(add(&big, "hello\n", 6, 1), 6);
    cr_assert_eq(script.count, 6);
    cr_assert_str_eq(script.argv[4], "p");
    cr_assert_str_eq(script.argv[5], "hello\\n");
}

Test(script, a_few_odd_bytes_are_escaped_too)
{
    begin();
    add(&big, "\xFF", 1, 1);
    cr_assert_str_eq(script.argv[4], "p", "base64 would need a process");
}

Test(script, binary_is_base64)
{
    char *bytes = make_bytes(3000, "random");
    begin();
    cr_assert_eq(add(&big, bytes, 3000, 1), 3000);
    cr_assert_str_eq(script.argv[4], "b");
    cr_assert_eq(strlen(script.argv[5]), 4000);
    free(bytes);
}

Test(script, nothing_adds_nothing)
{
    begin();
    cr_assert_eq(add(&big, NULL, 0, 1), 0);
    cr_assert_eq(script.count, 4);
}

Test(script, a_full_call_has_several_arguments)
{
    char *bytes = make_bytes(600000, "random");
    begin();
    size_t taken = add(&big, bytes, 600000, 4096);
    cr_assert_gt(script.count, 4 + 2 * 3);
    cr_assert_gt(taken, 360000, "a call carries about 380 kB");
    cr_assert_gt(json_length() + 6 * 4096, big.args_bytes, "and is full");
    free(bytes);
}

Test(script, text_longer_than_an_argument_goes_as_base64)
{
    char *bytes = make_bytes(200000, "text");
    begin();
    cr_assert_eq(add(&big, bytes, 200000, 1), 200000);
    cr_assert_str_eq(script.argv[4], "b");
    free(bytes);
}

Test(script, room_can_be_used_to_the_last_byte)
{
    char *bytes = make_bytes(600000, "random");
    begin();
    size_t room = pq_script_room(&script, &big);
    cr_assert_eq(add(&big, bytes, room, room), room);
    pq_script_done(&script);
    begin();
    cr_assert_lt(add(&big, bytes, room + 1, room + 1), room + 1, "a granule that does not fit");
    free(bytes);
}

Test(script, no_room_takes_nothing)
{
    pq_agent_limits none = {.arg_bytes = 131071, .args_bytes = 100};
    char *bytes = make_bytes(1000, "random");
    begin();
    cr_assert_eq(pq_script_room(&script, &none), 0);
    cr_assert_eq(add(&none, bytes, 1000, 1), 0);
    cr_assert_eq(script.count, 4);
    free(bytes);
}

/* Each kind of bytes under each limit: what add() checks holds at every edge. */
Test(script, items_stay_within_all_limits)
{
    static const char *const kinds[] = {"random", "text", "quotes", "newlines", "mixed"};
    static const size_t granules[] = {1, 3, 512, 4096};
    for (size_t kind = 0; kind < sizeof kinds / sizeof kinds[0]; kind++) {
        char *bytes = make_bytes(20000, kinds[kind]);
        begin();
        size_t base = script.bytes;
        pq_script_done(&script);
        for (size_t i = 0; i < 400; i++) {
            pq_agent_limits limits = {.arg_bytes = 5 + 37 * (i % 50),
                                      .args_bytes = base + i * i % 9973};
            begin();
            add(&limits, bytes, i * 53 % 20000, granules[i % 4]);
            pq_script_done(&script);
        }
        free(bytes);
    }
}

Test(script, without_a_decoder_everything_is_escaped)
{
    char *bytes = make_bytes(600000, "random");
    begin();
    script.no_decoder = true;
    size_t taken = add(&big, bytes, 600000, 4096);
    cr_assert_gt(taken, 80000);
    cr_assert_gt(script.count, 4 + 2);
    pq_script_done(&script);
    for (size_t i = 0; i < 300; i++) {
        begin();
        script.no_decoder = true;
        pq_agent_limits limits = {.arg_bytes = 5 + 37 * (i % 50),
                                  .args_bytes = script.bytes + i * i % 9973};
        add(&limits, bytes, i * 53 % 20000, i % 2 ? 1 : 512);
        pq_script_done(&script);
    }
    free(bytes);
}

Test(script, exact_fill_for_each_remaining_byte)
{
    char *bytes = make_bytes(400, "random");
    begin();
    size_t base = script.bytes;
    pq_script_done(&script);
    for (size_t more = 0; more < 300; more++) {
        pq_agent_limits limits = {.arg_bytes = 64, .args_bytes = base + more};
        begin();
        add(&limits, bytes, 400, 1);
        pq_script_done(&script);
    }
    free(bytes);
}

Test(script, packed_bytes_are_never_escaped)
{
    static const size_t lengths[] = {1, 100, 3000, 600000};
    char *bytes = make_bytes(600000, "text");
    for (size_t i = 0; i < 4; i++) {
        begin();
        script.packed = true;
        cr_assert_gt(add(&big, bytes, lengths[i], lengths[i] > 4096 ? 4096 : 1), 0);
        cr_assert_str_eq(script.argv[4], "z");
        pq_script_done(&script);
    }
    free(bytes);
}

/* ---- trailers ---- */

static bool cut(const char *answer, size_t length, pq_buf *buf, pq_trailer *trailer)
{
    pq_buf_clear(buf);
    cr_assert_eq(pq_buf_add(buf, answer, length, &err), 0);
    return pq_trailer_cut(buf, trailer);
}

Test(trailer, is_cut_off)
{
    pq_buf buf = {0};
    pq_trailer trailer;
    cr_assert(cut("out\n\npq1 end 3 0 - 17 inline=1 flags=pd\n", 40, &buf, &trailer));
    cr_assert_eq(buf.length, 4);
    cr_assert_str_eq(trailer.state, "end");
    cr_assert_str_eq(trailer.fields, "3 0 - 17 inline=1 flags=pd");
    cr_assert_eq(pq_trailer_number(&trailer, 0), 3);
    cr_assert_eq(pq_trailer_number(&trailer, 1), 0);
    cr_assert_eq(pq_trailer_number(&trailer, 2), -1, "a dash");
    cr_assert_eq(pq_trailer_number(&trailer, 3), 17);
    cr_assert_eq(pq_trailer_number(&trailer, 4), -1, "missing");
    pq_buf_done(&buf);
}

Test(trailer, without_fields)
{
    pq_buf buf = {0};
    pq_trailer trailer;
    char value[8];
    cr_assert(cut("\npq1 ok\n", 8, &buf, &trailer));
    cr_assert_eq(buf.length, 0);
    cr_assert_str_eq(trailer.state, "ok");
    cr_assert_str_empty(trailer.fields);
    cr_assert_eq(pq_trailer_number(&trailer, 0), -1);
    cr_assert_not(pq_trailer_value(&trailer, "x", value, sizeof value));
    pq_buf_done(&buf);
}

Test(trailer, the_last_one_counts)
{
    static const char forged[] = "\npq1 end 0 0 - -\ntext\npq1 lost 9\n\npq1 end 7 0 - -\n";
    pq_buf buf = {0};
    pq_trailer trailer;
    cr_assert(cut(forged, sizeof forged - 1, &buf, &trailer));
    cr_assert_eq(pq_trailer_number(&trailer, 0), 7);
    cr_assert_eq(buf.length, strlen("\npq1 end 0 0 - -\ntext\npq1 lost 9\n"));
    pq_buf_done(&buf);
}

Test(trailer, a_forged_one_without_ours_behind_it_would_count_only_at_the_very_end)
{
    static const char *const answers[] = {
        "\npq1 end 0 0 - -\nmore",
        "\npq1 end 0 0 - -\n\n",
        "\npq1 end 0 0 - -\n ",
        "\npq1 end 0 0 - -",
    };
    pq_buf buf = {0};
    pq_trailer trailer;
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++)
        cr_assert_not(cut(answers[i], strlen(answers[i]), &buf, &trailer), "%zu", i);
    pq_buf_done(&buf);
}

Test(trailer, hostile_answers)
{
    static const struct {
        const char *bytes;
        size_t length;
    } answers[] = {
        {"", 0},
        {"\n", 1},
        {"\n\n", 2},
        {"pq1 ok\n", 7},
        {"x\npq2 ok\n", 9},
        {"\npq1\n", 5},
        {"\npq1ok\n", 7},
        {"\n pq1 ok\n", 9},
        {"\nPQ1 ok\n", 8},
        {"\npq1 1234567890123456\n", 22},
        {"\npq1 ok\r", 8},
        {"\0\0\0\0\0\0\0\n", 8},
    };
    pq_buf buf = {0};
    pq_trailer trailer;
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        size_t length = answers[i].length;
        cr_assert_not(cut(answers[i].bytes, length, &buf, &trailer), "%zu", i);
        cr_assert_eq(buf.length, length, "%zu: what has no trailer stays whole", i);
    }
    pq_buf_done(&buf);
}

Test(trailer, longest_state)
{
    pq_buf buf = {0};
    pq_trailer trailer;
    cr_assert(cut("\npq1 123456789012345 1\n", 23, &buf, &trailer));
    cr_assert_str_eq(trailer.state, "123456789012345");
    cr_assert_eq(pq_trailer_number(&trailer, 0), 1);
    pq_buf_done(&buf);
}

Test(trailer, nul_inside_ends_the_fields)
{
    pq_buf buf = {0};
    pq_trailer trailer;
    cr_assert(cut("\npq1 end 1 \0 2\n", 15, &buf, &trailer));
    cr_assert_eq(pq_trailer_number(&trailer, 0), 1);
    cr_assert_eq(pq_trailer_number(&trailer, 1), -1);
    pq_buf_done(&buf);
}

Test(trailer, numbers)
{
    static const struct {
        const char *text;
        int64_t number;
    } cases[] = {
        {"0", 0},
        {"999999999999999999", 999999999999999999},
        {"1000000000000000000", -1}, /* could overflow with more digits */
        {"18446744073709551616", -1},
        {"-1", -1},
        {"-", -1},
        {"+1", -1},
        {"0x10", -1},
        {"1.5", -1},
        {"1,", -1},
        {"", -1},
        {"007", 7},
        {"\t1", -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        pq_trailer trailer = {.state = "end", .fields = cases[i].text};
        cr_assert_eq(pq_trailer_number(&trailer, 0), cases[i].number, "'%s'", cases[i].text);
    }
}

Test(trailer, named_fields_do_not_count_as_bare_ones)
{
    pq_trailer trailer = {.state = "end", .fields = "a=1  5 b=2   6 "};
    cr_assert_eq(pq_trailer_number(&trailer, 0), 5);
    cr_assert_eq(pq_trailer_number(&trailer, 1), 6);
    cr_assert_eq(pq_trailer_number(&trailer, 2), -1);
}

Test(trailer, values)
{
    pq_trailer trailer = {.state = "end", .fields = "1 used=3 usedup=4 used=5 empty= x=a=b"};
    char value[4] = "old";
    cr_assert(pq_trailer_value(&trailer, "used", value, sizeof value));
    cr_assert_str_eq(value, "3", "the first counts");
    cr_assert(pq_trailer_value(&trailer, "usedup", value, sizeof value));
    cr_assert_str_eq(value, "4");
    cr_assert(pq_trailer_value(&trailer, "empty", value, sizeof value));
    cr_assert_str_empty(value);
    cr_assert(pq_trailer_value(&trailer, "x", value, sizeof value));
    cr_assert_str_eq(value, "a=b");
    cr_assert_not(pq_trailer_value(&trailer, "use", value, sizeof value));
    cr_assert_not(pq_trailer_value(&trailer, "1", value, sizeof value));
    cr_assert_str_eq(value, "a=b", "untouched without one");
}

Test(trailer, long_values_are_cut)
{
    pq_trailer trailer = {.state = "end", .fields = "tools=,base64,openssl"};
    char value[6];
    cr_assert(pq_trailer_value(&trailer, "tools", value, sizeof value));
    cr_assert_str_eq(value, ",base");
}
