/*
 * Shared servers: the directory, the name of the socket, the messages.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shim/control/control.h"

static pq_error err;

static char root[] = "/tmp/control-test-XXXXXX";

static void make_root(void)
{
    cr_assert_not_null(mkdtemp(root));
}

static void remove_root(void)
{
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s", root);
    cr_assert_eq(system(command), 0);
}

/* Not needed again before the test is over. */
static const char *in_root(const char *name)
{
    static char path[200];
    snprintf(path, sizeof path, "%s/%s", root, name);
    return path;
}

static void expect_no_dir(const char *path, const char *part)
{
    pq_control_dir dir;
    cr_assert_eq(pq_control_dir_find(path, true, &dir, &err), -1);
    cr_expect_not_null(strstr(err.text, part), "%s", err.text);
}

TestSuite(control_dir, .init = make_root, .fini = remove_root);

Test(control_dir, is_made_private)
{
    pq_control_dir dir;
    struct stat info;
    umask(0);
    cr_assert_eq(pq_control_dir_find(in_root("a"), true, &dir, &err), 0, "%s", err.text);
    cr_expect_str_eq(dir.path, in_root("a"));
    cr_assert_eq(stat(dir.path, &info), 0);
    cr_expect_eq(info.st_mode & 07777, 0700);
    cr_expect_eq(pq_control_dir_find(in_root("a"), true, &dir, &err), 0, "%s", err.text);
}

Test(control_dir, is_not_made_for_a_question)
{
    pq_control_dir dir;
    cr_expect_eq(pq_control_dir_find(in_root("a"), false, &dir, &err), -1);
    cr_expect_eq(access(in_root("a"), F_OK), -1);
}

Test(control_dir, must_be_private)
{
    cr_assert_eq(mkdir(in_root("a"), 0755), 0);
    expect_no_dir(in_root("a"), "has mode 0755, not 0700");
}

Test(control_dir, must_not_be_a_link_or_a_file)
{
    cr_assert_eq(mkdir(in_root("a"), 0700), 0);
    char target[200];
    strcpy(target, in_root("a"));
    cr_assert_eq(symlink(target, in_root("b")), 0);
    expect_no_dir(in_root("b"), "is no directory");
    expect_no_dir("/dev/null", "is no directory");
}

Test(control_dir, must_be_ours)
{
    if (geteuid() != 0)
        cr_skip_test("only root can give a directory away");
    cr_assert_eq(mkdir(in_root("a"), 0700), 0);
    cr_assert_eq(chown(in_root("a"), 12345, 12345), 0);
    expect_no_dir(in_root("a"), "belongs to another user");
}

Test(control_dir, leaves_room_for_the_name)
{
    char path[200];
    pq_control_dir dir;
    memset(path, 'x', sizeof path);
    memcpy(path, root, strlen(root));
    path[strlen(root)] = '/';
    path[PQ_CONTROL_DIR_MAX + 1] = '\0';
    expect_no_dir(path, "more than the 90");
    path[PQ_CONTROL_DIR_MAX] = '\0';
    cr_expect_eq(pq_control_dir_find(path, true, &dir, &err), 0, "%s", err.text);
}

Test(control_dir, by_default)
{
    pq_control_dir dir;
    setenv("HOME", root, 1);
    unsetenv("XDG_RUNTIME_DIR");
    cr_assert_eq(pq_control_dir_find(NULL, true, &dir, &err), 0, "%s", err.text);
    cr_expect_str_eq(dir.path, in_root(".cache/pve-qga-run"));
    cr_assert_eq(mkdir(in_root("run"), 0700), 0);
    setenv("XDG_RUNTIME_DIR", in_root("run"), 1);
    cr_assert_eq(pq_control_dir_find(NULL, true, &dir, &err), 0, "%s", err.text);
    cr_expect_str_eq(dir.path, in_root("run/pve-qga-run"));
    setenv("XDG_RUNTIME_DIR", "relative", 1);
    setenv("HOME", "/nonexistent", 1);
    expect_no_dir(NULL, "--control-path");
}

Test(control_dir, default_places_of_others_are_passed_over)
{
    pq_control_dir dir;
    if (geteuid() != 0)
        cr_skip_test("only root can give a directory away");
    cr_assert_eq(mkdir(in_root("run"), 0700), 0);
    cr_assert_eq(chown(in_root("run"), 12345, 12345), 0);
    setenv("XDG_RUNTIME_DIR", in_root("run"), 1);
    setenv("HOME", root, 1);
    cr_assert_eq(pq_control_dir_find(NULL, true, &dir, &err), 0, "%s", err.text);
    cr_expect_str_eq(dir.path, in_root(".cache/pve-qga-run"));
}

