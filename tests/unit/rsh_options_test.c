/*
 * ssh's command line: what each caller of ssh sends, and what it comes to.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shim/rsh/escape.h"
#include "shim/rsh/options.h"
#include "transport/config/option.h"

static pq_error err;
static pq_rsh_options options;
static char *words[64];
static size_t word_count;

/* The parser changes its arguments, so they are copies, kept until the test ends. */
static int parse_words(const char *const *arguments)
{
    for (word_count = 0; arguments[word_count] != NULL; word_count++)
        words[word_count] = strdup(arguments[word_count]);
    return pq_rsh_options_parse(&options, word_count, words, &err);
}

#define PARSE(...) parse_words((const char *const[]){__VA_ARGS__, NULL})

static void tidy(void)
{
    pq_rsh_options_done(&options);
    for (size_t i = 0; i < word_count; i++)
        free(words[i]);
    word_count = 0;
}

TestSuite(rsh_options, .fini = tidy);

static const char *command(void)
{
    return options.command.length > 0 ? options.command.data : "";
}

static void expect_own(const char *const *expected)
{
    size_t count = 0;
    for (; expected[count] != NULL; count++) {
        cr_assert_lt(count, options.own_count, "%s is missing", expected[count]);
        cr_expect_str_eq(options.own[count], expected[count]);
    }
    cr_expect_eq(options.own_count, count);
}

#define EXPECT_OWN(...) expect_own((const char *const[]){__VA_ARGS__, NULL})

static void expect_refused(int result, pq_code code, const char *part)
{
    cr_expect_eq(result, -1);
    cr_expect_eq(err.code, code, "%s", err.text);
    cr_expect_not_null(strstr(err.text, part), "%s: not in: %s", part, err.text);
}

/* ---- host, user, command ---- */

Test(rsh_options, host_and_command)
{
    cr_assert_eq(PARSE("web", "echo", "a  b", "", "c"), 0);
    cr_expect_str_eq(options.host, "web");
    cr_expect_str_eq(options.vm, "web");
    cr_expect_null(options.user);
    cr_expect_str_eq(command(), "echo a  b  c");
    cr_expect_eq(options.own_count, 0);
}

Test(rsh_options, no_command)
{
    cr_assert_eq(PARSE("-T", "100"), 0);
    cr_expect_eq(options.command.length, 0);
    cr_expect_eq(options.tty, PQ_RSH_TTY_NO);
}

static void expect_host(const char *argument, const char *user, const char *host)
{
    cr_assert_eq(PARSE(argument), 0, "%s: %s", argument, err.text);
    cr_expect_str_eq(options.host, host);
    if (user != NULL)
        cr_expect_str_eq(options.user, user);
    else
        cr_expect_null(options.user, "%s", options.user);
    tidy();
}

Test(rsh_options, forms_of_the_host)
{
    expect_host("web", NULL, "web");
    expect_host("u@web", "u", "web");
    expect_host("u@dom@web", "u@dom", "web");
    expect_host("[web]", NULL, "web");
    expect_host("u@[web]", "u", "web");
    expect_host("[web", NULL, "[web");
    expect_host("ssh://web", NULL, "web");
    expect_host("ssh://u@web:2222/", "u", "web");
    expect_host("SSH://web:22", NULL, "web");
    expect_host("ssh://u@[fe80::1]:22", "u", "fe80::1");
    expect_host("ssh://[fe80::1]", NULL, "fe80::1");
}

Test(rsh_options, hosts_that_are_none)
{
    expect_refused(PARSE("-n"), PQ_E_USAGE, "no VM");
    tidy();
    expect_refused(PARSE(""), PQ_E_USAGE, "no VM");
    tidy();
    expect_refused(PARSE("u@"), PQ_E_USAGE, "no VM");
    tidy();
    expect_refused(PARSE("@web"), PQ_E_USAGE, "user");
}

Test(rsh_options, the_first_user_holds)
{
    cr_assert_eq(PARSE("-l", "a", "-oUser=b", "c@web"), 0);
    cr_expect_str_eq(options.user, "a");
    tidy();
    cr_assert_eq(PARSE("c@web", "-la"), 0);
    cr_expect_str_eq(options.user, "c");
    tidy();
    cr_assert_eq(PARSE("-o", "user b", "web"), 0);
    cr_expect_str_eq(options.user, "b");
}

Test(rsh_options, options_behind_the_host)
{
    cr_assert_eq(PARSE("web", "-n", "-l", "u", "ls", "-l"), 0);
    cr_expect(options.no_stdin);
    cr_expect_str_eq(options.user, "u");
    cr_expect_str_eq(command(), "ls -l");
}

