#include "transport/cluster/addresses.h"

#include <stdio.h>
#include <string.h>

/* Plain addresses only: no zone, no prefix length. */
static bool take(const pq_json *item, const char *name, char ret[PQ_ADDRESS_SIZE])
{
    const char *text = pq_json_text(item, name);
    if (text == NULL || text[0] == '\0' || strlen(text) >= PQ_ADDRESS_SIZE ||
        strspn(text, "0123456789abcdefABCDEF.:") != strlen(text))
        return false;
    snprintf(ret, PQ_ADDRESS_SIZE, "%s", text);
    return true;
}

bool pq_address_in_status(const pq_json *status, const char *node, char ret[PQ_ADDRESS_SIZE])
{
    for (const pq_json *item = pq_json_first(status); item != NULL; item = pq_json_next(item)) {
        const char *type = pq_json_text(item, "type"), *name = pq_json_text(item, "name");
        if (type != NULL && strcmp(type, "node") == 0 && name != NULL && strcmp(name, node) == 0)
            return take(item, "ip", ret);
    }
    return false;
}

/* Of the first interface that has `gateway`, or with NULL of the first one with an address. */
static bool take_behind(const pq_json *network, const char *gateway, const char *name,
                        char ret[PQ_ADDRESS_SIZE])
{
    for (const pq_json *item = pq_json_first(network); item != NULL; item = pq_json_next(item)) {
        const char *way = gateway != NULL ? pq_json_text(item, gateway) : "any";
        if (way != NULL && way[0] != '\0' && take(item, name, ret))
            return true;
    }
    return false;
}

bool pq_address_in_network(const pq_json *network, char ret[PQ_ADDRESS_SIZE])
{
    return take_behind(network, "gateway", "address", ret) ||
           take_behind(network, "gateway6", "address6", ret) ||
           take_behind(network, NULL, "address", ret);
}
