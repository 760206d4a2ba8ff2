/*
 * fetch: a file out of the guest.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "filexfer/fetch.h"
#include "shim/operands.h"
#include "shim/task.h"
#include "transport/base/log.h"

typedef struct fetch_command {
    pq_task task;
    pq_copy_operands operands;
    pq_fetch *fetch;
} fetch_command;

static void on_done(void *context, const pq_error *err, const pq_fetch_result *result)
{
    fetch_command *command = context;
    command->fetch = NULL;
    if (err != NULL) {
        pq_task_fail(&command->task, err);
        return;
    }
    pq_log(PQ_LOG_INFO, "%s: %llu bytes, %s", command->task.doing,
           (unsigned long long)result->bytes,
           result->digest_checked ? "SHA-256 compared" : "SHA-256 not known in the guest");
    pq_task_end(&command->task, 0);
}

static void describe(fetch_command *command)
{
    char from[128], to[128];
    const pq_copy_operands *operands = &command->operands;
    pq_error_clean(from, sizeof from, operands->from, strlen(operands->from));
    pq_error_clean(to, sizeof to, operands->to, strlen(operands->to));
    snprintf(command->task.doing, sizeof command->task.doing, "copying '%s:%s' to '%s'",
             command->task.vm, from, to);
}

static int start(fetch_command *command, pq_run *run, pq_error *err)
{
    static const pq_fetch_events events = {.done = on_done};
    const pq_config *config = run->config;
    if (pq_operands_copy(&run->operands, &command->operands, err) < 0 ||
        pq_task_init(&command->task, run, command->operands.vm, err) < 0)
        return -1;
    describe(command);
    bool to_stdout = strcmp(command->operands.to, "-") == 0;
    pq_fetch_request request = {
        .remote_path = command->operands.from,
        .local_path = to_stdout ? NULL : command->operands.to,
        .fd = STDOUT_FILENO,
        .mode =
            pq_config_is_set(config, PQ_OPT_MODE) ? (int)pq_config_int(config, PQ_OPT_MODE) : -1,
    };
    command->fetch = pq_fetch_start(command->task.session, &request, &events, command, err);
    return command->fetch != NULL ? 0 : -1;
}

static void cancel(void *context)
{
    fetch_command *command = context;
    pq_fetch_cancel(command->fetch);
}

static void drop(void *context)
{
    fetch_command *command = context;
    pq_fetch_drop(command->fetch);
    command->fetch = NULL;
}

int pq_run_fetch(pq_run *run)
{
    static const pq_task_work work = {.cancel = cancel, .drop = drop};
    fetch_command command = {0};
    pq_error err;
    int status = start(&command, run, &err) < 0 ? pq_task_refuse(&err, command.task.doing)
                                                : pq_task_run(&command.task, &work, &command);
    drop(&command);
    pq_task_done(&command.task);
    return status;
}
