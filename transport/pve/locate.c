#include "transport/pve/locate.h"

#include "transport/base/log.h"

static void serve(void *context);

void pq_locate_init(pq_locate *locate, pq_loop *loop, pq_api *api)
{
    locate->loop = loop;
    locate->api = api;
}

void pq_locate_done(pq_locate *locate)
{
    pq_api_call_drop(&locate->call);
    pq_defer_stop(&locate->serve);
    pq_guests_done(&locate->guests);
}

void pq_locate_wait_stop(pq_locate_wait *wait)
{
    if (wait->locate == NULL)
        return;
    *wait->link = wait->next;
    if (wait->next != NULL)
        wait->next->link = wait->link;
    wait->locate = NULL;
}

static int take_list(pq_locate *locate, const pq_json *data, pq_error *err)
{
    pq_guests guests = {.hidden = "the API user lacks VM.Audit on it"};
    if (pq_guests_read(&guests, data, err) < 0)
        return -1;
    pq_guests_done(&locate->guests);
    locate->guests = guests;
    locate->listed_at_us = locate->asked_at_us;
    pq_trace("located", PQ_INT("guests", guests.count));
    return 0;
}

static void fetched(void *context, const pq_error *err, pq_refusal refusal, const pq_json *data)
{
    pq_locate *locate = context;
    (void)refusal;
    locate->fetching = false;
    if (err != NULL)
        locate->failure = *err;
    if (err != NULL || take_list(locate, data, &locate->failure) < 0) {
        locate->failure.effect = PQ_EFFECT_NONE;
        for (pq_locate_wait *wait = locate->waits; wait != NULL; wait = wait->next)
            wait->failed = true;
    }
    pq_defer_start(locate->loop, &locate->serve, serve, locate);
}

static void fetch(pq_locate *locate)
{
    locate->call = (pq_api_call){
        .kind = PQ_API_LOOKUP,
        .method = "GET",
        .path = "/api2/json/cluster/resources",
        .query = "type=vm",
        .large = true,
        .gzip = true,
    };
    locate->fetching = true;
    locate->asked_at_us = pq_now_us();
    pq_api_call_start(locate->api, &locate->call, fetched, locate);
}

static bool is_fresh(const pq_locate *locate, const pq_locate_wait *wait)
{
    return locate->listed_at_us != 0 && locate->listed_at_us >= wait->not_before_us;
}

/* Tells one asker, which may free everything; the others get their own turn. */
static void serve(void *context)
{
    pq_locate *locate = context;
    pq_locate_wait *wait = locate->waits;
    while (wait != NULL && !wait->failed && !is_fresh(locate, wait))
        wait = wait->next;
    if (wait == NULL) {
        if (locate->waits != NULL && !locate->fetching)
            fetch(locate);
        return;
    }
    bool good = is_fresh(locate, wait);
    pq_error err = locate->failure;
    pq_locate_wait_stop(wait);
    if (locate->waits != NULL)
        pq_defer_start(locate->loop, &locate->serve, serve, locate);
    wait->ready(wait->context, good ? NULL : &err);
}

void pq_locate_wait_start(pq_locate *locate, pq_locate_wait *wait, int64_t not_before_us,
                          pq_locate_fn ready, void *context)
{
    wait->locate = locate;
    wait->ready = ready;
    wait->context = context;
    wait->not_before_us = not_before_us;
    wait->failed = false;
    pq_locate_wait **end = &locate->waits;
    while (*end != NULL)
        end = &(*end)->next;
    wait->next = NULL;
    wait->link = end;
    *end = wait;
    pq_defer_start(locate->loop, &locate->serve, serve, locate);
}
