#include "transport/base/json.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transport/base/encode.h"

/* What prepare() has seen so far of a text outside strings. */
typedef struct shape {
    int depth;
    size_t values;
    char last; /* other than white space */
} shape;

static int note_structure(shape *seen, char c, pq_error *err)
{
    if (c == ' ' || c == '\n' || c == '\r' || c == '\t')
        return 0;
    if ((unsigned char)c < 0x20)
        return pq_fail(err, PQ_E_BAD_ANSWER, "%s in JSON", c == '\0' ? "NUL byte" : "control byte");
    seen->last = c;
    if (c == '{' || c == '[')
        seen->depth++;
    else if (c == '}' || c == ']')
        seen->depth--;
    else if (c != ',')
        return 0;
    if (seen->depth > PQ_JSON_DEPTH_MAX)
        return pq_fail(err, PQ_E_BAD_ANSWER, "JSON is nested too deeply");
    if (++seen->values > PQ_JSON_VALUES_MAX)
        return pq_fail(err, PQ_E_BAD_ANSWER, "JSON has more than %d values", PQ_JSON_VALUES_MAX);
    return 0;
}

/* Turns the \u0000 of a string into \u0100; returns where the string ends: at its closing quote, a
 * NUL byte, or the end of the text. */
static size_t prepare_string(char *text, size_t at, size_t length)
{
    for (; at < length; at++) {
        char c = text[at];
        if (c == '"' || c == '\0')
            break;
        if (c != '\\' || at + 1 == length)
            continue;
        at++;
        if (text[at] == 'u' && length - at > 4 && memcmp(text + at + 1, "0000", 4) == 0)
            text[at + 2] = '1';
    }
    return at;
}

/* Makes a text fit for cJSON, which stops a string at NUL, takes any control byte for white space,
 * has a depth limit of 1000 fixed when it was built, no other limit, and until 1.7.18 looks one
 * byte behind a text that ends with a comma. */
static int prepare(char *text, size_t length, pq_error *err)
{
    shape seen = {0};
    for (size_t at = 0; at < length; at++) {
        if (text[at] == '"') {
            at = prepare_string(text, at + 1, length);
            seen.last = '"';
            if (at < length && text[at] == '\0')
                return pq_fail(err, PQ_E_BAD_ANSWER, "NUL byte in JSON");
        } else if (note_structure(&seen, text[at], err) < 0) {
            return -1;
        }
    }
    if (seen.last == ',')
        return pq_fail(err, PQ_E_BAD_ANSWER, "not JSON");
    return 0;
}

pq_json *pq_json_parse(char *text, size_t length, pq_error *err)
{
    if (prepare(text, length, err) < 0)
        return NULL;
    const char *end = NULL;
    /* cJSON does not say why it failed, malloc() does. */
    errno = 0;
    cJSON *value = cJSON_ParseWithLengthOpts(text, length, &end, 0);
    if (value == NULL) {
        if (errno == ENOMEM)
            pq_fail(err, PQ_E_NOMEM, "out of memory");
        else
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
    bool digits =
        text[0] == '-' ? text[1] >= '0' && text[1] <= '9' : text[0] >= '0' && text[0] <= '9';
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
    /* Doubles hold whole numbers below 2^53 exactly; 2^53 itself may have been 2^53 + 1. */
    if (!cJSON_IsNumber(item) || fabs(item->valuedouble) >= 9007199254740992.0 ||
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
    return item != NULL ? item->next : NULL;
}

const char *pq_json_name(const pq_json *item)
{
    return item != NULL ? item->string : NULL;
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

/* A byte as it is written inside a JSON string when it stands for U+0000..U+00FF. */
typedef struct written {
    char text[7];
    unsigned char length;
} written;

static written written_bytes[256];

static written written_form(unsigned char c)
{
    /* Pairs: a character, what follows its backslash. */
    static const char named[] = "\"\"\\\\\tt\nn\rr";
    written form = {0};
    char *end = form.text;
    for (const char *pair = named; *pair != '\0' && end == form.text; pair += 2) {
        if ((unsigned char)pair[0] == c) {
            *end++ = '\\';
            *end++ = pair[1];
        }
    }
    if (end == form.text && (c < 0x20 || c == 0x7F))
        end += snprintf(form.text, sizeof form.text, "\\u%04x", c);
    else if (end == form.text)
        end = pq_put_latin1(end, c);
    form.length = (unsigned char)(end - form.text);
    return form;
}

static void prepare_written(void)
{
    if (written_bytes[0].length != 0)
        return;
    for (unsigned c = 0; c < 256; c++)
        written_bytes[c] = written_form((unsigned char)c);
}

/* Whether each of eight bytes is ASCII and stands for itself: neither a control character, nor a
 * quote, backslash or DEL. */
static bool is_plain_word(const char *text)
{
    const uint64_t ones = UINT64_MAX / 0xFF, tops = ones * 0x80;
    uint64_t word;
    memcpy(&word, text, sizeof word);
    uint64_t quote = word ^ ones * '"', backslash = word ^ ones * '\\';
    /* A byte below n sets its top bit in x - n, as long as no byte has it set in x. */
    uint64_t odd = (word - ones * 0x20) | (quote - ones) | (backslash - ones) | (word + ones);
    return ((word | odd) & tops) == 0;
}

/* Bytes at the start of `text` that are valid UTF-8 without anything to escape. */
static size_t plain_run(const char *text, size_t length)
{
    size_t run = 0, step;
    do {
        while (length - run >= sizeof(uint64_t) && is_plain_word(text + run))
            run += sizeof(uint64_t);
        while (run < length && written_bytes[(unsigned char)text[run]].length == 1)
            run++;
        bool ascii = run == length || (unsigned char)text[run] < 0x80;
        step = ascii ? 0 : pq_utf8_character(text + run, length - run);
        run += step;
    } while (step > 0);
    return run;
}

int pq_json_write_text(pq_buf *out, const char *text, size_t length, pq_error *err)
{
    static const written bad = {"?", 1};
    prepare_written();
    if (pq_buf_add_byte(out, '"', err) < 0)
        return -1;
    for (;;) {
        size_t run = plain_run(text, length);
        if (pq_buf_add(out, text, run, err) < 0)
            return -1;
        if (run == length)
            return pq_buf_add_byte(out, '"', err);
        unsigned char c = (unsigned char)text[run];
        const written *form = c < 0x80 ? &written_bytes[c] : &bad;
        if (pq_buf_add(out, form->text, form->length, err) < 0)
            return -1;
        text += run + 1;
        length -= run + 1;
    }
}

int pq_json_write_bytes(pq_buf *out, const void *bytes, size_t length, pq_error *err)
{
    const unsigned char *in = bytes;
    size_t size = 2;
    prepare_written();
    for (size_t i = 0; i < length; i++)
        size += written_bytes[in[i]].length;
    if (pq_buf_reserve(out, size, err) < 0)
        return -1;
    char *to = out->data + out->length;
    *to++ = '"';
    /* Whole table rows are copied, which is faster than their exact length. The excess fits as long
     * as six bytes, a quote and a NUL are still to come. */
    size_t i = 0;
    for (; length - i >= 6; i++) {
        const written *form = &written_bytes[in[i]];
        memcpy(to, form, sizeof *form);
        to += form->length;
    }
    for (; i < length; i++) {
        const written *form = &written_bytes[in[i]];
        memcpy(to, form->text, form->length);
        to += form->length;
    }
    *to++ = '"';
    *to = '\0';
    out->length = (size_t)(to - out->data);
    return 0;
}
