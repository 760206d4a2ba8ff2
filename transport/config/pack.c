#include "transport/config/pack.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transport/config/internal.h"
#include "transport/config/value.h"

/*
 * numbers  eight bytes each, as the processor has them: both sides run on the same one
 * text     its length with the NUL and its bytes; length 0: NULL
 * secret   its length and its bytes
 *
 *   count of values, then for each: set, source, kind, number, origin, text, secret, count of
 *   items, items; home; for each section line: 1, id, kind, source, line, vm, file, name, text,
 *   secret; 0
 */

/* ---- relative paths ---- */

static int resolve(char **path, const char *cwd, pq_error *err)
{
    char *whole;
    if (*path == NULL || (*path)[0] == '/' || (*path)[0] == '\0')
        return 0;
    if (strlen(cwd) + 1 + strlen(*path) > PQ_VALUE_MAX)
        return pq_fail(err, PQ_E_USAGE, "the path of '%.200s' is too long", *path);
    if (asprintf(&whole, "%s/%s", cwd, *path) < 0)
        return pq_fail(err, PQ_E_NOMEM, "out of memory");
    free(*path);
    *path = whole;
    return 0;
}

static bool is_path(const pq_config *config, unsigned id, pq_secret_kind kind)
{
    pq_type type = pq_config_row(config, id)->type;
    return type == PQ_TYPE_PATH || (type == PQ_TYPE_SECRET && kind == PQ_SECRET_FILE);
}

int pq_config_resolve_paths(pq_config *config, const char *cwd, pq_error *err)
{
    if (cwd == NULL)
        return 0;
    for (unsigned id = 0; id < pq_config_count(config); id++) {
        pq_value *value = &config->values[id];
        if (is_path(config, id, value->kind) && resolve(&value->text, cwd, err) < 0)
            return -1;
    }
    for (pq_section_line *line = config->sections; !config->is_copy && line != NULL;
         line = line->next) {
        if (is_path(config, line->id, line->kind) && resolve(&line->text, cwd, err) < 0)
            return -1;
    }
    return 0;
}

/* ---- packing ---- */

/* Without `out` the bytes are only counted: a buffer that grows would leave copies of secrets. */
typedef struct packer {
    pq_buf *out;
    size_t length;
    int result;
    pq_error *err;
} packer;

static void put_bytes(packer *p, const void *bytes, size_t length)
{
    p->length += length;
    if (p->out != NULL && p->result == 0 && length > 0)
        p->result = pq_buf_add(p->out, bytes, length, p->err);
}

static void put_number(packer *p, int64_t number)
{
    put_bytes(p, &number, sizeof number);
}

static void put_text(packer *p, const char *text)
{
    size_t length = text != NULL ? strlen(text) + 1 : 0;
    put_number(p, (int64_t)length);
    put_bytes(p, text, length);
}

static void put_secret(packer *p, const pq_secret *secret)
{
    put_number(p, (int64_t)secret->length);
    put_bytes(p, secret->text, secret->length);
}

static void put_value(packer *p, const pq_value *value)
{
    put_number(p, value->set);
    put_number(p, value->source);
    put_number(p, value->kind);
    put_number(p, value->number);
    put_text(p, value->origin);
    put_text(p, value->text);
    put_secret(p, &value->secret);
    put_number(p, (int64_t)value->item_count);
    for (size_t i = 0; i < value->item_count; i++)
        put_text(p, value->items[i]);
}

static void put_line(packer *p, const pq_section_line *line)
{
    put_number(p, 1);
    put_number(p, line->id);
    put_number(p, line->kind);
    put_number(p, line->source);
    put_number(p, line->line);
    put_text(p, line->vm);
    put_text(p, line->file);
    put_text(p, line->name);
    put_text(p, line->text);
    put_secret(p, &line->secret);
}

static void put_config(packer *p, const pq_config *config)
{
    put_number(p, (int64_t)pq_config_count(config));
    for (size_t i = 0; i < pq_config_count(config); i++)
        put_value(p, &config->values[i]);
    put_text(p, config->home);
    for (const pq_section_line *line = config->sections; line != NULL; line = line->next)
        put_line(p, line);
    put_number(p, 0);
}

int pq_config_pack(const pq_config *config, pq_buf *out, pq_error *err)
{
    packer count = {0}, write = {.out = out, .err = err};
    pq_buf_wipe(out);
    put_config(&count, config);
    if (count.length > PQ_CONFIG_PACK_MAX)
        return pq_fail(err, PQ_E_TOO_LARGE, "the configuration has more than %zu bytes",
                       PQ_CONFIG_PACK_MAX);
    if (pq_buf_reserve(out, count.length, err) < 0)
        return -1;
    put_config(&write, config);
    return write.result;
}

