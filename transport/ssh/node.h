/*
 * The nodes of a cluster.   (transport/ssh, private)
 *
 * A node's address: what the option gives it, the host that was given if its name begins with the
 * node's or the node says that it is it, what the cluster's status says, or the guide, or else the
 * node's name. Host keys are looked for under the address.
 */
#pragma once

#include "transport/ssh/list.h"
#include "transport/ssh/relay.h"

/* Operations run in the order in which they came, but one whose VM has its number of calls in
 * flight lets others pass. */
typedef struct pq_ssh_node {
    struct pq_ssh_node *next;
    pq_ssh *ssh;
    char name[PQ_NODE_NAME_MAX + 1]; /* of the host that was given "" until it is known */
    pq_ssh_session *session;
    pq_relay relay;
    pq_ssh_method method; /* AUTO: not known yet */
    unsigned in_flight;
    pq_agent_op *queue, **queue_end; /* linked by turn_next, turn_link */
} pq_ssh_node;

struct pq_ssh {
    pq_loop *loop;
    pq_ssh_options options;
    pq_secret proxy_userpwd;
    bool sudo;
    pq_ssh_node *nodes;
    pq_ssh_node *entry; /* the host that was given, or NULL */

    pq_ssh_list list;
    pq_ssh_guide guide; /* all-zero: none */
};

/* Whether there is no need to ask the cluster for the node's address, or nobody to ask. */
bool pq_ssh_node_is_known(const pq_ssh *ssh, const char *name);

/* The node of that name, made if it is new: at `address` if that is not "" and no option gives it
 * another one. NULL with NOMEM. */
pq_ssh_node *pq_ssh_node_get(pq_ssh *ssh, const char *name, const char *address, pq_error *err);

/* Whether `text` has the form NODE=ADDRESS[:PORT], IPv6 in brackets. Fills what is not NULL. */
bool pq_ssh_node_option(const char *text, char name[PQ_NODE_NAME_MAX + 1], char address[256],
                        uint16_t *ret_port);
