#include "shim/inventory/facts.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "shim/inventory/ansible_text.h"

/* Kept free for the list of addresses while interfaces are added: 64 of "2001:db8:...", each with
 * quotes and a comma. */
#define ADDRESSES_BYTES ((size_t)4 * 1024)

/* One network interface, which has at most this much to say. */
#define INTERFACE_BYTES ((size_t)8 * 1024)

/* Of an address with "/128". */
#define ADDRESS_SIZE (INET6_ADDRSTRLEN + 4)

/* Takes a failure to add for what it is: *ret_full tells that there is no room. */
static int or_full(int result, const pq_error *err, bool *ret_full)
{
    *ret_full = result < 0 && err->code == PQ_E_TOO_LARGE;
    return *ret_full ? 0 : result;
}

/* ---- the operating system ---- */

static const struct {
    const char *member;
    const char *variable;
} osinfo[] = {
    {"id", "proxmox_os_id"},
    {"name", "proxmox_os_name"},
    {"pretty-name", "proxmox_os_pretty_name"},
    {"version", "proxmox_os_version"},
    {"version-id", "proxmox_os_version_id"},
    {"kernel-release", "proxmox_os_kernel"},
    {"machine", "proxmox_os_machine"},
};

int pq_facts_add_osinfo(pq_inventory_host *host, const pq_json *result, pq_error *err)
{
    const char *id = pq_json_text(result, "id");
    if (id != NULL)
        pq_error_clean(host->os_id, sizeof host->os_id, id, strlen(id));
    for (size_t i = 0; i < sizeof osinfo / sizeof osinfo[0]; i++) {
        const char *text = pq_json_text(result, osinfo[i].member);
        if (text == NULL)
            continue;
        if (pq_buf_printf(&host->facts, err, ",\"%s\":", osinfo[i].variable) < 0 ||
            pq_ansible_write_text(&host->facts, text, err) < 0)
            return -1;
    }
    return 0;
}

/* ---- addresses ---- */

/* An address that was parsed and written again. */
typedef struct address {
    char text[INET6_ADDRSTRLEN];
    int64_t prefix; /* -1: not told */
    bool usable;    /* from elsewhere */
} address;

static bool read_ipv4(const char *text, address *ret)
{
    struct in_addr ip;
    if (inet_pton(AF_INET, text, &ip) != 1)
        return false;
    inet_ntop(AF_INET, &ip, ret->text, sizeof ret->text);
    const unsigned char *bytes = (const unsigned char *)&ip;
    bool link_local = bytes[0] == 169 && bytes[1] == 254;
    ret->usable = bytes[0] != 127 && bytes[0] != 0 && !link_local;
    return true;
}

static bool read_ipv6(const char *text, address *ret)
{
    struct in6_addr ip;
    if (inet_pton(AF_INET6, text, &ip) != 1)
        return false;
    inet_ntop(AF_INET6, &ip, ret->text, sizeof ret->text);
    ret->usable = !IN6_IS_ADDR_LOOPBACK(&ip) && !IN6_IS_ADDR_LINKLOCAL(&ip) &&
                  !IN6_IS_ADDR_UNSPECIFIED(&ip) && !IN6_IS_ADDR_MULTICAST(&ip);
    return true;
}

static bool read_address(const pq_json *item, address *ret)
{
    const char *given = pq_json_text(item, "ip-address");
    char text[INET6_ADDRSTRLEN];
    if (given == NULL)
        return false;
    /* Windows adds the interface's number: "fe80::1%5". */
    size_t length = strcspn(given, "%");
    if (length >= sizeof text)
        return false;
    snprintf(text, sizeof text, "%.*s", (int)length, given);
    bool is_ipv6 = strchr(text, ':') != NULL;
    if (!(is_ipv6 ? read_ipv6 : read_ipv4)(text, ret))
        return false;
    ret->prefix = -1;
    (void)pq_json_int(item, "prefix", &ret->prefix);
    if (ret->prefix > (is_ipv6 ? 128 : 32))
        ret->prefix = -1;
    return true;
}