Test(rsh_options, dashes_end_options)
{
    cr_assert_eq(PARSE("web", "--", "-n"), 0);
    cr_expect_str_eq(command(), "-n");
    cr_expect_not(options.no_stdin);
    tidy();
    cr_assert_eq(PARSE("--", "web", "-n", "--", "x"), 0);
    cr_expect_str_eq(options.host, "web");
    cr_expect_str_eq(command(), "-n -- x");
    tidy();
    cr_assert_eq(PARSE("web", "-"), 0);
    cr_expect_str_eq(command(), "-");
}

/* ---- letters ---- */

Test(rsh_options, every_letter_of_ssh)
{
    for (const char *letter = "1246agknsqtvxACKMTXYy"; *letter != '\0'; letter++) {
        char option[] = {'-', *letter, '\0'};
        cr_expect_eq(PARSE(option, "web", "x"), 0, "%s: %s", option, err.text);
        cr_expect_str_eq(options.host, "web", "%s", option);
        tidy();
    }
    for (const char *letter = "bceilmpBEFIJPS"; *letter != '\0'; letter++) {
        char option[] = {'-', *letter, '\0'}, attached[] = {'-', *letter, 'v', '\0'};
        cr_expect_eq(PARSE(option, "9", "other", "x"), 0, "%s: %s", option, err.text);
        cr_expect_str_eq(options.host, "other", "%s", option);
        tidy();
        cr_expect_eq(PARSE(attached, "web", "x"), 0, "%s: %s", option, err.text);
        cr_expect_str_eq(options.host, "web", "%s", option);
        tidy();
        expect_refused(PARSE("web", option), PQ_E_USAGE, "needs a value");
        tidy();
    }
    expect_refused(PARSE("-z", "web"), PQ_E_USAGE, "unknown option -z");
    tidy();
    expect_refused(PARSE("--verbose", "web"), PQ_E_USAGE, "unknown option --");
}

Test(rsh_options, escape_character)
{
    cr_assert_eq(PARSE("web"), 0);
    cr_expect_eq(options.escape, '~');
    tidy();
    cr_assert_eq(PARSE("-e", "^B", "-o", "EscapeChar=%", "web"), 0);
    cr_expect_eq(options.escape, 2, "the first one holds");
    tidy();
    cr_assert_eq(PARSE("-oEscapeChar=none", "web"), 0);
    cr_expect_eq(options.escape, PQ_ESCAPE_NONE);
    tidy();
    expect_refused(PARSE("-e", "two", "web"), PQ_E_USAGE, "'two' is not a character");
}

Test(rsh_options, clusters)
{
    cr_assert_eq(PARSE("-xaTnq", "-2l", "u", "-CoBatchMode=yes", "web"), 0);
    cr_expect(options.no_stdin);
    cr_expect_eq(options.tty, PQ_RSH_TTY_NO);
    cr_expect_str_eq(options.user, "u");
    EXPECT_OWN("--quiet");
}

Test(rsh_options, terminals)
{
    cr_assert_eq(PARSE("-t", "web"), 0);
    cr_expect_eq(options.tty, PQ_RSH_TTY_YES);
    tidy();
    cr_assert_eq(PARSE("-tt", "web"), 0);
    cr_expect_eq(options.tty, PQ_RSH_TTY_FORCE);
    tidy();
    cr_assert_eq(PARSE("-t", "-T", "web"), 0);
    cr_expect_eq(options.tty, PQ_RSH_TTY_NO);
    tidy();
    cr_assert_eq(PARSE("-T", "-oRequestTTY=force", "web"), 0);
    cr_expect_eq(options.tty, PQ_RSH_TTY_NO);
    tidy();
    cr_assert_eq(PARSE("-oRequestTTY=force", "-oRequestTTY=no", "web"), 0);
    cr_expect_eq(options.tty, PQ_RSH_TTY_FORCE);
    tidy();
    expect_refused(PARSE("-oRequestTTY=perhaps", "web"), PQ_E_USAGE, "RequestTTY");
}

Test(rsh_options, verbosity)
{
    cr_assert_eq(PARSE("-vvv", "web"), 0);
    EXPECT_OWN("--verbose", "--verbose");
    tidy();
    cr_assert_eq(PARSE("-oLogLevel=QUIET", "-oLogLevel=DEBUG3", "web"), 0);
    EXPECT_OWN("--quiet");
    tidy();
    cr_assert_eq(PARSE("-oLogLevel=verbose", "web"), 0);
    EXPECT_OWN("--verbose");
    tidy();
    expect_refused(PARSE("-oLogLevel=loud", "web"), PQ_E_USAGE, "LogLevel");
}

