#include "transport/loop/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "transport/base/fd.h"

/* Where the handler writes: the pipe of the pq_signals in use, or -1. */
static volatile sig_atomic_t signal_fd = -1;

void pq_signals_init(pq_signals *signals)
{
    *signals = (pq_signals){.pipe = {-1, -1}};
}

void pq_signals_done(pq_signals *signals)
{
    if (signals->pipe[0] < 0)
        return;
    for (int number = 1; number < NSIG; number++)
        if (signals->handlers[number].fn != NULL)
            signal(number, SIG_DFL);
    signal_fd = -1;
    pq_close(&signals->pipe[0]);
    pq_close(&signals->pipe[1]);
}

static void write_signal(int number)
{
    int saved = errno;
    unsigned char byte = (unsigned char)number;
    ssize_t written = write(signal_fd, &byte, 1);

    (void)written; /* a full pipe holds more signals than anyone can be waiting for */
    errno = saved;
}

static int open_pipe(pq_signals *signals, pq_error *err)
{
    if (signals->pipe[0] >= 0)
        return 0;
    if (signal_fd >= 0)
        return pq_fail(err, PQ_E_INTERNAL, "another loop handles signals");
    if (pipe2(signals->pipe, O_CLOEXEC | O_NONBLOCK) < 0)
        return pq_fail(err, PQ_E_INTERNAL, "pipe for signals: %s", strerror(errno));
    signal_fd = signals->pipe[1];
    return 0;
}

int pq_signals_set(pq_signals *signals, int number, pq_signal_fn fn, void *context, pq_error *err)
{
    struct sigaction action = {.sa_flags = SA_RESTART};

    if (number < 1 || number >= NSIG)
        return pq_fail(err, PQ_E_INTERNAL, "there is no signal %d", number);
    if (open_pipe(signals, err) < 0)
        return -1;
    action.sa_handler = fn != NULL ? write_signal : SIG_DFL;
    if (sigaction(number, &action, NULL) < 0)
        return pq_fail(err, PQ_E_INTERNAL, "signal %d: %s", number, strerror(errno));
    signals->handlers[number].fn = fn;
    signals->handlers[number].context = context;
    return 0;
}

bool pq_signals_call_next(pq_signals *signals)
{
    unsigned char number;

    if (read(signals->pipe[0], &number, 1) != 1)
        return false;
    if (signals->handlers[number].fn != NULL)
        signals->handlers[number].fn(signals->handlers[number].context, number);
    return true;
}
