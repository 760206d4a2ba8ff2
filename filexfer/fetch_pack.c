/*
 * Packed reading: the guest's gzip packs sections of the file, which are read in place of it.
 *
 *   plain --looks worth it--> trial --pays--> on: section after section --does not pay--> plain
 *     ^                         |                                                           |
 *     +------ does not pay -----+-----------------------------------------------------------+
 *
 * A trial packs a small section a little ahead of what is asked for, and plain reading does not
 * wait for it: when the section is there, the plain part is cut where it has come to, and what it
 * has read of the section is skipped in that. So a guest that packs slowly costs next to nothing.
 *
 * The guest tells how long its gzip took; what follows from that is in pack_plan.h.
 */
#include <stdio.h>
#include <string.h>

#include "filexfer/fetch_internal.h"
#include "filexfer/guest_scripts.h"
#include "transport/base/log.h"

#define KIB ((uint64_t)1024)
#define MIB (KIB * KIB)

/* A trial's section, and the least that must be left to read of one. */
#define TRIAL_BYTES (512 * KIB)
#define TRIAL_LEFT_BYTES (256 * KIB)

/* So many plain pieces are expected to come while the first trial is made; in the next ones as many
 * bytes as came during the one before and half of that. Trials that plain reading has overtaken: */
#define TRIAL_PIECES 6
#define TRIALS_MAX 3

/* Packing takes some calls more, so the rest of the file must take as long as this many, at a speed
 * that is assumed while none is known. */
#define TRIAL_CALLS 10
#define LIKELY_SPEED 3000.0

/* Plain bytes in a row that look worth it, before a trial; they are looked at in these steps. */
#define WORTH_BYTES (256 * KIB)
#define LOOK_BYTES (256 * KIB)

/* Plain bytes after a trial that did not pay, before the next; doubles. */
#define WAIT_BYTES (4 * MIB)
#define WAIT_MAX_BYTES (64 * MIB)

/* The clock of the guest ticks in 10 ms. */
#define TICK_MS 10

/* A call is not asked about before so much of the expected time; shorter ones are not held. */
#define DUE_PERCENT 80
#define HELD_MS 50

static int start_section(pq_fetch *fetch, uint64_t start, uint64_t raw, pq_error *err);
static int start_trial(pq_fetch *fetch, uint64_t ahead, uint64_t raw, pq_error *err);

/* ---- what is known ---- */

/* Bytes per ms that come over the wire. */
static double wire_speed(const pq_fetch *fetch)
{
    return pq_pace_rate(pq_session_read_pace(fetch->session));
}

static bool pays(const pq_fetch *fetch)
{
    return pq_pack_plan_pays(&fetch->packing.plan, wire_speed(fetch));
}

static void measure(pq_fetch *fetch, uint64_t packed, int64_t ticks)
{
    fetch_packing *packing = &fetch->packing;
    pq_ms elapsed = pq_now() - packing->begun;
    pq_ms took = ticks >= 0 && ticks * TICK_MS < elapsed ? ticks * TICK_MS : elapsed;
    packing->overhead = elapsed - took;
    pq_trace("fetch-section", PQ_INT("section", packing->section), PQ_GUEST("bytes", packing->raw),
             PQ_GUEST("packed", packed), PQ_INT("ms", took), PQ_INT("level", packing->plan.level));
    pq_pack_plan_measured(&packing->plan, packing->raw, packed, took);
}

uint64_t pq_fetch_waiting_bytes(const pq_fetch *fetch)
{
    uint64_t bytes = 0;
    for (unsigned i = 0; i < fetch->part_count; i++)
        bytes += fetch->parts[i].left;
    return bytes;
}

static unsigned sections_to_read(const pq_fetch *fetch)
{
    unsigned count = 0;
    for (unsigned i = 0; i < fetch->part_count; i++)
        count += fetch->parts[i].packed;
    return count;
}

/* ---- the next section ---- */

