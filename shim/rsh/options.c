#include "shim/rsh/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "shim/rsh/escape.h"
#include "shim/rsh/options_internal.h"

/* ssh's letters without and with an argument, those of OpenSSH 9.9. */
static const char flags[] = "1246afgknqstvxACGKMNTVXYy";
static const char with_value[] = "bceilmopBDEFIJLOPQRSWw";

/* Values as they may be shown. */
#define SHOWN_MAX 100

typedef struct reader {
    pq_rsh_options *options;
    size_t argc, at; /* `at` is the next argument */
    char **argv;
    bool ended; /* by "--" */
} reader;

int pq_rsh_options_add(char ***list, size_t *count, char *text, pq_error *err)
{
    char **grown = realloc(*list, (*count + 1) * sizeof *grown);
    if (grown == NULL)
        return pq_fail(err, PQ_E_NOMEM, "out of memory");
    grown[(*count)++] = text;
    *list = grown;
    return 0;
}

void pq_rsh_options_done(pq_rsh_options *options)
{
    pq_buf_done(&options->command);
    free(options->own);
    free(options->env);
    free(options->send_env);
    *options = (pq_rsh_options){0};
}

/* ---- letters ---- */

static void ask_for_terminal(pq_rsh_options *options)
{
    options->tty = options->tty == PQ_RSH_TTY_YES ? PQ_RSH_TTY_FORCE : PQ_RSH_TTY_YES;
}

static int take_flag(pq_rsh_options *options, char letter, pq_error *err)
{
    switch (letter) {
    case 'G':
        options->action = PQ_RSH_LISTING;
        break;
    case 'N':
        options->forwarding = "-N";
        break;
    case 'T':
        options->tty = PQ_RSH_TTY_NO;
        break;
    case 'V':
        options->action = PQ_RSH_VERSION;
        break;
    case 'f':
        return pq_fail(err, PQ_E_UNSUPPORTED,
                       "-f: cannot go to the background; let the shell do that, with -n and &");
    case 'n':
        options->no_stdin = true;
        break;
    case 'q':
        options->quiet = true;
        break;
    case 's':
        options->subsystem = options->has_session_type = true;
        break;
    case 't':
        ask_for_terminal(options);
        break;
    case 'v':
        options->verbose++;
        break;
    default:
        break; /* about how ssh gets to its host */
    }
    return 0;
}

static const char *forwarding_name(char letter)
{
    static const char *const names[] = {"-D", "-L", "-R", "-W", "-w"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (names[i][1] == letter)
            return names[i];
    }
    return NULL;
}

static int take_value(pq_rsh_options *options, char letter, char *value, pq_error *err)
{
    const char *forwarding = forwarding_name(letter);
    if (forwarding != NULL)
        options->forwarding = forwarding;
    switch (letter) {
    case 'O':
        options->action = PQ_RSH_CONTROL;
        options->control = value;
        break;
    case 'Q':
        return pq_fail(err, PQ_E_UNSUPPORTED, "-Q: there are no algorithms to choose from here");
    case 'e':
        return pq_rsh_options_take_escape(options, value, err);
    case 'l':
        if (options->user == NULL)
            options->user = value;
        break;
    case 'o':
        return pq_rsh_options_take_key(options, value, err);
    default:
        break;
    }
    return 0;
}

/* A cluster such as "-xaT" or "-oBatchMode=yes". */
static int take_letters(reader *r, pq_error *err)
{
    for (char *letter = r->argv[r->at++] + 1; *letter != '\0'; letter++) {
        if (strchr(flags, *letter) != NULL) {
            if (take_flag(r->options, *letter, err) < 0)
                return -1;
            continue;
        }
        if (strchr(with_value, *letter) == NULL) {
            char shown[8];
            pq_error_clean(shown, sizeof shown, letter, 1);
            return pq_fail(err, PQ_E_USAGE, "unknown option -%s", shown);
        }
        char *value = letter + 1;
        if (*value == '\0' && r->at == r->argc)
            return pq_fail(err, PQ_E_USAGE, "-%c needs a value", *letter);
        if (*value == '\0')
            value = r->argv[r->at++];
        return take_value(r->options, *letter, value, err);
    }
    return 0;
}

/* ssh has no long options; these two are everybody's. */
static bool take_long(reader *r)
{
    const char *argument = r->argv[r->at];
    if (strcmp(argument, "--help") == 0)
        r->options->action = PQ_RSH_HELP;
    else if (strcmp(argument, "--version") == 0)
        r->options->action = PQ_RSH_VERSION;
    else
        return false;
    r->at++;
    return true;
}

