#include "shim/inventory/guest_list.h"

#include "shim/endpoint.h"
#include "transport/base/log.h"

static void listed(void *context, const pq_error *err)
{
    pq_guest_list *list = context;
    list->ended = true;
    if (err != NULL)
        list->failure = *err;
    pq_loop_stop(list->loop);
}

static int open_endpoint(pq_guest_list *list, pq_config *config, pq_error *err)
{
    list->loop = pq_loop_new(err);
    if (list->loop == NULL || pq_endpoint_read(config, &list->options, err) < 0)
        return -1;
    list->pve = pq_pve_new(list->loop, &list->options, err);
    return list->pve != NULL ? 0 : -1;
}

int pq_guest_list_open(pq_guest_list *list, pq_config *config, pq_error *err)
{
    pq_locate_wait wait = {0};
    if (open_endpoint(list, config, err) < 0)
        return -1;
    pq_locate *locate = pq_pve_locate(list->pve);
    pq_locate_wait_start(locate, &wait, 0, listed, list);
    int result = pq_loop_run(list->loop, err);
    pq_locate_wait_stop(&wait);
    if (result < 0)
        return -1;
    if (!list->ended)
        return pq_fail(err, PQ_E_INTERNAL, "nothing is left to wait for");
    if (list->failure.code != PQ_OK) {
        *err = list->failure;
        return -1;
    }
    list->guests = &locate->guests;
    if (list->guests->count == 0)
        pq_log(PQ_LOG_WARNING, "there are no guests that the API user may see (VM.Audit)");
    return 0;
}

void pq_guest_list_done(pq_guest_list *list)
{
    pq_pve_free(list->pve);
    pq_loop_free(list->loop);
}
