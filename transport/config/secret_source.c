/* Where secrets come from: private files, descriptors, commands. */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "transport/base/fd.h"
#include "transport/config/internal.h"
#include "transport/config/value.h"

extern char **environ;

/* Room for a secret that is too long by a bit, and its line end. */
#define READ_MAX (PQ_SECRET_MAX + 2)

/* "password-file: ..." */
__attribute__((format(printf, 4, 5))) static int
fail(pq_error *err, const pq_value *value, const pq_option *option, const char *format, ...)
{
    char text[PQ_ERROR_TEXT_MAX];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return pq_fail(err, PQ_E_SECRET, "%s%s: %s", option->name, pq_secret_ways[value->kind].suffix,
                   text);
}

/* Reads to the end of `fd` and keeps what was read as the secret, without one line end. */
static int take_all(pq_value *value, const pq_option *option, int fd, pq_error *err)
{
    char bytes[READ_MAX];
    size_t length = 0, got = 1;
    int result = 0;

    while (result == 0 && got > 0 && length < sizeof bytes) {
        result = pq_read_some(fd, bytes + length, sizeof bytes - length, &got, err);
        length += result == 0 ? got : 0;
    }
    if (result < 0) {
        fail(err, value, option, "%s", err->text);
    } else {
        if (length > 0 && bytes[length - 1] == '\n')
            length--;
        if (length == 0)
            result = fail(err, value, option, "no secret came from there");
        else if (!pq_value_fits_secret(option, bytes, length))
            result = fail(err, value, option, "%s of at most %d bytes was expected",
                          option->lines ? "a text" : "one line", PQ_SECRET_MAX);
        else
            result = pq_secret_set(&value->secret, bytes, length, err);
    }
    pq_wipe(bytes, sizeof bytes);
    return result;
}

static int check_private(const pq_value *value, const pq_option *option, int fd, pq_error *err)
{
    struct stat status;

    if (fstat(fd, &status) < 0)
        return fail(err, value, option, "cannot look at '%s': %s", value->text, strerror(errno));
    if (!S_ISREG(status.st_mode))
        return fail(err, value, option, "'%s' is not a regular file; %s-fd takes anything else",
                    value->text, option->name);
    if (status.st_uid != geteuid() && status.st_uid != 0)
        return fail(err, value, option, "'%s' belongs to another user", value->text);
    if ((status.st_mode & 077) != 0)
        return fail(err, value, option, "'%s' is open to other users (mode %04o); make it 0600",
                    value->text, (unsigned)status.st_mode & 07777);
    return 0;
}

static int read_file(pq_value *value, const pq_option *option, pq_error *err)
{
    /* O_NONBLOCK: opening a FIFO, which is refused then, must not wait for its writer. */
    int fd = open(value->text, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    int result;

    if (fd < 0)
        return fail(err, value, option, "cannot open '%s': %s", value->text, strerror(errno));
    result = check_private(value, option, fd, err);
    if (result == 0)
        result = take_all(value, option, fd, err);
    pq_close(&fd);
    return result;
}

/* Starts `sh -c command` with its output in a pipe. Its stdin is not ours, which may be data or the
 * protocol; a question for a passphrase goes to the terminal itself. */
static int spawn_shell(char *command, int output, pid_t *ret_pid)
{
    char sh[] = "sh", option[] = "-c";
    char *argv[] = {sh, option, command, NULL};
    posix_spawn_file_actions_t actions;
    int failed = posix_spawn_file_actions_init(&actions);

    if (failed != 0)
        return failed;
    /* In this order even if `output` is 0, because our stdin was closed. */
    failed = posix_spawn_file_actions_adddup2(&actions, output, 1);
    if (failed == 0)
        failed = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    if (failed == 0)
        failed = posix_spawn(ret_pid, "/bin/sh", &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    return failed;
}

static int wait_for(pid_t pid, const pq_value *value, const pq_option *option, pq_error *err)
{
    int status;

    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            return fail(err, value, option, "%s", strerror(errno));
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    if (WIFEXITED(status))
        return fail(err, value, option, "the command ended with status %d", WEXITSTATUS(status));
    return fail(err, value, option, "the command died of signal %d", WTERMSIG(status));
}

/* A command's own failure is told rather than what its output lacks because of it. */
static int read_command(pq_value *value, const pq_option *option, pq_error *err)
{
    int ends[2], failed, result;
    pq_error ended = {0};
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return fail(err, value, option, "%s", strerror(errno));
    failed = spawn_shell(value->text, ends[1], &pid);
    pq_close(&ends[1]);
    if (failed != 0) {
        pq_close(&ends[0]);
        return fail(err, value, option, "cannot start a shell: %s", strerror(failed));
    }
    result = take_all(value, option, ends[0], err);
    pq_close(&ends[0]);
    if (wait_for(pid, value, option, &ended) < 0) {
        pq_secret_done(&value->secret);
        *err = ended;
        result = -1;
    }
    return result;
}

static int read_descriptor(pq_value *value, const pq_option *option, pq_error *err)
{
    int fd = (int)value->number;
    int result = take_all(value, option, fd, err);

    if (fd > STDERR_FILENO)
        pq_close(&fd);
    return result;
}

int pq_secret_read(pq_value *value, const pq_option *option, pq_error *err)
{
    if (pq_secret_is_set(&value->secret))
        return 0;
    switch (value->kind) {
    case PQ_SECRET_FILE:
        return read_file(value, option, err);
    case PQ_SECRET_FD:
        return read_descriptor(value, option, err);
    case PQ_SECRET_COMMAND:
        return read_command(value, option, err);
    default:
        return 0;
    }
}
