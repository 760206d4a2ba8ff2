/*
 * The cluster's list of guests, for commands that are not about one VM.   (shim)
 *
 * It comes the way that --via says; with "auto" over SSH if the API is closed (fallback.h), which
 * one warning tells.
 */
#pragma once

#include "shim/ways.h"
#include "transport/cluster/guests.h"

/* All-zero is valid for pq_guest_list_done(). */
typedef struct pq_guest_list {
    pq_loop *loop;
    pq_ways ways;
    pq_pve *pve;             /* the way that the list came, or NULL */
    pq_ssh *ssh;             /* the same */
    unsigned calls_per_node; /* in flight, as that way allows */
    const pq_guests *guests; /* until the loop runs again */

    /* private */
    bool ended;
    pq_error failure; /* code OK: none */
} pq_guest_list;

/* Opens the ways that `config` names, which outlives the list, and runs the loop until the list
 * is there. Tells the user if nobody may see a guest. Fails with CONFIG, SECRET, NOMEM, INTERNAL
 * and as calls of the API or SSH do. */
int pq_guest_list_open(pq_guest_list *list, pq_config *config, pq_error *err);

/* All agents were freed. */
void pq_guest_list_done(pq_guest_list *list);

/* An agent for a guest of the list, the way the list came. Fails with NOMEM. */
pq_agent *pq_guest_list_agent(const pq_guest_list *list, const pq_guest *guest, pq_error *err);
