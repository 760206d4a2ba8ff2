/*
 * put: a file into the guest, or a directory.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "filexfer/put.h"
#include "filexfer/tree_put.h"
#include "shim/operands.h"
#include "shim/progress.h"
#include "shim/resume_key.h"
#include "shim/task.h"
#include "transport/base/fd.h"

/* Permissions of a new file whose content comes from a pipe. */
#define PIPE_MODE 0644

typedef struct put_command {
    pq_task task;
    pq_copy_operands operands;
    int fd; /* of the local file; ours unless it is stdin */
    pq_put *put;
    pq_tree_put *tree;
    pq_progress progress;
} put_command;

static void end(put_command *command, const pq_error *err)
{
    pq_progress_end(&command->progress, err == NULL);
    if (err != NULL)
        pq_task_fail(&command->task, err);
    else
        pq_task_end(&command->task, 0);
}

static void on_progress(void *context, uint64_t bytes, int64_t total)
{
    put_command *command = context;
    pq_progress_update(&command->progress, bytes, total);
}

static bool is_stdin(const put_command *command)
{
    return strcmp(command->operands.from, "-") == 0;
}

/* ---- a file ---- */

static void on_done(void *context, const pq_error *err, const pq_put_result *result)
{
    put_command *command = context;
    command->put = NULL;
    if (err == NULL)
        pq_log(PQ_LOG_INFO, "%s: %llu bytes, %s", command->task.doing,
               (unsigned long long)result->bytes,
               result->digest_checked ? "SHA-256 compared" : "size and cksum compared");
    end(command, err);
}

static int open_local(put_command *command, pq_put_request *request, pq_error *err)
{
    const char *path = command->operands.from;
    struct stat info;
    command->fd = is_stdin(command) ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (command->fd < 0 || fstat(command->fd, &info) < 0)
        return pq_fail(err, PQ_E_IO, "cannot open it: %s", strerror(errno));
    if (S_ISDIR(info.st_mode))
        return pq_fail(err, PQ_E_IS_DIRECTORY, "it is a directory");
    bool regular = S_ISREG(info.st_mode);
    const char *slash = strrchr(path, '/');
    request->fd = command->fd;
    request->size = regular && !is_stdin(command) ? info.st_size : -1;
    request->new_mode = regular && !is_stdin(command) ? (int)(info.st_mode & 0777) : PIPE_MODE;
    request->name = is_stdin(command) ? NULL : slash != NULL ? slash + 1 : path;
    return 0;
}

static int start_file(put_command *command, const pq_config *config, pq_error *err)
{
    static const pq_put_events events = {.progress = on_progress, .done = on_done};
    pq_put_request request = {
        .remote_path = command->operands.to,
        .mode =
            pq_config_is_set(config, PQ_OPT_MODE) ? (int)pq_config_int(config, PQ_OPT_MODE) : -1,
    };
    if (open_local(command, &request, err) < 0)
        return -1;
    char *key = pq_resume_key(config, "put", command->task.vm, command->operands.from,
                              command->operands.to);
    request.resume_key = is_stdin(command) ? NULL : key;
    request.keep_partial = pq_config_bool(config, PQ_OPT_PARTIAL);
    command->put = pq_put_start(command->task.session, &request, &events, command, err);
    free(key);
    return command->put != NULL ? 0 : -1;
}

/* ---- a directory ---- */

static void on_tree_done(void *context, const pq_error *err, const pq_tree_put_result *result)
{
    put_command *command = context;
    command->tree = NULL;
    if (err == NULL)
        pq_log(PQ_LOG_INFO, "%s: %llu entries, %llu bytes", command->task.doing,
               (unsigned long long)result->entries, (unsigned long long)result->bytes);
    end(command, err);
}

static bool is_directory(const put_command *command)
{
    struct stat info;
    return !is_stdin(command) && stat(command->operands.from, &info) == 0 && S_ISDIR(info.st_mode);
}

static int start_tree(put_command *command, pq_error *err)
{
    static const pq_tree_put_events events = {.progress = on_progress, .done = on_tree_done};
    pq_tree_put_request request = {
        .local_path = command->operands.from,
        .remote_path = command->operands.to,
        .with_total = pq_progress_is_on(&command->progress),
    };
    command->tree = pq_tree_put_start(command->task.session, &request, &events, command, err);
    return command->tree != NULL ? 0 : -1;
}

/* ---- the command ---- */

static void describe(put_command *command)
{
    char from[128], to[128];
    const pq_copy_operands *operands = &command->operands;
    pq_error_clean(from, sizeof from, operands->from, strlen(operands->from));
    pq_error_clean(to, sizeof to, operands->to, strlen(operands->to));
    snprintf(command->task.doing, sizeof command->task.doing, "copying '%s' to '%s:%s'", from,
             command->task.vm, to);
}

/* What is typed in would come into the line. */
static void show_progress(put_command *command, const pq_run *run)
{
    char name[200];
    if (run->quiet || (is_stdin(command) && isatty(STDIN_FILENO)))
        return;
    pq_operands_base_name(command->operands.from, name, sizeof name);
    pq_progress_start(&command->progress, command->task.loop, name);
}

static int start(put_command *command, pq_run *run, pq_error *err)
{
    bool recursive = pq_config_bool(run->config, PQ_OPT_RECURSIVE);
    if (pq_operands_copy(&run->operands, &command->operands, err) < 0 ||
        pq_task_init(&command->task, run, command->operands.vm, err) < 0)
        return -1;
    if (recursive && pq_config_is_set(run->config, PQ_OPT_MODE))
        return pq_fail(err, PQ_E_USAGE, "--recursive and --mode exclude each other");
    describe(command);
    show_progress(command, run);
    return recursive && is_directory(command) ? start_tree(command, err)
                                              : start_file(command, run->config, err);
}

static void cancel(void *context)
{
    put_command *command = context;
    if (command->tree != NULL)
        pq_tree_put_cancel(command->tree);
    else
        pq_put_cancel(command->put);
}

static void drop(void *context)
{
    put_command *command = context;
    pq_progress_end(&command->progress, false);
    pq_put_drop(command->put);
    pq_tree_put_drop(command->tree);
    command->put = NULL;
    command->tree = NULL;
}

int pq_run_put(pq_run *run)
{
    static const pq_task_work work = {.cancel = cancel, .drop = drop};
    put_command command = {.fd = -1};
    pq_error err;
    int status = start(&command, run, &err) < 0 ? pq_task_refuse(&err, command.task.doing)
                                                : pq_task_run(&command.task, &work, &command);
    drop(&command);
    if (command.fd != STDIN_FILENO)
        pq_close(&command.fd);
    pq_task_done(&command.task);
    return status;
}
