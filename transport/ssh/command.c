#include "transport/ssh/command.h"

#include "transport/base/log.h"
#include "transport/ssh/session_internal.h"

/* libssh2 makes no packets of more than 32700 bytes of data; nor do we read more at once. */
#define CHUNK_BYTES ((size_t)32700)

static void set_state(pq_ssh_command *command, pq_ssh_command_state state)
{
    static const char *const names[] = {"waiting", "opening", "starting", "running",
                                        "ending",  "closing", "ended"};
    pq_trace("ssh-command", PQ_TEXT("node", pq_ssh_session_name(command->session)),
             PQ_TEXT("from", names[command->state]), PQ_TEXT("to", names[state]));
    command->state = state;
    command->action = 0;
    if (state == PQ_SSH_ENDED)
        pq_ssh_session_ended(command->session);
}

/* ---- the end ---- */

void pq_ssh_command_fail(pq_ssh_command *command, const pq_error *err)
{
    if (command->state == PQ_SSH_ENDED)
        return;
    if (command->failure.code == PQ_OK) {
        command->failure = *err;
        command->failure.effect = command->was_sent ? PQ_EFFECT_UNKNOWN : PQ_EFFECT_NONE;
    }
    set_state(command, PQ_SSH_ENDED);
}

/* Ends a command whose channel is gone, while the session goes on. */
static int end(pq_ssh_command *command)
{
    command->session->channels--;
    set_state(command, PQ_SSH_ENDED);
    return 1;
}

/* Keeps the first failure and closes the channel. */
static int give_up(pq_ssh_command *command, const pq_error *err)
{
    if (command->failure.code == PQ_OK) {
        command->failure = *err;
        command->failure.effect = command->was_sent ? PQ_EFFECT_UNKNOWN : PQ_EFFECT_NONE;
    }
    set_state(command, PQ_SSH_CLOSING);
    return 1;
}

/* After a call of libssh2 that did not succeed: 0 if it will go on later, -1 if the session is
 * over, 1 if only the command is concerned. */
static int judge(pq_ssh_command *command, int code, pq_error *err)
{
    pq_ssh_session *session = command->session;
    if (code == LIBSSH2_ERROR_EAGAIN) {
        session->blocked = pq_ssh_is_blocked(session) ? command : NULL;
        return 0;
    }
    session->blocked = NULL;
    return pq_ssh_is_lost(session, code, err) ? -1 : 1;
}

static int refused(pq_ssh_command *command, const char *what)
{
    pq_error err;
    char text[200];
    pq_ssh_last_text(command->session->ssh, text, sizeof text);
    pq_fail(&err, PQ_E_CONNECT, "%s does not let us %s: %s", pq_ssh_session_name(command->session),
            what, text);
    return give_up(command, &err);
}

/* ---- opening ---- */

static int wait_for_turn(pq_ssh_command *command)
{
    pq_ssh_session *session = command->session;
    if (session->opening != NULL || session->channels >= session->channels_max)
        return 0;
    if (command->unwanted) { /* it had a turn before, and was refused */
        set_state(command, PQ_SSH_ENDED);
        return 1;
    }
    session->opening = command;
    session->channels++;
    set_state(command, PQ_SSH_OPENING);
    return 1;
}

/* A node that allows fewer channels than we have (MaxSessions) is asked again when one is free. */
static int channel_refused(pq_ssh_command *command)
{
    pq_ssh_session *session = command->session;
    if (session->channels > 1) {
        session->channels_max = --session->channels;
        set_state(command, PQ_SSH_WAITING);
        return 1;
    }
    return refused(command, "open a channel");
}

static int open_channel(pq_ssh_command *command, pq_error *err)
{
    pq_ssh_session *session = command->session;
    command->channel = libssh2_channel_open_session(session->ssh);
    if (command->channel == NULL) {
        int result = judge(command, libssh2_session_last_errno(session->ssh), err);
        if (result <= 0)
            return result;
        session->opening = NULL;
        return channel_refused(command);
    }
    session->blocked = NULL;
    session->opening = NULL;
    set_state(command, command->unwanted ? PQ_SSH_CLOSING : PQ_SSH_STARTING);
    return 1;
}

static int start_command(pq_ssh_command *command, pq_error *err)
{
    command->was_sent |= command->input.length == 0 && !command->keep_open;
    int code = libssh2_channel_exec(command->channel, command->line);
    if (code != 0) {
        int result = judge(command, code, err);
        return result <= 0 ? result : refused(command, "run commands");
    }
    command->session->blocked = NULL;
    set_state(command, PQ_SSH_RUNNING);
    return 1;
}

/* ---- running: each action gives 1 for progress, 0 for none, -1, or goes to CLOSING ---- */

