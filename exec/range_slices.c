/*
 * Slices: files that a script in the guest cuts out of a part, in batches.
 *
 * A batch is cut while the one before it is read. Batches that were read go with the next cut, so
 * that is not made before everything of the batch before last has arrived.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "exec/guest_scripts.h"
#include "exec/range_internal.h"

/* Slices that one call cuts, at most. */
#define SLICES_PER_CALL 8

/* The first batch is waited for, so it is a small one. */
#define FIRST_SLICES 3

void pq_range_slice_path(const range_piece *piece, char *out, size_t size)
{
    const pq_range *range = piece->range;
    snprintf(out, size, "%s/%u.r.%lld.%llu", range->dir, range->number,
             (long long)piece->batch->run, (unsigned long long)piece->slice);
}

/* Slices of a batch that the part, which may have become shorter, still needs. */
static unsigned needed(const range_batch *batch)
{
    const range_part *part = batch->part;
    if (batch->offset >= part->end)
        return 0;
    uint64_t slices = (part->end - batch->offset - 1) / batch->bytes + 1;
    return slices < batch->count ? (unsigned)slices : batch->count;
}

static bool is_used_up(const range_batch *batch)
{
    return batch->part == NULL || (batch->count > 0 && batch->received >= needed(batch));
}

/* The batch with slices that were not asked for, the older one first. */
static range_batch *batch_to_read(pq_range *range)
{
    range_batch *first = NULL;
    for (size_t i = 0; i < 2; i++) {
        range_batch *batch = &range->batches[i];
        if (batch->part != NULL && batch->asked < needed(batch) &&
            (first == NULL || batch->first < first->first))
            first = batch;
    }
    return first;
}

bool pq_range_take_slice(pq_range *range, range_piece *piece)
{
    range_batch *batch = batch_to_read(range);
    if (batch == NULL)
        return false;
    range_part *part = batch->part;
    uint64_t offset = batch->offset + (uint64_t)batch->asked * batch->bytes;
    piece->batch = batch;
    piece->slice = batch->first + batch->asked;
    piece->part = part;
    piece->lead = batch->asked == 0 ? batch->lead : 0;
    piece->offset = offset + piece->lead;
    piece->length = batch->bytes - piece->lead;
    if (piece->length > part->end - piece->offset)
        piece->length = (size_t)(part->end - piece->offset);
    batch->asked++;
    return true;
}

static range_batch *other_batch(pq_range *range, const range_batch *batch)
{
    return batch == &range->batches[0] ? &range->batches[1] : &range->batches[0];
}

static range_batch *batch_being_cut(pq_range *range)
{
    range_batch *batch = &range->batches[0];
    return batch->part != NULL && batch->count == 0 ? batch : other_batch(range, batch);
}

static void take_batch(pq_range *range, range_batch *batch, unsigned count, int64_t run)
{
    batch->part->planned = batch->offset + (uint64_t)count * batch->bytes;
    range->next_slice += count;
    range->cut_failed = count == 0;
    batch->count = count;
    batch->run = run;
    if (count == 0)
        batch->part = NULL;
}

static void on_sliced(void *context, const pq_error *err, pq_call_result *result)
{
    pq_range *range = context;
    range_batch *batch = batch_being_cut(range);
    pq_error failure;
    range->slicing = NULL;
    if (err != NULL) {
        pq_range_fail(range, err);
        return;
    }
    int64_t count = pq_trailer_number(&result->trailer, 0);
    int64_t run = pq_trailer_number(&result->trailer, 1);
    bool cut = strcmp(result->trailer.state, "ok") == 0;
    /* No space for a single slice: there may be once others were read. */
    bool others = range->kept_slice < range->next_slice;
    if (cut && count >= 0 && count <= SLICES_PER_CALL && run >= 0 && (count > 0 || others)) {
        take_batch(range, batch, (unsigned)count, run);
        pq_range_pump(range);
        return;
    }
    if (cut && count == 0)
        pq_fail(&failure, PQ_E_GUEST_FULL, "no space in '%s' of the guest for slices of a file",
                range->dir);
    else if (strcmp(result->trailer.state, "tmp") == 0)
        pq_fail(&failure, PQ_E_REMOTE_TMP, "'%s' in the guest cannot be made", range->dir);
    else if (strcmp(result->trailer.state, "noread") == 0)
        pq_fail(&failure, PQ_E_REMOTE_FILE, "'%s' in the guest cannot be read", batch->part->path);
    else
        pq_fail(&failure, PQ_E_BAD_ANSWER, "the guest's script said '%s'", result->trailer.state);
    pq_range_fail(range, &failure);
}

static int build(const pq_range *range, const range_batch *batch, unsigned count, pq_script *script,
                 pq_error *err)
{
    const char *path = batch->part->path;
    if (pq_script_begin(script, pq_guest_common, pq_guest_slice, err) < 0 ||
        pq_script_add(script, range->dir, err) < 0 ||
        pq_script_addf(script, err, "%u", range->number) < 0 ||
        pq_script_add_escaped(script, path, strlen(path), err) < 0 ||
        pq_script_addf(script, err, "%" PRIu64, batch->first) < 0 ||
        pq_script_addf(script, err, "%u", count) < 0 ||
        pq_script_addf(script, err, "%zu", batch->bytes / RANGE_BLOCK) < 0 ||
        pq_script_addf(script, err, "%" PRIu64, batch->offset / RANGE_BLOCK) < 0 ||
        pq_script_addf(script, err, "%" PRIu64, range->removed_slice) < 0)
        return -1;
    return pq_script_addf(script, err, "%" PRIu64, range->kept_slice);
}

/* Slices of the part that are left, at most as many as a call cuts. */
static unsigned slices_to_cut(const pq_range *range, const range_batch *batch)
{
    unsigned most = range->next_slice == 0 ? FIRST_SLICES : SLICES_PER_CALL;
    uint64_t left = (batch->part->end - batch->offset - 1) / batch->bytes + 1;
    return left < most ? (unsigned)left : most;
}

bool pq_range_cut_slices(pq_range *range)
{
    pq_error err;
    pq_script script = {0};
    range_part *part = pq_range_part_to_plan(range);
    range_batch *batch = &range->batches[0];
    if (!is_used_up(batch))
        batch = other_batch(range, batch);
    const range_batch *other = other_batch(range, batch);
    bool reading = !is_used_up(other);
    if (range->slicing != NULL || part == NULL || !is_used_up(batch) ||
        (range->cut_failed && reading))
        return true;
    range->removed_slice = range->kept_slice;
    range->kept_slice = reading ? other->first : range->next_slice;
    *batch = (range_batch){.part = part,
                           .first = range->next_slice,
                           .offset = part->planned / RANGE_BLOCK * RANGE_BLOCK,
                           .lead = part->planned % RANGE_BLOCK,
                           .bytes = pq_session_read_pace(range->session)->piece};
    unsigned count = slices_to_cut(range, batch);
    part->planned = batch->offset + (uint64_t)count * batch->bytes;
    if (build(range, batch, count, &script, &err) == 0)
        range->slicing = pq_call_start(range->session, &script, &PQ_CALL_MAKES_DIRECTORY, on_sliced,
                                       range, &err);
    pq_script_done(&script);
    if (range->slicing != NULL)
        return true;
    pq_range_fail(range, &err);
    return false;
}
