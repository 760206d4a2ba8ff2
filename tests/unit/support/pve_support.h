/*
 * An agent reached through an http_peer, and what came of its operations.   (tests)
 *
 * pve_support_setup() and _teardown() are for a suite; the peer is started by pve_support_start().
 */
#pragma once

#include "tests/unit/support/http_peer.h"
#include "transport/pve/pve.h"

/* What the last operation gave. */
typedef struct pve_outcome {
    int calls;
    pq_error err; /* code OK on success */
    int64_t pid;
    bool exited, signalled, eof;
    int code;
    char out[200]; /* stdout, or the file's bytes */
    size_t out_length;
} pve_outcome;

typedef struct pve_tester {
    pq_loop *loop;
    pq_pve *pve;
    pq_agent *agent;
    http_peer peer;
    pq_pve_options options; /* change before pve_support_start() */
    pq_secret secret;
    pve_outcome last;
    int left; /* callbacks until the loop stops */
} pve_tester;

extern pve_tester pve_test;

void pve_support_setup(void);
void pve_support_teardown(void);

/* Starts the peer and makes an agent for `vm`. */
void pve_support_start(const http_peer_step *steps, size_t count, const char *vm, const char *node);

/* Hangs up and ends the peer, which must have got `requests`. */
void pve_support_stop(size_t requests);

/* Each runs one operation to its end. */
pve_outcome *run_exec(const char *const *argv);
pve_outcome *run_status(int64_t pid);
pve_outcome *run_read(const char *path, uint64_t offset, size_t count);
pve_outcome *run_ping(void);

/* Runs the loop until `count` callbacks of pve_on_exec() and the like have come. */
void pve_run(int count);

/* Callbacks that fill pve_test.last. */
void pve_on_exec(void *context, const pq_error *err, int64_t pid);
void pve_on_ping(void *context, const pq_error *err);

void expect_failed(const pve_outcome *o, pq_code code, pq_effect effect, bool retryable);

/* Request `index` begins with `line` and its body is `body`. */
void expect_request(size_t index, const char *line, const char *body);
