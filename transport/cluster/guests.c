#include "transport/cluster/guests.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Candidates that an error names. */
#define NAMED_MAX 6

bool pq_vm_is_id(const char *vm, int64_t *ret_vmid)
{
    size_t digits = strspn(vm, "0123456789");
    if (digits == 0 || vm[digits] != '\0')
        return false;
    int64_t vmid = digits <= 9 ? strtoll(vm, NULL, 10) : 0;
    *ret_vmid = vmid >= PQ_VMID_MIN && vmid <= PQ_VMID_MAX && vm[0] != '0' ? vmid : 0;
    return true;
}

bool pq_is_node_name(const char *node)
{
    size_t length = strlen(node);
    if (length == 0 || length > PQ_NODE_NAME_MAX)
        return false;
    size_t plain = strspn(node, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-");
    return plain == length && node[0] != '-';
}

/* ---- the list ---- */

static void guest_done(pq_guest *guest)
{
    free(guest->name);
    free(guest->tags);
    free(guest->pool);
}

/* Gives the guest copies of its texts; NULL counts as "". */
static int set_texts(pq_guest *guest, const char *name, const char *tags, const char *pool,
                     pq_error *err)
{
    guest->name = strdup(name != NULL ? name : "");
    guest->tags = strdup(tags != NULL ? tags : "");
    guest->pool = strdup(pool != NULL ? pool : "");
    if (guest->name != NULL && guest->tags != NULL && guest->pool != NULL)
        return 0;
    guest_done(guest);
    return pq_fail(err, PQ_E_NOMEM, "out of memory");
}

static int read_guest(pq_guest *guest, const pq_json *item, bool *ret_taken, pq_error *err)
{
    const char *type = pq_json_text(item, "type");
    const char *node = pq_json_text(item, "node");
    const char *status = pq_json_text(item, "status");
    pq_guest read = {0};
    *ret_taken = false;
    if (type == NULL || node == NULL || !pq_is_node_name(node) ||
        !pq_json_int(item, "vmid", &read.vmid))
        return 0;
    read.container = strcmp(type, "lxc") == 0;
    if (!read.container && strcmp(type, "qemu") != 0)
        return 0;
    (void)pq_json_bool(item, "template", &read.is_template);
    snprintf(read.node, sizeof read.node, "%s", node);
    pq_error_clean(read.status, sizeof read.status, status != NULL ? status : "unknown",
                   strlen(status != NULL ? status : "unknown"));
    if (set_texts(&read, pq_json_text(item, "name"), pq_json_text(item, "tags"),
                  pq_json_text(item, "pool"), err) < 0)
        return -1;
    *guest = read;
    *ret_taken = true;
    return 0;
}

static bool is_list(const pq_json *data)
{
    const pq_json *first = pq_json_first(data);
    pq_buf text = {0};
    pq_error err;
    if (first != NULL)
        return pq_json_name(first) == NULL;
    bool empty_list =
        data != NULL && pq_json_print(&text, data, &err) == 0 && strcmp(text.data, "[]") == 0;
    pq_buf_done(&text);
    return empty_list;
}

int pq_guests_read(pq_guests *guests, const pq_json *data, pq_error *err)
{
    size_t count = 0;
    if (!is_list(data))
        return pq_fail(err, PQ_E_BAD_ANSWER, "the cluster's list of guests is no list");
    for (const pq_json *item = pq_json_first(data); item != NULL; item = pq_json_next(item))
        count++;
    if (count == 0)
        return 0;
    guests->items = calloc(count, sizeof *guests->items);
    if (guests->items == NULL)
        return pq_fail(err, PQ_E_NOMEM, "out of memory");
    for (const pq_json *item = pq_json_first(data); item != NULL; item = pq_json_next(item)) {
        bool taken;
        if (read_guest(&guests->items[guests->count], item, &taken, err) < 0) {
            pq_guests_done(guests);
            return -1;
        }
        guests->count += taken;
    }
    return 0;
}

void pq_guests_done(pq_guests *guests)
{
    for (size_t i = 0; i < guests->count; i++)
        guest_done(&guests->items[i]);
    free(guests->items);
    guests->items = NULL;
    guests->count = 0;
}

int pq_guests_copy(pq_guests *guests, const pq_guests *from, pq_error *err)
{
    if (from->count == 0)
        return 0;
    guests->items = calloc(from->count, sizeof *guests->items);
    if (guests->items == NULL)
        return pq_fail(err, PQ_E_NOMEM, "out of memory");
    for (; guests->count < from->count; guests->count++) {
        const pq_guest *guest = &from->items[guests->count];
        pq_guest *copy = &guests->items[guests->count];
        *copy = *guest;
        if (set_texts(copy, guest->name, guest->tags, guest->pool, err) < 0) {
            pq_guests_done(guests);
            return -1;
        }
    }
    return 0;
}

const pq_guest *pq_guests_by_id(const pq_guests *guests, int64_t vmid)
{
    for (size_t i = 0; i < guests->count; i++)
        if (guests->items[i].vmid == vmid)
            return &guests->items[i];
    return NULL;
}

/* ---- finding one ---- */

typedef struct candidates {
    const pq_guest *first;
    size_t count;
    char text[PQ_ERROR_TEXT_MAX / 2]; /* "100 on pve1, 105 on pve2" */
} candidates;

static void add_candidate(candidates *found, const pq_guest *guest)
{
    size_t length = strlen(found->text);
    if (found->count == 0)
        found->first = guest;
    if (found->count < NAMED_MAX)
        snprintf(found->text + length, sizeof found->text - length, "%s%" PRId64 " on %s",
                 length > 0 ? ", " : "", guest->vmid, guest->node);
    else if (found->count == NAMED_MAX)
        snprintf(found->text + length, sizeof found->text - length, " and others");
    found->count++;
}

static bool is_called(const pq_guest *guest, const char *vm)
{
    int64_t vmid;
    if (pq_vm_is_id(vm, &vmid))
        return guest->vmid == vmid;
    return strcasecmp(guest->name, vm) == 0;
}

static int check_kind(const pq_guest *guest, pq_error *err)
{
    if (guest->container)
        return pq_fail(err, PQ_E_VM_UNKNOWN,
                       "%" PRId64 " on node %s is a container, which has no guest agent",
                       guest->vmid, guest->node);
    if (guest->is_template)
        return pq_fail(err, PQ_E_VM_UNKNOWN,
                       "VM %" PRId64 " on node %s is a template, which cannot run", guest->vmid,
                       guest->node);
    return 0;
}

int pq_guests_find(const pq_guests *guests, const char *vm, const char *node,
                   const pq_guest **ret_guest, pq_error *err)
{
    candidates here = {0}, elsewhere = {0};
    for (size_t i = 0; i < guests->count; i++) {
        const pq_guest *guest = &guests->items[i];
        if (is_called(guest, vm))
            add_candidate(node == NULL || strcmp(node, guest->node) == 0 ? &here : &elsewhere,
                          guest);
    }
    if (here.count > 1)
        return pq_fail(err, PQ_E_VM_AMBIGUOUS, "%zu guests are called '%s': %s", here.count, vm,
                       here.text);
    if (here.count == 1) {
        if (check_kind(here.first, err) < 0)
            return -1;
        *ret_guest = here.first;
        return 0;
    }
    if (elsewhere.count > 0)
        return pq_fail(err, PQ_E_VM_UNKNOWN, "VM '%s' is not on node %s, but %s", vm, node,
                       elsewhere.text);
    return pq_fail(err, PQ_E_VM_UNKNOWN, "there is no VM '%s'%s%s%s%s", vm,
                   node != NULL ? " on node " : "", node != NULL ? node : "",
                   guests->hidden != NULL ? ", or " : "",
                   guests->hidden != NULL ? guests->hidden : "");
}
