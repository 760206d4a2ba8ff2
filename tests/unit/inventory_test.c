/* The inventory: which guests are hosts, what they are called, and what is printed. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shim/inventory/facts.h"

static pq_json *parse(const char *text)
{
    pq_buf copy = {0};
    pq_error err;
    cr_assert_eq(pq_buf_add_text(&copy, text, &err), 0);
    pq_json *value = pq_json_parse(copy.data, copy.length, &err);
    cr_assert_not_null(value, "%s: %s", err.text, text);
    pq_buf_done(&copy);
    return value;
}

static pq_inventory make(const char *resources, bool all)
{
    pq_inventory inventory = {0};
    pq_guests guests = {0};
    pq_error err;
    pq_json *data = parse(resources);
    cr_assert_eq(pq_guests_read(&guests, data, &err), 0, "%s", err.text);
    pq_json_free(data);
    cr_assert_eq(pq_inventory_init(&inventory, &guests, all, &err), 0, "%s", err.text);
    pq_guests_done(&guests);
    return inventory;
}

#define GUEST(vmid, name, more)                                                                    \
    "{\"type\":\"qemu\",\"node\":\"pve1\",\"status\":\"running\",\"vmid\":" #vmid                  \
    ",\"name\":\"" name "\"" more "}"

/* The hosts' names, each with a blank behind it. */
static void expect_names(const char *resources, bool all, const char *wanted)
{
    pq_inventory inventory = make(resources, all);
    char names[1000] = "";
    for (size_t i = 0; i < inventory.count; i++) {
        strcat(names, inventory.hosts[i].name);
        strcat(names, " ");
        cr_expect_eq(pq_inventory_find(&inventory, inventory.hosts[i].name), &inventory.hosts[i]);
    }
    cr_expect_str_eq(names, wanted);
    pq_inventory_done(&inventory);
}

Test(inventory, vms_that_run)
{
    static const char guests[] = "[" GUEST(103, "c", "") "," GUEST(
        101, "a",
        "") ","
            "{\"type\":\"qemu\",\"node\":\"n\",\"status\":\"stopped\",\"vmid\":102,\"name\":\"b\"},"
            "{\"type\":\"qemu\",\"node\":\"n\",\"vmid\":104,\"name\":\"d\"},"
            "{\"type\":\"lxc\",\"node\":\"n\",\"status\":\"running\",\"vmid\":105,\"name\":\"e\"}"
            "," GUEST(106, "f", ",\"template\":1") "," GUEST(7, "g", "") "," GUEST(101, "again",
                                                                                   "") "]";
    expect_names(guests, false, "a c ");
    expect_names(guests, true, "a b c d ");
    expect_names("[]", true, "");
}

Test(inventory, names)
{
    static const struct {
        const char *guests, *names;
    } rows[] = {
        {"[" GUEST(100, "web", "") "," GUEST(101, "db", "") "]", "web db "},
        {"[" GUEST(100, "web", "") "," GUEST(101, "WEB", "") "]", "web-100 WEB-101 "},
        {"[" GUEST(100, "a b", "") "," GUEST(101, "a:b", "") "]", "a_b-100 a_b-101 "},
        {"[" GUEST(100, "", "") "," GUEST(101, "\\n", "") "]", "vm-100 vm-101 "},
        {"[" GUEST(100, "101", "") "," GUEST(101, "0", "") "]", "101-100 0-101 "},
        {"[" GUEST(100, "localhost", "") "," GUEST(101, "All", "") "," GUEST(102, "127.0.0.1",
                                                                             "") "]",
         "localhost-100 All-101 127.0.0.1-102 "},
        {"[" GUEST(100, "proxmox_guests", "") "," GUEST(101, "os_debian", "") "]",
         "proxmox_guests-100 os_debian-101 "},
        /* What looks like another guest's name with its id. */
        {"[" GUEST(100, "web", "") "," GUEST(101, "web", "") "," GUEST(102, "web-100", "") "]",
         "web-100 web-101 web-100-102 "},
        {"[" GUEST(100, "web", "") "," GUEST(102, "web-101", "") "]", "web web-101 "},
        {"[" GUEST(100, "a", "") "," GUEST(101, "a-100", "") "," GUEST(102, "a-100-101", "") "]",
         "a a-100-101 a-100-101-102 "},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        expect_names(rows[i].guests, false, rows[i].names);
    }
}

/* A name does not change when another guest of that name is stopped, or is a container. */
Test(inventory, names_count_all_guests)
{
    expect_names(
        "[" GUEST(
            100, "web",
            "") ","
                "{\"type\":\"lxc\",\"node\":\"n\",\"status\":\"stopped\",\"vmid\":101,\"name\":"
                "\"web\"}]",
        false, "web-100 ");
    expect_names("[" GUEST(100, "web", "") "," GUEST(101, "web", ",\"template\":1") "]", false,
                 "web-100 ");
}

static char *written(const pq_inventory *inventory)
{
    static char text[400000];
    pq_error err;
    int fd = memfd_create("inventory", MFD_CLOEXEC);
    cr_assert_geq(fd, 0);
    cr_assert_eq(pq_inventory_write(inventory, fd, &err), 0, "%s", err.text);
    ssize_t length = pread(fd, text, sizeof text - 1, 0);
    cr_assert_geq(length, 0);
    text[length] = '\0';
    close(fd);
    return text;
}

