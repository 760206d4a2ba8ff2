/* Descriptors in the loop. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "transport/loop/loop.h"

static pq_loop *loop;
static pq_error err;

static void setup(void)
{
    loop = pq_loop_new(&err);
    cr_assert_not_null(loop, "%s", err.text);
}

static void teardown(void)
{
    pq_loop_free(loop);
}

TestSuite(loop_watch, .init = setup, .fini = teardown, .timeout = 10);

static void run(void)
{
    cr_assert_eq(pq_loop_run(loop, &err), 0, "%s", err.text);
}

struct port {
    pq_watch watch;
    int fds[2];
    int events; /* of the last call */
    int count;
    struct port *other; /* stopped by stop_other() */
};

static void open_port(struct port *port)
{
    *port = (struct port){0};
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, port->fds), 0);
}

static void close_port(struct port *port)
{
    pq_watch_stop(&port->watch);
    close(port->fds[0]);
    close(port->fds[1]);
}

static void on_port(void *context, int events)
{
    struct port *port = context;

    port->events = events;
    port->count++;
    pq_watch_stop(&port->watch);
}

static void stop_other(void *context, int events)
{
    struct port *port = context;

    on_port(port, events);
    pq_watch_stop(&port->other->watch);
}

Test(loop_watch, watch_reports_what_it_waits_for)
{
    struct port port;

    open_port(&port);
    pq_watch_start(loop, &port.watch, port.fds[0], PQ_READABLE | PQ_WRITABLE, on_port, &port);
    cr_assert_eq(port.count, 0);
    run();
    cr_assert_eq(port.events, PQ_WRITABLE);

    cr_assert_eq(write(port.fds[1], "x", 1), 1);
    pq_watch_start(loop, &port.watch, port.fds[0], PQ_READABLE | PQ_WRITABLE, on_port, &port);
    run();
    cr_assert_eq(port.events, PQ_READABLE | PQ_WRITABLE);

    pq_watch_start(loop, &port.watch, port.fds[0], PQ_READABLE, on_port, &port);
    run();
    cr_assert_eq(port.events, PQ_READABLE);
    cr_assert_eq(port.count, 3);
    close_port(&port);
}

static void write_to_port(void *context)
{
    cr_assert_eq(write(((struct port *)context)->fds[1], "x", 1), 1);
}

Test(loop_watch, watch_waits)
{
    struct port port;
    pq_timer timer = {0};

    open_port(&port);
    pq_watch_start(loop, &port.watch, port.fds[0], PQ_READABLE, on_port, &port);
    cr_assert(pq_watch_is_running(&port.watch));
    pq_timer_start(loop, &timer, 5, write_to_port, &port);
    run();
    cr_assert_eq(port.count, 1);
    cr_assert_not(pq_timer_is_running(&timer));
    close_port(&port);
}

Test(loop_watch, watch_is_level_triggered)
{
    struct port port;
    pq_timer timer = {0};

    open_port(&port);
    write_to_port(&port);
    for (int i = 1; i <= 3; i++) {
        pq_watch_start(loop, &port.watch, port.fds[0], PQ_READABLE, on_port, &port);
        run();
        cr_assert_eq(port.count, i);
    }
    pq_watch_start(loop, &port.watch, port.fds[0], 0, on_port, &port);
    cr_assert_not(pq_watch_is_running(&port.watch), "a watch for no events runs");
    pq_timer_stop(&timer);
    close_port(&port);
}

Test(loop_watch, hang_up_and_error_are_readiness)
{
    int fds[2];
    struct port port = {0};

    cr_assert_eq(pipe(fds), 0);
    close(fds[1]);
    pq_watch_start(loop, &port.watch, fds[0], PQ_READABLE, on_port, &port);
    run();
    cr_assert_eq(port.events, PQ_READABLE, "a pipe without a writer");
    close(fds[0]);

    cr_assert_eq(pipe(fds), 0);
    while (fcntl(fds[1], F_SETFL, O_NONBLOCK) == 0 && write(fds[1], "fill", 4) > 0)
        continue;
    close(fds[0]);
    pq_watch_start(loop, &port.watch, fds[1], PQ_WRITABLE, on_port, &port);
    run();
    cr_assert_eq(port.events, PQ_WRITABLE, "a pipe without a reader");
    close(fds[1]);
}

Test(loop_watch, regular_file_is_always_ready)
{
    FILE *file = tmpfile();
    struct port port = {0};

    pq_watch_start(loop, &port.watch, fileno(file), PQ_READABLE, on_port, &port);
    run();
    cr_assert_eq(port.events, PQ_READABLE);
    fclose(file);
}

Test(loop_watch, watch_stopped_in_the_same_turn_is_not_called)
{
    struct port ports[2];

    for (size_t i = 0; i < 2; i++) {
        open_port(&ports[i]);
        write_to_port(&ports[i]);
        ports[i].other = &ports[1 - i];
        pq_watch_start(loop, &ports[i].watch, ports[i].fds[0], PQ_READABLE, stop_other, &ports[i]);
    }
    run();
    cr_assert_eq(ports[0].count + ports[1].count, 1);
    close_port(&ports[0]);
    close_port(&ports[1]);
}

static void free_on_ready(void *context, int events)
{
    pq_watch *watch = context;

    (void)events;
    pq_watch_stop(watch);
    free(watch);
}

Test(loop_watch, watch_may_free_itself)
{
    struct port port;
    pq_watch *watch = calloc(1, sizeof *watch);

    open_port(&port);
    pq_watch_start(loop, watch, port.fds[0], PQ_WRITABLE, free_on_ready, watch);
    run(); /* ends, as nothing is watched any more */
    close_port(&port);
}

static void stop_loop(void *context, int events)
{
    on_port(context, events);
    pq_loop_stop(loop);
}

Test(loop_watch, stop_keeps_the_rest_for_the_next_run)
{
    struct port ports[2];

    for (size_t i = 0; i < 2; i++) {
        open_port(&ports[i]);
        pq_watch_start(loop, &ports[i].watch, ports[i].fds[0], PQ_WRITABLE, stop_loop, &ports[i]);
    }
    run();
    cr_assert_eq(ports[0].count + ports[1].count, 1);
    run();
    cr_assert_eq(ports[0].count + ports[1].count, 2);
    close_port(&ports[0]);
    close_port(&ports[1]);
}

Test(loop_watch, many_watches)
{
    enum { COUNT = 200 };
    static struct port ports[COUNT];

    for (size_t i = 0; i < COUNT; i++) {
        open_port(&ports[i]);
        pq_watch_start(loop, &ports[i].watch, ports[i].fds[0], PQ_READABLE, on_port, &ports[i]);
        if (i % 3 == 0)
            pq_watch_stop(&ports[i].watch);
        write_to_port(&ports[i]);
    }
    run();
    for (size_t i = 0; i < COUNT; i++) {
        cr_assert_eq(ports[i].count, i % 3 == 0 ? 0 : 1);
        close_port(&ports[i]);
    }
}

Test(loop_watch, closed_descriptor_is_an_error)
{
    struct port port;

    open_port(&port);
    pq_watch_start(loop, &port.watch, port.fds[0], PQ_READABLE, on_port, &port);
    close(port.fds[0]);
    cr_assert_eq(pq_loop_run(loop, &err), -1);
    cr_assert_eq(err.code, PQ_E_INTERNAL);
    pq_watch_stop(&port.watch);
    close(port.fds[1]);
}
