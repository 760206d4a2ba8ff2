/*
 * How long a command will probably take, by what commands like it took before.   (exec; pure)
 *
 * Theory of operation. A configuration-management tool runs the same few commands over and over:
 * modules of a quarter of a second, directories made and removed. Asking about each of them from
 * its first millisecond on costs a dozen questions; asking when the last ones had ended costs one
 * or two. So a session remembers the last times of each kind of command, and the first question
 * waits until all of them would have ended, as long as that is little later than the shorter ones.
 *
 * Commands are of a kind if they begin alike, are about as long, and get about as much stdin: names
 * of temporary files differ each time, sizes hardly do. A kind that was not seen yet is taken for
 * one that differs only in its stdin, as one module does from another.
 *
 * A guest tells how long its command took; what passes besides, until its agent says that the
 * command has ended, is learned from when it still said that the command runs. Where a guest has no
 * clock, the time of the question that found the command ended stands for that, or less if that was
 * the first question.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "transport/base/clock.h"

/* Kinds that are remembered; the one that was not seen for longest is forgotten. */
#define PQ_EXPECT_KINDS 64

/* Times of a kind. */
#define PQ_EXPECT_TIMES 4

/* Shorter commands are asked about as pq_poll_first says. */
#define PQ_EXPECT_LEAST_MS 6

/* The first question comes no later than this, for commands that became faster. */
#define PQ_EXPECT_FIRST_MAX_MS 10000

typedef struct pq_expect_kind {
    uint64_t key;
    unsigned seen; /* the table's count when it was seen last; 0: unused */
    unsigned times;
    pq_ms besides; /* after the time that the guest tells */
    pq_ms took[PQ_EXPECT_TIMES];
} pq_expect_kind;

/* One for a session, embedded there; all-zero is empty. */
typedef struct pq_expect {
    unsigned seen;
    pq_expect_kind kinds[PQ_EXPECT_KINDS];
} pq_expect;

/* How the end of a command was found; times in ms since it was started. */
typedef struct pq_expect_end {
    unsigned questions; /* until then */
    pq_ms age;          /* when the last of them was asked */
    pq_ms running_age;  /* when the one before was asked; 0: there was none */
    pq_ms told;         /* the guest says that it took so long; -1: it does not */
} pq_expect_end;

/* When to ask about a command, in ms after it was started; from then on as pq_poll_delay() says. */
typedef struct pq_expect_plan {
    pq_ms first, second; /* 0: nothing is known */
} pq_expect_plan;

/* In place of a stdin's length: the kind of all commands that differ only in that. */
#define PQ_EXPECT_ANY_STDIN SIZE_MAX

/* `beginning` is the command's text; only its first bytes count. */
uint64_t pq_expect_key(const char *beginning, size_t length, size_t stdin_length);

pq_expect_plan pq_expect_get(const pq_expect *expect, uint64_t key);

/* Ages are ours, `told` is the guest's, and is not trusted. */
void pq_expect_learn(pq_expect *expect, uint64_t key, const pq_expect_end *end);
