#include "filexfer/tree_put.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exec/call.h"
#include "filexfer/guest_scripts.h"
#include "filexfer/put.h"
#include "filexfer/tree_guest.h"
#include "filexfer/tree_source.h"
#include "filexfer/tree_walk.h"
#include "transport/base/log.h"

/* Files that are looked at in one turn of the loop: some milliseconds. */
#define STEPS_PER_TURN 256

typedef enum tree_put_state {
    TREE_PUT_OPENING,
    TREE_PUT_SENDING,
    TREE_PUT_UNPACKING,
    TREE_PUT_CLEANING
} tree_put_state;

struct pq_tree_put {
    pq_session *session;
    pq_tree_put_events events;
    void *context;
    tree_put_state state;
    char *local_path;
    char *remote_path;
    const char *name; /* the tree's, in local_path; "." if it has none */
    pq_tree_name tree;
    bool into; /* it goes to remote_path/name */

    pq_call *call; /* opening, unpacking, cleaning */
    pq_put *put;
    pq_tree_source *source;
    bool ended; /* the source has no more */
    pq_defer fed;

    /* finding out how large it is */
    pq_tree_walk *count;
    pq_defer counted;
    int64_t size; /* counted so far */
    int64_t total;

    pq_tree_put_result result;
    pq_error failure; /* to be reported when cleaned up */
};

static void set_state(pq_tree_put *put, tree_put_state state)
{
    static const char *const names[] = {"opening", "sending", "unpacking", "cleaning"};
    put->state = state;
    pq_trace("tree-put-state", PQ_TEXT("state", names[state]));
}

void pq_tree_put_drop(pq_tree_put *put)
{
    if (put == NULL)
        return;
    pq_call_drop(put->call);
    pq_put_drop(put->put);
    pq_defer_stop(&put->fed);
    pq_defer_stop(&put->counted);
    pq_tree_walk_free(put->count);
    pq_tree_source_free(put->source);
    free(put->local_path);
    free(put->remote_path);
    free(put);
}

static void finish(pq_tree_put *put, const pq_error *err)
{
    pq_tree_put_events events = put->events;
    void *context = put->context;
    pq_tree_put_result result = put->result;
    pq_error failure;
    if (err != NULL)
        failure = *err;
    if (put->source != NULL)
        pq_tree_notes_log(pq_tree_source_notes(put->source));
    pq_tree_put_drop(put);
    events.done(context, err != NULL ? &failure : NULL, err == NULL ? &result : NULL);
}

/* ---- failing ---- */

static void on_cleaned(void *context, const pq_error *err, pq_call_result *result)
{
    pq_tree_put *put = context;
    put->call = NULL;
    if (err != NULL) {
        pq_log(PQ_LOG_INFO, "parts of the tree may stay in the guest: %s", err->text);
        put->failure.effect = PQ_EFFECT_UNKNOWN;
    } else if (strcmp(result->trailer.state, "ok") == 0) {
        finish(put, NULL);
        return;
    } else {
        bool part = strcmp(result->trailer.state, "part") == 0;
        put->failure.effect = part ? PQ_EFFECT_DONE : PQ_EFFECT_NONE;
    }
    finish(put, &put->failure);
}

static void clean(pq_tree_put *put, const pq_error *err)
{
    pq_error ignored;
    pq_script script = {0};
    put->failure = *err;
    pq_call_drop(put->call);
    put->call = NULL;
    set_state(put, TREE_PUT_CLEANING);
    if (pq_file_script_begin(&script, PQ_FILE_TREE_DROP, &ignored) == 0 &&
        pq_tree_add_place(&script, put->session, &put->tree, put->into ? put->name : ".",
                          put->remote_path, &ignored) == 0)
        put->call = pq_call_start(put->session, &script, &PQ_CALL_MAKES_DIRECTORY, on_cleaned, put,
                                  &ignored);
    pq_script_done(&script);
    if (put->call == NULL)
        finish(put, &put->failure);
}

/* Before the tree is unpacked there is nothing in the guest but what pq_put removes. */
static void fail(pq_tree_put *put, const pq_error *err)
{
    /* What cannot be reached cannot be cleaned: that is the close's, or the next session's. */
    if (put->state == TREE_PUT_UNPACKING && !err->retryable)
        clean(put, err);
    else
        finish(put, err);
}

