#include "tests/unit/support/http_peer.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/support/stream_peer.h"

#define ANSWER_BYTES 4096

typedef struct connection {
    int fd; /* -1: free */
    char *bytes;
    size_t length;
} connection;

typedef struct server {
    http_peer *peer;
    connection connections[HTTP_PEER_CONNECTIONS_MAX];
} server;

static void hang_up(connection *c)
{
    close(c->fd);
    free(c->bytes);
    *c = (connection){.fd = -1};
}

static void take_connection(server *s)
{
    int fd = accept(s->peer->listener, NULL, NULL);
    for (size_t i = 0; fd >= 0 && i < HTTP_PEER_CONNECTIONS_MAX; i++) {
        if (s->connections[i].fd < 0) {
            s->connections[i].fd = fd;
            s->peer->connection_count++;
            return;
        }
    }
    close(fd);
}

/* Bytes of the head with its blank line, 0 while it is not whole. */
static size_t head_length(const connection *c)
{
    const char *end = c->length > 0 ? memmem(c->bytes, c->length, "\r\n\r\n", 4) : NULL;
    return end != NULL ? (size_t)(end - c->bytes) + 4 : 0;
}

static size_t body_length(const connection *c)
{
    const char *line = strcasestr(c->bytes, "\r\nContent-Length: ");
    return line != NULL ? strtoul(line + strlen("\r\nContent-Length: "), NULL, 10) : 0;
}

static void record(http_peer *peer, const connection *c)
{
    if (peer->request_count < HTTP_PEER_REQUESTS_MAX)
        peer->requests[peer->request_count] = strndup(c->bytes, c->length);
    peer->request_count++;
}

static void send_all(int fd, const http_peer_step *step)
{
    size_t length = step->length > 0 ? step->length : strlen(step->answer);
    for (size_t done = 0; done < length;) {
        ssize_t sent = send(fd, step->answer + done, length - done, MSG_NOSIGNAL);
        if (sent <= 0)
            return;
        done += (size_t)sent;
    }
}

/* A request, or enough of it for the step, is there. */
static void play(server *s, connection *c)
{
    http_peer *peer = s->peer;
    size_t index = peer->request_count < peer->count ? peer->request_count : peer->count - 1;
    const http_peer_step *step = &peer->steps[index];
    size_t head = head_length(c);
    if (head == 0 || (step->act != HTTP_PEER_EARLY && c->length < head + body_length(c)))
        return;
    record(peer, c);
    if (step->answer != NULL)
        send_all(c->fd, step);
    if (step->act == HTTP_PEER_ANSWER || step->act == HTTP_PEER_SILENT)
        c->length = 0;
    else
        hang_up(c);
}

static void receive(server *s, connection *c)
{
    char bytes[65536];
    ssize_t got = recv(c->fd, bytes, sizeof bytes, 0);
    if (got <= 0) {
        hang_up(c);
        return;
    }
    char *more = realloc(c->bytes, c->length + (size_t)got + 1);
    if (more == NULL)
        abort();
    memcpy(more + c->length, bytes, (size_t)got);
    c->bytes = more;
    c->length += (size_t)got;
    c->bytes[c->length] = '\0';
    play(s, c);
}

static bool serve_once(server *s)
{
    struct pollfd fds[HTTP_PEER_CONNECTIONS_MAX + 2] = {
        {.fd = s->peer->stop_pipe[0], .events = POLLIN},
        {.fd = s->peer->listener, .events = POLLIN},
    };
    for (size_t i = 0; i < HTTP_PEER_CONNECTIONS_MAX; i++)
        fds[i + 2] = (struct pollfd){.fd = s->connections[i].fd, .events = POLLIN};
    poll(fds, HTTP_PEER_CONNECTIONS_MAX + 2, -1);
    if (fds[0].revents != 0)
        return false;
    for (size_t i = 0; i < HTTP_PEER_CONNECTIONS_MAX; i++)
        if (fds[i + 2].revents != 0)
            receive(s, &s->connections[i]);
    if (fds[1].revents != 0)
        take_connection(s);
    return true;
}

static void *serve(void *context)
{
    server s = {.peer = context};
    for (size_t i = 0; i < HTTP_PEER_CONNECTIONS_MAX; i++)
        s.connections[i].fd = -1;
    while (serve_once(&s))
        ;
    for (size_t i = 0; i < HTTP_PEER_CONNECTIONS_MAX; i++)
        if (s.connections[i].fd >= 0)
            hang_up(&s.connections[i]);
    return NULL;
}

void http_peer_start(http_peer *peer)
{
    peer->listener = stream_peer_listen(&peer->port);
    cr_assert_eq(pipe(peer->stop_pipe), 0);
    cr_assert_eq(pthread_create(&peer->thread, NULL, serve, peer), 0);
}

void http_peer_stop(http_peer *peer)
{
    cr_assert_eq(write(peer->stop_pipe[1], "x", 1), 1);
    cr_assert_eq(pthread_join(peer->thread, NULL), 0);
    close(peer->listener);
    close(peer->stop_pipe[0]);
    close(peer->stop_pipe[1]);
}

void http_peer_done(http_peer *peer)
{
    for (size_t i = 0; i < HTTP_PEER_REQUESTS_MAX; i++)
        free(peer->requests[i]);
}

static char *next_text(void)
{
    static char texts[32][ANSWER_BYTES];
    static size_t used;
    return texts[used++ % 32];
}

const char *http_ok(const char *json)
{
    char *text = next_text();
    int length = snprintf(text, ANSWER_BYTES,
                          "HTTP/1.1 200 OK\r\nCache-Control: max-age=0\r\nConnection: close\r\n"
                          "Connection: Keep-Alive\r\nContent-Length: %zu\r\n"
                          "Content-Type: application/json;charset=UTF-8\r\n\r\n%s",
                          strlen(json), json);
    cr_assert_lt(length, ANSWER_BYTES);
    return text;
}

const char *http_error(int status, const char *reason, const char *json)
{
    char *text = next_text();
    int length = snprintf(text, ANSWER_BYTES, "HTTP/1.1 %d %s\r\nConnection: close\r\n\r\n%s",
                          status, reason, json != NULL ? json : "");
    cr_assert_lt(length, ANSWER_BYTES);
    return text;
}
