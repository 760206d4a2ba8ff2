/*
 * pve-qga-run: reads the command line and the configuration and calls the command.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shim/operands.h"
#include "shim/process.h"
#include "shim/run.h"
#include "transport/base/fd.h"
#include "transport/base/log.h"
#include "transport/config/suggest.h"

static int (*const functions[PQ_COMMAND_COUNT])(pq_run *run) = {
    [PQ_COMMAND_EXEC] = pq_run_exec,   [PQ_COMMAND_PUT] = pq_run_put,
    [PQ_COMMAND_FETCH] = pq_run_fetch, [PQ_COMMAND_PING] = pq_run_ping,
    [PQ_COMMAND_LIST] = pq_run_list,   [PQ_COMMAND_INVENTORY] = pq_run_inventory,
    [PQ_COMMAND_SERVE] = pq_run_serve, [PQ_COMMAND_CONTROL] = pq_run_control,
};

/* ---- texts on stdout ---- */

static int print_version(pq_error *err)
{
    pq_buf text = {0};
    int result = pq_buf_printf(&text, err, "%s %s\n", pq_run_program.name, PQ_VERSION);
    return pq_run_print(&text, result, err);
}

/* `command` NULL: for the whole program. */
static int print_help(const pq_command *command, pq_error *err)
{
    pq_buf text = {0};
    int result = command != NULL ? pq_help_command(&pq_run_program, command, &text, err)
                                 : pq_help_program(&pq_run_program, &text, err);
    return pq_run_print(&text, result, err);
}

/* The VM that a command line names, or NULL; one that is wrong is not this option's business. */
static const char *named_vm(const pq_run *run, const pq_command *command)
{
    pq_exec_operands exec = {0};
    pq_copy_operands copy = {0};
    const char *vm = NULL;
    pq_error ignored;
    if (command == &pq_commands[PQ_COMMAND_EXEC]) {
        bool has_line = pq_config_is_set(run->config, PQ_OPT_SHELL);
        (void)pq_operands_exec(&run->operands, has_line, &exec, &ignored);
        return exec.vm;
    }
    if (command == &pq_commands[PQ_COMMAND_PUT] || command == &pq_commands[PQ_COMMAND_FETCH]) {
        (void)pq_operands_copy(&run->operands, &copy, &ignored);
        return copy.vm;
    }
    if (command == &pq_commands[PQ_COMMAND_PING])
        (void)pq_operands_vm(&run->operands, &vm, &ignored);
    return vm;
}

static int print_config(const pq_run *run, const pq_command *command, pq_error *err)
{
    pq_buf text = {0};
    const char *selected, *vm = named_vm(run, command);
    bool has_vm = vm != NULL || pq_config_is_set(run->config, PQ_OPT_VMID);
    if (has_vm && pq_config_select_vm(run->config, vm, &selected, err) < 0)
        return pq_run_fail(err);
    return pq_run_print(&text, pq_config_print(run->config, &text, err), err);
}

/* ---- the command ---- */

static int unknown_command(const char *name, pq_error *err)
{
    char shown[100];
    const pq_command *nearest = NULL;
    size_t distance = 3;
    for (size_t i = 0; i < PQ_COMMAND_COUNT; i++) {
        const char *other = pq_commands[i].name;
        size_t edits = pq_edit_distance(name, strlen(name), other, strlen(other));
        if (edits >= distance)
            continue;
        distance = edits;
        nearest = &pq_commands[i];
    }
    pq_error_clean(shown, sizeof shown, name, strlen(name));
    if (nearest != NULL)
        return pq_fail(err, PQ_E_USAGE, "unknown command '%s'; did you mean '%s'?", shown,
                       nearest->name);
    return pq_fail(err, PQ_E_USAGE, "unknown command '%s'", shown);
}

static int find_command(const char *name, const pq_command **ret, pq_error *err)
{
    for (size_t i = 0; i < PQ_COMMAND_COUNT; i++) {
        if (strcmp(pq_commands[i].name, name) == 0) {
            *ret = &pq_commands[i];
            return 0;
        }
    }
    return unknown_command(name, err);
}

/* Options, the command's name, its options and its operands. *ret_command is NULL if none was
 * named. */
static int read_arguments(pq_run *run, int argc, char **argv, const pq_command **ret_command,
                          pq_error *err)
{
    pq_operands all;
    *ret_command = NULL;
    if (pq_config_parse_args(run->config, argc > 0 ? (size_t)argc - 1 : 0, argv + 1, 0, 0, &all,
                             err) < 0)
        return -1;
    if (all.count == 0)
        return 0;
    const pq_command *command;
    if (find_command(all.items[0], &command, err) < 0 ||
        pq_config_parse_args(run->config, all.count - 1, all.items + 1, command->bit,
                             command->stop_after, &run->operands, err) < 0)
        return -1;
    *ret_command = command;
    return 0;
}

static int help_command(const pq_run *run, pq_error *err)
{
    const pq_command *command = NULL;
    const char *name;
    if (pq_operands_vm(&run->operands, &name, err) < 0 ||
        (name != NULL && find_command(name, &command, err) < 0))
        return pq_run_fail(err);
    return print_help(command, err);
}

static int run_command(pq_run *run, const pq_command *command)
{
    pq_trace("run", PQ_TEXT("command", command->name), PQ_TEXT("version", PQ_VERSION));
    int status = functions[command - pq_commands](run);
    /* Some file systems tell a failed write only here. */
    if (close(STDOUT_FILENO) < 0 && errno != EBADF && status == 0) {
        pq_log(PQ_LOG_ERROR, "stdout: cannot write: %s", strerror(errno));
        status = PQ_EXIT_FAILURE;
    }
    pq_trace("exit", PQ_INT("status", status));
    return status;
}

static int run(pq_run *run, int argc, char **argv)
{
    const pq_command *command;
    pq_error err;
    if (read_arguments(run, argc, argv, &command, &err) < 0)
        return pq_run_fail(&err);
    if (pq_config_bool(run->config, PQ_OPT_VERSION))
        return print_version(&err);
    if (pq_config_bool(run->config, PQ_OPT_HELP))
        return print_help(command, &err);
    if (command == &pq_commands[PQ_COMMAND_HELP])
        return help_command(run, &err);
    if (pq_run_load(run, &err) < 0)
        return pq_run_fail(&err);
    if (pq_config_bool(run->config, PQ_OPT_PRINT_CONFIG))
        return print_config(run, command, &err);
    if (command != NULL)
        return run_command(run, command);
    pq_fail(&err, PQ_E_USAGE, "no command was given");
    return pq_run_fail(&err);
}

int main(int argc, char **argv)
{
    pq_run this_run = {0};
    pq_error err;
    pq_process_open_standard();
    pq_process_hide_memory();
    pq_log_set_program(pq_run_program.name);
    this_run.config = pq_config_new(pq_own_options, PQ_OWN_OPTION_COUNT, &err);
    if (this_run.config == NULL)
        return pq_run_fail(&err);
    int status = run(&this_run, argc, argv);
    pq_config_free(this_run.config);
    pq_trace_close();
    return status;
}
