#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <wchar.h>

#include "transport/base/encode.h"
#include "transport/base/error.h"

/* `count` copies of `unit`, in a static buffer. */
static const char *repeated(const char *unit, size_t count)
{
    static char text[4096];
    size_t size = strlen(unit);
    cr_assert(size * count < sizeof text);
    for (size_t i = 0; i < count; i++)
        memcpy(text + i * size, unit, size);
    text[size * count] = '\0';
    return text;
}

static const char *cleaned(const char *text, size_t length)
{
    static char out[64];
    memset(out, 'x', sizeof out);
    pq_error_clean(out, sizeof out, text, length);
    return out;
}

Test(error, fail_fills_everything)
{
    pq_error err;
    memset(&err, 0xFF, sizeof err);
    cr_assert_eq(pq_fail(&err, PQ_E_VM_STOPPED, "VM %d is not running", 101), -1);
    cr_assert_eq(err.code, PQ_E_VM_STOPPED);
    cr_assert_eq(err.effect, PQ_EFFECT_NONE);
    cr_assert_not(err.retryable);
    cr_assert_str_eq(err.text, "VM 101 is not running");
}

Test(error, fail_effect_fills_everything)
{
    pq_error err;
    cr_assert_eq(pq_fail_effect(&err, PQ_E_NETWORK, PQ_EFFECT_UNKNOWN, true, "%s", "gone"), -1);
    cr_assert_eq(err.code, PQ_E_NETWORK);
    cr_assert_eq(err.effect, PQ_EFFECT_UNKNOWN);
    cr_assert(err.retryable);
    cr_assert_str_eq(err.text, "gone");
}

Test(error, text_that_cannot_be_formatted_is_empty)
{
    pq_error err;
    memset(&err, 'x', sizeof err);
    /* No such character in the "C" locale. */
    cr_assert_eq(pq_fail(&err, PQ_E_IO, "%lc", (wint_t)0x20AC), -1);
    cr_assert_eq(err.code, PQ_E_IO);
    cr_assert_str_eq(err.text, "");
    pq_fail(&err, PQ_E_IO, "cause");
    pq_error_prefix(&err, "%lc", (wint_t)0x20AC);
    cr_assert_str_eq(err.text, "cause");
}

Test(error, clear_leaves_nothing)
{
    pq_error err, empty;
    memset(&empty, 0, sizeof empty);
    pq_fail_effect(&err, PQ_E_NETWORK, PQ_EFFECT_DONE, true, "gone");
    pq_error_clear(&err);
    cr_assert_eq(memcmp(&err, &empty, sizeof err), 0);
    cr_assert_eq(err.code, PQ_OK);
}

Test(error, longest_text_is_whole)
{
    pq_error err;
    const char *text = repeated("a", PQ_ERROR_TEXT_MAX - 1);
    pq_fail(&err, PQ_E_IO, "%s", text);
    cr_assert_str_eq(err.text, text);
}

Test(error, longer_text_is_cut)
{
    pq_error err;
    pq_fail(&err, PQ_E_IO, "%s", repeated("a", PQ_ERROR_TEXT_MAX));
    cr_assert_eq(strlen(err.text), PQ_ERROR_TEXT_MAX - 1);
    cr_assert_str_eq(err.text + PQ_ERROR_TEXT_MAX - 5, "a...");
}

/* Wherever a character lies across the cut, it goes as a whole. */
Test(error, cut_keeps_characters_whole)
{
    static const char *const characters[] = {"\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"};
    for (size_t c = 0; c < 3; c++) {
        for (size_t shift = 0; shift < 4; shift++) {
            char text[2 * PQ_ERROR_TEXT_MAX];
            snprintf(text, sizeof text, "%.*s%s", (int)shift, "abcd", repeated(characters[c], 255));
            pq_error err;
            pq_fail(&err, PQ_E_IO, "%s%s", text, text);
            size_t length = strlen(err.text);
            cr_assert_eq(pq_utf8_valid_length(err.text, length), length);
            cr_assert_str_eq(err.text + length - 3, "...");
            cr_assert_geq(length, PQ_ERROR_TEXT_MAX - 1 - 3);
        }
    }
}

Test(error, bytes_that_are_not_utf8_do_not_shorten_the_text)
{
    pq_error err;
    pq_fail(&err, PQ_E_IO, "\xE9t\xE9 %s", repeated("a", PQ_ERROR_TEXT_MAX));
    cr_assert_eq(strlen(err.text), PQ_ERROR_TEXT_MAX - 1);
    pq_fail(&err, PQ_E_IO, "%s", repeated("\x80", PQ_ERROR_TEXT_MAX));
    cr_assert_eq(strlen(err.text), PQ_ERROR_TEXT_MAX - 1);
}

Test(error, text_may_come_from_the_old_error)
{
    pq_error err;
    pq_fail(&err, PQ_E_IO, "disk full");
    pq_fail_effect(&err, PQ_E_NETWORK, PQ_EFFECT_DONE, false, "lost: %s", err.text);
    cr_assert_str_eq(err.text, "lost: disk full");
}

Test(error, prefix_keeps_code_and_effect)
{
    pq_error err;
    pq_fail_effect(&err, PQ_E_TIMEOUT, PQ_EFFECT_UNKNOWN, true, "no answer");
    cr_assert_eq(pq_error_prefix(&err, "running '%s': ", "ls"), -1);
    cr_assert_str_eq(err.text, "running 'ls': no answer");
    cr_assert_eq(err.code, PQ_E_TIMEOUT);
    cr_assert_eq(err.effect, PQ_EFFECT_UNKNOWN);
    cr_assert(err.retryable);
    pq_error_prefix(&err, "%s; ", err.text);
    cr_assert_str_eq(err.text, "running 'ls': no answer; running 'ls': no answer");
}

