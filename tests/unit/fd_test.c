#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "transport/base/fd.h"

/* More than a pipe or a socket buffer holds, so that writers have to wait. */
#define LARGE ((size_t)4 * 1024 * 1024)

static unsigned char pattern(size_t at)
{
    return (unsigned char)(at * 31 + (at >> 8));
}

static unsigned char *pattern_new(size_t length)
{
    unsigned char *bytes = malloc(length);
    cr_assert_not_null(bytes);
    for (size_t i = 0; i < length; i++)
        bytes[i] = pattern(i);
    return bytes;
}

/* Reads `fd` to its end in a child, which exits with 0 if it was `length` bytes of the pattern. */
static pid_t reader_start(int fd, int writer_fd, size_t length)
{
    pid_t pid = fork();
    cr_assert_geq(pid, 0);
    if (pid > 0)
        return pid;
    close(writer_fd);
    size_t at = 0, got = 1;
    bool good = true;
    while (good && got > 0) {
        unsigned char piece[1000];
        pq_error err;
        good = pq_read_some(fd, piece, sizeof piece, &got, &err) == 0;
        for (size_t i = 0; i < got && good; i++, at++)
            good = piece[i] == pattern(at);
    }
    _exit(good && at == length ? 0 : 1);
}

static void assert_reader_content(pid_t pid)
{
    int status;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the bytes did not arrive");
}

Test(fd, close_resets_and_keeps_errno)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), copy = fd;
    cr_assert_geq(fd, 0);
    errno = EXDEV;
    pq_close(&fd);
    cr_assert_eq(fd, -1);
    cr_assert_eq(errno, EXDEV);
    cr_assert_eq(fcntl(copy, F_GETFD), -1);
    fd = copy; /* closed already: close() sets errno now */
    errno = EXDEV;
    pq_close(&fd);
    cr_assert_eq(errno, EXDEV);
    pq_close(&fd);
    cr_assert_eq(fd, -1);
}

Test(fd, write_all_through_partial_writes)
{
    int fds[2];
    unsigned char *bytes = pattern_new(LARGE);
    pq_error err;
    cr_assert_eq(pipe(fds), 0);
    pid_t reader = reader_start(fds[0], fds[1], LARGE);
    cr_assert_eq(pq_write_all(fds[1], bytes, LARGE, &err), 0);
    close(fds[1]);
    assert_reader_content(reader);
    close(fds[0]);
    free(bytes);
}

Test(fd, write_all_waits_on_a_nonblocking_socket)
{
    int fds[2];
    unsigned char *bytes = pattern_new(LARGE);
    pq_error err;
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    cr_assert_eq(pq_set_nonblocking(fds[1], true, &err), 0);
    pid_t reader = reader_start(fds[0], fds[1], LARGE);
    cr_assert_eq(pq_write_all(fds[1], bytes, LARGE, &err), 0);
    close(fds[1]);
    assert_reader_content(reader);
    close(fds[0]);
    free(bytes);
}

static void on_alarm(int number)
{
    (void)number;
}

Test(fd, calls_go_on_after_a_signal)
{
    int fds[2];
    unsigned char *bytes = pattern_new(LARGE);
    pq_error err;
    struct sigaction action = {.sa_handler = on_alarm}; /* no SA_RESTART */
    struct itimerval often = {.it_interval = {0, 500}, .it_value = {0, 500}}, off = {0};
    cr_assert_eq(pipe(fds), 0);
    sigaction(SIGALRM, &action, NULL);
    pid_t reader = reader_start(fds[0], fds[1], LARGE);
    setitimer(ITIMER_REAL, &often, NULL);
    cr_assert_eq(pq_write_all(fds[1], bytes, LARGE, &err), 0);
    setitimer(ITIMER_REAL, &off, NULL);
    close(fds[1]);
    assert_reader_content(reader);
    close(fds[0]);
    free(bytes);
}

