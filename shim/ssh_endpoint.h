/*
 * From a configuration to a way over SSH and an identity there.   (shim)
 */
#pragma once

#include "transport/config/config.h"
#include "transport/ssh/ssh.h"

/* All-zero is valid. */
typedef struct pq_ssh_endpoint {
    pq_ssh_options options; /* points into this struct and the configuration */
    char *node_text;        /* what `nodes` points into */
    const char **nodes;
    char *user_known_hosts;
    const char *known_hosts[3];
} pq_ssh_endpoint;

/* Reads the secrets. The API's host stands in where no SSH host was given. `ret` is all-zero
 * and stays where it is as long as the options are used. Fails with CONFIG, SECRET, NOMEM. */
int pq_ssh_endpoint_read(pq_config *config, pq_ssh_endpoint *ret, pq_error *err);
void pq_ssh_endpoint_done(pq_ssh_endpoint *endpoint);

bool pq_ssh_endpoint_equal(const pq_ssh_endpoint *a, const pq_ssh_endpoint *b);
