/*
 * The progress line of a transfer on a terminal.   (shim)
 *
 *   nginx.tar                      42%   12.3 MiB   1.2 MiB/s   00:12 left
 *
 * It is on stderr's terminal if there is one that we are in the foreground of, at most
 * 1 / PQ_PROGRESS_DRAW_MS times a second, and not before PQ_PROGRESS_FIRST_MS, so short transfers
 * show none. It fits the terminal, whose width is asked for each time. Log lines are written above
 * it: while it is on, the log goes through it.
 */
#pragma once

#include <stdbool.h>

#include "transport/base/log.h"
#include "transport/loop/loop.h"

#define PQ_PROGRESS_FIRST_MS 300
#define PQ_PROGRESS_DRAW_MS 200

/* Bytes of a line and its NUL, for any terminal. */
#define PQ_PROGRESS_LINE_BYTES 1024

/* All-zero is valid: a line that is off. */
typedef struct pq_progress {
    pq_loop *loop; /* NULL: off */
    pq_timer timer;
    char name[200];
    uint64_t bytes;
    int64_t total; /* -1: unknown */
    pq_ms started;
    pq_ms measured; /* when the rate was */
    uint64_t measured_bytes;
    uint64_t rate;  /* bytes a second */
    unsigned shown; /* columns on the terminal, 0: none */
} pq_progress;

/* `name` is copied. Nothing happens without a terminal. */
void pq_progress_start(pq_progress *progress, pq_loop *loop, const char *name);

bool pq_progress_is_on(const pq_progress *progress);
void pq_progress_update(pq_progress *progress, uint64_t bytes, int64_t total);

/* Success: the line stays with what was transferred in what time, if it was shown at all; else it
 * goes. The log goes where it went before. Fine to call at any time. */
void pq_progress_end(pq_progress *progress, bool success);

/* ---- pure ---- */

typedef struct pq_progress_state {
    const char *name; /* printable UTF-8 */
    uint64_t bytes;
    int64_t total; /* -1: unknown */
    uint64_t rate;
    pq_ms elapsed;
    bool ended;
} pq_progress_state;

/* Writes a line of at most `columns` columns, and PQ_PROGRESS_LINE_BYTES; returns its columns.
 * Parts that do not fit are left out. */
unsigned pq_progress_line(char out[PQ_PROGRESS_LINE_BYTES], unsigned columns,
                          const pq_progress_state *state);

/* The rate after `bytes` more in `elapsed` ms: an average in which the last seconds count most. */
uint64_t pq_progress_rate(uint64_t rate, uint64_t bytes, pq_ms elapsed);
