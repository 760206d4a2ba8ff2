/*
 * A client of a shared server. See control.h.
 *
 *   connect, or make a server -> HELLO, BYTES... -> ACCEPTED -> START -> waits for END
 *
 * Up to START nothing has been touched, so whatever fails makes the client serve alone.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "shim/control/control.h"
#include "shim/process.h"
#include "transport/base/fd.h"
#include "transport/base/log.h"
#include "transport/config/pack.h"

/* A server may end just when it was found. */
#define TRIES 5

typedef struct control_client {
    pq_control_plan plan;
    char *cwd;
    int fd;      /* the connection */
    int signals; /* descriptor that tells of them */
    unsigned signal_count;
    pq_control_message message;
} control_client;

/* ---- what to bring ---- */

static int make_plan(control_client *client, pq_config *config, pq_error *err)
{
    pq_control_plan *plan = &client->plan;
    char name[PQ_CONTROL_NAME_DIGITS + 1];
    client->cwd = getcwd(NULL, 0);
    if (client->cwd == NULL)
        return pq_fail(err, PQ_E_IO, "the working directory is not known: %s", strerror(errno));
    if (strlen(client->cwd) > PQ_CONTROL_BODY_MAX)
        return pq_fail(err, PQ_E_IO, "the path of the working directory is too long");
    if (pq_config_resolve_paths(config, client->cwd, err) < 0 ||
        pq_control_dir_find(pq_config_text(config, PQ_OPT_CONTROL_PATH), true, &plan->dir, err) <
            0 ||
        pq_control_identity(config, &plan->identity, err) < 0 ||
        pq_control_environment(&plan->environment, err) < 0 ||
        pq_config_pack(config, &plan->config, err) < 0 ||
        pq_control_name(&plan->identity, name, err) < 0)
        return -1;
    snprintf(plan->path, sizeof plan->path, "%.*s/%s", (int)PQ_CONTROL_DIR_MAX, plan->dir.path,
             name);
    plan->persist_ms = pq_config_duration_ms(config, PQ_OPT_CONTROL_PERSIST);
    plan->trace = pq_config_text(config, PQ_OPT_TRACE);
    return 0;
}

static void client_done(control_client *client)
{
    pq_close(&client->fd);
    pq_close(&client->signals);
    pq_control_message_done(&client->message);
    pq_buf_done(&client->plan.identity);
    pq_buf_wipe(&client->plan.environment);
    pq_buf_wipe(&client->plan.config);
    free(client->cwd);
}

/* ---- being accepted ---- */

static int send_pieces(int fd, const pq_buf *bytes, pq_error *err)
{
    for (size_t at = 0; at < bytes->length;) {
        size_t left = bytes->length - at;
        size_t part = left < PQ_CONTROL_BODY_MAX ? left : PQ_CONTROL_BODY_MAX;
        if (pq_control_send(fd, PQ_CONTROL_BYTES, bytes->data + at, part, NULL, err) < 0)
            return -1;
        at += part;
    }
    return 0;
}

static int introduce(const control_client *client, pq_error *err)
{
    const pq_control_plan *plan = &client->plan;
    struct {
        pq_control_hello lengths;
        char greeting[sizeof PQ_CONTROL_GREETING - 1];
    } hello = {.lengths = {plan->identity.length, plan->environment.length, plan->config.length}};
    memcpy(hello.greeting, PQ_CONTROL_GREETING, sizeof hello.greeting);
    if (pq_control_send(client->fd, PQ_CONTROL_HELLO, &hello,
                        sizeof hello.lengths + sizeof hello.greeting, NULL, err) < 0 ||
        send_pieces(client->fd, &plan->identity, err) < 0 ||
        send_pieces(client->fd, &plan->environment, err) < 0)
        return -1;
    return send_pieces(client->fd, &plan->config, err);
}

/* *ret_again: the server has just ended. What could not be sent may have been refused. */
static int ask_to_share(control_client *client, bool *ret_again, pq_error *err)
{
    pq_control_message *message = &client->message;
    pq_error ignored;
    *ret_again = false;
    (void)introduce(client, &ignored);
    if (pq_control_receive(client->fd, message, err) < 0)
        return -1;
    switch (message->kind) {
    case PQ_CONTROL_ACCEPTED:
        return 0;
    case PQ_CONTROL_REFUSED:
        return pq_fail(err, PQ_E_IO, "%.400s", message->body);
    case PQ_CONTROL_GONE:
        *ret_again = true;
        return pq_fail(err, PQ_E_IO, "the shared server has ended");
    default:
        return pq_fail(err, PQ_E_IO, "the shared server does not answer");
    }
}

