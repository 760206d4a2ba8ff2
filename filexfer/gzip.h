/*
 * gzip, as the guest's gzip(1) makes and reads it.   (filexfer; pure; the only user of zlib here)
 *
 * A piece that is packed is one gzip member of its own, so pieces can be sent and unpacked in any
 * order, and members behind each other are again a gzip stream.
 *
 * Level 1: on the way to an agent, which takes about 10 MB/s, more than twice that speed is all
 * that packing must keep.
 */
#pragma once

#include <stdbool.h>

#include "transport/base/buf.h"

/* Packing is worth its time if it leaves at most this share of the bytes. */
#define PQ_GZIP_WORTH_PERCENT 85

/* Whether packing these bytes is worth it, from samples of them: takes well below a millisecond
 * whatever the length. Short input (less than 512 bytes) never is. */
bool pq_gzip_is_worth(const void *bytes, size_t length);

/* ---- packing ---- */

typedef struct pq_gzip pq_gzip;

/* NULL with NOMEM. */
pq_gzip *pq_gzip_new(pq_error *err);
void pq_gzip_free(pq_gzip *gzip);

/* Packs more bytes, appending to `out` what comes out, which may be nothing yet. Fails with NOMEM
 * or TOO_LARGE, as pq_buf_add() does; then the member is lost and `gzip` can only be freed. */
int pq_gzip_add(pq_gzip *gzip, const void *bytes, size_t length, pq_buf *out, pq_error *err);

/* At most so many bytes will the member have, if it ends after `more` further bytes. What is packed
 * already counts as it is, but for the last 64 KiB before their packing was written. */
size_t pq_gzip_bound(const pq_gzip *gzip, size_t more);

/* Writes what is packed but was not written yet, so that pq_gzip_bound() is close. Costs about 100
 * bytes. Fails as pq_gzip_add() does. */
int pq_gzip_flush(pq_gzip *gzip, pq_buf *out, pq_error *err);

/* Ends the member; the next byte begins a new one. Fails as pq_gzip_add() does. */
int pq_gzip_end(pq_gzip *gzip, pq_buf *out, pq_error *err);

/* ---- unpacking ---- */

typedef struct pq_gunzip pq_gunzip;

/* Takes unpacked bytes, at most 64 KiB at a time. -1 with `err` set ends the unpacking. */
typedef int (*pq_gunzip_fn)(void *context, const char *bytes, size_t length, pq_error *err);

pq_gunzip *pq_gunzip_new(pq_error *err);
void pq_gunzip_free(pq_gunzip *gunzip);

/* Any number of members, cut anywhere. Fails with BAD_ANSWER for what is no gzip, with what `take`
 * fails with, or NOMEM. */
int pq_gunzip_add(pq_gunzip *gunzip, const void *bytes, size_t length, pq_gunzip_fn take,
                  void *context, pq_error *err);

/* Whether the last member has ended, so that nothing is missing. True at the beginning. */
bool pq_gunzip_is_complete(const pq_gunzip *gunzip);
