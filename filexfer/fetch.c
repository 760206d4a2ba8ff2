#include "filexfer/fetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "filexfer/fetch_internal.h"
#include "filexfer/guest_scripts.h"
#include "transport/base/log.h"

/* A file up to this size comes with the first answer. On a fast port that costs 7 ms more than 64
 * KiB do, on a virtio-serial port as much as a call would. */
#define WHOLE_BYTES ((size_t)128 * 1024)

/* Up to this size the checksum comes with the first answer: to compute it takes less time than two
 * more calls. */
#define SUM_BYTES ((size_t)2 * 1024 * 1024)

/* From this size on the beginning comes with the first answer, to tell whether packing may pay. */
#define HEAD_FROM_BYTES ((size_t)1024 * 1024)

void pq_fetch_set_state(pq_fetch *fetch, fetch_state state)
{
    static const char *const names[] = {"opening", "resuming", "reading", "comparing", "cleaning"};
    fetch->state = state;
    pq_trace("fetch-state", PQ_TEXT("state", names[state]), PQ_GUEST("received", fetch->received));
}

/* Ends what is under way. */
static void stop(pq_fetch *fetch)
{
    pq_call_drop(fetch->call);
    pq_call_drop(fetch->summing);
    pq_range_drop(fetch->range);
    fetch->call = fetch->summing = NULL;
    fetch->range = NULL;
    pq_fetch_packing_done(fetch);
    pq_fetch_resume_done(fetch);
}

void pq_fetch_drop(pq_fetch *fetch)
{
    if (fetch == NULL)
        return;
    pq_defer_stop(&fetch->started);
    stop(fetch);
    pq_fetch_leave_part(fetch, false);
    pq_local_file_done(&fetch->file);
    pq_sha256_free(fetch->sha256);
    free(fetch->resume_key);
    free(fetch->remote_path);
    free(fetch->local_path);
    free(fetch);
}

/* ---- the end ---- */

static void report(pq_fetch *fetch)
{
    pq_fetch_events events = fetch->events;
    void *context = fetch->context;
    pq_fetch_result result = fetch->result;
    pq_error failure = fetch->failure;
    bool failed = failure.code != PQ_OK;
    pq_fetch_drop(fetch);
    events.done(context, failed ? &failure : NULL, failed ? NULL : &result);
}

static void on_cleaned(void *context, const pq_error *err, pq_call_result *result)
{
    pq_fetch *fetch = context;
    (void)result;
    fetch->call = NULL;
    if (err != NULL)
        pq_log(PQ_LOG_INFO,
               "helper files stay in '%s' of the guest until the session is closed: %s",
               pq_session_files_dir(fetch->session), err->text);
    report(fetch);
}

static bool start_cleaning(pq_fetch *fetch)
{
    pq_error err;
    pq_script script = {0};
    pq_fetch_set_state(fetch, FETCH_CLEANING);
    if (pq_file_script_begin(&script, PQ_FILE_DROP, &err) == 0 &&
        pq_fetch_add_place(fetch, &script, &err) == 0)
        fetch->call =
            pq_call_start(fetch->session, &script, &PQ_CALL_DEFAULTS, on_cleaned, fetch, &err);
    pq_script_done(&script);
    return fetch->call != NULL;
}

void pq_fetch_finish(pq_fetch *fetch, const pq_error *err)
{
    bool cancelled = err != NULL && err->code == PQ_E_CANCELLED;
    /* What cannot be reached cannot be cleaned: that is the close's, or the next session's. */
    bool unreachable = err != NULL && err->retryable;
    if (err != NULL) {
        fetch->failure = *err;
        /* Reading changes nothing in the guest. */
        fetch->failure.effect = PQ_EFFECT_NONE;
    }
    bool sliced = fetch->read_pieces && !pq_session_limits(fetch->session)->offset_reads;
    bool left_files = fetch->left_files || sliced;
    stop(fetch);
    pq_fetch_leave_part(fetch, cancelled ? fetch->keep_partial : unreachable);
    if (left_files && err == NULL)
        pq_session_transfer_ended(fetch->session, fetch->number);
    if (left_files && err != NULL && !unreachable && start_cleaning(fetch))
        return;
    report(fetch);
}

void pq_fetch_changed(pq_fetch *fetch)
{
    pq_error err;
    pq_fail(&err, PQ_E_CHECKSUM, "it changed in the guest while it was read");
    pq_fetch_finish(fetch, &err);
}

void pq_fetch_cancel(pq_fetch *fetch)
{
    pq_error err;
    if (fetch->state == FETCH_CLEANING)
        return;
    pq_fail(&err, PQ_E_CANCELLED, "cancelled");
    pq_fetch_finish(fetch, &err);
}

/* ---- bytes ---- */

