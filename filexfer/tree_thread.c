#include "filexfer/tree_thread.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "transport/base/fd.h"

struct pq_tree_thread {
    pthread_t thread;
    pq_tree_extract_options options;
    int stream[2]; /* the loop writes, the thread reads and closes its end when it ends */
    int life[2];   /* the thread holds one end */
    pq_watch watch;
    pq_loop_fn ended;
    void *context;

    /* the thread's until it is joined */
    pq_tree_extract_result result;
    int failed;
    pq_error failure;
};

static void *run(void *context)
{
    pq_tree_thread *thread = context;
    thread->failed =
        pq_tree_extract(thread->stream[0], &thread->options, &thread->result, &thread->failure);
    pq_close(&thread->stream[0]);
    pq_close(&thread->life[1]);
    return NULL;
}

static void on_ended(void *context, int events)
{
    pq_tree_thread *thread = context;
    (void)events;
    pq_watch_stop(&thread->watch);
    thread->ended(thread->context);
}

static void thread_free(pq_tree_thread *thread)
{
    pq_watch_stop(&thread->watch);
    for (int i = 0; i < 2; i++) {
        pq_close(&thread->stream[i]);
        pq_close(&thread->life[i]);
    }
    free(thread);
}

/* Signals are the loop's. */
static int start(pq_tree_thread *thread)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int number = pthread_create(&thread->thread, NULL, run, thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return number;
}

pq_tree_thread *pq_tree_thread_start(pq_loop *loop, const pq_tree_extract_options *options,
                                     pq_loop_fn ended, void *context, pq_error *err)
{
    pq_tree_thread *thread = calloc(1, sizeof *thread);
    if (thread == NULL) {
        pq_fail(err, PQ_E_NOMEM, "out of memory");
        return NULL;
    }
    *thread = (pq_tree_thread){.options = *options,
                               .stream = {-1, -1},
                               .life = {-1, -1},
                               .ended = ended,
                               .context = context};
    int number = 0;
    if (pipe2(thread->stream, O_CLOEXEC) < 0 || pipe2(thread->life, O_CLOEXEC) < 0)
        number = errno;
    else
        number = start(thread);
    if (number != 0) {
        thread_free(thread);
        pq_fail(err, PQ_E_INTERNAL, "cannot start a thread: %s", strerror(number));
        return NULL;
    }
    pq_watch_start(loop, &thread->watch, thread->life[0], PQ_READABLE, on_ended, thread);
    return thread;
}

int pq_tree_thread_push(pq_tree_thread *thread, const void *bytes, size_t length, pq_error *err)
{
    return pq_write_all(thread->stream[1], bytes, length, err);
}

void pq_tree_thread_end(pq_tree_thread *thread)
{
    pq_close(&thread->stream[1]);
}

int pq_tree_thread_join(pq_tree_thread *thread, pq_tree_extract_result *result, pq_error *err)
{
    pq_tree_thread_end(thread);
    pthread_join(thread->thread, NULL);
    int failed = thread->failed;
    *result = thread->result;
    if (failed < 0)
        *err = thread->failure;
    thread_free(thread);
    return failed;
}
