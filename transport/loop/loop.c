#include "transport/loop/loop.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>

#include "transport/loop/loop_internal.h"
#include "transport/loop/signals.h"

/*
 * What is ready or due is moved to a list of its own before anything is called, and each entry is
 * taken off it before its callback runs. Entries unlink themselves from whatever list they are on,
 * so callbacks can stop and free any of them; what they start is on the other list and waits for
 * the next turn.
 */
struct pq_loop {
    CURLM *multi;
    size_t pending;   /* transfers */
    pq_timer *timers; /* running, the newest first */
    pq_timer *due;    /* to fire in this turn, in order */
    pq_watch *watches;
    pq_watch *ready; /* to call in this turn */
    size_t watch_count;
    struct curl_waitfd *fds; /* for one wait: the signal pipe, then `watches` in order */
    size_t fds_capacity;
    bool stopped;
    bool signalled; /* the signal pipe is readable */
    pq_signals signals;
};

static int init_curl(pq_error *err)
{
    static bool done;

    if (!done && curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return pq_fail(err, PQ_E_INTERNAL, "cannot initialise libcurl");
    done = true;
    return 0;
}

pq_loop *pq_loop_new(pq_error *err)
{
    if (init_curl(err) < 0)
        return NULL;

    pq_loop *loop = calloc(1, sizeof *loop);
    CURLM *multi = loop != NULL ? curl_multi_init() : NULL;
    if (multi == NULL) {
        free(loop);
        pq_fail(err, PQ_E_NOMEM, "out of memory");
        return NULL;
    }
    loop->multi = multi;
    pq_signals_init(&loop->signals);
    signal(SIGPIPE, SIG_IGN);
    return loop;
}

void pq_loop_free(pq_loop *loop)
{
    if (loop == NULL)
        return;
    pq_signals_done(&loop->signals);
    curl_multi_cleanup(loop->multi);
    free(loop->fds);
    free(loop);
}

void pq_loop_stop(pq_loop *loop)
{
    loop->stopped = true;
}

/* ---- timers ---- */

static void insert_timer(pq_timer **at, pq_timer *timer)
{
    timer->next = *at;
    timer->link = at;
    if (timer->next != NULL)
        timer->next->link = &timer->next;
    *at = timer;
}

static void unlink_timer(pq_timer *timer)
{
    *timer->link = timer->next;
    if (timer->next != NULL)
        timer->next->link = timer->link;
}

void pq_timer_start(pq_loop *loop, pq_timer *timer, pq_ms delay, pq_loop_fn fire, void *context)
{
    pq_timer_stop(timer);
    timer->loop = loop;
    timer->deadline = pq_deadline(pq_now(), delay > 0 ? delay : 0);
    timer->fire = fire;
    timer->context = context;
    insert_timer(&loop->timers, timer);
}

void pq_timer_stop(pq_timer *timer)
{
    if (timer->loop == NULL)
        return;
    unlink_timer(timer);
    timer->loop = NULL;
}

bool pq_timer_is_running(const pq_timer *timer)
{
    return timer->loop != NULL;
}

/* The running list has the newest first, so going before equal deadlines keeps the order of
 * starting; timers started in the order of their deadlines cost one step each. */
static void insert_due(pq_loop *loop, pq_timer *timer)
{
    pq_timer **at = &loop->due;

    while (*at != NULL && (*at)->deadline < timer->deadline)
        at = &(*at)->next;
    insert_timer(at, timer);
}

static void fire_timers(pq_loop *loop)
{
    pq_ms now = pq_now();

    for (pq_timer *timer = loop->timers, *next; timer != NULL; timer = next) {
        next = timer->next;
        if (timer->deadline > now)
            continue;
        unlink_timer(timer);
        insert_due(loop, timer);
    }
    while (loop->due != NULL) {
        pq_timer *timer = loop->due;
        unlink_timer(timer);
        if (loop->stopped) {
            insert_timer(&loop->timers, timer);
            continue;
        }
        timer->loop = NULL;
        timer->fire(timer->context);
    }
}

static pq_ms next_deadline(const pq_loop *loop)
{
    pq_ms first = PQ_NEVER;

    for (const pq_timer *timer = loop->timers; timer != NULL; timer = timer->next)
        if (timer->deadline < first)
            first = timer->deadline;
    return first;
}

void pq_defer_start(pq_loop *loop, pq_defer *defer, pq_loop_fn fn, void *context)
{
    if (!pq_timer_is_running(&defer->timer))
        pq_timer_start(loop, &defer->timer, 0, fn, context);
}

void pq_defer_stop(pq_defer *defer)
{
    pq_timer_stop(&defer->timer);
}

/* ---- descriptors ---- */

static void insert_watch(pq_watch **at, pq_watch *watch)
{
    watch->next = *at;
    watch->link = at;
    if (watch->next != NULL)
        watch->next->link = &watch->next;
    *at = watch;
}

static void unlink_watch(pq_watch *watch)
{
    *watch->link = watch->next;
    if (watch->next != NULL)
        watch->next->link = watch->link;
}

void pq_watch_start(pq_loop *loop, pq_watch *watch, int fd, int events, pq_watch_fn ready,
                    void *context)
{
    pq_watch_stop(watch);
    if (events == 0)
        return;
    watch->loop = loop;
    watch->fd = fd;
    watch->events = events;
    watch->ready = ready;
    watch->context = context;
    insert_watch(&loop->watches, watch);
    loop->watch_count++;
}

void pq_watch_stop(pq_watch *watch)
{
    if (watch->loop == NULL)
        return;
    unlink_watch(watch);
    watch->loop->watch_count--;
    watch->loop = NULL;
}

bool pq_watch_is_running(const pq_watch *watch)
{
    return watch->loop != NULL;
}

static void call_watches(pq_loop *loop)
{
    while (loop->ready != NULL) {
        pq_watch *watch = loop->ready;
        unlink_watch(watch);
        insert_watch(&loop->watches, watch);
        if (!loop->stopped)
            watch->ready(watch->context, watch->found);
    }
}

/* ---- transfers ---- */

int pq_transfer_start(pq_loop *loop, pq_transfer *transfer, CURL *easy, pq_transfer_fn done,
                      void *context, pq_error *err)
{
    if (curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer) != CURLE_OK ||
        curl_multi_add_handle(loop->multi, easy) != CURLM_OK)
        return pq_fail(err, PQ_E_INTERNAL, "libcurl does not take a connection");
    *transfer = (pq_transfer){loop, easy, true, done, context};
    loop->pending++;
    return 0;
}