/* Up to the first argument that is no option. */
static int take_options(reader *r, pq_error *err)
{
    while (r->at < r->argc && !r->ended) {
        const char *argument = r->argv[r->at];
        if (argument[0] != '-' || argument[1] == '\0')
            break;
        if (strcmp(argument, "--") == 0) {
            r->at++;
            r->ended = true;
        } else if (!take_long(r) && take_letters(r, err) < 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- the host ---- */

/* "[NAME]" -> "NAME"; what is behind it was a port. */
static char *without_brackets(char *host)
{
    char *end = host[0] == '[' ? strchr(host, ']') : NULL;
    if (end == NULL)
        return host;
    *end = '\0';
    return host + 1;
}

/* "ssh://[USER@]HOST[:PORT][/]" without its beginning -> "[USER@]HOST" */
static char *without_port(char *rest)
{
    char *at = strrchr(rest, '@'), *host = at != NULL ? at + 1 : rest;
    host[strcspn(host, "/")] = '\0';
    char *port = strrchr(host, ':');
    if (port != NULL && (host[0] != '[' || port > strchr(host, ']')))
        *port = '\0';
    return rest;
}

int pq_rsh_options_take_user(pq_rsh_options *options, char **text, pq_error *err)
{
    char *at = strrchr(*text, '@');
    if (at == NULL)
        return 0;
    if (at == *text)
        return pq_fail(err, PQ_E_USAGE, "no user in front of the @");
    *at = '\0';
    if (options->user == NULL)
        options->user = *text;
    *text = at + 1;
    return 0;
}

static int take_host(pq_rsh_options *options, char *text, pq_error *err)
{
    if (strncasecmp(text, "ssh://", 6) == 0)
        text = without_port(text + 6);
    if (pq_rsh_options_take_user(options, &text, err) < 0)
        return -1;
    options->host = without_brackets(text);
    return options->host[0] != '\0' ? 0 : pq_fail(err, PQ_E_USAGE, "no VM was named");
}

/* ---- all of it ---- */

int pq_rsh_options_join(pq_rsh_options *options, size_t count, char *const *words, pq_error *err)
{
    for (size_t i = 0; i < count; i++) {
        if ((i > 0 && pq_buf_add_byte(&options->command, ' ', err) < 0) ||
            pq_buf_add_text(&options->command, words[i], err) < 0)
            return -1;
    }
    return 0;
}

/* What cannot be known before the last option was read. */
static int finish(pq_rsh_options *options, pq_error *err)
{
    if (options->vm == NULL)
        options->vm = options->host;
    if (options->action != PQ_RSH_RUN)
        return 0;
    if (options->forwarding != NULL && !options->clears_forwardings)
        return pq_fail(err, PQ_E_UNSUPPORTED,
                       "%s: cannot forward ports; OpenSSH's ssh can, with this program as its "
                       "ProxyCommand: see pve-qga-rsh(1)",
                       options->forwarding);
    if (options->remote_command != NULL && options->command.length > 0)
        return pq_fail(err, PQ_E_USAGE, "a command was given, and RemoteCommand as well");
    if (options->remote_command != NULL &&
        pq_buf_add_text(&options->command, options->remote_command, err) < 0)
        return -1;
    if (options->subsystem && options->command.length == 0)
        return pq_fail(err, PQ_E_USAGE, "-s needs the name of a subsystem");
    return 0;
}

/* What -v, -q and ConnectTimeout are in the option table. In front of what was given with pve.,
 * which so goes before it. */
static int add_own(pq_rsh_options *options, pq_error *err)
{
    static char verbose[] = "--verbose", quiet[] = "--quiet";
    char **given = options->own;
    size_t count = options->own_count;
    options->own = NULL;
    options->own_count = 0;
    int failed = 0;
    if (options->connect_timeout[0] != '\0')
        failed =
            pq_rsh_options_add(&options->own, &options->own_count, options->connect_timeout, err);
    if (failed == 0 && options->quiet)
        failed = pq_rsh_options_add(&options->own, &options->own_count, quiet, err);
    for (unsigned i = 0; failed == 0 && i < options->verbose && i < 2; i++)
        failed = pq_rsh_options_add(&options->own, &options->own_count, verbose, err);
    for (size_t i = 0; failed == 0 && i < count; i++)
        failed = pq_rsh_options_add(&options->own, &options->own_count, given[i], err);
    free(given);
    return failed;
}

int pq_rsh_options_parse(pq_rsh_options *ret, size_t argc, char **argv, pq_error *err)
{
    reader r = {.options = ret, .argc = argc, .argv = argv};
    *ret = (pq_rsh_options){.escape = PQ_ESCAPE_DEFAULT};
    if (take_options(&r, err) < 0)
        return -1;
    if (r.at < argc) {
        if (take_host(ret, argv[r.at++], err) < 0 || take_options(&r, err) < 0)
            return -1;
    } else if (ret->action != PQ_RSH_HELP && ret->action != PQ_RSH_VERSION) {
        return pq_fail(err, PQ_E_USAGE, "no VM was named");
    }
    if (pq_rsh_options_join(ret, argc - r.at, argv + r.at, err) < 0 || finish(ret, err) < 0)
        return -1;
    return add_own(ret, err);
}

int pq_rsh_options_list(const pq_rsh_options *options, pq_buf *out, pq_error *err)
{
    const char *user = options->user != NULL ? options->user : "root";
    static const char *const ttys[] = {"auto", "false", "true", "force"};
    return pq_buf_printf(out, err,
                         "host %s\nuser %s\nhostname %s\nport 22\nbatchmode yes\n"
                         "forwardagent no\nforwardx11 no\nrequesttty %s\nstdinnull %s\n"
                         "sessiontype %s\n",
                         options->host, user, options->vm, ttys[options->tty],
                         options->no_stdin ? "yes" : "no",
                         options->subsystem ? "subsystem" : "default");
}
