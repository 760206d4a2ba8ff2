#include "exec/script.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exec/quote.h"
#include "transport/base/encode.h"

/* Arguments in front of a script's own: /bin/sh -c TEXT sh */
#define FIRST_ARGUMENT 4

static int append(pq_script *script, char *text, pq_error *err)
{
    if (script->count + 2 > script->capacity) {
        size_t capacity = script->capacity == 0 ? 32 : 2 * script->capacity;
        char **argv = realloc(script->argv, capacity * sizeof *argv);
        if (argv == NULL) {
            free(text);
            return pq_fail(err, PQ_E_NOMEM, "out of memory");
        }
        script->argv = argv;
        script->capacity = capacity;
    }
    script->argv[script->count++] = text;
    script->argv[script->count] = NULL;
    script->bytes += strlen(text) + 4;
    return 0;
}

int pq_script_add(pq_script *script, const char *text, pq_error *err)
{
    char *copy = strdup(text);
    if (copy == NULL)
        return pq_fail(err, PQ_E_NOMEM, "out of memory");
    return append(script, copy, err);
}

int pq_script_addf(pq_script *script, pq_error *err, const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int length = vasprintf(&text, format, args);
    va_end(args);
    if (length < 0)
        return pq_fail(err, PQ_E_NOMEM, "out of memory");
    return append(script, text, err);
}

int pq_script_begin(pq_script *script, const char *common, const char *text, pq_error *err)
{
    memset(script, 0, sizeof *script);
    if (pq_script_add(script, "/bin/sh", err) < 0 || pq_script_add(script, "-c", err) < 0 ||
        pq_script_addf(script, err, "%s%s", common, text) < 0)
        return -1;
    /* JSON writes each of its line breaks and quotes as two characters. */
    for (const char *c = script->argv[2]; *c != '\0'; c++)
        script->bytes += *c == '\n' || *c == '"' || *c == '\\';
    return pq_script_add(script, "sh", err);
}

void pq_script_done(pq_script *script)
{
    for (size_t i = 0; i < script->count; i++)
        free(script->argv[i]);
    free(script->argv);
    memset(script, 0, sizeof *script);
}

int pq_script_add_escaped(pq_script *script, const void *bytes, size_t length, pq_error *err)
{
    pq_buf text = {0};
    size_t ignored;
    if (pq_buf_add_text(&text, "", err) < 0 || pq_quote_escape(&text, bytes, length, err) < 0) {
        pq_buf_done(&text);
        return -1;
    }
    /* Each escape's backslash is doubled in JSON. */
    for (const char *c = text.data; *c != '\0'; c++)
        script->bytes += *c == '\\' || *c == '"';
    return append(script, pq_buf_take(&text, &ignored), err);
}

/* Characters that an argument's tag and its separators take. */
#define ITEM_OVERHEAD 9

/* An escaped byte takes up to 5 characters, and in JSON a sixth for its doubled backslash. */
#define ESCAPED_MAX 5
#define ESCAPED_JSON_MAX 6

static size_t room_left(const pq_script *script, const pq_agent_limits *limits)
{
    return limits->args_bytes > script->bytes ? limits->args_bytes - script->bytes : 0;
}

static size_t escaped_room(const pq_script *script, const pq_agent_limits *limits)
{
    size_t left = room_left(script, limits);
    size_t arguments = left / (limits->arg_bytes / ESCAPED_MAX * ESCAPED_JSON_MAX) + 1;
    size_t overhead = arguments * ITEM_OVERHEAD;
    return left > overhead ? (left - overhead) / ESCAPED_JSON_MAX : 0;
}

size_t pq_script_room(const pq_script *script, const pq_agent_limits *limits)
{
    if (script->no_decoder)
        return escaped_room(script, limits);
    size_t whole_arg = limits->arg_bytes / 4 * 4;
    size_t left = room_left(script, limits);
    size_t room = 0;
    while (left > ITEM_OVERHEAD + 4) {
        size_t take = left - ITEM_OVERHEAD < whole_arg ? (left - ITEM_OVERHEAD) / 4 * 4 : whole_arg;
        room += take / 4 * 3;
        left -= take + ITEM_OVERHEAD;
    }
    return room;
}

static int add_escaped(pq_script *script, size_t arg_bytes, const char *bytes, size_t length,
                       pq_error *err)
{
    size_t per_argument = arg_bytes / ESCAPED_MAX;
    while (length > 0) {
        size_t take = length < per_argument ? length : per_argument;
        if (pq_script_add(script, "P", err) < 0 ||
            pq_script_add_escaped(script, bytes, take, err) < 0)
            return -1;
        bytes += take;
        length -= take;
    }
    return 0;
}

static int add_base64(pq_script *script, size_t arg_bytes, const char *bytes, size_t length,
                      pq_error *err)
{
    size_t per_argument = arg_bytes / 4 * 3;
    while (length > 0) {
        size_t take = length < per_argument ? length : per_argument;
        pq_buf text = {0};
        size_t ignored;
        if (pq_script_add(script, script->packed ? "z" : "b", err) < 0 ||
            pq_base64_encode(&text, bytes, take, err) < 0) {
            pq_buf_done(&text);
            return -1;
        }
        if (append(script, pq_buf_take(&text, &ignored), err) < 0)
            return -1;
        bytes += take;
        length -= take;
    }
    return 0;
}

