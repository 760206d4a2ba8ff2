/*
 * A ping along with a command, where that makes the command faster.   (exec)
 *
 * Theory of operation. On a real virtio-serial port the agent sleeps for 100 ms whenever no host is
 * connected, so a command's exec and exec-status, one after the other, wait for two or three such
 * sleeps. A call that is in the agent's queue when another ends keeps the port open: one ping in
 * the middle of the exec makes the pair a third faster.
 *
 * Such a port tells itself: a fast agent answers an exec within about 10 ms and a round trip to the
 * server. So the ping is sent only when an exec has waited for longer than PQ_OVERLAP_AFTER_MS and
 * a round trip, once for each exec at most, and only while the session has no other call under way,
 * which would keep the port open just as well.
 */
#pragma once

#include "transport/agent.h"

/* A third of the time that a lone exec takes on such a port; a fast agent has long answered. */
#define PQ_OVERLAP_AFTER_MS 60

/* One for a session, embedded there. */
typedef struct pq_overlap {
    pq_agent *agent;
    bool enabled;
    unsigned calls;          /* of the session, under way */
    const pq_agent_op *exec; /* valid while the timer runs */
    pq_timer timer;
    pq_agent_op *ping;
} pq_overlap;

void pq_overlap_init(pq_overlap *overlap, pq_agent *agent, bool enabled);
void pq_overlap_done(pq_overlap *overlap);

/* Each call of the session tells when it begins and ends. */
void pq_overlap_call_began(pq_overlap *overlap);
void pq_overlap_call_ended(pq_overlap *overlap);

/* An exec that someone waits for was handed to the agent; it was answered. */
void pq_overlap_exec_sent(pq_overlap *overlap, const pq_agent_op *exec);
void pq_overlap_exec_answered(pq_overlap *overlap);

/* A ping is on its way: what is asked now meets an open port, what is asked later may not. */
bool pq_overlap_is_open(const pq_overlap *overlap);
