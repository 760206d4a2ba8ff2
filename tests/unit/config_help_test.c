/* --help, --print-config, and what holds for every row of the option table. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/support/config_support.h"
#include "transport/config/help.h"

static const pq_command commands[] = {
    {"run", RUN, "VM COMMAND", "Run something.", 1, 1u << PQ_GROUP_LIMITS},
    {"copy", COPY, "FILE...", "Copy something that has a long description, so that it is wrapped.",
     SIZE_MAX, 0},
};

static const pq_program program = {"prog", "Do things.", NULL,          commands,
                                   2,      test_rows,    TEST_ROW_COUNT};

/* ---- help ---- */

static void expect_narrow(const char *text)
{
    for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1) {
        size_t length = strcspn(line, "\n");
        cr_expect_leq(length, 80, "%.*s", (int)length, line);
        cr_expect(length == 0 || line[length - 1] != ' ', "ends with a space: %.*s", (int)length,
                  line);
    }
}

static void expect_mentioned(const char *text, const pq_option *option)
{
    char spelling[80];
    for (size_t kind = option->type == PQ_TYPE_SECRET ? 1 : 0;
         kind < (option->type == PQ_TYPE_SECRET ? PQ_SECRET_KIND_COUNT : 1); kind++) {
        snprintf(spelling, sizeof spelling, "--%s%s%s", option->type == PQ_TYPE_BOOL ? "[no-]" : "",
                 option->name, pq_secret_ways[kind].suffix);
        cr_expect_not_null(strstr(text, spelling), "%s is missing", spelling);
    }
    if (option->environment != NULL)
        cr_expect_not_null(strstr(text, option->environment), "%s", option->environment);
}

Test(config_help, the_program_has_every_shared_option_and_command)
{
    pq_buf out = {0};
    pq_error err;
    cr_assert_eq(pq_help_program(&program, &out, &err), 0, "%s", err.text);
    for (size_t i = 0; i < PQ_OPT_COUNT; i++)
        expect_mentioned(out.data, &pq_options[i]);
    for (size_t group = PQ_GROUP_COMMAND + 1; group < PQ_GROUP_COUNT; group++)
        cr_expect_not_null(strstr(out.data, pq_group_title((pq_group)group)));
    cr_expect_not_null(strstr(out.data, "  run VM COMMAND"));
    cr_expect_not_null(strstr(out.data, "  copy FILE..."));
    cr_expect_null(strstr(out.data, "--run-only"));
    expect_narrow(out.data);
    pq_buf_done(&out);
}

Test(config_help, a_command_has_its_own_options_and_groups)
{
    pq_buf out = {0};
    pq_error err;
    cr_assert_eq(pq_help_command(&program, &commands[0], &out, &err), 0, "%s", err.text);
    cr_expect_not_null(strstr(out.data, "Usage: prog run [OPTION...] VM COMMAND\n"));
    for (size_t i = 0; i < TEST_ROW_COUNT; i++)
        expect_mentioned(out.data, &test_rows[i]);
    cr_expect_not_null(strstr(out.data, "--calls-per-vm N"));
    cr_expect_null(strstr(out.data, "--host"));
    expect_narrow(out.data);
    pq_buf_clear(&out);
    cr_assert_eq(pq_help_command(&program, &commands[1], &out, &err), 0, "%s", err.text);
    cr_expect_null(strstr(out.data, "--run-only"));
    cr_expect_null(strstr(out.data, "--calls-per-vm"));
    pq_buf_done(&out);
}

Test(config_help, entries_are_aligned)
{
    pq_buf out = {0};
    pq_error err;
    cr_assert_eq(pq_help_program(&program, &out, &err), 0, "%s", err.text);
    cr_expect_not_null(strstr(out.data, "\n  -H, --host HOST             Name or address of"));
    cr_expect_not_null(strstr(out.data, "\n      --port PORT             Port of its API. "
                                        "[PROXMOX_PORT; default: 8006]\n"));
    cr_expect_not_null(strstr(out.data, "\n      --password-command COMMAND\n"
                                        "                              The user's password"));
    pq_buf_done(&out);
}

/* ---- print-config ---- */

