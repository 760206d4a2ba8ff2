#include "filexfer/put.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "filexfer/guest_scripts.h"
#include "filexfer/put_internal.h"
#include "transport/base/log.h"

/* Two deliveries of one call that run at the same time can disturb each other; the next one
 * succeeds. */
#define SUMS_MAX 2

static void set_state(pq_put *put, put_state state)
{
    static const char *const names[] = {"reading", "single", "sending", "placing", "cleaning"};
    put->state = state;
    pq_trace("put-state", PQ_TEXT("state", names[state]), PQ_GUEST("sent", put->sent));
}

void pq_put_drop(pq_put *put)
{
    if (put == NULL)
        return;
    pq_put_source_done(put);
    pq_put_pieces_done(put);
    pq_call_drop(put->call);
    pq_defer_stop(&put->pumped);
    free(put->remote_path);
    free(put->name);
    free(put);
}

static void finish(pq_put *put, const pq_error *err)
{
    pq_put_events events = put->events;
    void *context = put->context;
    pq_put_result result = put->result;
    pq_error failure;
    if (err != NULL)
        failure = *err;
    pq_put_drop(put);
    events.done(context, err != NULL ? &failure : NULL, err == NULL ? &result : NULL);
}

/* ---- failing ---- */

static void on_cleaned(void *context, const pq_error *err, pq_call_result *result)
{
    pq_put *put = context;
    (void)result;
    put->call = NULL;
    if (err != NULL)
        pq_log(PQ_LOG_INFO,
               "a staged file stays in '%s' of the guest until the session is closed: %s",
               pq_session_files_dir(put->session), err->text);
    finish(put, &put->failure);
}

void pq_put_fail(pq_put *put, const pq_error *err)
{
    pq_error failure;
    pq_script script = {0};
    bool staged = put->sent > 0;
    put->failure = *err;
    if (put->state == PUT_READING || put->state == PUT_SENDING)
        put->failure.effect = PQ_EFFECT_NONE;
    pq_put_pieces_done(put);
    pq_watch_stop(&put->readable);
    pq_call_drop(put->call);
    put->call = NULL;
    pq_defer_stop(&put->pumped);
    set_state(put, PUT_CLEANING);
    /* What cannot be reached cannot be cleaned: that is the close's, or the next session's. */
    bool reachable = !err->retryable;
    if (staged && reachable && pq_file_script_begin(&script, PQ_FILE_DROP, &failure) == 0 &&
        pq_script_add(&script, pq_session_files_dir(put->session), &failure) == 0 &&
        pq_script_add(&script, put->staged, &failure) == 0)
        put->call =
            pq_call_start(put->session, &script, &PQ_CALL_DEFAULTS, on_cleaned, put, &failure);
    pq_script_done(&script);
    if (put->call == NULL)
        finish(put, &put->failure);
}

void pq_put_cancel(pq_put *put)
{
    pq_error err;
    if (put->state == PUT_CLEANING)
        return;
    bool placing = put->state == PUT_PLACING || put->state == PUT_SINGLE;
    pq_fail_effect(&err, PQ_E_CANCELLED, placing ? PQ_EFFECT_UNKNOWN : PQ_EFFECT_NONE, false,
                   placing ? "cancelled while the file was put in its place" : "cancelled");
    pq_put_fail(put, &err);
}

static void place_failed(pq_put *put, const char *state)
{
    static const struct {
        const char *state;
        pq_code code;
        const char *text;
    } reasons[] = {
        {"full", PQ_E_GUEST_FULL, "no space for it in the guest"},
        {"sum", PQ_E_CHECKSUM, "what arrived in the guest is not what was sent"},
        {"isdir", PQ_E_IS_DIRECTORY, "it is a directory in the guest"},
        {"noparent", PQ_E_NOT_FOUND, "its directory does not exist in the guest"},
        {"denied", PQ_E_REMOTE_FILE, "its directory in the guest cannot be written"},
    };
    pq_error err;
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        if (strcmp(state, reasons[i].state) == 0) {
            pq_fail(&err, reasons[i].code, "%s", reasons[i].text);
            pq_put_fail(put, &err);
            return;
        }
    }
    if (strcmp(state, "tmp") == 0)
        pq_fail(&err, PQ_E_REMOTE_TMP, "'%s' in the guest cannot be written",
                pq_session_remote_tmp(put->session));
    else
        pq_fail(&err, PQ_E_BAD_ANSWER, "the guest's script said '%s'", state);
    pq_put_fail(put, &err);
}

/* ---- the last step ---- */

static void on_placed(void *context, const pq_error *err, pq_call_result *result)
{
    pq_put *put = context;
    put->call = NULL;
    if (err != NULL && put->state == PUT_SINGLE && err->code == PQ_E_TOO_LARGE &&
        ++put->cuts <= PUT_CUTS_MAX) {
        set_state(put, PUT_READING);
        pq_put_pump(put);
        return;
    }
    if (err != NULL) {
        pq_put_fail(put, err);
        return;
    }
    const char *state = result->trailer.state;
    if (strcmp(state, "sum") == 0 && put->state == PUT_SINGLE && ++put->sums <= SUMS_MAX) {
        set_state(put, PUT_READING);
        pq_put_pump(put);
        return;
    }
    if (strcmp(state, "ok") != 0) {
        place_failed(put, state);
        return;
    }
    put->result.bytes = put->taken;
    put->result.mode = (unsigned)strtoul(result->trailer.fields, NULL, 8) & 07777;
    put->result.digest_checked = pq_trailer_number(&result->trailer, 1) == 1;
    if (put->events.progress != NULL)
        put->events.progress(put->context, put->taken, put->size);
    finish(put, NULL);
}

