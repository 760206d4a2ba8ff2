/*
 * Reading: a list of parts, plain and packed, through one range.
 */
#include <stdio.h>
#include <string.h>

#include "filexfer/fetch_internal.h"

/* The guest is asked for the checksum when so many pieces are left to read, so that the answer is
 * here with the last of them. */
#define SUM_PIECES 3

const char *pq_fetch_plain_path(const pq_fetch *fetch, char buffer[FETCH_PATH_BYTES])
{
    if (!fetch->linked && !fetch->copied)
        return fetch->remote_path;
    snprintf(buffer, FETCH_PATH_BYTES, "%s/%u", pq_session_files_dir(fetch->session),
             fetch->number);
    return buffer;
}

/* ---- bytes ---- */

static int on_unpacked(void *context, const char *bytes, size_t length, pq_error *err)
{
    pq_fetch *fetch = context;
    fetch_part *part = &fetch->parts[0];
    if (length > part->raw_left)
        return pq_fail(err, PQ_E_BAD_ANSWER, "more comes out of a packed section than was in it");
    part->raw_left -= length;
    size_t skip = part->skip < length ? (size_t)part->skip : length;
    part->skip -= skip;
    return pq_fetch_receive(fetch, bytes + skip, length - skip, err);
}

static int take(pq_fetch *fetch, const char *bytes, size_t length, pq_error *err)
{
    fetch->wire_bytes += length;
    if (fetch->parts[0].packed)
        return pq_gunzip_add(fetch->packing.gunzip, bytes, length, on_unpacked, fetch, err);
    if (pq_fetch_receive(fetch, bytes, length, err) < 0)
        return -1;
    return pq_fetch_consider_packing(fetch, bytes, length, err);
}

/* The first part is read. A packed one must have been whole. */
static int leave_part(pq_fetch *fetch, bool *ret_changed, pq_error *err)
{
    fetch_part part = fetch->parts[0];
    fetch->part_count--;
    memmove(&fetch->parts[0], &fetch->parts[1], fetch->part_count * sizeof part);
    if (!part.packed)
        return 0;
    if (!pq_gunzip_is_complete(fetch->packing.gunzip))
        return pq_fail(err, PQ_E_BAD_ANSWER, "a packed section is cut off");
    *ret_changed = part.raw_left > 0;
    return pq_fetch_section_read(fetch, err);
}

static void ask_for_sum(pq_fetch *fetch)
{
    size_t piece = pq_session_read_pace(fetch->session)->piece;
    bool more_follow = fetch->packing.call != NULL && fetch->packing.on;
    if (fetch->summing != NULL && !more_follow &&
        pq_fetch_waiting_bytes(fetch) <= SUM_PIECES * piece)
        pq_call_hold(fetch->summing, false);
}

static bool on_data(void *context, const char *bytes, size_t length)
{
    pq_fetch *fetch = context;
    pq_error err;
    bool changed = false;
    fetch_part *part = &fetch->parts[0];
    part->left -= length;
    if ((fetch->needs_sum && pq_fetch_start_sum(fetch, &err) < 0) ||
        take(fetch, bytes, length, &err) < 0 ||
        (part->left == 0 && leave_part(fetch, &changed, &err) < 0)) {
        fetch->range = NULL;
        pq_fetch_finish(fetch, &err);
        return false;
    }
    if (changed) {
        fetch->range = NULL;
        pq_fetch_changed(fetch);
        return false;
    }
    pq_fetch_progress(fetch);
    pq_fetch_note(fetch);
    ask_for_sum(fetch);
    if (fetch->received < fetch->size)
        return true;
    fetch->range = NULL;
    /* A trial may be under way. */
    pq_fetch_packing_done(fetch);
    pq_fetch_compare(fetch);
    return false;
}

/* ---- parts ---- */

/* Only a part that is shorter than it should be ends the range. */
static void on_read(void *context, const pq_error *err, uint64_t end)
{
    pq_fetch *fetch = context;
    (void)end;
    fetch->range = NULL;
    if (err != NULL)
        pq_fetch_finish(fetch, err);
    else
        pq_fetch_changed(fetch);
}

int pq_fetch_add_part(pq_fetch *fetch, const char *path, uint64_t start, uint64_t end,
                      const fetch_part *part, pq_error *err)
{
    if (fetch->part_count == FETCH_PARTS)
        return pq_fail(err, PQ_E_INTERNAL, "too many parts");
    if (pq_range_add(fetch->range, path, start, end, err) < 0)
        return -1;
    fetch->parts[fetch->part_count++] = *part;
    return 0;
}

static int start_range(pq_fetch *fetch, pq_error *err)
{
    char path[FETCH_PATH_BYTES];
    pq_range_request request = {.dir = pq_session_files_dir(fetch->session),
                                .number = fetch->number,
                                .path = pq_fetch_plain_path(fetch, path),
                                .start = fetch->received,
                                .end = fetch->size,
                                .more = true};
    fetch->parts[0] = (fetch_part){.left = fetch->size - fetch->received};
    fetch->part_count = 1;
    fetch->read_pieces = true;
    fetch->range = pq_range_start(fetch->session, &request, on_data, on_read, fetch, err);
    return fetch->range != NULL ? 0 : -1;
}

void pq_fetch_read(pq_fetch *fetch, const char *head, size_t length)
{
    pq_error err;
    pq_fetch_set_state(fetch, FETCH_READING);
    /* A part may have had all of it. */
    if (fetch->received == fetch->size)
        pq_fetch_compare(fetch);
    else if (start_range(fetch, &err) < 0 ||
             pq_fetch_consider_packing(fetch, head, length, &err) < 0)
        pq_fetch_finish(fetch, &err);
}