Test(inventory, nothing)
{
    pq_inventory inventory = make("[]", false);
    cr_expect_str_eq(written(&inventory),
                     "{\"_meta\":{\"hostvars\":{}},\n\"proxmox_guests\":{\"hosts\":[]},\n"
                     "\"all\":{\"children\":[\"ungrouped\",\"proxmox_guests\"]}}\n");
    pq_inventory_done(&inventory);
}

Test(inventory, groups)
{
    pq_inventory inventory =
        make("[" GUEST(100, "b", ",\"tags\":\"x;x, y-z;;\",\"pool\":\"p\"") "," GUEST(
                 101, "a", ",\"tags\":\"y_z\"") "]",
             false);
    snprintf(inventory.hosts[1].os_id, sizeof inventory.hosts[1].os_id, "debian");
    char *text = written(&inventory);
    cr_expect_not_null(strstr(text, "\n\"b\":{\"ansible_connection\":\"pve.qga.guest\","
                                    "\"proxmox_vmid\":100,\"proxmox_vmtype\":\"qemu\","
                                    "\"proxmox_template\":false,\"proxmox_name\":\"b\","
                                    "\"proxmox_node\":\"pve1\",\"proxmox_status\":\"running\","
                                    "\"proxmox_tags\":\"x;x, y-z;;\",\"proxmox_tags_parsed\":"
                                    "[\"x\",\"x\",\"y-z\"],\"proxmox_pool\":\"p\"},\n\"a\":{"));
    cr_expect_str_eq(strstr(text, "\n\"node_"),
                     "\n\"node_pve1\":{\"hosts\":[\"b\",\"a\"]},\n"
                     "\"os_debian\":{\"hosts\":[\"a\"]},\n"
                     "\"pool_p\":{\"hosts\":[\"b\"]},\n"
                     "\"proxmox_guests\":{\"hosts\":[\"b\",\"a\"]},\n"
                     "\"tag_x\":{\"hosts\":[\"b\"]},\n"
                     "\"tag_y_z\":{\"hosts\":[\"b\",\"a\"]},\n"
                     "\"all\":{\"children\":[\"ungrouped\",\"node_pve1\",\"os_debian\",\"pool_p\","
                     "\"proxmox_guests\",\"tag_x\",\"tag_y_z\"]}}\n");
    pq_inventory_done(&inventory);
}

static int count_tag(void *context, const char *tag, pq_error *err)
{
    unsigned *count = context;
    cr_expect_lt(strlen(tag), 128);
    ++*count;
    return *count == 70 ? pq_fail(err, PQ_E_NOMEM, "out of memory") : 0;
}

Test(inventory, many_and_long_tags_are_not_all_kept)
{
    char tags[2000];
    unsigned count = 0;
    pq_error err;
    for (size_t i = 0; i < sizeof tags - 1; i++)
        tags[i] = i < 1000 ? 'x' : ";a"[i % 2];
    tags[sizeof tags - 1] = '\0';
    cr_expect_eq(pq_inventory_each_tag(tags, count_tag, &count, &err), 0);
    cr_expect_eq(count, PQ_INVENTORY_TAGS_MAX);
    count = 69;
    cr_expect_eq(pq_inventory_each_tag("a;b", count_tag, &count, &err), -1);
    cr_expect_eq(count, 70);
}

Test(inventory, more_than_one_piece_is_written)
{
    pq_buf guests = {0};
    pq_error err;
    for (int i = 0; i < 1000; i++)
        cr_assert_eq(pq_buf_printf(&guests, &err,
                                   "%s{\"type\":\"qemu\",\"node\":\"pve1\",\"status\":\"running\","
                                   "\"vmid\":%d,\"name\":\"vm%d\"}",
                                   i == 0 ? "[" : ",", 100 + i, i),
                     0);
    cr_assert_eq(pq_buf_add_byte(&guests, ']', &err), 0);
    pq_inventory inventory = make(guests.data, false);
    pq_json *value = parse(written(&inventory));
    size_t count = 0;
    const pq_json *all = pq_json_member(pq_json_member(value, "proxmox_guests"), "hosts");
    for (const pq_json *host = pq_json_first(all); host != NULL; host = pq_json_next(host)) {
        cr_expect_not_null(
            pq_json_member(pq_json_member(pq_json_member(value, "_meta"), "hostvars"),
                           pq_json_string_value(host)));
        count++;
    }
    cr_expect_eq(count, 1000);
    pq_json_free(value);
    pq_inventory_done(&inventory);
    pq_buf_done(&guests);
}

Test(inventory, what_cannot_be_written_is_an_error)
{
    pq_inventory inventory = make("[" GUEST(100, "a", "") "]", false);
    pq_error err = {0};
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    cr_expect_eq(pq_inventory_write(&inventory, fd, &err), -1);
    cr_expect_eq(err.code, PQ_E_IO);
    close(fd);
    pq_inventory_done(&inventory);
}
