#include "shim/guide.h"

#include <stdlib.h>

#include "transport/pve/find.h"

typedef struct search {
    pq_pve_find find;
    pq_ssh_guide_fn done;
    void *context;
} search;

static void found(void *context, const pq_error *err, int64_t vmid, const char *node,
                  const char *address)
{
    search *ended = context;
    ended->done(ended->context, err, vmid, node, address);
    free(ended);
}

static void *start(void *context, const char *vm, const char *node, pq_ssh_guide_fn done,
                   void *done_context)
{
    const pq_guide *guide = context;
    search *started = guide->answers ? calloc(1, sizeof *started) : NULL;
    if (started == NULL)
        return NULL;
    started->done = done;
    started->context = done_context;
    pq_pve_find_start(guide->pve, &started->find, vm, node, found, started);
    return started;
}

static void stop(void *context)
{
    search *stopped = context;
    pq_pve_find_stop(&stopped->find);
    free(stopped);
}

void pq_guide_init(pq_guide *guide, pq_pve *pve, pq_ssh *ssh)
{
    guide->pve = pve;
    pq_ssh_set_guide(ssh, &(pq_ssh_guide){.context = guide, .start = start, .stop = stop});
}
