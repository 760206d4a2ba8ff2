/* Options in requests of the protocol. */
#include <limits.h>
#include <string.h>

#include "transport/config/internal.h"

static unsigned find_request_key(const pq_config *config, const char *key)
{
    const pq_option *option;

    for (unsigned id = 0; (option = pq_config_row(config, id)) != NULL; id++) {
        if (option->request != NULL && strcmp(option->request, key) == 0)
            return id;
    }
    return UINT_MAX;
}

bool pq_config_is_request_key(const pq_config *config, const char *key)
{
    return find_request_key(config, key) != UINT_MAX;
}

int pq_config_set_request(pq_config *config, const char *key, const char *text, pq_error *err)
{
    pq_origin origin = {.source = PQ_SOURCE_REQUEST, .name = key};
    unsigned id = find_request_key(config, key);
    char clean[60];

    if (id != UINT_MAX)
        return pq_config_offer(config, id, PQ_SECRET_VALUE, &origin, text, err);
    pq_error_clean(clean, sizeof clean, key, strlen(key));
    return pq_fail(err, PQ_E_USAGE, "unknown request option '%s'", clean);
}

/* A number, true or false, as text. */
static int set_scalar(pq_config *config, const char *key, const pq_json *value, pq_error *err)
{
    pq_buf text = {0};
    int result = pq_json_print(&text, value, err);

    if (result == 0 && (text.data[0] == '{' || text.data[0] == '['))
        result = pq_fail(err, PQ_E_USAGE,
                         "request option '%.60s': a text, number, true or false "
                         "was expected",
                         key);
    if (result == 0)
        result = pq_config_set_request(config, key, text.data, err);
    pq_buf_wipe(&text); /* it may be a one-time code */
    return result;
}

int pq_config_apply_request(pq_config *config, const pq_json *object, pq_error *err)
{
    if (!pq_json_is_object(object))
        return pq_fail(err, PQ_E_USAGE, "the request's options are not an object");
    for (const pq_json *item = pq_json_first(object); item != NULL; item = pq_json_next(item)) {
        const char *key = pq_json_name(item), *text = pq_json_string_value(item);
        int result = 0;

        if (text != NULL)
            result = pq_config_set_request(config, key, text, err);
        else if (!pq_json_is_null(item))
            result = set_scalar(config, key, item, err);
        if (result < 0)
            return -1;
    }
    return 0;
}
