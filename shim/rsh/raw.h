/*
 * Our own terminal in raw mode.   (shim)
 *
 * Every key goes to the guest, and what comes from there is shown as it is. The terminal is put
 * back by pq_raw_leave(), and at the latest when the process exits by itself.
 */
#pragma once

#include <termios.h>

#include "transport/base/buf.h"

/* All-zero is a terminal that was not touched. */
typedef struct pq_raw {
    int fd;
    bool on;
    struct termios before; /* valid once it was on */
} pq_raw;

/* Also when it is on, for a terminal that somebody else has used meanwhile. Does nothing in the
 * background, where the terminal is not ours. One terminal at a time. Fails with IO. */
int pq_raw_enter(pq_raw *raw, int fd, pq_error *err);
void pq_raw_leave(pq_raw *raw);

/* Rows and columns; false for what is no terminal or has none. */
bool pq_raw_size(int fd, unsigned *ret_rows, unsigned *ret_columns);

/* Appends words for stty that make another terminal like this one: its modes of input as one word
 * or none and, behind a blank each, characters that are not the usual ones. Fails with NOMEM. */
int pq_raw_settings(int fd, pq_buf *out, pq_error *err);
