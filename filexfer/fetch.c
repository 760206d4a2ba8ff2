#include "filexfer/fetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "exec/call.h"
#include "exec/range.h"
#include "filexfer/guest_scripts.h"
#include "filexfer/local_file.h"
#include "transport/base/log.h"

/* A file up to this size comes with the first answer: what rides cheaply on exec-status. */
#define SMALL_BYTES 65536

typedef enum fetch_state {
    FETCH_OPENING,
    FETCH_READING,
    FETCH_COMPARING,
    FETCH_CLEANING
} fetch_state;

struct pq_fetch {
    pq_session *session;
    pq_fetch_events events;
    void *context;
    fetch_state state;
    char *remote_path;
    char *local_path; /* NULL: to a descriptor */
    int fd;
    int mode;
    unsigned number;
    bool linked; /* a link with an ASCII name stands for the file */
    pq_local_file file;
    pq_defer started;
    pq_call *call; /* opening, cleaning */
    pq_call *summing;
    pq_range *range;
    uint64_t size; /* as told when opened */
    uint64_t received;
    bool read_pieces; /* something of ours may be in the session's directory */
    bool summed;
    pq_sha256 *sha256;
    uint32_t cksum;
    char guest_sha256[PQ_SHA256_HEX_SIZE];
    char guest_cksum[40];
    pq_fetch_result result;
    pq_error failure; /* to be reported when cleaned up; code PQ_OK: none */
};

static void set_state(pq_fetch *fetch, fetch_state state)
{
    static const char *const names[] = {"opening", "reading", "comparing", "cleaning"};
    fetch->state = state;
    pq_trace("fetch-state", PQ_TEXT("state", names[state]), PQ_GUEST("received", fetch->received));
}

void pq_fetch_drop(pq_fetch *fetch)
{
    if (fetch == NULL)
        return;
    pq_defer_stop(&fetch->started);
    pq_call_drop(fetch->call);
    pq_call_drop(fetch->summing);
    pq_range_drop(fetch->range);
    pq_local_file_done(&fetch->file);
    pq_sha256_free(fetch->sha256);
    free(fetch->remote_path);
    free(fetch->local_path);
    free(fetch);
}

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
    set_state(fetch, FETCH_CLEANING);
    if (pq_file_script_begin(&script, PQ_FILE_DROP, &err) == 0 &&
        pq_script_add(&script, pq_session_files_dir(fetch->session), &err) == 0 &&
        pq_script_addf(&script, &err, "%u", fetch->number) == 0)
        fetch->call =
            pq_call_start(fetch->session, &script, &PQ_CALL_DEFAULTS, on_cleaned, fetch, &err);
    pq_script_done(&script);
    return fetch->call != NULL;
}

static void finish(pq_fetch *fetch, const pq_error *err)
{
    if (err != NULL) {
        fetch->failure = *err;
        /* Reading changes nothing in the guest. */
        fetch->failure.effect = PQ_EFFECT_NONE;
    }
    pq_call_drop(fetch->call);
    pq_call_drop(fetch->summing);
    pq_range_drop(fetch->range);
    fetch->call = fetch->summing = NULL;
    fetch->range = NULL;
    bool helpers = fetch->linked || !pq_session_limits(fetch->session)->offset_reads;
    /* What cannot be reached cannot be cleaned: that is the close's, or the next session's. */
    bool reachable = err == NULL || !err->retryable;
    if (!(fetch->read_pieces && helpers && reachable && start_cleaning(fetch)))
        report(fetch);
}

void pq_fetch_cancel(pq_fetch *fetch)
{
    pq_error err;
    if (fetch->state == FETCH_CLEANING)
        return;
    pq_fail(&err, PQ_E_CANCELLED, "cancelled");
    finish(fetch, &err);
}

/* ---- bytes ---- */

static int receive(pq_fetch *fetch, const char *bytes, size_t length, pq_error *err)
{
    if (length == 0)
        return 0;
    pq_sha256_add(fetch->sha256, bytes, length);
    fetch->cksum = pq_cksum_add(fetch->cksum, bytes, length);
    fetch->received += length;
    if (fetch->events.content != NULL)
        return fetch->events.content(fetch->context, bytes, length, err);
    return pq_local_file_write(&fetch->file, bytes, length, err);
}

