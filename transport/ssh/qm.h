/*
 * `qm` on a node: what is run there, and what its answers mean.   (transport/ssh; pure)
 *
 * The command line of an SSH channel goes to the user's shell as one argument, which Linux limits
 * to 128 KiB, and libssh2 to one packet of 35000 bytes. So the line is a short and constant one
 * that reads a script of a given length from its stdin, and runs it only if all of it has come: a
 * connection that breaks leaves nothing half done. Before the script runs, PQ_QM_MARK is written
 * to stdout and stderr, so that what a login shell prints is not taken for an answer, and an answer
 * without it says that nothing was run.
 *
 * The command's stdin travels in the script, too, as base64, and gets to `qm` through a pipe.
 *
 * Texts of errors are as qemu-server (PVE::CLI::qm, PVE::QemuServer::Agent, PVE::QMPClient),
 * sudo, dash and bash write them.
 */
#pragma once

#include "transport/agent.h"

#define PQ_QM_MARK "pve-qga-run: started"

#define PQ_QM_MORE "pve-qga-run: nodes"
#define PQ_QM_NODE "pve-qga-run: node "

/* Longest line that pq_qm_line() makes. */
#define PQ_QM_LINE_MAX 256

#define PQ_QM_WAIT_S 15

/* PVE's own limit for --pass-stdin. */
#define PQ_QM_INPUT_MAX ((size_t)1024 * 1024)

typedef enum pq_qm_kind {
    PQ_QM_EXEC,   /* may run something in the guest */
    PQ_QM_STATUS, /* may use up a result */
    PQ_QM_ASK     /* changes nothing */
} pq_qm_kind;

/* The line for a script of `length` bytes. */
void pq_qm_line(char out[PQ_QM_LINE_MAX], size_t length);

/* The scripts. `sudo`: the user is not root. Fail with INTERNAL for arguments that are not ASCII,
 * TOO_LARGE, NOMEM. */
int pq_qm_exec_script(pq_buf *out, int64_t vmid, const pq_exec_request *request, bool sudo,
                      pq_error *err);
/* The same, and qm waits for the process' end for PQ_QM_WAIT_S, asking once a second: the answer is
 * its status, or its pid if it has not ended. */
int pq_qm_run_script(pq_buf *out, int64_t vmid, const pq_exec_request *request, bool sudo,
                     pq_error *err);
int pq_qm_status_script(pq_buf *out, int64_t vmid, int64_t pid, bool sudo, pq_error *err);
int pq_qm_query_script(pq_buf *out, int64_t vmid, const char *name, bool sudo, pq_error *err);

/* Lists the cluster's guests and, behind a line with PQ_QM_MORE, its nodes. A line on stderr has
 * PQ_QM_NODE and the node's own name. */
int pq_qm_list_script(pq_buf *out, bool sudo, pq_error *err);

/* Text as one word for a POSIX shell, in single quotes. */
int pq_qm_quote(pq_buf *out, const char *text, pq_error *err);

/* ---- answers ---- */

/* Finds the JSON behind the mark in what came from stdout, `status` being the exit status and
 * `err_text` what came from stderr; *ret is NULL if there is none, as for a ping. Fails as
 * pq_qm_refused(), or with BAD_ANSWER, SUDO, NODE_TOOL, TOO_LARGE. */
int pq_qm_answer(pq_qm_kind kind, int status, pq_buf *out, const pq_buf *err_text, pq_json **ret,
                 pq_error *err);

/* {"pid":N}, and the status object with output as one character per byte. */
int pq_qm_read_pid(const pq_json *answer, int64_t *ret_pid, pq_error *err);
int pq_qm_read_status(const pq_json *answer, pq_exec_status *status, pq_error *err);

/* Whether a line on stderr is of the shell or of sudo and says that nothing was run; fills *err
 * then: SUDO, NODE_TOOL, TOO_LARGE. */
bool pq_qm_surroundings(const char *line, pq_error *err);

/* What a refusal in one line means, of qm, or of the guest's agent behind "Agent error: ". False if
 * the text is not known; *err has it all the same then, with the effect that the kind may have.
 * VM_UNKNOWN: it is not on this node. */
bool pq_qm_refused(pq_qm_kind kind, const char *text, pq_error *err);
