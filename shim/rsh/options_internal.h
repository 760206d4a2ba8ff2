/*
 * What options.c and option_keys.c share.   (private to shim/rsh)
 */
#pragma once

#include "shim/rsh/options.h"

/* Appends to one of the lists of a pq_rsh_options. Fails with NOMEM. */
int pq_rsh_options_add(char ***list, size_t *count, char *text, pq_error *err);

/* What -e and EscapeChar take. */
int pq_rsh_options_take_escape(pq_rsh_options *options, char *value, pq_error *err);
