#include "shim/target.h"

#include <stdlib.h>
#include <string.h>

#include "shim/fallback.h"
#include "shim/guide.h"
#include "shim/ways.h"
#include "transport/base/log.h"

typedef struct pq_endpoint {
    struct pq_endpoint *next;
    pq_config *config; /* holds what `ways` points to */
    pq_ways ways;
    pq_pve *pve; /* NULL: only over SSH */
    pq_ssh *ssh; /* NULL: only by the API */
    pq_guide guide;
} pq_endpoint;

typedef struct pq_target {
    struct pq_target *next;
    pq_targets *owner;
    pq_endpoint *endpoint;
    char *vm;
    char *node; /* or NULL */
    char *remote_tmp;
    pq_ms connect_timeout;
    bool overlap;
    pq_agent *agent;
    pq_session *session;
    bool closing;
} pq_target;

struct pq_targets {
    pq_loop *loop;
    pq_endpoint *endpoints;
    pq_target *targets;
    size_t closing; /* sessions, and the report itself */
    pq_timer patience;
    pq_defer report;
    pq_error failure; /* the first one while closing; code OK: none */
    pq_targets_closed_fn closed;
    void *context;
};

pq_targets *pq_targets_new(pq_loop *loop, pq_error *err)
{
    pq_targets *targets = calloc(1, sizeof *targets);
    if (targets == NULL) {
        pq_fail(err, PQ_E_NOMEM, "out of memory");
        return NULL;
    }
    targets->loop = loop;
    return targets;
}

/* ---- endpoints ---- */

static void endpoint_free(pq_endpoint *endpoint)
{
    pq_pve_free(endpoint->pve);
    pq_ssh_free(endpoint->ssh);
    pq_ways_done(&endpoint->ways);
    pq_config_free(endpoint->config);
    free(endpoint);
}

static int open_ways(pq_endpoint *endpoint, pq_loop *loop, pq_error *err)
{
    pq_ways *ways = &endpoint->ways;
    if (pq_ways_read(endpoint->config, ways, err) < 0)
        return -1;
    if (ways->api && (endpoint->pve = pq_pve_new(loop, &ways->options, err)) == NULL)
        return -1;
    if (ways->over_ssh && (endpoint->ssh = pq_ssh_new(loop, &ways->ssh.options, err)) == NULL)
        return -1;
    if (endpoint->pve != NULL && endpoint->ssh != NULL)
        pq_guide_init(&endpoint->guide, endpoint->pve, endpoint->ssh);
    return 0;
}

static pq_endpoint *endpoint_new(pq_targets *targets, const pq_config *config, pq_error *err)
{
    pq_endpoint *made = calloc(1, sizeof *made);
    if (made == NULL) {
        pq_fail(err, PQ_E_NOMEM, "out of memory");
        return NULL;
    }
    made->config = pq_config_copy(config, err);
    if (made->config == NULL || open_ways(made, targets->loop, err) < 0) {
        endpoint_free(made);
        return NULL;
    }
    made->next = targets->endpoints;
    targets->endpoints = made;
    return made;
}

static pq_endpoint *endpoint_get(pq_targets *targets, pq_config *config, pq_error *err)
{
    pq_ways ways = {0};
    pq_endpoint *found = NULL;
    int failed = pq_ways_read(config, &ways, err);
    if (failed == 0) {
        found = targets->endpoints;
        while (found != NULL && !pq_ways_equal(&found->ways, &ways))
            found = found->next;
    }
    pq_ways_done(&ways);
    return failed == 0 && found == NULL ? endpoint_new(targets, config, err) : found;
}

/* ---- targets ---- */

static void target_free(pq_target *target)
{
    pq_session_free(target->session);
    pq_agent_free(target->agent);
    free(target->vm);
    free(target->node);
    free(target->remote_tmp);
    free(target);
}

static void api_closed(void *context, const pq_error *err)
{
    pq_endpoint *endpoint = context;
    endpoint->guide.answers |= err->code == PQ_E_PERMISSION;
}

static pq_agent *open_agent(const pq_target *target, pq_error *err)
{
    pq_endpoint *endpoint = target->endpoint;
    if (endpoint->pve == NULL)
        return pq_ssh_agent(endpoint->ssh, target->vm, target->node, err);
    pq_agent *agent = pq_pve_agent(endpoint->pve, target->vm, target->node, err);
    if (endpoint->ssh == NULL || agent == NULL)
        return agent;
    return pq_fallback_agent(agent, pq_ssh_agent(endpoint->ssh, target->vm, target->node, err),
                             api_closed, endpoint, err);
}

static int open_session(pq_target *target, pq_error *err)
{
    pq_session_options options = {.remote_tmp = target->remote_tmp,
                                  .connect_timeout = target->connect_timeout,
                                  .no_overlap = !target->overlap};
    target->agent = open_agent(target, err);
    if (target->agent == NULL)
        return -1;
    target->session = pq_session_new(target->agent, &options, err);
    return target->session != NULL ? 0 : -1;
}

