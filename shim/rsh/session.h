/*
 * What the options ask to be run in the guest.   (shim)
 */
#pragma once

#include "shim/rsh/options.h"
#include "transport/config/config.h"

/* Appends the line for /bin/sh of the guest; `config` has its VM selected. Fails with USAGE,
 * UNSUPPORTED, NOMEM, TOO_LARGE. */
int pq_rsh_session_line(const pq_rsh_options *options, const pq_config *config, pq_buf *line,
                        pq_error *err);

/* What SendEnv lets through of our environment, with a terminal also TERM, and SetEnv behind it, as
 * NAME=VALUE..., NULL. The array is the caller's to free(), its texts are not. NULL with NOMEM. */
const char **pq_rsh_session_env(const pq_rsh_options *options, bool terminal, pq_error *err);
