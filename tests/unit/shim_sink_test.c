/*
 * Bytes through a sink to a pipe that is slow, gone, or a file that is full.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shim/sink.h"

static pq_error err;

typedef struct bench {
    pq_loop *loop;
    int pipe[2];
    pq_sink sink;
    pq_watch reader;
    pq_buf received;
    size_t expected; /* stops the loop once that much was received */
    unsigned failures;
    pq_error failure;
} bench;

static void on_moved(void *context)
{
    (void)context;
}

static void on_failed(void *context, const pq_error *failure)
{
    bench *b = context;
    b->failures++;
    b->failure = *failure;
}

static void on_readable(void *context, int events)
{
    bench *b = context;
    char bytes[3000];
    (void)events;
    ssize_t got = read(b->pipe[0], bytes, sizeof bytes);
    cr_assert_gt(got, 0);
    cr_assert_eq(pq_buf_add(&b->received, bytes, (size_t)got, &err), 0);
    if (b->received.length >= b->expected)
        pq_loop_stop(b->loop);
}

static void begin(bench *b, int fd)
{
    static const pq_sink_events events = {.moved = on_moved, .failed = on_failed};
    b->loop = pq_loop_new(&err);
    cr_assert_not_null(b->loop);
    pq_sink_init(&b->sink, b->loop, fd, &events, b);
}

static void begin_pipe(bench *b)
{
    *b = (bench){0};
    cr_assert_eq(pipe(b->pipe), 0);
    begin(b, b->pipe[1]);
}

static void end(bench *b)
{
    pq_watch_stop(&b->reader);
    pq_sink_done(&b->sink);
    pq_loop_free(b->loop);
    pq_buf_done(&b->received);
}

Test(sink, writes_at_once_what_fits)
{
    bench b;
    char got[8];
    begin_pipe(&b);
    pq_sink_write(&b.sink, "abc", 3);
    pq_sink_write(&b.sink, "de", 2);
    cr_expect_eq(pq_sink_length(&b.sink), 0);
    cr_assert_eq(read(b.pipe[0], got, sizeof got), 5);
    cr_expect_eq(memcmp(got, "abcde", 5), 0);
    end(&b);
}

/* The pipe's end is a blocking one: a write too many would hang the test. */
Test(sink, never_blocks_and_keeps_every_byte, .timeout = 60)
{
    bench b;
    const size_t size = 3 * 1024 * 1024 + 17;
    char *bytes = malloc(size);
    cr_assert_not_null(bytes);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)(i * 31 >> 3);
    begin_pipe(&b);
    pq_sink_write(&b.sink, bytes, size / 2);
    pq_sink_write(&b.sink, bytes + size / 2, size - size / 2);
    cr_expect_gt(pq_sink_length(&b.sink), PQ_SINK_HIGH);
    b.expected = size;
    pq_watch_start(b.loop, &b.reader, b.pipe[0], PQ_READABLE, on_readable, &b);
    cr_assert_eq(pq_loop_run(b.loop, &err), 0);
    cr_assert_eq(b.received.length, size);
    cr_expect_eq(memcmp(b.received.data, bytes, size), 0);
    cr_expect_eq(pq_sink_length(&b.sink), 0);
    cr_expect_eq(fcntl(b.pipe[1], F_GETFL) & O_NONBLOCK, 0);
    end(&b);
    free(bytes);
}

Test(sink, queue_can_be_filled_directly, .timeout = 60)
{
    bench b;
    begin_pipe(&b);
    cr_assert_eq(pq_buf_add_text(pq_sink_queue(&b.sink), "queued", &err), 0);
    pq_sink_start(&b.sink);
    b.expected = 6;
    pq_watch_start(b.loop, &b.reader, b.pipe[0], PQ_READABLE, on_readable, &b);
    cr_assert_eq(pq_loop_run(b.loop, &err), 0);
    cr_expect_str_eq(b.received.data, "queued");
    end(&b);
}

Test(sink, tells_once_that_the_reader_is_gone, .timeout = 60)
{
    bench b;
    begin_pipe(&b);
    close(b.pipe[0]);
    pq_sink_write(&b.sink, "x", 1);
    cr_expect_eq(b.failures, 0, "told from inside the write");
    pq_sink_write(&b.sink, "y", 1);
    cr_assert_eq(pq_loop_run(b.loop, &err), 0);
    cr_expect_eq(b.failures, 1);
    cr_expect_eq(b.failure.code, PQ_E_IO);
    pq_sink_write(&b.sink, "z", 1);
    cr_expect_eq(pq_sink_length(&b.sink), 0);
    cr_assert_eq(pq_loop_run(b.loop, &err), 0);
    cr_expect_eq(b.failures, 1);
    end(&b);
}

Test(sink, tells_that_a_device_is_full, .timeout = 60)
{
    bench b = {0};
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    cr_assert_geq(fd, 0);
    begin(&b, fd);
    pq_sink_write(&b.sink, "x", 1);
    cr_assert_eq(pq_loop_run(b.loop, &err), 0);
    cr_expect_eq(b.failures, 1);
    cr_expect_not_null(strstr(b.failure.text, "No space left"), "%s", b.failure.text);
    end(&b);
}
