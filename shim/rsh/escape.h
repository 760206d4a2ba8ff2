/*
 * What the user says to us in the middle of a session, as in ssh: an escape character at the
 * beginning of a line, and a letter.   (shim; pure)
 *
 * The line begins behind CR or LF, and at the beginning. An escape character twice is sent once;
 * one with a letter that means nothing is sent with it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define PQ_ESCAPE_DEFAULT '~'
#define PQ_ESCAPE_NONE (-1)

/* What may be held back from pq_escape_next() to the next: the escape character. */
#define PQ_ESCAPE_HELD_MAX 1

typedef enum pq_escape_action {
    PQ_ESCAPE_GO_ON = 0, /* all was taken */
    PQ_ESCAPE_DISCONNECT,
    PQ_ESCAPE_SUSPEND,
    PQ_ESCAPE_HELP
} pq_escape_action;

typedef struct pq_escape {
    int character; /* or PQ_ESCAPE_NONE */
    bool inside_line;
    bool held; /* it was the last one seen */
} pq_escape;

/* "none", a character, or "^" and a letter, as ssh's -e takes it; false if it is none of them. */
bool pq_escape_parse(const char *text, int *ret_character);

/* Takes bytes up to the first that asks for an action; *ret_taken says how many. What is to be sent
 * goes to `out`, which has room for `length` + PQ_ESCAPE_HELD_MAX. */
pq_escape_action pq_escape_next(pq_escape *escape, const char *bytes, size_t length,
                                size_t *ret_taken, char *out, size_t *ret_out);
