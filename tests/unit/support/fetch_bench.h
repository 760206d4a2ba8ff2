/*
 * A fetch out of the guest that this machine is.   (tests)
 *
 * The guest's files are in guest.dir, the local side is guest.dir/local.
 */
#pragma once

#include "filexfer/fetch.h"
#include "tests/unit/support/guest_file.h"

typedef struct fetch_bench {
    pq_fetch_request request; /* of the next fetch; local/file if it names no place */
    pq_fetch *fetch;          /* NULL once it has ended */
    char *bytes;              /* of the file that was made last */
    size_t length;
    unsigned ended;
    pq_error err; /* code PQ_OK: none */
    pq_fetch_result result;
    uint64_t first_progress, progress;
    int64_t total;
} fetch_bench;

extern fetch_bench fetched;

void fetch_setup(void);
void fetch_teardown(void);

/* Makes a file in the guest; its bytes are random, or taken over. */
void fetch_make(const char *name, size_t length);
void fetch_make_of(const char *name, char *bytes, size_t length);

/* `length` bytes that pack to about a third, all different; free with free(). */
char *fetch_text(size_t length);

void fetch_start(const char *path);
void fetch_await(void);

/* It has ended: with the bytes that were made, at local/file if no place was named. */
void fetch_must_succeed(void);

/* Awaits its end with this error; nothing is left locally. */
void fetch_must_fail(pq_code code);

/* Makes, starts, awaits and checks; the session's close leaves nothing. */
void fetch_file(size_t length);

/* The same for a file that is there. */
void fetch_again(void);

/* Cancels the fetch when a call arrives. */
void fetch_cancel_on(shell_call call, const char *part, unsigned skip);
