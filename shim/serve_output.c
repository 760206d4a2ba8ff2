/* What the client is sent. */
#include <unistd.h>

#include "shim/serve.h"

static void pause_jobs(pq_server *server, bool pause)
{
    server->paused = pause;
    for (pq_request *request = server->requests; request != NULL; request = request->next) {
        if (request->job != NULL)
            pq_job_pause(request->job, pause);
    }
}

static void on_moved(void *context)
{
    pq_server *server = context;
    if (server->paused && pq_sink_length(&server->out) <= PQ_SINK_LOW) {
        pause_jobs(server, false);
        pq_serve_input_resume(server);
    }
    if (pq_sink_length(&server->out) == 0)
        pq_serve_settle(server);
}

static void hang_up(void *context)
{
    pq_server *server = context;
    pq_sink_drop(&server->out);
    if (server->paused)
        pause_jobs(server, false);
    pq_serve_end(server, PQ_EXIT_FAILURE);
    pq_serve_cancel_all(server);
    pq_serve_settle(server);
}

/* Nothing can be sent any more. Requests are not ended from here, because one of their callbacks
 * may be running. */
static void give_up(pq_server *server, const pq_error *err)
{
    if (server->broken)
        return;
    server->broken = true;
    pq_serve_log_to_client(server, false);
    pq_log_error(err, "answering on stdout");
    pq_defer_start(server->loop, &server->hang_up, hang_up, server);
}

static void on_failed(void *context, const pq_error *err)
{
    give_up(context, err);
}

void pq_serve_output_start(pq_server *server)
{
    static const pq_sink_events events = {.moved = on_moved, .failed = on_failed};
    pq_sink_init(&server->out, server->loop, STDOUT_FILENO, &events, server);
}

pq_buf *pq_serve_queue(pq_server *server)
{
    return pq_sink_queue(&server->out);
}

void pq_serve_sent(pq_server *server, int result, const pq_error *err)
{
    if (server->broken) {
        pq_sink_drop(&server->out);
        return;
    }
    if (result < 0) {
        give_up(server, err);
        return;
    }
    pq_sink_start(&server->out);
    if (pq_sink_length(&server->out) > PQ_SINK_HIGH && !server->paused)
        pause_jobs(server, true);
}

void pq_serve_error(pq_server *server, const pq_id *id, pq_rpc_code code, const pq_error *error)
{
    pq_error err;
    pq_serve_sent(server, pq_message_error(pq_serve_queue(server), id, code, error, &err), &err);
}

/* Lines of little weight are not worth a queue that grows. */
static void log_to_client(void *context, pq_log_level level, const char *line)
{
    pq_server *server = context;
    pq_error err;
    if (level >= PQ_LOG_INFO && pq_sink_length(&server->out) > PQ_SINK_LOW)
        return;
    pq_serve_sent(server, pq_message_log(pq_serve_queue(server), level, line, &err), &err);
}

void pq_serve_log_to_client(pq_server *server, bool on)
{
    pq_log_set_sink(on ? log_to_client : NULL, server);
}
