/*
 * Whether it pays to have the guest pack what is fetched, and how much at a time.   (filexfer;
 * pure)
 *
 * Packing pays if the file comes faster that way: the packed bytes must be fewer, and the guest
 * must pack a good deal faster than plain bytes come over the wire.
 *
 * Sections grow, so that their calls do not count, yet one is packed in the time in which the one
 * before is read, so that neither is waited for; what is lacking for that is read plain. Where the
 * guest's gzip is what takes the time, as with zeros, which pack to almost nothing, they grow as
 * fast as they can.
 *
 * Speeds are bytes per ms.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "transport/base/clock.h"

/* pack.sh counts in these; sections are multiples, but for the last one of a file. */
#define PQ_PACK_BLOCK ((uint64_t)65536)

/* gzip's levels: the fast one, and one that takes twice the time for a tenth fewer bytes, where the
 * guest has so much time to spare. */
#define PQ_PACK_LEVEL_FAST 1
#define PQ_PACK_LEVEL_SMALL 6

typedef struct pq_pack_plan {
    unsigned level; /* of the next section */
    uint64_t raw;   /* bytes of the file in the last section */
    double speed;   /* at which gzip took them; 0: not known */
    double share;   /* packed bytes of one of these */
} pq_pack_plan;

void pq_pack_plan_init(pq_pack_plan *plan);

/* A section of `raw` bytes was packed in so many ms; below 5 ms nothing is measured. */
void pq_pack_plan_measured(pq_pack_plan *plan, uint64_t raw, uint64_t packed, pq_ms took);

/* Whether the last section became smaller by enough. */
bool pq_pack_plan_shrinks(const pq_pack_plan *plan);

/* Whether that is also faster than plain reading at `wire`. */
bool pq_pack_plan_pays(const pq_pack_plan *plan, double wire);

/* Bytes of the next section, and its level in the plan: `waiting` bytes can be read meanwhile, and
 * `left` of the file are left. */
uint64_t pq_pack_plan_next(pq_pack_plan *plan, double wire, uint64_t waiting, uint64_t left);

/* Bytes that are best read plain before a section of `raw` bytes, because they come while that is
 * packed: its call takes `overhead` ms besides gzip. 0 where gzip is what takes the time. */
uint64_t pq_pack_plan_gap(const pq_pack_plan *plan, double wire, uint64_t waiting, uint64_t raw,
                          pq_ms overhead);

/* How long gzip will take for `raw` bytes; 0 while nothing is known. */
pq_ms pq_pack_plan_time(const pq_pack_plan *plan, uint64_t raw);
