#include "shim/ways.h"

#include <string.h>

#include "shim/endpoint.h"

int pq_ways_read(pq_config *config, pq_ways *ret, pq_error *err)
{
    const char *via = pq_config_text(config, PQ_OPT_VIA);
    ret->api = strcmp(via, "ssh") != 0;
    ret->over_ssh = strcmp(via, "api") != 0;
    if (ret->api && pq_endpoint_read(config, &ret->options, err) < 0) {
        if (!ret->over_ssh || err->code != PQ_E_CONFIG)
            return -1;
        ret->api = false; /* nothing to log in there with */
    }
    return ret->over_ssh ? pq_ssh_endpoint_read(config, &ret->ssh, err) : 0;
}

void pq_ways_done(pq_ways *ways)
{
    pq_ssh_endpoint_done(&ways->ssh);
}

bool pq_ways_equal(const pq_ways *a, const pq_ways *b)
{
    return a->api == b->api && a->over_ssh == b->over_ssh &&
           (!a->api || pq_endpoint_equal(&a->options, &b->options)) &&
           (!a->over_ssh || pq_ssh_endpoint_equal(&a->ssh, &b->ssh));
}
