/*
 * A put that goes on where an earlier one of the same file was interrupted.
 *
 * What such a put stages is in a directory of its own, named as a session's, so that closing the
 * session leaves it alone, and a day later any session removes it. Its record (resume.h) says where
 * that is and how much of it is there.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "filexfer/guest_scripts.h"
#include "filexfer/put_internal.h"
#include "transport/base/log.h"

/* Files of fewer calls than these are not worth a record. */
#define CALLS_MIN 4

#define NAME_BEGIN ".pve-qga-run-"
#define DIR_END ".files"
#define RANDOM_BYTES 16

static int name_staged(pq_put *put, pq_error *err)
{
    char random[2 * RANDOM_BYTES + 1];
    if (pq_random_hex(random, RANDOM_BYTES, err) < 0)
        return -1;
    snprintf(put->staged, sizeof put->staged, "%s%s", NAME_BEGIN, random);
    return 0;
}

static int name_dir(pq_put *put, pq_error *err)
{
    char random[2 * RANDOM_BYTES + 1];
    const char *tmp = pq_session_remote_tmp(put->session);
    if (pq_random_hex(random, RANDOM_BYTES, err) < 0)
        return -1;
    if (asprintf(&put->dir, "%s/%s%s%s", strcmp(tmp, "/") == 0 ? "" : tmp, NAME_BEGIN, random,
                 DIR_END) >= 0)
        return 0;
    put->dir = NULL;
    return pq_fail(err, PQ_E_NOMEM, "out of memory");
}

/* Moves *at behind "PREFIX.pve-qga-run-<32 hex digits>"; false if that is not there. */
static bool skip_name(const char **at, const char *prefix)
{
    size_t length = strlen(prefix);
    if (strncmp(*at, prefix, length) != 0)
        return false;
    *at += length;
    if (strncmp(*at, NAME_BEGIN, strlen(NAME_BEGIN)) != 0)
        return false;
    *at += strlen(NAME_BEGIN);
    if (strspn(*at, "0123456789abcdef") != (size_t)2 * RANDOM_BYTES)
        return false;
    *at += (size_t)2 * RANDOM_BYTES;
    return true;
}

/* Takes the place apart. It must be one that this program makes: its directory will be removed. */
static bool read_place(pq_put *put, const char *place)
{
    const char *tmp = pq_session_remote_tmp(put->session), *at = place;
    if (strcmp(tmp, "/") == 0)
        tmp = "";
    if (strncmp(at, tmp, strlen(tmp)) != 0)
        return false;
    at += strlen(tmp);
    if (!skip_name(&at, "/") || strncmp(at, DIR_END, strlen(DIR_END)) != 0)
        return false;
    at += strlen(DIR_END);
    const char *slash = at;
    if (!skip_name(&at, "/") || *at != '\0' || strlen(slash + 1) >= sizeof put->staged)
        return false;
    strcpy(put->staged, slash + 1);
    put->dir = strndup(place, (size_t)(slash - place));
    return put->dir != NULL;
}

/* Makes a place, or goes on with the one that was found; one of no use goes with this put. */
static int choose_place(pq_put *put, bool found, pq_error *err)
{
    const pq_resume_record *record = &put->record;
    if (!found || !read_place(put, record->place))
        return name_dir(put, err);
    put->any_staged = true;
    if (record->size != put->end || record->bytes == 0 || record->bytes > put->end ||
        record->bytes % PQ_BUILD_BLOCK != 0)
        return name_staged(put, err);
    put->beginning = pq_sha256_new(err);
    if (put->beginning == NULL)
        return -1;
    pq_put_set_state(put, PUT_ADOPTING);
    return 0;
}

int pq_put_resume_open(pq_put *put, const char *key, pq_error *err)
{
    bool found = false;
    size_t room;
    if (name_staged(put, err) < 0)
        return -1;
    bool whole =
        put->regular && put->end != UINT64_MAX && put->end == (uint64_t)put->opened.st_size;
    if (key == NULL || !whole)
        return 0;
    if (pq_put_find_room(put, &room, err) < 0)
        return -1;
    if (put->end / CALLS_MIN <= room)
        return 0;
    put->resume = pq_resume_open(key, &put->record, &found);
    return put->resume != NULL ? choose_place(put, found, err) : 0;
}