static int add_plain(pq_fetch *fetch, uint64_t start, uint64_t end, pq_error *err)
{
    char path[FETCH_PATH_BYTES];
    fetch_part part = {.left = end - start};
    return pq_fetch_add_part(fetch, pq_fetch_plain_path(fetch, path), start, end, &part, err);
}

/* From `start` on the file is read plain. */
static int add_rest(pq_fetch *fetch, uint64_t start, pq_error *err)
{
    fetch->packing.on = false;
    return start < fetch->size ? add_plain(fetch, start, fetch->size, err) : 0;
}

/* Two sections are in the guest at most: one is read, one is packed. */
static int go_on(pq_fetch *fetch, pq_error *err)
{
    fetch_packing *packing = &fetch->packing;
    uint64_t end = packing->start + packing->raw;
    if (!packing->on || packing->call != NULL || end >= fetch->size || sections_to_read(fetch) > 1)
        return 0;
    double wire = wire_speed(fetch);
    uint64_t waiting = pq_fetch_waiting_bytes(fetch);
    uint64_t raw = pq_pack_plan_next(&packing->plan, wire, waiting, fetch->size - end);
    uint64_t gap = pq_pack_plan_gap(&packing->plan, wire, waiting, raw, packing->overhead);
    if (gap > 0 && gap + TRIAL_LEFT_BYTES >= fetch->size - end)
        return add_rest(fetch, end, err);
    if (gap > 0 && add_plain(fetch, end, end + gap, err) < 0)
        return -1;
    uint64_t left = fetch->size - end - gap;
    return start_section(fetch, end + gap, raw + TRIAL_LEFT_BYTES < left ? raw : left, err);
}

int pq_fetch_section_read(pq_fetch *fetch, pq_error *err)
{
    fetch->packing.unread = fetch->packing.section - sections_to_read(fetch);
    return go_on(fetch, err);
}

/* ---- a section is packed ---- */

/* Cuts the plain part where it has come to, at the section's beginning or later. */
static uint64_t cut_plain(pq_fetch *fetch)
{
    fetch_part *plain = &fetch->parts[fetch->part_count - 1];
    uint64_t cut = pq_range_cut(fetch->range, fetch->packing.start);
    plain->left -= fetch->size - cut;
    if (plain->left == 0)
        fetch->part_count--;
    return cut;
}

static int add_section(pq_fetch *fetch, uint64_t packed, int64_t run, uint64_t skip, pq_error *err)
{
    const fetch_packing *packing = &fetch->packing;
    char path[FETCH_PATH_BYTES];
    fetch_part part = {.packed = true, .left = packed, .raw_left = packing->raw, .skip = skip};
    snprintf(path, sizeof path, "%s/%u.z.%u.%lld", pq_session_files_dir(fetch->session),
             fetch->number, packing->section, (long long)run);
    return pq_fetch_add_part(fetch, path, 0, packed, &part, err);
}

/* Other bytes may follow, and a guest that was busy may have time. */
static void wait_for_next_trial(fetch_packing *packing)
{
    packing->waited = packing->waited == 0 ? WAIT_BYTES : 2 * packing->waited;
    if (packing->waited > WAIT_MAX_BYTES)
        packing->waited = WAIT_MAX_BYTES;
    packing->wait = packing->waited;
    packing->worth = 0;
}

/* Plain reading was faster than the trial, mostly because of how long calls take. */
static int overtaken(pq_fetch *fetch, pq_error *err)
{
    fetch_packing *packing = &fetch->packing;
    pq_ms took = pq_now() - packing->begun;
    double meanwhile = 1.5 * wire_speed(fetch) * (double)took;
    packing->unread = ++packing->section;
    if (!pays(fetch) || ++packing->trials >= TRIALS_MAX) {
        wait_for_next_trial(packing);
        return 0;
    }
    return start_trial(fetch, (uint64_t)meanwhile, 2 * packing->raw, err);
}

