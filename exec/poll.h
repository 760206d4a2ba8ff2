/*
 * How often to ask.   (exec; pure)
 *
 * A question costs the node 5-15 ms of one of its three workers, so what was just started is asked
 * about at once and what has been running for long seldom: the delay is a small share of the age,
 * which keeps the time lost after the end of a command below that share.
 */
#pragma once

#include "transport/base/clock.h"
#include "transport/base/error.h"

/* Longest delay between two questions about a command. */
#define PQ_POLL_MAX_MS 1000
#define PQ_POLL_WAITING_MAX_MS 3000

/*
 * When to ask first. Asking too early costs a second question, too late costs time, and how long a
 * short script takes differs from guest to guest, so the delay follows what was seen, from
 * PQ_POLL_FIRST_START on.
 */
typedef struct pq_poll_first {
    unsigned delay_eighths; /* in 1/8 ms */
} pq_poll_first;

/* 4 ms: a first launcher, which also looks for tools, takes about that on hardware. */
#define PQ_POLL_FIRST_START ((pq_poll_first){.delay_eighths = 8 * 4})

/* Longest first delay: what a slow guest takes for a short script. There the agent sleeps up to 100
 * ms between two calls, so waiting costs nothing. */
#define PQ_POLL_FIRST_MAX_MS 100

/* A script that was found ended later than this tells nothing of short ones. */
#define PQ_POLL_SHORT_MS 500

pq_ms pq_poll_first_delay(const pq_poll_first *first);

/* A script was found ended by question number `questions`, `age` ms after its start was answered.
 */
void pq_poll_first_learn(pq_poll_first *first, unsigned questions, pq_ms age);

/* Delay before the next question about something that was started `age` ms ago. */
pq_ms pq_poll_delay(pq_ms age);

/* The same for what may never happen: nobody minds if it is found a little late. */
pq_ms pq_poll_waiting_delay(pq_ms age);

/* Delay before the next look at the output of a command that writes while it runs; a look costs
 * two calls. */
pq_ms pq_poll_look_delay(pq_ms age);

/* Delay before try number `attempt` (1 is the first repetition) after a failure: doubles from
 * 100 ms up to 5 s. */
pq_ms pq_poll_retry_delay(unsigned attempt);

/* Answers in a row that make no sense before they are believed to be the server's way: a broken
 * proxy may garble one. */
#define PQ_POLL_BAD_ANSWERS_MAX 3

/* Whether to try an idempotent operation again that has failed `failures` times in a row before
 * this, `waited` ms after the server last did what it was asked. */
bool pq_poll_may_retry(const pq_error *err, unsigned failures, pq_ms waited, pq_ms patience);