/* ---- what was staged earlier ---- */

static int start_anew(pq_put *put, pq_error *err)
{
    memset(&put->record, 0, sizeof put->record);
    if (pq_put_source_rewind(put, err) < 0)
        return -1;
    pq_put_set_state(put, PUT_READING);
    return 0;
}

static void go_on(pq_put *put)
{
    pq_log(PQ_LOG_INFO, "%llu bytes of it are in the guest already",
           (unsigned long long)put->record.bytes);
    put->staged_end = put->record.bytes;
    pq_put_set_state(put, PUT_SENDING);
    pq_put_resume_note(put);
    if (put->events.progress != NULL)
        put->events.progress(put->context, put->position, put->size);
}

static void on_adopted(void *context, const pq_error *err, pq_call_result *result)
{
    pq_put *put = context;
    pq_error failure;
    put->call = NULL;
    if (err != NULL) {
        pq_put_fail(put, err);
        return;
    }
    bool same = strcmp(result->trailer.state, "ok") == 0;
    /* Another delivery of the call may still be at the name that it was given. */
    if (!same && (name_staged(put, &failure) < 0 || start_anew(put, &failure) < 0)) {
        pq_put_fail(put, &failure);
        return;
    }
    pq_put_pump(put);
    if (same)
        go_on(put);
}

static int start_adopting(pq_put *put, pq_error *err)
{
    char old[PUT_NAME_SIZE], sha256[PQ_SHA256_HEX_SIZE];
    pq_script script = {0};
    strcpy(old, put->staged);
    pq_sha256_hex(put->beginning, sha256);
    int result = -1;
    if (name_staged(put, err) == 0 && pq_file_script_begin(&script, PQ_FILE_ADOPT, err) == 0 &&
        pq_script_add(&script, put->dir, err) == 0 && pq_script_add(&script, old, err) == 0 &&
        pq_script_add(&script, put->staged, err) == 0 &&
        pq_script_addf(&script, err, "%llu",
                       (unsigned long long)(put->record.bytes / PQ_BUILD_BLOCK)) == 0)
        result = pq_script_add(&script, sha256, err);
    if (result == 0)
        put->call = pq_call_start(put->session, &script, &PQ_CALL_DEFAULTS, on_adopted, put, err);
    pq_script_done(&script);
    return put->call != NULL ? 0 : -1;
}

/* Reads a little of the beginning, for its digest; when all is read the guest compares. */
static int read_beginning(pq_put *put, pq_error *err)
{
    uint64_t left = put->record.bytes - put->position;
    if (pq_put_source_read(put, left, err) < 0)
        return -1;
    pq_sha256_add(put->beginning, put->waiting.data, put->waiting.length);
    put->position += put->waiting.length;
    pq_buf_clear(&put->waiting);
    return put->position == put->record.bytes ? start_adopting(put, err) : 0;
}

void pq_put_adopt(pq_put *put)
{
    pq_error err;
    if (put->call != NULL)
        return;
    if (read_beginning(put, &err) < 0)
        pq_put_fail(put, &err);
    else
        pq_put_pump(put);
}

/* ---- the record ---- */

/* From the beginning all is there up to this. */
static uint64_t staged_without_gaps(const pq_put *put)
{
    uint64_t end = put->staged_end;
    if (put->builder.started && put->builder.piece.offset < end)
        end = put->builder.piece.offset;
    for (const put_again *again = put->again; again != NULL; again = again->next) {
        if (again->offset + again->used < end)
            end = again->offset + again->used;
    }
    for (size_t i = 0; i < PUT_PIECES; i++) {
        const pq_piece *content = &put->pieces[i].content;
        if (content->length > 0 && content->offset < end)
            end = content->offset;
    }
    return end / PQ_BUILD_BLOCK * PQ_BUILD_BLOCK;
}

void pq_put_resume_note(pq_put *put)
{
    pq_resume_record record = {.bytes = staged_without_gaps(put), .size = put->end};
    if (put->resume == NULL)
        return;
    int length = snprintf(record.place, sizeof record.place, "%s/%s", put->dir, put->staged);
    if (length > 0 && (size_t)length < sizeof record.place)
        pq_resume_note(put->resume, &record);
}
