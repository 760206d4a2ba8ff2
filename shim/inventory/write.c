#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "shim/inventory/ansible_text.h"
#include "shim/inventory/inventory.h"
#include "transport/base/fd.h"

/* Longest tag. */
#define TAG_SIZE 128

/* Output is written in pieces of about this size. */
#define PIECE_BYTES ((size_t)64 * 1024)

#define EVERYONE "proxmox_guests"

/* ---- tags ---- */

int pq_inventory_each_tag(const char *tags, pq_inventory_tag_fn fn, void *context, pq_error *err)
{
    static const char separators[] = ";, \t";
    char tag[TAG_SIZE];
    for (unsigned count = 0; count < PQ_INVENTORY_TAGS_MAX; count++) {
        tags += strspn(tags, separators);
        size_t length = strcspn(tags, separators);
        if (length == 0)
            break;
        pq_error_clean(tag, sizeof tag, tags, length);
        if (tag[0] != '\0' && fn(context, tag, err) < 0)
            return -1;
        tags += length;
    }
    return 0;
}

/* ---- groups ---- */

/* A host in a group. */
typedef struct member {
    char *group;
    size_t host;
} member;

typedef struct members {
    member *items;
    size_t count, capacity;
    size_t host; /* the one whose groups are being added */
} members;

static int add_member(members *all, const char *prefix, const char *text, pq_error *err)
{
    char group[PQ_ANSIBLE_GROUP_SIZE];
    if (all->count == all->capacity) {
        size_t capacity = all->capacity > 0 ? all->capacity * 2 : 64;
        member *items = realloc(all->items, capacity * sizeof *items);
        if (items == NULL)
            return pq_fail(err, PQ_E_NOMEM, "out of memory");
        all->items = items;
        all->capacity = capacity;
    }
    pq_ansible_group_name(group, prefix, text);
    char *copy = strdup(group);
    if (copy == NULL)
        return pq_fail(err, PQ_E_NOMEM, "out of memory");
    all->items[all->count++] = (member){.group = copy, .host = all->host};
    return 0;
}

static int add_tag(void *context, const char *tag, pq_error *err)
{
    return add_member(context, "tag_", tag, err);
}

static int add_groups(members *all, const pq_inventory_host *host, pq_error *err)
{
    const pq_guest *guest = host->guest;
    if (add_member(all, EVERYONE, "", err) < 0 || add_member(all, "node_", guest->node, err) < 0 ||
        pq_inventory_each_tag(guest->tags, add_tag, all, err) < 0)
        return -1;
    if (guest->pool[0] != '\0' && add_member(all, "pool_", guest->pool, err) < 0)
        return -1;
    return host->os_id[0] != '\0' ? add_member(all, "os_", host->os_id, err) : 0;
}

static int by_group(const void *a, const void *b)
{
    const member *x = a, *y = b;
    int order = strcmp(x->group, y->group);
    if (order != 0)
        return order;
    return x->host < y->host ? -1 : x->host > y->host;
}

static int find_members(members *all, const pq_inventory *inventory, pq_error *err)
{
    for (; all->host < inventory->count; all->host++) {
        if (add_groups(all, &inventory->hosts[all->host], err) < 0)
            return -1;
    }
    if (all->count > 0)
        qsort(all->items, all->count, sizeof *all->items, by_group);
    return 0;
}

static void members_done(members *all)
{
    for (size_t i = 0; i < all->count; i++)
        free(all->items[i].group);
    free(all->items);
}

/* ---- a host's variables ---- */

static int write_member(pq_buf *out, const char *variable, const char *text, pq_error *err)
{
    return pq_buf_printf(out, err, ",\"%s\":", variable) < 0
               ? -1
               : pq_ansible_write_text(out, text, err);
}

static int write_tag(void *context, const char *tag, pq_error *err)
{
    pq_buf *out = context;
    bool first = out->data[out->length - 1] == '[';
    if (!first && pq_buf_add_byte(out, ',', err) < 0)
        return -1;
    return pq_ansible_write_text(out, tag, err);
}

static int write_tags(pq_buf *out, const char *tags, pq_error *err)
{
    if (tags[0] == '\0')
        return 0;
    if (write_member(out, "proxmox_tags", tags, err) < 0 ||
        pq_buf_add_text(out, ",\"proxmox_tags_parsed\":[", err) < 0 ||
        pq_inventory_each_tag(tags, write_tag, out, err) < 0)
        return -1;
    return pq_buf_add_byte(out, ']', err);
}