static void progress(pq_fetch *fetch)
{
    if (fetch->events.progress != NULL)
        fetch->events.progress(fetch->context, fetch->received, (int64_t)fetch->size);
}

/* ---- comparing ---- */

static int compare(pq_fetch *fetch, pq_error *err)
{
    char cksum[40];
    pq_sha256_hex(fetch->sha256, fetch->result.sha256);
    snprintf(cksum, sizeof cksum, "%lu-%llu",
             (unsigned long)pq_cksum_end(fetch->cksum, fetch->received),
             (unsigned long long)fetch->received);
    bool by_digest = fetch->guest_sha256[0] != '\0' && strcmp(fetch->guest_sha256, "-") != 0;
    bool by_cksum = fetch->guest_cksum[0] != '\0' && strcmp(fetch->guest_cksum, "-") != 0;
    fetch->result.digest_checked = by_digest;
    bool same = by_digest  ? strcmp(fetch->guest_sha256, fetch->result.sha256) == 0
                : by_cksum ? strcmp(fetch->guest_cksum, cksum) == 0
                           : fetch->size == 0 || fetch->size == fetch->received;
    if (!same)
        return pq_fail(err, PQ_E_CHECKSUM, "what arrived is not what the guest has now");
    return 0;
}

static int permission_bits(const pq_fetch *fetch)
{
    if (fetch->mode >= 0)
        return fetch->mode;
    mode_t mask = umask(0);
    umask(mask);
    return (int)(fetch->result.mode & ~mask & 0777);
}

static void keep(pq_fetch *fetch)
{
    pq_error err;
    fetch->result.bytes = fetch->received;
    if (compare(fetch, &err) < 0 ||
        (fetch->events.content == NULL &&
         pq_local_file_keep(&fetch->file, permission_bits(fetch), &err) < 0))
        finish(fetch, &err);
    else
        finish(fetch, NULL);
}

static void take_sums(pq_fetch *fetch, const pq_trailer *trailer)
{
    pq_trailer_value(trailer, "sha256", fetch->guest_sha256, sizeof fetch->guest_sha256);
    pq_trailer_value(trailer, "cksum", fetch->guest_cksum, sizeof fetch->guest_cksum);
    fetch->summed = true;
}

static void on_summed(void *context, const pq_error *err, pq_call_result *result)
{
    pq_fetch *fetch = context;
    pq_error failure;
    fetch->summing = NULL;
    if (err != NULL) {
        finish(fetch, err);
        return;
    }
    if (strcmp(result->trailer.state, "ok") != 0) {
        pq_fail(&failure, PQ_E_NOT_FOUND, "it is gone from the guest");
        finish(fetch, &failure);
        return;
    }
    take_sums(fetch, &result->trailer);
    if (fetch->state == FETCH_COMPARING)
        keep(fetch);
}

static int start_sum(pq_fetch *fetch, pq_error *err)
{
    pq_script script = {0};
    if (pq_file_script_begin(&script, PQ_FILE_SUM, err) == 0 &&
        pq_script_add_escaped(&script, fetch->remote_path, strlen(fetch->remote_path), err) == 0)
        fetch->summing =
            pq_call_start(fetch->session, &script, &PQ_CALL_DEFAULTS, on_summed, fetch, err);
    pq_script_done(&script);
    return fetch->summing != NULL ? 0 : -1;
}

/* ---- a large file ---- */

static bool on_data(void *context, const char *bytes, size_t length)
{
    pq_fetch *fetch = context;
    pq_error err;
    if (receive(fetch, bytes, length, &err) == 0) {
        progress(fetch);
        return true;
    }
    fetch->range = NULL;
    finish(fetch, &err);
    return false;
}

static void on_read(void *context, const pq_error *err, uint64_t end)
{
    pq_fetch *fetch = context;
    (void)end;
    fetch->range = NULL;
    if (err != NULL) {
        finish(fetch, err);
        return;
    }
    set_state(fetch, FETCH_COMPARING);
    if (fetch->summed)
        keep(fetch);
}

static bool is_plain_path(const char *path)
{
    for (const char *c = path; *c != '\0'; c++) {
        if (*c < 0x20 || *c > 0x7E)
            return false;
    }
    return path[0] == '/';
}

