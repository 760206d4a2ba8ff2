/*
 * An SSH session with one node, on the event loop.   (transport/ssh)
 *
 * Theory of operation: libcurl makes the connection (loop/stream.h), through a SOCKS5 proxy if one
 * is set; libssh2 speaks SSH on it and never waits. States, changed in set_state() only:
 *
 *   IDLE        nothing was asked yet, or the session is over; the next command connects
 *   CONNECTING  the connection is being made
 *   HANDSHAKE   keys are exchanged; the server's key is judged at its end
 *   LOGIN       login.h
 *   OPEN        commands run (command.h)
 *
 * From any state an error leads to IDLE: every command ends with it. Whoever may repeat a command
 * starts it anew, which connects again.
 *
 * libssh2 wants a packet that was sent in part continued by the very call that began it. So a call
 * that the connection stopped in the middle of a packet is remembered (`blocked`) and nothing else
 * is done until it has gone on.
 *
 * Where nothing was heard for PQ_SSH_KEEPALIVE_MS, an answer is asked for; a node that is silent
 * for three times as long is given up.
 *
 * Errors: RESOLVE, CONNECT, PROXY, TIMEOUT, NETWORK, HOST_KEY, SSH_LOGIN, all with effect "none"
 * until commands run.
 */
#pragma once

#include "transport/loop/loop.h"
#include "transport/ssh/ssh.h"

#define PQ_SSH_KEEPALIVE_MS 15000

typedef struct pq_ssh_session pq_ssh_session;

/* `options` and `proxy_userpwd` outlive it, `host` is copied. Fails with NOMEM. */
pq_ssh_session *pq_ssh_session_new(pq_loop *loop, const pq_ssh_options *options,
                                   const pq_secret *proxy_userpwd, const char *host, uint16_t port,
                                   pq_error *err);

/* Its commands end without a call of `done`. */
void pq_ssh_session_free(pq_ssh_session *session);

/* One round trip to the node or the proxy in ms; 0: not connected. */
pq_ms pq_ssh_session_round_trip(const pq_ssh_session *session);

/* "host", or "host:port" if that is not 22, for messages. */
const char *pq_ssh_session_name(const pq_ssh_session *session);
