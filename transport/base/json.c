#include "transport/base/json.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "transport/base/encode.h"

/* Turns \u0000 into \u0100 and checks the depth. cJSON stops a text at NUL and its own depth limit
 * is a compile-time 1000. */
static int prepare(char *text, size_t length, pq_error *err)
{
    bool in_string = false;
    int depth = 0;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (c == '\0')
            return pq_fail(err, PQ_E_BAD_ANSWER, "NUL byte in JSON");
        if (in_string) {
            if (c == '\\' && i + 1 < length) {
                i++;
                if (text[i] == 'u' && length - i > 4 && memcmp(text + i + 1, "0000", 4) == 0)
                    text[i + 2] = '1';
            } else if (c == '"') {
                in_string = false;
            }
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > PQ_JSON_DEPTH_MAX)
                return pq_fail(err, PQ_E_BAD_ANSWER, "JSON is nested too deeply");
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return 0;
}

pq_json *pq_json_parse(char *text, size_t length, pq_error *err)
{
    if (prepare(text, length, err) < 0)
        return NULL;
    const char *end = NULL;
    cJSON *value = cJSON_ParseWithLengthOpts(text, length, &end, 0);
    if (value == NULL) {
        pq_fail(err, PQ_E_BAD_ANSWER, "not JSON");
        return NULL;
    }
    while (end < text + length && (*end == ' ' || *end == '\n' || *end == '\r' || *end == '\t'))
        end++;
    if (end != text + length) {
        cJSON_Delete(value);
        pq_fail(err, PQ_E_BAD_ANSWER, "more than one JSON value");
        return NULL;
    }
    return value;
}

void pq_json_free(pq_json *value)
{
    cJSON_Delete(value);
}

const pq_json *pq_json_member(const pq_json *object, const char *name)
{
    return cJSON_IsObject(object) ? cJSON_GetObjectItemCaseSensitive(object, name) : NULL;
}

bool pq_json_is_object(const pq_json *value)
{
    return cJSON_IsObject(value);
}

bool pq_json_is_null(const pq_json *value)
{
    return cJSON_IsNull(value);
}

const char *pq_json_string_value(const pq_json *item)
{
    return cJSON_IsString(item) ? item->valuestring : NULL;
}

const char *pq_json_text(const pq_json *object, const char *name)
{
    return pq_json_string_value(pq_json_member(object, name));
}

static bool whole_number(const char *text, int64_t *ret)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    bool digits = text[0] == '-' ? text[1] >= '0' && text[1] <= '9'
                                 : text[0] >= '0' && text[0] <= '9';
    if (errno != 0 || !digits || *end != '\0')
        return false;
    *ret = value;
    return true;
}

bool pq_json_int(const pq_json *object, const char *name, int64_t *ret)
{
    const cJSON *item = pq_json_member(object, name);
    if (cJSON_IsString(item))
        return whole_number(item->valuestring, ret);
    /* Doubles hold whole numbers up to 2^53 exactly. */
    if (!cJSON_IsNumber(item) || fabs(item->valuedouble) > 9007199254740992.0 ||
        item->valuedouble != floor(item->valuedouble))
        return false;
    *ret = (int64_t)item->valuedouble;
    return true;
}

bool pq_json_bool(const pq_json *object, const char *name, bool *ret)
{
    const cJSON *item = pq_json_member(object, name);
    int64_t number;
    if (cJSON_IsBool(item)) {
        *ret = cJSON_IsTrue(item);
        return true;
    }
    if (!pq_json_int(object, name, &number) || (number != 0 && number != 1))
        return false;
    *ret = number == 1;
    return true;
}

const pq_json *pq_json_first(const pq_json *array_or_object)
{
    return cJSON_IsArray(array_or_object) || cJSON_IsObject(array_or_object)
               ? array_or_object->child
               : NULL;
}

const pq_json *pq_json_next(const pq_json *item)
{
    return item->next;
}

const char *pq_json_name(const pq_json *item)
{
    return item->string;
}

int pq_json_print(pq_buf *out, const pq_json *value, pq_error *err)
{
    char *text = cJSON_PrintUnformatted(value);
    if (text == NULL)
        return pq_fail(err, PQ_E_NOMEM, "out of memory");
    int result = pq_buf_add_text(out, text, err);
    cJSON_free(text);
    return result;
}

static int write_ascii(pq_buf *out, unsigned char c, pq_error *err)
{
    switch (c) {
    case '"':
        return pq_buf_add(out, "\\\"", 2, err);
    case '\\':
        return pq_buf_add(out, "\\\\", 2, err);
    case '\n':
        return pq_buf_add(out, "\\n", 2, err);
    case '\t':
        return pq_buf_add(out, "\\t", 2, err);
    case '\r':
        return pq_buf_add(out, "\\r", 2, err);
    default:
        if (c < 0x20 || c == 0x7F)
            return pq_buf_printf(out, err, "\\u%04x", c);
        return pq_buf_add_byte(out, (char)c, err);
    }
}

static bool needs_no_escape(unsigned char c)
{
    return c >= 0x20 && c < 0x7F && c != '"' && c != '\\';
}

static size_t plain_run(const unsigned char *text, size_t length)
{
    size_t run = 0;
    while (run < length && needs_no_escape(text[run]))
        run++;
    return run;
}

int pq_json_write_text(pq_buf *out, const char *text, size_t length, pq_error *err)
{
    const unsigned char *in = (const unsigned char *)text;
    if (pq_buf_add_byte(out, '"', err) < 0)
        return -1;
    while (length > 0) {
        size_t step = plain_run(in, length);
        int failed;
        if (step > 0) {
            failed = pq_buf_add(out, in, step, err);
        } else if (*in < 0x80) {
            step = 1;
            failed = write_ascii(out, *in, err);
        } else {
            size_t look = length < 4 ? length : 4;
            step = pq_utf8_valid_length((const char *)in, look);
            failed = step > 0 ? pq_buf_add(out, in, step, err) : pq_buf_add_byte(out, '?', err);
            if (step == 0)
                step = 1;
        }
        if (failed < 0)
            return -1;
        in += step;
        length -= step;
    }
    return pq_buf_add_byte(out, '"', err);
}

int pq_json_write_bytes(pq_buf *out, const void *bytes, size_t length, pq_error *err)
{
    const unsigned char *in = bytes;
    if (pq_buf_add_byte(out, '"', err) < 0)
        return -1;
    while (length > 0) {
        size_t step = plain_run(in, length);
        int failed;
        if (step > 0) {
            failed = pq_buf_add(out, in, step, err);
        } else {
            step = 1;
            failed = *in < 0x80 ? write_ascii(out, *in, err)
                                : pq_latin1_to_utf8(out, in, 1, err);
        }
        if (failed < 0)
            return -1;
        in += step;
        length -= step;
    }
    return pq_buf_add_byte(out, '"', err);
}
