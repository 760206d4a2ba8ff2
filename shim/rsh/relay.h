/*
 * Our standard streams and those of a command in the guest, tied together.   (shim: uses exec)
 *
 * Theory of operation: stdin is read as far as the stream has room for it, and its end ends the
 * command's stdin while output goes on; stdout and stderr come back as ssh brings them. stdin and
 * stdout may be one socket, and whoever started us may have made them non-blocking: their flags are
 * never changed. Nothing but the command's output goes to stdout.
 *
 * INT, TERM, HUP, QUIT, USR1 and USR2 go to the command's process group. A second INT, TERM or HUP
 * ends the command from here, and so does the first one while the server was not reached yet. On a
 * terminal (terminal.h), where the user's ^C is a key, the first one does so always.
 */
#pragma once

#include "shim/rsh/options.h"
#include "shim/run.h"

/* Runs what the options ask for to its end; returns the exit status. */
int pq_rsh_relay(pq_run *run, const pq_rsh_options *options);
