#include "tests/unit/support/guest_bench.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "transport/base/log.h"

guest_bench guest;

static pq_error err;

static void drop_line(void *context, pq_log_level level, const char *line)
{
    (void)context;
    (void)level;
    (void)line;
}

void guest_setup(void)
{
    pq_log_set_sink(drop_line, NULL);
    if (getenv("PQ_TEST_TRACE") != NULL)
        pq_trace_open(getenv("PQ_TEST_TRACE"), &err);
    strcpy(guest.dir, "/tmp/pq-guest-XXXXXX");
    cr_assert_not_null(mkdtemp(guest.dir));
    cr_assert_eq(chmod(guest.dir, 0755), 0);
    snprintf(guest.remote_tmp, sizeof guest.remote_tmp, "%s/tmp", guest.dir);
    cr_assert_eq(mkdir(guest.remote_tmp, 0700), 0);
    guest.loop = pq_loop_new(&err);
    cr_assert_not_null(guest.loop, "%s", err.text);
    guest.agent = shell_agent_new(guest.loop);
    guest.connect_timeout = 20000;
    guest_open_session(guest.remote_tmp);
}

void guest_teardown(void)
{
    char command[192];
    pq_session_free(guest.session);
    pq_agent_free(&guest.agent->agent);
    pq_loop_free(guest.loop);
    snprintf(command, sizeof command, "chmod -R u+rwx '%s'; rm -rf '%s'", guest.dir, guest.dir);
    cr_assert_eq(system(command), 0);
}

void guest_open_session(const char *remote_tmp)
{
    pq_session_options options = {.remote_tmp = remote_tmp,
                                  .connect_timeout = guest.connect_timeout};
    pq_session_free(guest.session);
    guest.session = pq_session_new(&guest.agent->agent, &options, &err);
    cr_assert_not_null(guest.session, "%s", err.text);
}

void guest_run(void)
{
    cr_assert_eq(pq_loop_run(guest.loop, &err), 0, "%s", err.text);
}

static void await(bool (*condition)(const char *name), const char *name)
{
    for (int i = 0; !condition(name); i++) {
        cr_assert_lt(i, 20000, "%s does not happen", name);
        usleep(1000);
    }
}

static bool is_there(const char *name)
{
    return access(guest_path("%s", name), F_OK) == 0;
}

static bool is_idle(const char *name)
{
    (void)name;
    return shell_agent_running() == 0;
}

void guest_await_file(const char *name)
{
    await(is_there, name);
}

static bool has_run(const char *name)
{
    (void)name;
    return guest_times_run() > 0;
}

void guest_await_run(void)
{
    await(has_run, "the command's start");
}

void guest_await_idle(void)
{
    await(is_idle, "the end of all processes");
}

static void on_closed(void *context, const pq_error *failure)
{
    (void)context;
    cr_assert_null(failure, "%s", failure->text);
    pq_loop_stop(guest.loop);
}

void guest_must_be_clean(void)
{
    guest_await_idle();
    cr_assert_eq(guest_entries("tmp"), 0, "files are left");
}

void guest_must_close(void)
{
    pq_session_close(guest.session, on_closed, NULL);
    guest_run();
    guest_must_be_clean();
}

const char *guest_path(const char *format, ...)
{
    static char paths[8][512];
    static unsigned next;
    char *path = paths[next++ % 8];
    int length = snprintf(path, sizeof paths[0], "%s/", guest.dir);
    va_list args;
    va_start(args, format);
    vsnprintf(path + length, sizeof paths[0] - (size_t)length, format, args);
    va_end(args);
    return path;
}

unsigned guest_entries(const char *name)
{
    unsigned count = 0;
    DIR *dir = opendir(guest_path("%s", name));
    cr_assert_not_null(dir, "%s: %s", name, strerror(errno));
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(dir);
    return count;
}

