/*
 * What every launcher is told of the command it runs.   (exec)
 *
 * Launchers are the guest scripts that start a command (guest/launch.sh): job.sh and stream.sh.
 */
#pragma once

#include "exec/script.h"

/* All-zero is valid for pq_launch_done(). */
typedef struct pq_launch {
    pq_buf command;         /* the shell line */
    char *executable, *cwd; /* for messages */
    pq_buf items;           /* further arguments, each ended by NUL */
} pq_launch;

/* Everything given is copied. `command` is a shell line of any bytes but NUL; NULL for `executable`
 * is /bin/sh, for `cwd` the home directory, for `env` (NAME=VALUE..., NULL-terminated) none. Fails
 * with USAGE for a bad entry of env, or NOMEM. */
int pq_launch_init(pq_launch *launch, const char *command, const char *executable, const char *cwd,
                   const char *const *env, pq_error *err);
void pq_launch_done(pq_launch *launch);

/* Append everything but the command to a launcher's arguments, and the command. */
int pq_launch_add_items(const pq_launch *launch, pq_script *script, pq_error *err);
int pq_launch_add_command(const pq_launch *launch, pq_script *script, pq_error *err);

/* A launcher has answered with something that is not a job_state: fills `err` with why it did not
 * run the command. */
void pq_launch_refused(const pq_launch *launch, const pq_trailer *trailer, pq_error *err);
