#include "transport/pve/http_conn.h"

#include <stdlib.h>

#include "transport/base/log.h"

/* How long, and for how large an answer, a connection is worth being drained. */
#define DRAIN_MS 2000
#define DRAIN_BYTES ((size_t)256 * 1024)

/* One read; a TLS record has at most 16 KiB. */
#define RECEIVE_BYTES ((size_t)16 * 1024)

static void set_state(pq_http_conn *conn, pq_conn_state state)
{
    static const char *const names[] = {"connecting", "idle", "busy", "draining"};
    pq_trace("connection", PQ_INT("connection", conn->number), PQ_TEXT("from", names[conn->state]),
             PQ_TEXT("to", names[state]));
    conn->state = state;
}

static void ready(void *context, int events);

static void report(pq_http_conn *conn, pq_conn_event event, const pq_error *err)
{
    pq_http_pool_report(conn->pool, conn, event, err);
}

static void end_unused(void *context)
{
    pq_http_conn *conn = context;
    pq_error err;
    pq_fail(&err, PQ_E_NETWORK, "the connection was idle for too long");
    report(conn, PQ_CONN_ENDED, &err);
}

static void become_idle(pq_http_conn *conn)
{
    set_state(conn, PQ_CONN_IDLE);
    conn->idle_since_us = pq_now_us();
    pq_timer_start(conn->loop, &conn->timer, PQ_HTTP_IDLE_MAX_MS, end_unused, conn);
    pq_stream_watch(conn->stream, PQ_READABLE, ready, conn);
}

static void connected(void *context, const pq_error *err)
{
    pq_http_conn *conn = context;
    if (err != NULL) {
        report(conn, PQ_CONN_ENDED, err);
        return;
    }
    become_idle(conn);
    pq_log(PQ_LOG_INFO, "connected to the API, connection %u", conn->number);
    report(conn, PQ_CONN_READY, NULL);
}

pq_http_conn *pq_http_conn_open(pq_http_pool *pool, pq_loop *loop, const pq_stream_options *options,
                                unsigned number, pq_error *err)
{
    pq_http_conn *conn = calloc(1, sizeof *conn);
    if (conn == NULL) {
        pq_fail(err, PQ_E_NOMEM, "out of memory");
        return NULL;
    }
    conn->pool = pool;
    conn->loop = loop;
    conn->number = number;
    conn->stream = pq_stream_open(loop, options, connected, conn, err);
    if (conn->stream == NULL) {
        free(conn);
        return NULL;
    }
    return conn;
}

void pq_http_conn_free(pq_http_conn *conn)
{
    pq_timer_stop(&conn->timer);
    pq_stream_free(conn->stream);
    pq_http_reader_done(&conn->reader);
    free(conn);
}

bool pq_http_conn_is_sound(pq_http_conn *conn)
{
    char byte;
    size_t length;
    pq_stream_got got;
    pq_error err;
    return pq_stream_recv(conn->stream, &byte, 1, &length, &got, &err) == 0 &&
           got == PQ_STREAM_WAIT;
}

/* ---- sending ---- */

static size_t total_bytes(const pq_http_call *call)
{
    return call->head.length + (call->body_length - call->head_body);
}

bool pq_http_conn_all_sent(const pq_http_conn *conn)
{
    return conn->sent == total_bytes(conn->call);
}

/* Sends until the network takes no more. A failure shows in the watch that follows: the server
 * may have answered before it hung up. */
static void send_some(pq_http_conn *conn)
{
    const pq_http_call *call = conn->call;
    size_t total = total_bytes(call);
    while (conn->sent < total && !conn->send_failed) {
        bool in_head = conn->sent < call->head.length;
        const char *from = in_head
                               ? call->head.data + conn->sent
                               : call->body + call->head_body + (conn->sent - call->head.length);
        size_t length = (in_head ? call->head.length : total) - conn->sent;
        size_t sent = 0;
        pq_error err;
        if (pq_stream_send(conn->stream, from, length, &sent, &err) < 0)
            conn->send_failed = true;
        conn->sent += sent;
        if (sent < length)
            break;
    }
    bool more = conn->sent < total && !conn->send_failed;
    pq_stream_watch(conn->stream, more ? PQ_READABLE | PQ_WRITABLE : PQ_READABLE, ready, conn);
}

