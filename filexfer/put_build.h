/*
 * Cuts content into the pieces that calls carry.   (filexfer; pure)
 *
 * Theory of operation. Content is added in stretches of some 64 KiB. When a piece begins, samples
 * of what is at hand decide whether it is packed: then it is one gzip member, filled until the call
 * that carries it is nearly full, or it holds PQ_BUILD_PACKED_MAX unpacked bytes. Packing that gave
 * little is not tried again for a while.
 *
 * Long runs of zeros are in no piece: a piece ends before them, and the next begins behind. A short
 * run is left out where that costs nothing, between two pieces; else it is content as any other,
 * since a further call would cost more. The last block of a file is always content, so that the
 * file gets its length.
 *
 * All-zero is a valid builder.
 */
#pragma once

#include "filexfer/gzip.h"

/* Pieces begin at multiples of this, and all but a file's last are multiples of this long. */
#define PQ_BUILD_BLOCK ((size_t)4096)

/* What is needed to judge content, thus at least to be added at a time but for the end. */
#define PQ_BUILD_SAMPLE ((size_t)64 * 1024)

/* Unpacked bytes of a packed piece: what the guest unpacks in one call. */
#define PQ_BUILD_PACKED_MAX ((size_t)4 * 1024 * 1024)

/* Zeros that end a piece: about what a call costs. */
#define PQ_BUILD_HOLE ((size_t)256 * 1024)

typedef struct pq_piece {
    uint64_t offset; /* in the file */
    size_t length;   /* bytes of the file */
    bool packed;
    bool full;    /* more did not fit */
    pq_buf bytes; /* the content, gzip if packed */
} pq_piece;

void pq_piece_done(pq_piece *piece);

/* Appends the piece's unpacked content to `out`. */
int pq_piece_unpack(const pq_piece *piece, pq_buf *out, pq_error *err);

typedef struct pq_builder {
    pq_piece piece; /* valid while `started` */
    bool started;
    bool complete; /* nothing more can be added: take it */

    /* private */
    bool judged;
    size_t zeros;         /* behind the piece, not added yet */
    uint64_t plain_until; /* content before this is not packed */
    pq_gzip *gzip;
} pq_builder;

void pq_builder_done(pq_builder *builder);

typedef struct pq_build_limits {
    size_t room; /* bytes that a call carries */
    bool may_pack;
} pq_build_limits;

/* Adds content that begins at `offset`, behind what was added before, until the piece is complete.
 * *ret_taken is how much of it was dealt with; unless the piece is complete, what is left is too
 * little to go on. `ends`: no content follows that is adjacent to this. Fails with TOO_LARGE if a
 * call cannot carry a block, or NOMEM. */
int pq_build_add(pq_builder *builder, const pq_build_limits *limits, uint64_t offset,
                 const char *bytes, size_t length, bool ends, size_t *ret_taken, pq_error *err);

/* Completes a started piece that has content, as it is; one without content is forgotten. */
int pq_build_end(pq_builder *builder, pq_error *err);

/* Hands over the piece; the builder can begin the next one. */
pq_piece pq_build_take(pq_builder *builder);
