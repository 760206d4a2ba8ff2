/*
 * inventory: the VMs as Ansible's dynamic inventory.
 */
#include <string.h>
#include <unistd.h>

#include "shim/inventory/ask.h"
#include "shim/inventory/guest_list.h"
#include "shim/operands.h"
#include "shim/run.h"
#include "transport/base/fd.h"
#include "transport/base/log.h"

typedef struct inventory_command {
    pq_guest_list list;
    pq_inventory inventory;
    const char *host; /* NULL: all */
} inventory_command;

static int read_options(inventory_command *command, const pq_run *run, pq_error *err)
{
    bool list = pq_config_bool(run->config, PQ_OPT_INVENTORY_LIST);
    command->host = pq_config_text(run->config, PQ_OPT_INVENTORY_HOST);
    if (pq_operands_none(&run->operands, err) < 0)
        return -1;
    if (list && command->host != NULL)
        return pq_fail(err, PQ_E_USAGE,
                       "--list and --host exclude each other; behind inventory, --host names a "
                       "guest, and -H the server");
    if (!list && command->host == NULL)
        return pq_fail(err, PQ_E_USAGE, "--list or --host is needed");
    return 0;
}

/* Asks the agents of `count` hosts. */
static int ask(inventory_command *command, pq_inventory_host *hosts, size_t count, pq_error *err)
{
    return pq_inventory_ask(hosts, count, &command->list, err);
}

static int print_all(inventory_command *command, pq_error *err)
{
    pq_inventory *inventory = &command->inventory;
    if (ask(command, inventory->hosts, inventory->count, err) < 0)
        return -1;
    return pq_inventory_write(inventory, STDOUT_FILENO, err);
}

/* Prints "{}" for a host that there is not, as Ansible wants it. */
static int print_host(inventory_command *command, pq_error *err)
{
    pq_inventory_host *host = pq_inventory_find(&command->inventory, command->host);
    pq_buf text = {0};
    if (host == NULL)
        pq_log(PQ_LOG_INFO, "the inventory has no such host");
    else if (ask(command, host, 1, err) < 0)
        return -1;
    int result = host != NULL ? pq_inventory_write_host(host, &text, err)
                              : pq_buf_add_text(&text, "{}", err);
    if (result == 0)
        result = pq_buf_add_byte(&text, '\n', err);
    if (result == 0)
        result = pq_write_all(STDOUT_FILENO, text.data, text.length, err);
    pq_buf_done(&text);
    return result;
}

static int make(inventory_command *command, pq_run *run, pq_error *err)
{
    bool all = pq_config_bool(run->config, PQ_OPT_ALL);
    if (read_options(command, run, err) < 0 ||
        pq_guest_list_open(&command->list, run->config, err) < 0 ||
        pq_inventory_init(&command->inventory, command->list.guests, all, err) < 0)
        return -1;
    return command->host != NULL ? print_host(command, err) : print_all(command, err);
}

int pq_run_inventory(pq_run *run)
{
    inventory_command command = {0};
    pq_error err;
    int status = 0;
    if (make(&command, run, &err) < 0) {
        pq_log_error(&err, "making the inventory");
        status = pq_code_exit_status(err.code);
    }
    pq_inventory_done(&command.inventory);
    pq_guest_list_done(&command.list);
    return status;
}
