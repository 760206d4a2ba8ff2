#include "filexfer/put.h"

#include <stdlib.h>
#include <string.h>

#include "filexfer/guest_scripts.h"
#include "filexfer/put_internal.h"
#include "transport/base/log.h"

/* Two deliveries of one call that run at the same time can disturb each other; the next one
 * succeeds. */
#define SUMS_MAX 2

/* Argument of put.sh that tells a repetition. */
#define PLACE_RETRY_ARGUMENT 8

void pq_put_set_state(pq_put *put, put_state state)
{
    static const char *const names[] = {"adopting", "reading", "single",
                                        "sending",  "placing", "cleaning"};
    put->state = state;
    pq_trace("put-state", PQ_TEXT("state", names[state]), PQ_GUEST("position", put->position));
}

void pq_put_drop(pq_put *put)
{
    if (put == NULL)
        return;
    pq_put_source_done(put);
    pq_put_pieces_done(put);
    pq_put_content_done(put);
    pq_sha256_free(put->beginning);
    pq_call_drop(put->call);
    pq_defer_stop(&put->pumped);
    pq_resume_leave(put->resume);
    free(put->dir);
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

/* There is nothing to go on with any more. */
static void forget_record(pq_put *put)
{
    pq_resume_forget(put->resume);
    put->resume = NULL;
}

/* ---- failing ---- */

static void on_cleaned(void *context, const pq_error *err, pq_call_result *result)
{
    pq_put *put = context;
    (void)result;
    put->call = NULL;
    if (err == NULL)
        forget_record(put);
    else
        pq_log(PQ_LOG_INFO, "a staged file stays in '%s' of the guest for a while: %s",
               pq_put_dir(put), err->text);
    finish(put, &put->failure);
}

static void start_cleaning(pq_put *put)
{
    pq_error err;
    pq_script script = {0};
    if (pq_file_script_begin(&script, PQ_FILE_DROP, &err) == 0 &&
        pq_script_add(&script, pq_put_dir(put), &err) == 0 &&
        pq_script_add(&script, put->dir != NULL ? "-" : put->staged, &err) == 0)
        put->call = pq_call_start(put->session, &script, &PQ_CALL_DEFAULTS, on_cleaned, put, &err);
    pq_script_done(&script);
}

/* Whether what is staged is left for the next put. What cannot be reached cannot be cleaned either:
 * without a record that is the close's, or the next session's. */
static bool leaves_part(const pq_put *put, const pq_error *err)
{
    bool wanted = err->code == PQ_E_CANCELLED && put->keep_partial && put->resume != NULL;
    return err->retryable || wanted;
}

void pq_put_fail(pq_put *put, const pq_error *err)
{
    bool before_placing = put->state < PUT_PLACING && put->state != PUT_SINGLE;
    put->failure = *err;
    if (before_placing)
        put->failure.effect = PQ_EFFECT_NONE;
    pq_put_pieces_done(put);
    pq_watch_stop(&put->readable);
    pq_call_drop(put->call);
    put->call = NULL;
    pq_defer_stop(&put->pumped);
    pq_put_set_state(put, PUT_CLEANING);
    if (put->any_staged && !leaves_part(put, err))
        start_cleaning(put);
    else if (put->resume != NULL && put->staged_end > 0)
        pq_log(PQ_LOG_INFO, "what was sent stays in '%s' of the guest for a day, to go on with",
               put->dir);
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

/* What came of a single call that did not do its work. True if it is made again. */
static bool repeat_single(pq_put *put, const pq_error *err, const char *state)
{
    if (put->state != PUT_SINGLE)
        return false;
    bool refused = err != NULL && err->code == PQ_E_TOO_LARGE && ++put->cuts <= PUT_CUTS_MAX;
    bool packed = err == NULL && strcmp(state, "nounpacker") == 0 && put->builder.piece.packed;
    bool changed = err == NULL && strcmp(state, "sum") == 0 && ++put->sums <= SUMS_MAX;
    if (packed)
        pq_session_set_no_unpacker(put->session);
    if (!refused && !packed && !changed)
        return false;
    pq_put_set_state(put, PUT_READING);
    pq_error failure;
    if (!changed && pq_put_build_anew(put, &failure) < 0) {
        pq_put_fail(put, &failure);
        return true;
    }
    pq_put_pump(put);
    return true;
}

static void on_placed(void *context, const pq_error *err, pq_call_result *result)
{
    pq_put *put = context;
    put->call = NULL;
    const char *state = err == NULL ? result->trailer.state : "";
    if (repeat_single(put, err, state))
        return;
    if (err != NULL) {
        pq_put_fail(put, err);
        return;
    }
    if (strcmp(state, "ok") != 0) {
        place_failed(put, state);
        return;
    }
    forget_record(put);
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

/* `own`: the directory goes with what is staged. */
static int begin_place(pq_put *put, const char *dir, bool own, pq_script *script, pq_error *err)
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
        pq_script_add(script, put->result.sha256, err) < 0 ||
        pq_script_addf(script, err, "%lu-%llu", (unsigned long)cksum,
                       (unsigned long long)put->taken) < 0 ||
        pq_script_add(script, own ? "d" : "-", err) < 0)
        return -1;
    return pq_script_add(script, "-", err);
}

static void start_place(pq_put *put, pq_script *script, put_state state)
{
    pq_error err;
    pq_call_options options = PQ_CALL_DEFAULTS;
    options.retry_argument = PLACE_RETRY_ARGUMENT;
    pq_put_set_state(put, state);
    put->call = pq_call_start(put->session, script, &options, on_placed, put, &err);
    if (put->call == NULL)
        pq_put_fail(put, &err);
}

void pq_put_place(pq_put *put)
{
    pq_error err;
    pq_script script = {0};
    if (begin_place(put, pq_put_dir(put), put->dir != NULL, &script, &err) < 0) {
        pq_script_done(&script);
        pq_put_fail(put, &err);
        return;
    }
    start_place(put, &script, PUT_PLACING);
}

/* Adds all of the content to a call; *ret_fits is false if it does not fit. */
static int add_content(pq_put *put, pq_script *script, bool *ret_fits, pq_error *err)
{
    const pq_buf *bytes = &put->builder.piece.bytes;
    size_t taken = 0;
    *ret_fits = true;
    script->no_decoder = pq_session_lacks_decoder(put->session);
    script->packed = put->builder.piece.packed;
    /* An item makes put.sh create the file; \c stands for nothing, because PVE 7 drops an empty
     * last argument. */
    if (bytes->length == 0)
        return pq_script_add(script, "P", err) < 0 ? -1 : pq_script_add(script, "\\c", err);
    if (pq_script_add_items(script, pq_session_limits(put->session), bytes->data, bytes->length,
                            bytes->length, &taken, err) < 0)
        return -1;
    *ret_fits = taken == bytes->length;
    return 0;
}

/* One call for everything, if it fits. Returns whether that is so, or the put has failed. */
static bool single(pq_put *put)
{
    pq_error err;
    pq_script script = {0};
    bool fits = false;
    if (begin_place(put, pq_session_remote_tmp(put->session), false, &script, &err) < 0 ||
        add_content(put, &script, &fits, &err) < 0) {
        pq_script_done(&script);
        pq_put_fail(put, &err);
        return true;
    }
    if (fits)
        start_place(put, &script, PUT_SINGLE);
    else
        pq_script_done(&script);
    return fits;
}

/* ---- reading and sending ---- */

static bool is_all_in_one(const pq_put *put)
{
    return put->ended && put->waiting.length == 0 && put->again == NULL &&
           put->builder.piece.length == put->taken;
}

/* Reads and builds; *ret_more tells whether that can go on at once. */
static int step(pq_put *put, bool *ret_more, pq_error *err)
{
    if (pq_put_source_read(put, UINT64_MAX, err) < 0 || pq_put_build(put, ret_more, err) < 0)
        return -1;
    if (pq_put_source_is_ready(put))
        *ret_more = true;
    return 0;
}

static void pump(void *context)
{
    pq_put *put = context;
    pq_error err;
    bool more = false;
    uint64_t before = put->position;
    if (put->state == PUT_ADOPTING) {
        pq_put_adopt(put);
        return;
    }
    if (put->state != PUT_READING && put->state != PUT_SENDING)
        return;
    if (step(put, &more, &err) < 0) {
        pq_put_fail(put, &err);
        return;
    }
    if (more)
        pq_put_pump(put);
    bool wanted = put->position != before && pq_put_room(put) > 0;
    if (put->state == PUT_READING && (put->builder.complete || is_all_in_one(put))) {
        if (is_all_in_one(put) && single(put))
            return;
        pq_pace_begin(pq_session_write_pace(put->session));
        pq_put_set_state(put, PUT_SENDING);
    }
    if (wanted && put->events.content_wanted != NULL) {
        pq_put_pump(put);
        put->events.content_wanted(put->context);
    } else if (put->state == PUT_SENDING) {
        pq_put_send(put);
    }
}

void pq_put_pump(pq_put *put)
{
    pq_defer_start(pq_session_loop(put->session), &put->pumped, pump, put);
}

static int take_request(pq_put *put, const pq_put_request *request, pq_error *err)
{
    if (request->remote_path[0] == '\0')
        return pq_fail(err, PQ_E_USAGE, "the path in the guest is empty");
    put->remote_path = strdup(request->remote_path);
    put->name = request->name != NULL ? strdup(request->name) : NULL;
    if (put->remote_path == NULL || (request->name != NULL && put->name == NULL))
        return pq_fail(err, PQ_E_NOMEM, "out of memory");
    put->fd = request->fd;
    put->mode = request->mode;
    put->new_mode = request->new_mode;
    put->size = request->size;
    put->keep_partial = request->keep_partial;
    if (pq_put_source_open(put, err) < 0)
        return -1;
    return pq_put_resume_open(put, request->resume_key, err);
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
    put->state = PUT_READING;
    put->patience = 1;
    if (take_request(put, request, err) < 0) {
        pq_put_drop(put);
        return NULL;
    }
    pq_put_pump(put);
    return put;
}
