/*
 * The commands of pve-qga-run as tables.   (shim: may use transport/config)
 */
#pragma once

#include "transport/config/config.h"
#include "transport/config/help.h"

typedef enum pq_command_id {
#define COMMAND(id, ...) PQ_COMMAND_##id,
#include "shim/command/commands.def"
    PQ_COMMAND_COUNT
} pq_command_id;

/* What says in pq_option.commands that a command takes an option. */
#define PQ_COMMAND_BIT(id) (1u << PQ_COMMAND_##id)

/* Ids of the commands' own options; they go on where those of options.def end. */
enum {
    PQ_OPT_BEFORE_OWN = PQ_OPT_COUNT - 1,
#define OPTION(id, ...) PQ_OPT_##id,
#include "shim/command/commands.def"
    PQ_OPT_END
};

#define PQ_OWN_OPTION_COUNT ((size_t)(PQ_OPT_END - PQ_OPT_COUNT))

/* PQ_COMMAND_COUNT commands by id, PQ_OWN_OPTION_COUNT rows, and both with names for --help. */
extern const pq_command pq_commands[];
extern const pq_option pq_own_options[];
extern const pq_program pq_run_program;