Test(rsh_options, forwarding_is_refused)
{
    static const char *const letters[] = {"-L", "-R", "-D", "-W", "-w"};
    for (size_t i = 0; i < sizeof letters / sizeof letters[0]; i++) {
        expect_refused(PARSE(letters[i], "1:h:2", "web"), PQ_E_UNSUPPORTED, "ProxyCommand");
        cr_expect_not_null(strstr(err.text, letters[i]));
        tidy();
        cr_expect_eq(PARSE(letters[i], "1:h:2", "-oClearAllForwardings=yes", "web"), 0);
        tidy();
    }
    expect_refused(PARSE("-N", "web"), PQ_E_UNSUPPORTED, "-N");
    tidy();
    expect_refused(PARSE("-oDynamicForward=1080", "web"), PQ_E_UNSUPPORTED, "DynamicForward");
    tidy();
    expect_refused(PARSE("-oTunnel=yes", "web"), PQ_E_UNSUPPORTED, "Tunnel");
    tidy();
    cr_expect_eq(PARSE("-oTunnel=no", "-oRemoteForward=none", "web"), 0);
    tidy();
    expect_refused(PARSE("-oSessionType=none", "web"), PQ_E_UNSUPPORTED, "SessionType");
}

Test(rsh_options, what_cannot_be_had)
{
    expect_refused(PARSE("-f", "web", "x"), PQ_E_UNSUPPORTED, "background");
    tidy();
    expect_refused(PARSE("-oForkAfterAuthentication=yes", "web"), PQ_E_UNSUPPORTED, "background");
    tidy();
    cr_expect_eq(PARSE("-oForkAfterAuthentication=no", "web"), 0);
    tidy();
    expect_refused(PARSE("-Q", "cipher"), PQ_E_UNSUPPORTED, "-Q");
}

Test(rsh_options, other_actions)
{
    cr_assert_eq(PARSE("-V"), 0);
    cr_expect_eq(options.action, PQ_RSH_VERSION);
    tidy();
    cr_assert_eq(PARSE("--version"), 0);
    cr_expect_eq(options.action, PQ_RSH_VERSION);
    tidy();
    cr_assert_eq(PARSE("--help"), 0);
    cr_expect_eq(options.action, PQ_RSH_HELP);
    tidy();
    cr_assert_eq(PARSE("-O", "check", "-o", "ControlPath=/x", "web"), 0);
    cr_expect_eq(options.action, PQ_RSH_CONTROL);
    cr_expect_str_eq(options.control, "check");
    tidy();
    expect_refused(PARSE("-O", "check"), PQ_E_USAGE, "no VM");
}

/* ---- what is offered to the user ---- */

static const pq_option offered[] = {
#define OPTION(...) {__VA_ARGS__},
#define KEY(key, take, whole, ...) {.name = key, __VA_ARGS__},
#include "shim/rsh/options.def"
};

static void expect_taken(const pq_option *option, const char *value, size_t length)
{
    char argument[100];
    if (option->short_name != 0)
        snprintf(argument, sizeof argument, "-%c%.*s", option->short_name, (int)length, value);
    else if (option->type == PQ_TYPE_FLAG)
        snprintf(argument, sizeof argument, "--%s", option->name);
    else
        snprintf(argument, sizeof argument, "-o%s=%.*s", option->name, (int)length, value);
    cr_expect_eq(PARSE(argument, "web", "true"), 0, "%s: %s", argument, err.text);
    tidy();
}

static const char *some_value(const pq_option *option)
{
    switch (option->type) {
    case PQ_TYPE_ENUM:
        return option->values;
    case PQ_TYPE_ASSIGN:
        return "NAME=VALUE";
    case PQ_TYPE_RAW:
        return "none";
    default:
        return pq_option_takes_value(option) ? "1" : "";
    }
}

Test(rsh_options, what_completions_offer_is_taken)
{
    for (size_t i = 0; i < sizeof offered / sizeof offered[0]; i++) {
        const char *value = some_value(&offered[i]);
        do {
            size_t length = strcspn(value, "|");
            expect_taken(&offered[i], value, length);
            value += length + (value[length] == '|');
        } while (*value != '\0');
    }
}

/* ---- keys ---- */

