#include "filexfer/pack_plan.h"

#include "filexfer/gzip.h"

#define MIB ((uint64_t)1024 * 1024)

/* The wire must carry the file so much faster than plain, and gzip be as fast as this: it takes the
 * guest's processor from the agent, and its calls take time. */
#define PAYS_WIRE 1.2
#define PAYS_SPEED 2.0

/* Bounds of a section: bytes of the file, packed bytes, time. */
#define RAW_MAX (64 * MIB)
#define PACKED_MAX ((double)(4 * MIB))
#define TIME_MAX_MS 2000.0

/* The next section is so much larger at most. */
#define GROWTH 4.0

/* Share of the time in which the waiting bytes are read that packing may take. */
#define BALANCE 0.6

/* A rest smaller than this goes with the section before. */
#define REST_MAX ((uint64_t)256 * 1024)

/* A clock that ticks in 10 ms cannot tell less than this. */
#define TIME_MIN_MS 5

/* The guest could pack so many times as fast as is needed: then it can pack better; and when it
 * has less than the second to spare, it is to pack faster. */
#define SPARE_TIME 3.0
#define LITTLE_TIME 1.3

void pq_pack_plan_init(pq_pack_plan *plan)
{
    *plan = (pq_pack_plan){.level = PQ_PACK_LEVEL_FAST, .share = 1};
}

void pq_pack_plan_measured(pq_pack_plan *plan, uint64_t raw, uint64_t packed, pq_ms took)
{
    plan->raw = raw;
    plan->speed = (double)raw / (double)(took < TIME_MIN_MS ? TIME_MIN_MS : took);
    plan->share = (double)packed / (double)raw;
}

bool pq_pack_plan_shrinks(const pq_pack_plan *plan)
{
    return plan->share * 100 <= PQ_GZIP_WORTH_PERCENT;
}

/* Bytes of the file per ms, if only the wire counted. */
static double packed_wire(const pq_pack_plan *plan, double wire)
{
    return wire / plan->share;
}

bool pq_pack_plan_pays(const pq_pack_plan *plan, double wire)
{
    return pq_pack_plan_shrinks(plan) && packed_wire(plan, wire) >= PAYS_WIRE * wire &&
           plan->speed >= PAYS_SPEED * wire;
}

static void choose_level(pq_pack_plan *plan, double wire)
{
    double spare = plan->speed / packed_wire(plan, wire);
    if (plan->level == PQ_PACK_LEVEL_FAST && spare >= SPARE_TIME) {
        plan->level = PQ_PACK_LEVEL_SMALL;
        plan->speed /= 2;
    } else if (plan->level == PQ_PACK_LEVEL_SMALL && spare < LITTLE_TIME) {
        plan->level = PQ_PACK_LEVEL_FAST;
        plan->speed *= 2;
    }
}

static double least(double a, double b)
{
    return a < b ? a : b;
}

static bool wire_is_slower(const pq_pack_plan *plan, double wire)
{
    return wire > 0 && packed_wire(plan, wire) < plan->speed;
}

uint64_t pq_pack_plan_next(pq_pack_plan *plan, double wire, uint64_t waiting, uint64_t left)
{
    choose_level(plan, wire);
    double raw = GROWTH * (double)plan->raw;
    if (wire_is_slower(plan, wire)) {
        double balanced = BALANCE * plan->speed * (double)waiting / wire;
        raw = least(raw, balanced > (double)plan->raw ? balanced : (double)plan->raw);
    }
    raw = least(raw, plan->speed * TIME_MAX_MS);
    raw = least(raw, PACKED_MAX / plan->share);
    raw = least(raw, (double)RAW_MAX);
    uint64_t bytes = (uint64_t)raw / PQ_PACK_BLOCK * PQ_PACK_BLOCK;
    if (bytes < PQ_PACK_BLOCK)
        bytes = PQ_PACK_BLOCK;
    return bytes + REST_MAX >= left ? left : bytes;
}

uint64_t pq_pack_plan_gap(const pq_pack_plan *plan, double wire, uint64_t waiting, uint64_t raw,
                          pq_ms overhead)
{
    if (!wire_is_slower(plan, wire))
        return 0;
    double meanwhile = wire * (double)(pq_pack_plan_time(plan, raw) + overhead);
    if (meanwhile <= (double)waiting)
        return 0;
    return ((uint64_t)(meanwhile - (double)waiting) / PQ_PACK_BLOCK + 1) * PQ_PACK_BLOCK;
}

pq_ms pq_pack_plan_time(const pq_pack_plan *plan, uint64_t raw)
{
    return plan->speed > 0 ? (pq_ms)((double)raw / plan->speed) : 0;
}
