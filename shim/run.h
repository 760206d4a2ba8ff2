/*
 * One run of pve-qga-run.   (shim)
 *
 * main.c reads the command line and the configuration and hands them to the command, which does
 * its work on an event loop of its own and returns the exit status.
 */
#pragma once

#include "shim/command/commands.h"
#include "transport/base/log.h"

/* Exit status for failures of ours, as ssh has it. */
#define PQ_EXIT_FAILURE 255

typedef struct pq_run {
    pq_config *config;    /* all sources read; no VM selected */
    pq_operands operands; /* behind the command's name */
    bool quiet;
} pq_run;

/* What --quiet and --verbose ask for. */
pq_log_level pq_run_log_level(const pq_config *config);

/* The command line was read: reads the environment and the files, sets the log's level and opens
 * the trace. Fails with what pq_config_load() does, IO. */
int pq_run_load(pq_run *run, pq_error *err);

/* Logs an error that ends the program; returns its exit status. */
int pq_run_fail(const pq_error *err);

/* Writes `text` to stdout if `result`, that of making it, is 0; frees it. Returns the exit status.
 */
int pq_run_print(pq_buf *text, int result, pq_error *err);

int pq_run_control(pq_run *run);
int pq_run_exec(pq_run *run);
int pq_run_put(pq_run *run);
int pq_run_fetch(pq_run *run);
int pq_run_ping(pq_run *run);
int pq_run_list(pq_run *run);
int pq_run_inventory(pq_run *run);
int pq_run_serve(pq_run *run);
