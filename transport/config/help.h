/*
 * --help, from the option table.   (transport/config; pure)
 *
 * All text is ASCII and wrapped to 80 columns. Functions append to `out` and fail with NOMEM.
 */
#pragma once

#include "transport/base/buf.h"
#include "transport/config/option.h"

/* What a program says of itself, and its commands and own options. */
typedef struct pq_program {
    const char *name;
    const char *summary;  /* a sentence */
    const char *operands; /* of a program without commands; else NULL */
    const pq_command *commands;
    size_t command_count;
    const pq_option *rows;
    size_t row_count;
} pq_program;

/* Usage, commands or own options, and all shared options. */
int pq_help_program(const pq_program *program, pq_buf *out, pq_error *err);

/* Usage, own options and the groups of shared options that matter for the command. */
int pq_help_command(const pq_program *program, const pq_command *command, pq_buf *out,
                    pq_error *err);

/* " [PROXMOX_PORT; default: 8006]", or "". */
void pq_help_note(const pq_option *option, char *out, size_t size);