void pq_transfer_stop(pq_transfer *transfer)
{
    if (transfer->loop == NULL)
        return;
    curl_multi_remove_handle(transfer->loop->multi, transfer->easy);
    if (transfer->pending)
        transfer->loop->pending--;
    *transfer = (pq_transfer){0};
}

static int run_transfers(pq_loop *loop, pq_error *err)
{
    int running;
    CURLMcode code = curl_multi_perform(loop->multi, &running);
    if (code != CURLM_OK)
        return pq_fail(err, PQ_E_INTERNAL, "libcurl: %s", curl_multi_strerror(code));

    /* One message at a time: a callback may take other transfers out, and their messages too. */
    CURLMsg *message;
    int left;
    while (!loop->stopped && (message = curl_multi_info_read(loop->multi, &left)) != NULL) {
        CURLcode result = message->data.result;
        pq_transfer *transfer = NULL;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&transfer);
        transfer->pending = false;
        loop->pending--;
        transfer->done(transfer->context, result);
    }
    return 0;
}

/* ---- signals ---- */

int pq_loop_on_signal(pq_loop *loop, int signal_number, pq_signal_fn fn, void *context,
                      pq_error *err)
{
    return pq_signals_set(&loop->signals, signal_number, fn, context, err);
}

static void call_signals(pq_loop *loop)
{
    if (!loop->signalled)
        return;
    while (!loop->stopped && pq_signals_call_next(&loop->signals))
        continue;
}

/* ---- the wait ---- */

