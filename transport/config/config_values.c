#include "transport/config/internal.h"

const char *pq_config_text(const pq_config *config, unsigned id)
{
    return config->values[id].text;
}

int64_t pq_config_int(const pq_config *config, unsigned id)
{
    return config->values[id].number;
}

pq_ms pq_config_duration_ms(const pq_config *config, unsigned id)
{
    return config->values[id].number;
}

bool pq_config_bool(const pq_config *config, unsigned id)
{
    return config->values[id].number != 0;
}

const char *const *pq_config_list(const pq_config *config, unsigned id, size_t *ret_count)
{
    *ret_count = config->values[id].item_count;
    return (const char *const *)config->values[id].items;
}

int pq_config_secret(pq_config *config, unsigned id, const pq_secret **ret, pq_error *err)
{
    pq_value *value = &config->values[id];

    if (value->set && pq_secret_read(value, pq_config_row(config, id), err) < 0)
        return -1;
    *ret = &value->secret;
    return 0;
}

int pq_config_read_secrets(pq_config *config, pq_error *err)
{
    const pq_secret *secret;

    for (unsigned id = 0; id < pq_config_count(config); id++) {
        if (pq_config_row(config, id)->type == PQ_TYPE_SECRET &&
            pq_config_secret(config, id, &secret, err) < 0)
            return -1;
    }
    return 0;
}

bool pq_config_is_set(const pq_config *config, unsigned id)
{
    return config->values[id].set;
}

pq_source pq_config_source(const pq_config *config, unsigned id)
{
    return config->values[id].source;
}

/* "key = text (origin)" of a value that is set. On the command line the option's own name tells how
 * a secret was given. */
static int print_value(const char *name, const pq_option *option, const pq_value *value,
                       pq_buf *out, pq_error *err)
{
    if (option->type != PQ_TYPE_SECRET)
        return pq_buf_printf(out, err, "%s = %s (%s)\n", name, value->text, value->origin);
    if (value->kind == PQ_SECRET_VALUE || value->source == PQ_SOURCE_COMMAND_LINE)
        return pq_buf_printf(out, err, "%s = <set> (%s)\n", name, value->origin);
    return pq_buf_printf(out, err, "%s = <set> (%s: %s%s)\n", name, value->origin, option->key,
                         pq_secret_ways[value->kind].key_suffix);
}

int pq_config_print(const pq_config *config, pq_buf *out, pq_error *err)
{
    for (unsigned id = 0; id < pq_config_count(config); id++) {
        const pq_option *option = pq_config_row(config, id);
        const pq_value *value = &config->values[id];

        const char *name = option->key != NULL ? option->key : option->name;
        int failed;

        if (option->key == NULL && option->environment == NULL)
            continue;
        failed = value->set ? print_value(name, option, value, out, err)
                            : pq_buf_printf(out, err, "%s = <not set>\n", name);
        if (failed < 0)
            return -1;
    }
    return 0;
}