Test(control_dir, one_lock_at_a_time)
{
    pq_control_dir dir;
    int first, second;
    cr_assert_eq(pq_control_dir_find(in_root("a"), true, &dir, &err), 0);
    cr_assert_eq(pq_control_dir_lock(&dir, &first, &err), 0, "%s", err.text);
    pid_t child = fork();
    if (child == 0) {
        /* The child has the lock, too, until it is undone. */
        pause();
        _exit(0);
    }
    pq_control_dir_unlock(&first);
    cr_expect_eq(first, -1);
    cr_expect_eq(pq_control_dir_lock(&dir, &second, &err), 0, "%s", err.text);
    pq_control_dir_unlock(&second);
    kill(child, SIGKILL);
}

/* ---- names ---- */

static pq_config *new_config(void)
{
    pq_config *config = pq_config_new(pq_own_options, PQ_OWN_OPTION_COUNT, &err);
    cr_assert_not_null(config);
    return config;
}

static void set(pq_config *config, const char *key, const char *text)
{
    cr_assert_eq(pq_config_set_request(config, key, text, &err), 0, "%s", err.text);
}

/* In one of two places, so that two names can be compared. */
static const char *name_of(const pq_config *config)
{
    static char names[2][PQ_CONTROL_NAME_DIGITS + 1];
    static unsigned turn;
    pq_buf identity = {0};
    char *name = names[turn++ % 2];
    cr_assert_eq(pq_control_identity(config, &identity, &err), 0, "%s", err.text);
    cr_expect_null(memmem(identity.data, identity.length, "CANARY", 6));
    cr_assert_eq(pq_control_name(&identity, name, &err), 0, "%s", err.text);
    cr_expect(pq_control_is_name(name));
    pq_buf_done(&identity);
    return name;
}

Test(control_name, is_made_of_what_is_public)
{
    pq_config *a = new_config(), *b = new_config();
    set(a, "host", "pve1");
    set(b, "host", "pve1");
    cr_expect_str_eq(name_of(a), name_of(b));
    set(a, "token_secret", "CANARY-1");
    set(b, "token_secret", "CANARY-2");
    set(b, "password", "CANARY-3");
    cr_expect_str_eq(name_of(a), name_of(b));
    set(b, "timeout", "5");
    set(b, "node", "pve2");
    cr_expect_str_eq(name_of(a), name_of(b));
    static const char *const different[][2] = {
        {"host", "pve2"},         {"port", "443"},        {"user", "a@pve"},  {"token_id", "ci"},
        {"validate_certs", "no"}, {"ca_file", "/ca.pem"}, {"tls_min", "1.3"}, {"proxy", "http://p"},
    };
    for (size_t i = 0; i < sizeof different / sizeof different[0]; i++) {
        pq_config *other = pq_config_copy(a, &err);
        set(other, different[i][0], different[i][1]);
        cr_expect_str_neq(name_of(a), name_of(other), "%s", different[i][0]);
        pq_config_free(other);
    }
    pq_config_free(a);
    pq_config_free(b);
}

Test(control_name, is_also_that_of_the_process)
{
    pq_config *config = new_config();
    char before[PQ_CONTROL_NAME_DIGITS + 1];
    umask(022);
    strcpy(before, name_of(config));
    umask(077);
    cr_expect_str_neq(name_of(config), before);
    umask(022);
    cr_expect_str_eq(name_of(config), before);
    setenv("XDG_STATE_HOME", "/elsewhere", 1);
    cr_expect_str_neq(name_of(config), before);
    pq_config_free(config);
}

Test(control_name, shape)
{
    cr_expect(pq_control_is_name("0123456789abcdef"));
    cr_expect_not(pq_control_is_name("0123456789abcde"));
    cr_expect_not(pq_control_is_name("0123456789abcdef0"));
    cr_expect_not(pq_control_is_name("0123456789abcdeg"));
    cr_expect_not(pq_control_is_name("lock"));
}

Test(control_name, environment_of_connections)
{
    pq_buf one = {0}, two = {0};
    unsetenv("https_proxy");
    cr_assert_eq(pq_control_environment(&one, &err), 0);
    setenv("https_proxy", "http://u:p@proxy", 1);
    cr_assert_eq(pq_control_environment(&two, &err), 0);
    cr_expect_not_null(strstr(two.data, "https_proxy=http://u:p@proxy\n"));
    cr_expect_not(pq_secret_equal_bytes(one.data, one.length, two.data, two.length));
    pq_buf_wipe(&one);
    pq_buf_wipe(&two);
}

