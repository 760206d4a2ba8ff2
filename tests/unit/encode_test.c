#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transport/base/encode.h"

typedef int (*codec)(pq_buf *out, const void *bytes, size_t length, pq_error *err);
typedef int (*decoder)(pq_buf *out, const char *text, size_t length, pq_error *err);

static void assert_encoded(codec encode, const void *bytes, size_t length, const char *wanted)
{
    pq_buf out = {0};
    pq_error err;
    cr_assert_eq(pq_buf_add_text(&out, "> ", &err), 0);
    cr_assert_eq(encode(&out, bytes, length, &err), 0);
    cr_assert_eq(out.length, strlen(wanted) + 2);
    cr_assert_str_eq(out.data + 2, wanted);
    cr_assert_arr_eq(out.data, "> ", 2);
    pq_buf_done(&out);
}

static void assert_decoded(decoder decode, const char *text, size_t length, const char *wanted,
                           size_t wanted_length)
{
    pq_buf out = {0};
    pq_error err;
    cr_assert_eq(pq_buf_add_text(&out, "> ", &err), 0);
    cr_assert_eq(decode(&out, text, length, &err), 0, "%s", text);
    cr_assert_eq(out.length, wanted_length + 2, "%s", text);
    cr_assert_eq(memcmp(out.data + 2, wanted, wanted_length), 0, "%s", text);
    cr_assert_eq(out.data[out.length], '\0');
    pq_buf_done(&out);
}

/* Fails with BAD_ANSWER and leaves what was in the buffer, as a C string. */
static void assert_refused(decoder decode, const char *text, size_t length)
{
    pq_buf out = {0};
    pq_error err;
    cr_assert_eq(pq_buf_add_text(&out, "> ", &err), 0);
    cr_assert_eq(decode(&out, text, length, &err), -1, "'%s' was accepted", text);
    cr_assert_eq(err.code, PQ_E_BAD_ANSWER);
    cr_assert_eq(err.effect, PQ_EFFECT_NONE);
    cr_assert_eq(out.length, 2);
    cr_assert_str_eq(out.data, "> ");
    pq_buf_done(&out);
}

static void all_bytes(unsigned char bytes[256])
{
    for (int i = 0; i < 256; i++)
        bytes[i] = (unsigned char)i;
}

