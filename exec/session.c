#include "exec/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exec/call.h"
#include "exec/guest_scripts.h"
#include "exec/overlap.h"
#include "transport/base/digest.h"

#define TOKEN_BYTES 16

/* Pieces of files that are read: the best sizes seen lie well within these. */
#define READ_SMALLEST ((size_t)64 * 1024)
#define READ_LARGEST ((size_t)512 * 1024)
#define READ_START ((size_t)96 * 1024)
#define READS_IN_FLIGHT 3

#define WRITES_IN_FLIGHT 3

/* Scripts of calls that were dropped might make a directory again while it is being removed; they
 * take a moment. A launcher that was left alone with its command may take for ever. */
#define DROPPED_PATIENCE_MS 2000

/* Ended jobs, or transfers, whose files one script removes; the argument stays short. */
#define ENDED_MAX 64

/* A slow guest needs 35 ms to start the process that removes files, so it removes those of several
 * jobs at once, as long as they take less than PQ_SESSION_BATCH_BYTES. */
#define ENDED_JOBS_BATCH 8

/* Longest remote_tmp: with names of ours behind it a path stays below 1024 bytes, the smallest
 * PATH_MAX of the systems we know. */
#define REMOTE_TMP_MAX 900

/* Numbers of what has ended and whose files can go. */
typedef struct ended_list {
    unsigned numbers[ENDED_MAX];
    size_t count;
    uint64_t bytes; /* of the guest's disk */
} ended_list;

struct pq_session {
    pq_agent *agent;
    pq_ms connect_timeout;
    char *remote_tmp;
    char *dir;
    char *files_dir;
    pq_poll_first first_poll;
    pq_expect expect;
    pq_pace read_pace, write_pace;
    pq_overlap overlap;
    unsigned last_number;
    ended_list ended_jobs, ended_transfers;
    pq_ms launcher_lost; /* when the last answer to a launcher's exec was; 0: none */
    bool dirty;          /* a directory may exist in the guest */
    bool reached;
    bool no_decoder;
    bool no_unpacker;
    bool plain;
    bool learned;
    bool resets_signals; /* env(1) knows --default-signal */
    pq_call *dropped;
    pq_timer patience; /* while closing: for dropped calls */
    pq_call *closing;
    pq_defer deferred;
    pq_session_closed_fn closed;
    void *closed_context;
};

static int check_remote_tmp(const char *path, pq_error *err)
{
    if (path[0] != '/' || strlen(path) > REMOTE_TMP_MAX)
        return pq_fail(err, PQ_E_CONFIG,
                       "remote_tmp '%.200s' is not an absolute path of at most %d bytes", path,
                       REMOTE_TMP_MAX);
    for (const char *c = path; *c != '\0'; c++) {
        if (*c < 0x20 || *c > 0x7E)
            return pq_fail(err, PQ_E_CONFIG,
                           "remote_tmp holds a character that is not printable ASCII");
    }
    return 0;
}

static int make_paths(pq_session *session, const char *remote_tmp, pq_error *err)
{
    char token[2 * TOKEN_BYTES + 1];
    if (pq_random_hex(token, TOKEN_BYTES, err) < 0)
        return -1;
    size_t length = strlen(remote_tmp);
    while (length > 1 && remote_tmp[length - 1] == '/')
        length--;
    session->remote_tmp = strndup(remote_tmp, length);
    const char *slash = length == 1 ? "" : "/";
    if (session->remote_tmp == NULL ||
        asprintf(&session->dir, "%s%s.pve-qga-run-%s", session->remote_tmp, slash, token) < 0 ||
        asprintf(&session->files_dir, "%s.files", session->dir) < 0)
        return pq_fail(err, PQ_E_NOMEM, "out of memory");
    return 0;
}

