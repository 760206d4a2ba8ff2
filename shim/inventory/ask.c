#include "shim/inventory/ask.h"

#include <stdlib.h>
#include <string.h>

#include "shim/inventory/facts.h"
#include "transport/base/log.h"

/* The hosts on one node: a part of survey.hosts. */
typedef struct node_part {
    size_t next, end; /* those to be asked */
    bool together;    /* both questions at the same time */
    bool told;        /* a problem of one of its guests that is not the agent's */
} node_part;

typedef struct asked asked;

typedef struct survey {
    const pq_guest_list *list;
    pq_loop *loop;
    unsigned calls_per_node;
    pq_inventory_host **hosts; /* by node */
    size_t count;
    node_part *nodes;
    size_t node_count;
    asked *under_way;
    bool forbidden_told;
    pq_error failure; /* that ends everything; code OK: none */
} survey;

/* A host whose agent is being asked. */
struct asked {
    asked *next, **link; /* survey.under_way */
    survey *all;
    node_part *node;
    pq_inventory_host *host;
    pq_agent *agent;
    pq_agent_op *osinfo, *interfaces;
    bool interfaces_due; /* to be asked when osinfo has been answered */
    bool told;
};

static void ask_more(survey *all, node_part *node);

/* ---- failures ---- */

/* Of one command: the agent may answer others. */
static bool is_about_command(const pq_error *err)
{
    return err->code == PQ_E_AGENT || err->code == PQ_E_AGENT_DISABLED ||
           err->code == PQ_E_AGENT_FROZEN || err->code == PQ_E_UNSUPPORTED;
}

/* Nothing unusual: guests are like that. */
static bool is_about_agent(const pq_error *err)
{
    switch (err->code) {
    case PQ_E_AGENT_DOWN:
    case PQ_E_AGENT_OFF:
    case PQ_E_AGENT_TIMEOUT:
    case PQ_E_VM_STOPPED:
    case PQ_E_VM_UNKNOWN:
        return true;
    default:
        return is_about_command(err);
    }
}

/* Over SSH each node is a server of its own. */
static bool is_about_node(const survey *all, const pq_error *err)
{
    return all->list->ssh != NULL && err->code != PQ_E_NOMEM && err->code != PQ_E_INTERNAL;
}

/* Others can be asked all the same. */
static bool is_about_guest(const survey *all, const pq_error *err)
{
    switch (err->code) {
    case PQ_E_PERMISSION:
    case PQ_E_NODE_UNKNOWN:
    case PQ_E_NETWORK:
    case PQ_E_HTTP:
    case PQ_E_BAD_ANSWER:
    case PQ_E_TOO_LARGE:
        return true;
    default:
        return is_about_agent(err) || is_about_node(all, err);
    }
}

static void tell(asked *one, const pq_error *err)
{
    bool forbidden = err->code == PQ_E_PERMISSION;
    bool of_node = !is_about_agent(err) && is_about_node(one->all, err);
    bool usual = is_about_agent(err) || (forbidden && one->all->forbidden_told) ||
                 (of_node && one->node->told);
    if (one->told)
        return;
    one->told = true;
    one->all->forbidden_told |= forbidden;
    one->node->told |= of_node;
    pq_log(usual ? PQ_LOG_INFO : PQ_LOG_WARNING, "%s, %s: OS and addresses are not known: %s",
           one->host->name, pq_agent_name(one->agent), err->text);
}

static void give_up(survey *all, const pq_error *err)
{
    all->failure = *err;
    pq_loop_stop(all->loop);
}

/* ---- one host ---- */

static void asked_free(asked *one)
{
    *one->link = one->next;
    if (one->next != NULL)
        one->next->link = one->link;
    pq_agent_free(one->agent);
    free(one);
}

static void on_interfaces(void *context, const pq_error *err, const pq_json *result);

/* Asks what is due, or ends with this host. */
static void go_on(asked *one)
{
    survey *all = one->all;
    node_part *node = one->node;
    if (all->failure.code != PQ_OK || one->osinfo != NULL || one->interfaces != NULL)
        return;
    if (one->interfaces_due) {
        one->interfaces_due = false;
        one->interfaces = pq_agent_query(one->agent, "network-get-interfaces", on_interfaces, one);
        return;
    }
    asked_free(one);
    ask_more(all, node);
    if (all->under_way == NULL)
        pq_loop_stop(all->loop);
}

