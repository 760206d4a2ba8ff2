/*
 * What the conversations of a process share.   (shim)
 *
 * Theory of operation: the loop, the VMs with their connections, logins and guest sessions, and
 * what was remembered. Log lines do not tell whose request they are about, since what they are
 * about is shared: each goes to all conversations whose level takes it, and to stderr if there are
 * none.
 */
#pragma once

#include "shim/serve/memory.h"
#include "shim/target.h"

typedef struct pq_talk pq_talk;

/* Embedded in its owner's struct. All-zero is valid for pq_server_done(). */
typedef struct pq_server {
    pq_loop *loop;
    pq_targets *targets;
    pq_memory memory;
    pq_talk *talks;
    bool shared; /* conversations are those of several clients */
} pq_server;

/* Fails with NOMEM, INTERNAL. */
int pq_server_init(pq_server *server, bool shared, pq_error *err);

/* Its conversations were freed. */
void pq_server_done(pq_server *server);

/* A conversation was added or taken away: the process logs as much as the most curious takes. */
void pq_server_level(const pq_server *server);