int pq_fetch_receive(pq_fetch *fetch, const char *bytes, size_t length, pq_error *err)
{
    if (length == 0)
        return 0;
    pq_sha256_add(fetch->sha256, bytes, length);
    if (fetch->wants_cksum)
        fetch->cksum = pq_cksum_add(fetch->cksum, bytes, length);
    fetch->received += length;
    if (fetch->events.content != NULL)
        return fetch->events.content(fetch->context, bytes, length, err);
    return pq_local_file_write(&fetch->file, bytes, length, err);
}

void pq_fetch_progress(pq_fetch *fetch)
{
    if (fetch->events.progress != NULL)
        fetch->events.progress(fetch->context, fetch->received, (int64_t)fetch->size);
}

/* ---- opening ---- */

static void open_file(pq_fetch *fetch);

static void open_failed(pq_fetch *fetch, const char *state)
{
    static const struct {
        const char *state;
        pq_code code;
        const char *text;
    } reasons[] = {
        {"missing", PQ_E_NOT_FOUND, "no such file in the guest"},
        {"isdir", PQ_E_IS_DIRECTORY, "it is a directory in the guest"},
        {"fifo", PQ_E_REMOTE_FILE, "it is a FIFO in the guest, not a file"},
        {"socket", PQ_E_REMOTE_FILE, "it is a socket in the guest, not a file"},
        {"device", PQ_E_REMOTE_FILE, "it is a device in the guest, not a file"},
        {"denied", PQ_E_REMOTE_FILE, "it cannot be read in the guest"},
    };
    pq_error err;
    const char *tmp = pq_session_remote_tmp(fetch->session);
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        if (strcmp(state, reasons[i].state) == 0) {
            pq_fail(&err, reasons[i].code, "%s", reasons[i].text);
            pq_fetch_finish(fetch, &err);
            return;
        }
    }
    if (strcmp(state, "tmp") == 0)
        pq_fail(&err, PQ_E_REMOTE_TMP, "'%s' in the guest cannot be written", tmp);
    else if (strcmp(state, "full") == 0)
        pq_fail(&err, PQ_E_GUEST_FULL, "no space in '%s' of the guest for a copy of it", tmp);
    else
        pq_fail(&err, PQ_E_BAD_ANSWER, "the guest's script said '%s'", state);
    pq_fetch_finish(fetch, &err);
}

static int open_local(pq_fetch *fetch, pq_error *err)
{
    if (fetch->events.content != NULL)
        return 0;
    if (fetch->local_path == NULL) {
        pq_local_file_borrow(&fetch->file, fetch->fd);
        return 0;
    }
    const char *slash = strrchr(fetch->remote_path, '/');
    return pq_local_file_open(&fetch->file, fetch->local_path,
                              slash != NULL ? slash + 1 : fetch->remote_path, err);
}

static void take_whole(pq_fetch *fetch, const pq_buf *bytes)
{
    pq_error err;
    if (fetch->size == 0 && bytes->length > WHOLE_BYTES) {
        fetch->copied = true;
        open_file(fetch);
        return;
    }
    /* It can have grown since it said its size; a file of the kernel has any size. */
    if (fetch->size == 0 || bytes->length < fetch->size)
        fetch->size = bytes->length;
    if (pq_fetch_receive(fetch, bytes->data, (size_t)fetch->size, &err) < 0) {
        pq_fetch_finish(fetch, &err);
        return;
    }
    pq_fetch_progress(fetch);
    pq_fetch_compare(fetch);
}

static void take_beginning(pq_fetch *fetch, pq_buf *bytes)
{
    pq_error err;
    fetch->left_files = fetch->linked || fetch->copied;
    if (pq_fetch_resume(fetch))
        return;
    if (bytes->length < fetch->size &&
        pq_fetch_receive(fetch, bytes->data, bytes->length, &err) < 0)
        pq_fetch_finish(fetch, &err);
    else
        pq_fetch_read(fetch, bytes->data, bytes->length);
}

/* How long a small call takes here, for the first pieces' size. */
static void learn_pace(pq_fetch *fetch, const pq_call_result *result)
{
    fetch->call_ms = (pq_now() - fetch->opened_at) / (1 + (pq_ms)result->questions);
    pq_pace_hint(pq_session_read_pace(fetch->session), fetch->call_ms);
}

static void on_opened(void *context, const pq_error *err, pq_call_result *result)
{
    pq_fetch *fetch = context;
    char whole[4] = "", mode[8] = "", sum[8] = "";
    fetch->call = NULL;
    if (err != NULL) {
        pq_fetch_finish(fetch, err);
        return;
    }
    const pq_trailer *trailer = &result->trailer;
    int64_t size = pq_trailer_number(trailer, 0);
    if (strcmp(trailer->state, "ok") != 0 || size < 0) {
        open_failed(fetch, trailer->state);
        return;
    }
    snprintf(mode, sizeof mode, "%lld", (long long)pq_trailer_number(trailer, 1));
    fetch->result.mode = (unsigned)strtoul(mode, NULL, 8) & 07777;
    fetch->size = (uint64_t)size;
    pq_trailer_value(trailer, "sum", sum, sizeof sum);
    pq_trailer_value(trailer, "whole", whole, sizeof whole);
    fetch->wants_cksum = strcmp(sum, "cksum") == 0;
    bool is_whole = strcmp(whole, "1") == 0;
    bool can_sum = fetch->wants_cksum || strcmp(sum, "sha256") == 0;
    fetch->early_sum = pq_fetch_take_sums(fetch, trailer);
    fetch->needs_sum = can_sum && !is_whole && !fetch->early_sum;
    learn_pace(fetch, result);
    if (is_whole)
        take_whole(fetch, &result->out);
    else
        take_beginning(fetch, &result->out);
}

