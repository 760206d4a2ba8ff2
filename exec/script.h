/*
 * Guest scripts and their arguments.   (exec; pure)
 *
 * A pq_script is the argument vector of one exec call that runs one of our scripts:
 * /bin/sh -c TEXT sh ARG... Everything in it is ASCII. It counts what it adds to the request
 * body, so that callers fill a call up to the backend's limits.
 *
 * A script answers with a trailer, the last line of its stdout (see guest/common.sh); what comes
 * before is raw bytes.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "transport/agent.h"
#include "transport/base/buf.h"

typedef struct pq_script {
    char **argv; /* NULL-terminated, owned */
    size_t count;
    size_t capacity;
    bool no_decoder; /* the guest cannot decode base64: everything goes escaped */
    bool packed;     /* the bytes of items are gzip, for the guest to unpack; not with no_decoder */
    size_t bytes;    /* characters of all arguments, and 4 for each as JSON separators */
} pq_script;

/* Begins with a script's text, which outlives the pq_script or is copied: "/bin/sh -c TEXT sh". */
int pq_script_begin(pq_script *script, const char *common, const char *text, pq_error *err);
void pq_script_done(pq_script *script);

/* Appends an argument; `text` is ASCII. */
int pq_script_add(pq_script *script, const char *text, pq_error *err);
int pq_script_addf(pq_script *script, pq_error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Appends an argument with `bytes` printf %b escaped. */
int pq_script_add_escaped(pq_script *script, const void *bytes, size_t length, pq_error *err);

/* Appends as many of `bytes` as fit into the limits, as items "p TEXT" or "b TEXT"...,
 * whichever is shorter, "P TEXT"... without a decoder, or "z TEXT"... if they are packed.
 * *ret_taken is the number of bytes taken, a multiple of `granule` unless it is all of them; 0 when
 * not even one granule fits. */
int pq_script_add_items(pq_script *script, const pq_agent_limits *limits, const void *bytes,
                        size_t length, size_t granule, size_t *ret_taken, pq_error *err);

/* Bytes of binary data that one call with the arguments added so far can still take. */
size_t pq_script_room(const pq_script *script, const pq_agent_limits *limits);

/* Replaces argument `index` (0 is the first after "sh"). */
int pq_script_set(pq_script *script, size_t index, const char *text, pq_error *err);

/* ---- answers ---- */

typedef struct pq_trailer {
    char state[16];     /* first word, e.g. "end" */
    const char *fields; /* the rest of the line, NUL-terminated, inside the buffer */
} pq_trailer;

/* Cuts the trailer off `out` (its bytes stay in the buffer behind the new length, so `fields` is
 * valid as long as the buffer is unchanged). False if there is none. */
bool pq_trailer_cut(pq_buf *out, pq_trailer *ret_trailer);

/* The `index`th bare field (0-based) as a number, or -1 if missing or "-". */
int64_t pq_trailer_number(const pq_trailer *trailer, unsigned index);

/* The value of field "name=...", copied to `out` (cut to fit); false if missing. */
bool pq_trailer_value(const pq_trailer *trailer, const char *name, char *out, size_t size);
