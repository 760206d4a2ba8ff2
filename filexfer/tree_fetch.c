#include "filexfer/tree_fetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exec/call.h"
#include "filexfer/fetch.h"
#include "filexfer/guest_scripts.h"
#include "filexfer/tree_guest.h"
#include "filexfer/tree_place.h"
#include "filexfer/tree_thread.h"
#include "transport/base/log.h"

typedef enum tree_fetch_state {
    TREE_FETCH_PACKING,
    TREE_FETCH_FETCHING,
    TREE_FETCH_UNPACKING,
    TREE_FETCH_FILE,
    TREE_FETCH_CLEANING
} tree_fetch_state;

struct pq_tree_fetch {
    pq_session *session;
    pq_tree_fetch_events events;
    void *context;
    tree_fetch_state state;
    char *remote_path;
    char *local_path;
    const char *name; /* the tree's, in remote_path; "." if it has none */
    pq_tree_name tree;
    pq_tree_place place;
    pq_error no_place; /* why a directory cannot be put there; code PQ_OK: it can */

    pq_call *call; /* packing, cleaning */
    pq_fetch *fetch;
    pq_tree_thread *thread;
    bool packed; /* there may be something of ours in the guest */

    pq_tree_fetch_result result;
    pq_error failure; /* to be reported when cleaned up; code PQ_OK: none */
};

static void set_state(pq_tree_fetch *fetch, tree_fetch_state state)
{
    static const char *const names[] = {"packing", "fetching", "unpacking", "file", "cleaning"};
    fetch->state = state;
    pq_trace("tree-fetch-state", PQ_TEXT("state", names[state]));
}

/* Ends the thread, whatever it had to say. */
static void end_thread(pq_tree_fetch *fetch)
{
    pq_tree_extract_result ignored;
    pq_error err;
    if (fetch->thread != NULL)
        (void)pq_tree_thread_join(fetch->thread, &ignored, &err);
    fetch->thread = NULL;
}

void pq_tree_fetch_drop(pq_tree_fetch *fetch)
{
    if (fetch == NULL)
        return;
    pq_call_drop(fetch->call);
    pq_fetch_drop(fetch->fetch);
    end_thread(fetch);
    pq_tree_place_done(&fetch->place);
    free(fetch->remote_path);
    free(fetch->local_path);
    free(fetch);
}

/* ---- the end ---- */

static void report(pq_tree_fetch *fetch)
{
    pq_tree_fetch_events events = fetch->events;
    void *context = fetch->context;
    pq_tree_fetch_result result = fetch->result;
    pq_error failure = fetch->failure;
    bool failed = failure.code != PQ_OK;
    pq_tree_fetch_drop(fetch);
    events.done(context, failed ? &failure : NULL, failed ? NULL : &result);
}

static void on_cleaned(void *context, const pq_error *err, pq_call_result *result)
{
    pq_tree_fetch *fetch = context;
    (void)result;
    fetch->call = NULL;
    if (err != NULL)
        pq_log(PQ_LOG_INFO, "an archive stays in '%s' of the guest until the session is closed: %s",
               pq_session_files_dir(fetch->session), err->text);
    report(fetch);
}

static bool start_cleaning(pq_tree_fetch *fetch)
{
    pq_error err;
    pq_script script = {0};
    set_state(fetch, TREE_FETCH_CLEANING);
    if (pq_file_script_begin(&script, PQ_FILE_TREE_DROP, &err) == 0 &&
        pq_script_add(&script, pq_session_files_dir(fetch->session), &err) == 0 &&
        pq_script_add(&script, fetch->tree.text, &err) == 0)
        fetch->call = pq_call_start(fetch->session, &script, &PQ_CALL_MAKES_DIRECTORY, on_cleaned,
                                    fetch, &err);
    pq_script_done(&script);
    return fetch->call != NULL;
}