pq_session *pq_session_new(pq_agent *agent, const pq_session_options *options, pq_error *err)
{
    if (check_remote_tmp(options->remote_tmp, err) < 0)
        return NULL;
    pq_session *session = calloc(1, sizeof *session);
    if (session == NULL) {
        pq_fail(err, PQ_E_NOMEM, "out of memory");
        return NULL;
    }
    session->agent = agent;
    session->connect_timeout = options->connect_timeout;
    session->first_poll = PQ_POLL_FIRST_START;
    pq_pace_init(&session->read_pace, READ_SMALLEST, READ_LARGEST, READ_START, READS_IN_FLIGHT);
    pq_pace_init(&session->write_pace, 1, 1, 1, WRITES_IN_FLIGHT);
    pq_overlap_init(&session->overlap, agent, !options->no_overlap);
    if (make_paths(session, options->remote_tmp, err) < 0) {
        pq_session_free(session);
        return NULL;
    }
    return session;
}

void pq_session_free(pq_session *session)
{
    if (session == NULL)
        return;
    pq_call_drop(session->closing);
    pq_timer_stop(&session->patience);
    pq_call_forget_dropped(session);
    pq_overlap_done(&session->overlap);
    pq_defer_stop(&session->deferred);
    free(session->files_dir);
    free(session->dir);
    free(session->remote_tmp);
    free(session);
}

pq_agent *pq_session_agent(const pq_session *session)
{
    return session->agent;
}

pq_loop *pq_session_loop(const pq_session *session)
{
    return pq_agent_loop(session->agent);
}

const pq_agent_limits *pq_session_limits(const pq_session *session)
{
    return pq_agent_get_limits(session->agent);
}

void pq_session_set_connect_timeout(pq_session *session, pq_ms connect_timeout)
{
    session->connect_timeout = connect_timeout;
}

pq_ms pq_session_connect_timeout(const pq_session *session)
{
    return session->connect_timeout;
}

const char *pq_session_dir(const pq_session *session)
{
    return session->dir;
}

const char *pq_session_files_dir(const pq_session *session)
{
    return session->files_dir;
}

const char *pq_session_remote_tmp(const pq_session *session)
{
    return session->remote_tmp;
}

pq_call **pq_session_dropped_calls(pq_session *session)
{
    return &session->dropped;
}

void pq_session_reached(pq_session *session)
{
    session->reached = true;
}

bool pq_session_was_reached(const pq_session *session)
{
    return session->reached;
}

pq_poll_first *pq_session_first_poll(pq_session *session)
{
    return &session->first_poll;
}

pq_expect *pq_session_expect(pq_session *session)
{
    return &session->expect;
}

pq_overlap *pq_session_overlap(pq_session *session)
{
    return &session->overlap;
}

pq_pace *pq_session_read_pace(pq_session *session)
{
    return &session->read_pace;
}

pq_pace *pq_session_write_pace(pq_session *session)
{
    return &session->write_pace;
}

unsigned pq_session_next_number(pq_session *session)
{
    return ++session->last_number;
}

void pq_session_used_guest(pq_session *session)
{
    session->dirty = true;
}

void pq_session_lost_launcher(pq_session *session, pq_ms when)
{
    if (when > session->launcher_lost)
        session->launcher_lost = when;
}

static void add_ended(ended_list *list, unsigned number, uint64_t bytes)
{
    list->bytes += bytes;
    /* What does not fit stays until the close. */
    if (list->count < ENDED_MAX)
        list->numbers[list->count++] = number;
}

static int take_ended(ended_list *list, pq_buf *out, pq_error *err)
{
    if (list->count == 0)
        return pq_buf_add_byte(out, '-', err);
    for (size_t i = 0; i < list->count; i++) {
        if (pq_buf_printf(out, err, i == 0 ? "%u" : " %u", list->numbers[i]) < 0)
            return -1;
    }
    list->count = 0;
    list->bytes = 0;
    return 0;
}

void pq_session_job_ended(pq_session *session, unsigned number, uint64_t bytes)
{
    add_ended(&session->ended_jobs, number, bytes);
}

int pq_session_take_ended(pq_session *session, pq_buf *out, pq_error *err)
{
    const ended_list *ended = &session->ended_jobs;
    if (ended->count < ENDED_JOBS_BATCH && ended->bytes < PQ_SESSION_BATCH_BYTES)
        return pq_buf_add_byte(out, '-', err);
    return take_ended(&session->ended_jobs, out, err);
}

