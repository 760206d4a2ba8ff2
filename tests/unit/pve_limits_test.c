/* What is learned from a node's refusals. */
#include <criterion/criterion.h>

#include "transport/pve/limits.h"

static pq_agent_limits report(const pq_limits *limits)
{
    pq_agent_limits out;
    pq_limits_report(limits, 3, &out);
    return out;
}

Test(pve_limits, the_newest_is_assumed)
{
    pq_limits limits;
    pq_limits_init(&limits);
    pq_agent_limits out = report(&limits);
    cr_expect_eq(out.arg_bytes, 131071);
    cr_expect_eq(out.args_bytes, 524288 - 2048);
    cr_expect_eq(out.input_bytes, 65536);
    cr_expect_eq(out.read_bytes, 262144);
    cr_expect_eq(out.parallel, 3);
    cr_expect(out.offset_reads);
}

Test(pve_limits, a_refused_body_makes_them_smaller)
{
    pq_limits limits;
    pq_limits_init(&limits);
    cr_expect(pq_limits_refused(&limits, 500000));
    cr_expect_eq(limits.body_bytes, 65536);
    cr_expect_eq(report(&limits).args_bytes, 65536 - 2048);
    cr_expect_eq(report(&limits).arg_bytes, 65536 - 2048);
    /* Any bytes fit, six characters each, with 2 KiB of arguments. */
    cr_expect_leq(6 * report(&limits).input_bytes + 2 * PQ_LIMITS_OVERHEAD, 65536);
    /* One that was planned before. */
    cr_expect(pq_limits_refused(&limits, 400000));
    cr_expect_eq(limits.body_bytes, 65536);
}

Test(pve_limits, a_stricter_server_ends_at_the_minimum)
{
    pq_limits limits;
    pq_limits_init(&limits);
    cr_expect(pq_limits_refused(&limits, 60000));
    cr_expect_eq(limits.body_bytes, 30000);
    cr_expect(pq_limits_refused(&limits, 30000));
    cr_expect(pq_limits_refused(&limits, 15000));
    cr_expect_eq(limits.body_bytes, PQ_LIMITS_BODY_MIN);
    cr_expect_not(pq_limits_refused(&limits, 8000));
    cr_expect_eq(limits.body_bytes, PQ_LIMITS_BODY_MIN);
    cr_expect_gt(report(&limits).args_bytes, 4096);
    cr_expect_gt(report(&limits).input_bytes, 0);
}

Test(pve_limits, forms_take_more_space)
{
    pq_limits limits;
    pq_limits_init(&limits);
    pq_limits_forms_only(&limits);
    cr_expect_eq(limits.body_bytes, 65536);
    /* 1 in 32 characters of base64 takes three bytes. */
    size_t usual = report(&limits).args_bytes;
    cr_expect_leq(usual + usual / 16 + PQ_LIMITS_OVERHEAD, 65536);
    pq_limits_form_too_large(&limits);
    size_t always = report(&limits).args_bytes;
    cr_expect_leq(3 * always + PQ_LIMITS_OVERHEAD, 65536);
    cr_expect_gt(always, 20000);
}

Test(pve_limits, large_bodies_that_were_taken_are_remembered)
{
    pq_limits limits;
    pq_limits_init(&limits);
    pq_limits_taken(&limits, 65536);
    cr_expect_not(limits.large_taken);
    pq_limits_taken(&limits, 65537);
    cr_expect(limits.large_taken);
}
