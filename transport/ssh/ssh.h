/*
 * Backend 2: commands on the nodes over SSH.   (transport/ssh: may use base, loop, agent.h)
 *
 * A pq_ssh is one way into a cluster's nodes with one identity: an SSH session for each node that
 * is needed, shared by the agents of all its VMs. An agent (agent.h) is one VM.
 *
 * Two methods, each with root's rights on the node (another user gets them from `sudo -n`):
 *
 *   qm       `qm guest exec` and `qm guest exec-status`, a process for each call. To start one
 *            takes the node 0.5 to 1 s, so calls carry much; files are read with a command in the
 *            guest.
 *   socket   a small Perl program on the node speaks to the VMs' agent sockets. Calls take as long
 *            as the agent does, and files are read by the agent itself.
 *
 * The node of a VM: as given, or the node that was given as host, or, once that node says that it
 * does not have the VM or the VM was named by name, where the node's list of guests has it, or
 * where a guide says that it is.
 */
#pragma once

#include "transport/agent.h"
#include "transport/base/secret.h"

typedef enum pq_ssh_method {
    PQ_SSH_METHOD_AUTO,
    PQ_SSH_METHOD_QM,
    PQ_SSH_METHOD_SOCKET
} pq_ssh_method;

/* Texts and secrets outlive the pq_ssh. */
typedef struct pq_ssh_options {
    const char *host; /* a node, for VMs whose node is not known; NULL: they cannot be reached */
    uint16_t port;    /* of all nodes without one of their own; 0: 22 */
    const char *user; /* NULL: root */
    pq_ssh_method method; /* AUTO: socket where the node allows it, else qm */
    const pq_secret *key; /* a private key's text: OpenSSH's form or PEM */
    const pq_secret *key_passphrase;
    const pq_secret *password;
    const char *agent_socket;       /* of an ssh-agent; NULL: none */
    const char *const *known_hosts; /* files, ended by NULL; the first one is the user's */
    bool accept_new;                /* a host without known keys is believed and remembered */
    const char *socks5;             /* HOST[:PORT] of a proxy, or NULL */
    const char *socks5_user;
    const pq_secret *socks5_password;
    const char *const *nodes; /* "NODE=ADDRESS[:PORT]", node_count of them */
    size_t node_count;
    pq_ms connect_timeout;   /* up to the finished login; 0: 30 s */
    pq_ms call_timeout;      /* one call; 0: 60 s */
    unsigned calls_per_node; /* in flight; 0: 4 */
    unsigned calls_per_vm;
} pq_ssh_options;

typedef struct pq_ssh pq_ssh;

/* What a guide has found; `address` is "" if it does not know it. */
typedef void (*pq_ssh_guide_fn)(void *context, const pq_error *err, int64_t vmid, const char *node,
                                const char *address);

/* Somebody else who may know where VMs and nodes are, such as the API: asked where the node that
 * was given as host does not tell (its user may not run pvesh). */
typedef struct pq_ssh_guide {
    void *context;
    /* Starts a search for the VM called `vm`, on `node` if that is not NULL; both outlive it. NULL
     * if it cannot help. `done` runs from the loop, once, unless the search is stopped; its end
     * frees it. */
    void *(*start)(void *context, const char *vm, const char *node, pq_ssh_guide_fn done,
                   void *done_context);
    void (*stop)(void *search);
} pq_ssh_guide;

/* Connects only when something is asked. Fails with CONFIG or NOMEM. */
pq_ssh *pq_ssh_new(pq_loop *loop, const pq_ssh_options *options, pq_error *err);

/* The guide's context outlives the agents. */
void pq_ssh_set_guide(pq_ssh *ssh, const pq_ssh_guide *guide);

/* All agents were freed before. */
void pq_ssh_free(pq_ssh *ssh);

/* The cluster's guests as the host that was given lists them, for agents and others; list.h. */
struct pq_ssh_list *pq_ssh_get_list(pq_ssh *ssh);

/* An agent for a VM named by id ("100") or name ("web"), on `node` or, with NULL, wherever it is.
 * Nothing is asked yet. Fails with USAGE for what cannot be a VM or a node, CONFIG if no node is
 * known to ask, or NOMEM. */
pq_agent *pq_ssh_agent(pq_ssh *ssh, const char *vm, const char *node, pq_error *err);
