/*
 * control: asks about shared servers, and ends them.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "shim/control/control.h"
#include "shim/task.h"
#include "transport/base/fd.h"

/* As grep has it: the question was answered, with no. */
#define NONE_RUNS 1

static const struct {
    const char *name;
    pq_control_kind kind;
} operations[] = {
    {"check", PQ_CONTROL_CHECK},
    {"stop", PQ_CONTROL_STOP},
    {"exit", PQ_CONTROL_EXIT},
};

static int read_operation(const pq_operands *operands, pq_control_kind *ret, pq_error *err)
{
    for (size_t i = 0; operands->count == 1 && i < sizeof operations / sizeof operations[0]; i++) {
        if (strcmp(operands->items[0], operations[i].name) == 0) {
            *ret = operations[i].kind;
            return 0;
        }
    }
    return pq_fail(err, PQ_E_USAGE, "one of check, stop and exit was expected");
}

static int ask(int fd, pq_control_kind kind, pq_error *err)
{
    struct {
        pq_control_hello lengths;
        char greeting[sizeof PQ_CONTROL_GREETING - 1];
    } hello = {0};
    memcpy(hello.greeting, PQ_CONTROL_GREETING, sizeof hello.greeting);
    if (pq_control_send(fd, PQ_CONTROL_HELLO, &hello, sizeof hello.lengths + sizeof hello.greeting,
                        NULL, err) < 0)
        return -1;
    return pq_control_send(fd, kind, NULL, 0, NULL, err);
}

static int show(const pq_control_message *message, pq_error *err)
{
    char line[PQ_CONTROL_BODY_MAX + 2];
    int length = snprintf(line, sizeof line, "%s\n", message->body);
    return pq_write_all(STDOUT_FILENO, line, (size_t)length, err);
}

/* EXIT: until the guests are clean, for which it takes its time. */
static int wait_for_end(int fd, pq_control_message *message, pq_error *err)
{
    do {
        if (pq_control_receive(fd, message, err) < 0)
            return -1;
    } while (message->kind != PQ_CONTROL_GONE);
    return 0;
}

/* With *ret_found set if a server answered. */
static int ask_server(const char *path, pq_control_kind kind, bool *ret_found, pq_error *err)
{
    static pq_control_message message;
    bool absent;
    int fd;
    if (pq_control_connect(path, &fd, &absent, err) < 0)
        return absent ? 0 : -1;
    int result = ask(fd, kind, err);
    if (result == 0)
        result = pq_control_receive(fd, &message, err);
    if (result == 0 && message.kind == PQ_CONTROL_STATUS) {
        *ret_found = true;
        result = show(&message, err);
    } else if (result == 0 && message.kind == PQ_CONTROL_REFUSED) {
        result = pq_fail(err, PQ_E_IO, "'%s': %.300s", path, message.body);
    } else if (result == 0 && message.kind == PQ_CONTROL_NOTHING) {
        result = pq_fail(err, PQ_E_IO, "'%s': the shared server does not answer", path);
    }
    if (result == 0 && kind == PQ_CONTROL_EXIT && message.kind == PQ_CONTROL_STATUS)
        result = wait_for_end(fd, &message, err);
    pq_close(&fd);
    return result;
}

static int ask_all(const pq_control_dir *dir, pq_control_kind kind, bool *ret_found, pq_error *err)
{
    char path[PQ_CONTROL_PATH_SIZE];
    DIR *stream = opendir(dir->path);
    int result = 0;
    if (stream == NULL)
        return pq_fail(err, PQ_E_IO, "cannot read '%s': %s", dir->path, strerror(errno));
    for (const struct dirent *entry; result == 0 && (entry = readdir(stream)) != NULL;) {
        if (!pq_control_is_name(entry->d_name))
            continue;
        snprintf(path, sizeof path, "%.*s/%.*s", (int)PQ_CONTROL_DIR_MAX, dir->path,
                 PQ_CONTROL_NAME_DIGITS, entry->d_name);
        result = ask_server(path, kind, ret_found, err);
    }
    closedir(stream);
    return result;
}

static int control(const pq_run *run, pq_error *err)
{
    pq_control_kind kind;
    pq_control_dir dir;
    bool found = false;
    if (read_operation(&run->operands, &kind, err) < 0 ||
        pq_control_dir_find(pq_config_text(run->config, PQ_OPT_CONTROL_PATH), true, &dir, err) <
            0 ||
        ask_all(&dir, kind, &found, err) < 0)
        return -1;
    return found || kind != PQ_CONTROL_CHECK ? 0 : NONE_RUNS;
}

int pq_run_control(pq_run *run)
{
    pq_error err;
    int status = control(run, &err);
    return status < 0 ? pq_task_refuse(&err, "control") : status;
}
