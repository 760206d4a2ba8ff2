/*
 * fetch: a file out of the guest, or a directory.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "filexfer/fetch.h"
#include "filexfer/tree_fetch.h"
#include "shim/operands.h"
#include "shim/progress.h"
#include "shim/resume_key.h"
#include "shim/task.h"

typedef struct fetch_command {
    pq_task task;
    pq_copy_operands operands;
    pq_fetch *fetch;
    pq_tree_fetch *tree;
    pq_progress progress;
} fetch_command;

static void end(fetch_command *command, const pq_error *err)
{
    pq_progress_end(&command->progress, err == NULL);
    if (err != NULL)
        pq_task_fail(&command->task, err);
    else
        pq_task_end(&command->task, 0);
}

static void on_progress(void *context, uint64_t bytes, int64_t total)
{
    fetch_command *command = context;
    pq_progress_update(&command->progress, bytes, total);
}

static bool is_stdout(const fetch_command *command)
{
    return strcmp(command->operands.to, "-") == 0;
}

/* ---- a file ---- */

static void on_done(void *context, const pq_error *err, const pq_fetch_result *result)
{
    fetch_command *command = context;
    command->fetch = NULL;
    if (err == NULL)
        pq_log(PQ_LOG_INFO, "%s: %llu bytes, %s", command->task.doing,
               (unsigned long long)result->bytes,
               result->digest_checked ? "SHA-256 compared" : "SHA-256 not known in the guest");
    end(command, err);
}

static int start_file(fetch_command *command, const pq_config *config, pq_error *err)
{
    static const pq_fetch_events events = {.progress = on_progress, .done = on_done};
    pq_fetch_request request = {
        .remote_path = command->operands.from,
        .local_path = is_stdout(command) ? NULL : command->operands.to,
        .fd = STDOUT_FILENO,
        .mode =
            pq_config_is_set(config, PQ_OPT_MODE) ? (int)pq_config_int(config, PQ_OPT_MODE) : -1,
    };
    char *key = pq_resume_key(config, "fetch", command->task.vm, command->operands.to,
                              command->operands.from);
    request.resume_key = is_stdout(command) ? NULL : key;
    request.keep_partial = pq_config_bool(config, PQ_OPT_PARTIAL);
    command->fetch = pq_fetch_start(command->task.session, &request, &events, command, err);
    free(key);
    return command->fetch != NULL ? 0 : -1;
}

/* ---- a directory, or whatever it is ---- */

static void on_tree_done(void *context, const pq_error *err, const pq_tree_fetch_result *result)
{
    fetch_command *command = context;
    command->tree = NULL;
    if (err == NULL)
        pq_log(PQ_LOG_INFO, "%s: %llu entries, %llu bytes", command->task.doing,
               (unsigned long long)result->entries, (unsigned long long)result->bytes);
    end(command, err);
}

static int start_tree(fetch_command *command, pq_error *err)
{
    static const pq_tree_fetch_events events = {.progress = on_progress, .done = on_tree_done};
    pq_tree_fetch_request request = {.remote_path = command->operands.from,
                                     .local_path = command->operands.to};
    command->tree = pq_tree_fetch_start(command->task.session, &request, &events, command, err);
    return command->tree != NULL ? 0 : -1;
}

/* ---- the command ---- */

static void describe(fetch_command *command)
{
    char from[128], to[128];
    const pq_copy_operands *operands = &command->operands;
    pq_error_clean(from, sizeof from, operands->from, strlen(operands->from));
    pq_error_clean(to, sizeof to, operands->to, strlen(operands->to));
    snprintf(command->task.doing, sizeof command->task.doing, "copying '%s:%s' to '%s'",
             command->task.vm, from, to);
}

/* A file that is shown on the terminal would come into the line. */
static void show_progress(fetch_command *command, const pq_run *run)
{
    char name[200];
    if (run->quiet || (is_stdout(command) && isatty(STDOUT_FILENO)))
        return;
    pq_operands_base_name(command->operands.from, name, sizeof name);
    pq_progress_start(&command->progress, command->task.loop, name);
}

static int check_usage(const fetch_command *command, const pq_config *config, pq_error *err)
{
    if (!pq_config_bool(config, PQ_OPT_RECURSIVE))
        return 0;
    if (pq_config_is_set(config, PQ_OPT_MODE))
        return pq_fail(err, PQ_E_USAGE, "--recursive and --mode exclude each other");
    if (is_stdout(command))
        return pq_fail(err, PQ_E_USAGE, "--recursive needs a place for files, not stdout");
    return 0;
}

static int start(fetch_command *command, pq_run *run, pq_error *err)
{
    if (pq_operands_copy(&run->operands, &command->operands, err) < 0 ||
        pq_task_init(&command->task, run, command->operands.vm, err) < 0 ||
        check_usage(command, run->config, err) < 0)
        return -1;
    describe(command);
    show_progress(command, run);
    return pq_config_bool(run->config, PQ_OPT_RECURSIVE) ? start_tree(command, err)
                                                         : start_file(command, run->config, err);
}

static void cancel(void *context)
{
    fetch_command *command = context;
    if (command->tree != NULL)
        pq_tree_fetch_cancel(command->tree);
    else
        pq_fetch_cancel(command->fetch);
}

static void drop(void *context)
{
    fetch_command *command = context;
    pq_progress_end(&command->progress, false);
    pq_fetch_drop(command->fetch);
    pq_tree_fetch_drop(command->tree);
    command->fetch = NULL;
    command->tree = NULL;
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
