/*
 * stdin on its way to a target with little room, from pipes and sockets that others share.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shim/stdin_feed.h"

static pq_error err;

typedef struct bench {
    pq_loop *loop;
    int ends[2]; /* ours is ends[0] */
    pq_stdin_feed feed;
    size_t room;
    pq_buf taken;
    size_t wanted; /* the loop stops once that much was taken */
    bool ended, failed;
} bench;

static size_t room(const void *target)
{
    const bench *b = target;
    return b->room;
}

static int input(void *target, const void *bytes, size_t length, pq_error *failure)
{
    bench *b = target;
    cr_assert_leq(length, b->room);
    b->room -= length;
    if (pq_buf_add(&b->taken, bytes, length, failure) < 0)
        return -1;
    if (b->taken.length >= b->wanted)
        pq_loop_stop(b->loop);
    return 0;
}

static void input_end(void *target)
{
    bench *b = target;
    b->ended = true;
    pq_loop_stop(b->loop);
}

static void on_failed(void *context, const pq_error *failure)
{
    bench *b = context;
    cr_log_info("%s", failure->text);
    b->failed = true;
    pq_loop_stop(b->loop);
}

static const pq_feed_target functions = {.room = room, .input = input, .end = input_end};

static void begin(bench *b)
{
    *b = (bench){.loop = pq_loop_new(&err), .room = SIZE_MAX, .wanted = SIZE_MAX};
    cr_assert_not_null(b->loop);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, b->ends), 0);
}

static void start(bench *b)
{
    pq_feed_open(&b->feed, b->ends[0]);
    pq_feed_start(&b->feed, b->loop, &functions, b, on_failed, b);
}

static void send_text(bench *b, const char *text)
{
    cr_assert_eq(write(b->ends[1], text, strlen(text)), (ssize_t)strlen(text));
}

static void run(bench *b)
{
    cr_assert_eq(pq_loop_run(b->loop, &err), 0);
}

static void finish(bench *b)
{
    pq_feed_done(&b->feed);
    pq_loop_free(b->loop);
    pq_buf_done(&b->taken);
    close(b->ends[0]);
    if (b->ends[1] >= 0)
        close(b->ends[1]);
}

static void close_other_end(bench *b)
{
    close(b->ends[1]);
    b->ends[1] = -1;
}

Test(feed, everything_and_then_the_end)
{
    bench b;
    begin(&b);
    start(&b);
    send_text(&b, "some text");
    cr_assert_eq(shutdown(b.ends[1], SHUT_WR), 0);
    run(&b);
    cr_expect_str_eq(b.taken.data, "some text");
    cr_expect(b.ended);
    cr_expect_not(b.failed);
    finish(&b);
}

Test(feed, no_more_than_there_is_room_for)
{
    bench b;
    begin(&b);
    b.room = 4;
    b.wanted = 4;
    start(&b);
    send_text(&b, "some text");
    run(&b);
    cr_expect_str_eq(b.taken.data, "some");
    /* With nothing else to wait for, the loop ends: nothing was read without room. */
    run(&b);
    cr_expect_eq(b.taken.length, 4);
    cr_expect_not(b.ended);
    b.room = 100;
    b.wanted = 9;
    pq_feed_more(&b.feed);
    run(&b);
    cr_expect_str_eq(b.taken.data, "some text");
    finish(&b);
}

Test(feed, the_end_is_told_once)
{
    bench b;
    begin(&b);
    start(&b);
    close_other_end(&b);
    run(&b);
    cr_expect(b.ended);
    b.ended = false;
    pq_feed_more(&b.feed);
    run(&b);
    cr_expect_not(b.ended);
    finish(&b);
}

/* A socket with bytes of ours that nobody read says ECONNRESET. */
Test(feed, a_peer_that_left_is_an_end)
{
    bench b;
    begin(&b);
    start(&b);
    cr_assert_eq(write(b.ends[0], "unread", 6), 6);
    close_other_end(&b);
    run(&b);
    cr_expect(b.ended);
    cr_expect_not(b.failed);
    finish(&b);
}

Test(feed, flags_of_the_descriptor_stay)
{
    bench b;
    begin(&b);
    cr_assert_eq(fcntl(b.ends[0], F_SETFL, O_RDWR | O_NONBLOCK), 0);
    int before = fcntl(b.ends[0], F_GETFL);
    b.wanted = 9;
    start(&b);
    send_text(&b, "some text");
    run(&b);
    cr_expect_str_eq(b.taken.data, "some text");
    cr_expect_eq(fcntl(b.ends[0], F_GETFL), before);
    finish(&b);
}

Test(feed, what_cannot_be_read_is_told)
{
    bench b;
    begin(&b);
    close(b.ends[0]);
    b.ends[0] = open("/", O_RDONLY | O_CLOEXEC);
    start(&b);
    run(&b);
    cr_expect(b.failed);
    cr_expect_not(b.ended);
    finish(&b);
}

Test(feed, what_is_there_early)
{
    bench b;
    begin(&b);
    send_text(&b, "some text");
    cr_assert_eq(pq_feed_read_early(&b.feed, b.ends[0], &err), 0);
    cr_expect_eq(b.feed.early.length, 9);
    cr_expect(b.feed.streams);
    send_text(&b, " and more");
    close_other_end(&b);
    cr_assert_eq(pq_feed_read_early(&b.feed, b.ends[0], &err), 0);
    cr_expect_eq(b.feed.early.length, 18);
    cr_expect_not(b.feed.streams);
    finish(&b);
}
