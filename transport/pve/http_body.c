#include "transport/pve/http_body.h"

#include <limits.h>
#include <zlib.h>

/* Largest window, and a gzip header is required. */
#define GZIP_WINDOW_BITS (15 + 16)

/* Room for the first round; text shrinks to about a quarter. */
#define FIRST_GUESS 4

static int damaged(pq_error *err)
{
    return pq_fail(err, PQ_E_BAD_ANSWER, "the server's answer has damaged gzip data");
}

/* Makes room for more output: doubles, up to the maximum. A full buffer is no error yet, since the
 * stream's trailer may be all that is left. */
static int make_room(pq_buf *out, size_t maximum, size_t guess, pq_error *err)
{
    size_t left = maximum - out->length;
    size_t more = out->length > guess ? out->length : guess;
    return pq_buf_reserve(out, more < left ? more : left, err);
}

/* One round of inflate() into the free memory of `out`. Returns Z_OK, Z_STREAM_END, or -1. */
static int inflate_some(z_stream *z, pq_buf *out, size_t maximum, pq_error *err)
{
    size_t space = out->capacity - out->length - 1;
    if (space > maximum - out->length)
        space = maximum - out->length;
    z->next_out = (Bytef *)out->data + out->length;
    z->avail_out = space < UINT_MAX ? (uInt)space : UINT_MAX;
    uInt before = z->avail_out;
    int status = inflate(z, Z_NO_FLUSH);
    out->length += before - z->avail_out;
    out->data[out->length] = '\0';
    if (status == Z_BUF_ERROR && out->length == maximum)
        return pq_fail(err, PQ_E_BAD_ANSWER, "the server's answer unpacks to more than %zu bytes",
                       maximum);
    if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR)
        return damaged(err);
    return status == Z_STREAM_END ? Z_STREAM_END : Z_OK;
}

static int decode(z_stream *z, pq_buf *out, size_t guess, pq_error *err)
{
    size_t maximum = out->maximum != 0 ? out->maximum : PQ_BUF_MAX;
    for (;;) {
        if (make_room(out, maximum, guess, err) < 0)
            return -1;
        int status = inflate_some(z, out, maximum, err);
        if (status < 0)
            return -1;
        if (status == Z_STREAM_END) {
            if (z->avail_in == 0)
                return 0;
            if (inflateReset(z) != Z_OK)
                return damaged(err);
        } else if (z->avail_in == 0 && z->avail_out > 0) {
            return pq_fail(err, PQ_E_BAD_ANSWER, "the server's gzipped answer ends early");
        }
    }
}

int pq_gzip_decode(pq_buf *out, const void *bytes, size_t length, pq_error *err)
{
    z_stream z = {0};
    if (length == 0 || length > UINT_MAX)
        return pq_fail(err, PQ_E_BAD_ANSWER, "the server's gzipped answer ends early");
    if (inflateInit2(&z, GZIP_WINDOW_BITS) != Z_OK)
        return pq_fail(err, PQ_E_NOMEM, "out of memory");
    union {
        const void *constant;
        Bytef *bytes;
    } input = {.constant = bytes};
    z.next_in = input.bytes;
    z.avail_in = (uInt)length;
    int result = decode(&z, out, FIRST_GUESS * length, err);
    inflateEnd(&z);
    return result;
}
