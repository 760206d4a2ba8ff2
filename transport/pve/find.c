#include "transport/pve/find.h"

#include <stdio.h>

#include "transport/pve/pve_internal.h"

void pq_pve_find_stop(pq_pve_find *find)
{
    pq_locate_wait_stop(&find->wait);
    pq_api_call_drop(&find->call);
    find->pve = NULL;
}

static void finish(pq_pve_find *find, const pq_error *err, const char *address)
{
    find->pve = NULL;
    find->done(find->context, err, find->vmid, find->found_node, address);
}

static void ask(pq_pve_find *find, const char *path, pq_api_fn done)
{
    find->call = (pq_api_call){.kind = PQ_API_LOOKUP, .method = "GET", .path = path};
    pq_api_call_start(&find->pve->api, &find->call, done, find);
}

static void got_network(void *context, const pq_error *err, pq_refusal refusal, const pq_json *data)
{
    char address[PQ_ADDRESS_SIZE];
    (void)refusal;
    bool told = err == NULL && pq_address_in_network(data, address);
    finish(context, NULL, told ? address : "");
}

static void got_status(void *context, const pq_error *err, pq_refusal refusal, const pq_json *data)
{
    pq_pve_find *find = context;
    char address[PQ_ADDRESS_SIZE];
    (void)refusal;
    if (err == NULL && pq_address_in_status(data, find->found_node, address)) {
        finish(find, NULL, address);
        return;
    }
    snprintf(find->path, sizeof find->path, "/api2/json/nodes/%s/network", find->found_node);
    ask(find, find->path, got_network);
}

static void located(void *context, const pq_error *lookup)
{
    pq_pve_find *find = context;
    const pq_guest *guest = NULL;
    pq_error err;
    if (lookup == NULL &&
        pq_guests_find(&find->pve->locate.guests, find->vm, find->node, &guest, &err) < 0)
        lookup = &err;
    if (lookup != NULL) {
        finish(find, lookup, "");
        return;
    }
    find->vmid = guest->vmid;
    snprintf(find->found_node, sizeof find->found_node, "%s", guest->node);
    ask(find, "/api2/json/cluster/status", got_status);
}

void pq_pve_find_start(pq_pve *pve, pq_pve_find *find, const char *vm, const char *node,
                       pq_pve_find_fn done, void *context)
{
    *find = (pq_pve_find){.pve = pve, .vm = vm, .node = node, .done = done, .context = context};
    pq_locate_wait_start(&pve->locate, &find->wait, 0, located, find);
}
