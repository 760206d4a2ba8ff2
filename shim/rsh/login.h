/*
 * The shell line that starts a session in the guest.   (shim; pure)
 *
 * An SSH server runs what is asked for with the user's login shell, in his home, with the
 * environment of a login but without its profile; a shell without command is a login shell. So
 * does this line, which /bin/sh of the guest runs as the agent's user: it becomes that shell
 * (guest/login.sh, or less where the agent's user is meant).
 */
#pragma once

#include "transport/base/buf.h"

typedef enum pq_rsh_kind {
    PQ_RSH_COMMAND = 0,
    PQ_RSH_SHELL, /* a login shell that reads stdin */
    PQ_RSH_SFTP   /* the guest's sftp-server, wherever it is */
} pq_rsh_kind;

typedef struct pq_rsh_login {
    pq_rsh_kind kind;
    const char *command; /* of PQ_RSH_COMMAND: a line for the user's shell */
    const char *user;    /* NULL: the agent's, root */
    const char *shell;   /* NULL: the user's own */
} pq_rsh_login;

/* Appends the line. Fails with USAGE for a user's name that cannot be one, NOMEM, TOO_LARGE. */
int pq_rsh_login_line(const pq_rsh_login *login, pq_buf *line, pq_error *err);
