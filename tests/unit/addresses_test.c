/* The nodes' addresses, as the cluster tells them. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "transport/cluster/addresses.h"

static pq_json *parsed(const char *text)
{
    pq_error err;
    char copy[2000];
    snprintf(copy, sizeof copy, "%s", text);
    pq_json *json = pq_json_parse(copy, strlen(copy), &err);
    cr_assert_not_null(json, "%s", err.text);
    return json;
}

Test(addresses, status)
{
    pq_json *status = parsed(
        "[{\"type\":\"cluster\",\"name\":\"pve1\",\"ip\":\"10.0.0.9\"},7,{\"type\":\"node\"},"
        "{\"type\":\"node\",\"name\":\"pve1\",\"ip\":\"10.0.0.1\"},"
        "{\"type\":\"node\",\"name\":\"pve2\",\"ip\":\"fe80::2\"},"
        "{\"type\":\"node\",\"name\":\"pve3\",\"ip\":\"-oProxyCommand=x\"},"
        "{\"type\":\"node\",\"name\":\"pve4\"}]");
    char address[PQ_ADDRESS_SIZE] = "before";
    cr_expect(pq_address_in_status(status, "pve1", address));
    cr_expect_str_eq(address, "10.0.0.1");
    cr_expect(pq_address_in_status(status, "pve2", address));
    cr_expect_str_eq(address, "fe80::2");
    cr_expect_not(pq_address_in_status(status, "pve3", address));
    cr_expect_not(pq_address_in_status(status, "pve4", address));
    cr_expect_not(pq_address_in_status(status, "pve9", address));
    cr_expect_not(pq_address_in_status(NULL, "pve1", address));
    cr_expect_str_eq(address, "fe80::2", "what is not found changes nothing");
    pq_json_free(status);
}

static void expect_network(const char *text, const char *expected)
{
    char address[PQ_ADDRESS_SIZE] = "";
    pq_json *network = parsed(text);
    cr_expect_eq(pq_address_in_network(network, address), expected[0] != '\0', "%s", text);
    cr_expect_str_eq(address, expected, "%s", text);
    pq_json_free(network);
}

#define STORAGE "{\"address\":\"192.0.2.1\"}"
#define PUBLIC "{\"address\":\"10.0.0.1\",\"gateway\":\"10.0.0.254\"}"
#define PUBLIC6 "{\"address6\":\"2001:db8::1\",\"gateway6\":\"fe80::1\"}"

Test(addresses, network)
{
    expect_network("[" STORAGE "," PUBLIC6 "," PUBLIC "]", "10.0.0.1");
    expect_network("[" STORAGE "," PUBLIC6 "]", "2001:db8::1");
    expect_network("[{\"iface\":\"eno1\"}," STORAGE "]", "192.0.2.1");
    expect_network("[{\"gateway\":\"10.0.0.254\"}," STORAGE "]", "192.0.2.1");
    expect_network("[{\"address\":\"10.0.0.1/8\"},{\"address\":\"\"},{\"address\":7}]", "");
    expect_network("[]", "");
    expect_network("{\"address\":{\"address\":[]}}", "");
}
