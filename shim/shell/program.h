/*
 * What pve-qga-shell is and takes, as a table.   (shim: may use transport/config)
 */
#pragma once

#include "transport/config/config.h"
#include "transport/config/help.h"

/* Ids of its own options; they go on where those of options.def end. */
enum { PQ_SHELL_OPT_LOGIN_NAME = PQ_OPT_COUNT, PQ_SHELL_OPT_ESCAPE_CHAR };

extern const pq_program pq_shell_program;
