/* Messages between the client and the server of a control socket. See control.h. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "shim/control/control.h"
#include "transport/base/fd.h"
#include "transport/base/secret.h"

typedef union fd_space {
    struct cmsghdr header; /* aligns it */
    char bytes[CMSG_SPACE(PQ_CONTROL_FDS * sizeof(int))];
} fd_space;

/* ---- sending ---- */

static void attach(struct msghdr *packet, fd_space *space, const int *fds)
{
    memset(space, 0, sizeof *space);
    packet->msg_control = space->bytes;
    packet->msg_controllen = sizeof space->bytes;
    struct cmsghdr *header = CMSG_FIRSTHDR(packet);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(PQ_CONTROL_FDS * sizeof(int));
    memcpy(CMSG_DATA(header), fds, PQ_CONTROL_FDS * sizeof(int));
}

int pq_control_send(int fd, pq_control_kind kind, const void *body, size_t length, const int *fds,
                    pq_error *err)
{
    unsigned char number = (unsigned char)kind;
    struct iovec parts[] = {{&number, sizeof number}, {(void *)body, length}};
    struct msghdr packet = {.msg_iov = parts, .msg_iovlen = 2};
    fd_space space;
    ssize_t sent;
    if (fds != NULL)
        attach(&packet, &space, fds);
    do
        sent = sendmsg(fd, &packet, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent < 0)
        return pq_fail(err, PQ_E_IO, "cannot write to the control socket: %s", strerror(errno));
    return 0;
}

int pq_control_send_number(int fd, pq_control_kind kind, int number, pq_error *err)
{
    return pq_control_send(fd, kind, &number, sizeof number, NULL, err);
}

int pq_control_send_text(int fd, pq_control_kind kind, const char *text, pq_error *err)
{
    return pq_control_send(fd, kind, text, strlen(text), NULL, err);
}

/* ---- receiving ---- */

/* What does not fit into `message` is closed at once. */
static bool take_fds(struct msghdr *packet, pq_control_message *message)
{
    bool good = (packet->msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(packet); header != NULL;
         header = CMSG_NXTHDR(packet, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
            if (i < PQ_CONTROL_FDS && message->fds[i] < 0)
                message->fds[i] = fd;
            else
                pq_close(&fd);
        }
    }
    return good;
}

/* A connection that is closed with something unread says so once, before what it had sent. */
static ssize_t receive(int fd, struct msghdr *packet)
{
    bool was_reset = false;
    for (;;) {
        size_t space = packet->msg_controllen;
        ssize_t got = recvmsg(fd, packet, MSG_CMSG_CLOEXEC);
        if (got >= 0 || (errno != EINTR && (errno != ECONNRESET || was_reset)))
            return got;
        was_reset = errno == ECONNRESET;
        packet->msg_controllen = space;
    }
}

int pq_control_receive(int fd, pq_control_message *ret, pq_error *err)
{
    unsigned char kind = PQ_CONTROL_NOTHING;
    struct iovec parts[] = {{&kind, sizeof kind}, {ret->body, PQ_CONTROL_BODY_MAX}};
    fd_space space;
    struct msghdr packet = {.msg_iov = parts,
                            .msg_iovlen = 2,
                            .msg_control = space.bytes,
                            .msg_controllen = sizeof space.bytes};
    ret->kind = PQ_CONTROL_NOTHING;
    ret->length = 0;
    for (size_t i = 0; i < PQ_CONTROL_FDS; i++)
        ret->fds[i] = -1;
    ssize_t got = receive(fd, &packet);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return 0;
    if (got < 0 && errno != ECONNRESET)
        return pq_fail(err, PQ_E_IO, "cannot read from the control socket: %s", strerror(errno));
    if (got <= 0) {
        ret->kind = PQ_CONTROL_GONE;
        return 0;
    }
    ret->length = (size_t)got - 1;
    ret->body[ret->length] = '\0';
    if (!take_fds(&packet, ret) || kind <= PQ_CONTROL_GONE || kind > PQ_CONTROL_STATUS) {
        pq_control_message_done(ret);
        return pq_fail(err, PQ_E_IO, "what came through the control socket is no message");
    }
    ret->kind = kind;
    return 0;
}

void pq_control_message_done(pq_control_message *message)
{
    for (size_t i = 0; i < PQ_CONTROL_FDS; i++)
        pq_close(&message->fds[i]);
    pq_wipe(message->body, message->length);
}

int pq_control_number(const pq_control_message *message)
{
    int number = -1;
    if (message->length == sizeof number)
        memcpy(&number, message->body, sizeof number);
    return number;
}
