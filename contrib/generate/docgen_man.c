/* The generated parts of the man page, with the macros of man(7). */
#include <stdlib.h>
#include <string.h>

#include "contrib/generate/docgen.h"

/* Text for troff: `words` between back quotes become bold, hyphens stay hyphens that can be copied,
 * and no line begins with a control character. */
static void put_text(FILE *out, const char *text)
{
    bool bold = false;

    if (*text == '.' || *text == '\'')
        fputs("\\&", out);
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '`':
            fputs(bold ? "\\fR" : "\\fB", out);
            bold = !bold;
            break;
        case '-':
            fputs("\\-", out);
            break;
        case '\\':
            fputs("\\e", out);
            break;
        default:
            putc(*text, out);
        }
    }
}

static void put_bold(FILE *out, const char *text)
{
    fputs("\\fB", out);
    put_text(out, text);
    fputs("\\fR", out);
}

/* A line of the paragraph's head; the further ones of a secret follow with .TQ. */
static void put_head(FILE *out, const spelling *s)
{
    bool continues = s->prefix[0] != '\0' ||
                     (s->suffix[0] != '\0' && strcmp(s->suffix, pq_secret_ways[1].suffix) != 0);

    fputs(continues ? ".TQ\n" : ".TP\n", out);
    if (s->letter != 0)
        fprintf(out, "\\fB\\-%c\\fR, ", s->letter);
    fputs("\\fB\\-\\-", out);
    put_text(out, s->prefix);
    put_text(out, s->option->name);
    put_text(out, s->suffix);
    fputs("\\fR", out);
    if (s->placeholder != NULL)
        fprintf(out, " \\fI%s\\fR", s->placeholder);
    putc('\n', out);
}

static void put_option(FILE *out, const pq_program *program, const pq_option *option)
{
    for_each_spelling(out, program, option, put_head);
    put_text(out, option->help);
    putc('\n', out);
    if (option->environment == NULL && option->key == NULL && option->fallback == NULL)
        return;
    fputs(".br\n", out);
    if (option->environment != NULL) {
        fputs("Environment: ", out);
        put_bold(out, option->environment);
        fputs(".\n", out);
    }
    if (option->key != NULL) {
        fputs("Key: ", out);
        put_bold(out, option->key);
        fputs(".\n", out);
    }
    if (option->fallback != NULL) {
        fputs("Default: ", out);
        put_bold(out, option->fallback);
        fputs(".\n", out);
    }
}

static void put_command_options(FILE *out, const pq_program *program)
{
    for (size_t i = 0; i < program->command_count; i++) {
        const pq_command *command = &program->commands[i];
        bool titled = false;

        for (size_t j = 0; j < program->row_count; j++) {
            if (!belongs_to(&program->rows[j], command))
                continue;
            if (!titled)
                fprintf(out, ".SS Options of %s\n", command->name);
            titled = true;
            put_option(out, program, &program->rows[j]);
        }
    }
}

static void put_options(FILE *out, const pq_program *program)
{
    put_command_options(out, program);
    for (unsigned group = PQ_GROUP_COMMAND + 1; group < PQ_GROUP_COUNT; group++) {
        fprintf(out, ".SS %s\n", pq_group_title((pq_group)group));
        for (size_t i = 0; i < PQ_OPT_COUNT; i++) {
            if (pq_options[i].group == group)
                put_option(out, program, &pq_options[i]);
        }
    }
}

static void put_commands(FILE *out, const pq_program *program)
{
    for (size_t i = 0; i < program->command_count; i++) {
        const pq_command *command = &program->commands[i];

        fprintf(out, ".TP\n\\fB%s\\fR%s%s\n", command->name,
                command->operands[0] != '\0' ? " " : "", command->operands);
        put_text(out, command->summary);
        putc('\n', out);
    }
}

static void put_variable(FILE *out, const pq_option *option)
{
    bool is_secret = option->type == PQ_TYPE_SECRET;
    if (option->environment == NULL)
        return;
    fputs(".TP\n", out);
    put_bold(out, option->environment);
    fputs(is_secret ? "\nThe secret itself; otherwise as \\fB\\-\\-" : "\nAs \\fB\\-\\-", out);
    put_text(out, option->name);
    fputs(is_secret ? "\\-file\\fR and its like.\n" : "\\fR.\n", out);
}

static void put_environment(FILE *out, const pq_program *program)
{
    for (size_t i = 0; i < PQ_OPT_COUNT; i++)
        put_variable(out, &pq_options[i]);
    for (size_t i = 0; i < program->row_count; i++)
        put_variable(out, &program->rows[i]);
}

static const struct {
    const char *line; /* of the frame */
    void (*put)(FILE *out, const pq_program *program);
} parts[] = {
    {".\\\" generated: commands\n", put_commands},
    {".\\\" generated: options\n", put_options},
    {".\\\" generated: environment\n", put_environment},
};

static void put_frame_line(FILE *out, const pq_program *program, const char *line)
{
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (strcmp(line, parts[i].line) == 0) {
            parts[i].put(out, program);
            return;
        }
    }
    fputs(line, out);
}

int write_man(FILE *out, const pq_program *program, const char *frame_path)
{
    FILE *frame = fopen(frame_path, "r");
    char *line = NULL;
    size_t size = 0;

    if (frame == NULL) {
        perror(frame_path);
        return 1;
    }
    fputs(".\\\" Generated by pq-docgen from the option table; edit pve-qga-run.1.in, options.def\n"
          ".\\\" or commands.def, then build the target \"docs\".\n",
          out);
    while (getline(&line, &size, frame) > 0)
        put_frame_line(out, program, line);
    free(line);
    fclose(frame);
    return 0;
}
