/* The ways a secret comes in, and that it stays in. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/support/config_support.h"

static void expect_secret(pq_config *config, unsigned id, const char *text)
{
    const pq_secret *secret;
    pq_error err;
    cr_assert_eq(pq_config_secret(config, id, &secret, &err), 0, "%s", err.text);
    cr_expect_str_eq(pq_secret_text(secret), text);
}

static void expect_no_secret(pq_config *config, const char *part)
{
    const pq_secret *secret = NULL;
    pq_error err = {0};
    cr_expect_eq(pq_config_secret(config, PQ_OPT_PASSWORD, &secret, &err), -1);
    must_be_error(&err, PQ_E_SECRET, part);
    cr_expect_null(secret);
    cr_expect_null(strstr(err.text, "s3cret"), "%s", err.text);
}

static pq_config *with_option(const char *option, const char *value)
{
    pq_config *config = must_new();
    char first[64], second[512], *argv[] = {first, second};
    pq_operands operands;
    pq_error err;
    snprintf(first, sizeof first, "%s", option);
    snprintf(second, sizeof second, "%s", value);
    cr_assert_eq(pq_config_parse_args(config, 2, argv, 0, 0, &operands, &err), 0, "%s", err.text);
    return config;
}

Test(config_secret, none)
{
    pq_config *config = must_new();
    const pq_secret *secret;
    pq_error err;
    cr_assert_eq(pq_config_secret(config, PQ_OPT_PASSWORD, &secret, &err), 0);
    cr_expect_not(pq_secret_is_set(secret));
    cr_expect_eq(pq_config_read_secrets(config, &err), 0);
    pq_config_free(config);
}

Test(config_secret, environment)
{
    pq_config *config = must_new();
    const char *variables[] = {
        "PROXMOX_PASSWORD", " s3cret ", "PROXMOX_TOKEN_SECRET", "t", "PROXMOX_OTP", "123456", NULL};
    must_load(config, variables);
    expect_secret(config, PQ_OPT_PASSWORD, " s3cret ");
    expect_secret(config, PQ_OPT_TOKEN_SECRET, "t");
    expect_secret(config, PQ_OPT_OTP, "123456");
    pq_config_free(config);
    must_not_load((const char *[]){"PROXMOX_PASSWORD", "s3cret\nmore", NULL}, PQ_E_CONFIG,
                  "PROXMOX_PASSWORD: the value is not one line of text");
}

/* ---- files ---- */

static void expect_from_file(const char *content, const char *secret)
{
    pq_config *config = with_option("--password-file", must_write("pw", 0600, content));
    expect_secret(config, PQ_OPT_PASSWORD, secret);
    pq_config_free(config);
}

Test(config_secret, file)
{
    expect_from_file("s3cret", "s3cret");
    expect_from_file("s3cret\n", "s3cret");
    expect_from_file(" s3 cret \n", " s3 cret ");
}

static void expect_file_refused(const char *path, const char *part)
{
    pq_config *config = with_option("--password-file", path);
    expect_no_secret(config, part);
    pq_config_free(config);
}

Test(config_secret, file_that_cannot_be_used)
{
    static char longest[PQ_SECRET_MAX + 3];
    char fifo[128];

    expect_file_refused(must_write("pw", 0644, "s3cret\n"),
                        "is open to other users (mode 0644); make it 0600");
    expect_file_refused(must_write("pw", 0640, "s3cret\n"), "(mode 0640)");
    expect_file_refused(must_write("pw", 0602, "s3cret\n"), "(mode 0602)");
    expect_file_refused("/nonexistent/pw", "password-file: cannot open '/nonexistent/pw'");
    expect_file_refused(test_directory(), "not a regular file");
    expect_file_refused(must_write("pw", 0600, ""), "no secret came");
    expect_file_refused(must_write("pw", 0600, "\n"), "no secret came");
    expect_file_refused(must_write("pw", 0600, "s3cret\n\n"), "one line");
    expect_file_refused(must_write("pw", 0600, "s3cret\r\n"), "one line");
    memset(longest, 'x', sizeof longest - 1);
    longest[PQ_SECRET_MAX + 1] = '\n';
    expect_file_refused(must_write("pw", 0600, longest), "at most 8192 bytes");
    snprintf(fifo, sizeof fifo, "%s/fifo", test_directory());
    cr_assert_eq(mkfifo(fifo, 0600), 0);
    expect_file_refused(fifo, "not a regular file");
}

