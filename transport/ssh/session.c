#include "transport/ssh/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transport/base/log.h"
#include "transport/ssh/session_internal.h"

#define DEFAULT_PORT 22
#define DEFAULT_CONNECT_TIMEOUT_MS 30000

/* Silent periods after which a node is given up. */
#define SILENT_PERIODS 3

static void run(void *context);

static void set_state(pq_ssh_session *session, pq_ssh_state state)
{
    static const char *const names[] = {"idle", "connecting", "handshake", "login", "open"};
    session->state = state;
    pq_trace("ssh", PQ_TEXT("node", session->name), PQ_TEXT("state", names[state]));
}

pq_ssh_session *pq_ssh_session_new(pq_loop *loop, const pq_ssh_options *options,
                                   const pq_secret *proxy_userpwd, const char *host, uint16_t port,
                                   pq_error *err)
{
    pq_ssh_session *session = calloc(1, sizeof *session);
    char *copy = strdup(host);
    if (session == NULL || copy == NULL) {
        free(session);
        free(copy);
        pq_fail(err, PQ_E_NOMEM, "out of memory");
        return NULL;
    }
    session->loop = loop;
    session->options = options;
    session->proxy_userpwd = proxy_userpwd;
    session->host = copy;
    session->port = port != 0 ? port : DEFAULT_PORT;
    session->commands_end = &session->commands;
    session->channels_max = PQ_SSH_CHANNELS;
    bool brackets = session->port != DEFAULT_PORT && strchr(host, ':') != NULL;
    snprintf(session->name, sizeof session->name, "%s%s%s", brackets ? "[" : "", host,
             brackets ? "]" : "");
    if (session->port != DEFAULT_PORT)
        snprintf(session->name + strlen(session->name),
                 sizeof session->name - strlen(session->name), ":%u", (unsigned)session->port);
    return session;
}

const char *pq_ssh_session_name(const pq_ssh_session *session)
{
    return session->name;
}

pq_ms pq_ssh_session_round_trip(const pq_ssh_session *session)
{
    return session->stream != NULL ? pq_stream_round_trip(session->stream) : 0;
}

/* ---- the end of a session ---- */

static void close_connection(pq_ssh_session *session)
{
    pq_timer_stop(&session->deadline);
    pq_timer_stop(&session->keepalive);
    pq_defer_stop(&session->turn);
    pq_ssh_login_done(&session->login);
    if (session->ssh != NULL) {
        /* Without a connection libssh2 frees its channels at once. */
        if (session->lost.code == PQ_OK)
            pq_fail(&session->lost, PQ_E_NETWORK, "the SSH session with %s is over", session->name);
        while (libssh2_session_free(session->ssh) == LIBSSH2_ERROR_EAGAIN)
            continue;
        session->ssh = NULL;
    }
    for (pq_ssh_command *command = session->commands; command != NULL; command = command->next)
        command->channel = NULL;
    pq_stream_free(session->stream);
    session->stream = NULL;
    session->opening = session->blocked = NULL;
    session->channels = 0;
}

static void fail(pq_ssh_session *session, const pq_error *cause)
{
    pq_error err = *cause;
    pq_log(PQ_LOG_DEBUG, "SSH to %s: %s", session->name, err.text);
    close_connection(session);
    set_state(session, PQ_SSH_IDLE);
    for (pq_ssh_command *command = session->commands; command != NULL; command = command->next)
        pq_ssh_command_fail(command, &err);
}

void pq_ssh_session_free(pq_ssh_session *session)
{
    if (session == NULL)
        return;
    pq_defer_stop(&session->deliver);
    close_connection(session);
    while (session->commands != NULL)
        pq_ssh_command_free(session->commands);
    free(session->host);
    free(session);
}

/* ---- keeping it alive ---- */

static void keep_alive(void *context)
{
    pq_ssh_session *session = context;
    int next;
    pq_ms silent = pq_now() - session->heard;
    if (silent >= SILENT_PERIODS * PQ_SSH_KEEPALIVE_MS) {
        pq_error err;
        pq_fail_effect(&err, PQ_E_NETWORK, PQ_EFFECT_NONE, true,
                       "the SSH session with %s ended: the node was silent for %d s", session->name,
                       (int)(silent / 1000));
        fail(session, &err);
        return;
    }
    /* Only into an idle connection: libssh2 would leave a part of this packet behind. */
    if (silent >= PQ_SSH_KEEPALIVE_MS && session->blocked == NULL)
        libssh2_keepalive_send(session->ssh, &next);
    pq_timer_start(session->loop, &session->keepalive, PQ_SSH_KEEPALIVE_MS, keep_alive, session);
}

static void opened(pq_ssh_session *session)
{
    pq_timer_stop(&session->deadline);
    pq_ssh_login_done(&session->login);
    libssh2_keepalive_config(session->ssh, 1, PQ_SSH_KEEPALIVE_MS / 1000 / 2);
    set_state(session, PQ_SSH_OPEN);
    pq_log(PQ_LOG_INFO, "logged in as %s@%s", pq_ssh_login_user(session->options), session->name);
    pq_timer_start(session->loop, &session->keepalive, PQ_SSH_KEEPALIVE_MS, keep_alive, session);
}

/* ---- running ---- */

/* Goes through the commands until none of them gets any further, and no bytes have come meanwhile:
 * a call for one command reads what is there for all of them. */