static int add_mode(pq_script *script, int mode, pq_error *err)
{
    return mode < 0 ? pq_script_add(script, "-", err) : pq_script_addf(script, err, "%o", mode);
}

static int begin_place(pq_put *put, const char *dir, pq_script *script, pq_error *err)
{
    const char *name = put->name != NULL ? put->name : "-";
    uint32_t cksum = pq_cksum_end(put->cksum, put->taken);
    if (put->result.sha256[0] == '\0')
        pq_sha256_hex(put->sha256, put->result.sha256);
    if (pq_file_script_begin(script, PQ_FILE_PUT, err) < 0 ||
        pq_script_addf(script, err, "%s/%s", dir, put->staged) < 0 ||
        pq_script_add_escaped(script, put->remote_path, strlen(put->remote_path), err) < 0 ||
        pq_script_add_escaped(script, name, strlen(name), err) < 0 ||
        add_mode(script, put->mode, err) < 0 || add_mode(script, put->new_mode, err) < 0 ||
        pq_script_add(script, put->result.sha256, err) < 0)
        return -1;
    return pq_script_addf(script, err, "%lu-%llu", (unsigned long)cksum,
                          (unsigned long long)put->taken);
}

static void start_place(pq_put *put, pq_script *script, put_state state)
{
    pq_error err;
    set_state(put, state);
    put->call = pq_call_start(put->session, script, &PQ_CALL_DEFAULTS, on_placed, put, &err);
    if (put->call == NULL)
        pq_put_fail(put, &err);
}

void pq_put_place(pq_put *put)
{
    pq_error err;
    pq_script script = {0};
    if (begin_place(put, pq_session_files_dir(put->session), &script, &err) < 0) {
        pq_script_done(&script);
        pq_put_fail(put, &err);
        return;
    }
    start_place(put, &script, PUT_PLACING);
}

/* One call for everything, if it fits. False: nothing was sent; `failed` tells why. */
static bool single(pq_put *put, bool *ret_failed)
{
    const pq_agent_limits *limits = pq_session_limits(put->session);
    pq_error err;
    pq_script script = {0};
    size_t length = put->waiting.length, taken = 0;
    *ret_failed = false;
    if (begin_place(put, pq_session_remote_tmp(put->session), &script, &err) < 0)
        goto fail;
    script.no_decoder = pq_session_lacks_decoder(put->session);
    if (length == 0) {
        /* An item makes put.sh create the file; \c stands for nothing, because PVE 7 drops an empty
         * last argument. */
        if (pq_script_add(&script, "P", &err) < 0 || pq_script_add(&script, "\\c", &err) < 0)
            goto fail;
    } else if (pq_script_add_items(&script, limits, put->waiting.data, length, length, &taken,
                                   &err) < 0) {
        goto fail;
    }
    if (taken < length) {
        pq_script_done(&script);
        return false;
    }
    start_place(put, &script, PUT_SINGLE);
    return true;
fail:
    pq_script_done(&script);
    *ret_failed = true;
    pq_put_fail(put, &err);
    return false;
}

/* ---- reading and sending ---- */

static void pump(void *context)
{
    pq_put *put = context;
    pq_error err;
    bool failed;
    if (put->state > PUT_SENDING || put->state == PUT_SINGLE)
        return;
    if (pq_put_source_read(put, &err) < 0) {
        pq_put_fail(put, &err);
        return;
    }
    if (put->state == PUT_READING) {
        bool may_fit = put->waiting.length < pq_session_limits(put->session)->args_bytes;
        if (may_fit && !put->ended)
            return;
        if (put->ended && (single(put, &failed) || failed))
            return;
        set_state(put, PUT_SENDING);
    }
    pq_put_send(put);
}

void pq_put_pump(pq_put *put)
{
    pq_defer_start(pq_session_loop(put->session), &put->pumped, pump, put);
}

static int take_request(pq_put *put, const pq_put_request *request, pq_error *err)
{
    char random[2 * 16 + 1];
    if (request->remote_path[0] == '\0')
        return pq_fail(err, PQ_E_USAGE, "the path in the guest is empty");
    put->remote_path = strdup(request->remote_path);
    put->name = request->name != NULL ? strdup(request->name) : NULL;
    if (put->remote_path == NULL || (request->name != NULL && put->name == NULL))
        return pq_fail(err, PQ_E_NOMEM, "out of memory");
    if (pq_random_hex(random, 16, err) < 0)
        return -1;
    snprintf(put->staged, sizeof put->staged, ".pve-qga-run-%s", random);
    put->fd = request->fd;
    put->mode = request->mode;
    put->new_mode = request->new_mode;
    put->size = request->size;
    return pq_put_source_open(put, err);
}

pq_put *pq_put_start(pq_session *session, const pq_put_request *request,
                     const pq_put_events *events, void *context, pq_error *err)
{
    pq_put *put = calloc(1, sizeof *put);
    if (put == NULL) {
        pq_fail(err, PQ_E_NOMEM, "out of memory");
        return NULL;
    }
    put->session = session;
    put->events = *events;
    put->context = context;
    put->fd = -1;
    if (take_request(put, request, err) < 0) {
        pq_put_drop(put);
        return NULL;
    }
    pq_put_pump(put);
    return put;
}
