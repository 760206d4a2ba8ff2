#include "transport/base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transport/base/secret.h"

void pq_buf_done(pq_buf *buf)
{
    free(buf->data);
    buf->data = NULL;
    buf->length = 0;
    buf->capacity = 0;
}

void pq_buf_wipe(pq_buf *buf)
{
    if (buf->data != NULL)
        pq_wipe(buf->data, buf->capacity);
    pq_buf_done(buf);
}

void pq_buf_clear(pq_buf *buf)
{
    buf->length = 0;
    if (buf->data != NULL)
        buf->data[0] = '\0';
}

int pq_buf_reserve(pq_buf *buf, size_t more, pq_error *err)
{
    size_t maximum = buf->maximum != 0 ? buf->maximum : PQ_BUF_MAX;
    if (more > maximum || buf->length > maximum - more)
        return pq_fail(err, PQ_E_TOO_LARGE, "more than %zu bytes", maximum);
    size_t needed = buf->length + more + 1;
    if (needed <= buf->capacity)
        return 0;
    size_t capacity = buf->capacity < 256 ? 256 : buf->capacity + buf->capacity / 2;
    if (capacity > maximum)
        capacity = maximum + 1;
    if (capacity < needed)
        capacity = needed;
    char *data = realloc(buf->data, capacity);
    if (data == NULL)
        return pq_fail(err, PQ_E_NOMEM, "out of memory");
    buf->data = data;
    buf->capacity = capacity;
    return 0;
}

int pq_buf_add(pq_buf *buf, const void *bytes, size_t length, pq_error *err)
{
    if (pq_buf_reserve(buf, length, err) < 0)
        return -1;
    if (length > 0)
        memcpy(buf->data + buf->length, bytes, length);
    buf->length += length;
    buf->data[buf->length] = '\0';
    return 0;
}

int pq_buf_add_text(pq_buf *buf, const char *text, pq_error *err)
{
    return pq_buf_add(buf, text, strlen(text), err);
}

int pq_buf_add_byte(pq_buf *buf, char byte, pq_error *err)
{
    return pq_buf_add(buf, &byte, 1, err);
}

int pq_buf_printf(pq_buf *buf, pq_error *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length < 0)
        return pq_fail(err, PQ_E_INTERNAL, "cannot format a text");
    if (pq_buf_reserve(buf, (size_t)length, err) < 0)
        return -1;
    va_start(args, format);
    vsnprintf(buf->data + buf->length, (size_t)length + 1, format, args);
    va_end(args);
    buf->length += (size_t)length;
    return 0;
}

void pq_buf_consume(pq_buf *buf, size_t count)
{
    if (count >= buf->length) {
        pq_buf_clear(buf);
        return;
    }
    memmove(buf->data, buf->data + count, buf->length - count + 1);
    buf->length -= count;
}

char *pq_buf_take(pq_buf *buf, size_t *ret_length)
{
    char *data = buf->data;
    *ret_length = buf->length;
    buf->data = NULL;
    buf->length = 0;
    buf->capacity = 0;
    return data;
}
