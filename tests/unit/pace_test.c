/* How the size and the number of a transfer's pieces follow what is measured. */
#include <criterion/criterion.h>

#include "exec/pace.h"

#define KIB ((size_t)1024)

/* A server: bytes per ms that pieces of some size make, with so many in flight. */
typedef double (*speed_fn)(size_t piece, unsigned window);

static pq_pace pace;
static pq_ms now;
static double clock_ms;
static size_t moved;

static void setup(void)
{
    now = 1000;
    clock_ms = 1000;
    moved = 0;
    pq_pace_init(&pace, 64 * KIB, 512 * KIB, 128 * KIB, 3);
}

TestSuite(pace, .init = setup);

/* Pieces as they come from a server that does one after the other. */
static void go_on(unsigned pieces, speed_fn speed)
{
    for (unsigned i = 0; i < pieces; i++) {
        size_t bytes = pace.piece;
        double took = (double)bytes / speed(bytes, pace.window);
        clock_ms += took;
        now = (pq_ms)clock_ms;
        moved += bytes;
        pq_pace_done(&pace, bytes, (pq_ms)(took * pace.window), now);
        cr_assert_geq(pace.piece, pace.smallest);
        cr_assert_leq(pace.piece, pace.largest);
        cr_assert_geq(pace.window, 1);
        cr_assert_leq(pace.window, pace.window_max);
    }
}

static void transfer(unsigned pieces, speed_fn speed)
{
    pq_pace_begin(&pace);
    go_on(pieces, speed);
}

/* To a moment at which nothing is being tried. */
static void settle(speed_fn speed)
{
    for (unsigned i = 0; pace.rest_left == 0; i++) {
        cr_assert_lt(i, 1000);
        go_on(1, speed);
    }
}

/* Fixed costs of a call and a reader that is quadratic: ms a piece. */
static double reader(size_t piece, double call_ms, double quadratic)
{
    double kib = (double)piece / 1024;
    return (double)piece / (call_ms + kib * kib * quadratic);
}

static double likes_small(size_t piece, unsigned window)
{
    (void)window;
    return reader(piece, 5, 0.0012);
}

static double likes_large(size_t piece, unsigned window)
{
    (void)window;
    return reader(piece, 100, 0.0004);
}

static double likes_middle(size_t piece, unsigned window)
{
    (void)window;
    return reader(piece, 20, 0.0006);
}

static double likes_two(size_t piece, unsigned window)
{
    return likes_middle(piece, window) * (window == 2 ? 1.3 : 1.0);
}

static double likes_many(size_t piece, unsigned window)
{
    return likes_middle(piece, window) * window;
}

static size_t best_size(speed_fn speed)
{
    static const size_t sizes[] = {64, 96, 128, 192, 256, 384, 512};
    size_t best = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        if (best == 0 || speed(sizes[i] * KIB, 3) > speed(best, 3))
            best = sizes[i] * KIB;
    }
    return best;
}

static void must_be_near_the_best(speed_fn speed)
{
    cr_assert_gt(speed(pace.piece, pace.window), 0.9 * speed(best_size(speed), pace.window),
                 "%zu, best is %zu", pace.piece, best_size(speed));
}

Test(pace, finds_the_size)
{
    static const speed_fn speeds[] = {likes_small, likes_large, likes_middle};
    for (size_t i = 0; i < 3; i++) {
        for (size_t start = 64; start <= 512; start *= 2) {
            pq_pace_init(&pace, 64 * KIB, 512 * KIB, start * KIB, 3);
            transfer(200, speeds[i]);
            settle(speeds[i]);
            must_be_near_the_best(speeds[i]);
        }
    }
}

Test(pace, looking_for_it_costs_little)
{
    double begin = clock_ms;
    pace.piece = best_size(likes_middle);
    transfer(5000, likes_middle);
    double rate = (double)moved / (clock_ms - begin);
    cr_assert_gt(rate, 0.97 * likes_middle(best_size(likes_middle), 3));
}

Test(pace, follows_a_server_that_changes)
{
    transfer(300, likes_small);
    transfer(1500, likes_large);
    must_be_near_the_best(likes_large);
    transfer(1500, likes_small);
    must_be_near_the_best(likes_small);
}

static double noisy(size_t piece, unsigned window)
{
    static unsigned state = 1;
    state = state * 1103515245 + 12345;
    return likes_middle(piece, window) * (0.8 + 0.4 * (state >> 16 & 1023) / 1024);
}

Test(pace, noise_does_not_lead_away)
{
    transfer(2000, noisy);
    cr_assert_gt(likes_middle(pace.piece, 3), 0.75 * likes_middle(best_size(likes_middle), 3));
}

Test(pace, fewer_in_flight_where_that_is_as_good)
{
    transfer(200, likes_two);
    settle(likes_two);
    cr_assert_eq(pace.window, 2);
}

Test(pace, more_in_flight_where_that_is_better)
{
    pace.window = 2;
    transfer(200, likes_many);
    settle(likes_many);
    cr_assert_eq(pace.window, 3);
}

Test(pace, never_one_in_flight)
{
    for (unsigned i = 0; i < 1000; i++) {
        go_on(1, likes_middle);
        cr_assert_geq(pace.window, 2);
    }
}

Test(pace, one_in_flight_is_all_that_is_allowed)
{
    pq_pace_limit(&pace, 512 * KIB, 1);
    transfer(500, likes_middle);
    cr_assert_eq(pace.window, 1);
}

