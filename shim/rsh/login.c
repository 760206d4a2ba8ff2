#include "shim/rsh/login.h"

#include <stddef.h>
#include <string.h>

#include "exec/quote.h"
#include "rsh_guest_scripts.h"

/* No more than what would break a line of passwd, or look like an option. */
static int check_user(const char *user, pq_error *err)
{
    char shown[100];
    bool good = user[0] != '\0' && user[0] != '-';
    for (const char *c = user; good && *c != '\0'; c++)
        good = (unsigned char)*c >= 0x20 && *c != 0x7F && *c != ':' && *c != '/';
    if (good)
        return 0;
    pq_error_clean(shown, sizeof shown, user, strlen(user));
    return pq_fail(err, PQ_E_USAGE, "'%s' cannot be the name of a user", shown);
}

static int add_script(const pq_rsh_login *login, pq_buf *line, pq_error *err)
{
    static const char *const kinds[] = {"command", "shell", "sftp"};
    if (pq_quote_variable(line, "user", login->user, err) < 0 ||
        pq_quote_variable(line, "kind", kinds[login->kind], err) < 0 ||
        pq_quote_variable(line, "command", login->command, err) < 0 ||
        pq_quote_variable(line, "shell", login->shell, err) < 0)
        return -1;
    return pq_buf_add_text(line, pq_script_login, err);
}

int pq_rsh_login_line(const pq_rsh_login *login, pq_buf *line, pq_error *err)
{
    if (login->user != NULL && check_user(login->user, err) < 0)
        return -1;
    if (login->user != NULL || login->kind == PQ_RSH_SFTP)
        return add_script(login, line, err);
    if (pq_buf_add_text(line, "exec ", err) < 0 ||
        (login->shell != NULL ? pq_quote_shell(line, login->shell, err)
                              : pq_buf_add_text(line, "\"${SHELL:-/bin/sh}\"", err)) < 0)
        return -1;
    if (login->kind == PQ_RSH_SHELL)
        return pq_buf_add_text(line, " -l", err);
    return pq_buf_add_text(line, " -c ", err) < 0 ? -1 : pq_quote_shell(line, login->command, err);
}
