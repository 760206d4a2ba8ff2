#include "transport/pve/http_pool.h"

#include <stdlib.h>
#include <string.h>

#include "transport/base/log.h"
#include "transport/base/secret.h"
#include "transport/pve/http_body.h"
#include "transport/pve/http_conn.h"

/* Attempts to connect again after the first, and the wait before each; it doubles. */
#define RECONNECTS_MAX 3
#define RECONNECT_MS 250

/* The body's beginning goes out together with the head, as one TLS record. */
#define FIRST_SEND_BYTES ((size_t)16 * 1024)

struct pq_http_pool {
    pq_loop *loop;
    const pq_stream_options *options;
    pq_http_conn *conns;
    unsigned opened; /* connections ever, for the trace */
    bool reached;    /* a connection was made once */
    pq_http_call *waiting, **waiting_end;
    unsigned waiting_count;
    pq_defer pump;
    pq_timer backoff;  /* no new connection while it runs */
    unsigned failures; /* to connect, in a row */
    pq_ms round_trip;  /* the shortest of all connections */
    unsigned to_fail;  /* this many waiting calls end with `failure` */
    pq_error failure;
};

static void pump(void *context);

static void arm(pq_http_pool *pool)
{
    pq_defer_start(pool->loop, &pool->pump, pump, pool);
}

static void backoff_over(void *context)
{
    arm(context);
}

pq_http_pool *pq_http_pool_new(pq_loop *loop, const pq_stream_options *options, pq_error *err)
{
    pq_http_pool *pool = calloc(1, sizeof *pool);
    if (pool == NULL) {
        pq_fail(err, PQ_E_NOMEM, "out of memory");
        return NULL;
    }
    pool->loop = loop;
    pool->options = options;
    pool->waiting_end = &pool->waiting;
    return pool;
}

/* ---- connections ---- */

static void remove_conn(pq_http_conn *conn)
{
    *conn->link = conn->next;
    if (conn->next != NULL)
        conn->next->link = conn->link;
    pq_http_conn_free(conn);
}

void pq_http_pool_free(pq_http_pool *pool)
{
    if (pool == NULL)
        return;
    while (pool->conns != NULL)
        remove_conn(pool->conns);
    pq_defer_stop(&pool->pump);
    pq_timer_stop(&pool->backoff);
    free(pool);
}

static int open_conn(pq_http_pool *pool, pq_error *err)
{
    pq_http_conn *conn = pq_http_conn_open(pool, pool->loop, pool->options, ++pool->opened, err);
    if (conn == NULL)
        return -1;
    conn->next = pool->conns;
    conn->link = &pool->conns;
    if (conn->next != NULL)
        conn->next->link = &conn->next;
    pool->conns = conn;
    return 0;
}

static unsigned count_conns(const pq_http_pool *pool, bool only_connecting)
{
    unsigned count = 0;
    for (const pq_http_conn *conn = pool->conns; conn != NULL; conn = conn->next)
        count += !only_connecting || conn->state == PQ_CONN_CONNECTING;
    return count;
}

/* The idle connection that was used last, or NULL. Closed ones are removed on the way. */
static pq_http_conn *take_idle(pq_http_pool *pool, bool must_be_new)
{
    for (;;) {
        pq_http_conn *best = NULL;
        for (pq_http_conn *conn = pool->conns; conn != NULL; conn = conn->next)
            if (conn->state == PQ_CONN_IDLE && (!must_be_new || conn->requests == 0) &&
                (best == NULL || conn->idle_since_us > best->idle_since_us))
                best = conn;
        if (best == NULL || pq_http_conn_is_sound(best))
            return best;
        remove_conn(best);
    }
}

/* ---- calls ---- */

static void add_waiting(pq_http_pool *pool, pq_http_call *call)
{
    call->next = NULL;
    call->link = pool->waiting_end;
    *pool->waiting_end = call;
    pool->waiting_end = &call->next;
    pool->waiting_count++;
}

static void remove_waiting(pq_http_call *call)
{
    *call->link = call->next;
    if (call->next != NULL)
        call->next->link = call->link;
    else
        call->pool->waiting_end = call->link;
    call->link = NULL;
    call->pool->waiting_count--;
}

/* Frees what the call holds. It is idle afterwards and may be started again. */
static void end_call(pq_http_call *call)
{
    pq_timer_stop(&call->timer);
    pq_buf_wipe(&call->head);
    call->pool = NULL;
    call->conn = NULL;
}

