#include "exec/overlap.h"

void pq_overlap_init(pq_overlap *overlap, pq_agent *agent, bool enabled)
{
    *overlap = (pq_overlap){.agent = agent, .enabled = enabled};
}

void pq_overlap_done(pq_overlap *overlap)
{
    pq_timer_stop(&overlap->timer);
    pq_agent_drop(overlap->agent, overlap->ping);
    overlap->ping = NULL;
}

void pq_overlap_call_began(pq_overlap *overlap)
{
    overlap->calls++;
}

void pq_overlap_call_ended(pq_overlap *overlap)
{
    overlap->calls--;
    pq_timer_stop(&overlap->timer);
}

/* Whether it worked is of no interest: the exec will tell. */
static void on_ping(void *context, const pq_error *err)
{
    pq_overlap *overlap = context;
    (void)err;
    overlap->ping = NULL;
}

static void wait_for_answer(pq_overlap *overlap);

static void no_answer_yet(void *context)
{
    pq_overlap *overlap = context;
    if (overlap->ping != NULL || overlap->calls > 1)
        return;
    /* It may still wait for a connection, a login, or the VM's node. */
    if (!pq_agent_was_sent(overlap->agent, overlap->exec))
        wait_for_answer(overlap);
    else
        overlap->ping = pq_agent_ping(overlap->agent, on_ping, overlap);
}

static void wait_for_answer(pq_overlap *overlap)
{
    pq_timer_start(pq_agent_loop(overlap->agent), &overlap->timer,
                   PQ_OVERLAP_AFTER_MS + pq_agent_get_limits(overlap->agent)->round_trip,
                   no_answer_yet, overlap);
}

void pq_overlap_exec_sent(pq_overlap *overlap, const pq_agent_op *exec)
{
    bool room = pq_agent_get_limits(overlap->agent)->parallel > 1;
    if (!overlap->enabled || !room || overlap->calls > 1)
        return;
    overlap->exec = exec;
    wait_for_answer(overlap);
}

void pq_overlap_exec_answered(pq_overlap *overlap)
{
    pq_timer_stop(&overlap->timer);
}

bool pq_overlap_is_open(const pq_overlap *overlap)
{
    return overlap->ping != NULL;
}
