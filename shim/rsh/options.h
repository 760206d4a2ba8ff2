/*
 * The command line of ssh, as pve-qga-rsh takes it.   (shim; pure)
 *
 * Theory of operation. Letters are those of OpenSSH's ssh, each with or without an argument as
 * there, so whatever calls ssh is understood: options may be clustered, stand in front of the host
 * and behind it, and end at "--" or at the command, whose words are joined with single spaces. As
 * in ssh, the first value given for a thing is the one that holds.
 *
 * Three kinds of options are told apart. Those that mean something here are kept. Those about
 * how ssh gets to its host (port, keys, ciphers, agent and X11 forwarding, multiplexing) mean
 * nothing and are dropped. Those that ask for what cannot be had here (forwarding of ports) are
 * refused, unless ClearAllForwardings takes them back.
 *
 * Our own options come as ssh's do: -o pve.NAME=VALUE is --NAME=VALUE of the option table.
 *
 * Texts belong to argv, which is changed. Functions fail with USAGE, UNSUPPORTED, NOMEM.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "transport/base/buf.h"

typedef enum pq_rsh_action {
    PQ_RSH_RUN = 0,
    PQ_RSH_HELP,    /* --help */
    PQ_RSH_VERSION, /* -V, --version */
    PQ_RSH_LISTING, /* -G: print what the options come to */
    PQ_RSH_CONTROL  /* -O: ask a shared connection, of which there is none */
} pq_rsh_action;

typedef enum pq_rsh_tty {
    PQ_RSH_TTY_AUTO = 0, /* for a shell without command */
    PQ_RSH_TTY_NO,       /* -T */
    PQ_RSH_TTY_YES,      /* -t: if stdin is a terminal */
    PQ_RSH_TTY_FORCE     /* -tt */
} pq_rsh_tty;

typedef struct pq_rsh_options {
    pq_rsh_action action;
    const char *host;    /* as given, without user, brackets and port */
    const char *vm;      /* what HostName says instead, or `host` */
    const char *user;    /* in the guest; NULL: the agent's */
    const char *control; /* word of -O */
    pq_buf command;      /* length 0: none, which asks for a login shell */
    bool subsystem;      /* `command` is the name of one */
    bool no_stdin;
    pq_rsh_tty tty;
    int escape; /* for a terminal; see escape.h */
    char **own; /* "--NAME=VALUE" for pq_config_parse_args() */
    size_t own_count;
    char **env; /* NAME=VALUE of SetEnv */
    size_t env_count;
    char **send_env; /* patterns of SendEnv, in order; "-PATTERN" takes back */
    size_t send_env_count;

    /* private */
    const char *remote_command, *forwarding; /* the option that asked for it */
    bool clears_forwardings, has_session_type, has_escape;
    unsigned verbose;
    bool quiet, has_log_level;
    char connect_timeout[40]; /* "--connect-timeout=N", or "" */
} pq_rsh_options;

/* `argc` arguments, argv[0] being the first of them, not the program. Free *ret with
 * pq_rsh_options_done() also after a failure. */
int pq_rsh_options_parse(pq_rsh_options *ret, size_t argc, char **argv, pq_error *err);
void pq_rsh_options_done(pq_rsh_options *options);

/* "[USER@]HOST": takes the user, unless there is one, and moves *text to what is behind it. */
int pq_rsh_options_take_user(pq_rsh_options *options, char **text, pq_error *err);

/* Joins the command's words. */
int pq_rsh_options_join(pq_rsh_options *options, size_t count, char *const *words, pq_error *err);

/* What -o takes, with the value of one key: "Key=Value", "Key Value", "Key = Value". */
int pq_rsh_options_take_key(pq_rsh_options *options, char *text, pq_error *err);

/* Whether the patterns of SendEnv let a variable of this name through. */
bool pq_rsh_options_sends(const pq_rsh_options *options, const char *name, size_t length);

/* Appends what -G prints. */
int pq_rsh_options_list(const pq_rsh_options *options, pq_buf *out, pq_error *err);
