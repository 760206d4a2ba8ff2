/* Finding a server, or making one. See control.h. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shim/control/control.h"
#include "transport/base/fd.h"
#include "transport/base/log.h"

/* Clients that may wait to be accepted. */
#define BACKLOG 128

static struct sockaddr_un address_of(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, path, strlen(path) + 1);
    return address;
}

static int new_socket(pq_error *err)
{
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return pq_fail(err, PQ_E_IO, "cannot make a socket: %s", strerror(errno));
    return fd;
}

/* ---- connecting ---- */

int pq_control_check_peer(int fd, pq_error *err)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
        return pq_fail(err, PQ_E_IO, "cannot tell whose control socket it is: %s", strerror(errno));
    if (peer.uid != geteuid())
        return pq_fail(err, PQ_E_IO, "the control socket's other end belongs to user %ld",
                       (long)peer.uid);
    return 0;
}

/* So that a server that is stopped is not waited for; poll() is not concerned. */
static void set_patience(int fd)
{
    const struct timeval patience = {.tv_sec = PQ_CONTROL_PATIENCE_MS / 1000};
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
}

int pq_control_connect(const char *path, int *ret_fd, bool *ret_absent, pq_error *err)
{
    struct sockaddr_un address = address_of(path);
    int fd = new_socket(err);
    *ret_absent = false;
    if (fd < 0)
        return -1;
    set_patience(fd);
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) < 0) {
        *ret_absent = errno == ENOENT || errno == ECONNREFUSED;
        pq_fail(err, PQ_E_IO, "cannot connect to '%s': %s", path,
                errno == EAGAIN ? "nobody answers" : strerror(errno));
    } else if (pq_control_check_peer(fd, err) == 0) {
        *ret_fd = fd;
        return 0;
    }
    pq_close(&fd);
    return -1;
}

/* ---- the server's process ---- */

/* Nothing of the client's stays open but `*listener`. */
static int leave_descriptors(int *listener)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd < 3; fd++) {
        if (null < 0 || dup2(null, fd) < 0)
            return -1;
    }
    if (*listener != 3 && dup3(*listener, 3, O_CLOEXEC) < 0)
        return -1;
    *listener = 3;
    return close_range(4, ~0U, 0);
}

static void reset_signals(void)
{
    sigset_t none;
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Each client takes three descriptors. */
static void raise_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int become_server(int listener, pq_control_plan *plan)
{
    pq_error err;
    pq_trace_close();
    if (leave_descriptors(&listener) < 0 || chdir("/") < 0)
        return PQ_EXIT_FAILURE;
    reset_signals();
    raise_limit();
    if (plan->trace != NULL)
        (void)pq_trace_open(plan->trace, &err);
    return pq_control_master(listener, plan);
}

/* By way of a child that ends at once, so that the server is neither our child nor the leader of
 * its session, which could get a terminal. Returns in both processes. */
static int fork_server(pq_control_plan *plan, pq_error *err)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        pid_t server = setsid() < 0 ? -1 : fork();
        plan->is_server = server == 0;
        if (plan->is_server)
            return 0;
        _exit(server < 0 ? 1 : 0);
    }
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    if (child < 0 || (WIFEXITED(status) && WEXITSTATUS(status) != 0))
        return pq_fail(err, PQ_E_IO, "cannot start the shared server");
    return 0;
}

/* ---- making one ---- */

/* With the lock, and nobody listening: what is there was left behind. */
static int listen_at(pq_control_plan *plan, pq_error *err)
{
    struct sockaddr_un address = address_of(plan->path);
    struct stat info;
    int fd = new_socket(err);
    if (fd < 0)
        return -1;
    (void)unlink(plan->path);
    if (bind(fd, (const struct sockaddr *)&address, sizeof address) < 0 ||
        listen(fd, BACKLOG) < 0 || lstat(plan->path, &info) < 0) {
        pq_fail(err, PQ_E_IO, "cannot listen at '%s': %s", plan->path, strerror(errno));
        pq_close(&fd);
        return -1;
    }
    plan->device = info.st_dev;
    plan->inode = info.st_ino;
    return fd;
}

/* Connected before it is there, so that it does not find itself idle. */
static int make_server(pq_control_plan *plan, int *ret_listener, int *ret_fd, pq_error *err)
{
    bool absent;
    *ret_listener = listen_at(plan, err);
    if (*ret_listener < 0)
        return -1;
    int result = pq_control_connect(plan->path, ret_fd, &absent, err);
    if (result == 0 && fork_server(plan, err) < 0) {
        pq_close(ret_fd);
        result = -1;
    }
    if (result < 0)
        (void)unlink(plan->path);
    return result;
}

int pq_control_start(pq_control_plan *plan, int *ret_fd, pq_error *err)
{
    bool absent;
    int lock, listener = -1;
    if (pq_control_dir_lock(&plan->dir, &lock, err) < 0)
        return -1;
    int result = pq_control_connect(plan->path, ret_fd, &absent, err);
    if (result < 0 && absent)
        result = make_server(plan, &listener, ret_fd, err);
    if (plan->is_server) {
        pq_close(&lock);
        pq_close(ret_fd);
        plan->status = become_server(listener, plan);
        return 0;
    }
    pq_control_dir_unlock(&lock);
    pq_close(&listener);
    return result;
}
