/*
 * What the tests of put share: one put at a time, of bytes that are known.   (tests)
 */
#pragma once

#include "filexfer/put.h"
#include "tests/unit/support/guest_file.h"

typedef struct guest_put {
    pq_put *put;
    pq_put_request request; /* set before start() */
    char *bytes;            /* of the source; freed with the test */
    int source;             /* -1, or closed with the test */
    size_t push_length;     /* bytes to push when asked */
    struct {
        unsigned ended;
        pq_error err;
        pq_put_result result;
        uint64_t progress;
        unsigned told;
        size_t pushed;
    } got;
} guest_put;

extern guest_put copy;

/* For TestSuite(): with guest_setup() and guest_teardown(). */
void guest_put_setup(void);
void guest_put_teardown(void);

/* The source is a file with `length` bytes that do not pack. */
void use_file(size_t length);

/* The source is a file with copy.bytes, which are given up. */
void use_bytes(char *bytes, size_t length);

void start(const char *path);
void push(void *context);
void await(void);

/* Lets the loop run for some time. */
void run_for(pq_ms time);

void must_succeed(size_t length);
void must_fail(pq_code code, pq_effect effect);

/* All of it: a file of that length to "file" in the guest, which is clean afterwards. */
void put_file(size_t length);

/* Everything from copy.bytes to "file". */
void put_bytes(char *bytes, size_t length);

/* The put is cancelled before the answer to such a call. */
void cancel(void *context);
void cancel_on_call(pq_file_script which, shell_call call, unsigned skip, shell_fault fault);
