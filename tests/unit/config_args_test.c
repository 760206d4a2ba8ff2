/* The command line. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/support/config_support.h"
#include "transport/config/suggest.h"

#define OPERANDS_MAX 12

/* Parses `words` as a command line of `commands` and expects these operands. */
typedef struct line {
    const char *words[OPERANDS_MAX];
    size_t stop_after;
    const char *operands[OPERANDS_MAX];
    size_t dashes; /* SIZE_MAX: no "--" */
} line;

static void check_line(const line *l)
{
    pq_config *config = must_new();
    char *argv[OPERANDS_MAX] = {0}, *owned[OPERANDS_MAX];
    pq_operands operands = {0};
    size_t argc = 0, count = 0;
    pq_error err;

    for (; l->words[argc] != NULL; argc++)
        argv[argc] = strdup(l->words[argc]);
    memcpy(owned, argv, sizeof owned);
    cr_assert_eq(pq_config_parse_args(config, argc, argv, RUN, l->stop_after, &operands, &err), 0,
                 "%s", err.text);
    for (; l->operands[count] != NULL; count++) {
        cr_assert_lt(count, operands.count);
        cr_expect_str_eq(operands.items[count], l->operands[count]);
    }
    cr_expect_eq(operands.count, count);
    cr_expect_eq(operands.had_dashes, l->dashes != SIZE_MAX);
    cr_expect_eq(operands.dashes, l->dashes != SIZE_MAX ? l->dashes : count);
    for (size_t i = 0; i < argc; i++)
        free(owned[i]);
    pq_config_free(config);
}

Test(config_args, operands)
{
    static const line lines[] = {
        {{NULL}, 0, {NULL}, SIZE_MAX},
        {{"-v", "exec", "--env", "A=1"}, 0, {"exec", "--env", "A=1"}, SIZE_MAX},
        {{"web", "ls", "-l", "--port"}, 1, {"web", "ls", "-l", "--port"}, SIZE_MAX},
        {{"-n", "web", "--port", "1", "ls", "-v"}, 1, {"web", "ls", "-v"}, SIZE_MAX},
        {{"web", "-n", "--", "--help", "--"}, 1, {"web", "--help", "--"}, 1},
        {{"--", "ls", "-n"}, 1, {"ls", "-n"}, 0},
        {{"a", "-v", "b", "-v", "c"}, SIZE_MAX, {"a", "b", "c"}, SIZE_MAX},
        {{"a", "-", "-n"}, SIZE_MAX, {"a", "-"}, SIZE_MAX},
        {{"a", "--"}, SIZE_MAX, {"a"}, 1},
    };

    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        check_line(&lines[i]);
    /* Behind an option that takes a value, "--" is that value. */
    must_not_take_args("a --env -- -n", PQ_E_USAGE, "--env: '--' is not NAME=VALUE");
}

Test(config_args, spellings_of_values)
{
    pq_config *config = must_new();
    const char *const *items;
    size_t count;

    must_take_args(config, "--host=a --port 1 -u r@pam --node=n -eA=1 -e B=2 --env=C= --proxy=");
    cr_expect_str_eq(pq_config_text(config, PQ_OPT_HOST), "a");
    cr_expect_eq(pq_config_int(config, PQ_OPT_PORT), 1);
    cr_expect_str_eq(pq_config_text(config, PQ_OPT_USER), "r@pam");
    cr_expect_str_eq(pq_config_text(config, PQ_OPT_PROXY), "");
    items = pq_config_list(config, OPT_ENV, &count);
    cr_assert_eq(count, 3);
    cr_expect_str_eq(items[0], "A=1");
    cr_expect_str_eq(items[1], "B=2");
    cr_expect_str_eq(items[2], "C=");
    must_take_args(config, "-Hb -nvvr=x");
    cr_expect_str_eq(pq_config_text(config, PQ_OPT_HOST), "b");
    cr_expect(pq_config_bool(config, OPT_NO_STDIN));
    cr_expect_eq(pq_config_int(config, PQ_OPT_VERBOSE), 2);
    cr_expect_str_eq(pq_config_text(config, OPT_RUN_ONLY), "=x");
    pq_config_free(config);
}

Test(config_args, flags_and_counts)
{
    pq_config *config = must_new();

    cr_expect_not(pq_config_bool(config, PQ_OPT_QUIET));
    cr_expect_eq(pq_config_int(config, PQ_OPT_VERBOSE), 0);
    must_take_args(config, "-v --quiet --verbose");
    must_take_args(config, "-v");
    cr_expect(pq_config_bool(config, PQ_OPT_QUIET));
    cr_expect_eq(pq_config_int(config, PQ_OPT_VERBOSE), 3);
    pq_config_free(config);
}

Test(config_args, booleans)
{
    pq_config *config = must_new();

    must_take_args(config, "--no-validate-certs");
    cr_expect_not(pq_config_bool(config, PQ_OPT_VALIDATE_CERTS));
    must_take_args(config, "--validate-certs");
    cr_expect(pq_config_bool(config, PQ_OPT_VALIDATE_CERTS));
    must_take_args(config, "--validate-certs=no");
    cr_expect_not(pq_config_bool(config, PQ_OPT_VALIDATE_CERTS));
    must_take_args(config, "--validate-certs false"); /* an operand */
    cr_expect(pq_config_bool(config, PQ_OPT_VALIDATE_CERTS));
    pq_config_free(config);
}

