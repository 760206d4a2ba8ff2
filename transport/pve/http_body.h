/*
 * Decoding of gzipped answers; the only include of zlib in this folder.   (transport/pve; pure)
 */
#pragma once

#include "transport/base/buf.h"

/* Appends what `length` gzipped bytes unpack to. The answer may not grow past out->maximum.
 * Several members in a row are one stream. Fails with BAD_ANSWER for data that is damaged,
 * incomplete, or larger than that, or with NOMEM; `out` may then hold a part. */
int pq_gzip_decode(pq_buf *out, const void *bytes, size_t length, pq_error *err);
