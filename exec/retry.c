#include "exec/retry.h"

#include "exec/poll.h"
#include "transport/base/log.h"

/* A wait that lasts longer than this is told to the user. The first failure ends a call that may
 * have taken that long by itself (over qm it does), and is most often the only one. */
#define TOLD_AFTER_MS 1500
#define TOLD_AT_ONCE_AFTER_MS 5000

static bool is_unreachable(const pq_error *err)
{
    switch (err->code) {
    case PQ_E_RESOLVE:
    case PQ_E_CONNECT:
    case PQ_E_PROXY:
        return true;
    case PQ_E_TIMEOUT:
        /* Connecting; a call that timed out has an unknown effect. */
        return err->effect == PQ_EFFECT_NONE;
    default:
        return false;
    }
}

void pq_retry_begin(pq_retry *retry)
{
    retry->last_good = pq_now();
}

void pq_retry_good(pq_retry *retry, pq_session *session)
{
    retry->last_good = pq_now();
    retry->failures = 0;
    pq_session_reached(session);
}

bool pq_retry_later(pq_retry *retry, pq_session *session, const pq_error *err, pq_loop_fn next,
                    void *context)
{
    pq_ms patience = pq_session_connect_timeout(session);
    pq_ms waited = pq_now() - retry->last_good;
    if (is_unreachable(err) && !pq_session_was_reached(session))
        return false;
    if (!pq_poll_may_retry(err, retry->failures, waited, patience))
        return false;
    pq_ms told_after = retry->failures > 0 ? TOLD_AFTER_MS : TOLD_AT_ONCE_AFTER_MS;
    if (waited >= told_after && !retry->told) {
        retry->told = true;
        pq_log(PQ_LOG_WARNING, "%s: %s; trying again for up to %lld s",
               pq_agent_name(pq_session_agent(session)), err->text, (long long)(patience / 1000));
    }
    retry->failures++;
    pq_timer_start(pq_session_loop(session), &retry->timer, pq_poll_retry_delay(retry->failures),
                   next, context);
    return true;
}

void pq_retry_stop(pq_retry *retry)
{
    pq_timer_stop(&retry->timer);
}
