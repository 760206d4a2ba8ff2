/* The command line. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transport/config/internal.h"
#include "transport/config/suggest.h"

/* What an argument beginning with "--" or "-" names. */
typedef struct named {
    unsigned id; /* UINT_MAX: nothing */
    pq_secret_kind kind;
    bool negated;
} named;

typedef struct args {
    pq_config *config;
    size_t argc, at; /* `at` is the argument being looked at */
    char **argv;
    unsigned commands;
} args;

static bool row_is(const pq_config *config, unsigned id, unsigned commands, const char *name,
                   size_t length)
{
    const pq_option *option = pq_config_row(config, id);

    if (id >= PQ_OPT_COUNT && option->commands != 0 && (option->commands & commands) == 0)
        return false;
    return strncmp(option->name, name, length) == 0 && option->name[length] == '\0';
}

unsigned pq_config_find_name(const pq_config *config, const char *name, size_t length,
                             unsigned commands)
{
    unsigned count = (unsigned)pq_config_count(config);

    for (unsigned id = PQ_OPT_COUNT; id < count; id++) {
        if (row_is(config, id, commands, name, length))
            return id;
    }
    for (unsigned id = 0; id < PQ_OPT_COUNT; id++) {
        if (row_is(config, id, commands, name, length))
            return id;
    }
    return UINT_MAX;
}

static unsigned find_short(const pq_config *config, char letter, unsigned commands)
{
    unsigned count = (unsigned)pq_config_count(config);

    for (unsigned id = PQ_OPT_COUNT; id < count; id++) {
        const pq_option *option = pq_config_row(config, id);

        if (option->short_name == letter &&
            (option->commands == 0 || (option->commands & commands) != 0))
            return id;
    }
    for (unsigned id = 0; id < PQ_OPT_COUNT; id++) {
        if (pq_options[id].short_name == letter)
            return id;
    }
    return UINT_MAX;
}

/* "password-file" -> the row of "password" and the kind FILE. */
static bool find_secret_way(const args *a, const char *name, size_t length, named *ret)
{
    for (unsigned kind = 1; kind < PQ_SECRET_KIND_COUNT; kind++) {
        const char *suffix = pq_secret_ways[kind].suffix;
        size_t suffix_length = strlen(suffix);
        unsigned id;

        if (length <= suffix_length ||
            memcmp(name + length - suffix_length, suffix, suffix_length) != 0)
            continue;
        id = pq_config_find_name(a->config, name, length - suffix_length, a->commands);
        if (id == UINT_MAX || pq_config_row(a->config, id)->type != PQ_TYPE_SECRET)
            continue;
        *ret = (named){.id = id, .kind = (pq_secret_kind)kind};
        return true;
    }
    return false;
}

static named find_long(const args *a, const char *name, size_t length)
{
    named found = {.id = pq_config_find_name(a->config, name, length, a->commands)};

    if (found.id != UINT_MAX || find_secret_way(a, name, length, &found))
        return found;
    if (length > 3 && memcmp(name, "no-", 3) == 0) {
        unsigned id = pq_config_find_name(a->config, name + 3, length - 3, a->commands);

        if (id != UINT_MAX && pq_config_row(a->config, id)->type == PQ_TYPE_BOOL)
            found = (named){.id = id, .negated = true};
    }
    return found;
}

static int unknown_option(const args *a, const char *name, size_t length, pq_error *err)
{
    char suggestion[PQ_SUGGESTION_MAX], clean[100];

    pq_error_clean(clean, sizeof clean, name, length);
    if (pq_config_find_name(a->config, name, length, UINT_MAX) != UINT_MAX)
        return pq_fail(err, PQ_E_USAGE, "option --%s does not belong to this command", clean);
    if (pq_suggest_option(a->config, a->commands, name, length, suggestion))
        return pq_fail(err, PQ_E_USAGE, "unknown option --%s; did you mean --%s?", clean,
                       suggestion);
    return pq_fail(err, PQ_E_USAGE, "unknown option --%s", clean);
}

