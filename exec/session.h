/*
 * What a process keeps about one guest.   (exec: may use transport)
 *
 * A session owns one private directory in the guest, <remote_tmp>/.pve-qga-run-<128 random bits>,
 * mode 0700, made by the first script that needs it. Jobs and transfers keep their files there;
 * transfers in a second directory of the same name with ".files" behind it, because a job that is
 * sent again must not mistake a directory made after a reboot for the one it lost.
 * pq_session_close() removes both, and directories of sessions that died more than a day ago.
 *
 * The files of ended jobs are removed by the next job's launcher, those of fetches by the next
 * fetch, so that this costs no call.
 */
#pragma once

#include <stdbool.h>

#include "exec/expect.h"
#include "exec/pace.h"
#include "exec/poll.h"
#include "exec/script.h"
#include "transport/agent.h"

typedef struct pq_session pq_session;
typedef struct pq_call pq_call;

typedef struct pq_session_options {
    const char *remote_tmp; /* absolute ASCII path of a directory in the guest */
    pq_ms connect_timeout;  /* how long to go on while the agent does not answer */
    bool no_overlap;        /* never send a ping along with a command, see overlap.h */
} pq_session_options;

/* Borrows the agent, which must outlive the session. Asks nothing of the guest. Fails with
 * CONFIG for a bad remote_tmp, or NOMEM. */
pq_session *pq_session_new(pq_agent *agent, const pq_session_options *options, pq_error *err);

typedef void (*pq_session_closed_fn)(void *context, const pq_error *err);

/* Removes what the session left in the guest, if anything; all jobs and transfers have ended. Where
 * a launcher may still come late (limits->late_call) the claims of the commands stay that long, so
 * that none runs again; the guest removes them then by itself, so the session is not to be used
 * again. `done` runs from the loop. Errors: REMOTE_TMP when something stayed, or those of a call.
 */
void pq_session_close(pq_session *session, pq_session_closed_fn done, void *context);

/* Drops what is in flight without asking the guest. */
void pq_session_free(pq_session *session);

/* ---- for jobs and transfers ---- */

pq_agent *pq_session_agent(const pq_session *session);
pq_loop *pq_session_loop(const pq_session *session);
const pq_agent_limits *pq_session_limits(const pq_session *session);
pq_ms pq_session_connect_timeout(const pq_session *session);

/* For what is worth more patience than the beginning was. */
void pq_session_set_connect_timeout(pq_session *session, pq_ms connect_timeout);

/* The directories' paths; they may not exist yet. */
const char *pq_session_dir(const pq_session *session);
const char *pq_session_files_dir(const pq_session *session);
const char *pq_session_remote_tmp(const pq_session *session);

/* The server has answered for this VM at least once. */
void pq_session_reached(pq_session *session);
bool pq_session_was_reached(const pq_session *session);

/* Head of the list of dropped calls; kept by call.c. */
pq_call **pq_session_dropped_calls(pq_session *session);

/* The last of them has ended. */
void pq_session_no_dropped_calls(pq_session *session);

/* What is known of how long short scripts take in this guest. */
pq_poll_first *pq_session_first_poll(pq_session *session);

/* What is known of how long commands take in this guest. */
pq_expect *pq_session_expect(pq_session *session);

/* Pings that go along with the calls of this session. */
struct pq_overlap *pq_session_overlap(pq_session *session);

/* How pieces of files are read. */
pq_pace *pq_session_read_pace(pq_session *session);

/* How many pieces of files are sent at a time; how large they are is not its matter. */
pq_pace *pq_session_write_pace(pq_session *session);

/* A number for the next job or transfer, unique in this session. */
unsigned pq_session_next_number(pq_session *session);

/* A script that makes one of the directories may have run, so close has work to do. */
void pq_session_used_guest(pq_session *session);

/* The answer to a launcher's exec was given up at `when`, so that it may come late; see
 * pq_session_close(). */
void pq_session_lost_launcher(pq_session *session, pq_ms when);

/* Files of ended jobs that take as much go with the next job's launcher, whatever their number. */
#define PQ_SESSION_BATCH_BYTES ((uint64_t)1024 * 1024)

/* Job `number` has ended and its files, of about so many bytes, can go. */
void pq_session_job_ended(pq_session *session, unsigned number, uint64_t bytes);

/* Appends the ended jobs for a launcher's DONE argument and forgets them; "-" while there are few,
 * whose files are small. */
int pq_session_take_ended(pq_session *session, pq_buf *out, pq_error *err);

/* The same for the files of a transfer, which go with the next one's first script. */
void pq_session_transfer_ended(pq_session *session, unsigned number);
int pq_session_take_ended_transfers(pq_session *session, pq_buf *out, pq_error *err);

/* ---- what is known of the guest, told by the first job ---- */

/* Launcher flags beyond a job's own: "p" while nothing is known, else those the guest takes. */
const char *pq_session_launch_flags(const pq_session *session);

/* Takes the facts in a launcher's trailer, if there are any. */
void pq_session_learn(pq_session *session, const pq_trailer *trailer);

/* The guest has no tool to decode base64: what is sent from now on goes escaped. */
void pq_session_set_no_decoder(pq_session *session);
bool pq_session_lacks_decoder(const pq_session *session);

/* The guest has no tool to unpack gzip: nothing goes packed from now on. */
void pq_session_set_no_unpacker(pq_session *session);
bool pq_session_lacks_unpacker(const pq_session *session);

/* Says that remote_tmp cannot be written: later jobs run without a directory. */
void pq_session_set_plain(pq_session *session);
bool pq_session_is_plain(const pq_session *session);
