#include "transport/base/clock.h"

#include <time.h>

int64_t pq_now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

pq_ms pq_now(void)
{
    return pq_now_us() / 1000;
}

pq_ms pq_deadline(pq_ms now, pq_ms delay)
{
    if (delay < 0 || delay >= PQ_NEVER - now)
        return PQ_NEVER;
    return now + delay;
}