/* ---- unpacking ---- */

typedef struct unpacker {
    const char *at, *end;
    bool bad, no_memory; /* everything read afterwards is 0 */
} unpacker;

static const char *take_bytes(unpacker *u, size_t length)
{
    const char *bytes = u->at;
    if (u->bad || length > (size_t)(u->end - u->at)) {
        u->bad = true;
        return NULL;
    }
    u->at += length;
    return bytes;
}

static int64_t take_number(unpacker *u)
{
    int64_t number = 0;
    const char *bytes = take_bytes(u, sizeof number);
    if (bytes != NULL)
        memcpy(&number, bytes, sizeof number);
    return number;
}

/* 0..maximum */
static unsigned take_choice(unpacker *u, int64_t maximum)
{
    int64_t number = take_number(u);
    if (number < 0 || number > maximum) {
        u->bad = true;
        return 0;
    }
    return (unsigned)number;
}

static char *take_text(unpacker *u)
{
    size_t length = take_choice(u, PQ_CONFIG_PACK_MAX);
    const char *bytes = take_bytes(u, length);
    if (bytes == NULL || length == 0)
        return NULL;
    if (memchr(bytes, '\0', length) != bytes + length - 1) {
        u->bad = true;
        return NULL;
    }
    char *text = strdup(bytes);
    u->no_memory = u->no_memory || text == NULL;
    return text;
}

static void take_secret(unpacker *u, pq_secret *secret)
{
    pq_error ignored;
    size_t length = take_choice(u, PQ_SECRET_MAX);
    const char *bytes = take_bytes(u, length);
    if (bytes != NULL && length > 0 && pq_secret_set(secret, bytes, length, &ignored) < 0)
        u->no_memory = true;
}

static void take_items(unpacker *u, pq_value *value)
{
    size_t count = take_choice(u, u->end - u->at);
    if (count == 0)
        return;
    value->items = calloc(count, sizeof *value->items);
    u->no_memory = u->no_memory || value->items == NULL;
    for (size_t i = 0; i < count && !u->bad && !u->no_memory; i++) {
        value->items[i] = take_text(u);
        u->bad = u->bad || value->items[i] == NULL;
        value->item_count++;
    }
}

static void take_value(unpacker *u, pq_value *value)
{
    value->set = take_choice(u, 1) != 0;
    value->source = take_choice(u, PQ_SOURCE_REQUEST);
    value->kind = take_choice(u, PQ_SECRET_KIND_COUNT - 1);
    value->number = take_number(u);
    value->origin = take_text(u);
    value->text = take_text(u);
    take_secret(u, &value->secret);
    take_items(u, value);
}

/* Linked before it is filled, so that it is freed with the configuration in any case. */
static void take_line(unpacker *u, pq_config *config)
{
    pq_section_line *line = calloc(1, sizeof *line);
    u->no_memory = u->no_memory || line == NULL;
    if (line == NULL)
        return;
    *config->sections_end = line;
    config->sections_end = &line->next;
    line->id = take_choice(u, (int64_t)pq_config_count(config) - 1);
    line->kind = take_choice(u, PQ_SECRET_KIND_COUNT - 1);
    line->source = take_choice(u, PQ_SOURCE_REQUEST);
    line->line = take_choice(u, INT32_MAX);
    line->vm = take_text(u);
    line->file = take_text(u);
    line->name = take_text(u);
    line->text = take_text(u);
    take_secret(u, &line->secret);
    u->bad = u->bad || line->vm == NULL || line->file == NULL || line->name == NULL ||
             line->text == NULL;
}

static void take_config(unpacker *u, pq_config *config)
{
    if (take_number(u) != (int64_t)pq_config_count(config))
        u->bad = true;
    for (size_t i = 0; i < pq_config_count(config) && !u->bad && !u->no_memory; i++)
        take_value(u, &config->values[i]);
    config->home = take_text(u);
    while (!u->no_memory && take_choice(u, 1) == 1)
        take_line(u, config);
    u->bad = u->bad || u->at != u->end;
}

pq_config *pq_config_unpack(const pq_option *rows, size_t row_count, const char *bytes,
                            size_t length, pq_error *err)
{
    unpacker u = {.at = bytes, .end = bytes + length};
    pq_config *config = pq_config_new_empty(rows, row_count, err);
    if (config == NULL)
        return NULL;
    take_config(&u, config);
    if (!u.bad && !u.no_memory)
        return config;
    pq_config_free(config);
    if (u.bad)
        pq_fail(err, PQ_E_PROTOCOL, "the packed configuration is damaged");
    else
        pq_fail(err, PQ_E_NOMEM, "out of memory");
    return NULL;
}