int pq_fetch_add_place(const pq_fetch *fetch, pq_script *script, pq_error *err)
{
    if (pq_script_add(script, pq_session_files_dir(fetch->session), err) < 0)
        return -1;
    return pq_script_addf(script, err, "%u", fetch->number);
}

int pq_fetch_add_path(const pq_fetch *fetch, pq_script *script, pq_error *err)
{
    char buffer[FETCH_PATH_BYTES];
    const char *path = fetch->copied ? pq_fetch_plain_path(fetch, buffer) : fetch->remote_path;
    return pq_script_add_escaped(script, path, strlen(path), err);
}

static int add_over(pq_fetch *fetch, pq_script *script, pq_error *err)
{
    pq_buf over = {0};
    int result = -1;
    if (pq_session_take_ended_transfers(fetch->session, &over, err) == 0)
        result = pq_script_add(script, over.data, err);
    pq_buf_done(&over);
    return result;
}

static int build_open(pq_fetch *fetch, pq_script *script, pq_error *err)
{
    const char *path = fetch->remote_path;
    if (pq_file_script_begin(script, PQ_FILE_OPEN, err) < 0 ||
        pq_fetch_add_place(fetch, script, err) < 0 ||
        pq_script_add_escaped(script, path, strlen(path), err) < 0 ||
        pq_script_addf(script, err, "%zu", WHOLE_BYTES) < 0 ||
        pq_script_addf(script, err, "%zu", SUM_BYTES) < 0 ||
        pq_script_addf(script, err, "%zu", HEAD_FROM_BYTES) < 0 ||
        pq_script_add(script,
                      fetch->copied   ? "c"
                      : fetch->linked ? "l"
                                      : "-",
                      err) < 0)
        return -1;
    return add_over(fetch, script, err);
}

static void open_file(pq_fetch *fetch)
{
    pq_error err;
    pq_script script = {0};
    pq_call_options options = PQ_CALL_DEFAULTS;
    options.makes_directory = fetch->linked || fetch->copied;
    options.overlap = true;
    fetch->opened_at = pq_now();
    if (build_open(fetch, &script, &err) == 0)
        fetch->call = pq_call_start(fetch->session, &script, &options, on_opened, fetch, &err);
    pq_script_done(&script);
    if (fetch->call == NULL)
        pq_fetch_finish(fetch, &err);
}

static void begin(void *context)
{
    pq_fetch *fetch = context;
    pq_error err;
    fetch->sha256 = pq_sha256_new(&err);
    if (fetch->sha256 == NULL || open_local(fetch, &err) < 0)
        pq_fetch_finish(fetch, &err);
    else
        open_file(fetch);
}

/* ---- the interface ---- */

static bool is_plain_path(const char *path)
{
    for (const char *c = path; *c != '\0'; c++) {
        if (*c < 0x20 || *c > 0x7E)
            return false;
    }
    return path[0] == '/';
}

static int copy_text(char **to, const char *text, pq_error *err)
{
    if (text != NULL && (*to = strdup(text)) == NULL)
        return pq_fail(err, PQ_E_NOMEM, "out of memory");
    return 0;
}

pq_fetch *pq_fetch_start(pq_session *session, const pq_fetch_request *request,
                         const pq_fetch_events *events, void *context, pq_error *err)
{
    if (request->remote_path[0] == '\0') {
        pq_fail(err, PQ_E_USAGE, "the path in the guest is empty");
        return NULL;
    }
    pq_fetch *fetch = calloc(1, sizeof *fetch);
    if (fetch == NULL) {
        pq_fail(err, PQ_E_NOMEM, "out of memory");
        return NULL;
    }
    fetch->session = session;
    fetch->events = *events;
    fetch->context = context;
    fetch->file.fd = -1;
    fetch->fd = request->fd;
    fetch->mode = request->mode;
    fetch->keep_partial = request->keep_partial;
    fetch->number = pq_session_next_number(session);
    fetch->linked = !is_plain_path(request->remote_path);
    if (copy_text(&fetch->remote_path, request->remote_path, err) < 0 ||
        copy_text(&fetch->local_path, request->local_path, err) < 0 ||
        copy_text(&fetch->resume_key, request->resume_key, err) < 0) {
        pq_fetch_drop(fetch);
        return NULL;
    }
    pq_defer_start(pq_session_loop(session), &fetch->started, begin, fetch);
    return fetch;
}
