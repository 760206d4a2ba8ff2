#include "filexfer/gzip.h"

#include <limits.h>
#include <stdlib.h>
#include <zlib.h>

#define LEVEL 1

/* Largest window; 16 more mean gzip's header and trailer instead of zlib's. */
#define WINDOW_BITS (15 + 16)
#define MEMORY_LEVEL 8

/* A block of the member is ended when it has so much, so that what is packed but not written yet
 * stays small and pq_gzip_bound() close. */
#define BLOCK_BYTES ((size_t)64 * 1024)

/* Output is made room for in steps of this. */
#define ROOM_BYTES ((size_t)16 * 1024)

/* Bits that an ended block leaves behind, and the end of a member without content. */
#define BOUND_SLACK 16

/* Whether packing is worth it is seen from so many samples of this size. */
#define SAMPLES 4
#define SAMPLE_BYTES ((size_t)4 * 1024)
#define SAMPLE_MIN ((size_t)512)

/* zlib reads its input only, yet wants a pointer to bytes it may change. */
static Bytef *input_of(const void *bytes)
{
    union {
        const void *constant;
        Bytef *bytes;
    } input = {.constant = bytes};
    return input.bytes;
}

/* ---- packing ---- */

struct pq_gzip {
    z_stream z;
    size_t written;  /* of the member under way */
    size_t in_block; /* unpacked bytes of the block under way */
};

pq_gzip *pq_gzip_new(pq_error *err)
{
    pq_gzip *gzip = calloc(1, sizeof *gzip);
    if (gzip == NULL || deflateInit2(&gzip->z, LEVEL, Z_DEFLATED, WINDOW_BITS, MEMORY_LEVEL,
                                     Z_DEFAULT_STRATEGY) != Z_OK) {
        free(gzip);
        pq_fail(err, PQ_E_NOMEM, "out of memory");
        return NULL;
    }
    return gzip;
}

void pq_gzip_free(pq_gzip *gzip)
{
    if (gzip == NULL)
        return;
    deflateEnd(&gzip->z);
    free(gzip);
}

/* Lets zlib work until it has no more to write. */
static int run(pq_gzip *gzip, int flush, pq_buf *out, pq_error *err)
{
    z_stream *z = &gzip->z;
    int status;
    do {
        if (pq_buf_reserve(out, ROOM_BYTES, err) < 0)
            return -1;
        size_t space = out->capacity - out->length - 1;
        z->next_out = (Bytef *)out->data + out->length;
        z->avail_out = space < UINT_MAX ? (uInt)space : UINT_MAX;
        uInt before = z->avail_out;
        status = deflate(z, flush);
        size_t written = before - z->avail_out;
        out->length += written;
        out->data[out->length] = '\0';
        gzip->written += written;
    } while (z->avail_out == 0 || (flush == Z_FINISH && status == Z_OK));
    return 0;
}

int pq_gzip_flush(pq_gzip *gzip, pq_buf *out, pq_error *err)
{
    gzip->z.next_in = NULL;
    gzip->z.avail_in = 0;
    if (gzip->in_block > 0 && run(gzip, Z_BLOCK, out, err) < 0)
        return -1;
    gzip->in_block = 0;
    return 0;
}

int pq_gzip_add(pq_gzip *gzip, const void *bytes, size_t length, pq_buf *out, pq_error *err)
{
    const char *at = bytes;
    while (length > 0) {
        size_t left = BLOCK_BYTES - gzip->in_block;
        size_t take = length < left ? length : left;
        gzip->z.next_in = input_of(at);
        gzip->z.avail_in = (uInt)take;
        if (run(gzip, Z_NO_FLUSH, out, err) < 0)
            return -1;
        gzip->in_block += take;
        if (take == left && pq_gzip_flush(gzip, out, err) < 0)
            return -1;
        at += take;
        length -= take;
    }
    return 0;
}

size_t pq_gzip_bound(const pq_gzip *gzip, size_t more)
{
    z_stream *z = (z_stream *)(uintptr_t)&gzip->z;
    size_t blocks = more / BLOCK_BYTES + 1;
    return gzip->written + deflateBound(z, gzip->in_block + more) + blocks * BOUND_SLACK;
}