Test(error, prefix_that_fits_exactly)
{
    pq_error err;
    pq_fail(&err, PQ_E_IO, "end");
    pq_error_prefix(&err, "%s", repeated("p", PQ_ERROR_TEXT_MAX - 4));
    cr_assert_eq(strlen(err.text), PQ_ERROR_TEXT_MAX - 1);
    cr_assert_str_eq(err.text + PQ_ERROR_TEXT_MAX - 5, "pend");
}

Test(error, prefix_cuts_at_a_character)
{
    for (size_t used = 1; used < PQ_ERROR_TEXT_MAX; used++) {
        pq_error err;
        pq_fail(&err, PQ_E_IO, "%s", repeated("\xE2\x82\xAC", 170));
        pq_error_prefix(&err, "%s", repeated("p", used));
        size_t length = strlen(err.text);
        cr_assert_lt(length, PQ_ERROR_TEXT_MAX);
        cr_assert_eq(pq_utf8_valid_length(err.text, length), length, "prefix of %zu", used);
        if (used > 1)
            cr_assert_str_eq(err.text + length - 3, "...");
    }
}

Test(error, prefix_too_long_leaves_the_cause)
{
    pq_error err;
    pq_fail(&err, PQ_E_IO, "cause");
    cr_assert_eq(pq_error_prefix(&err, "%s", repeated("p", PQ_ERROR_TEXT_MAX)), -1);
    cr_assert_str_eq(err.text, "cause");
}

Test(error, every_code_is_described)
{
    for (int i = 1; i < PQ_E_COUNT; i++) {
        pq_code code = (pq_code)i;
        const char *name = pq_code_name(code);
        cr_assert_not_null(name);
        cr_assert_gt(strlen(name), 1);
        cr_assert_eq(strspn(name, "abcdefghijklmnopqrstuvwxyz-"), strlen(name), "%s", name);
        int status = pq_code_exit_status(code);
        cr_assert(status == 255 || status == 124 || status == 127, "%s: %d", name, status);
        const char *hint = pq_code_hint(code);
        cr_assert(hint == NULL || (hint[0] != '\0' && hint[strlen(hint) - 1] != '.'), "%s", name);
        for (int other = 0; other < i; other++)
            cr_assert_str_neq(name, pq_code_name((pq_code)other));
    }
}

Test(error, known_codes)
{
    cr_assert_str_eq(pq_code_name(PQ_OK), "ok");
    cr_assert_eq(pq_code_exit_status(PQ_OK), 0);
    cr_assert_null(pq_code_hint(PQ_OK));
    cr_assert_str_eq(pq_code_name(PQ_E_AGENT_DOWN), "agent-not-running");
    cr_assert_eq(pq_code_exit_status(PQ_E_TIMEOUT), 124);
    cr_assert_eq(pq_code_exit_status(PQ_E_NO_EXECUTABLE), 127);
    cr_assert_eq(pq_code_exit_status(PQ_E_PERMISSION), 255);
    cr_assert_str_eq(pq_code_hint(PQ_E_VM_STOPPED), "start the VM");
}

Test(error, unknown_codes_are_internal)
{
    cr_assert_str_eq(pq_code_name(PQ_E_COUNT), "internal");
    cr_assert_null(pq_code_hint(PQ_E_COUNT));
    cr_assert_eq(pq_code_exit_status(PQ_E_COUNT), 255);
}

Test(error, effects_have_names)
{
    cr_assert_str_eq(pq_effect_name(PQ_EFFECT_NONE), "none");
    cr_assert_str_eq(pq_effect_name(PQ_EFFECT_UNKNOWN), "unknown");
    cr_assert_str_eq(pq_effect_name(PQ_EFFECT_DONE), "done");
}

Test(error, clean_makes_one_printable_line)
{
    cr_assert_str_eq(cleaned(" \t a\r\n\n b\0c\x1B[31m\x7F ", 17), "a b c [31m");
    cr_assert_str_eq(cleaned("\n", 1), "");
    cr_assert_str_eq(cleaned("", 0), "");
}

Test(error, clean_keeps_valid_utf8_only)
{
    cr_assert_str_eq(cleaned("\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80z", 10),
                     "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80z");
    cr_assert_str_eq(cleaned("a\xFF\xC3z\xE2\x82", 6), "a??z??");
    cr_assert_str_eq(cleaned("\xC0\x80\xED\xA0\x80", 5), "?????");
    /* A quotation mark behind a character is not part of it. */
    cr_assert_str_eq(cleaned("\xC3\xA9\"\n\x01", 5), "\xC3\xA9\"");
}

Test(error, clean_removes_c1_controls)
{
    /* U+009B is what ESC [ is in one character. */
    cr_assert_str_eq(cleaned("a\xC2\x9B"
                             "31mb\xC2\x80\xC2\xA0",
                             11),
                     "a 31mb \xC2\xA0");
}

Test(error, clean_stays_in_its_buffer)
{
    static const char text[] = "ab\xE2\x82\xAC\xE2\x82\xAC";
    static const char *const wanted[] = {"xxx", "", "a", "ab", "ab", "ab", "ab\xE2\x82\xAC"};
    for (size_t size = 0; size < 7; size++) {
        char out[16] = "xxxxxxxxxxxxxxx";
        pq_error_clean(out, size, text, sizeof text - 1);
        if (size > 0)
            cr_assert_str_eq(out, wanted[size]);
        cr_assert_eq(strspn(out + size, "x"), 15 - size, "size %zu", size);
    }
}