static int run_commands(pq_ssh_session *session, pq_error *err)
{
    bool again = true;
    if (session->blocked != NULL && pq_ssh_command_step(session->blocked, err) < 0)
        return -1;
    while (again && session->blocked == NULL) {
        uint64_t received = session->received;
        pq_ssh_command *next;
        again = false;
        for (pq_ssh_command *command = session->commands;
             command != NULL && session->blocked == NULL; command = next) {
            next = command->next;
            int done = pq_ssh_command_step(command, err);
            if (done < 0)
                return -1;
            again |= done > 0;
        }
        again |= session->received != received;
    }
    return 0;
}

static int advance(pq_ssh_session *session, pq_error *err)
{
    int waits = 0;
    if (session->state == PQ_SSH_HANDSHAKE) {
        waits = pq_ssh_shake_hands(session, err);
        if (waits == 0) {
            pq_ssh_login_init(&session->login, session->options);
            set_state(session, PQ_SSH_LOGIN);
        }
    }
    if (session->state == PQ_SSH_LOGIN && waits == 0) {
        waits = pq_ssh_log_in(session, err);
        if (waits == 0)
            opened(session);
    }
    if (session->state == PQ_SSH_OPEN && waits == 0)
        return run_commands(session, err);
    return waits < 0 ? -1 : 0;
}

static void on_ready(void *context, int events)
{
    (void)events;
    run(context);
}

static void run(void *context)
{
    pq_ssh_session *session = context;
    pq_error err;
    if (session->ssh == NULL)
        return;
    if (advance(session, &err) < 0) {
        fail(session, &err);
        return;
    }
    bool blocked =
        session->blocked != NULL || (session->state != PQ_SSH_OPEN && pq_ssh_is_blocked(session));
    pq_stream_watch(session->stream, PQ_READABLE | (blocked ? PQ_WRITABLE : 0), on_ready, session);
}

/* ---- connecting ---- */

static void connected(void *context, const pq_error *failure)
{
    pq_ssh_session *session = context;
    pq_error err;
    if (failure != NULL) {
        err = *failure;
        if (err.code == PQ_E_RESOLVE)
            pq_fail_effect(&err, PQ_E_CONNECT, PQ_EFFECT_NONE, true,
                           "%s; give the node's address with --ssh-node", failure->text);
        pq_error_prefix(&err, "SSH: ");
        fail(session, &err);
    } else if (pq_ssh_begin(session, &err) < 0) {
        fail(session, &err);
    } else {
        set_state(session, PQ_SSH_HANDSHAKE);
        run(session);
    }
}

static void too_late(void *context)
{
    pq_ssh_session *session = context;
    pq_error err;
    pq_fail_effect(&err, PQ_E_TIMEOUT, PQ_EFFECT_NONE, true, "no SSH session with %s in time",
                   session->name);
    fail(session, &err);
}

static int start_connecting(pq_ssh_session *session, pq_error *err)
{
    const pq_ssh_options *options = session->options;
    pq_ms timeout =
        options->connect_timeout > 0 ? options->connect_timeout : DEFAULT_CONNECT_TIMEOUT_MS;
    char proxy[320] = "";
    if (options->socks5 != NULL && options->socks5[0] != '\0')
        snprintf(proxy, sizeof proxy, "socks5h://%s", options->socks5);
    pq_stream_options stream = {.host = session->host,
                                .port = session->port,
                                .proxy = proxy,
                                .proxy_userpwd = session->proxy_userpwd,
                                .connect_timeout = timeout};
    session->lost = (pq_error){0};
    session->stream = pq_stream_open(session->loop, &stream, connected, session, err);
    if (session->stream == NULL)
        return -1;
    pq_timer_start(session->loop, &session->deadline, timeout, too_late, session);
    set_state(session, PQ_SSH_CONNECTING);
    return 0;
}

static void take_turn(void *context)
{
    pq_ssh_session *session = context;
    pq_error err;
    if (session->state == PQ_SSH_IDLE && session->commands != NULL) {
        if (start_connecting(session, &err) < 0)
            fail(session, &err);
    } else {
        run(session);
    }
}

void pq_ssh_session_wake(pq_ssh_session *session)
{
    pq_defer_start(session->loop, &session->turn, take_turn, session);
}

/* ---- telling ---- */

/* Tells one caller, who may free everything; the others get their own turn. */
static void deliver(void *context)
{
    pq_ssh_session *session = context;
    pq_ssh_command *command = session->commands;
    while (command != NULL && command->state != PQ_SSH_ENDED)
        command = command->next;
    if (command == NULL)
        return;
    pq_ssh_command ended = *command;
    command->result = (pq_ssh_result){0};
    pq_ssh_command_free(command);
    pq_ssh_session_ended(session);
    if (ended.done != NULL)
        ended.done(ended.context, ended.failure.code != PQ_OK ? &ended.failure : NULL,
                   &ended.result);
    pq_buf_done(&ended.result.out);
    pq_buf_done(&ended.result.err);
}

void pq_ssh_session_ended(pq_ssh_session *session)
{
    for (pq_ssh_command *command = session->commands; command != NULL; command = command->next) {
        if (command->state == PQ_SSH_ENDED) {
            pq_defer_start(session->loop, &session->deliver, deliver, session);
            return;
        }
    }
}
