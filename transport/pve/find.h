/*
 * Where a VM is, down to its node's address, for who goes there another way.   (transport/pve)
 *
 * The list of guests tells the node; GET /cluster/status, which needs Sys.Audit, or else GET
 * /nodes/{node}/network its address.
 */
#pragma once

#include "transport/cluster/addresses.h"
#include "transport/pve/api.h"
#include "transport/pve/locate.h"
#include "transport/pve/pve.h"

/* The address is "" if nobody tells it. Texts are valid during the callback. Effects are "none". */
typedef void (*pq_pve_find_fn)(void *context, const pq_error *err, int64_t vmid, const char *node,
                               const char *address);

/* Embedded in its owner's struct; all-zero when idle. */
typedef struct pq_pve_find {
    pq_pve *pve; /* NULL while idle */
    const char *vm, *node;
    pq_pve_find_fn done;
    void *context;
    pq_locate_wait wait;
    pq_api_call call;
    int64_t vmid;
    char found_node[PQ_NODE_NAME_MAX + 1];
    char path[sizeof "/api2/json/nodes//network" + PQ_NODE_NAME_MAX];
} pq_pve_find;

/* The VM called `vm`, on `node` if that is not NULL; both outlive the search. `done` runs from the
 * loop, once, unless the search is stopped. */
void pq_pve_find_start(pq_pve *pve, pq_pve_find *find, const char *vm, const char *node,
                       pq_pve_find_fn done, void *context);
void pq_pve_find_stop(pq_pve_find *find);
