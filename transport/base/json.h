/*
 * JSON access; the only place that includes cJSON.   (transport/base)
 *
 * Reading: answers come from an untrusted server, so size and depth are bounded and every getter
 * checks the type. Writing: pq_json_write_* append to a buffer, because requests carry binary
 * strings that a C-string API cannot.
 *
 * PVE sends bytes as code points U+0000..U+00FF, NUL as \u0000, which a C string cannot carry.
 * pq_json_parse() therefore reads \u0000 as U+0100, a code point that is no byte, and
 * pq_utf8_to_latin1() maps that back to NUL. Texts that are not byte strings must treat U+0100
 * as an unusual character, nothing more.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "transport/base/buf.h"

typedef struct cJSON pq_json;

/* Nesting that is accepted; PVE's answers have 4. */
#define PQ_JSON_DEPTH_MAX 32

/* Values in one text that are accepted, since each takes 64 bytes or more of memory, whatever the
 * text's length: the resources of a cluster with 20000 VMs. */
#define PQ_JSON_VALUES_MAX 500000

/* Parses exactly one value of `length` bytes; `text` is changed in place (see above) and may be
 * freed afterwards. NULL with BAD_ANSWER on any other input. Free with pq_json_free(). */
pq_json *pq_json_parse(char *text, size_t length, pq_error *err);
void pq_json_free(pq_json *value);

/* Getters: NULL value or missing member or wrong type give false/NULL and leave *ret alone. */
const pq_json *pq_json_member(const pq_json *object, const char *name);
bool pq_json_is_object(const pq_json *value);
bool pq_json_is_null(const pq_json *value); /* JSON null; not for a missing member */
const char *pq_json_text(const pq_json *object, const char *name);
/* Whole numbers that fit; a string of digits counts too, since Perl sends either. */
bool pq_json_int(const pq_json *object, const char *name, int64_t *ret);
/* true/false, or 0/1 as number or string. */
bool pq_json_bool(const pq_json *object, const char *name, bool *ret);

const pq_json *pq_json_first(const pq_json *array_or_object);
const pq_json *pq_json_next(const pq_json *item);
const char *pq_json_name(const pq_json *item);         /* member name, or NULL */
const char *pq_json_string_value(const pq_json *item); /* NULL unless a string */

/* The value as JSON text appended to `out`. */
int pq_json_print(pq_buf *out, const pq_json *value, pq_error *err);

/* Appends a JSON string, quotes included. `text` is valid UTF-8; else '?' stands for bad bytes. */
int pq_json_write_text(pq_buf *out, const char *text, size_t length, pq_error *err);

/* Appends a JSON string whose characters U+0000..U+00FF are the bytes. */
int pq_json_write_bytes(pq_buf *out, const void *bytes, size_t length, pq_error *err);
