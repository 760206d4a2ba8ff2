#include "shim/stdin_feed.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "transport/base/fd.h"

#define READ_BYTES ((size_t)64 * 1024)

static bool is_ready(int fd)
{
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    return poll(&entry, 1, 0) > 0;
}

void pq_feed_open(pq_stdin_feed *feed, int fd)
{
    feed->fd = fd;
    feed->streams = true;
}

int pq_feed_read_early(pq_stdin_feed *feed, int fd, pq_error *err)
{
    pq_feed_open(feed, fd);
    while (feed->early.length < PQ_FEED_EARLY_BYTES && is_ready(fd)) {
        size_t got;
        if (pq_buf_reserve(&feed->early, READ_BYTES, err) < 0)
            return -1;
        if (pq_read_some(fd, feed->early.data + feed->early.length, READ_BYTES, &got, err) < 0)
            return pq_error_prefix(err, "stdin: ");
        feed->early.length += got;
        if (got == 0) {
            feed->streams = false;
            break;
        }
    }
    return 0;
}

/* 1 with some bytes, 0 at the end, -1 with an error. A descriptor that is not blocking may have
 * lost what made it readable to another process; a socket whose other end is gone with bytes of
 * ours unread says so instead of its end. */
static int read_some(pq_stdin_feed *feed, char *bytes, size_t size, size_t *ret_length,
                     pq_error *err)
{
    ssize_t got = read(feed->fd, bytes, size);
    *ret_length = got > 0 ? (size_t)got : 0;
    if (got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR)))
        return 1;
    return got == 0 || errno == ECONNRESET
               ? 0
               : pq_fail(err, PQ_E_IO, "stdin: cannot read: %s", strerror(errno));
}

static void on_readable(void *context, int events)
{
    pq_stdin_feed *feed = context;
    char bytes[READ_BYTES];
    pq_error err;
    size_t room = feed->functions.room(feed->target), got = 0;
    (void)events;
    if (room == 0) {
        pq_watch_stop(&feed->watch);
        return;
    }
    int result = read_some(feed, bytes, room < sizeof bytes ? room : sizeof bytes, &got, &err);
    if (result > 0 && got > 0 && feed->functions.input(feed->target, bytes, got, &err) < 0)
        result = -1;
    if (result > 0)
        return;
    pq_watch_stop(&feed->watch);
    feed->streams = false;
    if (result == 0)
        feed->functions.end(feed->target);
    else
        feed->failed(feed->context, &err);
}

void pq_feed_start(pq_stdin_feed *feed, pq_loop *loop, const pq_feed_target *functions,
                   void *target, pq_feed_failed_fn failed, void *context)
{
    pq_buf_done(&feed->early);
    feed->loop = loop;
    feed->functions = *functions;
    feed->target = target;
    feed->failed = failed;
    feed->context = context;
    pq_feed_more(feed);
}

void pq_feed_more(pq_stdin_feed *feed)
{
    if (feed->streams && feed->target != NULL && !pq_watch_is_running(&feed->watch))
        pq_watch_start(feed->loop, &feed->watch, feed->fd, PQ_READABLE, on_readable, feed);
}

void pq_feed_done(pq_stdin_feed *feed)
{
    pq_watch_stop(&feed->watch);
    pq_buf_done(&feed->early);
    feed->target = NULL;
    feed->streams = false;
}
