/*
 * Where the VMs are: the list of guests, fetched when needed and kept.   (transport/pve)
 *
 * All agents of an endpoint share one list. Whoever finds it too old (the VM is not there, or not
 * there any more) asks for one that is not older than a given time; askers share a fetch.
 */
#pragma once

#include "transport/cluster/guests.h"
#include "transport/pve/api.h"

/* `err` is NULL when locate->guests is up to date. Effects are "none". */
typedef void (*pq_locate_fn)(void *context, const pq_error *err);

/* Embedded in the asker's struct; all-zero when idle. */
typedef struct pq_locate_wait {
    struct pq_locate *locate; /* NULL while idle */
    pq_locate_fn ready;
    void *context;
    int64_t not_before_us;
    bool failed; /* a fetch failed while it waited */
    struct pq_locate_wait *next, **link;
} pq_locate_wait;

typedef struct pq_locate {
    pq_loop *loop;
    pq_api *api;
    pq_guests guests;
    int64_t listed_at_us; /* when `guests` was asked for; 0: never */
    int64_t asked_at_us;  /* when the fetch under way was started */
    pq_api_call call;
    bool fetching;
    pq_error failure; /* of the last fetch that failed */
    pq_locate_wait *waits;
    pq_defer serve;
} pq_locate;

void pq_locate_init(pq_locate *locate, pq_loop *loop, pq_api *api);

/* All waits were stopped. */
void pq_locate_done(pq_locate *locate);

/* Calls ready(context, err) from the loop as soon as there is a list that was asked for at
 * `not_before_us` (pq_now_us()) or later. */
void pq_locate_wait_start(pq_locate *locate, pq_locate_wait *wait, int64_t not_before_us,
                          pq_locate_fn ready, void *context);
void pq_locate_wait_stop(pq_locate_wait *wait);
