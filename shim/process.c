#include "shim/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "shim/run.h"

/* The leak checker traces the process, which needs one that may be dumped. */
#if defined(__SANITIZE_ADDRESS__)
#define LEAK_CHECKED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LEAK_CHECKED 1
#endif
#endif

void pq_process_open_standard(void)
{
    static const int modes[] = {O_RDONLY, O_RDONLY, O_WRONLY};
    for (int fd = 0; fd < 3; fd++) {
        /* The lowest free number is `fd`, since those below it are open. */
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", modes[fd]) != fd)
            _exit(PQ_EXIT_FAILURE);
    }
}

void pq_process_hide_memory(void)
{
    struct rlimit none = {0};
    (void)setrlimit(RLIMIT_CORE, &none);
#ifndef LEAK_CHECKED
    (void)prctl(PR_SET_DUMPABLE, 0);
#endif
}

const int pq_process_end_signals[PQ_PROCESS_END_SIGNALS] = {SIGINT, SIGTERM, SIGHUP};

bool pq_process_ignores(int signal_number)
{
    struct sigaction action;
    return sigaction(signal_number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}
