/*
 * An endpoint, its nodes and its agents.   (transport/pve, private)
 */
#pragma once

#include "transport/pve/api.h"
#include "transport/pve/limits.h"
#include "transport/pve/locate.h"
#include "transport/pve/pve.h"

/* A node of the cluster: what its daemons take, and who waits for them. Lives as long as the
 * endpoint. Operations run in the order in which they came, but one whose VM has its number of
 * calls in flight lets others pass. */
typedef struct pq_node {
    struct pq_node *next;
    char name[PQ_NODE_NAME_MAX + 1];
    pq_limits limits;
    unsigned in_flight;
    pq_agent_op *queue, **queue_end; /* linked by turn_next, turn_link */
} pq_node;

/* Copies of the option strings, freed together. */
typedef struct pq_pve_strings {
    char *host;
    char *user; /* with "!TOKENID" for a token */
    char *ca_file;
    char *fingerprint;
    char *tls_min;
    char *proxy;
    char *authority; /* value of the Host header */
} pq_pve_strings;

struct pq_pve {
    pq_loop *loop;
    pq_pve_strings strings;
    pq_secret proxy_userpwd;
    pq_stream_options stream;
    pq_http_pool *pool;
    pq_auth auth;
    pq_api api;
    pq_locate locate;
    pq_node *nodes;
    unsigned calls_per_node;
    unsigned calls_per_vm;
};

/* The node of that name, made if it is new. NULL without memory. */
pq_node *pq_pve_node(pq_pve *pve, const char *name, pq_error *err);
