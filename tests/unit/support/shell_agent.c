#include "tests/unit/support/shell_agent.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "transport/base/fd.h"
#include "transport/base/json.h"

#define RULES (sizeof((shell_agent *)NULL)->rules / sizeof(shell_rule))

typedef struct shell_process {
    struct shell_process *next;
    int64_t number; /* what callers know it by */
    pid_t pid;
    int status;
    bool reaped;
    char *text; /* of its call, for the rules */
    struct {
        int fd;
        pq_buf bytes;
        pq_watch watch;
    } streams[2];
} shell_process;

typedef struct shell_seen {
    struct shell_seen *next;
    shell_call call;
    char text[];
} shell_seen;

struct pq_agent_op {
    struct pq_agent_op *next;
    shell_agent *agent;
    shell_call call;
    union {
        pq_exec_start_fn exec;
        pq_exec_status_fn status;
        pq_file_read_fn read;
        pq_agent_done_fn ping;
    } done;
    void *context;
    pq_timer timer;
    const shell_rule *rule;
    pq_error err; /* code PQ_OK: none */
    int64_t pid;
    pq_exec_status status;
    pq_buf bytes;
    bool eof;
    bool *dropped; /* set when it is dropped; or NULL */
};

static shell_agent *of(const pq_agent *agent)
{
    return (shell_agent *)(uintptr_t)agent;
}

/* ---- operations and their answers ---- */

static void unlink_op(pq_agent_op *op)
{
    pq_agent_op **link = &op->agent->ops;
    while (*link != op)
        link = &(*link)->next;
    *link = op->next;
}

static void op_drop(pq_agent_op *op)
{
    unlink_op(op);
    if (op->dropped != NULL)
        *op->dropped = true;
    pq_timer_stop(&op->timer);
    pq_buf_done(&op->status.out);
    pq_buf_done(&op->status.err);
    pq_buf_done(&op->bytes);
    free(op);
}

static void answer(void *context)
{
    pq_agent_op *op = context;
    shell_agent *agent = op->agent;
    if (op->rule != NULL && op->rule->event != NULL) {
        bool dropped = false;
        op->dropped = &dropped;
        op->rule->event(op->rule->context);
        if (dropped)
            return;
    }
    const pq_error *err = op->err.code != PQ_OK ? &op->err : NULL;
    if (op->err.code == PQ_E_UNSUPPORTED)
        agent->limits.offset_reads = false;
    /* Nobody may drop it from its own callback: it is not there any more. */
    unlink_op(op);
    if (op->call == SHELL_EXEC)
        op->done.exec(op->context, err, op->pid);
    else if (op->call == SHELL_STATUS)
        op->done.status(op->context, err, &op->status);
    else if (op->call == SHELL_READ)
        op->done.read(op->context, err, &op->bytes, op->eof);
    else
        op->done.ping(op->context, err);
    pq_buf_done(&op->status.out);
    pq_buf_done(&op->status.err);
    pq_buf_done(&op->bytes);
    free(op);
}

static void note_seen(shell_agent *agent, shell_call call, const char *text)
{
    shell_seen *seen = malloc(sizeof *seen + strlen(text) + 1);
    cr_assert_not_null(seen);
    seen->call = call;
    strcpy(seen->text, text);
    seen->next = agent->seen;
    agent->seen = seen;
    agent->calls[call]++;
}

static pq_agent_op *new_op(shell_agent *agent, shell_call call, const char *text, void *context)
{
    pq_agent_op *op = calloc(1, sizeof *op);
    cr_assert_not_null(op);
    op->agent = agent;
    op->call = call;
    op->context = context;
    op->next = agent->ops;
    agent->ops = op;
    note_seen(agent, call, text);
    for (size_t i = 0; i < RULES && op->rule == NULL; i++) {
        const shell_rule *rule = &agent->rules[i];
        bool used = rule->fault != SHELL_FINE || rule->delay > 0 || rule->event != NULL;
        if (!used || rule->call != call || (rule->part != NULL && strstr(text, rule->part) == NULL))
            continue;
        unsigned number = agent->matched[i]++;
        if (number >= rule->skip && (rule->times == 0 || number < rule->skip + rule->times))
            op->rule = rule;
    }
    unsigned open = 0;
    for (const pq_agent_op *other = agent->ops; other != NULL; other = other->next)
        open++;
    cr_assert_lt(open, 64, "calls pile up");
    return op;
}

static shell_fault fault_of(const pq_agent_op *op)
{
    return op->rule != NULL ? op->rule->fault : SHELL_FINE;
}

static void fail(pq_agent_op *op, pq_code code, pq_effect effect)
{
    bool retryable = op->rule == NULL || !op->rule->final;
    pq_fail_effect(&op->err, code, effect, retryable, "%s", pq_code_name(code));
}

