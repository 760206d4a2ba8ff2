/*
 * What the operands of each command mean.   (shim; pure)
 *
 * A VM may be left out, and is NULL then: the option vmid names it. Texts belong to the operands.
 * Functions fail with USAGE.
 */
#pragma once

#include "transport/base/buf.h"
#include "transport/config/config.h"

typedef struct pq_exec_operands {
    const char *vm;
    char **argv; /* the command; `argc` 0 with a shell line */
    size_t argc;
} pq_exec_operands;

/* "VM COMMAND...", "VM -- COMMAND..." or "-- COMMAND..."; with `has_line` (--shell) "[VM]". */
int pq_operands_exec(const pq_operands *operands, bool has_line, pq_exec_operands *ret,
                     pq_error *err);

typedef struct pq_copy_operands {
    const char *vm;
    const char *from, *to;
} pq_copy_operands;

/* "[VM] FROM TO" */
int pq_operands_copy(const pq_operands *operands, pq_copy_operands *ret, pq_error *err);

/* The last part of a path, without slashes at its end; "/" of nothing else. Copied, cut to fit. */
void pq_operands_base_name(const char *path, char *out, size_t size);

/* "[VM]" */
int pq_operands_vm(const pq_operands *operands, const char **ret_vm, pq_error *err);

/* No operands at all. */
int pq_operands_none(const pq_operands *operands, pq_error *err);

/* Appends the shell line that runs a command, `argc` of at least 1, with exactly these arguments: a
 * program, or a builtin that is none. Fails with NOMEM or TOO_LARGE. */
int pq_operands_line(char *const *argv, size_t argc, pq_buf *line, pq_error *err);
