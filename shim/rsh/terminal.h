/*
 * A session on a terminal in the guest, and our own terminal with it.   (shim: uses exec)
 *
 * Theory of operation: the session's line is wrapped into guest/pty.sh, which runs it on a terminal
 * made by what the guest has for that. The stream's stdout is what the terminal shows; its stderr
 * says which terminal it is and how the line ended. Our own terminal is in raw mode from when the
 * other is there until the session ends, and its size follows ours by guest/resize.sh.
 *
 * Without a terminal on our side (-tt) keys are what stdin brings, and the escape character is a
 * character.
 */
#pragma once

#include "exec/call.h"
#include "shim/rsh/escape.h"
#include "shim/rsh/options.h"
#include "shim/rsh/raw.h"

typedef struct pq_terminal_events {
    /* The guest's terminal is there, and ours is raw. */
    void (*there)(void *context);
    /* The user wants the session to end. */
    void (*disconnect)(void *context);
} pq_terminal_events;

/* All-zero is a session without a terminal. */
typedef struct pq_terminal {
    bool wanted;
    bool local;    /* stdin is a terminal */
    bool none;     /* the guest has nothing to make one with */
    bool shown;    /* the guest's terminal is there */
    bool left;     /* ours is not to be raw again */
    int exit_code; /* of the line; -1: not told */

    /* private */
    pq_session *session;
    pq_terminal_events events;
    void *context;
    pq_raw raw;
    pq_escape escape;
    pq_buf said;   /* of stderr: the beginning of a line */
    bool skipping; /* a line that is too long */
    unsigned complaints;
    char path[100];         /* of the guest's terminal; "": not known yet */
    unsigned rows, columns; /* as the guest was told last */
    pq_call *resizing;
} pq_terminal;

/* Whether a session of these options has a terminal; warns, as ssh does, where -t cannot have one.
 */
bool pq_terminal_is_wanted(const pq_rsh_options *options);

/* Makes of a session's line one that runs it on a terminal. Fails with NOMEM, TOO_LARGE. */
int pq_terminal_wrap(pq_terminal *terminal, pq_buf *line, pq_error *err);

/* Starts following our own terminal. `escape` as pq_escape_parse() gives it. Fails with INTERNAL.
 */
int pq_terminal_start(pq_terminal *terminal, pq_session *session, int escape,
                      const pq_terminal_events *events, void *context, pq_error *err);

/* Finds the keys for us in what stdin brought and acts on them; the others go to `out`, which has
 * room for `length` + PQ_ESCAPE_HELD_MAX bytes. Returns how many. */
size_t pq_terminal_keys(pq_terminal *terminal, const char *bytes, size_t length, char *out);

/* Takes what came on the stream's stderr. Fails with IO if our terminal cannot be made raw, NOMEM.
 */
int pq_terminal_said(pq_terminal *terminal, const char *bytes, size_t length, pq_error *err);

/* The guest's terminal shows something, which may be known before what it is. Fails with IO if ours
 * cannot be made raw. */
int pq_terminal_shows(pq_terminal *terminal, pq_error *err);

/* Puts our terminal back, for good. */
void pq_terminal_leave(pq_terminal *terminal);

/* The session is over. May be called again. */
void pq_terminal_done(pq_terminal *terminal);