/* A section that has become larger: its bytes are read plain. */
static int grown(pq_fetch *fetch, pq_error *err)
{
    fetch_packing *packing = &fetch->packing;
    packing->unread = ++packing->section;
    wait_for_next_trial(packing);
    return packing->on ? add_rest(fetch, packing->start, err) : 0;
}

static int take_section(pq_fetch *fetch, uint64_t packed, int64_t run, pq_error *err)
{
    fetch_packing *packing = &fetch->packing;
    uint64_t end = packing->start + packing->raw, skip = 0;
    if (packed >= packing->raw)
        return grown(fetch, err);
    if (!packing->on) {
        if (pq_range_asked(fetch->range) + TRIAL_LEFT_BYTES > end)
            return overtaken(fetch, err);
        skip = cut_plain(fetch) - packing->start;
    }
    if (add_section(fetch, packed, run, skip, err) < 0)
        return -1;
    packing->section++;
    packing->trials = 0;
    packing->on = pays(fetch);
    if (packing->on)
        return go_on(fetch, err);
    wait_for_next_trial(packing);
    return add_rest(fetch, end, err);
}

static int not_packed(pq_fetch *fetch, const char *state, pq_error *err)
{
    fetch_packing *packing = &fetch->packing;
    bool trial = !packing->on;
    pq_log(PQ_LOG_DEBUG, "the guest packs nothing: %s", state);
    packing->off = true;
    return trial ? 0 : add_rest(fetch, packing->start, err);
}

static void on_packed(void *context, const pq_error *err, pq_call_result *result)
{
    pq_fetch *fetch = context;
    pq_error failure;
    fetch->packing.call = NULL;
    pq_timer_stop(&fetch->packing.due);
    if (err != NULL) {
        pq_fetch_finish(fetch, err);
        return;
    }
    const pq_trailer *trailer = &result->trailer;
    int64_t packed = pq_trailer_number(trailer, 0), run = pq_trailer_number(trailer, 1);
    bool done = strcmp(trailer->state, "ok") == 0 && packed > 0 && run >= 0;
    if (done)
        measure(fetch, (uint64_t)packed, pq_trailer_number(trailer, 2));
    if ((done ? take_section(fetch, (uint64_t)packed, run, &failure)
              : not_packed(fetch, trailer->state, &failure)) < 0)
        pq_fetch_finish(fetch, &failure);
}

/* ---- packing one ---- */

static void ask_now(void *context)
{
    pq_fetch *fetch = context;
    pq_call_hold(fetch->packing.call, false);
}

static pq_ms expected_time(const pq_fetch *fetch)
{
    return pq_pack_plan_time(&fetch->packing.plan, fetch->packing.raw);
}

static void on_started(void *context)
{
    pq_fetch *fetch = context;
    pq_timer_start(pq_session_loop(fetch->session), &fetch->packing.due,
                   expected_time(fetch) * DUE_PERCENT / 100, ask_now, fetch);
}

/* Adds the numbers of sections that were read, as an argument. */
static int add_read_sections(fetch_packing *packing, pq_script *script, pq_error *err)
{
    pq_buf numbers = {0};
    int result = pq_buf_add_text(&numbers, packing->unremoved == packing->unread ? "-" : "", err);
    for (unsigned i = packing->unremoved; result == 0 && i < packing->unread; i++)
        result = pq_buf_printf(&numbers, err, i == packing->unremoved ? "%u" : " %u", i);
    if (result == 0)
        result = pq_script_add(script, numbers.data, err);
    pq_buf_done(&numbers);
    packing->unremoved = packing->unread;
    return result;
}

