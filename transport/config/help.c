#include "transport/config/help.h"

#include <stdio.h>
#include <string.h>

#define WIDTH 80
#define TEXT_COLUMN 30

/* Appends `text` in words, from `column` on, where the line is now; further lines begin there. */
static int add_wrapped(pq_buf *out, size_t column, const char *text, pq_error *err)
{
    size_t at = column;

    while (*text != '\0') {
        size_t length = strcspn(text, " ");
        bool first = at == column;

        if (!first && at + 1 + length > WIDTH) {
            if (pq_buf_printf(out, err, "\n%*s", (int)column, "") < 0)
                return -1;
            at = column;
            first = true;
        }
        if (pq_buf_printf(out, err, "%s%.*s", first ? "" : " ", (int)length, text) < 0)
            return -1;
        at += length + !first;
        text += length;
        text += strspn(text, " ");
    }
    return pq_buf_add_byte(out, '\n', err);
}

/* "  left              text", where a long left part has a line of its own. */
static int add_entry(pq_buf *out, const char *left, const char *text, pq_error *err)
{
    int failed;

    if (strlen(left) + 2 > TEXT_COLUMN)
        failed = pq_buf_printf(out, err, "%s\n%*s", left, TEXT_COLUMN, "");
    else
        failed = pq_buf_printf(out, err, "%-*s", TEXT_COLUMN, left);
    return failed < 0 ? -1 : add_wrapped(out, TEXT_COLUMN, text, err);
}

void pq_help_note(const pq_option *option, char *out, size_t size)
{
    const char *environment = option->environment != NULL ? option->environment : "";
    bool has_default = option->fallback != NULL && option->type != PQ_TYPE_BOOL;

    out[0] = '\0';
    if (environment[0] == '\0' && !has_default)
        return;
    snprintf(out, size, " [%s%s%s%s]", environment,
             environment[0] != '\0' && has_default ? "; " : "", has_default ? "default: " : "",
             has_default ? option->fallback : "");
}

/* One spelling as it stands on the left, "  -H, --host HOST" or "      --port PORT". */
static void spell(const pq_option *option, const pq_secret_way *way, char *out, size_t size)
{
    const char *placeholder =
        option->type == PQ_TYPE_SECRET ? way->placeholder : option->placeholder;
    char letter[] = "    ";

    if (option->short_name != 0)
        snprintf(letter, sizeof letter, "-%c, ", option->short_name);
    snprintf(out, size, "  %s--%s%s%s%s%s", option->short_name != 0 ? letter : "    ",
             option->type == PQ_TYPE_BOOL ? "[no-]" : "", option->name, way->suffix,
             placeholder != NULL ? " " : "", placeholder != NULL ? placeholder : "");
}

static int add_option(pq_buf *out, const pq_option *option, pq_error *err)
{
    size_t last = option->type == PQ_TYPE_SECRET ? PQ_SECRET_KIND_COUNT - 1 : 0;
    char left[80], note[120], text[600];

    for (size_t kind = option->type == PQ_TYPE_SECRET ? 1 : 0; kind < last; kind++) {
        spell(option, &pq_secret_ways[kind], left, sizeof left);
        if (pq_buf_printf(out, err, "%s\n", left) < 0)
            return -1;
    }
    spell(option, &pq_secret_ways[last], left, sizeof left);
    pq_help_note(option, note, sizeof note);
    snprintf(text, sizeof text, "%s%s", option->help, note);
    return add_entry(out, left, text, err);
}

/* The options of one group that `commands` has, under its title. */
static int add_group(pq_buf *out, pq_group group, const pq_option *rows, size_t count,
                     unsigned commands, pq_error *err)
{
    bool titled = false;

    for (size_t i = 0; i < count; i++) {
        if (rows[i].group != group || (rows[i].commands != 0 && (rows[i].commands & commands) == 0))
            continue;
        if (!titled && pq_buf_printf(out, err, "\n%s:\n", pq_group_title(group)) < 0)
            return -1;
        titled = true;
        if (add_option(out, &rows[i], err) < 0)
            return -1;
    }
    return 0;
}

static int add_groups(pq_buf *out, unsigned groups, pq_error *err)
{
    for (unsigned group = 0; group < PQ_GROUP_COUNT; group++) {
        if ((groups & 1u << group) != 0 &&
            add_group(out, (pq_group)group, pq_options, PQ_OPT_COUNT, 0, err) < 0)
            return -1;
    }
    return 0;
}

/* Of a program that does one thing. */
static int add_single(const pq_program *program, pq_buf *out, pq_error *err)
{
    if (pq_buf_printf(out, err, "Usage: %s [OPTION...] %s\n", program->name, program->operands) <
            0 ||
        add_wrapped(out, 0, program->summary, err) < 0 ||
        add_group(out, PQ_GROUP_COMMAND, program->rows, program->row_count, 0, err) < 0)
        return -1;
    return add_groups(out, UINT32_MAX, err);
}

int pq_help_program(const pq_program *program, pq_buf *out, pq_error *err)
{
    if (program->operands != NULL)
        return add_single(program, out, err);
    if (pq_buf_printf(out, err, "Usage: %s [OPTION...] COMMAND [OPTION...] [OPERAND...]\n",
                      program->name) < 0 ||
        add_wrapped(out, 0, program->summary, err) < 0 ||
        pq_buf_add_text(out, "\nCommands:\n", err) < 0)
        return -1;
    for (size_t i = 0; i < program->command_count; i++) {
        const pq_command *command = &program->commands[i];
        char left[100];

        snprintf(left, sizeof left, "  %s %s", command->name, command->operands);
        if (add_entry(out, left, command->summary, err) < 0)
            return -1;
    }
    if (add_groups(out, UINT32_MAX, err) < 0)
        return -1;
    return pq_buf_printf(out, err, "\nOptions of a command: %s COMMAND --help.\n", program->name);
}

int pq_help_command(const pq_program *program, const pq_command *command, pq_buf *out,
                    pq_error *err)
{
    if (pq_buf_printf(out, err, "Usage: %s %s [OPTION...] %s\n", program->name, command->name,
                      command->operands) < 0 ||
        add_wrapped(out, 0, command->summary, err) < 0 ||
        add_group(out, PQ_GROUP_COMMAND, program->rows, program->row_count, command->bit, err) <
            0 ||
        add_groups(out, command->groups, err) < 0)
        return -1;
    return pq_buf_printf(out, err, "\nAll other options: %s --help.\n", program->name);
}
