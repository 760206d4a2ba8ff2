/*
 * The VMs of a run and the ways to them.   (shim)
 *
 * Theory of operation: a configuration with its VM selected names a target. Targets share what can
 * be shared: one pq_pve (connections, login, list of VMs) for each endpoint and identity, one agent
 * and session for each VM on it. Both live until pq_targets_free(), so that later requests find the
 * connections and what is known of the guest.
 *
 * At the end pq_targets_close() removes what the sessions have in the guests, all at the same time
 * and for PQ_TARGETS_CLOSE_MS at most, and says what had to be left.
 */
#pragma once

#include "exec/session.h"
#include "transport/config/config.h"

/* For the guests to be cleaned up. */
#define PQ_TARGETS_CLOSE_MS 30000

typedef struct pq_targets pq_targets;

/* Fails with NOMEM. */
pq_targets *pq_targets_new(pq_loop *loop, pq_error *err);

/* Forgets everything, whatever is in flight; jobs and transfers were dropped or have ended. */
void pq_targets_free(pq_targets *targets);

/* The session of `vm`, which was selected in `config`. The configuration is copied where need be;
 * the one with its sections outlives the targets. Asks nothing of the network. Fails with CONFIG
 * if host, user or secret are missing, SECRET, NOMEM. */
int pq_targets_get(pq_targets *targets, pq_config *config, const char *vm, pq_session **ret,
                   pq_error *err);

/* `err` is the first problem, all of which were logged, or NULL. */
typedef void (*pq_targets_closed_fn)(void *context, const pq_error *err);

/* All jobs and transfers have ended. `done` runs from the loop. */
void pq_targets_close(pq_targets *targets, pq_targets_closed_fn done, void *context);
