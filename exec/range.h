/*
 * Reading parts of guest files, in order, with several pieces in flight.   (exec)
 *
 * Theory of operation. What is to be read is a list of parts, each of one file; mostly it is a
 * single one. A part is read in pieces, each one file-read with its offset. How large they are and
 * how many are on their way says the session's pace (pace.h). A few more are held than are on their
 * way, so that a slow answer does not stop the others; they are handed over in order.
 *
 * Where the server has no offset reads, a script (guest/slice.sh) cuts slices, files next to the
 * job's, and each slice is a file-read of its own. While one batch of slices is read the next is
 * cut, and the one before removed, so at most two batches are in the guest.
 * (Not through the output of exec: a real virtio port drains captured output at 40 KiB/s.)
 *
 * A piece is asked for again when its answer is lost: reading changes nothing. One that ran into a
 * time-out is asked for in smaller pieces.
 */
#pragma once

#include <stdint.h>

#include "exec/session.h"

/* To the end of the file, wherever that is. */
#define PQ_RANGE_TO_END UINT64_MAX

/* Pieces on their way, pieces that are held, those included, and bytes of a piece, at most: this is
 * what bounds the memory. */
#define PQ_RANGE_WINDOW 3
#define PQ_RANGE_HELD 6
#define PQ_RANGE_PIECE_MAX ((size_t)512 * 1024)

typedef struct pq_range pq_range;

/* Bytes in order, never of two parts at once. Returns false to stop the range: `done` then never
 * runs, and the range is freed. It may add parts. */
typedef bool (*pq_range_data_fn)(void *context, const char *bytes, size_t length);

/* `end` is where reading stopped in the last part that was read; less than asked for if the file is
 * shorter. Parts behind a short one are not read. */
typedef void (*pq_range_done_fn)(void *context, const pq_error *err, uint64_t end);

typedef struct pq_range_request {
    const char *dir;  /* directory for slices, made if missing; NUMBER.r.* stays there */
    unsigned number;  /* names the slices */
    const char *path; /* of the first part; ASCII */
    uint64_t start;
    uint64_t end; /* exclusive, or PQ_RANGE_TO_END */
    bool more;    /* parts may be added until pq_range_end() */
} pq_range_request;

/* The request is copied. The range frees itself after `done`. NULL only without memory. */
pq_range *pq_range_start(pq_session *session, const pq_range_request *request,
                         pq_range_data_fn data, pq_range_done_fn done, void *context,
                         pq_error *err);

/* A further part. Fails with NOMEM. */
int pq_range_add(pq_range *range, const char *path, uint64_t start, uint64_t end, pq_error *err);

/* No part follows any more. */
void pq_range_end(pq_range *range);

/* Makes the last part, which is not read to its end yet, end at `end`, or later where more has been
 * asked for already; returns where. */
uint64_t pq_range_cut(pq_range *range, uint64_t end);

/* Up to where in the last part bytes were asked for. */
uint64_t pq_range_asked(const pq_range *range);

/* While paused no more data is delivered, and no more is asked for than can be held. */
void pq_range_pause(pq_range *range, bool pause);

/* Ends without `done`; NULL is fine. */
void pq_range_drop(pq_range *range);
