/*
 * An agent with two ways to it: the second is taken where the first is closed.   (shim)
 *
 * Theory of operation: operations go the first way until it has served one, and from then on they
 * always do. If it fails before that, in a way that says that this way is closed to us (it cannot
 * be reached, or lacks the privilege) and with effect "none", the failed operations and all later
 * ones go the second way; one warning says so. So no command is ever started on both.
 */
#pragma once

#include "transport/agent.h"

/* Takes both over, even on failure; either may be NULL with *err filled, which is the failure then.
 * Once the first way has shown that it is closed, `closed` is called with the reason. Fails with
 * NOMEM. */
typedef void (*pq_fallback_fn)(void *context, const pq_error *err);
pq_agent *pq_fallback_agent(pq_agent *first, pq_agent *second, pq_fallback_fn closed, void *context,
                            pq_error *err);

/* Whether an error of the first way means that it is closed. */
bool pq_fallback_is_closed(const pq_error *err);