void pq_session_transfer_ended(pq_session *session, unsigned number)
{
    add_ended(&session->ended_transfers, number, 0);
}

int pq_session_take_ended_transfers(pq_session *session, pq_buf *out, pq_error *err)
{
    return take_ended(&session->ended_transfers, out, err);
}

const char *pq_session_launch_flags(const pq_session *session)
{
    if (!session->learned)
        return "p";
    return session->resets_signals ? "d" : "";
}

void pq_session_learn(pq_session *session, const pq_trailer *trailer)
{
    char flags[16];
    if (session->learned || !pq_trailer_value(trailer, "flags", flags, sizeof flags))
        return;
    session->learned = true;
    session->resets_signals = strchr(flags, 'd') != NULL;
}

void pq_session_set_no_decoder(pq_session *session)
{
    session->no_decoder = true;
}

bool pq_session_lacks_decoder(const pq_session *session)
{
    return session->no_decoder;
}

void pq_session_set_no_unpacker(pq_session *session)
{
    session->no_unpacker = true;
}

bool pq_session_lacks_unpacker(const pq_session *session)
{
    return session->no_unpacker;
}

void pq_session_set_plain(pq_session *session)
{
    session->plain = true;
}

bool pq_session_is_plain(const pq_session *session)
{
    return session->plain;
}

static void report_closed(pq_session *session, const pq_error *err)
{
    pq_session_closed_fn closed = session->closed;
    session->closed = NULL;
    closed(session->closed_context, err);
}

static void on_clean(void *context)
{
    report_closed(context, NULL);
}

static void on_closed(void *context, const pq_error *err, pq_call_result *result)
{
    pq_session *session = context;
    pq_error failure;
    session->closing = NULL;
    if (err != NULL) {
        failure = *err;
        pq_error_prefix(&failure, "'%s' may be left in the guest: ", session->dir);
        report_closed(session, &failure);
    } else if (strcmp(result->trailer.state, "ok") != 0) {
        pq_fail(&failure, PQ_E_REMOTE_TMP, "'%s' could not be removed from the guest",
                session->dir);
        report_closed(session, &failure);
    } else {
        session->dirty = false;
        report_closed(session, NULL);
    }
}

/* Seconds for which claims stay. */
static pq_ms keep_claims(const pq_session *session)
{
    pq_ms late = pq_session_limits(session)->late_call;
    pq_ms since = pq_now() - session->launcher_lost;
    return session->launcher_lost != 0 && since < late ? (late - since) / 1000 + 1 : 0;
}

static void start_close(void *context)
{
    pq_session *session = context;
    pq_error err;
    pq_script script = {0};
    pq_timer_stop(&session->patience);
    if (!session->dirty) {
        on_clean(session);
        return;
    }
    if (pq_script_begin(&script, pq_guest_common, pq_guest_close, &err) == 0 &&
        pq_script_add(&script, session->dir, &err) == 0 &&
        pq_script_addf(&script, &err, "%lld", (long long)keep_claims(session)) == 0)
        session->closing =
            pq_call_start(session, &script, &PQ_CALL_DEFAULTS, on_closed, session, &err);
    pq_script_done(&script);
    if (session->closing == NULL) {
        pq_error_prefix(&err, "'%s' is left in the guest: ", session->dir);
        report_closed(session, &err);
    }
}

void pq_session_close(pq_session *session, pq_session_closed_fn done, void *context)
{
    session->closed = done;
    session->closed_context = context;
    session->ended_jobs.count = session->ended_transfers.count = 0;
    if (session->dropped != NULL)
        pq_timer_start(pq_session_loop(session), &session->patience, DROPPED_PATIENCE_MS,
                       start_close, session);
    else
        pq_defer_start(pq_session_loop(session), &session->deferred, start_close, session);
}

void pq_session_no_dropped_calls(pq_session *session)
{
    if (pq_timer_is_running(&session->patience))
        pq_defer_start(pq_session_loop(session), &session->deferred, start_close, session);
}