int pq_gzip_end(pq_gzip *gzip, pq_buf *out, pq_error *err)
{
    gzip->z.next_in = NULL;
    gzip->z.avail_in = 0;
    if (run(gzip, Z_FINISH, out, err) < 0)
        return -1;
    deflateReset(&gzip->z);
    gzip->written = 0;
    gzip->in_block = 0;
    return 0;
}

/* ---- whether to pack ---- */

/* Packs samples that are spread over the bytes, and drops the result. */
static bool pack_samples(z_stream *z, const char *bytes, size_t length, size_t *ret_percent)
{
    unsigned char dropped[2 * SAMPLES * SAMPLE_BYTES];
    bool small = length <= SAMPLES * SAMPLE_BYTES;
    size_t count = small ? 1 : SAMPLES;
    size_t size = small ? length : SAMPLE_BYTES;
    size_t step = small ? 0 : (length - SAMPLE_BYTES) / (SAMPLES - 1);
    z->next_out = dropped;
    z->avail_out = sizeof dropped;
    for (size_t i = 0; i < count; i++) {
        z->next_in = input_of(bytes + i * step);
        z->avail_in = (uInt)size;
        int status = deflate(z, i + 1 == count ? Z_FINISH : Z_NO_FLUSH);
        if (status != (i + 1 == count ? Z_STREAM_END : Z_OK))
            return false;
    }
    *ret_percent = (sizeof dropped - z->avail_out) * 100 / (count * size);
    return true;
}

bool pq_gzip_is_worth(const void *bytes, size_t length)
{
    z_stream z = {0};
    size_t percent = 100;
    if (length < SAMPLE_MIN)
        return false;
    if (deflateInit2(&z, LEVEL, Z_DEFLATED, WINDOW_BITS, MEMORY_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK)
        return false;
    bool packed = pack_samples(&z, bytes, length, &percent);
    deflateEnd(&z);
    return packed && percent <= PQ_GZIP_WORTH_PERCENT;
}

/* ---- unpacking ---- */

struct pq_gunzip {
    z_stream z;
    bool in_member;
    unsigned char out[64 * 1024];
};

pq_gunzip *pq_gunzip_new(pq_error *err)
{
    pq_gunzip *gunzip = calloc(1, sizeof *gunzip);
    if (gunzip == NULL || inflateInit2(&gunzip->z, WINDOW_BITS) != Z_OK) {
        free(gunzip);
        pq_fail(err, PQ_E_NOMEM, "out of memory");
        return NULL;
    }
    return gunzip;
}

void pq_gunzip_free(pq_gunzip *gunzip)
{
    if (gunzip == NULL)
        return;
    inflateEnd(&gunzip->z);
    free(gunzip);
}

/* One round of inflate() and what comes of it. */
static int unpack_some(pq_gunzip *gunzip, pq_gunzip_fn take, void *context, pq_error *err)
{
    z_stream *z = &gunzip->z;
    z->next_out = gunzip->out;
    z->avail_out = sizeof gunzip->out;
    gunzip->in_member = true;
    int status = inflate(z, Z_NO_FLUSH);
    if (status == Z_MEM_ERROR)
        return pq_fail(err, PQ_E_NOMEM, "out of memory");
    if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR)
        return pq_fail(err, PQ_E_BAD_ANSWER, "damaged gzip data");
    size_t length = sizeof gunzip->out - z->avail_out;
    if (length > 0 && take(context, (const char *)gunzip->out, length, err) < 0)
        return -1;
    if (status == Z_STREAM_END) {
        gunzip->in_member = false;
        inflateReset(z);
    }
    return 0;
}

int pq_gunzip_add(pq_gunzip *gunzip, const void *bytes, size_t length, pq_gunzip_fn take,
                  void *context, pq_error *err)
{
    const char *at = bytes;
    z_stream *z = &gunzip->z;
    while (length > 0) {
        uInt round = length < UINT_MAX ? (uInt)length : UINT_MAX;
        z->next_in = input_of(at);
        z->avail_in = round;
        do {
            if (unpack_some(gunzip, take, context, err) < 0)
                return -1;
        } while (z->avail_in > 0 || (gunzip->in_member && z->avail_out == 0));
        at += round;
        length -= round;
    }
    return 0;
}

bool pq_gunzip_is_complete(const pq_gunzip *gunzip)
{
    return !gunzip->in_member;
}