char *guest_content(const char *name, size_t *ret_length)
{
    struct stat info;
    int fd = open(guest_path("%s", name), O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    cr_assert_eq(fstat(fd, &info), 0);
    char *bytes = malloc((size_t)info.st_size + 1);
    cr_assert_not_null(bytes);
    ssize_t got = read(fd, bytes, (size_t)info.st_size);
    close(fd);
    cr_assert_eq(got, info.st_size);
    bytes[got] = '\0';
    *ret_length = (size_t)got;
    return bytes;
}

void guest_write(const char *name, const void *bytes, size_t length)
{
    int fd = open(guest_path("%s", name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    cr_assert_geq(fd, 0, "%s: %s", name, strerror(errno));
    cr_assert_eq(write(fd, bytes, length), (ssize_t)length);
    close(fd);
}

unsigned guest_times_run(void)
{
    size_t length;
    unsigned lines = 0;
    char *text = guest_content("ran", &length);
    for (size_t i = 0; text != NULL && i < length; i++)
        lines += text[i] == '\n';
    free(text);
    return lines;
}

static bool is_listed(const char *list, const char *name)
{
    size_t length = strlen(name);
    for (const char *at = list; (at = strstr(at, name)) != NULL; at += length) {
        bool begins = at == list || at[-1] == ' ';
        if (begins && (at[length] == '\0' || at[length] == ' '))
            return true;
    }
    return false;
}

void guest_hide_tools(const char *hidden)
{
    static const char *const tools[] = {
        "base64", "basename", "cat",       "chmod", "chown", "cksum",  "cp",        "cut",
        "dd",     "env",      "fallocate", "find",  "grep",  "gunzip", "gzip",      "head",
        "id",     "kill",     "ln",        "ls",    "mkdir", "mkfifo", "mv",        "openssl",
        "perl",   "python3",  "readlink",  "rm",    "sed",   "setsid", "sha256sum", "sh",
        "sleep",  "stat",     "tail",      "test",  "touch", "tr",     "wc"};
    static const char *const folders[] = {"/usr/bin", "/bin", "/usr/sbin", "/sbin"};
    static char path[96];
    snprintf(path, sizeof path, "%s/bin", guest.dir);
    cr_assert_eq(mkdir(path, 0755), 0);
    for (size_t i = 0; i < sizeof tools / sizeof tools[0]; i++) {
        for (size_t j = 0; j < 4 && !is_listed(hidden, tools[i]); j++) {
            char tool[64];
            snprintf(tool, sizeof tool, "%s/%s", folders[j], tools[i]);
            if (access(tool, X_OK) != 0)
                continue;
            cr_assert_eq(symlink(tool, guest_path("bin/%s", tools[i])), 0);
            break;
        }
    }
    guest.agent->path = path;
}

char *guest_bytes(size_t length)
{
    char *bytes = malloc(length + 1);
    cr_assert_not_null(bytes);
    uint64_t state = 88172645463325252u;
    for (size_t i = 0; i < length; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes[i] = (char)(state >> 32);
    }
    return bytes;
}

/* ---- jobs ---- */

static void on_output(void *context, int stream, const char *bytes, size_t length)
{
    guest_job *job = context;
    cr_assert_not(job->ended);
    cr_assert_gt(length, 0);
    cr_assert(stream == 1 || stream == 2);
    job->chunks++;
    cr_assert_eq(pq_buf_add(stream == 1 ? &job->out : &job->err_out, bytes, length, &err), 0);
    if (job->on_output != NULL)
        job->on_output(job);
}

static void feed(void *context)
{
    guest_job *job = context;
    while (job->input != NULL && job->input_sent < job->input_length) {
        size_t room = pq_job_input_room(job->job), left = job->input_length - job->input_sent;
        size_t take = left < room ? left : room;
        if (job->input_chunk > 0 && take > job->input_chunk)
            take = job->input_chunk;
        if (take == 0)
            return;
        cr_assert_eq(pq_job_input(job->job, job->input + job->input_sent, take, &err), 0, "%s",
                     err.text);
        job->input_sent += take;
        if (job->input_sent == job->input_length && !job->input_open)
            pq_job_input_end(job->job);
        if (job->input_chunk > 0)
            return;
    }
}

static void on_done(void *context, const pq_error *failure, const pq_job_result *result)
{
    guest_job *job = context;
    cr_assert_not(job->ended);
    cr_assert((failure == NULL) != (result == NULL));
    job->ended = true;
    job->job = NULL;
    if (failure != NULL)
        job->err = *failure;
    else
        job->result = *result;
    pq_loop_stop(guest.loop);
}

void guest_job_start(guest_job *job, const char *command)
{
    static const pq_job_events events = {
        .output = on_output, .input_wanted = feed, .done = on_done};
    char dir[128], ran[128];
    const char *env[] = {dir, ran, NULL};
    snprintf(dir, sizeof dir, "DIR=%s", guest.dir);
    snprintf(ran, sizeof ran, "RAN=%s/ran", guest.dir);
    job->request.command = command;
    if (job->request.env == NULL)
        job->request.env = env;
    if (job->input != NULL)
        job->request.input_streams = true;
    job->job = pq_job_start(guest.session, &job->request, &events, job, &err);
    cr_assert_not_null(job->job, "%s", err.text);
    feed(job);
    if (job->request.env == env)
        job->request.env = NULL;
}

void guest_job_await(guest_job *job)
{
    while (!job->ended)
        guest_run();
}

void guest_job_done(guest_job *job)
{
    pq_job_drop(job->job);
    job->job = NULL;
    pq_buf_done(&job->out);
    pq_buf_done(&job->err_out);
}

void guest_job_run(guest_job *job, const char *command)
{
    guest_job_start(job, command);
    guest_job_await(job);
    cr_assert_eq(job->err.code, PQ_OK, "%s: %s", pq_code_name(job->err.code), job->err.text);
    cr_assert_eq(job->result.exit_code, 0, "exit status %d: %s", job->result.exit_code,
                 job->err_out.length > 0 ? job->err_out.data : "");
    cr_assert_eq(job->result.signal, 0);
}

void guest_job_must_fail(guest_job *job, pq_code code, pq_effect effect)
{
    guest_job_await(job);
    cr_assert_eq(job->err.code, code, "%s: %s", pq_code_name(job->err.code), job->err.text);
    cr_assert_eq(job->err.effect, effect, "%s: %s", pq_effect_name(job->err.effect), job->err.text);
}

void guest_job_must_print(const guest_job *job, const void *bytes, size_t length)
{
    cr_assert_eq(job->out.length, length, "%zu bytes instead of %zu", job->out.length, length);
    if (length > 0)
        cr_assert_arr_eq(job->out.data, bytes, length);
}
