/* Timers, deferred calls, signals and the life of the loop. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "transport/loop/loop.h"

static pq_loop *loop;
static pq_error err;
static char calls[64]; /* a letter for each callback that ran */

static void setup(void)
{
    loop = pq_loop_new(&err);
    cr_assert_not_null(loop, "%s", err.text);
}

static void teardown(void)
{
    pq_loop_free(loop);
}

TestSuite(loop, .init = setup, .fini = teardown, .timeout = 10);

static void run(void)
{
    cr_assert_eq(pq_loop_run(loop, &err), 0, "%s", err.text);
}

/* The context that makes note() write `name`. */
static char *letter(char name)
{
    static char letters[128];

    letters[(unsigned char)name] = name;
    return &letters[(unsigned char)name];
}

static void note(void *context)
{
    size_t length = strlen(calls);

    cr_assert_lt(length + 1, sizeof calls);
    calls[length] = *(const char *)context;
}

/* ---- timers ---- */

Test(loop, timers_fire_by_deadline_then_by_start)
{
    pq_timer timers[6] = {0};
    static const pq_ms delays[] = {8, 0, 4, 4, -5, 0};
    static char names[] = "abcdef";

    for (size_t i = 0; i < 6; i++)
        pq_timer_start(loop, &timers[i], delays[i], note, &names[i]);
    cr_assert_str_empty(calls, "a callback ran from inside the start");
    run();
    cr_assert_str_eq(calls, "befcda");
    for (size_t i = 0; i < 6; i++)
        cr_assert_not(pq_timer_is_running(&timers[i]));
}

Test(loop, timer_does_not_fire_early)
{
    pq_timer timer = {0};
    pq_ms start = pq_now();

    pq_timer_start(loop, &timer, 20, note, letter('a'));
    run();
    cr_assert_geq(pq_now() - start, 20);
    cr_assert_str_eq(calls, "a");
}

Test(loop, restart_moves_a_timer)
{
    pq_timer timers[2] = {0};

    pq_timer_start(loop, &timers[0], 60000, note, letter('a'));
    pq_timer_start(loop, &timers[1], 3, note, letter('b'));
    pq_timer_start(loop, &timers[0], 0, note, letter('c'));
    run();
    cr_assert_str_eq(calls, "cb");
}

struct victim {
    pq_timer timer;
    pq_watch watch;
    char name;
};

static void kill_victim(void *context)
{
    struct victim **victims = context;

    note(letter('k'));
    pq_timer_stop(&victims[0]->timer);
    free(victims[0]);
    victims[0] = NULL;
}

static void die(void *context)
{
    note(&((struct victim *)context)->name);
    free(context);
}

Test(loop, timer_may_free_itself_and_others_that_are_due)
{
    pq_timer killer = {0};
    struct victim *killed = calloc(1, sizeof *killed);
    struct victim *suicide = calloc(1, sizeof *suicide);

    suicide->name = 's';
    pq_timer_start(loop, &suicide->timer, 0, die, suicide);
    pq_timer_start(loop, &killer, 0, kill_victim, &killed);
    pq_timer_start(loop, &killed->timer, 0, die, killed);
    run();
    cr_assert_str_eq(calls, "sk");
}

static pq_timer ticker;

static void tick(void *context)
{
    (void)context;
    pq_timer_start(loop, &ticker, 0, tick, NULL);
}

static void stop_loop(void *context)
{
    note(context);
    pq_loop_stop(loop);
}

static void stop_on_ready(void *context, int events)
{
    (void)events;
    stop_loop(context);
}

Test(loop, timer_that_restarts_itself_starves_nobody)
{
    int pair[2];
    pq_watch watch = {0};
    pq_timer later = {0};

    cr_assert_eq(pipe(pair), 0);
    tick(NULL);
    pq_watch_start(loop, &watch, pair[1], PQ_WRITABLE, stop_on_ready, letter('w'));
    run();
    pq_watch_stop(&watch);
    pq_timer_start(loop, &later, 2, stop_loop, letter('t'));
    run();
    cr_assert_str_eq(calls, "wt");
    pq_timer_stop(&ticker);
    close(pair[0]);
    close(pair[1]);
}

Test(loop, stop_leaves_the_rest_for_the_next_run)
{
    pq_timer timers[4] = {0};

    pq_timer_start(loop, &timers[0], 0, note, letter('a'));
    pq_timer_start(loop, &timers[1], 0, stop_loop, letter('b'));
    pq_timer_start(loop, &timers[2], 0, note, letter('c'));
    pq_timer_start(loop, &timers[3], 0, note, letter('d'));
    run();
    cr_assert_str_eq(calls, "ab");
    cr_assert(pq_timer_is_running(&timers[2]));
    run();
    cr_assert_str_eq(calls, "abcd");
}