Test(pace, only_the_number_changes)
{
    pq_pace_init(&pace, 1000, 1000, 1000, 3);
    transfer(500, likes_two);
    cr_assert_eq(pace.piece, 1000);
    pq_pace_timed_out(&pace, 1000);
    cr_assert_eq(pace.piece, 1000);
    cr_assert_eq(pace.window, 2);
}

Test(pace, limit_of_a_backend)
{
    pq_pace_limit(&pace, 100 * KIB, 8);
    cr_assert_eq(pace.piece, 100 * KIB);
    cr_assert_eq(pace.window, 3, "more are tried, not taken for granted");
    pq_pace_limit(&pace, 5000, 2);
    cr_assert_eq(pace.piece, 5000);
    cr_assert_eq(pace.window, 2);
    transfer(300, likes_large);
    cr_assert_eq(pace.piece, 5000);
}

/* ---- slow ports ---- */

Test(pace, hint_of_a_slow_port)
{
    pq_pace_hint(&pace, 30);
    cr_assert_eq(pace.piece, 128 * KIB);
    pq_pace_hint(&pace, 200);
    cr_assert_eq(pace.piece, 256 * KIB);
    pq_pace_limit(&pace, 128 * KIB, 3);
    pq_pace_hint(&pace, 200);
    cr_assert_eq(pace.piece, 128 * KIB, "within the limits");
}

Test(pace, what_was_measured_counts_more_than_a_hint)
{
    transfer(200, likes_small);
    size_t piece = pace.piece;
    pq_pace_hint(&pace, 200);
    cr_assert_eq(pace.piece, piece);
}

/* ---- measurements ---- */

Test(pace, nothing_changes_before_enough_was_seen)
{
    transfer(11, likes_middle);
    cr_assert_eq(pace.piece, 128 * KIB);
    transfer(11, likes_middle);
    cr_assert_eq(pace.piece, 128 * KIB, "a pause ends a measurement");
    transfer(12, likes_middle);
    cr_assert_neq(pace.piece, 128 * KIB);
}

Test(pace, pause_is_not_slowness)
{
    for (unsigned i = 0; i < 100; i++) {
        transfer(30, likes_middle);
        clock_ms += 10000;
    }
    settle(likes_middle);
    must_be_near_the_best(likes_middle);
}

Test(pace, pieces_in_no_time)
{
    for (unsigned i = 0; i < 1000; i++)
        pq_pace_done(&pace, pace.piece, 0, now);
    cr_assert_geq(pace.piece, pace.smallest);
}

/* ---- time-outs ---- */

Test(pace, slow_piece_makes_them_smaller)
{
    pace.piece = 512 * KIB;
    pq_pace_done(&pace, 512 * KIB, PQ_PACE_SLOW_MS + 1, now);
    cr_assert_eq(pace.piece, 256 * KIB);
    /* The others that were on their way with it. */
    pq_pace_done(&pace, 512 * KIB, PQ_PACE_SLOW_MS + 1, now);
    pq_pace_timed_out(&pace, 512 * KIB);
    cr_assert_eq(pace.piece, 256 * KIB, "once");
    pq_pace_timed_out(&pace, 256 * KIB);
    cr_assert_eq(pace.piece, 128 * KIB);
}

Test(pace, smallest_is_the_end)
{
    for (unsigned i = 0; i < 20; i++)
        pq_pace_timed_out(&pace, pace.piece);
    cr_assert_eq(pace.piece, 64 * KIB);
    cr_assert_eq(pace.window, 2);
}

Test(pace, short_pieces_tell_nothing_of_size)
{
    pq_pace_timed_out(&pace, 1000);
    cr_assert_eq(pace.piece, 128 * KIB);
}

Test(pace, recovers_from_a_slow_moment)
{
    pace.piece = 512 * KIB;
    for (unsigned i = 0; i < 3; i++)
        pq_pace_timed_out(&pace, pace.piece);
    transfer(1000, likes_large);
    must_be_near_the_best(likes_large);
}

/* ---- the meter ---- */

Test(pace, tells_the_speed)
{
    cr_assert_eq(pq_pace_rate(&pace), 0);
    go_on(100, likes_middle);
    double speed = likes_middle(pace.piece, 3);
    cr_assert_gt(pq_pace_rate(&pace), 0.8 * speed);
    cr_assert_lt(pq_pace_rate(&pace), 1.25 * speed);
}

Test(pace, pauses_do_not_count_as_slow)
{
    pace.smallest = pace.largest = pace.piece;
    for (unsigned i = 0; i < 50; i++) {
        transfer(3, likes_middle);
        clock_ms += 1000;
    }
    double speed = likes_middle(pace.piece, 3);
    cr_assert_gt(pq_pace_rate(&pace), 0.5 * speed, "the first piece of each is on its way longer");
    cr_assert_lt(pq_pace_rate(&pace), 1.1 * speed);
}

Test(pace, speed_follows)
{
    pace.smallest = pace.largest = pace.piece;
    go_on(200, likes_small);
    go_on(300, likes_large);
    double speed = likes_large(pace.piece, 3);
    cr_assert_gt(pq_pace_rate(&pace), 0.9 * speed);
    cr_assert_lt(pq_pace_rate(&pace), 1.1 * speed);
}

Test(pace, calls_that_cost_much_are_as_large_as_allowed)
{
    pq_pace_cost(&pace, 800);
    cr_expect_eq(pace.piece, 512 * KIB);
    for (unsigned i = 0; i < 20; i++)
        pq_pace_done(&pace, 512 * KIB, PQ_PACE_SLOW_MS + 1600, now += 1000);
    cr_expect_eq(pace.piece, 512 * KIB);
    cr_expect_geq(pace.window, 2);
}
