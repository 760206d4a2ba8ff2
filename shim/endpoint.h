/*
 * From a configuration to an API endpoint and an identity.   (shim; pure but for secrets)
 */
#pragma once

#include "transport/config/config.h"
#include "transport/pve/pve.h"

/* Fills *ret with pointers into `config`. Reads the secrets that are needed, and no others: those
 * of a token, or the password and the one-time code. Fails with CONFIG, naming option and variable,
 * if something is missing; SECRET, NOMEM. */
int pq_endpoint_read(pq_config *config, pq_pve_options *ret, pq_error *err);

bool pq_endpoint_equal(const pq_pve_options *a, const pq_pve_options *b);
