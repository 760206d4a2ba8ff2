/*
 * The line that starts a session; tests/guest runs the script in it.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "shim/rsh/login.h"

static pq_error err;

static void expect_line(const pq_rsh_login *login, const char *expected)
{
    pq_buf line = {0};
    cr_assert_eq(pq_rsh_login_line(login, &line, &err), 0);
    cr_expect_str_eq(line.data, expected);
    pq_buf_done(&line);
}

Test(rsh_login, the_agents_user_needs_no_script)
{
    expect_line(&(pq_rsh_login){.command = "echo 'a b'"},
                "exec \"${SHELL:-/bin/sh}\" -c 'echo '\\''a b'\\'''");
    expect_line(&(pq_rsh_login){.kind = PQ_RSH_SHELL}, "exec \"${SHELL:-/bin/sh}\" -l");
    expect_line(&(pq_rsh_login){.command = "ls", .shell = "/bin/zsh"}, "exec /bin/zsh -c ls");
}

static void expect_head(const pq_rsh_login *login, const char *head)
{
    pq_buf line = {0};
    cr_assert_eq(pq_rsh_login_line(login, &line, &err), 0);
    cr_expect_eq(strncmp(line.data, head, strlen(head)), 0, "%s", line.data);
    cr_expect_not_null(strstr(line.data, "setpriv"));
    pq_buf_done(&line);
}

Test(rsh_login, others_and_sftp_do)
{
    expect_head(&(pq_rsh_login){.command = "id", .user = "u x"},
                "user='u x'\nkind=command\ncommand=id\nshell=\n");
    expect_head(&(pq_rsh_login){.kind = PQ_RSH_SHELL, .user = "u", .shell = "/bin/a b"},
                "user=u\nkind=shell\ncommand=\nshell='/bin/a b'\n");
    expect_head(&(pq_rsh_login){.kind = PQ_RSH_SFTP, .command = "sftp"},
                "user=\nkind=sftp\ncommand=sftp\nshell=\n");
}

Test(rsh_login, names_that_no_user_has)
{
    static const char *const names[] = {"", "-u", "a:b", "a/b", "a\nb", "\x7F"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        pq_buf line = {0};
        pq_rsh_login login = {.command = "id", .user = names[i]};
        cr_expect_eq(pq_rsh_login_line(&login, &line, &err), -1, "%s", names[i]);
        cr_expect_eq(err.code, PQ_E_USAGE);
        pq_buf_done(&line);
    }
}
