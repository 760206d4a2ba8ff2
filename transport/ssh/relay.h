/*
 * The agents' sockets of a node, through a Perl program that runs there (relay.pl, which says what
 * it does to the sockets and how it is spoken to).   (transport/ssh)
 *
 * One channel of the node's session carries the calls of all its VMs. The program is started with
 * the first call and ends with the session. A call counts as sent as soon as it is given to the
 * channel; calls wait here until the program has said that it runs.
 */
#pragma once

#include "transport/ssh/command.h"
#include "transport/ssh/qm.h"

typedef struct pq_relay_call pq_relay_call;

typedef struct pq_relay {
    pq_loop *loop;
    pq_ssh_session *session;
    bool sudo;
    bool asks_first; /* whether sudo allows it, which a refusal would tell the administrator */
    pq_ssh_command *command; /* NULL: does not run */
    bool ready;              /* it has greeted */
    uint64_t last_id;
    pq_relay_call *calls, **calls_end;
    pq_defer serve; /* a call has ended */
} pq_relay;

void pq_relay_init(pq_relay *relay, pq_loop *loop, pq_ssh_session *session, bool sudo);

/* Ends the program; its calls end without a call of `done`. */
void pq_relay_done(pq_relay *relay);

/* `answers` has the agent's answers, one a line, and may be taken; the agent's errors are among
 * them. Errors: those of the session, SUDO and NODE_TOOL if the program cannot be run, and what
 * pq_qm_refused() makes of its reasons. */
typedef void (*pq_relay_fn)(void *context, const pq_error *err, pq_buf *answers);

/* Gives `lines`, which is taken, to the agent of a VM. NULL only without memory. */
pq_relay_call *pq_relay_call_start(pq_relay *relay, int64_t vmid, pq_qm_kind kind, pq_ms timeout,
                                   pq_buf *lines, pq_relay_fn done, void *context);

bool pq_relay_call_was_sent(const pq_relay_call *call);

/* `done` will not run. NULL is fine. */
void pq_relay_call_drop(pq_relay_call *call);

/* ---- pure ---- */

typedef struct pq_relay_answer {
    uint64_t id;
    bool ok;
    bool unknown; /* not ok, and the agent may have been given the call */
    size_t start; /* of the text, in what was received */
    size_t length;
} pq_relay_answer;

/* Reads the answer at the start of what was received. 1: it is whole; 0: more must come; -1:
 * BAD_ANSWER. */
int pq_relay_read(const char *bytes, size_t length, pq_relay_answer *ret, pq_error *err);
