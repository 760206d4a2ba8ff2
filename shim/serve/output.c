/* What the client is sent. */
#include <stdio.h>

#include "shim/serve/serve.h"

static void pause_jobs(pq_talk *talk, bool pause)
{
    talk->paused = pause;
    for (pq_request *request = talk->requests; request != NULL; request = request->next) {
        if (request->job != NULL)
            pq_job_pause(request->job, pause);
    }
}

static void on_moved(void *context)
{
    pq_talk *talk = context;
    if (talk->paused && pq_sink_length(&talk->out) <= PQ_SINK_LOW) {
        pause_jobs(talk, false);
        pq_serve_input_resume(talk);
    }
    if (pq_sink_length(&talk->out) == 0)
        pq_serve_settle(talk);
}

void pq_serve_output_stop(pq_talk *talk)
{
    talk->broken = true;
    pq_sink_drop(&talk->out);
    if (talk->paused)
        pause_jobs(talk, false);
}

static void hang_up(void *context)
{
    pq_talk_hang_up(context);
}

/* Nothing can be sent any more. Requests are not ended from here, because one of their callbacks
 * may be running. */
static void give_up(pq_talk *talk, const pq_error *err)
{
    if (talk->broken)
        return;
    talk->broken = true;
    pq_serve_complain(talk, err, "answering on stdout");
    pq_defer_start(talk->loop, &talk->hang_up, hang_up, talk);
}

static void on_failed(void *context, const pq_error *err)
{
    give_up(context, err);
}

void pq_serve_output_start(pq_talk *talk, int fd)
{
    static const pq_sink_events events = {.moved = on_moved, .failed = on_failed};
    pq_sink_init(&talk->out, talk->loop, fd, &events, talk);
}

pq_buf *pq_serve_queue(pq_talk *talk)
{
    return pq_sink_queue(&talk->out);
}

void pq_serve_sent(pq_talk *talk, int result, const pq_error *err)
{
    if (talk->broken) {
        pq_sink_drop(&talk->out);
        return;
    }
    if (result < 0) {
        give_up(talk, err);
        return;
    }
    pq_sink_start(&talk->out);
    if (pq_sink_length(&talk->out) > PQ_SINK_HIGH && !talk->paused)
        pause_jobs(talk, true);
}

void pq_serve_error(pq_talk *talk, const pq_id *id, pq_rpc_code code, const pq_error *error)
{
    pq_error err;
    pq_serve_sent(talk, pq_message_error(pq_serve_queue(talk), id, code, error, &err), &err);
}

void pq_serve_output(pq_talk *talk, const pq_id *id, pq_output output, const char *bytes,
                     size_t length)
{
    pq_error err;
    while (length > 0 && !talk->broken) {
        size_t part = length < PQ_PROTO_OUTPUT_MAX ? length : PQ_PROTO_OUTPUT_MAX;
        pq_serve_sent(talk, pq_message_output(pq_serve_queue(talk), output, id, bytes, part, &err),
                      &err);
        bytes += part;
        length -= part;
    }
}

/* ---- log lines ---- */

/* Lines of little weight are not worth a queue that grows. */
static void send_log(pq_talk *talk, pq_log_level level, const char *line)
{
    pq_error err;
    if (level >= PQ_LOG_INFO && pq_sink_length(&talk->out) > PQ_SINK_LOW)
        return;
    pq_serve_sent(talk, pq_message_log(pq_serve_queue(talk), level, line, &err), &err);
}

void pq_serve_log(pq_talk *talk, pq_log_level level, const char *line)
{
    if (talk->protocol.greeted && !talk->broken && talk->state != SERVE_FLUSHING)
        send_log(talk, level, line);
    else
        talk->events.log(talk->context, level, line);
}

void pq_serve_complain(pq_talk *talk, const pq_error *err, const char *doing)
{
    char line[PQ_ERROR_TEXT_MAX + 50];
    snprintf(line, sizeof line, "%s: %s", doing, err->text);
    pq_serve_log(talk, PQ_LOG_ERROR, line);
}
