#include "transport/config/config.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transport/config/internal.h"
#include "transport/config/value.h"

static int no_memory(pq_error *err)
{
    return pq_fail(err, PQ_E_NOMEM, "out of memory");
}

size_t pq_config_count(const pq_config *config)
{
    return PQ_OPT_COUNT + config->row_count;
}

const pq_option *pq_config_row(const pq_config *config, unsigned id)
{
    if (id < PQ_OPT_COUNT)
        return &pq_options[id];
    return id < pq_config_count(config) ? &config->rows[id - PQ_OPT_COUNT] : NULL;
}

static void value_done(pq_value *value)
{
    for (size_t i = 0; i < value->item_count; i++)
        free(value->items[i]);
    free(value->items);
    free(value->origin);
    free(value->text);
    pq_secret_done(&value->secret);
    memset(value, 0, sizeof *value);
}

static char *copy_text(const char *text, bool *failed)
{
    char *copy = text != NULL ? strdup(text) : NULL;

    *failed = *failed || (text != NULL && copy == NULL);
    return copy;
}

/* `to` is empty; on failure it can be freed as it is. */
static int value_copy(pq_value *to, const pq_value *from, pq_error *err)
{
    bool failed = false;

    to->set = from->set;
    to->source = from->source;
    to->number = from->number;
    to->kind = from->kind;
    to->origin = copy_text(from->origin, &failed);
    to->text = copy_text(from->text, &failed);
    if (from->item_count > 0) {
        to->items = calloc(from->item_count, sizeof *to->items);
        failed = failed || to->items == NULL;
        for (size_t i = 0; i < from->item_count && !failed; i++) {
            to->items[i] = copy_text(from->items[i], &failed);
            to->item_count++;
        }
    }
    if (failed)
        return no_memory(err);
    if (!pq_secret_is_set(&from->secret))
        return 0;
    return pq_secret_set(&to->secret, from->secret.text, from->secret.length, err);
}

static int take_defaults(pq_config *config, pq_error *err)
{
    pq_origin origin = {.source = PQ_SOURCE_DEFAULT, .name = "default"};

    for (unsigned id = 0; id < pq_config_count(config); id++) {
        const char *fallback = pq_config_row(config, id)->fallback;

        if (fallback != NULL &&
            pq_config_offer(config, id, PQ_SECRET_VALUE, &origin, fallback, err) < 0)
            return -1;
    }
    return 0;
}

pq_config *pq_config_new_empty(const pq_option *rows, size_t row_count, pq_error *err)
{
    pq_config *config = calloc(1, sizeof *config);

    if (config != NULL) {
        config->rows = rows;
        config->row_count = row_count;
        config->sections_end = &config->sections;
        config->values = calloc(PQ_OPT_COUNT + row_count, sizeof *config->values);
    }
    if (config == NULL || config->values == NULL) {
        free(config);
        no_memory(err);
        return NULL;
    }
    return config;
}

pq_config *pq_config_new(const pq_option *rows, size_t row_count, pq_error *err)
{
    pq_config *config = pq_config_new_empty(rows, row_count, err);

    if (config == NULL || take_defaults(config, err) == 0)
        return config;
    pq_config_free(config);
    return NULL;
}

pq_config *pq_config_copy(const pq_config *config, pq_error *err)
{
    pq_config *copy = pq_config_new_empty(config->rows, config->row_count, err);

    if (copy == NULL)
        return NULL;
    copy->is_copy = true;
    copy->sections = config->sections;
    for (size_t i = 0; i < pq_config_count(config); i++) {
        if (value_copy(&copy->values[i], &config->values[i], err) < 0) {
            pq_config_free(copy);
            return NULL;
        }
    }
    return copy;
}

void pq_config_free(pq_config *config)
{
    if (config == NULL)
        return;
    for (size_t i = 0; i < pq_config_count(config); i++)
        value_done(&config->values[i]);
    free(config->values);
    if (!config->is_copy)
        pq_config_free_sections(config);
    free(config->home);
    free(config->vm);
    free(config);
}

void pq_origin_text(const pq_origin *origin, char out[PQ_ORIGIN_MAX])
{
    switch (origin->source) {
    case PQ_SOURCE_SYSTEM_FILE:
    case PQ_SOURCE_SYSTEM_VM:
    case PQ_SOURCE_USER_FILE:
    case PQ_SOURCE_USER_VM:
        snprintf(out, PQ_ORIGIN_MAX, "%.180s:%u: %s", origin->file, origin->line, origin->name);
        break;
    case PQ_SOURCE_REQUEST:
        snprintf(out, PQ_ORIGIN_MAX, "request option '%s'", origin->name);
        break;
    case PQ_SOURCE_DEFAULT:
    case PQ_SOURCE_ENVIRONMENT:
    case PQ_SOURCE_COMMAND_LINE:
        snprintf(out, PQ_ORIGIN_MAX, "%s", origin->name);
    }
}

/* The origin as --print-config shows it. */
static char *describe(const pq_origin *origin)
{
    char out[PQ_ORIGIN_MAX];

    switch (origin->source) {
    case PQ_SOURCE_SYSTEM_FILE:
    case PQ_SOURCE_SYSTEM_VM:
    case PQ_SOURCE_USER_FILE:
    case PQ_SOURCE_USER_VM:
        snprintf(out, sizeof out, "%.180s:%u", origin->file, origin->line);
        break;
    case PQ_SOURCE_ENVIRONMENT:
        snprintf(out, sizeof out, "environment %s", origin->name);
        break;
    case PQ_SOURCE_COMMAND_LINE:
        snprintf(out, sizeof out, "command line %s", origin->name);
        break;
    case PQ_SOURCE_REQUEST:
        snprintf(out, sizeof out, "request");
        break;
    case PQ_SOURCE_DEFAULT:
        snprintf(out, sizeof out, "default");
    }
    return strdup(out);
}

