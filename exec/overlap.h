/*
 * A ping along with a command, where that makes the command faster.   (exec)
 *
 * Theory of operation. On a real virtio-serial port the agent sleeps for 100 ms whenever it finds
 * no host connected, and does nothing else meanwhile: it does not even notice that a child has
 * ended. A call makes two connections, so an exec and an exec-status, one after the other, wait for
 * three or four such sleeps. While one call's connection waits in the agent's queue, another's end
 * is not followed by a sleep: a ping next to the exec-status saves one or two. Both are sent while
 * the agent sleeps after the exec, late enough for a short script to have ended.
 *
 * Such a port tells itself: elsewhere an exec is answered within about 10 ms and a round trip to
 * the server. The ping is sent only when the exec took PQ_OVERLAP_SLOW_MS and a round trip, once
 * for each exec at most, and only while the session has no other call under way, which would keep
 * the port open just as well.
 */
#pragma once

#include "transport/agent.h"

/* An exec that takes longer has met a port that sleeps; there it takes 200 ms. */
#define PQ_OVERLAP_SLOW_MS 60

/* A question about a short script comes so long after the exec's answer, within the sleep that
 * follows it, and the ping before the question; found by trying: 25 to 65 ms for the question are
 * all the same, 95 ms are too late. */
#define PQ_OVERLAP_ASK_AFTER_MS 45
#define PQ_OVERLAP_PING_AHEAD_MS 15

/* What ends within the sleep is asked about as any short script. */
#define PQ_OVERLAP_SLEEP_MS 100

/* One for a session, embedded there. */
typedef struct pq_overlap {
    pq_agent *agent;
    bool enabled;
    unsigned calls; /* of the session, under way */
    pq_timer timer;
    pq_agent_op *ping;
} pq_overlap;

void pq_overlap_init(pq_overlap *overlap, pq_agent *agent, bool enabled);
void pq_overlap_done(pq_overlap *overlap);

/* Each call of the session tells when it begins and ends. */
void pq_overlap_call_began(pq_overlap *overlap);
void pq_overlap_call_ended(pq_overlap *overlap);

/* The exec of a call that someone waits for was just answered. The script will be asked about after
 * `planned` ms, 0: soon. Returns that, or if a ping goes along with the question how long the
 * question should wait. */
pq_ms pq_overlap_exec_answered(pq_overlap *overlap, pq_ms planned);
