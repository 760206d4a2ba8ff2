#include "transport/proto/params.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transport/base/encode.h"

/* The member, or NULL if it is absent or null, which mean the same. */
static const pq_json *given(const pq_json *object, const char *name)
{
    const pq_json *item = pq_json_member(object, name);
    return pq_json_is_null(item) ? NULL : item;
}

/* The getters of pq_json take digits in a string for a number, as Perl sends them; a client of
 * ours has to mean what it writes. */
static bool is_string(const pq_json *item)
{
    return pq_json_string_value(item) != NULL;
}

static int wrong(pq_error *err, const char *name, const char *expected)
{
    return pq_fail(err, PQ_E_PROTOCOL, "%s must be %s", name, expected);
}

int pq_param_text(const pq_json *params, const char *name, size_t maximum, const char **ret,
                  pq_error *err)
{
    const pq_json *item = given(params, name);
    if (item == NULL)
        return 0;
    const char *text = pq_json_string_value(item);
    if (text == NULL)
        return wrong(err, name, "a string");
    if (strlen(text) > maximum)
        return pq_fail(err, PQ_E_PROTOCOL, "%s must not be longer than %zu bytes", name, maximum);
    *ret = text;
    return 0;
}

int pq_param_flag(const pq_json *params, const char *name, bool *ret, pq_error *err)
{
    const pq_json *item = given(params, name);
    int64_t number;
    bool flag;
    if (item == NULL)
        return 0;
    if (pq_json_int(params, name, &number) || !pq_json_bool(params, name, &flag))
        return wrong(err, name, "true or false");
    *ret = flag;
    return 0;
}

int pq_param_count(const pq_json *params, const char *name, int64_t *ret, pq_error *err)
{
    const pq_json *item = given(params, name);
    int64_t number;
    if (item == NULL)
        return 0;
    if (is_string(item) || !pq_json_int(params, name, &number))
        return wrong(err, name, "a whole number");
    *ret = number;
    return 0;
}

/* The number as it was written, or near enough: cJSON prints 15 to 17 digits. */
static int read_double(const pq_json *item, double *ret, pq_error *err)
{
    pq_buf text = {0};
    if (pq_json_print(&text, item, err) < 0) {
        pq_buf_done(&text);
        return -1;
    }
    char *end;
    double number = strtod(text.data, &end);
    bool good = end != text.data && *end == '\0' && isfinite(number);
    pq_buf_done(&text);
    *ret = good ? number : -1;
    return 0;
}

int pq_param_seconds(const pq_json *params, const char *name, pq_ms *ret, pq_error *err)
{
    const pq_json *item = given(params, name);
    double seconds;
    if (item == NULL)
        return 0;
    if (read_double(item, &seconds, err) < 0)
        return -1;
    if (!(seconds > 0) || seconds > PQ_PROTO_TIMEOUT_MAX_MS / 1000.0)
        return wrong(err, name, "a number of seconds above 0");
    *ret = (pq_ms)ceil(seconds * 1000);
    return 0;
}

int pq_param_mode(const pq_json *params, const char *name, int *ret, pq_error *err)
{
    const pq_json *item = given(params, name);
    if (item == NULL)
        return 0;
    const char *text = pq_json_string_value(item);
    size_t length = text != NULL ? strlen(text) : 0;
    if (length == 0 || length > 5 || strspn(text, "01234567") != length ||
        strtol(text, NULL, 8) > 07777)
        return wrong(err, name, "octal permissions as a string, as in \"0644\"");
    *ret = (int)strtol(text, NULL, 8);
    return 0;
}

int pq_param_object(const pq_json *parent, const char *name, const pq_json **ret, pq_error *err)
{
    const pq_json *item = given(parent, name);
    if (item == NULL)
        return 0;
    if (!pq_json_is_object(item))
        return wrong(err, name, "an object");
    *ret = item;
    return 0;
}

static int decode(const char *text, const char *name, size_t maximum, pq_buf *decoded,
                  const char **ret, pq_error *err)
{
    pq_error bad;
    if (pq_base64_decode(decoded, text, strlen(text), &bad) < 0) {
        if (bad.code != PQ_E_NOMEM)
            return wrong(err, name, "base64");
        *err = bad;
        return -1;
    }
    if (decoded->length > maximum)
        return pq_fail(err, PQ_E_PROTOCOL, "%s must not stand for more than %zu bytes", name,
                       maximum);
    if (decoded->length > 0 && memchr(decoded->data, '\0', decoded->length) != NULL)
        return pq_fail(err, PQ_E_PROTOCOL, "%s must not have a NUL byte", name);
    *ret = decoded->length > 0 ? decoded->data : "";
    return 0;
}

