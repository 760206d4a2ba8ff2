/*
 * ping: waits until the guest's agent answers.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "shim/operands.h"
#include "shim/ping.h"
#include "shim/task.h"
#include "transport/base/buf.h"
#include "transport/base/fd.h"

typedef struct ping_command {
    pq_task task;
    pq_ping *ping;
} ping_command;

static int print_answer(const ping_command *command, int64_t took_us, pq_error *err)
{
    pq_buf line = {0};
    const char *name = pq_agent_name(pq_session_agent(command->task.session));
    int result = pq_buf_printf(&line, err, "%s: agent answered in %lld ms\n", name,
                               (long long)((took_us + 500) / 1000));
    if (result == 0)
        result = pq_write_all(STDOUT_FILENO, line.data, line.length, err);
    pq_buf_done(&line);
    return result;
}

static void on_answer(void *context, const pq_error *err, int64_t took_us)
{
    ping_command *command = context;
    pq_error failure;
    command->ping = NULL;
    if (err == NULL && print_answer(command, took_us, &failure) < 0)
        err = &failure;
    if (err != NULL)
        pq_task_fail(&command->task, err);
    else
        pq_task_end(&command->task, 0);
}

static int start(ping_command *command, pq_run *run, pq_error *err)
{
    const char *vm;
    if (pq_operands_vm(&run->operands, &vm, err) < 0 ||
        pq_task_init(&command->task, run, vm, err) < 0)
        return -1;
    snprintf(command->task.doing, sizeof command->task.doing, "pinging '%s'", command->task.vm);
    command->ping = pq_ping_start(command->task.session, on_answer, command, err);
    return command->ping != NULL ? 0 : -1;
}

static void drop(void *context)
{
    ping_command *command = context;
    pq_ping_drop(command->ping);
    command->ping = NULL;
}

static void cancel(void *context)
{
    ping_command *command = context;
    drop(command);
    pq_task_end(&command->task, PQ_EXIT_FAILURE);
}

int pq_run_ping(pq_run *run)
{
    static const pq_task_work work = {.cancel = cancel, .drop = drop};
    ping_command command = {0};
    pq_error err;
    int status = start(&command, run, &err) < 0 ? pq_task_refuse(&err, command.task.doing)
                                                : pq_task_run(&command.task, &work, &command);
    drop(&command);
    pq_task_done(&command.task);
    return status;
}