static pq_agent_op *send_answer(pq_agent_op *op)
{
    if (fault_of(op) == SHELL_LOSE)
        fail(op, op->rule->code, PQ_EFFECT_UNKNOWN);
    else if (fault_of(op) == SHELL_REFUSE)
        fail(op, op->rule->code, PQ_EFFECT_NONE);
    if (fault_of(op) != SHELL_SILENT)
        pq_timer_start(op->agent->loop, &op->timer, op->rule != NULL ? op->rule->delay : 0, answer,
                       op);
    return op;
}

/* ---- processes ---- */

static void process_free(shell_agent *agent, shell_process *process)
{
    shell_process **link = &agent->processes;
    while (*link != process)
        link = &(*link)->next;
    *link = process->next;
    for (int i = 0; i < 2; i++) {
        pq_watch_stop(&process->streams[i].watch);
        pq_close(&process->streams[i].fd);
        pq_buf_done(&process->streams[i].bytes);
    }
    free(process->text);
    free(process);
}

static void on_output(void *context, int events)
{
    shell_process *process = context;
    pq_error err;
    (void)events;
    for (int i = 0; i < 2; i++) {
        char bytes[65536];
        ssize_t got = -1;
        if (process->streams[i].fd < 0)
            continue;
        while ((got = read(process->streams[i].fd, bytes, sizeof bytes)) > 0)
            cr_assert_eq(pq_buf_add(&process->streams[i].bytes, bytes, (size_t)got, &err), 0);
        if (got == 0) {
            pq_watch_stop(&process->streams[i].watch);
            pq_close(&process->streams[i].fd);
        }
    }
}

static void make_pipe(int ends[2])
{
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0, "%s", strerror(errno));
}

static int input_pipe(const void *input, size_t length)
{
    int ends[2];
    if (input == NULL)
        return open("/dev/null", O_RDONLY | O_CLOEXEC);
    make_pipe(ends);
    cr_assert_geq(fcntl(ends[1], F_SETPIPE_SZ, 1 << 17), (int)length);
    cr_assert_eq(write(ends[1], input, length), (ssize_t)length);
    close(ends[1]);
    return ends[0];
}

static int64_t spawn(shell_agent *agent, const pq_exec_request *request, const char *text)
{
    int out[2], err_pipe[2];
    char path[1024];
    pq_error err;
    make_pipe(out);
    make_pipe(err_pipe);
    int in = input_pipe(request->input, request->input_length);
    snprintf(path, sizeof path, "PATH=%s", agent->path);
    char *environment[] = {path, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in, 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    posix_spawn_file_actions_adddup2(&actions, err_pipe[1], 2);
    posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    posix_spawn_file_actions_addchdir_np(&actions, "/");
    posix_spawnattr_t attributes;
    sigset_t defaults;
    sigfillset(&defaults);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    shell_process *process = calloc(1, sizeof *process);
    cr_assert_not_null(process);
    cr_assert_eq(posix_spawn(&process->pid, request->argv[0], &actions, &attributes,
                             (char *const *)(uintptr_t)request->argv, environment),
                 0);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    close(in);
    close(out[1]);
    close(err_pipe[1]);
    process->streams[0].fd = out[0];
    process->streams[1].fd = err_pipe[0];
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(pq_set_nonblocking(process->streams[i].fd, true, &err), 0);
        pq_watch_start(agent->loop, &process->streams[i].watch, process->streams[i].fd, PQ_READABLE,
                       on_output, process);
    }
    process->text = strdup(text);
    process->number = ++agent->last_pid;
    process->next = agent->processes;
    agent->processes = process;
    return process->number;
}

static shell_process *find(const shell_agent *agent, int64_t number)
{
    shell_process *process = agent->processes;
    while (process != NULL && process->number != number)
        process = process->next;
    return process;
}

static bool has_ended(shell_process *process)
{
    on_output(process, 0);
    if (!process->reaped)
        process->reaped = waitpid(process->pid, &process->status, WNOHANG) == process->pid;
    return process->reaped && process->streams[0].fd < 0 && process->streams[1].fd < 0;
}

/* ---- the agent's operations ---- */

static bool is_ascii(const char *text)
{
    while (*text > 0 && *text < 0x7F)
        text++;
    return *text == '\0';
}

