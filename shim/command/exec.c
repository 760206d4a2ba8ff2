/*
 * exec: a command in the guest, with its stdin, stdout, stderr and exit status.
 *
 * The job's output goes through a sink for each stream; while one of them is full the job is
 * paused. When the job has ended and the sinks are empty the task ends.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "exec/job.h"
#include "shim/operands.h"
#include "shim/sink.h"
#include "shim/stdin_feed.h"
#include "shim/task.h"
#include "transport/base/log.h"
#include "transport/base/signal_name.h"

typedef struct exec_command {
    pq_task task;
    bool quiet;
    pq_exec_operands operands;
    pq_buf line;
    pq_stdin_feed feed;
    pq_sink out, err;
    pq_job *job; /* NULL: not started, or ended */
    bool paused;
    int status;
    bool failed; /* here, which goes before whatever the job says */
} exec_command;

/* ---- the end ---- */

static void end_if_flushed(exec_command *exec)
{
    if (exec->task.signal != 0) {
        pq_sink_drop(&exec->out);
        pq_sink_drop(&exec->err);
    }
    bool flushed = pq_sink_length(&exec->out) == 0 && pq_sink_length(&exec->err) == 0;
    if (exec->job == NULL && flushed && exec->task.state == PQ_TASK_WORKING)
        pq_task_end(&exec->task, exec->status);
}

static void job_ended(exec_command *exec, int status)
{
    exec->job = NULL;
    if (!exec->failed)
        exec->status = status;
    pq_feed_done(&exec->feed);
    end_if_flushed(exec);
}

static void tell_result(const exec_command *exec, const pq_job_result *result)
{
    if (result->guest_full)
        pq_log(PQ_LOG_WARNING, "%s: the guest ran out of space for the output: some may be missing",
               exec->task.doing);
    if (result->signal == 0 || exec->quiet)
        return;
    const char *name = pq_signal_name(result->signal);
    if (name != NULL)
        pq_log(PQ_LOG_ERROR, "the command was ended by signal %s", name);
    else
        pq_log(PQ_LOG_ERROR, "the command was ended by signal %d", result->signal);
}

/* That a command may have run matters more than what to do about the error. */
static void tell_failure(const exec_command *exec, const pq_error *err)
{
    pq_error told = *err;
    if (err->effect == PQ_EFFECT_UNKNOWN)
        told.code = PQ_E_OUTCOME_UNKNOWN;
    pq_log_error(&told, exec->task.doing);
}

static void on_done(void *context, const pq_error *err, const pq_job_result *result)
{
    exec_command *exec = context;
    if (err == NULL) {
        tell_result(exec, result);
        job_ended(exec, result->exit_code);
        return;
    }
    bool as_asked = err->code == PQ_E_CANCELLED && err->effect != PQ_EFFECT_UNKNOWN &&
                    (exec->failed || exec->task.signal != 0);
    if (as_asked)
        pq_log(PQ_LOG_INFO, "%s: %s", exec->task.doing, err->text);
    else
        tell_failure(exec, err);
    job_ended(exec, pq_code_exit_status(err->code));
}

/* Something here does not work: the command is ended, if it still runs. */
static void fail_here(exec_command *exec, const pq_error *err)
{
    if (exec->failed)
        return;
    exec->failed = true;
    exec->status = pq_task_refuse(err, exec->task.doing);
    if (exec->job != NULL)
        pq_job_cancel(exec->job);
}

/* ---- output ---- */

static void on_output(void *context, int stream, const char *bytes, size_t length)
{
    exec_command *exec = context;
    pq_sink *sink = stream == 1 ? &exec->out : &exec->err;
    pq_sink_write(sink, bytes, length);
    if (pq_sink_length(sink) > PQ_SINK_HIGH && !exec->paused) {
        exec->paused = true;
        pq_job_pause(exec->job, true);
    }
}

static void on_moved(void *context)
{
    exec_command *exec = context;
    bool low =
        pq_sink_length(&exec->out) <= PQ_SINK_LOW && pq_sink_length(&exec->err) <= PQ_SINK_LOW;
    if (exec->paused && low) {
        exec->paused = false;
        if (exec->job != NULL)
            pq_job_pause(exec->job, false);
    }
    end_if_flushed(exec);
}

static void on_output_failed(exec_command *exec, const char *name, const pq_error *err)
{
    pq_error named = *err;
    pq_error_prefix(&named, "%s: ", name);
    fail_here(exec, &named);
    on_moved(exec);
}

