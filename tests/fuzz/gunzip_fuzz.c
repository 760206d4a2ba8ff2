/*
 * gzip from arbitrary bytes.
 *
 * Whatever comes, unpacking must say the same however the bytes are cut, hand out at most 64 KiB at
 * a time, and end where its taker wants. What was unpacked must come out again when it is packed
 * and unpacked, within the bound that was told. A violation aborts.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "filexfer/gzip.h"

#define OUT_MAX ((size_t)256 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static int take(void *context, const char *bytes, size_t length, pq_error *err)
{
    require(length > 0 && length <= 64 * 1024);
    return pq_buf_add(context, bytes, length, err);
}

typedef struct outcome {
    int result;
    bool complete;
    pq_buf out;
} outcome;

static void unpack(outcome *o, const void *bytes, size_t length, size_t step)
{
    pq_error err;
    const char *at = bytes;
    *o = (outcome){.out = {.maximum = OUT_MAX}};
    pq_gunzip *gunzip = pq_gunzip_new(&err);
    require(gunzip != NULL);
    for (size_t done = 0; done < length && o->result == 0; done += step) {
        size_t piece = length - done < step ? length - done : step;
        o->result = pq_gunzip_add(gunzip, at + done, piece, take, &o->out, &err);
    }
    require(o->result == 0 || err.code == PQ_E_BAD_ANSWER || err.code == PQ_E_TOO_LARGE);
    o->complete = pq_gunzip_is_complete(gunzip);
    pq_gunzip_free(gunzip);
}

static void pack(pq_buf *packed, const pq_buf *bytes, size_t step)
{
    pq_error err;
    pq_gzip *gzip = pq_gzip_new(&err);
    require(gzip != NULL);
    for (size_t done = 0; done < bytes->length; done += step) {
        size_t piece = bytes->length - done < step ? bytes->length - done : step;
        size_t bound = pq_gzip_bound(gzip, piece);
        require(pq_gzip_add(gzip, bytes->data + done, piece, packed, &err) == 0);
        require(step % 2 == 0 || pq_gzip_flush(gzip, packed, &err) == 0);
        require(packed->length <= bound);
    }
    size_t bound = pq_gzip_bound(gzip, 0);
    require(pq_gzip_end(gzip, packed, &err) == 0);
    require(packed->length <= bound);
    pq_gzip_free(gzip);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    outcome whole, cut, back;
    pq_buf packed = {0};
    size_t step = size > 0 ? (size_t)data[size - 1] + 1 : 1;
    (void)pq_gzip_is_worth(data, size);
    unpack(&whole, data, size, size + 1);
    unpack(&cut, data, size, step);
    require(whole.result == cut.result);
    require(whole.result < 0 ||
            (whole.complete == cut.complete && whole.out.length == cut.out.length));
    /* Before damage is found, more or less may have been handed out. */
    size_t both = whole.out.length < cut.out.length ? whole.out.length : cut.out.length;
    require(both == 0 || memcmp(whole.out.data, cut.out.data, both) == 0);
    pack(&packed, &whole.out, 64 * step + 1);
    unpack(&back, packed.data, packed.length, step);
    require(back.result == 0 && back.complete && back.out.length == whole.out.length);
    require(whole.out.length == 0 || memcmp(whole.out.data, back.out.data, whole.out.length) == 0);
    pq_buf_done(&packed);
    pq_buf_done(&whole.out);
    pq_buf_done(&cut.out);
    pq_buf_done(&back.out);
    return 0;
}