Test(rsh_options, forms_of_a_key)
{
    static const char *const forms[] = {
        "RemoteCommand=ls -l",    "remotecommand ls -l",        "RemoteCommand = ls -l",
        "  RemoteCommand\tls -l", "REMOTECOMMAND  =  ls -l \t",
    };
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        cr_assert_eq(PARSE("-o", forms[i], "web"), 0);
        cr_expect_str_eq(command(), "ls -l", "%s", forms[i]);
        tidy();
    }
    expect_refused(PARSE("-oUser", "web"), PQ_E_USAGE, "User");
    tidy();
    expect_refused(PARSE("-oUser=", "web"), PQ_E_USAGE, "User");
    tidy();
    cr_assert_eq(PARSE("-oUser=\"a b\"", "web"), 0);
    cr_expect_str_eq(options.user, "a b");
}

Test(rsh_options, unknown_keys_mean_nothing)
{
    cr_assert_eq(PARSE("-o", "StrictHostKeyChecking=no", "-oForwardX11 no", "-oNobodyKnows", "-o",
                       "UserKnownHostsFile", "web"),
                 0);
    cr_expect_str_eq(options.host, "web");
}

Test(rsh_options, remote_command)
{
    cr_assert_eq(PARSE("-oRemoteCommand=none", "web", "ls"), 0);
    cr_expect_str_eq(command(), "ls");
    tidy();
    cr_assert_eq(PARSE("-oRemoteCommand=echo \"a  b\"", "web"), 0);
    cr_expect_str_eq(command(), "echo \"a  b\"");
    tidy();
    expect_refused(PARSE("-oRemoteCommand=date", "web", "ls"), PQ_E_USAGE, "RemoteCommand");
}

Test(rsh_options, host_name)
{
    cr_assert_eq(PARSE("-oHostName=100", "web"), 0);
    cr_expect_str_eq(options.host, "web");
    cr_expect_str_eq(options.vm, "100");
}

Test(rsh_options, connect_timeout)
{
    cr_assert_eq(PARSE("-oConnectTimeout=5", "-oConnectTimeout=9", "web"), 0);
    EXPECT_OWN("--connect-timeout=5");
    tidy();
    cr_assert_eq(PARSE("-oConnectTimeout=1m30s", "web"), 0);
    EXPECT_OWN("--connect-timeout=90");
    tidy();
    cr_assert_eq(PARSE("-oConnectTimeout=99999999999999999999", "web"), 0);
    EXPECT_OWN("--connect-timeout=86400");
    tidy();
    cr_assert_eq(PARSE("-oConnectTimeout=none", "-oConnectTimeout=0", "web"), 0);
    cr_expect_eq(options.own_count, 0);
    tidy();
    cr_assert_eq(PARSE("-opve.connect-timeout=7", "-oConnectTimeout=5", "web"), 0);
    EXPECT_OWN("--connect-timeout=5", "--connect-timeout=7");
    tidy();
    expect_refused(PARSE("-oConnectTimeout=soon", "web"), PQ_E_USAGE, "ConnectTimeout");
    tidy();
    expect_refused(PARSE("-oConnectTimeout=5x", "web"), PQ_E_USAGE, "ConnectTimeout");
}

Test(rsh_options, send_env)
{
    cr_assert_eq(PARSE("-oSendEnv=LANG LC_*", "-o", "SendEnv GIT_PROTOCOL -LC_ALL", "web"), 0);
    cr_expect(pq_rsh_options_sends(&options, "LANG", 4));
    cr_expect(pq_rsh_options_sends(&options, "LANG=de", 4));
    cr_expect(pq_rsh_options_sends(&options, "LC_TIME", 7));
    cr_expect(pq_rsh_options_sends(&options, "GIT_PROTOCOL", 12));
    cr_expect_not(pq_rsh_options_sends(&options, "LC_ALL", 6));
    cr_expect_not(pq_rsh_options_sends(&options, "LANGUAGE", 8));
    cr_expect_not(pq_rsh_options_sends(&options, "HOME", 4));
    tidy();
    cr_assert_eq(PARSE("web"), 0);
    cr_expect_not(pq_rsh_options_sends(&options, "LANG", 4));
}

Test(rsh_options, set_env)
{
    cr_assert_eq(PARSE("-oSetEnv=A=1 B=\"x y\"", "-oSetEnv=\"C=z w\"", "web"), 0);
    cr_assert_eq(options.env_count, 3);
    cr_expect_str_eq(options.env[0], "A=1");
    cr_expect_str_eq(options.env[1], "B=x y");
    cr_expect_str_eq(options.env[2], "C=z w");
    tidy();
    expect_refused(PARSE("-oSetEnv=A", "web"), PQ_E_USAGE, "NAME=VALUE");
}

