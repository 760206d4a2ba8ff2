#include "shim/outputs.h"

#include <unistd.h>

static void on_moved(void *context)
{
    pq_outputs *outputs = context;
    bool low = pq_sink_length(&outputs->out) <= PQ_SINK_LOW &&
               pq_sink_length(&outputs->err) <= PQ_SINK_LOW;
    if (outputs->paused && low) {
        outputs->paused = false;
        outputs->events.pause(outputs->context, false);
    }
    outputs->events.moved(outputs->context);
}

static void on_failed(pq_outputs *outputs, const char *name, const pq_error *err)
{
    pq_error named = *err;
    pq_error_prefix(&named, "%s: ", name);
    outputs->events.failed(outputs->context, &named);
    on_moved(outputs);
}

static void on_stdout_failed(void *context, const pq_error *err)
{
    on_failed(context, "stdout", err);
}

static void on_stderr_failed(void *context, const pq_error *err)
{
    on_failed(context, "stderr", err);
}

void pq_outputs_init(pq_outputs *outputs, pq_loop *loop, const pq_outputs_events *events,
                     void *context)
{
    static const pq_sink_events out_events = {.moved = on_moved, .failed = on_stdout_failed};
    static const pq_sink_events err_events = {.moved = on_moved, .failed = on_stderr_failed};
    *outputs = (pq_outputs){.events = *events, .context = context};
    pq_sink_init(&outputs->out, loop, STDOUT_FILENO, &out_events, outputs);
    pq_sink_init(&outputs->err, loop, STDERR_FILENO, &err_events, outputs);
}

void pq_outputs_done(pq_outputs *outputs)
{
    pq_sink_done(&outputs->out);
    pq_sink_done(&outputs->err);
}

void pq_outputs_write(pq_outputs *outputs, int stream, const char *bytes, size_t length)
{
    pq_sink *sink = stream == 1 ? &outputs->out : &outputs->err;
    pq_sink_write(sink, bytes, length);
    if (pq_sink_length(sink) > PQ_SINK_HIGH && !outputs->paused) {
        outputs->paused = true;
        outputs->events.pause(outputs->context, true);
    }
}

bool pq_outputs_are_empty(const pq_outputs *outputs)
{
    return pq_sink_length(&outputs->out) == 0 && pq_sink_length(&outputs->err) == 0;
}

void pq_outputs_drop(pq_outputs *outputs)
{
    pq_sink_drop(&outputs->out);
    pq_sink_drop(&outputs->err);
}