Test(config_help, printed_configuration_tells_sources_and_no_secrets)
{
    pq_config *config = must_new();
    const char *variables[] = {"PROXMOX_HOST", "pve1.example", "PROXMOX_PASSWORD", "s3cret1", NULL};
    pq_buf out = {0};
    pq_error err;

    must_parse(config, PQ_SOURCE_USER_FILE,
               "\nremote_tmp = /var/tmp\ntoken_secret = s3cret2\notp_file = /s3/otp\n");
    must_load(config, variables);
    must_take_args(config, "--port 1 --proxy-userpwd-command s3cret3 --no-validate-certs");
    cr_assert_eq(pq_config_set_request(config, "node", "pve2", &err), 0);
    cr_assert_eq(pq_config_print(config, &out, &err), 0, "%s", err.text);
    static const char *const lines[] = {
        "host = pve1.example (environment PROXMOX_HOST)\n",
        "password = <set> (environment PROXMOX_PASSWORD)\n",
        "token_secret = <set> (test.conf:3)\n",
        "otp = <set> (test.conf:4: otp_file)\n",
        "proxy_userpwd = <set> (command line --proxy-userpwd-command)\n",
        "port = 1 (command line --port)\n",
        "validate_certs = false (command line --no-validate-certs)\n",
        "remote_tmp = /var/tmp (test.conf:2)\n",
        "executable = /bin/sh (default)\n",
        "node = pve2 (request)\n",
        "user = <not set>\n",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        cr_expect_not_null(strstr(out.data, lines[i]), "%s is not in:\n%s", lines[i], out.data);
    cr_expect_null(strstr(out.data, "s3cret"), "%s", out.data);
    cr_expect_null(strstr(out.data, "help"));
    pq_buf_done(&out);
    pq_config_free(config);
}

Test(config_help, printed_configuration_without_secrets_says_so)
{
    pq_config *config = must_new();
    pq_buf out = {0};
    pq_error err;
    cr_assert_eq(pq_config_print(config, &out, &err), 0, "%s", err.text);
    cr_expect_not_null(strstr(out.data, "password = <not set>\n"));
    pq_buf_done(&out);
    pq_config_free(config);
}

/* ---- the table ---- */

static bool same(const char *a, const char *b)
{
    return a != NULL && b != NULL && strcmp(a, b) == 0;
}

static void check_row(const pq_option *option)
{
    bool on_command_line_only = option->type == PQ_TYPE_FLAG || option->type == PQ_TYPE_COUNT;
    char expected[160];

    cr_expect_not_null(option->help, "%s has no help", option->name);
    cr_expect_eq(option->help[strlen(option->help) - 1], '.', "%s", option->name);
    cr_expect_gt(option->group, PQ_GROUP_COMMAND, "%s", option->name);
    if (pq_option_takes_value(option) && option->type != PQ_TYPE_SECRET)
        cr_expect_not_null(option->placeholder, "%s has no placeholder", option->name);
    if (on_command_line_only)
        cr_expect(option->key == NULL && option->environment == NULL && option->request == NULL);
    if (option->type == PQ_TYPE_INT || option->type == PQ_TYPE_DURATION)
        cr_expect_lt(option->minimum, option->maximum, "%s", option->name);
    if (option->request != NULL)
        cr_expect_str_eq(option->request, option->key, "two keys of %s", option->name);
    pq_option_expected(option, expected, sizeof expected);
    cr_expect_gt(strlen(expected), 0);
    cr_expect_lt(strlen(expected), sizeof expected - 1, "%s: cut: %s", option->name, expected);
}

Test(config_help, rows_are_complete_and_differ)
{
    for (size_t i = 0; i < PQ_OPT_COUNT; i++) {
        const pq_option *option = &pq_options[i];
        check_row(option);
        for (size_t j = 0; j < i; j++) {
            const pq_option *other = &pq_options[j];
            cr_expect_not(same(option->name, other->name), "%s", option->name);
            cr_expect_not(same(option->key, other->key), "%s", option->name);
            cr_expect_not(same(option->request, other->request), "%s", option->name);
            cr_expect_not(same(option->environment, other->environment), "%s", option->name);
            cr_expect(option->short_name == 0 || option->short_name != other->short_name, "%s",
                      option->name);
        }
    }
}

Test(config_help, defaults_are_in_place)
{
    pq_config *config = must_new();
    cr_expect_eq(pq_config_int(config, PQ_OPT_PORT), 8006);
    cr_expect(pq_config_bool(config, PQ_OPT_VALIDATE_CERTS));
    cr_expect_eq(pq_config_duration_ms(config, PQ_OPT_CONNECT_TIMEOUT), 60000);
    cr_expect_eq(pq_config_duration_ms(config, PQ_OPT_CALL_TIMEOUT), 35000);
    cr_expect_eq(pq_config_duration_ms(config, PQ_OPT_TIMEOUT), 0);
    cr_expect_eq(pq_config_int(config, PQ_OPT_CALLS_PER_NODE), 3);
    cr_expect_str_eq(pq_config_text(config, PQ_OPT_REMOTE_TMP), "/tmp");
    cr_expect_null(pq_config_text(config, PQ_OPT_HOST));
    cr_expect_not(pq_config_is_set(config, PQ_OPT_HOST));
    cr_expect_null(pq_config_row(config, OPT_END));
    cr_expect_eq(pq_config_row(config, OPT_MODE), &test_rows[OPT_MODE - PQ_OPT_COUNT]);
    pq_config_free(config);
}
