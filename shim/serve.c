/*
 * serve: the course of the server. See serve.h.
 */
#include "shim/serve.h"

#include <signal.h>
#include <stdlib.h>

#include "shim/operands.h"
#include "shim/task.h"
#include "transport/base/log.h"

/* For the last answers to be written after a signal. */
#define LAST_WORDS_MS 1000

static void set_state(pq_server *server, serve_state state)
{
    static const char *const names[] = {"open", "ending", "cleaning", "flushing"};
    pq_trace("serve-state", PQ_TEXT("from", names[server->state]), PQ_TEXT("to", names[state]),
             PQ_INT("status", server->status));
    server->state = state;
}

/* ---- the end ---- */

static void stop(void *context)
{
    pq_server *server = context;
    pq_loop_stop(server->loop);
}

static void answer_close(pq_server *server, const pq_error *err)
{
    pq_error failure;
    if (err != NULL)
        pq_serve_error(server, &server->close_id, PQ_RPC_FAILED, err);
    else
        pq_serve_sent(server,
                      pq_message_empty_result(pq_serve_queue(server), &server->close_id, &failure),
                      &failure);
}

static void on_clean(void *context, const pq_error *err)
{
    pq_server *server = context;
    if (pq_id_is_set(&server->close_id))
        answer_close(server, err);
    pq_serve_log_to_client(server, false);
    set_state(server, SERVE_FLUSHING);
    if (server->signal != 0)
        pq_timer_start(server->loop, &server->patience, LAST_WORDS_MS, stop, server);
    pq_serve_settle(server);
}

static void settle(void *context)
{
    pq_server *server = context;
    if (server->state == SERVE_OPEN && server->conversation.closing)
        set_state(server, SERVE_ENDING);
    if (server->state == SERVE_ENDING && server->requests == NULL) {
        pq_serve_input_stop(server);
        pq_timer_stop(&server->patience);
        set_state(server, SERVE_CLEANING);
        pq_targets_close(server->targets, on_clean, server);
    } else if (server->state == SERVE_FLUSHING && pq_sink_length(&server->out) == 0) {
        pq_loop_stop(server->loop);
    }
}

void pq_serve_settle(pq_server *server)
{
    if (server->state != SERVE_OPEN || server->conversation.closing)
        pq_defer_start(server->loop, &server->settle, settle, server);
}

static void out_of_patience(void *context)
{
    pq_server *server = context;
    while (server->requests != NULL)
        pq_serve_request_drop(server->requests);
}

void pq_serve_end(pq_server *server, int status)
{
    pq_serve_input_stop(server);
    if (status != 0)
        server->status = status;
    if (server->state == SERVE_OPEN)
        set_state(server, SERVE_ENDING);
    pq_serve_settle(server);
}

/* ---- signals ---- */

static void on_signal(void *context, int number)
{
    pq_server *server = context;
    if (++server->signals == 1)
        server->signal = number;
    if (server->signals > 2) {
        pq_log(PQ_LOG_ERROR, "ended at once; the guests were not cleaned up");
        stop(server);
        return;
    }
    pq_serve_end(server, 0);
    pq_serve_cancel_all(server);
    if (server->state == SERVE_FLUSHING)
        pq_timer_start(server->loop, &server->patience, LAST_WORDS_MS, stop, server);
    else if (server->state == SERVE_ENDING && server->signals == 1)
        pq_timer_start(server->loop, &server->patience, PQ_TASK_PATIENCE_MS, out_of_patience,
                       server);
}

static int handle_signals(pq_server *server, pq_error *err)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        struct sigaction old;
        if (sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler == SIG_IGN)
            continue;
        if (pq_loop_on_signal(server->loop, numbers[i], on_signal, server, err) < 0)
            return -1;
    }
    return 0;
}

/* ---- the course ---- */

/* Secrets are read before the first request, because a descriptor can be read only once. */
static int start(pq_server *server, pq_run *run, pq_error *err)
{
    if (pq_operands_none(&run->operands, err) < 0 || pq_config_read_secrets(run->config, err) < 0)
        return -1;
    server->config = run->config;
    server->loop = pq_loop_new(err);
    if (server->loop == NULL)
        return -1;
    server->targets = pq_targets_new(server->loop, err);
    if (server->targets == NULL || handle_signals(server, err) < 0)
        return -1;
    pq_serve_output_start(server);
    pq_serve_input_start(server);
    return 0;
}

static int work(pq_server *server, pq_error *err)
{
    if (pq_loop_run(server->loop, err) < 0)
        return -1;
    if (server->signal != 0)
        return 128 + server->signal;
    if (server->state == SERVE_FLUSHING)
        return server->status;
    return pq_fail(err, PQ_E_INTERNAL, "nothing is left to wait for");
}

static void server_free(pq_server *server)
{
    server->broken = true;
    pq_serve_log_to_client(server, false);
    while (server->requests != NULL)
        pq_serve_request_drop(server->requests);
    pq_serve_input_stop(server);
    pq_message_done(&server->input.frame.message);
    pq_buf_done(&server->input.frame.payload);
    pq_frame_decoder_done(&server->input.decoder);
    pq_sink_done(&server->out);
    pq_defer_stop(&server->settle);
    pq_defer_stop(&server->hang_up);
    pq_timer_stop(&server->patience);
    pq_targets_free(server->targets);
    pq_loop_free(server->loop);
    pq_config_free(server->hello_config);
    free(server->hello_vm);
    free(server);
}

int pq_run_serve(pq_run *run)
{
    pq_error err;
    pq_server *server = calloc(1, sizeof *server);
    if (server == NULL) {
        pq_fail(&err, PQ_E_NOMEM, "out of memory");
        return pq_task_refuse(&err, NULL);
    }
    int status = start(server, run, &err) < 0 ? -1 : work(server, &err);
    server_free(server);
    return status < 0 ? pq_task_refuse(&err, "serving") : status;
}