static pq_code code_of_source(pq_source source)
{
    if (source == PQ_SOURCE_COMMAND_LINE || source == PQ_SOURCE_REQUEST)
        return PQ_E_USAGE;
    return source == PQ_SOURCE_DEFAULT ? PQ_E_INTERNAL : PQ_E_CONFIG;
}

/* A proxy URL with a password in it and a secret are not shown. */
static int bad_value(const pq_option *option, const pq_origin *origin, pq_value_result result,
                     const char *text, pq_error *err)
{
    bool shown = option->type != PQ_TYPE_PROXY && option->type != PQ_TYPE_SECRET;
    char where[PQ_ORIGIN_MAX], expected[160], clean[100];

    if (result == PQ_VALUE_NO_MEMORY)
        return no_memory(err);
    pq_origin_text(origin, where);
    pq_option_expected(option, expected, sizeof expected);
    pq_error_clean(clean, sizeof clean, text, strlen(text));
    if (text[0] == '\0')
        return pq_fail(err, code_of_source(origin->source), "%s: the value is empty, not %s", where,
                       expected);
    if (!shown)
        return pq_fail(err, code_of_source(origin->source), "%s: the value is not %s", where,
                       expected);
    return pq_fail(err, code_of_source(origin->source), "%s: '%s' is not %s", where, clean,
                   expected);
}

/* The row that describes `text`: of a secret's file, descriptor or command another than its own. */
static const pq_option *row_of_kind(const pq_option *option, pq_secret_kind kind)
{
    static const pq_option ways[PQ_SECRET_KIND_COUNT] = {
        [PQ_SECRET_FILE] = {.type = PQ_TYPE_PATH},
        [PQ_SECRET_FD] = {.type = PQ_TYPE_INT, .minimum = 0, .maximum = INT_MAX},
        [PQ_SECRET_COMMAND] = {.type = PQ_TYPE_TEXT},
    };

    return kind == PQ_SECRET_VALUE ? option : &ways[kind];
}

static bool is_plain_secret(const pq_option *option, pq_secret_kind kind)
{
    return option->type == PQ_TYPE_SECRET && kind == PQ_SECRET_VALUE;
}

int pq_config_check(const pq_config *config, unsigned id, pq_secret_kind kind,
                    const pq_origin *origin, const char *text, pq_error *err)
{
    const pq_option *option = pq_config_row(config, id);
    pq_value_result result;
    int64_t number;
    char *parsed;

    if (is_plain_secret(option, kind))
        return pq_value_fits_secret(option, text, strlen(text))
                   ? 0
                   : bad_value(option, origin, PQ_VALUE_BAD, text, err);
    option = row_of_kind(option, kind);
    result = pq_value_parse(option, text, &parsed, &number);
    if (result != PQ_VALUE_OK)
        return bad_value(option, origin, result, text, err);
    free(parsed);
    return 0;
}

/* Adds a repeated value; `text` stays the caller's. */
static int add_item(pq_value *value, const char *text, pq_error *err)
{
    char **items = realloc(value->items, (value->item_count + 1) * sizeof *items);

    if (items == NULL)
        return no_memory(err);
    value->items = items;
    items[value->item_count] = strdup(text);
    if (items[value->item_count] == NULL)
        return no_memory(err);
    value->item_count++;
    return 0;
}

/* Fills an empty value. */
static int value_fill(pq_value *value, const pq_option *option, pq_secret_kind kind,
                      const pq_origin *origin, const char *text, pq_error *err)
{
    pq_value_result result;

    value->set = true;
    value->source = origin->source;
    value->kind = kind;
    value->origin = describe(origin);
    if (value->origin == NULL)
        return no_memory(err);
    if (is_plain_secret(option, kind))
        return pq_secret_set(&value->secret, text, strlen(text), err);
    option = row_of_kind(option, kind);
    result = pq_value_parse(option, text, &value->text, &value->number);
    return result == PQ_VALUE_OK ? 0 : bad_value(option, origin, result, text, err);
}

int pq_config_offer(pq_config *config, unsigned id, pq_secret_kind kind, const pq_origin *origin,
                    const char *text, pq_error *err)
{
    const pq_option *option = pq_config_row(config, id);
    pq_value *value = &config->values[id], fresh = {0};
    bool same_source = value->set && value->source == origin->source;

    if (pq_config_check(config, id, kind, origin, text, err) < 0)
        return -1;
    if (value->set && value->source > origin->source)
        return 0;
    if (value_fill(&fresh, option, kind, origin, text, err) < 0) {
        value_done(&fresh);
        return -1;
    }
    if (option->type == PQ_TYPE_COUNT && same_source)
        fresh.number += value->number;
    if (option->type == PQ_TYPE_ASSIGN) {
        if (same_source) {
            fresh.items = value->items;
            fresh.item_count = value->item_count;
            value->items = NULL;
            value->item_count = 0;
        }
        if (add_item(&fresh, text, err) < 0) {
            value_done(&fresh);
            return -1;
        }
    }
    value_done(value);
    *value = fresh;
    return 0;
}