/* A secret as a value is wiped, whether it stands in this argument or in the next one. */
static int refuse_secret(args *a, const pq_option *option, char *attached, pq_error *err)
{
    char *value = attached;

    if (value == NULL && a->at + 1 < a->argc)
        value = a->argv[a->at + 1];
    if (value != NULL)
        pq_wipe(value, strlen(value));
    return pq_fail(err, PQ_E_USAGE,
                   "--%s: every user of this machine can see a secret on the command line; use %s "
                   "or --%s-file, --%s-fd or --%s-command",
                   option->name, option->environment != NULL ? option->environment : "a file",
                   option->name, option->name, option->name);
}

/* Takes an option; `attached` is a value in the same argument, or NULL. `shown` is how the user
 * spelled the option. */
static int take_option(args *a, const named *option_named, const char *shown, char *attached,
                       pq_error *err)
{
    const pq_option *option = pq_config_row(a->config, option_named->id);
    pq_origin origin = {.source = PQ_SOURCE_COMMAND_LINE, .name = shown};
    const char *text = attached;

    if (option->type == PQ_TYPE_SECRET && option_named->kind == PQ_SECRET_VALUE)
        return refuse_secret(a, option, attached, err);
    if (!pq_option_takes_value(option)) {
        if (attached != NULL && (option->type != PQ_TYPE_BOOL || option_named->negated))
            return pq_fail(err, PQ_E_USAGE, "%s takes no value", shown);
        if (attached == NULL)
            text = option_named->negated ? "0" : "1";
    } else if (text == NULL) {
        if (a->at + 1 >= a->argc)
            return pq_fail(err, PQ_E_USAGE, "%s needs a value", shown);
        text = a->argv[++a->at];
    }
    return pq_config_offer(a->config, option_named->id, option_named->kind, &origin, text, err);
}

static int take_long(args *a, pq_error *err)
{
    char *name = a->argv[a->at] + 2, shown[64];
    size_t length = strcspn(name, "=");
    named found = find_long(a, name, length);

    if (found.id == UINT_MAX)
        return unknown_option(a, name, length, err);
    snprintf(shown, sizeof shown, "--%.*s", (int)length, name);
    return take_option(a, &found, shown, name[length] == '=' ? name + length + 1 : NULL, err);
}

/* "-vvq", "-Hhost": a letter that takes a value takes the rest of its argument. */
static int take_short(args *a, pq_error *err)
{
    for (char *letter = a->argv[a->at] + 1; *letter != '\0'; letter++) {
        named found = {.id = find_short(a->config, *letter, a->commands)};
        char shown[] = {'-', *letter, '\0'};
        bool takes_value;

        if (found.id == UINT_MAX) {
            pq_error_clean(shown + 1, sizeof shown - 1, letter, 1);
            return pq_fail(err, PQ_E_USAGE, "unknown option %s", shown);
        }
        takes_value = pq_option_takes_value(pq_config_row(a->config, found.id));
        if (takes_value)
            return take_option(a, &found, shown, letter[1] != '\0' ? letter + 1 : NULL, err);
        if (take_option(a, &found, shown, NULL, err) < 0)
            return -1;
    }
    return 0;
}

int pq_config_parse_args(pq_config *config, size_t argc, char **argv, unsigned commands,
                         size_t stop_after, pq_operands *ret, pq_error *err)
{
    args a = {.config = config, .argc = argc, .argv = argv, .commands = commands};
    size_t count = 0, dashes = SIZE_MAX;

    for (; a.at < argc; a.at++) {
        char *arg = argv[a.at];

        if (strcmp(arg, "--") == 0) {
            dashes = count;
            a.at++;
            break;
        }
        if (arg[0] == '-' && arg[1] != '\0') {
            if ((arg[1] == '-' ? take_long(&a, err) : take_short(&a, err)) < 0)
                return -1;
        } else if (count < stop_after) {
            argv[count++] = arg; /* never ahead of `at` */
        } else {
            break;
        }
    }
    while (a.at < argc)
        argv[count++] = argv[a.at++];
    *ret = (pq_operands){.items = argv, .count = count, .had_dashes = dashes != SIZE_MAX};
    ret->dashes = ret->had_dashes ? dashes : count;
    return 0;
}