static int build(pq_fetch *fetch, pq_script *script, pq_error *err)
{
    fetch_packing *packing = &fetch->packing;
    uint64_t blocks = (packing->raw + PQ_PACK_BLOCK - 1) / PQ_PACK_BLOCK;
    if (pq_file_script_begin(script, PQ_FILE_PACK, err) < 0 ||
        pq_fetch_add_place(fetch, script, err) < 0 || pq_fetch_add_path(fetch, script, err) < 0 ||
        pq_script_addf(script, err, "%u", packing->section) < 0 ||
        pq_script_addf(script, err, "%llu", (unsigned long long)(packing->start / PQ_PACK_BLOCK)) <
            0 ||
        pq_script_addf(script, err, "%llu", (unsigned long long)blocks) < 0 ||
        pq_script_addf(script, err, "%u", packing->plan.level) < 0)
        return -1;
    return add_read_sections(packing, script, err);
}

/* `start` is a multiple of PQ_PACK_BLOCK. */
static int start_section(pq_fetch *fetch, uint64_t start, uint64_t raw, pq_error *err)
{
    fetch_packing *packing = &fetch->packing;
    pq_script script = {0};
    pq_call_options options = PQ_CALL_MAKES_DIRECTORY;
    packing->start = start;
    packing->raw = raw;
    options.begins_held = expected_time(fetch) >= HELD_MS;
    options.started = options.begins_held ? on_started : NULL;
    packing->begun = pq_now();
    fetch->left_files = true;
    if (build(fetch, &script, err) == 0)
        packing->call = pq_call_start(fetch->session, &script, &options, on_packed, fetch, err);
    pq_script_done(&script);
    return packing->call != NULL ? 0 : -1;
}

/* ---- trials ---- */

/* A file with less than this left is read plain. */
static uint64_t least_bytes(const pq_fetch *fetch)
{
    double wire = wire_speed(fetch);
    double bytes = (wire > 0 ? wire : LIKELY_SPEED) * (double)fetch->call_ms * TRIAL_CALLS;
    return bytes > (double)TRIAL_BYTES ? (uint64_t)bytes : TRIAL_BYTES;
}

static int start_trial(pq_fetch *fetch, uint64_t ahead, uint64_t raw, pq_error *err)
{
    fetch_packing *packing = &fetch->packing;
    uint64_t start = pq_range_asked(fetch->range) + ahead;
    start = (start + PQ_PACK_BLOCK - 1) / PQ_PACK_BLOCK * PQ_PACK_BLOCK;
    packing->worth = 0;
    if (start + least_bytes(fetch) > fetch->size) {
        packing->off = true;
        return 0;
    }
    if (packing->gunzip == NULL && (packing->gunzip = pq_gunzip_new(err)) == NULL)
        return -1;
    uint64_t left = fetch->size - start;
    return start_section(fetch, start, left < raw ? left : raw, err);
}

static int first_trial(pq_fetch *fetch, pq_error *err)
{
    size_t piece = pq_session_read_pace(fetch->session)->piece;
    fetch->packing.trials = 0;
    pq_pack_plan_init(&fetch->packing.plan);
    return start_trial(fetch, TRIAL_PIECES * piece, TRIAL_BYTES, err);
}

int pq_fetch_consider_packing(pq_fetch *fetch, const char *bytes, size_t length, pq_error *err)
{
    fetch_packing *packing = &fetch->packing;
    bool begins = fetch->wire_bytes == 0;
    packing->unseen += length;
    packing->wait -= length < packing->wait ? length : packing->wait;
    if (packing->off || packing->on || packing->call != NULL || sections_to_read(fetch) > 0 ||
        packing->wait > 0 || (packing->unseen < LOOK_BYTES && !begins))
        return 0;
    packing->worth = pq_gzip_is_worth(bytes, length) ? packing->worth + packing->unseen : 0;
    packing->unseen = 0;
    return packing->worth >= WORTH_BYTES || (begins && packing->worth > 0) ? first_trial(fetch, err)
                                                                           : 0;
}

void pq_fetch_packing_done(pq_fetch *fetch)
{
    pq_timer_stop(&fetch->packing.due);
    pq_call_drop(fetch->packing.call);
    fetch->packing.call = NULL;
    pq_gunzip_free(fetch->packing.gunzip);
    fetch->packing.gunzip = NULL;
}
