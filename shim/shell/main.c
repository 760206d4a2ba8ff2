/*
 * pve-qga-shell: an interactive session, which is one of pve-qga-rsh on a terminal with the command
 * line of pve-qga-run.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shim/process.h"
#include "shim/rsh/escape.h"
#include "shim/rsh/options.h"
#include "shim/rsh/relay.h"
#include "shim/shell/program.h"
#include "transport/base/fd.h"
#include "transport/base/log.h"

/* Of our environment, as an SSH client commonly sends it; TERM goes with the terminal. */
static char lang[] = "LANG", categories[] = "LC_*", colours[] = "COLORTERM";
static char *sent_variables[] = {lang, categories, colours};

/* ---- what is wanted ---- */

static int take_vm(pq_rsh_options *wanted, const pq_config *config, pq_operands *operands,
                   pq_error *err)
{
    wanted->user = pq_config_text(config, PQ_SHELL_OPT_LOGIN_NAME);
    if (operands->count == 0)
        return pq_config_is_set(config, PQ_OPT_VMID) ? 0
                                                     : pq_fail(err, PQ_E_USAGE, "no VM was named");
    char *text = operands->items[0];
    if (pq_rsh_options_take_user(wanted, &text, err) < 0)
        return -1;
    wanted->vm = wanted->host = text;
    return text[0] != '\0' ? 0 : pq_fail(err, PQ_E_USAGE, "no VM was named");
}

static int take_operands(pq_rsh_options *wanted, const pq_config *config, pq_operands *operands,
                         pq_error *err)
{
    const char *escape = pq_config_text(config, PQ_SHELL_OPT_ESCAPE_CHAR);
    if (!pq_escape_parse(escape, &wanted->escape))
        return pq_fail(err, PQ_E_USAGE,
                       "--escape-char: '%s' is not a character, ^ and a letter, or none", escape);
    if (take_vm(wanted, config, operands, err) < 0)
        return -1;
    return operands->count > 0
               ? pq_rsh_options_join(wanted, operands->count - 1, operands->items + 1, err)
               : 0;
}

/* ---- the session ---- */

static int run_session(pq_run *run, pq_rsh_options *wanted, pq_error *err)
{
    pq_buf text = {0};
    const char *selected;
    if (pq_run_load(run, err) < 0 || take_operands(wanted, run->config, &run->operands, err) < 0)
        return pq_run_fail(err);
    if (pq_config_bool(run->config, PQ_OPT_PRINT_CONFIG)) {
        if (pq_config_select_vm(run->config, wanted->vm, &selected, err) < 0)
            return pq_run_fail(err);
        return pq_run_print(&text, pq_config_print(run->config, &text, err), err);
    }
    pq_trace("run", PQ_TEXT("command", "shell"), PQ_TEXT("version", PQ_VERSION));
    int status = pq_rsh_relay(run, wanted);
    pq_trace("exit", PQ_INT("status", status));
    return status;
}

static int act(pq_run *run, int argc, char **argv, pq_error *err)
{
    pq_buf text = {0};
    pq_rsh_options wanted = {.tty = PQ_RSH_TTY_FORCE,
                             .send_env = sent_variables,
                             .send_env_count = sizeof sent_variables / sizeof sent_variables[0]};
    if (pq_config_parse_args(run->config, argc > 0 ? (size_t)argc - 1 : 0, argv + 1, 0, 1,
                             &run->operands, err) < 0)
        return pq_run_fail(err);
    if (pq_config_bool(run->config, PQ_OPT_VERSION))
        return pq_run_print(
            &text, pq_buf_printf(&text, err, "%s %s\n", pq_shell_program.name, PQ_VERSION), err);
    if (pq_config_bool(run->config, PQ_OPT_HELP))
        return pq_run_print(&text, pq_help_program(&pq_shell_program, &text, err), err);
    int status = run_session(run, &wanted, err);
    pq_buf_done(&wanted.command);
    return status;
}

int main(int argc, char **argv)
{
    pq_run run = {0};
    pq_error err;
    pq_process_open_standard();
    pq_process_hide_memory();
    pq_log_set_program(pq_shell_program.name);
    run.config = pq_config_new(pq_shell_program.rows, pq_shell_program.row_count, &err);
    if (run.config == NULL)
        return pq_run_fail(&err);
    int status = act(&run, argc, argv, &err);
    pq_config_free(run.config);
    pq_trace_close();
    return status;
}
