/*
 * The escape character, whatever pieces the keys come in.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "shim/rsh/escape.h"

typedef struct outcome {
    char sent[200];
    size_t length;
    char actions[20]; /* ".Z?" */
} outcome;

/* Types `keys` in pieces of `size` bytes. */
static outcome type(int character, const char *keys, size_t size)
{
    pq_escape escape = {.character = character};
    outcome out = {.length = 0};
    size_t length = strlen(keys);
    for (size_t at = 0; at < length;) {
        size_t piece = length - at < size ? length - at : size, taken, some;
        switch (pq_escape_next(&escape, keys + at, piece, &taken, out.sent + out.length, &some)) {
        case PQ_ESCAPE_GO_ON:
            cr_assert_eq(taken, piece);
            break;
        case PQ_ESCAPE_DISCONNECT:
            strcat(out.actions, ".");
            break;
        case PQ_ESCAPE_SUSPEND:
            strcat(out.actions, "Z");
            break;
        case PQ_ESCAPE_HELP:
            strcat(out.actions, "?");
            break;
        }
        cr_assert_leq(some, piece + PQ_ESCAPE_HELD_MAX);
        out.length += some;
        at += taken;
    }
    return out;
}

static void expect(int character, const char *keys, const char *sent, const char *actions)
{
    for (size_t size = 1; size <= strlen(keys); size++) {
        outcome out = type(character, keys, size);
        cr_expect_str_eq(out.sent, sent, "'%s' in pieces of %zu: '%s'", keys, size, out.sent);
        cr_expect_str_eq(out.actions, actions, "'%s' in pieces of %zu", keys, size);
    }
}

Test(rsh_escape, at_the_beginning_of_a_line)
{
    expect('~', "~.", "", ".");
    expect('~', "ls\r~.", "ls\r", ".");
    expect('~', "ls\n~?x", "ls\nx", "?");
    expect('~', "~\032ls\r", "ls\r", "Z");
    expect('~', "~?~?~.", "", "??.");
}

Test(rsh_escape, elsewhere_it_is_a_character)
{
    expect('~', "cd ~/.\r", "cd ~/.\r", "");
    expect('~', "a~.", "a~.", "");
    expect('~', " ~.", " ~.", "");
}

Test(rsh_escape, twice_or_with_another_letter)
{
    expect('~', "~~.", "~.", "");
    expect('~', "~~~.\r~~~", "~~.\r~~", "");
    expect('~', "~/bin\r", "~/bin\r", "");
    expect('~', "~\r~.", "~\r", ".");
}

Test(rsh_escape, another_character_or_none)
{
    expect(2, "~.\r\002.", "~.\r", ".");
    expect(PQ_ESCAPE_NONE, "~.\r~.\377", "~.\r~.\377", "");
    expect(0xFF, "\377.", "", ".");
}

Test(rsh_escape, parse)
{
    int character;
    cr_assert(pq_escape_parse("none", &character) && character == PQ_ESCAPE_NONE);
    cr_assert(pq_escape_parse("%", &character) && character == '%');
    cr_assert(pq_escape_parse("^B", &character) && character == 2);
    cr_assert(pq_escape_parse("^b", &character) && character == 2);
    cr_assert(pq_escape_parse("^", &character) && character == '^');
    cr_assert(pq_escape_parse("\377", &character) && character == 0xFF);
    cr_assert_not(pq_escape_parse("", &character));
    cr_assert_not(pq_escape_parse("ab", &character));
    cr_assert_not(pq_escape_parse("^1x", &character));
    cr_assert_not(pq_escape_parse("^1", &character));
}
