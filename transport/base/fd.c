#include "transport/base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

void pq_close(int *fd)
{
    if (*fd < 0)
        return;
    int saved = errno;
    close(*fd);
    errno = saved;
    *fd = -1;
}

int pq_write_all(int fd, const void *bytes, size_t length, pq_error *err)
{
    const char *from = bytes;
    while (length > 0) {
        ssize_t written = write(fd, from, length);
        if (written >= 0) {
            from += written;
            length -= (size_t)written;
        } else if (errno == EAGAIN) {
            struct pollfd wait = {.fd = fd, .events = POLLOUT};
            (void)poll(&wait, 1, -1);
        } else if (errno != EINTR) {
            return pq_fail(err, PQ_E_IO, "cannot write: %s", strerror(errno));
        }
    }
    return 0;
}

int pq_pwrite_all(int fd, const void *bytes, size_t length, off_t offset, pq_error *err)
{
    const char *from = bytes;
    while (length > 0) {
        ssize_t written = pwrite(fd, from, length, offset);
        if (written >= 0) {
            from += written;
            offset += written;
            length -= (size_t)written;
        } else if (errno != EINTR) {
            return pq_fail(err, PQ_E_IO, "cannot write: %s", strerror(errno));
        }
    }
    return 0;
}

int pq_read_some(int fd, void *bytes, size_t size, size_t *ret_length, pq_error *err)
{
    for (;;) {
        ssize_t got = read(fd, bytes, size);
        if (got >= 0) {
            *ret_length = (size_t)got;
            return 0;
        }
        if (errno != EINTR)
            return pq_fail(err, PQ_E_IO, "cannot read: %s", strerror(errno));
    }
}

int pq_set_nonblocking(int fd, bool on, pq_error *err)
{
    int flags = fcntl(fd, F_GETFL);
    int wanted = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
    if (flags < 0 || (wanted != flags && fcntl(fd, F_SETFL, wanted) < 0))
        return pq_fail(err, PQ_E_IO, "cannot change a descriptor's mode: %s", strerror(errno));
    return 0;
}
