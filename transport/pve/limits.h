/*
 * What a node's daemons take in one call; learned from refusals.   (transport/pve; pure)
 *
 * The API does not tell the versions of its daemons (GET /version has the release only), so the
 * newest is assumed first. A refusal changes nothing in the guest and teaches:
 *
 *   501 for data too large, 413    bodies of 64 KiB (pve-http-server before 5.2.1), or less
 *   400 about a JSON exec body     forms (before pve-http-server 5.0.1)
 *   400 about offset and count     whole files only (qemu-server before 9.1.5)
 *
 * How pq_agent_limits follow from that:
 *
 *   args_bytes   a call without input fits if the lengths of its arguments as JSON strings without
 *                the quotes sum to this: printable ASCII counts 1, '"' and '\' and line breaks 2,
 *                other control characters 6. PQ_LIMITS_OVERHEAD of the body is kept for what goes
 *                around them, enough for 680 arguments. `input` takes from the same space: 1 for
 *                printable ASCII, 2 for bytes from 0x80 on, 6 for most control characters.
 *   input_bytes  fits with arguments of PQ_LIMITS_OVERHEAD, whatever the bytes are.
 *
 * With forms every character but letters, digits and "-._~" takes three bytes: args_bytes leaves
 * room for base64 of usual data (1 in 32 is '+' or '/'). A call that does not fit ends with
 * TOO_LARGE, and from then on args_bytes is what always fits.
 */
#pragma once

#include "transport/agent.h"

#define PQ_LIMITS_BODY_NEW ((size_t)512 * 1024)
#define PQ_LIMITS_BODY_OLD ((size_t)64 * 1024)
#define PQ_LIMITS_BODY_MIN ((size_t)8 * 1024)
#define PQ_LIMITS_OVERHEAD ((size_t)2 * 1024)

typedef struct pq_limits {
    size_t body_bytes; /* of a request */
    bool large_taken;  /* a body over PQ_LIMITS_BODY_OLD was taken */
    bool forms;        /* JSON bodies are not read */
    bool forms_tight;  /* a form did not fit that was planned by args_bytes */
    bool whole_files;  /* file-read has no offset and count */
} pq_limits;

void pq_limits_init(pq_limits *limits);

/* The server refused a body of `length` bytes. True if the limits are smaller now. */
bool pq_limits_refused(pq_limits *limits, size_t length);

/* The server took a body of `length` bytes. */
void pq_limits_taken(pq_limits *limits, size_t length);

/* The server does not read JSON bodies; such servers take PQ_LIMITS_BODY_OLD at most. */
void pq_limits_forms_only(pq_limits *limits);

/* A form that was planned by args_bytes does not fit. */
void pq_limits_form_too_large(pq_limits *limits);

/* The limits as callers see them, with `parallel` calls at a time. */
void pq_limits_report(const pq_limits *limits, unsigned parallel, pq_agent_limits *out);
