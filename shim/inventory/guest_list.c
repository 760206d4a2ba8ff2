#include "shim/inventory/guest_list.h"

#include <inttypes.h>
#include <stdio.h>

#include "shim/fallback.h"
#include "transport/base/log.h"
#include "transport/pve/locate.h"
#include "transport/ssh/list.h"

static void listed(void *context, const pq_error *err)
{
    pq_guest_list *list = context;
    list->ended = true;
    if (err != NULL)
        list->failure = *err;
    pq_loop_stop(list->loop);
}

static int run(pq_guest_list *list, pq_error *err)
{
    list->ended = false;
    list->failure.code = PQ_OK;
    return pq_loop_run(list->loop, err);
}

static int judge(const pq_guest_list *list, pq_error *err)
{
    if (!list->ended)
        return pq_fail(err, PQ_E_INTERNAL, "nothing is left to wait for");
    if (list->failure.code == PQ_OK)
        return 0;
    *err = list->failure;
    return -1;
}

static int list_by_api(pq_guest_list *list, pq_error *err)
{
    pq_locate_wait wait = {0};
    list->pve = pq_pve_new(list->loop, &list->ways.options, err);
    if (list->pve == NULL)
        return -1;
    pq_locate *locate = pq_pve_locate(list->pve);
    pq_locate_wait_start(locate, &wait, 0, listed, list);
    int result = run(list, err);
    pq_locate_wait_stop(&wait);
    if (result < 0 || judge(list, err) < 0)
        return -1;
    list->guests = &locate->guests;
    list->calls_per_node = list->ways.options.calls_per_node;
    if (list->guests->count == 0)
        pq_log(PQ_LOG_WARNING, "there are no guests that the API user may see (VM.Audit)");
    return 0;
}

static int list_over_ssh(pq_guest_list *list, pq_error *err)
{
    pq_ssh_list_wait wait = {0};
    list->ssh = pq_ssh_new(list->loop, &list->ways.ssh.options, err);
    if (list->ssh == NULL)
        return -1;
    pq_ssh_list *listing = pq_ssh_get_list(list->ssh);
    pq_ssh_list_wait_start(listing, &wait, 0, listed, list);
    int result = run(list, err);
    pq_ssh_list_wait_stop(&wait);
    if (result < 0 || judge(list, err) < 0)
        return -1;
    list->guests = &listing->guests;
    list->calls_per_node = list->ways.ssh.options.calls_per_node;
    return 0;
}

int pq_guest_list_open(pq_guest_list *list, pq_config *config, pq_error *err)
{
    pq_ways *ways = &list->ways;
    list->loop = pq_loop_new(err);
    if (list->loop == NULL || pq_ways_read(config, ways, err) < 0)
        return -1;
    if (!ways->api)
        return list_over_ssh(list, err);
    if (list_by_api(list, err) == 0)
        return 0;
    if (!ways->over_ssh || !pq_fallback_is_closed(err))
        return -1;
    pq_log(PQ_LOG_WARNING, "%s; going on over SSH", err->text);
    pq_pve_free(list->pve);
    list->pve = NULL;
    return list_over_ssh(list, err);
}

void pq_guest_list_done(pq_guest_list *list)
{
    pq_pve_free(list->pve);
    pq_ssh_free(list->ssh);
    pq_ways_done(&list->ways);
    pq_loop_free(list->loop);
}

pq_agent *pq_guest_list_agent(const pq_guest_list *list, const pq_guest *guest, pq_error *err)
{
    char vm[24];
    snprintf(vm, sizeof vm, "%" PRId64, guest->vmid);
    return list->pve != NULL ? pq_pve_agent(list->pve, vm, guest->node, err)
                             : pq_ssh_agent(list->ssh, vm, guest->node, err);
}