int pq_inventory_write_host(const pq_inventory_host *host, pq_buf *out, pq_error *err)
{
    const pq_guest *guest = host->guest;
    if (pq_buf_printf(out, err,
                      "{\"ansible_connection\":\"" PQ_INVENTORY_CONNECTION
                      "\",\"proxmox_vmid\":%" PRId64
                      ",\"proxmox_vmtype\":\"qemu\",\"proxmox_template\":false",
                      guest->vmid) < 0 ||
        write_member(out, "proxmox_name", guest->name, err) < 0 ||
        write_member(out, "proxmox_node", guest->node, err) < 0 ||
        write_member(out, "proxmox_status", guest->status, err) < 0 ||
        write_tags(out, guest->tags, err) < 0)
        return -1;
    if (guest->pool[0] != '\0' && write_member(out, "proxmox_pool", guest->pool, err) < 0)
        return -1;
    if (pq_buf_add(out, host->facts.data, host->facts.length, err) < 0)
        return -1;
    return pq_buf_add_byte(out, '}', err);
}

/* ---- the whole ---- */

typedef struct output {
    pq_buf text;
    int fd;
} output;

static int flush(output *out, size_t least, pq_error *err)
{
    if (out->text.length < least)
        return 0;
    if (pq_write_all(out->fd, out->text.data, out->text.length, err) < 0)
        return -1;
    pq_buf_clear(&out->text);
    return 0;
}

static int write_name(pq_buf *out, const char *name, pq_error *err)
{
    return pq_json_write_text(out, name, strlen(name), err);
}

static int write_hostvars(output *out, const pq_inventory *inventory, pq_error *err)
{
    if (pq_buf_add_text(&out->text, "{\"_meta\":{\"hostvars\":{", err) < 0)
        return -1;
    for (size_t i = 0; i < inventory->count; i++) {
        const pq_inventory_host *host = &inventory->hosts[i];
        if (pq_buf_add_text(&out->text, i > 0 ? ",\n" : "\n", err) < 0 ||
            write_name(&out->text, host->name, err) < 0 ||
            pq_buf_add_byte(&out->text, ':', err) < 0 ||
            pq_inventory_write_host(host, &out->text, err) < 0 || flush(out, PIECE_BYTES, err) < 0)
            return -1;
    }
    return pq_buf_add_text(&out->text, "}}", err);
}

static bool is_new_group(const members *all, size_t i)
{
    return i == 0 || strcmp(all->items[i].group, all->items[i - 1].group) != 0;
}

static bool is_repeated(const members *all, size_t i)
{
    return !is_new_group(all, i) && all->items[i].host == all->items[i - 1].host;
}

/* Ends the group before, if there is one, and begins the next one, which has a host. */
static int begin_group(pq_buf *out, const members *all, size_t i, pq_error *err)
{
    if (pq_buf_add_text(out, i > 0 ? "]},\n" : ",\n", err) < 0 ||
        write_name(out, all->items[i].group, err) < 0)
        return -1;
    return pq_buf_add_text(out, ":{\"hosts\":[", err);
}

static int write_groups(output *out, const members *all, const pq_inventory *inventory,
                        pq_error *err)
{
    for (size_t i = 0; i < all->count; i++) {
        if (is_repeated(all, i))
            continue;
        int begun = is_new_group(all, i) ? begin_group(&out->text, all, i, err)
                                         : pq_buf_add_byte(&out->text, ',', err);
        if (begun < 0 ||
            write_name(&out->text, inventory->hosts[all->items[i].host].name, err) < 0 ||
            flush(out, PIECE_BYTES, err) < 0)
            return -1;
    }
    return pq_buf_add_text(&out->text, all->count > 0 ? "]}" : ",\n\"" EVERYONE "\":{\"hosts\":[]}",
                           err);
}

/* What is above all groups. */
static int write_all(output *out, const members *all, pq_error *err)
{
    if (pq_buf_add_text(&out->text, ",\n\"all\":{\"children\":[\"ungrouped\"", err) < 0)
        return -1;
    for (size_t i = 0; i < all->count; i++) {
        if (!is_new_group(all, i))
            continue;
        if (pq_buf_add_byte(&out->text, ',', err) < 0 ||
            write_name(&out->text, all->items[i].group, err) < 0 ||
            flush(out, PIECE_BYTES, err) < 0)
            return -1;
    }
    const char *end = all->count > 0 ? "]}}\n" : ",\"" EVERYONE "\"]}}\n";
    return pq_buf_add_text(&out->text, end, err);
}

int pq_inventory_write(const pq_inventory *inventory, int fd, pq_error *err)
{
    output out = {.fd = fd};
    members all = {0};
    int result = find_members(&all, inventory, err);
    if (result == 0)
        result = write_hostvars(&out, inventory, err);
    if (result == 0)
        result = write_groups(&out, &all, inventory, err);
    if (result == 0)
        result = write_all(&out, &all, err);
    if (result == 0)
        result = flush(&out, 1, err);
    members_done(&all);
    pq_buf_done(&out.text);
    return result;
}