/* The arguments as one text, after a check that they may be sent. */
static char *check_request(shell_agent *agent, const pq_exec_request *request)
{
    pq_buf body = {0}, text = {0};
    pq_error err;
    size_t length;
    for (const char *const *arg = request->argv; *arg != NULL; arg++) {
        cr_assert(is_ascii(*arg), "an argument is not ASCII");
        cr_assert_leq(strlen(*arg), agent->limits.arg_bytes);
        cr_assert_eq(pq_json_write_text(&body, *arg, strlen(*arg), &err), 0);
        cr_assert_eq(pq_buf_add_text(&body, ",", &err), 0);
        cr_assert_eq(pq_buf_add_text(&text, *arg, &err), 0);
        cr_assert_eq(pq_buf_add_text(&text, " ", &err), 0);
    }
    cr_assert_leq(request->input_length, agent->limits.input_bytes);
    if (body.length > agent->largest_body)
        agent->largest_body = body.length;
    if (agent->refuse_bytes == 0)
        cr_assert_leq(body.length, agent->limits.args_bytes);
    char *result = pq_buf_take(&text, &length);
    if (agent->refuse_bytes > 0 && body.length > agent->refuse_bytes) {
        free(result);
        result = NULL;
    }
    pq_buf_done(&body);
    return result;
}

static pq_agent_op *exec_start(pq_agent *base, const pq_exec_request *request,
                               pq_exec_start_fn done, void *context)
{
    shell_agent *agent = of(base);
    char *text = check_request(agent, request);
    pq_agent_op *op = new_op(agent, SHELL_EXEC, text != NULL ? text : "too large", context);
    shell_fault fault = fault_of(op);
    op->done.exec = done;
    if (text == NULL) {
        agent->limits.args_bytes = agent->refuse_bytes;
        fail(op, PQ_E_TOO_LARGE, PQ_EFFECT_NONE);
        return send_answer(op);
    }
    if (fault != SHELL_REFUSE && fault != SHELL_SILENT)
        op->pid = spawn(agent, request, text);
    if (fault == SHELL_TWICE)
        op->pid = spawn(agent, request, text);
    if (fault == SHELL_KILL)
        kill(find(agent, op->pid)->pid, SIGKILL);
    free(text);
    return send_answer(op);
}

static void take_status(shell_agent *agent, pq_agent_op *op, shell_process *process)
{
    op->status.exited = true;
    op->status.signalled = WIFSIGNALED(process->status);
    op->status.code =
        op->status.signalled ? WTERMSIG(process->status) : WEXITSTATUS(process->status);
    op->status.out = process->streams[0].bytes;
    op->status.err = process->streams[1].bytes;
    memset(&process->streams[0].bytes, 0, sizeof(pq_buf));
    memset(&process->streams[1].bytes, 0, sizeof(pq_buf));
    process_free(agent, process);
}

static pq_agent_op *exec_status(pq_agent *base, int64_t pid, pq_exec_status_fn done, void *context)
{
    shell_agent *agent = of(base);
    shell_process *process = find(agent, pid);
    pq_agent_op *op = new_op(agent, SHELL_STATUS, process != NULL ? process->text : "", context);
    shell_fault fault = fault_of(op);
    op->done.status = done;
    if (fault == SHELL_FORGET && process != NULL) {
        process_free(agent, process);
        process = NULL;
    }
    if (fault == SHELL_END) {
        pq_error err;
        op->status.exited = true;
        cr_assert_eq(pq_buf_add_text(&op->status.out, op->rule->answer, &err), 0);
    } else if (process == NULL) {
        pq_fail_effect(&op->err, PQ_E_NO_SUCH_PID, PQ_EFFECT_NONE, false, "no such pid");
    } else if (fault != SHELL_REFUSE && fault != SHELL_SILENT && has_ended(process)) {
        take_status(agent, op, process);
    }
    return send_answer(op);
}

static void read_bytes(pq_agent_op *op, const char *path, uint64_t offset, size_t count)
{
    pq_error err;
    size_t length = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        pq_fail(&op->err, PQ_E_NOT_FOUND, "'%s': %s", path, strerror(errno));
        return;
    }
    cr_assert_eq(pq_buf_reserve(&op->bytes, count, &err), 0);
    while (length < count) {
        ssize_t got = pread(fd, op->bytes.data + length, count - length, (off_t)(offset + length));
        if (got <= 0)
            break;
        length += (size_t)got;
    }
    close(fd);
    op->bytes.length = length;
    op->eof = length < count;
}

static pq_agent_op *file_read(pq_agent *base, const char *path, uint64_t offset, size_t count,
                              pq_file_read_fn done, void *context)
{
    shell_agent *agent = of(base);
    cr_assert(is_ascii(path), "a path is not ASCII");
    cr_assert_leq(count, agent->limits.read_bytes);
    cr_assert(agent->limits.offset_reads || offset == 0);
    pq_agent_op *op = new_op(agent, SHELL_READ, path, context);
    op->done.read = done;
    if (agent->refuse_offsets && agent->limits.offset_reads)
        pq_fail(&op->err, PQ_E_UNSUPPORTED, "no offset reads");
    else
        read_bytes(op, path, offset, count);
    return send_answer(op);
}

