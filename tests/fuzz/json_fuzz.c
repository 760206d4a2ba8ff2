/* JSON and the codecs of transport/base: what goes in comes out, or is refused. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "transport/base/encode.h"
#include "transport/base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool good)
{
    if (!good)
        abort();
}

/* Looks at everything in a value through every getter. */
static size_t walk(const pq_json *value)
{
    size_t seen = 1;
    for (const pq_json *item = pq_json_first(value); item != NULL; item = pq_json_next(item)) {
        const char *name = pq_json_name(item);
        const char *text = pq_json_string_value(item);
        int64_t number;
        bool flag;
        if (name != NULL) {
            seen += strlen(name) + (pq_json_member(value, name) != NULL);
            seen += pq_json_int(value, name, &number) + pq_json_bool(value, name, &flag);
        }
        seen += (text != NULL ? strlen(text) : 0) + walk(item);
    }
    return seen;
}

/* Whatever can be read can be written and read again. */
static void check_parse(const uint8_t *data, size_t size)
{
    pq_error err;
    pq_buf text = {0}, again = {0};
    char *copy = malloc(size > 0 ? size : 1);
    if (copy == NULL)
        return;
    if (size > 0)
        memcpy(copy, data, size);
    pq_json *value = pq_json_parse(copy, size, &err);
    free(copy);
    if (value != NULL) {
        walk(value);
        require(pq_json_print(&text, value, &err) == 0);
        pq_json_free(value);
        value = pq_json_parse(text.data, text.length, &err);
        require(value != NULL && pq_json_print(&again, value, &err) == 0);
        require(strcmp(text.data, again.data) == 0);
    }
    pq_json_free(value);
    pq_buf_done(&text);
    pq_buf_done(&again);
}

static void check_bytes(const uint8_t *data, size_t size)
{
    pq_error err;
    pq_buf json = {0}, back = {0};
    require(pq_json_write_bytes(&json, data, size, &err) == 0);
    pq_json *value = pq_json_parse(json.data, json.length, &err);
    const char *text = pq_json_string_value(value);
    require(text != NULL && pq_utf8_to_latin1(&back, text, strlen(text), &err) == 0);
    require(back.length == size && (size == 0 || memcmp(back.data, data, size) == 0));
    pq_json_free(value);
    pq_buf_done(&json);
    pq_buf_done(&back);
}

/* Any text becomes one JSON string of valid UTF-8; valid text without NUL comes back as it was. */
static void check_text(const char *text, size_t size)
{
    pq_error err;
    pq_buf json = {0};
    bool valid = pq_utf8_valid_length(text, size) == size && memchr(text, 0, size) == NULL;
    require(pq_json_write_text(&json, text, size, &err) == 0);
    require(pq_utf8_valid_length(json.data, json.length) == json.length);
    pq_json *value = pq_json_parse(json.data, json.length, &err);
    const char *back = pq_json_string_value(value);
    require(back != NULL);
    if (valid)
        require(strlen(back) == size && memcmp(back, text, size) == 0);
    pq_json_free(value);
    pq_buf_done(&json);
}

static void check_base64(const uint8_t *data, size_t size)
{
    pq_error err;
    pq_buf encoded = {0}, back = {0}, foreign = {0};
    require(pq_base64_encode(&encoded, data, size, &err) == 0);
    require(pq_base64_decode(&back, encoded.data, encoded.length, &err) == 0);
    require(back.length == size && (size == 0 || memcmp(back.data, data, size) == 0));
    if (pq_base64_decode(&foreign, (const char *)data, size, &err) < 0)
        require(foreign.length == 0 && err.code == PQ_E_BAD_ANSWER);
    pq_buf_done(&encoded);
    pq_buf_done(&back);
    pq_buf_done(&foreign);
}

static void check_clean(const char *text, size_t size)
{
    char out[40];
    pq_error_clean(out, sizeof out, text, size);
    size_t length = strlen(out);
    require(length < sizeof out && pq_utf8_valid_length(out, length) == length);
    for (size_t i = 0; i < length; i++)
        require((unsigned char)out[i] >= 0x20 && out[i] != 0x7F);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = size > 0 ? (const char *)data : "";
    check_parse(data, size);
    check_bytes(data, size);
    check_text(text, size);
    check_base64(data, size);
    check_clean(text, size);
    return 0;
}
