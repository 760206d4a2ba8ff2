/* What guests tell of themselves, and what they try. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "shim/inventory/facts.h"

static char name[] = "web", none[] = "";

static const pq_guest guest = {
    .vmid = 100, .node = "pve1", .status = "running", .name = name, .tags = none, .pool = none};

static pq_inventory_host new_host(void)
{
    return (pq_inventory_host){.guest = &guest, .facts.maximum = PQ_INVENTORY_FACTS_MAX};
}

static pq_json *parse(const char *text, size_t length)
{
    pq_buf copy = {0};
    pq_error err;
    cr_assert_eq(pq_buf_add(&copy, text, length, &err), 0);
    pq_json *value = pq_json_parse(copy.data, copy.length, &err);
    cr_assert_not_null(value, "%s: %.80s", err.text, text);
    pq_buf_done(&copy);
    return value;
}

typedef int (*add_fn)(pq_inventory_host *host, const pq_json *result, pq_error *err);

static void add(pq_inventory_host *host, add_fn fn, const char *json)
{
    pq_error err;
    pq_json *result = parse(json, strlen(json));
    cr_assert_eq(fn(host, result, &err), 0, "%s: %.80s", err.text, json);
    pq_json_free(result);
}

/* The host's variables must be JSON whatever was added. */
static void check_host(const pq_inventory_host *host)
{
    pq_buf out = {0};
    pq_error err;
    cr_assert_eq(pq_inventory_write_host(host, &out, &err), 0, "%s", err.text);
    pq_json_free(parse(out.data, out.length));
    pq_buf_done(&out);
}

static void expect_facts(add_fn fn, const char *json, const char *wanted)
{
    pq_inventory_host host = new_host();
    add(&host, fn, json);
    cr_expect_str_eq(host.facts.length > 0 ? host.facts.data : "", wanted, "%s gives %s", json,
                     host.facts.length > 0 ? host.facts.data : "");
    check_host(&host);
    pq_buf_done(&host.facts);
}

Test(inventory_facts, osinfo)
{
    pq_inventory_host host = new_host();
    add(&host, pq_facts_add_osinfo,
        "{\"name\":\"Debian GNU/Linux\",\"kernel-release\":\"6.1.0-56\",\"version\":\"12 "
        "(bookworm)\",\"pretty-name\":\"Debian GNU/Linux 12\",\"version-id\":\"12\","
        "\"kernel-version\":\"#1 SMP\",\"machine\":\"x86_64\",\"id\":\"debian\"}");
    cr_expect_str_eq(host.os_id, "debian");
    cr_expect_str_eq(host.facts.data,
                     ",\"proxmox_os_id\":\"debian\",\"proxmox_os_name\":\"Debian GNU/Linux\","
                     "\"proxmox_os_pretty_name\":\"Debian GNU/Linux 12\","
                     "\"proxmox_os_version\":\"12 (bookworm)\",\"proxmox_os_version_id\":\"12\","
                     "\"proxmox_os_kernel\":\"6.1.0-56\",\"proxmox_os_machine\":\"x86_64\"");
    check_host(&host);
    pq_buf_done(&host.facts);
}

