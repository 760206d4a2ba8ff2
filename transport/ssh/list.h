/*
 * What a node's pvesh tells of the cluster: its guests, and the addresses of its nodes.
 * (transport/ssh)
 *
 * All agents share one list. Whoever finds it too old (the VM is not there, or not there any more)
 * asks for one that is not older than a given time; askers share a listing.
 */
#pragma once

#include "transport/cluster/addresses.h"
#include "transport/cluster/guests.h"
#include "transport/ssh/command.h"

/* `err` is NULL when list->guests is up to date. Effects are "none". */
typedef void (*pq_ssh_list_fn)(void *context, const pq_error *err);

/* Embedded in the asker's struct; all-zero when idle. */
typedef struct pq_ssh_list_wait {
    struct pq_ssh_list *list; /* NULL while idle */
    pq_ssh_list_fn ready;
    void *context;
    int64_t not_before_us;
    bool failed; /* a listing failed while it waited */
    struct pq_ssh_list_wait *next, **link;
} pq_ssh_list_wait;

typedef struct pq_ssh_list {
    pq_loop *loop;
    pq_ssh_session *session; /* with the node that is asked; NULL: there is none */
    bool sudo;
    char node[PQ_NODE_NAME_MAX + 1]; /* that node's own name; "" as long as it is not known */
    pq_guests guests;
    pq_json *status;      /* GET /cluster/status, or NULL */
    int64_t listed_at_us; /* when `guests` was asked for; 0: never */
    int64_t asked_at_us;
    pq_ssh_command *command; /* under way, or NULL */
    pq_error failure;        /* of the last listing that failed */
    pq_ssh_list_wait *waits;
    pq_defer serve;
} pq_ssh_list;

void pq_ssh_list_init(pq_ssh_list *list, pq_loop *loop, pq_ssh_session *session, bool sudo);

/* All waits were stopped, and the session is gone or going. */
void pq_ssh_list_done(pq_ssh_list *list);

/* Calls ready(context, err) from the loop as soon as there is a list that was asked for at
 * `not_before_us` (pq_now_us()) or later. */
void pq_ssh_list_wait_start(pq_ssh_list *list, pq_ssh_list_wait *wait, int64_t not_before_us,
                            pq_ssh_list_fn ready, void *context);
void pq_ssh_list_wait_stop(pq_ssh_list_wait *wait);
