/*
 * The nodes' addresses, as the cluster tells them.   (transport/cluster; pure)
 *
 * Answers are of any form: what is missing or makes no sense is as if it were not there. Addresses
 * are numeric, IPv6 without brackets.
 */
#pragma once

#include "transport/base/json.h"

/* Longest address that is accepted, with its NUL; an IPv6 address has 45 characters. */
#define PQ_ADDRESS_SIZE 64

/* The address of `node` in GET /cluster/status. False if there is none. */
bool pq_address_in_status(const pq_json *status, const char *node, char ret[PQ_ADDRESS_SIZE]);

/* The address that leads to a node, of those in its GET /nodes/{node}/network: of an interface with
 * an IPv4 gateway, else of one with an IPv6 gateway, else the first IPv4 address. */
bool pq_address_in_network(const pq_json *network, char ret[PQ_ADDRESS_SIZE]);
