#include "shim/command/commands.h"

const pq_command pq_commands[] = {
#define COMMAND(id, ...) [PQ_COMMAND_##id] = {.bit = 1u << PQ_COMMAND_##id, __VA_ARGS__},
#include "shim/command/commands.def"
};

const pq_option pq_own_options[] = {
#define OPTION(id, ...) [PQ_OPT_##id - PQ_OPT_COUNT] = {.group = PQ_GROUP_COMMAND, __VA_ARGS__},
#include "shim/command/commands.def"
};

const pq_program pq_run_program = {
    .name = "pve-qga-run",
    .summary = "Run commands and copy files in guests of Proxmox VE through the QEMU guest agent.",
    .commands = pq_commands,
    .command_count = PQ_COMMAND_COUNT,
    .rows = pq_own_options,
    .row_count = PQ_OWN_OPTION_COUNT,
};
