/*
 * Whether a session gets a terminal in the guest, and how.   (shim)
 */
#pragma once

#include "shim/rsh/options.h"

/* Makes of a session's line one that runs it on a terminal, if that is wanted. There is no such
 * terminal yet: -t goes on without one, with a warning as ssh's, and -tt fails with UNSUPPORTED. */
int pq_rsh_terminal_wrap(pq_rsh_tty tty, bool stdin_is_terminal, pq_buf *line, pq_error *err);
