/*
 * What a session and its commands share.   (transport/ssh, private)
 */
#pragma once

#include <libssh2.h>

#include "transport/loop/stream.h"
#include "transport/ssh/command.h"
#include "transport/ssh/login.h"

typedef enum pq_ssh_state {
    PQ_SSH_IDLE = 0,
    PQ_SSH_CONNECTING,
    PQ_SSH_HANDSHAKE,
    PQ_SSH_LOGIN,
    PQ_SSH_OPEN
} pq_ssh_state;

struct pq_ssh_session {
    pq_loop *loop;
    const pq_ssh_options *options;
    const pq_secret *proxy_userpwd;
    char *host;
    uint16_t port;
    char name[300];

    pq_ssh_state state;
    pq_stream *stream;
    LIBSSH2_SESSION *ssh;
    pq_ssh_login login;
    pq_error lost;     /* why the connection ended; code OK: it did not */
    pq_ms heard;       /* when bytes last came */
    uint64_t received; /* bytes */
    pq_timer deadline; /* for connecting */
    pq_timer keepalive;
    pq_defer turn; /* there is something to do */

    pq_ssh_command *commands, **commands_end; /* in the order in which they were started */
    pq_ssh_command *opening;                  /* libssh2 opens one channel at a time */
    pq_ssh_command *blocked;                  /* has sent a part of a packet */
    unsigned channels;                        /* open or being opened */
    unsigned channels_max; /* fewer than PQ_SSH_CHANNELS once the node has refused one */
    pq_defer deliver;      /* some command has ended */
};

typedef enum pq_ssh_command_state {
    PQ_SSH_WAITING = 0,
    PQ_SSH_OPENING,
    PQ_SSH_STARTING,
    PQ_SSH_RUNNING,
    PQ_SSH_ENDING,
    PQ_SSH_CLOSING,
    PQ_SSH_ENDED
} pq_ssh_command_state;

struct pq_ssh_command {
    pq_ssh_session *session;
    pq_ssh_command *next, **link;
    pq_ssh_command_state state;
    char *line;
    pq_buf input;
    size_t written;
    bool keep_open;
    bool eof_sent;
    bool was_sent;
    bool unwanted;   /* its channel is to be closed */
    unsigned action; /* of RUNNING, to begin with: the one that was stopped */
    LIBSSH2_CHANNEL *channel;
    pq_ssh_result result;
    pq_error failure; /* code OK: none */
    pq_defer received_soon;
    pq_loop_fn received;
    pq_ssh_done_fn done; /* NULL: dropped */
    void *context;
};

/* ---- handshake.c: on a connection that is there ---- */

/* Makes session->ssh. Fails with CONFIG, NOMEM. */
int pq_ssh_begin(pq_ssh_session *session, pq_error *err);

/* Both give 0 when done, 1 while they wait for the connection, -1 with *err. */
int pq_ssh_shake_hands(pq_ssh_session *session, pq_error *err);
int pq_ssh_log_in(pq_ssh_session *session, pq_error *err);

/* ---- command.c ---- */

/* Does what can be done for one command. 1: something was done; 0: it waits; -1: the session is
 * over, with *err. */
int pq_ssh_command_step(pq_ssh_command *command, pq_error *err);

/* Ends it with an error of the session. */
void pq_ssh_command_fail(pq_ssh_command *command, const pq_error *err);

/* Unlinks and frees one, whatever its state. The session's ssh is gone, or the channel is. */
void pq_ssh_command_free(pq_ssh_command *command);

/* ---- session.c ---- */

/* Runs the session soon. Connects it if it is idle. */
void pq_ssh_session_wake(pq_ssh_session *session);

/* A command has ended: its `done` is due. */
void pq_ssh_session_ended(pq_ssh_session *session);

/* Whether the last call stopped in the middle of a packet of its own. */
bool pq_ssh_is_blocked(const pq_ssh_session *session);

/* Whether libssh2's code says that the connection is of no use any more; fills *err then. */
bool pq_ssh_is_lost(const pq_ssh_session *session, int code, pq_error *err);

/* libssh2's text for the last error, in one printable line. */
void pq_ssh_last_text(LIBSSH2_SESSION *ssh, char *out, size_t size);
