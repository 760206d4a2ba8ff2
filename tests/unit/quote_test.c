/* Text on its way to the guest, checked against the shells that read it. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exec/quote.h"

static pq_error err;
static pq_buf out;

static void teardown(void)
{
    pq_buf_done(&out);
}

TestSuite(quote, .fini = teardown, .timeout = 20);

static const char *escaped(const void *bytes, size_t length)
{
    pq_buf_clear(&out);
    cr_assert_eq(pq_quote_escape(&out, bytes, length, &err), 0, "%s", err.text);
    cr_assert_eq(out.length, pq_quote_escaped_length(bytes, length));
    return out.data;
}

static const char *word(const char *text)
{
    pq_buf_clear(&out);
    cr_assert_eq(pq_quote_shell(&out, text, &err), 0, "%s", err.text);
    return out.data;
}

/* stdout of `shell -c SCRIPT sh ARGUMENT`. */
static size_t run(const char *shell, const char *script, const char *argument, char *answer,
                  size_t size)
{
    int ends[2];
    size_t length = 0;
    cr_assert_eq(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        if (strcmp(shell, "busybox") == 0)
            execlp(shell, "busybox", "ash", "-c", script, "sh", argument, (char *)NULL);
        else
            execlp(shell, shell, "-c", script, "sh", argument, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    for (ssize_t got; (got = read(ends[0], answer + length, size - length)) > 0;)
        length += (size_t)got;
    close(ends[0]);
    return length;
}

static bool is_there(const char *shell)
{
    char answer[8];
    return run(shell, "echo yes", "", answer, sizeof answer) == 4;
}

Test(quote, escape_leaves_printable_ascii)
{
    cr_assert_str_eq(escaped("plain text: $(x) `y` 'z' \"w\" %s ~", 33),
                     "plain text: $(x) `y` 'z' \"w\" %s ~");
}

Test(quote, escape_of_what_is_not_printable)
{
    cr_assert_str_eq(escaped("a\nb\\c\td\0e", 9), "a\\nb\\\\c\\0011d\\0000e");
    cr_assert_str_eq(escaped("\xFF\x80\x7F\x01", 4), "\\0377\\0200\\0177\\0001");
    cr_assert_str_eq(escaped("\0"
                             "7",
                             2),
                     "\\00007", "a digit behind must not join the octal");
}

Test(quote, escape_of_nothing_appends_nothing)
{
    cr_assert_eq(pq_buf_add_text(&out, "x", &err), 0);
    cr_assert_eq(pq_quote_escape(&out, "", 0, &err), 0);
    cr_assert_str_eq(out.data, "x");
}

Test(quote, escape_appends)
{
    cr_assert_eq(pq_buf_add_text(&out, "x", &err), 0);
    cr_assert_eq(pq_quote_escape(&out, "\\", 1, &err), 0);
    cr_assert_str_eq(out.data, "x\\\\");
}

Test(quote, escape_fails_past_the_maximum)
{
    out.maximum = 8;
    cr_assert_eq(pq_quote_escape(&out, "\1\1\1", 3, &err), -1);
    cr_assert_eq(err.code, PQ_E_TOO_LARGE);
    cr_assert_eq(out.length, 0);
}

/* Every byte but NUL, each before a digit and before itself, through printf %b of real shells. */
Test(quote, shells_undo_the_escapes)
{
    static const char *const shells[] = {"sh", "dash", "bash", "busybox"};
    char bytes[3 * 256], answer[sizeof bytes + 1];
    size_t length = 0;
    for (int c = 0; c < 256; c++) {
        bytes[length++] = (char)c;
        bytes[length++] = '7';
        bytes[length++] = (char)c;
    }
    escaped(bytes, length);
    for (size_t i = 0; i < sizeof shells / sizeof shells[0]; i++) {
        if (!is_there(shells[i]))
            continue;
        size_t got = run(shells[i], "printf %b \"$1\"", out.data, answer, sizeof answer);
        cr_assert_eq(got, length, "%s", shells[i]);
        cr_assert_arr_eq(answer, bytes, length, "%s", shells[i]);
    }
}

Test(quote, escapes_are_ascii)
{
    char bytes[256];
    for (int c = 0; c < 256; c++)
        bytes[c] = (char)c;
    for (const char *c = escaped(bytes, sizeof bytes); *c != '\0'; c++)
        cr_assert(*c >= 0x20 && *c <= 0x7E);
}

Test(quote, shell_words)
{
    cr_assert_str_eq(word("/usr/bin/a-b_c.d+e=f,g:h@i%j"), "/usr/bin/a-b_c.d+e=f,g:h@i%j");
    cr_assert_str_eq(word(""), "''");
    cr_assert_str_eq(word("a b"), "'a b'");
    cr_assert_str_eq(word("it's"), "'it'\\''s'");
    cr_assert_str_eq(word("'"), "''\\'''");
    cr_assert_str_eq(word("~"), "'~'", "the shell would expand it");
    cr_assert_str_eq(word("*"), "'*'");
}

Test(quote, shells_read_words_back)
{
    static const char *const texts[] = {
        "",
        "plain",
        "two words",
        "it's",
        "''",
        "$HOME `id` $(id)",
        "a\nb\n",
        "\\n\\",
        "\"",
        "-n",
        "*?[a]",
        "!x",
        "\xC3\xA4\xFF",
        "a;b&c|d",
        "#x",
        "~root",
        "{a,b}",
        "x=y z",
        "\t",
        "<>()",
    };
    char script[256], answer[128];
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        snprintf(script, sizeof script, "printf %%s %s", word(texts[i]));
        size_t got = run("sh", script, "", answer, sizeof answer);
        cr_assert_eq(got, strlen(texts[i]), "'%s'", texts[i]);
        cr_assert_arr_eq(answer, texts[i], got, "'%s'", texts[i]);
    }
}

Test(quote, shell_word_fails_past_the_maximum)
{
    for (size_t maximum = 1; maximum < 12; maximum++) {
        pq_buf small = {.maximum = maximum};
        bool fits = pq_quote_shell(&small, "a'b c'd", &err) == 0;
        cr_assert_not(fits, "15 characters in %zu", maximum);
        cr_assert_eq(err.code, PQ_E_TOO_LARGE);
        pq_buf_done(&small);
    }
}

Test(quote, assignments)
{
    cr_assert(pq_quote_is_assignment("A="));
    cr_assert(pq_quote_is_assignment("_a1Z=x=y\n"));
    cr_assert_not(pq_quote_is_assignment(""));
    cr_assert_not(pq_quote_is_assignment("A"));
    cr_assert_not(pq_quote_is_assignment("=x"));
    cr_assert_not(pq_quote_is_assignment("1A=x"));
    cr_assert_not(pq_quote_is_assignment("A B=x"));
    cr_assert_not(pq_quote_is_assignment("A-B=x"));
    cr_assert_not(pq_quote_is_assignment("\xC3\xA4=x"));
    cr_assert_not(pq_quote_is_assignment("a\n=x"));
}