static void on_stdout_failed(void *context, const pq_error *err)
{
    on_output_failed(context, "stdout", err);
}

static void on_stderr_failed(void *context, const pq_error *err)
{
    on_output_failed(context, "stderr", err);
}

static void open_sinks(exec_command *exec)
{
    static const pq_sink_events out_events = {.moved = on_moved, .failed = on_stdout_failed};
    static const pq_sink_events err_events = {.moved = on_moved, .failed = on_stderr_failed};
    pq_sink_init(&exec->out, exec->task.loop, STDOUT_FILENO, &out_events, exec);
    pq_sink_init(&exec->err, exec->task.loop, STDERR_FILENO, &err_events, exec);
}

/* ---- input ---- */

static void on_input_wanted(void *context)
{
    exec_command *exec = context;
    pq_feed_more(&exec->feed);
}

static void on_input_failed(void *context, const pq_error *err)
{
    fail_here(context, err);
}

/* ---- the beginning ---- */

static int read_command(exec_command *exec, const pq_run *run, pq_error *err)
{
    const char *line = pq_config_text(run->config, PQ_OPT_SHELL);
    if (pq_operands_exec(&run->operands, line != NULL, &exec->operands, err) < 0)
        return -1;
    return line != NULL
               ? pq_buf_add_text(&exec->line, line, err)
               : pq_operands_line(exec->operands.argv, exec->operands.argc, &exec->line, err);
}

/* The option's values and the NULL behind them; the texts stay the configuration's. */
static const char **read_env(const pq_config *config, pq_error *err)
{
    size_t count;
    const char *const *items = pq_config_list(config, PQ_OPT_ENV, &count);
    const char **env = calloc(count + 1, sizeof *env);
    if (env == NULL)
        pq_fail(err, PQ_E_NOMEM, "out of memory");
    for (size_t i = 0; env != NULL && i < count; i++)
        env[i] = items[i];
    return env;
}

static int start_job(exec_command *exec, const pq_run *run, pq_error *err)
{
    static const pq_job_events events = {
        .output = on_output, .input_wanted = on_input_wanted, .done = on_done};
    const char **env = read_env(run->config, err);
    if (env == NULL)
        return -1;
    pq_job_request request = {
        .command = exec->line.data,
        .executable = pq_config_text(run->config, PQ_OPT_EXECUTABLE),
        .cwd = pq_config_text(run->config, PQ_OPT_CWD),
        .env = env,
        .live = true,
        .timeout = pq_config_duration_ms(run->config, PQ_OPT_TIMEOUT),
    };
    pq_feed_describe(&exec->feed, &request);
    exec->job = pq_job_start(exec->task.session, &request, &events, exec, err);
    free(env);
    if (exec->job == NULL)
        return -1;
    pq_feed_start(&exec->feed, exec->task.loop, exec->job, on_input_failed, exec);
    return 0;
}

static int start(exec_command *exec, pq_run *run, pq_error *err)
{
    if (read_command(exec, run, err) < 0 ||
        pq_task_init(&exec->task, run, exec->operands.vm, err) < 0)
        return -1;
    open_sinks(exec);
    snprintf(exec->task.doing, sizeof exec->task.doing, "running a command on '%s'", exec->task.vm);
    if (!pq_config_bool(run->config, PQ_OPT_NO_STDIN) &&
        pq_feed_read_early(&exec->feed, STDIN_FILENO, err) < 0)
        return -1;
    return start_job(exec, run, err);
}

static void cancel(void *context)
{
    exec_command *exec = context;
    if (exec->job != NULL)
        pq_job_cancel(exec->job);
    else
        end_if_flushed(exec);
}

static void drop(void *context)
{
    exec_command *exec = context;
    pq_job_drop(exec->job);
    exec->job = NULL;
    pq_feed_done(&exec->feed);
}

int pq_run_exec(pq_run *run)
{
    static const pq_task_work work = {.cancel = cancel, .drop = drop};
    exec_command exec = {.quiet = run->quiet};
    pq_error err;
    int status = start(&exec, run, &err) < 0 ? pq_task_refuse(&err, exec.task.doing)
                                             : pq_task_run(&exec.task, &work, &exec);
    drop(&exec);
    pq_sink_done(&exec.out);
    pq_sink_done(&exec.err);
    pq_buf_done(&exec.line);
    pq_task_done(&exec.task);
    return status;
}
