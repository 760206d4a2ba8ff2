/*
 * The cluster's guests, as GET /cluster/resources?type=vm or `pvesh` lists them.
 * (transport/cluster; pure)
 */
#pragma once

#include "transport/base/json.h"

/* Longest node name that is accepted: a DNS label. */
#define PQ_NODE_NAME_MAX 63

/* VM ids are 100 to 999999999. */
#define PQ_VMID_MIN 100
#define PQ_VMID_MAX 999999999

/* Longest status that is kept: "running", "stopped", "paused", ...; "unknown" if the node has not
 * told lately. */
#define PQ_GUEST_STATUS_MAX 15

/* Texts are as the server sent them: "" if there is none, of any length, not checked. */
typedef struct pq_guest {
    int64_t vmid;
    char node[PQ_NODE_NAME_MAX + 1];
    char status[PQ_GUEST_STATUS_MAX + 1]; /* "unknown" if there is none */
    char *name;
    char *tags; /* "a;b" */
    char *pool; /* told only to who has Pool.Audit on it */
    bool container;
    bool is_template;
} pq_guest;

/* All-zero is an empty list. */
typedef struct pq_guests {
    pq_guest *items;
    size_t count;
    const char *hidden; /* why others may exist all the same, for messages; NULL: none do */
} pq_guests;

/* Fills an empty list from the answer's `data`; entries that make no sense are left out. Fails with
 * BAD_ANSWER or NOMEM. */
int pq_guests_read(pq_guests *guests, const pq_json *data, pq_error *err);
void pq_guests_done(pq_guests *guests);

/* Fills an empty list with a copy. Fails with NOMEM. */
int pq_guests_copy(pq_guests *guests, const pq_guests *from, pq_error *err);

/* The guest with that id, or NULL. */
const pq_guest *pq_guests_by_id(const pq_guests *guests, int64_t vmid);

/* Finds the VM called `vm`, an id or a name, on `node` if that is not NULL. Names are compared
 * without regard to case, as in DNS. Fails with VM_UNKNOWN, whose text tells where a VM of that
 * name is instead, or VM_AMBIGUOUS, whose text lists the candidates. Containers and templates have
 * no agent and are refused. */
int pq_guests_find(const pq_guests *guests, const char *vm, const char *node,
                   const pq_guest **ret_guest, pq_error *err);

/* Whether `vm` is an id; *ret_vmid is 0 for a number that cannot be one. */
bool pq_vm_is_id(const char *vm, int64_t *ret_vmid);

/* Whether `node` has the form of a node name, which can stand in a path as it is. */
bool pq_is_node_name(const char *node);
