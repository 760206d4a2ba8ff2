#include "filexfer/put.h"

#include <stdlib.h>
#include <string.h>

#include "filexfer/guest_scripts.h"
#include "filexfer/put_internal.h"
#include "transport/base/log.h"

/* How long cleaning up waits for pieces that are being sent. */
#define PIECES_PATIENCE_MS 2000

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

void pq_put_finish(pq_put *put, const pq_error *err)
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

void pq_put_forget_record(pq_put *put)
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
        pq_put_forget_record(put);
    else
        pq_log(PQ_LOG_INFO, "a staged file stays in '%s' of the guest for a while: %s",
               pq_put_dir(put), err->text);
    pq_put_finish(put, &put->failure);
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

static void clean(void *context)
{
    pq_put *put = context;
    pq_put_pieces_done(put);
    start_cleaning(put);
    if (put->call == NULL)
        pq_put_finish(put, &put->failure);
}

void pq_put_clean(pq_put *put)
{
    /* A piece that comes later would make a directory of ours again, which nobody else removes. */
    if (put->dir == NULL || !pq_put_end_pieces(put))
        clean(put);
    else if (!pq_timer_is_running(&put->later))
        pq_timer_start(pq_session_loop(put->session), &put->later, PIECES_PATIENCE_MS, clean, put);
}

void pq_put_fail(pq_put *put, const pq_error *err)
{
    bool before_placing = put->state < PUT_PLACING && put->state != PUT_SINGLE;
    put->failure = *err;
    if (before_placing)
        put->failure.effect = PQ_EFFECT_NONE;
    pq_watch_stop(&put->readable);
    pq_call_drop(put->call);
    put->call = NULL;
    pq_defer_stop(&put->pumped);
    pq_timer_stop(&put->later);
    pq_put_set_state(put, PUT_CLEANING);
    if (put->any_staged && !leaves_part(put, &put->failure)) {
        pq_put_clean(put);
        return;
    }
    if (put->resume != NULL && put->staged_end > 0)
        pq_log(PQ_LOG_INFO, "what was sent stays in '%s' of the guest for a day, to go on with",
               put->dir);
    pq_put_finish(put, &put->failure);
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
        if (is_all_in_one(put) && pq_put_single(put))
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
