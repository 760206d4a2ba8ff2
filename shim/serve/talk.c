/* The course of a conversation. See serve.h. */
#include <stdlib.h>

#include "shim/serve/serve.h"
#include "shim/task.h"

/* For the last answers to be written after a signal. */
#define LAST_WORDS_MS 1000

static void set_state(pq_talk *talk, serve_state state)
{
    static const char *const names[] = {"open", "ending", "cleaning", "flushing"};
    pq_trace("serve-state", PQ_TEXT("from", names[talk->state]), PQ_TEXT("to", names[state]),
             PQ_INT("status", talk->status));
    talk->state = state;
}

/* ---- the end ---- */

static void report_end(void *context)
{
    pq_talk *talk = context;
    talk->events.ended(talk->context, talk->signal != 0 ? 128 + talk->signal : talk->status);
}

static void answer_close(pq_talk *talk, const pq_error *err)
{
    pq_error failure;
    if (err != NULL)
        pq_serve_error(talk, &talk->close_id, PQ_RPC_FAILED, err);
    else
        pq_serve_sent(talk,
                      pq_message_empty_result(pq_serve_queue(talk), &talk->close_id, &failure),
                      &failure);
}

void pq_talk_cleaned(pq_talk *talk, const pq_error *err)
{
    if (pq_id_is_set(&talk->close_id))
        answer_close(talk, err);
    set_state(talk, SERVE_FLUSHING);
    if (talk->signal != 0)
        pq_timer_start(talk->loop, &talk->patience, LAST_WORDS_MS, report_end, talk);
    pq_serve_settle(talk);
}

static void settle(void *context)
{
    pq_talk *talk = context;
    if (talk->state == SERVE_OPEN && talk->protocol.closing)
        set_state(talk, SERVE_ENDING);
    if (talk->state == SERVE_ENDING && talk->requests == NULL) {
        pq_serve_input_stop(talk);
        pq_timer_stop(&talk->patience);
        set_state(talk, SERVE_CLEANING);
        talk->events.clean(talk->context);
    } else if (talk->state == SERVE_FLUSHING && pq_sink_length(&talk->out) == 0) {
        report_end(talk);
    }
}

void pq_serve_settle(pq_talk *talk)
{
    if (talk->state != SERVE_OPEN || talk->protocol.closing)
        pq_defer_start(talk->loop, &talk->settle, settle, talk);
}

void pq_serve_end(pq_talk *talk, int status)
{
    pq_serve_input_stop(talk);
    if (status != 0)
        talk->status = status;
    if (talk->state == SERVE_OPEN)
        set_state(talk, SERVE_ENDING);
    pq_serve_settle(talk);
}

/* ---- the end that does not wait for requests ---- */

static void out_of_patience(void *context)
{
    pq_talk *talk = context;
    while (talk->requests != NULL)
        pq_serve_request_drop(talk->requests);
}

static void cancel(pq_talk *talk, int status)
{
    pq_serve_end(talk, status);
    pq_serve_cancel_all(talk);
    if (talk->state == SERVE_ENDING && !pq_timer_is_running(&talk->patience))
        pq_timer_start(talk->loop, &talk->patience, PQ_TASK_PATIENCE_MS, out_of_patience, talk);
}

bool pq_talk_signal(pq_talk *talk, int number)
{
    if (++talk->signals == 1)
        talk->signal = number;
    if (talk->signals > 2)
        return false;
    cancel(talk, 0);
    if (talk->state == SERVE_FLUSHING)
        pq_timer_start(talk->loop, &talk->patience, LAST_WORDS_MS, report_end, talk);
    return true;
}

void pq_talk_hang_up(pq_talk *talk)
{
    pq_serve_output_stop(talk);
    cancel(talk, PQ_EXIT_FAILURE);
    pq_serve_settle(talk);
}

/* ---- life ---- */

static void link_talk(pq_talk *talk, pq_server *server)
{
    talk->next = server->talks;
    talk->link = &server->talks;
    if (talk->next != NULL)
        talk->next->link = &talk->next;
    server->talks = talk;
    pq_server_level(server);
}

static void unlink_talk(pq_talk *talk)
{
    *talk->link = talk->next;
    if (talk->next != NULL)
        talk->next->link = talk->link;
    pq_server_level(talk->server);
}

pq_talk *pq_talk_new(pq_server *server, const pq_talk_options *options,
                     const pq_talk_events *events, void *context, pq_error *err)
{
    pq_talk *talk = calloc(1, sizeof *talk);
    if (talk == NULL) {
        pq_fail(err, PQ_E_NOMEM, "out of memory");
        return NULL;
    }
    talk->server = server;
    talk->loop = server->loop;
    talk->events = *events;
    talk->context = context;
    talk->config = options->config;
    talk->cwd = options->cwd;
    talk->level = options->level;
    link_talk(talk, server);
    pq_serve_output_start(talk, options->out);
    pq_serve_input_start(talk, options->in);
    return talk;
}

void pq_talk_free(pq_talk *talk)
{
    if (talk == NULL)
        return;
    talk->broken = true;
    while (talk->requests != NULL)
        pq_serve_request_drop(talk->requests);
    pq_serve_input_stop(talk);
    pq_message_done(&talk->input.frame.message);
    pq_buf_done(&talk->input.frame.payload);
    pq_frame_decoder_done(&talk->input.decoder);
    pq_sink_done(&talk->out);
    pq_defer_stop(&talk->settle);
    pq_defer_stop(&talk->hang_up);
    pq_timer_stop(&talk->patience);
    unlink_talk(talk);
    pq_config_free(talk->hello_config);
    free(talk->hello_vm);
    free(talk);
}
