#include "shim/operands.h"

#include <stdio.h>
#include <string.h>

#include "exec/quote.h"

/* Operands as they may be shown. */
#define SHOWN_MAX 100

static int unexpected(const char *operand, pq_error *err)
{
    char shown[SHOWN_MAX];
    pq_error_clean(shown, sizeof shown, operand, strlen(operand));
    return pq_fail(err, PQ_E_USAGE, "unexpected operand '%s'", shown);
}

static int no_command(const char *vm, pq_error *err)
{
    char shown[SHOWN_MAX];
    if (vm == NULL)
        return pq_fail(err, PQ_E_USAGE, "no command was given");
    pq_error_clean(shown, sizeof shown, vm, strlen(vm));
    return pq_fail(
        err, PQ_E_USAGE,
        "no command was given for the VM '%s' (if that is the command, put -- before it)", shown);
}

int pq_operands_exec(const pq_operands *operands, bool has_line, pq_exec_operands *ret,
                     pq_error *err)
{
    bool vm_first = operands->had_dashes ? operands->dashes > 0 : operands->count > 0;
    size_t first = vm_first ? 1 : 0;
    pq_exec_operands found = {.vm = vm_first ? operands->items[0] : NULL,
                              .argv = operands->items + first,
                              .argc = operands->count - first};
    if (has_line && found.argc > 0)
        return pq_fail(err, PQ_E_USAGE, "--shell and a command exclude each other");
    if (!has_line && found.argc == 0)
        return no_command(found.vm, err);
    *ret = found;
    return 0;
}

int pq_operands_copy(const pq_operands *operands, pq_copy_operands *ret, pq_error *err)
{
    char **items = operands->items;
    if (operands->count < 2)
        return pq_fail(err, PQ_E_USAGE, "two files are needed, from and to");
    if (operands->count > 3)
        return unexpected(items[3], err);
    bool has_vm = operands->count == 3;
    *ret = (pq_copy_operands){
        .vm = has_vm ? items[0] : NULL, .from = items[has_vm ? 1 : 0], .to = items[has_vm ? 2 : 1]};
    return 0;
}

void pq_operands_base_name(const char *path, char *out, size_t size)
{
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/')
        end--;
    size_t start = end;
    while (start > 0 && path[start - 1] != '/')
        start--;
    if (start == end)
        start = 0;
    snprintf(out, size, "%.*s", (int)(end - start), path + start);
}

int pq_operands_vm(const pq_operands *operands, const char **ret_vm, pq_error *err)
{
    if (operands->count > 1)
        return unexpected(operands->items[1], err);
    *ret_vm = operands->count == 1 ? operands->items[0] : NULL;
    return 0;
}

int pq_operands_none(const pq_operands *operands, pq_error *err)
{
    return operands->count > 0 ? unexpected(operands->items[0], err) : 0;
}

/* Commands that a shell has and that are no programs, or not everywhere. */
static bool is_builtin(const char *name)
{
    static const char *const names[] = {
        ".",        ":",    "alias", "bg",       "break",  "builtin", "cd",    "command",
        "continue", "eval", "exec",  "exit",     "export", "fc",      "fg",    "getopts",
        "hash",     "jobs", "kill",  "readonly", "return", "set",     "shift", "source",
        "times",    "trap", "type",  "ulimit",   "umask",  "unalias", "unset", "wait",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i], name) == 0)
            return true;
    }
    return false;
}

/* A program takes the shell's place, which saves a process and lets a death by signal be seen. In
 * quotes in any case: a bare word could be a reserved one, an alias or an assignment. */
static int add_program(pq_buf *line, const char *name, pq_error *err)
{
    if (!is_builtin(name) && pq_buf_add_text(line, "exec ", err) < 0)
        return -1;
    if (strchr(name, '\'') != NULL)
        return pq_quote_shell(line, name, err);
    return pq_buf_printf(line, err, "'%s'", name);
}

int pq_operands_line(char *const *argv, size_t argc, pq_buf *line, pq_error *err)
{
    if (add_program(line, argv[0], err) < 0)
        return -1;
    for (size_t i = 1; i < argc; i++) {
        if (pq_buf_add_byte(line, ' ', err) < 0 || pq_quote_shell(line, argv[i], err) < 0)
            return -1;
    }
    return 0;
}