/* RFC 4648, section 10. */
Test(encode, base64_rfc_examples)
{
    static const char *const encoded[] = {"",         "Zg==",     "Zm8=",    "Zm9v",
                                          "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};
    for (size_t length = 0; length <= 6; length++) {
        assert_encoded(pq_base64_encode, "foobar", length, encoded[length]);
        assert_decoded(pq_base64_decode, encoded[length], strlen(encoded[length]), "foobar",
                       length);
        cr_assert_eq(pq_base64_length(length), strlen(encoded[length]));
    }
}

Test(encode, base64_all_bytes_at_all_lengths)
{
    unsigned char bytes[256];
    all_bytes(bytes);
    for (size_t length = 0; length <= 256; length++) {
        pq_buf text = {0}, back = {0};
        pq_error err;
        cr_assert_eq(pq_base64_encode(&text, bytes, length, &err), 0);
        cr_assert_eq(text.length, pq_base64_length(length));
        cr_assert_eq(pq_base64_decode(&back, text.data, text.length, &err), 0);
        cr_assert_eq(back.length, length);
        cr_assert_eq(memcmp(back.data, bytes, length), 0);
        pq_buf_done(&text);
        pq_buf_done(&back);
    }
}

Test(encode, base64_uses_the_standard_alphabet)
{
    assert_encoded(pq_base64_encode, "\xFB\xEF\xFF\xFF", 4,
                   "++//"
                   "/w==");
    assert_decoded(pq_base64_decode, "++///w==", 8, "\xFB\xEF\xFF\xFF", 4);
}

Test(encode, base64_blocks_that_follow_each_other)
{
    assert_decoded(pq_base64_decode, "Zg==Zm8=Zm9v", 12, "ffofoo", 6);
    assert_decoded(pq_base64_decode, "Zg==Zg==Zg==Zg==", 16, "ffff", 4);
}

Test(encode, base64_line_breaks_anywhere)
{
    assert_decoded(pq_base64_decode, "\r\nZ\nm\r9v\nYm\r\n\r\nFy\n", 17, "foobar", 6);
    assert_decoded(pq_base64_decode, "Zg=\n=\n", 6, "f", 1);
    assert_decoded(pq_base64_decode, "\n", 1, "", 0);
    assert_decoded(pq_base64_decode, "Zm9\nvYmFy", 9, "foobar", 6);
}

Test(encode, base64_refuses_anything_else)
{
    static const char *const bad[] = {
        "Z",       "Zg",       "Zm8",     "Zg=",  "=",        "====", "Z===",    "Zg=A",
        "Zm9v=",   "Zm9vZ",    "Zm9vZg=", "Zm 9", "Zm9v Zg=", "Zm-_", "Zm9v\t",  "Zm\xE9v",
        "Zg==Zm8", "Zm9vYmF*", "*m9v",    "Z*9v", "Zm*v",     "Zm9*", "Zg==\n=", "Zg===",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_refused(pq_base64_decode, bad[i], strlen(bad[i]));
    assert_refused(pq_base64_decode, "Zm9\0", 4);
}

/* Much padding must not make the room smaller than what is written before the fault shows. */
Test(encode, base64_refuses_a_long_text_that_ends_badly)
{
    char text[6000];
    memset(text, 'A', 3000);
    memset(text + 3000, '=', 3000);
    assert_refused(pq_base64_decode, text, sizeof text);
}

Test(encode, url_encodes_all_but_unreserved)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    assert_encoded(pq_url_encode, plain, strlen(plain), plain);
    for (unsigned c = 0; c < 256; c++) {
        unsigned char byte = (unsigned char)c;
        char wanted[4];
        if (c != 0 && strchr(plain, (int)c) != NULL)
            continue;
        snprintf(wanted, sizeof wanted, "%%%02X", c);
        assert_encoded(pq_url_encode, &byte, 1, wanted);
    }
    assert_encoded(pq_url_encode, "a b/\xC3\xA9!", 7, "a%20b%2F%C3%A9%21");
    assert_encoded(pq_url_encode, NULL, 0, "");
}

Test(encode, latin1_all_bytes_there_and_back)
{
    unsigned char bytes[256];
    pq_buf text = {0}, back = {0};
    pq_error err;
    all_bytes(bytes);
    cr_assert_eq(pq_latin1_to_utf8(&text, bytes, 256, &err), 0);
    cr_assert_eq(text.length, 384);
    cr_assert_eq(text.data[0], '\0');
    cr_assert_eq(pq_utf8_valid_length(text.data, text.length), text.length);
    cr_assert_eq(pq_utf8_to_latin1(&back, text.data, text.length, &err), 0);
    cr_assert_eq(back.length, 256);
    cr_assert_arr_eq(back.data, bytes, 256);
    pq_buf_done(&text);
    pq_buf_done(&back);
    assert_encoded(pq_latin1_to_utf8, "\x7F\x80\xBF\xC0\xFF", 5,
                   "\x7F\xC2\x80\xC2\xBF\xC3\x80\xC3\xBF");
}

Test(encode, u0100_is_a_nul_byte)
{
    assert_decoded(pq_utf8_to_latin1, "a\xC4\x80z", 4, "a\0z", 3);
    assert_decoded(pq_utf8_to_latin1, "a\0z", 3, "a\0z", 3);
}

Test(encode, wide_or_bad_characters_are_no_bytes)
{
    static const char *const bad[] = {
        "\xC4\x81",         /* U+0101 */
        "\xE2\x82\xAC",     /* euro sign */
        "\xF0\x9F\x98\x80", /* four bytes */
        "\xC0\x80",         /* overlong NUL */
        "\xC1\xBF",         /* overlong DEL */
        "\x80",             /* continuation alone */
        "\xBF\xBF",         /* two of them */
        "\xC3",             /* cut off */
        "\xC3(",            /* no continuation */
        "\xC3\xC3",         /* two starts */
        "\xFF\xFE",         /* never in UTF-8 */
        "good \xC3\xA9 then \xC5\x93",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_refused(pq_utf8_to_latin1, bad[i], strlen(bad[i]));
}

/* A buffer whose maximum is exactly what the result needs takes it; one byte less does not. */
static void assert_exact_room(codec code, const void *bytes, size_t length)
{
    pq_buf free_size = {0};
    pq_error err;
    cr_assert_eq(code(&free_size, bytes, length, &err), 0);
    pq_buf exact = {.maximum = free_size.length}, small = {.maximum = free_size.length - 1};
    cr_assert_eq(code(&exact, bytes, length, &err), 0, "%s", err.text);
    cr_assert_eq(exact.length, free_size.length);
    cr_assert_eq(code(&small, bytes, length, &err), -1);
    cr_assert_eq(err.code, PQ_E_TOO_LARGE);
    cr_assert_eq(small.length, 0);
    pq_buf_done(&free_size);
    pq_buf_done(&exact);
    pq_buf_done(&small);
}

static int decode_base64(pq_buf *out, const void *bytes, size_t length, pq_error *err)
{
    return pq_base64_decode(out, bytes, length, err);
}

static int decode_utf8(pq_buf *out, const void *bytes, size_t length, pq_error *err)
{
    return pq_utf8_to_latin1(out, bytes, length, err);
}

Test(encode, maximum_of_the_buffer)
{
    unsigned char bytes[256];
    pq_buf utf8 = {0};
    pq_error err;
    all_bytes(bytes);
    cr_assert_eq(pq_latin1_to_utf8(&utf8, bytes, sizeof bytes, &err), 0);
    assert_exact_room(pq_base64_encode, bytes, sizeof bytes);
    assert_exact_room(pq_url_encode, bytes, sizeof bytes);
    assert_exact_room(pq_latin1_to_utf8, bytes, sizeof bytes);
    assert_exact_room(decode_utf8, utf8.data, utf8.length);
    assert_exact_room(decode_base64, "Zm9vYg==", 8);
    assert_exact_room(decode_base64, "Zm9v\nYmE=\n", 10);
    assert_exact_room(decode_base64, "Zm9vYmFy", 8);
    pq_buf_done(&utf8);
}

Test(encode, utf8_valid)
{
    static const char *const good[] = {
        "",
        "plain",
        "\xC2\x80",         /* U+0080, first of two bytes */
        "\xDF\xBF",         /* U+07FF, last of two */
        "\xE0\xA0\x80",     /* U+0800, first of three */
        "\xED\x9F\xBF",     /* U+D7FF, last before the surrogates */
        "\xEE\x80\x80",     /* U+E000, first behind them */
        "\xEF\xBF\xBF",     /* U+FFFF */
        "\xF0\x90\x80\x80", /* U+10000, first of four */
        "\xF4\x8F\xBF\xBF", /* U+10FFFF, the last */
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        size_t length = strlen(good[i]);
        cr_assert_eq(pq_utf8_valid_length(good[i], length), length, "%zu", i);
    }
    cr_assert_eq(pq_utf8_valid_length("a\0b", 3), 3);
}

Test(encode, utf8_invalid)
{
    static const char *const bad[] = {
        "\x80",             /* continuation alone */
        "\xC0\xAF",         /* overlong, two bytes */
        "\xC1\xBF",         /* the same */
        "\xE0\x9F\xBF",     /* overlong, three */
        "\xF0\x8F\xBF\xBF", /* overlong, four */
        "\xED\xA0\x80",     /* surrogate U+D800 */
        "\xED\xBF\xBF",     /* surrogate U+DFFF */
        "\xF4\x90\x80\x80", /* U+110000 */
        "\xF5\x80\x80\x80", /* beyond */
        "\xF8\x88\x80\x80\x80",
        "\xFE",
        "\xFF",
        "\xC3",
        "\xE2\x82",
        "\xF0\x9F\x98",
        "\xE2(\xA1",
        "\xE2\x82(",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char text[16];
        snprintf(text, sizeof text, "ok%s", bad[i]);
        cr_assert_eq(pq_utf8_valid_length(text, strlen(text)), 2, "%zu", i);
        cr_assert_eq(pq_utf8_character(bad[i], strlen(bad[i])), 0, "%zu", i);
    }
}

Test(encode, utf8_character)
{
    cr_assert_eq(pq_utf8_character("", 0), 0);
    cr_assert_eq(pq_utf8_character("\"", 1), 1);
    cr_assert_eq(pq_utf8_character("\xC3\xA9\"", 3), 2);
    cr_assert_eq(pq_utf8_character("\xE2\x82\xAC\"", 4), 3);
    cr_assert_eq(pq_utf8_character("\xF0\x9F\x98\x80\"", 5), 4);
    cr_assert_eq(pq_utf8_character("\xF0\x9F\x98\x80", 3), 0);
}

Test(encode, utf8_boundary)
{
    static const char text[] = "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80z";
    static const size_t wanted[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11};
    for (size_t at = 0; at < sizeof wanted / sizeof wanted[0]; at++)
        cr_assert_eq(pq_utf8_boundary(text, at), wanted[at], "%zu", at);
    cr_assert_eq(pq_utf8_boundary("\x80\x80\x80\x80\x80\x80", 5), 5);
    cr_assert_eq(pq_utf8_boundary("\x80\x80", 1), 1);
}
