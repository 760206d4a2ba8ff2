#include <criterion/criterion.h>

#include "transport/base/clock.h"

Test(clock, never_goes_back)
{
    int64_t before = pq_now_us();
    for (int i = 0; i < 1000; i++) {
        int64_t now = pq_now_us();
        cr_assert_geq(now, before);
        before = now;
    }
}

Test(clock, milliseconds_are_microseconds_by_a_thousand)
{
    int64_t before = pq_now_us();
    pq_ms now = pq_now();
    int64_t after = pq_now_us();
    cr_assert_leq(before / 1000, now);
    cr_assert_leq(now, after / 1000);
}

Test(clock, deadline)
{
    cr_assert_eq(pq_deadline(1000, 500), 1500);
    cr_assert_eq(pq_deadline(1000, 0), 1000);
    cr_assert_eq(pq_deadline(0, 0), 0);
}

Test(clock, deadline_that_never_comes)
{
    cr_assert_eq(pq_deadline(1000, -1), PQ_NEVER);
    cr_assert_eq(pq_deadline(1000, INT64_MIN), PQ_NEVER);
    cr_assert_eq(pq_deadline(1000, PQ_NEVER), PQ_NEVER);
    cr_assert_eq(pq_deadline(PQ_NEVER, 0), PQ_NEVER);
    cr_assert_eq(pq_deadline(PQ_NEVER, 1), PQ_NEVER);
    cr_assert_eq(pq_deadline(1, PQ_NEVER - 1), PQ_NEVER);
    cr_assert_eq(pq_deadline(1, PQ_NEVER - 2), PQ_NEVER - 1);
}
