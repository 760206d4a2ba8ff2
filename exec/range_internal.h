/*
 * Shared by range.c, range_pieces.c and range_slices.c only.
 */
#pragma once

#include "exec/call.h"
#include "exec/range.h"
#include "exec/retry.h"

/* dd in the slice script counts in these; pieces are multiples. */
#define RANGE_BLOCK 4096

/* Remainders of pieces that were made smaller; more are not made. */
#define RANGE_HOLES 8

typedef struct range_part {
    struct range_part *next;
    char *path;
    uint64_t start, end;
    uint64_t planned; /* pieces, or slices, up to here were asked for */
} range_part;

typedef enum piece_state { PIECE_FREE, PIECE_ASKED, PIECE_WAITING, PIECE_HERE } piece_state;

typedef struct range_batch range_batch;

typedef struct range_piece {
    pq_range *range;
    piece_state state;
    range_part *part;
    uint64_t offset; /* of its bytes in the part's file */
    size_t length;
    range_batch *batch; /* NULL: an offset read */
    uint64_t slice;
    size_t lead; /* bytes of the slice before `offset` */
    pq_agent_op *op;
    pq_retry retry;
    pq_ms asked;
    bool repeated;
    pq_buf bytes;
    bool eof; /* the file ended in it */
} range_piece;

typedef struct range_hole {
    range_part *part; /* NULL: none */
    uint64_t offset;
    size_t length;
} range_hole;

/* Slices that one call has cut, or is cutting. */
struct range_batch {
    range_part *part;  /* NULL: not in use */
    uint64_t first;    /* number of its first slice */
    uint64_t offset;   /* where that begins, a multiple of RANGE_BLOCK */
    size_t lead;       /* bytes of the first slice before what is to be read */
    size_t bytes;      /* of a slice */
    unsigned count;    /* 0 while they are being cut */
    unsigned asked;    /* so many were asked for */
    unsigned received; /* and so many are here, or were delivered */
    int64_t run;       /* in the slices' names: two deliveries of one call cut files of their own */
};

struct pq_range {
    pq_session *session;
    char *dir;
    unsigned number;
    range_part *parts;  /* never none; the first one is being delivered */
    uint64_t delivered; /* so far in the first part */
    bool more;
    range_piece pieces[PQ_RANGE_HELD];
    range_hole holes[RANGE_HOLES];
    bool starved; /* fewer on their way than there could be */
    bool paused;
    bool ended; /* all is delivered, or the file has ended */
    pq_defer pumped;
    pq_range_data_fn data;
    pq_range_done_fn done;
    void *context;

    /* slices */
    bool sliced;
    bool cut_failed; /* there was no space for one more */
    pq_call *slicing;
    range_batch batches[2];
    uint64_t next_slice; /* number of the next one */
    /* The last cut has removed slices from the first number up to below the second. */
    uint64_t removed_slice, kept_slice;
};

/* ---- range.c ---- */
/* Ends the range. */
void pq_range_fail(pq_range *range, const pq_error *err);
/* Delivers and asks for what is possible; may end the range. */
void pq_range_pump(void *range);
/* Makes a piece free again. */
void pq_range_release(range_piece *piece);

/* ---- range_pieces.c ---- */
/* Asks for as much as may be on its way. May end the range. */
void pq_range_ask(pq_range *range);
/* The part in which the next piece or slice begins, or NULL. */
range_part *pq_range_part_to_plan(pq_range *range);

/* ---- range_slices.c ---- */
/* Sets `piece` to the next slice that is there; false if there is none now. */
bool pq_range_take_slice(pq_range *range, range_piece *piece);
/* Has the next batch cut if it is time for that; may end the range, then it returns false. */
bool pq_range_cut_slices(pq_range *range);
/* Path of a piece's slice. */
void pq_range_slice_path(const range_piece *piece, char *out, size_t size);