Test(fd, read_goes_on_after_a_signal)
{
    int fds[2];
    pq_error err;
    struct sigaction action = {.sa_handler = on_alarm};
    struct itimerval often = {.it_interval = {0, 500}, .it_value = {0, 500}}, off = {0};
    cr_assert_eq(pipe(fds), 0);
    pid_t writer = fork();
    if (writer == 0) {
        usleep(20000);
        _exit(write(fds[1], "late", 4) == 4 ? 0 : 1);
    }
    char bytes[16];
    size_t length = 0;
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    int result = pq_read_some(fds[0], bytes, sizeof bytes, &length, &err);
    setitimer(ITIMER_REAL, &off, NULL);
    cr_assert_eq(result, 0);
    cr_assert_eq(length, 4);
    cr_assert_arr_eq(bytes, "late", 4);
    assert_reader_content(writer);
    close(fds[0]);
    close(fds[1]);
}

Test(fd, write_to_a_closed_pipe_fails)
{
    int fds[2];
    pq_error err;
    signal(SIGPIPE, SIG_IGN);
    cr_assert_eq(pipe(fds), 0);
    close(fds[0]);
    cr_assert_eq(pq_write_all(fds[1], "x", 1, &err), -1);
    cr_assert_eq(err.code, PQ_E_IO);
    cr_assert_not_null(strstr(err.text, strerror(EPIPE)));
    cr_assert_eq(pq_write_all(fds[1], NULL, 0, &err), 0);
    close(fds[1]);
}

Test(fd, full_disk_is_named)
{
    pq_error err;
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        cr_skip_test("no /dev/full");
    cr_assert_eq(pq_write_all(fd, "x", 1, &err), -1);
    cr_assert_eq(err.code, PQ_E_IO);
    cr_assert_eq(err.effect, PQ_EFFECT_NONE);
    cr_assert_not_null(strstr(err.text, strerror(ENOSPC)));
    cr_assert_eq(pq_pwrite_all(fd, "x", 1, 0, &err), -1);
    cr_assert_not_null(strstr(err.text, strerror(ENOSPC)));
    close(fd);
}

Test(fd, pwrite_all_at_offsets)
{
    char name[] = "/tmp/pq-fd-test-XXXXXX", back[8];
    pq_error err;
    int fd = mkostemp(name, O_CLOEXEC);
    cr_assert_geq(fd, 0);
    unlink(name);
    cr_assert_eq(pq_pwrite_all(fd, "def", 3, 3, &err), 0);
    cr_assert_eq(pq_pwrite_all(fd, "abc", 3, 0, &err), 0);
    cr_assert_eq(pq_pwrite_all(fd, NULL, 0, 100, &err), 0);
    size_t length;
    cr_assert_eq(pq_read_some(fd, back, sizeof back, &length, &err), 0);
    cr_assert_eq(length, 6, "the position moved, or the file grew");
    cr_assert_arr_eq(back, "abcdef", 6);
    cr_assert_eq(pq_read_some(fd, back, sizeof back, &length, &err), 0);
    cr_assert_eq(length, 0);
    close(fd);
    cr_assert_eq(pq_pwrite_all(fd, "x", 1, 0, &err), -1);
    cr_assert_eq(err.code, PQ_E_IO);
}

Test(fd, read_failure_leaves_the_result_alone)
{
    char bytes[4];
    size_t length = 77;
    pq_error err;
    cr_assert_eq(pq_read_some(-1, bytes, sizeof bytes, &length, &err), -1);
    cr_assert_eq(err.code, PQ_E_IO);
    cr_assert_not_null(strstr(err.text, strerror(EBADF)));
    cr_assert_eq(length, 77);
}

Test(fd, nonblocking_is_set_and_cleared)
{
    int fds[2];
    pq_error err;
    cr_assert_eq(pipe(fds), 0);
    for (int round = 0; round < 2; round++) {
        cr_assert_eq(pq_set_nonblocking(fds[0], true, &err), 0);
        cr_assert(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
    }
    cr_assert_eq(pq_set_nonblocking(fds[0], false, &err), 0);
    cr_assert_not(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
    close(fds[0]);
    close(fds[1]);
    cr_assert_eq(pq_set_nonblocking(fds[0], true, &err), -1);
    cr_assert_eq(err.code, PQ_E_IO);
}
