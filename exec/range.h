/*
 * Reading a part of a guest file, in order, with several pieces in flight.   (exec)
 *
 * Where the server has offset reads, each piece is one file-read. Elsewhere a script cuts the part
 * into slices next to the job's files, and each slice is a file-read of its own.
 * (Not through the output of exec: a real virtio port drains captured output at 40 KiB/s.)
 *
 * Pieces are asked for again when an answer is lost; reading changes nothing.
 */
#pragma once

#include <stdint.h>

#include "exec/session.h"

/* To the end of the file, wherever that is. */
#define PQ_RANGE_TO_END UINT64_MAX

/* Pieces that are held while an earlier one is missing, at most; with pieces of 256 KiB this is
 * what bounds the memory. */
#define PQ_RANGE_WINDOW 3

typedef struct pq_range pq_range;

/* Bytes in order. Returns false to stop the range: `done` then never runs, and the range is
 * freed. */
typedef bool (*pq_range_data_fn)(void *context, const char *bytes, size_t length);

/* `end` is where reading stopped; less than asked for if the file is shorter. */
typedef void (*pq_range_done_fn)(void *context, const pq_error *err, uint64_t end);

typedef struct pq_range_request {
    const char *dir;  /* directory for slices, made if missing; NUMBER.r.* stays there */
    unsigned number;  /* names the slices */
    const char *path; /* ASCII */
    uint64_t start;
    uint64_t end; /* exclusive, or PQ_RANGE_TO_END */
} pq_range_request;

/* The request is copied. The range frees itself after `done`. NULL only without memory. */
pq_range *pq_range_start(pq_session *session, const pq_range_request *request,
                         pq_range_data_fn data, pq_range_done_fn done, void *context,
                         pq_error *err);

/* While paused no more data is delivered, and no more is asked for than fits the window. */
void pq_range_pause(pq_range *range, bool pause);

/* Ends without `done`; NULL is fine. */
void pq_range_drop(pq_range *range);