Test(control_name, secrets_must_be_the_same)
{
    pq_config *a = new_config(), *b = new_config();
    cr_expect(pq_control_same_secrets(a, b));
    set(a, "password", "one");
    cr_expect_not(pq_control_same_secrets(a, b));
    set(b, "password", "two");
    cr_expect_not(pq_control_same_secrets(a, b));
    set(b, "password", "one");
    cr_expect(pq_control_same_secrets(a, b));
    set(b, "otp", "123456");
    cr_expect_not(pq_control_same_secrets(a, b));
    pq_config_free(a);
    pq_config_free(b);
}

/* ---- messages ---- */

static int ends[2];
static pq_control_message message;

static void make_ends(void)
{
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
}

TestSuite(control_wire, .init = make_ends);

static void expect_kind(pq_control_kind kind)
{
    cr_assert_eq(pq_control_receive(ends[1], &message, &err), 0, "%s", err.text);
    cr_expect_eq(message.kind, kind, "%d", (int)message.kind);
}

Test(control_wire, texts_and_numbers)
{
    expect_kind(PQ_CONTROL_NOTHING);
    pq_control_send_text(ends[0], PQ_CONTROL_REFUSED, "why", &err);
    pq_control_send_number(ends[0], PQ_CONTROL_END, 143, &err);
    pq_control_send(ends[0], PQ_CONTROL_ACCEPTED, NULL, 0, NULL, &err);
    expect_kind(PQ_CONTROL_REFUSED);
    cr_expect_str_eq(message.body, "why");
    cr_expect_eq(pq_control_number(&message), -1);
    expect_kind(PQ_CONTROL_END);
    cr_expect_eq(pq_control_number(&message), 143);
    expect_kind(PQ_CONTROL_ACCEPTED);
    cr_expect_eq(message.length, 0);
    close(ends[0]);
    expect_kind(PQ_CONTROL_GONE);
}

Test(control_wire, descriptors)
{
    int pipes[2];
    char byte = 'x';
    cr_assert_eq(pipe(pipes), 0);
    cr_assert_eq(pq_control_send(ends[0], PQ_CONTROL_START, "/", 1, pipes, &err), 0);
    expect_kind(PQ_CONTROL_START);
    cr_assert_geq(message.fds[0], 0);
    cr_expect(fcntl(message.fds[0], F_GETFD) & FD_CLOEXEC);
    cr_assert_eq(write(message.fds[1], &byte, 1), 1);
    cr_expect_eq(read(pipes[0], &byte, 1), 1);
    int was = message.fds[0];
    pq_control_message_done(&message);
    cr_expect_eq(message.fds[0], -1);
    cr_expect_eq(fcntl(was, F_GETFD), -1);
}

/* A refusal is not lost because the server did not read everything before it closed. */
Test(control_wire, an_answer_behind_a_reset)
{
    pq_control_send_text(ends[0], PQ_CONTROL_REFUSED, "why", &err);
    pq_control_send_text(ends[1], PQ_CONTROL_BYTES, "unread", &err);
    close(ends[0]);
    expect_kind(PQ_CONTROL_REFUSED);
    cr_expect_str_eq(message.body, "why");
    expect_kind(PQ_CONTROL_GONE);
}

Test(control_wire, what_is_no_message)
{
    static char big[PQ_CONTROL_BODY_MAX + 2];
    cr_assert_eq(send(ends[0], "\x7f", 1, 0), 1);
    cr_expect_eq(pq_control_receive(ends[1], &message, &err), -1);
    big[0] = PQ_CONTROL_LOG;
    cr_assert_eq(send(ends[0], big, sizeof big, 0), (ssize_t)sizeof big);
    cr_expect_eq(pq_control_receive(ends[1], &message, &err), -1);
    cr_expect_not_null(strstr(err.text, "no message"), "%s", err.text);
}

Test(control_wire, the_largest_message_fits)
{
    static char big[PQ_CONTROL_BODY_MAX];
    memset(big, 'x', sizeof big);
    cr_assert_eq(pq_control_send(ends[0], PQ_CONTROL_BYTES, big, sizeof big, NULL, &err), 0);
    expect_kind(PQ_CONTROL_BYTES);
    cr_expect_eq(message.length, sizeof big);
    cr_expect_eq(memcmp(message.body, big, sizeof big), 0);
}

Test(control_wire, the_other_end_is_ours)
{
    cr_expect_eq(pq_control_check_peer(ends[0], &err), 0, "%s", err.text);
}