static void stop_sending(pq_tree_put *put, const pq_error *err)
{
    put->failure = *err;
    pq_defer_stop(&put->fed);
    pq_put_cancel(put->put);
}

void pq_tree_put_cancel(pq_tree_put *put)
{
    pq_error err;
    pq_fail(&err, PQ_E_CANCELLED, "cancelled");
    switch (put->state) {
    case TREE_PUT_OPENING:
        finish(put, &err);
        break;
    case TREE_PUT_SENDING:
        stop_sending(put, &err);
        break;
    case TREE_PUT_UNPACKING:
        clean(put, &err);
        break;
    case TREE_PUT_CLEANING:
        break;
    }
}

/* ---- unpacking ---- */

static void on_unpacked(void *context, const pq_error *err, pq_call_result *result)
{
    pq_tree_put *put = context;
    pq_error failure;
    put->call = NULL;
    if (err != NULL)
        fail(put, err);
    else if (strcmp(result->trailer.state, "ok") == 0)
        finish(put, NULL);
    else {
        pq_tree_guest_error(put->session, result, &failure);
        finish(put, &failure);
    }
}

static void unpack(pq_tree_put *put)
{
    pq_error err;
    pq_script script = {0};
    set_state(put, TREE_PUT_UNPACKING);
    if (pq_file_script_begin(&script, PQ_FILE_TREE_UNPACK, &err) == 0 &&
        pq_tree_add_place(&script, put->session, &put->tree, put->into ? put->name : ".",
                          put->remote_path, &err) == 0)
        put->call = pq_tree_call_start(put->session, &script, on_unpacked, put, &err);
    pq_script_done(&script);
    if (put->call == NULL)
        fail(put, &err);
}

/* ---- sending ---- */

static void on_progress(void *context, uint64_t bytes, int64_t total)
{
    pq_tree_put *put = context;
    (void)total;
    /* Files that grew since they were counted. */
    if (put->total >= 0 && (uint64_t)put->total < bytes)
        put->total = (int64_t)bytes;
    if (put->events.progress != NULL)
        put->events.progress(put->context, bytes, put->total);
}

static void on_sent(void *context, const pq_error *err, const pq_put_result *result)
{
    pq_tree_put *put = context;
    put->put = NULL;
    if (put->failure.code != PQ_OK) {
        /* The guest was cleaned for a reason of ours. */
        pq_error failure = put->failure;
        finish(put, &failure);
    } else if (err != NULL) {
        fail(put, err);
    } else {
        put->result.bytes = result->bytes;
        put->result.entries = pq_tree_source_entries(put->source);
        unpack(put);
    }
}

/* Makes and pushes as much as there is room for. */
static void feed(void *context)
{
    pq_tree_put *put = context;
    pq_error err;
    pq_buf *bytes = pq_tree_source_bytes(put->source);
    for (unsigned steps = 0; steps < STEPS_PER_TURN; steps++) {
        size_t room = pq_put_room(put->put);
        size_t length = bytes->length < room ? bytes->length : room;
        if (length > 0 && pq_put_content(put->put, bytes->data, length, &err) < 0)
            goto fail;
        pq_buf_consume(bytes, length);
        if (bytes->length > 0 || pq_put_room(put->put) == 0)
            return;
        if (put->ended) {
            pq_put_content_end(put->put);
            return;
        }
        if (pq_tree_source_step(put->source, &put->ended, &err) < 0)
            goto fail;
    }
    pq_defer_start(pq_session_loop(put->session), &put->fed, feed, put);
    return;
fail:
    stop_sending(put, &err);
}

static void on_content_wanted(void *context)
{
    pq_tree_put *put = context;
    if (put->failure.code == PQ_OK)
        pq_defer_start(pq_session_loop(put->session), &put->fed, feed, put);
}

