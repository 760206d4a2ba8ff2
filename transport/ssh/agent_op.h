/*
 * One operation of an agent, from its start to its callback.   (transport/ssh, private)
 *
 * States, changed in set_state() only:
 *
 *   LOCATING  waits for the list of guests, or for the guide, to learn the VM's node and id
 *   QUEUED    waits for its turn on that node
 *   SENT      its command or relay call is under way; counts as in flight
 *   PAUSING   a READ by qm is between two questions about its process; counts as in flight
 *   FAILING   could not be sent; the callback is due
 *
 * An operation goes from SENT back to SENT by the other method if the node does not allow the first
 * one, and, once, to LOCATING if the VM is not on the node. In both cases nothing was done in the
 * guest. A READ by qm is a command in the guest that writes the piece to its output: a start,
 * then questions until it has ended.
 */
#pragma once

#include "transport/ssh/node.h"

/* Operations that can report a lack of memory at the same time. */
#define PQ_SSH_SPARE_OPS 4

typedef enum pq_ssh_op_kind {
    PQ_SSH_OP_EXEC,
    PQ_SSH_OP_STATUS,
    PQ_SSH_OP_READ,
    PQ_SSH_OP_PING,
    PQ_SSH_OP_QUERY
} pq_ssh_op_kind;

typedef enum pq_ssh_op_state {
    PQ_SSH_OP_NEW = 0,
    PQ_SSH_OP_LOCATING,
    PQ_SSH_OP_QUEUED,
    PQ_SSH_OP_SENT,
    PQ_SSH_OP_PAUSING,
    PQ_SSH_OP_FAILING
} pq_ssh_op_state;

struct pq_agent_op {
    struct pq_ssh_vm *agent;             /* NULL: a spare that is not in use */
    pq_agent_op *next, **link;           /* the agent's operations */
    pq_agent_op *turn_next, **turn_link; /* the node's queue, in state QUEUED */
    bool spare;
    pq_ssh_op_kind kind;
    pq_ssh_op_state state;
    bool forgotten;    /* its caller wants no answer, but the node is still at it */
    pq_ssh_node *node; /* in states QUEUED, SENT and PAUSING */
    union {
        pq_exec_start_fn exec_start;
        pq_exec_status_fn exec_status;
        pq_file_read_fn file_read;
        pq_agent_done_fn ping;
        pq_agent_query_fn query;
    } done;
    void *context;

    char **argv; /* EXEC: a copy of the request */
    char *input; /* NULL: none */
    size_t input_length;
    int64_t pid; /* STATUS; of a READ by qm, once it runs */
    char *file;  /* READ */
    uint64_t offset;
    size_t count;
    char query_name[PQ_AGENT_QUERY_NAME_MAX + 1];

    int64_t started_us;
    int64_t sent_us;
    bool by_relay; /* in state SENT */
    bool relocated;
    pq_ssh_command *command;
    pq_relay_call *call;
    pq_ssh_list_wait wait;
    void *search;      /* of the guide */
    pq_error unlisted; /* why there is no list, while the guide is asked */
    pq_timer timer;
    pq_defer defer;
    pq_error failure; /* to report in state FAILING */
};

/* An agent: one VM. */
typedef struct pq_ssh_vm {
    pq_agent agent; /* first, as agent.h wants it */
    pq_ssh *ssh;
    char *vm;          /* as given */
    char *given_node;  /* or NULL */
    int64_t vmid;      /* 0: not known yet */
    pq_ssh_node *node; /* NULL while the place is not known */
    unsigned in_flight;
    pq_agent_op *ops;
    pq_agent_limits limits;
    pq_ms exec_time;
    char name[256];
    pq_agent_op spares[PQ_SSH_SPARE_OPS];
} pq_ssh_vm;

/* What a callback is told. */
typedef struct pq_ssh_op_result {
    const pq_error *err; /* or NULL */
    int64_t pid;
    pq_exec_status *status;
    pq_buf *bytes;
    bool eof;
    const pq_json *answer; /* of QUERY */
} pq_ssh_op_result;

/* A new operation of `agent`; a spare, in state FAILING, without memory. NULL if there is no spare
 * left either. */
pq_agent_op *pq_ssh_op_new(pq_ssh_vm *agent, pq_ssh_op_kind kind, void *context);

/* Starts it; or, if `failed` is not 0, has `op->failure` reported. */
void pq_ssh_op_start(pq_agent_op *op, int failed);

bool pq_ssh_op_was_sent(const pq_agent_op *op);
void pq_ssh_op_forget(pq_agent_op *op);

/* Ends an operation at once, without its callback. */
void pq_ssh_op_drop(pq_agent_op *op);

/* Ends the operation and runs its callback, which may free everything. */
void pq_ssh_op_finish(pq_agent_op *op, const pq_ssh_op_result *result);

/* Remembers where the VM is; `name` is what it is called there, or NULL. */
void pq_ssh_vm_place(pq_ssh_vm *agent, pq_ssh_node *node, int64_t vmid, const char *name);

void pq_ssh_op_set_state(pq_agent_op *op, pq_ssh_op_state state);

/* Ends the operation with an error. */
void pq_ssh_op_fail(pq_agent_op *op, const pq_error *err);

/* Reports op->failure from the loop. */
void pq_ssh_op_fail_later(pq_agent_op *op);

/* The node refused what was sent: another method, another node, or the end. */
void pq_ssh_op_refused(pq_agent_op *op, const pq_error *err);

/* ---- agent_send.c ---- */

/* In state SENT: starts the command or the relay's call. */
void pq_ssh_op_send(pq_agent_op *op);

/* ---- agent_call.c ---- */

typedef enum pq_ssh_answer {
    PQ_SSH_ANSWER_DONE,  /* the operation was finished */
    PQ_SSH_ANSWER_AGAIN, /* a READ by qm goes on after a pause */
    PQ_SSH_ANSWER_FAILED /* with *err */
} pq_ssh_answer;

/* What errors of the operation can have done. */
pq_qm_kind pq_ssh_op_effect_kind(const pq_agent_op *op);

/* The operation's next request for qm, as a script; for the relay, as the agent's lines. */
int pq_ssh_op_script(const pq_agent_op *op, pq_buf *out, pq_error *err);
int pq_ssh_op_lines(const pq_agent_op *op, pq_buf *out, pq_error *err);

/* Reads an answer and finishes the operation with it, which may free everything. */
pq_ssh_answer pq_ssh_op_take_qm(pq_agent_op *op, pq_ssh_result *result, pq_error *err);
pq_ssh_answer pq_ssh_op_take_lines(pq_agent_op *op, pq_buf *lines, pq_error *err);