/* `failed` is the outcome of what was made of an answer. */
static void answered(asked *one, const pq_error *err, int failed, const pq_error *problem)
{
    if (err != NULL) {
        if (!is_about_guest(one->all, err)) {
            give_up(one->all, err);
            return;
        }
        tell(one, err);
        one->interfaces_due = one->interfaces_due && is_about_command(err);
    } else if (failed < 0) {
        give_up(one->all, problem);
        return;
    }
    go_on(one);
}

static void on_osinfo(void *context, const pq_error *err, const pq_json *result)
{
    asked *one = context;
    pq_error problem;
    one->osinfo = NULL;
    int failed = err == NULL ? pq_facts_add_osinfo(one->host, result, &problem) : 0;
    answered(one, err, failed, &problem);
}

static void on_interfaces(void *context, const pq_error *err, const pq_json *result)
{
    asked *one = context;
    pq_error problem;
    one->interfaces = NULL;
    int failed = err == NULL ? pq_facts_add_interfaces(one->host, result, &problem) : 0;
    answered(one, err, failed, &problem);
}

static int ask(survey *all, node_part *node, pq_inventory_host *host, pq_error *err)
{
    asked *one = calloc(1, sizeof *one);
    if (one == NULL)
        return pq_fail(err, PQ_E_NOMEM, "out of memory");
    one->agent = pq_guest_list_agent(all->list, host->guest, err);
    if (one->agent == NULL) {
        free(one);
        return -1;
    }
    one->all = all;
    one->node = node;
    one->host = host;
    one->interfaces_due = true;
    one->link = &all->under_way;
    one->next = all->under_way;
    if (one->next != NULL)
        one->next->link = &one->next;
    all->under_way = one;
    one->osinfo = pq_agent_query(one->agent, "get-osinfo", on_osinfo, one);
    if (node->together) {
        one->interfaces_due = false;
        one->interfaces = pq_agent_query(one->agent, "network-get-interfaces", on_interfaces, one);
    }
    return 0;
}

/* ---- all of them ---- */

/* Asks the next host on the node. */
static void ask_more(survey *all, node_part *node)
{
    pq_error err;
    if (node->next < node->end && ask(all, node, all->hosts[node->next++], &err) < 0)
        give_up(all, &err);
}

static int by_node(const void *a, const void *b)
{
    const pq_inventory_host *const *x = a, *const *y = b;
    int order = strcmp((*x)->guest->node, (*y)->guest->node);
    if (order != 0)
        return order;
    return (*x)->guest->vmid < (*y)->guest->vmid ? -1 : 1;
}

static int divide(survey *all, pq_inventory_host *hosts, pq_error *err)
{
    all->hosts = calloc(all->count, sizeof *all->hosts);
    all->nodes = calloc(all->count, sizeof *all->nodes);
    if (all->hosts == NULL || all->nodes == NULL)
        return pq_fail(err, PQ_E_NOMEM, "out of memory");
    for (size_t i = 0; i < all->count; i++)
        all->hosts[i] = &hosts[i];
    qsort(all->hosts, all->count, sizeof *all->hosts, by_node);
    for (size_t i = 0; i < all->count; i++) {
        bool same =
            i > 0 && strcmp(all->hosts[i]->guest->node, all->hosts[i - 1]->guest->node) == 0;
        if (!same)
            all->nodes[all->node_count++] = (node_part){.next = i};
        node_part *node = &all->nodes[all->node_count - 1];
        node->end = i + 1;
        node->together = node->end - node->next < all->calls_per_node;
    }
    return 0;
}

static int run(survey *all, pq_error *err)
{
    for (size_t i = 0; i < all->node_count; i++) {
        for (unsigned call = 0; call < all->calls_per_node; call++)
            ask_more(all, &all->nodes[i]);
    }
    if (all->failure.code == PQ_OK && pq_loop_run(all->loop, err) < 0)
        return -1;
    if (all->failure.code != PQ_OK) {
        *err = all->failure;
        return -1;
    }
    if (all->under_way != NULL)
        return pq_fail(err, PQ_E_INTERNAL, "nothing is left to wait for");
    return 0;
}

int pq_inventory_ask(pq_inventory_host *hosts, size_t count, const pq_guest_list *list,
                     pq_error *err)
{
    survey all = {
        .list = list, .loop = list->loop, .calls_per_node = list->calls_per_node, .count = count};
    if (count == 0)
        return 0;
    int result = divide(&all, hosts, err);
    if (result == 0)
        result = run(&all, err);
    while (all.under_way != NULL)
        asked_free(all.under_way);
    free(all.hosts);
    free(all.nodes);
    return result;
}
