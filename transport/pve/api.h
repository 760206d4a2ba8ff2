/*
 * One API call: credentials, request, answer, and what a refusal means.   (transport/pve)
 *
 * A call waits for the login if there is none yet, and is sent again once after a 401 for a ticket
 * that expired. It is otherwise sent once, except that the pool repeats idempotent ones whose
 * connection broke.
 *
 * An answer that makes no sense is worth another try (by callers for whom that is safe) if the
 * server gave sensible ones before: then it was garbled on its way, else this is no Proxmox VE.
 */
#pragma once

#include "transport/pve/auth.h"
#include "transport/pve/errors.h"
#include "transport/pve/http_pool.h"

/* What all calls of an endpoint share. */
typedef struct pq_api {
    pq_http_pool *pool;
    pq_auth *auth;
    const char *host; /* for the Host header */
    pq_ms timeout;
    bool proven; /* it has given an answer that is one of a Proxmox VE API */
} pq_api;

/* `data` is the member of that name, valid during the callback; NULL on error. */
typedef void (*pq_api_fn)(void *context, const pq_error *err, pq_refusal refusal,
                          const pq_json *data);

/* Embedded in its owner's struct, all-zero when idle. */
typedef struct pq_api_call {
    /* Set before pq_api_call_start(). */
    pq_api_kind kind;
    const char *method;
    const char *path;  /* encoded, from "/api2/json" on; the caller's until the call ends, as are */
    const char *query; /* encoded, or NULL; */
    const pq_buf *body; /* or NULL; sent as `content_type` */
    const char *content_type;
    bool large; /* the answer may have up to PQ_HTTP_ANSWER_MAX bytes */
    bool gzip;  /* ask for it compressed */

    /* private */
    pq_api *api; /* NULL while idle */
    pq_api_fn done;
    void *context;
    pq_auth_wait wait;
    pq_http_call http;
    unsigned generation; /* of the credentials used */
    bool logged_in_again;
    pq_error failure; /* to start, reported from the loop */
    pq_defer report;
} pq_api_call;

/* `done` runs from the loop, once, unless the call is dropped. */
void pq_api_call_start(pq_api *api, pq_api_call *call, pq_api_fn done, void *context);

/* Forgets the call; idle ones too. */
void pq_api_call_drop(pq_api_call *call);
