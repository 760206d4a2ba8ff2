/*
 * One operation of an agent, from its start to its callback.   (transport/pve, private to
 * agent_op.c and agent_pve.c)
 *
 * States, changed in set_state() only:
 *
 *   LOCATING  waits for the list of guests, to learn the VM's node and id
 *   QUEUED    waits for its turn on that node
 *   SENT      its API call is under way (login included); counts as in flight
 *   FAILING   could not be sent; the callback is due
 *
 * LOCATING is skipped while the agent knows where its VM is. An operation goes from SENT
 *   - back to SENT, in another form, if the daemon does not read JSON or byte ranges,
 *   - back to LOCATING, once, if the VM is not where it was.
 * In all of these the server has refused the call, so that nothing was done in the guest.
 */
#pragma once

#include "transport/pve/pve_internal.h"

/* Operations that can report a lack of memory at the same time. */
#define PQ_SPARE_OPS 4

typedef enum pq_op_kind {
    PQ_OP_EXEC,
    PQ_OP_STATUS,
    PQ_OP_READ,
    PQ_OP_PING,
    PQ_OP_QUERY
} pq_op_kind;

typedef enum pq_op_state {
    PQ_OP_NEW = 0,
    PQ_OP_LOCATING,
    PQ_OP_QUEUED,
    PQ_OP_SENT,
    PQ_OP_FAILING
} pq_op_state;

typedef struct pq_vm_agent pq_vm_agent;

struct pq_agent_op {
    pq_vm_agent *agent;                  /* NULL: a spare that is not in use */
    pq_agent_op *next, **link;           /* the agent's operations */
    pq_agent_op *turn_next, **turn_link; /* the node's queue, in state QUEUED */
    bool spare;
    pq_op_kind kind;
    pq_op_state state;
    bool forgotten; /* its caller wants no answer, but the server is still at it */
    pq_node *node;  /* in states QUEUED, SENT, and FAILING if it was sent before */
    union {
        pq_exec_start_fn exec_start;
        pq_exec_status_fn exec_status;
        pq_file_read_fn file_read;
        pq_agent_done_fn ping;
        pq_agent_query_fn query;
    } done;
    void *context;

    pq_buf body;       /* EXEC */
    bool is_form;      /* `body` is */
    size_t args_bytes; /* as pq_agent_limits count them */
    size_t input_bytes;
    int64_t pid; /* STATUS */
    char *file;  /* READ */
    uint64_t offset;
    size_t count;
    bool ranges;                                  /* READ was sent with offset, count and decode */
    char query_name[PQ_AGENT_QUERY_NAME_MAX + 1]; /* QUERY */

    int64_t started_us;
    int64_t sent_us; /* when its turn came */
    pq_locate_wait wait;
    bool relocated; /* the VM was not where it was, and this was found out */
    pq_defer defer;
    char path[160];
    pq_buf query;
    pq_api_call call;
    pq_error failure; /* to report in state FAILING, or if relocating finds nothing */
};

struct pq_vm_agent {
    pq_agent agent; /* first, as agent.h wants it */
    pq_pve *pve;
    char *vm;         /* as given */
    char *given_node; /* or NULL */
    int64_t vmid;     /* with `node` */
    pq_node *node;    /* NULL while the place is not known */
    unsigned in_flight;
    pq_agent_op *ops;
    pq_agent_limits limits;
    pq_ms exec_time; /* as in pq_agent_limits */
    char name[256];
    pq_agent_op spares[PQ_SPARE_OPS];
};

/* What a callback is told. */
typedef struct pq_op_result {
    const pq_error *err; /* or NULL */
    int64_t pid;
    pq_exec_status *status;
    pq_buf *bytes;
    bool eof;
    const pq_json *answer; /* of QUERY */
} pq_op_result;

/* A new operation of `agent` in state NEW; a spare, in state FAILING, without memory. NULL if
 * there is no spare left either. */
pq_agent_op *pq_op_new(pq_vm_agent *agent, pq_op_kind kind, void *context);

/* Starts it; or, if `failed` is not 0, has `op->failure` reported. */
void pq_op_start(pq_agent_op *op, int failed);

/* False while certainly no server has its request. */
bool pq_op_was_sent(const pq_agent_op *op);

/* Its callback will not run. A request that the server has keeps its place in the node's and the
 * VM's count until it is answered. */
void pq_op_forget(pq_agent_op *op);

/* Ends an operation at once, without its callback. */
void pq_op_drop(pq_agent_op *op);

/* Implemented in agent_pve.c: fills path, query and call for the node, then decodes the answer and
 * hands it to pq_op_finish(). `err` may be op->failure. */
int pq_op_prepare(pq_agent_op *op, pq_error *err);
void pq_op_decode(pq_agent_op *op, const pq_json *data);

/* Whether an EXEC asks for more than the node's limits as they are now, so that its caller can do
 * better with them. */
bool pq_op_exceeds_limits(const pq_agent_op *op);

/* Ends the operation and runs its callback, which may free everything. */
void pq_op_finish(pq_agent_op *op, const pq_op_result *result);

/* Remembers where the VM is. */
void pq_agent_place(pq_vm_agent *agent, pq_node *node, int64_t vmid, const char *vm_name);
