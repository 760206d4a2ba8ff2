/* A client of a shared server, seen from the server. See master.h. */
#include <linux/sockios.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "shim/control/master.h"
#include "shim/process.h"
#include "transport/base/fd.h"
#include "transport/base/secret.h"
#include "transport/config/pack.h"

/* Log lines are not worth more than this in a client's socket, so that END finds room. */
#define LOG_BYTES_MAX (64 * 1024)

/* For what a client has in common with others; its configuration has a limit of its own. */
#define PUBLIC_BYTES_MAX ((size_t)256 * 1024)

static void set_state(pq_link *link, link_state state)
{
    static const char *const names[] = {"greeting", "reading", "accepted",
                                        "talking",  "leaving", "asking"};
    pq_trace("link-state", PQ_INT("link", link->fd), PQ_TEXT("from", names[link->state]),
             PQ_TEXT("to", names[state]));
    link->state = state;
}

static bool is_client(const pq_link *link)
{
    return link->state == LINK_ACCEPTED || link->state == LINK_TALKING ||
           link->state == LINK_LEAVING;
}

void pq_link_free(pq_link *link)
{
    pq_master *master = link->master;
    bool was_client = is_client(link);
    pq_trace("link-freed", PQ_INT("link", link->fd));
    pq_talk_free(link->talk);
    pq_watch_stop(&link->watch);
    pq_timer_stop(&link->patience);
    pq_close(&link->in);
    pq_close(&link->out);
    pq_close(&link->fd);
    pq_buf_wipe(&link->bytes);
    pq_config_free(link->config);
    free(link->cwd);
    *link->link = link->next;
    if (link->next != NULL)
        link->next->link = link->link;
    master->link_count--;
    free(link);
    pq_master_left(master, was_client);
}

static void refuse(pq_link *link, const char *why)
{
    pq_error err;
    (void)pq_control_send_text(link->fd, PQ_CONTROL_REFUSED, why, &err);
    pq_link_free(link);
}

/* ---- being accepted ---- */

static void read_hello(pq_link *link, const pq_control_message *message)
{
    pq_control_hello *lengths = &link->lengths;
    pq_error err;
    size_t greeting = strlen(PQ_CONTROL_GREETING);
    if (message->length != sizeof *lengths + greeting ||
        memcmp(message->body + sizeof *lengths, PQ_CONTROL_GREETING, greeting) != 0) {
        refuse(link, "the shared server is another version of the program");
        return;
    }
    memcpy(lengths, message->body, sizeof *lengths);
    if (lengths->identity > PUBLIC_BYTES_MAX || lengths->environment > PUBLIC_BYTES_MAX ||
        lengths->config > PQ_CONFIG_PACK_MAX ||
        pq_buf_reserve(&link->bytes,
                       (size_t)(lengths->identity + lengths->environment + lengths->config),
                       &err) < 0)
        refuse(link, "the configuration is too large to be shared");
    else
        set_state(link, LINK_READING);
}

static const char *why_not(pq_link *link)
{
    const pq_control_plan *plan = link->master->plan;
    const pq_control_hello *lengths = &link->lengths;
    const char *identity = link->bytes.data;
    const char *environment = identity + lengths->identity;
    const char *config = environment + lengths->environment;
    pq_error err;
    if (!pq_secret_equal_bytes(identity, lengths->identity, plan->identity.data,
                               plan->identity.length))
        return "the shared server is one of another endpoint";
    if (!pq_secret_equal_bytes(environment, lengths->environment, plan->environment.data,
                               plan->environment.length))
        return "the shared server has another environment for its connections";
    link->config =
        pq_config_unpack(pq_own_options, PQ_OWN_OPTION_COUNT, config, lengths->config, &err);
    if (link->config == NULL)
        return "the shared server cannot read the configuration";
    if (!pq_control_same_secrets(link->config, link->master->config))
        return "the shared server has other secrets";
    return NULL;
}

static void read_bytes(pq_link *link, const pq_control_message *message)
{
    const pq_control_hello *lengths = &link->lengths;
    pq_error err;
    size_t all = (size_t)(lengths->identity + lengths->environment + lengths->config);
    if (message->length > all - link->bytes.length ||
        pq_buf_add(&link->bytes, message->body, message->length, &err) < 0) {
        pq_link_free(link);
        return;
    }
    if (link->bytes.length < all)
        return;
    const char *why = why_not(link);
    pq_buf_wipe(&link->bytes);
    if (why != NULL) {
        refuse(link, why);
        return;
    }
    pq_timer_stop(&link->patience);
    set_state(link, LINK_ACCEPTED);
    if (pq_control_send(link->fd, PQ_CONTROL_ACCEPTED, NULL, 0, NULL, &err) < 0)
        pq_link_free(link);
}

static void out_of_patience(void *context)
{
    pq_link_free(context);
}

/* ---- its conversation ---- */

/* The guests are for the others. */
static void on_clean(void *context)
{
    const pq_link *link = context;
    pq_talk_cleaned(link->talk, NULL);
}

static void end(pq_link *link, int status)
{
    pq_error err;
    pq_close(&link->in);
    pq_close(&link->out);
    (void)pq_control_send_number(link->fd, PQ_CONTROL_END, status, &err);
    pq_link_free(link);
}

static void on_ended(void *context, int status)
{
    pq_link *link = context;
    pq_talk_free(link->talk);
    link->talk = NULL;
    end(link, status);
}

