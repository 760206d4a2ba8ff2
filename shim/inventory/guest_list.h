/*
 * The cluster's list of guests, for commands that are not about one VM.   (shim)
 */
#pragma once

#include "transport/config/config.h"
#include "transport/pve/locate.h"
#include "transport/pve/pve.h"

/* All-zero is valid for pq_guest_list_done(). */
typedef struct pq_guest_list {
    pq_loop *loop;
    pq_pve *pve;
    pq_pve_options options;
    const pq_guests *guests; /* until the loop runs again */

    /* private */
    bool ended;
    pq_error failure; /* code OK: none */
} pq_guest_list;

/* Opens the endpoint that `config` names, which outlives the list, and runs the loop until the list
 * is there. Tells the user if nobody may see a guest. Fails with CONFIG, SECRET, NOMEM, INTERNAL
 * and as calls of the API do. */
int pq_guest_list_open(pq_guest_list *list, pq_config *config, pq_error *err);

/* All agents of list->pve were freed. */
void pq_guest_list_done(pq_guest_list *list);
