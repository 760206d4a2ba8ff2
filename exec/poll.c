#include "exec/poll.h"

static pq_ms within(pq_ms value, pq_ms low, pq_ms high)
{
    return value < low ? low : value > high ? high : value;
}

pq_ms pq_poll_first_delay(const pq_poll_first *first)
{
    return within(first->delay_eighths / 8, 0, PQ_POLL_FIRST_MAX_MS);
}

void pq_poll_first_learn(pq_poll_first *first, unsigned questions, pq_ms age)
{
    /* Up by 1 ms and 1/32 of the age, down by 1/8 ms: about one question in ten comes too early. */
    if (questions <= 1)
        first->delay_eighths -= first->delay_eighths > 0;
    else if (age <= PQ_POLL_SHORT_MS && first->delay_eighths < 8 * PQ_POLL_FIRST_MAX_MS)
        first->delay_eighths += 8 + (unsigned)age / 4;
}

pq_ms pq_poll_delay(pq_ms age)
{
    return within(age / 10, 1, PQ_POLL_MAX_MS);
}

pq_ms pq_poll_waiting_delay(pq_ms age)
{
    return within(age / 8, 1, PQ_POLL_WAITING_MAX_MS);
}

pq_ms pq_poll_look_delay(pq_ms age)
{
    return within(age / 8, 100, PQ_POLL_MAX_MS);
}

pq_ms pq_poll_retry_delay(unsigned attempt)
{
    return attempt < 6 ? (pq_ms)100 << (attempt - 1) : 5000;
}

bool pq_poll_may_retry(const pq_error *err, unsigned failures, pq_ms waited, pq_ms patience)
{
    /* What is too large stays so: the caller makes smaller calls. */
    if (err->code == PQ_E_TOO_LARGE)
        return false;
    if (err->code == PQ_E_BAD_ANSWER)
        return failures < PQ_POLL_BAD_ANSWERS_MAX;
    return err->retryable && waited < patience;
}