static void tell_call(const pq_http_call *call, const pq_error *err, const pq_http_answer *answer)
{
    const pq_http_conn *conn = call->conn;
    pq_trace("call", PQ_TEXT("method", call->method), PQ_TEXT("path", call->path),
             PQ_INT("status", answer != NULL ? answer->status : 0),
             PQ_TEXT("error", err != NULL ? pq_code_name(err->code) : NULL),
             PQ_INT("ms", (pq_now_us() - call->started_us) / 1000),
             PQ_INT("sent", call->body_length),
             PQ_INT("received", answer != NULL ? answer->body.length : 0),
             PQ_INT("connection", conn != NULL ? conn->number : 0),
             PQ_INT("request", conn != NULL ? conn->requests : 0));
    if (answer != NULL)
        pq_log(PQ_LOG_DEBUG, "%s %s: %d after %lld ms", call->method, call->path, answer->status,
               (long long)(pq_now_us() - call->started_us) / 1000);
    else
        pq_log(PQ_LOG_DEBUG, "%s %s: %s", call->method, call->path, err->text);
}

/* Ends a call, and its connection if it has one. */
static void fail_call(pq_http_call *call, const pq_error *err)
{
    pq_http_pool *pool = call->pool;
    pq_http_done done = call->done;
    void *context = call->context;
    tell_call(call, err, NULL);
    if (call->conn != NULL)
        remove_conn(call->conn);
    end_call(call);
    arm(pool);
    done(context, err, NULL);
}

/* Moves the reader's answer, unpacked, into `answer`. */
static int take_answer(pq_http_reader *reader, pq_http_answer *answer, pq_error *err)
{
    answer->status = reader->status;
    memcpy(answer->reason, reader->reason, sizeof answer->reason);
    if (!reader->gzip || reader->body.length == 0) {
        answer->body = reader->body;
        reader->body = (pq_buf){0};
        return 0;
    }
    answer->body.maximum = reader->body.maximum;
    if (pq_gzip_decode(&answer->body, reader->body.data, reader->body.length, err) == 0)
        return 0;
    pq_buf_done(&answer->body);
    return -1;
}

static void deliver(pq_http_pool *pool, pq_http_conn *conn)
{
    pq_http_call *call = conn->call;
    pq_http_done done = call->done;
    void *context = call->context;
    pq_http_answer answer = {0};
    pq_error err;
    if (take_answer(&conn->reader, &answer, &err) < 0) {
        err.effect = PQ_EFFECT_UNKNOWN;
        fail_call(call, &err);
        return;
    }
    tell_call(call, NULL, &answer);
    end_call(call);
    if (pq_http_conn_is_reusable(conn))
        pq_http_conn_rest(conn);
    else
        remove_conn(conn);
    arm(pool);
    done(context, NULL, &answer);
    pq_buf_done(&answer.body);
}

/* The connection of a call ended without an answer. */
static void lost(pq_http_pool *pool, pq_http_conn *conn, const pq_error *cause)
{
    pq_http_call *call = conn->call;
    bool broken = cause->code == PQ_E_NETWORK;
    if (broken && !call->resent && (call->idempotent || conn->sent == 0)) {
        pq_timer_stop(&call->timer);
        call->conn = NULL;
        call->resent = call->wants_new = true;
        remove_conn(conn);
        add_waiting(pool, call);
        arm(pool);
        return;
    }
    pq_error err = *cause;
    err.effect = pq_http_conn_all_sent(conn) ? PQ_EFFECT_UNKNOWN : PQ_EFFECT_NONE;
    err.retryable = broken;
    fail_call(call, &err);
}

static void timed_out(void *context)
{
    pq_http_call *call = context;
    bool all_sent = pq_http_conn_all_sent(call->conn);
    pq_error err;
    pq_fail_effect(&err, PQ_E_TIMEOUT, all_sent ? PQ_EFFECT_UNKNOWN : PQ_EFFECT_NONE, true,
                   "the server did not answer within %lld ms", (long long)call->timeout);
    fail_call(call, &err);
}

/* ---- the queue ---- */

static void begin(pq_http_conn *conn, pq_http_call *call)
{
    remove_waiting(call);
    call->conn = conn;
    call->started_us = pq_now_us();
    pq_timer_start(call->pool->loop, &call->timer, call->timeout, timed_out, call);
    pq_http_conn_begin(conn, call);
}