/* What JSON adds to escaped text: a backslash in front of each quote and backslash. */
static size_t json_growth(const void *bytes, size_t length)
{
    const unsigned char *in = bytes;
    size_t growth = 0;
    for (size_t i = 0; i < length; i++)
        growth += in[i] == '\\' ? 2 : in[i] == '"' || in[i] < 0x20 || in[i] > 0x7E;
    return growth;
}

/* Escaped text of at most one argument, worth it when it is no longer than base64 would be. */
static bool fits_escaped(const pq_script *script, const pq_agent_limits *limits, const void *bytes,
                         size_t length)
{
    if (length > limits->arg_bytes)
        return false;
    size_t escaped = pq_quote_escaped_length(bytes, length);
    return escaped <= limits->arg_bytes && escaped <= pq_base64_length(length) + 8 &&
           script->bytes + escaped + json_growth(bytes, length) + 16 <= limits->args_bytes;
}

int pq_script_add_items(pq_script *script, const pq_agent_limits *limits, const void *bytes,
                        size_t length, size_t granule, size_t *ret_taken, pq_error *err)
{
    if (length == 0) {
        *ret_taken = 0;
        return 0;
    }
    bool may_escape = !script->no_decoder && !script->packed;
    if (may_escape && fits_escaped(script, limits, bytes, length)) {
        if (pq_script_add(script, "p", err) < 0 ||
            pq_script_add_escaped(script, bytes, length, err) < 0)
            return -1;
        *ret_taken = length;
        return 0;
    }
    size_t room = pq_script_room(script, limits);
    size_t take = length <= room ? length : room / granule * granule;
    int added = script->no_decoder ? add_escaped(script, limits->arg_bytes, bytes, take, err)
                                   : add_base64(script, limits->arg_bytes, bytes, take, err);
    if (added < 0)
        return -1;
    *ret_taken = take;
    return 0;
}

int pq_script_set(pq_script *script, size_t index, const char *text, pq_error *err)
{
    char *copy = strdup(text);
    if (copy == NULL)
        return pq_fail(err, PQ_E_NOMEM, "out of memory");
    char **slot = &script->argv[FIRST_ARGUMENT + index];
    script->bytes += strlen(copy);
    script->bytes -= strlen(*slot);
    free(*slot);
    *slot = copy;
    return 0;
}

bool pq_trailer_cut(pq_buf *out, pq_trailer *ret_trailer)
{
    static const char mark[] = "\npq1 ";
    const size_t mark_length = sizeof mark - 1;
    if (out->length < mark_length + 2 || out->data[out->length - 1] != '\n')
        return false;
    size_t start = out->length - 1;
    while (start > 0 && out->data[start - 1] != '\n')
        start--;
    if (start == 0)
        return false;
    start--;
    if (out->length - start < mark_length || memcmp(out->data + start, mark, mark_length) != 0)
        return false;
    out->data[out->length - 1] = '\0';
    const char *text = out->data + start + mark_length;
    size_t word = strcspn(text, " ");
    if (word >= sizeof ret_trailer->state)
        return false;
    memcpy(ret_trailer->state, text, word);
    ret_trailer->state[word] = '\0';
    ret_trailer->fields = text[word] == ' ' ? text + word + 1 : text + word;
    out->length = start;
    return true;
}

/* The next field at *at, its length in *ret_length; NULL at the end. */
static const char *next_field(const char **at, size_t *ret_length)
{
    *at += strspn(*at, " ");
    if (**at == '\0')
        return NULL;
    const char *field = *at;
    *ret_length = strcspn(field, " ");
    *at += *ret_length;
    return field;
}

int64_t pq_trailer_number(const pq_trailer *trailer, unsigned index)
{
    const char *at = trailer->fields, *field;
    size_t length;
    while ((field = next_field(&at, &length)) != NULL) {
        if (memchr(field, '=', length) != NULL)
            continue;
        if (index-- > 0)
            continue;
        int64_t number = 0;
        if (length > 18)
            return -1;
        for (size_t i = 0; i < length; i++) {
            if (field[i] < '0' || field[i] > '9')
                return -1;
            number = 10 * number + (field[i] - '0');
        }
        return number;
    }
    return -1;
}

bool pq_trailer_value(const pq_trailer *trailer, const char *name, char *out, size_t size)
{
    const char *at = trailer->fields, *field;
    size_t length, name_length = strlen(name);
    while ((field = next_field(&at, &length)) != NULL) {
        if (length <= name_length || field[name_length] != '=' ||
            memcmp(field, name, name_length) != 0)
            continue;
        size_t value = length - name_length - 1;
        if (value >= size)
            value = size - 1;
        memcpy(out, field + name_length + 1, value);
        out[value] = '\0';
        return true;
    }
    return false;
}
