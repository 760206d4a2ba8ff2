#include "shim/rsh/terminal.h"

#include "transport/base/log.h"

int pq_rsh_terminal_wrap(pq_rsh_tty tty, bool stdin_is_terminal, pq_buf *line, pq_error *err)
{
    (void)line;
    if (tty == PQ_RSH_TTY_FORCE)
        return pq_fail(err, PQ_E_UNSUPPORTED, "-tt: a terminal in the guest cannot be had");
    if (tty == PQ_RSH_TTY_YES && !stdin_is_terminal)
        pq_log(PQ_LOG_WARNING,
               "Pseudo-terminal will not be allocated because stdin is not a terminal.");
    else if (tty == PQ_RSH_TTY_YES)
        pq_log(PQ_LOG_WARNING, "-t: going on without a terminal in the guest");
    return 0;
}
