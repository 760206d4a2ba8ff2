/*
 * list: the VMs as a table.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "shim/inventory/guest_list.h"
#include "shim/inventory/inventory.h"
#include "shim/operands.h"
#include "shim/run.h"
#include "transport/base/fd.h"
#include "transport/base/log.h"

enum { COLUMN_VMID, COLUMN_NAME, COLUMN_NODE, COLUMN_STATUS, COLUMN_TAGS, COLUMN_COUNT };

/* A cell's text with its NUL; longer ones are cut. */
#define CELL_SIZE 256

typedef struct row {
    char cells[COLUMN_COUNT][CELL_SIZE];
} row;

/* As a terminal shows it, if each character takes one column. */
static size_t width_of(const char *text)
{
    size_t width = 0;
    for (; *text != '\0'; text++)
        width += ((unsigned char)*text & 0xC0) != 0x80;
    return width;
}

static void clean(char cell[CELL_SIZE], const char *text)
{
    pq_error_clean(cell, CELL_SIZE, text, strlen(text));
}

static void fill(row *ret, const pq_guest *guest)
{
    snprintf(ret->cells[COLUMN_VMID], CELL_SIZE, "%" PRId64, guest->vmid);
    clean(ret->cells[COLUMN_NAME], guest->name);
    clean(ret->cells[COLUMN_NODE], guest->node);
    clean(ret->cells[COLUMN_STATUS], guest->status);
    clean(ret->cells[COLUMN_TAGS], guest->tags);
}

static int add_row(pq_buf *out, const row *one, const size_t widths[COLUMN_COUNT], pq_error *err)
{
    for (int column = 0; column < COLUMN_COUNT; column++) {
        const char *cell = one->cells[column];
        bool last = column == COLUMN_COUNT - 1;
        size_t blanks = last ? 0 : widths[column] + 2 - width_of(cell);
        if (pq_buf_printf(out, err, "%s%*s", cell, (int)blanks, "") < 0)
            return -1;
    }
    while (out->data[out->length - 1] == ' ')
        out->length--;
    return pq_buf_add_byte(out, '\n', err);
}

static void widen(size_t widths[COLUMN_COUNT], const row *one)
{
    for (int column = 0; column < COLUMN_COUNT; column++) {
        size_t width = width_of(one->cells[column]);
        if (width > widths[column])
            widths[column] = width;
    }
}

static int add_table(pq_buf *out, const pq_inventory *inventory, pq_error *err)
{
    static const row head = {{"VMID", "NAME", "NODE", "STATUS", "TAGS"}};
    size_t widths[COLUMN_COUNT] = {0};
    row one;
    widen(widths, &head);
    for (size_t i = 0; i < inventory->count; i++) {
        fill(&one, inventory->hosts[i].guest);
        widen(widths, &one);
    }
    if (add_row(out, &head, widths, err) < 0)
        return -1;
    for (size_t i = 0; i < inventory->count; i++) {
        fill(&one, inventory->hosts[i].guest);
        if (add_row(out, &one, widths, err) < 0)
            return -1;
    }
    return 0;
}

static int print(const pq_inventory *inventory, pq_error *err)
{
    pq_buf text = {0};
    int result = add_table(&text, inventory, err);
    if (result == 0)
        result = pq_write_all(STDOUT_FILENO, text.data, text.length, err);
    pq_buf_done(&text);
    return result;
}

int pq_run_list(pq_run *run)
{
    bool all = pq_config_bool(run->config, PQ_OPT_ALL);
    pq_guest_list list = {0};
    pq_inventory inventory = {0};
    pq_error err;
    int status = 0;
    if (pq_operands_none(&run->operands, &err) < 0 ||
        pq_guest_list_open(&list, run->config, &err) < 0 ||
        pq_inventory_init(&inventory, list.guests, all, &err) < 0 || print(&inventory, &err) < 0) {
        pq_log_error(&err, "listing VMs");
        status = pq_code_exit_status(err.code);
    }
    pq_inventory_done(&inventory);
    pq_guest_list_done(&list);
    return status;
}
