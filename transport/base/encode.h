/*
 * Pure byte codecs.   (transport/base; no I/O)
 */
#pragma once

#include <stdbool.h>

#include "transport/base/buf.h"

/* Base64 (RFC 4648) with padding, no line breaks, appended to `out`. */
int pq_base64_encode(pq_buf *out, const void *bytes, size_t length, pq_error *err);

/* Characters that pq_base64_encode() makes of `length` bytes. */
size_t pq_base64_length(size_t length);

/* Decodes one or more padded blocks that follow each other, as PVE's file-read with decode=0
 * sends them (one per MiB). Line breaks are skipped. Anything else: BAD_ANSWER. */
int pq_base64_decode(pq_buf *out, const char *text, size_t length, pq_error *err);

/* Percent-encodes all but RFC 3986 unreserved characters. */
int pq_url_encode(pq_buf *out, const void *bytes, size_t length, pq_error *err);

/* bytes -> UTF-8 text whose code points U+0000..U+00FF are those bytes. NUL stays a NUL byte. */
int pq_latin1_to_utf8(pq_buf *out, const void *bytes, size_t length, pq_error *err);

/* The same for one byte; returns where the next one goes. Two bytes are stored each time, since a
 * branch on random bytes costs more. */
static inline char *pq_put_latin1(char *to, unsigned char byte)
{
    bool high = byte >= 0x80;
    to[0] = (char)(high ? 0xC0 | byte >> 6 : byte);
    to[1] = (char)(0x80 | (byte & 0x3F));
    return to + 1 + high;
}

/* The reverse, as PVE's out-data needs it. A code point above U+00FF or bad UTF-8: BAD_ANSWER.
 * U+0100 stands for a NUL byte (see transport/base/json.h). */
int pq_utf8_to_latin1(pq_buf *out, const char *text, size_t length, pq_error *err);

/* Bytes at the start of `text` that form whole, valid UTF-8 characters. */
size_t pq_utf8_valid_length(const char *text, size_t length);

/* Bytes of the valid UTF-8 character at the start of `text`; 0 if there is none. */
size_t pq_utf8_character(const char *text, size_t length);

/* The place at or before `length` where `text`, which is longer, can be cut without cutting a
 * character. Bytes that are not UTF-8 can be cut anywhere. */
size_t pq_utf8_boundary(const char *text, size_t length);