/* Appends a JSON string behind a comma, unless it is the first of a list. */
static int add_item(pq_buf *list, const char *text, pq_error *err)
{
    bool first = list->length == 0 || list->data[list->length - 1] == '[';
    return pq_buf_printf(list, err, "%s\"%s\"", first ? "" : ",", text);
}

static int add_address(pq_buf *out, const address *ip, pq_error *err)
{
    char text[ADDRESS_SIZE];
    if (ip->prefix < 0)
        return add_item(out, ip->text, err);
    snprintf(text, sizeof text, "%s/%d", ip->text, (int)ip->prefix);
    return add_item(out, text, err);
}

/* ---- interfaces ---- */

/* Two lists without their brackets. */
typedef struct lists {
    pq_buf interfaces;
    pq_buf addresses;
    size_t address_count;
} lists;

static int add_addresses(pq_buf *out, const pq_json *given, lists *all, pq_error *err)
{
    address ip;
    unsigned count = 0;
    const pq_json *item = pq_json_first(given);
    for (; item != NULL && count < PQ_FACTS_ADDRESSES_MAX; item = pq_json_next(item), count++) {
        if (!read_address(item, &ip))
            continue;
        if (add_address(out, &ip, err) < 0)
            return -1;
        if (!ip.usable || all->address_count == PQ_FACTS_ADDRESSES_MAX)
            continue;
        if (add_item(&all->addresses, ip.text, err) < 0)
            return -1;
        all->address_count++;
    }
    return 0;
}

static bool is_mac(const char *text)
{
    size_t length = strlen(text);
    return length < 64 && strspn(text, "0123456789abcdefABCDEF:-") == length;
}

static int write_interface(pq_buf *out, const pq_json *item, lists *all, pq_error *err)
{
    const char *name = pq_json_text(item, "name");
    const char *mac = pq_json_text(item, "hardware-address");
    if (pq_buf_add_text(out, "{\"name\":", err) < 0 ||
        pq_ansible_write_text(out, name != NULL ? name : "", err) < 0 ||
        pq_buf_printf(out, err, ",\"mac-address\":\"%s\",\"ip-addresses\":[",
                      mac != NULL && is_mac(mac) ? mac : "") < 0 ||
        add_addresses(out, pq_json_member(item, "ip-addresses"), all, err) < 0)
        return -1;
    return pq_buf_add_text(out, "]}", err);
}

/* *ret_full: there is no room for it. */
static int add_interface(lists *all, const pq_json *item, bool *ret_full, pq_error *err)
{
    pq_buf one = {.maximum = INTERFACE_BYTES};
    int result = all->interfaces.length > 0 ? pq_buf_add_byte(&one, ',', err) : 0;
    if (result == 0)
        result = write_interface(&one, item, all, err);
    if (result == 0)
        result = pq_buf_add(&all->interfaces, one.data, one.length, err);
    pq_buf_done(&one);
    return or_full(result, err, ret_full);
}

static int add_lists(pq_buf *facts, const lists *all, pq_error *err)
{
    const char *interfaces = all->interfaces.length > 0 ? all->interfaces.data : "";
    const char *addresses = all->addresses.length > 0 ? all->addresses.data : "";
    return pq_buf_printf(facts, err,
                         ",\"proxmox_agent_interfaces\":[%s],\"proxmox_agent_addresses\":[%s]",
                         interfaces, addresses);
}

int pq_facts_add_interfaces(pq_inventory_host *host, const pq_json *result, pq_error *err)
{
    size_t room = PQ_INVENTORY_FACTS_MAX - host->facts.length;
    lists all = {.interfaces.maximum = room > 2 * ADDRESSES_BYTES ? room - 2 * ADDRESSES_BYTES : 1};
    int failed = 0;
    bool full = false;
    if (pq_json_is_object(result))
        return 0;
    const pq_json *item = pq_json_first(result);
    for (; item != NULL && failed == 0 && !full; item = pq_json_next(item)) {
        if (pq_json_is_object(item))
            failed = add_interface(&all, item, &full, err);
    }
    if (failed == 0)
        failed = add_lists(&host->facts, &all, err);
    pq_buf_done(&all.interfaces);
    pq_buf_done(&all.addresses);
    return failed;
}
