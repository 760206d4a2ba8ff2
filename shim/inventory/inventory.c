#include "shim/inventory/inventory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "shim/inventory/ansible_text.h"

/* Stands in for a name that is missing. */
#define NAMELESS "vm"

/* What a guest could be called. */
typedef struct candidate {
    const pq_guest *guest;
    char *base;
    bool needs_id;
} candidate;

/* One for each id, in their order. */
typedef struct candidates {
    candidate *items;
    size_t count;
} candidates;

/* ---- names ---- */

static int by_id(const void *a, const void *b)
{
    const pq_guest *x = a, *y = b;
    if (x->vmid != y->vmid)
        return x->vmid < y->vmid ? -1 : 1;
    return strcmp(x->node, y->node);
}

static int by_base(const void *a, const void *b)
{
    const candidate *const *x = a, *const *y = b;
    return strcasecmp((*x)->base, (*y)->base);
}

static const candidate *find_id(const candidates *all, int64_t vmid)
{
    size_t low = 0, high = all->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (all->items[middle].guest->vmid < vmid)
            low = middle + 1;
        else
            high = middle;
    }
    bool found = low < all->count && all->items[low].guest->vmid == vmid;
    return found ? &all->items[low] : NULL;
}

/* Whether another guest would be called this if it needed its id. */
static bool is_name_with_id(const candidates *all, const char *base)
{
    const char *dash = strrchr(base, '-');
    int64_t vmid;
    if (dash == NULL || !pq_vm_is_id(dash + 1, &vmid))
        return false;
    const candidate *other = find_id(all, vmid);
    size_t length = (size_t)(dash - base);
    return other != NULL && strncasecmp(other->base, base, length) == 0 &&
           other->base[length] == '\0';
}

static bool means_something(const char *base)
{
    static const char *const names[] = {"localhost", "127.0.0.1", "all", "ungrouped",
                                        "proxmox_guests"};
    static const char *const starts[] = {"node_", "tag_", "pool_", "os_"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcasecmp(base, names[i]) == 0)
            return true;
    }
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++) {
        if (strncasecmp(base, starts[i], strlen(starts[i])) == 0)
            return true;
    }
    return false;
}

static int mark_shared(candidates *all, pq_error *err)
{
    candidate **sorted = calloc(all->count, sizeof *sorted);
    if (sorted == NULL)
        return pq_fail(err, PQ_E_NOMEM, "out of memory");
    for (size_t i = 0; i < all->count; i++)
        sorted[i] = &all->items[i];
    qsort(sorted, all->count, sizeof *sorted, by_base);
    for (size_t i = 1; i < all->count; i++) {
        if (by_base(&sorted[i - 1], &sorted[i]) == 0)
            sorted[i - 1]->needs_id = sorted[i]->needs_id = true;
    }
    free(sorted);
    return 0;
}

static int add_candidate(candidates *all, const pq_guest *guest, pq_error *err)
{
    char base[PQ_ANSIBLE_HOST_SIZE];
    pq_ansible_host_name(base, guest->name);
    bool nameless = base[0] == '\0';
    char *copy = strdup(nameless ? NAMELESS : base);
    if (copy == NULL)
        return pq_fail(err, PQ_E_NOMEM, "out of memory");
    all->items[all->count++] = (candidate){.guest = guest, .base = copy, .needs_id = nameless};
    return 0;
}

static int find_names(candidates *all, const pq_guests *guests, pq_error *err)
{
    int64_t ignored;
    all->items = calloc(guests->count, sizeof *all->items);
    if (all->items == NULL)
        return pq_fail(err, PQ_E_NOMEM, "out of memory");
    for (size_t i = 0; i < guests->count; i++) {
        const pq_guest *guest = &guests->items[i];
        bool repeated = i > 0 && guest->vmid == guests->items[i - 1].vmid;
        if (!repeated && add_candidate(all, guest, err) < 0)
            return -1;
    }
    if (mark_shared(all, err) < 0)
        return -1;
    for (size_t i = 0; i < all->count; i++) {
        candidate *one = &all->items[i];
        if (pq_vm_is_id(one->base, &ignored) || means_something(one->base) ||
            is_name_with_id(all, one->base))
            one->needs_id = true;
    }
    return 0;
}

/* ---- hosts ---- */

static bool is_wanted(const pq_guest *guest, bool all)
{
    if (guest->container || guest->is_template || guest->vmid < PQ_VMID_MIN ||
        guest->vmid > PQ_VMID_MAX)
        return false;
    return all || strcmp(guest->status, "running") == 0;
}

static int add_host(pq_inventory *inventory, const candidate *one, pq_error *err)
{
    pq_inventory_host *host = &inventory->hosts[inventory->count];
    char *name = NULL;
    int length = one->needs_id ? asprintf(&name, "%s-%" PRId64, one->base, one->guest->vmid)
                               : asprintf(&name, "%s", one->base);
    if (length < 0)
        return pq_fail(err, PQ_E_NOMEM, "out of memory");
    *host = (pq_inventory_host){.guest = one->guest, .name = name};
    host->facts.maximum = PQ_INVENTORY_FACTS_MAX;
    inventory->count++;
    return 0;
}

static int add_hosts(pq_inventory *inventory, const candidates *all, bool stopped_too,
                     pq_error *err)
{
    inventory->hosts = calloc(all->count, sizeof *inventory->hosts);
    if (inventory->hosts == NULL)
        return pq_fail(err, PQ_E_NOMEM, "out of memory");
    for (size_t i = 0; i < all->count; i++) {
        const candidate *one = &all->items[i];
        if (is_wanted(one->guest, stopped_too) && add_host(inventory, one, err) < 0)
            return -1;
    }
    return 0;
}

int pq_inventory_init(pq_inventory *inventory, const pq_guests *guests, bool all, pq_error *err)
{
    candidates names = {0};
    if (guests->count == 0)
        return 0;
    if (pq_guests_copy(&inventory->guests, guests, err) < 0)
        return -1;
    qsort(inventory->guests.items, inventory->guests.count, sizeof *inventory->guests.items, by_id);
    int result = find_names(&names, &inventory->guests, err);
    if (result == 0)
        result = add_hosts(inventory, &names, all, err);
    for (size_t i = 0; i < names.count; i++)
        free(names.items[i].base);
    free(names.items);
    return result;
}

void pq_inventory_done(pq_inventory *inventory)
{
    for (size_t i = 0; i < inventory->count; i++) {
        free(inventory->hosts[i].name);
        pq_buf_done(&inventory->hosts[i].facts);
    }
    free(inventory->hosts);
    pq_guests_done(&inventory->guests);
    *inventory = (pq_inventory){0};
}

pq_inventory_host *pq_inventory_find(const pq_inventory *inventory, const char *name)
{
    for (size_t i = 0; i < inventory->count; i++) {
        if (strcmp(inventory->hosts[i].name, name) == 0)
            return &inventory->hosts[i];
    }
    return NULL;
}
