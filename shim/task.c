#include "shim/task.h"

#include <signal.h>
#include <string.h>

#include "transport/base/log.h"

/* The first three for every command. */
static const int handled[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};
#define HANDLED_ALWAYS 3

static void set_state(pq_task *task, pq_task_state state)
{
    static const char *const names[] = {"working", "closing", "closed"};
    task->state = state;
    pq_trace("task-state", PQ_TEXT("state", names[state]), PQ_INT("status", task->status),
             PQ_INT("signal", task->signal));
}

int pq_task_refuse(const pq_error *err, const char *doing)
{
    pq_log_error(err, doing != NULL && doing[0] != '\0' ? doing : NULL);
    return pq_code_exit_status(err->code);
}

/* ---- signals ---- */

static void out_of_patience(void *context)
{
    pq_task *task = context;
    pq_log(PQ_LOG_ERROR, "%s: gave up waiting for the guest; what was begun there may go on",
           task->doing);
    task->work.drop(task->context);
    pq_task_end(task, 128 + task->signal);
}

static void on_signal(void *context, int number)
{
    pq_task *task = context;
    if (task->work.signal != NULL && task->state == PQ_TASK_WORKING &&
        task->work.signal(task->context, number))
        return;
    if (++task->signals == 1)
        task->signal = number;
    if (task->signals > 2 || task->state == PQ_TASK_CLOSED) {
        pq_log(PQ_LOG_ERROR, "%s: ended at once; the guest was not cleaned up", task->doing);
        pq_loop_stop(task->loop);
        return;
    }
    if (task->state != PQ_TASK_WORKING)
        return;
    if (task->signals == 1)
        pq_timer_start(task->loop, &task->patience, PQ_TASK_PATIENCE_MS, out_of_patience, task);
    task->work.cancel(task->context);
}

static int handle_signals(pq_task *task, pq_error *err)
{
    size_t count = task->work.signal != NULL ? sizeof handled / sizeof handled[0] : HANDLED_ALWAYS;
    for (size_t i = 0; i < count; i++) {
        struct sigaction old;
        if (sigaction(handled[i], NULL, &old) == 0 && old.sa_handler == SIG_IGN)
            continue;
        if (pq_loop_on_signal(task->loop, handled[i], on_signal, task, err) < 0)
            return -1;
    }
    return 0;
}

/* ---- the course of a task ---- */

int pq_task_init(pq_task *task, pq_run *run, const char *vm, pq_error *err)
{
    const char *selected;
    if (pq_config_select_vm(run->config, vm, &selected, err) < 0)
        return -1;
    const char *name = vm != NULL ? vm : selected;
    pq_error_clean(task->vm, sizeof task->vm, name, strlen(name));
    task->loop = pq_loop_new(err);
    if (task->loop == NULL)
        return -1;
    task->targets = pq_targets_new(task->loop, err);
    if (task->targets == NULL)
        return -1;
    return pq_targets_get(task->targets, run->config, selected, &task->session, err);
}

int pq_task_run(pq_task *task, const pq_task_work *work, void *context)
{
    pq_error err;
    task->work = *work;
    task->context = context;
    if (handle_signals(task, &err) < 0 || pq_loop_run(task->loop, &err) < 0) {
        task->work.drop(task->context);
        return pq_task_refuse(&err, task->doing);
    }
    if (task->state == PQ_TASK_WORKING)
        task->work.drop(task->context);
    if (task->state == PQ_TASK_CLOSED || task->signal != 0)
        return task->signal != 0 ? 128 + task->signal : task->status;
    pq_fail(&err, PQ_E_INTERNAL, "nothing is left to wait for");
    return pq_task_refuse(&err, task->doing);
}

static void on_closed(void *context, const pq_error *err)
{
    pq_task *task = context;
    (void)err; /* was logged, and the work's outcome stands */
    set_state(task, PQ_TASK_CLOSED);
    pq_loop_stop(task->loop);
}

void pq_task_end(pq_task *task, int status)
{
    task->status = status;
    pq_timer_stop(&task->patience);
    set_state(task, PQ_TASK_CLOSING);
    pq_targets_close(task->targets, on_closed, task);
}

void pq_task_abandon(pq_task *task, int status)
{
    task->status = status;
    pq_timer_stop(&task->patience);
    set_state(task, PQ_TASK_CLOSED);
    pq_loop_stop(task->loop);
}

void pq_task_fail(pq_task *task, const pq_error *err)
{
    bool as_asked = task->signal != 0 && err->code == PQ_E_CANCELLED;
    if (as_asked && err->effect != PQ_EFFECT_UNKNOWN)
        pq_log(PQ_LOG_INFO, "%s: %s", task->doing, err->text);
    else
        pq_log_error(err, task->doing);
    pq_task_end(task, pq_code_exit_status(err->code));
}

void pq_task_done(pq_task *task)
{
    pq_timer_stop(&task->patience);
    pq_targets_free(task->targets);
    pq_loop_free(task->loop);
}
