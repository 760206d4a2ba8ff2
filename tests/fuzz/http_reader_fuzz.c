/*
 * HTTP responses from arbitrary bytes.
 *
 * Whatever comes, the reader must say the same however the bytes are cut, take no byte behind the
 * answer, and keep its bounds; a gzipped body must unpack within its bound or be refused. A
 * violation aborts.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "transport/pve/http_body.h"
#include "transport/pve/http_reader.h"

#define BODY_MAX ((size_t)4096)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

typedef struct outcome {
    int result;
    size_t used;
    pq_error err;
    pq_http_reader reader;
} outcome;

static void unpack(const pq_http_reader *reader)
{
    pq_buf out = {.maximum = BODY_MAX};
    pq_error err;
    if (!reader->gzip || reader->body.length == 0)
        return;
    if (pq_gzip_decode(&out, reader->body.data, reader->body.length, &err) < 0)
        require(err.code == PQ_E_BAD_ANSWER && err.text[0] != '\0');
    require(out.length <= BODY_MAX);
    pq_buf_done(&out);
}

/* Feeds pieces whose lengths go from 1 to `step` and begin anew, as packets vary. */
static void read_answer(outcome *o, const uint8_t *data, size_t size, size_t step)
{
    size_t piece = step > 16 ? step : 1;
    *o = (outcome){0};
    pq_http_reader_start(&o->reader, BODY_MAX);
    for (size_t at = 0; at < size && o->result == 0 && !pq_http_reader_is_done(&o->reader);) {
        size_t length = size - at < piece ? size - at : piece, used = 0;
        o->result =
            pq_http_reader_feed(&o->reader, (const char *)data + at, length, &used, &o->err);
        require(used <= length);
        require(o->result < 0 || used == length || pq_http_reader_is_done(&o->reader));
        at += length;
        o->used += used;
        piece = step > 16 ? step : 1 + piece % step;
    }
    if (o->result == 0)
        o->result = pq_http_reader_end(&o->reader, &o->err);
    require(o->reader.body.length <= BODY_MAX);
}

static void compare(const outcome *a, const outcome *b)
{
    const pq_http_reader *x = &a->reader, *y = &b->reader;
    require(a->result == b->result);
    if (a->result < 0) {
        require(a->err.code == b->err.code && strcmp(a->err.text, b->err.text) == 0);
        require(a->err.code == PQ_E_BAD_ANSWER || a->err.code == PQ_E_NETWORK);
        return;
    }
    require(a->used == b->used && x->status == y->status && x->keep_open == y->keep_open);
    require(x->status >= 200 && x->status <= 999 && strcmp(x->reason, y->reason) == 0);
    require(x->body.length == y->body.length);
    require(x->body.length == 0 || memcmp(x->body.data, y->body.data, x->body.length) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    outcome whole, cut;
    read_answer(&whole, data, size, size > 16 ? size : 17);
    read_answer(&cut, data, size, size > 0 ? 1 + data[size - 1] % 16 : 1);
    compare(&whole, &cut);
    if (whole.result == 0)
        unpack(&whole.reader);
    pq_http_reader_done(&whole.reader);
    pq_http_reader_done(&cut.reader);
    return 0;
}