Test(loop, stop_before_run_counts)
{
    pq_timer timer = {0};

    pq_timer_start(loop, &timer, 0, note, letter('a'));
    pq_loop_stop(loop);
    run();
    cr_assert_str_empty(calls);
    pq_timer_stop(&timer);
}

Test(loop, ends_when_nothing_can_happen)
{
    pq_timer never = {0};

    run();
    pq_timer_start(loop, &never, PQ_NEVER, note, letter('n'));
    run();
    cr_assert(pq_timer_is_running(&never));
    pq_timer_stop(&never);
    pq_timer_stop(&never);
    cr_assert_str_empty(calls);
}

Test(loop, thousand_timers)
{
    static pq_timer timers[1000];
    static char name = 'x';
    int stopped = 0;

    for (size_t i = 0; i < 1000; i++)
        pq_timer_start(loop, &timers[i], 60000, note, &name);
    for (size_t i = 0; i < 1000; i++)
        if (i % 20 != 0) {
            pq_timer_stop(&timers[i]);
            stopped++;
        } else {
            pq_timer_start(loop, &timers[i], 0, note, &name);
        }
    run();
    cr_assert_eq(strlen(calls), (size_t)(1000 - stopped));
}

/* ---- deferred calls ---- */

Test(loop, deferred_call_runs_once_from_the_loop)
{
    pq_defer defers[2] = {0};

    pq_defer_start(loop, &defers[0], note, letter('a'));
    pq_defer_start(loop, &defers[0], note, letter('b'));
    pq_defer_start(loop, &defers[1], note, letter('c'));
    pq_defer_stop(&defers[1]);
    cr_assert_str_empty(calls);
    run();
    cr_assert_str_eq(calls, "a");
    pq_defer_start(loop, &defers[0], note, letter('d'));
    run();
    cr_assert_str_eq(calls, "ad");
}

/* ---- signals ---- */

Test(loop, broken_pipe_does_not_kill)
{
    int fds[2];

    cr_assert_eq(pipe(fds), 0);
    close(fds[0]);
    cr_assert_eq(write(fds[1], "x", 1), -1);
    close(fds[1]);
}

/* The third one stops the loop. */
static void on_signal(void *context, int number)
{
    cr_assert_eq(number, SIGUSR1);
    note(context);
    if (strlen(calls) == 3)
        pq_loop_stop(loop);
}

static void raise_signal(void *context)
{
    (void)context;
    raise(SIGUSR1);
}

Test(loop, signals_are_called_from_the_loop)
{
    pq_timer raiser = {0};
    pq_timer waits = {0};

    cr_assert_eq(pq_loop_on_signal(loop, SIGUSR1, on_signal, letter('s'), &err), 0, "%s", err.text);
    run(); /* a handler alone keeps nothing running */
    raise(SIGUSR1);
    raise(SIGUSR1);
    cr_assert_str_empty(calls);
    pq_timer_start(loop, &raiser, 1, raise_signal, NULL);
    pq_timer_start(loop, &waits, 60000, note, letter('t'));
    run();
    cr_assert_str_eq(calls, "sss");
    pq_timer_stop(&waits);
}

Test(loop, signal_default_comes_back)
{
    struct sigaction action;

    cr_assert_eq(pq_loop_on_signal(loop, SIGUSR1, on_signal, letter('s'), &err), 0);
    cr_assert_eq(pq_loop_on_signal(loop, SIGUSR1, NULL, NULL, &err), 0);
    cr_assert_eq(sigaction(SIGUSR1, NULL, &action), 0);
    cr_assert_eq(action.sa_handler, SIG_DFL);
}

Test(loop, signals_belong_to_one_loop)
{
    pq_loop *other = pq_loop_new(&err);
    struct sigaction action;

    cr_assert_eq(pq_loop_on_signal(other, SIGUSR1, on_signal, letter('s'), &err), 0);
    cr_assert_eq(pq_loop_on_signal(loop, SIGUSR1, on_signal, letter('s'), &err), -1);
    cr_assert_eq(err.code, PQ_E_INTERNAL);
    pq_loop_free(other);
    cr_assert_eq(sigaction(SIGUSR1, NULL, &action), 0);
    cr_assert_eq(action.sa_handler, SIG_DFL);
    cr_assert_eq(pq_loop_on_signal(loop, SIGUSR1, on_signal, letter('s'), &err), 0);
    cr_assert_eq(pq_loop_on_signal(loop, SIGKILL, on_signal, letter('s'), &err), -1);
    cr_assert_eq(pq_loop_on_signal(loop, 4711, on_signal, letter('s'), &err), -1);
}
