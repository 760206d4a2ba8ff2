#include "shim/stdin_feed.h"

#include <poll.h>
#include <unistd.h>

#include "transport/base/fd.h"

#define READ_BYTES ((size_t)64 * 1024)

static bool is_ready(int fd)
{
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    return poll(&entry, 1, 0) > 0;
}

int pq_feed_read_early(pq_stdin_feed *feed, int fd, pq_error *err)
{
    feed->fd = fd;
    if (isatty(fd))
        return 0;
    feed->streams = true;
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

void pq_feed_describe(const pq_stdin_feed *feed, pq_job_request *request)
{
    request->input = feed->early.length > 0 ? feed->early.data : NULL;
    request->input_length = feed->early.length;
    request->input_streams = feed->streams;
}

static void on_readable(void *context, int events)
{
    pq_stdin_feed *feed = context;
    char bytes[READ_BYTES];
    pq_error err;
    size_t room = pq_job_input_room(feed->job), got;
    (void)events;
    if (room == 0) {
        pq_watch_stop(&feed->watch);
        return;
    }
    if (pq_read_some(feed->fd, bytes, room < sizeof bytes ? room : sizeof bytes, &got, &err) < 0) {
        pq_watch_stop(&feed->watch);
        pq_error_prefix(&err, "stdin: ");
        feed->failed(feed->context, &err);
    } else if (got == 0) {
        pq_watch_stop(&feed->watch);
        pq_job_input_end(feed->job);
    } else if (pq_job_input(feed->job, bytes, got, &err) < 0) {
        pq_watch_stop(&feed->watch);
        feed->failed(feed->context, &err);
    }
}

void pq_feed_start(pq_stdin_feed *feed, pq_loop *loop, pq_job *job, pq_feed_failed_fn failed,
                   void *context)
{
    pq_buf_done(&feed->early);
    feed->loop = loop;
    feed->job = job;
    feed->failed = failed;
    feed->context = context;
    pq_feed_more(feed);
}

void pq_feed_more(pq_stdin_feed *feed)
{
    if (feed->streams && feed->job != NULL && !pq_watch_is_running(&feed->watch))
        pq_watch_start(feed->loop, &feed->watch, feed->fd, PQ_READABLE, on_readable, feed);
}

void pq_feed_done(pq_stdin_feed *feed)
{
    pq_watch_stop(&feed->watch);
    pq_buf_done(&feed->early);
    feed->job = NULL;
    feed->streams = false;
}
