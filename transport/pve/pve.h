/*
 * Backend 1: the Proxmox VE REST API.   (transport/pve: may use base, loop, agent.h)
 *
 * A pq_pve is one API endpoint with one identity: its connections, login and the map from VMs to
 * nodes, shared by the agents of all VMs reached through it. An agent (agent.h) is one VM.
 */
#pragma once

#include "transport/agent.h"
#include "transport/base/secret.h"

typedef struct pq_pve_options {
    const char *host;
    uint16_t port;        /* 0: 8006 */
    const char *user;     /* USER@REALM, or with token: USER@REALM or USER@REALM!TOKENID */
    const char *token_id; /* NULL: log in with the password */
    const pq_secret *token_secret;
    const pq_secret *password;
    const pq_secret *otp; /* a TOTP code for a second factor, or NULL */
    bool validate_certs;
    const char *ca_file;
    const char *fingerprint;
    const char *tls_min;
    const char *proxy;
    const pq_secret *proxy_userpwd;
    pq_ms connect_timeout;   /* one TCP + TLS connection; 0: 10 s */
    pq_ms call_timeout;      /* one API call; 0: 60 s; the server's own limit is 30 s */
    unsigned calls_per_node; /* in flight, 0: 3 (pvedaemon has 3 workers) */
    unsigned calls_per_vm;   /* in flight, 0: 3 */
} pq_pve_options;

typedef struct pq_pve pq_pve;

/* Copies the options; connects only when something is asked. Fails with CONFIG or NOMEM. */
pq_pve *pq_pve_new(pq_loop *loop, const pq_pve_options *options, pq_error *err);

/* All agents were freed before. */
void pq_pve_free(pq_pve *pve);

/* The list of guests that the agents of this endpoint share; locate.h. */
struct pq_locate *pq_pve_locate(pq_pve *pve);

/* An agent for a VM named by id ("100") or name ("web"), on `node` or, with NULL, wherever it is.
 * Nothing is asked yet: an unknown VM shows with the first operation. Fails with USAGE for an
 * empty name, or NOMEM. */
pq_agent *pq_pve_agent(pq_pve *pve, const char *vm, const char *node, pq_error *err);
