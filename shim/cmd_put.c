/*
 * put: a file into the guest.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "filexfer/put.h"
#include "shim/operands.h"
#include "shim/task.h"
#include "transport/base/fd.h"
#include "transport/base/log.h"

/* Permissions of a new file whose content comes from a pipe. */
#define PIPE_MODE 0644

typedef struct put_command {
    pq_task task;
    pq_copy_operands operands;
    int fd; /* of the local file; ours unless it is stdin */
    pq_put *put;
} put_command;

static void on_done(void *context, const pq_error *err, const pq_put_result *result)
{
    put_command *command = context;
    command->put = NULL;
    if (err != NULL) {
        pq_task_fail(&command->task, err);
        return;
    }
    pq_log(PQ_LOG_INFO, "%s: %llu bytes, %s", command->task.doing,
           (unsigned long long)result->bytes,
           result->digest_checked ? "SHA-256 compared" : "size and cksum compared");
    pq_task_end(&command->task, 0);
}

static bool is_stdin(const put_command *command)
{
    return strcmp(command->operands.from, "-") == 0;
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

static void describe(put_command *command)
{
    char from[128], to[128];
    const pq_copy_operands *operands = &command->operands;
    pq_error_clean(from, sizeof from, operands->from, strlen(operands->from));
    pq_error_clean(to, sizeof to, operands->to, strlen(operands->to));
    snprintf(command->task.doing, sizeof command->task.doing, "copying '%s' to '%s:%s'", from,
             command->task.vm, to);
}

static int start(put_command *command, pq_run *run, pq_error *err)
{
    static const pq_put_events events = {.done = on_done};
    const pq_config *config = run->config;
    if (pq_operands_copy(&run->operands, &command->operands, err) < 0 ||
        pq_task_init(&command->task, run, command->operands.vm, err) < 0)
        return -1;
    describe(command);
    pq_put_request request = {
        .remote_path = command->operands.to,
        .mode =
            pq_config_is_set(config, PQ_OPT_MODE) ? (int)pq_config_int(config, PQ_OPT_MODE) : -1,
    };
    if (open_local(command, &request, err) < 0)
        return -1;
    command->put = pq_put_start(command->task.session, &request, &events, command, err);
    return command->put != NULL ? 0 : -1;
}

static void cancel(void *context)
{
    put_command *command = context;
    pq_put_cancel(command->put);
}

static void drop(void *context)
{
    put_command *command = context;
    pq_put_drop(command->put);
    command->put = NULL;
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