static int start_sending(pq_tree_put *put, pq_archive_format format, pq_error *err)
{
    static const pq_put_events events = {
        .progress = on_progress, .content_wanted = on_content_wanted, .done = on_sent};
    char path[1200];
    put->source = pq_tree_source_new(put->local_path, format, err);
    if (put->source == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/%s.tar", pq_session_files_dir(put->session), put->tree.text);
    pq_put_request request = {.fd = -1, .remote_path = path, .mode = 0600, .size = -1};
    set_state(put, TREE_PUT_SENDING);
    put->put = pq_put_start(put->session, &request, &events, put, err);
    if (put->put == NULL)
        return -1;
    on_content_wanted(put);
    return 0;
}

/* ---- opening ---- */

static void on_opened(void *context, const pq_error *err, pq_call_result *result)
{
    pq_tree_put *put = context;
    pq_error failure;
    put->call = NULL;
    if (err != NULL) {
        finish(put, err);
        return;
    }
    const char *fields = result->trailer.fields;
    if (strcmp(result->trailer.state, "ok") != 0) {
        pq_tree_guest_error(put->session, result, &failure);
        finish(put, &failure);
        return;
    }
    bool pax = strncmp(fields, "pax ", 4) == 0;
    put->into = pq_trailer_number(&result->trailer, 1) == 1;
    if (start_sending(put, pax ? PQ_ARCHIVE_PAX : PQ_ARCHIVE_GNU, &failure) < 0)
        finish(put, &failure);
}

static int start_opening(pq_tree_put *put, pq_error *err)
{
    pq_script script = {0};
    if (pq_file_script_begin(&script, PQ_FILE_TREE_OPEN, err) == 0 &&
        pq_script_add(&script, pq_session_files_dir(put->session), err) == 0 &&
        pq_script_add_escaped(&script, put->name, strlen(put->name), err) == 0 &&
        pq_script_add_escaped(&script, put->remote_path, strlen(put->remote_path), err) == 0)
        put->call = pq_tree_call_start(put->session, &script, on_opened, put, err);
    pq_script_done(&script);
    return put->call != NULL ? 0 : -1;
}

/* While the guest is asked: about what the stream will have. Whatever goes wrong with it is for the
 * stream to say. */
static void count(void *context)
{
    pq_tree_put *put = context;
    pq_error ignored;
    pq_tree_item item;
    for (unsigned steps = 0; steps < STEPS_PER_TURN; steps++) {
        bool end;
        if (pq_tree_walk_next(put->count, &item, &end, &ignored) < 0)
            return;
        if (end) {
            put->total = put->size;
            return;
        }
        int64_t size = S_ISREG(item.info.st_mode) ? item.info.st_size : 0;
        int64_t blocks = (size + PQ_ARCHIVE_BLOCK - 1) / PQ_ARCHIVE_BLOCK + 1;
        put->size += blocks * PQ_ARCHIVE_BLOCK;
    }
    pq_defer_start(pq_session_loop(put->session), &put->counted, count, put);
}

pq_tree_put *pq_tree_put_start(pq_session *session, const pq_tree_put_request *request,
                               const pq_tree_put_events *events, void *context, pq_error *err)
{
    if (request->remote_path[0] == '\0') {
        pq_fail(err, PQ_E_USAGE, "the path in the guest is empty");
        return NULL;
    }
    pq_tree_put *put = calloc(1, sizeof *put);
    if (put == NULL) {
        pq_fail(err, PQ_E_NOMEM, "out of memory");
        return NULL;
    }
    put->session = session;
    put->events = *events;
    put->context = context;
    put->total = -1;
    put->local_path = pq_tree_path(request->local_path, &put->name, err);
    put->remote_path = strdup(request->remote_path);
    if (put->remote_path == NULL)
        pq_fail(err, PQ_E_NOMEM, "out of memory");
    if (put->local_path != NULL && request->with_total)
        put->count = pq_tree_walk_new(put->local_path, err);
    bool counts = put->count != NULL || !request->with_total;
    if (put->local_path == NULL || put->remote_path == NULL || !counts ||
        pq_tree_name_new(&put->tree, err) < 0 || start_opening(put, err) < 0) {
        pq_tree_put_drop(put);
        return NULL;
    }
    if (put->count != NULL)
        pq_defer_start(pq_session_loop(session), &put->counted, count, put);
    return put;
}
