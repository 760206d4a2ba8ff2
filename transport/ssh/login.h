/*
 * Logging in to a node.   (transport/ssh, private)
 *
 * What was given is tried in this order, as far as the node accepts its kind: the private key, the
 * agent's keys (PQ_SSH_AGENT_KEYS at most, since sshd hangs up after MaxAuthTries, 6 by default),
 * the password, and the password as the answer to each question of keyboard-interactive.
 *
 * libssh2 waits for the agent's answers: an agent that asks its user for each signature holds the
 * loop up that long.
 */
#pragma once

#include <libssh2.h>

#include "transport/ssh/ssh.h"

#define PQ_SSH_AGENT_KEYS 4

typedef enum pq_ssh_login_stage {
    PQ_SSH_LOGIN_ASK = 0, /* which kinds of login the node accepts */
    PQ_SSH_LOGIN_KEY,
    PQ_SSH_LOGIN_AGENT,
    PQ_SSH_LOGIN_PASSWORD,
    PQ_SSH_LOGIN_QUESTIONS,
    PQ_SSH_LOGIN_FAILED
} pq_ssh_login_stage;

/* All-zero when idle. */
typedef struct pq_ssh_login {
    const pq_ssh_options *options;
    pq_ssh_login_stage stage;
    char methods[128]; /* as the node lists them */
    bool key_is_rsa;
    LIBSSH2_AGENT *agent;
    struct libssh2_agent_publickey *identity;
    unsigned identities; /* tried */
    char tried[256];     /* what became of it all, for the error */
} pq_ssh_login;

void pq_ssh_login_init(pq_ssh_login *login, const pq_ssh_options *options);

/* Before `ssh` is freed. */
void pq_ssh_login_done(pq_ssh_login *login);

/* 0: logged in; 1: call again when the connection is ready; -1: SSH_LOGIN. Losses of the connection
 * are told by *ret_code, libssh2's own, with -1 and without *err. */
int pq_ssh_login_step(pq_ssh_login *login, LIBSSH2_SESSION *ssh, const char *node, int *ret_code,
                      pq_error *err);

/* The user's name there. */
const char *pq_ssh_login_user(const pq_ssh_options *options);
