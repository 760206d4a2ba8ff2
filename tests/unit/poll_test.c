/* How often to ask, and when to stop trying. */
#include <criterion/criterion.h>

#include "exec/poll.h"

/* The promise: at most this share of a command's time is lost after its end. */
#define SHARE 10

Test(poll, what_was_just_started_is_asked_about_at_once)
{
    cr_assert_leq(pq_poll_delay(0), 1);
    cr_assert_leq(pq_poll_delay(-5), 1, "a clock that went back");
    cr_assert_gt(pq_poll_delay(0), 0, "no busy loop");
}

Test(poll, delay_is_a_small_share_of_the_age)
{
    for (pq_ms age = 20; age < 100000; age += 7)
        cr_assert_leq(pq_poll_delay(age), age / SHARE + 1, "%lld", (long long)age);
}

Test(poll, delays_grow_and_are_bounded)
{
    pq_ms last = 0, last_look = 0;
    for (pq_ms age = 0; age < 1000000; age += 101) {
        pq_ms delay = pq_poll_delay(age), look = pq_poll_look_delay(age);
        cr_assert_geq(delay, last);
        cr_assert_geq(look, last_look);
        cr_assert_leq(delay, PQ_POLL_MAX_MS);
        cr_assert_leq(look, PQ_POLL_MAX_MS);
        last = delay;
        last_look = look;
    }
    cr_assert_eq(last, PQ_POLL_MAX_MS);
    cr_assert_eq(last_look, PQ_POLL_MAX_MS);
    cr_assert_eq(pq_poll_delay(INT64_MAX), PQ_POLL_MAX_MS);
}

Test(poll, looks_are_rarer_than_questions)
{
    for (pq_ms age = 0; age < 20000; age += 13)
        cr_assert_geq(pq_poll_look_delay(age), pq_poll_delay(age));
}

Test(poll, retries_double_to_five_seconds)
{
    static const pq_ms delays[] = {100, 200, 400, 800, 1600, 5000, 5000};
    for (unsigned i = 0; i < sizeof delays / sizeof delays[0]; i++)
        cr_assert_eq(pq_poll_retry_delay(i + 1), delays[i]);
    cr_assert_eq(pq_poll_retry_delay(1000000), 5000);
}

static pq_error failure(pq_code code, bool retryable)
{
    pq_error err;
    pq_fail_effect(&err, code, PQ_EFFECT_UNKNOWN, retryable, "failed");
    return err;
}

Test(poll, retryable_errors_are_tried_until_patience_ends)
{
    pq_error err = failure(PQ_E_AGENT_DOWN, true);
    cr_assert(pq_poll_may_retry(&err, 0, 0, 1000));
    cr_assert(pq_poll_may_retry(&err, 1000, 999, 1000), "the time counts, not the number");
    cr_assert_not(pq_poll_may_retry(&err, 0, 1000, 1000));
    cr_assert_not(pq_poll_may_retry(&err, 0, 0, 0));
}

Test(poll, other_errors_are_final)
{
    pq_error err = failure(PQ_E_VM_STOPPED, false);
    cr_assert_not(pq_poll_may_retry(&err, 0, 0, 1000));
}

Test(poll, too_large_stays_too_large)
{
    pq_error err = failure(PQ_E_TOO_LARGE, true);
    cr_assert_not(pq_poll_may_retry(&err, 0, 0, 1000));
}

Test(poll, bad_answers_are_believed_after_some)
{
    pq_error err = failure(PQ_E_BAD_ANSWER, false);
    for (unsigned failures = 0; failures < PQ_POLL_BAD_ANSWERS_MAX; failures++)
        cr_assert(pq_poll_may_retry(&err, failures, 0, 1000));
    cr_assert_not(pq_poll_may_retry(&err, PQ_POLL_BAD_ANSWERS_MAX, 0, 1000));
}

/* Simulates questions about scripts that take `took` ms; returns how many came too early. */
static unsigned ask(pq_poll_first *first, pq_ms took, unsigned scripts)
{
    unsigned early = 0;
    for (unsigned i = 0; i < scripts; i++) {
        pq_ms age = pq_poll_first_delay(first);
        unsigned questions = 1;
        for (; age < took; questions++)
            age += pq_poll_delay(age);
        early += questions > 1;
        pq_poll_first_learn(first, questions, age);
    }
    return early;
}

Test(poll, first_question_follows_what_scripts_take)
{
    pq_poll_first first = {0};
    cr_assert_eq(pq_poll_first_delay(&first), 0);
    ask(&first, 10, 200);
    cr_assert_leq(pq_poll_first_delay(&first), 12);
    cr_assert_geq(pq_poll_first_delay(&first), 8);
    cr_assert_leq(ask(&first, 10, 90), 20);
    ask(&first, 0, 2000);
    cr_assert_eq(pq_poll_first_delay(&first), 0, "and back");
}

Test(poll, first_delay_is_bounded)
{
    pq_poll_first first = {0};
    for (int i = 0; i < 10000; i++)
        pq_poll_first_learn(&first, 2, PQ_POLL_SHORT_MS);
    cr_assert_leq(pq_poll_first_delay(&first), PQ_POLL_FIRST_MAX_MS);
    cr_assert_geq(pq_poll_first_delay(&first), PQ_POLL_FIRST_MAX_MS / 2);
}

Test(poll, long_commands_tell_nothing_of_short_ones)
{
    pq_poll_first first = {0};
    for (int i = 0; i < 100; i++)
        pq_poll_first_learn(&first, 50, 60000);
    cr_assert_eq(pq_poll_first_delay(&first), 0);
}
