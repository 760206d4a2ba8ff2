/*
 * Going on with the part that an interrupted fetch has left.
 *
 * The record is opened when the file turns out to be large enough. If it names a part, its SHA-256
 * is computed here while the guest computes that of as many bytes. When they agree reading goes on
 * behind the part, and the checksum of the whole file, at the end, covers it once more; when they
 * do not, or the guest has no tool for it, the part is emptied.
 */
#include <string.h>

#include "filexfer/fetch_internal.h"
#include "filexfer/guest_scripts.h"
#include "transport/base/log.h"

/* Smaller files are a few calls. */
#define RESUME_FROM_BYTES ((uint64_t)2 * 1024 * 1024)

/* Bytes of a part that are read and hashed at a time, so that the loop goes on. */
#define HASH_BYTES ((size_t)64 * 1024)
#define HASH_ROUNDS 16

/* The record is written when so much has come. */
#define NOTE_BYTES ((uint64_t)1024 * 1024)

static void start_again(pq_fetch *fetch)
{
    pq_error err;
    pq_log(PQ_LOG_INFO, "what an interrupted fetch has left is not the beginning of the file");
    pq_sha256_free(fetch->sha256);
    fetch->sha256 = pq_sha256_new(&err);
    fetch->cksum = 0;
    fetch->received = 0;
    if (fetch->sha256 == NULL || pq_local_file_restart(&fetch->file, &err) < 0)
        pq_fetch_finish(fetch, &err);
    else
        pq_fetch_read(fetch, NULL, 0);
}

/* When both digests are known. */
static void decide(pq_fetch *fetch)
{
    bool ready = fetch->part_digest[0] != '\0' && fetch->guest_digest[0] != '\0';
    if (!ready)
        return;
    if (strcmp(fetch->part_digest, fetch->guest_digest) != 0) {
        start_again(fetch);
        return;
    }
    pq_log(PQ_LOG_INFO, "going on behind %llu bytes that an interrupted fetch has left",
           (unsigned long long)fetch->part_bytes);
    fetch->received = fetch->part_bytes;
    pq_fetch_progress(fetch);
    pq_fetch_read(fetch, NULL, 0);
}

/* ---- here ---- */

static int hash_some(pq_fetch *fetch, pq_error *err)
{
    char bytes[HASH_BYTES];
    size_t got;
    uint64_t left = fetch->part_bytes - fetch->hashed;
    size_t size = left < sizeof bytes ? (size_t)left : sizeof bytes;
    if (pq_local_file_read(&fetch->file, fetch->hashed, bytes, size, &got, err) < 0)
        return -1;
    if (got == 0)
        return pq_fail(err, PQ_E_IO, "the part became shorter while it was read");
    pq_sha256_add(fetch->part_sha256, bytes, got);
    pq_sha256_add(fetch->sha256, bytes, got);
    if (fetch->wants_cksum)
        fetch->cksum = pq_cksum_add(fetch->cksum, bytes, got);
    fetch->hashed += got;
    return 0;
}

static void hash(void *context)
{
    pq_fetch *fetch = context;
    pq_error err;
    for (unsigned i = 0; i < HASH_ROUNDS && fetch->hashed < fetch->part_bytes; i++) {
        if (hash_some(fetch, &err) < 0) {
            pq_fetch_finish(fetch, &err);
            return;
        }
    }
    if (fetch->hashed < fetch->part_bytes) {
        pq_defer_start(pq_session_loop(fetch->session), &fetch->hashing, hash, fetch);
        return;
    }
    pq_sha256_hex(fetch->part_sha256, fetch->part_digest);
    decide(fetch);
}

/* ---- in the guest ---- */

static void on_summed(void *context, const pq_error *err, pq_call_result *result)
{
    pq_fetch *fetch = context;
    fetch->call = NULL;
    if (err != NULL) {
        pq_fetch_finish(fetch, err);
        return;
    }
    /* Shorter than the part, gone, or no tool: any of these is a difference. */
    if (strcmp(result->trailer.state, "ok") != 0 ||
        !pq_trailer_value(&result->trailer, "sha256", fetch->guest_digest,
                          sizeof fetch->guest_digest))
        strcpy(fetch->guest_digest, "-");
    decide(fetch);
}

static int ask_guest(pq_fetch *fetch, pq_error *err)
{
    pq_script script = {0};
    pq_call_options options = PQ_CALL_DEFAULTS;
    options.overlap = true;
    if (pq_file_script_begin(&script, PQ_FILE_SUM, err) == 0 &&
        pq_fetch_add_path(fetch, &script, err) == 0 &&
        pq_script_addf(&script, err, "%llu", (unsigned long long)fetch->part_bytes) == 0)
        fetch->call = pq_call_start(fetch->session, &script, &options, on_summed, fetch, err);
    pq_script_done(&script);
    return fetch->call != NULL ? 0 : -1;
}

/* ---- the record ---- */

/* Opens the record; true if the part that it names is here, and now ours. */
static bool find_part(pq_fetch *fetch)
{
    pq_resume_record found = {0};
    bool is_found = false;
    char place[sizeof fetch->record.place];
    if (!pq_local_file_place(&fetch->file, place, sizeof place))
        return false;
    fetch->resume = pq_resume_open(fetch->resume_key, &found, &is_found);
    if (fetch->resume == NULL)
        return false;
    bool adopted = is_found && found.is_local &&
                   pq_local_file_adopt(&fetch->file, found.place, fetch->size, &fetch->part_bytes);
    fetch->record.is_local = true;
    fetch->record.size = fetch->size;
    if (pq_local_file_place(&fetch->file, fetch->record.place, sizeof fetch->record.place))
        pq_resume_note(fetch->resume, &fetch->record);
    return adopted;
}

bool pq_fetch_resume(pq_fetch *fetch)
{
    pq_error err;
    bool is_file = fetch->events.content == NULL && fetch->local_path != NULL;
    if (fetch->resume_key == NULL || !is_file || fetch->size < RESUME_FROM_BYTES ||
        !find_part(fetch) || fetch->part_bytes == 0)
        return false;
    pq_fetch_set_state(fetch, FETCH_RESUMING);
    fetch->part_sha256 = pq_sha256_new(&err);
    if (fetch->part_sha256 == NULL || ask_guest(fetch, &err) < 0)
        pq_fetch_finish(fetch, &err);
    else
        pq_defer_start(pq_session_loop(fetch->session), &fetch->hashing, hash, fetch);
    return true;
}

void pq_fetch_note(pq_fetch *fetch)
{
    if (fetch->resume == NULL || fetch->received < fetch->record.bytes + NOTE_BYTES)
        return;
    fetch->record.bytes = fetch->received;
    pq_resume_note(fetch->resume, &fetch->record);
}

void pq_fetch_leave_part(pq_fetch *fetch, bool leave)
{
    if (fetch->resume == NULL)
        return;
    if (leave) {
        bool checking = fetch->state == FETCH_RESUMING;
        fetch->record.bytes = checking ? fetch->part_bytes : fetch->received;
        pq_resume_note(fetch->resume, &fetch->record);
        pq_local_file_leave(&fetch->file);
        pq_resume_leave(fetch->resume);
    } else {
        pq_resume_forget(fetch->resume);
    }
    fetch->resume = NULL;
}

void pq_fetch_resume_done(pq_fetch *fetch)
{
    pq_defer_stop(&fetch->hashing);
    pq_sha256_free(fetch->part_sha256);
    fetch->part_sha256 = NULL;
}