Test(rsh_options, own_options)
{
    cr_assert_eq(PARSE("-o", "pve.host=pve1", "-o", "PVE.port 8006", "-opve.token-id = a=b ",
                       "-opve.no-validate-certs", "-q", "web"),
                 0);
    EXPECT_OWN("--quiet", "--host=pve1", "--port=8006", "--token-id=a=b", "--no-validate-certs");
}

Test(rsh_options, own_options_stay_in_argv)
{
    cr_assert_eq(PARSE("-opve.password=x", "web"), 0);
    cr_assert_eq(options.own_count, 1);
    cr_expect(options.own[0] > words[0] && options.own[0] < words[0] + 16);
}

/* ---- what others send ---- */

Test(rsh_options, as_rsync_calls)
{
    cr_assert_eq(PARSE("-l", "u", "web", "rsync", "--server", "-vlogDtpre.iLsfxCIvu", ".", "a\\ b"),
                 0);
    cr_expect_str_eq(options.user, "u");
    cr_expect_str_eq(command(), "rsync --server -vlogDtpre.iLsfxCIvu . a\\ b");
}

Test(rsh_options, as_git_calls)
{
    cr_assert_eq(PARSE("-G", "-o", "SendEnv=GIT_PROTOCOL", "u@web"), 0);
    cr_expect_eq(options.action, PQ_RSH_LISTING);
    tidy();
    cr_assert_eq(
        PARSE("-o", "SendEnv=GIT_PROTOCOL", "-4", "-p", "22", "web", "git-upload-pack '/srv/a b'"),
        0);
    cr_expect_str_eq(command(), "git-upload-pack '/srv/a b'");
    cr_expect(pq_rsh_options_sends(&options, "GIT_PROTOCOL", 12));
}

Test(rsh_options, as_scp_and_sftp_call)
{
    cr_assert_eq(PARSE("-x", "-oPermitLocalCommand=no", "-oClearAllForwardings=yes",
                       "-oRemoteCommand=none", "-oRequestTTY=no", "-oForwardAgent=no", "-l", "u",
                       "-s", "--", "web", "sftp"),
                 0);
    cr_expect(options.subsystem);
    cr_expect_str_eq(command(), "sftp");
    tidy();
    cr_assert_eq(PARSE("-oForwardX11 no", "-oPort 22", "-obatchmode yes", "-s", "web", "sftp"), 0);
    cr_expect_str_eq(options.host, "web");
    tidy();
    cr_assert_eq(PARSE("-x", "-a", "-oClearAllForwardings=yes", "-2", "-s", "--", "web", "sftp"),
                 0);
    cr_expect(options.subsystem);
    tidy();
    expect_refused(PARSE("-s", "web"), PQ_E_USAGE, "subsystem");
}

Test(rsh_options, as_clush_and_parallel_call)
{
    cr_assert_eq(PARSE("-oForwardAgent=no", "-oForwardX11=no", "-oConnectTimeout=15",
                       "-oBatchMode=yes", "web", "uname -r"),
                 0);
    cr_expect_str_eq(command(), "uname -r");
    tidy();
    cr_assert_eq(PARSE("-l", "u", "web", "--", "exec perl -e x"), 0);
    cr_expect_str_eq(command(), "exec perl -e x");
}

Test(rsh_options, as_ansible_calls)
{
    cr_assert_eq(PARSE("-vvv", "-C", "-o", "ControlMaster=auto", "-o", "ControlPersist=60s", "-o",
                       "StrictHostKeyChecking=no", "-o", "User=\"u\"", "-o", "ConnectTimeout=10",
                       "-o", "ControlPath=\"/x y/z\"", "-tt", "web", "/bin/sh -c 'echo ~'"),
                 0);
    cr_expect_str_eq(options.user, "u");
    cr_expect_eq(options.tty, PQ_RSH_TTY_FORCE);
    cr_expect_str_eq(command(), "/bin/sh -c 'echo ~'");
}

/* ---- the listing ---- */

Test(rsh_options, listing)
{
    pq_buf text = {0};
    cr_assert_eq(PARSE("-G", "-n", "-oHostName=100", "u@web"), 0);
    cr_assert_eq(pq_rsh_options_list(&options, &text, &err), 0);
    cr_expect_not_null(strstr(text.data, "host web\nuser u\nhostname 100\nport 22\n"));
    cr_expect_not_null(strstr(text.data, "\nstdinnull yes\n"));
    pq_buf_done(&text);
}