/* Ends everything but what is left in the guest. `err` NULL: it was a success. */
static void finish(pq_tree_fetch *fetch, const pq_error *err)
{
    if (err != NULL) {
        fetch->failure = *err;
        /* What was only read has had no effect. */
        if (fetch->failure.effect == PQ_EFFECT_UNKNOWN)
            fetch->failure.effect = PQ_EFFECT_NONE;
    }
    pq_call_drop(fetch->call);
    fetch->call = NULL;
    pq_fetch_drop(fetch->fetch);
    fetch->fetch = NULL;
    end_thread(fetch);
    pq_tree_place_done(&fetch->place);
    /* What cannot be reached cannot be cleaned: that is the close's, or the next session's. */
    bool reachable = err == NULL || !err->retryable;
    if (!(fetch->packed && reachable && start_cleaning(fetch)))
        report(fetch);
}

void pq_tree_fetch_cancel(pq_tree_fetch *fetch)
{
    pq_error err;
    if (fetch->state == TREE_FETCH_CLEANING)
        return;
    pq_fail(&err, PQ_E_CANCELLED, "cancelled");
    finish(fetch, &err);
}

/* ---- unpacking ---- */

static int join(pq_tree_fetch *fetch, pq_error *err)
{
    pq_tree_extract_result unpacked;
    int result = pq_tree_thread_join(fetch->thread, &unpacked, err);
    fetch->thread = NULL;
    pq_tree_notes_log(&unpacked.notes);
    fetch->result.entries = unpacked.entries;
    fetch->result.bytes = unpacked.bytes;
    return result;
}

/* Before all bytes were pushed this is a failure, which the next push meets. */
static void on_unpacked(void *context)
{
    pq_tree_fetch *fetch = context;
    pq_error err;
    if (fetch->state != TREE_FETCH_UNPACKING)
        return;
    if (join(fetch, &err) < 0 || pq_tree_place_show(&fetch->place, &err) < 0)
        finish(fetch, &err);
    else
        finish(fetch, NULL);
}

static int on_content(void *context, const char *bytes, size_t length, pq_error *err)
{
    pq_tree_fetch *fetch = context;
    pq_error why;
    if (pq_tree_thread_push(fetch->thread, bytes, length, err) == 0)
        return 0;
    if (join(fetch, &why) < 0)
        *err = why;
    return -1;
}

/* ---- fetching ---- */

static void on_progress(void *context, uint64_t bytes, int64_t total)
{
    pq_tree_fetch *fetch = context;
    if (fetch->events.progress != NULL)
        fetch->events.progress(fetch->context, bytes, total);
}

