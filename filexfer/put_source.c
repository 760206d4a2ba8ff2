/*
 * Where the content of a put comes from: a descriptor, or the caller's pushes.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "filexfer/put_internal.h"

#define READ_BYTES ((size_t)64 * 1024)

static void take(pq_put *put, const void *bytes, size_t length)
{
    pq_sha256_add(put->sha256, bytes, length);
    put->cksum = pq_cksum_add(put->cksum, bytes, length);
    put->taken += length;
}

static void on_readable(void *context, int events)
{
    pq_put *put = context;
    (void)events;
    pq_watch_stop(&put->readable);
    put->ready = true;
    pq_put_pump(put);
}

int pq_put_source_open(pq_put *put, pq_error *err)
{
    struct stat info;
    put->sha256 = pq_sha256_new(err);
    if (put->sha256 == NULL)
        return -1;
    if (put->fd < 0)
        return 0;
    if (fstat(put->fd, &info) < 0)
        return pq_fail(err, PQ_E_IO, "cannot read: %s", strerror(errno));
    if (S_ISDIR(info.st_mode))
        return pq_fail(err, PQ_E_IO, "it is a directory");
    put->regular = S_ISREG(info.st_mode);
    return 0;
}

int pq_put_source_read(pq_put *put, pq_error *err)
{
    while (put->fd >= 0 && !put->ended && put->waiting.length < PQ_PUT_WINDOW) {
        /* Reading a pipe that has nothing would make the loop wait. */
        if (!put->regular && !put->ready) {
            pq_watch_start(pq_session_loop(put->session), &put->readable, put->fd, PQ_READABLE,
                           on_readable, put);
            return 0;
        }
        put->ready = false;
        if (pq_buf_reserve(&put->waiting, READ_BYTES, err) < 0)
            return -1;
        char *to = put->waiting.data + put->waiting.length;
        ssize_t got = read(put->fd, to, READ_BYTES);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            continue;
        if (got < 0)
            return pq_fail(err, PQ_E_IO, "cannot read: %s", strerror(errno));
        take(put, to, (size_t)got);
        put->waiting.length += (size_t)got;
        put->ended = got == 0;
    }
    return 0;
}

void pq_put_source_done(pq_put *put)
{
    pq_watch_stop(&put->readable);
    pq_buf_done(&put->waiting);
    pq_sha256_free(put->sha256);
    put->sha256 = NULL;
}

size_t pq_put_room(const pq_put *put)
{
    bool open = !put->ended && put->state <= PUT_SENDING;
    return open && put->waiting.length < PQ_PUT_WINDOW ? PQ_PUT_WINDOW - put->waiting.length : 0;
}

int pq_put_content(pq_put *put, const void *bytes, size_t length, pq_error *err)
{
    if (put->ended || put->state > PUT_SENDING)
        return 0;
    if (pq_buf_add(&put->waiting, bytes, length, err) < 0)
        return -1;
    take(put, bytes, length);
    pq_put_pump(put);
    return 0;
}

void pq_put_content_end(pq_put *put)
{
    put->ended = true;
    pq_put_pump(put);
}
