/*
 * One command on a node: an SSH channel from its opening to its end.   (transport/ssh)
 *
 * States, changed in set_state() only:
 *
 *   WAITING   for the session, or for a channel: a session opens one at a time and has
 *             PQ_SSH_CHANNELS at most
 *   OPENING   the channel
 *   STARTING  the command line is being sent
 *   RUNNING   input goes, output comes
 *   ENDING    the command has closed its output; its exit status is awaited
 *   CLOSING   the channel is being closed, after ENDING or because nobody wants it any more
 *   ENDED     `done` is due
 *
 * A command belongs to its session and is freed after `done` has run. One that was dropped after it
 * was sent goes on without its caller, so that what it does in the guest is not cut off.
 */
#pragma once

#include "transport/ssh/session.h"

/* Channels of one session: OpenSSH's MaxSessions is 10 by default. */
#define PQ_SSH_CHANNELS 8

typedef struct pq_ssh_command pq_ssh_command;

typedef struct pq_ssh_result {
    pq_buf out, err; /* may be taken */
    int status;      /* exit status, or -1 if the command died of a signal */
} pq_ssh_result;

/* Effects of errors: NONE as long as the last byte of the input was not on its way, else UNKNOWN.
 * CONNECT and others of a session that cannot be opened (session.h), NETWORK for one that was lost,
 * TOO_LARGE for more output than was allowed. */
typedef void (*pq_ssh_done_fn)(void *context, const pq_error *err, pq_ssh_result *result);

typedef struct pq_ssh_command_options {
    const char *line;    /* for the user's shell there; at most 30000 bytes, copied */
    pq_buf *input;       /* taken; NULL for none */
    bool keep_open;      /* more input may come; `received` is called for output */
    size_t out_max;      /* most bytes of output that are kept at a time */
    pq_loop_fn received; /* from the loop, whenever there is new output; may be NULL */
    pq_ssh_done_fn done;
    void *context;
} pq_ssh_command_options;

/* Starts it; connects the session if need be. NULL only without memory. */
pq_ssh_command *pq_ssh_command_start(pq_ssh_session *session,
                                     const pq_ssh_command_options *options);

/* False while certainly no byte of the input's end was sent. */
bool pq_ssh_command_was_sent(const pq_ssh_command *command);

/* Forgets it: `done` will not run. NULL is fine. */
void pq_ssh_command_drop(pq_ssh_command *command);

/* The same, and the command's channel is closed even if it was sent. */
void pq_ssh_command_close(pq_ssh_command *command);

/* ---- with keep_open ---- */

/* Output received and not yet consumed by the caller. */
pq_buf *pq_ssh_command_output(pq_ssh_command *command);

/* More input. Fails with NOMEM or TOO_LARGE. */
int pq_ssh_command_write(pq_ssh_command *command, const void *bytes, size_t length, pq_error *err);

/* Bytes of input that wait for the connection. */
size_t pq_ssh_command_unsent(const pq_ssh_command *command);
