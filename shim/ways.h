/*
 * From a configuration to the ways that --via allows.   (shim)
 */
#pragma once

#include "shim/ssh_endpoint.h"
#include "transport/pve/pve.h"

/* All-zero is valid. */
typedef struct pq_ways {
    bool api, over_ssh;
    pq_pve_options options; /* of the API; points into the configuration */
    pq_ssh_endpoint ssh;
} pq_ways;

/* Reads the secrets. With --via auto, the API is left out if there is nothing to log in there with.
 * `ret` is all-zero and stays where it is as long as its options are used. Fails with CONFIG,
 * SECRET, NOMEM. */
int pq_ways_read(pq_config *config, pq_ways *ret, pq_error *err);
void pq_ways_done(pq_ways *ways);

bool pq_ways_equal(const pq_ways *a, const pq_ways *b);
