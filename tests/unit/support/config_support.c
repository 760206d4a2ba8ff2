#include "tests/unit/support/config_support.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARGUMENTS_MAX 32

const pq_option test_rows[] = {
    [OPT_ENV - PQ_OPT_COUNT] = {.name = "env",
                                .short_name = 'e',
                                .type = PQ_TYPE_ASSIGN,
                                .placeholder = "NAME=VALUE",
                                .help = "A variable."},
    [OPT_MODE - PQ_OPT_COUNT] = {.name = "mode",
                                 .short_name = 'm',
                                 .type = PQ_TYPE_MODE,
                                 .placeholder = "MODE",
                                 .help = "Permissions."},
    [OPT_NO_STDIN - PQ_OPT_COUNT] = {.name = "no-stdin",
                                     .short_name = 'n',
                                     .type = PQ_TYPE_FLAG,
                                     .help = "No input."},
    [OPT_RUN_ONLY - PQ_OPT_COUNT] = {.name = "run-only",
                                     .short_name = 'r',
                                     .type = PQ_TYPE_RAW,
                                     .commands = RUN,
                                     .placeholder = "TEXT",
                                     .help = "Any text."},
};

const char *get_test_variable(void *context, const char *name)
{
    for (const char *const *variable = context; variable[0] != NULL; variable += 2) {
        if (strcmp(variable[0], name) == 0)
            return variable[1];
    }
    return NULL;
}

pq_config *must_new(void)
{
    pq_error err;
    pq_config *config = pq_config_new(test_rows, TEST_ROW_COUNT, &err);
    cr_assert_not_null(config, "%s", err.text);
    return config;
}

static int parse(pq_config *config, pq_source source, const char *text, pq_error *err)
{
    pq_config_text_file file = {.name = "test.conf", .source = source, .mode = 0600, .owned = true};
    return pq_config_parse_file(config, &file, text, strlen(text), err);
}

void must_parse(pq_config *config, pq_source source, const char *text)
{
    pq_error err;
    cr_assert_eq(parse(config, source, text, &err), 0, "%s", err.text);
}

static int load(pq_config *config, const char *const *variables, pq_error *err)
{
    return pq_config_load(config, "/nonexistent/system.conf", get_test_variable, (void *)variables,
                          err);
}

void must_load(pq_config *config, const char *const *variables)
{
    pq_error err;
    cr_assert_eq(load(config, variables, &err), 0, "%s", err.text);
}

static int take_args(pq_config *config, const char *arguments, pq_error *err)
{
    static char copy[4096];
    char *argv[ARGUMENTS_MAX], *rest = NULL;
    size_t argc = 0;
    pq_operands operands;

    snprintf(copy, sizeof copy, "%s", arguments);
    for (char *word = strtok_r(copy, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        cr_assert_lt(argc, ARGUMENTS_MAX);
        argv[argc++] = word;
    }
    return pq_config_parse_args(config, argc, argv, RUN, SIZE_MAX, &operands, err);
}

void must_take_args(pq_config *config, const char *arguments)
{
    pq_error err;
    cr_assert_eq(take_args(config, arguments, &err), 0, "%s", err.text);
}

void must_be_error(const pq_error *err, pq_code code, const char *part)
{
    cr_expect_eq(err->code, code, "code %s, not %s: %s", pq_code_name(err->code),
                 pq_code_name(code), err->text);
    cr_expect_eq(err->effect, PQ_EFFECT_NONE);
    cr_expect_not_null(strstr(err->text, part), "'%s' is not in: %s", part, err->text);
}

void must_not_parse(const char *text, pq_code code, const char *part)
{
    pq_config *config = must_new();
    pq_error err = {0};
    cr_expect_eq(parse(config, PQ_SOURCE_USER_FILE, text, &err), -1, "accepted: %s", text);
    must_be_error(&err, code, part);
    pq_config_free(config);
}

void must_not_load(const char *const *variables, pq_code code, const char *part)
{
    pq_config *config = must_new();
    pq_error err = {0};
    cr_expect_eq(load(config, variables, &err), -1, "accepted: %s", variables[1]);
    must_be_error(&err, code, part);
    pq_config_free(config);
}

void must_not_take_args(const char *arguments, pq_code code, const char *part)
{
    pq_config *config = must_new();
    pq_error err = {0};
    cr_expect_eq(take_args(config, arguments, &err), -1, "accepted: %s", arguments);
    must_be_error(&err, code, part);
    pq_config_free(config);
}

static char directory[64];

static void remove_directory(void)
{
    char command[96];
    snprintf(command, sizeof command, "rm -r %s", directory);
    if (system(command) != 0)
        perror(directory);
}

const char *test_directory(void)
{
    if (directory[0] == '\0') {
        strcpy(directory, "/tmp/pq-config-XXXXXX");
        cr_assert_not_null(mkdtemp(directory));
        atexit(remove_directory);
    }
    return directory;
}

const char *must_write(const char *name, mode_t mode, const char *text)
{
    static char paths[8][256];
    static size_t used;
    char *path = paths[used++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", test_directory(), name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    cr_assert_geq(fd, 0, "%s", path);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    cr_assert_eq(fchmod(fd, mode), 0);
    close(fd);
    return path;
}
