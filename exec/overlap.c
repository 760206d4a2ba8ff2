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

/* Whether it worked is of no interest: the exec-status will tell. */
static void on_ping(void *context, const pq_error *err)
{
    pq_overlap *overlap = context;
    (void)err;
    overlap->ping = NULL;
}

static void send_ping(void *context)
{
    pq_overlap *overlap = context;
    if (overlap->calls == 1)
        overlap->ping = pq_agent_ping(overlap->agent, on_ping, overlap);
}

pq_ms pq_overlap_exec_answered(pq_overlap *overlap, pq_ms planned)
{
    const pq_agent_limits *limits = pq_agent_get_limits(overlap->agent);
    bool slow = limits->exec_time > PQ_OVERLAP_SLOW_MS + limits->round_trip;
    bool room = limits->parallel > 1 && overlap->calls == 1 && overlap->ping == NULL;
    if (!overlap->enabled || !slow || !room)
        return planned;
    pq_ms ask_after = planned > PQ_OVERLAP_SLEEP_MS ? planned : PQ_OVERLAP_ASK_AFTER_MS;
    pq_timer_start(pq_agent_loop(overlap->agent), &overlap->timer,
                   ask_after - PQ_OVERLAP_PING_AHEAD_MS, send_ping, overlap);
    return ask_after;
}