Test(config_args, errors_name_the_option)
{
    must_not_take_args("--host", PQ_E_USAGE, "--host needs a value");
    must_not_take_args("-H", PQ_E_USAGE, "-H needs a value");
    must_not_take_args("--help=1", PQ_E_USAGE, "--help takes no value");
    must_not_take_args("--no-validate-certs=1", PQ_E_USAGE, "takes no value");
    must_not_take_args("--no-host", PQ_E_USAGE, "unknown option --no-host");
    must_not_take_args("-vx", PQ_E_USAGE, "unknown option -x");
    must_not_take_args("--host=", PQ_E_USAGE, "--host: the value is empty");
    must_not_take_args("--port=0", PQ_E_USAGE, "--port: '0' is not a whole number from 1 to 65535");
    must_not_take_args("-H a:1", PQ_E_USAGE, "-H: 'a:1' is not a host name");
    must_not_take_args("--via x", PQ_E_USAGE, "'x' is not api or ssh or auto");
    must_not_take_args("--tls-min 1", PQ_E_USAGE, "'1' is not 1.2 or 1.3");
    must_not_take_args("--proxy http://u:pw@p", PQ_E_USAGE, "--proxy: the value is not");
    must_not_take_args("--password-fd x", PQ_E_USAGE, "--password-fd: 'x' is not");
    must_not_take_args("--password-file=", PQ_E_USAGE, "--password-file: the value is empty");
    must_not_take_args("---", PQ_E_USAGE, "unknown option");
    must_not_take_args("--=x", PQ_E_USAGE, "unknown option");
}

Test(config_args, no_password_of_a_proxy_in_the_error)
{
    pq_config *config = must_new();
    char option[] = "--proxy=http://u:s3cret@p", *argv[] = {option};
    pq_operands operands;
    pq_error err = {0};

    cr_expect_eq(pq_config_parse_args(config, 1, argv, 0, 0, &operands, &err), -1);
    cr_expect_null(strstr(err.text, "s3cret"), "%s", err.text);
    pq_config_free(config);
}

Test(config_args, another_commands_option_is_refused)
{
    pq_config *config = must_new();
    char option[] = "--run-only=x", letter[] = "-rx", *argv[] = {option}, *letters[] = {letter};
    pq_operands operands;
    pq_error err = {0};

    cr_expect_eq(pq_config_parse_args(config, 1, argv, COPY, 0, &operands, &err), -1);
    must_be_error(&err, PQ_E_USAGE, "option --run-only does not belong to this command");
    cr_expect_eq(pq_config_parse_args(config, 1, letters, COPY, 0, &operands, &err), -1);
    must_be_error(&err, PQ_E_USAGE, "unknown option -r");
    cr_expect_eq(pq_config_parse_args(config, 1, argv, RUN | COPY, 0, &operands, &err), 0);
    pq_config_free(config);
}

/* ---- suggestions ---- */

static size_t distance(const char *a, const char *b)
{
    return pq_edit_distance(a, strlen(a), b, strlen(b));
}

Test(config_args, edit_distance)
{
    static const char text[PQ_SUGGESTION_MAX + 1] = {'a'};

    cr_expect_eq(distance("", ""), 0);
    cr_expect_eq(distance("abc", ""), 3);
    cr_expect_eq(distance("", "abc"), 3);
    cr_expect_eq(distance("host", "host"), 0);
    cr_expect_eq(distance("hots", "host"), 1);
    cr_expect_eq(distance("hst", "host"), 1);
    cr_expect_eq(distance("hosst", "host"), 1);
    cr_expect_eq(distance("hopt", "host"), 1);
    cr_expect_eq(distance("kitten", "sitting"), 3);
    cr_expect_eq(pq_edit_distance(text, sizeof text, "a", 1), SIZE_MAX);
}

Test(config_args, suggestions)
{
    must_not_take_args("--hots x", PQ_E_USAGE, "unknown option --hots; did you mean --host?");
    must_not_take_args("--finger x", PQ_E_USAGE, "did you mean --fingerprint?");
    must_not_take_args("--no-validate-cert", PQ_E_USAGE, "did you mean --no-validate-certs?");
    must_not_take_args("--pasword=x", PQ_E_USAGE, "did you mean --password?");
    must_not_take_args("--token-secret-fil x", PQ_E_USAGE, "did you mean --token-secret-file?");
    must_not_take_args("--run-onl x", PQ_E_USAGE, "did you mean --run-only?");
}

Test(config_args, no_suggestion_without_a_single_nearest_option)
{
    pq_config *config = must_new();
    char out[PQ_SUGGESTION_MAX];

    cr_expect_not(pq_suggest_option(config, RUN, "call", 4, out));
    cr_expect_not(pq_suggest_option(config, RUN, "xyzzyx", 6, out));
    cr_expect_not(pq_suggest_option(config, RUN, "", 0, out));
    cr_expect_not(pq_suggest_option(config, COPY, "run-onl", 7, out));
    pq_config_free(config);
}

Test(config_args, an_unknown_options_value_is_not_repeated)
{
    pq_config *config = must_new();
    char option[] = "--pasword=s3cret", *argv[] = {option};
    pq_operands operands;
    pq_error err = {0};

    cr_expect_eq(pq_config_parse_args(config, 1, argv, 0, 0, &operands, &err), -1);
    cr_expect_null(strstr(err.text, "s3cret"), "%s", err.text);
    pq_config_free(config);
}
