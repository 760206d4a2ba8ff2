/*
 * How large the pieces of a transfer are, and how many are on their way.   (exec; pure)
 *
 * Theory of operation. The best size differs: Proxmox VE reads an agent's answer in a time that
 * grows with the square of its length (64 to 128 KiB are best with a fast agent), while a
 * virtio-serial port costs 100 ms for each call that finds it idle (128 to 512 KiB, and never fewer
 * than two calls, are best there). So it is found by measurement. The pace moves on a ladder of
 * sizes (64, 96, 128, 192, 256, 384, 512 KiB) and of numbers in flight:
 *
 *   measure as it is -> make one move -> measure -> keep it, and move on in the same direction,
 *          ^                                 or -> take it back, and try another direction
 *          +--- all directions tried: rest <-------------+
 *
 * A move is kept if it moved 5 % more bytes per second; fewer calls in flight, which leave more of
 * the node to others, are kept if they moved hardly fewer. Measurements begin when what was asked
 * for before the move has arrived. Rests get longer while nothing better is found, since looking
 * for it costs speed.
 *
 * Calls that come near the time at which the server gives up on its agent make the pieces smaller
 * at once.
 *
 * A session keeps one for each direction, so that a later transfer begins with what was found.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "transport/base/clock.h"

/* Proxmox VE gives an agent command 5 s; a piece that takes longer than this is too large. */
#define PQ_PACE_SLOW_MS 2000

typedef struct pq_pace {
    /* Bytes of a piece. */
    size_t smallest, largest, piece;
    unsigned window, window_max; /* calls in flight */
    pq_ms cost;                  /* of a call, whatever it carries */

    /* private */
    unsigned skip; /* pieces to come that do not count */
    struct {
        pq_ms since;
        size_t bytes;
        unsigned pieces;
    } measured;
    struct {
        pq_ms since; /* when the last piece came; 0: nothing is on its way */
        double bytes, ms;
    } meter;
    double rate;       /* bytes per ms before the move that is being tried; 0: not measured */
    int move;          /* that is being tried */
    unsigned rejected; /* bit mask of moves that did not help */
    size_t piece_before;
    unsigned window_before;
    bool up_first;            /* larger pieces are tried before smaller ones */
    unsigned rest, rest_left; /* pieces */
} pq_pace;

/* Begins with pieces of `start` bytes, as many in flight as allowed. With smallest == largest only
 * their number changes. */
void pq_pace_init(pq_pace *pace, size_t smallest, size_t largest, size_t start,
                  unsigned window_max);

/* What a backend allows now; brings the size and the number within these. */
void pq_pace_limit(pq_pace *pace, size_t largest, unsigned window_max);

/* Every call costs `cost` ms whatever it carries: pieces are as large as allowed, and that much is
 * not counted as slowness. */
void pq_pace_cost(pq_pace *pace, pq_ms cost);

/* A small call took so long on its own. Where that is much, larger pieces are the better start;
 * ignored once something was measured. */
void pq_pace_hint(pq_pace *pace, pq_ms small_call);

/* Calls are made again after fewer than `window` were on their way: what was not measured to its
 * end is forgotten. */
void pq_pace_begin(pq_pace *pace);

/* A piece of `bytes` came through; it was on its way for `took` ms. Only of calls that went well at
 * once. */
void pq_pace_done(pq_pace *pace, size_t bytes, pq_ms took, pq_ms now);

/* Bytes per ms that were moved lately while there was something to move; 0: nothing yet. */
double pq_pace_rate(const pq_pace *pace);

/* A call with `bytes` ran into a time-out: makes the pieces smaller. */
void pq_pace_timed_out(pq_pace *pace, size_t bytes);
