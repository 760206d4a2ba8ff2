/*
 * Which operand is the VM and which the command, and the shell line of a command's arguments.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "shim/operands.h"

static pq_error err;

/* Operands as pq_config_parse_args() gives them; `dashes` -1: there was no "--". */
static pq_operands operands(char **items, int dashes)
{
    pq_operands made = {.items = items, .had_dashes = dashes >= 0};
    while (items[made.count] != NULL)
        made.count++;
    made.dashes = dashes >= 0 ? (size_t)dashes : made.count;
    return made;
}

#define ITEMS(...) ((char **)(const char *[]){__VA_ARGS__, NULL})

Test(operands, exec_takes_the_vm_first)
{
    pq_operands given = operands(ITEMS("web", "ls", "-l"), -1);
    pq_exec_operands found;
    cr_assert_eq(pq_operands_exec(&given, false, &found, &err), 0);
    cr_expect_str_eq(found.vm, "web");
    cr_assert_eq(found.argc, 2);
    cr_expect_str_eq(found.argv[0], "ls");
    cr_expect_str_eq(found.argv[1], "-l");
}

Test(operands, exec_dashes_separate_vm_and_command)
{
    pq_operands given = operands(ITEMS("web", "ls"), 1);
    pq_exec_operands found;
    cr_assert_eq(pq_operands_exec(&given, false, &found, &err), 0);
    cr_expect_str_eq(found.vm, "web");
    cr_assert_eq(found.argc, 1);
    cr_expect_str_eq(found.argv[0], "ls");
}

Test(operands, exec_dashes_first_mean_no_vm)
{
    pq_operands given = operands(ITEMS("web", "ls"), 0);
    pq_exec_operands found;
    cr_assert_eq(pq_operands_exec(&given, false, &found, &err), 0);
    cr_expect_null(found.vm);
    cr_assert_eq(found.argc, 2);
    cr_expect_str_eq(found.argv[0], "web");
}

Test(operands, exec_needs_a_command)
{
    pq_operands only_vm = operands(ITEMS("uptime"), -1);
    pq_operands nothing = {.items = (char *[]){NULL}, .had_dashes = true};
    pq_exec_operands found;
    cr_assert_eq(pq_operands_exec(&only_vm, false, &found, &err), -1);
    cr_expect_eq(err.code, PQ_E_USAGE);
    cr_expect_not_null(strstr(err.text, "'uptime'"), "%s", err.text);
    cr_expect_not_null(strstr(err.text, "--"), "%s", err.text);
    cr_assert_eq(pq_operands_exec(&nothing, false, &found, &err), -1);
    cr_expect_eq(err.code, PQ_E_USAGE);
}

Test(operands, exec_with_a_line_takes_no_command)
{
    pq_operands vm = operands(ITEMS("web"), -1);
    pq_operands both = operands(ITEMS("web", "ls"), -1);
    pq_operands none = {0};
    pq_exec_operands found;
    cr_assert_eq(pq_operands_exec(&vm, true, &found, &err), 0);
    cr_expect_str_eq(found.vm, "web");
    cr_expect_eq(found.argc, 0);
    cr_assert_eq(pq_operands_exec(&none, true, &found, &err), 0);
    cr_expect_null(found.vm);
    cr_assert_eq(pq_operands_exec(&both, true, &found, &err), -1);
    cr_expect_eq(err.code, PQ_E_USAGE);
}

Test(operands, copy)
{
    pq_operands three = operands(ITEMS("web", "a", "b"), -1), two = operands(ITEMS("a", "b"), -1);
    pq_operands one = operands(ITEMS("a"), -1), four = operands(ITEMS("v", "a", "b", "c\n"), -1);
    pq_copy_operands found;
    cr_assert_eq(pq_operands_copy(&three, &found, &err), 0);
    cr_expect_str_eq(found.vm, "web");
    cr_expect_str_eq(found.from, "a");
    cr_expect_str_eq(found.to, "b");
    cr_assert_eq(pq_operands_copy(&two, &found, &err), 0);
    cr_expect_null(found.vm);
    cr_expect_str_eq(found.from, "a");
    cr_expect_str_eq(found.to, "b");
    cr_expect_eq(pq_operands_copy(&one, &found, &err), -1);
    cr_expect_eq(pq_operands_copy(&four, &found, &err), -1);
    cr_expect_str_eq(err.text, "unexpected operand 'c'");
}

Test(operands, vm_alone)
{
    pq_operands one = operands(ITEMS("web"), -1), two = operands(ITEMS("web", "db"), -1);
    pq_operands none = {0};
    const char *vm = "unchanged";
    cr_assert_eq(pq_operands_vm(&two, &vm, &err), -1);
    cr_expect_str_eq(vm, "unchanged");
    cr_expect_str_eq(err.text, "unexpected operand 'db'");
    cr_assert_eq(pq_operands_vm(&one, &vm, &err), 0);
    cr_expect_str_eq(vm, "web");
    cr_assert_eq(pq_operands_vm(&none, &vm, &err), 0);
    cr_expect_null(vm);
    cr_expect_eq(pq_operands_none(&none, &err), 0);
    cr_expect_eq(pq_operands_none(&one, &err), -1);
}

/* What /bin/sh makes of the line: the arguments of a program that prints them. */
static void expect_arguments(char *const *argv, size_t argc, const char *expected)
{
    pq_buf line = {0};
    char got[200];
    cr_assert_eq(pq_operands_line(argv, argc, &line, &err), 0);
    FILE *shell = popen(line.data, "r");
    cr_assert_not_null(shell);
    size_t length = fread(got, 1, sizeof got - 1, shell);
    got[length] = '\0';
    pclose(shell);
    cr_expect_str_eq(got, expected, "%s", line.data);
    pq_buf_done(&line);
}

Test(operands, line_keeps_arguments_exact)
{
    expect_arguments(
        ITEMS("printf", "[%s]", "a b", "", "it's", "$HOME", "*", "~", "a=b", "\\n", "\n"), 11,
        "[a b][][it's][$HOME][*][~][a=b][\\n][\n]");
}

Test(operands, line_quotes_the_program)
{
    static const struct {
        const char *name;
        const char *line;
    } cases[] = {
        {"if", "exec 'if'"},           /* a reserved word */
        {"A=b", "exec 'A=b'"},         /* would be an assignment */
        {"a'b", "exec 'a'\\''b'"},     /* a quote of its own */
        {"/bin/ls", "exec '/bin/ls'"}, /* nothing special */
        {"cd", "'cd'"},                /* no program: exec would not find it */
        {".", "'.'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        pq_buf line = {0};
        cr_assert_eq(pq_operands_line((char **)&cases[i].name, 1, &line, &err), 0);
        cr_expect_str_eq(line.data, cases[i].line);
        pq_buf_done(&line);
    }
}

Test(operands, base_name)
{
    static const struct {
        const char *path, *name;
    } cases[] = {{"/etc/passwd", "passwd"},
                 {"a/b/", "b"},
                 {"a//", "a"},
                 {"/", "/"},
                 {"///", "/"},
                 {"", ""},
                 {".", "."},
                 {"/x", "x"},
                 {"a/..", ".."},
                 {"-", "-"},
                 {"a b/c d", "c d"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char name[32];
        pq_operands_base_name(cases[i].path, name, sizeof name);
        cr_expect_str_eq(name, cases[i].name, "'%s'", cases[i].path);
    }
    char cut[4];
    pq_operands_base_name("/long-name", cut, sizeof cut);
    cr_expect_str_eq(cut, "lon");
}