static void fail_waiting(pq_http_pool *pool, unsigned count, const pq_error *err)
{
    pool->to_fail = count;
    pool->failure = *err;
    arm(pool);
}

static void open_more(pq_http_pool *pool)
{
    pq_error err;
    while (count_conns(pool, true) < pool->waiting_count &&
           count_conns(pool, false) < PQ_HTTP_CONNECTIONS_MAX &&
           !pq_timer_is_running(&pool->backoff)) {
        if (open_conn(pool, &err) < 0) {
            fail_waiting(pool, pool->waiting_count, &err);
            return;
        }
    }
}

static void pump(void *context)
{
    pq_http_pool *pool = context;
    if (pool->to_fail > 0 && pool->waiting != NULL) {
        pq_http_call *call = pool->waiting;
        pool->to_fail--;
        remove_waiting(call);
        pq_error err = pool->failure;
        fail_call(call, &err);
        return;
    }
    pool->to_fail = 0;
    for (pq_http_call *call = pool->waiting, *next; call != NULL; call = next) {
        next = call->next;
        pq_http_conn *conn = take_idle(pool, call->wants_new);
        if (conn != NULL)
            begin(conn, call);
    }
    open_more(pool);
}

static void connecting_failed(pq_http_pool *pool, const pq_error *err)
{
    unsigned attempts = count_conns(pool, true);
    if (pool->waiting_count <= attempts)
        return;
    if (!err->retryable || !pool->reached || pool->failures >= RECONNECTS_MAX) {
        pool->failures = 0;
        fail_waiting(pool, pool->waiting_count - attempts, err);
    } else if (!pq_timer_is_running(&pool->backoff)) {
        pq_timer_start(pool->loop, &pool->backoff, RECONNECT_MS << pool->failures, backoff_over,
                       pool);
        pool->failures++;
    }
}

static void learn_round_trip(pq_http_pool *pool, pq_ms round_trip)
{
    if (pool->round_trip == 0 || (round_trip > 0 && round_trip < pool->round_trip))
        pool->round_trip = round_trip;
}

pq_ms pq_http_pool_round_trip(const pq_http_pool *pool)
{
    return pool->round_trip;
}

void pq_http_pool_report(pq_http_pool *pool, pq_http_conn *conn, pq_conn_event event,
                         const pq_error *err)
{
    switch (event) {
    case PQ_CONN_READY:
        learn_round_trip(pool, pq_stream_round_trip(conn->stream));
        pool->reached = true;
        pool->failures = 0;
        arm(pool);
        break;
    case PQ_CONN_ENDED: {
        bool was_connecting = conn->state == PQ_CONN_CONNECTING;
        pq_error cause = *err;
        remove_conn(conn);
        if (was_connecting)
            connecting_failed(pool, &cause);
        arm(pool);
        break;
    }
    case PQ_CONN_ANSWERED:
        deliver(pool, conn);
        break;
    case PQ_CONN_FAILED:
        lost(pool, conn, err);
        break;
    }
}

/* ---- calls from outside ---- */

/* Copies the body's beginning behind the head. Without memory it goes separately. */
static void join_head_and_body(pq_http_call *call)
{
    size_t space = call->head.length < FIRST_SEND_BYTES ? FIRST_SEND_BYTES - call->head.length : 0;
    size_t length = call->body_length < space ? call->body_length : space;
    pq_error err;
    call->head_body = 0;
    if (length > 0 && pq_buf_add(&call->head, call->body, length, &err) == 0)
        call->head_body = length;
}

void pq_http_call_start(pq_http_pool *pool, pq_http_call *call, pq_http_done done, void *context)
{
    call->pool = pool;
    call->done = done;
    call->context = context;
    call->conn = NULL;
    call->resent = call->wants_new = false;
    call->started_us = pq_now_us();
    join_head_and_body(call);
    add_waiting(pool, call);
    arm(pool);
}

bool pq_http_call_was_sent(const pq_http_call *call)
{
    return call->conn != NULL && pq_http_conn_all_sent(call->conn);
}

void pq_http_call_drop(pq_http_call *call)
{
    pq_http_pool *pool = call->pool;
    if (pool == NULL) {
        pq_buf_wipe(&call->head);
        return;
    }
    if (call->conn == NULL)
        remove_waiting(call);
    else if (!pq_http_conn_drain(call->conn))
        remove_conn(call->conn);
    arm(pool);
    end_call(call);
}
