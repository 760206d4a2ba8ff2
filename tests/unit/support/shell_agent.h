/*
 * A guest agent that is this machine: it runs what it is asked to, so that our guest scripts meet
 * real shells and real files.   (tests)
 *
 * Like qemu-ga it forgets a process once it has told that it ended, and a process has ended when
 * nobody holds its output any more. Answers come from the loop. Rules say what goes wrong: the
 * first that matches a call decides about it. What breaks the contract of agent.h fails the test.
 */
#pragma once

#include "transport/agent.h"

typedef enum shell_call {
    SHELL_EXEC,
    SHELL_STATUS,
    SHELL_READ,
    SHELL_PING,
    SHELL_CALLS
} shell_call;

typedef enum shell_fault {
    SHELL_FINE,
    SHELL_REFUSE, /* nothing is done, `code` is the answer: effect none */
    SHELL_LOSE,   /* it is done, `code` is the answer: effect unknown */
    SHELL_FORGET, /* the process goes on, the agent does not know it any more */
    SHELL_SILENT, /* nothing is done, no answer ever comes */
    SHELL_TWICE,  /* exec: it is done twice, the answer is the second's */
    SHELL_KILL,   /* exec: the shell is killed as soon as it was started */
    SHELL_END     /* status: the process has ended with `answer` as its output */
} shell_fault;

typedef struct shell_rule {
    shell_call call;
    const char *part; /* a text in the script, its arguments or the path; NULL: any call */
    unsigned skip;    /* matching calls that pass before */
    unsigned times;   /* calls that it decides about; 0: all */
    shell_fault fault;
    pq_code code;
    bool final; /* the error is not retryable */
    const char *answer;
    pq_ms delay;                  /* of the answer */
    void (*event)(void *context); /* called before the answer */
    void *context;
} shell_rule;

typedef struct shell_agent {
    pq_agent agent;
    pq_loop *loop;
    pq_agent_limits limits;
    const char *path;    /* PATH of what is run */
    size_t refuse_bytes; /* bodies above this are TOO_LARGE, and limits.args_bytes shrinks to it */
    bool refuse_offsets; /* file_read with an offset is UNSUPPORTED */
    unsigned calls[SHELL_CALLS];
    size_t largest_body;
    shell_rule rules[16];
    unsigned matched[16];
    struct pq_agent_op *ops;
    struct shell_process *processes;
    int64_t last_pid;
    struct shell_seen *seen;
} shell_agent;

shell_agent *shell_agent_new(pq_loop *loop);

/* Ends by pq_agent_free(). */

void shell_agent_rule(shell_agent *agent, shell_rule rule);

/* How many calls of a kind had a text in them. */
unsigned shell_agent_count(const shell_agent *agent, shell_call call, const char *part);

/* As a restart of qemu-ga by systemd: kills what it has started and all that came of it, and
 * forgets it. */
void shell_agent_restart(shell_agent *agent);

/* Processes that came of it and still run. */
unsigned shell_agent_running(void);
