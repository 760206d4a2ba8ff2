/*
 * What a server and its guests can put into the inventory.
 *
 * Three lines of JSON: a list of guests, and for each of them what get-osinfo and
 * network-get-interfaces return. Whatever they are, the output is one JSON value of valid UTF-8, in
 * which every host has our variables and no text that Ansible may evaluate could be a template. A
 * violation aborts.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shim/inventory/facts.h"
#include "transport/base/encode.h"

#define OUTPUT_MAX ((size_t)32 * 1024 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

/* Takes the next line off *data; NULL if it is not JSON. */
static pq_json *next_line(const char **data, size_t *size)
{
    const char *end = memchr(*data, '\n', *size);
    size_t length = end != NULL ? (size_t)(end - *data) : *size;
    pq_buf text = {0};
    pq_error err;
    require(pq_buf_add(&text, *data, length, &err) == 0 && pq_buf_reserve(&text, 1, &err) == 0);
    pq_json *value = pq_json_parse(text.data, text.length, &err);
    pq_buf_done(&text);
    *data += length + (end != NULL);
    *size -= length + (end != NULL);
    return value;
}

static void check_texts(const pq_json *value)
{
    for (const pq_json *item = pq_json_first(value); item != NULL; item = pq_json_next(item)) {
        const char *name = pq_json_name(item), *text = pq_json_string_value(item);
        bool marked = name != NULL && strcmp(name, "__ansible_unsafe") == 0;
        require(name == NULL || strpbrk(name, "{}%#") == NULL);
        require(text == NULL || marked || strpbrk(text, "{}%#[]<>$") == NULL);
        check_texts(item);
    }
}

static void check_output(char *text, size_t length, const pq_inventory *inventory)
{
    pq_error err;
    require(pq_utf8_valid_length(text, length) == length);
    pq_json *value = pq_json_parse(text, length, &err);
    require(value != NULL);
    check_texts(value);
    const pq_json *all = pq_json_member(pq_json_member(value, "_meta"), "hostvars");
    for (size_t i = 0; i < inventory->count; i++) {
        const pq_json *host = pq_json_member(all, inventory->hosts[i].name);
        const char *connection = pq_json_text(host, "ansible_connection");
        int64_t vmid = 0;
        require(connection != NULL && strcmp(connection, PQ_INVENTORY_CONNECTION) == 0);
        require(pq_json_int(host, "proxmox_vmid", &vmid));
        require(vmid == inventory->hosts[i].guest->vmid);
    }
    pq_json_free(value);
}

static void write_out(const pq_inventory *inventory)
{
    pq_error err;
    int fd = memfd_create("inventory", MFD_CLOEXEC);
    require(fd >= 0 && pq_inventory_write(inventory, fd, &err) == 0);
    off_t length = lseek(fd, 0, SEEK_END);
    require(length > 0 && (size_t)length < OUTPUT_MAX);
    char *text = malloc((size_t)length + 1);
    require(text != NULL && pread(fd, text, (size_t)length, 0) == length);
    text[length] = '\0';
    check_output(text, (size_t)length, inventory);
    free(text);
    close(fd);
}

static void add_facts(pq_inventory *inventory, const pq_json *osinfo, const pq_json *interfaces)
{
    pq_error err;
    for (size_t i = 0; i < inventory->count; i++) {
        require(pq_facts_add_osinfo(&inventory->hosts[i], osinfo, &err) == 0);
        require(pq_facts_add_interfaces(&inventory->hosts[i], interfaces, &err) == 0);
        require(inventory->hosts[i].facts.length <= PQ_INVENTORY_FACTS_MAX);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    pq_guests guests = {0};
    pq_inventory inventory = {0};
    pq_error err;
    pq_json *resources = next_line(&text, &size);
    pq_json *osinfo = next_line(&text, &size);
    pq_json *interfaces = next_line(&text, &size);
    if (resources != NULL && pq_guests_read(&guests, resources, &err) == 0) {
        require(pq_inventory_init(&inventory, &guests, true, &err) == 0);
        add_facts(&inventory, osinfo, interfaces);
        write_out(&inventory);
    }
    pq_inventory_done(&inventory);
    pq_guests_done(&guests);
    pq_json_free(resources);
    pq_json_free(osinfo);
    pq_json_free(interfaces);
    return 0;
}
