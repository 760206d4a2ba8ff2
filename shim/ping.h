/*
 * Asks a guest's agent whether it answers, again and again for the session's connect_timeout.
 * (shim: uses exec, transport)
 */
#pragma once

#include "exec/session.h"

typedef struct pq_ping pq_ping;

/* `err` is NULL after an answer, which took `took_us`. The ping is freed then. */
typedef void (*pq_ping_fn)(void *context, const pq_error *err, int64_t took_us);

/* NULL only without memory. `done` runs from the loop. */
pq_ping *pq_ping_start(pq_session *session, pq_ping_fn done, void *context, pq_error *err);

/* Ends without `done`; NULL is fine. */
void pq_ping_drop(pq_ping *ping);