Test(inventory_facts, osinfo_of_another_form)
{
    static const char *const texts[] = {
        "null",           "[]",   "7",
        "\"id\"",         "{}",   "{\"id\":7,\"name\":[\"a\"],\"version\":{\"id\":1}}",
        "{\"ID\":\"x\"}", "true", "[{\"id\":\"debian\"}]"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        expect_facts(pq_facts_add_osinfo, texts[i], "");
    expect_facts(pq_facts_add_osinfo, "{\"id\":\"a\",\"id\":\"b\",\"name\":null}",
                 ",\"proxmox_os_id\":\"a\"");
}

Test(inventory_facts, osinfo_that_is_hostile)
{
    expect_facts(pq_facts_add_osinfo, "{\"id\":\"{{ x }}\\u001b[0m\\n\"}",
                 ",\"proxmox_os_id\":{\"__ansible_unsafe\":\"{{ x }} [0m\"}");
    expect_facts(pq_facts_add_osinfo, "{\"id\":\"\\\",\\\"ansible_connection\\\":\\\"local\"}",
                 ",\"proxmox_os_id\":{\"__ansible_unsafe\":"
                 "\"\\\",\\\"ansible_connection\\\":\\\"local\"}");
    expect_facts(pq_facts_add_osinfo, "{\"id\":\"a\xff\xc3\"}",
                 ",\"proxmox_os_id\":{\"__ansible_unsafe\":\"a?\?\"}");
}

Test(inventory_facts, everything_is_cut)
{
    static char json[200000];
    pq_inventory_host host = new_host();
    int length = snprintf(json, sizeof json, "{");
    static const char *const names[] = {"id",         "name",           "pretty-name", "version",
                                        "version-id", "kernel-release", "machine"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        length += snprintf(json + length, sizeof json - (size_t)length, "%s\"%s\":\"",
                           i > 0 ? "," : "", names[i]);
        for (int c = 0; c < 10000; c++)
            length += snprintf(json + length, sizeof json - (size_t)length, "\\\"");
        length += snprintf(json + length, sizeof json - (size_t)length, "\"");
    }
    snprintf(json + length, sizeof json - (size_t)length, "}");
    add(&host, pq_facts_add_osinfo, json);
    cr_expect_leq(host.facts.length, PQ_INVENTORY_FACTS_MAX / 2);
    add(&host, pq_facts_add_interfaces, "[{\"name\":\"lo\"}]");
    cr_expect_not_null(strstr(host.facts.data, "{\"name\":\"lo\",\"mac-address\":\"\""));
    check_host(&host);
    pq_buf_done(&host.facts);
}

Test(inventory_facts, interfaces)
{
    expect_facts(
        pq_facts_add_interfaces,
        "[{\"name\":\"lo\",\"hardware-address\":\"00:00:00:00:00:00\",\"ip-addresses\":["
        "{\"ip-address-type\":\"ipv4\",\"ip-address\":\"127.0.0.1\",\"prefix\":8}]},"
        "{\"name\":\"eth0\",\"hardware-address\":\"02:FC:00:00:00:01\",\"ip-addresses\":["
        "{\"ip-address\":\"192.0.2.2\",\"prefix\":24},{\"ip-address\":\"169.254.1.1\"},"
        "{\"ip-address\":\"2001:DB8:0:0::1\",\"prefix\":64},"
        "{\"ip-address\":\"fe80::1%eth0\",\"prefix\":64}],\"statistics\":{\"rx-bytes\":1}}]",
        ",\"proxmox_agent_interfaces\":[{\"name\":\"lo\",\"mac-address\":\"00:00:00:00:00:00\","
        "\"ip-addresses\":[\"127.0.0.1/8\"]},{\"name\":\"eth0\",\"mac-address\":"
        "\"02:FC:00:00:00:01\",\"ip-addresses\":[\"192.0.2.2/24\",\"169.254.1.1\","
        "\"2001:db8::1/64\",\"fe80::1/64\"]}],\"proxmox_agent_addresses\":[\"192.0.2.2\","
        "\"2001:db8::1\"]");
}

#define NO_INTERFACES ",\"proxmox_agent_interfaces\":[],\"proxmox_agent_addresses\":[]"
#define ONE(name, addresses, usable)                                                               \
    ",\"proxmox_agent_interfaces\":[{\"name\":" name                                               \
    ",\"mac-address\":\"\",\"ip-addresses\":[" addresses                                           \
    "]}],\"proxmox_agent_addresses\":[" usable "]"

Test(inventory_facts, interfaces_of_another_form)
{
    expect_facts(pq_facts_add_interfaces, "{\"name\":\"lo\"}", "");
    expect_facts(pq_facts_add_interfaces, "[]", NO_INTERFACES);
    expect_facts(pq_facts_add_interfaces, "[7,\"lo\",null,[\"lo\"]]", NO_INTERFACES);
    expect_facts(pq_facts_add_interfaces, "[{}]", ONE("\"\"", "", ""));
    expect_facts(pq_facts_add_interfaces, "[{\"name\":7,\"ip-addresses\":\"127.0.0.1\"}]",
                 ONE("\"\"", "", ""));
    expect_facts(pq_facts_add_interfaces,
                 "[{\"name\":\"a\",\"ip-addresses\":{\"x\":{\"ip-address\":\"10.0.0.1\"}}}]",
                 ONE("\"a\"", "\"10.0.0.1\"", "\"10.0.0.1\""));
}

Test(inventory_facts, addresses_that_are_none)
{
    expect_facts(pq_facts_add_interfaces,
                 "[{\"name\":\"{{x}}\",\"hardware-address\":\"{{ x }}\",\"ip-addresses\":["
                 "{\"ip-address\":\"{{ x }}\"},{\"ip-address\":\"10.0.0.1 \"},"
                 "{\"ip-address\":\"10.0.0.256\"},{\"ip-address\":7},7,"
                 "{\"ip-address\":\"::::\"},{\"ip-address\":\"%\"},{\"ip-address\":\"\"},"
                 "{\"ip-address\":\"1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111\"},"
                 "{\"ip-address\":\"10.0.0.1\",\"prefix\":33},"
                 "{\"ip-address\":\"10.0.0.2\",\"prefix\":-5},"
                 "{\"ip-address\":\"10.0.0.3\",\"prefix\":\"24\"}]}]",
                 ONE("{\"__ansible_unsafe\":\"{{x}}\"}",
                     "\"10.0.0.1\",\"10.0.0.2\",\"10.0.0.3/24\"",
                     "\"10.0.0.1\",\"10.0.0.2\",\"10.0.0.3\""));
    expect_facts(pq_facts_add_interfaces,
                 "[{\"name\":\"a\",\"ip-addresses\":[{\"ip-address\":\"0.0.0.0\"},"
                 "{\"ip-address\":\"::\"},{\"ip-address\":\"::1\"},{\"ip-address\":\"ff02::1\"},"
                 "{\"ip-address\":\"127.9.9.9\"}]}]",
                 ONE("\"a\"", "\"0.0.0.0\",\"::\",\"::1\",\"ff02::1\",\"127.9.9.9\"", ""));
}

Test(inventory_facts, lists_without_end_are_cut)
{
    pq_inventory_host host = new_host();
    pq_buf json = {0};
    pq_error err;
    cr_assert_eq(pq_buf_add_byte(&json, '[', &err), 0);
    for (int i = 0; i < 500; i++) {
        cr_assert_eq(pq_buf_printf(&json, &err, "%s{\"name\":\"veth%d\",\"ip-addresses\":[",
                                   i > 0 ? "," : "", i),
                     0);
        for (int k = 0; k < 100; k++)
            cr_assert_eq(pq_buf_printf(&json, &err, "%s{\"ip-address\":\"2001:db8::%x:%x\"}",
                                       k > 0 ? "," : "", i, k),
                         0);
        cr_assert_eq(pq_buf_add_text(&json, "]}", &err), 0);
    }
    cr_assert_eq(pq_buf_add_byte(&json, ']', &err), 0);
    add(&host, pq_facts_add_interfaces, json.data);
    cr_expect_gt(host.facts.length, PQ_INVENTORY_FACTS_MAX / 2);
    cr_expect_leq(host.facts.length, PQ_INVENTORY_FACTS_MAX);
    cr_expect_not_null(strstr(host.facts.data, "\"2001:db8::3f\""), "the last that counts");
    cr_expect_null(strstr(host.facts.data, "\"2001:db8::40\""));
    check_host(&host);
    pq_buf_done(&host.facts);
    pq_buf_done(&json);
}