static int reserve_fds(pq_loop *loop, size_t count, pq_error *err)
{
    if (count <= loop->fds_capacity)
        return 0;
    size_t capacity = count * 2;
    struct curl_waitfd *fds = reallocarray(loop->fds, capacity, sizeof *fds);
    if (fds == NULL)
        return pq_fail(err, PQ_E_NOMEM, "out of memory");
    loop->fds = fds;
    loop->fds_capacity = capacity;
    return 0;
}

/* Fills `fds`. The signal pipe has its entry even while it is not open: poll() passes over -1. */
static unsigned list_fds(pq_loop *loop)
{
    unsigned count = 0;

    loop->fds[count++] = (struct curl_waitfd){loop->signals.pipe[0], CURL_WAIT_POLLIN, 0};
    for (const pq_watch *watch = loop->watches; watch != NULL; watch = watch->next) {
        int events = ((watch->events & PQ_READABLE) != 0 ? CURL_WAIT_POLLIN : 0) |
                     ((watch->events & PQ_WRITABLE) != 0 ? CURL_WAIT_POLLOUT : 0);
        loop->fds[count++] = (struct curl_waitfd){watch->fd, (short)events, 0};
    }
    return count;
}

/* libcurl turns a hang-up into POLLIN and an error into POLLIN and POLLOUT, asked for or not. */
static int found_events(const pq_watch *watch, int revents)
{
    int found = ((revents & CURL_WAIT_POLLIN) != 0 ? PQ_READABLE : 0) |
                ((revents & CURL_WAIT_POLLOUT) != 0 ? PQ_WRITABLE : 0);

    return (found & ~watch->events) != 0 ? watch->events : found;
}

/* Moves the watches that are ready, with `fds` still in the order of the list. */
static void collect_ready(pq_loop *loop)
{
    const struct curl_waitfd *entry = loop->fds;
    pq_watch **last = &loop->ready;

    loop->signalled = entry->revents != 0;
    for (pq_watch *watch = loop->watches, *next; watch != NULL; watch = next) {
        next = watch->next;
        watch->found = found_events(watch, (++entry)->revents);
        if (watch->found == 0)
            continue;
        unlink_watch(watch);
        insert_watch(last, watch);
        last = &watch->next;
    }
}

/* poll() returns at once for a closed descriptor, and libcurl does not tell which: without this
 * the loop would spin. */
static int check_fds(const pq_loop *loop, pq_error *err)
{
    for (const pq_watch *watch = loop->watches; watch != NULL; watch = watch->next)
        if (fcntl(watch->fd, F_GETFD) < 0)
            return pq_fail(err, PQ_E_INTERNAL, "descriptor %d was closed while it was watched",
                           watch->fd);
    return 0;
}

static int wait_for_events(pq_loop *loop, pq_ms deadline, pq_error *err)
{
    pq_ms now = pq_now();
    pq_ms delay = deadline > now ? deadline - now : 0;
    int found = 0;

    if (reserve_fds(loop, loop->watch_count + 1, err) < 0)
        return -1;
    CURLMcode code = curl_multi_poll(loop->multi, loop->fds, list_fds(loop),
                                     delay < INT_MAX ? (int)delay : INT_MAX, &found);
    if (code != CURLM_OK)
        return pq_fail(err, PQ_E_INTERNAL, "waiting: %s", curl_multi_strerror(code));
    collect_ready(loop);
    if (found > 0 && loop->ready == NULL && !loop->signalled)
        return check_fds(loop, err);
    return 0;
}

static int turn(pq_loop *loop, pq_ms deadline, pq_error *err)
{
    if (wait_for_events(loop, deadline, err) < 0)
        return -1;
    call_signals(loop);
    int result = run_transfers(loop, err);
    if (result < 0)
        loop->stopped = true;
    call_watches(loop);
    fire_timers(loop);
    return result;
}

int pq_loop_run(pq_loop *loop, pq_error *err)
{
    int result = 0;

    while (result == 0 && !loop->stopped) {
        pq_ms deadline = next_deadline(loop);
        if (deadline == PQ_NEVER && loop->watches == NULL && loop->pending == 0)
            break;
        result = turn(loop, deadline, err);
    }
    loop->stopped = false;
    return result;
}