static int write_input(pq_ssh_command *command, pq_error *err)
{
    size_t left = command->input.length - command->written;
    if (left == 0 || command->eof_sent)
        return 0;
    size_t chunk = left < CHUNK_BYTES ? left : CHUNK_BYTES;
    command->was_sent |= chunk == left;
    ssize_t sent =
        libssh2_channel_write(command->channel, command->input.data + command->written, chunk);
    if (sent < 0) {
        int result = judge(command, (int)sent, err);
        if (result <= 0)
            return result;
        /* The command does not read on; what it says about that comes as its output. */
        command->written = command->input.length;
        return 1;
    }
    command->session->blocked = NULL;
    command->written += (size_t)sent;
    return sent > 0;
}

static int end_input(pq_ssh_command *command, pq_error *err)
{
    if (command->keep_open || command->eof_sent || command->written < command->input.length)
        return 0;
    command->was_sent = true;
    int code = libssh2_channel_send_eof(command->channel);
    if (code != 0) {
        int result = judge(command, code, err);
        if (result <= 0)
            return result;
    }
    command->session->blocked = NULL;
    command->eof_sent = true;
    return 1;
}

static void tell_received(void *context)
{
    pq_ssh_command *command = context;
    if (command->received != NULL)
        command->received(command->context);
}

static int keep_output(pq_ssh_command *command, int stream, const char *bytes, size_t length)
{
    pq_error err;
    pq_buf *out = stream == 0 ? &command->result.out : &command->result.err;
    if (command->done == NULL)
        return 1;
    if (pq_buf_add(out, bytes, length, &err) < 0) {
        if (stream != 0)
            return 1; /* the beginning says enough */
        pq_error_prefix(&err,
                        "the output of a command on %s: ", pq_ssh_session_name(command->session));
        return give_up(command, &err);
    }
    if (command->received != NULL)
        pq_defer_start(command->session->loop, &command->received_soon, tell_received, command);
    return 1;
}

static int read_stream(pq_ssh_command *command, int stream, pq_error *err)
{
    char bytes[CHUNK_BYTES];
    ssize_t got = libssh2_channel_read_ex(command->channel, stream, bytes, sizeof bytes);
    if (got < 0) {
        int result = judge(command, (int)got, err);
        return result <= 0 ? result : refused(command, "read a command's output");
    }
    command->session->blocked = NULL;
    return got > 0 ? keep_output(command, stream, bytes, (size_t)got) : 0;
}

static int read_stdout(pq_ssh_command *command, pq_error *err)
{
    return read_stream(command, 0, err);
}

static int read_stderr(pq_ssh_command *command, pq_error *err)
{
    return read_stream(command, SSH_EXTENDED_DATA_STDERR, err);
}

static int run_actions(pq_ssh_command *command, pq_error *err)
{
    static int (*const actions[])(pq_ssh_command *, pq_error *) = {write_input, end_input,
                                                                   read_stdout, read_stderr};
    const unsigned count = sizeof actions / sizeof actions[0];
    int progress = 0;
    if (command->unwanted && command->session->blocked == NULL) {
        set_state(command, PQ_SSH_CLOSING);
        return 1;
    }
    for (unsigned i = command->action; i < count; i++) {
        command->action = i;
        int done = actions[i](command, err);
        if (done < 0)
            return -1;
        progress |= done;
        if (command->session->blocked != NULL || command->state != PQ_SSH_RUNNING)
            return progress;
    }
    command->action = 0;
    if (progress == 0 && libssh2_channel_eof(command->channel) == 1) {
        set_state(command, PQ_SSH_ENDING);
        return 1;
    }
    return progress;
}

/* ---- ending ---- */

static int await_end(pq_ssh_command *command, pq_error *err)
{
    char *signal = NULL;
    int code = libssh2_channel_wait_closed(command->channel);
    if (code != 0) {
        int result = judge(command, code, err);
        if (result <= 0)
            return result;
    }
    command->session->blocked = NULL;
    libssh2_channel_get_exit_signal(command->channel, &signal, NULL, NULL, NULL, NULL, NULL);
    command->result.status =
        signal != NULL ? -1 : libssh2_channel_get_exit_status(command->channel);
    libssh2_free(command->session->ssh, signal);
    set_state(command, PQ_SSH_CLOSING);
    return 1;
}

static int close_channel(pq_ssh_command *command, pq_error *err)
{
    if (command->channel != NULL) {
        int code = libssh2_channel_free(command->channel);
        if (code != 0) {
            int result = judge(command, code, err);
            if (result <= 0)
                return result;
        }
    }
    command->session->blocked = NULL;
    command->channel = NULL;
    return end(command);
}

int pq_ssh_command_step(pq_ssh_command *command, pq_error *err)
{
    switch (command->state) {
    case PQ_SSH_WAITING:
        return wait_for_turn(command);
    case PQ_SSH_OPENING:
        return open_channel(command, err);
    case PQ_SSH_STARTING:
        return start_command(command, err);
    case PQ_SSH_RUNNING:
        return run_actions(command, err);
    case PQ_SSH_ENDING:
        return await_end(command, err);
    case PQ_SSH_CLOSING:
        return close_channel(command, err);
    case PQ_SSH_ENDED:
        break;
    }
    return 0;
}
