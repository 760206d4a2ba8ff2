/*
 * What is sent to the API: heads, paths and bodies.   (transport/pve; pure, no I/O)
 *
 * Bodies are JSON. Daemons before pve-http-server 5.0.1 (2023-06) read forms only; a body that such
 * a daemon refused is turned into a form with pq_request_form().
 */
#pragma once

#include "transport/agent.h"

/* pveproxy reads at most 8 KiB of headers, the request line included. */
#define PQ_REQUEST_HEAD_MAX ((size_t)8 * 1024)

/* PVE's limit for input-data, in characters; each stands for one byte. */
#define PQ_REQUEST_INPUT_MAX ((size_t)64 * 1024)

/* Body of POST .../agent/exec. Arguments are ASCII without exception: pvedaemon counts characters
 * where it should count bytes, which cuts the message to the agent short and hangs its channel.
 * *ret_args is what pq_agent_limits counts as args_bytes (transport/pve/limits.h).
 * Fails with INTERNAL (not ASCII, no program), TOO_LARGE (input), NOMEM. */
int pq_request_exec(pq_buf *body, const pq_exec_request *request, size_t *ret_args, pq_error *err);

/* The same as a form, from such a JSON body, which is changed. Fields `command` repeat, as every
 * daemon takes them, unless an argument is empty or the only one: old daemons would drop or split
 * it, so those are sent as one field, joined by NUL. What a form cannot carry, an empty last
 * argument, fails with UNSUPPORTED. */
int pq_request_form(pq_buf *form, pq_buf *json, pq_error *err);

/* Appends "name=value" with the value percent-encoded, "&" in front unless `out` is empty. */
int pq_request_field(pq_buf *out, const char *name, const void *value, size_t length,
                     pq_error *err);

/* Query of GET .../agent/file-read. `ranges`: with offset, count and decode=0. Fails with INTERNAL
 * for a path that is not ASCII, TOO_LARGE for one over PQ_REQUEST_HEAD_MAX / 2. */
int pq_request_file_read(pq_buf *query, const char *path, bool ranges, uint64_t offset,
                         size_t count, pq_error *err);

typedef struct pq_request_head {
    const char *method;
    const char *host;         /* value of Host */
    const char *path;         /* encoded, from "/api2/json" on */
    const char *query;        /* encoded, or NULL */
    const char *content_type; /* NULL without a body */
    size_t content_length;
    bool has_body;
    bool gzip; /* ask for a gzipped answer */
} pq_request_head;

/* Request line and headers, without the blank line: credentials may follow. Memory for
 * PQ_REQUEST_HEAD_MAX and `more` bytes is reserved, so that secrets are not left in memory that was
 * outgrown. */
int pq_request_write_head(pq_buf *out, const pq_request_head *head, size_t more, pq_error *err);
