/*
 * The nodes of a cluster, and the list of their guests.   (transport/ssh, private)
 *
 * A node's address: what the option gives it, the host that was given if its name begins with the
 * node's or the node says that it is it, what the cluster's status says, or else the node's name.
 * Host keys are looked for under the address.
 */
#pragma once

#include "transport/ssh/place.h"
#include "transport/ssh/relay.h"

/* Operations run in the order in which they came, but one whose VM has its number of calls in
 * flight lets others pass. */
typedef struct pq_ssh_node {
    struct pq_ssh_node *next;
    pq_ssh *ssh;
    char name[PQ_PLACE_NODE_MAX +
              1]; /* "" for the host that was given, as long as it is not known */
    pq_ssh_session *session;
    pq_relay relay;
    pq_ssh_method method; /* AUTO: not known yet */
    unsigned in_flight;
    pq_agent_op *queue, **queue_end; /* linked by turn_next, turn_link */
} pq_ssh_node;

/* What the cluster says of a node. */
typedef struct pq_node_address {
    char name[PQ_PLACE_NODE_MAX + 1];
    char address[64];
} pq_node_address;

/* Waits for the list of guests; embedded in the operation, all-zero when idle. */
typedef struct pq_place_wait {
    pq_ssh *ssh; /* NULL while idle */
    void (*ready)(void *context, const pq_error *err);
    void *context;
    int64_t not_before_us;
    bool failed;
    struct pq_place_wait *next, **link;
} pq_place_wait;

struct pq_ssh {
    pq_loop *loop;
    pq_ssh_options options;
    pq_secret proxy_userpwd;
    bool sudo;
    pq_ssh_node *nodes;
    pq_ssh_node *entry; /* the host that was given, or NULL */

    pq_places places;
    pq_node_address *addresses;
    size_t address_count;
    int64_t listed_at_us; /* when `places` was asked for; 0: never */
    int64_t asked_at_us;
    pq_ssh_command *listing;
    pq_error failure; /* of the last listing that failed */
    pq_place_wait *waits;
    pq_defer serve;
};

/* The node of that name, made if it is new. NULL with CONFIG or NOMEM. */
pq_ssh_node *pq_ssh_node_get(pq_ssh *ssh, const char *name, pq_error *err);

/* Whether `text` has the form NODE=ADDRESS[:PORT], IPv6 in brackets. Fills what is not NULL. */
bool pq_ssh_node_option(const char *text, char name[PQ_PLACE_NODE_MAX + 1], char address[256],
                        uint16_t *ret_port);

/* Calls ready(context, err) from the loop as soon as there is a list that was asked for at
 * `not_before_us` (pq_now_us()) or later. */
void pq_place_wait_start(pq_ssh *ssh, pq_place_wait *wait, int64_t not_before_us,
                         void (*ready)(void *context, const pq_error *err), void *context);
void pq_place_wait_stop(pq_place_wait *wait);
