/*
 * Where the VMs are, as a node's pvesh lists them.   (transport/ssh; pure)
 */
#pragma once

#include "transport/base/json.h"

/* Longest node name that is accepted: a DNS label. */
#define PQ_PLACE_NODE_MAX 63

typedef struct pq_place {
    int64_t vmid;
    char node[PQ_PLACE_NODE_MAX + 1];
    char *name; /* "" if there is none */
    bool container;
    bool is_template;
} pq_place;

/* All-zero is an empty list. */
typedef struct pq_places {
    pq_place *items;
    size_t count;
} pq_places;

/* Fills an empty list from the answer; entries that make no sense are left out. Fails with
 * BAD_ANSWER or NOMEM. */
int pq_places_read(pq_places *places, const pq_json *answer, pq_error *err);
void pq_places_done(pq_places *places);

/* The VM called `vm`, an id or a name (without regard to case), on `node` if that is not NULL.
 * Fails with VM_UNKNOWN, VM_AMBIGUOUS. */
int pq_places_find(const pq_places *places, const char *vm, const char *node, const pq_place **ret,
                   pq_error *err);

/* Whether `vm` is an id; *ret_vmid is 0 for a number that cannot be one. */
bool pq_place_is_id(const char *vm, int64_t *ret_vmid);

/* Whether `node` has the form of a node's name. */
bool pq_place_is_node(const char *node);
