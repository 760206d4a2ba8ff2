#include "shim/sink.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Written in one turn of the loop, so that other things get theirs. */
#define TURN_BYTES ((size_t)256 * 1024)

/* Written bytes that may stay at the front of the queue: moving the rest costs time. */
#define COMPACT_BYTES ((size_t)256 * 1024)

void pq_sink_init(pq_sink *sink, pq_loop *loop, int fd, const pq_sink_events *events, void *context)
{
    struct stat info;
    *sink = (pq_sink){.loop = loop, .fd = fd, .events = *events, .context = context};
    sink->regular = fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
}

void pq_sink_done(pq_sink *sink)
{
    pq_watch_stop(&sink->watch);
    pq_defer_stop(&sink->report);
    pq_buf_done(&sink->queue);
    sink->written = 0;
}

size_t pq_sink_length(const pq_sink *sink)
{
    return sink->queue.length - sink->written;
}

pq_buf *pq_sink_queue(pq_sink *sink)
{
    return &sink->queue;
}

void pq_sink_drop(pq_sink *sink)
{
    pq_watch_stop(&sink->watch);
    pq_buf_clear(&sink->queue);
    sink->written = 0;
}

static void report(void *context)
{
    pq_sink *sink = context;
    sink->events.failed(sink->context, &sink->failure);
}

/* With sink->failure filled. */
static void fail(pq_sink *sink)
{
    pq_sink_drop(sink);
    pq_defer_start(sink->loop, &sink->report, report, sink);
}

static bool has_room(const pq_sink *sink)
{
    struct pollfd entry = {.fd = sink->fd, .events = POLLOUT};
    return sink->regular || poll(&entry, 1, 0) > 0;
}

static void compact(pq_sink *sink)
{
    if (sink->written < COMPACT_BYTES && sink->written < sink->queue.length)
        return;
    pq_buf_consume(&sink->queue, sink->written);
    sink->written = 0;
}

static void write_some(pq_sink *sink)
{
    size_t most = sink->regular ? TURN_BYTES : PIPE_BUF;
    for (size_t left = TURN_BYTES; left > 0 && pq_sink_length(sink) > 0 && has_room(sink);) {
        size_t piece = pq_sink_length(sink) < most ? pq_sink_length(sink) : most;
        ssize_t wrote = write(sink->fd, sink->queue.data + sink->written, piece);
        if (wrote < 0 && errno == EAGAIN)
            break;
        if (wrote < 0 && errno != EINTR) {
            pq_fail(&sink->failure, PQ_E_IO, "cannot write: %s", strerror(errno));
            fail(sink);
            return;
        }
        if (wrote > 0) {
            sink->written += (size_t)wrote;
            left -= (size_t)wrote < left ? (size_t)wrote : left;
        }
    }
    compact(sink);
}

static void on_writable(void *context, int events)
{
    pq_sink *sink = context;
    (void)events;
    write_some(sink);
    if (pq_sink_length(sink) == 0)
        pq_watch_stop(&sink->watch);
    sink->events.moved(sink->context);
}

void pq_sink_start(pq_sink *sink)
{
    if (sink->failure.code != PQ_OK)
        pq_sink_drop(sink);
    else if (pq_sink_length(sink) > 0 && !pq_watch_is_running(&sink->watch))
        pq_watch_start(sink->loop, &sink->watch, sink->fd, PQ_WRITABLE, on_writable, sink);
}

void pq_sink_write(pq_sink *sink, const void *bytes, size_t length)
{
    if (sink->failure.code != PQ_OK)
        return;
    if (pq_buf_add(&sink->queue, bytes, length, &sink->failure) < 0) {
        fail(sink);
        return;
    }
    if (!pq_watch_is_running(&sink->watch))
        write_some(sink);
    pq_sink_start(sink);
}
