/*
 * serve: one conversation on stdin and stdout, here or in a shared server.
 */
#include "shim/serve/serve.h"

#include <unistd.h>

#include "shim/control/control.h"
#include "shim/operands.h"
#include "shim/process.h"
#include "shim/task.h"

/* The server of this process alone. */
typedef struct serve_command {
    pq_server server;
    pq_talk *talk;
    bool ended;
    int status;
} serve_command;

/* ---- the conversation ---- */

static void on_clean(void *context, const pq_error *err)
{
    const serve_command *command = context;
    pq_talk_cleaned(command->talk, err);
}

static void clean(void *context)
{
    serve_command *command = context;
    pq_targets_close(command->server.targets, on_clean, command);
}

static void end(serve_command *command, int status)
{
    command->ended = true;
    command->status = status;
    pq_loop_stop(command->server.loop);
}

static void on_ended(void *context, int status)
{
    end(context, status);
}

static void log_to_stderr(void *context, pq_log_level level, const char *line)
{
    (void)context;
    pq_log_to_stderr(level, line);
}

/* ---- signals ---- */

static void on_signal(void *context, int number)
{
    serve_command *command = context;
    if (pq_talk_signal(command->talk, number))
        return;
    pq_log(PQ_LOG_ERROR, "ended at once; the guests were not cleaned up");
    end(command, 128 + command->talk->signal);
}

static int handle_signals(serve_command *command, pq_error *err)
{
    for (size_t i = 0; i < PQ_PROCESS_END_SIGNALS; i++) {
        int number = pq_process_end_signals[i];
        if (!pq_process_ignores(number) &&
            pq_loop_on_signal(command->server.loop, number, on_signal, command, err) < 0)
            return -1;
    }
    return 0;
}

/* ---- the course ---- */

static int start(serve_command *command, pq_run *run, pq_error *err)
{
    static const pq_talk_events events = {.clean = clean, .ended = on_ended, .log = log_to_stderr};
    pq_talk_options options = {.in = STDIN_FILENO,
                               .out = STDOUT_FILENO,
                               .config = run->config,
                               .level = pq_run_log_level(run->config)};
    if (pq_server_init(&command->server, false, err) < 0 || handle_signals(command, err) < 0)
        return -1;
    command->talk = pq_talk_new(&command->server, &options, &events, command, err);
    return command->talk != NULL ? 0 : -1;
}

static int serve_alone(pq_run *run, pq_error *err)
{
    serve_command command = {0};
    int result = start(&command, run, err);
    if (result == 0)
        result = pq_loop_run(command.server.loop, err);
    if (result == 0 && !command.ended)
        result = pq_fail(err, PQ_E_INTERNAL, "nothing is left to wait for");
    pq_talk_free(command.talk);
    pq_server_done(&command.server);
    return result < 0 ? -1 : command.status;
}

/* Secrets are read before the first request, because a descriptor can be read only once. */
static int serve(pq_run *run, pq_error *err)
{
    if (pq_operands_none(&run->operands, err) < 0 || pq_config_read_secrets(run->config, err) < 0)
        return -1;
    if (pq_config_duration_ms(run->config, PQ_OPT_CONTROL_PERSIST) > 0) {
        int status = pq_control_serve(run->config, err);
        if (status >= 0)
            return status;
        pq_log(PQ_LOG_INFO, "serving alone: %s", err->text);
    }
    return serve_alone(run, err);
}

int pq_run_serve(pq_run *run)
{
    pq_error err;
    int status = serve(run, &err);
    return status < 0 ? pq_task_refuse(&err, "serving") : status;
}
