/*
 * Time.   (transport/base)
 *
 * Deadlines and durations are milliseconds of the monotonic clock; wall time is for the trace only.
 */
#pragma once

#include <stdint.h>

typedef int64_t pq_ms;

/* A deadline that never comes. */
#define PQ_NEVER INT64_MAX

/* Monotonic milliseconds. */
pq_ms pq_now(void);

/* Monotonic microseconds, for measuring. */
int64_t pq_now_us(void);

/* now + delay without overflow; a negative delay gives PQ_NEVER. */
pq_ms pq_deadline(pq_ms now, pq_ms delay);
