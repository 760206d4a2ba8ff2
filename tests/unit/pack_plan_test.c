/* Whether it pays to have the guest pack, and how much at a time. */
#include "filexfer/pack_plan.h"

#include <criterion/criterion.h>

#define KIB ((uint64_t)1024)
#define MIB (1024 * KIB)

/* Bytes per ms of an agent that reads 5 MiB/s. */
#define WIRE 5000.0

static pq_pack_plan plan;

static void setup(void)
{
    pq_pack_plan_init(&plan);
}

TestSuite(pack_plan, .init = setup);

static uint64_t next(uint64_t waiting, uint64_t left)
{
    return pq_pack_plan_next(&plan, WIRE, waiting, left);
}

Test(pack_plan, text_pays)
{
    pq_pack_plan_measured(&plan, MIB, 300 * KIB, 20);
    cr_assert(pq_pack_plan_shrinks(&plan));
    cr_assert(pq_pack_plan_pays(&plan, WIRE));
    cr_assert(pq_pack_plan_pays(&plan, 0), "before anything was read");
}

Test(pack_plan, noise_does_not)
{
    pq_pack_plan_measured(&plan, MIB, MIB + 200, 30);
    cr_assert_not(pq_pack_plan_shrinks(&plan));
    cr_assert_not(pq_pack_plan_pays(&plan, WIRE));
}

Test(pack_plan, slow_guest_does_not)
{
    pq_pack_plan_measured(&plan, MIB, 300 * KIB, 110);
    cr_assert(pq_pack_plan_shrinks(&plan));
    cr_assert_not(pq_pack_plan_pays(&plan, WIRE), "9.5 MB/s leave the agent too little");
    pq_pack_plan_measured(&plan, MIB, 300 * KIB, 100);
    cr_assert(pq_pack_plan_pays(&plan, WIRE));
}

Test(pack_plan, little_gain_does_not)
{
    pq_pack_plan_measured(&plan, MIB, 860 * KIB, 10);
    cr_assert(pq_pack_plan_shrinks(&plan));
    cr_assert_not(pq_pack_plan_pays(&plan, WIRE));
}

Test(pack_plan, clock_that_does_not_tick)
{
    pq_pack_plan_measured(&plan, MIB, KIB, 0);
    cr_assert_eq(pq_pack_plan_time(&plan, MIB), 5);
}

Test(pack_plan, nothing_known)
{
    cr_assert_eq(pq_pack_plan_time(&plan, MIB), 0);
    cr_assert_eq(plan.level, PQ_PACK_LEVEL_FAST);
    cr_assert_not(pq_pack_plan_shrinks(&plan));
}

Test(pack_plan, section_is_packed_while_another_is_read)
{
    pq_pack_plan_measured(&plan, MIB, 400 * KIB, 60);
    uint64_t bytes = next(400 * KIB, 1024 * MIB);
    double reading = (double)(400 * KIB) / WIRE;
    cr_assert_leq((double)pq_pack_plan_time(&plan, bytes), reading);
    cr_assert_geq((double)pq_pack_plan_time(&plan, bytes), reading / 2);
    cr_assert_eq(bytes % PQ_PACK_BLOCK, 0);
}

Test(pack_plan, sections_do_not_shrink)
{
    pq_pack_plan_measured(&plan, MIB, 400 * KIB, 60);
    cr_assert_eq(next(0, 1024 * MIB), MIB);
}

Test(pack_plan, zeros_grow_fast)
{
    uint64_t bytes = MIB, done = 0;
    unsigned sections = 0;
    for (; done < 64 * MIB; sections++) {
        pq_pack_plan_measured(&plan, bytes, bytes / 228, (pq_ms)(bytes / (200 * KIB)));
        cr_assert(pq_pack_plan_pays(&plan, WIRE));
        done += bytes;
        bytes = next(bytes / 228, 1024 * MIB);
    }
    cr_assert_leq(sections, 4);
}

Test(pack_plan, bounds)
{
    pq_pack_plan_measured(&plan, 60 * MIB, MIB, 100);
    cr_assert_leq(next(0, 1024 * MIB), 64 * MIB, "what a guest has to keep");
    pq_pack_plan_measured(&plan, 60 * MIB, 30 * MIB, 100);
    cr_assert_leq(next(100 * MIB, 1024 * MIB), 8 * MIB + PQ_PACK_BLOCK);
    pq_pack_plan_measured(&plan, 10 * MIB, 100 * KIB, 1000);
    cr_assert_leq(pq_pack_plan_time(&plan, next(MIB, 1024 * MIB)), 2000);
    pq_pack_plan_measured(&plan, PQ_PACK_BLOCK, 10000, 5000);
    cr_assert_eq(next(0, 1024 * MIB), PQ_PACK_BLOCK);
}

Test(pack_plan, rest_goes_with_the_section_before)
{
    pq_pack_plan_measured(&plan, MIB, 400 * KIB, 60);
    cr_assert_eq(next(0, MIB + 1000), MIB + 1000);
    cr_assert_eq(next(0, 1000), 1000);
}

Test(pack_plan, guest_with_time_to_spare_packs_better)
{
    pq_pack_plan_measured(&plan, MIB, 400 * KIB, 15);
    pq_ms before = pq_pack_plan_time(&plan, 10 * MIB);
    next(MIB, 1024 * MIB);
    cr_assert_eq(plan.level, PQ_PACK_LEVEL_SMALL);
    cr_assert_gt(pq_pack_plan_time(&plan, 10 * MIB), before, "and takes longer");
    /* It was too much. */
    pq_pack_plan_measured(&plan, MIB, 380 * KIB, 80);
    next(MIB, 1024 * MIB);
    cr_assert_eq(plan.level, PQ_PACK_LEVEL_FAST);
}

/* ---- what is read plain meanwhile ---- */

Test(pack_plan, enough_is_waiting)
{
    pq_pack_plan_measured(&plan, MIB, 400 * KIB, 60);
    cr_assert_eq(pq_pack_plan_gap(&plan, WIRE, MIB, MIB, 50), 0);
}

Test(pack_plan, too_little_is_waiting)
{
    pq_pack_plan_measured(&plan, MIB, 400 * KIB, 60);
    uint64_t gap = pq_pack_plan_gap(&plan, WIRE, 100 * KIB, MIB, 50);
    double meanwhile = (double)(gap + 100 * KIB);
    cr_assert_geq(meanwhile, 110 * WIRE);
    cr_assert_leq(meanwhile, 110 * WIRE + 65536);
    cr_assert_eq(gap % PQ_PACK_BLOCK, 0);
}

Test(pack_plan, zeros_are_waited_for)
{
    pq_pack_plan_measured(&plan, MIB, 4600, 5);
    cr_assert_eq(pq_pack_plan_gap(&plan, WIRE, 0, 16 * MIB, 100), 0);
    cr_assert_eq(pq_pack_plan_gap(&plan, 0, 0, 16 * MIB, 100), 0, "before anything was read");
}
