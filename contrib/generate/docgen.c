/* pq-docgen: see docgen.h. */
#include "contrib/generate/docgen.h"

#include <string.h>

#include "shim/command/commands.h"

void for_each_spelling(FILE *out, const pq_option *option, spelling_fn fn)
{
    spelling s = {.option = option, .prefix = "", .suffix = "", .is_first = true};

    if (option->type == PQ_TYPE_SECRET) {
        for (size_t kind = 1; kind < PQ_SECRET_KIND_COUNT; kind++) {
            s.suffix = pq_secret_ways[kind].suffix;
            s.placeholder = pq_secret_ways[kind].placeholder;
            s.is_file = kind == PQ_SECRET_FILE;
            fn(out, &s);
        }
        return;
    }
    if (pq_option_takes_value(option))
        s.placeholder = option->placeholder;
    s.is_file = option->type == PQ_TYPE_PATH;
    fn(out, &s);
    if (option->type == PQ_TYPE_BOOL) {
        s.prefix = "no-";
        s.is_first = false;
        fn(out, &s);
    }
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

void put_summary(FILE *out, const spelling *s, void (*put)(FILE *out, const char *text, int length))
{
    char opposite[80];

    if (s->prefix[0] == '\0') {
        put(out, s->option->help, sentence_length(s->option->help));
        return;
    }
    snprintf(opposite, sizeof opposite, "Opposite of --%s", s->option->name);
    put(out, opposite, (int)strlen(opposite));
}

static int usage(void)
{
    fputs("Usage: pq-docgen man FRAME OUT | bash OUT | zsh OUT | fish OUT\n", stderr);
    return 2;
}

static int write_kind(FILE *out, const char *kind, const char *frame)
{
    if (strcmp(kind, "man") == 0)
        return write_man(out, &pq_run_program, frame);
    if (strcmp(kind, "bash") == 0)
        write_bash(out, &pq_run_program);
    else if (strcmp(kind, "zsh") == 0)
        write_zsh(out, &pq_run_program);
    else if (strcmp(kind, "fish") == 0)
        write_fish(out, &pq_run_program);
    else
        return usage();
    return 0;
}

int main(int argc, char **argv)
{
    const char *path = argc > 2 ? argv[argc - 1] : NULL;
    FILE *out;
    int result;

    if (path == NULL || argc != (strcmp(argv[1], "man") == 0 ? 4 : 3))
        return usage();
    out = fopen(path, "w");
    if (out == NULL) {
        perror(path);
        return 1;
    }
    result = write_kind(out, argv[1], argv[2]);
    if (ferror(out) || fclose(out) != 0) {
        perror(path);
        return 1;
    }
    return result;
}