static void on_fetched(void *context, const pq_error *err, const pq_fetch_result *result)
{
    pq_tree_fetch *fetch = context;
    fetch->fetch = NULL;
    if (err != NULL) {
        finish(fetch, err);
    } else if (fetch->state == TREE_FETCH_FILE) {
        fetch->result = (pq_tree_fetch_result){.file = true, .entries = 1, .bytes = result->bytes};
        finish(fetch, NULL);
    } else {
        set_state(fetch, TREE_FETCH_UNPACKING);
        pq_tree_thread_end(fetch->thread);
    }
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

static int start_thread(pq_tree_fetch *fetch, pq_error *err)
{
    if (pq_tree_place_make(&fetch->place, err) < 0)
        return -1;
    pq_tree_extract_options options = {
        .root = fetch->place.root,
        .keep_root = fetch->place.name != NULL,
        .leave_out = last_part(pq_session_files_dir(fetch->session)),
    };
    fetch->thread =
        pq_tree_thread_start(pq_session_loop(fetch->session), &options, on_unpacked, fetch, err);
    return fetch->thread != NULL ? 0 : -1;
}

static void fetch_archive(pq_tree_fetch *fetch)
{
    static const pq_fetch_events events = {
        .progress = on_progress, .content = on_content, .done = on_fetched};
    pq_error err;
    char path[1200];
    snprintf(path, sizeof path, "%s/%s.tar", pq_session_files_dir(fetch->session),
             fetch->tree.text);
    pq_fetch_request request = {.remote_path = path, .fd = -1, .mode = -1};
    set_state(fetch, TREE_FETCH_FETCHING);
    if (start_thread(fetch, &err) == 0)
        fetch->fetch = pq_fetch_start(fetch->session, &request, &events, fetch, &err);
    if (fetch->fetch == NULL)
        finish(fetch, &err);
}

static void fetch_file(pq_tree_fetch *fetch)
{
    static const pq_fetch_events events = {.progress = on_progress, .done = on_fetched};
    pq_error err;
    pq_fetch_request request = {
        .remote_path = fetch->remote_path, .local_path = fetch->local_path, .fd = -1, .mode = -1};
    set_state(fetch, TREE_FETCH_FILE);
    fetch->fetch = pq_fetch_start(fetch->session, &request, &events, fetch, &err);
    if (fetch->fetch == NULL)
        finish(fetch, &err);
}

/* ---- packing ---- */

static void note_remarks(const pq_call_result *result)
{
    pq_tree_notes notes = {0};
    pq_tree_note_lines(&notes, "the guest's tar", result->out.data, result->out.length);
    pq_tree_notes_log(&notes);
}

static void on_packed(void *context, const pq_error *err, pq_call_result *result)
{
    pq_tree_fetch *fetch = context;
    pq_error failure;
    fetch->call = NULL;
    if (err != NULL) {
        finish(fetch, err);
        return;
    }
    const char *state = result->trailer.state;
    fetch->packed = strcmp(state, "ok") == 0;
    if (fetch->packed) {
        note_remarks(result);
        fetch_archive(fetch);
    } else if (strcmp(state, "file") == 0) {
        fetch_file(fetch);
    } else if (strcmp(state, "dir") == 0) {
        failure = fetch->no_place;
        finish(fetch, &failure);
    } else {
        pq_tree_guest_error(fetch->session, result, &failure);
        finish(fetch, &failure);
    }
}

static int start_packing(pq_tree_fetch *fetch, pq_error *err)
{
    pq_script script = {0};
    bool pack = fetch->no_place.code == PQ_OK;
    if (pq_file_script_begin(&script, PQ_FILE_TREE_PACK, err) == 0 &&
        pq_script_add(&script, pq_session_files_dir(fetch->session), err) == 0 &&
        pq_script_add(&script, fetch->tree.text, err) == 0 &&
        pq_script_add(&script, pack ? "1" : "0", err) == 0 &&
        pq_script_add_escaped(&script, fetch->remote_path, strlen(fetch->remote_path), err) == 0)
        fetch->call = pq_tree_call_start(fetch->session, &script, on_packed, fetch, err);
    pq_script_done(&script);
    fetch->packed = pack && fetch->call != NULL;
    return fetch->call != NULL ? 0 : -1;
}

/* A file may go where no directory can, and only the guest knows which it is. */
static int find_place(pq_tree_fetch *fetch, pq_error *err)
{
    pq_error why;
    if (pq_tree_place_find(&fetch->place, fetch->local_path, fetch->name, &why) < 0) {
        fetch->no_place = why;
        *err = why;
    }
    return fetch->no_place.code == PQ_E_NOMEM ? -1 : 0;
}

pq_tree_fetch *pq_tree_fetch_start(pq_session *session, const pq_tree_fetch_request *request,
                                   const pq_tree_fetch_events *events, void *context, pq_error *err)
{
    if (request->remote_path[0] == '\0') {
        pq_fail(err, PQ_E_USAGE, "the path in the guest is empty");
        return NULL;
    }
    pq_tree_fetch *fetch = calloc(1, sizeof *fetch);
    if (fetch == NULL) {
        pq_fail(err, PQ_E_NOMEM, "out of memory");
        return NULL;
    }
    fetch->session = session;
    fetch->events = *events;
    fetch->context = context;
    fetch->place = PQ_TREE_PLACE_NONE;
    fetch->remote_path = pq_tree_path(request->remote_path, &fetch->name, err);
    fetch->local_path = strdup(request->local_path);
    if (fetch->local_path == NULL)
        pq_fail(err, PQ_E_NOMEM, "out of memory");
    if (fetch->remote_path == NULL || fetch->local_path == NULL || find_place(fetch, err) < 0 ||
        pq_tree_name_new(&fetch->tree, err) < 0 || start_packing(fetch, err) < 0) {
        pq_tree_fetch_drop(fetch);
        return NULL;
    }
    return fetch;
}
