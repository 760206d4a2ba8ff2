#include "shim/ping.h"

#include <stdlib.h>

#include "exec/retry.h"

struct pq_ping {
    pq_session *session;
    pq_ping_fn done;
    void *context;
    pq_agent_op *op;
    pq_retry retry;
    int64_t asked_us;
};

static void ask(void *context);

static void finish(pq_ping *ping, const pq_error *err, int64_t took_us)
{
    pq_ping_fn done = ping->done;
    void *context = ping->context;
    pq_ping_drop(ping);
    done(context, err, took_us);
}

static void on_answer(void *context, const pq_error *err)
{
    pq_ping *ping = context;
    ping->op = NULL;
    if (err == NULL || !pq_retry_later(&ping->retry, ping->session, err, ask, ping))
        finish(ping, err, pq_now_us() - ping->asked_us);
}

static void ask(void *context)
{
    pq_ping *ping = context;
    ping->asked_us = pq_now_us();
    ping->op = pq_agent_ping(pq_session_agent(ping->session), on_answer, ping);
}

pq_ping *pq_ping_start(pq_session *session, pq_ping_fn done, void *context, pq_error *err)
{
    pq_ping *ping = calloc(1, sizeof *ping);
    if (ping == NULL) {
        pq_fail(err, PQ_E_NOMEM, "out of memory");
        return NULL;
    }
    ping->session = session;
    ping->done = done;
    ping->context = context;
    pq_retry_begin(&ping->retry);
    ask(ping);
    return ping;
}

void pq_ping_drop(pq_ping *ping)
{
    if (ping == NULL)
        return;
    pq_agent_drop(pq_session_agent(ping->session), ping->op);
    pq_retry_stop(&ping->retry);
    free(ping);
}