void pq_http_conn_begin(pq_http_conn *conn, pq_http_call *call)
{
    size_t limit = call->answer_max;
    pq_timer_stop(&conn->timer);
    set_state(conn, PQ_CONN_BUSY);
    conn->call = call;
    conn->sent = 0;
    conn->send_failed = false;
    conn->requests++;
    pq_http_reader_start(&conn->reader,
                         limit > 0 && limit < PQ_HTTP_ANSWER_MAX ? limit : PQ_HTTP_ANSWER_MAX);
    send_some(conn);
}

/* ---- receiving ---- */

bool pq_http_conn_is_reusable(const pq_http_conn *conn)
{
    return conn->reader.keep_open && !conn->send_failed && conn->requests < PQ_HTTP_REQUESTS_MAX;
}

void pq_http_conn_rest(pq_http_conn *conn)
{
    conn->call = NULL;
    pq_http_reader_done(&conn->reader);
    become_idle(conn);
}

bool pq_http_conn_drain(pq_http_conn *conn)
{
    bool worth_it = pq_http_conn_all_sent(conn) && !conn->send_failed &&
                    conn->reader.body.length + conn->reader.left <= DRAIN_BYTES &&
                    conn->requests < PQ_HTTP_REQUESTS_MAX;
    conn->call = NULL;
    if (!worth_it)
        return false;
    set_state(conn, PQ_CONN_DRAINING);
    conn->reader.body.maximum = DRAIN_BYTES;
    pq_timer_start(conn->loop, &conn->timer, DRAIN_MS, end_unused, conn);
    return true;
}

static void drained(pq_http_conn *conn)
{
    pq_error err;
    if (!conn->reader.keep_open) {
        pq_fail(&err, PQ_E_NETWORK, "the server closes the connection");
        report(conn, PQ_CONN_ENDED, &err);
        return;
    }
    pq_http_reader_done(&conn->reader);
    become_idle(conn);
    report(conn, PQ_CONN_READY, NULL);
}

/* The reader is done: whatever else arrived does not belong here. */
static void answered(pq_http_conn *conn, bool surplus)
{
    if (surplus)
        conn->reader.keep_open = false;
    if (conn->state == PQ_CONN_DRAINING) {
        drained(conn);
        return;
    }
    /* An answer before the request was all sent is a refusal; the rest of the request would be
     * taken for the next one. */
    if (!pq_http_conn_all_sent(conn))
        conn->reader.keep_open = false;
    report(conn, PQ_CONN_ANSWERED, NULL);
}

static void failed(pq_http_conn *conn, const pq_error *err)
{
    report(conn, conn->state == PQ_CONN_BUSY ? PQ_CONN_FAILED : PQ_CONN_ENDED, err);
}

/* The connection is over, cleanly or not. pveproxy's errors have no length and it does not always
 * say goodbye in TLS; a cut-off error text does no harm, a cut-off result would. */
static void ended(pq_http_conn *conn, const pq_error *cause)
{
    pq_error err;
    bool clean = cause == NULL || conn->reader.status >= 400;
    if (clean && pq_http_reader_end(&conn->reader, &err) == 0)
        answered(conn, false);
    else
        failed(conn, cause != NULL ? cause : &err);
}

/* One read. True: call again; otherwise it waits, or has reported and may be gone. */
static bool receive_some(pq_http_conn *conn)
{
    char bytes[RECEIVE_BYTES];
    size_t length = 0, used = 0;
    pq_stream_got got;
    pq_error err;
    if (pq_stream_recv(conn->stream, bytes, sizeof bytes, &length, &got, &err) < 0) {
        ended(conn, &err);
        return false;
    }
    if (got == PQ_STREAM_WAIT)
        return false;
    if (got == PQ_STREAM_END) {
        ended(conn, NULL);
        return false;
    }
    if (pq_http_reader_feed(&conn->reader, bytes, length, &used, &err) < 0) {
        failed(conn, &err);
        return false;
    }
    if (!pq_http_reader_is_done(&conn->reader))
        return true;
    answered(conn, used < length);
    return false;
}

static void ready(void *context, int events)
{
    pq_http_conn *conn = context;
    if (conn->state == PQ_CONN_IDLE) {
        pq_error err;
        if (pq_http_conn_is_sound(conn))
            return;
        pq_fail(&err, PQ_E_NETWORK, "the server closed the connection");
        report(conn, PQ_CONN_ENDED, &err);
        return;
    }
    if ((events & PQ_WRITABLE) != 0 && conn->call != NULL && !pq_http_conn_all_sent(conn))
        send_some(conn);
    if ((events & PQ_READABLE) != 0)
        while (receive_some(conn))
            ;
}