/* `wanted` has borrowed texts. */
static pq_target *target_new(pq_targets *targets, const pq_target *wanted, pq_error *err)
{
    pq_target *made = calloc(1, sizeof *made);
    if (made == NULL) {
        pq_fail(err, PQ_E_NOMEM, "out of memory");
        return NULL;
    }
    made->owner = targets;
    made->endpoint = wanted->endpoint;
    made->connect_timeout = wanted->connect_timeout;
    made->overlap = wanted->overlap;
    made->vm = strdup(wanted->vm);
    made->node = wanted->node != NULL ? strdup(wanted->node) : NULL;
    made->remote_tmp = strdup(wanted->remote_tmp);
    bool copied = made->vm != NULL && made->remote_tmp != NULL &&
                  (made->node != NULL || wanted->node == NULL);
    if (!copied)
        pq_fail(err, PQ_E_NOMEM, "out of memory");
    if (!copied || open_session(made, err) < 0) {
        target_free(made);
        return NULL;
    }
    made->next = targets->targets;
    targets->targets = made;
    return made;
}

static bool is_same(const pq_target *a, const pq_target *b)
{
    bool same_node = (a->node == NULL && b->node == NULL) ||
                     (a->node != NULL && b->node != NULL && strcmp(a->node, b->node) == 0);
    return a->endpoint == b->endpoint && same_node && strcmp(a->vm, b->vm) == 0 &&
           strcmp(a->remote_tmp, b->remote_tmp) == 0 && a->connect_timeout == b->connect_timeout &&
           a->overlap == b->overlap;
}

int pq_targets_get(pq_targets *targets, pq_config *config, const char *vm, pq_session **ret,
                   pq_error *err)
{
    pq_target wanted = {
        .endpoint = endpoint_get(targets, config, err),
        .vm = (char *)vm,
        .node = (char *)pq_config_text(config, PQ_OPT_NODE),
        .remote_tmp = (char *)pq_config_text(config, PQ_OPT_REMOTE_TMP),
        .connect_timeout = pq_config_duration_ms(config, PQ_OPT_CONNECT_TIMEOUT),
        .overlap = pq_config_bool(config, PQ_OPT_OVERLAP),
    };
    if (wanted.endpoint == NULL)
        return -1;
    pq_target *found = targets->targets;
    while (found != NULL && !is_same(found, &wanted))
        found = found->next;
    if (found == NULL)
        found = target_new(targets, &wanted, err);
    if (found == NULL)
        return -1;
    *ret = found->session;
    return 0;
}

/* ---- the end ---- */

void pq_targets_free(pq_targets *targets)
{
    if (targets == NULL)
        return;
    pq_timer_stop(&targets->patience);
    pq_defer_stop(&targets->report);
    while (targets->targets != NULL) {
        pq_target *next = targets->targets->next;
        target_free(targets->targets);
        targets->targets = next;
    }
    while (targets->endpoints != NULL) {
        pq_endpoint *next = targets->endpoints->next;
        endpoint_free(targets->endpoints);
        targets->endpoints = next;
    }
    free(targets);
}

static void report(void *context)
{
    pq_targets *targets = context;
    pq_timer_stop(&targets->patience);
    targets->closed(targets->context, targets->failure.code != PQ_OK ? &targets->failure : NULL);
}

static void one_less(pq_targets *targets)
{
    if (--targets->closing == 0)
        pq_defer_start(targets->loop, &targets->report, report, targets);
}

static void note_failure(pq_target *target, const pq_error *err)
{
    pq_targets *targets = target->owner;
    pq_log(PQ_LOG_WARNING, "%s: %s", pq_agent_name(target->agent), err->text);
    if (targets->failure.code == PQ_OK)
        targets->failure = *err;
}

static void on_closed(void *context, const pq_error *err)
{
    pq_target *target = context;
    target->closing = false;
    if (err != NULL)
        note_failure(target, err);
    one_less(target->owner);
}

static void out_of_patience(void *context)
{
    pq_targets *targets = context;
    pq_error err;
    for (pq_target *target = targets->targets; target != NULL; target = target->next) {
        if (!target->closing)
            continue;
        target->closing = false;
        pq_fail(&err, PQ_E_TIMEOUT, "'%s' may be left in the guest: it did not answer for %d s",
                pq_session_dir(target->session), PQ_TARGETS_CLOSE_MS / 1000);
        note_failure(target, &err);
        pq_session_free(target->session);
        target->session = NULL;
        one_less(targets);
    }
}

void pq_targets_close(pq_targets *targets, pq_targets_closed_fn done, void *context)
{
    targets->closed = done;
    targets->context = context;
    targets->closing = 1;
    pq_timer_start(targets->loop, &targets->patience, PQ_TARGETS_CLOSE_MS, out_of_patience,
                   targets);
    for (pq_target *target = targets->targets; target != NULL; target = target->next) {
        target->closing = true;
        targets->closing++;
        pq_session_close(target->session, on_closed, target);
    }
    one_less(targets);
}
