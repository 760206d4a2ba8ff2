/*
 * The VMs of a cluster as hosts of Ansible.   (shim; uses transport/pve; does no I/O but
 * pq_inventory_write())
 *
 * Theory of operation: pq_inventory_init() takes a list of guests and decides which are hosts and
 * what each is called. What the agents tell is added to the hosts (facts.h), and the
 * whole is written as Ansible's script inventory: _meta.hostvars with all variables, and groups.
 *
 * A host has its VM's name, as long as that name leads to this VM alone, whatever is running: no
 * other VM, template or container has it, regardless of case. Otherwise, and where the name is
 * missing, a number, or one that means something to Ansible ("localhost", "all", a group's), it is
 * NAME-VMID. A name that equals another guest's NAME-VMID gets its own id behind it as well, so
 * that all are different and none depends on the order of the list.
 *
 * Groups: proxmox_guests has all hosts; node_*, tag_*, pool_*, os_* those of a node, tag, pool and
 * of what the agent calls the id of its operating system.
 */
#pragma once

#include "transport/cluster/guests.h"

/* The connection plugin that reaches the hosts. */
#define PQ_INVENTORY_CONNECTION "pve.qga.guest"

/* What one guest can make us keep of its answers, in bytes. */
#define PQ_INVENTORY_FACTS_MAX ((size_t)32 * 1024)

/* Tags of a VM that are kept. */
#define PQ_INVENTORY_TAGS_MAX 64

typedef struct pq_inventory_host {
    const pq_guest *guest;
    char *name;
    char os_id[64]; /* "" if the agent has not told */
    pq_buf facts;   /* members of a JSON object, each with a comma in front */
} pq_inventory_host;

/* All-zero is valid and empty. */
typedef struct pq_inventory {
    pq_guests guests;         /* all, by id; hosts point into it */
    pq_inventory_host *hosts; /* by id */
    size_t count;
} pq_inventory;

/* Copies `guests` into an empty inventory and makes hosts of its VMs that run, or of `all` VMs but
 * templates. Fails with NOMEM; pq_inventory_done() is due then, too. */
int pq_inventory_init(pq_inventory *inventory, const pq_guests *guests, bool all, pq_error *err);
void pq_inventory_done(pq_inventory *inventory);

/* The host of that name, or NULL. */
pq_inventory_host *pq_inventory_find(const pq_inventory *inventory, const char *name);

/* Calls fn(context, tag) for each tag of "a;b,c", cut and cleaned as texts in messages are, until
 * one call fails; returns the last one's result. */
typedef int (*pq_inventory_tag_fn)(void *context, const char *tag, pq_error *err);
int pq_inventory_each_tag(const char *tags, pq_inventory_tag_fn fn, void *context, pq_error *err);

/* Appends a host's variables, a JSON object. Fails with NOMEM or TOO_LARGE. */
int pq_inventory_write_host(const pq_inventory_host *host, pq_buf *out, pq_error *err);

/* Writes everything to `fd`. Fails with IO or NOMEM. */
int pq_inventory_write(const pq_inventory *inventory, int fd, pq_error *err);
