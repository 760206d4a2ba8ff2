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
