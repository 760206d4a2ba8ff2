/* pq-docgen: see docgen.h. */
#include "contrib/generate/docgen.h"

#include <string.h>

#include "shim/command/commands.h"
#include "shim/shell/program.h"

static const pq_program *const programs[] = {&pq_run_program, &rsh_program, &pq_shell_program};

/* `s` has what all of the option's spellings share. */
static void spell(FILE *out, spelling s, spelling_fn fn)
{
    s.prefix = s.suffix = "";
    if (s.option->type == PQ_TYPE_SECRET) {
        for (size_t kind = 1; kind < PQ_SECRET_KIND_COUNT; kind++) {
            s.suffix = pq_secret_ways[kind].suffix;
            s.placeholder = pq_secret_ways[kind].placeholder;
            s.is_file = kind == PQ_SECRET_FILE;
            fn(out, &s);
        }
        return;
    }
    if (pq_option_takes_value(s.option))
        s.placeholder = s.option->placeholder;
    s.is_file = s.option->type == PQ_TYPE_PATH;
    fn(out, &s);
    if (s.option->type == PQ_TYPE_BOOL) {
        s.prefix = "no-";
        s.letter = 0;
        fn(out, &s);
    }
}

void for_each_spelling(FILE *out, const pq_program *program, const pq_option *option,
                       spelling_fn fn)
{
    spelling s = {.program = program, .option = option, .lead = "--", .letter = option->short_name};

    spell(out, s, fn);
}

static void spell_key(FILE *out, const pq_program *program, const char *lead,
                      const pq_option *option, spelling_fn fn)
{
    spelling s = {.program = program, .option = option, .lead = lead, .is_key = true};

    spell(out, s, fn);
}

void for_own(FILE *out, const pq_program *program, spelling_fn fn)
{
    for (size_t i = 0; i < program->row_count; i++)
        for_each_spelling(out, program, &program->rows[i], fn);
}

void for_shared(FILE *out, const pq_program *program, spelling_fn fn)
{
    if (has_keys(program))
        return;
    for (size_t i = 0; i < PQ_OPT_COUNT; i++)
        for_each_spelling(out, program, &pq_options[i], fn);
}

void for_keys(FILE *out, const pq_program *program, spelling_fn fn)
{
    if (!has_keys(program))
        return;
    for (size_t i = 0; i < rsh_key_count; i++)
        spell_key(out, program, "", &rsh_keys[i], fn);
    for (size_t i = 0; i < PQ_OPT_COUNT; i++) {
        /* Of the others those that mean something have a letter. */
        if (pq_options[i].type != PQ_TYPE_FLAG && pq_options[i].type != PQ_TYPE_COUNT)
            spell_key(out, program, "pve.", &pq_options[i], fn);
    }
}

bool has_keys(const pq_program *program)
{
    return program == &rsh_program;
}

bool takes_keys(const spelling *s)
{
    return has_keys(s->program) && s->letter == 'o';
}

bool belongs_to(const pq_option *option, const pq_command *command)
{
    if (command == NULL)
        return option->commands == 0;
    return (option->commands & command->bit) != 0;
}

int sentence_length(const char *text)
{
    const char *end = strstr(text, ". ");

    return end != NULL ? (int)(end - text) : (int)strlen(text) - 1;
}

void put_values(FILE *out, const char *values)
{
    const char *separator = "";

    while (*values != '\0') {
        size_t length = strcspn(values, "|");

        fprintf(out, "%s%.*s", separator, (int)length, values);
        separator = " ";
        values += length + (values[length] == '|');
    }
}

void put_function(FILE *out, const pq_program *program)
{
    putc('_', out);
    for (const char *at = program->name; *at != '\0'; at++)
        putc(*at == '-' ? '_' : *at, out);
}

void put_summary(FILE *out, const spelling *s, void (*put)(FILE *out, const char *text, int length))
{
    char opposite[80];

    if (s->prefix[0] == '\0') {
        put(out, s->option->help, sentence_length(s->option->help));
        return;
    }
    snprintf(opposite, sizeof opposite, "Opposite of %s%s", s->lead, s->option->name);
    put(out, opposite, (int)strlen(opposite));
}

static int usage(void)
{
    fputs("Usage: pq-docgen man FRAME OUT | bash|zsh|fish PROGRAM OUT\n", stderr);
    return 2;
}

static const pq_program *find_program(const char *name)
{
    for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++) {
        if (strcmp(programs[i]->name, name) == 0)
            return programs[i];
    }
    return NULL;
}

static int write_completion(FILE *out, const char *shell, const char *name)
{
    const pq_program *program = find_program(name);

    if (program == NULL)
        return usage();
    if (strcmp(shell, "bash") == 0)
        write_bash(out, program);
    else if (strcmp(shell, "zsh") == 0)
        write_zsh(out, program);
    else if (strcmp(shell, "fish") == 0)
        write_fish(out, program);
    else
        return usage();
    return 0;
}

int main(int argc, char **argv)
{
    const char *path;
    FILE *out;
    int result;

    if (argc != 4)
        return usage();
    path = argv[3];
    out = fopen(path, "w");
    if (out == NULL) {
        perror(path);
        return 1;
    }
    if (strcmp(argv[1], "man") == 0)
        result = write_man(out, &pq_run_program, argv[2]);
    else
        result = write_completion(out, argv[1], argv[2]);
    if (ferror(out) || fclose(out) != 0) {
        perror(path);
        return 1;
    }
    return result;
}
