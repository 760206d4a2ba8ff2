/* The process of a shared server. See master.h. */
#include "shim/control/master.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shim/process.h"
#include "transport/base/fd.h"
#include "transport/config/pack.h"

/* How often an idle server looks whether it can still be found. */
#define LOOK_MS 2000

/* Before connections are accepted again after descriptors or memory ran out. */
#define PAUSE_MS 100

static void set_state(pq_master *master, master_state state)
{
    static const char *const names[] = {"running", "ending", "cleaning"};
    pq_trace("master-state", PQ_TEXT("from", names[master->state]), PQ_TEXT("to", names[state]),
             PQ_INT("links", master->link_count));
    master->state = state;
}

static size_t count_clients(const pq_master *master)
{
    size_t count = 0;
    for (const pq_link *link = master->links; link != NULL; link = link->next)
        count += link->state != LINK_ASKING;
    return count;
}

int pq_master_describe(const pq_master *master, pq_buf *out, pq_error *err)
{
    const char *host = pq_config_text(master->config, PQ_OPT_HOST);
    const char *user = pq_config_text(master->config, PQ_OPT_USER);
    size_t clients = count_clients(master);
    if (pq_buf_printf(out, err, "pid %ld: ", (long)getpid()) < 0)
        return -1;
    if (host == NULL)
        return pq_buf_printf(out, err, "servers that its clients name, %zu client%s", clients,
                             clients == 1 ? "" : "s");
    if (user == NULL)
        user = pq_config_text(master->config, PQ_OPT_TOKEN_ID);
    return pq_buf_printf(out, err, "%s%s%s:%lld, %zu client%s", user != NULL ? user : "",
                         user != NULL ? " at " : "", host,
                         (long long)pq_config_int(master->config, PQ_OPT_PORT), clients,
                         clients == 1 ? "" : "s");
}

/* ---- the end ---- */

/* The socket's file is still the one that was made for us. Nobody replaces it as long as we
 * listen. */
static bool can_be_found(const pq_master *master)
{
    struct stat info;
    return lstat(master->plan->path, &info) == 0 && info.st_dev == master->plan->device &&
           info.st_ino == master->plan->inode;
}

/* Clients that have connected and were not accepted see the connection closed, and begin anew. */
static void withdraw(pq_master *master)
{
    pq_watch_stop(&master->watch);
    pq_timer_stop(&master->idle);
    if (can_be_found(master))
        (void)unlink(master->plan->path);
    pq_close(&master->listener);
}

static void on_clean(void *context, const pq_error *err)
{
    pq_master *master = context;
    (void)err;
    pq_loop_stop(master->server.loop);
}

/* Once the last client has left. */
static void clean_up(pq_master *master)
{
    if (master->state != MASTER_ENDING || count_clients(master) > 0)
        return;
    set_state(master, MASTER_CLEANING);
    pq_targets_close(master->server.targets, on_clean, master);
}

static void drop_unaccepted(pq_master *master)
{
    for (pq_link *link = master->links, *next; link != NULL; link = next) {
        next = link->next;
        if (link->state == LINK_GREETING || link->state == LINK_READING)
            pq_link_free(link);
    }
}

/* A conversation may end while it is told, but no other one does. */
static void signal_all(pq_master *master, int number)
{
    master->end_signal = number;
    for (pq_link *link = master->links, *next; link != NULL; link = next) {
        next = link->next;
        pq_link_signal(link, number);
    }
}

void pq_master_end(pq_master *master, int number)
{
    if (master->state == MASTER_RUNNING) {
        withdraw(master);
        set_state(master, MASTER_ENDING);
        drop_unaccepted(master);
    }
    if (number != 0)
        signal_all(master, number);
    clean_up(master);
}

static void on_signal(void *context, int number)
{
    pq_master *master = context;
    if (++master->signals > 2)
        pq_loop_stop(master->server.loop);
    else
        pq_master_end(master, number);
}

/* ---- being idle ---- */

static bool has_caller(const pq_master *master)
{
    struct pollfd entry = {.fd = master->listener, .events = POLLIN};
    return poll(&entry, 1, 0) > 0;
}

static void look(void *context)
{
    pq_master *master = context;
    pq_ms left = master->idle_since + master->plan->persist_ms - pq_now();
    bool over = left <= 0 || !can_be_found(master);
    if (master->link_count > 0 || (over && has_caller(master)))
        left = LOOK_MS;
    else if (over) {
        pq_master_end(master, 0);
        return;
    }
    pq_timer_start(master->server.loop, &master->idle, left < LOOK_MS ? left : LOOK_MS, look,
                   master);
}

void pq_master_left(pq_master *master, bool was_client)
{
    if (was_client)
        master->idle_since = pq_now();
    if (master->state == MASTER_RUNNING && master->link_count == 0)
        look(master);
    clean_up(master);
}

/* ---- connections ---- */

static void on_caller(void *context, int events);

static void listen_on(void *context)
{
    pq_master *master = context;
    pq_watch_start(master->server.loop, &master->watch, master->listener, PQ_READABLE, on_caller,
                   master);
}

static void on_caller(void *context, int events)
{
    pq_master *master = context;
    (void)events;
    int fd = accept4(master->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
        pq_link_new(master, fd);
    } else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
        pq_watch_stop(&master->watch);
        pq_timer_start(master->server.loop, &master->pause, PAUSE_MS, listen_on, master);
    }
}

/* ---- the course ---- */

static int start(pq_master *master, pq_error *err)
{
    pq_control_plan *plan = master->plan;
    master->config = pq_config_unpack(pq_own_options, PQ_OWN_OPTION_COUNT, plan->config.data,
                                      plan->config.length, err);
    pq_buf_wipe(&plan->config);
    if (master->config == NULL || pq_set_nonblocking(master->listener, true, err) < 0 ||
        pq_server_init(&master->server, true, err) < 0)
        return -1;
    for (size_t i = 0; i < PQ_PROCESS_END_SIGNALS; i++) {
        if (pq_loop_on_signal(master->server.loop, pq_process_end_signals[i], on_signal, master,
                              err) < 0)
            return -1;
    }
    pq_server_level(&master->server);
    listen_on(master);
    master->idle_since = pq_now();
    look(master);
    return 0;
}

int pq_control_master(int listener, pq_control_plan *plan)
{
    pq_master master = {.plan = plan, .listener = listener};
    pq_error err;
    int result = start(&master, &err);
    if (result == 0)
        result = pq_loop_run(master.server.loop, &err);
    if (master.listener >= 0)
        withdraw(&master);
    set_state(&master, MASTER_CLEANING);
    pq_timer_stop(&master.pause);
    while (master.links != NULL)
        pq_link_free(master.links);
    pq_server_done(&master.server);
    pq_config_free(master.config);
    return result < 0 ? PQ_EXIT_FAILURE : 0;
}