int pq_param_bytes(const pq_json *params, const char *name, size_t maximum, pq_buf *decoded,
                   const char **ret, pq_error *err)
{
    char base64_name[40];
    const char *plain = NULL, *encoded = NULL;
    snprintf(base64_name, sizeof base64_name, "%s_base64", name);
    if (pq_param_text(params, name, maximum, &plain, err) < 0 ||
        pq_param_text(params, base64_name, PQ_PROTO_LINE_MAX, &encoded, err) < 0)
        return -1;
    if (plain != NULL && encoded != NULL)
        return pq_fail(err, PQ_E_PROTOCOL, "%s and %s exclude each other", name, base64_name);
    if (encoded != NULL)
        return decode(encoded, base64_name, maximum, decoded, ret, err);
    if (plain != NULL)
        *ret = plain;
    return 0;
}

int pq_param_name(const pq_json *params, const char *name, char digits[24], const char **ret,
                  pq_error *err)
{
    const pq_json *item = given(params, name);
    int64_t number;
    if (item == NULL)
        return 0;
    if (!is_string(item)) {
        if (!pq_json_int(params, name, &number) || number < 0)
            return wrong(err, name, "a string or a whole number");
        snprintf(digits, 24, "%lld", (long long)number);
        *ret = digits;
        return 0;
    }
    if (*pq_json_string_value(item) == '\0')
        return pq_fail(err, PQ_E_PROTOCOL, "%s must not be empty", name);
    return pq_param_text(params, name, PQ_PROTO_NAME_MAX, ret, err);
}

static bool is_id_text(const char *text)
{
    size_t length = strlen(text);
    if (length == 0 || length > PQ_PROTO_ID_MAX)
        return false;
    for (size_t i = 0; i < length; i++)
        if (text[i] < 0x20 || text[i] > 0x7E)
            return false;
    return true;
}

static void quote_id(const char *text, pq_id *ret)
{
    char *to = ret->json;
    *to++ = '"';
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            *to++ = '\\';
        *to++ = *text;
    }
    *to++ = '"';
    *to = '\0';
}

int pq_param_id(const pq_json *object, const char *name, pq_id *ret, pq_error *err)
{
    const pq_json *item = given(object, name);
    int64_t number;
    if (item == NULL)
        return 0;
    const char *text = pq_json_string_value(item);
    if (text != NULL && is_id_text(text))
        quote_id(text, ret);
    else if (text == NULL && pq_json_int(object, name, &number))
        snprintf(ret->json, sizeof ret->json, "%lld", (long long)number);
    else
        return pq_fail(err, PQ_E_PROTOCOL,
                       "%s must be a whole number or 1 to %zu printable ASCII characters", name,
                       PQ_PROTO_ID_MAX);
    return 0;
}

int pq_param_require(const void *value, const char *name, pq_error *err)
{
    return value != NULL ? 0 : pq_fail(err, PQ_E_PROTOCOL, "%s is missing", name);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int check_names(const pq_json *object, size_t count, pq_error *err)
{
    const char **names = calloc(count, sizeof *names);
    size_t i = 0;
    int result = 0;
    if (names == NULL)
        return pq_fail(err, PQ_E_NOMEM, "out of memory");
    for (const pq_json *item = pq_json_first(object); item != NULL; item = pq_json_next(item))
        names[i++] = pq_json_name(item);
    qsort(names, count, sizeof *names, by_text);
    for (i = 1; i < count && result == 0; i++) {
        if (strcmp(names[i - 1], names[i]) == 0)
            result = pq_fail(err, PQ_E_PROTOCOL, "%.100s is given twice", names[i]);
    }
    free(names);
    return result;
}

int pq_param_unique(const pq_json *value, pq_error *err)
{
    size_t count = 0;
    for (const pq_json *item = pq_json_first(value); item != NULL; item = pq_json_next(item)) {
        if (pq_param_unique(item, err) < 0)
            return -1;
        count++;
    }
    return pq_json_is_object(value) && count > 1 ? check_names(value, count, err) : 0;
}
