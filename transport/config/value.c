#include "transport/config/value.h"

#include <string.h>
#include <strings.h>

#include "transport/base/secret.h"
#include "transport/config/value_text.h"

/* Digits of `base` up to `end`; false for none, others, or more than fits. */
static bool read_number(const char *text, const char *end, int base, int64_t *ret)
{
    int64_t number = 0;

    if (text == end)
        return false;
    for (; text < end; text++) {
        int digit = *text - '0';

        if (digit < 0 || digit >= base || number > (INT64_MAX - digit) / base)
            return false;
        number = number * base + digit;
    }
    *ret = number;
    return true;
}

static bool read_int(const pq_option *option, const char *text, int64_t *ret)
{
    int64_t number;

    if (!read_number(text, text + strlen(text), 10, &number))
        return false;
    *ret = number;
    return number >= option->minimum && number <= option->maximum;
}

static bool read_mode(const char *text, int64_t *ret)
{
    return read_number(text, text + strlen(text), 8, ret) && *ret <= 07777;
}

/* Milliseconds per unit, by the letter behind the number; `*end` moves in front of it. */
static int64_t take_unit(const char *text, const char **end)
{
    if (*end == text)
        return 1000;
    switch ((*end)[-1]) {
    case 's':
        *end -= 1;
        return 1000;
    case 'm':
        *end -= 1;
        return INT64_C(60) * 1000;
    case 'h':
        *end -= 1;
        return INT64_C(3600) * 1000;
    default:
        return 1000;
    }
}

/* "90", "2.5", "10m"; decimals beyond a millisecond are dropped. */
static bool read_duration(const pq_option *option, const char *text, int64_t *ret_ms)
{
    const char *end = text + strlen(text);
    int64_t unit_ms = take_unit(text, &end);
    const char *point = memchr(text, '.', (size_t)(end - text));
    int64_t whole, ms, weight = unit_ms;

    if (!read_number(text, point != NULL ? point : end, 10, &whole) || whole > option->maximum)
        return false;
    ms = whole * unit_ms;
    if (point != NULL && point + 1 == end)
        return false;
    for (const char *c = point != NULL ? point + 1 : end; c < end; c++) {
        if (*c < '0' || *c > '9')
            return false;
        weight /= 10;
        ms += (*c - '0') * weight;
    }
    *ret_ms = ms;
    return ms >= option->minimum * 1000 && ms <= option->maximum * 1000;
}

/* The words that Ansible takes for booleans. */
static bool read_bool(const char *text, int64_t *ret)
{
    static const char *const words[2][6] = {
        {"false", "no", "off", "0", "f", "n"},
        {"true", "yes", "on", "1", "t", "y"},
    };

    for (size_t value = 0; value < 2; value++) {
        for (size_t i = 0; i < 6; i++) {
            if (strcasecmp(text, words[value][i]) == 0) {
                *ret = (int64_t)value;
                return true;
            }
        }
    }
    return false;
}

static pq_value_result find_enum(const char *values, const char *text)
{
    size_t text_length = strlen(text);

    while (*values != '\0') {
        size_t length = strcspn(values, "|");

        if (length == text_length && memcmp(values, text, length) == 0)
            return PQ_VALUE_OK;
        values += length + (values[length] == '|');
    }
    return PQ_VALUE_BAD;
}

bool pq_value_is_secret(const char *text, size_t length)
{
    return length > 0 && length <= PQ_SECRET_MAX && memchr(text, '\n', length) == NULL &&
           memchr(text, '\r', length) == NULL && memchr(text, '\0', length) == NULL;
}

bool pq_value_fits_secret(const pq_option *option, const char *text, size_t length)
{
    if (!option->lines)
        return pq_value_is_secret(text, length);
    return length > 0 && length <= PQ_SECRET_MAX && memchr(text, '\0', length) == NULL;
}

static bool has_text_shape(const pq_option *option, const char *text)
{
    if (strlen(text) > PQ_VALUE_MAX || !pq_text_is_printable(text))
        return false;
    switch (option->type) {
    case PQ_TYPE_HOST:
        return pq_text_is_host(text);
    case PQ_TYPE_USER:
        return pq_text_is_user(text);
    case PQ_TYPE_TOKEN_ID:
        return pq_text_is_token_id(text, strlen(text)) ||
               (strchr(text, '!') != NULL && pq_text_is_user(text));
    case PQ_TYPE_NODE:
        return pq_text_is_node(text);
    case PQ_TYPE_PROXY:
        return pq_text_is_proxy(text);
    case PQ_TYPE_GUEST_PATH:
        return pq_text_is_guest_path(text);
    default:
        return text[0] != '\0';
    }
}

static pq_value_result check(const pq_option *option, const char *text, int64_t *ret_number)
{
    bool good;

    switch (option->type) {
    case PQ_TYPE_INT:
        good = read_int(option, text, ret_number);
        break;
    case PQ_TYPE_DURATION:
        good = read_duration(option, text, ret_number);
        break;
    case PQ_TYPE_MODE:
        good = read_mode(text, ret_number);
        break;
    case PQ_TYPE_BOOL:
    case PQ_TYPE_FLAG:
        good = read_bool(text, ret_number);
        break;
    case PQ_TYPE_COUNT:
        good = read_number(text, text + strlen(text), 10, ret_number);
        break;
    case PQ_TYPE_ENUM:
        return find_enum(option->values, text);
    case PQ_TYPE_RAW:
        good = true;
        break;
    case PQ_TYPE_ASSIGN:
        good = pq_text_is_assignment(text);
        break;
    case PQ_TYPE_FINGERPRINT: {
        char canonical[PQ_FINGERPRINT_SIZE];

        good = pq_text_read_fingerprint(text, canonical);
        break;
    }
    case PQ_TYPE_SECRET:
        good = pq_value_fits_secret(option, text, strlen(text));
        break;
    default:
        good = has_text_shape(option, text);
    }
    return good ? PQ_VALUE_OK : PQ_VALUE_BAD;
}

/* The text that is stored: one spelling for each value. */
static char *canonical(const pq_option *option, const char *text, int64_t number)
{
    char fingerprint[PQ_FINGERPRINT_SIZE];

    switch (option->type) {
    case PQ_TYPE_BOOL:
    case PQ_TYPE_FLAG:
        return strdup(number != 0 ? "true" : "false");
    case PQ_TYPE_HOST:
        return text[0] == '[' ? strndup(text + 1, strlen(text) - 2) : strdup(text);
    case PQ_TYPE_FINGERPRINT:
        if (pq_text_read_fingerprint(text, fingerprint))
            return strdup(fingerprint);
        return strdup(text);
    default:
        return strdup(text);
    }
}

pq_value_result pq_value_parse(const pq_option *option, const char *text, char **ret_text,
                               int64_t *ret_number)
{
    int64_t number = 0;
    pq_value_result result = check(option, text, &number);
    char *copy;

    if (result != PQ_VALUE_OK)
        return result;
    copy = canonical(option, text, number);
    if (copy == NULL)
        return PQ_VALUE_NO_MEMORY;
    *ret_text = copy;
    *ret_number = number;
    return PQ_VALUE_OK;
}
