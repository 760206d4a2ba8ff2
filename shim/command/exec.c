/*
 * exec: a command in the guest, with its stdin, stdout, stderr and exit status.
 *
 * While the outputs are full the job is paused. When it has ended and they are empty the task ends.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "exec/job.h"
#include "shim/operands.h"
#include "shim/outputs.h"
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
    pq_outputs outputs;
    pq_job *job; /* NULL: not started, or ended */
    int status;
    bool failed; /* here, which goes before whatever the job says */
} exec_command;

/* ---- the end ---- */

static void end_if_flushed(exec_command *exec)
{
    if (exec->task.signal != 0)
        pq_outputs_drop(&exec->outputs);
    bool flushed = pq_outputs_are_empty(&exec->outputs);
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
    pq_outputs_write(&exec->outputs, stream, bytes, length);
}

static void on_pause(void *context, bool pause)
{
    exec_command *exec = context;
    if (exec->job != NULL)
        pq_job_pause(exec->job, pause);
}

static void on_moved(void *context)
{
    end_if_flushed(context);
}

static void on_output_failed(void *context, const pq_error *err)
{
    fail_here(context, err);
}

/* ---- input ---- */

static void on_input_wanted(void *context)
{
    exec_command *exec = context;
    pq_feed_more(&exec->feed);
}

static size_t job_room(const void *job)
{
    return pq_job_input_room(job);
}

static int job_take(void *job, const void *bytes, size_t length, pq_error *err)
{
    return pq_job_input(job, bytes, length, err);
}

static void job_input_end(void *job)
{
    pq_job_input_end(job);
}

static const pq_feed_target job_input = {.room = job_room, .input = job_take, .end = job_input_end};

/* A terminal is not forwarded: without a terminal in the guest, line editing and job control would
 * be the wrong side's. */
static bool wants_stdin(const pq_run *run)
{
    return !pq_config_bool(run->config, PQ_OPT_NO_STDIN) && !isatty(STDIN_FILENO);
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
    request.input = exec->feed.early.length > 0 ? exec->feed.early.data : NULL;
    request.input_length = exec->feed.early.length;
    request.input_streams = exec->feed.streams;
    exec->job = pq_job_start(exec->task.session, &request, &events, exec, err);
    free(env);
    if (exec->job == NULL)
        return -1;
    pq_feed_start(&exec->feed, exec->task.loop, &job_input, exec->job, on_input_failed, exec);
    return 0;
}

static int start(exec_command *exec, pq_run *run, pq_error *err)
{
    static const pq_outputs_events events = {
        .pause = on_pause, .moved = on_moved, .failed = on_output_failed};
    if (read_command(exec, run, err) < 0 ||
        pq_task_init(&exec->task, run, exec->operands.vm, err) < 0)
        return -1;
    pq_outputs_init(&exec->outputs, exec->task.loop, &events, exec);
    snprintf(exec->task.doing, sizeof exec->task.doing, "running a command on '%s'", exec->task.vm);
    if (wants_stdin(run) && pq_feed_read_early(&exec->feed, STDIN_FILENO, err) < 0)
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
    pq_outputs_done(&exec.outputs);
    pq_buf_done(&exec.line);
    pq_task_done(&exec.task);
    return status;
}