static void on_log(void *context, pq_log_level level, const char *line)
{
    const pq_link *link = context;
    char body[2 * PQ_ERROR_TEXT_MAX + 2];
    pq_error err;
    int queued = 0;
    if (ioctl(link->fd, SIOCOUTQ, &queued) < 0 || queued > LOG_BYTES_MAX)
        return;
    snprintf(body, sizeof body, "%d%s", (int)level, line);
    (void)pq_control_send_text(link->fd, PQ_CONTROL_LOG, body, &err);
}

static int start_talk(pq_link *link, pq_control_message *message, pq_error *err)
{
    static const pq_talk_events events = {.clean = on_clean, .ended = on_ended, .log = on_log};
    if (message->fds[0] < 0 || message->fds[1] < 0)
        return pq_fail(err, PQ_E_IO, "a client came without its standard streams");
    link->in = message->fds[0];
    link->out = message->fds[1];
    message->fds[0] = message->fds[1] = -1;
    link->cwd = strdup(message->body);
    if (link->cwd == NULL)
        return pq_fail(err, PQ_E_NOMEM, "out of memory");
    pq_talk_options options = {.in = link->in,
                               .out = link->out,
                               .config = link->config,
                               .cwd = link->cwd,
                               .level = pq_run_log_level(link->config)};
    link->talk = pq_talk_new(&link->master->server, &options, &events, link, err);
    return link->talk != NULL ? 0 : -1;
}

static void start(pq_link *link, pq_control_message *message)
{
    pq_error err;
    if (start_talk(link, message, &err) < 0) {
        pq_link_free(link);
        return;
    }
    set_state(link, LINK_TALKING);
    if (link->master->end_signal != 0)
        pq_link_signal(link, link->master->end_signal);
}

void pq_link_signal(pq_link *link, int number)
{
    if (link->talk == NULL || pq_talk_signal(link->talk, number))
        return;
    on_log(link, PQ_LOG_ERROR, "ended at once; what was begun in the guests may go on");
    int status = 128 + link->talk->signal;
    pq_talk_free(link->talk);
    link->talk = NULL;
    end(link, status);
}

static void read_signal(pq_link *link, const pq_control_message *message)
{
    int number = pq_control_number(message);
    for (size_t i = 0; i < PQ_PROCESS_END_SIGNALS; i++) {
        if (pq_process_end_signals[i] == number) {
            pq_link_signal(link, number);
            return;
        }
    }
}

static void gone(pq_link *link)
{
    if (link->state != LINK_TALKING) {
        pq_link_free(link);
        return;
    }
    pq_watch_stop(&link->watch);
    set_state(link, LINK_LEAVING);
    pq_talk_hang_up(link->talk);
}

/* ---- questions ---- */

static void answer(pq_link *link, pq_control_kind kind)
{
    pq_master *master = link->master;
    pq_buf line = {0};
    pq_error err;
    pq_timer_stop(&link->patience);
    set_state(link, LINK_ASKING);
    bool described = pq_master_describe(master, &line, &err) == 0;
    /* Whoever reads the answer finds the socket gone. */
    if (kind != PQ_CONTROL_CHECK)
        pq_master_end(master, 0);
    if (described)
        (void)pq_control_send(link->fd, PQ_CONTROL_STATUS, line.data, line.length, NULL, &err);
    pq_buf_done(&line);
    if (kind == PQ_CONTROL_CHECK)
        pq_link_free(link);
    else if (kind == PQ_CONTROL_EXIT)
        pq_master_end(master, SIGTERM);
}

/* ---- messages ---- */

static void take_message(pq_link *link, pq_control_message *message)
{
    link_state state = link->state;
    if (message->kind == PQ_CONTROL_HELLO && state == LINK_GREETING)
        read_hello(link, message);
    else if (message->kind >= PQ_CONTROL_CHECK && message->kind <= PQ_CONTROL_EXIT &&
             state == LINK_READING)
        answer(link, message->kind);
    else if (message->kind == PQ_CONTROL_BYTES && state == LINK_READING)
        read_bytes(link, message);
    else if (message->kind == PQ_CONTROL_START && state == LINK_ACCEPTED)
        start(link, message);
    else if (message->kind == PQ_CONTROL_SIGNAL && state == LINK_TALKING)
        read_signal(link, message);
    else
        gone(link);
}

static void on_readable(void *context, int events)
{
    pq_link *link = context;
    pq_control_message message;
    pq_error err;
    (void)events;
    if (pq_control_receive(link->fd, &message, &err) < 0) {
        gone(link);
        return;
    }
    if (message.kind == PQ_CONTROL_NOTHING)
        return;
    take_message(link, &message);
    pq_control_message_done(&message);
}

void pq_link_new(pq_master *master, int fd)
{
    pq_link *link = calloc(1, sizeof *link);
    pq_error err;
    if (link == NULL) {
        pq_close(&fd);
        return;
    }
    link->master = master;
    link->fd = fd;
    link->in = link->out = -1;
    link->next = master->links;
    link->link = &master->links;
    if (link->next != NULL)
        link->next->link = &link->next;
    master->links = link;
    master->link_count++;
    if (master->link_count > PQ_CONTROL_CLIENTS_MAX) {
        refuse(link, "the shared server has too many clients");
        return;
    }
    if (pq_control_check_peer(fd, &err) < 0) {
        pq_link_free(link);
        return;
    }
    pq_timer_start(master->server.loop, &link->patience, PQ_CONTROL_PATIENCE_MS, out_of_patience,
                   link);
    pq_watch_start(master->server.loop, &link->watch, fd, PQ_READABLE, on_readable, link);
}