static int find_server(control_client *client, pq_error *err)
{
    bool absent;
    int result = pq_control_connect(client->plan.path, &client->fd, &absent, err);
    if (result < 0 && absent)
        result = pq_control_start(&client->plan, &client->fd, err);
    return result;
}

static int share(control_client *client, pq_error *err)
{
    for (int tries = 0; tries < TRIES; tries++) {
        bool again;
        if (find_server(client, err) < 0)
            return -1;
        if (client->plan.is_server || ask_to_share(client, &again, err) == 0)
            return 0;
        pq_close(&client->fd);
        if (!again)
            return -1;
    }
    return -1;
}

/* ---- handing over ---- */

/* From here on signals are the server's to handle. */
static int take_signals(control_client *client, pq_error *err)
{
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < PQ_PROCESS_END_SIGNALS; i++) {
        if (!pq_process_ignores(pq_process_end_signals[i]))
            sigaddset(&set, pq_process_end_signals[i]);
    }
    client->signals = signalfd(-1, &set, SFD_CLOEXEC);
    if (client->signals < 0 || sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return pq_fail(err, PQ_E_IO, "cannot take signals: %s", strerror(errno));
    return 0;
}

static int hand_over(control_client *client, pq_error *err)
{
    static const int standard[PQ_CONTROL_FDS] = {STDIN_FILENO, STDOUT_FILENO};
    return pq_control_send(client->fd, PQ_CONTROL_START, client->cwd, strlen(client->cwd), standard,
                           err);
}

/* ---- the conversation, which is the server's ---- */

static int server_gone(const char *why)
{
    pq_log(
        PQ_LOG_ERROR,
        "serving: the shared server is gone%s%s; what it was doing may have been done in whole or "
        "part",
        why[0] != '\0' ? ": " : "", why);
    return PQ_EXIT_FAILURE;
}

/* The body is a digit for the level, and the line. */
static void show_log(const pq_control_message *message)
{
    if (message->length >= 1)
        pq_log_to_stderr((pq_log_level)(message->body[0] - '0'), message->body + 1);
}

/* Whether that was the end, with *ret_status. */
static bool take_message(control_client *client, int *ret_status)
{
    pq_control_message *message = &client->message;
    pq_error err;
    bool ended = true;
    if (pq_control_receive(client->fd, message, &err) < 0) {
        *ret_status = server_gone(err.text);
        return true;
    }
    if (message->kind == PQ_CONTROL_GONE)
        *ret_status = server_gone("");
    else if (message->kind == PQ_CONTROL_END)
        *ret_status = pq_control_number(message) & 0xff;
    else
        ended = false;
    if (message->kind == PQ_CONTROL_LOG)
        show_log(message);
    pq_control_message_done(message);
    return ended;
}

/* The third one ends us even if the server does not move. */
static bool pass_signal(control_client *client, int *ret_status)
{
    struct signalfd_siginfo info;
    pq_error err;
    if (read(client->signals, &info, sizeof info) != (ssize_t)sizeof info)
        return false;
    (void)pq_control_send_number(client->fd, PQ_CONTROL_SIGNAL, (int)info.ssi_signo, &err);
    *ret_status = 128 + (int)info.ssi_signo;
    return ++client->signal_count > 2;
}

static int wait_for_end(control_client *client)
{
    struct pollfd fds[] = {{.fd = client->fd, .events = POLLIN},
                           {.fd = client->signals, .events = POLLIN}};
    int status = PQ_EXIT_FAILURE;
    for (;;) {
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return server_gone(strerror(errno));
        if (fds[0].revents != 0 && take_message(client, &status))
            return status;
        if (fds[1].revents != 0 && pass_signal(client, &status))
            return status;
    }
}

static int converse(control_client *client, pq_error *err)
{
    pq_trace("shared", PQ_TEXT("socket", client->plan.path));
    if (take_signals(client, err) < 0)
        return -1;
    if (hand_over(client, err) < 0)
        return server_gone(err->text);
    return wait_for_end(client);
}

int pq_control_serve(pq_config *config, pq_error *err)
{
    control_client *client = calloc(1, sizeof *client);
    if (client == NULL)
        return pq_fail(err, PQ_E_NOMEM, "out of memory");
    client->fd = client->signals = -1;
    for (size_t i = 0; i < PQ_CONTROL_FDS; i++)
        client->message.fds[i] = -1;
    int status = -1;
    if (make_plan(client, config, err) == 0 && share(client, err) == 0)
        status = client->plan.is_server ? client->plan.status : converse(client, err);
    client_done(client);
    free(client);
    return status;
}