static pq_agent_op *ping(pq_agent *base, pq_agent_done_fn done, void *context)
{
    pq_agent_op *op = new_op(of(base), SHELL_PING, "", context);
    op->done.ping = done;
    return send_answer(op);
}

/* Requests are carried out as soon as they are made. */
static bool was_sent(const pq_agent_op *op)
{
    (void)op;
    return true;
}

static const pq_agent_limits *get_limits(const pq_agent *base)
{
    return &of(base)->limits;
}

static const char *get_name(const pq_agent *base)
{
    (void)base;
    return "VM 100 (shell)";
}

static pq_loop *get_loop(const pq_agent *base)
{
    return of(base)->loop;
}

static void agent_free(pq_agent *base)
{
    shell_agent *agent = of(base);
    while (agent->ops != NULL)
        op_drop(agent->ops);
    shell_agent_restart(agent);
    for (shell_seen *next; agent->seen != NULL; agent->seen = next) {
        next = agent->seen->next;
        free(agent->seen);
    }
    free(agent);
}

shell_agent *shell_agent_new(pq_loop *loop)
{
    static const pq_agent_ops ops = {.exec_start = exec_start,
                                     .exec_status = exec_status,
                                     .file_read = file_read,
                                     .ping = ping,
                                     .was_sent = was_sent,
                                     .drop = op_drop,
                                     .limits = get_limits,
                                     .name = get_name,
                                     .loop = get_loop,
                                     .free = agent_free};
    shell_agent *agent = calloc(1, sizeof *agent);
    cr_assert_not_null(agent);
    agent->agent.ops = &ops;
    agent->loop = loop;
    agent->path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    agent->limits = (pq_agent_limits){.arg_bytes = 131071,
                                      .args_bytes = 520000,
                                      .input_bytes = 65536,
                                      .read_bytes = 262144,
                                      .offset_reads = true,
                                      .parallel = 3};
    agent->last_pid = 1000;
    /* What the guest's processes leave behind comes to us, so that it can be found. */
    cr_assert_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    umask(022);
    return agent;
}

void shell_agent_rule(shell_agent *agent, shell_rule rule)
{
    for (size_t i = 0; i < RULES; i++) {
        const shell_rule *old = &agent->rules[i];
        if (old->fault == SHELL_FINE && old->delay == 0 && old->event == NULL) {
            agent->rules[i] = rule;
            agent->matched[i] = 0;
            return;
        }
    }
    cr_assert_fail("too many rules");
}

unsigned shell_agent_count(const shell_agent *agent, shell_call call, const char *part)
{
    unsigned count = 0;
    for (const shell_seen *seen = agent->seen; seen != NULL; seen = seen->next)
        count += seen->call == call && strstr(seen->text, part) != NULL;
    return count;
}

/* ---- all that came of it ---- */

/* Calls `visit` for each process below `parent` that runs; returns how many there are. */
static unsigned walk(pid_t parent, void (*visit)(pid_t pid))
{
    char path[64], line[4096];
    unsigned count = 0;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)parent, (int)parent);
    FILE *children = fopen(path, "re");
    if (children == NULL)
        return 0;
    size_t length = fread(line, 1, sizeof line - 1, children);
    fclose(children);
    line[length] = '\0';
    char *at = line;
    for (long pid; (pid = strtol(at, &at, 10)) > 0;) {
        char state = 'Z', stat_path[64];
        snprintf(stat_path, sizeof stat_path, "/proc/%ld/stat", pid);
        FILE *stat_file = fopen(stat_path, "re");
        if (stat_file != NULL) {
            if (fscanf(stat_file, "%*d (%*[^)]) %c", &state) != 1)
                state = 'Z';
            fclose(stat_file);
        }
        count += walk((pid_t)pid, visit);
        if (state == 'Z')
            continue;
        count++;
        if (visit != NULL)
            visit((pid_t)pid);
    }
    return count;
}

static void stop_one(pid_t pid)
{
    kill(pid, SIGSTOP);
}

static void kill_one(pid_t pid)
{
    kill(pid, SIGKILL);
}

void shell_agent_restart(shell_agent *agent)
{
    /* All at once: none must see another one die. */
    for (unsigned before = 0, now; (now = walk(getpid(), stop_one)) != before;)
        before = now;
    while (walk(getpid(), kill_one) > 0)
        usleep(1000);
    while (waitpid(-1, NULL, WNOHANG) > 0)
        continue;
    while (agent->processes != NULL)
        process_free(agent, agent->processes);
}

unsigned shell_agent_running(void)
{
    return walk(getpid(), NULL);
}
