/*
 * pve-qga-rsh: reads ssh's command line and the configuration, and runs the session.
 */
#include <string.h>
#include <unistd.h>

#include "shim/process.h"
#include "shim/rsh/options.h"
#include "shim/rsh/relay.h"
#include "transport/base/fd.h"
#include "transport/base/log.h"

#define PROGRAM "pve-qga-rsh"

static const char help[] =
    "Usage: " PROGRAM " [OPTION...] [USER@]VM [COMMAND...]\n"
    "Runs a command in a guest of Proxmox VE as ssh would: for rsync -e, git, sftp -S, scp -S,\n"
    "a ProxyCommand and whatever else calls ssh. VM is an id, a name, or that of a section\n"
    "[vm NAME] of the configuration file. Takes ssh's options; these mean something:\n"
    "\n"
    "  -l USER          the user in the guest, root if left out\n"
    "  -n               an empty stdin\n"
    "  -s               COMMAND is the name of a subsystem: sftp\n"
    "  -t, -tt, -T      a terminal in the guest if stdin is one, in any case, or none\n"
    "  -e CHAR          the escape character of a session on a terminal, ~ if left out\n"
    "  -q, -v           say nothing but errors; say what is going on, twice for more\n"
    "  -G, -V           print what the options come to, or the version, and end\n"
    "  -o KEY=VALUE     User, HostName, RemoteCommand, RequestTTY, SessionType, StdinNull,\n"
    "                   ConnectTimeout, EscapeChar, SendEnv, SetEnv, LogLevel\n"
    "  -o pve.NAME=VALUE  the option --NAME of pve-qga-run, as in -o pve.host=pve1\n"
    "\n"
    "Host and login come from the environment and the configuration file: see pve-qga-run(1).\n"
    "More in " PROGRAM "(1).\n";

static int print(int fd, const char *text, pq_error *err)
{
    return pq_write_all(fd, text, strlen(text), err) < 0 ? pq_run_fail(err) : 0;
}

static int print_listing(const pq_rsh_options *options, pq_error *err)
{
    pq_buf text = {0};
    return pq_run_print(&text, pq_rsh_options_list(options, &text, err), err);
}

/* There is no shared connection, so it is not running, and to end it is easy. */
static int answer_control(const pq_rsh_options *options, pq_error *err)
{
    if (strcmp(options->control, "stop") == 0 || strcmp(options->control, "exit") == 0)
        return 0;
    if (strcmp(options->control, "check") == 0)
        pq_fail(err, PQ_E_UNSUPPORTED, "no shared connection is running");
    else
        pq_fail(err, PQ_E_UNSUPPORTED, "-O: a shared connection cannot be had");
    return pq_run_fail(err);
}

/* ---- the session ---- */

/* Our own options, the environment and the files. */
static int load(pq_run *run, const pq_rsh_options *options, pq_error *err)
{
    pq_operands none;
    if (pq_config_parse_args(run->config, options->own_count, options->own, 0, 0, &none, err) < 0)
        return -1;
    return pq_run_load(run, err);
}

static int run_session(pq_run *run, const pq_rsh_options *options)
{
    pq_trace("run", PQ_TEXT("command", "rsh"), PQ_TEXT("version", PQ_VERSION));
    int status = pq_rsh_relay(run, options);
    pq_trace("exit", PQ_INT("status", status));
    return status;
}

static int act(pq_run *run, const pq_rsh_options *options, pq_error *err)
{
    switch (options->action) {
    case PQ_RSH_HELP:
        return print(STDOUT_FILENO, help, err);
    case PQ_RSH_VERSION:
        /* Where ssh has it. */
        return print(STDERR_FILENO, PROGRAM " " PQ_VERSION "\n", err);
    case PQ_RSH_LISTING:
        return print_listing(options, err);
    case PQ_RSH_CONTROL:
        return answer_control(options, err);
    case PQ_RSH_RUN:
        break;
    }
    return load(run, options, err) < 0 ? pq_run_fail(err) : run_session(run, options);
}

int main(int argc, char **argv)
{
    pq_run run = {0};
    pq_rsh_options options;
    pq_error err;
    pq_process_open_standard();
    pq_process_hide_memory();
    pq_log_set_program(PROGRAM);
    run.config = pq_config_new(pq_own_options, PQ_OWN_OPTION_COUNT, &err);
    if (run.config == NULL)
        return pq_run_fail(&err);
    size_t count = argc > 0 ? (size_t)argc - 1 : 0;
    int status = pq_rsh_options_parse(&options, count, argv + 1, &err) < 0
                     ? pq_run_fail(&err)
                     : act(&run, &options, &err);
    pq_rsh_options_done(&options);
    pq_config_free(run.config);
    pq_trace_close();
    return status;
}
