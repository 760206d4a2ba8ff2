#include "transport/ssh/place.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* VM ids are 100 to 999999999. */
#define VMID_MIN 100
#define VMID_MAX 999999999

bool pq_place_is_id(const char *vm, int64_t *ret_vmid)
{
    size_t digits = strspn(vm, "0123456789");
    if (digits == 0 || vm[digits] != '\0')
        return false;
    int64_t vmid = digits <= 9 ? strtoll(vm, NULL, 10) : 0;
    *ret_vmid = vmid >= VMID_MIN && vmid <= VMID_MAX ? vmid : 0;
    return true;
}

bool pq_place_is_node(const char *node)
{
    size_t length = strlen(node);
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)node[i]) && node[i] != '-')
            return false;
    return length > 0 && length <= PQ_PLACE_NODE_MAX && node[0] != '-';
}

/* ---- reading ---- */

/* 1: filled; 0: makes no sense; -1: no memory. */
static int read_place(pq_place *place, const pq_json *item)
{
    bool is_template = false;
    const char *type = pq_json_text(item, "type");
    const char *node = pq_json_text(item, "node");
    const char *name = pq_json_text(item, "name");
    if (type == NULL || node == NULL || !pq_place_is_node(node) ||
        !pq_json_int(item, "vmid", &place->vmid))
        return 0;
    place->container = strcmp(type, "qemu") != 0;
    place->is_template = pq_json_bool(item, "template", &is_template) && is_template;
    snprintf(place->node, sizeof place->node, "%s", node);
    place->name = strdup(name != NULL ? name : "");
    return place->name != NULL ? 1 : -1;
}

int pq_places_read(pq_places *places, const pq_json *answer, pq_error *err)
{
    size_t room = 0;
    if (answer == NULL || pq_json_is_object(answer))
        return pq_fail(err, PQ_E_BAD_ANSWER, "the node's list of guests is no list");
    for (const pq_json *item = pq_json_first(answer); item != NULL; item = pq_json_next(item)) {
        if (places->count == room) {
            room = room > 0 ? 2 * room : 64;
            pq_place *more = realloc(places->items, room * sizeof *more);
            if (more == NULL) {
                pq_places_done(places);
                return pq_fail(err, PQ_E_NOMEM, "out of memory");
            }
            places->items = more;
        }
        int filled = read_place(&places->items[places->count], item);
        if (filled < 0) {
            pq_places_done(places);
            return pq_fail(err, PQ_E_NOMEM, "out of memory");
        }
        places->count += (size_t)filled;
    }
    return 0;
}

void pq_places_done(pq_places *places)
{
    for (size_t i = 0; i < places->count; i++)
        free(places->items[i].name);
    free(places->items);
    *places = (pq_places){0};
}

/* ---- finding ---- */

static bool is_called(const pq_place *place, const char *vm, int64_t vmid)
{
    return vmid != 0 ? place->vmid == vmid : strcasecmp(place->name, vm) == 0;
}

static int fail_ambiguous(const pq_place *a, const pq_place *b, const char *vm, pq_error *err)
{
    return pq_fail(err, PQ_E_VM_AMBIGUOUS,
                   "several VMs are called '%s': %" PRId64 " on %s, %" PRId64 " on %s", vm, a->vmid,
                   a->node, b->vmid, b->node);
}

static int check_kind(const pq_place *place, const char *vm, pq_error *err)
{
    if (place->container)
        return pq_fail(err, PQ_E_VM_UNKNOWN, "'%s' is a container, which has no agent", vm);
    if (place->is_template)
        return pq_fail(err, PQ_E_VM_UNKNOWN, "'%s' is a template", vm);
    return 0;
}

int pq_places_find(const pq_places *places, const char *vm, const char *node, const pq_place **ret,
                   pq_error *err)
{
    const pq_place *found = NULL, *elsewhere = NULL;
    int64_t vmid = 0;
    pq_place_is_id(vm, &vmid);
    for (size_t i = 0; i < places->count; i++) {
        const pq_place *place = &places->items[i];
        if (!is_called(place, vm, vmid))
            continue;
        if (node != NULL && strcmp(place->node, node) != 0) {
            elsewhere = place;
            continue;
        }
        if (found != NULL)
            return fail_ambiguous(found, place, vm, err);
        found = place;
    }
    if (found == NULL && elsewhere != NULL)
        return pq_fail(err, PQ_E_VM_UNKNOWN, "VM '%s' is on node %s, not on %s", vm,
                       elsewhere->node, node);
    if (found == NULL)
        return pq_fail(err, PQ_E_VM_UNKNOWN, "there is no VM '%s'", vm);
    if (check_kind(found, vm, err) < 0)
        return -1;
    *ret = found;
    return 0;
}
