/*
 * What a refusal by the API means.   (transport/pve; pure)
 *
 * PVE puts its error text in the status line and, from PVE 8.x on, also in the body's `message`,
 * with the texts of bad parameters in `errors`. Texts are matched as qemu-server, pve-http-server
 * and qemu-ga write them; what is not known keeps its text and says that the effect is unknown.
 */
#pragma once

#include "transport/base/error.h"
#include "transport/base/json.h"

typedef enum pq_api_kind {
    PQ_API_EXEC,   /* POST agent/exec: may run something */
    PQ_API_STATUS, /* GET agent/exec-status: may use up the result */
    PQ_API_READ,   /* GET agent/file-read */
    PQ_API_PING,   /* POST agent/ping */
    PQ_API_QUERY,  /* GET agent/get-osinfo and others that tell of the guest */
    PQ_API_LOOKUP, /* reading the cluster's state */
    PQ_API_LOGIN   /* POST access/ticket */
} pq_api_kind;

/* What the caller can do about it beyond reporting the error. */
typedef enum pq_refusal {
    PQ_REFUSAL_FINAL = 0,
    PQ_REFUSAL_LOGIN, /* 401: the credentials were not accepted */
    PQ_REFUSAL_PLACE, /* no such VM on that node, or no such node */
    PQ_REFUSAL_BODY,  /* the body is too large */
    PQ_REFUSAL_JSON,  /* the daemon does not read JSON bodies */
    PQ_REFUSAL_RANGES /* file-read does not know offset, count and decode */
} pq_refusal;

/* Fills *err for an answer with a status that is not 2xx. `reason` is from the status line; `body`
 * is the parsed body or NULL. */
pq_refusal pq_api_refused(pq_api_kind kind, int status, const char *reason, const pq_json *body,
                          pq_error *err);

/* The effect that a call of this kind may have had if its outcome is not known. */
pq_effect pq_api_possible_effect(pq_api_kind kind);
