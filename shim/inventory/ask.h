/*
 * Asks the agents of an inventory's hosts what they tell of their guests.   (shim)
 *
 * Theory of operation: two questions for each host, get-osinfo and network-get-interfaces. On each
 * node as many guests are asked at the same time as it takes calls, so that its queue is never
 * empty and the memory needed does not grow with the number of guests. Where a node has fewer
 * guests than that, both questions are asked together; else the second follows the first, so that
 * an agent that does not answer keeps one of the node's workers busy for 3 s, not two.
 *
 * A guest that does not tell stays a host; why is said at -v, or as a warning if its agent is not
 * to blame. What concerns the server ends everything; over SSH each node is a server of its own,
 * whose guests do not tell then, with one warning.
 */
#pragma once

#include "shim/inventory/guest_list.h"
#include "shim/inventory/inventory.h"

/* Asks the guests of `count` hosts, which are from the list, and runs its loop until they have
 * answered. Fails with RESOLVE, CONNECT, TLS, AUTH and the like, NOMEM,
 * INTERNAL; the hosts may have some facts then. */
int pq_inventory_ask(pq_inventory_host *hosts, size_t count, const pq_guest_list *list,
                     pq_error *err);