Test(config_secret, the_longest_secret)
{
    static char longest[PQ_SECRET_MAX + 2];
    memset(longest, 'x', PQ_SECRET_MAX);
    longest[PQ_SECRET_MAX] = '\n';
    pq_config *config = with_option("--password-file", must_write("pw", 0600, longest));
    longest[PQ_SECRET_MAX] = '\0';
    expect_secret(config, PQ_OPT_PASSWORD, longest);
    pq_config_free(config);
}

Test(config_secret, a_file_of_another_user_is_refused)
{
    const char *path = must_write("pw", 0600, "s3cret\n");
    if (geteuid() != 0)
        cr_skip("needs root to give a file away");
    cr_assert_eq(chown(path, 12345, (gid_t)-1), 0);
    expect_file_refused(path, "belongs to another user");
}

/* ---- descriptors ---- */

static pq_config *with_descriptor(const char *content, int *ret_fd)
{
    int ends[2];
    char number[16];
    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(write(ends[1], content, strlen(content)), (ssize_t)strlen(content));
    close(ends[1]);
    snprintf(number, sizeof number, "%d", ends[0]);
    *ret_fd = ends[0];
    return with_option("--password-fd", number);
}

Test(config_secret, descriptor_is_read_once_and_closed)
{
    int fd;
    pq_config *config = with_descriptor("s3cret\n", &fd);
    expect_secret(config, PQ_OPT_PASSWORD, "s3cret");
    expect_secret(config, PQ_OPT_PASSWORD, "s3cret");
    cr_expect_eq(fcntl(fd, F_GETFD), -1);
    pq_config_free(config);
}

Test(config_secret, bad_descriptors)
{
    int fd;
    pq_config *config = with_descriptor("", &fd);
    expect_no_secret(config, "password-fd: no secret came");
    pq_config_free(config);
    config = with_option("--password-fd", "987");
    expect_no_secret(config, "password-fd: ");
    pq_config_free(config);
}

/* ---- commands ---- */

Test(config_secret, command)
{
    pq_config *config = with_option("--password-command", "printf 's3%s\\n' cret; cat");
    expect_secret(config, PQ_OPT_PASSWORD, "s3cret");
    pq_config_free(config);
}

Test(config_secret, a_copy_made_after_reading_does_not_run_the_command_again)
{
    char command[256];
    pq_error err;
    snprintf(command, sizeof command, "echo x >> %s/runs; echo s3cret", test_directory());
    pq_config *config = with_option("--password-command", command);
    cr_assert_eq(pq_config_read_secrets(config, &err), 0, "%s", err.text);
    pq_config *copy = pq_config_copy(config, &err);
    expect_secret(copy, PQ_OPT_PASSWORD, "s3cret");
    pq_config_free(copy);
    pq_config_free(config);
    snprintf(command, sizeof command, "test \"$(cat %s/runs)\" = x", test_directory());
    cr_expect_eq(system(command), 0, "the command did not run exactly once");
}

Test(config_secret, commands_that_fail)
{
    static const char *const commands[][2] = {
        {"echo s3cret; exit 3", "password-command: the command ended with status 3"},
        {"kill -9 $$", "password-command: the command died of signal 9"},
        {"true", "password-command: no secret came"},
        {"echo s3cret; echo more", "password-command: one line"},
    };
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        pq_config *config = with_option("--password-command", commands[i][0]);
        expect_no_secret(config, commands[i][1]);
        pq_config_free(config);
    }
}

Test(config_secret, what_does_not_win_is_not_read)
{
    pq_config *config = with_option("--password-command", "echo s3cret");
    const char *variables[] = {"PROXMOX_PASSWORD", "weaker", NULL};
    must_load(config, variables);
    must_parse(config, PQ_SOURCE_USER_FILE, "password_file = /nonexistent\n");
    expect_secret(config, PQ_OPT_PASSWORD, "s3cret");
    pq_config_free(config);
}

/* ---- the command line ---- */