static void start_reading(pq_fetch *fetch)
{
    pq_error err;
    char path[1200];
    const char *dir = pq_session_files_dir(fetch->session);
    snprintf(path, sizeof path, "%s/%u", dir, fetch->number);
    pq_range_request request = {.dir = dir,
                                .number = fetch->number,
                                .path = fetch->linked ? path : fetch->remote_path,
                                .start = 0,
                                .end = fetch->size};
    set_state(fetch, FETCH_READING);
    fetch->read_pieces = true;
    fetch->range = pq_range_start(fetch->session, &request, on_data, on_read, fetch, &err);
    if (fetch->range == NULL || start_sum(fetch, &err) < 0)
        finish(fetch, &err);
}

/* ---- opening ---- */

static void open_failed(pq_fetch *fetch, const char *state)
{
    static const struct {
        const char *state;
        pq_code code;
        const char *text;
    } reasons[] = {
        {"missing", PQ_E_NOT_FOUND, "no such file in the guest"},
        {"isdir", PQ_E_IS_DIRECTORY, "it is a directory in the guest"},
        {"denied", PQ_E_REMOTE_FILE, "it cannot be read in the guest"},
    };
    pq_error err;
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        if (strcmp(state, reasons[i].state) == 0) {
            pq_fail(&err, reasons[i].code, "%s", reasons[i].text);
            finish(fetch, &err);
            return;
        }
    }
    if (strcmp(state, "tmp") == 0)
        pq_fail(&err, PQ_E_REMOTE_TMP, "'%s' in the guest cannot be written",
                pq_session_remote_tmp(fetch->session));
    else
        pq_fail(&err, PQ_E_BAD_ANSWER, "the guest's script said '%s'", state);
    finish(fetch, &err);
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

static void on_opened(void *context, const pq_error *err, pq_call_result *result)
{
    pq_fetch *fetch = context;
    pq_error failure;
    char whole[4] = "", mode[8] = "";
    fetch->call = NULL;
    if (err != NULL) {
        finish(fetch, err);
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
    pq_trailer_value(trailer, "whole", whole, sizeof whole);
    if (strcmp(whole, "1") != 0) {
        start_reading(fetch);
        return;
    }
    take_sums(fetch, trailer);
    if (receive(fetch, result->out.data, result->out.length, &failure) < 0) {
        finish(fetch, &failure);
        return;
    }
    progress(fetch);
    keep(fetch);
}

static int build_open(pq_fetch *fetch, pq_script *script, pq_error *err)
{
    if (pq_file_script_begin(script, PQ_FILE_OPEN, err) < 0 ||
        pq_script_add(script, pq_session_files_dir(fetch->session), err) < 0 ||
        pq_script_addf(script, err, "%u", fetch->number) < 0 ||
        pq_script_add_escaped(script, fetch->remote_path, strlen(fetch->remote_path), err) < 0 ||
        pq_script_addf(script, err, "%d", SMALL_BYTES) < 0)
        return -1;
    return pq_script_add(script, fetch->linked ? "1" : "0", err);
}

static void begin(void *context)
{
    pq_fetch *fetch = context;
    pq_error err;
    pq_script script = {0};
    fetch->sha256 = pq_sha256_new(&err);
    pq_call_options options = PQ_CALL_DEFAULTS;
    options.makes_directory = fetch->linked;
    if (fetch->sha256 != NULL && open_local(fetch, &err) == 0 &&
        build_open(fetch, &script, &err) == 0)
        fetch->call = pq_call_start(fetch->session, &script, &options, on_opened, fetch, &err);
    pq_script_done(&script);
    if (fetch->call == NULL)
        finish(fetch, &err);
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
    fetch->number = pq_session_next_number(session);
    fetch->linked = !is_plain_path(request->remote_path);
    fetch->remote_path = strdup(request->remote_path);
    fetch->local_path = request->local_path != NULL ? strdup(request->local_path) : NULL;
    if (fetch->remote_path == NULL || (request->local_path != NULL && fetch->local_path == NULL)) {
        pq_fetch_drop(fetch);
        pq_fail(err, PQ_E_NOMEM, "out of memory");
        return NULL;
    }
    pq_defer_start(pq_session_loop(session), &fetch->started, begin, fetch);
    return fetch;
}
