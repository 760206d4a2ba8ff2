/* What a command's caller does with it. */
#include <stdlib.h>
#include <string.h>

#include "transport/ssh/session_internal.h"

/* Output on stderr is for messages. */
#define STDERR_MAX ((size_t)64 * 1024)

/* ---- memory ---- */

pq_ssh_command *pq_ssh_command_start(pq_ssh_session *session, const pq_ssh_command_options *options)
{
    pq_ssh_command *command = calloc(1, sizeof *command);
    char *line = strdup(options->line);
    if (command == NULL || line == NULL) {
        free(command);
        free(line);
        if (options->input != NULL)
            pq_buf_wipe(options->input);
        return NULL;
    }
    command->session = session;
    command->line = line;
    if (options->input != NULL) {
        command->input = *options->input;
        *options->input = (pq_buf){0};
    }
    command->keep_open = options->keep_open;
    command->result.out.maximum = options->out_max;
    command->result.err.maximum = STDERR_MAX;
    command->received = options->received;
    command->done = options->done;
    command->context = options->context;
    command->link = session->commands_end;
    *session->commands_end = command;
    session->commands_end = &command->next;
    pq_ssh_session_wake(session);
    return command;
}

void pq_ssh_command_free(pq_ssh_command *command)
{
    pq_ssh_session *session = command->session;
    *command->link = command->next;
    if (command->next != NULL)
        command->next->link = command->link;
    else
        session->commands_end = command->link;
    pq_defer_stop(&command->received_soon);
    pq_buf_wipe(&command->input);
    pq_buf_done(&command->result.out);
    pq_buf_done(&command->result.err);
    free(command->line);
    free(command);
}

/* ---- the caller's side ---- */

bool pq_ssh_command_was_sent(const pq_ssh_command *command)
{
    return command->was_sent;
}

pq_buf *pq_ssh_command_output(pq_ssh_command *command)
{
    return &command->result.out;
}

size_t pq_ssh_command_unsent(const pq_ssh_command *command)
{
    return command->input.length - command->written;
}

int pq_ssh_command_write(pq_ssh_command *command, const void *bytes, size_t length, pq_error *err)
{
    pq_buf_consume(&command->input, command->written);
    command->written = 0;
    if (pq_buf_add(&command->input, bytes, length, err) < 0)
        return -1;
    pq_ssh_session_wake(command->session);
    return 0;
}

static void forget(pq_ssh_command *command)
{
    command->done = NULL;
    command->received = NULL;
    pq_defer_stop(&command->received_soon);
}

void pq_ssh_command_close(pq_ssh_command *command)
{
    forget(command);
    command->unwanted = true;
    if (command->state == PQ_SSH_WAITING)
        pq_ssh_command_free(command);
    else
        pq_ssh_session_wake(command->session);
}

void pq_ssh_command_drop(pq_ssh_command *command)
{
    if (command == NULL)
        return;
    if (command->was_sent)
        forget(command);
    else
        pq_ssh_command_close(command);
}
