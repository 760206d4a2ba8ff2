/*
 * Where the content of a put comes from: a descriptor, or the caller's pushes.
 *
 * A regular file is read up to the length that it had at the beginning, and must be the same at the
 * end, or longer: a log may grow while it is copied. Files of the kernel that say they are empty
 * (/proc), or longer than they are (/sys), are read to their end.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "filexfer/put_internal.h"
#include "transport/base/log.h"

#define READ_BYTES ((size_t)64 * 1024)

/* Read and not in a piece yet, at most: what one is judged by, and its last block. */
#define WAITING_BYTES (PQ_BUILD_SAMPLE + PQ_BUILD_BLOCK)

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

static int start_digest(pq_put *put, pq_error *err)
{
    pq_sha256_free(put->sha256);
    put->sha256 = pq_sha256_new(err);
    put->cksum = 0;
    put->taken = 0;
    return put->sha256 != NULL ? 0 : -1;
}

int pq_put_source_open(pq_put *put, pq_error *err)
{
    put->end = UINT64_MAX;
    if (start_digest(put, err) < 0)
        return -1;
    if (put->fd < 0)
        return 0;
    if (fstat(put->fd, &put->opened) < 0)
        return pq_fail(err, PQ_E_IO, "cannot read: %s", strerror(errno));
    if (S_ISDIR(put->opened.st_mode))
        return pq_fail(err, PQ_E_IO, "it is a directory");
    put->regular = S_ISREG(put->opened.st_mode);
    off_t start = put->regular ? lseek(put->fd, 0, SEEK_CUR) : -1;
    if (start >= 0 && put->opened.st_size > start)
        put->end = (uint64_t)(put->opened.st_size - start);
    return 0;
}

int pq_put_source_rewind(pq_put *put, pq_error *err)
{
    put->position = 0;
    put->ended = false;
    pq_buf_clear(&put->waiting);
    if (lseek(put->fd, 0, SEEK_SET) < 0)
        return pq_fail(err, PQ_E_IO, "cannot read: %s", strerror(errno));
    return start_digest(put, err);
}

static bool is_same_time(const struct timespec *one, const struct timespec *other)
{
    return one->tv_sec == other->tv_sec && one->tv_nsec == other->tv_nsec;
}

static int check_unchanged(const pq_put *put, pq_error *err)
{
    struct stat now;
    if (!put->regular || put->end == UINT64_MAX)
        return 0;
    if (fstat(put->fd, &now) < 0)
        return pq_fail(err, PQ_E_IO, "cannot read: %s", strerror(errno));
    bool ended_early = put->taken < put->end && now.st_size != put->opened.st_size;
    if (ended_early || now.st_size < put->opened.st_size)
        return pq_fail(err, PQ_E_IO, "it became shorter while it was read");
    if (now.st_size > put->opened.st_size)
        pq_log(PQ_LOG_INFO, "it became longer while it was read: %llu bytes are copied",
               (unsigned long long)put->end);
    else if (!is_same_time(&now.st_mtim, &put->opened.st_mtim) ||
             !is_same_time(&now.st_ctim, &put->opened.st_ctim))
        return pq_fail(err, PQ_E_IO, "it was changed while it was read");
    return 0;
}

static bool has_room(const pq_put *put)
{
    return put->fd >= 0 && !put->ended && put->waiting.length <= WAITING_BYTES;
}

bool pq_put_source_is_ready(const pq_put *put)
{
    return has_room(put) && (put->regular || put->ready);
}

static int read_some(pq_put *put, uint64_t most, pq_error *err)
{
    uint64_t left = put->end - put->taken;
    ssize_t got;
    if (most > left)
        most = left;
    if (pq_buf_reserve(&put->waiting, READ_BYTES, err) < 0)
        return -1;
    char *to = put->waiting.data + put->waiting.length;
    do {
        got = read(put->fd, to, most < READ_BYTES ? (size_t)most : READ_BYTES);
    } while (got < 0 && errno == EINTR);
    put->ready = false;
    if (got < 0 && errno == EAGAIN)
        return 0;
    if (got < 0)
        return pq_fail(err, PQ_E_IO, "cannot read: %s", strerror(errno));
    take(put, to, (size_t)got);
    put->waiting.length += (size_t)got;
    put->ended = got == 0 || put->taken == put->end;
    return put->ended ? check_unchanged(put, err) : 0;
}

int pq_put_source_read(pq_put *put, uint64_t most, pq_error *err)
{
    if (pq_put_source_is_ready(put) && read_some(put, most, err) < 0)
        return -1;
    /* Reading a pipe that has nothing would make the loop wait. */
    if (has_room(put) && !put->regular)
        pq_watch_start(pq_session_loop(put->session), &put->readable, put->fd, PQ_READABLE,
                       on_readable, put);
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