Test(config_secret, a_value_on_the_command_line_is_refused_and_wiped)
{
    char attached[] = "--token-secret=s3cret", option[] = "--password", next[] = "s3cret";
    char *one[] = {attached}, *two[] = {option, next}, *none[] = {option};
    pq_config *config = must_new();
    pq_operands operands;
    pq_error err = {0};

    cr_expect_eq(pq_config_parse_args(config, 1, one, 0, 0, &operands, &err), -1);
    must_be_error(&err, PQ_E_USAGE,
                  "use PROXMOX_TOKEN_SECRET or --token-secret-file, --token-secret-fd or "
                  "--token-secret-command");
    cr_expect_str_eq(attached, "--token-secret=");
    cr_expect_eq(memcmp(attached + 15, "\0\0\0\0\0\0", 6), 0);
    cr_expect_eq(pq_config_parse_args(config, 2, two, 0, 0, &operands, &err), -1);
    must_be_error(&err, PQ_E_USAGE, "--password: every user of this machine");
    cr_expect_eq(memcmp(next, "\0\0\0\0\0\0", 6), 0);
    cr_expect_eq(pq_config_parse_args(config, 1, none, 0, 0, &operands, &err), -1);
    must_be_error(&err, PQ_E_USAGE, "--password-file");
    cr_expect_not(pq_config_is_set(config, PQ_OPT_PASSWORD));
    pq_config_free(config);
}

/* ---- configuration files ---- */

static int parse_mode(pq_config *config, const char *text, unsigned mode, bool owned, pq_error *err)
{
    pq_config_text_file file = {"c.conf", PQ_SOURCE_SYSTEM_FILE, mode, owned};
    return pq_config_parse_file(config, &file, text, strlen(text), err);
}

static void expect_refused(const char *text, unsigned mode, bool owned, const char *part)
{
    pq_config *config = must_new();
    pq_error err = {0};
    cr_expect_eq(parse_mode(config, text, mode, owned, &err), -1, "accepted: %s", text);
    must_be_error(&err, PQ_E_SECRET, part);
    cr_expect_null(strstr(err.text, "s3cret"), "%s", err.text);
    pq_config_free(config);
}

Test(config_secret, configuration_files)
{
    pq_config *config = must_new();
    pq_error err;
    cr_assert_eq(parse_mode(config, "password = s3cret\notp_command = echo 1\n", 0600, true, &err),
                 0, "%s", err.text);
    cr_assert_eq(parse_mode(config, "token_secret-command = echo t\n", 0644, true, &err), 0, "%s",
                 err.text);
    expect_secret(config, PQ_OPT_PASSWORD, "s3cret");
    expect_secret(config, PQ_OPT_OTP, "1");
    expect_secret(config, PQ_OPT_TOKEN_SECRET, "t");
    pq_config_free(config);

    expect_refused("password = s3cret\n", 0644, true,
                   "c.conf:1: password: not in a file that is open to other users (mode 0644)");
    expect_refused("password = s3cret\n", 0600, false, "belongs to another user");
    expect_refused("\n[vm web]\npassword = s3cret\n", 0640, true, "c.conf:3: password");
    expect_refused("password = s3cret ;x\n", 0600, true, "begins a comment");
    expect_refused("password_command = echo s3cret\n", 0664, true, "others can write");
    expect_refused("password_command = echo s3cret\n", 0644, false, "belongs to another user");
}

Test(config_secret, a_section_has_its_own)
{
    pq_config *config = must_new(), *copy;
    const char *vm;
    pq_error err;
    cr_assert_eq(
        parse_mode(config, "password = general\n[vm web]\npassword = s3cret\n", 0600, true, &err),
        0, "%s", err.text);
    copy = pq_config_copy(config, &err);
    cr_assert_eq(pq_config_select_vm(copy, "web", &vm, &err), 0, "%s", err.text);
    expect_secret(copy, PQ_OPT_PASSWORD, "s3cret");
    expect_secret(config, PQ_OPT_PASSWORD, "general");
    pq_config_free(copy);
    pq_config_free(config);
}

Test(config_secret, a_file_in_the_configuration_is_below_home)
{
    pq_config *config = must_new();
    const char *variables[] = {"HOME", test_directory(), "XDG_CONFIG_HOME", test_directory(), NULL};
    pq_error err;
    must_write("pw", 0600, "s3cret\n");
    must_write("pve-qga-run.conf", 0644, "password_file = ~/pw\n");
    cr_assert_eq(pq_config_load(config, "/nonexistent", get_test_variable, variables, &err), 0,
                 "%s", err.text);
    expect_secret(config, PQ_OPT_PASSWORD, "s3cret");
    pq_config_free(config);
}
